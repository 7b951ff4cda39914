//! The validation gradient with biases only, on the CPU: a function of Σ r, whose cost is that of a mean softmax.

use tch::{Kind, Tensor};

use super::Loss;
use super::cpu::floats;
use super::problem::Problem;
use super::softmax_mean::{SoftmaxMean, with_softmax_mean};
use crate::error::Result;

/// G_b of the cross-entropy after steps, and gains by it.
pub(super) struct BiasGradient<'t, 'c> {
    mean: SoftmaxMean<'t, 'c>,
    eta: f64,
    /// The validation samples' mean target.
    targets: Vec<f64>,
    shift: Vec<f64>,
    probabilities: Vec<f64>,
    g_b: Vec<f32>,
}

/// Runs `lead` with the gradient of a problem whose loss is the cross-entropy; `for_all`: gains of all candidates will be asked
/// for.
///
/// # Errors
/// If its tensors are not on the CPU.
pub(super) fn with_bias_gradient<'c, R>(
    problem: &'c Problem<'_>,
    label_smoothing: f64,
    for_all: bool,
    lead: impl FnOnce(BiasGradient<'_, 'c>) -> R,
) -> Result<R> {
    let (logits, labels) = (&problem.validation.logits, &problem.validation.labels);
    let (n, c) = logits.size2()?;
    let counts = Vec::<i64>::try_from(labels.bincount::<Tensor>(None, c))?;
    let target =
        |&count: &i64| (1.0 - label_smoothing) * count as f64 / n as f64 + label_smoothing / c as f64;
    let targets: Vec<f64> = counts.iter().map(target).collect();
    let c = targets.len();
    let candidates = if for_all { floats(&problem.r)? } else { &[] };
    with_softmax_mean(logits, candidates, problem.n_threads, |mean| {
        let (shift, probabilities, g_b) = (vec![0.0; c], vec![0.0; c], vec![0.0; c]);
        lead(BiasGradient { mean, eta: problem.eta, targets, shift, probabilities, g_b })
    })
}

impl BiasGradient<'_, '_> {
    /// G_b `[C]` after the step with samples whose residuals add up to `sum_r` `[C]`.
    pub(super) fn after(&mut self, sum_r: &[f64]) -> &[f32] {
        self.shift.iter_mut().zip(sum_r).for_each(|(shift, sum)| *shift = -self.eta * sum);
        self.mean.after(&self.shift, &mut self.probabilities);
        let residuals = self.probabilities.iter().zip(&self.targets).map(|(p, t)| (p - t) as f32);
        self.g_b.iter_mut().zip(residuals).for_each(|(g, s)| *g = s);
        &self.g_b
    }

    /// The gains of all candidates, `f32 [N]`, by the gradient after that step.
    pub(super) fn gains_after(&mut self, sum_r: &[f64]) -> Tensor {
        self.after(sum_r);
        Tensor::from_slice(&self.mean.products(&self.g_b))
    }
}

/// The same with the squared error, where it is linear: 2·mean(u − y) at Σ r = 0.
pub(super) fn residual_at_zero(problem: &Problem<'_>) -> Result<Vec<f64>> {
    let (logits, labels) = (&problem.validation.logits, &problem.validation.labels);
    let residuals = Loss::SquaredError.residuals_at(logits, labels, 1)?;
    Ok(Vec::try_from(residuals.mean_dim(0, false, Kind::Double))?)
}
