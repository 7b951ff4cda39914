//! What README and every help text show of this program is what it takes: names of commands, flags and values.

use clap::{CommandFactory, Parser};

use super::Arguments;

const README: &str = include_str!("../../README.md");

/// The examples of a command and of those below it.
fn examples(command: &clap::Command, found: &mut Vec<String>) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    found.extend(help.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned));
    command.get_subcommands().for_each(|command| examples(command, found));
}

/// The words of the first command of a line, as a shell makes them.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => break,
            ('|' | '&' | ';', None) => break,
            (' ', None) => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn words_are_those_of_a_shell() {
    let line = "glisten runs 'a b' --filter \"x > 1\" '' # why | what";
    assert_eq!(words(line), ["glisten", "runs", "a b", "--filter", "x > 1", ""]);
    assert_eq!(words("glisten runs | head"), ["glisten", "runs"]);
}

#[test]
fn what_is_shown_is_taken() {
    let mut shown = Vec::new();
    examples(&Arguments::command(), &mut shown);
    assert!(shown.len() > 25, "{shown:?}");
    let in_blocks = README.lines().filter_map(|line| line.strip_prefix("$ "));
    // Within a sentence: `glisten doctor`.
    let inline = README.split('`').skip(1).step_by(2);
    shown.extend(in_blocks.chain(inline).map(str::to_owned));
    let mut n = 0;
    for line in shown.iter().filter(|line| line.starts_with("glisten ")) {
        let words = words(line);
        n += 1;
        match Arguments::try_parse_from(&words) {
            Ok(_) => {}
            Err(error) if !error.use_stderr() => {}
            // `glisten export` in a sentence is a name, not a call.
            Err(error)
                if words.len() <= 3 && error.kind() == clap::error::ErrorKind::MissingRequiredArgument => {}
            Err(error)
                if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {}
            Err(error) => panic!("{line}: {error}"),
        }
    }
    assert!(n > 40, "{n} lines were looked at");
}
