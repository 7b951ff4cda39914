//! GLISTER's figures beside those in print: each row met or missed in each column, and what the runs say about a miss.

use super::{Row, SettingSummary};
use crate::statistics::Estimate;
use crate::wording::{self, FRESH_RANDOM, GLISTER, percent};
use serde::{Deserialize, Serialize};

/// What someone has published for one fraction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Who says so, and of what: "GLISTER paper, LeNet".
    pub source: String,
    /// The share of the training data, in (0, 1].
    pub fraction: f64,
    /// How many times faster than full data.
    pub speedup: f64,
    /// Points of accuracy lost.
    pub accuracy_lost: f64,
}

/// A row in print and what GLISTER reached here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BesidePublished {
    /// The row in print.
    pub published: Published,
    /// The speedup here.
    pub speedup: Option<Estimate>,
    /// Points of accuracy lost here.
    pub accuracy_lost: Option<Estimate>,
    /// Whether the mean speedup is higher than in print; none where it was not measured.
    pub faster: Option<bool>,
    /// Whether the mean loss of accuracy is smaller than in print; none where it was not measured.
    pub more_accurate: Option<bool>,
    /// Why a column is missed, as far as the runs tell; empty where none is.
    pub why_not: String,
}

/// Each of `published` beside GLISTER's row of the same fraction in `setting`.
pub fn beside_published(setting: &SettingSummary, published: &[Published]) -> Vec<BesidePublished> {
    published.iter().map(|one| beside(setting, one)).collect()
}

fn beside(setting: &SettingSummary, published: &Published) -> BesidePublished {
    let row = setting.row(GLISTER, published.fraction);
    let (speedup, accuracy_lost) = (row.and_then(|row| row.speedup), row.and_then(|row| row.accuracy_lost));
    let faster = speedup.map(|speedup| speedup.mean > published.speedup);
    let more_accurate = accuracy_lost.map(|lost| lost.mean < published.accuracy_lost);
    let mut reasons = Vec::new();
    match (row, faster) {
        (Some(row), Some(false)) => reasons.push(why_slower(setting, row)),
        (_, None) => reasons.push("its speedup was not measured here".to_owned()),
        _ => {}
    }
    match more_accurate {
        Some(false) => reasons.push(why_less_accurate(setting, published.fraction)),
        None => reasons.push("its loss of accuracy was not measured here".to_owned()),
        Some(true) => {}
    }
    BesidePublished {
        published: published.clone(),
        speedup,
        accuracy_lost,
        faster,
        more_accurate,
        why_not: reasons.join("; "),
    }
}

fn why_slower(setting: &SettingSummary, row: &Row) -> String {
    let (Some(training), Some(choosing)) = (row.training_seconds, row.selection_seconds) else {
        return "too slow, and its parts were not measured".to_owned();
    };
    let free = setting
        .full()
        .and_then(|full| full.training_seconds)
        .filter(|_| training > 0.0)
        .map(|full| format!("; choosing for nothing, it would be {}", wording::times(full / training)));
    let share = choosing / (training + choosing).max(f64::MIN_POSITIVE);
    format!(
        "choosing took {} of its time{}",
        percent((share * 1000.0).round() / 1000.0),
        free.unwrap_or_default()
    )
}

fn why_less_accurate(setting: &SettingSummary, fraction: f64) -> String {
    match setting.row(FRESH_RANDOM, fraction).and_then(|row| row.accuracy_lost) {
        Some(random) => {
            format!("fresh random subsets of the same size lost {} points here", wording::points(&random))
        }
        None => "what chance loses here is not known: fresh random was not run".to_owned(),
    }
}
