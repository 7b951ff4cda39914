//! The loader: from a [`Select`] to the batches of one epoch after another, for the `Trainer` and for loops of one's own.

use std::time::Instant;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use super::{LastLayer, Select, Strategy};
use crate::data::{Examples, Normalization};
use crate::device;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::Model;

/// Images of a pass that only reads: large enough to keep the hardware busy, small enough for the CPU's caches.
const EVALUATION_BATCH: i64 = 500;

/// Hands out the batches of each epoch, choosing samples as its [`Select`] says. The same seed gives the same batches.
#[derive(Debug)]
pub struct Loader {
    select: Select,
    train: Examples,
    validation: Examples,
    normalization: Option<Normalization>,
    batch_size: i64,
    seed: u64,
    n_epochs_begun: u64,
    chosen: Option<Tensor>,
}

/// One epoch's samples in the order they are trained on; an iterator over batches.
#[derive(Debug)]
pub struct Epoch<'a> {
    loader: &'a Loader,
    normalization: Normalization,
    order: Tensor,
    at: i64,
    /// Seconds spent on choosing for this epoch: the random draw, or the passes over the data and the greedy selection.
    pub selection_secs: f64,
}

impl Loader {
    pub(super) fn new(select: Select, train: &Examples, validation: &Examples) -> Result<Self> {
        select.check()?;
        if train.is_empty() {
            return Err(Error::argument("training set", "one sample or more", "none"));
        }
        if matches!(select.strategy, Strategy::Glister { .. }) && validation.is_empty() {
            return Err(Error::argument(
                "validation set",
                "one sample or more: GLISTER chooses by its loss",
                "none",
            ));
        }
        Ok(Self {
            select,
            train: train.clone(),
            validation: validation.clone(),
            normalization: None,
            batch_size: 128,
            seed: 0,
            n_epochs_begun: 0,
            chosen: None,
        })
    }

    /// Sets the number of samples in a batch; 128 if not set. The last batch of an epoch may be smaller.
    #[must_use]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size.clamp(1, i32::MAX as usize) as i64;
        self
    }

    /// Sets the seed of the order of samples and of random choices; 0 if not set.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Uses this normalisation instead of that of the training set.
    #[must_use]
    pub fn normalization(mut self, normalization: Normalization) -> Self {
        self.normalization = Some(normalization);
        self
    }

    /// How many samples an epoch trains on.
    pub fn budget(&self) -> i64 {
        self.select.budget(self.train.len() as i64)
    }

    /// Begins the next epoch: chooses, where the strategy says so, and shuffles.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if a stop was asked for while choosing; [`Error::Torch`] if libtorch refuses.
    pub fn epoch(&mut self, model: &dyn Model) -> Result<Epoch<'_>> {
        let normalization = self.normalization.get_or_insert_with(|| Normalization::of(&self.train)).clone();
        let started = Instant::now();
        let number = self.n_epochs_begun;
        let n = self.train.len() as i64;
        let order = match self.select.strategy {
            Strategy::Full => self.random(number, n, n),
            // One permutation both chooses and shuffles.
            Strategy::FreshRandom => self.random(number, n, self.budget()),
            Strategy::FixedRandom => {
                if self.chosen.is_none() {
                    self.chosen = Some(self.random(u64::MAX, n, self.budget()));
                }
                self.shuffled_choice(number)
            }
            Strategy::Glister { select_every, glister } => {
                if self.chosen.is_none() || number.is_multiple_of(select_every as u64) {
                    let candidates = last_layer(model, &self.train, &normalization)?;
                    let validation = last_layer(model, &self.validation, &normalization)?;
                    // Another sample each time for the stochastic greedy: the seed goes with the epoch.
                    let seed = self.seed ^ (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    self.chosen =
                        Some(glister.choose(&candidates, &validation, self.budget(), seed)?.indices);
                }
                self.shuffled_choice(number)
            }
        };
        self.n_epochs_begun += 1;
        device::synchronize(order.device());
        Ok(Epoch {
            selection_secs: started.elapsed().as_secs_f64(),
            loader: self,
            normalization,
            order,
            at: 0,
        })
    }

    /// The first `k` of a random permutation of 0..n, `i64 [k]` on the data's device. One stream is one permutation.
    fn random(&self, stream: u64, n: i64, k: i64) -> Tensor {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        let mut order: Vec<i64> = (0..n).collect();
        let (chosen, _) = order.partial_shuffle(&mut rng, k as usize);
        Tensor::from_slice(chosen).to_device(self.train.device())
    }

    fn shuffled_choice(&self, epoch: u64) -> Tensor {
        let Some(chosen) = &self.chosen else {
            return Tensor::zeros([0], (Kind::Int64, self.train.device()));
        };
        let k = chosen.size()[0];
        chosen.index_select(0, &self.random(epoch, k, k))
    }
}

impl Epoch<'_> {
    /// Positions in the training set, in the order of training, `i64 [k]`.
    pub fn indices(&self) -> &Tensor {
        &self.order
    }

    /// How many samples the epoch has.
    pub fn n_samples(&self) -> i64 {
        self.order.size()[0]
    }
}

impl Iterator for Epoch<'_> {
    /// Normalised images `f32 [B, C, H, W]` and labels `i64 [B]`.
    type Item = (Tensor, Tensor);

    fn next(&mut self) -> Option<Self::Item> {
        let size = self.loader.batch_size.min(self.n_samples() - self.at);
        if size <= 0 {
            return None;
        }
        let indices = self.order.narrow(0, self.at, size);
        self.at += size;
        let images = self.loader.train.images.index_select(0, &indices);
        let labels = self.loader.train.labels.index_select(0, &indices);
        Some((self.normalization.apply(&images), labels))
    }
}

impl Select {
    /// A loader over `train` that chooses by `validation`, for a training loop of one's own:
    /// `for (images, labels) in loader.epoch(&model)? { … }`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a fraction outside (0, 1], an empty training set, or GLISTER without validation samples.
    pub fn loader(&self, train: &Examples, validation: &Examples) -> Result<Loader> {
        Loader::new(*self, train, validation)
    }
}

/// What the model's last layer sees of `examples`, in evaluation mode and without gradients: O(N·(C + D)) memory.
///
/// # Errors
/// [`Error::Interrupted`] if a stop was asked for; [`Error::Torch`] if libtorch refuses.
pub fn last_layer(
    model: &dyn Model,
    examples: &Examples,
    normalization: &Normalization,
) -> Result<LastLayer> {
    // A guard, unlike tch::no_grad, gives gradients back when a model panics.
    let _no_grad = tch::no_grad_guard();
    let n = examples.len() as i64;
    let mut parts = Vec::new();
    for from in (0..n).step_by(EVALUATION_BATCH as usize) {
        interrupt::check()?;
        let size = EVALUATION_BATCH.min(n - from);
        let images = normalization.apply(&examples.images.narrow(0, from, size));
        let features = model.features(&images, false);
        let logits = model.logits(&features);
        parts.push(LastLayer { features, logits, labels: examples.labels.narrow(0, from, size) });
    }
    Ok(LastLayer::cat(&parts))
}
