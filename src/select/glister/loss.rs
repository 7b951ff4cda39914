//! The losses whose gradients the selection knows: targets, and residuals as the derivative by the logits.

use tch::{Device, Kind, Reduction, Tensor};

use super::{LastLayer, cpu};
use crate::error::{Error, Result};

/// The loss of one sample by its logits z.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// −Σ_c t_c ln softmax(z)_c with t = (1 − α)·onehot(y) + α/C: residual softmax(z) − t. Validation samples are judged by the
    /// same smoothed targets.
    CrossEntropy {
        /// α: the share of a target that is spread over all classes, in [0, 1).
        label_smoothing: f64,
    },
    /// Σ_c (z_c − y_c)²: residual 2(z − y).
    SquaredError,
}

impl Default for Loss {
    /// Cross-entropy without label smoothing.
    fn default() -> Self {
        Self::CrossEntropy { label_smoothing: 0.0 }
    }
}

impl Loss {
    /// The plain loss of samples with these labels: cross-entropy for classes, the squared error for targets.
    pub(in crate::select) fn of_labels(labels: &Tensor) -> Self {
        if labels.kind() == tch::Kind::Int64 { Self::default() } else { Self::SquaredError }
    }

    pub(super) fn check(&self) -> Result<()> {
        match *self {
            Self::CrossEntropy { label_smoothing } if !(0.0..1.0).contains(&label_smoothing) => {
                Err(Error::argument("label_smoothing", "a number from 0 to below 1", label_smoothing))
            }
            Self::CrossEntropy { .. } | Self::SquaredError => Ok(()),
        }
    }

    /// The loss of each sample, `f32 [N]`: logits `[N, C]` of any floating dtype against classes `i64 [N]`, or outputs `[N, …]`
    /// against targets of as many numbers.
    pub(crate) fn each(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let logits = logits.f_to_kind(Kind::Float)?;
        match *self {
            Self::CrossEntropy { label_smoothing } => {
                let reduction = Reduction::None;
                Ok(logits.f_cross_entropy_loss::<&Tensor>(labels, None, reduction, -100, label_smoothing)?)
            }
            Self::SquaredError => {
                // Of the targets' shape first: broadcasting would take outputs of another width for theirs.
                let rows = [labels.size()[0], -1];
                let outputs = logits.f_reshape(labels.size())?.f_reshape(rows)?;
                let of_outputs = outputs.f_mse_loss(&labels.f_reshape(rows)?, Reduction::None)?;
                Ok(of_outputs.f_sum_dim_intlist(1, false, Kind::Float)?)
            }
        }
    }

    /// The loss's derivative by the logits where they stand at `logits`, `f32 [N, C]`, for samples with these labels.
    pub(super) fn residuals_at(&self, logits: &Tensor, labels: &Tensor, n_threads: usize) -> Result<Tensor> {
        match *self {
            Self::CrossEntropy { label_smoothing } => {
                let on_cpu = logits.device() == Device::Cpu;
                let mut residuals =
                    if on_cpu { cpu::softmax(logits, n_threads)? } else { logits.softmax(-1, Kind::Float) };
                if label_smoothing > 0.0 {
                    residuals -= label_smoothing / logits.size()[1] as f64;
                }
                if on_cpu {
                    cpu::subtract_at(&mut residuals, labels, (1.0 - label_smoothing) as f32)?;
                } else {
                    let labels = labels.unsqueeze(1);
                    let ones = Tensor::ones(labels.size(), (Kind::Float, labels.device()));
                    let _ = residuals.scatter_add_(1, &labels, &(ones * (label_smoothing - 1.0)));
                }
                Ok(residuals)
            }
            Self::SquaredError => Ok(logits.f_sub(&labels.f_reshape(logits.size())?)?.f_mul_scalar_(2.0)?),
        }
    }

    /// The residuals r of samples, `f32 [N, C]`.
    pub(in crate::select) fn residuals(&self, samples: &LastLayer, n_threads: usize) -> Result<Tensor> {
        self.residuals_at(&samples.logits, &samples.labels, n_threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_squared_error_is_that_of_as_many_outputs_as_targets() {
        let targets = Tensor::from_slice(&[0.0_f32, 4.0]);
        let outputs = Tensor::from_slice2(&[[1.0_f32], [2.0]]);
        let losses = Vec::<f32>::try_from(Loss::SquaredError.each(&outputs, &targets).unwrap()).unwrap();
        assert_eq!(losses, [1.0, 4.0]);
        let two = Tensor::zeros([2, 2], (Kind::Float, Device::Cpu));
        assert!(Loss::SquaredError.each(&two, &targets).is_err());
        assert!(Loss::SquaredError.residuals_at(&two, &targets, 1).is_err());
    }
}
