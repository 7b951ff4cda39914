//! Answers to `inspect_request`, and pages for `:doc`.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::context::{Context, before, word_end};
use super::infer::Inference;
use super::scope::Scope;
use super::{Docs, Item, Kind, Target};
use crate::eval::state::State;

/// What is known of a name.
#[derive(Debug, Default)]
struct Page {
    signature: String,
    docs: String,
    /// Signatures of what it has, for those who ask for details.
    members: Vec<String>,
}

/// Answers `inspect_request` about what stands at code point `cursor`.
pub(crate) fn inspect(state: &Mutex<State>, docs: &Docs, code: &str, cursor: usize, detail: bool) -> Value {
    match find(state, docs, code, cursor) {
        Some(found) => {
            json!({"status": "ok", "found": true, "data": found.bundle(detail), "metadata": {}})
        }
        None => json!({"status": "ok", "found": false, "data": {}, "metadata": {}}),
    }
}

/// All that is known of `name` (`Trainer`, `df.select`), as a MIME bundle.
pub(crate) fn page(state: &Mutex<State>, docs: &Docs, name: &str) -> Option<Value> {
    let found = find(state, docs, name, name.chars().count())?;
    Some(found.bundle(true))
}

fn find(state: &Mutex<State>, docs: &Docs, code: &str, cursor: usize) -> Option<Page> {
    // Positions in what was parsed before are never asked for again; without this their table only grows.
    proc_macro2::extra::invalidate_current_thread_spans();
    let code = &crate::eval::command::blanked(code);
    let end = word_end(code, cursor)?;
    let (start, word, context) = before(code, end)?;
    let index = docs.current();
    let scope = Scope::new(state, docs, &index);
    let head: String = code.chars().take(start).collect();
    let inference = Inference::new(&scope, &head, &word);
    match context {
        Context::Name => {
            let local = inference.local(&word).map(|(_, ty)| ty.as_ref().map(ToString::to_string));
            let ty = match local {
                Some(ty) => Some(ty.unwrap_or_else(|| "_".to_owned())),
                None => scope.variables.get(&word).map(|ty| short(ty)),
            };
            let ty = ty.or_else(|| Some(inference.of_variable(&word)?.to_string()));
            if let Some(ty) = ty {
                let mut page = Page { signature: format!("{word}: {ty}"), ..Page::default() };
                if let Some(item) = inference.of_variable(&word).and_then(|ty| scope.item(ty.item?)) {
                    page.docs.clone_from(&item.docs);
                    page.members = members(item);
                }
                return Some(page);
            }
            item(&scope, &[word])
        }
        Context::Path(mut path) => {
            let owner = path.clone();
            path.push(word.clone());
            item(&scope, &path).or_else(|| {
                let Target::Item(id) = scope.resolve(&owner)? else { return None };
                let ty = scope.of_item(id)?;
                member(scope.own_members(&ty).find(|member| member.name == word)?, &ty.name)
            })
        }
        Context::Member(receiver) => {
            let ty = inference.of_text(&receiver)?;
            member(scope.members(&ty).into_iter().find(|member| member.name == word)?, &ty.name)
        }
    }
}

fn item(scope: &Scope<'_>, path: &[String]) -> Option<Page> {
    let Target::Item(id) = scope.resolve(path)? else { return None };
    let item = scope.item(id)?;
    let members = members(item);
    Some(Page { signature: item.signature.clone(), docs: item.docs.clone(), members })
}

fn members(item: &Item) -> Vec<String> {
    item.members.iter().map(|member| member.signature.clone()).collect()
}

fn member(member: &super::Member, owner: &str) -> Option<Page> {
    let signature = match member.kind {
        Kind::Variant => member.signature.clone(),
        _ => format!("// {owner}\n{}", member.signature),
    };
    Some(Page { signature, docs: member.docs.clone(), members: Vec::new() })
}

impl Page {
    /// Text and Markdown; with `detail`, members too.
    fn bundle(&self, detail: bool) -> Value {
        let docs = for_readers(&self.docs);
        let mut plain = self.signature.clone();
        let mut markdown = format!("```rust\n{}\n```\n", self.signature);
        if !docs.is_empty() {
            plain = format!("{plain}\n\n{docs}");
            markdown = format!("{markdown}\n{docs}\n");
        }
        if detail && !self.members.is_empty() {
            let members = self.members.join("\n");
            plain = format!("{plain}\n\n{members}");
            markdown = format!("{markdown}\n```rust\n{members}\n```\n");
        }
        json!({"text/plain": plain, "text/markdown": markdown})
    }
}

/// Documentation as rustdoc shows it: examples are Rust, and their hidden lines are left out.
fn for_readers(docs: &str) -> String {
    let mut lines = Vec::new();
    let mut in_example = false;
    let mut is_rust = false;
    for line in docs.lines() {
        let trimmed = line.trim_start();
        if let Some(language) = trimmed.strip_prefix("```") {
            in_example = !in_example;
            is_rust = language.split(',').all(|word| {
                matches!(word.trim(), "" | "rust" | "no_run" | "ignore" | "should_panic" | "compile_fail")
            });
            lines.push(if in_example && is_rust { "```rust" } else { line });
        } else if !(in_example && is_rust && (trimmed == "#" || trimmed.starts_with("# "))) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// A type without the paths before its names.
pub(super) fn short(ty: &str) -> String {
    let mut text = String::new();
    let mut word = String::new();
    let mut chars = ty.chars().peekable();
    while let Some(c) = chars.next() {
        if super::tokens::is_word(c) {
            word.push(c);
        } else if c == ':' && chars.peek() == Some(&':') && !word.is_empty() {
            chars.next();
            word.clear();
        } else {
            text.push_str(&word);
            word.clear();
            text.push(c);
        }
    }
    text + &word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_lose_their_paths_and_examples_their_hidden_lines() {
        assert_eq!(short("std::vec::Vec<(a::b::C, &'static str)>"), "Vec<(C, &'static str)>");
        assert_eq!(for_readers("A.\n```\n# use x;\nf();\n```"), "A.\n```rust\nf();\n```");
        assert_eq!(for_readers("# Errors\nIf"), "# Errors\nIf");
    }
}
