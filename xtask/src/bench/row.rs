//! The rows of a bench: medians, ratios, targets, and the table that shows them.

use std::fmt::Write as _;

use serde::Serialize;

use super::Load;

/// What a figure counts, which also says whether more of it is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each bench has units of its own")]
pub(crate) enum Unit {
    /// Time: less is better.
    Seconds,
    /// Memory: less is better.
    Megabytes,
    /// A mean cross-entropy: less is better.
    Nats,
    /// A quotient that should be small, as growth or the multiple of a lower bound.
    Times,
    /// A rate, named as in `images/s`: more is better.
    PerSecond(&'static str),
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Megabytes => "MB",
            Self::Nats => "nats",
            Self::Times => "×",
            Self::PerSecond(what) => what,
        }
    }

    fn more_is_better(self) -> bool {
        matches!(self, Self::PerSecond(_))
    }
}

/// One case: the median of our figures, that of the peer's, and how they compare.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub(crate) struct Row {
    /// What is measured, as `lenet fp32` or `1000 runs`.
    case: String,
    /// The median of ours.
    ours: f64,
    /// The median of the peer's, where there is a peer.
    peer: Option<f64>,
    /// The peer with its version.
    peer_name: Option<String>,
    /// What `ours` should be: at most, or at least where more is better.
    target: Option<f64>,
    #[serde(serialize_with = "unit_name")]
    unit: Unit,
    /// How often ours was measured.
    n: usize,
    /// How many times better ours is than the peer's: above 1 where ours is better.
    ratio: Option<f64>,
}

fn unit_name<S: serde::Serializer>(unit: &Unit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(unit.name())
}

impl Row {
    /// A case in which `measured` is ours.
    ///
    /// # Panics
    /// If `measured` is empty.
    pub(crate) fn new(case: impl Into<String>, unit: Unit, measured: &[f64]) -> Self {
        let (ours, n) = (median(measured), measured.len());
        Self { case: case.into(), ours, peer: None, peer_name: None, target: None, unit, n, ratio: None }
    }

    /// Sets the peer and what was measured of it.
    ///
    /// # Panics
    /// If `measured` is empty.
    pub(crate) fn against(mut self, peer_name: &str, measured: &[f64]) -> Self {
        let peer = median(measured);
        self.peer = Some(peer);
        self.peer_name = Some(peer_name.to_owned());
        self.ratio = Some(if self.unit.more_is_better() { self.ours / peer } else { peer / self.ours });
        self
    }

    /// Sets what `ours` should be.
    pub(crate) fn target(mut self, target: f64) -> Self {
        self.target = Some(target);
        self
    }

    /// What is measured.
    #[cfg(test)]
    pub(crate) fn case(&self) -> &str {
        &self.case
    }

    /// The median of ours.
    #[cfg(test)]
    pub(crate) fn ours(&self) -> f64 {
        self.ours
    }

    /// Whether the target is met; nothing where there is none.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let target = self.target?;
        Some(if self.unit.more_is_better() { self.ours >= target } else { self.ours <= target })
    }
}

/// The median; of an even number of values the mean of the middle two.
///
/// # Panics
/// If there are no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "the median of nothing");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// The rows as a Markdown table, aligned so that it reads well in a terminal too; below it how busy the machine was, and above it a
/// warning where that was too much.
pub(crate) fn table(rows: &[Row], load: &Load) -> String {
    let warning = load.warning().map(|warning| format!("**{warning}**\n\n")).unwrap_or_default();
    format!("{warning}{}\n{}\n", of_rows(rows), load.line())
}

fn of_rows(rows: &[Row]) -> String {
    let head = ["case", "Glisten", "peer", "", "ratio", "target", "met"].map(str::to_owned);
    let mut lines = vec![head];
    for row in rows {
        let unit = row.unit.name();
        let with_unit = |value: f64| format!("{} {unit}", three_digits(value));
        let bound = if row.unit.more_is_better() { "≥" } else { "≤" };
        lines.push([
            row.case.clone(),
            with_unit(row.ours),
            row.peer.map(with_unit).unwrap_or_default(),
            row.peer_name.clone().unwrap_or_default(),
            row.ratio.map(|ratio| format!("{} ×", three_digits(ratio))).unwrap_or_default(),
            row.target.map(|target| format!("{bound} {}", with_unit(target))).unwrap_or_default(),
            row.is_met().map_or("", |met| if met { "yes" } else { "no" }).to_owned(),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if index == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Three significant digits: `0.153`, `1.42`, `902`, `18200`.
fn three_digits(value: f64) -> String {
    let whole_digits = value.abs().max(f64::MIN_POSITIVE).log10().floor();
    if !value.is_finite() || value == 0.0 {
        return value.to_string();
    }
    let decimals = (2.0 - whole_digits).clamp(-6.0, 6.0) as i32;
    let scale = 10_f64.powi(decimals);
    let rounded = (value * scale).round() / scale;
    format!("{rounded:.*}", usize::try_from(decimals).unwrap_or(0))
}
