//! Runs of another tracker, taken into the store as they were.

use std::collections::BTreeMap;

use rusqlite::params;

use super::experiment::check_name;
use super::life::{free_name, set_environment, set_parameters};
use super::metrics::keep_statistics;
use super::run::Status;
use super::{Experiment, MetricStats, Parameter, Run};
use crate::error::{Error, Result};

/// A run that another program kept. Its metrics are logged by [`Run::log_batch_at`] afterwards.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportedRun {
    /// How it ended. A run that was at work when it was exported is no longer known to be: not [`Status::Running`].
    pub status: Status,
    /// Why it failed, where it did.
    pub error: Option<String>,
    /// What its user wrote about it.
    pub note: Option<String>,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub created_ms: i64,
    /// When it ended, likewise.
    pub ended_ms: Option<i64>,
    /// Its parameters by name.
    pub parameters: BTreeMap<String, Parameter>,
    /// What its user marked it with, by name.
    pub tags: BTreeMap<String, String>,
    /// What it recorded of its surroundings.
    pub environment: BTreeMap<String, Parameter>,
    /// What is known of metrics whose values are not: they have these statistics, and no points.
    pub statistics: BTreeMap<String, MetricStats>,
}

impl Experiment {
    /// Keeps a run of another tracker, with the times and the status it had there. Where `name` is taken, it is called
    /// `name-2`, `name-3`, …
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that is empty or longer than 255 characters, and for [`Status::Running`];
    /// [`Error::Store`] if the file cannot be written.
    pub fn import_run(&self, name: &str, run: &ImportedRun) -> Result<Run> {
        check_name("run name", name)?;
        let names = run.parameters.keys().chain(run.tags.keys()).chain(run.environment.keys());
        let names = names.chain(run.statistics.keys());
        names.into_iter().try_for_each(|name| check_name("name of a parameter, tag or metric", name))?;
        if run.status == Status::Running {
            return Err(Error::argument("status of an imported run", "one that is not at work", "running"));
        }
        let (id, name) = self.store().write("importing a run", |transaction| {
            let name = free_name(transaction, self.id(), name)?;
            transaction.execute(
                "INSERT INTO runs (experiment, name, status, error, note, created, ended) VALUES (?, ?, ?, ?, ?, ?, ?)",
                params![self.id(), name, run.status.as_str(), run.error, run.note, run.created_ms, run.ended_ms],
            )?;
            let id = transaction.last_insert_rowid();
            let parameters = run.parameters.iter().map(|(name, value)| (name.as_str(), value));
            set_parameters(transaction, id, parameters)?;
            if !run.environment.is_empty() {
                set_environment(transaction, id, &run.environment)?;
            }
            for (name, value) in &run.tags {
                transaction
                    .prepare_cached("INSERT INTO tags (run, name, value) VALUES (?, ?, ?)")?
                    .execute(params![id, name, value])?;
            }
            for (name, stats) in &run.statistics {
                keep_statistics(transaction, id, name, stats)?;
            }
            Ok((id, name))
        })?;
        Ok(Run::new(self.store().clone(), id, self.name().to_owned(), name, false))
    }
}
