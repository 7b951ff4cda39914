//! Runs as Polars dataframes and as charts.

mod charts;
mod compare;
mod frame;
mod names;
mod property;
mod query;
pub mod search;
mod selections;
mod sort;

pub use charts::{Chart, ChartExt};
pub use query::{ExperimentAnalytics, SortOrder};
pub use search::{IntoSearch, Operator, Search};
pub use sort::{RunsExt, lowest_is_best};

use polars::prelude::DataFrame;

use crate::error::Result;
use crate::track::{Experiment, Store};

impl Experiment {
    /// One row a run, in the order they were started: `run`, `experiment`, `status`, the parameters, for each metric
    /// `.max .min .avg .stddev .last .count .nonfinite` (statistics over its finite values), `created` and `ended`
    /// (UTC), `error`, and where any run has them `note` and `tags.NAME`.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store) if the store cannot be read.
    pub fn runs(&self) -> Result<DataFrame> {
        runs(self.store(), Some(self.name()))
    }

    /// Every value of every metric: `experiment` (str), `run` (str), `metric` (str), `step` (i64), `value` (f64),
    /// `time` (UTC; null where a store of an older version did not keep it).
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store) if the store cannot be read.
    pub fn metrics(&self) -> Result<DataFrame> {
        metrics(self.store(), Some(self.name()), None)
    }
}

/// As [`Experiment::runs`], for one experiment of `store` or for all.
///
/// # Errors
/// [`Error::Store`](crate::Error::Store) if the store cannot be read.
pub fn runs(store: &Store, experiment: Option<&str>) -> Result<DataFrame> {
    let runs = store.run_records(experiment)?;
    frame::runs(&runs.iter().collect::<Vec<_>>())
}

/// As [`Experiment::metrics`], for one experiment of `store` or for all, and one metric or all.
///
/// # Errors
/// [`Error::Store`](crate::Error::Store) if the store cannot be read.
pub fn metrics(store: &Store, experiment: Option<&str>, metric: Option<&str>) -> Result<DataFrame> {
    let points = store.metric_points(experiment, metric)?;
    frame::metrics(&points.iter().collect::<Vec<_>>())
}
