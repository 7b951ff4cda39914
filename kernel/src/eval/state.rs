//! What lives on between cells: items as source text, variables by name and type.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::cell::Cell;
use super::item::{CellItem, Defines, ItemPart};

/// An item that later cells see.
#[derive(Debug, Clone)]
pub(crate) struct KeptItem {
    part: ItemPart,
    /// The source, in the columns it had.
    text: String,
    /// For a static whose library is loaded: how other cells declare it.
    declared: Option<String>,
}

/// A variable that the worker keeps.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    /// Its type, in paths that a cell can spell.
    pub(crate) ty: String,
}

impl Variable {
    /// Whether `word` is among the identifiers of its type.
    pub(crate) fn mentions(&self, word: &str) -> bool {
        self.ty.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|other| other == word)
    }
}

/// Items and variables of a session.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) items: Vec<KeptItem>,
    pub(crate) variables: BTreeMap<String, Variable>,
    /// Variables that were there once, with what became of them.
    gone: BTreeMap<String, String>,
}

impl KeptItem {
    /// As it stands in a later cell.
    pub(crate) fn declaration(&self) -> String {
        self.declared.as_ref().unwrap_or(&self.text).clone()
    }

    /// Writes `'static` where rustc misses a lifetime in the declaration: in a static one can leave it out, in the declaration
    /// of one that another library has one cannot. `places` are columns from 1, each with the number of lifetimes that belong
    /// there. False if there is nothing to write, or no place to write it.
    pub(crate) fn name_lifetimes(&mut self, places: &BTreeMap<usize, usize>) -> bool {
        let Some(declared) = &self.declared else { return false };
        let mut text: Vec<char> = declared.chars().collect();
        for (column, count) in places.iter().rev() {
            let at = column.wrapping_sub(1);
            let lifetimes = vec!["'static"; *count].join(", ");
            let (at, insert) = match text.get(at) {
                Some('&') => (at + 1, "'static ".to_owned()),
                Some('<') => (at + 1, format!("{lifetimes}, ")),
                Some(c) if is_word(*c) => {
                    let end =
                        text[at..].iter().position(|c| !is_word(*c)).map_or(text.len(), |length| at + length);
                    (end, format!("<{lifetimes}>"))
                }
                _ => return false,
            };
            text.splice(at..at, insert.chars());
        }
        self.declared = Some(text.into_iter().collect());
        !places.is_empty()
    }

    /// Whether `word` is among its identifiers.
    pub(crate) fn mentions(&self, word: &str) -> bool {
        self.part.words.contains(word)
    }

    /// What it defines.
    pub(crate) fn defines(&self) -> &Defines {
        &self.part.defines
    }

    /// Identifiers that occur in it.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.part.words.iter().map(String::as_str)
    }

    /// Whether a cell may depend on it without naming it.
    pub(crate) fn is_ambient(&self) -> bool {
        self.part.is_ambient
    }
}

impl CellItem {
    /// The item's source with its `pub` blanked.
    pub(crate) fn text(&self, source: &str) -> String {
        let mut text = source[self.range.clone()].to_owned();
        if let Some(visibility) = &self.visibility {
            let range = visibility.start - self.range.start..visibility.end - self.range.start;
            let blank = " ".repeat(text[range.clone()].chars().count());
            text.replace_range(range, &blank);
        }
        text
    }

    /// Whether it is a static, or several.
    pub(crate) fn is_static(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.defines, Defines::Static { .. }))
    }

    /// What stands before the item so that later cells share a static of cell `number`, and what stands behind it.
    pub(crate) fn exports(&self, number: usize) -> (String, String) {
        let (mut before, mut behind) = (String::new(), String::new());
        for part in &self.parts {
            if let Defines::Static { name, ty, is_key, .. } = &part.defines {
                let symbol = symbol(number, name);
                match is_key {
                    true => {
                        let _ = write!(
                            behind,
                            "#[unsafe(export_name = {symbol:?})] static __KEY_OF_{name}: {ty} = {name}; "
                        );
                    }
                    false => before = format!("#[unsafe(export_name = {symbol:?})]"),
                }
            }
        }
        (before, behind)
    }
}

/// The symbol that a static of cell `number` is exported as.
fn symbol(number: usize, name: &str) -> String {
    format!("glisten_static_{number}_{name}")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl State {
    /// The kept items that `cell` does not replace.
    pub(crate) fn items_beside(&self, cell: &Cell) -> Vec<KeptItem> {
        let new: Vec<&Defines> =
            cell.items.iter().flat_map(|item| &item.parts).map(|part| &part.defines).collect();
        let stays = |item: &&KeptItem| !new.iter().any(|defines| defines.replaces(item.defines()));
        self.items.iter().filter(stays).cloned().collect()
    }

    /// Makes `kept` and the items of `cell` the items of the session; `loaded` is whether the cell's library is.
    pub(crate) fn keep_items(&mut self, kept: Vec<KeptItem>, cell: &Cell, number: usize, loaded: bool) {
        self.items = kept;
        for item in &cell.items {
            for part in &item.parts {
                let text = part.import.clone().unwrap_or_else(|| item.text(&cell.source));
                let declared = match &part.defines {
                    Defines::Static { name, mutable, ty, .. } if loaded => {
                        let qualifier = if *mutable { "static mut" } else { "safe static" };
                        let symbol = symbol(number, name);
                        Some(format!(
                            "unsafe extern \"C\" {{ #[link_name = {symbol:?}] {qualifier} {name}: {ty}; }}"
                        ))
                    }
                    _ => None,
                };
                self.items.push(KeptItem { part: part.clone(), text, declared });
            }
        }
    }

    /// Variables whose types depend on something that `cell` defines anew and otherwise: they cannot be read any more.
    pub(crate) fn orphans(&self, cell: &Cell) -> Vec<String> {
        let mut changed = BTreeSet::new();
        for item in &cell.items {
            for part in item.parts.iter().filter(|part| part.defines.shapes_types()) {
                let text = part.import.clone().unwrap_or_else(|| item.text(&cell.source));
                let earlier = self.items.iter().find(|kept| part.defines.replaces(kept.defines()));
                if let (Some(earlier), Some(name)) = (earlier, part.defines.name())
                    && earlier.text != text
                {
                    changed.insert(name.to_owned());
                }
            }
        }
        self.dependents(changed)
    }

    /// Variables whose types depend on the names in `changed`, which are those of types, imports or crates.
    pub(crate) fn dependents(&self, mut changed: BTreeSet<String>) -> Vec<String> {
        if changed.is_empty() {
            return Vec::new();
        }
        // What mentions a changed type has changed with it.
        loop {
            let before = changed.len();
            for item in self.items.iter().filter(|item| item.defines().shapes_types()) {
                if let Some(name) = item.defines().name()
                    && item.part.words.iter().any(|word| changed.contains(word))
                {
                    changed.insert(name.to_owned());
                }
            }
            if changed.len() == before {
                break;
            }
        }
        let depends =
            |ty: &str| ty.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| changed.contains(w));
        self.variables.iter().filter(|(_, v)| depends(&v.ty)).map(|(name, _)| name.clone()).collect()
    }

    /// Takes a variable off the list, remembering why for whoever asks for it later.
    pub(crate) fn lose(&mut self, name: &str, why: impl Into<String>) {
        self.variables.remove(name);
        self.gone.insert(name.to_owned(), why.into());
    }

    /// Puts a variable on the list.
    pub(crate) fn gain(&mut self, name: &str, ty: String) {
        self.gone.remove(name);
        self.variables.insert(name.to_owned(), Variable { ty });
    }

    /// What became of a variable that is no more.
    pub(crate) fn fate(&self, name: &str) -> Option<&str> {
        self.gone.get(name).map(String::as_str)
    }

    /// The worker is a new one: no variables, and statics begin again.
    pub(crate) fn worker_lost(&mut self, why: &str) -> Vec<String> {
        let names: Vec<String> = std::mem::take(&mut self.variables).into_keys().collect();
        for name in &names {
            self.lose(name, why);
        }
        for item in &mut self.items {
            item.declared = None;
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::parse;
    use super::State;

    fn state(cells: &[&str]) -> State {
        let mut state = State::default();
        for (number, code) in cells.iter().enumerate() {
            let cell = parse(code).unwrap();
            let kept = state.items_beside(&cell);
            state.keep_items(kept, &cell, number, true);
        }
        state
    }

    #[test]
    fn a_later_definition_takes_the_place_of_the_earlier() {
        let state = state(&["fn f() {} struct S;", "pub fn f() -> u8 { 1 }", "use a::S;"]);
        let text: Vec<_> = state.items.iter().map(super::KeptItem::declaration).collect();
        assert_eq!(text, ["    fn f() -> u8 { 1 }", "use a::S;"]);
    }

    #[test]
    fn variables_of_a_type_that_changes_are_orphans_also_through_other_types() {
        let mut state = state(&["struct A { x: u8 }", "struct B { a: A }", "struct C;"]);
        for (name, ty) in [("a", "A"), ("b", "std::vec::Vec<B>"), ("c", "C"), ("d", "i32")] {
            state.gain(name, ty.to_owned());
        }
        assert!(state.orphans(&parse("struct A { x: u8 }").unwrap()).is_empty());
        assert_eq!(state.orphans(&parse("struct A { x: u16 }").unwrap()), ["a", "b"]);
    }

    #[test]
    fn lifetimes_that_a_static_leaves_out_are_named_in_its_declaration() {
        let mut state = state(&["static N: (&str, Cow<str>, Pair) = x;"]);
        let item = &mut state.items[0];
        let text = item.declaration();
        let at = |piece: &str| text.find(piece).unwrap() + 1;
        let places = [(at("& str"), 1), (at("< str"), 1), (at("Pair"), 2)].into();
        assert!(item.name_lifetimes(&places));
        let declared = item.declaration();
        assert!(
            declared.contains("&'static  str , Cow <'static,  str > , Pair<'static, 'static>"),
            "{declared}"
        );
        assert!(!item.name_lifetimes(&[(1000, 1)].into()));
    }

    #[test]
    fn a_static_of_a_loaded_cell_is_declared_not_defined_again() {
        let state = state(&["static N: u8 = 0;"]);
        assert!(state.items[0].declaration().contains("safe static N: u8;"));
    }
}
