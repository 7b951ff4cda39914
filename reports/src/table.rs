//! Reads the two input tables into plain structs, forgiving about number types and missing columns.

use crate::error::{Error, Result};
use crate::wording::{self, FULL};
use polars::prelude::{Column, DataFrame, DataType};
use std::collections::{BTreeSet, HashMap};

pub(crate) const RUNS: &str = "runs";
pub(crate) const METRICS: &str = "metrics";

/// Beside data set, model and epochs: what runs must share to be compared, where the table has it.
const CONDITIONS: [&str; 19] = [
    "dataset_fingerprint",
    "n_train",
    "n_validation",
    "split_validation",
    "split_seed",
    "batch_size",
    "learning_rate",
    "momentum",
    "nesterov",
    "weight_decay",
    "schedule",
    "precision",
    "crop_padding",
    "flip",
    "label_smoothing",
    "clip_grad_norm",
    "device",
    "threads",
    "glisten_version",
];

/// The accuracy of a run that diverged: its model is of no use.
const WORST: f64 = 0.0;

/// What a row of the runs table says, as far as it says it. Times are in seconds, accuracies between 0 and 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) experiment: Option<String>,
    /// Lower case; `completed` for every run of a table without that column.
    pub(crate) status: String,
    /// Whether it failed because its training diverged.
    pub(crate) is_diverged: bool,
    pub(crate) strategy: Option<String>,
    /// Within (0, 1]; full data is 1 whatever the table says.
    pub(crate) fraction: Option<f64>,
    pub(crate) seed: Option<i64>,
    pub(crate) dataset: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) epochs: Option<i64>,
    /// Names and values of those [`CONDITIONS`] in which the completed and the diverged runs of the table differ.
    pub(crate) conditions: Vec<(String, String)>,
    pub(crate) test_accuracy: Option<f64>,
    pub(crate) validation_accuracy_max: Option<f64>,
    pub(crate) validation_loss_min: Option<f64>,
    /// Σ `epoch:seconds`.
    pub(crate) training_seconds: Option<f64>,
    /// Σ `selection:seconds`; 0 for full data, which chooses nothing.
    pub(crate) selection_seconds: Option<f64>,
    pub(crate) wall_seconds: Option<f64>,
}

impl Run {
    pub(crate) fn is_completed(&self) -> bool {
        self.status == "completed"
    }

    /// Whether it says something about its strategy: it came to its end, or diverged.
    pub(crate) fn counts(&self) -> bool {
        self.is_completed() || self.is_diverged
    }

    pub(crate) fn is_full(&self) -> bool {
        self.strategy.as_deref() == Some(FULL)
    }

    /// Seconds of training steps and of choosing: what a speedup compares.
    pub(crate) fn counted_seconds(&self) -> Option<f64> {
        let total = self.training_seconds? + self.selection_seconds?;
        (total > 0.0 && total.is_finite()).then_some(total)
    }
}

/// The rows of a runs table, in their order.
pub(crate) fn read_runs(table: &DataFrame) -> Result<Vec<Run>> {
    let text = |name| strings(table, RUNS, name);
    let number = |name: &str| numbers(table, RUNS, name);
    let (names, experiments, statuses, strategies) =
        (text("run")?, text("experiment")?, text("status")?, text("strategy")?);
    let (datasets, models, diverged) = (text("dataset")?, text("model")?, text("tags.diverged")?);
    let (fractions, seeds, epochs) = (number("fraction")?, number("seed")?, number("epochs")?);
    let test_accuracies = number("test:accuracy.last")?;
    let validation_accuracies = number("validation:accuracy.max")?;
    let validation_losses = number("validation:loss.min")?;
    let walls = number("run:seconds.last")?;
    let training = sums(table, "epoch:seconds")?;
    let selection = sums(table, "selection:seconds")?;

    let run = |row: usize| {
        let strategy =
            cell(&strategies, row).map(|name| name.trim().to_lowercase()).filter(|s| !s.is_empty());
        let is_full = strategy.as_deref() == Some(FULL);
        let fraction = finite(&fractions, row).filter(|&f| f > 0.0 && f <= 1.0 + 1e-9);
        let status = match &statuses {
            None => "completed".to_owned(),
            Some(_) => {
                cell(&statuses, row).map_or("unknown".to_owned(), |status| status.trim().to_lowercase())
            }
        };
        let is_diverged = status == "failed" && cell(&diverged, row).is_some();
        // It ended early, and has no figures that could be set beside those of others but that it came to nothing.
        let positive = |column, row| finite(column, row).filter(|&value: &f64| value >= 0.0 && !is_diverged);
        Run {
            name: cell(&names, row).unwrap_or_else(|| format!("row {}", row + 1)),
            experiment: cell(&experiments, row),
            status,
            is_diverged,
            fraction: if is_full { Some(1.0) } else { fraction },
            strategy,
            seed: finite(&seeds, row).map(|seed| seed as i64),
            dataset: cell(&datasets, row),
            model: cell(&models, row),
            epochs: finite(&epochs, row).map(|epochs| epochs as i64),
            conditions: Vec::new(),
            test_accuracy: if is_diverged { Some(WORST) } else { finite(&test_accuracies, row) },
            validation_accuracy_max: finite(&validation_accuracies, row),
            validation_loss_min: finite(&validation_losses, row),
            training_seconds: positive(&training, row).filter(|&seconds| seconds > 0.0),
            selection_seconds: positive(&selection, row).or(is_full.then_some(0.0)),
            wall_seconds: positive(&walls, row).filter(|&seconds| seconds > 0.0),
        }
    };
    let mut runs: Vec<Run> = (0..table.height()).map(run).collect();
    for name in CONDITIONS {
        add_condition(&mut runs, table, name);
    }
    Ok(runs)
}

/// Adds a condition to every run, if the completed and the diverged runs differ in it.
fn add_condition(runs: &mut [Run], table: &DataFrame, name: &str) {
    let Some(values) = table.column(name).ok().and_then(|column| column.cast(&DataType::String).ok()) else {
        return;
    };
    let Ok(values) = values.str() else { return };
    let values: Vec<Option<&str>> = values.iter().collect();
    let counted = || runs.iter().zip(&values).filter(|(run, _)| run.counts());
    let first = counted().next().map(|(_, value)| *value);
    if counted().all(|(_, value)| Some(*value) == first) {
        return;
    }
    for (run, value) in runs.iter_mut().zip(values) {
        run.conditions.push((name.to_owned(), value.unwrap_or("unknown").to_owned()));
    }
}

/// One metric of one run over its steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    pub(crate) run: String,
    /// (step, value), by step; only finite values.
    pub(crate) points: Vec<(f64, f64)>,
    /// How many values were left out because they are not finite.
    pub(crate) n_not_finite: usize,
}

/// The series of `metric`, one a run, in the order in which the runs first appear.
pub(crate) fn read_series(table: &DataFrame, metric: &str) -> Result<Vec<Series>> {
    if table.height() == 0 {
        return Ok(Vec::new());
    }
    for name in ["run", "metric", "value"] {
        required(table, METRICS, name)?;
    }
    // Tables of millions of rows are usual: no text is copied but the runs' names.
    let (runs, metrics) = (text_chunks(table, METRICS, "run")?, text_chunks(table, METRICS, "metric")?);
    let (runs, metrics) = (runs.str()?, metrics.str()?);
    let (steps, values) = (numbers(table, METRICS, "step")?, numbers(table, METRICS, "value")?);

    let mut series: Vec<Series> = Vec::new();
    let mut place: HashMap<&str, usize> = HashMap::new();
    let mut last: Option<(&str, usize)> = None;
    for (row, (run, name)) in runs.iter().zip(metrics.iter()).enumerate() {
        if name != Some(metric) {
            continue;
        }
        let run = run.unwrap_or("");
        let index = match last {
            Some((before, index)) if before == run => index,
            _ => *place.entry(run).or_insert_with(|| {
                series.push(Series { run: run.to_owned(), ..Series::default() });
                series.len() - 1
            }),
        };
        last = Some((run, index));
        let target = &mut series[index];
        // A table without steps is in the order of its rows.
        let step = match &steps {
            Some(_) => finite(&steps, row),
            None => Some((target.points.len() + target.n_not_finite) as f64),
        };
        match (step, finite(&values, row)) {
            (Some(step), Some(value)) => target.points.push((step, value)),
            _ => target.n_not_finite += 1,
        }
    }
    for one in &mut series {
        one.points.sort_by(|left, right| left.0.total_cmp(&right.0));
    }
    Ok(series)
}

/// The metrics that the table holds.
pub(crate) fn metric_names(table: &DataFrame) -> Result<BTreeSet<String>> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    if find(table, "metric").is_none() {
        return Ok(names);
    }
    let metrics = text_chunks(table, METRICS, "metric")?;
    let mut last = None;
    for name in metrics.str()?.iter() {
        if name != last
            && let Some(name) = name
            && !names.contains(name)
        {
            names.insert(name.to_owned());
        }
        last = name;
    }
    Ok(names)
}

/// The texts of a column; none where the table does not have it.
pub(crate) fn text_column(table: &DataFrame, which: &'static str, name: &str) -> Result<Vec<Option<String>>> {
    Ok(strings(table, which, name)?.unwrap_or_default())
}

/// The numbers of a column; none where the table does not have it.
pub(crate) fn number_column(table: &DataFrame, which: &'static str, name: &str) -> Result<Vec<Option<f64>>> {
    Ok(numbers(table, which, name)?.unwrap_or_default())
}

/// # Errors
/// [`Error::MissingColumn`] where the table does not have the column.
pub(crate) fn required(table: &DataFrame, which: &'static str, name: &str) -> Result<()> {
    find(table, name).map(|_| ()).ok_or_else(|| missing(table, which, name))
}

type Texts = Option<Vec<Option<String>>>;
type Numbers = Option<Vec<Option<f64>>>;

fn cell(column: &Texts, row: usize) -> Option<String> {
    column.as_ref().and_then(|values| values[row].clone())
}

fn finite(column: &Numbers, row: usize) -> Option<f64> {
    column.as_ref().and_then(|values| values[row]).filter(|value| value.is_finite())
}

/// Sum of a metric: mean × count, since a runs table never reads the series.
fn sums(table: &DataFrame, metric: &str) -> Result<Numbers> {
    let averages = numbers(table, RUNS, &format!("{metric}.avg"))?;
    let counts = numbers(table, RUNS, &format!("{metric}.count"))?;
    let (Some(averages), Some(counts)) = (averages, counts) else { return Ok(None) };
    let sum = |(average, count): (Option<f64>, Option<f64>)| match (average, count) {
        (Some(average), Some(count)) if count > 0.0 => Some(average * count),
        _ => None,
    };
    Ok(Some(averages.into_iter().zip(counts).map(sum).collect()))
}

fn find<'a>(table: &'a DataFrame, name: &str) -> Option<&'a Column> {
    table.column(name).ok()
}

/// The error for a column that is not there, with the twenty that are most like it.
pub(crate) fn missing(table: &DataFrame, which: &'static str, column: &str) -> Error {
    let lower = column.to_lowercase();
    let likeness = |name: &str| strsim::jaro_winkler(&lower, &name.to_lowercase());
    let mut names: Vec<&str> = table.get_column_names().into_iter().map(|name| name.as_str()).collect();
    names.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    let found: Vec<String> =
        names.into_iter().take(20).map(|name| format!("`{}`", wording::shorten(name, 80))).collect();
    let found = if found.is_empty() { "no column".to_owned() } else { found.join(", ") };
    Error::MissingColumn { table: which, column: wording::shorten(column, 80), found }
}

fn strings(table: &DataFrame, which: &'static str, name: &str) -> Result<Texts> {
    if find(table, name).is_none() {
        return Ok(None);
    }
    let text = text_chunks(table, which, name)?;
    Ok(Some(text.str()?.iter().map(|value| value.map(str::to_owned)).collect()))
}

/// A column that is there, as text.
fn text_chunks(table: &DataFrame, which: &'static str, name: &str) -> Result<Column> {
    let column = table.column(name)?;
    let dtype = column.dtype();
    let is_readable = dtype.is_null() || dtype.is_string() || dtype.is_primitive_numeric() || dtype.is_bool();
    if !is_readable {
        return Err(wrong(which, name, "text", dtype));
    }
    Ok(column.cast(&DataType::String)?)
}

fn numbers(table: &DataFrame, which: &'static str, name: &str) -> Result<Numbers> {
    let Some(column) = find(table, name) else { return Ok(None) };
    let dtype = column.dtype();
    if dtype.is_null() {
        return Ok(Some(vec![None; column.len()]));
    }
    if !(dtype.is_primitive_numeric() || dtype.is_bool()) {
        return Err(wrong(which, name, "numbers", dtype));
    }
    let number = column.cast(&DataType::Float64)?;
    Ok(Some(number.f64()?.iter().collect()))
}

pub(crate) fn wrong(table: &'static str, column: &str, expected: &'static str, found: &DataType) -> Error {
    Error::Column { table, column: column.to_owned(), expected, found: format!("{found:?}") }
}
