//! From the runs of one setting to its rows and comparisons.

use super::{Comparison, Outcome, Row, Setting, SettingSummary};
use crate::statistics::Estimate;
use crate::table::Run;
use crate::wording::{FRESH_RANDOM, STRATEGIES, chooses};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Points of accuracy (hundredths) in one.
const POINTS: f64 = 100.0;

/// Fractions are equal where they agree to a millionth: 0.3 as `f32` is 0.3.
pub(super) fn same_fraction(left: f64, right: f64) -> bool {
    millionths(left) == millionths(right)
}

pub(crate) fn millionths(fraction: f64) -> u32 {
    (fraction.clamp(0.0, 1.0) * 1e6).round() as u32
}

/// The order of strategies everywhere in a report: the known ones, then by name.
pub(crate) fn strategy_rank(strategy: &str) -> (usize, &str) {
    let known = STRATEGIES.iter().position(|name| *name == strategy);
    (known.unwrap_or(STRATEGIES.len()), strategy)
}

/// Strategies in the report's order, fractions (in millionths) descending.
type CellKey<'a> = ((usize, &'a str), Reverse<u32>);

pub(super) fn summarize_setting(setting: Setting, runs: &[&Run]) -> SettingSummary {
    let mut cells: BTreeMap<CellKey<'_>, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        if let (Some(strategy), Some(fraction)) = (run.strategy.as_deref(), run.fraction) {
            cells.entry((strategy_rank(strategy), Reverse(millionths(fraction)))).or_default().push(run);
        }
    }
    let full: Vec<&Run> = runs.iter().copied().filter(|run| run.is_full()).collect();
    let full_accuracies = per_seed(&full, |run| run.test_accuracy);
    let rows: Vec<Row> = cells.values().map(|runs| row(runs, &full, &full_accuracies)).collect();

    // Cells and rows are in the same order.
    let comparisons = cells
        .iter()
        .zip(&rows)
        .filter(|((((_, strategy), _), _), _)| chooses(strategy))
        .map(|(((_, fraction), chosen), row)| {
            let random = cells.get(&(strategy_rank(FRESH_RANDOM), *fraction));
            let is_random =
                |one: &&Row| one.strategy == FRESH_RANDOM && same_fraction(one.fraction, row.fraction);
            let comparison = compare(row, chosen, rows.iter().find(is_random), random);
            Comparison { fraction: f64::from(fraction.0) / 1e6, ..comparison }
        })
        .collect();
    SettingSummary { setting, n_runs: runs.len(), rows, comparisons }
}

fn row(runs: &[&Run], full: &[&Run], full_accuracies: &[f64]) -> Row {
    let is_full = runs.iter().all(|run| run.is_full());
    let accuracies = per_seed(runs, |run| run.test_accuracy);
    let accuracy = Estimate::of(&accuracies);
    let full_mean = Estimate::of(full_accuracies).map(|full| full.mean).filter(|mean| *mean > 0.0);
    let compared = !is_full;
    Row {
        strategy: runs.first().and_then(|run| run.strategy.clone()).unwrap_or_default(),
        fraction: runs.first().and_then(|run| run.fraction).unwrap_or(1.0).min(1.0),
        n_runs: runs.len(),
        n_diverged: runs.iter().filter(|run| run.is_diverged).count(),
        n_seeds: by_seed(runs).len(),
        accuracy,
        accuracy_kept: accuracy.zip(full_mean).filter(|_| compared).map(|(own, full)| own.mean / full),
        accuracy_lost: Estimate::difference(full_accuracies, &accuracies)
            .filter(|_| compared)
            .map(|difference| difference.scaled(POINTS)),
        speedup: ratio(runs, full, Run::counted_seconds).filter(|_| compared),
        wall_ratio: ratio(runs, full, |run| run.wall_seconds).filter(|_| compared),
        training_seconds: Estimate::of(&per_seed(runs, |run| run.training_seconds)).map(|e| e.mean),
        selection_seconds: Estimate::of(&per_seed(runs, |run| run.selection_seconds)).map(|e| e.mean),
        wall_seconds: Estimate::of(&per_seed(runs, |run| run.wall_seconds)).map(|e| e.mean),
        n_without_same_seed: if compared && !full.is_empty() {
            runs.iter()
                .filter(|run| {
                    run.counted_seconds().is_some() && !same_seed_exists(run, full, Run::counted_seconds)
                })
                .count()
        } else {
            0
        },
        n_without_selection_seconds: runs
            .iter()
            .filter(|run| run.selection_seconds.is_none() && !run.is_diverged)
            .count(),
    }
}

fn compare(row: &Row, chosen: &[&Run], random_row: Option<&Row>, random: Option<&Vec<&Run>>) -> Comparison {
    let chosen_accuracies = per_seed(chosen, |run| run.test_accuracy);
    let random_accuracies = random.map(|runs| per_seed(runs, |run| run.test_accuracy)).unwrap_or_default();
    let difference = Estimate::difference(&chosen_accuracies, &random_accuracies)
        .map(|difference| difference.scaled(POINTS));
    let outcome = match (random, difference) {
        (None, _) => Outcome::RandomMissing,
        (Some(_), None) => Outcome::AccuracyMissing,
        (Some(_), Some(difference)) => match (difference.low(), difference.high()) {
            (Some(low), _) if low > 0.0 => Outcome::ChoosingBetter,
            (_, Some(high)) if high < 0.0 => Outcome::RandomBetter,
            (Some(_), Some(_)) => Outcome::NoDifferenceShown,
            _ => Outcome::TooFewSeeds,
        },
    };
    Comparison {
        strategy: row.strategy.clone(),
        fraction: row.fraction,
        chosen: Estimate::of(&chosen_accuracies),
        random: Estimate::of(&random_accuracies),
        difference,
        chosen_speedup: row.speedup,
        random_speedup: random_row.and_then(|row| row.speedup),
        outcome,
    }
}

/// Runs by seed. A run without a seed counts as a seed of its own.
fn by_seed<'a>(runs: &[&'a Run]) -> BTreeMap<(Option<i64>, usize), Vec<&'a Run>> {
    let mut seeds: BTreeMap<(Option<i64>, usize), Vec<&Run>> = BTreeMap::new();
    for (index, run) in runs.iter().enumerate() {
        let key = if run.seed.is_some() { (run.seed, 0) } else { (None, index) };
        seeds.entry(key).or_default().push(run);
    }
    seeds
}

/// One value a seed: the mean of the runs that share it.
fn per_seed(runs: &[&Run], value: impl Fn(&Run) -> Option<f64>) -> Vec<f64> {
    by_seed(runs).values().filter_map(|runs| mean(runs.iter().filter_map(|run| value(run)))).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0_usize), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / n as f64)
}

/// full ÷ subset of some seconds, over seeds: each run against the full-data runs of its seed, else against all.
fn ratio(runs: &[&Run], full: &[&Run], seconds: impl Fn(&Run) -> Option<f64>) -> Option<Estimate> {
    let of_all = mean(full.iter().filter_map(|run| seconds(run)))?;
    let ratios = per_seed(runs, |run| {
        let own = seconds(run)?;
        let same_seed = full.iter().filter(|full| full.seed.is_some() && full.seed == run.seed);
        let reference = mean(same_seed.filter_map(|full| seconds(full))).unwrap_or(of_all);
        Some(reference / own)
    });
    Estimate::of(&ratios)
}

fn same_seed_exists(run: &Run, full: &[&Run], seconds: impl Fn(&Run) -> Option<f64>) -> bool {
    full.iter().any(|full| full.seed.is_some() && full.seed == run.seed && seconds(full).is_some())
}
