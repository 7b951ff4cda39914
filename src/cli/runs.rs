//! `glisten runs`: the experiments there are, and runs as a table, as CSV or as JSON, once or as they change.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use glisten::Error;
use glisten::analytics::{self, ExperimentAnalytics, RunsExt, Search, SortOrder};
use glisten::track::{Experiment, Status, Store};
use polars::prelude::{Column, DataFrame, DataType, NamedFrom, Series, TimeUnit, TimeZone};

use super::StoreArguments;
use super::follow::{Event, Follower};
use super::screen::Screen;
use super::table::{Format, Table, Value};
use super::text::{count, fit, printable};

/// What a table on a terminal has room for. `--all`, `--columns` and the other formats give more.
const COLUMNS: [&str; 9] = [
    "run",
    "experiment",
    "status",
    "fraction",
    "seed",
    "validation:accuracy.max",
    "test:accuracy.last",
    "epoch:seconds.avg",
    "selection:seconds.avg",
];

/// What runs are sorted by where nothing else is asked for.
const USUAL: &str = "validation:accuracy.max";

#[derive(clap::Args)]
#[command(after_help = "Examples:
  glisten runs                                                  # which experiments there are
  glisten runs how-much-data --sort-by validation:accuracy.max
  glisten runs how-much-data --filter 'fraction <= 0.3 and validation:accuracy.max > 0.9' --limit 10
  glisten runs how-much-data --compare 'glister 30 % seed 0,fresh-random 30 % seed 0'
  glisten runs --all-experiments --format json | jq '.[].run'
  glisten runs how-much-data --follow")]
pub(super) struct RunsArguments {
    /// The experiments; without one, the experiments are listed
    #[arg(value_name = "EXPERIMENT")]
    experiments: Vec<String>,
    /// The runs of every experiment
    #[arg(long, conflicts_with = "experiments")]
    all_experiments: bool,
    /// Only runs that satisfy this: comparisons (= != < <= > >=, contains, in, exists) with and, or, not and parentheses
    #[arg(long, value_name = "CONDITION")]
    filter: Option<String>,
    /// Only runs that satisfy the SearchExpression in this file, in SageMaker's JSON
    #[arg(long, value_name = "FILE")]
    search: Option<PathBuf>,
    /// The column to sort by, best first: the lowest loss, error (also rmse, mae) or seconds, else the highest; validation:accuracy.max where there
    /// is one
    #[arg(long, value_name = "COLUMN")]
    sort_by: Option<String>,
    /// Sort the lowest first
    #[arg(long, conflicts_with = "descending")]
    ascending: bool,
    /// Sort the highest first
    #[arg(long)]
    descending: bool,
    /// Show these columns, in this order
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    columns: Vec<String>,
    /// Show every column
    #[arg(long, conflicts_with = "columns")]
    all: bool,
    /// Show the first N only
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// As what to print; csv and json have every column unless --columns chooses
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The same as --format csv
    #[arg(long, conflicts_with = "format")]
    csv: bool,
    /// In csv, texts just as they are. Without this, what would steer a terminal is escaped (as \\u{1b}), and texts that a
    /// spreadsheet would take for a formula have a ' in front
    #[arg(long)]
    raw: bool,
    /// Show what differs between these runs, and only that
    #[arg(long, value_name = "RUN,…", value_delimiter = ',', conflicts_with_all = ["columns", "all", "follow", "limit"])]
    compare: Vec<String>,
    /// Show the table again whenever it changes, on a pipe a line for each change, until no run is at work
    #[arg(long)]
    follow: bool,
    /// Follow on when no run is at work
    #[arg(long, requires = "follow")]
    forever: bool,
    #[command(flatten)]
    store: StoreArguments,
}

impl RunsArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let store = self.store.open_existing()?;
        let format = if self.csv { Format::Csv } else { self.format };
        let names_runs = self.filter.is_some() || self.search.is_some() || !self.compare.is_empty();
        if self.experiments.is_empty() && !self.all_experiments && !names_runs {
            anyhow::ensure!(!self.follow, "--follow: name an experiment, or --all-experiments");
            Table::of(&experiments(&store)?)?.print_as(format, self.raw)?;
            return Ok(ExitCode::SUCCESS);
        }
        let query = self.query(&store)?;
        if !self.compare.is_empty() {
            Table::of(&query.compare(&self.compare)?)?.print_as(format, self.raw)?;
            return Ok(ExitCode::SUCCESS);
        }
        if !self.follow {
            let table = self.table(&query, format)?;
            if table.n_rows == 0 && format == Format::Table {
                let found = self.filter.is_some() || self.search.is_some();
                say!("{}", if found { "no run satisfies that" } else { "no runs yet" });
            } else {
                table.print_as(format, self.raw)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let mut follower = Follower::new(&store, &self.experiments, self.forever)?;
        match format {
            Format::Csv => anyhow::bail!("--follow: expected --format table or json, got csv"),
            Format::Table if io::stdout().is_terminal() => self.redraw(&query, &mut follower),
            _ => self.print_changes(&query, &mut follower, format),
        }
    }

    /// The runs asked for, in their order.
    fn query(&self, store: &Store) -> anyhow::Result<ExperimentAnalytics> {
        // Opening an experiment says the nearest name where it is wrong, and marks the runs of dead processes.
        let experiments = match &self.experiments[..] {
            [] => store.experiment_names()?,
            named => named.to_vec(),
        };
        let mut opened: Vec<Experiment> = experiments
            .iter()
            .map(|name| Experiment::open_in(store, name))
            .collect::<glisten::Result<_>>()?;
        let mut query = match &self.experiments[..] {
            [_] => ExperimentAnalytics::of(&opened.remove(0)),
            [] => ExperimentAnalytics::all(store),
            named => ExperimentAnalytics::all(store)
                .search(Search::is_in("experiment", named.iter().map(String::as_str)))?,
        };
        if let Some(condition) = &self.filter {
            query = query.search(condition)?;
        }
        if let Some(path) = &self.search {
            let at = |error: &dyn std::fmt::Display| anyhow::anyhow!("{}: {error}", path.display());
            let json = std::fs::read_to_string(path).map_err(|error| at(&error))?;
            query = query.search(Search::from_json(&json).map_err(|error| at(&error))?)?;
        }
        Ok(query.sort_order(self.order(self.sort_by.as_deref().unwrap_or(USUAL))))
    }

    fn order(&self, sort_by: &str) -> SortOrder {
        if self.ascending || (!self.descending && analytics::lowest_is_best(sort_by)) {
            SortOrder::Ascending
        } else {
            SortOrder::Descending
        }
    }

    /// The rows to show.
    fn rows(&self, query: &ExperimentAnalytics) -> anyhow::Result<DataFrame> {
        let runs = match &self.sort_by {
            Some(column) => query.clone().sort_by(column).runs()?,
            None => match query.clone().sort_by(USUAL).runs() {
                // No run has come so far: the latest first.
                Err(Error::NotFound { .. }) => query.clone().sort_by("created").runs()?,
                runs => runs?,
            },
        };
        Ok(self.limit.map_or_else(|| runs.clone(), |limit| runs.head(Some(limit))))
    }

    /// The columns to show.
    fn select(&self, runs: &DataFrame, format: Format) -> anyhow::Result<Table> {
        if !self.columns.is_empty() && runs.height() > 0 {
            let columns: Vec<String> =
                self.columns.iter().map(|name| runs.column_named(name)).collect::<glisten::Result<_>>()?;
            return Ok(Table::of(&runs.select(distinct(columns))?)?);
        }
        if format == Format::Table && !self.all {
            let columns = usual_columns(runs, self.sort_by.as_deref(), self.experiments.len() != 1);
            return Ok(Table::of(&runs.select(columns)?)?);
        }
        Ok(Table::of(runs)?)
    }

    fn table(&self, query: &ExperimentAnalytics, format: Format) -> anyhow::Result<Table> {
        self.select(&self.rows(query)?, format)
    }

    /// The table on a terminal, drawn again whenever it changes; its last state stays.
    fn redraw(&self, query: &ExperimentAnalytics, follower: &mut Follower) -> anyhow::Result<ExitCode> {
        let mut screen = Screen::open()?;
        let mut table = self.table(query, Format::Table)?;
        let code = loop {
            let (height, width) = screen.size();
            let mut lines = vec![fit(&heading(follower), width)];
            lines.extend(table.lines(Some(width)));
            if lines.len() > height {
                lines.truncate(height.saturating_sub(1));
                let n_hidden = table.n_rows + 2 - lines.len();
                lines.push(fit(&format!("… and {}", count(n_hidden, "more line", "more lines")), width));
            }
            screen.draw(&lines)?;
            let event = follower.next(&mut || screen.is_to_be_redrawn())?;
            match event {
                Event::Changed => table = self.table(query, Format::Table)?,
                Event::Redraw if screen.has_quit() => break ExitCode::SUCCESS,
                Event::Redraw => {}
                Event::Ended => break ExitCode::SUCCESS,
                Event::Interrupted => break ExitCode::from(130),
            }
        };
        drop(screen);
        table.print(Format::Table)?;
        Ok(code)
    }

    /// A line for each run, and one whenever a run has changed.
    fn print_changes(
        &self,
        query: &ExperimentAnalytics,
        follower: &mut Follower,
        format: Format,
    ) -> anyhow::Result<ExitCode> {
        let mut known: Vec<(String, Vec<Value>)> = Vec::new();
        loop {
            let runs = self.rows(query)?;
            let (whole, shown) = (Table::of(&runs)?, self.select(&runs, Format::Json)?);
            let mut out = io::stdout().lock();
            for row in 0..shown.n_rows {
                let key = format!("{}\u{0}{}", whole.text("experiment", row), whole.text("run", row));
                let values: Vec<Value> =
                    (0..shown.names.len()).map(|column| shown.value(column, row).clone()).collect();
                match known.iter_mut().find(|(name, _)| *name == key) {
                    Some((_, before)) if *before == values => continue,
                    Some((_, before)) => *before = values,
                    None => known.push((key, values)),
                }
                if format == Format::Json {
                    shown.write_json_row(&mut out, row)?;
                    writeln!(out)?;
                } else {
                    let time = chrono::Local::now().format("%H:%M:%S");
                    writeln!(out, "{time}  {}", change(&whole, &shown, row, !self.columns.is_empty()))?;
                }
            }
            out.flush()?;
            match follower.next(&mut || false)? {
                Event::Changed | Event::Redraw => {}
                Event::Ended => return Ok(ExitCode::SUCCESS),
                Event::Interrupted => return Ok(ExitCode::from(130)),
            }
        }
    }
}

fn heading(follower: &Follower) -> String {
    let at_work = match follower.n_at_work() {
        0 => "no run at work".to_owned(),
        n => format!("{} at work", count(n, "run", "runs")),
    };
    format!("{}  {at_work}  (Ctrl-C or q ends)", chrono::Local::now().format("%H:%M:%S"))
}

/// "glister 30 % seed 0  running  validation:accuracy=0.8742 …": the last value of each metric, or the columns asked for.
fn change(whole: &Table, shown: &Table, row: usize, is_chosen: bool) -> String {
    let mut parts = vec![whole.text("run", row), whole.text("status", row)];
    for (column, name) in shown.names.iter().enumerate() {
        let label = if is_chosen { Some(name.as_str()) } else { name.strip_suffix(".last") };
        let value = shown.value(column, row);
        if let Some(label) = label.filter(|label| !["run", "status"].contains(label))
            && *value != Value::Null
        {
            parts.push(format!("{}={}", printable(label), value.show()));
        }
    }
    let error = whole.text("error", row);
    if !error.is_empty() && !is_chosen {
        parts.push(error);
    }
    parts.join("  ")
}

/// The columns that a terminal has room for, and behind the status the one sorted by.
fn usual_columns(runs: &DataFrame, sort_by: Option<&str>, are_several: bool) -> Vec<String> {
    let is_there = |name: &&str| runs.column(name).is_ok() && (*name != "experiment" || are_several);
    let mut columns: Vec<String> = COLUMNS.into_iter().filter(is_there).map(str::to_owned).collect();
    if let Some(column) = sort_by.and_then(|name| runs.column_named(name).ok())
        && !columns.contains(&column)
    {
        let behind = columns.iter().position(|name| name == "status").map_or(columns.len(), |at| at + 1);
        columns.insert(behind, column);
    }
    columns
}

fn distinct(columns: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for column in columns {
        if !kept.contains(&column) {
            kept.push(column);
        }
    }
    kept
}

/// Best run first, as `glisten sweep` shows them when it is done.
pub(super) fn print_best_first(store: &Store, experiment: &str) -> anyhow::Result<()> {
    let runs = Experiment::open_in(store, experiment)?.runs()?;
    let runs = if runs.column_named(USUAL).is_ok() { runs.best_first(USUAL)? } else { runs };
    Ok(Table::of(&runs.select(usual_columns(&runs, None, false))?)?.print(Format::Table)?)
}

/// One row an experiment: how many runs it has, in all and by status, and when it was made.
fn experiments(store: &Store) -> anyhow::Result<DataFrame> {
    let experiments = store.experiments()?;
    if let Some(first) = experiments.first() {
        // Marks the runs of dead processes.
        Experiment::open_in(store, &first.name)?;
    }
    let records = store.run_records(None)?;
    let counted = |status: Option<Status>| -> Vec<i64> {
        let of = |name: &str| {
            records
                .iter()
                .filter(|run| run.experiment == name && status.is_none_or(|status| run.status == status))
                .count() as i64
        };
        experiments.iter().map(|experiment| of(&experiment.name)).collect()
    };
    let names: Vec<&str> = experiments.iter().map(|experiment| experiment.name.as_str()).collect();
    let created: Vec<i64> = experiments.iter().map(|experiment| experiment.created_ms).collect();
    let time = DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC));
    let mut columns: Vec<Column> = vec![
        Series::new("experiment".into(), names).into(),
        Series::new("runs".into(), counted(None)).into(),
    ];
    for status in [Status::Running, Status::Completed, Status::Failed, Status::Stopped] {
        columns.push(Series::new(status.as_str().into(), counted(Some(status))).into());
    }
    columns.push(Series::new("created".into(), created).cast(&time)?.into());
    Ok(DataFrame::new(experiments.len(), columns)?)
}
