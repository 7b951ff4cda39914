//! The view of `glisten watch` as lines of a given width: nothing here reads a store or a terminal.

use console::{measure_text_width, style};
use glisten::track::Status;

use super::state::{Ended, State, Work};
use crate::cli::text::{clock, count, fit, number, pad, printable};

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns of a bar and of a curve where there is room.
const BAR: usize = 20;
const CURVE: usize = 30;
const GAP: &str = "   ";

/// The view in at most `height` lines of at most `width` columns.
pub(super) fn lines(state: &State, now_ms: i64, width: usize, height: usize) -> Vec<String> {
    let time = glisten::track::utc(now_ms)
        .map_or_else(String::new, |now| now.with_timezone(&chrono::Local).format("%H:%M:%S").to_string());
    let mut lines = vec![
        style(two_ends(&printable(&state.experiment), &time, width)).bold().to_string(),
        counts(state, width),
    ];
    for work in &state.at_work {
        lines.push(String::new());
        lines.extend(at_work(work, now_ms, width));
    }
    if !state.ended.is_empty() {
        lines.push(String::new());
        // Runs at work are what is watched: of those that have ended, as many as there is room for.
        let room = height.saturating_sub(lines.len());
        let n_shown = if state.ended.len() <= room { state.ended.len() } else { room.saturating_sub(1) };
        lines.extend(state.ended[..n_shown].iter().map(|run| ended(run, width)));
        if n_shown < state.ended.len() {
            let n = state.ended.len() - n_shown;
            lines.push(fit(&format!("… and {} that ended before", count(n, "run", "runs")), width));
        }
    }
    if lines.len() > height {
        lines.truncate(height.saturating_sub(1));
        if height > 0 {
            lines.push(fit("… more below: the terminal is too low", width));
        }
    }
    lines
}

/// "12 runs: 1 running, 10 completed, 1 failed".
fn counts(state: &State, width: usize) -> String {
    let n = state.counts.iter().map(|(_, n)| n).sum();
    let by_status: Vec<String> =
        state.counts.iter().map(|(status, n)| format!("{n} {}", status.as_str())).collect();
    match n {
        0 => fit("no runs yet", width),
        n => fit(&format!("{}: {}", count(n, "run", "runs"), by_status.join(", ")), width),
    }
}

/// Two lines: how far a run is, and how it does.
fn at_work(work: &Work, now_ms: i64, width: usize) -> Vec<String> {
    let elapsed = format!("{} elapsed", clock(now_ms.saturating_sub(work.started_ms) as f64 / 1e3));
    let left = work.secs_left(now_ms).map(|secs| format!("{} left", clock(secs)));
    let (epochs, share) = match (work.epoch.unwrap_or(0), work.epochs) {
        (epoch, Some(epochs)) if epochs > 0 => {
            (Some(format!("{epoch}/{epochs} epochs")), Some(epoch as f64 / epochs as f64))
        }
        (0, _) => (None, None),
        (epoch, _) => (Some(format!("step {epoch}")), None),
    };
    let bar = share.map(|share| bar(share, BAR));
    // What there is room for, the most important first, beside a name of which something is left.
    let parts = [(1, bar), (0, epochs), (3, Some(elapsed)), (2, left)];
    let name = printable(&work.name);
    let least_name = least_name(&name, width);
    let facts = what_fits(parts, width.saturating_sub(least_name + GAP.len()));
    let mut lines = vec![two_ends(&name, &facts, width)];

    let curve = work.curve.as_ref().and_then(|(metric, values)| {
        let last = values.last()?;
        let curve = curve(values, CURVE.min(width / 3));
        Some(format!("{} {} {}", printable(metric), number(*last), style(curve).cyan()))
    });
    let mut parts = vec![(0, curve)];
    parts.extend(
        work.metrics.iter().map(|(name, value)| (3, Some(format!("{} {}", printable(name), number(*value))))),
    );
    parts.push((1, work.epoch_secs.map(|secs| format!("{} s an epoch", number(secs)))));
    parts.push((2, work.samples_per_sec.map(|speed| format!("{speed:.0} samples/s"))));
    let facts = what_fits(parts, width.saturating_sub(2));
    if facts.is_empty() {
        lines.push(fit("  nothing logged yet", width));
    } else {
        lines.push(console::truncate_str(&format!("  {facts}"), width, "…").into_owned());
    }
    lines
}

/// The parts side by side in their order, those of the lowest rank first taken as long as there is room.
fn what_fits(parts: impl IntoIterator<Item = (u8, Option<String>)>, room: usize) -> String {
    let parts: Vec<(u8, String)> = parts.into_iter().filter_map(|(rank, part)| Some((rank, part?))).collect();
    let mut by_rank: Vec<usize> = (0..parts.len()).collect();
    by_rank.sort_by_key(|at| parts[*at].0);
    let (mut taken, mut used) = (Vec::new(), 0);
    for at in by_rank {
        let own = measure_text_width(&parts[at].1) + if used > 0 { GAP.len() } else { 0 };
        if taken.is_empty() || used + own <= room {
            used += own;
            taken.push(at);
        }
    }
    taken.sort_unstable();
    taken.into_iter().map(|at| parts[at].1.as_str()).collect::<Vec<_>>().join(GAP)
}

fn ended(run: &Ended, width: usize) -> String {
    let status = pad(run.status.as_str(), 9, false);
    let status = match run.status {
        Status::Completed => style(status).green(),
        Status::Failed => style(status).red(),
        _ => style(status).yellow(),
    };
    let reached = run.reached.as_ref().map(|(name, value)| format!("{} {}", printable(name), number(*value)));
    let took = run.secs.map(clock);
    let error = run.error.as_deref().map(printable);
    let name = printable(&run.name);
    let room = width.saturating_sub(9 + GAP.len());
    let least_name = least_name(&name, room);
    let facts = what_fits(
        [(2, error.map(|error| fit(&error, room / 2))), (1, reached), (0, took)],
        room.saturating_sub(least_name + GAP.len()),
    );
    let line = format!("{status}{GAP}{}", two_ends(&name, &facts, room));
    console::truncate_str(&line, width, "…").into_owned()
}

/// What is left of a name at least: all of it, unless that is most of the room.
fn least_name(name: &str, room: usize) -> usize {
    measure_text_width(name).min((room / 2).clamp(8, 40))
}

/// `left` at the left edge, cut to the room that `right` leaves at the right one.
fn two_ends(left: &str, right: &str, width: usize) -> String {
    let right = fit(right, width);
    let room = width.saturating_sub(measure_text_width(&right) + GAP.len());
    let left = fit(left, room);
    let blanks = width.saturating_sub(measure_text_width(&left) + measure_text_width(&right));
    format!("{left}{}{right}", " ".repeat(blanks))
}

/// "███████░░░".
fn bar(share: f64, width: usize) -> String {
    let n_full = ((share.clamp(0.0, 1.0) * width as f64) as usize).min(width);
    "█".repeat(n_full) + &"░".repeat(width - n_full)
}

/// Values as blocks from their lowest to their highest, of too many the last of each stretch; a blank where a value is not
/// finite.
fn curve(values: &[f64], width: usize) -> String {
    let width = width.min(values.len());
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let block = |value: f64| {
        if !value.is_finite() {
            return ' ';
        }
        let share = if high > low { (value - low) / (high - low) } else { 0.5 };
        BLOCKS[((share * BLOCKS.len() as f64) as usize).min(BLOCKS.len() - 1)]
    };
    (1..=width).map(|i| block(values[i * values.len() / width - 1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let work = Work {
            name: "glister 30 % seed 0 \u{1b}[2J".to_owned(),
            started_ms: 0,
            epoch: Some(12),
            epochs: Some(20),
            curve: Some(("validation:accuracy".to_owned(), vec![0.5, f64::NAN, 0.6, 0.7, 0.874_2])),
            metrics: vec![("train:loss".to_owned(), 0.3124)],
            epoch_secs: Some(2.0),
            samples_per_sec: Some(5120.4),
            last_ms: Some(30_000),
        };
        let young = Work { name: "young".to_owned(), ..Work::default() };
        let ended = |name: &str, status, error: Option<&str>| Ended {
            name: name.to_owned(),
            status,
            error: error.map(str::to_owned),
            secs: Some(65.0),
            ended_ms: 0,
            reached: Some(("test:accuracy".to_owned(), 0.91)),
        };
        State {
            experiment: "study\u{9b}".to_owned(),
            counts: vec![(Status::Running, 2), (Status::Completed, 1), (Status::Failed, 1)],
            at_work: vec![work, young],
            ended: vec![
                ended("full seed 0", Status::Completed, None),
                ended("bad", Status::Failed, Some("the training loss is NaN at epoch 3\u{7}")),
            ],
        }
    }

    #[test]
    fn a_wide_terminal_shows_everything() {
        console::set_colors_enabled(false);
        let text = lines(&state(), 31_000, 120, 40).join("\n");
        for part in [
            "study\\u{9b}",
            "4 runs: 2 running, 1 completed, 1 failed",
            "glister 30 % seed 0 \\u{1b}[2J",
            "████████████░░░░░░░░   12/20 epochs   0:31 elapsed   0:15 left",
            "validation:accuracy 0.8742 ▁ ▃▅█",
            "train:loss 0.3124   2 s an epoch   5120 samples/s",
            "nothing logged yet",
            "completed   full seed 0",
            "test:accuracy 0.91   1:05",
            "the training loss is NaN at epoch 3\\u{7}",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn no_line_is_wider_and_no_view_taller_than_the_terminal() {
        console::set_colors_enabled(false);
        for width in [1, 7, 20, 33, 40, 60, 80, 200] {
            for height in [1, 2, 5, 8, 12, 50] {
                let lines = lines(&state(), 31_000, width, height);
                assert!(lines.len() <= height, "{} lines in {height}", lines.len());
                for line in &lines {
                    assert!(measure_text_width(line) <= width, "{width}: {line:?}");
                    assert!(!line.chars().any(char::is_control), "{line:?}");
                }
            }
        }
        let narrow = lines(&state(), 31_000, 40, 40).join("\n");
        assert!(narrow.contains("12/20 epochs") && narrow.contains("0.8742"), "{narrow}");
    }

    #[test]
    fn many_ended_runs_leave_room_for_those_at_work() {
        console::set_colors_enabled(false);
        let mut many = state();
        for i in 0..100 {
            many.ended.push(Ended {
                name: format!("run {i}"),
                status: Status::Stopped,
                error: None,
                secs: None,
                ended_ms: 0,
                reached: None,
            });
        }
        let lines = lines(&many, 31_000, 80, 24);
        assert_eq!(lines.len(), 24);
        assert!(lines[23].starts_with("… and 88 runs that ended before"), "{}", lines[23]);
    }

    #[test]
    fn curves_and_bars() {
        assert_eq!(curve(&[1.0, 2.0, 3.0], 10), "▁▅█");
        assert_eq!(curve(&[2.0, 2.0], 10), "▅▅");
        assert_eq!(curve(&[f64::NAN, f64::INFINITY], 10), "  ");
        assert_eq!(curve(&[], 10), "");
        let long: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!(curve(&long, 8), "▁▂▃▄▅▆▇█");
        assert_eq!(bar(0.5, 4), "██░░");
        assert_eq!((bar(-1.0, 2), bar(9.0, 2), bar(f64::NAN, 2)), ("░░".into(), "██".into(), "░░".into()));
    }
}
