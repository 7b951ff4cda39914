//! The answer in a sentence, and what weakens it: words made from the figures, never more than they show.

use super::{Outcome, Row, Setting, SettingSummary, Summary};
use crate::statistics::Estimate;
use crate::wording::{self, FRESH_RANDOM, FULL, GLISTER, count, list, percent};

/// The share of the full-data accuracy that a fraction must keep to be the one in the headline.
pub(crate) const KEPT_ENOUGH: f64 = 0.98;

/// The answer: the smallest GLISTER fraction that kept [`KEPT_ENOUGH`] of the accuracy; where none did, the one
/// that kept most; where there is no GLISTER run, the same among the other strategies.
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

    let mut text = format!(
        "{} of the data, {}, kept {} of the accuracy ({} against {}) and {}",
        percent(row.fraction),
        chosen_by(&row.strategy),
        kept_percent(kept),
        wording::accuracy(&accuracy),
        wording::accuracy(&full_accuracy),
        speed(row.speedup.as_ref()),
    );
    if row.strategy != GLISTER {
        text.push('.');
        return text;
    }
    if let Some(kept) = setting.row(FRESH_RANDOM, row.fraction).and_then(|random| random.accuracy_kept) {
        text.push_str(&format!("; fresh random subsets of the same size kept {}", kept_percent(kept)));
    }
    text.push_str(". ");
    text.push_str(&against_random(setting, row));
    text
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

/// One sentence: what the comparison with fresh random shows for the headline's fraction.
fn against_random(setting: &SettingSummary, row: &Row) -> String {
    let comparison =
        setting.comparisons.iter().find(|one| super::group::same_fraction(one.fraction, row.fraction));
    let Some(comparison) = comparison else { return String::new() };
    let difference = comparison.difference.as_ref().map(signed_points).unwrap_or_default();
    match comparison.outcome {
        Outcome::GlisterBetter => {
            format!("Choosing helped: {difference} points over random, more than chance explains.")
        }
        Outcome::RandomBetter => format!(
            "Choosing did not help here: GLISTER is {difference} points from random, on the wrong side."
        ),
        Outcome::NoDifferenceShown => {
            format!(
                "That choosing helped is not shown: the difference, {difference} points, may as well be zero."
            )
        }
        Outcome::TooFewSeeds => {
            format!(
                "With a single seed, whether the difference to random ({difference} points) is more than chance cannot be said."
            )
        }
        Outcome::RandomMissing => {
            "Fresh random subsets of this size were not trained, so whether choosing helped is not shown."
                .to_owned()
        }
        Outcome::AccuracyMissing => {
            "The fresh random runs have no test accuracy, so whether choosing helped is not shown.".to_owned()
        }
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

fn row_name(row: &Row) -> String {
    if row.strategy == FULL {
        return "full data".to_owned();
    }
    format!("{} {}", wording::strategy(&row.strategy), percent(row.fraction))
}

pub(super) fn caveats(summary: &Summary, n_unusable: usize) -> Vec<String> {
    let mut found = Vec::new();
    if !summary.not_completed.is_empty() {
        let parts: Vec<String> = summary
            .not_completed
            .iter()
            .map(|one| format!("{} {}", one.n_runs, wording::shorten(&one.status, 24)))
            .collect();
        let left_out = count(summary.n_runs - summary.n_completed, "run is", "runs are");
        found.push(format!("{left_out} not completed ({}), and not in the figures.", list(&parts)));
    }
    if n_unusable > 0 {
        let runs = count(n_unusable, "completed run names", "completed runs name");
        found.push(format!("{runs} no strategy or no fraction, and could not be placed in the figures."));
    }
    let Some(main) = summary.settings.first() else { return found };
    if summary.settings.len() > 1 {
        found.push(format!(
            "The runs differ in data set, model, number of epochs or other conditions; only like is compared with like. The first \
             sentence and the charts are for {} ({}); the tables hold all {} settings.",
            setting_name(&main.setting),
            count(main.n_runs, "run", "runs"),
            summary.settings.len()
        ));
    }
    for setting in &summary.settings {
        let of_which = if summary.settings.len() > 1 {
            format!("{}: ", setting_name(&setting.setting))
        } else {
            String::new()
        };
        found.extend(of_setting(setting).into_iter().map(|sentence| format!("{of_which}{sentence}")));
    }
    found
}

fn of_setting(setting: &SettingSummary) -> Vec<String> {
    let mut found = Vec::new();
    let rows_where = |condition: &dyn Fn(&Row) -> bool| -> Vec<String> {
        setting.rows.iter().filter(|row| condition(row)).map(row_name).collect()
    };
    let fractions = |outcome: Outcome| -> Vec<String> {
        let matching = setting.comparisons.iter().filter(|one| one.outcome == outcome);
        matching.map(|one| percent(one.fraction)).collect()
    };
    if setting.full().is_none() {
        found.push("No full-data run is completed: accuracy lost and speedup cannot be said.".to_owned());
    }
    let single = rows_where(&|row| row.accuracy.is_some_and(|accuracy| accuracy.n < 2));
    if single.len() == setting.rows.len() && !single.is_empty() {
        found.push(
            "Each figure is from one seed: there are no intervals, and a difference may be chance. Three seeds or \
             more would show."
                .to_owned(),
        );
    } else if !single.is_empty() {
        found.push(format!("One seed only, and so no interval: {}.", list(&single)));
    }
    let missing = fractions(Outcome::RandomMissing);
    if !missing.is_empty() {
        found.push(format!(
            "Fresh random subsets are missing at {}: whether GLISTER's choice is better than chance is not shown there.",
            list(&missing)
        ));
    }
    let worse = fractions(Outcome::RandomBetter);
    if !worse.is_empty() {
        found.push(format!("GLISTER did worse than fresh random at {}.", list(&worse)));
    }
    let equal = fractions(Outcome::NoDifferenceShown);
    if !equal.is_empty() {
        found.push(format!(
            "GLISTER does not win against fresh random at {}: the 95 % interval of the difference holds zero.",
            list(&equal)
        ));
    }
    let behind: Vec<String> = setting
        .comparisons
        .iter()
        .filter(|one| one.outcome == Outcome::TooFewSeeds && one.difference.is_some_and(|d| d.mean <= 0.0))
        .map(|one| percent(one.fraction))
        .collect();
    if !behind.is_empty() {
        found.push(format!("GLISTER is not ahead of fresh random at {} (no interval).", list(&behind)));
    }
    let unchosen = rows_where(&|row| row.n_without_selection_seconds > 0);
    if !unchosen.is_empty() {
        found.push(format!(
            "The time of choosing was not recorded, so those runs have no speedup: {}.",
            list(&unchosen)
        ));
    }
    let no_accuracy = rows_where(&|row| row.accuracy.is_none());
    if !no_accuracy.is_empty() {
        found.push(format!("No test accuracy: {}.", list(&no_accuracy)));
    }
    let by_mean: usize = setting.rows.iter().map(|row| row.n_without_same_seed).sum();
    if by_mean > 0 {
        let runs = count(by_mean, "subset run has", "subset runs have");
        found.push(format!(
            "{runs} no full-data run of the same seed: their speedup is against the mean of the full-data runs."
        ));
    }
    let repeated = rows_where(&|row| row.n_runs > row.n_seeds);
    if !repeated.is_empty() {
        found.push(format!("Several runs share a seed and were averaged to one: {}.", list(&repeated)));
    }
    found
}
