//! An experiment: a name under which runs are kept that are to be compared.

use std::collections::BTreeMap;

use super::{Parameter, Run, Store};
use crate::error::{Error, Result};

/// An experiment in a store.
#[derive(Debug, Clone)]
pub struct Experiment {
    store: Store,
    id: i64,
    name: String,
    reuse: bool,
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
        let Some(id) = store.experiment_id(name)? else {
            let names = store.experiment_names()?;
            return Err(Error::NotFound {
                kind: "experiment",
                name: name.to_owned(),
                hint: match crate::error::nearest(name, &names) {
                    Some(near) => format!(" in {}; did you mean '{near}'?", store.path().display()),
                    None => {
                        format!(" in {}; it holds: {}", store.path().display(), crate::error::listing(&names))
                    }
                },
            });
        };
        store.mark_dead_runs(id)?;
        Ok(Self { store: store.clone(), id, name: name.to_owned(), reuse: false })
    }

    /// As [`Experiment::resume`], in `store`.
    ///
    /// # Errors
    /// As [`Experiment::resume`].
    pub fn resume_in(store: &Store, name: &str) -> Result<Self> {
        check_name("experiment name", name)?;
        store.insert_experiment(name)?;
        Ok(Self { reuse: true, ..Self::open_in(store, name)? })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The store it is kept in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Starts a run. Where `name` is taken, the run is called `name-2`, `name-3`, …
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that is empty or longer than 255 characters; [`Error::Store`] if the file cannot
    /// be written.
    pub fn start_run(&self, name: &str) -> Result<Run> {
        self.start(name, None, &BTreeMap::new())
    }

    /// Starts a run with parameters and a configuration by which [`Experiment::completed_run`] finds it.
    pub(crate) fn start(
        &self,
        name: &str,
        config: Option<&str>,
        parameters: &BTreeMap<String, Parameter>,
    ) -> Result<Run> {
        check_name("run name", name)?;
        let (id, name) = self.store.insert_run(self.id, name, config, parameters)?;
        Ok(Run::new(self.store.clone(), id, self.name.clone(), name, false))
    }

    /// The run of that name, to read from.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, naming the nearest.
    pub fn run(&self, name: &str) -> Result<Run> {
        if let Some(id) = self.store.run_id(self.id, name)? {
            return Ok(Run::new(self.store.clone(), id, self.name.clone(), name.to_owned(), true));
        }
        let names: Vec<String> =
            self.store.run_records(Some(&self.name))?.into_iter().map(|record| record.name).collect();
        let hint = match crate::error::nearest(name, &names) {
            Some(near) => format!("; did you mean '{near}'?"),
            None => format!("; there are: {}", crate::error::listing(&names)),
        };
        Err(Error::NotFound { kind: "run", name: name.to_owned(), hint })
    }

    /// Runs of this configuration that ended before their time, the latest first, if this experiment was opened by
    /// [`Experiment::resume`]. None of them is written to until [`Experiment::reopen`].
    pub(crate) fn unfinished_runs(&self, config: &str) -> Result<Vec<Run>> {
        if !self.reuse {
            return Ok(Vec::new());
        }
        let found = self.store.unfinished_runs(self.id, config)?;
        let run = |(id, name)| Run::new(self.store.clone(), id, self.name.clone(), name, true);
        Ok(found.into_iter().map(run).collect())
    }

    /// Goes on with `run` behind `last_step`: what it logged beyond is dropped. `None` if another process has taken it up.
    pub(crate) fn reopen(&self, run: &Run, last_step: i64) -> Result<Option<Run>> {
        let is_ours = self.store.reopen_run(run.id(), last_step)?;
        let reopened =
            || Run::new(self.store.clone(), run.id(), self.name.clone(), run.name().to_owned(), false);
        Ok(is_ours.then(reopened))
    }

    /// The completed run of this configuration, if this experiment was opened by [`Experiment::resume`] and has one.
    pub(crate) fn completed_run(&self, config: &str) -> Result<Option<Run>> {
        if !self.reuse {
            return Ok(None);
        }
        let found = self.store.completed_run(self.id, config)?;
        Ok(found.map(|(id, name)| Run::new(self.store.clone(), id, self.name.clone(), name, true)))
    }
}

/// Any Unicode text of 1 to 255 characters that does not consist of white space.
pub(super) fn check_name(what: &str, name: &str) -> Result<()> {
    let n_chars = name.chars().count();
    if name.trim().is_empty() || n_chars > 255 {
        let got = if n_chars > 255 { format!("{n_chars} characters") } else { format!("{name:?}") };
        return Err(Error::argument(what, "1 to 255 characters, not all of them white space", got));
    }
    Ok(())
}
