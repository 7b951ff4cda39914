//! `glisten report`, and the figures of a report as JSON.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use glisten::report;
use glisten::track::Experiment;
use glisten_reports::summary::{Published, Summary, beside_published};
use glisten_reports::{Options, Section, Theme};

use super::StoreArguments;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  glisten report how-much-data -o report.html --title 'Can we train on a third of it?'
  glisten report how-much-data --notes notes.md --without method,reproduce --pdf
  glisten report first second --run 'glister*' --run 'full*' --baseline 'first / full seed 0'
  glisten report how-much-data --charts figures --png --data numbers

Sections: notes, strategies, charts, comparison, published, selections, parameters, runs, reproduce, method.")]
pub(super) struct ReportArguments {
    /// The experiments; of several, a run is called 'EXPERIMENT / RUN' in the report
    #[arg(required = true, value_name = "EXPERIMENT")]
    experiments: Vec<String>,
    /// The HTML file
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// The report's title; the experiment's name if not given
    #[arg(long)]
    title: Option<String>,
    /// Whom to name as author
    #[arg(long)]
    author: Option<String>,
    /// Report on this run; * stands for any letters. May be given again; all runs if not given
    #[arg(long, value_name = "RUN")]
    run: Vec<String>,
    /// Set the other runs beside this one in the table of runs
    #[arg(long, value_name = "RUN")]
    baseline: Option<String>,
    /// auto (as the reader's system prefers), light or dark
    #[arg(long, default_value = "auto")]
    theme: Theme,
    /// Sections to leave out, as method,reproduce
    #[arg(long, value_name = "SECTIONS", value_delimiter = ',')]
    without: Vec<Section>,
    /// A file of notes in Markdown to show below the answer
    #[arg(long, value_name = "FILE")]
    notes: Option<PathBuf>,
    /// A folder with templates to use in place of the report's own
    #[arg(long, value_name = "FOLDER")]
    templates: Option<PathBuf>,
    /// Say when the report was written; without it, the same runs give the same bytes
    #[arg(long)]
    dated: bool,
    /// Print it to a PDF file too, by an installed Chromium; beside the HTML file if no other is named
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pdf: Option<Option<PathBuf>>,
    /// Save each chart in this folder too, as SVG
    #[arg(long, value_name = "FOLDER")]
    charts: Option<PathBuf>,
    /// Save the charts as PNG too
    #[arg(long, requires = "charts")]
    png: bool,
    /// Write the numbers of these runs to this folder too, as Parquet: the report names it
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Write the figures here too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArguments,
}

impl ReportArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let store = self.store.open_existing()?;
        let notes = self.notes.as_deref().map(read_notes).transpose()?;
        let options = Options {
            title: self.title,
            author: self.author,
            written_at: self.dated.then(|| chrono::Local::now().format("%-d %B %Y, %H:%M").to_string()),
            runs: self.run,
            baseline: self.baseline,
            theme: self.theme,
            without: self.without,
            notes,
            templates: self.templates,
            data: self.data,
            ..Default::default()
        };
        let experiments: Vec<Experiment> = self
            .experiments
            .iter()
            .map(|name| Experiment::open_in(&store, name))
            .collect::<Result<_, _>>()?;
        let written = report::report_on(&experiments, &self.output, &options)?;
        say!("{written}");
        if let Some(data) = written.data() {
            say!("data: {data}");
        }
        // The figures in words, for those who only want to know.
        let summary = report::summary_of(&experiments, &options)?;
        say!("{}", summary.headline);
        if let Some(others) = &summary.others {
            say!("{others}");
        }
        for caveat in &summary.caveats {
            say!("- {caveat}");
        }
        if let Some(path) = &self.json {
            write_figures(path, &self.experiments.join(", "), &summary, &[])?;
        }
        if let Some(folder) = &self.charts {
            for path in report::save_charts(&experiments, folder, &options, self.png)? {
                say!("chart: {}", path.display());
            }
        }
        if let Some(path) = self.pdf {
            let path = path.unwrap_or_else(|| self.output.with_extension("pdf"));
            report::print_to_pdf(&self.output, &path)?;
            say!("pdf: {}", path.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn read_notes(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}: the notes could not be read", path.display()))
}

/// Writes the figures of a report as JSON: `experiment`, the summary, and what GLISTER reached beside what is `published`,
/// for each setting.
pub(super) fn write_figures(
    path: &Path,
    experiment: &str,
    summary: &Summary,
    published: &[Published],
) -> anyhow::Result<()> {
    let beside: Vec<_> =
        summary.settings.iter().map(|setting| beside_published(setting, published)).collect();
    let figures = serde_json::json!({
        "experiment": experiment,
        "summary": summary,
        "beside_published": beside,
    });
    glisten_reports::write(path, &serde_json::to_string_pretty(&figures)?)?;
    say!("figures: {}", path.display());
    Ok(())
}
