//! LeNet-5 with ReLU and maximum pooling (LeCun et al., Proc. IEEE 86(11), 1998), the small network of the GLISTER paper.

use tch::{Tensor, nn};

use super::{Architecture, Model};
use crate::data::Splits;

/// LeNet-5: 6 and 16 maps of 5 × 5 kernels, then layers of 120 and 84, D = 84 features. Images of 28 × 28 are padded by
/// 2 on each side, as the original padded MNIST to 32 × 32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeNet {
    channels: i64,
    side: i64,
    n_classes: i64,
}

impl LeNet {
    /// Sized for the images and classes of `data`.
    pub fn for_data(data: &Splits) -> Self {
        let [channels, height, width] = data.image_shape();
        Self { channels, side: height.min(width), n_classes: data.n_classes() as i64 }
    }

    fn padding(&self) -> i64 {
        if self.side < 32 { 2 } else { 0 }
    }
}

impl Architecture for LeNet {
    fn name(&self) -> &str {
        "lenet"
    }

    fn build(&self, path: &nn::Path<'_>) -> Box<dyn Model> {
        let first = nn::ConvConfig { padding: self.padding(), ..Default::default() };
        let after_first = (self.side + 2 * self.padding() - 4) / 2;
        let after_second = (after_first - 4) / 2;
        Box::new(Network {
            conv1: nn::conv2d(path / "conv1", self.channels, 6, 5, first),
            conv2: nn::conv2d(path / "conv2", 6, 16, 5, Default::default()),
            fc1: nn::linear(path / "fc1", 16 * after_second * after_second, 120, Default::default()),
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
