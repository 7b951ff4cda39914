//! One epoch's batches, in order, and what the strategy is told of each step.

use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::chooser::Remembers;
use super::hardest;
use super::history::{self, History};
use super::loader::Loader;
use super::noted::Noted;
use super::{LastLayer, Loss, Selection};
use crate::data::{Examples, Normalization};
use crate::error::{Error, Result};
use crate::model::Model;

/// What one step trains on.
#[derive(Debug)]
pub struct Batch {
    /// Normalised images, `f32 [B, C, H, W]`, or rows of a table, `f32 [B, F]`.
    pub inputs: Tensor,
    /// Their classes, `i64 [B]`, or the targets of a regression, `f32 [B]`.
    pub labels: Tensor,
    /// By what each one's loss is to be multiplied before the mean over the batch is taken, `f32 [B]`; 1 where the strategy
    /// weighs nothing. With a strategy that has to be told of its steps, what [`Epoch::observe`] returns takes its place.
    pub weights: Tensor,
    /// Positions in the training set, `i64 [B]`.
    pub indices: Tensor,
}

/// What a step saw of its batch in the forward pass; gradients may hang on it.
#[derive(Debug, Clone, Copy)]
pub struct BatchStats<'a> {
    /// Penultimate features, `[B, D]`, of any floating dtype.
    pub features: &'a Tensor,
    /// The last layer's output for them: logits `[B, C]`, or predictions `[B, 1]`, of any floating dtype.
    pub logits: &'a Tensor,
}

/// The samples of one step as positions, for one who gathers them himself.
#[derive(Debug)]
pub struct BatchIndices {
    /// Positions in the training set, `i64 [B]`.
    pub indices: Tensor,
    /// As [`Batch::weights`]; `None` where all count the same.
    pub weights: Option<Tensor>,
}

/// How much of an epoch went through training, and how much of it the strategy was told.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Steps {
    /// Batches handed out, and samples in them but for the last batch, which a loop may have left before it trained on it.
    n_batches: u64,
    n_samples_before_last: i64,
    /// Samples that the strategy was told of.
    n_told: i64,
}

impl Steps {
    fn hand_out(&mut self, n_samples: i64, n_handed_out: i64) {
        self.n_batches += 1;
        self.n_samples_before_last = n_handed_out - n_samples;
    }

    /// Whether all steps were told of, as far as can be known.
    pub(super) fn are_told(&self) -> bool {
        self.n_batches == 0 || (self.n_told > 0 && self.n_told >= self.n_samples_before_last)
    }
}

/// One epoch's samples in the order they are trained on; an iterator over [`Batch`]es. An error is handed out once, and ends
/// the epoch.
pub struct Epoch<'a> {
    pub(super) loader: &'a mut Loader,
    pub(super) model: &'a dyn Model,
    pub(super) normalization: Normalization,
    pub(super) order: Tensor,
    pub(super) weights: Option<Tensor>,
    /// How many samples are to be trained on, of those in `order`.
    pub(super) n_samples: i64,
    pub(super) at: i64,
    /// The selection that was made for this epoch; `None` where it trains on all of the data, or goes on with an earlier one.
    pub selection: Option<Selection>,
    /// Seconds spent on choosing for this epoch so far: the random draw, or the passes over the data and the greedy selection;
    /// and, as the epoch goes on, what is spent on noting and on choosing within batches.
    pub selection_secs: f64,
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

    /// Whether the strategy has to be told of every step: [`Epoch::observe`].
    pub fn remembers(&self) -> bool {
        self.loader.select.remembers()
    }

    /// Tells the strategy what a step saw of `batch`, before its backward pass, and returns by what each sample's loss is to be
    /// multiplied before the mean over the batch is taken, `f32 [B]` without gradients: [`Batch::weights`], and, where the
    /// strategy has found that some labels are wrong, less for a loss as high as theirs. A step of any strategy is
    ///
    /// ```no_run
    /// # use glisten::prelude::*;
    /// # use tch::{Kind, Reduction, Tensor, nn};
    /// # fn step(loader: &mut glisten::select::Loader, model: &dyn Model, sgd: &mut nn::Optimizer) -> Result<()> {
    /// let mut epoch = loader.epoch(model)?;
    /// while let Some(batch) = epoch.next().transpose()? {
    ///     let features = model.features(&batch.inputs, true);
    ///     let logits = model.logits(&features);
    ///     let weights = epoch.observe(&batch, &BatchStats { features: &features, logits: &logits })?;
    ///     let losses = logits.f_cross_entropy_loss::<Tensor>(&batch.labels, None, Reduction::None, -100, 0.0)?;
    ///     sgd.backward_step(&(losses * weights).mean(Kind::Float));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Epoch::note`]; [`Error::Torch`] where these are not logits for the batch's labels.
    pub fn observe(&mut self, batch: &Batch, stats: &BatchStats<'_>) -> Result<Tensor> {
        self.note(&batch.indices, stats.features, stats.logits)?;
        if self.loader.noise.is_none() {
            return Ok(batch.weights.shallow_clone());
        }
        let _no_grad = tch::no_grad_guard();
        let losses = Loss::of_labels(&batch.labels).each(&stats.logits.f_detach()?, &batch.labels)?;
        let weights = Some(batch.weights.shallow_clone());
        self.weights(&BatchIndices { indices: batch.indices.shallow_clone(), weights }, &losses)
    }

    /// The first half of [`Epoch::observe`], for one who gathers his batches himself ([`Epoch::next_indices`]): tells a strategy
    /// that makes no pass of its own ([`Select::auto`](super::Select::auto), [`Select::remembered`](super::Select::remembered))
    /// what the model saw of the samples at `indices`, `i64 [B]`, as features `[B, D]` and logits `[B, C]`. For other
    /// strategies it does nothing.
    ///
    /// # Errors
    /// [`Error::Argument`] if these are not as many rows as there are indices, or not the logits of as many classes as before;
    /// for indices that are no positions in the training set, or a training label that the model has no logit for.
    pub fn note(&mut self, indices: &Tensor, features: &Tensor, logits: &Tensor) -> Result<()> {
        let remembers = self.loader.select.what_remembers();
        if remembers == Remembers::Nothing {
            return Ok(());
        }
        let started = Instant::now();
        let &[rows] = &indices.size()[..] else {
            let got = format!("shape {:?}", indices.size());
            return Err(Error::argument("indices", "positions in the training set, i64 [B]", got));
        };
        for (name, tensor) in [("features", features), ("logits", logits)] {
            if !matches!(tensor.size()[..], [n, _] if n == rows) {
                let expected = format!("{rows} rows, one for each index");
                return Err(Error::argument(name, expected, format!("shape {:?}", tensor.size())));
            }
        }
        if rows == 0 {
            return Ok(());
        }
        let n = self.loader.train.len() as i64;
        let n_told = self.loader.steps.n_told + rows;
        if remembers == Remembers::LastLayer {
            let noted = match &mut self.loader.noted {
                Some(noted) => noted,
                none => none.insert(Noted::new(n, features, logits)?),
            };
            noted.note(indices, features, logits)?;
        } else {
            let loader = &mut *self.loader;
            loader.tell_classes(logits)?;
            let epoch = loader.n_epochs_begun - 1;
            let history = loader.history.get_or_insert_with(|| History::new(loader.train.len()));
            let classes = loader.classes.as_ref().map(|[classes, _]| classes);
            match classes.filter(|classes| classes.are_classes() && logits.device() == Device::Cpu) {
                Some(classes) => history.note_on_cpu(indices, (features, logits), classes, epoch)?,
                None => {
                    let labels = loader.train.labels.f_index_select(0, indices)?;
                    let seen = LastLayer { features: features.detach(), logits: logits.detach(), labels };
                    history.note(indices, seen, epoch)?;
                }
            }
        }
        // Counted when it has succeeded only: a refused note tells nothing.
        self.loader.steps.n_told = n_told;
        self.selection_secs += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Whether the samples of this batch count differently: see [`Epoch::weights`].
    pub fn weighs(&self, batch: &BatchIndices) -> bool {
        batch.weights.is_some() || self.loader.noise.is_some()
    }

    /// The second half of [`Epoch::observe`], for one who gathers his batches himself: by what each sample's loss is to be
    /// multiplied before the mean over the batch is taken, `f32 [B]`: the weights that came
    /// with the batch; and where the strategy has found that some labels are wrong, less for a loss as high as theirs. `losses`,
    /// `f32 [B]`, are those that the step has just computed: cross-entropies without label smoothing, or squared errors.
    ///
    /// # Errors
    /// [`Error::Argument`] if these are not the losses of the batch's samples; [`Error::Torch`] if libtorch refuses.
    pub fn weights(&mut self, batch: &BatchIndices, losses: &Tensor) -> Result<Tensor> {
        let started = Instant::now();
        let _no_grad = tch::no_grad_guard();
        let by_loss = match &self.loader.noise {
            Some(noise) if losses.device() == Device::Cpu => {
                let classes = self.loader.classes.as_ref().map(|[classes, _]| classes.labels());
                let indices = history::positions(&batch.indices, self.loader.train.len())?;
                if losses.size() != [indices.len() as i64] {
                    let got = format!("shape {:?}", losses.size());
                    return Err(Error::argument("losses", format!("{}, one a sample", indices.len()), got));
                }
                let labels = indices.iter().map(|&at| classes.map_or(0, |classes| classes[at as usize]));
                Some(noise.weights_on_cpu(losses, labels)?)
            }
            Some(noise) => {
                let labels = self.loader.train.labels.f_index_select(0, &batch.indices)?;
                Some(noise.weights(losses, &labels)?)
            }
            None => None,
        };
        let weights = match (by_loss, &batch.weights) {
            (Some(by_loss), Some(given)) => by_loss.f_mul(given)?,
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
    pub fn next_indices(&mut self) -> Result<Option<BatchIndices>> {
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
            BatchIndices { indices: self.order.f_narrow(0, self.at, size)?, weights }
        } else {
            // As many candidates for each sample all along.
            let until = |at: i64| at * n_candidates / self.n_samples;
            let (from, to) = (until(self.at), until(self.at + size));
            let started = Instant::now();
            let candidates = self.order.f_narrow(0, from, to - from)?;
            let indices = self.hardest_of(&candidates, size)?;
            self.selection_secs += started.elapsed().as_secs_f64();
            BatchIndices { indices, weights: None }
        };
        self.at += size;
        self.loader.steps.hand_out(size, self.at);
        Ok(Some(batch))
    }

    /// The next step's samples, gathered and normalised.
    fn next_batch(&mut self) -> Result<Option<Batch>> {
        let Some(BatchIndices { indices, weights }) = self.next_indices()? else { return Ok(None) };
        let train = &self.loader.train;
        let inputs = self.normalization.apply(&train.inputs.f_index_select(0, &indices)?);
        let labels = train.labels.f_index_select(0, &indices)?;
        let weights = match weights {
            Some(weights) => weights,
            None => Tensor::f_ones([indices.size()[0]], (Kind::Float, train.device()))?,
        };
        Ok(Some(Batch { inputs, labels, weights, indices }))
    }

    /// The `k` of the candidates with the highest loss, by the model as it stands, in evaluation mode.
    fn hardest_of(&self, candidates: &Tensor, k: i64) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let inputs = self.loader.train.inputs.f_index_select(0, candidates)?;
        let labels = self.loader.train.labels.f_index_select(0, candidates)?;
        let logits = self.model.forward(&self.normalization.apply(&inputs), false);
        let hardest = hardest::hardest(&Loss::of_labels(&labels).each(&logits, &labels)?, k);
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
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.next_batch();
        if batch.is_err() {
            // Whoever passes errors over is not handed the same one for ever.
            self.at = self.n_samples;
        }
        batch.transpose()
    }
}
