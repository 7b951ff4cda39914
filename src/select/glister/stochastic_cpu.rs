//! The stochastic greedy over samples on the CPU, where a pick must cost microseconds.
//!
//! With biases only, the validation residuals' mean is all that changes (`softmax_mean`). With the weights, the validation
//! logits are moved by each pick, a rank-1 update, and the gains of the sample come in whichever of two ways is less work:
//! from G_W (M·C·D), or from the products of each sampled with each validation sample's features (M·m·(C + D)), since
//! r_iᵀ G_W e_i = mean_j (r_i·s_j)(e_i·v_j).

use tch::{Kind, Tensor};

use super::cpu;
use super::problem::Problem;
use super::softmax_mean::SoftmaxMean;
use super::stochastic::Draws;
use super::top::key;
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

    fn sampled(&self) -> impl Iterator<Item = u32> + '_ {
        self.positions.iter().map(|&position| self.left[position as usize])
    }

    /// Picks the best of the sample, given its gains in order, and returns its place in the sample.
    fn take_best(&mut self, gains: impl Iterator<Item = f32>) -> usize {
        let keyed = self.sampled().zip(gains).enumerate();
        let (at, unit, gain) = keyed
            .map(|(at, (unit, gain))| (at, unit, gain))
            .min_by_key(|&(_, unit, gain)| key(gain, unit))
            .unwrap_or_default();
        self.picked.push(i64::from(unit));
        self.gains.push(gain);
        self.left.swap_remove(self.positions[at] as usize);
        at
    }

    fn picks(&self) -> Picks {
        Picks { units: Tensor::from_slice(&self.picked), gains: Tensor::from_slice(&self.gains) }
    }
}

fn biases_only(problem: &Problem<'_>, mut draws: Draws) -> Result<Picks> {
    let c = problem.r.size()[1] as usize;
    let mut r = vec![0.0_f32; problem.r.numel()];
    problem.r.f_copy_data(&mut r, problem.r.numel())?;
    let mut mean = MeanResidual::new(problem)?;
    let mut sum_r = vec![0.0_f64; c];
    let mut g_b = vec![0.0_f32; c];
    let mut pool = Pool::new(&draws);
    while pool.draw(&mut draws)? {
        mean.after(&sum_r, problem.eta, &mut g_b);
        let row = |unit: u32| &r[unit as usize * c..][..c];
        let gains: Vec<f32> = pool.sampled().map(|unit| dot(row(unit), &g_b)).collect();
        pool.take_best(gains.into_iter());
        let picked = pool.picked.last().copied().unwrap_or_default() as u32;
        sum_r.iter_mut().zip(row(picked)).for_each(|(sum, &r)| *sum += f64::from(r));
    }
    Ok(pool.picks())
}

/// G_b as a function of Σ r.
enum MeanResidual {
    Softmax {
        mean: SoftmaxMean,
        shift: Vec<f64>,
        targets: Vec<f64>,
        probabilities: Vec<f64>,
    },
    /// 2·mean(u − y) at Σ r = 0; the rest is linear.
    Linear {
        at_zero: Vec<f64>,
    },
}

impl MeanResidual {
    fn new(problem: &Problem<'_>) -> Result<Self> {
        let (logits, labels) = (&problem.validation.logits, &problem.validation.labels);
        let (n, c) = logits.size2()?;
        Ok(match problem.loss {
            Loss::CrossEntropy { label_smoothing } => {
                let counts = Vec::<i64>::try_from(labels.bincount::<Tensor>(None, c))?;
                let target = |&count: &i64| {
                    (1.0 - label_smoothing) * count as f64 / n as f64 + label_smoothing / c as f64
                };
                let zeros = vec![0.0; counts.len()];
                Self::Softmax {
                    mean: SoftmaxMean::new(logits)?,
                    shift: zeros.clone(),
                    targets: counts.iter().map(target).collect(),
                    probabilities: zeros,
                }
            }
            Loss::SquaredError => {
                let residuals = problem.loss.residuals_at(logits, labels, 1)?;
                Self::Linear { at_zero: Vec::try_from(residuals.mean_dim(0, false, Kind::Double))? }
            }
        })
    }

    fn after(&mut self, sum_r: &[f64], eta: f64, g_b: &mut [f32]) {
        match self {
            Self::Softmax { mean, shift, targets, probabilities } => {
                shift.iter_mut().zip(sum_r).for_each(|(shift, sum)| *shift = -eta * sum);
                mean.after(shift, probabilities);
                let residuals = probabilities.iter().zip(targets.iter()).map(|(p, t)| (p - t) as f32);
                g_b.iter_mut().zip(residuals).for_each(|(g, s)| *g = s);
            }
            Self::Linear { at_zero } => {
                let residuals = at_zero.iter().zip(sum_r).map(|(s, sum)| (s - 2.0 * eta * sum) as f32);
                g_b.iter_mut().zip(residuals).for_each(|(g, s)| *g = s);
            }
        }
    }
}

/// In eight partial sums, so that the compiler may use vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a8.zip(b8) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f32>() + rest
}

fn with_weights(problem: &Problem<'_>, mut draws: Draws) -> Result<Picks> {
    let v = &problem.validation.features; // [M, D]
    let mut u = problem.validation.logits.copy(); // [M, C]
    let (m, d) = v.size2()?;
    let c = u.size()[1];
    let mut pool = Pool::new(&draws);
    let mut gains = Vec::new();
    while pool.draw(&mut draws)? {
        let sampled: Vec<i64> = pool.sampled().map(i64::from).collect();
        let n_sampled = sampled.len() as i64;
        let sampled = Tensor::from_slice(&sampled);
        let e = problem.features.index_select(0, &sampled); // [m, D]
        let r = problem.r.index_select(0, &sampled); // [m, C]
        let s = problem.loss.residuals_at(&u, &problem.validation.labels, problem.n_threads)?; // [M, C]
        let pairwise = (n_sampled + 15) / 16 * 16 * d + n_sampled * c < c * d;
        let (mut per_class, moves) = if pairwise {
            let moves = cpu::products_plus_one(v, &e, problem.n_threads)?; // 1 + e_i·v_j, [M, m]
            (moves.tr().matmul(&s), Some(moves))
        } else {
            let mut per_class = e.matmul(&s.tr().matmul(v).tr()); // [m, C]
            per_class += s.sum_dim_intlist(0, false, Kind::Float);
            (per_class, None)
        };
        per_class *= &r;
        let of_sample = per_class.sum_dim_intlist(1, false, Kind::Float) / m as f64;
        gains.resize(n_sampled as usize, 0.0);
        of_sample.f_copy_data(&mut gains, n_sampled as usize)?;
        let at = pool.take_best(gains.iter().copied()) as i64;
        let move_by = moves.map_or_else(|| v.mv(&e.get(at)) + 1.0, |moves| moves.select(1, at)); // [M]
        let _ = u.addr_(&move_by, &(r.get(at) * -problem.eta));
    }
    Ok(pool.picks())
}
