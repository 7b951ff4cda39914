//! The whole report: options and tables in, one HTML file out.

mod context;

use crate::chart;
use crate::error::Result;
use crate::summary::{Published, summarize_runs};
use crate::table::{metric_names, read_runs};
use context::Page;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment};
use polars::prelude::DataFrame;

const TEMPLATE: &str = include_str!("../templates/report.html");
const STYLE: &str = include_str!("../templates/report.css");

/// What a report says beside its data. All of it is plain text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// The heading; "How much of the data is needed?" where none is given.
    pub title: Option<String>,
    /// Who made the report.
    pub author: Option<String>,
    /// When it was written, in words. None by default, so that the same input gives the same bytes.
    pub written_at: Option<String>,
    /// How it was made, one line each: command lines, versions, the machine.
    pub how_made: Vec<String>,
    /// Figures in print, which GLISTER's are set beside.
    pub published: Vec<Published>,
}

/// The report as one HTML file: no script, nothing loaded from anywhere, light and dark by the reader's preference.
///
/// # Errors
/// [`crate::Error::Column`] and [`crate::Error::MissingColumn`] where a table cannot be read;
/// [`crate::Error::Drawing`] and [`crate::Error::Template`] only through a fault of this crate.
pub fn render(runs: &DataFrame, metrics: &DataFrame, options: &Options) -> Result<String> {
    let rows = read_runs(runs)?;
    let summary = summarize_runs(&rows);
    let measured = metric_names(metrics)?;
    // The metric that the runs are sorted by; another accuracy where it was not kept.
    let shown = ["validation:accuracy", "test:accuracy", "train:accuracy"]
        .into_iter()
        .find(|name| measured.iter().any(|one| one == name))
        .unwrap_or("validation:accuracy");
    let charts = [
        chart::accuracy_of(&summary)?,
        chart::speedup_of(&summary)?,
        chart::per_step_of(metrics, &rows, shown)?,
    ];
    let page = Page::new(&summary, &rows, &charts, &charts_of_any_columns(runs)?, options);

    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template("report.html", TEMPLATE)?;
    environment.add_global("style", minijinja::Value::from_safe_string(STYLE.to_owned()));
    Ok(environment.get_template("report.html")?.render(minijinja::value::Serde(page))?)
}

/// What a table of runs may vary in, beside the data.
const PARAMETERS: [&str; 18] = [
    "strategy",
    "fraction",
    "seed",
    "dataset",
    "model",
    "epochs",
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "schedule",
    "precision",
    "label_smoothing",
    "clip_grad_norm",
    "crop_padding",
    "select_every",
    "kappa",
    "pool",
];

/// Charts that only some tables have something for, with their captions: what the runs took and reached, and how what they
/// reached hangs together with the parameters in which they differ.
fn charts_of_any_columns(runs: &DataFrame) -> Result<Vec<(chart::Svg, &'static str)>> {
    const SECONDS: &str = "run:seconds.last";
    let reached = ["test:accuracy.last", "validation:accuracy.max"];
    let Some(reached) = chart::varying(runs, &reached).first().copied() else { return Ok(Vec::new()) };
    let mut charts = Vec::new();
    if chart::varying(runs, &[SECONDS]).len() == 1 {
        let strategy = chart::varying(runs, &["strategy"]).first().copied();
        charts.push((
            chart::scatter(runs, SECONDS, reached, strategy)?,
            "One mark a run: the seconds it took from its start to its end, and what it reached.",
        ));
    }
    let mut columns = chart::varying(runs, &PARAMETERS);
    if columns.len() >= 2 {
        columns.push(reached);
        charts.push((
            chart::parallel_coordinates(runs, &columns, Some(reached))?,
            "One line a run, over the parameters in which the runs differ; the warmer, the more accurate.",
        ));
    }
    Ok(charts)
}
