//! `glisten runs` and `glisten report`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use glisten::analytics::RunsExt;
use glisten::track::Experiment;
use glisten_reports::Options;
use glisten_reports::summary::{Published, beside_published};
use polars::prelude::{CsvWriter, DataFrame, SerWriter};

use super::StoreArguments;

/// What a table on a terminal has room for. `--all` and `--csv` give every column.
const COLUMNS: [&str; 8] = [
    "run",
    "status",
    "fraction",
    "seed",
    "validation:accuracy.max",
    "test:accuracy.last",
    "epoch:seconds.avg",
    "selection:seconds.avg",
];

#[derive(clap::Args)]
#[command(after_help = "Examples:
  glisten runs                                                  # which experiments there are
  glisten runs how-much-data --sort-by validation:accuracy.max
  glisten runs how-much-data --csv > runs.csv")]
pub(super) struct RunsArguments {
    /// The experiment; without one, the experiments are listed
    experiment: Option<String>,
    /// The column to sort by, best first; validation:accuracy.max where there is one
    #[arg(long, value_name = "COLUMN")]
    sort_by: Option<String>,
    /// Show every column
    #[arg(long)]
    all: bool,
    /// Print all columns as CSV
    #[arg(long, conflicts_with = "all")]
    csv: bool,
    #[command(flatten)]
    store: StoreArguments,
}

impl RunsArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let store = self.store.open_existing()?;
        let Some(name) = &self.experiment else {
            for name in store.experiment_names()? {
                let n_runs = store.run_records(Some(&name))?.len();
                println!("{name}: {n_runs} {}", if n_runs == 1 { "run" } else { "runs" });
            }
            return Ok(ExitCode::SUCCESS);
        };
        let runs = sorted(&Experiment::open_in(&store, name)?.runs()?, self.sort_by.as_deref())?;
        if self.csv {
            CsvWriter::new(std::io::stdout().lock()).finish(&mut { runs })?;
        } else if self.all {
            print_table(&runs);
        } else {
            print_runs(&runs, self.sort_by.as_deref())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Best run first: by the column asked for, else by the usual one if some run has come so far.
pub(super) fn sorted(runs: &DataFrame, sort_by: Option<&str>) -> anyhow::Result<DataFrame> {
    const USUAL: &str = "validation:accuracy.max";
    match sort_by {
        Some(column) if runs.height() > 0 => Ok(runs.best_first(column)?),
        None if runs.column_named(USUAL).is_ok() => Ok(runs.best_first(USUAL)?),
        _ => Ok(runs.clone()),
    }
}

/// Prints the columns that a terminal has room for, and the one sorted by.
pub(super) fn print_runs(runs: &DataFrame, sort_by: Option<&str>) -> anyhow::Result<()> {
    if runs.height() == 0 {
        println!("no runs yet");
        return Ok(());
    }
    let names = runs.get_column_names();
    let is_there = |name: &str| names.iter().any(|known| known.as_str() == name);
    let mut columns: Vec<String> =
        COLUMNS.into_iter().filter(|name| is_there(name)).map(str::to_owned).collect();
    if let Some(column) = sort_by {
        let column = runs.column_named(column)?;
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    print_table(&runs.select(columns)?);
    Ok(())
}

pub(super) fn print_table(runs: &DataFrame) {
    let settings = [
        ("POLARS_FMT_MAX_ROWS", "-1"),
        ("POLARS_FMT_MAX_COLS", "-1"),
        ("POLARS_FMT_STR_LEN", "60"),
        ("POLARS_TABLE_WIDTH", "160"),
        ("POLARS_FMT_TABLE_HIDE_COLUMN_DATA_TYPES", "1"),
        ("POLARS_FMT_TABLE_CELL_NUMERIC_ALIGNMENT", "RIGHT"),
    ];
    for (name, value) in settings {
        if std::env::var_os(name).is_none() {
            // SAFETY: polars takes these settings from the environment only; at this point of a command that is about to
            // print and end, no other thread reads it.
            unsafe { std::env::set_var(name, value) };
        }
    }
    println!("{runs}");
}

#[derive(clap::Args)]
#[command(after_help = "Example:
  glisten report how-much-data -o report.html --title 'Can we train on a third of it?'")]
pub(super) struct ReportArguments {
    /// The experiment
    experiment: String,
    /// The HTML file
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// The report's title; the experiment's name if not given
    #[arg(long)]
    title: Option<String>,
    /// Whom to name as author
    #[arg(long)]
    author: Option<String>,
    /// Write the figures here too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArguments,
}

impl ReportArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let store = self.store.open_existing()?;
        let options = Options { title: self.title, author: self.author, ..Default::default() };
        let experiment = Experiment::open_in(&store, &self.experiment)?;
        println!("{}", experiment.report_with(&self.output, &options)?);
        // The figures in words, for those who only want to know.
        let summary = experiment.summary()?;
        println!("{}", summary.headline);
        for caveat in &summary.caveats {
            println!("- {caveat}");
        }
        if let Some(path) = &self.json {
            write_figures(path, &experiment, &[])?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the figures of a report as JSON: `experiment`, the summary, and what GLISTER reached beside what is `published`,
/// for each setting.
pub(super) fn write_figures(
    path: &Path,
    experiment: &Experiment,
    published: &[Published],
) -> anyhow::Result<()> {
    let summary = experiment.summary()?;
    let beside: Vec<_> =
        summary.settings.iter().map(|setting| beside_published(setting, published)).collect();
    let figures = serde_json::json!({
        "experiment": experiment.name(),
        "summary": summary,
        "beside_published": beside,
    });
    glisten_reports::write(path, &serde_json::to_string_pretty(&figures)?)?;
    println!("figures: {}", path.display());
    Ok(())
}
