//! The answer in a sentence: words made from the figures, never more than they show. Weak evidence is what it says first.

use super::{Comparison, Outcome, Row, Setting, SettingSummary, Summary};
use crate::statistics::Estimate;
use crate::wording::{self, FRESH_RANDOM, FULL, GLISTER, count, list, percent};

/// The share of the full-data accuracy that a fraction must keep to be the one in the headline.
pub(crate) const KEPT_ENOUGH: f64 = 0.98;

/// The answer: the smallest GLISTER fraction that kept [`KEPT_ENOUGH`] of the accuracy; where none did, the one
/// that kept most; where there is no GLISTER run, the same among the other strategies. Where the evidence is weak, why it
/// is comes first.
pub(super) fn headline(summary: &Summary) -> String {
    if summary.n_runs == 0 {
        return "There are no runs to report on.".to_owned();
    }
    if summary.n_completed == 0 {
        let runs = count(summary.n_runs, "run", "runs");
        return format!("None of {runs} is completed: there is no answer yet.");
    }
    let Some(setting) = summary.settings.first() else {
        return "The completed runs name no selection strategy and fraction: there is nothing to compare."
            .to_owned();
    };
    let subsets: Vec<&Row> = setting.rows.iter().filter(|row| row.strategy != FULL).collect();
    let Some(full) = setting.full() else { return without_full(&subsets) };
    let Some(full_accuracy) = full.accuracy else {
        return "The full-data runs have no test accuracy, so what the subsets cost cannot be said."
            .to_owned();
    };
    if subsets.is_empty() {
        let reached = wording::accuracy(&full_accuracy);
        return format!(
            "Full data reached a test accuracy of {reached}; no subset was trained to compare with it."
        );
    }
    let Some(row) = choose(&subsets) else {
        return "No subset run has a test accuracy, so what the subsets cost cannot be said.".to_owned();
    };
    let (Some(kept), Some(accuracy)) = (row.accuracy_kept, row.accuracy) else {
        return "The accuracy of full data is zero, so no share of it can be kept.".to_owned();
    };

    let mut claim = format!(
        "{} of the data, {}, kept {} of the accuracy ({} against {}) and {}",
        percent(row.fraction),
        chosen_by(&row.strategy),
        kept_percent(kept),
        wording::accuracy(&accuracy),
        wording::accuracy(&full_accuracy),
        speed(row.speedup.as_ref()),
    );
    let random = setting.row(FRESH_RANDOM, row.fraction).filter(|_| row.strategy != FRESH_RANDOM);
    if let Some(kept) = random.and_then(|random| random.accuracy_kept) {
        claim.push_str(&format!("; fresh random subsets of the same size kept {}", kept_percent(kept)));
    }
    claim.push('.');
    if !summary.weaknesses.is_empty() {
        return format!("The evidence is weak: {}. So far, {claim}", list(&summary.weaknesses));
    }
    match against_random(setting, row) {
        Some(sentence) => format!("{claim} {sentence}"),
        None => claim,
    }
}

/// The row that the headline is about.
fn headline_row(setting: &SettingSummary) -> Option<&Row> {
    let subsets: Vec<&Row> = setting.rows.iter().filter(|row| row.strategy != FULL).collect();
    choose(&subsets)
}

/// Why the headline is not to be relied on, one clause each. None where it claims nothing.
pub(super) fn weaknesses(summary: &Summary) -> Vec<String> {
    let Some(setting) = summary.settings.first() else { return Vec::new() };
    let (Some(full), Some(row)) = (setting.full(), headline_row(setting)) else { return Vec::new() };
    let (Some(full), Some(accuracy)) = (full.accuracy, row.accuracy) else { return Vec::new() };
    let mut found = Vec::new();
    match (full.n, accuracy.n) {
        (..2, ..2) => found.push("each figure is from one seed".to_owned()),
        (..2, _) => found.push("full data was trained with one seed".to_owned()),
        (_, ..2) => found.push("the subset was trained with one seed".to_owned()),
        _ => {}
    }
    let outcome = comparison_of(setting, row).map(|one| (one.outcome, one.difference));
    let is_random = matches!(row.strategy.as_str(), FRESH_RANDOM | wording::FIXED_RANDOM);
    match outcome {
        Some((Outcome::RandomMissing, _)) => found.push(NO_RANDOM.to_owned()),
        None if !is_random && setting.row(FRESH_RANDOM, row.fraction).is_none() => {
            found.push(NO_RANDOM.to_owned())
        }
        Some((Outcome::AccuracyMissing, _)) => {
            found.push("the fresh random runs have no test accuracy".to_owned());
        }
        Some((Outcome::NoDifferenceShown, Some(difference))) => found.push(format!(
            "the intervals overlap, so that choosing beats chance is not shown ({} points)",
            signed_points(&difference)
        )),
        Some((Outcome::TooFewSeeds, _)) if found.is_empty() => {
            found.push("fresh random subsets were trained with one seed".to_owned());
        }
        _ => {}
    }
    if row.n_without_selection_seconds > 0 {
        found.push("the time of choosing was not counted".to_owned());
    }
    found
}

const NO_RANDOM: &str = "random subsets of the same size were not trained, so chance may do as well";

fn comparison_of<'a>(setting: &'a SettingSummary, row: &Row) -> Option<&'a Comparison> {
    let same = |one: &&Comparison| super::group::same_fraction(one.fraction, row.fraction);
    setting.comparisons.iter().find(same).filter(|_| row.strategy == GLISTER)
}

fn choose<'a>(subsets: &[&'a Row]) -> Option<&'a Row> {
    let measured = |row: &&&Row| row.accuracy_kept.is_some();
    let has_glister = subsets.iter().filter(measured).any(|row| row.strategy == GLISTER);
    let candidates: Vec<&Row> = subsets
        .iter()
        .filter(measured)
        .filter(|row| !has_glister || row.strategy == GLISTER)
        .copied()
        .collect();
    let kept = |row: &Row| row.accuracy_kept.unwrap_or(0.0);
    let smallest = candidates
        .iter()
        .filter(|row| kept(row) >= KEPT_ENOUGH)
        .min_by(|a, b| a.fraction.total_cmp(&b.fraction).then(kept(b).total_cmp(&kept(a))));
    smallest.or_else(|| candidates.iter().max_by(|a, b| kept(a).total_cmp(&kept(b)))).copied()
}

fn chosen_by(strategy: &str) -> String {
    match strategy {
        FRESH_RANDOM => "drawn afresh at random".to_owned(),
        wording::FIXED_RANDOM => "drawn once at random".to_owned(),
        other => format!("chosen by {}", wording::strategy(other)),
    }
}

fn speed(speedup: Option<&Estimate>) -> String {
    match speedup {
        None => "how much faster it trained is not known".to_owned(),
        Some(speedup) if speedup.mean >= 1.0 => {
            format!("trained {} × faster", wording::fixed(speedup.mean, 1))
        }
        Some(speedup) => {
            format!("took {} × as long, choosing included", wording::fixed(1.0 / speedup.mean, 1))
        }
    }
}

fn kept_percent(kept: f64) -> String {
    format!("{} %", wording::fixed(kept * 100.0, 1))
}

fn without_full(subsets: &[&Row]) -> String {
    let best = subsets
        .iter()
        .filter_map(|row| row.accuracy.map(|accuracy| (row, accuracy)))
        .max_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
    match best {
        None => {
            "No completed run has a test accuracy, and none trained on full data: there is no answer yet."
                .to_owned()
        }
        Some((row, accuracy)) => format!(
            "There is no completed full-data run, so neither accuracy lost nor speedup can be said. The best subset, \
             {} by {}, reached a test accuracy of {}.",
            percent(row.fraction),
            wording::strategy(&row.strategy),
            wording::accuracy(&accuracy)
        ),
    }
}

/// One sentence: what the comparison with fresh random shows for the headline's fraction, where it shows something.
fn against_random(setting: &SettingSummary, row: &Row) -> Option<String> {
    let comparison = comparison_of(setting, row)?;
    let difference = comparison.difference.as_ref().map(signed_points)?;
    match comparison.outcome {
        Outcome::GlisterBetter => {
            Some(format!("Choosing helped: {difference} points over random, more than chance explains."))
        }
        Outcome::RandomBetter => Some(format!(
            "Choosing did not help here: GLISTER is {difference} points from random, on the wrong side."
        )),
        _ => None,
    }
}

/// "+0.85 ± 0.30".
pub(crate) fn signed_points(difference: &Estimate) -> String {
    let text = wording::points(difference);
    if text.starts_with('−') { text } else { format!("+{text}") }
}

/// "Fashion-MNIST, lenet, 20 epochs".
pub(crate) fn setting_name(setting: &Setting) -> String {
    let name = |part: &Option<String>| part.as_deref().map(|text| wording::shorten(text, 40));
    let epochs = setting.epochs.map(|n| if n == 1 { "1 epoch".to_owned() } else { format!("{n} epochs") });
    let conditions = setting.conditions.iter().map(|(name, value)| {
        format!("{} {}", wording::shorten(&name.replace('_', " "), 40), wording::shorten(value, 12))
    });
    let named = [name(&setting.dataset), name(&setting.model), epochs].into_iter().flatten();
    let parts: Vec<String> = named.chain(conditions).collect();
    if parts.is_empty() { "unnamed setting".to_owned() } else { parts.join(", ") }
}
