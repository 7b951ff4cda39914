//! LeNet-5 with ReLU and maximum pooling (LeCun et al., Proc. IEEE 86(11), 1998), the small network of the GLISTER paper.

use tch::{Tensor, nn};

use super::{Architecture, Model, check_image_classes, check_shape};
use crate::data::{InputShape, Splits, Task};
use crate::error::Result;
use crate::ops;

/// LeNet-5: 6 and 16 maps of 5 × 5 kernels, then layers of 120 and 84, D = 84 features. Images below 32 × 32 are padded to
/// that size, as the original padded MNIST's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeNet {
    input: InputShape,
    task: Task,
}

/// The side that the original pads to.
const SIDE: i64 = 32;

impl LeNet {
    /// Sized for the images and classes of `data`.
    pub fn for_data(data: &Splits) -> Self {
        Self::for_shape(data.input_shape(), data.task())
    }

    /// Sized for inputs of a shape and for a task.
    pub(super) fn for_shape(input: InputShape, task: Task) -> Self {
        Self { input, task }
    }
}

/// What an image side of `height` and `width` is padded by on each side: on the shorter axis, and the longer one with it.
fn padding(height: i64, width: i64) -> i64 {
    (SIDE - height.min(width).min(SIDE) + 1) / 2
}

/// How many values of a padded axis of `size` are left behind both convolutions and poolings.
fn left_of(size: i64) -> i64 {
    ((size - 4) / 2 - 4) / 2
}

/// How many values both convolutions and poolings leave of an image.
pub(super) fn n_flattened(input: InputShape) -> i64 {
    // Of a table nothing can be made: `check` says so.
    let [_, height, width] = input.image().unwrap_or([1, SIDE, SIDE]);
    let padding = padding(height, width);
    16 * left_of(height + 2 * padding) * left_of(width + 2 * padding)
}

impl Architecture for LeNet {
    fn name(&self) -> &str {
        "lenet"
    }

    fn check(&self, data: &Splits) -> Result<()> {
        check_image_classes("a LeNet", data)?;
        check_shape("LeNet", (self.input, self.task), data)
    }

    fn build(&self, path: &nn::Path<'_>) -> Box<dyn Model> {
        // Of a table nothing can be made: `check` says so.
        let [channels, height, width] = self.input.image().unwrap_or([1, SIDE, SIDE]);
        let padding = padding(height, width);
        let n_values = n_flattened(self.input);
        let n_outputs = self.task.n_outputs() as i64;
        Box::new(Network {
            conv1: nn::conv2d(path / "conv1", channels, 6, 5, Default::default()),
            conv2: nn::conv2d(path / "conv2", 6, 16, 5, Default::default()),
            fc1: nn::linear(path / "fc1", n_values, 120, Default::default()),
            fc2: nn::linear(path / "fc2", 120, 84, Default::default()),
            fc3: nn::linear(path / "fc3", 84, n_outputs, Default::default()),
            padding,
        })
    }
}

struct Network {
    conv1: nn::Conv2D,
    conv2: nn::Conv2D,
    fc1: nn::Linear,
    fc2: nn::Linear,
    fc3: nn::Linear,
    padding: i64,
}

/// relu(conv(maps)), pooled; `conv` was made with its bias.
fn conv_relu_pool(conv: &nn::Conv2D, maps: &Tensor, padding: i64) -> Tensor {
    match &conv.bs {
        Some(bias) => ops::conv_relu_pool(maps, &conv.ws, bias, padding),
        None => maps.apply(conv).relu().max_pool2d_default(2),
    }
}

impl Model for Network {
    fn features(&self, images: &Tensor, _train: bool) -> Tensor {
        let maps = conv_relu_pool(&self.conv1, images, self.padding);
        let maps = conv_relu_pool(&self.conv2, &maps, 0);
        maps.flatten(1, -1).apply(&self.fc1).relu_().apply(&self.fc2).relu_() // [N, 84]
    }

    fn logits(&self, features: &Tensor) -> Tensor {
        features.apply(&self.fc3)
    }
}
