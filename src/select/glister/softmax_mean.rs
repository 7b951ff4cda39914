//! The mean softmax of many rows of logits that are all moved by the same amounts, without an exponential per row.
//!
//! softmax(u + b)_c = E_c w_c / Σ_k E_k w_k with E = exp(u), w = exp(b): once E is known, a move costs C exponentials and two
//! passes of multiply-adds over E. E is formed anew when b has gone so far that single precision would lose something.
//!
//! The team that does this also multiplies the candidates' residuals by what comes of it, if asked to.

use tch::{Kind, Tensor};

use super::team::{Team, with_team};
use super::vector::{IN_LINE, LANES, Line, best_of_machine, dot, multiply_add};
use crate::error::Result;

/// Rows that are worked on at once. Their E are laid out by class: what is done for one row is done for all in vectors.
const BLOCK: usize = 64;
/// Lines in which a block's numbers of one class lie.
const LINES: usize = BLOCK / IN_LINE;
/// Into how many parts the rows are cut at most. Their sums are added up in order, whatever the threads.
const MOST_PARTS: usize = 16;
/// Numbers E below which handing parts over to another thread does not pay.
const WORTH_A_THREAD: usize = 100_000;
/// Blocks after which the partial sums go into double precision.
const FLUSH_EVERY: usize = 8;
/// How far apart the b of two classes may drift until E is formed anew: e^20 leaves 5 × 10⁻¹⁹ of [`NEGLIGIBLE`].
const MAX_DRIFT: f64 = 20.0;
/// E below this, with the row's largest at 1, count as 0.
const NEGLIGIBLE: f64 = 1e-27;

pub(super) struct SoftmaxMean<'t, 'c> {
    team: &'t Team<'t, Job, Part<'c>>,
    n_rows: usize,
    /// The move at which E was formed; empty before the first.
    base: Vec<f64>,
    /// w, `[C]`.
    weights: Vec<f32>,
}

/// What is asked of each part.
enum Job {
    /// The mean softmax by w `[C]`, after forming E anew at `new_base`, if there is one.
    Mean { new_base: Option<Vec<f64>>, weights: Vec<f32> },
    /// The products of the candidates with this, `[C]`.
    Products(Vec<f32>),
}

/// Some of the rows.
struct Part<'c> {
    /// u, `[rows, C]`.
    logits: Vec<f32>,
    /// E at the base, `[blocks, C, LINES]`, each row divided by its largest; rows that fill the last block up are 0.
    exponentials: Vec<Line>,
    partial: Vec<[f32; LANES]>,
    /// Σ_j E_jc / Σ_k E_jk w_k, `[C]`.
    totals: Vec<f64>,
    /// Some of the candidates, `[candidates, C]`, and their products.
    candidates: &'c [f32],
    products: Vec<f32>,
}

/// Runs `lead` with what forms the mean softmax of logits u, `f32 [M, C]` on the CPU, and products with candidates, `[N, C]` (N
/// may be 0).
///
/// # Errors
/// If the logits are no matrix.
pub(super) fn with_softmax_mean<'c, R>(
    logits: &Tensor,
    candidates: &'c [f32],
    n_threads: usize,
    lead: impl FnOnce(SoftmaxMean<'_, 'c>) -> R,
) -> Result<R> {
    let (n_rows, c) = logits.size2()?;
    let (n_rows, c) = (n_rows as usize, c as usize);
    let rows = Vec::<f32>::try_from(logits.to_kind(Kind::Float).reshape([-1]))?;
    let rows_of_part = n_rows.div_ceil(BLOCK).div_ceil(MOST_PARTS) * BLOCK;
    let n_parts = n_rows.div_ceil(rows_of_part);
    let mut candidates_left = candidates.chunks((candidates.len() / c).div_ceil(n_parts).max(1) * c);
    let part = |rows| Part::new(rows, candidates_left.next().unwrap_or_default(), c);
    let parts = rows.chunks(rows_of_part * c).map(part).collect();
    let n_threads = if rows.len() + candidates.len() < WORTH_A_THREAD { 1 } else { n_threads };
    let job = Job::Products(Vec::new());
    Ok(with_team(n_threads, job, parts, Part::work, |team| {
        lead(SoftmaxMean { team, n_rows, base: Vec::new(), weights: Vec::new() })
    }))
}

impl SoftmaxMean<'_, '_> {
    /// mean_j softmax(u_j + b), of `b` `[C]` into `mean` `[C]`.
    pub(super) fn after(&mut self, b: &[f64], mean: &mut [f64]) {
        let drifts = b.iter().zip(&self.base).map(|(b, base)| b - base);
        let (low, mut high) =
            drifts.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let is_new = self.base.is_empty() || high - low > MAX_DRIFT;
        if is_new {
            self.base = b.to_vec();
            high = 0.0;
        }
        self.weights.clear();
        self.weights.extend(b.iter().zip(&self.base).map(|(b, base)| (b - base - high).exp() as f32));
        let new_base = is_new.then(|| self.base.clone());
        self.team.run(|job| *job = Job::Mean { new_base, weights: self.weights.clone() });
        mean.fill(0.0);
        for part in self.team.parts() {
            mean.iter_mut().zip(&part.totals).for_each(|(mean, total)| *mean += total);
        }
        let by_weight = self.weights.iter().map(|&w| f64::from(w) / self.n_rows as f64);
        mean.iter_mut().zip(by_weight).for_each(|(mean, w)| *mean *= w);
    }

    /// The product of each candidate with `by` `[C]`: `[N]`.
    pub(super) fn products(&self, by: &[f32]) -> Vec<f32> {
        self.team.run(|job| *job = Job::Products(by.to_vec()));
        let mut products = Vec::new();
        for part in self.team.parts() {
            products.extend(&part.products);
        }
        products
    }
}

impl<'c> Part<'c> {
    fn new(logits: &[f32], candidates: &'c [f32], c: usize) -> Self {
        Self {
            logits: logits.to_vec(),
            exponentials: vec![Line::ZERO; (logits.len() / c).div_ceil(BLOCK) * LINES * c],
            partial: vec![[0.0; LANES]; c],
            totals: vec![0.0; c],
            candidates,
            products: vec![0.0; candidates.len() / c],
        }
    }

    fn work(job: &Job, part: &mut Self) {
        match job {
            Job::Mean { new_base, weights } => {
                if let Some(base) = new_base {
                    part.form_exponentials(base);
                }
                let n_in_last = (part.logits.len() / weights.len() - 1) % BLOCK + 1;
                part.totals.fill(0.0);
                let (partial, totals) = (&mut part.partial, &mut part.totals);
                sum_probabilities(&part.exponentials, weights, n_in_last, partial, totals);
            }
            Job::Products(by) => products_of_rows(part.candidates, by, &mut part.products),
        }
    }

    fn form_exponentials(&mut self, base: &[f64]) {
        let c = base.len();
        let mut moved = vec![0.0_f64; c];
        for (row, logits) in self.logits.chunks_exact(c).enumerate() {
            let of_row = logits.iter().zip(base).map(|(&u, b)| f64::from(u) + b);
            moved.iter_mut().zip(of_row).for_each(|(moved, u)| *moved = u);
            let largest = moved.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let lines = &mut self.exponentials[row / BLOCK * LINES * c + row % BLOCK / IN_LINE..];
            for (u, line) in moved.iter().zip(lines.iter_mut().step_by(LINES)) {
                let e = (u - largest).exp();
                line.0[row % IN_LINE] = if e < NEGLIGIBLE { 0.0 } else { e as f32 };
            }
        }
    }
}

best_of_machine!(
    sum_probabilities,
    sum_probabilities_avx2,
    sum_probabilities_with,
    (blocks: &[Line], weights: &[f32], n_in_last: usize, partial: &mut [[f32; LANES]], totals: &mut [f64])
);

best_of_machine!(
    products_of_rows,
    products_of_rows_avx2,
    products_of_rows_with,
    (rows: &[f32], by: &[f32], to: &mut [f32])
);

/// The product of each row with `by`.
#[inline(always)]
fn products_of_rows_with<const FUSED: bool>(rows: &[f32], by: &[f32], to: &mut [f32]) {
    for (row, to) in rows.chunks_exact(by.len()).zip(to) {
        *to = dot::<FUSED>(row, by);
    }
}

/// Adds Σ_j E_jc / Σ_k E_jk w_k to `totals[c]`.
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "one lane of several arrays, in the form that becomes vector instructions"
)]
fn sum_probabilities_with<const FUSED: bool>(
    blocks: &[Line],
    weights: &[f32],
    n_in_last: usize,
    partial: &mut [[f32; LANES]],
    totals: &mut [f64],
) {
    let n_blocks = blocks.len() / (LINES * weights.len());
    for (number, block) in blocks.chunks_exact(LINES * weights.len()).enumerate() {
        let mut share = [[0.0_f32; IN_LINE]; LINES]; // Σ_k E_jk w_k of each row, then its reciprocal
        for (e, &w) in block.as_chunks::<LINES>().0.iter().zip(weights) {
            for line in 0..LINES {
                for lane in 0..IN_LINE {
                    share[line][lane] = multiply_add::<FUSED>(e[line].0[lane], w, share[line][lane]);
                }
            }
        }
        if number + 1 == n_blocks {
            share.as_flattened_mut()[n_in_last..].fill(1.0);
        }
        for share in share.as_flattened_mut() {
            *share = 1.0 / *share;
        }
        for (e, sums) in block.as_chunks::<LINES>().0.iter().zip(partial.iter_mut()) {
            let mut lanes = *sums;
            for line in 0..LINES {
                for half in 0..IN_LINE / LANES {
                    for lane in 0..LANES {
                        let at = half * LANES + lane;
                        lanes[lane] = multiply_add::<FUSED>(e[line].0[at], share[line][at], lanes[lane]);
                    }
                }
            }
            *sums = lanes;
        }
        if (number + 1) % FLUSH_EVERY == 0 || number + 1 == n_blocks {
            for (sums, total) in partial.iter_mut().zip(totals.iter_mut()) {
                let [a, b, c, d, e, f, g, h] = sums.map(f64::from);
                *total += ((a + e) + (c + g)) + ((b + f) + (d + h));
                *sums = [0.0; LANES];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// Against libtorch's softmax in double precision, through moves far beyond what single precision could hold at once, and
    /// equal to the last bit with any number of threads.
    #[test]
    fn means_equal_those_of_softmax_in_double_precision() {
        for (n, c) in [(1, 2), (63, 3), (64, 10), (65, 1), (700, 100), (2100, 60)] {
            // Drawn once: other tests draw from the same generator meanwhile.
            tch::manual_seed(n);
            let logits = Tensor::randn([n, c], (Kind::Float, Device::Cpu)) * 8.0;
            let moves = [0.0, 1e-3, 1.0, 9.0, -9.0, 60.0, -500.0, 0.0]
                .map(|scale| Tensor::randn([c], (Kind::Double, Device::Cpu)) * scale);
            let means = [1, 3].map(|n_threads| {
                with_softmax_mean(&logits, &[], n_threads, |mut softmax_mean| {
                    moves.each_ref().map(|b| {
                        let mut mean = vec![0.0; c as usize];
                        softmax_mean.after(&Vec::<f64>::try_from(b).unwrap(), &mut mean);
                        let expected = (logits.to_kind(Kind::Double) + b).softmax(-1, Kind::Double);
                        let expected = expected.mean_dim(0, false, Kind::Double);
                        let worst = (Tensor::from_slice(&mean) - expected).abs().max().double_value(&[]);
                        assert!(worst < 1e-7, "{n} × {c}: off by {worst}");
                        mean
                    })
                })
                .unwrap()
            });
            assert!(means[0] == means[1], "{n} × {c}");
        }
    }

    /// Against libtorch in double precision, portable or not, with one thread or several.
    #[test]
    fn products_are_those_of_libtorch() {
        for (n, c) in [(1, 1), (40, 3), (5000, 16), (333, 100)] {
            tch::manual_seed(n);
            let options = (Kind::Float, Device::Cpu);
            let (candidates, by) = (Tensor::randn([n, c], options), Tensor::randn([c], options));
            let expected = candidates.to_kind(Kind::Double).mv(&by.to_kind(Kind::Double));
            let rows = Vec::<f32>::try_from(candidates.view([-1])).unwrap();
            let by = Vec::<f32>::try_from(by).unwrap();
            let logits = Tensor::zeros([700, c], options);
            let mut portable = vec![0.0; n as usize];
            products_of_rows_with::<false>(&rows, &by, &mut portable);
            let products =
                |n_threads| with_softmax_mean(&logits, &rows, n_threads, |mean| mean.products(&by)).unwrap();
            for products in [products(1), products(3), portable] {
                let worst = (Tensor::from_slice(&products) - &expected).abs().max().double_value(&[]);
                assert!(worst < 1e-6 * c as f64, "{n} × {c}: off by {worst}");
            }
            assert_eq!(products(1), products(3));
        }
    }

    #[test]
    fn the_portable_path_gives_what_the_fast_one_gives() {
        let logits: Vec<f32> = (0..300 * 7).map(|i| ((i * 31) % 97) as f32 / 12.0).collect();
        let mut part = Part::new(&logits, &[], 7);
        part.form_exponentials(&[0.0; 7]);
        let weights = [1.0, 0.5, 0.25, 2.0, 0.1, 0.9, 1.5];
        let (mut fast, mut portable) = ([0.0; 7], [0.0; 7]);
        let e = &part.exponentials;
        sum_probabilities(e, &weights, 300 % BLOCK, &mut part.partial, &mut fast);
        sum_probabilities_with::<false>(e, &weights, 300 % BLOCK, &mut part.partial, &mut portable);
        for (fast, portable) in fast.iter().zip(portable) {
            assert!((fast - portable).abs() < 1e-5 * portable.abs(), "{fast} and {portable}");
        }
    }
}
