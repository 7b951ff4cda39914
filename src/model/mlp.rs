//! A multi-layer perceptron, for rows of a table (and for images, whose pixels it takes as a row).

use tch::{Tensor, nn};

use super::{Architecture, Model, check_shape};
use crate::data::{InputShape, Splits, Task};
use crate::error::{Error, Result};

/// Hidden layers with ReLU, 128 and 64 wide if not set otherwise, then one linear layer: D is the last hidden width. It gives
/// C logits for C classes, or one prediction for a regression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mlp {
    input: InputShape,
    task: Task,
    hidden: Vec<i64>,
}

impl Mlp {
    /// Sized for the inputs and the task of `data`.
    pub fn for_data(data: &Splits) -> Self {
        Self::for_shape(data.input_shape(), data.task())
    }

    /// Sized for inputs of a shape and for a task.
    pub(super) fn for_shape(input: InputShape, task: Task) -> Self {
        Self { input, task, hidden: vec![128, 64] }
    }

    /// Sets the widths of the hidden layers, from the input on; there must be at least one.
    #[must_use]
    pub fn hidden(mut self, widths: &[i64]) -> Self {
        self.hidden = widths.to_vec();
        self
    }
}

impl Mlp {
    /// Whether the hidden layers can be made.
    pub(super) fn check_widths(&self) -> Result<()> {
        const WIDEST: i64 = 1 << 20;
        if self.hidden.is_empty() || self.hidden.iter().any(|width| !(1..=WIDEST).contains(width)) {
            let expected = format!("one width or more, each from 1 to {WIDEST}");
            return Err(Error::argument("hidden", expected, format!("{:?}", self.hidden)));
        }
        Ok(())
    }
}

impl Architecture for Mlp {
    fn name(&self) -> &str {
        "mlp"
    }

    fn settings(&self) -> String {
        format!("{:?}", self.hidden)
    }

    fn check(&self, data: &Splits) -> Result<()> {
        self.check_widths()?;
        check_shape("Mlp", (self.input, self.task), data)
    }

    fn build(&self, path: &nn::Path<'_>) -> Box<dyn Model> {
        let mut width = self.input.n_values();
        let mut hidden = Vec::new();
        for (number, &next) in self.hidden.iter().enumerate() {
            let name = format!("hidden{}", number + 1);
            hidden.push(nn::linear(path / name, width, next, Default::default()));
            width = next;
        }
        let last = nn::linear(path / "last", width, self.task.n_outputs() as i64, Default::default());
        Box::new(Network { hidden, last })
    }
}

struct Network {
    hidden: Vec<nn::Linear>,
    last: nn::Linear,
}

impl Model for Network {
    fn features(&self, inputs: &Tensor, _train: bool) -> Tensor {
        let mut values = inputs.flatten(1, -1); // [N, F]
        for layer in &self.hidden {
            values = values.apply(layer).relu();
        }
        values // [N, D]
    }

    fn logits(&self, features: &Tensor) -> Tensor {
        features.apply(&self.last)
    }
}
