//! The targets of a regression: learnt standardised, told on their own scale.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::data::Examples;
use crate::error::Result;
use crate::select::LastLayer;

/// Mean and standard deviation (over N) of the training targets. A network whose outputs are near 0 at first would have to
/// climb to targets of 10⁶ with steps that fit neither its weights nor theirs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TargetScale {
    /// The mean, in the target's own unit.
    pub mean: f64,
    /// The standard deviation, in the same; 1 for targets that are all the same, which are only centred.
    pub std: f64,
}

impl TargetScale {
    /// Targets as they are.
    pub(super) const IDENTITY: Self = Self { mean: 0.0, std: 1.0 };

    /// Of `targets`, `f32 [N]`.
    ///
    /// # Errors
    /// [`crate::Error::Torch`] if libtorch refuses.
    pub(super) fn of(targets: &Tensor) -> Result<Self> {
        // In f64: a sum of squares of targets of 10³⁰ is beyond f32.
        let targets = targets.f_to_kind(Kind::Double)?;
        let mean = targets.f_mean(Kind::Double)?.f_double_value(&[])?;
        let variance = (targets - mean).f_square()?.f_mean(Kind::Double)?.f_double_value(&[])?;
        Ok(Self { mean, std: if variance > 0.0 { variance.sqrt() } else { 1.0 } })
    }

    /// The examples with targets of mean 0 and deviation 1 over the training set; inputs are shared.
    pub(super) fn standardize(&self, examples: &Examples) -> Result<Examples> {
        let targets = (examples.labels.f_to_kind(Kind::Double)? - self.mean) / self.std;
        Ok(Examples { inputs: examples.inputs.shallow_clone(), labels: targets.f_to_kind(Kind::Float)? })
    }

    /// Predictions, of any shape, on the target's own scale, `f32`.
    pub(super) fn restore(&self, predictions: &Tensor) -> Result<Tensor> {
        let predictions = predictions.f_to_kind(Kind::Double)? * self.std + self.mean;
        Ok(predictions.f_to_kind(Kind::Float)?)
    }

    /// How good predictions of standardised targets are: (RMSE on the target's own scale, R²).
    ///
    /// R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)² with the mean ȳ of these targets, as scikit-learn's `r2_score` has it: where all of them
    /// are the same, 1 for predictions without an error and else 0.
    pub(super) fn score(&self, seen: &LastLayer) -> Result<(f64, f64)> {
        let targets = seen.labels.f_to_kind(Kind::Double)?;
        let sum = |values: Tensor| -> Result<f64> { Ok(values.f_sum(Kind::Double)?.f_double_value(&[])?) };
        let residual = sum((seen.logits.f_reshape([-1])?.f_to_kind(Kind::Double)? - &targets).f_square()?)?;
        let total = sum((&targets - targets.f_mean(Kind::Double)?).f_square()?)?;
        let r2 = match (residual, total) {
            (0.0, _) => 1.0,
            (_, 0.0) => 0.0,
            (residual, total) => 1.0 - residual / total,
        };
        let n = targets.size()[0].max(1) as f64;
        Ok(((residual / n).sqrt() * self.std, r2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32]) -> Tensor {
        Tensor::from_slice(values)
    }

    fn seen(targets: &[f32], predictions: &[f32]) -> LastLayer {
        let predictions = tensor(predictions).unsqueeze(1);
        LastLayer { features: predictions.shallow_clone(), logits: predictions, labels: tensor(targets) }
    }

    #[test]
    fn targets_are_standardised_and_come_back_whatever_their_scale() {
        for (values, mean, std) in [
            (&[1.0_f32, 2.0, 3.0, 6.0][..], 3.0, 3.5_f64.sqrt()),
            (&[1e6, 3e6], 2e6, 1e6),
            (&[-2e30, 2e30], 0.0, 2e30),
            (&[1e-30, 3e-30], 2e-30, 1e-30),
            (&[7.0, 7.0, 7.0], 7.0, 1.0),
            (&[5.0], 5.0, 1.0),
        ] {
            let scale = TargetScale::of(&tensor(values)).unwrap();
            assert!((scale.mean - mean).abs() <= 1e-6 * std.max(mean.abs()), "{scale:?}");
            assert!((scale.std / std - 1.0).abs() < 1e-6, "{scale:?}");
            let inputs = Tensor::zeros([values.len() as i64, 1], (Kind::Float, tch::Device::Cpu));
            let examples = Examples { inputs, labels: tensor(values) };
            let standardized = scale.standardize(&examples).unwrap().labels;
            assert!(standardized.abs().max().double_value(&[]) < 2.0, "{scale:?}");
            let back = Vec::<f32>::try_from(scale.restore(&standardized).unwrap()).unwrap();
            for (value, back) in values.iter().zip(back) {
                assert!(f64::from(value - back).abs() <= 1e-6 * (std + mean.abs()), "{value} {back}");
            }
        }
    }

    #[test]
    fn scores_are_scikit_learns() {
        // sklearn.metrics: root_mean_squared_error and r2_score of y = [3, -0.5, 2, 7], ŷ = [2.5, 0, 2, 8], in units of 10.
        let scale = TargetScale { mean: 100.0, std: 10.0 };
        let (rmse, r2) = scale.score(&seen(&[3.0, -0.5, 2.0, 7.0], &[2.5, 0.0, 2.0, 8.0])).unwrap();
        assert!((rmse - 6.123_724_356_957_945).abs() < 1e-9 && (r2 - 0.948_608_137_044_967_9).abs() < 1e-9);
        // Targets that are all the same: r2_score gives 1.0 for perfect predictions and 0.0 for others.
        assert_eq!(scale.score(&seen(&[2.0, 2.0], &[2.0, 2.0])).unwrap(), (0.0, 1.0));
        assert_eq!(scale.score(&seen(&[2.0, 2.0], &[1.0, 3.0])).unwrap(), (10.0, 0.0));
    }
}
