//! Lines of the log about what strangers send: they could make as many as they like, so there is one a second.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// The most bytes of one line: it may tell what somebody sent.
const LENGTH: usize = 500;

/// Counts what is not said.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    last: Option<Instant>,
    unsaid: usize,
}

impl Complaints {
    /// Logs `text`, unless something was logged a moment ago.
    pub(super) fn warn(&mut self, text: &str) {
        if let Some(line) = self.line(text, Instant::now()) {
            log::warn!("{line}");
        }
    }

    fn line(&mut self, text: &str, now: Instant) -> Option<String> {
        if self.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        let text: String = text[..text.floor_char_boundary(LENGTH)].escape_debug().collect();
        Some(match std::mem::take(&mut self.unsaid) {
            0 => text,
            n => format!("{text} (and {n} more such lines since the last one)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_that_counts_the_others() {
        let mut complaints = Complaints::default();
        let start = Instant::now();
        assert_eq!(complaints.line("a\x1b[2J", start).as_deref(), Some("a\\u{1b}[2J"));
        assert_eq!(complaints.line("b", start), None);
        assert_eq!(complaints.line("c", start + INTERVAL / 2), None);
        let said = complaints.line("d", start + INTERVAL).unwrap();
        assert_eq!(said, "d (and 2 more such lines since the last one)");
        assert_eq!(complaints.line(&"ä".repeat(LENGTH), start + 2 * INTERVAL).unwrap().len(), LENGTH);
    }
}
