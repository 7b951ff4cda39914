//! GLISTER's picks against a brute-force reference that forms every last-layer gradient by autograd and takes each
//! hypothetical step on a real layer.

use glisten::prelude::*;
use glisten::select::{LastLayer, last_layer};
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind, Tensor};

use super::support::split_bars;

struct Problem {
    weights: Tensor, // [C, D]
    biases: Tensor,  // [C]
    candidates: LastLayer,
    validation: LastLayer,
}

impl Problem {
    fn random(n: i64, m: i64, d: i64, c: i64, seed: i64) -> Self {
        tch::manual_seed(seed);
        let weights = Tensor::randn([c, d], (Kind::Float, Device::Cpu)) * 0.5;
        let biases = Tensor::randn([c], (Kind::Float, Device::Cpu)) * 0.5;
        let samples = |n: i64| {
            let features = Tensor::randn([n, d], (Kind::Float, Device::Cpu));
            let logits = features.matmul(&weights.tr()) + &biases;
            LastLayer { features, logits, labels: Tensor::randint(c, [n], (Kind::Int64, Device::Cpu)) }
        };
        let (candidates, validation) = (samples(n), samples(m));
        Self { weights, biases, candidates, validation }
    }

    /// The last layer's gradient of the mean cross-entropy over `samples`, by autograd: (of the weights, of the biases).
    fn gradient(weights: &Tensor, biases: &Tensor, features: &Tensor, labels: &Tensor) -> (Tensor, Tensor) {
        let weights = weights.detach().copy().set_requires_grad(true);
        let biases = biases.detach().copy().set_requires_grad(true);
        let loss = (features.matmul(&weights.tr()) + &biases).cross_entropy_for_logits(labels);
        let gradients = Tensor::run_backward(&[loss], &[&weights, &biases], false, false);
        (gradients[0].shallow_clone(), gradients[1].shallow_clone())
    }

    /// The greedy choice, sample by sample: every candidate's own gradient times the validation gradient at weights
    /// that were really moved.
    fn brute_force(&self, budget: i64, greedy: &RGreedy) -> Vec<i64> {
        let n = self.candidates.labels.size()[0];
        let single: Vec<(Tensor, Tensor)> = (0..n)
            .map(|i| {
                let (features, labels) =
                    (self.candidates.features.narrow(0, i, 1), self.candidates.labels.narrow(0, i, 1));
                Self::gradient(&self.weights, &self.biases, &features, &labels)
            })
            .collect();
        let (mut weights, mut biases) = (self.weights.copy(), self.biases.copy());
        let mut chosen: Vec<i64> = Vec::new();
        let rounds = (greedy.rounds as i64).min(budget);
        for round in 0..rounds {
            let left = budget - chosen.len() as i64;
            let share = (left as f64 / (rounds - round) as f64).ceil() as usize;
            let (g_w, g_b) =
                Self::gradient(&weights, &biases, &self.validation.features, &self.validation.labels);
            let mut gains: Vec<(i64, f64)> = (0..n)
                .filter(|i| !chosen.contains(i))
                .map(|i| {
                    let (of_weights, of_biases) = &single[i as usize];
                    let mut gain = (of_biases * &g_b).sum(Kind::Double).double_value(&[]);
                    if greedy.linear_layer {
                        gain += (of_weights * &g_w).sum(Kind::Double).double_value(&[]);
                    }
                    (i, gain)
                })
                .collect();
            gains.sort_by(|a, b| b.1.total_cmp(&a.1));
            for &(i, _) in gains.iter().take(share) {
                biases -= &single[i as usize].1 * greedy.eta;
                if greedy.linear_layer {
                    weights -= &single[i as usize].0 * greedy.eta;
                }
                chosen.push(i);
            }
        }
        chosen
    }
}

fn sorted(mut indices: Vec<i64>) -> Vec<i64> {
    indices.sort_unstable();
    indices
}

#[test]
fn picks_equal_those_of_brute_force_with_autograds_gradients() {
    for (seed, &(n, m, d, c, budget, rounds)) in [
        (40, 12, 5, 3, 10, 4),
        (60, 20, 8, 10, 25, 15),
        (30, 1, 4, 2, 7, 7),
        (25, 9, 3, 4, 3, 15),
        (12, 5, 2, 2, 12, 5),
    ]
    .iter()
    .enumerate()
    {
        for linear_layer in [true, false] {
            for eta in [0.01, 0.5] {
                let problem = Problem::random(n, m, d, c, seed as i64);
                let greedy = RGreedy { eta, rounds, linear_layer };
                let selection = greedy.choose(&problem.candidates, &problem.validation, budget).unwrap();
                let picks = Vec::<i64>::try_from(&selection.indices).unwrap();
                assert_eq!(picks.len() as i64, budget);
                let expected = problem.brute_force(budget, &greedy);
                assert_eq!(
                    sorted(picks),
                    sorted(expected),
                    "n {n} budget {budget} linear_layer {linear_layer} eta {eta}"
                );
            }
        }
    }
}

#[test]
fn the_budget_is_met_exactly_and_no_sample_is_taken_twice() {
    let problem = Problem::random(50, 10, 4, 3, 1);
    for budget in [1, 2, 14, 15, 16, 31, 49, 50] {
        let selection = RGreedy::default().choose(&problem.candidates, &problem.validation, budget).unwrap();
        let mut picks = sorted(Vec::<i64>::try_from(&selection.indices).unwrap());
        picks.dedup();
        assert_eq!(picks.len() as i64, budget);
        assert_eq!(selection.gains.unwrap().size(), [budget]);
    }
}

#[test]
fn the_chosen_step_lowers_the_validation_loss_more_than_a_random_one() {
    let problem = Problem::random(200, 50, 6, 4, 3);
    let loss_after = |indices: &Tensor| {
        let chosen = problem.candidates.select(indices);
        let (w, b) = Problem::gradient(&problem.weights, &problem.biases, &chosen.features, &chosen.labels);
        let logits = problem.validation.features.matmul(&(&problem.weights - w).tr()) + (&problem.biases - b);
        logits.cross_entropy_for_logits(&problem.validation.labels).double_value(&[])
    };
    let picks = RGreedy::default().choose(&problem.candidates, &problem.validation, 20).unwrap().indices;
    for seed in 0..20 {
        tch::manual_seed(seed);
        let random = Tensor::randperm(200, (Kind::Int64, Device::Cpu)).narrow(0, 0, 20);
        assert!(loss_after(&picks) < loss_after(&random));
    }
}

#[test]
fn what_does_not_fit_is_an_error_that_says_so() {
    let problem = Problem::random(10, 5, 4, 3, 0);
    let choose = |greedy: RGreedy, budget| {
        greedy.choose(&problem.candidates, &problem.validation, budget).unwrap_err().to_string()
    };
    for budget in [0, -1, 11] {
        let message = choose(RGreedy::default(), budget);
        assert!(message.contains("budget") && message.contains("1 to 10"), "{message}");
    }
    assert!(choose(RGreedy { rounds: 0, ..Default::default() }, 5).contains("rounds"));
    assert!(choose(RGreedy { eta: f64::NAN, ..Default::default() }, 5).contains("eta"));
    let other = Problem::random(10, 5, 6, 3, 0);
    let message =
        RGreedy::default().choose(&problem.candidates, &other.validation, 5).unwrap_err().to_string();
    assert!(message.contains("D = 4") && message.contains("D = 6"), "{message}");
}

/// The loader form of design.md: a training loop of one's own.
#[test]
fn a_loop_of_ones_own_gets_chosen_batches() {
    let data = split_bars(600);
    let variables = nn::VarStore::new(Device::Cpu);
    let model = LeNet::for_data(&data).build(&variables.root());
    let mut optimizer = nn::Sgd::default().build(&variables, 0.05).unwrap();
    let mut loader =
        Select::glister(0.25).select_every(2).loader(&data.train, &data.validation).unwrap().batch_size(50);
    let mut chosen = Vec::new();
    for _ in 0..4 {
        let epoch = loader.epoch(&model).unwrap();
        assert_eq!(epoch.n_samples(), 120);
        chosen.push(sorted(Vec::<i64>::try_from(epoch.indices()).unwrap()));
        let mut sizes = Vec::new();
        for (images, labels) in epoch {
            sizes.push(labels.size()[0]);
            optimizer.backward_step(&model.forward(&images, true).cross_entropy_for_logits(&labels));
        }
        assert_eq!(sizes, [50, 50, 20]);
    }
    assert_eq!(chosen[0], chosen[1]);
    assert_eq!(chosen[2], chosen[3]);
    assert_ne!(chosen[1], chosen[2], "the model has learnt: another subset is the best now");
}

#[test]
fn random_subsets_are_fresh_or_fixed_as_their_name_says() {
    let data = split_bars(600);
    let variables = nn::VarStore::new(Device::Cpu);
    let model = LeNet::for_data(&data).build(&variables.root());
    let epochs = |select: Select, seed| {
        let mut loader = select.loader(&data.train, &data.validation).unwrap().seed(seed);
        let mut epoch = || Vec::<i64>::try_from(loader.epoch(model.as_ref()).unwrap().indices()).unwrap();
        (epoch(), epoch())
    };
    let (first, second) = epochs(Select::fresh_random(0.5), 3);
    assert_eq!((first.len(), second.len()), (240, 240));
    assert_ne!(sorted(first.clone()), sorted(second));
    assert_eq!(epochs(Select::fresh_random(0.5), 3).0, first, "one seed, one subset");
    assert_ne!(epochs(Select::fresh_random(0.5), 4).0, first);
    let (first, second) = epochs(Select::fixed_random(0.5), 3);
    assert_ne!(first, second, "the order changes");
    assert_eq!(sorted(first), sorted(second), "the subset does not");
    let (first, _) = epochs(Select::full(), 3);
    assert_eq!(sorted(first), (0..480).collect::<Vec<_>>());
}

#[test]
fn the_pass_over_the_data_gives_what_the_model_gives() {
    let data = split_bars(1300);
    let variables = nn::VarStore::new(Device::Cpu);
    tch::manual_seed(0);
    let model = LeNet::for_data(&data).build(&variables.root());
    let normalization = glisten::data::Normalization::of(&data.train);
    let seen = last_layer(model.as_ref(), &data.train, &normalization).unwrap();
    assert_eq!((seen.features.size(), seen.logits.size()), (vec![1040, 84], vec![1040, 10]));
    let direct = tch::no_grad(|| model.forward(&normalization.apply(&data.train.inputs), false));
    assert!((direct - &seen.logits).abs().max().double_value(&[]) < 1e-5);
    let images = normalization.apply(&data.train.inputs);
    assert!(images.mean(Kind::Double).double_value(&[]).abs() < 1e-4);
    assert!((images.std(false).double_value(&[]) - 1.0).abs() < 1e-4);
    let p = seen.logits.softmax(-1, Kind::Float).gather(1, &seen.labels.unsqueeze(1), false);
    let at_label = seen.residuals().gather(1, &seen.labels.unsqueeze(1), false);
    assert!((at_label - (p - 1.0)).abs().max().double_value(&[]) < 1e-6);
}
