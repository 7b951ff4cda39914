//! The answer in a sentence: words made from the figures, never more than they show. Weak evidence is what it says first.

use super::group::same_fraction;
use super::{Comparison, Outcome, Row, Setting, SettingSummary, Summary};
use crate::statistics::Estimate;
use crate::wording::{self, AUTO, FRESH_RANDOM, FULL, GLISTER, chooses, count, list, percent};

/// The share of the full-data accuracy that a fraction must keep to be the one in the headline.
pub(crate) const KEPT_ENOUGH: f64 = 0.98;

/// More strategies than this are not set beside each other by name.
const MOST_OTHERS: usize = 6;

/// The answer: the smallest fraction with which the headline's strategy (see [`choose`]) kept [`KEPT_ENOUGH`] of the accuracy;
/// where none did, the one that kept most. Where the evidence is weak, why it is comes first.
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
    match outcome {
        Some((Outcome::RandomMissing, _)) => {
            found.push(
                "random subsets of the same size were not trained, so chance may do as well".to_owned(),
            );
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

/// What other strategies that choose reached with the fraction of the headline, best first, and which of all of them beat
/// chance.
pub(super) fn others(summary: &Summary) -> Option<String> {
    let setting = summary.settings.first()?;
    let row = headline_row(setting).filter(|row| chooses(&row.strategy))?;
    let mut beside: Vec<(&Comparison, Estimate)> = setting
        .comparisons
        .iter()
        .filter(|one| same_fraction(one.fraction, row.fraction))
        .filter_map(|one| Some((one, one.chosen?)))
        .collect();
    if beside.len() < 2 {
        return None;
    }
    beside.sort_by(|a, b| b.1.mean.total_cmp(&a.1.mean));
    let name = |one: &Comparison| wording::strategy_within(&one.strategy);
    let mut reached: Vec<String> = beside
        .iter()
        .take(MOST_OTHERS)
        .map(|(one, accuracy)| format!("{} {}", name(one), wording::accuracy(accuracy)))
        .collect();
    if let Some(n_more) = beside.len().checked_sub(MOST_OTHERS).filter(|n| *n > 0) {
        reached.push(format!("{n_more} more"));
    }
    let won: Vec<String> = beside
        .iter()
        .filter(|(one, _)| one.outcome == Outcome::ChoosingBetter)
        .map(|(one, _)| name(one))
        .collect();
    let has_random = beside.iter().any(|(one, _)| one.random.is_some());
    let shown = match won.len() {
        _ if !has_random => String::new(),
        0 => "; none of them is shown to beat fresh random".to_owned(),
        n if n == beside.len() => "; each of them is shown to beat fresh random".to_owned(),
        1 => format!("; only {} is shown to beat fresh random", won[0]),
        2..=MOST_OTHERS => format!("; {} are shown to beat fresh random", list(&won)),
        n => format!("; {n} of them are shown to beat fresh random"),
    };
    Some(format!(
        "With {} of the data, the strategies that choose reached, best first: {}{shown}.",
        percent(row.fraction),
        list(&reached)
    ))
}

fn comparison_of<'a>(setting: &'a SettingSummary, row: &Row) -> Option<&'a Comparison> {
    let same = |one: &&Comparison| one.strategy == row.strategy && same_fraction(one.fraction, row.fraction);
    setting.comparisons.iter().find(same)
}

/// The row to speak of: of `auto` where it was run, else of GLISTER, else of the strategy that chooses and reached the best
/// accuracy, else of any.
fn choose<'a>(subsets: &[&'a Row]) -> Option<&'a Row> {
    let measured: Vec<&Row> = subsets.iter().filter(|row| row.accuracy_kept.is_some()).copied().collect();
    let kept = |row: &Row| row.accuracy_kept.unwrap_or(0.0);
    let is_there = |name: &&str| measured.iter().any(|row| row.strategy == *name);
    let best = || {
        let choosing = measured.iter().filter(|row| chooses(&row.strategy));
        choosing.max_by(|a, b| kept(a).total_cmp(&kept(b))).map(|row| row.strategy.as_str())
    };
    let strategy = [AUTO, GLISTER].into_iter().find(is_there).or_else(best);
    let candidates: Vec<&Row> =
        measured.iter().filter(|row| strategy.is_none_or(|name| row.strategy == name)).copied().collect();
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
        other => format!("chosen by {}", wording::strategy_within(other)),
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
            wording::strategy_within(&row.strategy),
            wording::accuracy(&accuracy)
        ),
    }
}

/// One sentence: what the comparison with fresh random shows for the headline's fraction, where it shows something.
fn against_random(setting: &SettingSummary, row: &Row) -> Option<String> {
    let comparison = comparison_of(setting, row)?;
    let difference = comparison.difference.as_ref().map(signed_points)?;
    match comparison.outcome {
        Outcome::ChoosingBetter => {
            Some(format!("Choosing helped: {difference} points over random, more than chance explains."))
        }
        Outcome::RandomBetter => Some(format!(
            "Choosing did not help here: {} is {difference} points from random, on the wrong side.",
            wording::strategy_within(&row.strategy)
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
