//! The charts, each as one self-contained SVG.

mod canvas;
mod frame;
mod palette;
mod per_step;
mod svg;
mod thin;
mod versus_fraction;

pub use svg::Svg;

use crate::error::Result;
use crate::summary::{Summary, summarize};
use crate::table::{Run, read_runs, read_series};
use polars::prelude::DataFrame;
use std::borrow::Cow;

/// A metric over its steps, one line a run, labelled at the line's end. `metrics` has the columns `run`, `metric`,
/// `step` and `value`; of runs with more than 1,000 steps the extremes are kept. Values that are not finite are
/// skipped. A table without the metric gives an empty chart that says so.
///
/// # Errors
/// [`crate::Error::MissingColumn`] where a table with rows lacks `run`, `metric` or `value`;
/// [`crate::Error::Column`] where one of them holds something else than text or numbers.
pub fn metric_per_step(metrics: &DataFrame, metric: &str) -> Result<Svg> {
    per_step::draw(&read_series(metrics, metric)?, &[], metric)
}

/// As [`metric_per_step`], with each run's colour and label from its strategy and fraction in the `runs` table.
///
/// # Errors
/// As [`metric_per_step`], for either table.
pub fn metric_per_step_by_strategy(metrics: &DataFrame, runs: &DataFrame, metric: &str) -> Result<Svg> {
    per_step::draw(&read_series(metrics, metric)?, &read_runs(runs)?, metric)
}

/// Test accuracy against the fraction of the data, one line a strategy with 95 % intervals over seeds, full data as
/// reference. Of a table with several settings, the one with the most runs is drawn.
///
/// # Errors
/// [`crate::Error::Column`] where a column that is needed holds neither text nor numbers as it should.
pub fn accuracy_versus_fraction(runs: &DataFrame) -> Result<Svg> {
    accuracy_of(&summarize(runs)?)
}

/// Speedup over full data against the fraction of the data, one line a strategy, with the ideal line 1/f.
/// Of a table with several settings, the one with the most runs is drawn.
///
/// # Errors
/// [`crate::Error::Column`] where a column that is needed holds neither text nor numbers as it should.
pub fn speedup_versus_fraction(runs: &DataFrame) -> Result<Svg> {
    speedup_of(&summarize(runs)?)
}

pub(crate) fn accuracy_of(summary: &Summary) -> Result<Svg> {
    versus_fraction::accuracy(summary.settings.first())
}

pub(crate) fn speedup_of(summary: &Summary) -> Result<Svg> {
    versus_fraction::speedup(summary.settings.first())
}

pub(crate) fn per_step_of(metrics: &DataFrame, runs: &[Run], metric: &str) -> Result<Svg> {
    per_step::draw(&read_series(metrics, metric)?, runs, metric)
}

/// `text` as XML text or attribute value; characters that XML forbids are left out.
fn escape(text: &str) -> Cow<'_, str> {
    let special = |c: char| matches!(c, '<' | '>' | '&' | '"' | '\'') || c.is_control();
    if !text.contains(special) && !text.contains(['\u{FFFE}', '\u{FFFF}']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => {}
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}
