//! Setting a share of the training set apart for validation.

use std::fmt;
use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::Device;

use super::dataset::Dataset;
use super::examples::Examples;
use super::imbalance::ThinnedClasses;
use super::noise::NoisyLabels;
use super::table::TableSchema;
use super::task::{InputShape, Task};
use crate::error::{Error, Result};

/// How [`Dataset::split`] divides the training set. The default is CORDS': a tenth, here with seed 42.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Split {
    /// The share of the training set that becomes the validation set, in (0, 1).
    pub validation: f64,
    /// Which samples these are: the same seed gives the same ones, on every machine.
    pub seed: u64,
}

impl Default for Split {
    fn default() -> Self {
        Self { validation: 0.1, seed: 42 }
    }
}

/// A data set ready for training: training, validation and, mostly, test examples.
#[derive(Clone)]
pub struct Splits {
    /// The data set's name.
    pub name: String,
    /// The classes' names; a label is an index into them. None for a regression.
    pub classes: Vec<String>,
    /// What is trained on, and chosen from.
    pub train: Examples,
    /// What is chosen by, and never trained on.
    pub validation: Examples,
    /// What is looked at once, at the end.
    pub test: Option<Examples>,
    /// Where the training examples stand in the data set's training set, ascending.
    pub train_indices: Vec<i64>,
    /// Where the validation examples stand in the data set's training set, ascending.
    pub validation_indices: Vec<i64>,
    /// Of a table, how its columns became features; new rows are put into the same form by it.
    pub table: Option<Arc<TableSchema>>,
    /// How classes of the training set were thinned out by [`Splits::with_class_imbalance`].
    pub thinned: Option<ThinnedClasses>,
    /// Which labels of the training set were made wrong by [`Splits::with_label_noise`].
    pub noise: Option<NoisyLabels>,
    /// The whole data set's [`Dataset::fingerprint`]; after [`Splits::with_class_imbalance`] and
    /// [`Splits::with_label_noise`] one of that and their settings.
    pub fingerprint: String,
    /// How it was divided.
    pub split: Split,
}

impl Dataset {
    /// Sets a seeded random share of the training set apart for validation, as CORDS' `gen_dataset` does: of n samples
    /// ⌊n · validation⌋ are validated on and the rest trained on. The test set stays apart.
    ///
    /// # Errors
    /// [`Error::Argument`] if `validation` is not in (0, 1), or leaves no sample for validation or for training.
    pub fn split(self, split: Split) -> Result<Splits> {
        let n = self.train.len();
        if !(split.validation > 0.0 && split.validation < 1.0) {
            return Err(Error::argument("split.validation", "a share above 0 and below 1", split.validation));
        }
        let n_validation = (n as f64 * split.validation) as usize;
        if n_validation == 0 || n_validation >= n {
            return Err(Error::argument(
                "split.validation",
                "a share that leaves at least one sample to validate and one to train on",
                format!("{} of {n} samples, which is {n_validation}", split.validation),
            ));
        }
        let mut order: Vec<i64> = (0..n as i64).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(split.seed));
        let mut train_indices = order.split_off(n_validation);
        let mut validation_indices = order;
        train_indices.sort_unstable();
        validation_indices.sort_unstable();
        Ok(Splits {
            fingerprint: self.fingerprint()?,
            train: self.train.select(&train_indices)?,
            validation: self.train.select(&validation_indices)?,
            test: self.test,
            name: self.name,
            classes: self.classes,
            table: self.table,
            thinned: None,
            noise: None,
            train_indices,
            validation_indices,
            split,
        })
    }
}

impl Splits {
    /// What is learnt.
    pub fn task(&self) -> Task {
        self.train.task(self.classes.len())
    }

    /// The number of classes, C; 0 for a regression.
    pub fn n_classes(&self) -> usize {
        self.classes.len()
    }

    /// The shape of one input.
    pub fn input_shape(&self) -> InputShape {
        self.train.input_shape()
    }

    /// `[C, H, W]` of images; `None` for a table.
    pub fn image_shape(&self) -> Option<[i64; 3]> {
        self.train.image_shape()
    }

    /// After a change to the training set: a fingerprint of its own, made of the old one, the change and its settings.
    pub(super) fn changed(mut self, change: &str, settings: &str) -> Self {
        self.fingerprint = hex::encode(Sha256::digest(format!("{}\n{change}\n{settings}", self.fingerprint)));
        self
    }

    /// The same splits with all their tensors on `device`; what is there already is not copied.
    ///
    /// # Errors
    /// [`Error::Torch`] if the device is not there or has too little memory.
    pub fn to_device(&self, device: Device) -> Result<Self> {
        Ok(Self {
            train: self.train.to_device(device)?,
            validation: self.validation.to_device(device)?,
            test: self.test.as_ref().map(|test| test.to_device(device)).transpose()?,
            ..self.clone()
        })
    }
}

impl fmt::Display for Splits {
    /// `fashion-mnist: 54000 to train on, 6000 to validate, 10000 to test, 10 classes, 1×28×28`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} to train on, {} to validate, ",
            self.name,
            self.train.len(),
            self.validation.len()
        )?;
        if let Some(test) = &self.test {
            write!(f, "{} to test, ", test.len())?;
        }
        write!(f, "{}, {}", self.task(), self.input_shape())
    }
}

impl fmt::Debug for Splits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Splits({self})")
    }
}
