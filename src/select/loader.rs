//! The loader: from a [`Select`] to the batches of one epoch after another, for the `Trainer` and for loops of one's own.

use std::time::Instant;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use super::noted::Noted;
use super::{LastLayer, Select, Selection, Strategy};
use crate::data::{Examples, Normalization};
use crate::device;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::Model;

/// Images of a pass that only reads: large enough to keep the hardware busy, small enough for the CPU's caches.
const EVALUATION_BATCH: i64 = 500;

/// The random streams of one seed: epoch e takes stream e, which both draws and shuffles; this one and those of `choice.rs`
/// are for all else.
const FIXED_DRAW: u64 = u64::MAX;

/// Hands out the batches of each epoch, choosing samples as its [`Select`] says. The same seed gives the same batches.
#[derive(Debug)]
pub struct Loader {
    pub(super) select: Select,
    pub(super) train: Examples,
    pub(super) validation: Examples,
    normalization: Option<Normalization>,
    batch_size: i64,
    pub(super) seed: u64,
    n_epochs: Option<usize>,
    pub(super) n_epochs_begun: u64,
    chosen: Option<Tensor>,
    pub(super) noted: Option<Noted>,
}

/// One epoch's samples in the order they are trained on; an iterator over batches.
#[derive(Debug)]
pub struct Epoch<'a> {
    loader: &'a mut Loader,
    normalization: Normalization,
    order: Tensor,
    at: i64,
    batch: Tensor,
    /// The selection that was made for this epoch; `None` where it trains on all of the data, or goes on with an earlier one.
    pub selection: Option<Selection>,
    /// Seconds spent on choosing for this epoch: the random draw, or the passes over the data and the greedy selection.
    pub selection_secs: f64,
}

/// What a loader has to remember from one epoch to the next, for a checkpoint. Random draws need nothing: each epoch has
/// a stream of its own.
#[derive(Debug, Default)]
pub(crate) struct LoaderState {
    /// Epochs begun.
    pub(crate) n_epochs_begun: u64,
    /// The subset in use and what was noted of samples, by name.
    pub(crate) tensors: Vec<(String, Tensor)>,
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
            n_epochs: None,
            n_epochs_begun: 0,
            chosen: None,
            noted: None,
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

    /// Sets the number of epochs T that the training is meant to have; needed to start warm ([`Select::kappa`]), where
    /// [`Loader::n_epochs`] says how many epochs that makes.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.n_epochs = Some(epochs);
        self
    }

    /// Uses this normalisation instead of that of the training set.
    #[must_use]
    pub fn normalization(mut self, normalization: Normalization) -> Self {
        self.normalization = Some(normalization);
        self
    }

    /// How many samples an epoch trains on, but for the full epochs of a warm start.
    pub fn budget(&self) -> i64 {
        self.select.budget(self.train.len() as i64)
    }

    /// How many epochs the training has, full ones counted; `None` before [`Loader::epochs`] was called.
    pub fn n_epochs(&self) -> Option<usize> {
        self.n_epochs.map(|epochs| self.select.plan(epochs).n_epochs())
    }

    /// How many batches these epochs have together, over which a learning rate's schedule can be laid.
    pub fn n_steps(&self) -> Option<u64> {
        let n = self.train.len() as i64;
        self.n_epochs.map(|epochs| self.select.plan(epochs).n_steps(n, self.budget(), self.batch_size))
    }

    /// How many bytes the cheap mode's notes take; 0 while there are none.
    pub fn n_noted_bytes(&self) -> usize {
        self.noted.as_ref().map_or(0, Noted::n_bytes)
    }

    /// Begins the next epoch: chooses, where the strategy says so, and shuffles.
    ///
    /// # Errors
    /// [`Error::Argument`] for a warm start without [`Loader::epochs`], or a label that the model has no logit for;
    /// [`Error::Diverged`] if the model's logits are not finite while choosing; [`Error::Interrupted`] if a stop was asked
    /// for; [`Error::Torch`] if libtorch refuses.
    pub fn epoch(&mut self, model: &dyn Model) -> Result<Epoch<'_>> {
        let _call = interrupt::enter();
        interrupt::check()?;
        let normalization = self.normalization.get_or_insert_with(|| Normalization::of(&self.train)).clone();
        let started = Instant::now();
        let number = self.n_epochs_begun;
        let n = self.train.len() as i64;
        let n_warm = self.n_warm()?;
        let mut selection = None;
        let order = match self.select.strategy() {
            Strategy::Full => self.random(number, n, n),
            _ if number < n_warm => self.random(number, n, n),
            // One permutation both chooses and shuffles.
            Strategy::FreshRandom => {
                let order = self.random(number, n, self.budget());
                selection = Some(Selection::drawn(order.shallow_clone()));
                order
            }
            Strategy::FixedRandom => {
                if self.chosen.is_none() {
                    let indices = self.random(FIXED_DRAW, n, self.budget());
                    self.chosen = Some(indices.shallow_clone());
                    selection = Some(Selection::drawn(indices));
                }
                self.shuffled_choice(number)
            }
            Strategy::Glister { select_every, glister, looks_at } => {
                if self.chosen.is_none() || (number - n_warm).is_multiple_of(select_every as u64) {
                    let made = self.choose(model, &normalization, &glister, &looks_at)?;
                    self.chosen = Some(made.indices.shallow_clone());
                    selection = Some(made);
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
            batch: order.narrow(0, 0, 0),
            order,
            at: 0,
            selection,
        })
    }

    /// How many epochs come before the first selection.
    fn n_warm(&self) -> Result<u64> {
        match self.n_epochs {
            Some(epochs) => Ok(self.select.plan(epochs).n_full as u64),
            None if self.select.kappa > 0.0 => Err(Error::argument(
                "epochs",
                format!(
                    "Loader::epochs(…) before the first epoch, for a warm start of kappa = {}",
                    self.select.kappa
                ),
                "nothing",
            )),
            None => Ok(0),
        }
    }

    /// The first `k` of a random permutation of 0..n, `i64 [k]` on the data's device. One stream is one permutation.
    pub(super) fn random(&self, stream: u64, n: i64, k: i64) -> Tensor {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        let mut order: Vec<i64> = (0..n).collect();
        let (chosen, _) = order.partial_shuffle(&mut rng, k as usize);
        Tensor::from_slice(chosen).to_device(self.train.device())
    }

    /// What has to be kept to go on from here, between two epochs.
    pub(crate) fn state(&self) -> LoaderState {
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        if let Some(chosen) = &self.chosen {
            tensors.push(("chosen".to_owned(), chosen.shallow_clone()));
        }
        if let Some(noted) = &self.noted {
            tensors.extend(noted.tensors().map(|(name, tensor)| (name.to_owned(), tensor)));
        }
        LoaderState { n_epochs_begun: self.n_epochs_begun, tensors }
    }

    /// Goes on from `state`. False, and nothing changes, if that is not the state of a loader over as much data.
    pub(crate) fn restore(&mut self, state: LoaderState) -> Result<bool> {
        let (n, device) = (self.train.len() as i64, self.train.device());
        let named = |name: &str| {
            state.tensors.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor.shallow_clone())
        };
        let noted = Noted::from_tensors(named, n, device)?;
        if noted.is_some() != named("noted.is_seen").is_some() {
            return Ok(false);
        }
        let chosen = match named("chosen") {
            Some(chosen) => {
                let fits = matches!(chosen.size()[..], [k] if (1..=n).contains(&k))
                    && chosen.f_kind()? == Kind::Int64
                    && chosen.f_min()?.f_int64_value(&[])? >= 0
                    && chosen.f_max()?.f_int64_value(&[])? < n;
                if !fits {
                    return Ok(false);
                }
                Some(chosen.f_to_device(device)?)
            }
            None => None,
        };
        self.n_epochs_begun = state.n_epochs_begun;
        self.chosen = chosen;
        self.noted = noted;
        Ok(true)
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

    /// Positions in the training set of the batch handed out last, `i64 [B]`.
    pub fn batch_indices(&self) -> &Tensor {
        &self.batch
    }

    /// Whether the strategy wants to know what training saw of each batch: [`Epoch::note`].
    pub fn remembers(&self) -> bool {
        self.loader.select.remembers()
    }

    /// Notes what the model saw of the samples at `indices`, `i64 [B]`, as features `[B, D]` and logits `[B, C]`, for a
    /// selection that makes no pass of its own ([`Select::remembered`]); for other strategies it does nothing. In a loop of
    /// one's own: `while let Some((images, labels)) = epoch.next() { let features = model.features(&images, true); … }` and
    /// [`Epoch::batch_indices`].
    ///
    /// # Errors
    /// [`Error::Argument`] if these are not as many rows as there are indices.
    pub fn note(&mut self, indices: &Tensor, features: &Tensor, logits: &Tensor) -> Result<()> {
        if !self.remembers() {
            return Ok(());
        }
        let rows = indices.size().first().copied().unwrap_or(0);
        for (name, tensor) in [("features", features), ("logits", logits)] {
            if !matches!(tensor.size()[..], [n, _] if n == rows) {
                let expected = format!("{rows} rows, one for each index");
                return Err(Error::argument(name, expected, format!("shape {:?}", tensor.size())));
            }
        }
        let noted = match &mut self.loader.noted {
            Some(noted) => noted,
            none => none.insert(Noted::new(self.loader.train.len() as i64, features, logits)?),
        };
        noted.note(indices, features, logits)
    }

    /// The same batches as the iterator's, as positions in the training set (`i64 [B]`), for one who gathers them himself.
    pub fn batches(&self) -> impl Iterator<Item = Tensor> + use<> {
        let (order, size) = (self.order.shallow_clone(), self.loader.batch_size);
        let n = self.n_samples();
        (self.at..n).step_by(size as usize).map(move |at| order.narrow(0, at, size.min(n - at)))
    }

    /// The training set.
    pub fn examples(&self) -> &Examples {
        &self.loader.train
    }

    /// How inputs are normalised.
    pub fn normalization(&self) -> &Normalization {
        &self.normalization
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
        self.batch = indices.shallow_clone();
        let images = self.loader.train.inputs.index_select(0, &indices);
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
    let _call = interrupt::enter();
    // A guard, unlike tch::no_grad, gives gradients back when a model panics.
    let _no_grad = tch::no_grad_guard();
    let n = examples.len() as i64;
    let mut parts = Vec::new();
    for from in (0..n).step_by(EVALUATION_BATCH as usize) {
        interrupt::check()?;
        let size = EVALUATION_BATCH.min(n - from);
        let images = normalization.apply(&examples.inputs.narrow(0, from, size));
        let features = model.features(&images, false);
        let logits = model.logits(&features);
        parts.push(LastLayer { features, logits, labels: examples.labels.narrow(0, from, size) });
    }
    Ok(LastLayer::cat(&parts))
}
