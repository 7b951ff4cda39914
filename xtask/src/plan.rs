//! What is about to be done and how long it takes, said before anything long starts.

use std::time::Duration;

use crate::say;

/// One step, with the seconds that it takes (measured on two cores and a fast network).
#[derive(Debug, Clone)]
pub(crate) struct Step {
    what: String,
    secs: f64,
}

impl Step {
    /// A step that takes `secs` on any machine.
    pub(crate) fn new(what: impl Into<String>, secs: f64) -> Self {
        Self { what: what.into(), secs }
    }

    /// A step that takes `cpu_secs` of computing, on up to `max_cores` cores at a time.
    pub(crate) fn per_core(what: impl Into<String>, cpu_secs: f64, max_cores: usize) -> Self {
        Self::new(what, cpu_secs / n_cores().min(max_cores) as f64)
    }
}

/// Cores that this process may use.
pub(crate) fn n_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Prints `steps` with their times; nothing if there are none.
pub(crate) fn announce(steps: &[Step]) {
    if steps.is_empty() {
        return;
    }
    let total: f64 = steps.iter().map(|s| s.secs).sum();
    say::step(&format!("To do, in {} on {} cores:", rough(total), n_cores()));
    let width = steps.iter().map(|s| s.what.chars().count()).max().unwrap_or(0);
    for step in steps {
        say::note(&format!("{:width$}  {}", step.what, rough(step.secs)));
    }
}

/// `about 20 s`, `about 3 min`, `a moment`.
fn rough(secs: f64) -> String {
    match Duration::from_secs_f64(secs).as_secs() {
        0..=4 => "a moment".to_owned(),
        secs @ 5..=90 => format!("about {} s", secs.div_ceil(10) * 10),
        secs => format!("about {} min", (secs + 30) / 60),
    }
}
