//! Training in a notebook: one display a run, updated in place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use glisten::progress::{Listener, RunProgress, set_listener};

use crate::rt::update_display;
use crate::show::{MimeBundle, escape};

/// More updates than five a second only cost.
const INTERVAL: Duration = Duration::from_millis(200);

/// Shows the progress of this process's runs in the notebook from now on.
pub(crate) fn listen() {
    set_listener(Some(Arc::new(Displays::default())));
}

/// The displays of the runs that go on.
#[derive(Default)]
struct Displays {
    runs: Mutex<HashMap<(String, String), Display>>,
}

struct Display {
    id: String,
    started: Instant,
    updated: Option<Instant>,
}

impl Displays {
    fn show(&self, progress: &RunProgress, status: Option<&str>) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (progress.experiment.clone(), progress.run.clone());
        let display = runs.entry(key.clone()).or_insert_with(Display::new);
        let due = display.updated.is_none_or(|updated| updated.elapsed() >= INTERVAL);
        if due || status.is_some() {
            display.updated = Some(Instant::now());
            update_display(&display.id, &bundle(progress, status, display.started.elapsed()));
        }
        if status.is_some() {
            runs.remove(&key);
        }
    }
}

impl Display {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // The process id keeps a restarted worker from writing into the displays of the last one.
        let id = format!("glisten-run-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { id, started: Instant::now(), updated: None }
    }
}

impl Listener for Displays {
    fn run(&self, progress: &RunProgress) {
        self.show(progress, None);
    }

    fn run_ended(&self, progress: &RunProgress, status: &str) {
        self.show(progress, Some(status));
    }

    fn note(&self, text: &str) {
        eprintln!("{text}");
    }
}

fn bundle(progress: &RunProgress, status: Option<&str>, elapsed: Duration) -> MimeBundle {
    let line = line(progress, status, elapsed);
    let bar = match status {
        Some(_) => String::new(),
        None => format!(
            r#"<progress value="{}" max="{}" style="width:14em;vertical-align:middle"></progress> "#,
            progress.epoch,
            progress.epochs.max(1)
        ),
    };
    let html = format!(r#"<div style="font-family:monospace">{bar}{}</div>"#, escape(&line));
    MimeBundle::text(line).html(html)
}

/// As "glister-0.3 · epoch 3/20 · loss 0.412 · accuracy 86.1 % · 17,300 images/s · 12 s left".
fn line(progress: &RunProgress, status: Option<&str>, elapsed: Duration) -> String {
    let mut parts = vec![progress.run.clone(), format!("epoch {}/{}", progress.epoch, progress.epochs)];
    if let Some(loss) = progress.train_loss {
        parts.push(format!("loss {loss:.3}"));
    }
    if let Some(accuracy) = progress.validation_accuracy {
        parts.push(format!("accuracy {:.1} %", 100.0 * accuracy));
    }
    if let Some(rate) = progress.images_per_sec {
        parts.push(format!("{} images/s", thousands(rate)));
    }
    match status {
        Some(status) => parts.push(format!("{status} after {}", seconds(elapsed.as_secs_f64()))),
        None if progress.epoch > 0 => {
            let left = progress.epochs.saturating_sub(progress.epoch) as f64;
            parts.push(format!("{} left", seconds(elapsed.as_secs_f64() / progress.epoch as f64 * left)));
        }
        None => {}
    }
    parts.join(" · ")
}

fn seconds(secs: f64) -> String {
    if secs < 120.0 { format!("{secs:.0} s") } else { format!("{:.0} min", secs / 60.0) }
}

fn thousands(n: f64) -> String {
    let digits = format!("{n:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_and_how_long() {
        let progress = RunProgress {
            run: "<glister>".to_owned(),
            epoch: 5,
            epochs: 20,
            train_loss: Some(0.4119),
            validation_accuracy: Some(0.861),
            images_per_sec: Some(17_312.4),
            ..RunProgress::default()
        };
        let ten = Duration::from_secs(10);
        let expected = "<glister> · epoch 5/20 · loss 0.412 · accuracy 86.1 % · 17,312 images/s · 30 s left";
        assert_eq!(line(&progress, None, ten), expected);
        assert!(line(&progress, Some("completed"), ten).ends_with("completed after 10 s"));
        let html = bundle(&progress, None, ten).as_json()["text/html"].to_string();
        assert!(html.contains("&lt;glister&gt;") && html.contains("value=\\\"5\\\""), "{html}");
    }
}
