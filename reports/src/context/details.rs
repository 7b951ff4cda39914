//! In what the runs differ, and how each was made: everything in the table of runs that is not a figure.

use super::{LONGEST_LINE, LONGEST_NAME, NONE};
use crate::error::Result;
use crate::options::Options;
use crate::table::Run;
use crate::wording::{count, list, shorten};
use polars::prelude::{DataFrame, DataType};
use serde::Serialize;

/// Columns that say what a run is, not how it was told to be.
const OWN: [&str; 8] = ["run", "experiment", "status", "created", "ended", "error", "note", "artifacts"];
/// Columns that say where a run was made; also any that begins with `environment.`.
const ENVIRONMENT: [&str; 20] = [
    "command",
    "git_commit",
    "git_dirty",
    "git_branch",
    "hostname",
    "os",
    "kernel",
    "arch",
    "cpu",
    "cores",
    "n_cores",
    "gpu",
    "memory",
    "rust_version",
    "libtorch_version",
    "python",
    "python_version",
    "glisten_version",
    "device",
    "threads",
];
/// A report is sent to others: where in a network a run was made is not their concern.
const PRIVATE: [&str; 3] = ["hostname", "user", "folder"];
/// Ends of the columns that hold a metric's statistics.
const STATISTICS: [&str; 7] = ["min", "max", "avg", "stddev", "last", "count", "nonfinite"];
const MOST_VALUES: usize = 8;
const MOST_COMMANDS: usize = 200;
const MOST_RUNS_NAMED: usize = 3;

/// A column of the table of runs as texts, one a run.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    pub(crate) name: String,
    pub(crate) values: Vec<Option<String>>,
}

impl Texts {
    /// Each value and how many runs have it, numbers by size, then texts by the alphabet.
    fn counted(&self) -> Vec<(Option<&str>, usize)> {
        let mut values: Vec<Option<&str>> = self.values.iter().map(Option::as_deref).collect();
        let number = |value: &Option<&str>| value.and_then(|text| text.parse::<f64>().ok());
        values.sort_by(|a, b| match (number(a), number(b)) {
            (Some(left), Some(right)) => left.total_cmp(&right).then_with(|| a.cmp(b)),
            (None, None) => a.is_none().cmp(&b.is_none()).then_with(|| a.cmp(b)),
            (left, right) => left.is_none().cmp(&right.is_none()),
        });
        values.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).collect()
    }

    fn differs(&self) -> bool {
        self.values.iter().any(|value| Some(value) != self.values.first())
    }
}

/// What a table of runs says beside its figures.
#[derive(Debug, Clone, Default)]
pub(crate) struct Read {
    runs: Vec<String>,
    parameters: Vec<Texts>,
    environment: Vec<Texts>,
}

impl Read {
    /// The columns of `table` that are parameters or say where a run was made; `runs` are its rows.
    pub(crate) fn of(table: &DataFrame, runs: &[Run]) -> Result<Self> {
        let mut read = Self { runs: runs.iter().map(|run| run.name.clone()).collect(), ..Self::default() };
        for column in table.columns() {
            let name = column.name().as_str();
            let dtype = column.dtype();
            let is_statistic = name.rsplit_once('.').is_some_and(|(_, end)| STATISTICS.contains(&end));
            let is_readable = dtype.is_string() || dtype.is_primitive_numeric() || dtype.is_bool();
            if is_statistic || OWN.contains(&name) || !is_readable {
                continue;
            }
            let text = column.cast(&DataType::String)?;
            let values: Vec<Option<String>> =
                text.str()?.iter().map(|value| value.map(str::to_owned)).collect();
            if values.iter().all(Option::is_none) {
                continue;
            }
            let bare = name.strip_prefix("environment.");
            let texts =
                Texts { name: bare.or(name.strip_prefix("parameters.")).unwrap_or(name).to_owned(), values };
            if bare.is_some() || ENVIRONMENT.contains(&name) {
                read.environment.push(texts);
            } else {
                read.parameters.push(texts);
            }
        }
        Ok(read)
    }

    /// The parameters in which the runs differ, without what tells runs apart everywhere: strategy, fraction and seed.
    pub(super) fn differing(&self) -> impl Iterator<Item = &Texts> {
        let told = ["strategy", "fraction", "seed"];
        self.parameters.iter().filter(move |one| one.differs() && !told.contains(&one.name.as_str()))
    }

    fn environment(&self, name: &str, row: usize) -> Option<&str> {
        self.environment.iter().find(|one| one.name == name)?.values.get(row)?.as_deref()
    }
}

/// In what the runs differ, and what they share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameters {
    /// One line a parameter in which runs differ.
    pub differing: Vec<Parameter>,
    /// What every run has the same.
    pub shared: Vec<Fact>,
    /// The name of the baseline run, whose values are marked.
    pub baseline: Option<String>,
}

/// A parameter and its values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its values, lowest first.
    pub values: Vec<ValueCount>,
    /// How many more values there are.
    pub n_more: usize,
}

/// A value and how many runs have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueCount {
    /// The value.
    pub text: String,
    /// "3 runs".
    pub runs: String,
    /// Whether it is the baseline run's.
    pub is_baseline: bool,
}

/// A name and what stands for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fact {
    /// The name.
    pub name: String,
    /// What it is.
    pub value: String,
}

impl Parameters {
    pub(super) fn new(read: &Read, baseline: Option<&Run>) -> Self {
        let row = baseline.and_then(|run| read.runs.iter().position(|name| *name == run.name));
        let parameter = |texts: &Texts| {
            let own = row.and_then(|row| texts.values.get(row)).map(Option::as_deref);
            let counted = texts.counted();
            let values = counted.iter().take(MOST_VALUES).map(|(value, n)| ValueCount {
                text: match value {
                    None => NONE.to_owned(),
                    Some("NaN") => "not a number".to_owned(),
                    Some(text) => shorten(text, LONGEST_NAME),
                },
                runs: count(*n, "run", "runs"),
                is_baseline: own == Some(*value),
            });
            Parameter {
                name: shorten(&texts.name, LONGEST_NAME),
                values: values.collect(),
                n_more: counted.len().saturating_sub(MOST_VALUES),
            }
        };
        let shared = read.parameters.iter().filter(|one| !one.differs());
        Self {
            differing: read.parameters.iter().filter(|one| one.differs()).map(parameter).collect(),
            shared: shared.filter_map(fact).collect(),
            baseline: baseline.map(|run| shorten(&run.name, LONGEST_NAME)),
        }
    }
}

fn fact(texts: &Texts) -> Option<Fact> {
    let value = texts.values.first()?.as_deref()?;
    Some(Fact { name: shorten(&texts.name, LONGEST_NAME), value: shorten(value, 200) })
}

/// How the runs were made, and how to make them again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reproduce {
    /// Each command once, with the runs that came of it.
    pub commands: Vec<CommandLine>,
    /// How many commands there are beside these.
    pub n_more: usize,
    /// "3 runs", of which no command is known; none where there is no such run.
    pub without_command: Option<String>,
    /// Versions and devices; where runs differ, each value with its number of runs.
    pub environment: Vec<Fact>,
    /// Lines that the one who made the report has added.
    pub lines: Vec<String>,
}

/// A command that made runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CommandLine {
    /// The command line.
    pub command: String,
    /// The code it ran, as "commit 1a2b3c, with changes that are not committed".
    pub code: Option<String>,
    /// The runs that came of it.
    pub runs: String,
}

impl Reproduce {
    pub(super) fn new(read: &Read, options: &Options) -> Self {
        /// A command, the commit of its code, and whether files differed from that.
        type Made<'a> = (&'a str, Option<&'a str>, bool);
        let mut commands: Vec<(Made<'_>, Vec<&str>)> = Vec::new();
        let mut place = std::collections::HashMap::new();
        let mut n_without = 0;
        for (row, run) in read.runs.iter().enumerate() {
            let Some(command) = read.environment("command", row) else {
                n_without += 1;
                continue;
            };
            let is_dirty = read.environment("git_dirty", row) == Some("true");
            let key = (command, read.environment("git_commit", row), is_dirty);
            let at = *place.entry(key).or_insert_with(|| {
                commands.push((key, Vec::new()));
                commands.len() - 1
            });
            commands[at].1.push(run);
        }
        let n_more = commands.len().saturating_sub(MOST_COMMANDS);
        let commands =
            commands.into_iter().take(MOST_COMMANDS).map(|((command, commit, is_dirty), runs)| CommandLine {
                command: shorten(command, LONGEST_LINE),
                code: code(commit, is_dirty),
                runs: names(&runs),
            });
        let shown = |one: &&Texts| {
            let name = one.name.as_str();
            !PRIVATE.contains(&name) && !["command", "git_commit", "git_dirty"].contains(&name)
        };
        Self {
            commands: commands.collect(),
            n_more,
            without_command: (n_without > 0).then(|| count(n_without, "run", "runs")),
            environment: read.environment.iter().filter(shown).map(values).collect(),
            lines: options.how_made.iter().map(|text| shorten(text, LONGEST_LINE)).collect(),
        }
    }
}

fn code(commit: Option<&str>, is_dirty: bool) -> Option<String> {
    // Enough to find it by.
    let commit: String = shorten(commit?, 64).chars().take(12).collect();
    Some(if is_dirty {
        format!("commit {commit}, with changes that are not committed")
    } else {
        format!("commit {commit}")
    })
}

fn names(runs: &[&str]) -> String {
    let n_named = if runs.len() == MOST_RUNS_NAMED + 1 { runs.len() } else { MOST_RUNS_NAMED };
    let mut named: Vec<String> = runs.iter().take(n_named).map(|name| shorten(name, LONGEST_NAME)).collect();
    if runs.len() > n_named {
        named.push(format!("{} more", runs.len() - n_named));
    }
    list(&named)
}

/// "2.11.0", or "2.11.0 (12 runs), 2.10.0 (3 runs)".
fn values(texts: &Texts) -> Fact {
    let counted = texts.counted();
    let one = |(value, n): &(Option<&str>, usize)| {
        let value = value.map_or("not recorded".to_owned(), |text| shorten(text, 120));
        if counted.len() == 1 { value } else { format!("{value} ({})", count(*n, "run", "runs")) }
    };
    let mut parts: Vec<String> = counted.iter().take(MOST_VALUES).map(one).collect();
    if counted.len() > MOST_VALUES {
        parts.push(format!("{} more", counted.len() - MOST_VALUES));
    }
    Fact { name: shorten(&texts.name.replace('_', " "), LONGEST_NAME), value: parts.join(", ") }
}
