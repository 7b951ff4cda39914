//! `glisten train` and `glisten sweep`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use glisten::data::{DataSpec, Split};
use glisten::select::Select;
use glisten::track::Experiment;
use glisten::train::{Sgd, Sweep, Trainer};
use glisten::{analytics, device, model};

use super::{StoreArguments, experiment};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  glisten train fashion-mnist                                       # all of the data
  glisten train fashion-mnist --strategy glister --fraction 0.3
  glisten train mnist --strategy fresh-random --fraction 0.1 --epochs 5 --take 5000")]
pub(super) struct TrainArguments {
    /// A data set's name (`glisten data fetch --help` lists them), or the path of a folder of images (a sub-folder for each
    /// class) or of a .csv or .parquet file (with --target)
    data: String,
    /// The column of a table to learn
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// The model: lenet
    #[arg(long, default_value = "lenet")]
    model: String,
    /// full, glister, fresh-random or fixed-random
    #[arg(long, default_value = "full")]
    strategy: String,
    /// The share of the training set used in an epoch, above 0 and up to 1
    #[arg(long, default_value_t = 1.0)]
    fraction: f64,
    /// Epochs between two GLISTER selections
    #[arg(long, value_name = "EPOCHS")]
    select_every: Option<usize>,
    /// Epochs to train
    #[arg(long, default_value_t = 20)]
    epochs: usize,
    /// Samples in a batch
    #[arg(long, default_value_t = 128)]
    batch_size: usize,
    /// The learning rate of the first step
    #[arg(long, default_value_t = Sgd::default().learning_rate)]
    learning_rate: f64,
    /// The seed of weights, order and random choices
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Use the first N training samples only
    #[arg(long, value_name = "N")]
    take: Option<usize>,
    /// auto, cpu, cuda or cuda:INDEX
    #[arg(long, default_value = "auto")]
    device: String,
    /// The experiment that the run goes to, made where it is not there
    #[arg(long, default_value = "default")]
    experiment: String,
    #[command(flatten)]
    store: StoreArguments,
}

impl TrainArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut select = Select::named(&self.strategy, self.fraction)?;
        if let Some(epochs) = self.select_every {
            anyhow::ensure!(
                select.name() == "glister",
                "--select-every: only glister selects every so many epochs"
            );
            select = select.select_every(epochs);
        }
        let device = device::named(&self.device)?;
        let mut spec = DataSpec::new(&self.data);
        if let Some(column) = &self.target {
            spec = spec.target(column);
        }
        let data = spec.load_split(self.take, Split::default())?;
        let trainer = Trainer::of(model::named(&self.model, &data)?)
            .select(select)
            .epochs(self.epochs)
            .batch_size(self.batch_size)
            .learning_rate(self.learning_rate)
            .seed(self.seed)
            .device(device);
        trainer.check(&data)?;
        let store = self.store.open()?;
        // Asked for by hand, a training is done even where the store has one like it.
        Experiment::resume_in(&store, &self.experiment)?;
        let experiment = Experiment::open_in(&store, &self.experiment)?;
        let fitted = trainer.fit(&data, &experiment)?;
        println!("run '{}' of experiment '{}' in {}", fitted.run, self.experiment, store.path().display());
        if let Some(accuracy) = fitted.test_accuracy {
            println!("test accuracy {:.2} %", 100.0 * accuracy);
        }
        println!("{:.2} s of training steps, {:.2} s of choosing", fitted.train_secs, fitted.selection_secs);
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(clap::Args)]
#[command(after_help = "Example:
  glisten sweep notebooks/sweeps/how-much-data.toml --report report.html

A sweep file:
  experiment = \"how-much-data\"
  data = \"fashion-mnist\"   # or { path = \"leaves\" }, { path = \"x.csv\", target = \"y\" }
  model = \"lenet\"
  selections = [\"glister\", \"fresh-random\"]
  fractions = [0.5, 0.3, 0.1]
  seeds = [0, 1, 2]
  epochs = 20

  [optimizer]
  learning_rate = 0.05

  [glister]
  select_every = 5

A sweep that was stopped goes on where it was: runs that are complete are not done again.")]
pub(super) struct SweepArguments {
    /// The sweep file
    file: PathBuf,
    /// Write the report here when the sweep is done
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// auto, cpu, cuda or cuda:INDEX
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    store: StoreArguments,
}

impl SweepArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let sweep = Sweep::from_file(&self.file)?;
        let device = device::named(&self.device)?;
        // Better now than after an hour of training.
        if let Some(folder) =
            self.report.as_deref().and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty())
        {
            anyhow::ensure!(folder.is_dir(), "--report: {} is not a folder", folder.display());
        }
        let store = self.store.open()?;
        let fitted = sweep.run(&store, Some(device))?;
        let n_reused = fitted.iter().filter(|fitted| fitted.reused).count();
        println!("{} runs, {n_reused} of them complete before", fitted.len());
        let runs = analytics::runs(&store, Some(&sweep.experiment))?;
        experiment::print_runs(&experiment::sorted(&runs, None)?, None)?;
        if let Some(path) = &self.report {
            println!("report: {}", Experiment::open_in(&store, &sweep.experiment)?.report(path)?);
        }
        Ok(ExitCode::SUCCESS)
    }
}
