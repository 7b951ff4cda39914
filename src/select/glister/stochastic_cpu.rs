//! The stochastic greedy over samples on the CPU, where a pick must cost microseconds.
//!
//! With biases only, the validation residuals' mean is all that changes (`softmax_mean`). With the weights, a pick is one pass
//! over the validation samples (`validation_pass`).

use tch::Tensor;

use super::biases::{residual_at_zero, with_bias_gradient};
use super::cpu::floats;
use super::problem::Problem;
use super::stochastic::Draws;
use super::top::key;
use super::validation_pass::{Candidate, with_passes};
use super::vector::{best_of_machine, dot};
use super::{Loss, Picks};
use crate::error::Result;
use crate::interrupt;

/// Picks samples; all tensors are on the CPU.
pub(super) fn pick(problem: &Problem<'_>, draws: Draws) -> Result<Picks> {
    if problem.linear_layer { with_weights(problem, draws) } else { biases_only(problem, draws) }
}

/// What is left, and what was picked from it.
struct Pool {
    left: Vec<u32>,
    positions: Vec<i64>,
    picked: Vec<i64>,
    gains: Vec<f32>,
}

impl Pool {
    fn new(draws: &Draws) -> Self {
        Self {
            left: (0..draws.n_left() as u32).collect(),
            positions: Vec::new(),
            picked: Vec::with_capacity(draws.n_picks()),
            gains: Vec::with_capacity(draws.n_picks()),
        }
    }

    /// Draws the next sample; false when all picks have been made.
    fn draw(&mut self, draws: &mut Draws) -> Result<bool> {
        interrupt::check()?;
        self.positions.clear();
        Ok(draws.next(&mut self.positions))
    }

    fn sampled(&self) -> impl ExactSizeIterator<Item = u32> + Clone + '_ {
        self.positions.iter().map(|&position| self.left[position as usize])
    }

    /// Picks the best of the sample, given its gains in order.
    fn take_best(&mut self, gains: &[f32]) -> u32 {
        let keyed = self.positions.iter().zip(self.sampled().zip(gains));
        let (&position, (unit, &gain)) =
            keyed.min_by_key(|&(_, (unit, &gain))| key(gain, unit)).unwrap_or((&0, (0, &0.0)));
        self.picked.push(i64::from(unit));
        self.gains.push(gain);
        self.left.swap_remove(position as usize);
        unit
    }

    fn picks(&self) -> Picks {
        Picks { units: Tensor::from_slice(&self.picked), gains: Tensor::from_slice(&self.gains) }
    }
}

fn biases_only(problem: &Problem<'_>, draws: Draws) -> Result<Picks> {
    match problem.loss {
        Loss::CrossEntropy { label_smoothing } => {
            with_bias_gradient(problem, label_smoothing, false, |mut gradient| {
                pick_by_biases(problem, draws, |sum_r, g_b| g_b.copy_from_slice(gradient.after(sum_r)))
            })?
        }
        Loss::SquaredError => {
            let at_zero = residual_at_zero(problem)?;
            pick_by_biases(problem, draws, |sum_r, g_b| {
                let residuals =
                    at_zero.iter().zip(sum_r).map(|(s, sum)| (s - 2.0 * problem.eta * sum) as f32);
                g_b.iter_mut().zip(residuals).for_each(|(g, s)| *g = s);
            })
        }
    }
}

/// Picks with biases only, given G_b as a function of Σ r.
fn pick_by_biases(
    problem: &Problem<'_>,
    mut draws: Draws,
    mut gradient_after: impl FnMut(&[f64], &mut [f32]),
) -> Result<Picks> {
    let c = problem.r.size2()?.1 as usize;
    let r = floats(&problem.r)?;
    let row = |unit: u32| &r[unit as usize * c..][..c];
    let (mut sum_r, mut g_b) = (vec![0.0_f64; c], vec![0.0_f32; c]);
    let (mut pool, mut gains) = (Pool::new(&draws), Vec::new());
    while pool.draw(&mut draws)? {
        gradient_after(&sum_r, &mut g_b);
        gains.clear();
        gains.extend(pool.sampled().map(|unit| gain_of_biases(row(unit), &g_b)));
        let picked = pool.take_best(&gains);
        sum_r.iter_mut().zip(row(picked)).for_each(|(sum, &r)| *sum += f64::from(r));
    }
    Ok(pool.picks())
}

best_of_machine!(gain_of_biases, gain_of_biases_avx2, gain_of_biases_with, (r: &[f32], g_b: &[f32]) -> f32);

#[inline(always)]
fn gain_of_biases_with<const FUSED: bool>(r: &[f32], g_b: &[f32]) -> f32 {
    dot::<FUSED>(r, g_b)
}

fn with_weights(problem: &Problem<'_>, mut draws: Draws) -> Result<Picks> {
    let (d, c) = (problem.features.size2()?.1 as usize, problem.r.size2()?.1 as usize);
    let features = problem.features.contiguous();
    let (features, r) = (floats(&features)?, floats(&problem.r)?);
    let candidate = |unit: u32| Candidate {
        features: &features[unit as usize * d..][..d],
        residual: &r[unit as usize * c..][..c],
    };
    with_passes(problem, draws.sample_size(), |mut passes| {
        let (mut pool, mut gains) = (Pool::new(&draws), Vec::new());
        while pool.draw(&mut draws)? {
            passes.gains(pool.sampled().map(candidate), &mut gains);
            passes.take(candidate(pool.take_best(&gains)));
        }
        Ok(pool.picks())
    })?
}
