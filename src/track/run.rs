//! One training: its status, parameters and metrics.

use std::path::PathBuf;

use super::{Parameter, SelectionRecord, Store};
use crate::error::{Error, Result};
use crate::select::Selection;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is at work.
    Running,
    /// It came to its end.
    Completed,
    /// It ended with an error, or its process died.
    Failed,
    /// It was stopped by its user.
    Stopped,
}

impl Status {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// The table's CHECK allows no other texts.
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "running" => Self::Running,
            "completed" => Self::Completed,
            "stopped" => Self::Stopped,
            _ => Self::Failed,
        }
    }
}

/// A run that can be written to. A run that is dropped before it was ended (by `?`, by a panic) is stored as failed.
#[derive(Debug)]
pub struct Run {
    store: Store,
    id: i64,
    experiment: String,
    name: String,
    ended: bool,
}

impl Run {
    pub(super) fn new(store: Store, id: i64, experiment: String, name: String, ended: bool) -> Self {
        Self { store, id, experiment, name, ended }
    }

    /// Its name, unique within its experiment.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the experiment it belongs to.
    pub fn experiment(&self) -> &str {
        &self.experiment
    }

    /// Keeps one value. When this returns, the value survives the death of the process.
    ///
    /// # Errors
    /// [`Error::Argument`] for an empty name; [`Error::Store`] if the file cannot be written.
    pub fn log_metric(&self, name: &str, value: f64, step: i64) -> Result<()> {
        self.log_metrics(step, &[(name, value)])
    }

    /// Keeps several values of one step, in one transaction.
    ///
    /// # Errors
    /// As [`Run::log_metric`]; then none of the values is kept.
    pub fn log_metrics(&self, step: i64, values: &[(&str, f64)]) -> Result<()> {
        for (name, _) in values {
            super::experiment::check_name("metric name", name)?;
        }
        self.store.log_metrics(self.id, step, values)
    }

    /// Keeps a parameter; one logged again is replaced.
    ///
    /// # Errors
    /// As [`Run::log_metric`].
    pub fn log_parameter(&self, name: &str, value: impl Into<Parameter>) -> Result<()> {
        super::experiment::check_name("parameter name", name)?;
        self.store.set_parameter(self.id, name, &value.into())
    }

    /// Keeps which samples were chosen to train on from `epoch` on (counted from 1), with their gains and weights where
    /// there are any. When this returns, they survive the death of the process, as metrics do.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be written.
    pub fn log_selection(&self, epoch: i64, selection: &Selection) -> Result<()> {
        self.store.log_selection(self.id, &SelectionRecord::of(epoch, selection)?)
    }

    /// The selections kept with this run, by epoch.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be read; [`Error::BadFile`] if a selection in it cannot be decoded.
    pub fn selection_records(&self) -> Result<Vec<SelectionRecord>> {
        self.store.selection_records(self.id)
    }

    /// Key within the store.
    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// Where this run's checkpoint is kept while it is at work: a file in [`Store::folder`].
    pub fn checkpoint_path(&self) -> PathBuf {
        self.store.folder().join(format!("run-{}.safetensors", self.id))
    }

    /// Ends the run as completed.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be written.
    pub fn complete(&mut self) -> Result<()> {
        self.end(Status::Completed, None)
    }

    /// Ends the run as stopped where `error` is [`Error::Interrupted`], else as failed with `error`'s text.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be written.
    pub fn end_with(&mut self, error: &Error) -> Result<Status> {
        let status = if matches!(error, Error::Interrupted(_)) { Status::Stopped } else { Status::Failed };
        self.end(status, Some(&error.to_string()))?;
        Ok(status)
    }

    fn end(&mut self, status: Status, error: Option<&str>) -> Result<()> {
        self.store.end_run(self.id, status, error)?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.ended {
            // Nobody is left to tell: a run that stays "running" is found at the next opening, by its process.
            let _ =
                self.end(Status::Failed, Some("it was dropped before it ended (an early return or a panic)"));
        }
    }
}
