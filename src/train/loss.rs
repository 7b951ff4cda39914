//! What a training step minimises, and how its predictions are scored.

use tch::{Kind, Reduction, Tensor};

use crate::data::Task;
use crate::error::{Error, Result};

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
