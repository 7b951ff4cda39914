//! `glisten report`, and the figures of a report as JSON.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use glisten::track::Experiment;
use glisten_reports::Options;
use glisten_reports::summary::{Published, beside_published};

use super::StoreArguments;

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
