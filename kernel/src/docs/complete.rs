//! Answers to `complete_request`.

use std::collections::HashSet;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::context::{Context, before};
use super::infer::Inference;
use super::scope::Scope;
use super::{Docs, Member, Target};
use crate::eval::state::State;

/// Keywords, and what the language and its prelude give to every program.
const WORDS: [&str; 50] = [
    "as", "async", "await", "bool", "break", "char", "const", "continue", "crate", "dyn", "else", "enum",
    "extern", "false", "fn", "for", "i16", "i32", "i64", "i8", "if", "impl", "in", "isize", "let", "loop",
    "match", "mod", "move", "mut", "pub", "ref", "return", "self", "static", "struct", "super", "trait",
    "true", "type", "u16", "u32", "u64", "u8", "unsafe", "use", "usize", "where", "while", "f32",
];
const MACROS: [&str; 14] = [
    "assert!",
    "assert_eq!",
    "dbg!",
    "eprint!",
    "eprintln!",
    "format!",
    "matches!",
    "panic!",
    "print!",
    "println!",
    "todo!",
    "vec!",
    "write!",
    "writeln!",
];
const VALUES: [&str; 4] = ["Err", "None", "Ok", "Some"];
const COMMANDS: [&str; 7] = [":clear", ":dep", ":doc", ":help", ":items", ":timing", ":vars"];

/// One proposal.
struct Match {
    text: String,
    kind: &'static str,
    signature: String,
}

/// What can stand at code point `cursor` of `code`.
pub(crate) fn complete(state: &Mutex<State>, docs: &Docs, code: &str, cursor: usize) -> Value {
    let cursor = cursor.min(code.chars().count());
    let head: String = code.chars().take(cursor).collect();
    let line = head.rsplit('\n').next().unwrap_or_default();
    if line.starts_with(':') && !line.contains(char::is_whitespace) {
        let start = cursor - line.chars().count();
        let found = COMMANDS.iter().filter(|command| command.starts_with(line));
        let found = found.map(|command| Match::new(command, "keyword", String::new()));
        return reply(found.collect(), start, cursor);
    }
    // Positions in what was parsed before are never asked for again; without this their table only grows.
    proc_macro2::extra::invalidate_current_thread_spans();
    let code = &crate::eval::command::blanked(code);
    let Some((start, word, context)) = before(code, cursor) else { return reply(Vec::new(), cursor, cursor) };
    let index = docs.current();
    let scope = Scope::new(state, docs, &index);
    let before_word: String = code.chars().take(start).collect();
    let inference = Inference::new(&scope, &before_word, &word);
    let mut found = match context {
        Context::Name if word.is_empty() => Vec::new(),
        Context::Name => names(&inference, &head),
        Context::Path(path) => behind_path(&scope, &path, &word),
        Context::Member(receiver) => {
            let ty = inference.of_text(&receiver);
            let members = ty.map(|ty| scope.members(&ty)).unwrap_or_default();
            let members = members.into_iter().filter(|member| member.kind.follows_dot()).collect();
            in_order(members, &word).into_iter().map(Match::member).collect()
        }
    };
    let exact = found.iter().any(|found| found.text.starts_with(&word));
    let lower = word.to_lowercase();
    found.retain(|found| {
        if exact { found.text.starts_with(&word) } else { found.text.to_lowercase().starts_with(&lower) }
    });
    let mut seen = HashSet::new();
    found.retain(|found| seen.insert(found.text.clone()));
    reply(found, start, cursor)
}

/// Everything that can be written without a path before it; the user's own names come first.
fn names(inference: &Inference<'_>, before: &str) -> Vec<Match> {
    let scope = inference.scope;
    let mut found = Vec::new();
    // Names of the cell itself come first, the nearest before the others.
    if let Some(locals) = &inference.locals {
        for (name, ty) in locals.iter().rev() {
            let signature = ty.as_ref().map(|ty| format!("{name}: {ty}")).unwrap_or_default();
            found.push(Match::new(name, "instance", signature));
        }
    } else if let Some(tokens) = super::tokens::tokens(before) {
        let words: Vec<&str> = tokens.iter().map(|(_, range)| &before[range.clone()]).collect();
        for (at, word) in words.iter().enumerate() {
            let is_bound = at > 0
                && (words[at - 1] == "let" || at > 1 && words[at - 1] == "mut" && words[at - 2] == "let");
            if (is_bound && *word != "mut") || at > 0 && words[at - 1] == "for" {
                found.push(Match::new(word, "instance", String::new()));
            }
        }
        // The word that is being written is no proposal.
        let own = before.rsplit(|c: char| !super::tokens::is_word(c)).next().unwrap_or_default();
        found.retain(|found| found.text != own);
    }
    for (name, ty) in &scope.variables {
        found.push(Match::new(name, "instance", format!("{name}: {}", super::inspect::short(ty))));
    }
    for item in scope.session_items() {
        found.push(Match::new(&item.name, item.kind.word(), item.signature.clone()));
    }
    found.extend(VALUES.iter().map(|name| Match::new(name, "enumMember", String::new())));
    // The type of `[T]` has no such name in code.
    let targets = scope.index.scope.iter().filter(|(name, _)| *name != "slice");
    found.extend(targets.map(|(name, target)| Match::target(scope, name, target)));
    found.extend(WORDS.iter().map(|name| Match::new(name, "keyword", String::new())));
    found.extend(MACROS.iter().map(|name| Match::new(name, "keyword", String::new())));
    found
}

/// What a module or type has to offer.
fn behind_path(scope: &Scope<'_>, path: &[String], word: &str) -> Vec<Match> {
    match scope.resolve(path) {
        Some(Target::Module(module)) => {
            let names = scope.index.modules.get(&module);
            names.into_iter().flatten().map(|(name, target)| Match::target(scope, name, target)).collect()
        }
        Some(Target::Item(id)) => {
            let members = scope.of_item(id).map(|ty| {
                // Associated functions do not come through Deref.
                let own = super::Ty { args: Vec::new(), ..ty };
                scope.own_members(&own).collect::<Vec<_>>()
            });
            let members = members.into_iter().flatten();
            // Functions without a receiver first: those with one are seldom called so.
            let (first, last): (Vec<&Member>, Vec<&Member>) =
                members.filter(|m| m.kind != super::Kind::Field).partition(|m| !m.kind.follows_dot());
            let groups = [in_order(first, word), in_order(last, word)];
            groups.into_iter().flatten().map(Match::member).collect()
        }
        None => Vec::new(),
    }
}

/// `members` by name; those that fail where their namesake panics (`f_add` beside `add`) come last, and those whose names
/// begin with `_` only for who asks for them.
fn in_order<'a>(mut members: Vec<&'a Member>, word: &str) -> Vec<&'a Member> {
    members.retain(|member| word.starts_with('_') || !member.name.starts_with('_'));
    let names: HashSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let is_twin = |name: &str| name.strip_prefix("f_").is_some_and(|namesake| names.contains(namesake));
    members.sort_by_key(|member| (is_twin(&member.name), &member.name));
    members
}

impl Match {
    fn new(text: &str, kind: &'static str, signature: String) -> Self {
        Self { text: text.to_owned(), kind, signature }
    }

    fn member(member: &Member) -> Self {
        Self::new(&member.name, member.kind.word(), member.signature.clone())
    }

    fn target(scope: &Scope<'_>, name: &str, target: &Target) -> Self {
        let signature = match target {
            Target::Item(id) => scope.item(*id).map(|item| item.signature.clone()).unwrap_or_default(),
            Target::Module(_) => String::new(),
        };
        Self::new(name, scope.kind_of(target), signature)
    }
}

fn reply(found: Vec<Match>, start: usize, end: usize) -> Value {
    let matches: Vec<&str> = found.iter().map(|found| found.text.as_str()).collect();
    let types = found.iter().map(|Match { text, kind, signature }| {
        json!({"start": start, "end": end, "text": text, "type": kind, "signature": signature})
    });
    json!({"status": "ok", "matches": matches, "cursor_start": start, "cursor_end": end,
        "metadata": {"_jupyter_types_experimental": types.collect::<Vec<_>>()}})
}
