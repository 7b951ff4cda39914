//! Following a store that other processes write: asks it cheaply whether anything is new, and knows when no run is at work.

use std::time::{Duration, Instant};

use glisten::interrupt;
use glisten::track::{Experiment, RunRecord, Store};

/// How often the store is asked whether anything is new; the answer takes some microseconds.
const POLL: Duration = Duration::from_millis(100);
/// How often runs are looked for whose process is no more.
const DEAD_RUNS: Duration = Duration::from_secs(5);
/// A sweep has a moment between two runs at which none is at work: this long is no end yet.
const PAUSE: Duration = Duration::from_secs(3);

/// Why a follower has come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Something was written.
    Changed,
    /// The caller's own condition is met.
    Redraw,
    /// No run is at work any more.
    Ended,
    /// Ctrl-C was pressed.
    Interrupted,
}

/// Waits for changes in a store.
pub(super) struct Follower {
    store: Store,
    /// Only these experiments count; all where there is none.
    experiments: Vec<String>,
    is_forever: bool,
    version: i64,
    n_at_work: usize,
    /// When a run was last seen at work; none before the first one was.
    seen_at_work: Option<Instant>,
    looked_for_dead_runs: Instant,
    /// When the last change was told, and until when the next one waits.
    told: Option<Instant>,
    not_before: Instant,
}

impl Follower {
    pub(super) fn new(store: &Store, experiments: &[String], is_forever: bool) -> glisten::Result<Self> {
        let mut follower = Self {
            store: store.clone(),
            experiments: experiments.to_vec(),
            is_forever,
            version: store.data_version()?,
            n_at_work: 0,
            seen_at_work: None,
            looked_for_dead_runs: Instant::now(),
            told: None,
            not_before: Instant::now(),
        };
        follower.look()?;
        Ok(follower)
    }

    /// Runs at work when it last looked.
    pub(super) fn n_at_work(&self) -> usize {
        self.n_at_work
    }

    /// Comes back when something was written, when `is_due` says so, or when all is over.
    pub(super) fn next(&mut self, is_due: &mut dyn FnMut() -> bool) -> glisten::Result<Event> {
        if let Some(told) = self.told.take() {
            // Reading ten thousand runs takes its time: half of it at most is spent so, however much is written.
            self.not_before = Instant::now() + told.elapsed();
        }
        loop {
            if interrupt::requested() {
                return Ok(Event::Interrupted);
            }
            let is_waiting = Instant::now() < self.not_before;
            let version = if is_waiting { self.version } else { self.store.data_version()? };
            if version != self.version {
                self.version = version;
                self.look()?;
                self.told = Some(Instant::now());
                return Ok(Event::Changed);
            }
            if self.looked_for_dead_runs.elapsed() >= DEAD_RUNS && self.n_at_work > 0 {
                self.looked_for_dead_runs = Instant::now();
                let before = self.n_at_work;
                self.mark_dead_runs()?;
                self.look()?;
                if self.n_at_work != before {
                    return Ok(Event::Changed);
                }
            }
            if self.n_at_work > 0 {
                self.seen_at_work = Some(Instant::now());
            } else if !is_waiting
                && !self.is_forever
                && self.seen_at_work.is_none_or(|seen| seen.elapsed() >= PAUSE)
            {
                return Ok(Event::Ended);
            }
            if is_due() {
                return Ok(Event::Redraw);
            }
            std::thread::sleep(POLL);
        }
    }

    fn look(&mut self) -> glisten::Result<()> {
        let is_ours =
            |name: &str| self.experiments.is_empty() || self.experiments.iter().any(|one| one == name);
        self.n_at_work = self
            .store
            .experiments()?
            .iter()
            .filter(|experiment| is_ours(&experiment.name))
            .map(|experiment| experiment.n_running as usize)
            .sum();
        Ok(())
    }

    fn mark_dead_runs(&self) -> glisten::Result<()> {
        let names = if self.experiments.is_empty() {
            self.store.experiment_names()?
        } else {
            self.experiments.clone()
        };
        for name in names {
            Experiment::open_in(&self.store, &name)?;
        }
        Ok(())
    }
}

/// Whether a run may still write.
pub(super) fn is_at_work(run: &RunRecord) -> bool {
    !run.status.is_ended()
}
