//! ResNet-18 for small images (He et al., CVPR 2016, in the variant that is usual for CIFAR).

use tch::{Kind, Tensor, nn};

use super::{Architecture, Model, check_image_classes, check_shape};
use crate::data::{InputShape, Splits, Task};
use crate::error::Result;
use crate::ops;

/// ResNet-18 with a stem of one 3 × 3 convolution and no pooling behind it: four stages of two basic blocks, 64, 128, 256 and
/// 512 channels wide, then the mean over all places: D = 512 features. 11.2 million parameters for ten classes, initialised
/// as torchvision's (He et al., ICCV 2015, fan-out).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNet18 {
    input: InputShape,
    task: Task,
}

/// Channels of each stage; all but the first halve height and width.
const STAGES: [i64; 4] = [64, 128, 256, 512];

impl ResNet18 {
    /// Sized for the images and classes of `data`.
    pub fn for_data(data: &Splits) -> Self {
        Self::for_shape(data.input_shape(), data.task())
    }

    /// Sized for inputs of a shape and for a task.
    pub(super) fn for_shape(input: InputShape, task: Task) -> Self {
        Self { input, task }
    }
}

impl Architecture for ResNet18 {
    fn name(&self) -> &str {
        "resnet18"
    }

    fn check(&self, data: &Splits) -> Result<()> {
        check_image_classes("a ResNet-18", data)?;
        check_shape("ResNet18", (self.input, self.task), data)
    }

    fn build(&self, path: &nn::Path<'_>) -> Box<dyn Model> {
        // Of anything but images nothing can be made: `check` says so.
        let channels = self.input.image().map_or(1, |[channels, ..]| channels);
        let stem = ConvNorm::new(&(path / "stem"), channels, STAGES[0], 3, 1);
        let mut blocks = Vec::new();
        let mut before = STAGES[0];
        for (stage, width) in STAGES.into_iter().enumerate() {
            for block in 0..2 {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let path = path / format!("stage{}", stage + 1) / format!("block{}", block + 1);
                blocks.push(Block::new(&path, before, width, stride));
                before = width;
            }
        }
        let n_outputs = self.task.n_outputs() as i64;
        let last = nn::linear(path / "last", before, n_outputs, Default::default());
        Box::new(Network { stem, blocks, last })
    }
}

/// A convolution without bias, and batch normalisation.
struct ConvNorm {
    weight: Tensor, // [K, C, side, side]
    stride: i64,
    norm: ops::BatchNorm,
}

impl ConvNorm {
    fn new(path: &nn::Path<'_>, from: i64, to: i64, side: i64, stride: i64) -> Self {
        use nn::init::{FanInOut, NonLinearity, NormalOrUniform};
        let he = nn::Init::Kaiming {
            dist: NormalOrUniform::Normal,
            fan: FanInOut::FanOut,
            non_linearity: NonLinearity::ReLU,
        };
        Self {
            weight: path.var("weight", &[to, from, side, side], he),
            stride,
            norm: ops::BatchNorm::new(&(path / "norm"), to),
        }
    }

    fn convolve(&self, inputs: &Tensor) -> Tensor {
        let padding = (self.weight.size()[2] - 1) / 2;
        ops::conv2d(inputs, &self.weight, self.stride, padding)
    }

    /// relu(norm(conv(inputs))).
    fn relu(&self, inputs: &Tensor, train: bool) -> Tensor {
        self.norm.relu(&self.convolve(inputs), train)
    }
}

/// The basic block: two 3 × 3 convolutions beside a shortcut, which is a 1 × 1 convolution where the shape changes.
struct Block {
    first: ConvNorm,
    second: ConvNorm,
    shortcut: Option<ConvNorm>,
}

impl Block {
    fn new(path: &nn::Path<'_>, from: i64, to: i64, stride: i64) -> Self {
        let shortcut =
            (stride != 1 || from != to).then(|| ConvNorm::new(&(path / "shortcut"), from, to, 1, stride));
        Self {
            first: ConvNorm::new(&(path / "first"), from, to, 3, stride),
            second: ConvNorm::new(&(path / "second"), to, to, 3, 1),
            shortcut,
        }
    }

    fn forward(&self, inputs: &Tensor, train: bool) -> Tensor {
        let inner = self.second.convolve(&self.first.relu(inputs, train));
        match &self.shortcut {
            Some(shortcut) => {
                let beside = shortcut.norm.plain(&shortcut.convolve(inputs), train);
                self.second.norm.add_relu(&inner, &beside, train)
            }
            None => self.second.norm.add_relu(&inner, inputs, train),
        }
    }
}

struct Network {
    stem: ConvNorm,
    blocks: Vec<Block>,
    last: nn::Linear,
}

impl Model for Network {
    fn features(&self, images: &Tensor, train: bool) -> Tensor {
        let mut maps = self.stem.relu(&ops::channels_last(images), train);
        for block in &self.blocks {
            maps = block.forward(&maps, train);
        }
        maps.mean_dim(&[2, 3][..], false, Kind::Float) // [N, 512]
    }

    fn logits(&self, features: &Tensor) -> Tensor {
        features.apply(&self.last)
    }
}
