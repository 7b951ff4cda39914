//! `glisten train` and `glisten sweep`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use glisten::data::{DataSpec, Missing, Split, TableOptions};
use glisten::select::Select;
use glisten::track::Experiment;
use glisten::train::{Augment, Precision, Schedule, Sgd, Sweep, Trainer};
use glisten::{device, model};
use glisten_reports::Options;

use super::{StoreArguments, report, runs};

/// The exit code of a sweep that was done, and of which runs failed.
const RUNS_FAILED: u8 = 3;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  glisten train fashion-mnist                                       # all of the data
  glisten train fashion-mnist --strategy auto --fraction 0.3
  glisten train mnist --strategy fresh-random --fraction 0.1 --epochs 5 --take 5000
  glisten train customers.csv --target churned --ignore name,phone --missing median --save churn.safetensors
  glisten train leaves --resize 64,64                               # a folder with a sub-folder of images for each class")]
pub(super) struct TrainArguments {
    /// A data set's name (`glisten data fetch --help` lists them), or the path of a folder of images (a sub-folder for each
    /// class), of a .csv or .parquet file (with --target), of an .npz file, or of an .npy file (with --labels)
    data: String,
    /// The column of a table to learn
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Columns of a table to leave out
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    ignore: Vec<String>,
    /// What to do about missing values of a table: error, drop-rows, mean, median or category
    #[arg(long, value_name = "RULE")]
    missing: Option<Missing>,
    /// The labels that belong to an .npy file
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Bring the images of a folder to this height and width
    #[arg(long, value_name = "HEIGHT,WIDTH", value_delimiter = ',', num_args = 1)]
    resize: Vec<u32>,
    #[arg(long, default_value = model::AUTO, help = model_help())]
    model: String,
    /// full, auto (what Glisten advises), glister, fresh-random, fixed-random, weighted-draw, infobatch, hardest-half or
    /// grad-match
    #[arg(long, default_value = "full")]
    strategy: String,
    /// The share of the training set used in an epoch, above 0 and up to 1
    #[arg(long, default_value_t = 1.0)]
    fraction: f64,
    /// Epochs between two selections of GLISTER or GRAD-MATCH
    #[arg(long, value_name = "EPOCHS")]
    select_every: Option<usize>,
    /// The share of the epochs that GLISTER's warm start stands for, from 0 up to 1
    #[arg(long, value_name = "SHARE")]
    kappa: Option<f64>,
    /// GLISTER's candidates: a random pool of this many times the budget
    #[arg(long, value_name = "TIMES")]
    pool: Option<f64>,
    /// Let GLISTER choose by what training saw of each sample the last time, without a pass over the data
    #[arg(long)]
    remembered: bool,
    /// Epochs to train
    #[arg(long, default_value_t = 20)]
    epochs: usize,
    /// Epochs between two checkpoints, 0 for none
    #[arg(long, value_name = "EPOCHS", default_value_t = 5)]
    checkpoint_every: usize,
    /// Go on from the checkpoint of a run like this one that was stopped or killed, if the experiment has one
    #[arg(long)]
    resume: bool,
    /// Save the trained model here, as a .safetensors file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Samples in a batch
    #[arg(long, default_value_t = 128)]
    batch_size: usize,
    /// The learning rate of the first step
    #[arg(long, default_value_t = Sgd::default().learning_rate)]
    learning_rate: f64,
    /// How the learning rate moves: cosine, one-cycle or constant
    #[arg(long, default_value_t = Schedule::default())]
    schedule: Schedule,
    /// fp32 or bf16
    #[arg(long, default_value_t = Precision::default())]
    precision: Precision,
    /// Take each training image out of so many pixels of padding, somewhere
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    crop_padding: i64,
    /// Mirror half of the training images
    #[arg(long)]
    flip: bool,
    /// The share of each target that is spread over all classes, from 0 up to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    label_smoothing: f64,
    /// Scale the gradients of a step down to this global norm: 1 if not given, 0 for not at all
    #[arg(long, value_name = "NORM")]
    clip_grad_norm: Option<f64>,
    /// Threads to compute with on the CPU
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// The seed of weights, order and random choices
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Use N training samples only: the first of a named data set, else a random sample in which each class keeps its share,
    /// the same one every time
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
        let options = [
            ("--select-every", self.select_every.is_some()),
            ("--kappa", self.kappa.is_some()),
            ("--pool", self.pool.is_some()),
            ("--remembered", self.remembered),
        ];
        for (option, given) in options {
            let has_it =
                select.name() == "glister" || (select.name() == "grad-match" && option == "--select-every");
            anyhow::ensure!(
                !given || has_it,
                "{option}: only glister has such an option (--strategy glister)"
            );
        }
        if let Some(epochs) = self.select_every {
            select = select.select_every(epochs);
        }
        if let Some(kappa) = self.kappa {
            select = select.kappa(kappa);
        }
        if let Some(times) = self.pool {
            select = select.pool(times);
        }
        select = select.remembered(self.remembered);
        let device = device::named(&self.device)?;
        if self.model != model::AUTO {
            // Better now than after the data has been read.
            model::check_name(&self.model)?;
        }
        let data = self.data()?.load_split(self.take, Split::default())?;
        let architecture = model::named(&self.model, &data)?;
        let chosen = match model::fitting(&data) {
            (_, why) if self.model == model::AUTO => format!(" (for {why}; --model chooses another)"),
            _ => String::new(),
        };
        println!(
            "model {}{chosen} on {}: {}, {}",
            architecture.name(),
            data.name,
            data.task(),
            data.input_shape()
        );
        let mut trainer = Trainer::of(architecture)
            .select(select)
            .epochs(self.epochs)
            .batch_size(self.batch_size)
            .learning_rate(self.learning_rate)
            .schedule(self.schedule)
            .precision(self.precision)
            .augment(Augment { crop_padding: self.crop_padding, flip: self.flip })
            .label_smoothing(self.label_smoothing)
            .seed(self.seed)
            .checkpoint_every(self.checkpoint_every)
            .device(device);
        if let Some(norm) = self.clip_grad_norm {
            trainer = trainer.clip_grad_norm(norm);
        }
        if let Some(threads) = self.threads {
            trainer = trainer.threads(threads);
        }
        trainer.check(&data)?;
        if let Some(folder) = self.save.as_deref().and_then(Path::parent) {
            // Better now than after an hour of training.
            anyhow::ensure!(
                folder.as_os_str().is_empty() || folder.is_dir(),
                "--save: {} is not a folder",
                folder.display()
            );
        }
        let store = self.store.open()?;
        let mut experiment = Experiment::resume_in(&store, &self.experiment)?;
        if !self.resume {
            // Asked for by hand, a training is done even where the store has one like it.
            experiment = Experiment::open_in(&store, &self.experiment)?;
        }
        let fitted = trainer.fit(&data, &experiment)?;
        if let Some(path) = &self.save {
            fitted.model()?.save(path)?;
            println!("model: {}", path.display());
        }
        println!("run '{}' of experiment '{}' in {}", fitted.run, self.experiment, store.path().display());
        if let Some(accuracy) = fitted.test_accuracy {
            println!("test accuracy {:.2} %", 100.0 * accuracy);
        }
        for (part, score) in [
            ("validation", fitted.validation_rmse.zip(fitted.validation_r2)),
            ("test", fitted.test_rmse.zip(fitted.test_r2)),
        ] {
            if let Some((rmse, r2)) = score {
                println!("{part} RMSE {rmse:.6}, R² {r2:.4}");
            }
        }
        println!("{:.2} s of training steps, {:.2} s of choosing", fitted.train_secs, fitted.selection_secs);
        Ok(ExitCode::SUCCESS)
    }
}

impl TrainArguments {
    /// What to train on.
    fn data(&self) -> anyhow::Result<DataSpec> {
        let mut spec = DataSpec::new(&self.data);
        if let Some(column) = &self.target {
            spec = spec.target(column);
        }
        if !self.ignore.is_empty() || self.missing.is_some() {
            spec = spec.table(TableOptions {
                ignore: self.ignore.clone(),
                missing: self.missing.unwrap_or_default(),
                ..TableOptions::default()
            });
        }
        if let Some(labels) = &self.labels {
            spec = spec.labels(labels);
        }
        match self.resize[..] {
            [] => Ok(spec),
            [height, width] => Ok(spec.resize([height, width])),
            _ => anyhow::bail!("--resize: expected a height and a width, as 64,64"),
        }
    }
}

fn model_help() -> String {
    format!(
        "The model: {}, or {}, which is an mlp for rows of a table, a lenet for images up to 32 × 32 and a resnet18 for larger ones",
        model::NAMES.join(", "),
        model::AUTO
    )
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

A sweep that was stopped goes on where it was: runs that are complete are not done again, nor are those that diverged, which
would do so again (--retry-diverged tries). A run that fails does not end the sweep; reports count one that diverged as the
worst.

Exit code: 0 if all runs are complete, 3 if the sweep is done and runs of it failed, 130 if it was stopped, 1 for other errors.")]
pub(super) struct SweepArguments {
    /// The sweep file
    file: PathBuf,
    /// Write the report here when the sweep is done
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the report's figures here when the sweep is done, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Epochs, instead of the file's
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Seeds, instead of the file's
    #[arg(long, value_name = "SEED,…", value_delimiter = ',')]
    seeds: Option<Vec<u64>>,
    /// Use N training samples only: the first of a named data set, else a random sample in which each class keeps its share
    #[arg(long, value_name = "N")]
    take: Option<usize>,
    /// Try runs that diverged again
    #[arg(long)]
    retry_diverged: bool,
    /// auto, cpu, cuda or cuda:INDEX
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    store: StoreArguments,
}

impl SweepArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut sweep = Sweep::from_file(&self.file)?;
        sweep.epochs = self.epochs.unwrap_or(sweep.epochs);
        sweep.seeds = self.seeds.unwrap_or(sweep.seeds);
        sweep.take = self.take.or(sweep.take);
        sweep.check()?;
        let device = device::named(&self.device)?;
        // Better now than after an hour of training.
        for (option, path) in [("--report", &self.report), ("--json", &self.json)] {
            let folder = path.as_deref().and_then(Path::parent);
            if let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) {
                anyhow::ensure!(folder.is_dir(), "{option}: {} is not a folder", folder.display());
            }
        }
        let store = self.store.open()?;
        sweep.retry_diverged = self.retry_diverged;
        let outcome = sweep.run(&store, Some(device))?;
        let n_reused = outcome.fitted.iter().filter(|fitted| fitted.reused).count();
        let n_failed = outcome.failed.len();
        let failed = if n_failed > 0 { format!(", {n_failed} failed") } else { String::new() };
        println!("{} runs, {n_reused} of them complete before{failed}", outcome.fitted.len() + n_failed);
        runs::print_best_first(&store, &sweep.experiment)?;
        let done = Experiment::open_in(&store, &sweep.experiment)?;
        if let Some(path) = &self.report {
            let options = Options { published: sweep.published.clone(), ..Default::default() };
            println!("report: {}", done.report_with(path, &options)?);
        }
        if let Some(path) = &self.json {
            report::write_figures(path, done.name(), &done.summary()?, &sweep.published)?;
        }
        if n_failed > 0 {
            return Ok(ExitCode::from(RUNS_FAILED));
        }
        Ok(ExitCode::SUCCESS)
    }
}
