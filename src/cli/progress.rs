//! Progress on a terminal: a bar for the run at work, a line for each one that ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use glisten::progress::{Listener, RunProgress, set_listener};
use indicatif::{ProgressBar, ProgressStyle};

use super::text::printable;

/// Shows this process's progress on standard error: bars on a terminal, plain lines elsewhere.
pub(super) fn install() {
    set_listener(Some(Arc::new(Terminal::default())));
}

#[derive(Default)]
struct Terminal {
    bars: Mutex<HashMap<String, ProgressBar>>,
}

impl Listener for Terminal {
    fn run(&self, progress: &RunProgress) {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars.entry(progress.run.clone()).or_insert_with(|| {
            let bar = ProgressBar::new(progress.epochs as u64).with_style(style());
            bar.set_prefix(printable(&progress.run));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        bar.set_position(progress.epoch as u64);
        bar.set_message(figures(progress));
    }

    fn run_ended(&self, progress: &RunProgress, status: &str) {
        let bar = self.bars.lock().unwrap_or_else(PoisonError::into_inner).remove(&progress.run);
        let seconds = bar.map(|bar| {
            bar.finish_and_clear();
            bar.elapsed().as_secs_f64()
        });
        let time = seconds.map(|seconds| format!(" in {seconds:.1} s")).unwrap_or_default();
        say_aside!("{}: {status}{time}  {}", progress.run, figures(progress));
    }

    fn note(&self, text: &str) {
        super::print::aside(text);
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix:<24} {bar:24} {pos}/{len} epochs  {msg}  {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn figures(progress: &RunProgress) -> String {
    let loss = progress.train_loss.map(|loss| format!("loss {loss:.3}"));
    let accuracy =
        progress.validation_accuracy.map(|accuracy| format!("validation {:.2} %", 100.0 * accuracy));
    let speed = progress.images_per_sec.map(|speed| format!("{speed:.0} images/s"));
    [loss, accuracy, speed].into_iter().flatten().collect::<Vec<_>>().join("  ")
}
