//! Progress of long calls: the library says how far it is, and whoever shows it (a terminal, a notebook) listens.

use std::sync::{Arc, RwLock};

/// How far one training run is, said once an epoch (and once before the first).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunProgress {
    /// The experiment's name.
    pub experiment: String,
    /// The run's name within it.
    pub run: String,
    /// The name of the selection strategy, as `glister`.
    pub strategy: String,
    /// The share of the training set that an epoch trains on, in (0, 1].
    pub fraction: f64,
    /// Epochs done.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Mean training loss of the last epoch.
    pub train_loss: Option<f64>,
    /// Validation accuracy after the last epoch, in [0, 1].
    pub validation_accuracy: Option<f64>,
    /// Images trained on in a second, over the last epoch.
    pub images_per_sec: Option<f64>,
}

/// How far a sweep is, said before its first run and after each one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepProgress {
    /// The experiment's name.
    pub experiment: String,
    /// Runs that are done, those that were done before among them.
    pub n_done: usize,
    /// Of these, the runs that this sweep found done before, or that had diverged before and were not tried again.
    pub n_reused: usize,
    /// Of these, the runs that failed, in this call or before.
    pub n_failed: usize,
    /// Runs in all.
    pub n_runs: usize,
}

/// Something that shows progress.
pub trait Listener: Send + Sync {
    /// A run starts, with `epoch` 0, or has finished one more epoch.
    fn run(&self, progress: &RunProgress);
    /// The run has ended: completed, stopped or failed.
    fn run_ended(&self, progress: &RunProgress, status: &str);
    /// A sweep starts, with `n_done` 0, or one more of its runs is done.
    fn sweep(&self, _progress: &SweepProgress) {}
    /// The sweep has ended, be it early.
    fn sweep_ended(&self, _progress: &SweepProgress) {}
    /// A remark about something long that is not a run ("fetching fashion-mnist with apt-get").
    fn note(&self, text: &str);
}

static LISTENER: RwLock<Option<Arc<dyn Listener>>> = RwLock::new(None);

/// Makes `listener` the one that shows this process's progress; `None` for silence.
pub fn set_listener(listener: Option<Arc<dyn Listener>>) {
    *LISTENER.write().unwrap_or_else(std::sync::PoisonError::into_inner) = listener;
}

/// Calls `f` with the listener, if there is one.
pub(crate) fn tell(f: impl FnOnce(&dyn Listener)) {
    let listener = LISTENER.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    if let Some(listener) = listener {
        f(listener.as_ref());
    }
}
