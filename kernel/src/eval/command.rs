//! Lines that begin with `:` — questions to the kernel rather than Rust.

use super::state::State;
use super::{Failure, Host, Session, lock};

const HELP: &str = "\
Cells are Rust; dataframes, tensors and Glisten's own names are there without `use`.
A cell shows the value of its last expression; `?` ends a cell with an error.
Variables and items stay for later cells; variables must own their values.

:dep X   use the crate X: `:dep rand = \"0.8\"`, `:dep mine = { path = \"../mine\" }`; alone it lists what is used
:help    this text
:vars    the variables, with their types
:doc X   the documentation of X (`Trainer`, `df.select`); `X?` and `?X` too
:items   the functions, types and imports of earlier cells
:clear   forget all variables and items
:timing  show (or no longer show) where the time of each cell goes
";

/// Characters of a name up to which types stand in one column.
const MOST_ALIGNED: usize = 40;

impl Session {
    /// Obeys commands.
    pub(super) fn command(&mut self, lines: &[&str], host: &mut dyn Host) -> Result<(), Failure> {
        let is_dep = |line: &str| line.split_whitespace().next() == Some(":dep");
        // Dependencies that stand together are built together.
        for lines in lines.chunk_by(|a, b| is_dep(a) && is_dep(b)) {
            let line = lines[0];
            let word = line.split_whitespace().next().unwrap_or_default();
            if is_dep(line) {
                let lines: Vec<&str> = lines.iter().map(|line| line[":dep".len()..].trim()).collect();
                self.depend(&lines, host)?;
                continue;
            }
            let text = match word {
                ":help" => HELP.to_owned(),
                ":vars" => self.list_variables(),
                ":items" => self.list_items(),
                ":clear" => {
                    let names: Vec<String> = lock(&self.state).variables.keys().cloned().collect();
                    self.forget(&names);
                    *lock(&self.state) = State::default();
                    "all variables and items are gone\n".to_owned()
                }
                ":doc" => {
                    let name = line[word.len()..].trim();
                    if name.is_empty() {
                        let sentence = "`:doc` needs a name: `:doc Trainer`, `:doc df.select`";
                        return Err(Failure::new("CommandError", sentence.to_owned()));
                    }
                    self.document(name, host)?;
                    continue;
                }
                ":timing" => {
                    self.timing = !self.timing;
                    format!("timing is {}\n", if self.timing { "on" } else { "off" })
                }
                _ => {
                    let sentence =
                        format!("there is no command `{word}`; `:help` lists those that there are");
                    return Err(Failure::new("CommandError", sentence));
                }
            };
            host.say(&text);
        }
        Ok(())
    }

    /// Shows what is known of `name` in the front end's pager.
    pub(super) fn document(&self, name: &str, host: &mut dyn Host) -> Result<(), Failure> {
        match crate::docs::page(&self.state, &self.docs, name) {
            Some(data) => {
                host.page(data);
                Ok(())
            }
            None => Err(Failure::new("CommandError", format!("nothing is known of `{name}`"))),
        }
    }

    fn list_variables(&self) -> String {
        let state = lock(&self.state);
        if state.variables.is_empty() {
            return "no variables\n".to_owned();
        }
        let widths = state.variables.keys().map(|name| name.chars().count());
        let width = widths.max().unwrap_or(0).min(MOST_ALIGNED);
        state.variables.iter().map(|(name, variable)| format!("{name:width$}  {}\n", variable.ty)).collect()
    }

    fn list_items(&self) -> String {
        let state = lock(&self.state);
        if state.items.is_empty() {
            return "no items\n".to_owned();
        }
        state.items.iter().map(|item| format!("{}\n", item.defines().describe())).collect()
    }
}

/// The commands that a cell begins with, and what follows them, in the lines that it has in the cell.
pub(super) fn split(code: &str) -> (Vec<&str>, String) {
    let mut commands = Vec::new();
    let mut length = 0;
    let mut begun = 0;
    for line in code.split_inclusive('\n') {
        let text = line.trim();
        if text.starts_with(':') {
            commands.push(text);
        } else if !text.is_empty() && !text.starts_with("//") {
            break;
        }
        length += line.len();
        begun += 1;
    }
    if commands.is_empty() {
        (commands, code.to_owned())
    } else {
        (commands, "\n".repeat(begun) + &code[length..])
    }
}

/// `code` with blanks for the commands that it begins with, each character in its place.
pub(crate) fn blanked(code: &str) -> String {
    let n_lines = split(code).1.bytes().take_while(|byte| *byte == b'\n').count();
    let is_command = |(at, line): (usize, &str)| at < n_lines && line.trim_start().starts_with(':');
    let lines = code.split('\n').enumerate().map(|(at, line)| match is_command((at, line)) {
        true => " ".repeat(line.chars().count()),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The name that a cell like `?Trainer` or `Trainer?` asks about. `x?` with a variable is Rust.
pub(super) fn question<'a>(code: &'a str, state: &State) -> Option<&'a str> {
    let code = code.trim();
    let is_name = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '.' | '!'))
    };
    if let Some(name) = code.strip_prefix('?') {
        return Some(name.trim()).filter(|name| is_name(name));
    }
    let name = code.strip_suffix('?').map(str::trim).filter(|name| is_name(name))?;
    let first = name.split(['.', ':']).next().unwrap_or(name);
    if state.variables.contains_key(first) { None } else { Some(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_before_code_which_keeps_its_lines() {
        assert_eq!(split("let a = 1;\n:vars"), (vec![], "let a = 1;\n:vars".to_owned()));
        assert_eq!(split(" :vars"), (vec![":vars"], "\n".to_owned()));
        let (commands, code) = split("// two\n:dep a\n\n:dep b = \"1\"\na::f();\nb::g()");
        assert_eq!(commands, [":dep a", ":dep b = \"1\""]);
        assert_eq!(code, "\n\n\n\na::f();\nb::g()");
        assert_eq!(blanked(":dep ä\n// b\nf()\n:no"), "      \n// b\nf()\n:no");
    }

    #[test]
    fn a_question_is_not_rusts_question_mark() {
        let mut state = State::default();
        state.gain("result", "Result<i32, String>".to_owned());
        for (code, name) in [
            ("Trainer?", Some("Trainer")),
            (" ?df.select ", Some("df.select")),
            ("Dataset::open?", Some("Dataset::open")),
            ("result?", None),
            ("result.field?", None),
            ("f()?", None),
            ("let a = b?", None),
            ("?", None),
        ] {
            assert_eq!(question(code, &state), name, "{code}");
        }
    }
}
