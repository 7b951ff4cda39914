//! Experiments in and out: files that other tools read, an MLflow server, and what others have kept.
//!
//! ```no_run
//! # use glisten::prelude::*;
//! # fn main() -> Result<()> {
//! let study = Experiment::open("how-much-data")?;
//! study.export().parquet("how-much-data")?;
//! study.export().runs(["glister 30 % seed 0"]).tensorboard("logs")?;
//! study.export().mlflow(&MlflowServer::new("http://127.0.0.1:5000")?)?;
//! # Ok(())
//! # }
//! ```

mod address;
mod artifacts;
mod files;
mod import;
mod json_lines;
mod mlflow;
mod tables;
mod tensorboard;

use std::path::PathBuf;

pub(crate) use files::file_name;
pub use import::{Imported, import_mlflow, import_sagemaker};
pub use mlflow::{MlflowExported, MlflowServer};
pub use tables::csv_cell;

use crate::error::{Error, Result};
use crate::track::{Experiment, RunRecord, leave_context_out};

/// An experiment about to be exported: all of its runs, or those named, with their artifacts and selections.
#[derive(Debug, Clone)]
#[must_use = "nothing is exported before it is said to where"]
pub struct Export<'a> {
    experiment: &'a Experiment,
    runs: Option<Vec<String>>,
    with_artifacts: bool,
    with_selections: bool,
    raw_text: bool,
    with_context: bool,
}

/// The files of an export. Each of them is there whole or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// In the order they were written.
    pub files: Vec<PathBuf>,
    /// Their size together.
    pub n_bytes: u64,
    /// How many runs are in them.
    pub n_runs: usize,
    /// How many values of metrics.
    pub n_values: usize,
}

impl std::fmt::Display for Exported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first: Vec<String> = self.files.iter().take(3).map(|file| file.display().to_string()).collect();
        let more = match self.files.len().saturating_sub(3) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        write!(
            f,
            "{}, {} of metrics: {}{more} ({:.0} kB)",
            counted(self.n_runs, "run"),
            counted(self.n_values, "value"),
            first.join(", "),
            self.n_bytes as f64 / 1e3
        )
    }
}

/// As `1 run` or `3 runs`.
fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

impl Experiment {
    /// Begins an export of this experiment: say to where with [`Export::parquet`], [`Export::csv`],
    /// [`Export::json_lines`], [`Export::tensorboard`] or [`Export::mlflow`].
    pub fn export(&self) -> Export<'_> {
        Export {
            experiment: self,
            runs: None,
            with_artifacts: true,
            with_selections: true,
            with_context: true,
            raw_text: false,
        }
    }
}

impl<'a> Export<'a> {
    /// Only the runs of these names.
    pub fn runs<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.runs = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Whether artifacts and selections go along; they do unless this says no. TensorBoard has no place for them.
    pub fn artifacts(mut self, with_artifacts: bool) -> Self {
        self.with_artifacts = with_artifacts;
        self.with_selections = with_artifacts;
        self
    }

    /// Whether selections go along, where artifacts do not: after [`Export::artifacts`], which decides for both.
    pub fn selections(mut self, with_selections: bool) -> Self {
        self.with_selections = with_selections;
        self
    }

    /// Whether [`Export::csv`] writes texts just as they are; unless this says so, see [`csv_cell`].
    pub fn raw_text(mut self, raw_text: bool) -> Self {
        self.raw_text = raw_text;
        self
    }

    /// Whether what tells who ran something and where goes along: the command line, the folder and the machine's name. It does
    /// unless this says no. The git commit, versions and numbers of threads always do.
    pub fn context(mut self, with_context: bool) -> Self {
        self.with_context = with_context;
        self
    }

    fn experiment(&self) -> &'a Experiment {
        self.experiment
    }

    /// The runs to export, in the order they were started.
    fn records(&self) -> Result<Vec<RunRecord>> {
        let mut records = self.experiment.store().run_records(Some(self.experiment.name()))?;
        for record in records.iter_mut().filter(|_| !self.with_context) {
            leave_context_out(&mut record.environment);
        }
        let Some(wanted) = &self.runs else { return Ok(records) };
        let names: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
        if let Some(missing) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
            return Err(Error::not_found("run", missing, &names));
        }
        Ok(records.into_iter().filter(|record| wanted.contains(&record.name)).collect())
    }
}
