//! The loader: from a [`Select`] to the batches of one epoch after another, for the `Trainer` and for loops of one's own.

use std::time::Instant;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use super::chooser::Remembers;
use super::hardest;
use super::history::{self, Classes, History};
use super::label_noise::LabelNoise;
use super::noted::Noted;
use super::{Evidence, LastLayer, Select, Selection};
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
    pub(super) select: Select,
    pub(super) train: Examples,
    pub(super) validation: Examples,
    normalization: Option<Normalization>,
    pub(super) batch_size: i64,
    pub(super) seed: u64,
    n_epochs: Option<usize>,
    pub(super) n_epochs_begun: u64,
    chosen: Option<Chosen>,
    pub(super) noted: Option<Noted>,
    pub(super) history: Option<History>,
    /// The share of wrong labels that steps are to reckon with.
    pub(super) noise: Option<LabelNoise>,
    /// The classes of the training and of the validation set, where a strategy has looked at them.
    pub(super) classes: Option<[Classes; 2]>,
    /// What the model saw of the validation set, and how many epochs had been begun then.
    pub(super) validation_noted: Option<(u64, LastLayer)>,
}

/// The subset in use.
#[derive(Debug)]
struct Chosen {
    indices: Tensor,         // i64 [k]
    weights: Option<Tensor>, // f32 [k]
}

/// Samples of one step.
#[derive(Debug)]
pub struct Batch {
    /// Positions in the training set, `i64 [B]`.
    pub indices: Tensor,
    /// By what each one's loss is to be multiplied before the mean over the batch is taken, `f32 [B]`; `None` where all count
    /// the same.
    pub weights: Option<Tensor>,
}

/// One epoch's samples in the order they are trained on; an iterator over batches.
pub struct Epoch<'a> {
    loader: &'a mut Loader,
    model: &'a dyn Model,
    normalization: Normalization,
    order: Tensor,
    weights: Option<Tensor>,
    /// How many samples are to be trained on, of those in `order`.
    n_samples: i64,
    at: i64,
    batch: Tensor,
    /// The selection that was made for this epoch; `None` where it trains on all of the data, or goes on with an earlier one.
    pub selection: Option<Selection>,
    /// Seconds spent on choosing for this epoch so far: the random draw, or the passes over the data and the greedy selection;
    /// and, as the epoch goes on, what is spent on noting and on choosing within batches.
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
        if select.strategy.needs_validation() && validation.is_empty() {
            let expected = format!("one sample or more: '{}' chooses by its loss", select.name());
            return Err(Error::argument("validation set", expected, "none"));
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
            history: None,
            noise: None,
            classes: None,
            validation_noted: None,
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

    /// How many bytes the notes of what training saw take; 0 while there are none.
    pub fn n_noted_bytes(&self) -> usize {
        self.noted.as_ref().map_or(0, Noted::n_bytes) + self.history.as_ref().map_or(0, History::n_bytes)
    }

    /// What a strategy that goes by remembered losses knows of each training sample; `None` for other strategies, or while
    /// nothing was met.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch refuses.
    pub fn evidence(&self) -> Result<Option<Evidence>> {
        self.history.as_ref().map(History::evidence).transpose()
    }

    /// Hands over what the model saw of the validation set behind the last epoch (as [`last_layer`] gives it), where that was
    /// computed anyway: strategies that want to know it need no pass of their own then.
    pub fn note_validation(&mut self, seen: LastLayer) {
        if self.select.remembers_losses() && seen.logits.size()[0] == self.validation.len() as i64 {
            self.validation_noted = Some((self.n_epochs_begun, seen));
        }
    }

    /// Begins the next epoch: chooses, where the strategy says so, and shuffles.
    ///
    /// # Errors
    /// [`Error::Argument`] for a warm start without [`Loader::epochs`], or a label that the model has no logit for;
    /// [`Error::Diverged`] if the model's logits are not finite while choosing; [`Error::Interrupted`] if a stop was asked
    /// for; [`Error::Torch`] if libtorch refuses.
    pub fn epoch<'a>(&'a mut self, model: &'a dyn Model) -> Result<Epoch<'a>> {
        let _call = interrupt::enter();
        interrupt::check()?;
        let normalization = self.normalization.get_or_insert_with(|| Normalization::of(&self.train)).clone();
        let started = Instant::now();
        let number = self.n_epochs_begun;
        let is_warm = number < self.n_warm()?;
        let chooser = self.select.strategy().chooser().filter(|_| !is_warm);
        let (mut selection, mut weights) = (None, None);
        let order = match &chooser {
            None => {
                let n = self.train.len() as i64;
                self.random(number, n, n)
            }
            Some(chooser) => {
                selection = chooser.choose(self, model, &normalization)?;
                if let Some(made) = &selection {
                    self.chosen = Some(Chosen {
                        indices: made.indices.shallow_clone(),
                        weights: made.weights.as_ref().map(Tensor::shallow_clone),
                    });
                }
                let (indices, of_each) = match &self.chosen {
                    Some(chosen) => (chosen.indices.shallow_clone(), chosen.weights.as_ref()),
                    None => (Tensor::zeros([0], (Kind::Int64, self.train.device())), None),
                };
                if chooser.is_shuffled() {
                    weights = of_each.map(Tensor::shallow_clone);
                    indices
                } else {
                    let k = indices.size()[0];
                    let order = self.random(number, k, k);
                    weights = of_each.map(|weights| weights.index_select(0, &order));
                    indices.index_select(0, &order)
                }
            }
        };
        let n_samples = match &chooser {
            Some(chooser) if chooser.chooses_within_batches() => self.budget(),
            _ => order.size()[0],
        };
        self.n_epochs_begun += 1;
        device::synchronize(order.device());
        Ok(Epoch {
            selection_secs: started.elapsed().as_secs_f64(),
            loader: self,
            model,
            normalization,
            batch: order.narrow(0, 0, 0),
            order,
            weights,
            n_samples,
            at: 0,
            selection,
        })
    }

    /// Whether a strategy that chooses every `select_every` epochs is to choose now.
    pub(super) fn is_due(&self, select_every: usize) -> Result<bool> {
        let since = self.n_epochs_begun - self.n_warm()?.min(self.n_epochs_begun);
        Ok(self.chosen.is_none() || since.is_multiple_of(select_every.max(1) as u64))
    }

    /// Whether a subset is in use.
    pub(super) fn has_chosen(&self) -> bool {
        self.chosen.is_some()
    }

    /// Whether losses were noted.
    pub(super) fn has_history(&self) -> bool {
        self.history.is_some()
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
            tensors.push(("chosen".to_owned(), chosen.indices.shallow_clone()));
            tensors
                .extend(chosen.weights.iter().map(|weights| ("weights".to_owned(), weights.shallow_clone())));
        }
        if let Some(noted) = &self.noted {
            tensors.extend(noted.tensors().map(|(name, tensor)| (name.to_owned(), tensor)));
        }
        if let Some(history) = &self.history {
            tensors.extend(history.tensors().map(|(name, tensor)| (name.to_owned(), tensor)));
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
        let history = History::from_tensors(named, n, device)?;
        if history.is_some() != named("history.losses").is_some() {
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
                let weights = named("weights");
                if weights.as_ref().is_some_and(|weights| weights.size() != chosen.size()) {
                    return Ok(false);
                }
                Some(Chosen {
                    indices: chosen.f_to_device(device)?,
                    weights: weights.map(|weights| weights.f_to_device(device)).transpose()?,
                })
            }
            None => None,
        };
        self.n_epochs_begun = state.n_epochs_begun;
        self.chosen = chosen;
        self.noted = noted;
        self.history = history;
        Ok(true)
    }
}

impl std::fmt::Debug for Epoch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { loader, n_samples, at, selection, selection_secs, .. } = self;
        f.debug_struct("Epoch")
            .field("loader", loader)
            .field("n_samples", n_samples)
            .field("at", at)
            .field("selection", selection)
            .field("selection_secs", selection_secs)
            .finish_non_exhaustive()
    }
}

impl Epoch<'_> {
    /// Positions in the training set, in the order of training, `i64 [k]`; with a strategy that chooses within batches, those
    /// of the candidates.
    pub fn indices(&self) -> &Tensor {
        &self.order
    }

    /// How many samples the epoch trains on.
    pub fn n_samples(&self) -> i64 {
        self.n_samples
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
    /// strategy that makes no pass of its own ([`Select::auto`], [`Select::remembered`]); for other strategies it does nothing.
    /// In a loop of one's own: `while let Some((images, labels)) = epoch.next() { let features = model.features(&images, true);
    /// … }` and [`Epoch::batch_indices`].
    ///
    /// # Errors
    /// [`Error::Argument`] if these are not as many rows as there are indices.
    pub fn note(&mut self, indices: &Tensor, features: &Tensor, logits: &Tensor) -> Result<()> {
        let remembers = self.loader.select.what_remembers();
        if remembers == Remembers::Nothing {
            return Ok(());
        }
        let started = Instant::now();
        let rows = indices.size().first().copied().unwrap_or(0);
        for (name, tensor) in [("features", features), ("logits", logits)] {
            if !matches!(tensor.size()[..], [n, _] if n == rows) {
                let expected = format!("{rows} rows, one for each index");
                return Err(Error::argument(name, expected, format!("shape {:?}", tensor.size())));
            }
        }
        let n = self.loader.train.len() as i64;
        if remembers == Remembers::LastLayer {
            let noted = match &mut self.loader.noted {
                Some(noted) => noted,
                none => none.insert(Noted::new(n, features, logits)?),
            };
            noted.note(indices, features, logits)?;
        } else {
            let labels = self.loader.train.labels.f_index_select(0, indices)?;
            let epoch = self.loader.n_epochs_begun - 1;
            let history = match &mut self.loader.history {
                Some(history) => history,
                none => none.insert(History::new(n, logits.device())?),
            };
            let seen = LastLayer { features: features.detach(), logits: logits.detach(), labels };
            history.note(indices, seen, epoch)?;
        }
        self.selection_secs += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Whether the samples of this batch count differently: see [`Epoch::weights`].
    pub fn weighs(&self, batch: &Batch) -> bool {
        batch.weights.is_some() || self.loader.noise.is_some()
    }

    /// By what each sample's loss is to be multiplied before the mean over the batch is taken, `f32 [B]`: the weights that came
    /// with the batch; and where the strategy has found that some labels are wrong, less for a loss as high as theirs. `losses`,
    /// `f32 [B]`, are those that the step has just computed: cross-entropies without label smoothing, or squared errors.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch refuses.
    pub fn weights(&mut self, batch: &Batch, losses: &Tensor) -> Result<Tensor> {
        let started = Instant::now();
        let _no_grad = tch::no_grad_guard();
        let by_loss = match &self.loader.noise {
            Some(noise) => {
                let labels = self.loader.train.labels.f_index_select(0, &batch.indices)?;
                Some(noise.weights(losses, &labels)?)
            }
            None => None,
        };
        let weights = match (by_loss, &batch.weights) {
            (Some(by_loss), Some(given)) => by_loss * given,
            (Some(weights), None) => weights,
            (None, Some(given)) => given.shallow_clone(),
            (None, None) => losses.f_ones_like()?,
        };
        self.selection_secs += started.elapsed().as_secs_f64();
        Ok(weights)
    }

    /// The samples of the next step, as positions in the training set, for one who gathers them himself; `None` at the end of
    /// the epoch.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch refuses.
    pub fn next_batch(&mut self) -> Result<Option<Batch>> {
        let size = self.loader.batch_size.min(self.n_samples - self.at);
        if size <= 0 {
            if let Some(history) = &mut self.loader.history {
                let started = Instant::now();
                history.take_in()?;
                self.selection_secs += started.elapsed().as_secs_f64();
            }
            return Ok(None);
        }
        let n_candidates = self.order.size()[0];
        let batch = if n_candidates == self.n_samples {
            let weights =
                self.weights.as_ref().map(|weights| weights.f_narrow(0, self.at, size)).transpose()?;
            Batch { indices: self.order.f_narrow(0, self.at, size)?, weights }
        } else {
            // As many candidates for each sample all along.
            let until = |at: i64| at * n_candidates / self.n_samples;
            let (from, to) = (until(self.at), until(self.at + size));
            let started = Instant::now();
            let candidates = self.order.f_narrow(0, from, to - from)?;
            let indices = self.hardest_of(&candidates, size)?;
            self.selection_secs += started.elapsed().as_secs_f64();
            Batch { indices, weights: None }
        };
        self.at += size;
        self.batch = batch.indices.shallow_clone();
        Ok(Some(batch))
    }

    /// The `k` of the candidates with the highest loss, by the model as it stands, in evaluation mode.
    fn hardest_of(&self, candidates: &Tensor, k: i64) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let inputs = self.loader.train.inputs.f_index_select(0, candidates)?;
        let labels = self.loader.train.labels.f_index_select(0, candidates)?;
        let logits = self.model.forward(&self.normalization.apply(&inputs), false);
        let hardest = hardest::hardest(&history::losses(&logits, &labels)?, k);
        Ok(candidates.f_index_select(0, &hardest)?)
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
    /// Normalised images `f32 [B, C, H, W]` and labels `i64 [B]`. Where a strategy weighs what it chooses, the weights are to
    /// be had from [`Epoch::next_batch`].
    type Item = (Tensor, Tensor);

    fn next(&mut self) -> Option<Self::Item> {
        let Batch { indices, .. } = self.next_batch().ok()??;
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
    Ok(LastLayer::cat(parts.iter()))
}
