//! The runs of an experiment that a cell trains: a bar for each one at work, a row for each one that has ended.

use std::fmt::Write as _;
use std::time::Instant;

use glisten::progress::{RunProgress, SweepProgress};

use crate::show::{MimeBundle, Show, escape};

/// While runs go on, so many of those that have ended are listed, the latest first.
const LATEST: usize = 5;
/// When the cell has ended, a list of more runs than this is folded.
const UNFOLDED: usize = 8;

pub(super) struct Board {
    experiment: String,
    /// The sweep at work, and since when.
    sweep: Option<(SweepProgress, Instant)>,
    running: Vec<Running>,
    ended: Vec<Ended>,
    cell_has_ended: bool,
}

struct Running {
    progress: RunProgress,
    started: Instant,
}

struct Ended {
    progress: RunProgress,
    status: String,
    /// None where the run was done before.
    secs: Option<f64>,
}

impl Board {
    pub(super) fn new(experiment: &str) -> Self {
        Self {
            experiment: experiment.to_owned(),
            sweep: None,
            running: Vec::new(),
            ended: Vec::new(),
            cell_has_ended: false,
        }
    }

    pub(super) fn experiment(&self) -> &str {
        &self.experiment
    }

    /// Takes in what the library says; with a `status`, the run has ended.
    pub(super) fn hear(&mut self, progress: &RunProgress, status: Option<&str>) {
        let at = self.running.iter().position(|running| running.progress.run == progress.run);
        match (at, status) {
            (Some(at), None) => self.running[at].progress.clone_from(progress),
            (None, None) => {
                self.running.push(Running { progress: progress.clone(), started: Instant::now() });
            }
            (at, Some(status)) => {
                let secs = at.map(|at| self.running.remove(at).started.elapsed().as_secs_f64());
                let status = status.to_owned();
                self.ended.push(Ended { progress: progress.clone(), status, secs });
            }
        }
    }

    /// Takes in how far the experiment's sweep is; `None` when it has ended.
    pub(super) fn hear_sweep(&mut self, progress: Option<&SweepProgress>) {
        self.sweep = progress.map(|progress| {
            let started = self.sweep.as_ref().map_or_else(Instant::now, |(_, started)| *started);
            (progress.clone(), started)
        });
    }

    pub(super) fn is_at_work(&self) -> bool {
        !self.running.is_empty() || self.sweep.is_some()
    }

    /// After a cell that failed, a run that has not said how it ended was dropped by a panic. Any other that still runs does
    /// so in a thread that outlives the cell.
    pub(super) fn cell_ends(&mut self, failed: bool) {
        self.cell_has_ended = true;
        if !failed {
            return;
        }
        self.sweep = None;
        for running in std::mem::take(&mut self.running) {
            let secs = Some(running.started.elapsed().as_secs_f64());
            self.ended.push(Ended { progress: running.progress, status: "failed".to_owned(), secs });
        }
    }

    fn html(&self) -> String {
        let mut html = String::from(
            r#"<div class="glisten-progress" style="font-family:var(--jp-code-font-family,monospace);font-size:var(--jp-code-font-size,13px);line-height:1.6">"#,
        );
        if let Some((progress, started)) = &self.sweep {
            bar(&mut html, progress.n_done, progress.n_runs, &sweep_line(progress, *started));
        }
        for running in &self.running {
            bar(&mut html, running.progress.epoch, running.progress.epochs, &running.line());
        }
        match self.ended.as_slice() {
            [] => {}
            [one] if self.running.is_empty() => {
                let _ = write!(html, "<div>{}</div>", escape(&one.line()));
            }
            ended if self.cell_has_ended => {
                let open = if ended.len() <= UNFOLDED { " open" } else { "" };
                let _ = write!(html, "<details{open}><summary>{}</summary>", escape(&self.summary()));
                rows(&mut html, ended.iter());
                html.push_str("</details>");
            }
            ended => {
                rows(&mut html, ended.iter().rev().take(LATEST));
                if ended.len() > LATEST {
                    let before = counts(&ended[..ended.len() - LATEST]);
                    let _ = write!(html, r#"<div style="opacity:.65">and before: {}</div>"#, escape(&before));
                }
            }
        }
        html.push_str("</div>");
        html
    }

    /// "21 runs: 20 completed, 1 stopped, in 4 min".
    fn summary(&self) -> String {
        let worked = self.ended.iter().filter_map(|ended| ended.secs).sum::<f64>();
        let time = if worked > 0.0 { format!(", in {}", seconds(worked)) } else { String::new() };
        format!("{}{time}", counts(&self.ended))
    }

    fn text(&self) -> String {
        match (self.running.last(), self.ended.as_slice()) {
            (Some(running), _) => match &self.sweep {
                Some((progress, started)) => {
                    format!("{} · {}", sweep_line(progress, *started), running.line())
                }
                None => running.line(),
            },
            (None, [one]) => one.line(),
            (None, _) if self.cell_has_ended => self.summary(),
            (None, ended) => ended.last().map(Ended::line).unwrap_or_default(),
        }
    }
}

impl Show for Board {
    /// As text only what goes on: a front end without HTML has one line for it.
    fn mime_bundle(&self) -> MimeBundle {
        MimeBundle::text(self.text()).html(self.html())
    }
}

impl Running {
    /// As "glister 30 % seed 0 · epoch 3/20 · loss 0.412 · accuracy 86.1 % · 17,300 images/s · 12 s left".
    fn line(&self) -> String {
        line(&self.progress, self.left())
    }

    fn left(&self) -> Option<String> {
        let done = self.progress.epoch;
        let left = self.progress.epochs.saturating_sub(done);
        let secs = self.started.elapsed().as_secs_f64() / done.max(1) as f64 * left as f64;
        (done > 0).then(|| format!("{} left", seconds(secs)))
    }
}

impl Ended {
    fn line(&self) -> String {
        let time = self.secs.map(|secs| format!(" after {}", seconds(secs))).unwrap_or_default();
        line(
            &RunProgress { images_per_sec: None, ..self.progress.clone() },
            Some(self.status.clone() + &time),
        )
    }
}

/// A progress bar with a line of text behind it.
fn bar(html: &mut String, value: usize, of: usize, line: &str) {
    let _ = write!(
        html,
        r#"<div><progress value="{value}" max="{}" style="width:9em;vertical-align:middle"></progress> {}</div>"#,
        of.max(1),
        escape(line),
    );
}

/// As "run 5 of 21 · 12 min left".
fn sweep_line(progress: &SweepProgress, started: Instant) -> String {
    let SweepProgress { n_done, n_reused, n_failed, n_runs, .. } = *progress;
    let failed = if n_failed > 0 { format!(" · {n_failed} failed") } else { String::new() };
    let line = format!("run {} of {n_runs}{failed}", (n_done + 1).min(n_runs));
    // Runs that were done before took no time, and say nothing of the others.
    match n_done.saturating_sub(n_reused) {
        0 => line,
        n_trained => {
            let secs = started.elapsed().as_secs_f64() / n_trained as f64 * (n_runs - n_done) as f64;
            format!("{line} · {} left", seconds(secs))
        }
    }
}

fn line(progress: &RunProgress, end: Option<String>) -> String {
    let rate = progress.images_per_sec.map(|rate| format!("{} images/s", thousands(rate)));
    let parts = [
        Some(progress.run.clone()),
        Some(format!("epoch {}/{}", progress.epoch, progress.epochs)),
        progress.train_loss.map(|loss| format!("loss {loss:.3}")),
        progress.validation_accuracy.map(|accuracy| format!("accuracy {}", percent(accuracy))),
        rate,
        end,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn rows<'a>(html: &mut String, ended: impl Iterator<Item = &'a Ended>) {
    html.push_str(r#"<table style="margin:.3em 0"><thead><tr><th style="text-align:left">run</th>"#);
    for name in ["epochs", "loss", "validation accuracy", "time"] {
        let _ = write!(html, r#"<th style="text-align:right">{name}</th>"#);
    }
    html.push_str(r#"<th style="text-align:left">status</th></tr></thead><tbody>"#);
    for ended in ended {
        let RunProgress { run, epoch, epochs, train_loss, validation_accuracy, .. } = &ended.progress;
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let epochs = if epoch == epochs { epochs.to_string() } else { format!("{epoch} of {epochs}") };
        let _ = write!(html, r#"<tr><td style="text-align:left">{}</td>"#, escape(run));
        for value in [
            epochs,
            or_dash(train_loss.map(|loss| format!("{loss:.3}"))),
            or_dash(validation_accuracy.map(percent)),
            or_dash(ended.secs.map(seconds)),
        ] {
            let _ = write!(html, r#"<td style="text-align:right;white-space:nowrap">{value}</td>"#);
        }
        let _ = write!(html, r#"<td style="text-align:left">{}</td></tr>"#, escape(&ended.status));
    }
    html.push_str("</tbody></table>");
}

/// "21 runs completed", or "3 runs: 2 completed, 1 stopped".
fn counts(ended: &[Ended]) -> String {
    let mut by_status: Vec<(&str, usize)> = Vec::new();
    for ended in ended {
        match by_status.iter_mut().find(|(status, _)| *status == ended.status) {
            Some((_, n)) => *n += 1,
            None => by_status.push((&ended.status, 1)),
        }
    }
    let runs = if ended.len() == 1 { "1 run".to_owned() } else { format!("{} runs", ended.len()) };
    match by_status.as_slice() {
        [(status, _)] => format!("{runs} {status}"),
        several => {
            let parts: Vec<String> = several.iter().map(|(status, n)| format!("{n} {status}")).collect();
            format!("{runs}: {}", parts.join(", "))
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn seconds(secs: f64) -> String {
    match secs {
        secs if secs < 9.95 => format!("{secs:.1} s"),
        secs if secs < 120.0 => format!("{secs:.0} s"),
        secs if secs < 7200.0 => format!("{:.0} min", secs / 60.0),
        secs => format!("{:.1} h", secs / 3600.0),
    }
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

    fn progress(run: &str, epoch: usize) -> RunProgress {
        RunProgress {
            run: run.to_owned(),
            epoch,
            epochs: 20,
            train_loss: Some(0.4119),
            validation_accuracy: Some(0.861),
            images_per_sec: Some(17_312.4),
            ..RunProgress::default()
        }
    }

    #[test]
    fn a_run_at_work_has_a_bar_and_its_line_says_how_far_and_how_long() {
        let mut board = Board::new("study");
        board.hear(&progress("<glister>", 5), None);
        let text = board.text();
        assert!(
            text.starts_with("<glister> · epoch 5/20 · loss 0.412 · accuracy 86.1 % · 17,312 images/s · ")
        );
        assert!(text.ends_with(" s left"), "{text}");
        let html = board.html();
        assert!(
            html.contains("&lt;glister&gt;") && html.contains("<progress value=\"5\" max=\"20\""),
            "{html}"
        );
        board.hear(&progress("<glister>", 20), Some("completed"));
        assert!(board.text().contains("completed after 0.0 s"));
        assert!(!board.html().contains("<progress") && !board.html().contains("<table"));
    }

    #[test]
    fn a_sweep_has_a_bar_of_its_own_above_its_runs() {
        let mut board = Board::new("study");
        let mut sweep = SweepProgress { n_runs: 21, ..SweepProgress::default() };
        board.hear_sweep(Some(&sweep));
        board.hear(&progress("full seed 0", 0), None);
        assert!(board.is_at_work() && board.text().starts_with("run 1 of 21 · full seed 0 · epoch 0/20"));
        (sweep.n_done, sweep.n_reused) = (3, 3);
        board.hear_sweep(Some(&sweep));
        assert!(board.text().starts_with("run 4 of 21 · full"), "nothing was trained yet: {}", board.text());
        sweep.n_done = 4;
        board.hear_sweep(Some(&sweep));
        assert!(board.text().starts_with("run 5 of 21 · 0.0 s left · full"), "{}", board.text());
        assert!(
            board.html().contains("<progress value=\"4\" max=\"21\"")
                && board.html().matches("<progress").count() == 2
        );
        board.hear(&progress("full seed 0", 20), Some("completed"));
        board.hear_sweep(None);
        assert!(!board.is_at_work() && !board.html().contains("<progress"));
    }

    #[test]
    fn many_runs_are_few_lines() {
        let mut board = Board::new("study");
        for number in 0..20 {
            let run = format!("run {number}");
            board.hear(&progress(&run, 3), None);
            let status = if number == 19 { "stopped" } else { "completed" };
            let epoch = if number == 19 { 3 } else { 20 };
            board.hear(&progress(&run, epoch), Some(status));
        }
        board.hear(&progress("last", 1), None);
        let html = board.html();
        assert_eq!(html.matches("<tr>").count(), 1 + LATEST);
        assert!(html.contains("3 of 20") && html.contains("and before: 15 runs completed"), "{html}");
        board.cell_ends(true);
        let html = board.html();
        assert!(!html.contains("<progress"), "what has not said how it ended has ended too");
        assert!(html.contains("<details><summary>21 runs: 19 completed, 1 stopped, 1 failed"), "{html}");
        assert_eq!(board.text(), "21 runs: 19 completed, 1 stopped, 1 failed, in 0.0 s");
    }

    #[test]
    fn a_run_that_was_done_before_took_no_time() {
        let mut board = Board::new("study");
        board.hear(&progress("a", 20), Some("completed before"));
        board.hear(&progress("b", 20), Some("completed before"));
        board.cell_ends(false);
        assert_eq!(board.text(), "2 runs completed before");
    }
}
