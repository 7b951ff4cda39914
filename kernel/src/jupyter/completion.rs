//! Completion and inspection from what the session knows: variables, items, the prelude's names.

use std::sync::Mutex;

use serde_json::{Value, json};

use crate::eval::lock;
use crate::eval::state::State;

/// Names that every cell sees, most of them from the prelude; keywords and macros that a cell often begins with.
const NAMES: &[&str] = &[
    "Arc",
    "Box",
    "Chart",
    "DataFrame",
    "Dataset",
    "Device",
    "Err",
    "Error",
    "Experiment",
    "HashMap",
    "Kind",
    "LazyFrame",
    "LeNet",
    "None",
    "Ok",
    "Option",
    "Report",
    "Result",
    "Run",
    "RunsExt",
    "Select",
    "Series",
    "Some",
    "Split",
    "String",
    "Tensor",
    "Trainer",
    "Vec",
    "assert!",
    "assert_eq!",
    "async",
    "await",
    "bool",
    "break",
    "char",
    "col",
    "const",
    "continue",
    "crate",
    "dbg!",
    "df!",
    "else",
    "enum",
    "eprintln!",
    "extern",
    "f32",
    "f64",
    "false",
    "fn",
    "for",
    "format!",
    "glisten",
    "i16",
    "i32",
    "i64",
    "i8",
    "if",
    "impl",
    "in",
    "isize",
    "let",
    "lit",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "nn",
    "panic!",
    "polars",
    "print!",
    "println!",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "str",
    "struct",
    "super",
    "tch",
    "todo!",
    "trait",
    "true",
    "type",
    "u16",
    "u32",
    "u64",
    "u8",
    "unsafe",
    "use",
    "usize",
    "vec!",
    "where",
    "while",
    "write!",
    "writeln!",
];

/// Answers `complete_request`; offsets count code points.
pub(super) fn complete(state: &Mutex<State>, code: &str, cursor: usize) -> Value {
    let (start, prefix) = word_before(code, cursor);
    let after_dot = code.chars().take(start).last() == Some('.');
    let mut matches: Vec<String> = Vec::new();
    if !after_dot && !prefix.is_empty() {
        let state = lock(state);
        let items = state.items.iter().filter_map(|item| item.defines().name());
        let names = state.variables.keys().map(String::as_str).chain(items).chain(NAMES.iter().copied());
        matches = names.filter(|name| name.starts_with(&prefix)).map(str::to_owned).collect();
        let mut seen = std::collections::HashSet::new();
        matches.retain(|name| seen.insert(name.clone()));
    }
    json!({"status": "ok", "matches": matches, "cursor_start": start, "cursor_end": cursor, "metadata": {}})
}

/// Answers `inspect_request` about the word at the cursor.
pub(super) fn inspect(state: &Mutex<State>, code: &str, cursor: usize) -> Value {
    let (start, _) = word_before(code, cursor);
    let word: String = code.chars().skip(start).take_while(|c| is_word(*c)).collect();
    let state = lock(state);
    let variable = state.variables.get(&word).map(|variable| format!("{word}: {}", variable.ty));
    let item = || {
        let named = |item: &&crate::eval::state::KeptItem| item.defines().name() == Some(&word);
        state.items.iter().rev().find(named).map(crate::eval::state::KeptItem::declaration)
    };
    match variable.or_else(item) {
        Some(text) => json!({"status": "ok", "found": true, "data": {"text/plain": text}, "metadata": {}}),
        None => json!({"status": "ok", "found": false, "data": {}, "metadata": {}}),
    }
}

/// The word that ends at the cursor, and where it starts.
fn word_before(code: &str, cursor: usize) -> (usize, String) {
    let before: Vec<char> = code.chars().take(cursor).collect();
    let length = before.iter().rev().take_while(|c| is_word(**c)).count();
    let start = before.len() - length;
    (start, before[start..].iter().collect())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_code_points() {
        let state = Mutex::new(State::default());
        lock(&state).gain("täglich", "i32".to_owned());
        let reply = complete(&state, "let ü = tä", 10);
        assert_eq!((&reply["matches"], &reply["cursor_start"]), (&json!(["täglich"]), &json!(8)));
        let reply = inspect(&state, "täglich + 1", 3);
        assert_eq!(reply["data"]["text/plain"], "täglich: i32");
    }
}
