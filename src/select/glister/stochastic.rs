//! The stochastic greedy: each pick is the best of a random sample of what is left.
//!
//! The pool of what is left is a list, at first 0..N. A draw names positions in it, and whatever is picked there, the last of
//! the pool takes its place: so the draws hang on the seed alone, and can be sent to the device before the picks are known.

use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use super::Picks;
use super::problem::Problem;
use super::top::device_keys;
use super::units::Units;
use crate::error::Result;
use crate::interrupt;

/// Positions sent to the device at once, at least: 2 MB of them.
const SENT_AT_ONCE: usize = 1 << 18;

/// The random samples, one after another.
pub(super) struct Draws {
    n_left: usize,
    k_left: usize,
    size: usize,
    rng: ChaCha8Rng,
}

impl Draws {
    /// Samples of (n/k)·ln(1/ε), rounded down but at least 1, for `k` picks out of `n`.
    pub(super) fn new(n: i64, k: i64, epsilon: f64, rng: ChaCha8Rng) -> Self {
        let size = (n as f64 / k as f64 * (1.0 / epsilon).ln()) as usize;
        Self { n_left: n as usize, k_left: k as usize, size: size.max(1), rng }
    }

    /// How many picks are to be made yet.
    pub(super) fn n_picks(&self) -> usize {
        self.k_left
    }

    /// How many a sample holds, while as many are left.
    pub(super) fn sample_size(&self) -> usize {
        self.size
    }

    /// How many are left in the pool, from which the next sample comes.
    pub(super) fn n_left(&self) -> usize {
        self.n_left
    }

    /// Adds the next sample's positions, no two alike; false when all picks have been made.
    pub(super) fn next(&mut self, positions: &mut Vec<i64>) -> bool {
        if self.k_left == 0 {
            return false;
        }
        if self.size >= self.n_left {
            positions.extend(0..self.n_left as i64);
        } else {
            let sample = rand::seq::index::sample(&mut self.rng, self.n_left, self.size);
            positions.extend(sample.iter().map(|position| position as i64));
        }
        self.n_left -= 1;
        self.k_left -= 1;
        true
    }
}

/// Picks on any device and of any units. Nothing leaves the device.
pub(super) fn pick(problem: &Problem<'_>, units: &Units, mut draws: Draws) -> Result<Picks> {
    let device = problem.r.device();
    let n = units.len();
    let mut pool = Tensor::arange(n, (Kind::Int64, device));
    let mut taken = problem.taken_none();
    let (mut picked, mut gains_picked) = (Vec::new(), Vec::new());
    while draws.n_picks() > 0 {
        let (mut positions, mut samples) = (Vec::new(), Vec::new());
        while positions.len() < SENT_AT_ONCE {
            let (from, n_left) = (positions.len(), draws.n_left());
            if !draws.next(&mut positions) {
                break;
            }
            samples.push((from as i64, (positions.len() - from) as i64, n_left as i64));
        }
        let positions = Tensor::from_slice(&positions).to_device(device);
        for (from, size, n_left) in samples {
            interrupt::check()?;
            let positions = positions.narrow(0, from, size);
            let sampled = pool.index_select(0, &positions);
            let (rows, shares) = units.rows(&sampled);
            let gains = problem.gains_at(&problem.gradient(&taken)?, &rows)?;
            let gains = units.mean_of_rows(gains, shares.as_ref());
            let best = device_keys(&gains, &sampled, n).argmax(0, true); // [1]; no two keys are alike
            let unit = sampled.index_select(0, &best);
            let (rows, shares) = units.rows(&unit);
            problem.take(&mut taken, &rows, shares.as_ref());
            let last = pool.narrow(0, n_left - 1, 1).copy();
            let _ = pool.index_copy_(0, &positions.index_select(0, &best), &last);
            picked.push(unit);
            gains_picked.push(gains.index_select(0, &best));
        }
    }
    Ok(Picks { units: Tensor::cat(&picked, 0), gains: Tensor::cat(&gains_picked, 0) })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use tch::Device;

    use super::super::top::Top;
    use super::super::{Glister, LastLayer, Loss, rounds, stochastic_cpu};
    use super::*;

    /// The ways for any device against those for the CPU, which the integration tests compare with brute force.
    #[test]
    fn any_device_picks_what_the_cpu_picks() {
        tch::manual_seed(4);
        let samples = |n: i64| LastLayer {
            features: Tensor::randn([n, 6], (Kind::Float, Device::Cpu)),
            logits: Tensor::randn([n, 4], (Kind::Float, Device::Cpu)),
            labels: Tensor::randint(4, [n], (Kind::Int64, Device::Cpu)),
        };
        let (candidates, validation) = (samples(200), samples(50));
        for linear_layer in [false, true] {
            for label_smoothing in [0.0, 0.1] {
                let loss = Loss::CrossEntropy { label_smoothing };
                let glister = Glister { linear_layer, loss, ..Default::default() };
                let problem = Problem::new(&candidates, &validation, &glister, 1).unwrap();
                let draws = || Draws::new(200, 60, 0.01, ChaCha8Rng::seed_from_u64(9));
                let units = Units::samples(200);
                let picks = |picks: Picks| Vec::<i64>::try_from(picks.units).unwrap();
                let on_cpu = picks(stochastic_cpu::pick(&problem, draws()).unwrap());
                assert_eq!(picks(pick(&problem, &units, draws()).unwrap()), on_cpu);
                let in_rounds = |top| picks(rounds::pick_with(&problem, &units, 60, 7, top).unwrap());
                assert_eq!(in_rounds(Top::on_device(200, Device::Cpu)), in_rounds(Top::on_cpu(200)));
                let best_for_cpu = picks(rounds::pick(&problem, &units, 60, 7).unwrap());
                assert_eq!(in_rounds(Top::on_device(200, Device::Cpu)), best_for_cpu);
            }
        }
    }

    #[test]
    fn samples_are_of_the_size_asked_for_and_clipped_to_what_is_left() {
        // 100/20 · ln(1/0.01) = 23.03, and at the end of 100 picks out of 100 fewer are left.
        let sizes = |n, k, epsilon| {
            let mut draws = Draws::new(n, k, epsilon, ChaCha8Rng::seed_from_u64(0));
            let mut sizes = Vec::new();
            loop {
                let (mut positions, n_left) = (Vec::new(), draws.n_left() as i64);
                if !draws.next(&mut positions) {
                    return sizes;
                }
                sizes.push(positions.len());
                positions.sort_unstable();
                positions.dedup();
                assert_eq!(positions.len(), sizes[sizes.len() - 1], "no position twice");
                assert!(positions.iter().all(|position| (0..n_left).contains(position)));
            }
        };
        assert_eq!(sizes(100, 20, 0.01), [23; 20]);
        let all = sizes(100, 100, 0.01);
        assert_eq!((all.len(), all[0], all[95], all[97], all[99]), (100, 4, 4, 3, 1));
        assert_eq!(sizes(100, 3, 0.999), [1; 3], "at least one");
    }
}
