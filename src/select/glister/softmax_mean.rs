//! The mean softmax of many rows of logits that are all moved by the same amounts, without an exponential per row.
//!
//! softmax(u + b)_c = E_c w_c / Σ_k E_k w_k with E = exp(u), w = exp(b): once E is known, a move costs C exponentials and two
//! passes of multiply-adds over E. E is formed anew when b has gone so far that single precision would lose something.

use tch::{Kind, Tensor};

use crate::error::Result;

/// Rows that are worked on at once. Their E are laid out by class: what is done for one row is done for all in vectors.
const BLOCK: usize = 64;
/// Partial sums of a class, one AVX register.
const LANES: usize = 8;
/// Blocks after which the partial sums go into double precision.
const FLUSH_EVERY: usize = 8;
/// How far apart the b of two classes may drift until E is formed anew: e^20 leaves 5 × 10⁻¹⁹ of [`NEGLIGIBLE`].
const MAX_DRIFT: f64 = 20.0;
/// E below this, with the row's largest at 1, count as 0.
const NEGLIGIBLE: f64 = 1e-27;

pub(super) struct SoftmaxMean {
    /// u, `[M, C]` by rows.
    logits: Vec<f32>,
    n_rows: usize,
    n_classes: usize,
    /// E at `base`, `[blocks, C, BLOCK]`, each row divided by its largest; rows that fill the last block up are 0.
    exponentials: Vec<f32>,
    /// The move at which E was formed.
    base: Vec<f64>,
    weights: Vec<f32>,
    partial: Vec<[f32; LANES]>,
}

impl SoftmaxMean {
    /// Logits u, `f32 [M, C]` on the CPU.
    pub(super) fn new(logits: &Tensor) -> Result<Self> {
        let (n_rows, n_classes) = logits.size2()?;
        let (n_rows, n_classes) = (n_rows as usize, n_classes as usize);
        let mut rows = vec![0.0; n_rows * n_classes];
        logits.to_kind(Kind::Float).f_copy_data(&mut rows, n_rows * n_classes)?;
        let mut new = Self {
            logits: rows,
            n_rows,
            n_classes,
            exponentials: vec![0.0; n_rows.div_ceil(BLOCK) * BLOCK * n_classes],
            base: vec![0.0; n_classes],
            weights: vec![0.0; n_classes],
            partial: vec![[0.0; LANES]; n_classes],
        };
        new.form_exponentials();
        Ok(new)
    }

    /// mean_j softmax(u_j + b), of `b` `[C]` into `mean` `[C]`.
    pub(super) fn after(&mut self, b: &[f64], mean: &mut [f64]) {
        let drift = |b: &[f64], base: &[f64]| {
            let drifts = b.iter().zip(base).map(|(b, base)| b - base);
            drifts.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
        };
        let (low, mut high) = drift(b, &self.base);
        if high - low > MAX_DRIFT {
            self.base.copy_from_slice(b);
            self.form_exponentials();
            high = 0.0;
        }
        let moved = b.iter().zip(&self.base).map(|(b, base)| (b - base - high).exp() as f32);
        self.weights.iter_mut().zip(moved).for_each(|(weight, w)| *weight = w);
        mean.fill(0.0);
        let n_in_last = (self.n_rows - 1) % BLOCK + 1;
        sum_probabilities(&self.exponentials, &self.weights, n_in_last, &mut self.partial, mean);
        let by_weight = self.weights.iter().map(|&w| f64::from(w) / self.n_rows as f64);
        mean.iter_mut().zip(by_weight).for_each(|(mean, w)| *mean *= w);
    }

    fn form_exponentials(&mut self) {
        let mut moved = vec![0.0_f64; self.n_classes];
        for (row, logits) in self.logits.chunks_exact(self.n_classes).enumerate() {
            let of_row = logits.iter().zip(&self.base).map(|(&u, b)| f64::from(u) + b);
            moved.iter_mut().zip(of_row).for_each(|(moved, u)| *moved = u);
            let largest = moved.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let block = row / BLOCK * BLOCK * self.n_classes;
            for (class, u) in moved.iter().enumerate() {
                let e = (u - largest).exp();
                self.exponentials[block + class * BLOCK + row % BLOCK] =
                    if e < NEGLIGIBLE { 0.0 } else { e as f32 };
            }
        }
    }
}

/// Adds Σ_j E_jc / Σ_k E_jk w_k to `totals[c]`, with the best instructions that this machine has.
fn sum_probabilities(
    blocks: &[f32],
    weights: &[f32],
    n_in_last: usize,
    partial: &mut [[f32; LANES]],
    totals: &mut [f64],
) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the machine has what the function was compiled for.
        return unsafe { sum_probabilities_avx2(blocks, weights, n_in_last, partial, totals) };
    }
    let fused = cfg!(target_arch = "aarch64");
    if fused {
        sum_probabilities_with::<true>(blocks, weights, n_in_last, partial, totals);
    } else {
        sum_probabilities_with::<false>(blocks, weights, n_in_last, partial, totals);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn sum_probabilities_avx2(
    blocks: &[f32],
    weights: &[f32],
    n_in_last: usize,
    partial: &mut [[f32; LANES]],
    totals: &mut [f64],
) {
    sum_probabilities_with::<true>(blocks, weights, n_in_last, partial, totals);
}

#[inline(always)]
fn sum_probabilities_with<const FUSED: bool>(
    blocks: &[f32],
    weights: &[f32],
    n_in_last: usize,
    partial: &mut [[f32; LANES]],
    totals: &mut [f64],
) {
    let multiply_add = |a: f32, b: f32, c: f32| if FUSED { a.mul_add(b, c) } else { a * b + c };
    let n_blocks = blocks.len() / (BLOCK * weights.len());
    for (number, block) in blocks.chunks_exact(BLOCK * weights.len()).enumerate() {
        let mut share = [0.0_f32; BLOCK]; // Σ_k E_jk w_k of each row, then its reciprocal
        for (e, &w) in block.as_chunks::<BLOCK>().0.iter().zip(weights) {
            for row in 0..BLOCK {
                share[row] = multiply_add(e[row], w, share[row]);
            }
        }
        if number + 1 == n_blocks {
            share[n_in_last..].fill(1.0);
        }
        for share in &mut share {
            *share = 1.0 / *share;
        }
        for (e, sums) in block.as_chunks::<BLOCK>().0.iter().zip(partial.iter_mut()) {
            let mut lanes = *sums;
            for from in (0..BLOCK).step_by(LANES) {
                for lane in 0..LANES {
                    lanes[lane] = multiply_add(e[from + lane], share[from + lane], lanes[lane]);
                }
            }
            *sums = lanes;
        }
        if (number + 1) % FLUSH_EVERY == 0 || number + 1 == n_blocks {
            for (sums, total) in partial.iter_mut().zip(totals.iter_mut()) {
                *total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
                *sums = [0.0; LANES];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// Against libtorch's softmax in double precision, through moves far beyond what single precision could hold at once.
    #[test]
    fn means_equal_those_of_softmax_in_double_precision() {
        for (n, c) in [(1, 2), (63, 3), (64, 10), (65, 1), (700, 100)] {
            tch::manual_seed(n);
            let logits = Tensor::randn([n, c], (Kind::Float, Device::Cpu)) * 8.0;
            let mut softmax_mean = SoftmaxMean::new(&logits).unwrap();
            let mut mean = vec![0.0; c as usize];
            for scale in [0.0, 1e-3, 1.0, 9.0, -9.0, 60.0, -500.0, 0.0] {
                let b = Tensor::randn([c], (Kind::Double, Device::Cpu)) * scale;
                softmax_mean.after(&Vec::<f64>::try_from(&b).unwrap(), &mut mean);
                let expected = (logits.to_kind(Kind::Double) + b).softmax(-1, Kind::Double);
                let expected = Vec::<f64>::try_from(expected.mean_dim(0, false, Kind::Double)).unwrap();
                for (mean, expected) in mean.iter().zip(expected) {
                    assert!(
                        (mean - expected).abs() < 1e-7,
                        "{n} × {c}, scale {scale}: {mean} for {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_portable_path_gives_what_the_fast_one_gives() {
        let logits = Tensor::randn([300, 7], (Kind::Float, Device::Cpu)) * 3.0;
        let softmax_mean = SoftmaxMean::new(&logits).unwrap();
        let weights = [1.0, 0.5, 0.25, 2.0, 0.1, 0.9, 1.5];
        let (mut fast, mut portable) = ([0.0; 7], [0.0; 7]);
        sum_probabilities(
            &softmax_mean.exponentials,
            &weights,
            300 % BLOCK,
            &mut [[0.0; LANES]; 7],
            &mut fast,
        );
        let partial = &mut [[0.0; LANES]; 7];
        sum_probabilities_with::<false>(
            &softmax_mean.exponentials,
            &weights,
            300 % BLOCK,
            partial,
            &mut portable,
        );
        for (fast, portable) in fast.iter().zip(portable) {
            assert!((fast - portable).abs() < 1e-5 * portable.abs(), "{fast} and {portable}");
        }
    }
}
