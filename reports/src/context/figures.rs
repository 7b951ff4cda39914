//! The figures of each setting: strategies, those that choose beside fresh random, GLISTER beside what is in print.

use super::runs::strategy_class;
use super::{LONGEST_NAME, show};
use crate::statistics::Estimate;
use crate::summary::{
    BesidePublished, Comparison, Outcome, Published, Row, SettingSummary, beside_published, setting_name,
    signed_points,
};
use crate::wording::{self, FULL, percent, shorten};
use serde::Serialize;

/// The figures of one setting: runs that may be compared with each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SettingPart {
    /// What these runs share; none where there is one setting only.
    pub name: Option<String>,
    /// One line a strategy and fraction.
    pub rows: Vec<RowLine>,
    /// What chooses beside fresh random, one line a strategy and fraction.
    pub comparisons: Vec<ComparisonLine>,
    /// GLISTER beside figures in print.
    pub published: Vec<PublishedLine>,
}

/// A strategy and fraction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowLine {
    /// The strategy's name.
    pub strategy: String,
    /// The class that gives it its colour.
    pub class: &'static str,
    /// The share of the data.
    pub fraction: String,
    /// How many seeds.
    pub seeds: String,
    /// Test accuracy.
    pub accuracy: String,
    /// The share of full-data accuracy.
    pub kept: String,
    /// Points of accuracy lost.
    pub lost: String,
    /// Speedup over full data.
    pub speedup: String,
    /// The ratio of whole times.
    pub wall_ratio: String,
    /// Seconds of training steps.
    pub training: String,
    /// Seconds of choosing.
    pub selection: String,
}

/// A strategy that chooses and fresh random at one fraction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparisonLine {
    /// The strategy's name.
    pub strategy: String,
    /// The class that gives it its colour.
    pub strategy_class: &'static str,
    /// The share of the data.
    pub fraction: String,
    /// The strategy's test accuracy.
    pub chosen: String,
    /// Fresh random's test accuracy.
    pub random: String,
    /// Their difference in points.
    pub difference: String,
    /// The strategy's speedup.
    pub chosen_speedup: String,
    /// Fresh random's speedup.
    pub random_speedup: String,
    /// `won`, `lost` or `open`.
    pub class: &'static str,
    /// What the difference shows.
    pub verdict: String,
}

/// A row in print and what was reached here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PublishedLine {
    /// Who says so.
    pub source: String,
    /// The share of the data.
    pub fraction: String,
    /// Speedup in print.
    pub published_speedup: String,
    /// Speedup here.
    pub speedup: String,
    /// `number won`, `number lost` or `number open`.
    pub speedup_class: &'static str,
    /// Points lost in print.
    pub published_lost: String,
    /// Points lost here.
    pub lost: String,
    /// As `speedup_class`.
    pub lost_class: &'static str,
    /// What is missed, and why.
    pub why_not: String,
}

impl SettingPart {
    pub(super) fn new(setting: &SettingSummary, several: bool, published: &[Published]) -> Self {
        Self {
            name: several.then(|| setting_name(&setting.setting)),
            rows: setting.rows.iter().map(RowLine::new).collect(),
            comparisons: setting.comparisons.iter().map(ComparisonLine::new).collect(),
            published: beside_published(setting, published).iter().map(PublishedLine::new).collect(),
        }
    }
}

impl PublishedLine {
    fn new(one: &BesidePublished) -> Self {
        let class = |met: Option<bool>| match met {
            Some(true) => "number won",
            Some(false) => "number lost",
            None => "number open",
        };
        Self {
            source: shorten(&one.published.source, LONGEST_NAME),
            fraction: percent(one.published.fraction),
            published_speedup: wording::times(one.published.speedup),
            speedup: show(one.speedup.as_ref(), wording::times_with_interval),
            speedup_class: class(one.faster),
            published_lost: wording::fixed(one.published.accuracy_lost, 2),
            lost: show(one.accuracy_lost.as_ref(), wording::points),
            lost_class: class(one.more_accurate),
            why_not: if one.why_not.is_empty() {
                "better in both".to_owned()
            } else {
                wording::keep_together(&one.why_not)
            },
        }
    }
}

impl RowLine {
    fn new(row: &Row) -> Self {
        let is_full = row.strategy == FULL;
        let reference = |text: String| if is_full { "reference".to_owned() } else { text };
        Self {
            strategy: wording::strategy(&row.strategy),
            class: strategy_class(Some(&row.strategy)),
            fraction: percent(row.fraction),
            seeds: row.n_seeds.to_string(),
            accuracy: show(row.accuracy.as_ref(), wording::accuracy),
            kept: reference(show(row.accuracy_kept.as_ref(), |kept| {
                format!("{} %", wording::fixed(kept * 100.0, 1))
            })),
            lost: reference(show(row.accuracy_lost.as_ref(), wording::points)),
            speedup: reference(show(row.speedup.as_ref(), wording::times_with_interval)),
            wall_ratio: reference(show(row.wall_ratio.as_ref(), |ratio| wording::times(ratio.mean))),
            training: show(row.training_seconds.as_ref(), |value| wording::seconds(*value)),
            selection: show(row.selection_seconds.as_ref(), |value| wording::seconds(*value)),
        }
    }
}

impl ComparisonLine {
    fn new(comparison: &Comparison) -> Self {
        let (class, verdict) = match comparison.outcome {
            Outcome::ChoosingBetter => {
                ("won", format!("{} is better", wording::strategy(&comparison.strategy)))
            }
            Outcome::RandomBetter => ("lost", "Fresh random is better".to_owned()),
            Outcome::NoDifferenceShown => ("open", "No difference shown".to_owned()),
            Outcome::TooFewSeeds => ("open", "Too few seeds to tell".to_owned()),
            Outcome::RandomMissing => ("open", "Fresh random is missing".to_owned()),
            Outcome::AccuracyMissing => ("open", "Test accuracy is missing".to_owned()),
        };
        let speedup = |value: &Option<Estimate>| show(value.as_ref(), wording::times_with_interval);
        Self {
            strategy: wording::strategy(&comparison.strategy),
            strategy_class: strategy_class(Some(&comparison.strategy)),
            fraction: percent(comparison.fraction),
            chosen: show(comparison.chosen.as_ref(), wording::accuracy),
            random: show(comparison.random.as_ref(), wording::accuracy),
            difference: show(comparison.difference.as_ref(), signed_points),
            chosen_speedup: speedup(&comparison.chosen_speedup),
            random_speedup: speedup(&comparison.random_speedup),
            class,
            verdict,
        }
    }
}
