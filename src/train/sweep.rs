//! A sweep: every selection with every seed, from a TOML file, done run by run into one experiment.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use glisten_reports::summary::Published;
use serde::{Deserialize, Serialize};
use tch::Device;

use super::epoch::Step;
use super::fit::Attempt;
use super::glister_options::{GlisterFor, GlisterOptions};
use super::{Augment, Fitted, Precision, Schedule, Sgd, Trainer};
use crate::data::{DataSpec, Split, Splits, Task};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model;
use crate::progress::{self, SweepProgress};
use crate::select::{Select, Strategy, WeightedDraw};
use crate::track::{Experiment, Store};

/// A sweep's description. A file is checked whole before anything is run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The experiment that the runs go to; the sweep goes on with it where it exists.
    pub experiment: String,
    /// A data set's name, as `fashion-mnist`, or where it lies and what is to be done with it.
    pub data: DataSpec,
    /// A model's name, as `lenet`; `auto` is the one that fits the data ([`model::fitting`]).
    #[serde(default = "default_model")]
    pub model: String,
    /// Names of strategies, as `glister` and `fresh-random`.
    pub selections: Vec<String>,
    /// Fractions of the training set, each with each strategy.
    pub fractions: Vec<f64>,
    /// Whether full data is trained on too, against which the others are measured.
    #[serde(default = "default_full")]
    pub full: bool,
    /// Seeds, each with everything.
    #[serde(default = "default_seeds")]
    pub seeds: Vec<u64>,
    /// Epochs of every run.
    #[serde(default = "default_epochs")]
    pub epochs: usize,
    /// Samples in a batch.
    #[serde(default = "default_batch_size")]
    pub batch_size: usize,
    /// Trains on so many samples only, for a quick trial: the first of a named data set, else a sample with every class (see
    /// [`DataSpec::load_split`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take: Option<usize>,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: Sgd,
    /// How the learning rate moves: `cosine`, `one-cycle` or `constant`.
    #[serde(default)]
    pub schedule: Schedule,
    /// How training images are varied.
    #[serde(default, skip_serializing_if = "is_default")]
    pub augment: Augment,
    /// The format that steps compute in: `fp32` or `bf16`.
    #[serde(default)]
    pub precision: Precision,
    /// The share of each target that is spread over all classes, in [0, 1).
    #[serde(default, skip_serializing_if = "is_default")]
    pub label_smoothing: f64,
    /// The global norm that the gradients of a step are scaled down to: 1 if not given, 0 for no clipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_grad_norm: Option<f64>,
    /// Threads that libtorch computes with on the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// How the validation set is split off.
    #[serde(default)]
    pub split: Split,
    /// GLISTER's options.
    #[serde(default)]
    pub glister: GlisterOptions,
    /// GLISTER's options for single fractions, over those for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub glister_for: Vec<GlisterFor>,
    /// The settings of the strategy `weighted-draw`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub weighted_draw: WeightedDraw,
    /// Epochs between two checkpoints; 0 for none. What is not given keeps the trainer's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<usize>,
    /// Whether selections are kept with their runs; by default those of strategies that choose are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_selections: Option<bool>,
    /// Whether trained models are kept with their runs, as artifacts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keep_models: bool,
    /// Whether runs that diverged are tried again; no field of the file, as it is a matter of one call.
    #[serde(skip)]
    pub retry_diverged: bool,
    /// Figures in print, for the report to set GLISTER's beside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<Published>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
fn default_model() -> String {
    "lenet".to_owned()
}
fn default_full() -> bool {
    true
}
fn default_seeds() -> Vec<u64> {
    vec![0, 1, 2]
}
fn default_epochs() -> usize {
    20
}
fn default_batch_size() -> usize {
    128
}

impl Sweep {
    /// Reads a sweep file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::BadFile`] with line and column for a field that is missing, unknown or
    /// of the wrong kind, or naming the field for a value out of range.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "reading the sweep file"))?;
        let sweep: Self = toml::from_str(&text)
            .map_err(|error| Error::bad_file(path, "a sweep in TOML", format!("an error:\n{error}")))?;
        sweep.check().map_err(|error| Error::bad_file(path, "a sweep that can be run", error.to_string()))?;
        Ok(sweep)
    }

    /// Whether every value is one that can be run, before any data is loaded.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Argument`] for the first that is not.
    pub fn check(&self) -> Result<()> {
        self.selections()?;
        let step = Step {
            sgd: self.optimizer,
            schedule: self.schedule,
            augment: self.augment,
            precision: self.precision,
            label_smoothing: self.label_smoothing,
            ..Step::default().clipped(self.clip_grad_norm)
        };
        // Of the data nothing is known yet; whether these suit a regression is seen before its first run.
        step.check(Task::Classification { n_classes: 2 })?;
        self.data.check()?;
        if self.model != model::AUTO && !model::NAMES.contains(&self.model.as_str()) {
            let hint = format!("; there are: {}, {}", model::NAMES.join(", "), model::AUTO);
            return Err(Error::NotFound { kind: "model", name: self.model.clone(), hint });
        }
        for (name, value) in [("epochs", self.epochs), ("batch_size", self.batch_size)] {
            if value == 0 {
                return Err(Error::argument(name, "1 or more", value));
            }
        }
        if !(self.split.validation > 0.0 && self.split.validation < 1.0) {
            return Err(Error::argument(
                "split.validation",
                "a share above 0 and below 1",
                self.split.validation,
            ));
        }
        Ok(())
    }

    /// The selections in the order they are run.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown strategy; [`Error::Argument`] for a value out of range or an empty list.
    pub fn selections(&self) -> Result<Vec<Select>> {
        if self.seeds.is_empty() {
            return Err(Error::argument("seeds", "one seed or more", "an empty list"));
        }
        let names: Vec<&str> = self.selections.iter().map(String::as_str).collect();
        let grid = Select::grid(&self.fractions, &names)?;
        let grid = if self.full { grid.with_full() } else { grid };
        if let Some(one) = self.glister_for.iter().find(|one| !self.fractions.contains(&one.fraction)) {
            let expected = format!("one of the fractions, {:?}", self.fractions);
            return Err(Error::argument("glister_for.fraction", expected, one.fraction));
        }
        let with_options = |select: Select| {
            let own = self.glister_for.iter().filter(|one| one.fraction == select.fraction());
            own.fold(self.glister.apply(select, self.batch_size), |select, one| {
                one.options.apply(select, self.batch_size)
            })
        };
        let selections: Vec<Select> = grid
            .into_iter()
            .map(|select| match select.strategy() {
                Strategy::WeightedDraw(_) => Select::weighted_draw(select.fraction(), self.weighted_draw),
                _ => with_options(select),
            })
            .collect();
        if selections.is_empty() {
            return Err(Error::argument(
                "selections and fractions",
                "at least one of each, or full = true",
                "none",
            ));
        }
        for select in &selections {
            select.check()?;
        }
        Ok(selections)
    }

    /// Loads the data and splits it.
    ///
    /// # Errors
    /// As [`DataSpec::load_split`].
    pub fn load(&self) -> Result<Splits> {
        self.data.load_split(self.take, self.split)
    }

    /// Does every run that `store` has not completed yet, seed by seed, so that a sweep that was stopped early has whole
    /// comparisons. A run that fails for a reason of its own (it diverged, libtorch refused, its checkpoint is damaged, it
    /// panicked) is stored as failed, and the sweep goes on. One that diverged before is not tried again, unless
    /// [`Sweep::retry_diverged`] says so.
    ///
    /// # Errors
    /// As [`Trainer::fit`] for what other runs would meet too, as a full disk, and [`Error::Interrupted`] for a stop; the runs
    /// done until then are kept.
    pub fn run(&self, store: &Store, device: Option<Device>) -> Result<SweepOutcome> {
        let _call = interrupt::enter();
        self.check()?;
        let selections = self.selections()?;
        let data = self.load()?;
        let experiment = Experiment::resume_in(store, &self.experiment)?;
        let n_runs = selections.len() * self.seeds.len();
        let mut shown = Shown(SweepProgress {
            experiment: experiment.name().to_owned(),
            n_runs,
            ..SweepProgress::default()
        });
        progress::tell(|listener| listener.sweep(&shown.0));
        let mut outcome = SweepOutcome::default();
        for &seed in &self.seeds {
            for &select in &selections {
                let mut trainer = Trainer::of(model::named(&self.model, &data)?)
                    .select(select)
                    .epochs(self.epochs)
                    .batch_size(self.batch_size)
                    .optimizer(self.optimizer)
                    .schedule(self.schedule)
                    .augment(self.augment)
                    .precision(self.precision)
                    .label_smoothing(self.label_smoothing)
                    .seed(seed);
                if let Some(device) = device {
                    trainer = trainer.device(device);
                }
                if let Some(norm) = self.clip_grad_norm {
                    trainer = trainer.clip_grad_norm(norm);
                }
                if let Some(threads) = self.threads {
                    trainer = trainer.threads(threads);
                }
                if let Some(epochs) = self.checkpoint_every {
                    trainer = trainer.checkpoint_every(epochs);
                }
                if let Some(keep) = self.keep_selections {
                    trainer = trainer.keep_selections(keep);
                }
                trainer = trainer.keep_model(self.keep_models).retry_diverged(self.retry_diverged);
                outcome.take(&trainer, &data, &experiment)?;
                shown.0.n_done += 1;
                let (fitted, failed) = (&outcome.fitted, &outcome.failed);
                shown.0.n_reused = fitted.iter().filter(|fitted| fitted.reused).count()
                    + failed.iter().filter(|failed| failed.before).count();
                shown.0.n_failed = outcome.failed.len();
                progress::tell(|listener| listener.sweep(&shown.0));
            }
        }
        if !outcome.failed.is_empty() {
            progress::tell(|listener| listener.note(&outcome.failures()));
        }
        Ok(outcome)
    }
}

/// What came of a sweep.
#[derive(Debug, Default)]
pub struct SweepOutcome {
    /// The runs that are complete, in the order they were done; without their models.
    pub fitted: Vec<Fitted>,
    /// The runs that failed.
    pub failed: Vec<FailedRun>,
}

/// A run of a sweep that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRun {
    /// Its name.
    pub run: String,
    /// Why.
    pub reason: String,
    /// Whether it diverged in an earlier call, and was not tried again.
    pub before: bool,
}

impl SweepOutcome {
    /// The runs that failed and why, one line each below a line with their number; empty where none did.
    pub fn failures(&self) -> String {
        let n_runs = self.fitted.len() + self.failed.len();
        let mut text = match self.failed.len() {
            0 => return String::new(),
            n => format!("{n} of {n_runs} runs failed:"),
        };
        for FailedRun { run, reason, .. } in &self.failed {
            text.push_str(&format!("\n  {run}: {reason}"));
        }
        text
    }

    /// Does one training.
    ///
    /// # Errors
    /// What is not of this run alone.
    fn take(&mut self, trainer: &Trainer, data: &Splits, experiment: &Experiment) -> Result<()> {
        let mut attempt = Attempt::default();
        let result = catch_unwind(AssertUnwindSafe(|| trainer.attempt(data, experiment, &mut attempt)));
        let reason = match result {
            Ok(Ok(fitted)) => {
                // A sweep may have hundreds of runs: their models are not held.
                self.fitted.push(Fitted { model: None, ..fitted });
                return Ok(());
            }
            Ok(Err(error @ (Error::Diverged { .. } | Error::Torch(_) | Error::BadFile { .. }))) => {
                error.to_string()
            }
            Ok(Err(error)) => return Err(error),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                format!("a panic ended it: {}", text.unwrap_or("without a message"))
            }
        };
        self.failed.push(FailedRun { run: attempt.run, reason, before: attempt.failed_before });
        Ok(())
    }
}

/// A sweep's progress while it is shown: however the sweep ends, its listener is told.
struct Shown(SweepProgress);

impl Drop for Shown {
    fn drop(&mut self) {
        progress::tell(|listener| listener.sweep_ended(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor, nn};

    use super::*;
    use crate::data::Dataset;
    use crate::model::{Architecture, LogisticRegression, Model};
    use crate::track::Status;

    struct Panics;

    impl Architecture for Panics {
        fn name(&self) -> &str {
            "panics"
        }

        fn build(&self, _: &nn::Path<'_>) -> Box<dyn Model> {
            panic!("no such layer")
        }
    }

    /// libtorch's errors in a model's forward pass are panics.
    #[test]
    fn a_panic_ends_one_run_and_not_the_sweep() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("runs.db")).unwrap();
        let study = Experiment::resume_in(&store, "sweep").unwrap();
        let inputs = Tensor::rand([40, 2], (Kind::Float, Device::Cpu));
        let labels = inputs.select(1, 0).gt(0.5).to_kind(Kind::Int64);
        let data = Dataset::from_tensors("halves", inputs, labels).unwrap().split(Split::default()).unwrap();
        let mut outcome = SweepOutcome::default();
        outcome.take(&Trainer::new(Panics).seed(1), &data, &study).unwrap();
        outcome.take(&Trainer::new(LogisticRegression::for_data(&data)).epochs(1), &data, &study).unwrap();
        assert_eq!(outcome.fitted.len(), 1);
        let [failed] = &outcome.failed[..] else { panic!("{outcome:?}") };
        assert_eq!((failed.run.as_str(), failed.before), ("full seed 1", false));
        assert_eq!(outcome.failures(), "1 of 2 runs failed:\n  full seed 1: a panic ended it: no such layer");
        let status: Vec<Status> = store.run_records(None).unwrap().iter().map(|run| run.status).collect();
        assert_eq!(status, [Status::Failed, Status::Completed]);
        // What other runs would meet as well is no matter of one.
        let error = outcome.take(&Trainer::new(LogisticRegression::for_data(&data)).epochs(0), &data, &study);
        assert!(matches!(error, Err(Error::Argument { .. })));
    }
}
