//! The charts, each as one self-contained SVG.

mod bands;
mod canvas;
mod class_balance;
mod class_panels;
mod colouring;
mod frame;
mod palette;
mod parallel;
mod per_step;
mod raster;
mod scatter;
mod svg;
mod thin;
mod ticks;
mod time_spent;
mod tradeoff;
mod variable;
mod versus_fraction;

pub use svg::{Figures, Svg};

use crate::balance::Balances;
use crate::error::Result;
use crate::summary::{Summary, summarize, summarize_runs};
use crate::table::{Run, Series, read_runs, read_series};
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

/// Test accuracy against the seconds of training and choosing, one mark a strategy and fraction, with the Pareto front: what
/// nothing else beats in both. Of a table with several settings, the one with the most runs is drawn.
///
/// # Errors
/// [`crate::Error::Column`] where a column that is needed holds neither text nor numbers as it should.
pub fn accuracy_versus_time(runs: &DataFrame) -> Result<Svg> {
    tradeoff_of(&summarize(runs)?)
}

/// Where the time went, training, choosing and the rest: one bar a run, and of more than 40 completed runs one a strategy and
/// fraction, means over its runs. Of a table with several settings, the one with the most runs is drawn.
///
/// # Errors
/// [`crate::Error::Column`] where a column that is needed holds neither text nor numbers as it should.
pub fn time_spent(runs: &DataFrame) -> Result<Svg> {
    let runs = read_runs(runs)?;
    time_spent_of(&summarize_runs(&runs), &runs)
}

/// How often each class is chosen over the epochs, as its share of the subset ÷ its share of all of the data: one panel a
/// strategy and fraction, of more than [`crate::MOST_CELLS`] those of the smallest fractions. `classes` has the columns `run`,
/// `epoch`, `class`, `count` and, where classes differ in size, `available`. Of a table with several settings, the one with the
/// most runs is drawn.
///
/// # Errors
/// [`crate::Error::MissingColumn`] where a table of classes with rows lacks one of these;
/// [`crate::Error::Column`] where a column of either table cannot be read.
pub fn class_balance(classes: &DataFrame, runs: &DataFrame) -> Result<Svg> {
    let runs = read_runs(runs)?;
    let summary = summarize_runs(&runs);
    class_balance_of(&crate::balance::balances(classes, &runs, summary.settings.first())?)
}

/// Column `y` of any table against column `x`, one mark a row, coloured by a third column where one is named: numbers and
/// times by shades, anything else a colour each. Positive numbers that span more than two decades are shown by their
/// logarithm, text as categories. Rows without a finite value of `x` or `y` are left out and counted in the description.
///
/// # Errors
/// [`crate::Error::MissingColumn`] for a column that is not there, naming the nearest; [`crate::Error::Column`] for one that
/// holds neither numbers, text, times nor true and false.
pub fn scatter(table: &DataFrame, x: &str, y: &str, colour_by: Option<&str>) -> Result<Svg> {
    scatter::draw(table, x, y, colour_by)
}

/// The `columns` of any table as parallel axes, each with its own scale as [`scatter`] has them, and each row as a line
/// across them, coloured by a column where one is named. Where a row has no finite value its line has a gap. Of more than
/// 300 rows an even choice is drawn, and the description says so.
///
/// # Errors
/// As [`scatter`].
pub fn parallel_coordinates(table: &DataFrame, columns: &[&str], colour_by: Option<&str>) -> Result<Svg> {
    parallel::draw(table, columns, colour_by)
}

/// Those of `columns` that the table has, that can be drawn and in which its rows differ.
pub(crate) fn varying<'a>(table: &DataFrame, columns: &[&'a str]) -> Vec<&'a str> {
    let differs = |name: &str| {
        let extent = variable::Variable::read(table, name).ok().and_then(|column| column.extent());
        extent.is_some_and(|(low, high)| low < high)
    };
    columns.iter().copied().filter(|name| differs(name)).collect()
}

pub(crate) fn tradeoff_of(summary: &Summary) -> Result<Svg> {
    tradeoff::draw(summary.settings.first())
}

pub(crate) fn time_spent_of(summary: &Summary, runs: &[Run]) -> Result<Svg> {
    time_spent::draw(summary.settings.first(), runs)
}

/// What the bars of the chart of where the time went stand for.
pub(crate) fn bars_of_time_spent(summary: &Summary, runs: &[Run]) -> &'static str {
    time_spent::what_bars_are(summary.settings.first(), runs)
}

pub(crate) fn class_balance_of(balances: &Balances) -> Result<Svg> {
    class_balance::draw(balances)
}

pub(crate) fn accuracy_of(summary: &Summary) -> Result<Svg> {
    versus_fraction::accuracy(summary.settings.first())
}

pub(crate) fn speedup_of(summary: &Summary) -> Result<Svg> {
    versus_fraction::speedup(summary.settings.first())
}

/// Whether a chart of so many runs over their steps shows bands instead of lines.
pub(crate) fn shows_bands(n_runs: usize) -> bool {
    n_runs > per_step::MOST_LINES
}

pub(crate) fn per_step_of(series: &[Series], runs: &[Run], metric: &str) -> Result<Svg> {
    per_step::draw(series, runs, metric)
}

/// At most `n` of the values, the first and the last among them, evenly apart.
fn spaced<T: Copy>(values: &[T], n: usize) -> Vec<T> {
    if values.len() <= n || n < 2 {
        return values.iter().take(n.max(1)).copied().collect();
    }
    (0..n).map(|i| values[i * (values.len() - 1) / (n - 1)]).collect()
}

/// `text` as XML text or attribute value; characters that XML forbids are left out.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
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
