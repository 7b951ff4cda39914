//! `glisten watch`: an experiment's runs at work, drawn again as they go on.

mod state;
mod view;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use glisten::track::Experiment;

use super::StoreArguments;
use super::follow::{Event, Follower};
use super::print;
use super::screen::Screen;
use state::State;

/// Clocks on the view go on in this rhythm, whether or not anything was written.
const TICK: Duration = Duration::from_secs(1);
/// What a view that goes to a file may be as wide as.
const WIDTH_OF_A_FILE: usize = 120;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  glisten watch how-much-data           # until no run is at work; q or Ctrl-C ends it before
  glisten watch how-much-data --once    # print it and end, as it does by itself where there is no terminal")]
pub(super) struct WatchArguments {
    /// The experiment
    experiment: String,
    /// Print the view once and end
    #[arg(long)]
    once: bool,
    /// Watch on when no run is at work
    #[arg(long, conflicts_with = "once")]
    forever: bool,
    #[command(flatten)]
    store: StoreArguments,
}

impl WatchArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let store = self.store.open_existing()?;
        // Says the nearest name where it is wrong, and marks the runs of dead processes.
        Experiment::open_in(&store, &self.experiment)?;
        let now_ms = || chrono::Utc::now().timestamp_millis();
        let is_view = Screen::is_possible() && !self.once;
        let mut state = State::read(&store, &self.experiment)?;
        if !is_view {
            let width = if console::Term::stdout().is_term() {
                usize::from(console::Term::stdout().size().1)
            } else {
                WIDTH_OF_A_FILE
            };
            for line in view::lines(&state, now_ms(), width, usize::MAX) {
                print::drawn(&line);
            }
            return Ok(ExitCode::SUCCESS);
        }
        let mut follower = Follower::new(&store, std::slice::from_ref(&self.experiment), self.forever)?;
        let mut screen = Screen::open()?;
        let code = loop {
            let (height, width) = screen.size();
            screen.draw(&view::lines(&state, now_ms(), width, height))?;
            let drawn = Instant::now();
            let event = follower.next(&mut || drawn.elapsed() >= TICK || screen.is_to_be_redrawn())?;
            match event {
                Event::Changed => state = State::read(&store, &self.experiment)?,
                Event::Redraw if screen.has_quit() => break ExitCode::SUCCESS,
                Event::Redraw => {}
                Event::Ended => break ExitCode::SUCCESS,
                Event::Interrupted => break ExitCode::from(130),
            }
        };
        let (_, width) = screen.size();
        drop(screen);
        // What was seen last stays to be read.
        for line in view::lines(&state, now_ms(), width, usize::MAX) {
            print::drawn(&line);
        }
        Ok(code)
    }
}
