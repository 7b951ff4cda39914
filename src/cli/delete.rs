//! `glisten delete`.

use std::process::ExitCode;

use glisten::track::Experiment;

use super::StoreArguments;
use super::text::count;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  glisten delete how-much-data --run 'glister 30 % seed 0' --yes
  glisten delete how-much-data --yes                                 # all of it")]
pub(super) struct DeleteArguments {
    /// The experiment
    experiment: String,
    /// Delete this run only; may be given several times
    #[arg(long = "run", value_name = "RUN")]
    runs: Vec<String>,
    /// Do it: what is deleted is gone
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    store: StoreArguments,
}

impl DeleteArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let store = self.store.open_existing()?;
        let experiment = Experiment::open_in(&store, &self.experiment)?;
        for name in &self.runs {
            experiment.find_run(name)?;
        }
        let n_runs = store.run_records(Some(&self.experiment))?.len();
        let what = match self.runs.len() {
            0 => format!("experiment '{}' with {}", self.experiment, count(n_runs, "run", "runs")),
            n => format!("{} of '{}'", count(n, "run", "runs"), self.experiment),
        };
        anyhow::ensure!(self.yes, "{what} would be gone for good; --yes does it");
        if self.runs.is_empty() {
            Experiment::delete_in(&store, &self.experiment)?;
        }
        for name in &self.runs {
            experiment.delete_run(name)?;
        }
        say!("deleted {what}");
        Ok(ExitCode::SUCCESS)
    }
}
