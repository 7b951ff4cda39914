//! The trainer: one training from its configuration to a run in the store.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use sha2::{Digest, Sha256};
use tch::{Device, nn};

use super::epoch::{self, Schedule};
use super::optimizer::Sgd;
use crate::data::{Normalization, Splits};
use crate::device;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::Architecture;
use crate::progress::{self, RunProgress};
use crate::select::Select;
use crate::track::{Experiment, Parameter, Run};

static DRAWING: Mutex<()> = Mutex::new(());

/// One training's configuration; [`Trainer::fit`] does it.
pub struct Trainer {
    architecture: Box<dyn Architecture>,
    select: Select,
    epochs: usize,
    batch_size: usize,
    sgd: Sgd,
    seed: u64,
    device: Option<Device>,
    name: Option<String>,
}

/// What came of a training. The full series of its metrics is in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The run's name within its experiment.
    pub run: String,
    /// Accuracy on the validation set after the last epoch, in [0, 1].
    pub validation_accuracy: Option<f64>,
    /// Accuracy on the test set at the end, where there is one.
    pub test_accuracy: Option<f64>,
    /// Seconds of training steps, all epochs together.
    pub train_secs: f64,
    /// Seconds of choosing, all epochs together.
    pub selection_secs: f64,
    /// Whether a completed run of this configuration was there already and nothing was trained.
    pub reused: bool,
}

impl Trainer {
    /// Trains `architecture` on all of the data: 20 epochs, batches of 128, [`Sgd::default`], seed 0, on the first CUDA
    /// device if there is one, else on the CPU.
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
            sgd: Sgd::default(),
            seed: 0,
            device: None,
            name: None,
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
        self.sgd = sgd;
        self
    }

    /// Sets the learning rate of the first step.
    #[must_use]
    pub fn learning_rate(mut self, learning_rate: f64) -> Self {
        self.sgd.learning_rate = learning_rate;
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

    /// Names the run; else it is called after strategy, fraction and seed.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Trains, and keeps everything as a run of `experiment`: per epoch `train:loss`, `train:accuracy`,
    /// `validation:loss`, `validation:accuracy`, `epoch:seconds` (training steps alone) and `selection:seconds`; at the
    /// end `test:loss`, `test:accuracy` and `run:seconds` (wall time, everything counted).
    ///
    /// # Errors
    /// [`Error::Argument`] before anything is stored, for a configuration that cannot be trained. After that the run is
    /// stored as stopped for [`Error::Interrupted`], as failed for any other error, with all metrics until then.
    pub fn fit(&self, data: &Splits, experiment: &Experiment) -> Result<Fitted> {
        let _call = interrupt::enter();
        self.check(data)?;
        let device = self.device.unwrap_or_else(device::best);
        let parameters = self.parameters(data, device);
        let config = fingerprint(&parameters, &self.architecture.settings());
        if let Some(run) = experiment.completed_run(&config)? {
            return self.reused(experiment, &run);
        }
        let mut run = experiment.start(&self.run_name(), Some(&config), &parameters)?;
        let mut progress = RunProgress {
            experiment: run.experiment().to_owned(),
            run: run.name().to_owned(),
            strategy: self.select.name().to_owned(),
            fraction: self.select.fraction(),
            epochs: self.epochs,
            ..Default::default()
        };
        progress::tell(|listener| listener.run(&progress));
        let outcome = self.train(data, device, &run, &mut progress);
        let status = match &outcome {
            Ok(_) => run.complete().map(|()| crate::track::Status::Completed)?,
            Err(error) => run.end_with(error)?,
        };
        progress::tell(|listener| listener.run_ended(&progress, status.as_str()));
        outcome.map_err(|error| match error {
            Error::Interrupted(_) => Error::Interrupted(format!(
                "run '{}' is stored as stopped after {} of {} epochs",
                progress.run, progress.epoch, progress.epochs
            )),
            error => error,
        })
    }

    fn train(&self, data: &Splits, device: Device, run: &Run, progress: &mut RunProgress) -> Result<Fitted> {
        let started = Instant::now();
        let variables = nn::VarStore::new(device);
        let model = {
            // libtorch's generator belongs to the process: trainings on other threads wait while weights are drawn.
            let _turn = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
            tch::manual_seed(self.seed as i64);
            self.architecture.build(&variables.root())
        };
        let mut optimizer = epoch::optimizer(&self.sgd, &variables)?;
        let (train, validation) = (data.train.to_device(device)?, data.validation.to_device(device)?);
        let normalization = Normalization::of(&train);
        let mut loader = self
            .select
            .loader(&train, &validation)?
            .batch_size(self.batch_size)
            .seed(self.seed)
            .normalization(normalization.clone());
        let steps_per_epoch = (loader.budget() as u64).div_ceil(self.batch_size as u64);
        let mut schedule = Schedule { sgd: self.sgd, step: 0, n_steps: steps_per_epoch * self.epochs as u64 };
        let mut fitted = Fitted {
            run: run.name().to_owned(),
            validation_accuracy: None,
            test_accuracy: None,
            train_secs: 0.0,
            selection_secs: 0.0,
            reused: false,
        };
        for number in 1..=self.epochs {
            let epoch = loader.epoch(model.as_ref())?;
            let (n_samples, selection_secs) = (epoch.n_samples(), epoch.selection_secs);
            let (score, epoch_secs) =
                epoch::train(model.as_ref(), &mut optimizer, &mut schedule, epoch, device)?;
            let mut metrics = vec![
                ("train:loss", score.loss),
                ("train:accuracy", score.accuracy),
                ("epoch:seconds", epoch_secs),
                ("selection:seconds", selection_secs),
            ];
            if !validation.is_empty() {
                let score = epoch::evaluate(model.as_ref(), &validation, &normalization)?;
                metrics.extend([("validation:loss", score.loss), ("validation:accuracy", score.accuracy)]);
                fitted.validation_accuracy = Some(score.accuracy);
            }
            run.log_metrics(number as i64, &metrics)?;
            fitted.train_secs += epoch_secs;
            fitted.selection_secs += selection_secs;
            progress.epoch = number;
            progress.train_loss = Some(score.loss);
            progress.validation_accuracy = fitted.validation_accuracy;
            progress.images_per_sec = Some(n_samples as f64 / epoch_secs.max(f64::MIN_POSITIVE));
            progress::tell(|listener| listener.run(progress));
            if !score.loss.is_finite() {
                return Err(Error::Diverged {
                    what: format!("the training loss is {}", score.loss),
                    epoch: number,
                    advice: "a lower learning rate usually helps".to_owned(),
                });
            }
        }
        let mut closing = Vec::new();
        if let Some(test) = &data.test {
            let score = epoch::evaluate(model.as_ref(), &test.to_device(device)?, &normalization)?;
            closing.extend([("test:loss", score.loss), ("test:accuracy", score.accuracy)]);
            fitted.test_accuracy = Some(score.accuracy);
        }
        closing.push(("run:seconds", started.elapsed().as_secs_f64()));
        run.log_metrics(self.epochs as i64, &closing)?;
        Ok(fitted)
    }

    /// Whether [`Trainer::fit`] can train on `data`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a setting, or data, with which it cannot.
    pub fn check(&self, data: &Splits) -> Result<()> {
        self.select.check()?;
        self.sgd.check()?;
        for (name, value) in [("epochs", self.epochs), ("batch_size", self.batch_size)] {
            if !(1..=i32::MAX as usize).contains(&value) {
                return Err(Error::argument(name, format!("1 to {}", i32::MAX), value));
            }
        }
        self.architecture.check(data)?;
        let n_classes = data.n_classes() as i64;
        for (part, examples) in [("training set", Some(&data.train)), ("test set", data.test.as_ref())] {
            let highest = examples.and_then(|examples| epoch::highest_label(&examples.labels));
            if let Some(label) = highest.filter(|&label| label >= n_classes) {
                return Err(Error::argument(
                    format!("labels of the {part}"),
                    format!("0 to {}", n_classes - 1),
                    label,
                ));
            }
        }
        Ok(())
    }

    /// Everything that determines the result, and how fast it came.
    fn parameters(&self, data: &Splits, device: Device) -> BTreeMap<String, Parameter> {
        let mut parameters = BTreeMap::from([
            ("dataset".to_owned(), Parameter::from(data.name.as_str())),
            ("dataset_fingerprint".to_owned(), data.fingerprint.as_str().into()),
            ("n_train".to_owned(), data.train.len().into()),
            ("n_validation".to_owned(), data.validation.len().into()),
            ("split_validation".to_owned(), data.split.validation.into()),
            ("split_seed".to_owned(), data.split.seed.into()),
            ("device".to_owned(), device::name(device).into()),
            ("threads".to_owned(), tch::get_num_threads().into()),
            ("glisten_version".to_owned(), env!("CARGO_PKG_VERSION").into()),
            ("model".to_owned(), self.architecture.name().into()),
            ("strategy".to_owned(), self.select.name().into()),
            ("fraction".to_owned(), self.select.fraction().into()),
            ("budget".to_owned(), self.select.budget(data.train.len() as i64).into()),
            ("epochs".to_owned(), self.epochs.into()),
            ("batch_size".to_owned(), self.batch_size.into()),
            ("learning_rate".to_owned(), self.sgd.learning_rate.into()),
            ("momentum".to_owned(), self.sgd.momentum.into()),
            ("nesterov".to_owned(), self.sgd.nesterov.into()),
            ("weight_decay".to_owned(), self.sgd.weight_decay.into()),
            ("seed".to_owned(), self.seed.into()),
        ]);
        for (name, value) in self.select.options() {
            parameters.insert(name.to_owned(), Parameter::from(value));
        }
        parameters
    }

    fn run_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| match self.select.name() {
            "full" => format!("full seed {}", self.seed),
            name => format!("{name} {} % seed {}", percent(self.select.fraction()), self.seed),
        })
    }

    fn reused(&self, experiment: &Experiment, run: &Run) -> Result<Fitted> {
        let records = experiment.store().run_records(Some(experiment.name()))?;
        let record = records.into_iter().find(|record| record.name == run.name());
        let metrics = record.map(|record| record.metrics).unwrap_or_default();
        let last = |name: &str| metrics.get(name).map(|stats| stats.last).filter(|value| value.is_finite());
        let total = |name: &str| metrics.get(name).map_or(0.0, |stats| stats.mean * stats.count as f64);
        let progress = RunProgress {
            experiment: experiment.name().to_owned(),
            run: run.name().to_owned(),
            strategy: self.select.name().to_owned(),
            fraction: self.select.fraction(),
            epoch: self.epochs,
            epochs: self.epochs,
            train_loss: last("train:loss"),
            validation_accuracy: last("validation:accuracy"),
            images_per_sec: None,
        };
        progress::tell(|listener| listener.run_ended(&progress, "completed before"));
        Ok(Fitted {
            run: run.name().to_owned(),
            validation_accuracy: last("validation:accuracy"),
            test_accuracy: last("test:accuracy"),
            train_secs: total("epoch:seconds"),
            selection_secs: total("selection:seconds"),
            reused: true,
        })
    }
}

/// SHA-256 of the parameters and the model's own settings: the same for two trainings that are the same piece of work.
fn fingerprint(parameters: &BTreeMap<String, Parameter>, settings: &str) -> String {
    let mut text = parameters.iter().map(|(name, value)| format!("{name:?}={value:?}\n")).collect::<String>();
    text.push_str(settings);
    hex::encode(Sha256::digest(text))
}

/// 0.3 → "30", 0.125 → "12.5", without the noise of binary fractions.
fn percent(fraction: f64) -> f64 {
    (fraction * 1e8).round() / 1e6
}
