//! From stored bytes to what a network takes in.

use tch::{Kind, Tensor};

use super::Examples;

/// Mean and standard deviation of each channel of a training set, by which all images are normalised.
#[derive(Debug)]
pub struct Normalization {
    mean: Tensor,    // f32 [1, C, 1, 1], in units of a byte
    inverse: Tensor, // f32 [1, C, 1, 1], 1 / standard deviation
}

impl Clone for Normalization {
    fn clone(&self) -> Self {
        Self { mean: self.mean.shallow_clone(), inverse: self.inverse.shallow_clone() }
    }
}

impl Normalization {
    /// Measures `examples`. A channel that is the same everywhere is only centred.
    pub fn of(examples: &Examples) -> Self {
        let channels = examples.images.size()[1];
        // Counted byte value by byte value: exact in f64, and without a float copy of all images.
        let moments: Vec<(f64, f64)> = (0..channels)
            .map(|channel| {
                let values = examples.images.select(1, channel).flatten(0, -1);
                let counts = values.bincount::<&Tensor>(None, 256).to_kind(Kind::Double); // [256]
                let levels = Tensor::arange(256, (Kind::Double, counts.device()));
                let n = counts.sum(Kind::Double).double_value(&[]).max(1.0);
                let mean = (&counts * &levels).sum(Kind::Double).double_value(&[]) / n;
                let variance = (&counts * (levels - mean).square()).sum(Kind::Double).double_value(&[]) / n;
                (mean, variance.sqrt())
            })
            .collect();
        let row = |values: Vec<f64>| {
            Tensor::from_slice(&values)
                .to_kind(Kind::Float)
                .view([1, channels, 1, 1])
                .to_device(examples.images.device())
        };
        Self {
            mean: row(moments.iter().map(|&(mean, _)| mean).collect()),
            inverse: row(moments.iter().map(|&(_, std)| if std > 0.0 { 1.0 / std } else { 1.0 }).collect()),
        }
    }

    /// `u8 [N, C, H, W]` to `f32 [N, C, H, W]` of mean 0 and deviation 1 over the training set.
    pub fn apply(&self, images: &Tensor) -> Tensor {
        let mut images = images.to_kind(Kind::Float);
        images -= &self.mean;
        images *= &self.inverse;
        images
    }
}
