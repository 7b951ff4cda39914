//! Random crops with padding and random flips, drawn for a whole batch and applied in the one pass that gathers it.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::data::{Examples, Normalization};
use crate::error::{Error, Result};
use crate::ops;

/// How training images are varied; validation and test images never are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Pixels of black that an image is padded with on each side before a crop of its own size is taken somewhere in it; 0
    /// leaves it where it is.
    pub crop_padding: i64,
    /// Whether half of the images are mirrored, left to right.
    pub flip: bool,
}

impl Augment {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// What is usual for CIFAR: a crop out of four pixels of padding, and flips.
    pub fn crop_and_flip() -> Self {
        Self { crop_padding: 4, flip: true }
    }

    /// Whether it leaves images as they are.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    pub(super) fn check(self) -> Result<()> {
        if (0..=MAX_PADDING).contains(&self.crop_padding) {
            return Ok(());
        }
        Err(Error::argument("crop_padding", format!("0 to {MAX_PADDING} pixels"), self.crop_padding))
    }

    /// The batch of `examples` at `indices` (`i64 [B]` on their device), varied and normalised: `f32 [B, C, H, W]`, or rows
    /// of a table `f32 [B, F]`, which are never varied. `seed` and `step` decide every draw.
    pub(super) fn batch(
        self,
        examples: &Examples,
        indices: &Tensor,
        normalization: &Normalization,
        seed: u64,
        step: u64,
    ) -> Result<Tensor> {
        if examples.inputs.dim() != 4 {
            return Ok(normalization.apply(&examples.inputs.f_index_select(0, indices)?));
        }
        let shifts = (!self.is_none()).then(|| self.draw(indices.size()[0], seed, step));
        let (mean, inverse) = (normalization.mean(), normalization.inverse());
        Ok(ops::gather_images(&examples.inputs, indices, shifts.as_ref(), mean, inverse)?)
    }

    /// Where each image of a batch is cropped and whether it is flipped: `i64 [B, 3]` of y, x and 0 or 1, on the CPU; a crop
    /// that changes nothing is at (0, 0).
    fn draw(self, n: i64, seed: u64, step: u64) -> Tensor {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // The loader's streams count epochs from 0 up; these lie in the upper half.
        rng.set_stream(1 << 63 | step);
        let padding = self.crop_padding;
        let values: Vec<i64> = (0..n)
            .flat_map(|_| {
                let [y, x] = [(); 2].map(|()| rng.gen_range(-padding..=padding));
                [y, x, i64::from(self.flip && rng.gen_bool(0.5))]
            })
            .collect();
        Tensor::from_slice(&values).view([n, 3])
    }
}

const MAX_PADDING: i64 = 64;
