//! LeNet-5 with ReLU and maximum pooling (LeCun et al., Proc. IEEE 86(11), 1998), the small network of the GLISTER paper.

use tch::{Tensor, nn};

use super::{Architecture, Model};
use crate::data::{InputShape, Splits, Task};
use crate::error::{Error, Result};

/// LeNet-5: 6 and 16 maps of 5 × 5 kernels, then layers of 120 and 84, D = 84 features. Images below 32 × 32 are padded to
/// that size, as the original padded MNIST's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeNet {
    channels: i64,
    height: i64,
    width: i64,
    n_classes: i64,
}

/// The side that the original pads to.
const SIDE: i64 = 32;

impl LeNet {
    /// Sized for the images and classes of `data`.
    pub fn for_data(data: &Splits) -> Self {
        // Of a table nothing can be made: `check` says so.
        let [channels, height, width] = data.image_shape().unwrap_or_default();
        Self { channels, height, width, n_classes: data.n_classes() as i64 }
    }

    /// On each side of the shorter axis, and of the longer one with it.
    fn padding(&self) -> i64 {
        (SIDE - self.height.min(self.width).min(SIDE) + 1) / 2
    }

    /// How many values of an axis of `size` are left behind both convolutions and poolings.
    fn left_of(&self, size: i64) -> i64 {
        ((size + 2 * self.padding() - 4) / 2 - 4) / 2
    }
}

impl Architecture for LeNet {
    fn name(&self) -> &str {
        "lenet"
    }

    fn check(&self, data: &Splits) -> Result<()> {
        let (Task::Classification { .. }, InputShape::Image { channels, height, width }) =
            (data.task(), data.input_shape())
        else {
            let got = format!("{}, {}", data.task(), data.input_shape());
            return Err(Error::argument("data", "images with classes, for a LeNet", got));
        };
        if *self == Self::for_data(data) {
            return Ok(());
        }
        let expected = format!(
            "images of {} × {} × {} in {} classes, for which this LeNet was made",
            self.channels, self.height, self.width, self.n_classes
        );
        let got = format!(
            "{channels} × {height} × {width} in {} classes; LeNet::for_data(&data) fits",
            data.n_classes()
        );
        Err(Error::argument("data", expected, got))
    }

    fn build(&self, path: &nn::Path<'_>) -> Box<dyn Model> {
        let first = nn::ConvConfig { padding: self.padding(), ..Default::default() };
        let n_values = 16 * self.left_of(self.height) * self.left_of(self.width);
        Box::new(Network {
            conv1: nn::conv2d(path / "conv1", self.channels, 6, 5, first),
            conv2: nn::conv2d(path / "conv2", 6, 16, 5, Default::default()),
            fc1: nn::linear(path / "fc1", n_values, 120, Default::default()),
            fc2: nn::linear(path / "fc2", 120, 84, Default::default()),
            fc3: nn::linear(path / "fc3", 84, self.n_classes, Default::default()),
        })
    }
}

struct Network {
    conv1: nn::Conv2D,
    conv2: nn::Conv2D,
    fc1: nn::Linear,
    fc2: nn::Linear,
    fc3: nn::Linear,
}

impl Model for Network {
    fn features(&self, images: &Tensor, _train: bool) -> Tensor {
        images
            .apply(&self.conv1)
            .relu_()
            .max_pool2d_default(2)
            .apply(&self.conv2)
            .relu_()
            .max_pool2d_default(2)
            .flatten(1, -1)
            .apply(&self.fc1)
            .relu_()
            .apply(&self.fc2)
            .relu_() // [N, 84]
    }

    fn logits(&self, features: &Tensor) -> Tensor {
        features.apply(&self.fc3)
    }
}
