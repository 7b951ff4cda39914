//! One pass over batches: training steps, or an evaluation.

use std::time::Instant;

use tch::nn::{self, Optimizer};
use tch::{Device, Kind, Reduction, Tensor};

use super::Sgd;
use crate::data::{Examples, Normalization};
use crate::device;
use crate::error::Result;
use crate::interrupt;
use crate::model::Model;
use crate::select::{Epoch, last_layer};

/// Mean loss and accuracy over the samples of a pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Score {
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Share of samples whose highest logit is their label's, in [0, 1].
    pub accuracy: f64,
}

/// Where the schedule stands.
pub(super) struct Schedule {
    pub sgd: Sgd,
    pub step: u64,
    pub n_steps: u64,
}

impl Schedule {
    fn next_rate(&mut self) -> f64 {
        let rate = self.sgd.learning_rate_at(self.step, self.n_steps);
        self.step += 1;
        rate
    }
}

/// Trains on the batches of `epoch`. Returns the score of the batches as they were met, and the seconds taken.
pub(super) fn train(
    model: &dyn Model,
    optimizer: &mut Optimizer,
    schedule: &mut Schedule,
    epoch: Epoch<'_>,
    device: Device,
) -> Result<(Score, f64)> {
    let started = Instant::now();
    let n = epoch.n_samples() as f64;
    // Sums stay on the device: reading them once an epoch instead of once a batch keeps it busy.
    let mut loss_sum = Tensor::zeros([], (Kind::Float, device));
    let mut n_correct = Tensor::zeros([], (Kind::Int64, device));
    for (images, labels) in epoch {
        interrupt::check()?;
        optimizer.set_lr(schedule.next_rate());
        let logits = model.forward(&images, true);
        let loss = cross_entropy(&logits, &labels)?;
        optimizer.zero_grad();
        // One batch may take seconds: stop is looked for between its parts too.
        interrupt::check()?;
        loss.f_backward()?;
        interrupt::check()?;
        optimizer.step();
        loss_sum += loss.detach() * labels.size()[0] as f64;
        n_correct += logits.detach().argmax(-1, false).eq_tensor(&labels).sum(Kind::Int64);
    }
    let score = Score { loss: loss_sum.double_value(&[]) / n, accuracy: n_correct.double_value(&[]) / n };
    device::synchronize(device);
    Ok((score, started.elapsed().as_secs_f64()))
}

/// The model's score on `examples`, in evaluation mode.
pub(super) fn evaluate(
    model: &dyn Model,
    examples: &Examples,
    normalization: &Normalization,
) -> Result<Score> {
    let seen = last_layer(model, examples, normalization)?;
    // What the last layer saw carries no gradients.
    let loss = cross_entropy(&seen.logits, &seen.labels)?;
    let n_right = seen.logits.argmax(-1, false).eq_tensor(&seen.labels).sum(Kind::Int64).double_value(&[]);
    Ok(Score { loss: loss.double_value(&[]), accuracy: n_right / examples.len().max(1) as f64 })
}

/// The optimiser over all variables of `variables`.
pub(super) fn optimizer(sgd: &Sgd, variables: &nn::VarStore) -> Result<Optimizer> {
    use nn::OptimizerConfig;
    let config =
        nn::Sgd { momentum: sgd.momentum, dampening: 0.0, wd: sgd.weight_decay, nesterov: sgd.nesterov };
    Ok(config.build(variables, sgd.learning_rate)?)
}

/// Mean cross-entropy of logits `[N, C]` against labels `i64 [N]`.
fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(logits.f_cross_entropy_loss::<&Tensor>(labels, None, Reduction::Mean, -100, 0.0)?)
}

/// The highest label, `None` where there are none.
pub(super) fn highest_label(labels: &Tensor) -> Option<i64> {
    (labels.size()[0] > 0).then(|| labels.max().int64_value(&[]))
}
