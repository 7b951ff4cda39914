//! Tables of runs as charts: those of an experiment, and any two or more columns of any table.

use polars::prelude::DataFrame;

use super::RunsExt;
use crate::error::{Error, Result};
use crate::track::Experiment;

/// A chart, drawn as SVG. A notebook shows it as a picture.
#[derive(Debug, Clone)]
pub struct Chart(pub(crate) glisten_reports::Svg);

impl Chart {
    /// The whole `<svg>` element; it needs nothing from outside.
    pub fn svg(&self) -> &str {
        self.0.as_str()
    }

    /// What it shows, in a sentence with its numbers.
    pub fn description(&self) -> &str {
        self.0.description()
    }

    /// Writes the chart to a file, whole or not at all: as PNG where the name ends in `.png`, else as SVG.
    ///
    /// # Errors
    /// [`Error::Report`] if the file cannot be written, or for a PNG where no typeface is installed.
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        Ok(self.0.save(path.as_ref())?)
    }
}

/// Charts of any columns of a table, as of runs that were filtered or joined. Columns are named as in
/// [`RunsExt::column_named`]: with or without `metrics.` or `parameters.`, in any case.
pub trait ChartExt {
    /// Column `y` against column `x`, one mark a row, coloured by `strategy` where the table has strategies. Positive
    /// numbers that span more than two decades are shown by their logarithm, text as categories, times in UTC; rows
    /// without a finite value of one or the other are left out and counted in the description.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a column that is not there, naming the nearest; [`Error::Report`] for one that holds
    /// neither numbers, text, times nor true and false.
    fn scatter(&self, x: &str, y: &str) -> Result<Chart>;

    /// As [`ChartExt::scatter`], coloured by `colour`: numbers and times by shades, anything else a colour each.
    ///
    /// # Errors
    /// As [`ChartExt::scatter`].
    fn scatter_by(&self, x: &str, y: &str, colour: &str) -> Result<Chart>;

    /// The columns as parallel axes, each with a scale of its own, and each row as a line across them, coloured by the last
    /// of the columns: name what is to be explained last. Where a row has no finite value its line has a gap; of more than
    /// 300 rows an even choice is drawn. The description says both.
    ///
    /// # Errors
    /// [`Error::Argument`] where no column is named; else as [`ChartExt::scatter`].
    fn parallel_coordinates(&self, columns: &[&str]) -> Result<Chart>;

    /// As [`ChartExt::parallel_coordinates`], coloured by `colour`.
    ///
    /// # Errors
    /// As [`ChartExt::parallel_coordinates`].
    fn parallel_coordinates_by(&self, columns: &[&str], colour: &str) -> Result<Chart>;
}

impl ChartExt for DataFrame {
    fn scatter(&self, x: &str, y: &str) -> Result<Chart> {
        scatter(self, x, y, self.column("strategy").is_ok().then_some("strategy"))
    }

    fn scatter_by(&self, x: &str, y: &str, colour: &str) -> Result<Chart> {
        scatter(self, x, y, Some(colour))
    }

    fn parallel_coordinates(&self, columns: &[&str]) -> Result<Chart> {
        parallel(self, columns, columns.last().copied())
    }

    fn parallel_coordinates_by(&self, columns: &[&str], colour: &str) -> Result<Chart> {
        parallel(self, columns, Some(colour))
    }
}

fn scatter(table: &DataFrame, x: &str, y: &str, colour: Option<&str>) -> Result<Chart> {
    let (x, y) = (table.column_named(x)?, table.column_named(y)?);
    let colour = colour.map(|name| table.column_named(name)).transpose()?;
    Ok(Chart(glisten_reports::chart::scatter(table, &x, &y, colour.as_deref())?))
}

fn parallel(table: &DataFrame, columns: &[&str], colour: Option<&str>) -> Result<Chart> {
    if columns.is_empty() {
        return Err(Error::argument("columns", "at least one column to draw an axis of", "none"));
    }
    let columns: Vec<String> = columns.iter().map(|name| table.column_named(name)).collect::<Result<_>>()?;
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let colour = colour.map(|name| table.column_named(name)).transpose()?;
    Ok(Chart(glisten_reports::chart::parallel_coordinates(table, &columns, colour.as_deref())?))
}

impl Experiment {
    /// The chart of a metric: its value by step, one line a run, coloured by strategy.
    ///
    /// # Errors
    /// [`Error::NotFound`] if no run has that metric, naming those there are.
    pub fn chart(&self, metric: &str) -> Result<Chart> {
        let points = super::metrics(self.store(), Some(self.name()), Some(metric))?;
        if points.height() == 0 {
            let mut names: Vec<String> = Vec::new();
            for record in self.store().run_records(Some(self.name()))? {
                names.extend(record.metrics.into_keys());
            }
            names.sort();
            names.dedup();
            let hint = match crate::error::nearest(metric, &names) {
                Some(near) => format!("; did you mean '{near}'?"),
                None => format!("; there are: {}", crate::error::listing(&names)),
            };
            return Err(Error::NotFound { kind: "metric", name: metric.to_owned(), hint });
        }
        Ok(Chart(glisten_reports::chart::metric_per_step_by_strategy(&points, &self.runs()?, metric)?))
    }

    /// The chart of test accuracy by the fraction of the data trained on, one line a strategy, over the completed runs.
    ///
    /// # Errors
    /// [`Error::Report`] if there is nothing to draw yet.
    pub fn accuracy_chart(&self) -> Result<Chart> {
        Ok(Chart(glisten_reports::chart::accuracy_versus_fraction(&self.runs()?)?))
    }

    /// The chart of the speedup against full data by the fraction trained on, the choosing counted.
    ///
    /// # Errors
    /// [`Error::Report`] if there is nothing to draw yet.
    pub fn speedup_chart(&self) -> Result<Chart> {
        Ok(Chart(glisten_reports::chart::speedup_versus_fraction(&self.runs()?)?))
    }

    /// The chart of test accuracy by the seconds of training and choosing, one mark a strategy and fraction, with the Pareto
    /// front: what nothing else beats in both.
    ///
    /// # Errors
    /// [`Error::Report`] if the table of runs cannot be drawn.
    pub fn tradeoff_chart(&self) -> Result<Chart> {
        Ok(Chart(glisten_reports::chart::accuracy_versus_time(&self.runs()?)?))
    }

    /// The chart of where the time went: training, choosing and the rest, one bar a run, or of more than 40 runs one a
    /// strategy and fraction.
    ///
    /// # Errors
    /// [`Error::Report`] if the table of runs cannot be drawn.
    pub fn time_chart(&self) -> Result<Chart> {
        Ok(Chart(glisten_reports::chart::time_spent(&self.runs()?)?))
    }

    /// Any two columns of [`Experiment::runs`] against each other, one mark a run: see [`ChartExt::scatter`].
    ///
    /// # Errors
    /// As [`ChartExt::scatter`]; [`Error::Store`] if the store cannot be read.
    pub fn scatter(&self, x: &str, y: &str) -> Result<Chart> {
        self.runs()?.scatter(x, y)
    }

    /// Columns of [`Experiment::runs`] as parallel axes, one line a run, coloured by the last of them: see
    /// [`ChartExt::parallel_coordinates`].
    ///
    /// # Errors
    /// As [`ChartExt::parallel_coordinates`]; [`Error::Store`] if the store cannot be read.
    pub fn parallel_coordinates(&self, columns: &[&str]) -> Result<Chart> {
        self.runs()?.parallel_coordinates(columns)
    }
}
