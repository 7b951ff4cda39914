//! Label noise on purpose: some training samples get a wrong class, and it is written down which.

use rand::seq::index;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::examples::Examples;
use super::split::Splits;
use super::task::Task;
use crate::error::{Error, Result};

/// How [`Splits::with_label_noise`] changes labels: ⌊n · rate⌋ of n training samples, drawn at random, get another label.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelNoise {
    /// The share of the training samples whose label is drawn anew, in (0, 1].
    pub rate: f64,
    /// From which classes.
    pub draw: Draw,
    /// Which samples these are, and what they get.
    pub seed: u64,
}

/// The classes that a noisy label is drawn from, each as likely as the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Draw {
    /// All but the true one: `rate` is the share of wrong labels.
    #[default]
    OtherClasses,
    /// All, the true one too, so that a part 1/C of the samples drawn keep their label: CORDS' feature `noise`.
    AllClasses,
}

impl Default for LabelNoise {
    fn default() -> Self {
        Self { rate: 0.2, draw: Draw::OtherClasses, seed: 42 }
    }
}

impl LabelNoise {
    /// Whether the rate is in range.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not in (0, 1].
    pub fn check(&self) -> Result<()> {
        if !(self.rate > 0.0 && self.rate <= 1.0) {
            return Err(Error::argument("noise.rate", "a share above 0 and up to 1", self.rate));
        }
        Ok(())
    }
}

/// Which labels are wrong, and what they were: what a search for wrong labels is measured by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoisyLabels {
    /// How they came to be.
    pub noise: LabelNoise,
    /// Positions in the training set (rows of [`Splits::train`]) whose label is not the true one, ascending.
    pub flipped: Vec<i64>,
    /// The true label of each of these.
    pub true_labels: Vec<i64>,
}

impl Splits {
    /// Gives some training samples a wrong label; [`Splits::noise`] holds which, and their true labels. Validation and test
    /// set keep theirs. The fingerprint changes.
    ///
    /// # Errors
    /// [`Error::Argument`] if the rate is out of range or leaves no sample to change, for a regression or a single class,
    /// and if labels have been made noisy before.
    pub fn with_label_noise(mut self, noise: LabelNoise) -> Result<Self> {
        noise.check()?;
        let Task::Classification { n_classes } = self.task() else {
            return Err(Error::argument("noise", "a data set with classes", "a regression"));
        };
        if n_classes < 2 {
            return Err(Error::argument("noise", "two classes or more", n_classes));
        }
        if self.noise.is_some() {
            return Err(Error::argument("noise", "labels without noise", "labels made noisy before"));
        }
        let device = self.train.device();
        let mut labels = Vec::<i64>::try_from(self.train.labels.f_to_device(Device::Cpu)?)?;
        let n_drawn = (labels.len() as f64 * noise.rate) as usize;
        if n_drawn == 0 {
            let got = format!("{} of {} samples, which is none", noise.rate, labels.len());
            return Err(Error::argument("noise.rate", "a share of at least one sample", got));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(noise.seed);
        let mut drawn = index::sample(&mut rng, labels.len(), n_drawn).into_vec();
        drawn.sort_unstable();
        let (mut flipped, mut true_labels) = (Vec::new(), Vec::new());
        for at in drawn {
            let truth = labels[at];
            labels[at] = match noise.draw {
                Draw::AllClasses => rng.gen_range(0..n_classes as i64),
                // One class less to draw from; those from the true one on move up by one.
                Draw::OtherClasses => {
                    let other = rng.gen_range(0..n_classes as i64 - 1);
                    other + i64::from(other >= truth)
                }
            };
            if labels[at] != truth {
                flipped.push(at as i64);
                true_labels.push(truth);
            }
        }
        self.train = Examples {
            inputs: self.train.inputs.shallow_clone(),
            labels: Tensor::f_from_slice(&labels)?.f_to_device(device)?,
        };
        self.noise = Some(NoisyLabels { noise, flipped, true_labels });
        let settings = format!("{noise:?}");
        Ok(self.changed("label noise", &settings))
    }
}
