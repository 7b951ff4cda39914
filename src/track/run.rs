//! One training: its status, parameters and metrics.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use super::experiment::check_name;
use super::metrics::Point;
use super::{Parameter, SelectionRecord, Store};
use crate::error::{Error, Result};
use crate::select::Selection;

/// The tag of a run that diverged; its value is the epoch, counted from 1.
pub(super) const DIVERGED: &str = "diverged";

/// Where a run stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// It was made, and nobody has started it yet.
    #[default]
    Created,
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
    /// Every status there is.
    pub const ALL: [Self; 5] = [Self::Created, Self::Running, Self::Completed, Self::Failed, Self::Stopped];

    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Whether the run is over.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Stopped)
    }

    /// The table's CHECK allows no other texts.
    pub(super) fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|status| status.as_str() == text).unwrap_or(Self::Failed)
    }
}

/// A run to write to and to read from. Clones stand for the same run. One that this process has started, and of which the
/// last clone is dropped before it was ended (by `?`, by a panic), is stored as failed.
#[derive(Debug, Clone)]
pub struct Run(Arc<Inner>);

/// What the clones of a run share.
#[derive(Debug)]
pub(super) struct Inner {
    store: Store,
    id: i64,
    experiment: String,
    name: String,
    /// Whether this process ends it.
    owned: bool,
    ended: AtomicBool,
}

impl Run {
    /// `owned`: whether it is at work in this process, which then has to end it.
    pub(super) fn new(store: Store, id: i64, experiment: String, name: String, owned: bool) -> Self {
        Self(Arc::new(Inner { store, id, experiment, name, owned, ended: AtomicBool::new(false) }))
    }

    pub(super) fn of(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    pub(super) fn weak(&self) -> Weak<Inner> {
        Arc::downgrade(&self.0)
    }

    /// Whether it has been ended through this or a clone of it.
    pub(super) fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }

    /// Its name, unique within its experiment.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The name of the experiment it belongs to.
    pub fn experiment(&self) -> &str {
        &self.0.experiment
    }

    /// The store it is kept in.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Key within the store.
    pub fn id(&self) -> i64 {
        self.0.id
    }

    /// Keeps one value. When this returns, the value survives the death of the process.
    ///
    /// # Errors
    /// [`Error::Argument`] for an empty name; [`Error::Store`] if the file cannot be written.
    pub fn log_metric(&self, name: &str, value: f64, step: i64) -> Result<()> {
        self.log(&[Point { metric: name, step, value, time_ms: None }])
    }

    /// Keeps several values of one step, in one transaction.
    ///
    /// # Errors
    /// As [`Run::log_metric`]; then none of the values is kept.
    pub fn log_metrics(&self, step: i64, values: &[(&str, f64)]) -> Result<()> {
        let points: Vec<_> =
            values.iter().map(|&(metric, value)| Point { metric, step, value, time_ms: None }).collect();
        self.log(&points)
    }

    /// Keeps values of many metrics and steps (metric, step, value), in one transaction.
    ///
    /// # Errors
    /// As [`Run::log_metrics`].
    pub fn log_batch(&self, values: &[(&str, i64, f64)]) -> Result<()> {
        let points: Vec<_> = values
            .iter()
            .map(|&(metric, step, value)| Point { metric, step, value, time_ms: None })
            .collect();
        self.log(&points)
    }

    /// As [`Run::log_batch`], for values of another time (milliseconds since 1970, UTC).
    ///
    /// # Errors
    /// As [`Run::log_metrics`].
    pub fn log_batch_at(&self, values: &[(&str, i64, f64, i64)]) -> Result<()> {
        let points: Vec<_> = values
            .iter()
            .map(|&(metric, step, value, time)| Point { metric, step, value, time_ms: Some(time) })
            .collect();
        self.log(&points)
    }

    fn log(&self, points: &[Point<'_>]) -> Result<()> {
        // The same name in a row is looked at once.
        for same in points.chunk_by(|a, b| a.metric == b.metric) {
            check_name("metric name", same[0].metric)?;
        }
        self.store().log_points(self.id(), points)
    }

    /// Keeps a parameter; one logged again is replaced.
    ///
    /// # Errors
    /// As [`Run::log_metric`].
    pub fn log_parameter(&self, name: &str, value: impl Into<Parameter>) -> Result<()> {
        self.keep_parameters(&[(name, &value.into())])
    }

    /// Keeps parameters, in one transaction; those logged again are replaced.
    ///
    /// # Errors
    /// As [`Run::log_metric`]; then none of them is kept.
    pub fn log_parameters<N: AsRef<str>, V: Into<Parameter>>(
        &self,
        parameters: impl IntoIterator<Item = (N, V)>,
    ) -> Result<()> {
        let parameters: Vec<(N, Parameter)> =
            parameters.into_iter().map(|(name, value)| (name, value.into())).collect();
        let parameters: Vec<(&str, &Parameter)> =
            parameters.iter().map(|(name, value)| (name.as_ref(), value)).collect();
        self.keep_parameters(&parameters)
    }

    /// What [`Run::log_parameters`] does once it is free of its caller's types: generic code is compiled where it is called,
    /// and a notebook cell does not see the store's C library.
    fn keep_parameters(&self, parameters: &[(&str, &Parameter)]) -> Result<()> {
        for (name, _) in parameters {
            check_name("parameter name", name)?;
        }
        self.store().set_parameters(self.id(), parameters)
    }

    /// Marks the run with a word of its user's; one set again is replaced.
    ///
    /// # Errors
    /// As [`Run::log_metric`].
    pub fn set_tag(&self, name: &str, value: &str) -> Result<()> {
        check_name("tag name", name)?;
        self.store().set_tag(self.id(), name, value)
    }

    /// Keeps what its user has to say about the run, instead of what was said before; nothing for an empty text.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be written.
    pub fn set_note(&self, note: &str) -> Result<()> {
        self.store().set_note(self.id(), Some(note).filter(|note| !note.is_empty()))
    }

    /// Adds to the run's log, line by line: `glisten logs` shows it, also while the run is at work.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be written.
    pub fn log_text(&self, text: &str) -> Result<()> {
        self.store().log_text(self.id(), text)
    }

    /// Keeps which samples were chosen to train on from `epoch` on (counted from 1), with their gains and weights where
    /// there are any. When this returns, they survive the death of the process, as metrics do.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be written.
    pub fn log_selection(&self, epoch: i64, selection: &Selection) -> Result<()> {
        self.store().log_selection(self.id(), &SelectionRecord::of(epoch, selection)?)
    }

    /// The selections kept with this run, by epoch.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be read; [`Error::BadFile`] if a selection in it cannot be decoded.
    pub fn selection_records(&self) -> Result<Vec<SelectionRecord>> {
        self.store().selection_records(self.id())
    }

    /// Where this run's checkpoint is kept while it is at work: a file in [`Store::folder`].
    pub fn checkpoint_path(&self) -> PathBuf {
        self.store().folder().join(format!("run-{}.safetensors", self.id()))
    }

    /// Ends the run as completed.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be written.
    pub fn complete(&self) -> Result<()> {
        self.0.end(Status::Completed, None)
    }

    /// Ends the run as stopped by its user.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be written.
    pub fn stop(&self) -> Result<()> {
        self.0.end(Status::Stopped, None)
    }

    /// Ends the run as failed, and says why.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be written.
    pub fn fail(&self, error: &str) -> Result<()> {
        self.0.end(Status::Failed, Some(error))
    }

    /// Ends the run as stopped where `error` is [`Error::Interrupted`], else as failed with `error`'s text. One that diverged
    /// ([`Error::Diverged`]) is marked with the tag `diverged`, the epoch: reports and [`RunsExt::best_first`] count it as the
    /// worst.
    ///
    /// [`RunsExt::best_first`]: crate::analytics::RunsExt::best_first
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be written.
    pub fn end_with(&self, error: &Error) -> Result<Status> {
        let status = if matches!(error, Error::Interrupted(_)) { Status::Stopped } else { Status::Failed };
        if let Error::Diverged { epoch, .. } = error {
            self.set_tag(DIVERGED, &epoch.to_string())?;
        }
        self.0.end(status, Some(&error.to_string()))?;
        Ok(status)
    }
}

impl Inner {
    fn end(&self, status: Status, error: Option<&str>) -> Result<()> {
        self.store.end_run(self.id, status, error)?;
        self.ended.store(true, Ordering::Release);
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.owned && !*self.ended.get_mut() {
            let why = if std::thread::panicking() {
                "a panic ended it"
            } else {
                "it was dropped before it ended (an early return, or no `complete()`)"
            };
            // Nobody is left to tell: a run that stays "running" is found at the next opening, by its process.
            let _ = self.end(Status::Failed, Some(why));
        }
    }
}
