//! What one look at the last layer tells of samples: their losses, what they are taken for, and which way their gradients point.

use std::borrow::Cow;

use tch::{Device, Kind, Tensor};

use super::glister::cpu::{self, GradientOnCpu};
use super::glister::vector::{best_of_machine, exp, ln};
use super::{LastLayer, Loss};
use crate::error::Result;

/// What the model makes of samples.
#[derive(Debug)]
pub(super) struct Look {
    /// Their losses: cross-entropies, or squared errors.
    pub(super) losses: Vec<f32>,
    /// The class that each is taken for; empty where labels are no classes.
    pub(super) taken_for: Vec<u32>,
    residuals: Residuals,
}

/// The derivative of each one's loss by its logits, `[N, C]`.
#[derive(Debug)]
enum Residuals {
    Known(Vec<f32>),
    /// To be computed when they are asked for.
    Of(LastLayer),
}

/// The last layer's mean gradient over a set.
#[derive(Debug)]
pub(super) struct Gradient {
    weights: Tensor, // f32 [C, D]
    biases: Tensor,  // f32 [C]
    on_cpu: GradientOnCpu,
}

/// The numbers of a tensor on the CPU, row by row.
fn floats_of(tensor: &Tensor) -> Result<Cow<'_, [f32]>> {
    if tensor.f_kind()? == Kind::Float && tensor.is_contiguous() {
        return Ok(Cow::Borrowed(cpu::floats(tensor)?));
    }
    Ok(Cow::Owned(Vec::try_from(tensor.f_detach()?.f_to_kind(Kind::Float)?.f_reshape([-1])?)?))
}

impl Look {
    /// By libtorch's operators, wherever the tensors are.
    pub(super) fn at(seen: &LastLayer) -> Result<Self> {
        let loss = Loss::of_labels(&seen.labels);
        let losses = Vec::try_from(loss.each(&seen.logits, &seen.labels)?.f_to_device(Device::Cpu)?)?;
        let taken_for = if seen.labels.kind() == Kind::Int64 {
            let highest = seen.logits.f_argmax(-1, false)?.f_to_device(Device::Cpu)?;
            Vec::<i64>::try_from(highest)?.into_iter().map(|class| class as u32).collect()
        } else {
            Vec::new()
        };
        let LastLayer { features, logits, labels } = seen;
        let seen = LastLayer {
            features: features.shallow_clone(),
            logits: logits.shallow_clone(),
            labels: labels.shallow_clone(),
        };
        Ok(Self { losses, taken_for, residuals: Residuals::Of(seen) })
    }

    /// At samples of the classes `labels`, each below C, on the CPU: `logits`, `[N, C]`. One pass, as an operator of libtorch
    /// takes longer than a batch of numbers.
    pub(super) fn on_cpu(logits: &Tensor, labels: &[u32]) -> Result<Self> {
        let mut residuals = floats_of(logits)?.into_owned();
        let (mut losses, mut taken_for) = (vec![0.0; labels.len()], vec![0; labels.len()]);
        look_at_rows(&mut residuals, labels, &mut losses, &mut taken_for);
        Ok(Self { losses, taken_for, residuals: Residuals::Known(residuals) })
    }

    /// The mean gradient of samples with these `features`, `f32 [N, D]`.
    pub(super) fn gradient(&self, features: &Tensor) -> Result<Gradient> {
        let n = self.losses.len().max(1);
        let residuals = match &self.residuals {
            Residuals::Known(residuals) => {
                Tensor::f_from_slice(residuals)?.f_reshape([n as i64, -1])?.f_to_device(features.device())?
            }
            Residuals::Of(seen) => residuals_of(seen)?,
        };
        let weights = residuals.f_tr()?.f_matmul(features)?.f_div_scalar_(n as f64)?;
        let biases = residuals.f_sum_dim_intlist(0, false, Kind::Float)?.f_div_scalar_(n as f64)?;
        let numbers =
            |tensor: &Tensor| Vec::<f32>::try_from(tensor.f_reshape([-1])?.f_to_device(Device::Cpu)?);
        let on_cpu = GradientOnCpu::new(numbers(&biases)?, &numbers(&weights)?);
        Ok(Gradient { weights, biases, on_cpu })
    }

    /// The product of each one's gradient with `gradient`; `features` are `f32 [N, D]`.
    pub(super) fn gains(&self, features: &Tensor, gradient: &Gradient) -> Result<Vec<f32>> {
        match &self.residuals {
            Residuals::Known(residuals) => {
                gradient.on_cpu.gains(self.losses.len(), &floats_of(features)?, residuals)
            }
            Residuals::Of(seen) => {
                let towards = gradient.biases.f_addmm(features, &gradient.weights.f_tr()?)?; // [N, C]
                let gains = residuals_of(seen)?.f_mul(&towards)?.f_sum_dim_intlist(1, false, Kind::Float)?;
                Ok(Vec::try_from(gains.f_to_device(Device::Cpu)?)?)
            }
        }
    }
}

fn residuals_of(seen: &LastLayer) -> Result<Tensor> {
    Loss::of_labels(&seen.labels).residuals(seen, cpu::n_threads())
}

best_of_machine!(
    look_at_rows,
    look_at_rows_avx2,
    look_at_rows_with,
    (rows: &mut [f32], labels: &[u32], losses: &mut [f32], taken_for: &mut [u32])
);

/// Turns logits `[N, C]` into residuals.
#[inline(always)]
fn look_at_rows_with<const FUSED: bool>(
    rows: &mut [f32],
    labels: &[u32],
    losses: &mut [f32],
    taken_for: &mut [u32],
) {
    let n_classes = (rows.len() / labels.len().max(1)).max(1);
    let of_each = losses.iter_mut().zip(taken_for).zip(labels);
    for (row, ((loss, taken_for), &label)) in rows.chunks_exact_mut(n_classes).zip(of_each) {
        let (mut highest, mut all) = (row[0], 0.0);
        for &logit in row.iter() {
            highest = if logit > highest { logit } else { highest };
            all += logit;
        }
        *taken_for = row.iter().position(|&logit| logit == highest).unwrap_or(0) as u32;
        let of_label = row[label as usize] - highest;
        for logit in row.iter_mut() {
            *logit = exp::<FUSED>(*logit - highest);
        }
        let mut sum = 0.0;
        for &exponential in row.iter() {
            sum += exponential;
        }
        *loss = ln::<FUSED>(sum) - of_label;
        let share = 1.0 / sum;
        for exponential in row.iter_mut() {
            *exponential *= share;
        }
        row[label as usize] -= 1.0;
        if all.is_nan() {
            row.fill(f32::NAN);
            *loss = f32::NAN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pass_on_the_cpu_sees_what_libtorch_sees() {
        tch::manual_seed(3);
        let labels = Tensor::randint(7, [300], (Kind::Int64, Device::Cpu));
        let seen = LastLayer {
            features: Tensor::randn([300, 5], (Kind::Float, Device::Cpu)),
            logits: Tensor::randn([300, 7], (Kind::Float, Device::Cpu)) * 8.0,
            labels: labels.shallow_clone(),
        };
        let classes: Vec<u32> =
            Vec::<i64>::try_from(&labels).unwrap().into_iter().map(|label| label as u32).collect();
        let (one, other) = (Look::on_cpu(&seen.logits, &classes).unwrap(), Look::at(&seen).unwrap());
        assert_eq!(one.taken_for, other.taken_for);
        for (a, b) in one.losses.iter().zip(&other.losses) {
            assert!((a - b).abs() < 1e-5 * (1.0 + b), "{a} {b}");
        }
        let gradients = [&one, &other].map(|look| look.gradient(&seen.features).unwrap());
        assert!((&gradients[0].weights - &gradients[1].weights).abs().max().double_value(&[]) < 1e-6);
        assert!((&gradients[0].biases - &gradients[1].biases).abs().max().double_value(&[]) < 1e-6);
        let gains = [&one, &other].map(|look| look.gains(&seen.features, &gradients[0]).unwrap());
        for (a, b) in gains[0].iter().zip(&gains[1]) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}
