//! What rustc's refusals say about how variables must be handed to a cell.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::cell::Cell;
use super::diagnostic::Diagnostic;
use super::source::{Origin, Plan, Source};
use super::state::KeptItem;
use crate::deps::Built;

/// A cell that compiled.
pub(super) struct Attempt {
    /// The library to run; none where the cell had nothing to run.
    pub(super) library: Option<PathBuf>,
    pub(super) source: Source,
    /// The user's dependencies, where it uses them.
    pub(super) deps: Option<Arc<Built>>,
    pub(super) plan: Plan,
    pub(super) kept: Vec<KeptItem>,
    /// The new variables with their types, `None` where one has no name.
    pub(super) types: Vec<(String, Option<String>)>,
}

/// Corrects `plan` and `kept` so that `errors` go away. False where one of them is the user's own: nothing helps then.
pub(super) fn correct(
    errors: &[Diagnostic],
    source: &Source,
    cell: &Cell,
    plan: &mut Plan,
    kept: &mut Vec<KeptItem>,
    remarks: &mut Vec<String>,
) -> bool {
    let before = plan.clone();
    let mut broken_items = Vec::new();
    // Columns and numbers of the lifetimes that the declaration of a static lacks.
    let mut lifetimes: BTreeMap<usize, BTreeMap<usize, usize>> = BTreeMap::new();
    for error in errors.iter().filter(|error| !error.spans.is_empty()) {
        let moved = error.code() == "E0382";
        match decisive(error, source) {
            Some(Origin::PutBack(name)) if moved => push(&mut plan.by_value, name),
            Some(Origin::Own(name)) if moved => {
                let is_new = cell.variables.iter().any(|variable| variable.name == *name);
                if let Some(at) = plan.by_value.iter().position(|other| other == name).filter(|_| !is_new) {
                    plan.by_value.remove(at);
                    push(&mut plan.gone, name);
                } else if is_new
                    && cell.assigned.contains(name)
                    && !plan.in_one
                    && !plan.threaded.contains(name)
                {
                    push(&mut plan.threaded, name);
                } else {
                    push(&mut plan.left_out, name);
                }
            }
            Some(Origin::Own(name)) => {
                if !plan.left_out.contains(name) {
                    let from = quoted(&error.message).filter(|from| from != name);
                    let from = from
                        .map_or("something that ends with this cell".to_owned(), |from| format!("`{from}`"));
                    remarks.push(format!("`{name}` borrows from {from}; {IS_NOT_KEPT}\n"));
                }
                push(&mut plan.left_out, name);
            }
            Some(Origin::Take(name)) => {
                remarks.push(format!(
                    "`{name}` is of a type that this cell cannot name, so it is not at hand\n"
                ));
                push(&mut plan.unreadable, name);
            }
            Some(Origin::Kept(index)) if error.code() == "E0106" => {
                let places = lifetimes.entry(*index).or_default();
                places.extend(error.missing_lifetimes());
            }
            Some(Origin::Kept(index)) => broken_items.push(*index),
            _ => return false,
        }
    }
    let mut mended = false;
    for (index, places) in &lifetimes {
        if kept.get_mut(*index).is_some_and(|item| item.name_lifetimes(places)) {
            mended = true;
        } else {
            broken_items.push(*index);
        }
    }
    if *plan == before && broken_items.is_empty() && !mended {
        return false;
    }
    broken_items.sort_unstable();
    broken_items.dedup();
    for index in broken_items.iter().rev() {
        let item = kept.remove(*index);
        remarks.push(format!("{} no longer compiles and was dropped\n", item.defines().describe()));
    }
    true
}

/// Part of each remark about a variable that borrows.
pub(super) const IS_NOT_KEPT: &str = "variables must own their values, so it is not kept";

/// Whether `errors` may come of a cell's division into stages, and be gone where it is one: what rustc says of borrows, moves
/// and types that it cannot infer.
pub(super) fn may_be_of_stages(errors: &[Diagnostic]) -> bool {
    const CODES: [&str; 22] = [
        "E0282", "E0283", "E0284", "E0373", "E0381", "E0382", "E0384", "E0495", "E0499", "E0501", "E0502",
        "E0503", "E0505", "E0506", "E0507", "E0515", "E0521", "E0594", "E0596", "E0597", "E0700", "E0716",
    ];
    errors
        .iter()
        .any(|error| CODES.contains(&error.code()) || error.code().is_empty() && !error.spans.is_empty())
}

/// The place among those that an error points to that says whose fault it is.
///
/// rustc points first to where a borrow begins, which is the user's line; that a value must outlive the cell is our doing
/// and stands beside it. A move out of a variable that something else borrows points to the move first, to the borrower after.
fn decisive<'a>(error: &'a Diagnostic, source: &'a Source) -> Option<&'a Origin> {
    let origins: Vec<&Origin> = error.origins(source).map(|(origin, _)| origin).collect();
    let first = origins.first().copied()?;
    if error.code() == "E0382" {
        return Some(first);
    }
    let own = |origin: &&&Origin| matches!(origin, Origin::Own(_));
    origins.iter().skip(1).rev().find(own).or(origins.iter().find(own)).copied().or(Some(first))
}

fn push(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|other| other == name) {
        names.push(name.to_owned());
    }
}

/// The first name in backticks of a message.
pub(super) fn quoted(message: &str) -> Option<String> {
    message.split('`').nth(1).map(str::to_owned)
}
