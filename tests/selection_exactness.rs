//! GLISTER's picks against a brute-force reference, over random problems of several sizes: every last-layer gradient is
//! formed by autograd in double precision, sample by sample, and each hypothetical step is taken on a real layer.
//!
//! The reference goes along with the picks: before each, it computes what every unit left would gain, and the pick must be
//! the best of those that its greedy may look at, within what single precision can tell apart.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use glisten::prelude::*;
use glisten::select::{LastLayer, Selection};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Reduction, Tensor};

const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

/// Sizes of a random problem: candidates, validation samples, features, classes (or regression targets), budget.
const SIZES: [(i64, i64, i64, i64, i64); 6] = [
    (40, 12, 5, 3, 10),
    (61, 20, 8, 10, 25),
    (30, 1, 4, 2, 7),
    (25, 9, 3, 4, 3),
    (12, 5, 2, 2, 12),
    (45, 70, 6, 1, 9),
];

const GREEDIES: [Greedy; 5] = [
    Greedy::RGreedy { rounds: 4 },
    Greedy::RGreedy { rounds: 15 },
    Greedy::Naive,
    Greedy::Stochastic { epsilon: 0.05 },
    Greedy::Stochastic { epsilon: 1e-9 }, // samples of many, and of all that are left towards the end
];

/// A linear layer, and samples to choose by it.
struct Problem {
    weights: Tensor, // f64 [C, D]
    biases: Tensor,  // f64 [C]
    candidates: LastLayer,
    validation: LastLayer,
    loss: Loss,
    /// The gradients of units asked for before, at the layer as it is: the same for every greedy.
    of_units: RefCell<HashMap<Vec<i64>, Tensor>>,
}

impl Problem {
    fn random((n, m, d, c, _): (i64, i64, i64, i64, i64), loss: Loss, seed: i64) -> Self {
        tch::manual_seed(seed);
        let weights = Tensor::randn([c, d], DOUBLE) * 0.7;
        let biases = Tensor::randn([c], DOUBLE) * 0.7;
        let samples = |n: i64| {
            let features = Tensor::randn([n, d], DOUBLE).to_kind(Kind::Float);
            let logits =
                (features.to_kind(Kind::Double).matmul(&weights.tr()) + &biases).to_kind(Kind::Float);
            let labels = match loss {
                Loss::CrossEntropy { .. } => Tensor::randint(c, [n], (Kind::Int64, Device::Cpu)),
                Loss::SquaredError if c == 1 => Tensor::randn([n], (Kind::Float, Device::Cpu)),
                Loss::SquaredError => Tensor::randn([n, c], (Kind::Float, Device::Cpu)),
            };
            LastLayer { features, logits, labels }
        };
        let (candidates, validation) = (samples(n), samples(m));
        Self { weights, biases, candidates, validation, loss, of_units: RefCell::default() }
    }

    /// The last layer's gradient of the mean loss over samples, by autograd: of the weights, then of the biases, in one row.
    fn gradient(&self, weights: &Tensor, biases: &Tensor, samples: &LastLayer) -> Tensor {
        let weights = weights.detach().copy().set_requires_grad(true);
        let biases = biases.detach().copy().set_requires_grad(true);
        let logits = samples.features.to_kind(Kind::Double).matmul(&weights.tr()) + &biases;
        let loss = match self.loss {
            Loss::CrossEntropy { label_smoothing } => logits.cross_entropy_loss::<Tensor>(
                &samples.labels,
                None,
                Reduction::Mean,
                -100,
                label_smoothing,
            ),
            Loss::SquaredError => {
                let targets = samples.labels.to_kind(Kind::Double).reshape(logits.size());
                (logits - targets).square().sum(Kind::Double) / samples.labels.size()[0] as f64
            }
        };
        let gradients = Tensor::run_backward(&[loss], &[&weights, &biases], false, false);
        Tensor::cat(&[gradients[0].view([-1]), gradients[1].view([-1])], 0)
    }

    /// The mean gradient of the candidates at these positions, at the layer as it is.
    fn of_unit(&self, unit: &[i64]) -> Tensor {
        let mut of_units = self.of_units.borrow_mut();
        let of_unit = of_units.entry(unit.to_vec()).or_insert_with(|| {
            self.gradient(&self.weights, &self.biases, &self.candidates.select(&Tensor::from_slice(unit)))
        });
        of_unit.shallow_clone()
    }

    /// Checks the picks of one greedy run among `units` (each a list of candidates), judged by the validation samples
    /// `judges`.
    fn assert_best(
        &self,
        glister: &Glister,
        units: &[Vec<i64>],
        judges: &[i64],
        picks: &[usize],
        gains: &[f64],
        mut draws: ChaCha8Rng,
    ) {
        let judges = self.validation.select(&Tensor::from_slice(judges));
        // Each unit's own gradient at the layer as it is, laid out whole.
        let of_units: Vec<Tensor> = units.iter().map(|unit| self.of_unit(unit)).collect();
        let of_units = Tensor::stack(&of_units, 0);
        let (n_weights, k) = (self.weights.numel() as i64, picks.len());
        let biases_only = Tensor::cat(
            &[Tensor::zeros([n_weights], DOUBLE), Tensor::ones([self.biases.numel() as i64], DOUBLE)],
            0,
        );
        let of_units = if glister.linear_layer { of_units } else { of_units * biases_only };
        let largest_norm =
            of_units.square().sum_dim_intlist(1, false, Kind::Double).max().double_value(&[]).sqrt();
        let (mut weights, mut biases) = (self.weights.copy(), self.biases.copy());
        let mut left: Vec<usize> = (0..units.len()).collect();
        for Range { start, end } in rounds(glister.greedy, k) {
            let of_validation = self.gradient(&weights, &biases, &judges);
            let expected = Vec::<f64>::try_from(of_units.matmul(&of_validation)).unwrap();
            // The greedy's rule: which units it may look at now.
            let seen = match glister.greedy {
                Greedy::Stochastic { epsilon } => {
                    let size =
                        ((units.len() as f64 / k as f64 * (1.0 / epsilon).ln()).floor() as usize).max(1);
                    let all = 0..left.len();
                    let positions = if size >= left.len() {
                        all.collect()
                    } else {
                        rand::seq::index::sample(&mut draws, left.len(), size).into_vec()
                    };
                    positions.iter().map(|&position| left[position]).collect()
                }
                Greedy::RGreedy { .. } | Greedy::Naive => left.clone(),
            };
            let scale = expected.iter().fold(0.0_f64, |largest, gain| largest.max(gain.abs()));
            // In single precision each entry of the validation gradient, a mean of residuals up to 1, is off by some 1e-7.
            let tie = 1e-5 * scale + 5e-7 * largest_norm;
            let taken = &picks[start..end];
            let best_not_taken = seen
                .iter()
                .filter(|unit| !taken.contains(unit))
                .map(|&unit| expected[unit])
                .fold(f64::NEG_INFINITY, f64::max);
            let mut before = f64::INFINITY;
            for (&unit, &gain) in taken.iter().zip(&gains[start..end]) {
                assert!(seen.contains(&unit), "{glister:?}: pick {start} may not be {unit}");
                assert!(
                    expected[unit] >= best_not_taken - tie,
                    "{glister:?}: pick {start}, {unit}, gains {} where {best_not_taken} is to be had",
                    expected[unit]
                );
                assert!(
                    (gain - expected[unit]).abs() <= tie,
                    "{glister:?}: gain {gain} for {}",
                    expected[unit]
                );
                assert!(gain <= before, "best first");
                before = gain;
                // What the reference takes out of its pool: the last comes in its place.
                let position = left.iter().position(|&other| other == unit).expect("each unit once");
                left.swap_remove(position);
                let of_unit = of_units.get(unit as i64) * glister.eta;
                weights -= of_unit.narrow(0, 0, n_weights).view_as(&weights);
                biases -= of_unit.narrow(0, n_weights, biases.numel() as i64);
            }
        }
    }
}

/// Which picks are made at once: k in min(r, k) rounds as equal as can be, the larger ones first; else one by one.
fn rounds(greedy: Greedy, k: usize) -> Vec<Range<usize>> {
    let n_rounds = match greedy {
        Greedy::RGreedy { rounds } => rounds.min(k),
        Greedy::Stochastic { .. } | Greedy::Naive => k,
    };
    let mut start = 0;
    (0..n_rounds)
        .map(|round| {
            let end = start + k / n_rounds + usize::from(round < k % n_rounds);
            std::mem::replace(&mut start, end)..end
        })
        .collect()
}

fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

fn parts(selection: &Selection) -> (Vec<i64>, Vec<f64>) {
    let gains = selection.gains.as_ref().unwrap().to_kind(Kind::Double);
    (Vec::try_from(&selection.indices).unwrap(), Vec::try_from(gains).unwrap())
}

/// Runs `check` for problems of all sizes with all losses, greedy types and parts of the layer.
fn over_problems(check: impl Fn(&Problem, &Glister, i64, u64)) {
    // The problems are too small for two threads to gain anything.
    tch::set_num_threads(1);
    let losses = [Loss::default(), Loss::CrossEntropy { label_smoothing: 0.2 }, Loss::SquaredError];
    let mut seed = 0;
    for size in SIZES {
        for loss in losses {
            seed += 1;
            let problem = Problem::random(size, loss, seed);
            for greedy in GREEDIES {
                for (linear_layer, eta) in [(true, 0.01), (true, 0.3), (false, 0.01), (false, 0.3)] {
                    let glister = Glister { greedy, eta, linear_layer, scope: Scope::Whole, loss };
                    check(&problem, &glister, size.4, seed as u64);
                }
            }
        }
    }
}

fn every(n: i64) -> Vec<i64> {
    (0..n).collect()
}

#[test]
fn picks_among_all_samples_are_those_of_brute_force() {
    over_problems(|problem, glister, budget, seed| {
        let selection = glister.choose(&problem.candidates, &problem.validation, budget, seed).unwrap();
        let (picks, gains) = parts(&selection);
        assert_eq!(picks.len() as i64, budget);
        assert_eq!(Vec::<f32>::try_from(selection.weights.unwrap()).unwrap(), vec![1.0; picks.len()]);
        let units: Vec<Vec<i64>> =
            every(problem.candidates.labels.size()[0]).iter().map(|&i| vec![i]).collect();
        let picks: Vec<usize> = picks.iter().map(|&pick| pick as usize).collect();
        let judges = every(problem.validation.labels.size()[0]);
        problem.assert_best(glister, &units, &judges, &picks, &gains, stream(seed, 0));
    });
}

#[test]
fn picks_per_class_are_those_of_brute_force_within_each_class() {
    over_problems(|problem, glister, budget, seed| {
        if problem.loss == Loss::SquaredError {
            return;
        }
        let glister = Glister { scope: Scope::PerClass, ..*glister };
        let selection = glister.choose(&problem.candidates, &problem.validation, budget, seed).unwrap();
        let (picks, gains) = parts(&selection);
        assert_eq!(picks.len() as i64, budget, "the quotas sum to the budget");
        let labels = Vec::<i64>::try_from(&problem.candidates.labels).unwrap();
        let validation_labels = Vec::<i64>::try_from(&problem.validation.labels).unwrap();
        let of_class = |labels: &[i64], class: i64| -> Vec<i64> {
            every(labels.len() as i64).into_iter().filter(|&i| labels[i as usize] == class).collect()
        };
        let mut start = 0;
        for class in 0..problem.biases.numel() as i64 {
            let members = of_class(&labels, class);
            let n_picked = picks.iter().filter(|&&pick| labels[pick as usize] == class).count();
            let exact = budget as f64 * members.len() as f64 / labels.len() as f64;
            assert!((n_picked as f64 - exact).abs() < 1.0, "{n_picked} of class {class} for {exact}");
            let (range, judges) = (start..start + n_picked, of_class(&validation_labels, class));
            start = range.end;
            if n_picked == 0 {
                continue;
            }
            let judges = if judges.is_empty() { every(validation_labels.len() as i64) } else { judges };
            let units: Vec<Vec<i64>> = members.iter().map(|&i| vec![i]).collect();
            let of_members: Vec<usize> = picks[range.clone()]
                .iter()
                .map(|pick| members.iter().position(|member| member == pick).expect("classes in order"))
                .collect();
            problem.assert_best(
                &glister,
                &units,
                &judges,
                &of_members,
                &gains[range],
                stream(seed, class as u64),
            );
        }
    });
}

#[test]
fn picks_per_batch_are_those_of_brute_force_with_mean_gradients() {
    over_problems(|problem, glister, budget, seed| {
        let n = problem.candidates.labels.size()[0];
        for size in [1, 4, 7] {
            let glister = Glister { scope: Scope::PerBatch { batch_size: size }, ..*glister };
            let selection = glister.choose(&problem.candidates, &problem.validation, budget, seed).unwrap();
            let (indices, gains) = parts(&selection);
            let units: Vec<Vec<i64>> = every(n).chunks(size).map(<[i64]>::to_vec).collect();
            let (mut picks, mut of_picks, mut at) = (Vec::new(), Vec::new(), 0);
            while at < indices.len() {
                let unit = indices[at] as usize / size;
                let len = units[unit].len();
                assert_eq!(indices[at..at + len], units[unit], "a whole batch, in its order");
                assert!(gains[at..at + len].iter().all(|&gain| gain == gains[at]));
                picks.push(unit);
                of_picks.push(gains[at]);
                at += len;
            }
            let nearest = ((budget as f64 / size as f64).round() as usize).clamp(1, units.len());
            assert_eq!(picks.len(), nearest);
            let judges = every(problem.validation.labels.size()[0]);
            problem.assert_best(&glister, &units, &judges, &picks, &of_picks, stream(seed, 0));
        }
    });
}
