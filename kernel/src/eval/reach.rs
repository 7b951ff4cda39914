//! Which items of earlier cells a cell can depend on. The others are not compiled again with it, so that a session with a
//! hundred items is as fast as a new one.

use std::collections::BTreeSet;

use super::cell::Cell;
use super::item::Defines;
use super::state::{KeptItem, Variable};

/// The items among `kept`, each with its index there, that `cell` can depend on when it is lent these variables: by name,
/// through another item that it depends on, or without a name, as on a trait in scope. Rather one too many than one too few.
pub(super) fn reached<'a>(
    cell: &Cell,
    lent: &[(&String, &Variable)],
    kept: &'a [KeptItem],
) -> Vec<(usize, &'a KeptItem)> {
    let name_of = |item: &'a KeptItem| item.defines().name().map(|name| name.trim_start_matches("r#"));
    let defined: BTreeSet<&str> = kept.iter().filter_map(name_of).collect();
    let mut words: BTreeSet<&str> = cell.words.iter().map(String::as_str).collect();
    words.extend(lent.iter().flat_map(|(_, variable)| names(&variable.ty)));
    let mut is_reached = vec![false; kept.len()];
    loop {
        let mut grew = false;
        for (index, item) in kept.iter().enumerate() {
            let touches = !is_reached[index]
                && (item.is_ambient()
                    || match item.defines() {
                        // Where each of its types is out of reach, nothing can call it.
                        Defines::Impl { head, .. } => {
                            names(head).filter(|name| defined.contains(name)).all(|name| words.contains(name))
                        }
                        _ => name_of(item).is_none_or(|name| words.contains(name)),
                    });
            if touches {
                is_reached[index] = true;
                grew = true;
                words.extend(item.words());
            }
        }
        if !grew {
            break;
        }
    }
    kept.iter().enumerate().filter(|(index, _)| is_reached[*index]).collect()
}

/// The identifiers in a piece of Rust.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::cell::parse;
    use super::super::state::{State, Variable};
    use super::reached;

    /// What a cell reaches of what earlier cells have defined, as text.
    fn reach(earlier: &str, code: &str, variable: Option<&str>) -> Vec<String> {
        let mut state = State::default();
        let cell = parse(earlier).unwrap();
        let kept = state.items_beside(&cell);
        state.keep_items(kept, &cell, 1, true);
        let cell = parse(code).unwrap();
        let kept = state.items_beside(&cell);
        let name = "v".to_owned();
        let variable = variable.map(|ty| Variable { ty: ty.to_owned() });
        let lent: Vec<_> = variable.iter().map(|variable| (&name, variable)).collect();
        let describe = |item: &super::KeptItem| item.defines().describe().replace('`', "");
        reached(&cell, &lent, &kept).into_iter().map(|(_, item)| describe(item)).collect()
    }

    #[test]
    fn by_name_and_through_other_items() {
        let items = "fn f() -> S { g() } fn g() -> S { S } struct S; impl S { fn m(&self) { n() } } fn n() {} fn other() {}
            struct Other; impl Other { fn o() { other() } }";
        assert_eq!(reach(items, "f()", None), ["f", "g", "S", "impl S", "n"]);
        assert_eq!(reach(items, "1 + 1", None), [""; 0]);
        assert_eq!(reach(items, "n()", None), ["n"]);
        // A method needs no name of its type: the variable's type is one.
        assert_eq!(reach(items, "v.m()", Some("std::vec::Vec<S>")), ["S", "impl S", "n"]);
        // In a format string too.
        assert_eq!(reach("const C: u8 = 1; const D: u8 = 1;", "println!(\"{C}\")", None), ["C"]);
    }

    #[test]
    fn without_a_name_through_traits_aliases_and_imports() {
        let items = "trait Double { fn double(self) -> Self; } impl Double for f64 { fn double(self) -> f64 { two() } }
            fn two() -> f64 { 2.0 } struct S; impl Double for S { fn double(self) -> S { S } }";
        assert_eq!(reach(items, "3.0.double()", None), ["Double", "impl Double for f64", "two"]);
        let all = ["Double", "impl Double for f64", "two", "S", "impl Double for S"];
        assert_eq!(reach(items, "S.double()", None), all);
        // An implementation written with an alias belongs to the type behind it.
        let items = "struct P; type Alias = P; impl Alias { fn m(&self) {} }";
        assert_eq!(reach(items, "v.m()", Some("P")), ["P", "Alias", "impl Alias"]);
        let items = "use std::fmt; use std::io::Write as _; fn f() {} macro_rules! m { () => { f() } } macro_rules! n { () => {} }";
        assert_eq!(reach(items, "m!()", None), ["fmt", "use std::io::Write as _;", "f", "m"]);
    }
}
