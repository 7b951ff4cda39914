//! Class imbalance on purpose: some classes keep a small share of their training samples.

use rand::SeedableRng;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::split::Splits;
use super::task::Task;
use crate::error::{Error, Result};

/// How [`Splits::with_class_imbalance`] thins classes out. The meaning is that of CORDS' `gen_dataset` with the feature
/// `classimb`: ⌊classes · C⌋ classes, drawn at random, keep as many samples each as `keep` of the smallest class has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassImbalance {
    /// The share of classes that are thinned out, in (0, 1]; CORDS' `classimb_ratio`.
    pub classes: f64,
    /// What is left of one of these, as a share of the smallest class, in (0, 1); CORDS has 0.1.
    pub keep: f64,
    /// Which classes and samples these are.
    pub seed: u64,
}

/// How the classes of a training set were thinned out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ThinnedClasses {
    /// By which settings.
    pub imbalance: ClassImbalance,
    /// How many training samples there were before.
    pub n_before: usize,
}

impl Default for ClassImbalance {
    fn default() -> Self {
        Self { classes: 0.3, keep: 0.1, seed: 42 }
    }
}

impl ClassImbalance {
    /// Whether the shares are in range.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the one that is not.
    pub fn check(&self) -> Result<()> {
        if !(self.classes > 0.0 && self.classes <= 1.0) {
            return Err(Error::argument("imbalance.classes", "a share above 0 and up to 1", self.classes));
        }
        if !(self.keep > 0.0 && self.keep < 1.0) {
            return Err(Error::argument("imbalance.keep", "a share above 0 and below 1", self.keep));
        }
        Ok(())
    }
}

impl Splits {
    /// Thins some classes of the training set out. Validation and test set stay as they are (CORDS thins out before it
    /// splits MNIST and CIFAR, so that its validation set is thinned out too): what is chosen by, and what is measured on,
    /// keeps the balance it had. [`Splits::thinned`] says how. The fingerprint changes. Goes before [`Splits::with_label_noise`].
    ///
    /// # Errors
    /// [`Error::Argument`] if a share is out of range, or leaves no class to thin out or no sample of it; for a regression;
    /// and if labels have been made noisy before.
    pub fn with_class_imbalance(mut self, imbalance: ClassImbalance) -> Result<Self> {
        imbalance.check()?;
        let Task::Classification { n_classes } = self.task() else {
            return Err(Error::argument("imbalance", "a data set with classes", "a regression"));
        };
        if self.noise.is_some() {
            return Err(Error::argument(
                "imbalance",
                "labels without noise (imbalance goes first)",
                "noisy labels",
            ));
        }
        let counts = self.train.class_counts(n_classes)?;
        let smallest = counts.iter().copied().min().unwrap_or_default();
        let n_thinned = (imbalance.classes * n_classes as f64) as usize;
        let n_kept = (smallest as f64 * imbalance.keep) as usize;
        if n_thinned == 0 {
            let got = format!("{} of {n_classes} classes, which is none", imbalance.classes);
            return Err(Error::argument("imbalance.classes", "a share of at least one class", got));
        }
        if n_kept == 0 {
            let got = format!("{} of {smallest}, the smallest class", imbalance.keep);
            return Err(Error::argument("imbalance.keep", "a share that leaves a sample of a class", got));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(imbalance.seed);
        let thinned = index::sample(&mut rng, n_classes, n_thinned).into_vec();
        let labels = Vec::<i64>::try_from(self.train.labels.f_to_device(tch::Device::Cpu)?)?;
        let mut kept = Vec::with_capacity(labels.len());
        for class in 0..n_classes {
            let mut of_class: Vec<i64> =
                (0..labels.len() as i64).filter(|&at| labels[at as usize] == class as i64).collect();
            if thinned.contains(&class) {
                let (chosen, _) = of_class.partial_shuffle(&mut rng, n_kept);
                kept.extend_from_slice(chosen);
            } else {
                kept.append(&mut of_class);
            }
        }
        kept.sort_unstable();
        self.thinned = Some(ThinnedClasses { imbalance, n_before: labels.len() });
        self.train = self.train.select(&kept)?;
        self.train_indices = kept.iter().map(|&at| self.train_indices[at as usize]).collect();
        let settings = format!("{imbalance:?}");
        Ok(self.changed("class imbalance", &settings))
    }
}
