//! What a user reads while work goes on: headings, spinners and bars, in the terminal or in a log.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use console::style;
use indicatif::{ProgressBar, ProgressStyle};

/// The heading of a step.
pub(crate) fn step(text: &str) {
    eprintln!("{} {text}", style("==>").green().bold());
}

/// A remark.
pub(crate) fn note(text: &str) {
    eprintln!("    {text}");
}

/// `83 s`, `6 min 40 s`, `1 h 2 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    match secs {
        0..=9 => format!("{:.1} s", duration.as_secs_f64()),
        10..=99 => format!("{secs} s"),
        100..=3599 => format!("{} min {} s", secs / 60, secs % 60),
        _ => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
    }
}

/// A bar over `len` bytes; in a log it is one line at the start.
pub(crate) fn bytes_bar(message: &str, len: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        note(message);
        return ProgressBar::hidden();
    }
    let template =
        "    {msg} {wide_bar:.green/dim} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len).with_style(style).with_message(message.to_owned())
}

/// A spinner with the time spent; in a log it is one line at the start and one at the end.
pub(crate) struct Spinner {
    bar: ProgressBar,
    message: String,
    start: Instant,
}

/// Starts a [`Spinner`].
pub(crate) fn spinner(message: &str) -> Spinner {
    let bar = if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("    {spinner:.green} {msg} ({elapsed})");
        ProgressBar::new_spinner()
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
            .with_message(message.to_owned())
    } else {
        note(message);
        ProgressBar::hidden()
    };
    Spinner { bar, message: message.to_owned(), start: Instant::now() }
}

impl Spinner {
    /// Turns it by one step.
    pub(crate) fn tick(&self) {
        self.bar.tick();
    }

    /// Replaces it by a line that says how long it took.
    pub(crate) fn done(self) {
        self.bar.finish_and_clear();
        note(&format!("{}: {}", self.message, duration(self.start.elapsed())));
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
