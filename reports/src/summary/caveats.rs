//! What weakens the answer, or is missing for it: one sentence each.

use super::verdict::setting_name;
use super::{Outcome, Row, SettingSummary, Summary};
use crate::wording::{self, FULL, count, list, percent};

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
