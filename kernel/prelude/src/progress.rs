//! Training in a notebook: for each experiment that a cell trains in, one display of its runs and one live chart, both
//! updated in place.

mod board;
mod chart;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use glisten::progress::{Listener, RunProgress, SweepProgress, set_listener};

use crate::rt::update_display;
use board::Board;
use chart::Curves;

/// More updates than five a second only cost.
const INTERVAL: Duration = Duration::from_millis(200);
/// A chart is redrawn at most so often, …
const CHART_INTERVAL: Duration = Duration::from_secs(2);
/// … and takes no more than this share of the time.
const CHART_SHARE: u32 = 50;

static DISPLAYS: LazyLock<Arc<Displays>> = LazyLock::new(Arc::default);

/// Shows the progress of this process's runs in the notebook from now on.
pub(crate) fn listen() {
    set_listener(Some(Arc::clone(&*DISPLAYS) as Arc<dyn Listener>));
}

/// A cell begins: what it trains is shown below it. Only what other threads still train keeps its place.
pub(crate) fn cell_begins() {
    DISPLAYS.state().shown.retain(|shown| shown.board.is_at_work());
}

/// The cell has ended: what was not due yet is shown.
pub(crate) fn cell_ends(failed: bool) {
    let mut state = DISPLAYS.state();
    let State { shown, curves } = &mut *state;
    for shown in shown {
        shown.board.cell_ends(failed);
        shown.update_board();
        if shown.chart_is_stale {
            shown.update_chart(curves);
        }
    }
}

#[derive(Default)]
struct Displays(Mutex<State>);

#[derive(Default)]
struct State {
    /// What the running cell (or the last one) shows, an entry for each experiment.
    shown: Vec<Shown>,
    /// The curves of every run that this process has heard of, by experiment.
    curves: HashMap<String, Curves>,
}

/// An experiment's two places below a cell.
struct Shown {
    board: Board,
    id: String,
    updated: Option<Instant>,
    chart_is_stale: bool,
    chart_is_due: Instant,
}

impl Displays {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, progress: &RunProgress, status: Option<&str>) {
        let mut state = self.state();
        let State { shown, curves } = &mut *state;
        let shown = Shown::of(shown, &progress.experiment);
        shown.board.hear(progress, status);
        let curve_grew = curves.entry(progress.experiment.clone()).or_default().hear(progress);
        shown.chart_is_stale |= curve_grew;
        // After the beginning of a run nothing may come for a whole epoch: that one does not wait.
        let begins = status.is_none() && progress.epoch == 0;
        if begins || shown.updated.is_none_or(|updated| updated.elapsed() >= INTERVAL) {
            shown.update_board();
        }
        if shown.chart_is_stale && Instant::now() >= shown.chart_is_due {
            shown.update_chart(curves);
        }
    }
}

impl Shown {
    /// The experiment's entry of `all`, made where there is none yet.
    fn of<'a>(all: &'a mut Vec<Self>, experiment: &str) -> &'a mut Self {
        let at = all.iter().position(|shown| shown.board.experiment() == experiment).unwrap_or_else(|| {
            all.push(Self::new(experiment));
            all.len() - 1
        });
        &mut all[at]
    }

    fn new(experiment: &str) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // The process id keeps a restarted worker from writing into the displays of the last one.
        let id = format!("glisten-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let board = Board::new(experiment);
        Self { board, id, updated: None, chart_is_stale: false, chart_is_due: Instant::now() }
    }

    fn update_board(&mut self) {
        self.updated = Some(Instant::now());
        update_display(&self.id, &self.board);
    }

    fn update_chart(&mut self, curves: &HashMap<String, Curves>) {
        let began = Instant::now();
        if let Some(drawn) = curves.get(self.board.experiment()).and_then(Curves::draw) {
            update_display(&format!("{}-chart", self.id), &drawn);
        }
        self.chart_is_stale = false;
        self.chart_is_due = Instant::now() + CHART_INTERVAL.max(began.elapsed() * CHART_SHARE);
    }
}

impl Listener for Displays {
    fn run(&self, progress: &RunProgress) {
        self.show(progress, None);
    }

    fn run_ended(&self, progress: &RunProgress, status: &str) {
        self.show(progress, Some(status));
    }

    fn sweep(&self, progress: &SweepProgress) {
        let mut state = self.state();
        let shown = Shown::of(&mut state.shown, &progress.experiment);
        shown.board.hear_sweep(Some(progress));
        // The first of its runs follows at once: that one is shown.
    }

    fn sweep_ended(&self, progress: &SweepProgress) {
        Shown::of(&mut self.state().shown, &progress.experiment).board.hear_sweep(None);
    }

    fn note(&self, text: &str) {
        eprintln!("{text}");
    }
}
