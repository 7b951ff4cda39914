//! The loader: from a [`Select`] to the batches of one epoch after another, for the `Trainer` and for loops of one's own.

use std::time::Instant;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use super::classes::Classes;
use super::epoch::{Epoch, Steps};
use super::history::History;
use super::label_noise::LabelNoise;
use super::noted::Noted;
use super::{Evidence, LastLayer, Select};
use crate::data::{Examples, Normalization};
use crate::device;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::Model;
use crate::ops;

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
    /// The steps of the epoch that was begun last.
    pub(super) steps: Steps,
}

/// The subset in use.
#[derive(Debug)]
struct Chosen {
    indices: Tensor,         // i64 [k]
    weights: Option<Tensor>, // f32 [k]
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
            steps: Steps::default(),
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
    /// [`Error::Argument`] for a warm start without [`Loader::epochs`], a label that the model has no logit for, or a strategy
    /// that has to be told what each step saw ([`Epoch::observe`]) and was not in the epoch before;
    /// [`Error::Diverged`] if the model's logits are not finite while choosing; [`Error::Interrupted`] if a stop was asked
    /// for; [`Error::Torch`] if libtorch refuses.
    pub fn epoch<'a>(&'a mut self, model: &'a dyn Model) -> Result<Epoch<'a>> {
        let _call = interrupt::enter();
        interrupt::check()?;
        self.check_told()?;
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
        self.steps = Steps::default();
        device::synchronize(order.device());
        Ok(Epoch {
            selection_secs: started.elapsed().as_secs_f64(),
            loader: self,
            model,
            normalization,
            order,
            weights,
            n_samples,
            at: 0,
            selection,
        })
    }

    /// Whether the strategy knows of the steps of the last epoch, if it has to: in ignorance of them it would draw at random.
    fn check_told(&self) -> Result<()> {
        if !self.select.remembers() || self.steps.are_told() {
            return Ok(());
        }
        let name = self.select.name();
        Err(Error::argument(
            format!("the steps of epoch {}", self.n_epochs_begun),
            format!(
                "each told to '{name}', which chooses by what they saw: call epoch.observe(&batch, &BatchStats {{ features: \
                 &features, logits: &logits }})? after the forward pass, and multiply the losses by the weights that it returns"
            ),
            "steps that it was not told of",
        ))
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

    /// Looks at the classes of both sets, where that was not done yet; `logits` are `[B, C]`.
    pub(super) fn tell_classes(&mut self, logits: &Tensor) -> Result<()> {
        let n_classes = logits.size().get(1).map_or(0, |&n| n as usize);
        match &self.classes {
            None => {
                let of = |name, examples: &Examples| Classes::new(name, &examples.labels, n_classes);
                self.classes =
                    Some([of("training set", &self.train)?, of("validation set", &self.validation)?]);
            }
            Some([classes, _]) if classes.are_classes() && classes.n != n_classes => {
                return Err(Error::argument(
                    "logits",
                    format!("{} classes, as before", classes.n),
                    n_classes,
                ));
            }
            Some(_) => {}
        }
        Ok(())
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
        let history = History::from_tensors(named, self.train.len())?;
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

impl Select {
    /// A loader over `train` that chooses by `validation`, for a training loop of one's own: [`Epoch::observe`] shows one.
    ///
    /// # Errors
    /// [`Error::Argument`] for a fraction outside (0, 1], an empty training set, GLISTER without validation samples, or
    /// instructions that the processor lacks ([`ops::CPU_PATH_VARIABLE`]).
    pub fn loader(&self, train: &Examples, validation: &Examples) -> Result<Loader> {
        ops::cpu_path()?;
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
