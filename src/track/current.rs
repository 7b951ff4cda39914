//! The run that this process is at, so that code far from where it was started can log to it.

use std::sync::{Mutex, PoisonError, Weak};

use super::run::{Inner, Run};
use super::store::now_ms;
use super::{Experiment, Store};
use crate::error::{Error, Result};

/// Names the experiment of a job's run: see [`load_run`].
pub const EXPERIMENT_VARIABLE: &str = "GLISTEN_EXPERIMENT";

/// Names a job's run: see [`load_run`].
pub const RUN_VARIABLE: &str = "GLISTEN_RUN";

static CURRENT: Mutex<Weak<Inner>> = Mutex::new(Weak::new());

/// The run that [`Experiment::run`] started or loaded in this process and that has not ended yet; else, in a job, the run
/// that the environment variables `GLISTEN_EXPERIMENT` and `GLISTEN_RUN` name, in the default store. There it is made if
/// there is none, and it is this process's own unless another one is at work on it.
///
/// # Errors
/// [`Error::NotFound`] if there is neither.
pub fn load_run() -> Result<Run> {
    if let Some(run) = current() {
        return Ok(run);
    }
    let named = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    let (Some(experiment), Some(run)) = (named(EXPERIMENT_VARIABLE), named(RUN_VARIABLE)) else {
        let hint = format!(
            ": no run has been started by `experiment.run(name)` in this process, and the environment names none \
             ({EXPERIMENT_VARIABLE} and {RUN_VARIABLE})"
        );
        return Err(Error::NotFound { kind: "run at work", name: "current".to_owned(), hint });
    };
    Experiment::resume_in(&Store::open_default()?, &experiment)?.run(&run)
}

/// The current run, if there is one that has not ended.
pub(super) fn current() -> Option<Run> {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    current.upgrade().map(Run::of).filter(|run| !run.has_ended())
}

/// Makes `run` the current one.
///
/// # Errors
/// [`Error::Argument`] while another one is.
pub(super) fn begin(run: &Run) -> Result<()> {
    check_free(run.experiment(), run.name())?;
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = run.weak();
    Ok(())
}

/// Refuses a second run beside the current one.
pub(super) fn check_free(experiment: &str, name: &str) -> Result<()> {
    let Some(current) = current() else { return Ok(()) };
    if current.experiment() == experiment && current.name() == name {
        return Ok(());
    }
    Err(Error::argument(
        "run",
        format!(
            "no run within another: '{}' of experiment '{}' is at work in this process. End it first (`complete()`), \
             or start one beside it by `start_run(name)`",
            current.name(),
            current.experiment()
        ),
        format!("'{name}' of experiment '{experiment}'"),
    ))
}

/// `base` with the time and a few random letters behind it, at most 63 characters: a name that no other experiment or run
/// has.
pub fn unique_name_from_base(base: &str) -> String {
    const LONGEST: usize = 63;
    // 13 digits of milliseconds since 1970, four letters.
    let random: u32 = rand::random();
    let end = format!("-{}-{:04x}", now_ms(), random & 0xFFFF);
    let base: String = base.chars().take(LONGEST - end.len()).collect();
    format!("{base}{end}")
}
