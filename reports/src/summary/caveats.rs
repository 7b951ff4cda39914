//! What weakens the answer, or is missing for it: one sentence each.

use super::verdict::setting_name;
use super::{Comparison, Outcome, Row, SettingSummary, Summary};
use crate::wording::{self, FULL, count, list, percent};

fn row_name(row: &Row) -> String {
    if row.strategy == FULL {
        return "full data".to_owned();
    }
    format!("{} {}", wording::strategy(&row.strategy), percent(row.fraction))
}

/// More runs than this are not named.
const MOST_NAMED: usize = 6;

pub(super) fn caveats(summary: &Summary, n_unusable: usize) -> Vec<String> {
    let mut found = Vec::new();
    if !summary.not_completed.is_empty() {
        let parts: Vec<String> = summary
            .not_completed
            .iter()
            .map(|one| format!("{} {}", one.n_runs, wording::shorten(&one.status, 24)))
            .collect();
        let n_left_out = summary.not_completed.iter().map(|one| one.n_runs).sum();
        let left_out = count(n_left_out, "run is", "runs are");
        found.push(format!("{left_out} not completed ({}), and not in the figures.", list(&parts)));
    }
    if !summary.diverged.is_empty() {
        let (runs, it) = match summary.diverged.len() {
            1 => ("1 run".to_owned(), "it counts"),
            n => (format!("{n} runs"), "they count"),
        };
        let mut names: Vec<String> =
            summary.diverged.iter().take(MOST_NAMED).map(|name| wording::shorten(name, 48)).collect();
        if let Some(n_more) = summary.diverged.len().checked_sub(MOST_NAMED).filter(|n| *n > 0) {
            names.push(format!("{n_more} more"));
        }
        found.push(format!(
            "{runs} diverged ({}): {it} with a test accuracy of 0, the worst there is, and without times.",
            list(&names)
        ));
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

/// Strategies of which the same holds at the same fractions.
struct Named {
    fractions: String,
    /// The first one's name as a sentence begins with it.
    first: String,
    /// The names as they stand within a sentence.
    within: Vec<String>,
}

impl Named {
    fn at_start(&self) -> String {
        let mut names = self.within.clone();
        names.splice(..1, [self.first.clone()]);
        list(&names)
    }

    fn verb(&self, one: &'static str, many: &'static str) -> &'static str {
        if self.within.len() == 1 { one } else { many }
    }
}

/// The strategies with comparisons of which `condition` holds; those with the same fractions together.
fn named_where(setting: &SettingSummary, condition: &dyn Fn(&Comparison) -> bool) -> Vec<Named> {
    let mut found: Vec<Named> = Vec::new();
    for of_strategy in setting.comparisons.chunk_by(|a, b| a.strategy == b.strategy) {
        let matching = of_strategy.iter().filter(|one| condition(one));
        let fractions: Vec<String> = matching.map(|one| percent(one.fraction)).collect();
        let Some(one) = of_strategy.first().filter(|_| !fractions.is_empty()) else { continue };
        let fractions = list(&fractions);
        let within = wording::strategy_within(&one.strategy);
        match found.iter_mut().find(|named| named.fractions == fractions) {
            Some(named) => named.within.push(within),
            None => {
                let first = wording::strategy(&one.strategy);
                found.push(Named { fractions, first, within: vec![within] });
            }
        }
    }
    found
}

fn of_setting(setting: &SettingSummary) -> Vec<String> {
    let mut found = Vec::new();
    let rows_where = |condition: &dyn Fn(&Row) -> bool| -> Vec<String> {
        setting.rows.iter().filter(|row| condition(row)).map(row_name).collect()
    };
    let named = |outcome: Outcome| named_where(setting, &|one| one.outcome == outcome);
    if setting.full().is_none() {
        found.push("No full-data run is completed: accuracy lost and speedup cannot be said.".to_owned());
    } else if setting.full().is_some_and(|full| full.n_diverged > 0) {
        found.push(
            "A full-data run diverged, and the subsets are set beside it: look at its learning rate before the figures."
                .to_owned(),
        );
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
    for one in named(Outcome::RandomMissing) {
        found.push(format!(
            "Fresh random subsets are missing at {}: whether what {} chose is better than chance is not shown there.",
            one.fractions,
            list(&one.within)
        ));
    }
    for one in named(Outcome::RandomBetter) {
        found.push(format!("{} did worse than fresh random at {}.", one.at_start(), one.fractions));
    }
    for one in named(Outcome::NoDifferenceShown) {
        found.push(format!(
            "{} {} not win against fresh random at {}: the 95 % interval of the difference holds zero.",
            one.at_start(),
            one.verb("does", "do"),
            one.fractions
        ));
    }
    let is_behind = |one: &Comparison| {
        one.outcome == Outcome::TooFewSeeds && one.difference.is_some_and(|points| points.mean <= 0.0)
    };
    for one in named_where(setting, &is_behind) {
        found.push(format!(
            "{} {} not ahead of fresh random at {} (no interval).",
            one.at_start(),
            one.verb("is", "are"),
            one.fractions
        ));
    }
    let n_intervals = setting
        .comparisons
        .iter()
        .filter(|one| one.difference.is_some_and(|d| d.half_width.is_some()))
        .count();
    let n_strategies = setting.comparisons.chunk_by(|a, b| a.strategy == b.strategy).count();
    if n_strategies > 1 && setting.comparisons.iter().any(|one| one.outcome == Outcome::ChoosingBetter) {
        found.push(format!(
            "Of so many comparisons with fresh random ({n_intervals}), some may look won by chance: each interval is for one \
             comparison, and is not widened for their number."
        ));
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
