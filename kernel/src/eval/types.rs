//! The types of new variables, as rustc names them when a function says that it returns `_`.

use super::cell::Cell;
use super::rustc::{Compiled, Compiler, Goal};
use super::source::{Origin, Source, World};
use super::state::Variable;

/// The type of each new variable of `cell` that could be found; `None` for one that has no name, as a closure's.
///
/// # Errors
/// If rustc cannot be started.
pub(crate) fn find(
    compiler: &Compiler,
    number: usize,
    cell: &Cell,
    world: World<'_>,
    borrowed: &[(&String, &Variable)],
) -> anyhow::Result<Vec<(String, Option<String>)>> {
    let unknown: Vec<&String> = cell.variables.iter().filter(|v| v.ty.is_none()).map(|v| &v.name).collect();
    let mut found = Vec::new();
    if !unknown.is_empty() {
        let ask = |name: &str, groups: &[Vec<&String>]| {
            let source = Source::types(number, cell, world, borrowed, groups);
            let compiled = compiler.compile(name, &source, Goal::Types)?;
            anyhow::Ok(answers(&compiled, &source, groups.len()))
        };
        let together = ask(&format!("types_{number}"), std::slice::from_ref(&unknown))?;
        let types = match together.into_iter().next().flatten() {
            Some(types) if types.len() == unknown.len() => types.into_iter().map(Some).collect(),
            // One type without a name leaves the whole tuple without: ask for each alone.
            _ if unknown.len() == 1 => vec![None],
            _ => {
                let groups: Vec<_> = unknown.iter().map(|name| vec![*name]).collect();
                let each = ask(&format!("types_{number}_each"), &groups)?;
                each.into_iter().map(|types| types.and_then(|types| types.into_iter().next())).collect()
            }
        };
        found.extend(unknown.into_iter().cloned().zip(types));
    }
    let written = cell.variables.iter().filter(|v| v.ty.is_some()).map(|v| (v.name.clone(), v.ty.clone()));
    found.extend(written);
    Ok(found)
}

/// rustc's answer for each group: the types in its tuple.
fn answers(compiled: &Compiled, source: &Source, groups: usize) -> Vec<Option<Vec<String>>> {
    let mut answers = vec![None; groups];
    for error in compiled.errors.iter().filter(|error| error.code() == "E0121") {
        let suggestion = error
            .children
            .iter()
            .flat_map(|child| &child.spans)
            .find_map(|span| span.suggested_replacement.as_deref());
        let group = error.origins(source).find_map(|(origin, _)| match origin {
            Origin::Types(group) => Some(*group),
            _ => None,
        });
        if let (Some(types), Some(group)) = (suggestion.and_then(elements), group)
            && let Some(answer) = answers.get_mut(group)
        {
            *answer = Some(types);
        }
    }
    answers
}

/// The elements of a tuple type, each as it is written there.
fn elements(tuple: &str) -> Option<Vec<String>> {
    use syn::spanned::Spanned;
    let ty: syn::TypeTuple = syn::parse_str(tuple).ok()?;
    ty.elems.iter().map(|element| tuple.get(element.span().byte_range()).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_tuple_type_is_split_at_its_top_level() {
        let elements = super::elements("(std::vec::Vec<(i32, u8)>, &'static str,)").unwrap();
        assert_eq!(elements, ["std::vec::Vec<(i32, u8)>", "&'static str"]);
        assert!(super::elements("impl Fn()").is_none());
    }
}
