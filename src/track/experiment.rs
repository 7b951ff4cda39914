//! An experiment: a name under which runs are kept that are to be compared.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};

use super::life::{NewRun, Owner};
use super::store::now_ms;
use super::{ExperimentRecord, Parameter, Run, Store, current};
use crate::error::{Error, Result};

/// An experiment in a store.
#[derive(Debug, Clone)]
pub struct Experiment {
    store: Store,
    id: i64,
    name: String,
    reuse: bool,
}

/// A run that diverged: one seed gives one result, so a second try would end there too.
pub(crate) struct DivergedRun {
    pub(crate) run: Run,
    /// The epoch in which it did, counted from 1.
    pub(crate) epoch: usize,
    /// Why it is stored as failed.
    pub(crate) error: String,
}

impl Experiment {
    /// A new experiment in the default store ([`Store::default_path`]).
    ///
    /// # Errors
    /// [`Error::Argument`] if there is one of that name already, or the name is empty or longer than 255 characters.
    pub fn create(name: &str) -> Result<Self> {
        Self::create_in(&Store::open_default()?, name)
    }

    /// An experiment that exists in the default store.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, naming the nearest.
    pub fn open(name: &str) -> Result<Self> {
        Self::open_in(&Store::open_default()?, name)
    }

    /// An experiment to go on with: opened if it exists, else made. A training whose configuration has a completed
    /// run here is not done again: `fit` returns that run. So a notebook or a sweep that was killed can be started
    /// again and does only what is missing.
    ///
    /// # Errors
    /// As [`Experiment::create`], but for a name that exists.
    pub fn resume(name: &str) -> Result<Self> {
        Self::resume_in(&Store::open_default()?, name)
    }

    /// As [`Experiment::create`], in `store`.
    ///
    /// # Errors
    /// As [`Experiment::create`].
    pub fn create_in(store: &Store, name: &str) -> Result<Self> {
        check_name("experiment name", name)?;
        match store.insert_experiment(name)? {
            Some(id) => Ok(Self { store: store.clone(), id, name: name.to_owned(), reuse: false }),
            None => Err(Error::argument(
                "experiment name",
                format!("a name not yet used in {}", store.path().display()),
                format!("'{name}', which exists; Experiment::resume(\"{name}\") goes on with it"),
            )),
        }
    }

    /// As [`Experiment::open`], in `store`.
    ///
    /// # Errors
    /// As [`Experiment::open`].
    pub fn open_in(store: &Store, name: &str) -> Result<Self> {
        let id = store.experiment_id(name)?.ok_or_else(|| no_experiment(store, name))?;
        store.mark_dead_runs()?;
        Ok(Self { store: store.clone(), id, name: name.to_owned(), reuse: false })
    }

    /// As [`Experiment::resume`], in `store`.
    ///
    /// # Errors
    /// As [`Experiment::resume`].
    pub fn resume_in(store: &Store, name: &str) -> Result<Self> {
        check_name("experiment name", name)?;
        if store.experiment_id(name)?.is_none() {
            store.insert_experiment(name)?;
        }
        Ok(Self { reuse: true, ..Self::open_in(store, name)? })
    }

    /// The experiments of the default store, oldest first.
    ///
    /// # Errors
    /// [`Error::Store`] if the store cannot be read.
    pub fn list() -> Result<Vec<ExperimentRecord>> {
        Store::open_default()?.experiments()
    }

    /// Deletes an experiment of the default store, with its runs and their files.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, naming the nearest; [`Error::Argument`] while a run of it is at work: then
    /// nothing is deleted.
    pub fn delete(name: &str) -> Result<()> {
        Self::delete_in(&Store::open_default()?, name)
    }

    /// As [`Experiment::delete`], in `store`.
    ///
    /// # Errors
    /// As [`Experiment::delete`].
    pub fn delete_in(store: &Store, name: &str) -> Result<()> {
        Self::open_in(store, name)?.delete_runs(None)
    }

    /// Deletes a run, with its files.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, naming the nearest; [`Error::Argument`] while it is at work.
    pub fn delete_run(&self, name: &str) -> Result<()> {
        self.find_run(name)?;
        self.delete_runs(Some(name))
    }

    /// Deletes the run of that name, or all and the experiment itself.
    fn delete_runs(&self, run: Option<&str>) -> Result<()> {
        let deleted = self.store.write("deleting", |transaction| {
            let of = "experiment = ?1 AND (?2 IS NULL OR name = ?2)";
            let at_work: Option<String> = transaction
                .query_row(
                    &format!("SELECT name FROM runs WHERE {of} AND status = 'running'"),
                    params![self.id, run],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(name) = at_work {
                return Ok(Err(name));
            }
            let runs: Vec<i64> = transaction
                .prepare(&format!("SELECT id FROM runs WHERE {of}"))?
                .query_map(params![self.id, run], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            match run {
                Some(_) => {
                    transaction.execute(&format!("DELETE FROM runs WHERE {of}"), params![self.id, run])?
                }
                None => transaction.execute("DELETE FROM experiments WHERE id = ?", [self.id])?,
            };
            Ok(Ok(runs))
        })?;
        let runs = deleted.map_err(|name| {
            Error::argument(
                "what to delete",
                "nothing that is at work",
                format!("run '{name}', which is; stop it first"),
            )
        })?;
        self.store.remove_files_of(&runs);
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The store it is kept in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn id(&self) -> i64 {
        self.id
    }

    /// The run of that name, to log to: started if there is none, else loaded to go on with, whatever came of it. It is the
    /// process's current run until it is ended, which [`load_run`](super::load_run) gives. A run that another process is at work on
    /// can be logged to as well; it is the other one that ends it.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that is empty or longer than 255 characters, and while another run is the current one;
    /// [`Error::Store`] if the file cannot be written.
    pub fn run(&self, name: &str) -> Result<Run> {
        check_name("run name", name)?;
        current::check_free(&self.name, name)?;
        if let Some(run) = current::current().filter(|run| run.store().path() == self.store.path()) {
            return Ok(run);
        }
        let (id, owner) = self.store.take_up_or_insert(self.id, name)?;
        let run = self.handle(id, name, owner == Owner::This);
        current::begin(&run)?;
        Ok(run)
    }

    /// Starts a run, has `f` do the work, and ends the run: as completed, or as stopped or failed with `f`'s error.
    ///
    /// # Errors
    /// Those of `f` and of [`Experiment::run`].
    pub fn with_run<T>(&self, name: &str, f: impl FnOnce(&Run) -> Result<T>) -> Result<T> {
        let run = self.run(name)?;
        match f(&run) {
            Ok(value) => run.complete().map(|()| value),
            Err(error) => {
                run.end_with(&error)?;
                Err(error)
            }
        }
    }

    /// Starts a new run, beside others of this process. Where `name` is taken, the run is called `name-2`, `name-3`, …
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that is empty or longer than 255 characters; [`Error::Store`] if the file cannot
    /// be written.
    pub fn start_run(&self, name: &str) -> Result<Run> {
        self.start(name, None, &BTreeMap::new())
    }

    /// Makes a run that is started later, by [`Experiment::run`] or, in a job, by [`load_run`](super::load_run). Where `name` is taken,
    /// the run is called `name-2`, `name-3`, …
    ///
    /// # Errors
    /// As [`Experiment::start_run`].
    pub fn create_run(&self, name: &str) -> Result<Run> {
        check_name("run name", name)?;
        let new = NewRun { name, config: None, parameters: &BTreeMap::new(), started: false };
        let (id, name) = self.store.insert_run(self.id, new)?;
        Ok(self.handle(id, &name, false))
    }

    /// Starts a run with parameters and a configuration by which [`Experiment::completed_run`] finds it.
    pub(crate) fn start(
        &self,
        name: &str,
        config: Option<&str>,
        parameters: &BTreeMap<String, Parameter>,
    ) -> Result<Run> {
        check_name("run name", name)?;
        let (id, name) =
            self.store.insert_run(self.id, NewRun { name, config, parameters, started: true })?;
        Ok(self.handle(id, &name, true))
    }

    /// The run of that name, to read from.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, naming the nearest.
    pub fn find_run(&self, name: &str) -> Result<Run> {
        match self.store.run_id(self.id, name)? {
            Some(id) => Ok(self.handle(id, name, false)),
            None => Err(Error::not_found("run", name, &self.store.run_names(self.id)?)),
        }
    }

    /// Runs of this configuration that ended before their time, the latest first, if this experiment was opened by
    /// [`Experiment::resume`]. None of them is written to until [`Experiment::reopen`].
    pub(crate) fn unfinished_runs(&self, config: &str) -> Result<Vec<Run>> {
        if !self.reuse {
            return Ok(Vec::new());
        }
        let found = self.store.unfinished_runs(self.id, config)?;
        Ok(found.into_iter().map(|(id, name)| self.handle(id, &name, false)).collect())
    }

    /// The run of this configuration that diverged, if this experiment was opened by [`Experiment::resume`] and has one.
    pub(crate) fn diverged_run(&self, config: &str) -> Result<Option<DivergedRun>> {
        if !self.reuse {
            return Ok(None);
        }
        let found = self.store.diverged_run(self.id, config)?;
        Ok(found.map(|(id, name, epoch, error)| DivergedRun {
            run: self.handle(id, &name, false),
            epoch: epoch.parse().unwrap_or_default(),
            error,
        }))
    }

    /// Goes on with `run` behind `last_step`: what it logged beyond is dropped. `None` if another process has taken it up.
    pub(crate) fn reopen(&self, run: &Run, last_step: i64) -> Result<Option<Run>> {
        let is_ours = self.store.reopen_run(run.id(), last_step)?;
        Ok(is_ours.then(|| self.handle(run.id(), run.name(), true)))
    }

    /// The completed run of this configuration, if this experiment was opened by [`Experiment::resume`] and has one.
    pub(crate) fn completed_run(&self, config: &str) -> Result<Option<Run>> {
        if !self.reuse {
            return Ok(None);
        }
        let found = self.store.completed_run(self.id, config)?;
        Ok(found.map(|(id, name)| self.handle(id, &name, false)))
    }

    fn handle(&self, id: i64, name: &str, owned: bool) -> Run {
        Run::new(self.store.clone(), id, self.name.clone(), name.to_owned(), owned)
    }
}

impl Store {
    fn experiment_id(&self, name: &str) -> Result<Option<i64>> {
        self.read("looking up an experiment", |connection| {
            connection
                .query_row("SELECT id FROM experiments WHERE name = ?", [name], |row| row.get(0))
                .optional()
        })
    }

    /// The new experiment's key, or `None` if the name is taken.
    fn insert_experiment(&self, name: &str) -> Result<Option<i64>> {
        self.write("making an experiment", |transaction| {
            let sql = "INSERT INTO experiments (name, created) VALUES (?, ?) ON CONFLICT (name) DO NOTHING RETURNING id";
            transaction.query_row(sql, params![name, now_ms()], |row| row.get(0)).optional()
        })
    }
}

fn no_experiment(store: &Store, name: &str) -> Error {
    let names = store.experiment_names().unwrap_or_default();
    let hint = match crate::error::nearest(name, &names) {
        Some(near) => format!(" in {}; did you mean '{near}'?", store.path().display()),
        None => format!(" in {}; it holds: {}", store.path().display(), crate::error::listing(&names)),
    };
    Error::NotFound { kind: "experiment", name: name.to_owned(), hint }
}

/// Any Unicode text of 1 to 255 characters that does not consist of white space.
pub(super) fn check_name(what: &str, name: &str) -> Result<()> {
    // A character has four bytes at most.
    let is_long = name.len() > 255 && name.chars().count() > 255;
    if is_long || name.trim_start().is_empty() {
        let got = if is_long { format!("{} characters", name.chars().count()) } else { format!("{name:?}") };
        return Err(Error::argument(what, "1 to 255 characters, not all of them white space", got));
    }
    Ok(())
}
