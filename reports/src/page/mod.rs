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
    let page = Page::new(&summary, &rows, &charts, options);

    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template("report.html", TEMPLATE)?;
    environment.add_global("style", minijinja::Value::from_safe_string(STYLE.to_owned()));
    Ok(environment.get_template("report.html")?.render(minijinja::value::Serde(page))?)
}
