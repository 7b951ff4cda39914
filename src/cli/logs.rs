//! `glisten logs`: the lines that a run has logged, from any process, while it trains or later.

use std::io::{self, Write};
use std::process::ExitCode;

use chrono::{DateTime, Local, NaiveDateTime, TimeDelta, TimeZone};
use glisten::track::{Experiment, LogLine, RunRecord, Store, utc};

use super::StoreArguments;
use super::follow::{Event, Follower, is_at_work};
use super::text::{clock, printable};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  glisten logs 'glister 30 % seed 0' --follow        # while it trains, until it has ended
  glisten logs 'glister 30 % seed 0' -n 20 --timestamps
  glisten logs first --experiment how-much-data --since 10m")]
pub(super) struct LogsArguments {
    /// The run
    run: String,
    /// The experiment it belongs to, where several have a run of that name
    #[arg(long, value_name = "EXPERIMENT")]
    experiment: Option<String>,
    /// Go on with the lines to come until the run has ended
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// Begin with the lines of this time on: "90s", "10m", "2h", "1d" ago, or "2026-01-31 14:05"
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<DateTime<Local>>,
    /// Show before each line when it was logged
    #[arg(short, long)]
    timestamps: bool,
    #[command(flatten)]
    store: StoreArguments,
}

impl LogsArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let store = self.store.open_existing()?;
        let mut run = self.find(&store)?;
        // Forever as far as the follower goes: this command ends when its run has.
        let mut follower = Follower::new(&store, std::slice::from_ref(&run.experiment), true)?;
        let mut lines = store.log_lines(run.id, 0)?;
        let mut last = lines.last().map_or(0, |line| line.line);
        if let Some(since) = self.since {
            lines.retain(|line| line.time_ms >= since.timestamp_millis());
        }
        if let Some(n) = self.lines {
            lines.drain(..lines.len().saturating_sub(n));
        }
        self.print(&lines)?;
        while self.follow && is_at_work(&run) {
            match follower.next(&mut || false)? {
                Event::Interrupted => return Ok(ExitCode::from(130)),
                Event::Changed | Event::Redraw | Event::Ended => {}
            }
            // The status first: what was logged before the run ended is there when the lines are read.
            let records = store.run_records(Some(&run.experiment))?;
            let Some(record) = records.into_iter().find(|record| record.id == run.id) else {
                anyhow::bail!("run '{}' was deleted", run.name);
            };
            run = record;
            let lines = store.log_lines(run.id, last)?;
            last = lines.last().map_or(last, |line| line.line);
            self.print(&lines)?;
        }
        // How it ended is no line of its log.
        say_aside!("{}", ending(&run, last));
        Ok(ExitCode::SUCCESS)
    }

    /// The run that is meant.
    fn find(&self, store: &Store) -> anyhow::Result<RunRecord> {
        if let Some(name) = &self.experiment {
            let experiment = Experiment::open_in(store, name)?;
            experiment.find_run(&self.run)?;
        }
        let mut named = store.run_records(self.experiment.as_deref())?;
        let names: Vec<String> = named.iter().map(|record| record.name.clone()).collect();
        named.retain(|record| record.name == self.run);
        match named.len() {
            0 => anyhow::bail!("no run named '{}'{}", self.run, nearest(&self.run, &names)),
            1 => {
                // Marks it as failed if its process is no more.
                let run = named.remove(0);
                Experiment::open_in(store, &run.experiment)?;
                let records = store.run_records(Some(&run.experiment))?;
                Ok(records.into_iter().find(|record| record.id == run.id).unwrap_or(run))
            }
            _ => {
                let experiments: Vec<String> = named.into_iter().map(|record| record.experiment).collect();
                anyhow::bail!(
                    "run '{}': expected one experiment that has it, got {}: {}; --experiment says which",
                    self.run,
                    experiments.len(),
                    experiments.join(", ")
                )
            }
        }
    }

    fn print(&self, lines: &[LogLine]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for line in lines {
            if self.timestamps {
                let time = utc(line.time_ms).map(|time| time.with_timezone(&Local));
                let time =
                    time.map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M:%S%.3f").to_string());
                write!(out, "{time}  ")?;
            }
            // Tabulators are harmless, and meant.
            let text: Vec<String> = line.text.split('\t').map(printable).collect();
            writeln!(out, "{}", text.join("\t"))?;
        }
        out.flush()
    }
}

/// "run 'x' completed after 0:31", "run 'x' failed after 0:31: the training loss is NaN", "run 'x' is at work".
fn ending(run: &RunRecord, n_lines: i64) -> String {
    let nothing = if n_lines == 0 { "; it has logged no line" } else { "" };
    if is_at_work(run) {
        return format!("run '{}' is {}{nothing}", run.name, run.status.as_str());
    }
    let took = run.ended_ms.map_or_else(String::new, |ended| {
        format!(" after {}", clock(ended.saturating_sub(run.created_ms) as f64 / 1e3))
    });
    let error = run.error.as_deref().map_or_else(String::new, |error| format!(": {error}"));
    format!("run '{}' {}{took}{error}{nothing}", run.name, run.status.as_str())
}

/// "; did you mean 'x'?", or the names there are.
fn nearest(asked: &str, names: &[String]) -> String {
    let likeness = |name: &String| strsim::jaro_winkler(&asked.to_lowercase(), &name.to_lowercase());
    match names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))) {
        Some(name) if likeness(name) > 0.7 => format!("; did you mean '{name}'?"),
        Some(_) => format!("; there are: {}", names.iter().take(12).cloned().collect::<Vec<_>>().join(", ")),
        None => "; the store has no run yet".to_owned(),
    }
}

/// A moment: so long ago, or a date and a time of the reader's place.
fn since(text: &str) -> Result<DateTime<Local>, String> {
    let text = text.trim();
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    for (unit, secs) in units {
        let number = text.strip_suffix(unit).and_then(|number| number.trim().parse::<f64>().ok());
        if let Some(number) = number.filter(|number| *number >= 0.0) {
            let ago = TimeDelta::try_milliseconds((number * secs as f64 * 1e3) as i64);
            if let Some(time) = ago.and_then(|ago| Local::now().checked_sub_signed(ago)) {
                return Ok(time);
            }
        }
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Local));
    }
    let whole = if text.len() <= 10 { format!("{text} 00:00") } else { text.replace('T', " ") };
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(&whole, form).ok())
        .and_then(here)
        .ok_or_else(|| {
            "expected a time ago, as 90s, 10m, 2h or 1d, or a date and time, as 2026-01-31 14:05".to_owned()
        })
}

/// When clocks of the reader's place show `time`: the first time, where they show it twice. What they skip, as half past midnight in Cairo on
/// a day in April, is when they go on, to the minute.
fn here(time: NaiveDateTime) -> Option<DateTime<Local>> {
    (0..=180).find_map(|minutes| {
        let later = time.checked_add_signed(TimeDelta::minutes(minutes))?;
        Local.from_local_datetime(&later).earliest()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_so_long_ago_or_a_date_and_time() {
        let ago = |text: &str| (Local::now() - since(text).unwrap()).num_seconds();
        for (text, secs) in [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5d", 129_600), ("0s", 0)] {
            assert!((ago(text) - secs).abs() <= 1, "{text}");
        }
        let same = since("2026-01-31 14:05").unwrap();
        assert_eq!(since("2026-01-31T14:05:00").unwrap(), same);
        assert_eq!(since(&same.to_rfc3339()).unwrap(), same);
        assert_eq!(since("2026-01-31").unwrap(), since("2026-01-31 00:00").unwrap());
        for wrong in ["", "yesterday", "-5m", "1e30d", "NaNs", "2026-13-01", "m"] {
            assert!(since(wrong).unwrap_err().starts_with("expected"), "{wrong}");
        }
    }
}
