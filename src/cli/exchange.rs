//! `glisten export` and `glisten import`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use glisten::exchange::{self, MlflowServer};
use glisten::track::Experiment;

use super::StoreArguments;

/// Where to, or in which form.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// runs.parquet and metrics.parquet, and each run's selections and artifacts
    Parquet,
    /// The same as CSV; a text that a spreadsheet would take for a formula has a ' in front
    Csv,
    /// The same as JSON lines: an object a line
    Jsonl,
    /// Event files, a folder a run
    Tensorboard,
    /// An MLflow server
    Mlflow,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  glisten export how-much-data --to parquet -o how-much-data
  glisten export how-much-data --to csv -o tables --run 'glister 30 % seed 0' --run 'full seed 0'
  glisten export how-much-data --to tensorboard -o logs && tensorboard --logdir logs
  glisten export how-much-data --to mlflow --uri http://127.0.0.1:5000

MLflow's credentials are taken from MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. An export
to MLflow that was broken off is completed by the same command; what is there already is not sent again.")]
pub(super) struct ExportArguments {
    /// The experiment
    experiment: String,
    /// The form, or the kind of server
    #[arg(long)]
    to: To,
    /// The folder to write to, which is made where it is not there
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// The address of the MLflow server
    #[arg(long, value_name = "URI", env = "MLFLOW_TRACKING_URI", hide_env_values = true)]
    uri: Option<String>,
    /// Only this run; may be given several times
    #[arg(long = "run", value_name = "NAME")]
    runs: Vec<String>,
    /// Leave out artifacts and selections
    #[arg(long)]
    no_artifacts: bool,
    /// In CSV, texts just as they are: what a spreadsheet takes for a formula too
    #[arg(long)]
    raw: bool,
    /// Leave out command lines, folders and machines' names
    #[arg(long)]
    without_context: bool,
    #[command(flatten)]
    store: StoreArguments,
}

impl ExportArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let store = self.store.open_existing()?;
        let experiment = Experiment::open_in(&store, &self.experiment)?;
        let mut export = experiment
            .export()
            .artifacts(!self.no_artifacts)
            .context(!self.without_context)
            .raw_text(self.raw);
        if !self.runs.is_empty() {
            export = export.runs(&self.runs);
        }
        if self.to == To::Mlflow {
            let (Some(uri), None) = (&self.uri, &self.output) else {
                anyhow::bail!(
                    "--to mlflow: say which server with --uri or MLFLOW_TRACKING_URI; -o is for files"
                );
            };
            say!("{}", export.mlflow(&MlflowServer::new(uri)?)?);
            return Ok(ExitCode::SUCCESS);
        }
        let Some(folder) = &self.output else {
            anyhow::bail!("say which folder to write to with -o FOLDER");
        };
        let exported = match self.to {
            To::Parquet => export.parquet(folder)?,
            To::Csv => export.csv(folder)?,
            To::Jsonl => export.json_lines(folder)?,
            To::Tensorboard | To::Mlflow => export.tensorboard(folder)?,
        };
        say!("{exported}");
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Subcommand)]
pub(super) enum ImportCommand {
    /// Import what MLflow keeps in a folder (mlruns/): parameters, values, tags, times and artifacts
    #[command(after_help = "Examples:
  glisten import mlflow mlruns
  glisten import mlflow mlruns --experiment resnet

A run that was imported before is passed over.")]
    Mlflow {
        /// The file store: the folder that holds a folder for each experiment
        folder: PathBuf,
        /// Only this experiment of MLflow
        #[arg(long, value_name = "NAME")]
        experiment: Option<String>,
        #[command(flatten)]
        store: StoreArguments,
    },
    /// Import a CSV that SageMaker's ExperimentAnalytics(...).dataframe().to_csv(...) wrote: one run a row
    #[command(after_help = "Example:
  glisten import sagemaker trials.csv --experiment resnet

Such a file holds statistics of each metric and no values: the runs have these statistics, and no curves.")]
    Sagemaker {
        /// The CSV
        file: PathBuf,
        /// The experiment to import to, which is made where there is none
        #[arg(long, value_name = "NAME")]
        experiment: String,
        #[command(flatten)]
        store: StoreArguments,
    },
}

impl ImportCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let imported = match self {
            Self::Mlflow { folder, experiment, store } => {
                exchange::import_mlflow(&store.open()?, folder, experiment.as_deref())?
            }
            Self::Sagemaker { file, experiment, store } => {
                exchange::import_sagemaker(&store.open()?, file, &experiment)?
            }
        };
        say!("{imported}");
        Ok(ExitCode::SUCCESS)
    }
}
