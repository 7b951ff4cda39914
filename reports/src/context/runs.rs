//! The table of all runs.

use super::details::Read;
use super::{LONGEST_HOVER, LONGEST_NAME, NONE};
use crate::table::Run;
use crate::wording::{self, FULL, percent, shorten};
use serde::Serialize;
use std::collections::BTreeSet;

/// Columns of parameters in which the runs differ, beside the usual ones; more would hide what matters.
const MOST_PARAMETERS: usize = 4;

/// The runs table; a column that no run fills is left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunsPart {
    /// How many runs.
    pub count: String,
    /// The run that the others are set beside.
    pub baseline: Option<String>,
    /// The columns.
    pub columns: Vec<RunColumn>,
    /// The rows, the best validation accuracy first.
    pub rows: Vec<Vec<RunCell>>,
}

/// A column of the runs table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunColumn {
    /// What stands in it.
    pub name: String,
    /// `number`, `name` or none.
    pub class: &'static str,
}

/// A cell of the runs table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunCell {
    /// What is shown.
    pub text: String,
    /// The whole name, where `text` is a shortened one.
    pub hover: Option<String>,
    /// `number`, `name`, the colour of a strategy or none.
    pub class: &'static str,
    /// What to sort by, where the text does not say it.
    pub value: Option<String>,
}

/// What a cell shows, and what it is sorted by where that is another.
type Cell = (String, Option<f64>);
type Show<'a> = Box<dyn Fn(usize, &Run) -> Option<Cell> + 'a>;

/// A column before it is known whether any run fills it.
struct Column<'a> {
    name: String,
    class: &'static str,
    /// Left out where every run says the same.
    may_go: bool,
    show: Show<'a>,
}

fn column<'a>(
    name: impl Into<String>,
    class: &'static str,
    show: impl Fn(usize, &Run) -> Option<Cell> + 'a,
) -> Column<'a> {
    Column { name: name.into(), class, may_go: false, show: Box::new(show) }
}

fn text(value: Option<String>) -> Option<Cell> {
    value.map(|text| (text, None))
}

fn number(value: Option<f64>) -> Option<Cell> {
    value.map(|value| (wording::fixed(value, 4), None))
}

fn time(seconds: Option<f64>) -> Option<Cell> {
    seconds.map(|seconds| (wording::seconds(seconds), Some(seconds)))
}

impl RunsPart {
    pub(super) fn new(runs: &[Run], details: &Read, baseline: Option<&Run>, count: String) -> Self {
        // Best first; runs without the metric last, in their order.
        let mut order: Vec<usize> = (0..runs.len()).collect();
        let key = |row: usize| runs[row].validation_accuracy_max.unwrap_or(f64::NEG_INFINITY);
        order.sort_by(|a, b| key(*b).total_cmp(&key(*a)));

        let all_completed = runs.iter().all(Run::is_completed);
        let mut columns = vec![
            column("Run", "name", |_, run| text(Some(run.name.clone()))),
            Column { may_go: true, ..column("Experiment", "name", |_, run| text(run.experiment.clone())) },
            Column { may_go: all_completed, ..column("Status", "", |_, run| text(Some(run.status.clone()))) },
            column("Strategy", "strategy", |_, run| text(run.strategy.as_deref().map(wording::strategy))),
            column("Fraction", "number", |_, run| text(run.fraction.map(percent))),
            column("Seed", "number", |_, run| text(run.seed.map(|seed| seed.to_string()))),
            Column {
                may_go: true,
                ..column("Epochs", "number", |_, run| text(run.epochs.map(|epochs| epochs.to_string())))
            },
            column("Best validation accuracy", "number", |_, run| number(run.validation_accuracy_max)),
            column("Test accuracy", "number", |_, run| number(run.test_accuracy)),
        ];
        if let Some(baseline) = baseline {
            columns.push(column("Points beside the baseline", "number", |_, run| {
                let points = 100.0 * (run.test_accuracy? - baseline.test_accuracy?);
                let sign = if points > 0.0 { "+" } else { "" };
                Some((format!("{sign}{}", wording::fixed(points, 2)), Some(points)))
            }));
            columns.push(column("Times as fast as the baseline", "number", |_, run| {
                let ratio = baseline.counted_seconds()? / run.counted_seconds()?;
                Some((wording::times(ratio), Some(ratio)))
            }));
        }
        columns.extend([
            column("Least validation loss", "number", |_, run| number(run.validation_loss_min)),
            column("Training", "number", |_, run| time(run.training_seconds)),
            column("Choosing", "number", |_, run| time(run.selection_seconds)),
            column("Whole run", "number", |_, run| time(run.wall_seconds)),
            Column {
                may_go: true,
                ..column("Data set, model", "name", |_, run: &Run| text(data_and_model(run)))
            },
        ]);
        let known = ["dataset", "model", "epochs"];
        let others = details.differing().filter(|one| !known.contains(&one.name.as_str()));
        for parameter in others.take(MOST_PARAMETERS) {
            columns.push(column(shorten(&parameter.name, 40), "", |row, _| {
                text(parameter.values.get(row).cloned().flatten())
            }));
        }
        // A column in which every run says the same, or nothing, belongs above the table, not in it.
        columns.retain(|column| {
            let values: BTreeSet<Option<String>> = runs
                .iter()
                .enumerate()
                .map(|(row, run)| (column.show)(row, run).map(|cell| cell.0))
                .collect();
            values.len() > 1 || !(column.may_go || values.contains(&None))
        });
        let cells = |row: &usize| {
            columns
                .iter()
                .map(|column| cell(&runs[*row], column.class, (column.show)(*row, &runs[*row])))
                .collect()
        };
        Self {
            count,
            baseline: baseline.map(|run| shorten(&run.name, LONGEST_NAME)),
            rows: order.iter().map(cells).collect(),
            columns: columns
                .iter()
                .map(|one| RunColumn {
                    name: one.name.clone(),
                    class: if one.class == "strategy" { "" } else { one.class },
                })
                .collect(),
        }
    }
}

fn data_and_model(run: &Run) -> Option<String> {
    let parts: Vec<&str> = [&run.dataset, &run.model].into_iter().flatten().map(String::as_str).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn cell(run: &Run, class: &'static str, value: Option<Cell>) -> RunCell {
    let (whole, value) = value.unwrap_or_else(|| (NONE.to_owned(), None));
    let text = shorten(&whole, LONGEST_NAME);
    let hover = (text != whole).then(|| shorten(&whole, LONGEST_HOVER));
    let class = if class == "strategy" { strategy_class(run.strategy.as_deref()) } else { class };
    RunCell { text, hover, class, value: value.map(|value| format!("{value:.6}")) }
}

/// The class that gives a strategy its colour in tables.
pub(super) fn strategy_class(strategy: Option<&str>) -> &'static str {
    match strategy {
        Some(FULL) => "key full",
        Some(wording::GLISTER) => "key glister",
        Some(wording::FRESH_RANDOM) => "key fresh",
        Some(wording::FIXED_RANDOM) => "key fixed",
        Some(wording::AUTO) => "key auto",
        Some("weighted-draw") => "key weighted-draw",
        Some("infobatch") => "key infobatch",
        Some("hardest-half") => "key hardest-half",
        Some("grad-match") => "key grad-match",
        _ => "key",
    }
}
