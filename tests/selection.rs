//! What GLISTER promises beside the picks themselves (`selection_exactness` has those), and the loader that uses it.

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
}

fn sorted(mut indices: Vec<i64>) -> Vec<i64> {
    indices.sort_unstable();
    indices
}

const GREEDIES: [Greedy; 3] =
    [Greedy::RGreedy { rounds: 15 }, Greedy::Stochastic { epsilon: 0.01 }, Greedy::Naive];

#[test]
fn the_budget_is_met_exactly_and_no_sample_is_taken_twice() {
    let problem = Problem::random(50, 10, 4, 3, 1);
    for greedy in GREEDIES {
        for scope in [Scope::Whole, Scope::PerClass] {
            for budget in [1, 2, 14, 15, 16, 31, 49, 50] {
                let glister = Glister { greedy, scope, ..Default::default() };
                let selection = glister.choose(&problem.candidates, &problem.validation, budget, 0).unwrap();
                let mut picks = sorted(Vec::<i64>::try_from(&selection.indices).unwrap());
                picks.dedup();
                assert_eq!(picks.len() as i64, budget);
                assert_eq!(selection.gains.unwrap().size(), [budget]);
                assert_eq!(selection.weights.unwrap().size(), [budget]);
            }
        }
    }
}

/// With one feature and two classes every gain is the same few operations, wherever a sample stands: equals are equal to the
/// last bit.
#[test]
fn of_equal_gains_the_lower_index_is_taken() {
    let problem = Problem::random(40, 6, 1, 2, 5);
    // Four kinds of samples in turn, ten of each.
    let kinds = problem.candidates.select(&Tensor::from_slice(&(0..40).map(|i| i % 4).collect::<Vec<i64>>()));
    for greedy in GREEDIES {
        for linear_layer in [true, false] {
            // A stochastic sample of all that are left is as good as naive.
            let greedy = match greedy {
                Greedy::Stochastic { .. } => Greedy::Stochastic { epsilon: f64::MIN_POSITIVE },
                greedy => greedy,
            };
            let glister = Glister { greedy, linear_layer, eta: 1e-6, ..Default::default() };
            let picks = glister.choose(&kinds, &problem.validation, 10, 0).unwrap().indices;
            let picks = Vec::<i64>::try_from(picks).unwrap();
            let best = picks[0];
            assert!(best < 4, "{greedy:?}: the first of its kind, not {best}");
            assert_eq!(picks, (0..10).map(|i| best + 4 * i).collect::<Vec<_>>(), "{greedy:?}");
        }
    }
}

#[test]
fn one_seed_gives_one_selection_to_the_last_bit() {
    let problem = Problem::random(300, 70, 6, 5, 2);
    for greedy in GREEDIES {
        for linear_layer in [true, false] {
            for scope in [Scope::Whole, Scope::PerClass, Scope::PerBatch { batch_size: 16 }] {
                let glister = Glister { greedy, linear_layer, scope, ..Default::default() };
                let choose = |seed| {
                    let selection =
                        glister.choose(&problem.candidates, &problem.validation, 90, seed).unwrap();
                    let gains = Vec::<f32>::try_from(selection.gains.unwrap()).unwrap();
                    let bits: Vec<u32> = gains.iter().map(|gain| gain.to_bits()).collect();
                    (Vec::<i64>::try_from(selection.indices).unwrap(), bits)
                };
                let first = choose(7);
                assert_eq!(choose(7), first);
                let draws = matches!(greedy, Greedy::Stochastic { .. });
                assert_eq!(choose(8) != first, draws, "{greedy:?}: only the stochastic greedy draws");
            }
        }
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
    let picks = Glister::default().choose(&problem.candidates, &problem.validation, 20, 0).unwrap().indices;
    for seed in 0..20 {
        tch::manual_seed(seed);
        let random = Tensor::randperm(200, (Kind::Int64, Device::Cpu)).narrow(0, 0, 20);
        assert!(loss_after(&picks) < loss_after(&random));
    }
}

#[test]
fn what_does_not_fit_is_an_error_that_says_so() {
    let problem = Problem::random(10, 5, 4, 3, 0);
    let choose = |glister: Glister, budget| {
        glister.choose(&problem.candidates, &problem.validation, budget, 0).unwrap_err().to_string()
    };
    for budget in [0, -1, 11] {
        let message = choose(Glister::default(), budget);
        assert!(message.contains("budget") && message.contains("1 to 10"), "{message}");
    }
    let with = |greedy| Glister { greedy, ..Default::default() };
    assert!(choose(with(Greedy::RGreedy { rounds: 0 }), 5).contains("rounds"));
    for epsilon in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(choose(with(Greedy::Stochastic { epsilon }), 5).contains("epsilon"));
    }
    for eta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(choose(Glister { eta, ..Default::default() }, 5).contains("eta"));
    }
    let scope = Scope::PerBatch { batch_size: 0 };
    assert!(choose(Glister { scope, ..Default::default() }, 5).contains("batch_size"));
    for label_smoothing in [-0.1, 1.0, f64::NAN] {
        let loss = Loss::CrossEntropy { label_smoothing };
        assert!(choose(Glister { loss, ..Default::default() }, 5).contains("label_smoothing"));
    }
    let squared = Glister { loss: Loss::SquaredError, ..Default::default() };
    assert!(choose(squared, 5).contains("targets f32"), "classes are no targets");
    let message = choose(Glister { scope: Scope::PerClass, ..squared }, 5);
    assert!(message.contains("scope") && message.contains("per class"), "{message}");
    let other = Problem::random(10, 5, 6, 3, 0);
    let message =
        Glister::default().choose(&problem.candidates, &other.validation, 5, 0).unwrap_err().to_string();
    assert!(message.contains("D = 4") && message.contains("D = 6"), "{message}");
}

type Spoil = fn(&mut Problem);

#[test]
fn samples_that_cannot_be_computed_with_are_named() {
    let message = |spoil: Spoil, linear_layer| {
        let mut problem = Problem::random(10, 5, 4, 3, 0);
        spoil(&mut problem);
        let glister = Glister { linear_layer, ..Default::default() };
        glister.choose(&problem.candidates, &problem.validation, 5, 0).map_err(|error| error.to_string())
    };
    let spoilt: [(Spoil, &str, &str); 7] = [
        (|p| drop(p.candidates.features.get(3).fill_(f64::NAN)), "candidates: features", "finite"),
        (|p| drop(p.validation.features.get(1).fill_(f64::INFINITY)), "validation: features", "finite"),
        (
            |p| drop(p.candidates.logits.get(9).get(0).fill_(f64::NEG_INFINITY)),
            "candidates: logits",
            "finite",
        ),
        (|p| drop(p.candidates.labels.get(2).fill_(3)), "candidates: labels", "0 to 2"),
        (|p| drop(p.validation.labels.get(2).fill_(-1)), "validation: labels", "got -1"),
        (
            |p| p.candidates.features = p.candidates.features.to_kind(Kind::Double),
            "candidates: features",
            "f32",
        ),
        (|p| p.validation.labels = p.validation.labels.narrow(0, 0, 4), "validation", "one N"),
    ];
    for (spoil, name, expected) in spoilt {
        let message = message(spoil, true).unwrap_err();
        assert!(message.starts_with(name) && message.contains(expected), "{message}");
    }
    message(|p| drop(p.candidates.features.get(3).fill_(f64::NAN)), false)
        .expect("biases do not look at features");
    // A step that leaves the range of numbers is no selection.
    let problem = Problem::random(10, 5, 4, 3, 0);
    let squared = Problem {
        candidates: problem.candidates,
        validation: problem.validation,
        ..Problem::random(10, 5, 4, 3, 0)
    };
    let targets = |layer: &LastLayer| layer.logits.ones_like();
    let as_targets = |layer: &LastLayer| LastLayer {
        features: layer.features.copy(),
        logits: layer.logits.copy(),
        labels: targets(layer),
    };
    let glister = Glister { eta: 1e38, loss: Loss::SquaredError, ..Default::default() };
    let result = glister.choose(&as_targets(&squared.candidates), &as_targets(&squared.validation), 5, 0);
    let message = result.unwrap_err().to_string();
    assert!(message.starts_with("eta") && message.contains("overflow"), "{message}");
}

#[test]
fn one_validation_sample_and_empty_classes_are_no_trouble() {
    let mut problem = Problem::random(30, 1, 4, 10, 4);
    // Classes 8 and 9 have no candidates, and all but one have no validation sample.
    problem.candidates.labels = problem.candidates.labels.clamp_max(7);
    for greedy in GREEDIES {
        for scope in [Scope::Whole, Scope::PerClass, Scope::PerBatch { batch_size: 100 }] {
            let glister = Glister { greedy, scope, ..Default::default() };
            let selection = glister.choose(&problem.candidates, &problem.validation, 6, 0).unwrap();
            let expected = if matches!(scope, Scope::PerBatch { .. }) { 30 } else { 6 };
            assert_eq!(selection.indices.size(), [expected]);
        }
    }
}

#[test]
fn a_stop_ends_each_greedy() {
    let problem = Problem::random(30, 5, 4, 3, 4);
    glisten::interrupt::request();
    let results: Vec<_> = GREEDIES
        .iter()
        .map(|&greedy| {
            Glister { greedy, ..Default::default() }.choose(&problem.candidates, &problem.validation, 6, 0)
        })
        .collect();
    glisten::interrupt::clear();
    assert!(results.iter().all(|result| matches!(result, Err(Error::Interrupted(_)))));
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
        for batch in epoch {
            let Batch { inputs, labels, .. } = batch.unwrap();
            sizes.push(labels.size()[0]);
            optimizer.backward_step(&model.forward(&inputs, true).cross_entropy_for_logits(&labels));
        }
        assert_eq!(sizes, [50, 50, 20]);
    }
    assert_eq!(chosen[0], chosen[1]);
    assert_eq!(chosen[2], chosen[3]);
    assert_ne!(chosen[1], chosen[2], "the model has learnt: another subset is the best now");
}

#[test]
fn a_selects_options_reach_the_selection_and_its_run() {
    let select = Select::glister(0.25)
        .greedy(Greedy::Stochastic { epsilon: 0.1 })
        .scope(Scope::PerClass)
        .loss(Loss::CrossEntropy { label_smoothing: 0.1 })
        .linear_layer(false);
    let options = select.options();
    let option = |name: &str| options.get(name).map(ToString::to_string).unwrap_or_default();
    assert_eq!((option("greedy"), option("epsilon")), ("\"Stochastic\"".to_owned(), "0.1".to_owned()));
    assert_eq!((option("scope"), option("rounds")), ("\"per-class\"".to_owned(), String::new()));
    assert_eq!(option("selection_label_smoothing"), "0.1");
    let data = split_bars(600);
    let variables = nn::VarStore::new(Device::Cpu);
    let model = LeNet::for_data(&data).build(&variables.root());
    let epochs = |seed| {
        let mut loader = select.select_every(1).loader(&data.train, &data.validation).unwrap().seed(seed);
        let mut epoch =
            || sorted(Vec::<i64>::try_from(loader.epoch(model.as_ref()).unwrap().indices()).unwrap());
        (epoch(), epoch())
    };
    let (first, second) = epochs(3);
    assert_ne!(first, second, "another sample each time");
    assert_eq!(epochs(3), (first, second), "one seed, one choice");
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
    let at_label = seen.residuals().unwrap().gather(1, &seen.labels.unsqueeze(1), false);
    assert!((at_label - (p - 1.0)).abs().max().double_value(&[]) < 1e-6);
}
