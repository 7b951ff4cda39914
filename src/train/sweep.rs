//! A sweep: every selection with every seed, from a TOML file, done run by run into one experiment.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::Device;

use super::{Fitted, Sgd, Trainer};
use crate::data::{Dataset, Kind, Split, Splits};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model;
use crate::progress::{self, SweepProgress};
use crate::select::Select;
use crate::track::{Experiment, Store};

/// A sweep's description. A file is checked whole before anything is run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The experiment that the runs go to; the sweep goes on with it where it exists.
    pub experiment: String,
    /// A data set's name, as `fashion-mnist`.
    pub data: String,
    /// A model's name, as `lenet`.
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
    /// Trains on the first so many samples only, for a quick trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take: Option<usize>,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: Sgd,
    /// How the validation set is split off.
    #[serde(default)]
    pub split: Split,
    /// GLISTER's options.
    #[serde(default)]
    pub glister: GlisterOptions,
}

/// GLISTER's options in a sweep file; what is not given keeps its default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GlisterOptions {
    /// Epochs between two selections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select_every: Option<usize>,
    /// Greedy rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounds: Option<usize>,
    /// Step size of the hypothetical step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta: Option<f64>,
    /// Whether the last layer's weights count as well as its biases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_layer: Option<bool>,
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
        self.optimizer.check()?;
        self.data.parse::<Kind>()?;
        if !model::NAMES.contains(&self.model.as_str()) {
            let hint = format!("; there is: {}", model::NAMES.join(", "));
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
        let selections: Vec<Select> = grid.into_iter().map(|select| self.glister.apply(select)).collect();
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
    /// As [`Dataset::named`] and [`Dataset::split`].
    pub fn load(&self) -> Result<Splits> {
        let dataset = Dataset::named(&self.data)?;
        let dataset = if let Some(n) = self.take { dataset.take(n)? } else { dataset };
        dataset.split(self.split)
    }

    /// Does every run that `store` has not completed yet, seed by seed, so that a sweep that was stopped early has whole
    /// comparisons.
    ///
    /// # Errors
    /// As [`Trainer::fit`]; the runs done until then are kept.
    pub fn run(&self, store: &Store, device: Option<Device>) -> Result<Vec<Fitted>> {
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
        let mut fitted: Vec<Fitted> = Vec::with_capacity(n_runs);
        for &seed in &self.seeds {
            for &select in &selections {
                let mut trainer = Trainer::of(model::named(&self.model, &data)?)
                    .select(select)
                    .epochs(self.epochs)
                    .batch_size(self.batch_size)
                    .optimizer(self.optimizer)
                    .seed(seed);
                if let Some(device) = device {
                    trainer = trainer.device(device);
                }
                fitted.push(trainer.fit(&data, &experiment)?);
                shown.0.n_done += 1;
                shown.0.n_reused += usize::from(fitted.last().is_some_and(|fitted| fitted.reused));
                progress::tell(|listener| listener.sweep(&shown.0));
            }
        }
        Ok(fitted)
    }
}

/// A sweep's progress while it is shown: however the sweep ends, its listener is told.
struct Shown(SweepProgress);

impl Drop for Shown {
    fn drop(&mut self) {
        progress::tell(|listener| listener.sweep_ended(&self.0));
    }
}

impl GlisterOptions {
    /// `select` with these options; strategies other than GLISTER stay as they are.
    pub fn apply(&self, mut select: Select) -> Select {
        if let Some(epochs) = self.select_every {
            select = select.select_every(epochs);
        }
        if let Some(rounds) = self.rounds {
            select = select.rounds(rounds);
        }
        if let Some(eta) = self.eta {
            select = select.eta(eta);
        }
        if let Some(linear_layer) = self.linear_layer {
            select = select.linear_layer(linear_layer);
        }
        select
    }
}
