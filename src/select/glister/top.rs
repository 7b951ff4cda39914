//! The highest gains, ties broken by the lower index: libtorch's own `topk` promises no order among equals.
//!
//! A gain and an index become one integer key, no two alike, that orders as they should: the gain's bits made to order as
//! integers, above the index. Of such keys any top-k gives the one right answer.

use tch::{Device, Kind, Tensor};

/// Hands out the best units, each once.
pub(super) enum Top {
    /// On the CPU: selection in linear time, and only what is taken is sorted.
    Cpu { is_taken: Vec<bool>, gains: Vec<f32>, keys: Vec<u64> },
    /// On any device: one `topk` of the keys, nothing leaves the device.
    Device { is_taken: Tensor },
}

impl Top {
    pub(super) fn new(n: i64, device: Device) -> Self {
        if device == Device::Cpu { Self::on_cpu(n) } else { Self::on_device(n, device) }
    }

    pub(super) fn on_cpu(n: i64) -> Self {
        let n = n as usize;
        Self::Cpu { is_taken: vec![false; n], gains: vec![0.0; n], keys: Vec::with_capacity(n) }
    }

    pub(super) fn on_device(n: i64, device: Device) -> Self {
        Self::Device { is_taken: Tensor::zeros([n], (Kind::Bool, device)) }
    }

    /// Takes the `share` best by `gains` (`f32 [n]`) of those not yet taken, best first: units `i64 [share]`, gains
    /// `f32 [share]`. There must be as many left.
    pub(super) fn take(&mut self, of: &Tensor, share: i64) -> (Tensor, Tensor) {
        match self {
            Self::Cpu { is_taken, gains, keys } => {
                of.copy_data(gains, is_taken.len());
                keys.clear();
                let left = gains.iter().zip(is_taken.iter()).enumerate().filter(|(_, (_, taken))| !**taken);
                keys.extend(left.map(|(index, (&gain, _))| key(gain, index as u32)));
                let share = share as usize;
                drop_hopeless(keys, share);
                if share < keys.len() {
                    keys.select_nth_unstable(share - 1);
                }
                let best = &mut keys[..share];
                best.sort_unstable();
                let units: Vec<i64> = best.iter().map(|key| i64::from(*key as u32)).collect();
                for &unit in &units {
                    is_taken[unit as usize] = true;
                }
                let gains: Vec<f32> = units.iter().map(|&unit| gains[unit as usize]).collect();
                (Tensor::from_slice(&units), Tensor::from_slice(&gains))
            }
            Self::Device { is_taken } => {
                let n = of.size()[0];
                let all = Tensor::arange(n, (Kind::Int64, of.device()));
                let keys = device_keys(of, &all, n).masked_fill(is_taken, i64::MIN);
                let (_, best) = keys.topk(share, 0, true, true);
                let _ = is_taken.index_fill_(0, &best, 1);
                (best.shallow_clone(), of.index_select(0, &best))
            }
        }
    }
}

/// Drops most of what is not among the `share` least keys, in one pass: everything above a bound that a sample of the keys
/// suggests, if enough is left below it.
fn drop_hopeless(keys: &mut Vec<u64>, share: usize) {
    const EVERY: usize = 32;
    let n = keys.len();
    if n < 64 * EVERY || share > n / 4 {
        return;
    }
    let mut sample: Vec<u64> = keys.iter().step_by(EVERY).copied().collect();
    // Twice the share, and some more for small shares: a bound that is too low is rare.
    let at = (2 * share / EVERY + 8).min(sample.len() - 1);
    let bound = *sample.select_nth_unstable(at).1;
    if keys.iter().filter(|key| **key <= bound).count() >= share {
        keys.retain(|key| *key <= bound);
    }
}

/// Orders as descending gain, then ascending index.
pub(super) fn key(gain: f32, index: u32) -> u64 {
    // +0 makes one zero of two.
    let bits = (gain + 0.0).to_bits();
    let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(!ascending) << 32 | u64::from(index)
}

/// Keys of which the highest belongs to the highest gain, of equal gains to the lowest of `units` (`i64`, each below `n`).
/// Gains `f32 [m]` to keys `i64 [m]`.
pub(super) fn device_keys(gains: &Tensor, units: &Tensor, n: i64) -> Tensor {
    let bits = (gains + 0.0).view_dtype(Kind::Int).to_kind(Kind::Int64);
    // The bits of floats order as integers, but those of negative ones the wrong way round.
    let mirrored = -&bits + (i64::from(i32::MIN) - 1);
    let ascending = bits.where_self(&bits.ge(0), &mirrored);
    ascending * (1_i64 << 32) + (-units + (n - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_best_is_dropped() {
        // Pseudo-random, and the worst case: a sample that sees the best alone, and so suggests a bound that is too low.
        let random: Vec<u64> = (0..5000_u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        let hidden: Vec<u64> = (0..5000_u64).map(|i| if i % 32 == 0 { i } else { i + 10_000 }).collect();
        for keys in [random, hidden] {
            for share in [1, 2, 100, 1000, 1250, 4000] {
                let (mut all, mut few) = (keys.clone(), keys.clone());
                drop_hopeless(&mut few, share);
                all.sort_unstable();
                few.sort_unstable();
                assert_eq!(all[..share], few[..share]);
            }
        }
    }

    /// Against a stable sort of the gains, which keeps equals in the order of their indices.
    #[test]
    fn ties_go_to_the_lower_index_on_both_paths() {
        let values = [0.5_f32, -0.0, 0.0, 0.5, -1.5, 3.0, -1.5, 1e-40, -1e-40, 0.5, f32::MAX, -f32::MAX];
        let gains: Vec<f32> = (0..500).map(|i| values[(i * 7 + i / 5) % values.len()]).collect();
        let mut expected: Vec<i64> = (0..500).collect();
        expected.sort_by(|&a, &b| gains[b as usize].partial_cmp(&gains[a as usize]).unwrap());
        let of = Tensor::from_slice(&gains);
        for mut top in [Top::on_cpu(500), Top::on_device(500, Device::Cpu)] {
            let mut taken = Vec::new();
            for share in [1, 7, 100, 250, 142] {
                let (units, gains_taken) = top.take(&of, share);
                let units = Vec::<i64>::try_from(units).unwrap();
                let of_units: Vec<f32> = units.iter().map(|&unit| gains[unit as usize]).collect();
                assert_eq!(Vec::<f32>::try_from(gains_taken).unwrap(), of_units);
                taken.extend(units);
            }
            assert_eq!(taken, expected);
        }
    }
}
