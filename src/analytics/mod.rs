//! Runs as Polars dataframes and as charts.

mod compare;
mod frame;
mod names;
mod property;
mod query;
pub mod search;
mod selections;
mod sort;

pub use query::{ExperimentAnalytics, SortOrder};
pub use search::{IntoSearch, Operator, Search};
pub use sort::RunsExt;

use polars::prelude::DataFrame;

use crate::error::{Error, Result};
use crate::track::{Experiment, Store};

/// A chart, drawn as SVG. A notebook shows it as a picture.
#[derive(Debug, Clone)]
pub struct Chart(glisten_reports::Svg);

impl Chart {
    /// The whole `<svg>` element; it needs nothing from outside.
    pub fn svg(&self) -> &str {
        self.0.as_str()
    }

    /// What it shows, in a sentence with its numbers.
    pub fn description(&self) -> &str {
        self.0.description()
    }

    /// Writes the SVG to a file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Report`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        Ok(glisten_reports::write(path.as_ref(), self.svg())?)
    }
}

impl Experiment {
    /// One row a run, in the order they were started: `run`, `experiment`, `status`, the parameters, for each metric
    /// `.max .min .avg .stddev .last .count .nonfinite` (statistics over its finite values), `created` and `ended`
    /// (UTC), `error`, and where any run has them `note` and `tags.NAME`.
    ///
    /// # Errors
    /// [`Error::Store`] if the store cannot be read.
    pub fn runs(&self) -> Result<DataFrame> {
        runs(self.store(), Some(self.name()))
    }

    /// Every value of every metric: `experiment` (str), `run` (str), `metric` (str), `step` (i64), `value` (f64),
    /// `time` (UTC; null where a store of an older version did not keep it).
    ///
    /// # Errors
    /// [`Error::Store`] if the store cannot be read.
    pub fn metrics(&self) -> Result<DataFrame> {
        metrics(self.store(), Some(self.name()), None)
    }

    /// The chart of a metric: its value by step, one line a run, coloured by strategy.
    ///
    /// # Errors
    /// [`Error::NotFound`] if no run has that metric, naming those there are.
    pub fn chart(&self, metric: &str) -> Result<Chart> {
        let points = metrics(self.store(), Some(self.name()), Some(metric))?;
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
}

/// As [`Experiment::runs`], for one experiment of `store` or for all.
///
/// # Errors
/// [`Error::Store`] if the store cannot be read.
pub fn runs(store: &Store, experiment: Option<&str>) -> Result<DataFrame> {
    let runs = store.run_records(experiment)?;
    frame::runs(&runs.iter().collect::<Vec<_>>())
}

/// As [`Experiment::metrics`], for one experiment of `store` or for all, and one metric or all.
///
/// # Errors
/// [`Error::Store`] if the store cannot be read.
pub fn metrics(store: &Store, experiment: Option<&str>, metric: Option<&str>) -> Result<DataFrame> {
    let points = store.metric_points(experiment, metric)?;
    frame::metrics(&points.iter().collect::<Vec<_>>())
}
