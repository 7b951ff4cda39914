//! The hardest samples of a batch, by their losses: airbench96 (K. Jordan's cifar10-airbench, 2024) trains on the half of each
//! batch that has the highest.

use tch::Tensor;

use super::Selection;
use super::chooser::Chooser;
use super::loader::Loader;
use crate::data::Normalization;
use crate::error::Result;
use crate::model::Model;

/// The hardest half of each batch of a random subset twice the size, or of all of the data where that is less.
pub(super) struct HardestHalf;

impl Chooser for HardestHalf {
    /// The candidates; the loader keeps the hardest of each batch.
    fn choose(&self, loader: &mut Loader, _: &dyn Model, _: &Normalization) -> Result<Option<Selection>> {
        let n = loader.train.len() as i64;
        let candidates = loader.random(loader.n_epochs_begun, n, (2 * loader.budget()).min(n));
        Ok(Some(Selection::drawn(candidates)))
    }

    fn is_shuffled(&self) -> bool {
        true
    }

    fn chooses_within_batches(&self) -> bool {
        true
    }
}

/// The places of the min(k, m) highest of `losses`, `f32 [m]`, the highest first, as `i64` on the same device. Of equal ones the first
/// come first; a loss that is not a number counts as the highest.
pub(super) fn hardest(losses: &Tensor, k: i64) -> Tensor {
    // libtorch counts NaN above all numbers, and a stable sort keeps equals in their order, which `topk` does not promise.
    let (_, places) = losses.detach().sort_stable(true, 0, true);
    places.narrow(0, 0, k.clamp(0, losses.numel() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(losses: &[f32], k: i64) -> Vec<i64> {
        hardest(&Tensor::from_slice(losses), k).try_into().unwrap()
    }

    #[test]
    fn ties_go_to_the_lower_index_and_nan_is_hardest() {
        let losses = [0.5, 2.0, f32::NAN, 2.0, -0.0, f32::INFINITY, 0.0, -f32::NAN, f32::NEG_INFINITY];
        assert_eq!(places(&losses, 9), [2, 7, 5, 1, 3, 0, 4, 6, 8]);
        assert_eq!(places(&losses, 4), [2, 7, 5, 1]);
        assert_eq!(places(&losses, 0), [0_i64; 0]);
        assert_eq!(places(&losses, 20).len(), 9);
        assert!(places(&[], 3).is_empty());
    }

    /// Against the standard library's stable sort, with many equals.
    #[test]
    fn it_is_a_stable_sort() {
        for n in [1_usize, 16, 17, 128, 1000, 40_000] {
            let losses: Vec<f32> = (0..n).map(|i| (i * 7919 % 31) as f32 / 8.0).collect();
            let mut expected: Vec<i64> = (0..n as i64).collect();
            expected.sort_by(|&a, &b| losses[b as usize].total_cmp(&losses[a as usize]));
            for k in [1, n / 2, n] {
                assert_eq!(places(&losses, k as i64), expected[..k]);
            }
        }
    }
}
