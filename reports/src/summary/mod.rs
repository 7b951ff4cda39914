//! The figures of a report: per strategy and fraction, accuracy, what was lost of it, and speedup, over seeds.
//!
//! The definitions are those of the project's design page, section "What the figures mean". Only completed runs
//! enter. Runs are compared within a [`Setting`] only: the same data set, model,
//! number of epochs and other conditions.

mod caveats;
mod group;
mod published;
mod table;
mod verdict;

pub use published::{BesidePublished, Published, beside_published};
pub use table::summary_table;

pub(crate) use group::{millionths, strategy_rank};
pub(crate) use verdict::{KEPT_ENOUGH, setting_name, signed_points};

use crate::error::Result;
use crate::statistics::Estimate;
use crate::table::{Run, read_runs};
use polars::prelude::DataFrame;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything a report says in figures and words about a runs table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The answer, in one or two sentences made from the data.
    pub headline: String,
    /// The other strategies that choose beside the headline's, best first, in one sentence; none where no other chooses.
    pub others: Option<String>,
    /// Why the answer is not to be relied on, one clause each: too few seeds, a difference that may be chance, no random
    /// subsets beside it, time that was not counted. Where there is any, the headline says that first.
    pub weaknesses: Vec<String>,
    /// What weakens the answer, or is missing for it, one sentence each.
    pub caveats: Vec<String>,
    /// The rows of the runs table.
    pub n_runs: usize,
    /// How many of them are completed, and so may enter the figures.
    pub n_completed: usize,
    /// How many runs have each other status, by name, without those that diverged.
    pub not_completed: Vec<StatusCount>,
    /// The runs that diverged, by name. In the figures they have a test accuracy of 0, the worst, and no time.
    pub diverged: Vec<String>,
    /// The figures, one part for each setting; the one with the most runs first.
    pub settings: Vec<SettingSummary>,
}

/// How many runs have a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusCount {
    /// `failed`, `stopped`, `running`, …
    pub status: String,
    /// The number of runs.
    pub n_runs: usize,
}

/// What runs must share to be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Setting {
    /// The data set's name, where the table gives it.
    pub dataset: Option<String>,
    /// The model's name, where the table gives it.
    pub model: Option<String>,
    /// The number of epochs, where the table gives it.
    pub epochs: Option<i64>,
    /// Whatever else a training's result and speed hang on, as `learning_rate`, where the runs of the table differ in it:
    /// names and values.
    pub conditions: Vec<(String, String)>,
}

/// The figures of the runs of one setting that are completed or diverged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SettingSummary {
    /// What these runs share.
    pub setting: Setting,
    /// The number of completed and diverged runs.
    pub n_runs: usize,
    /// One row for each strategy and fraction: full data first, then by strategy, fractions descending.
    pub rows: Vec<Row>,
    /// Each strategy that chooses beside fresh random, one for each fraction that it was run with: by strategy, fractions
    /// descending.
    pub comparisons: Vec<Comparison>,
}

impl SettingSummary {
    /// The row of the full-data runs.
    pub fn full(&self) -> Option<&Row> {
        self.row(crate::wording::FULL, 1.0)
    }

    /// The row of a strategy and fraction.
    pub fn row(&self, strategy: &str, fraction: f64) -> Option<&Row> {
        self.rows.iter().find(|row| row.strategy == strategy && group::same_fraction(row.fraction, fraction))
    }
}

/// The runs of one strategy with one fraction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The strategy as the runs table names it, in lower case.
    pub strategy: String,
    /// The share of the training data, in (0, 1].
    pub fraction: f64,
    /// The number of completed and diverged runs.
    pub n_runs: usize,
    /// How many of them diverged.
    pub n_diverged: usize,
    /// The number of seeds. Runs of the same seed are averaged before anything else, as they are no new evidence.
    pub n_seeds: usize,
    /// Test accuracy after the last epoch, between 0 and 1.
    pub accuracy: Option<Estimate>,
    /// Mean test accuracy as a share of the full-data runs' mean.
    pub accuracy_kept: Option<f64>,
    /// Points (hundredths) of test accuracy below the full-data runs, with the interval of the difference.
    pub accuracy_lost: Option<Estimate>,
    /// Seconds of training steps and choosing of full data ÷ the same of these runs.
    pub speedup: Option<Estimate>,
    /// The ratio of whole wall times.
    pub wall_ratio: Option<Estimate>,
    /// Mean seconds of training steps of a run.
    pub training_seconds: Option<f64>,
    /// Mean seconds of choosing of a run.
    pub selection_seconds: Option<f64>,
    /// Mean seconds of a whole run, everything counted.
    pub wall_seconds: Option<f64>,
    /// How many runs were measured against the mean of the full-data runs, since none has their seed.
    pub n_without_same_seed: usize,
    /// How many runs have no selection time, and so no speedup.
    pub n_without_selection_seconds: usize,
}

/// A strategy that chooses and fresh random subsets of the same size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The strategy that chooses, as the runs table names it, in lower case: any but `full`, `fresh-random` and
    /// `fixed-random`.
    pub strategy: String,
    /// The share of the training data, in (0, 1].
    pub fraction: f64,
    /// Test accuracy of what was chosen.
    pub chosen: Option<Estimate>,
    /// Fresh random's test accuracy.
    pub random: Option<Estimate>,
    /// The strategy's accuracy less fresh random's, in points, with the interval of the difference.
    pub difference: Option<Estimate>,
    /// The strategy's speedup over full data.
    pub chosen_speedup: Option<Estimate>,
    /// Fresh random's speedup over full data.
    pub random_speedup: Option<Estimate>,
    /// What the difference shows.
    pub outcome: Outcome,
}

/// What a comparison of a strategy that chooses and fresh random shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The whole 95 % interval of the difference is on the side of the strategy that chooses.
    ChoosingBetter,
    /// The whole 95 % interval of the difference is on fresh random's side.
    RandomBetter,
    /// The interval holds zero.
    NoDifferenceShown,
    /// One of the two has fewer than two seeds, so there is no interval.
    TooFewSeeds,
    /// There is no completed fresh-random run with this fraction.
    RandomMissing,
    /// One of the two has no test accuracy.
    AccuracyMissing,
}

/// The figures and sentences of a runs table.
///
/// # Errors
/// [`crate::Error::Column`] where a column that is needed holds neither text nor numbers as it should.
pub fn summarize(runs: &DataFrame) -> Result<Summary> {
    Ok(summarize_runs(&read_runs(runs)?))
}

pub(crate) fn summarize_runs(runs: &[Run]) -> Summary {
    let mut by_setting: BTreeMap<Setting, Vec<&Run>> = BTreeMap::new();
    let mut other_status: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut n_completed, mut n_unusable) = (0, 0);
    let mut diverged = Vec::new();
    for run in runs {
        if run.is_diverged {
            if is_done_again(run, runs) {
                // The same training was completed later: that is what came of it.
                *other_status.entry(&run.status).or_default() += 1;
                continue;
            }
            diverged.push(run.name.clone());
        } else if !run.is_completed() {
            *other_status.entry(&run.status).or_default() += 1;
            continue;
        }
        n_completed += usize::from(run.is_completed());
        if run.strategy.is_none() || run.fraction.is_none() {
            n_unusable += 1;
            continue;
        }
        by_setting.entry(setting_of(run)).or_default().push(run);
    }
    let mut settings: Vec<SettingSummary> =
        by_setting.into_iter().map(|(setting, runs)| group::summarize_setting(setting, &runs)).collect();
    // The sort is stable: settings with as many runs stay in the order of their names.
    settings.sort_by_key(|setting| std::cmp::Reverse(setting.n_runs));
    let not_completed = other_status
        .into_iter()
        .map(|(status, n_runs)| StatusCount { status: status.to_owned(), n_runs })
        .collect();
    let mut summary = Summary {
        headline: String::new(),
        others: None,
        weaknesses: Vec::new(),
        caveats: Vec::new(),
        n_runs: runs.len(),
        n_completed,
        not_completed,
        diverged,
        settings,
    };
    summary.weaknesses = verdict::weaknesses(&summary);
    summary.headline = verdict::headline(&summary);
    summary.others = verdict::others(&summary);
    summary.caveats = caveats::caveats(&summary, n_unusable);
    summary
}

/// Whether a completed run has the setting, strategy, fraction and seed of `run`.
fn is_done_again(run: &Run, runs: &[Run]) -> bool {
    runs.iter().any(|other| {
        other.is_completed()
            && run.seed.is_some()
            && (&other.strategy, other.seed) == (&run.strategy, run.seed)
            && other.fraction.map(millionths) == run.fraction.map(millionths)
            && setting_of(other) == setting_of(run)
    })
}

pub(crate) fn setting_of(run: &Run) -> Setting {
    Setting {
        dataset: run.dataset.clone(),
        model: run.model.clone(),
        epochs: run.epochs,
        conditions: run.conditions.clone(),
    }
}

/// The strategies of some rows, each once, in the report's order.
pub(crate) fn strategies(rows: &[Row]) -> Vec<String> {
    let mut names: Vec<String> = rows.iter().map(|row| row.strategy.clone()).collect();
    names.sort_by(|a, b| strategy_rank(a).cmp(&strategy_rank(b)));
    names.dedup();
    names
}
