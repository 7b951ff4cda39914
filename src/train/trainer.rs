//! The trainer: what a training is, and whether it can be done. `fit.rs` does it.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tch::Device;

use super::epoch::{self, Step};
use super::optimizer::Sgd;
use super::{Augment, Precision, Schedule};
use crate::data::{Draw, NoisyLabels, Splits, Task};
use crate::device;
use crate::error::{Error, Result};
use crate::model::Architecture;
use crate::select::{Loss as SelectionLoss, Select};
use crate::track::Parameter;

/// One training's configuration; [`Trainer::fit`] does it.
pub struct Trainer {
    pub(super) architecture: Box<dyn Architecture>,
    pub(super) select: Select,
    pub(super) epochs: usize,
    pub(super) batch_size: usize,
    pub(super) step: Step,
    pub(super) seed: u64,
    pub(super) device: Option<Device>,
    pub(super) name: Option<String>,
    pub(super) checkpoint_every: usize,
    pub(super) keep_checkpoint: bool,
    pub(super) keep_model: bool,
    pub(super) keep_selections: Option<bool>,
    pub(super) threads: Option<usize>,
    pub(super) retry_diverged: bool,
    /// Whether clipping was set, be it off.
    pub(super) clips_as_asked: bool,
}

/// More threads than any machine has cores are a slip.
const MOST_THREADS: usize = 4096;

impl Trainer {
    /// Trains `architecture` on all of the data: 20 epochs, batches of 128, [`Sgd::default`], gradients clipped to a norm of 1,
    /// seed 0, on the first CUDA device if there is one, else on the CPU. The targets of a regression are standardised by mean
    /// and standard deviation of the training set, for training and selection; predictions are on their own scale
    /// ([`TargetScale`](super::TargetScale)).
    pub fn new(architecture: impl Architecture + 'static) -> Self {
        Self::of(Box::new(architecture))
    }

    /// As [`Trainer::new`], for an architecture chosen at run time.
    pub fn of(architecture: Box<dyn Architecture>) -> Self {
        Self {
            architecture,
            select: Select::full(),
            epochs: 20,
            batch_size: 128,
            step: Step::default(),
            seed: 0,
            device: None,
            name: None,
            checkpoint_every: 5,
            keep_checkpoint: false,
            keep_model: false,
            keep_selections: None,
            threads: None,
            retry_diverged: false,
            clips_as_asked: false,
        }
    }

    /// Sets which samples an epoch trains on.
    #[must_use]
    pub fn select(mut self, select: Select) -> Self {
        self.select = select;
        self
    }

    /// Sets the number of epochs.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Sets the number of samples in a batch.
    #[must_use]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Sets the optimiser.
    #[must_use]
    pub fn optimizer(mut self, sgd: Sgd) -> Self {
        self.step.sgd = sgd;
        self
    }

    /// Sets the highest learning rate; with the cosine schedule, that of the first step.
    #[must_use]
    pub fn learning_rate(mut self, learning_rate: f64) -> Self {
        self.step.sgd.learning_rate = learning_rate;
        self
    }

    /// Sets how the learning rate moves; [`Schedule::Cosine`] if not set.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.step.schedule = schedule;
        self
    }

    /// Sets how training images are varied; not at all if not set.
    #[must_use]
    pub fn augment(mut self, augment: Augment) -> Self {
        self.step.augment = augment;
        self
    }

    /// Sets the format that steps compute in; [`Precision::Fp32`] if not set.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.step.precision = precision;
        self
    }

    /// Spreads this share of each target over all classes, in [0, 1); 0 if not set.
    #[must_use]
    pub fn label_smoothing(mut self, label_smoothing: f64) -> Self {
        self.step.label_smoothing = label_smoothing;
        self
    }

    /// Scales all gradients of a step down together where their global norm is above this; 1 if not set, 0 for not at all.
    #[must_use]
    pub fn clip_grad_norm(mut self, max_norm: f64) -> Self {
        self.step = self.step.clipped(Some(max_norm));
        self.clips_as_asked = true;
        self
    }

    /// Sets the seed of weights, order and random choices. One seed gives one result on the CPU.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the device.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = Some(device);
        self
    }

    /// Sets the number of threads that libtorch computes with on the CPU, for the whole process and from the training on;
    /// else it is left as it is. A result is the same to the bit only with the same number.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Names the run; else it is called after strategy, fraction and seed.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Sets how many epochs there are between two checkpoints; 5 if not set, none for 0. In an experiment that was opened by
    /// [`Experiment::resume`](crate::track::Experiment::resume), a training that was stopped, failed or was killed goes on
    /// from its last checkpoint, in the same run, and comes to the same metrics as one that ran through (seconds aside, on the
    /// CPU, with the same number of threads). The file lies in the store's folder
    /// ([`Run::checkpoint_path`](crate::track::Run::checkpoint_path)) and is removed when the run is complete.
    #[must_use]
    pub fn checkpoint_every(mut self, epochs: usize) -> Self {
        self.checkpoint_every = epochs;
        self
    }

    /// Trains although a run with these settings diverged in an experiment that was opened by
    /// [`Experiment::resume`](crate::track::Experiment::resume), in the same run again. By default that is an error: one seed
    /// gives one result.
    #[must_use]
    pub fn retry_diverged(mut self, retry: bool) -> Self {
        self.retry_diverged = retry;
        self
    }

    /// Keeps the last checkpoint of a run that is complete.
    #[must_use]
    pub fn keep_checkpoint(mut self, keep: bool) -> Self {
        self.keep_checkpoint = keep;
        self
    }

    /// Keeps the trained model with its run, as the artifact `model` (a safetensors file, as [`TrainedModel::save`] writes
    /// it); and, where there is a test set with classes, the confusion matrix `test` of it.
    ///
    /// [`TrainedModel::save`]: crate::train::TrainedModel::save
    #[must_use]
    pub fn keep_model(mut self, keep: bool) -> Self {
        self.keep_model = keep;
        self
    }

    /// Whether each selection is kept with the run (positions, gains, weights, epoch), to be read by
    /// [`Run::selections`](crate::track::Run::selections). By default those of strategies that choose are, and random draws,
    /// which the seed gives again, are not. With a strategy that goes by remembered losses, what it knows of each sample at the
    /// end is kept too, as the artifact `evidence` ([`Evidence`](crate::select::Evidence), a Parquet file).
    #[must_use]
    pub fn keep_selections(mut self, keep: bool) -> Self {
        self.keep_selections = Some(keep);
        self
    }

    /// Whether [`Trainer::fit`] can train on `data`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a setting, or data, with which it cannot.
    pub fn check(&self, data: &Splits) -> Result<()> {
        self.selection(data.task()).check()?;
        self.step.check(data.task())?;
        for (name, value) in [("epochs", self.epochs), ("batch_size", self.batch_size)] {
            if !(1..=i32::MAX as usize).contains(&value) {
                return Err(Error::argument(name, format!("1 to {}", i32::MAX), value));
            }
        }
        self.architecture.check(data)?;
        let n_classes = data.n_classes() as i64;
        if let Some(n) = self.threads.filter(|n| !(1..=MOST_THREADS).contains(n)) {
            return Err(Error::argument("threads", format!("1 to {MOST_THREADS}"), n));
        }
        let parts = [
            ("training set", Some(&data.train)),
            ("validation set", Some(&data.validation)),
            ("test set", data.test.as_ref()),
        ];
        for (part, examples) in parts {
            let Some((lowest, highest)) = examples.and_then(|examples| epoch::label_range(&examples.labels))
            else {
                continue;
            };
            if let Some(label) = [lowest, highest].into_iter().find(|label| !(0..n_classes).contains(label)) {
                let expected = format!("0 to {}", n_classes - 1);
                return Err(Error::argument(format!("labels of the {part}"), expected, label));
            }
        }
        Ok(())
    }

    /// The steps of this training, and as the release before made them of the same settings, where that is something else:
    /// without clipping, and with targets as they are. What such a training has completed is complete, and one that was stopped goes on
    /// as it began.
    pub(super) fn steps(&self) -> [Step; 2] {
        let clip_grad_norm = self.step.clip_grad_norm.filter(|_| self.clips_as_asked);
        [self.step, Step { clip_grad_norm, scale_targets: false, ..self.step }]
    }

    /// Everything that determines the result, and how fast it came, with such steps.
    pub(super) fn parameters(
        &self,
        data: &Splits,
        device: Device,
        step: &Step,
    ) -> BTreeMap<String, Parameter> {
        let mut parameters = BTreeMap::from([
            ("dataset".to_owned(), Parameter::from(data.name.as_str())),
            ("dataset_fingerprint".to_owned(), data.fingerprint.as_str().into()),
            ("n_train".to_owned(), data.train.len().into()),
            ("n_validation".to_owned(), data.validation.len().into()),
            ("split_validation".to_owned(), data.split.validation.into()),
            ("split_seed".to_owned(), data.split.seed.into()),
            ("device".to_owned(), device::name(device).into()),
            (
                "threads".to_owned(),
                self.threads.map_or_else(|| tch::get_num_threads().into(), Parameter::from),
            ),
            ("glisten_version".to_owned(), env!("CARGO_PKG_VERSION").into()),
            ("model".to_owned(), self.architecture.name().into()),
            ("strategy".to_owned(), self.select.name().into()),
            ("fraction".to_owned(), self.select.fraction().into()),
            ("budget".to_owned(), self.select.budget(data.train.len() as i64).into()),
            ("epochs".to_owned(), self.epochs.into()),
            ("batch_size".to_owned(), self.batch_size.into()),
            ("learning_rate".to_owned(), step.sgd.learning_rate.into()),
            ("momentum".to_owned(), step.sgd.momentum.into()),
            ("nesterov".to_owned(), step.sgd.nesterov.into()),
            ("weight_decay".to_owned(), step.sgd.weight_decay.into()),
            ("schedule".to_owned(), step.schedule.name().into()),
            ("precision".to_owned(), step.precision.name().into()),
            ("crop_padding".to_owned(), step.augment.crop_padding.into()),
            ("flip".to_owned(), step.augment.flip.into()),
            ("label_smoothing".to_owned(), step.label_smoothing.into()),
            ("seed".to_owned(), self.seed.into()),
        ]);
        if let Some(norm) = step.clip_grad_norm {
            parameters.insert("clip_grad_norm".to_owned(), norm.into());
        }
        if step.scale_targets && data.task() == Task::Regression {
            parameters.insert("standardize_targets".to_owned(), true.into());
        }
        for (name, value) in self.selection(data.task()).options() {
            parameters.insert(name.to_owned(), Parameter::from(value));
        }
        parameters
    }

    /// The selection, choosing by the loss that is trained on.
    pub(super) fn selection(&self, task: Task) -> Select {
        self.select.loss(match task {
            Task::Classification { .. } => {
                SelectionLoss::CrossEntropy { label_smoothing: self.step.label_smoothing }
            }
            Task::Regression => SelectionLoss::SquaredError,
        })
    }

    pub(super) fn run_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| match self.select.name() {
            "full" => format!("full seed {}", self.seed),
            name => format!("{name} {} % seed {}", percent(self.select.fraction()), self.seed),
        })
    }
}

/// How the training set was changed on purpose, to be recorded beside the parameters. They are no part of a training's
/// fingerprint, which holds the data's fingerprint already: a training of before is found again.
pub(super) fn changes(data: &Splits) -> Vec<(String, Parameter)> {
    let mut changes: Vec<(&str, Parameter)> = Vec::new();
    if let Some(thinned) = &data.thinned {
        changes.extend([
            ("imbalance_classes", thinned.imbalance.classes.into()),
            ("imbalance_keep", thinned.imbalance.keep.into()),
            ("imbalance_seed", thinned.imbalance.seed.into()),
            ("n_train_before_imbalance", thinned.n_before.into()),
        ]);
    }
    if let Some(NoisyLabels { noise, .. }) = &data.noise {
        let draw = match noise.draw {
            Draw::OtherClasses => "other-classes",
            Draw::AllClasses => "all-classes",
        };
        changes.extend([
            ("label_noise", noise.rate.into()),
            ("label_noise_draw", draw.into()),
            ("label_noise_seed", noise.seed.into()),
        ]);
    }
    changes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// SHA-256 of the parameters and the model's own settings: the same for two trainings that are the same piece of work.
pub(super) fn fingerprint(parameters: &BTreeMap<String, Parameter>, settings: &str) -> String {
    let mut text = parameters.iter().map(|(name, value)| format!("{name:?}={value:?}\n")).collect::<String>();
    text.push_str(settings);
    hex::encode(Sha256::digest(text))
}

/// 0.3 → "30", 0.125 → "12.5", without the noise of binary fractions.
fn percent(fraction: f64) -> f64 {
    (fraction * 1e8).round() / 1e6
}
