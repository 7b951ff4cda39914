//! What a training step minimises, and how its predictions are scored.

use tch::{Kind, Reduction, Tensor};

use crate::data::Task;
use crate::error::{Error, Result};
use crate::select;

/// The loss of a batch, by the kind of its labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Loss {
    /// Cross-entropy in nats against (1 − s)·onehot + s/C, where s is the smoothing (Szegedy et al., CVPR 2016).
    CrossEntropy { label_smoothing: f64 },
    /// (z − y)², half of whose gradient is the residual.
    SquaredError,
}

impl Loss {
    /// The loss that `task` is trained on.
    ///
    /// # Errors
    /// [`Error::Argument`] for a smoothing outside [0, 1), or one above 0 where there are no classes.
    pub(super) fn of(task: Task, label_smoothing: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&label_smoothing) {
            let expected = "a number from 0 up to, not including, 1";
            return Err(Error::argument("label_smoothing", expected, label_smoothing));
        }
        match task {
            Task::Classification { .. } => Ok(Self::CrossEntropy { label_smoothing }),
            Task::Regression if label_smoothing == 0.0 => Ok(Self::SquaredError),
            Task::Regression => Err(Error::argument(
                "label_smoothing",
                "0 for a regression, which has no classes",
                label_smoothing,
            )),
        }
    }

    /// The mean over a batch: outputs `[N, C]` of any floating dtype against classes `i64 [N]`, or `[N, 1]` against targets
    /// `f32 [N]`. Computed in fp32; a scalar.
    pub(super) fn mean(self, outputs: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let outputs = outputs.f_to_kind(Kind::Float)?;
        match self {
            Self::CrossEntropy { label_smoothing } => Ok(outputs.f_cross_entropy_loss::<&Tensor>(
                labels,
                None,
                Reduction::Mean,
                -100,
                label_smoothing,
            )?),
            Self::SquaredError => Ok(outputs.f_squeeze_dim(-1)?.f_mse_loss(labels, Reduction::Mean)?),
        }
    }

    /// The loss of each sample of a batch, `f32 [N]`, as [`Loss::mean`] takes the mean of.
    pub(super) fn each(self, outputs: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let of_selection = match self {
            Self::CrossEntropy { label_smoothing } => select::Loss::CrossEntropy { label_smoothing },
            Self::SquaredError => select::Loss::SquaredError,
        };
        of_selection.each(outputs, labels)
    }

    /// The same without smoothing, as metrics state it.
    pub(super) fn plain(self) -> Self {
        match self {
            Self::CrossEntropy { .. } => Self::CrossEntropy { label_smoothing: 0.0 },
            Self::SquaredError => Self::SquaredError,
        }
    }

    /// How many of the outputs have their highest value at the label, `i64` scalar; `None` where labels are not classes.
    pub(super) fn n_correct(self, outputs: &Tensor, labels: &Tensor) -> Option<Tensor> {
        match self {
            Self::CrossEntropy { .. } => Some(outputs.argmax(-1, false).eq_tensor(labels).sum(Kind::Int64)),
            Self::SquaredError => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_pytorchs() {
        // torch.nn.functional.cross_entropy(z, y, label_smoothing=s) for s = 0 and 0.1; mse_loss([1, 2], [0, 4]).
        let z = Tensor::from_slice2(&[[1.0_f32, 2.0, 0.5], [0.0, -1.0, 3.0]]);
        let y = Tensor::from_slice(&[1_i64, 0]);
        let classes = Task::Classification { n_classes: 3 };
        for (smoothing, expected) in [(0.0, 1.765_126_347_541_809), (0.1, 1.773_459_672_927_856_4)] {
            let loss = Loss::of(classes, smoothing).unwrap();
            assert!((loss.mean(&z, &y).unwrap().double_value(&[]) - expected).abs() < 1e-6);
            assert_eq!(loss.n_correct(&z, &y).unwrap().int64_value(&[]), 1);
        }
        let loss = Loss::of(Task::Regression, 0.0).unwrap();
        let predictions = Tensor::from_slice2(&[[1.0_f32], [2.0]]);
        assert_eq!(
            loss.mean(&predictions, &Tensor::from_slice(&[0.0_f32, 4.0])).unwrap().double_value(&[]),
            2.5
        );
        assert!(loss.n_correct(&predictions, &y).is_none());
    }

    #[test]
    fn smoothing_must_be_a_share_and_needs_classes() {
        let classes = Task::Classification { n_classes: 3 };
        for (task, smoothing) in
            [(classes, 1.0), (classes, -0.1), (classes, f64::NAN), (Task::Regression, 0.1)]
        {
            let message = Loss::of(task, smoothing).unwrap_err().to_string();
            assert!(message.starts_with("label_smoothing: expected"), "{message}");
        }
    }
}
