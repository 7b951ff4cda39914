//! Logistic regression: one linear layer on the standardised inputs, which are its features.

use tch::{Tensor, nn};

use super::{Architecture, Model, check_shape};
use crate::data::{InputShape, Splits, Task};
use crate::error::Result;

/// Multinomial logistic regression; with the targets of a regression, linear regression. D is the number of values of an
/// input. The weights begin at 0: the seed decides nothing but the order of samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogisticRegression {
    input: InputShape,
    task: Task,
}

impl LogisticRegression {
    /// Sized for the inputs and the task of `data`.
    pub fn for_data(data: &Splits) -> Self {
        Self::for_shape(data.input_shape(), data.task())
    }

    /// Sized for inputs of a shape and for a task.
    pub(super) fn for_shape(input: InputShape, task: Task) -> Self {
        Self { input, task }
    }
}

impl Architecture for LogisticRegression {
    fn name(&self) -> &str {
        "logistic-regression"
    }

    fn check(&self, data: &Splits) -> Result<()> {
        check_shape("LogisticRegression", (self.input, self.task), data)
    }

    fn build(&self, path: &nn::Path<'_>) -> Box<dyn Model> {
        let zeros = nn::LinearConfig {
            ws_init: nn::Init::Const(0.0),
            bs_init: Some(nn::Init::Const(0.0)),
            bias: true,
        };
        let n_outputs = self.task.n_outputs() as i64;
        Box::new(Network { last: nn::linear(path / "last", self.input.n_values(), n_outputs, zeros) })
    }
}

struct Network {
    last: nn::Linear,
}

impl Model for Network {
    fn features(&self, inputs: &Tensor, _train: bool) -> Tensor {
        inputs.flatten(1, -1) // [N, F]
    }

    fn logits(&self, features: &Tensor) -> Tensor {
        features.apply(&self.last)
    }
}
