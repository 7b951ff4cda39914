//! One pass over batches: training steps, or an evaluation.

use std::time::Instant;

use tch::{Device, Kind, Tensor, nn};

use super::augment::Augment;
use super::loss::Loss;
use super::optimizer::{Optimizer, Sgd};
use super::precision::Precision;
use super::schedule::Schedule;
use crate::data::{Examples, Normalization, Task};
use crate::device;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::Model;
use crate::ops;
use crate::select::{BatchIndices, Epoch, LastLayer, last_layer};

/// The global norm that gradients are scaled down to by default. At a learning rate of 0.05, which is a good one for the data
/// sets that come with Glisten, the first steps on a few hundred images of one's own are far too long without it: all ReLUs
/// are dead, or the loss is 10³⁵. On Fashion-MNIST it costs nothing.
const CLIP_GRAD_NORM: f64 = 1.0;

/// A mean loss of this many times what a model has that knows nothing is no loss to go on from, even if it is finite.
const EXPLODED: f64 = 1e3;

/// Everything that makes a training step what it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub sgd: Sgd,
    pub schedule: Schedule,
    pub augment: Augment,
    pub precision: Precision,
    /// Share of the target that is spread over all classes, in [0, 1).
    pub label_smoothing: f64,
    /// The global norm that gradients are scaled down to.
    pub clip_grad_norm: Option<f64>,
    /// Whether a regression's targets are standardised.
    pub scale_targets: bool,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            sgd: Sgd::default(),
            schedule: Schedule::default(),
            augment: Augment::default(),
            precision: Precision::default(),
            label_smoothing: 0.0,
            clip_grad_norm: Some(CLIP_GRAD_NORM),
            scale_targets: true,
        }
    }
}

impl Step {
    /// The same, clipped to `max_norm`: 0 for not at all, and nothing for what it is.
    pub(super) fn clipped(self, max_norm: Option<f64>) -> Self {
        match max_norm {
            None => self,
            Some(norm) => Self { clip_grad_norm: Some(norm).filter(|norm| *norm != 0.0), ..self },
        }
    }

    /// Whether a training on `task` can be made of such steps.
    ///
    /// # Errors
    /// [`Error::Argument`] for a setting that is out of range.
    pub(super) fn check(&self, task: Task) -> Result<()> {
        self.sgd.check()?;
        self.augment.check()?;
        Loss::of(task, self.label_smoothing)?;
        match self.clip_grad_norm {
            Some(norm) if !(norm.is_finite() && norm > 0.0) => {
                Err(Error::argument("clip_grad_norm", "a positive number, or 0 for no clipping", norm))
            }
            _ => Ok(()),
        }
    }
}

/// Mean loss and accuracy over the samples of a pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Score {
    /// Mean cross-entropy in nats, or mean squared error of standardised targets.
    pub loss: f64,
    /// Share of samples whose highest logit is their label's, in [0, 1]; `None` for a regression.
    pub accuracy: Option<f64>,
}

/// A training under way: its steps' settings, the optimiser with its state, and how far the schedule has come.
pub(super) struct Course {
    step: Step,
    loss: Loss,
    optimizer: Optimizer,
    /// The loss of who always says the same: ln C, or the variance of standardised targets.
    loss_of_ignorance: f64,
    seed: u64,
    n_steps_done: u64,
    n_steps: u64,
}

impl Course {
    /// Before the first of `n_steps` steps on `variables`; `seed` decides how images are varied.
    ///
    /// # Errors
    /// As [`Step::check`].
    pub(super) fn new(
        step: Step,
        task: Task,
        variables: &nn::VarStore,
        seed: u64,
        n_steps: u64,
    ) -> Result<Self> {
        step.check(task)?;
        let loss = Loss::of(task, step.label_smoothing)?;
        let optimizer = Optimizer::new(step.sgd, variables);
        let loss_of_ignorance = match task {
            Task::Classification { n_classes } => (n_classes.max(2) as f64).ln(),
            Task::Regression if step.scale_targets => 1.0,
            // Of targets as they are, nothing is known.
            Task::Regression => f64::INFINITY,
        };
        Ok(Self { step, loss, optimizer, loss_of_ignorance, seed, n_steps_done: 0, n_steps })
    }

    /// Whether the training is still one, behind the epoch numbered `epoch`, which trained on this share of the samples.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the mean loss is not finite, or so high that nothing was learnt, only blown up.
    pub(super) fn check(&self, score: &Score, share: f64, epoch: usize) -> Result<()> {
        // A strategy may choose the samples of the highest loss: of a small share, the mean may be that much higher.
        let limit = EXPLODED * self.loss_of_ignorance / share.clamp(f64::MIN_POSITIVE, 1.0);
        if score.loss.is_finite() && score.loss <= limit {
            return Ok(());
        }
        let what = if score.loss.is_finite() {
            format!(
                "the training loss is {:.3e}, where a model that knows nothing has {:.3}",
                score.loss, self.loss_of_ignorance
            )
        } else {
            format!("the training loss is {}", score.loss)
        };
        Err(diverged(what, epoch))
    }

    /// What a checkpoint must keep beside the model's variables: steps done, and the optimiser's tensors by name.
    pub(super) fn state(&self) -> (u64, Vec<(String, Tensor)>) {
        let tensors = self.optimizer.state().map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
        (self.n_steps_done, tensors.collect())
    }

    /// Goes on from what [`Course::state`] gave.
    ///
    /// # Errors
    /// [`Error::Argument`] if a tensor is missing or has another shape; nothing is changed then.
    pub(super) fn restore(&mut self, n_steps_done: u64, tensors: &[(String, Tensor)]) -> Result<()> {
        self.optimizer.restore(tensors)?;
        self.n_steps_done = n_steps_done;
        Ok(())
    }

    /// What a step minimises, and the loss that metrics state: the mean over the batch, of samples that all count the same,
    /// without label smoothing and without a graph.
    fn losses(
        &self,
        epoch: &mut Epoch<'_>,
        batch: &BatchIndices,
        outputs: &Tensor,
        labels: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let plain = self.loss.plain();
        if epoch.weighs(batch) {
            let of_each = plain.each(outputs, labels)?;
            let weights = epoch.weights(batch, &of_each)?;
            let stated = of_each.f_detach()?.f_mean(Kind::Float)?;
            let minimised = if self.loss == plain { of_each } else { self.loss.each(outputs, labels)? };
            return Ok(((minimised * weights).f_mean(Kind::Float)?, stated));
        }
        let loss = self.loss.mean(outputs, labels)?;
        let stated =
            if self.loss == plain { loss.detach() } else { plain.mean(&outputs.f_detach()?, labels)? };
        Ok((loss, stated))
    }

    /// Trains on the batches of `epoch`. A stop is looked for between forward pass, backward pass and step: one that is asked
    /// for is never longer away than one of them.
    pub(super) fn train(
        &mut self,
        model: &dyn Model,
        mut epoch: Epoch<'_>,
        device: Device,
    ) -> Result<Trained> {
        let (started, chosen_in) = (Instant::now(), epoch.selection_secs);
        let n = epoch.n_samples() as f64;
        // Sums stay on the device: reading them once an epoch instead of once a batch keeps it busy.
        let mut loss_sum = Tensor::zeros([], (Kind::Float, device));
        let mut n_correct = Tensor::zeros([], (Kind::Int64, device));
        let classes = matches!(self.loss, Loss::CrossEntropy { .. });
        while let Some(batch) = epoch.next_indices()? {
            interrupt::check()?;
            let indices = &batch.indices;
            let examples = epoch.examples();
            let inputs = self.step.augment.batch(
                examples,
                indices,
                epoch.normalization(),
                self.seed,
                self.n_steps_done,
            )?;
            let labels = examples.labels.f_index_select(0, indices)?;
            let (features, outputs) = {
                let _precision = ops::Autocast::new(self.step.precision == Precision::Bf16, device)?;
                if epoch.remembers() {
                    let features = model.features(&inputs, true);
                    let outputs = model.logits(&features);
                    (Some(features), outputs)
                } else {
                    (None, model.forward(&inputs, true))
                }
            };
            if let Some(features) = features {
                epoch.note(indices, &features, &outputs)?;
            }
            interrupt::check()?;
            let (loss, plain) = self.losses(&mut epoch, &batch, &outputs, &labels)?;
            self.optimizer.zero_grad()?;
            loss.f_backward()?;
            interrupt::check()?;
            if let Some(norm) = self.step.clip_grad_norm {
                self.optimizer.clip_grad_norm(norm)?;
            }
            self.optimizer.step(self.step.schedule.rate(
                self.step.sgd.learning_rate,
                self.n_steps_done,
                self.n_steps,
            ))?;
            self.n_steps_done += 1;
            let outputs = outputs.detach();
            loss_sum += plain * labels.size()[0] as f64;
            if let Some(correct) = self.loss.n_correct(&outputs, &labels) {
                n_correct += correct;
            }
        }
        let score = Score {
            loss: loss_sum.double_value(&[]) / n,
            accuracy: classes.then(|| n_correct.double_value(&[]) / n),
        };
        device::synchronize(device);
        let of_batches = epoch.selection_secs - chosen_in;
        Ok(Trained {
            score,
            train_secs: started.elapsed().as_secs_f64() - of_batches,
            selection_secs: epoch.selection_secs,
        })
    }
}

/// That the training is lost.
pub(super) fn diverged(what: String, epoch: usize) -> Error {
    Error::Diverged { what, epoch, advice: "a lower learning rate usually helps".to_owned() }
}

/// What came of an epoch.
pub(super) struct Trained {
    /// Of the batches as they were met.
    pub(super) score: Score,
    /// Seconds of training steps.
    pub(super) train_secs: f64,
    /// Seconds of choosing: before the epoch, and within it.
    pub(super) selection_secs: f64,
}

/// The model's score on `examples`, in evaluation mode and fp32, and what its last layer saw of them.
pub(super) fn evaluate(
    model: &dyn Model,
    examples: &Examples,
    normalization: &Normalization,
    task: Task,
) -> Result<(Score, LastLayer)> {
    let seen = last_layer(model, examples, normalization)?;
    // What the last layer saw carries no gradients.
    let loss = Loss::of(task, 0.0)?;
    let mean = loss.mean(&seen.logits, &seen.labels)?.double_value(&[]);
    let n_correct = loss.n_correct(&seen.logits, &seen.labels).map(|n| n.double_value(&[]));
    Ok((Score { loss: mean, accuracy: n_correct.map(|n| n / examples.len().max(1) as f64) }, seen))
}

/// The mean over classes of the share of their samples that are recognised (their recall), over the classes that occur:
/// accuracy as it would be if all were equally frequent. `None` for a regression, or without samples.
pub(super) fn balanced_accuracy(seen: &LastLayer, task: Task) -> Result<Option<f64>> {
    let Task::Classification { n_classes } = task else { return Ok(None) };
    let n_classes = n_classes as i64;
    let count = |labels: &Tensor| labels.f_bincount(None::<&Tensor>, n_classes)?.f_to_kind(Kind::Double);
    let correct = seen.logits.f_argmax(-1, false)?.f_eq_tensor(&seen.labels)?;
    let all = count(&seen.labels)?;
    let recalls = count(&seen.labels.f_masked_select(&correct)?)? / &all;
    let recalls = recalls.f_masked_select(&all.f_gt(0.0)?)?;
    Ok((recalls.numel() > 0).then(|| recalls.mean(Kind::Double).double_value(&[])))
}

/// The lowest and the highest class; `None` where there are no labels, or they are targets of a regression.
pub(super) fn label_range(labels: &Tensor) -> Option<(i64, i64)> {
    let has_classes = labels.size()[0] > 0 && labels.kind() == Kind::Int64;
    has_classes.then(|| (labels.min().int64_value(&[]), labels.max().int64_value(&[])))
}
