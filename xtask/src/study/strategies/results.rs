//! The study's results as a file, and as Markdown for the README and the terminal.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::cells::{Cell, FULL, RANDOM, StepCost, cells, step_costs};
use super::grid::{Condition, SHORT};
use super::runs::Run;
use super::statistics::Estimate;
use super::verdicts::{AUTO, Verdict};
use crate::{folders, plan};

/// What the study found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Results {
    /// What does it again.
    pub(super) command: String,
    /// The processor it was done on, and how many cores at once.
    pub(super) processor: String,
    pub(super) n_cores: usize,
    /// How seconds are counted.
    pub(super) time: String,
    pub(super) cells: Vec<Cell>,
    pub(super) step_costs: Vec<StepCost>,
    pub(super) verdicts: Vec<Verdict>,
}

/// What stands beside figures that rest on it.
const TIME: &str = "Steps cost the same for all strategies (step_costs: measured); choosing's share in training is measured \
     within each run. Equal time: the schedule of fresh random with the fewest epochs that is as long as a strategy's training \
     and choosing. Speed: full data's steps beside a strategy's with its choosing.";

impl Results {
    pub(super) fn new(command: &str, runs: &[Run]) -> Self {
        let cells = cells(runs);
        Self {
            command: command.to_owned(),
            processor: processor(),
            n_cores: plan::n_cores(),
            time: TIME.to_owned(),
            verdicts: super::verdicts::verdicts(&cells),
            cells,
            step_costs: step_costs(runs),
        }
    }

    /// # Errors
    /// If the file is there and cannot be read, or holds something else.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let results = serde_json::from_str(&text);
        results.map(Some).with_context(|| format!("{}: expected results of this study", path.display()))
    }

    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        folders::write_atomically(path, serde_json::to_string_pretty(self)? + "\n")
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

/// How a condition is called where people read it.
pub(super) fn spoken(condition: &str) -> String {
    if condition == Condition::Imbalance.name() {
        return "10:1 imbalance".to_owned();
    }
    match condition.strip_prefix("noise-") {
        Some(percent) => format!("{percent} % random labels"),
        None => condition.to_owned(),
    }
}

/// Two tables: `auto` beside fresh random and full data; and all strategies beside fresh random.
pub(super) fn markdown(cells: &[Cell]) -> String {
    let n_seeds = cells.iter().map(|cell| cell.seeds.len()).max().unwrap_or_default();
    let difference = |points: &Estimate| points_text(points, n_seeds);
    let of = |place: &Cell, strategy: &str| {
        cells.iter().find(|cell| {
            let is_there = cell.strategy == strategy && cell.condition == place.condition;
            let percent = if strategy == FULL { 100 } else { place.percent };
            is_there && (&cell.data, cell.epochs, cell.percent) == (&place.data, place.epochs, percent)
        })
    };
    let accuracy = |cell: Option<&Cell>| cell.map_or_else(none, |cell| format!("{:.1}", cell.accuracy.mean));
    let mut text = "| condition | data | trained on | full data | fresh random | `auto` | beside fresh random at equal time | \
         beside full data | speed | choosing |\n|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let mut before = String::new();
    for cell in cells.iter().filter(|cell| cell.strategy == AUTO) {
        let mut condition = spoken(&cell.condition);
        if cell.epochs != SHORT {
            let _ = write!(condition, ", {} epochs", cell.epochs);
        }
        let shown = if condition == before { "" } else { condition.as_str() };
        let at_equal_time = cell.equal_time.as_ref().map_or_else(none, |beside| difference(&beside.points));
        let _ = writeln!(
            text,
            "| {shown} | {} | {} % | {} | {} | {} | {at_equal_time} | {} | {} | {:.1} % |",
            cell.data,
            cell.percent,
            accuracy(of(cell, FULL)),
            accuracy(of(cell, RANDOM)),
            accuracy(Some(cell)),
            cell.beside_full.as_ref().map_or_else(none, difference),
            cell.speedup.map_or_else(none, |speedup| format!("{speedup:.1} ×")),
            100.0 * cell.choosing_share,
        );
        before = condition;
    }
    let _ = write!(
        text,
        "\n{TIME} In parentheses: at equal epochs, where no schedule of fresh random is as long.\n\n"
    );
    text.push_str(&all_strategies(cells, n_seeds));
    text
}

/// Every strategy's points above fresh random at equal time; in parentheses at equal epochs, where no schedule of fresh random
/// is as long.
fn all_strategies(cells: &[Cell], n_seeds: usize) -> String {
    let mut strategies: Vec<&str> = Vec::new();
    let chosen = || cells.iter().filter(|cell| cell.strategy != FULL && cell.strategy != RANDOM);
    for cell in chosen() {
        if !strategies.contains(&cell.strategy.as_str()) {
            strategies.push(&cell.strategy);
        }
    }
    // Ours last.
    strategies.sort_by_key(|name| (*name == AUTO, *name));
    let mut text = format!(
        "| condition | data | trained on | {} |\n|---|---|---|{}\n",
        strategies.join(" | "),
        "---|".repeat(strategies.len())
    );
    let mut places: Vec<&Cell> = Vec::new();
    for cell in chosen() {
        if !places.iter().any(|place| place.is_at(cell)) {
            places.push(cell);
        }
    }
    for place in places {
        let of = |strategy: &&str| {
            let cell = chosen().find(|cell| cell.strategy == **strategy && cell.is_at(place))?;
            let at_equal_time = cell.equal_time.as_ref().map(|beside| points_text(&beside.points, n_seeds));
            let at_equal_epochs = cell
                .equal_epochs
                .as_ref()
                .map(|beside| format!("({})", points_text(&beside.points, n_seeds)));
            at_equal_time.or(at_equal_epochs)
        };
        let row: Vec<String> = strategies.iter().map(|name| of(name).unwrap_or_else(none)).collect();
        let epochs = if place.epochs == SHORT { String::new() } else { format!(", {} epochs", place.epochs) };
        let _ = writeln!(
            text,
            "| {}{epochs} | {} | {} % | {} |",
            spoken(&place.condition),
            place.data,
            place.percent,
            row.join(" | ")
        );
    }
    text
}

fn none() -> String {
    "–".to_owned()
}

/// `+0.42 ± 0.31`, bold where the interval leaves zero out, with the number of seeds where some are missing.
fn points_text(points: &Estimate, n_seeds: usize) -> String {
    let half = points.half_width.map(|half| format!(" ± {half:.2}")).unwrap_or_default();
    let text = format!("{:+.2}{half}", points.mean).replace('-', "−");
    let bold = if points.excludes_zero() { "**" } else { "" };
    let seeds = match points.n {
        n if n == n_seeds => String::new(),
        1 => " (1 seed)".to_owned(),
        n => format!(" ({n} seeds)"),
    };
    format!("{bold}{text}{bold}{seeds}")
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::super::cells::tests::run;
    use super::super::runs::Run;
    use super::{Results, markdown, spoken};

    fn runs() -> Vec<Run> {
        let mut runs = Vec::new();
        for (seed, shift) in (0..3).zip([-0.1, 0.0, 0.1]) {
            runs.push(Run { epoch_secs: 3.0, ..run("full", 20, seed, 90.0) });
            runs.push(run("fresh-random", 20, seed, 80.0));
            runs.push(run("fresh-random", 21, seed, 81.0 + shift));
            runs.push(Run { choosing_share: 0.02, ..run("auto", 20, seed, 83.0) });
            runs.push(Run { choosing_share: 2.0, ..run("glister", 20, seed, 79.5 + 20.0 * shift) });
        }
        runs
    }

    #[test]
    fn tables_say_what_was_found() {
        let text = markdown(&cells(&runs()));
        let auto = "| clean | mnist | 30 % | 90.0 | 80.0 | 83.0 | **+2.00 ± 0.25** | **−7.00 ± 0.00** | 3.3 × | 2.0 % |";
        assert!(text.contains(auto), "{text}");
        assert!(text.contains("| trained on | glister | auto |"), "{text}");
        let all = "| clean | mnist | 30 % | (−0.50 ± 4.97) | **+2.00 ± 0.25** |";
        assert!(text.contains(all), "{text}");
    }

    #[test]
    fn missing_seeds_are_told() {
        let mut runs = runs();
        runs.retain(|run| run.strategy != "auto" || run.seed == 2);
        let text = markdown(&cells(&runs));
        assert!(text.contains("| +1.90 (1 seed) |"), "{text}");
    }

    #[test]
    fn a_file_gives_back_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        assert_eq!(Results::read(&path).unwrap(), None);
        let results = Results::new("cargo xtask study strategies", &runs());
        results.write(&path).unwrap();
        assert_eq!(Results::read(&path).unwrap(), Some(results));
        std::fs::write(&path, "{}").unwrap();
        let error = format!("{:#}", Results::read(&path).unwrap_err());
        assert!(error.contains("expected results of this study"), "{error}");
    }

    #[test]
    fn conditions_have_names_to_read() {
        assert_eq!(spoken("noise-40"), "40 % random labels");
        assert_eq!(spoken("imbalance"), "10:1 imbalance");
        assert_eq!(spoken("clean"), "clean");
    }
}
