//! What every strategy promises; and of the weighted draw, what it does where samples are hard, labels wrong, classes rare.

use std::collections::BTreeSet;

use glisten::data::{ClassImbalance, LabelNoise};
use glisten::prelude::*;
use glisten::select::{BatchIndices, LastLayer, STRATEGIES, WeightedDraw};
use tch::{Device, Kind, Tensor, nn};

use super::support::split_bars;

fn model(data: &Splits) -> (nn::VarStore, Box<dyn Model>) {
    let variables = nn::VarStore::new(Device::Cpu);
    tch::manual_seed(0);
    let model = LeNet::for_data(data).build(&variables.root());
    (variables, model)
}

fn to_vec(indices: &Tensor) -> Vec<i64> {
    Vec::try_from(indices).unwrap()
}

/// Logits that give each label the probability of its entry, the rest alike.
fn logits(labels: &Tensor, probabilities: &[f32], n_classes: i64) -> Tensor {
    let n = labels.size()[0];
    let p = Tensor::from_slice(probabilities).unsqueeze(1);
    let rest = ((1.0_f64 - &p) / (n_classes - 1) as f64).expand([n, n_classes], true).copy();
    rest.scatter(1, &labels.unsqueeze(1), &p).log()
}

/// One epoch in which training sees `probability(sample)` for each label; its samples.
fn go_through(
    loader: &mut Loader,
    model: &dyn Model,
    n_classes: i64,
    probability: &dyn Fn(i64) -> f32,
) -> (Vec<i64>, Vec<BatchIndices>) {
    let mut epoch = loader.epoch(model).unwrap();
    let (mut met, mut batches) = (Vec::new(), Vec::new());
    while let Some(batch) = epoch.next_indices().unwrap() {
        let samples = to_vec(&batch.indices);
        let labels = epoch.examples().labels.index_select(0, &batch.indices);
        let probabilities: Vec<f32> = samples.iter().map(|&at| probability(at)).collect();
        let features = Tensor::ones([samples.len() as i64, 4], (Kind::Float, Device::Cpu));
        epoch.note(&batch.indices, &features, &logits(&labels, &probabilities, n_classes)).unwrap();
        met.extend(samples);
        batches.push(batch);
    }
    (met, batches)
}

fn note_validation(loader: &mut Loader, data: &Splits, probability: &dyn Fn(i64) -> f32) {
    let labels = data.validation.labels.shallow_clone();
    let n = labels.size()[0];
    let probabilities: Vec<f32> = (0..n).map(probability).collect();
    loader.note_validation(LastLayer {
        features: Tensor::ones([n, 4], (Kind::Float, Device::Cpu)),
        logits: logits(&labels, &probabilities, data.n_classes() as i64),
        labels,
    });
}

#[test]
fn every_strategy_keeps_its_budget_meets_no_sample_twice_and_is_the_same_with_the_same_seed() {
    let data = split_bars(600); // 480 to train on
    for name in STRATEGIES {
        let fraction = if name == "full" { 1.0 } else { 0.25 };
        let epochs = |seed: u64| -> Vec<Vec<i64>> {
            let (_variables, model) = model(&data);
            let select = Select::named(name, fraction).unwrap();
            assert_eq!(select.name(), name);
            let mut loader =
                select.loader(&data.train, &data.validation).unwrap().epochs(4).batch_size(50).seed(seed);
            (0..4)
                .map(|_| {
                    let mut epoch = loader.epoch(model.as_ref()).unwrap();
                    let n_samples = epoch.n_samples();
                    let mut met = Vec::new();
                    while let Some(batch) = epoch.next_indices().unwrap() {
                        let indices = batch.indices.shallow_clone();
                        let inputs = epoch.examples().inputs.index_select(0, &indices);
                        let features = model.features(&epoch.normalization().apply(&inputs), true);
                        epoch.note(&indices, &features, &model.logits(&features)).unwrap();
                        if let Some(weights) = &batch.weights {
                            assert_eq!(weights.size(), indices.size());
                            assert!(weights.min().double_value(&[]) >= 0.0, "{name}");
                        }
                        met.extend(to_vec(&indices));
                    }
                    assert_eq!(met.len() as i64, n_samples, "{name}");
                    met
                })
                .collect()
        };
        let (first, again, other) = (epochs(1), epochs(1), epochs(2));
        assert_eq!(first, again, "{name}");
        assert_ne!(first, other, "{name}");
        for met in &first {
            assert_eq!(met.len() as f64, 480.0 * fraction, "{name}");
            assert_eq!(met.iter().collect::<BTreeSet<_>>().len(), met.len(), "{name}: each once");
            assert!(met.iter().all(|at| (0..480).contains(at)), "{name}");
        }
    }
}

#[test]
fn the_weighted_draw_goes_for_what_is_hard_and_for_what_was_not_met_for_long() {
    let data = split_bars(2500); // 2,000 to train on
    let (_variables, model) = model(&data);
    let hard = |at: i64| if at % 4 == 0 { 0.3 } else { 0.95 };
    let draw = WeightedDraw { turn: 0.0, ..Default::default() };
    let share_of_hard = |select: Select| {
        let mut loader = select.loader(&data.train, &data.validation).unwrap().batch_size(100);
        let mut met = Vec::new();
        for number in 0..12 {
            let now = go_through(&mut loader, model.as_ref(), data.n_classes() as i64, &hard).0;
            met.extend(now.into_iter().filter(|_| number >= 6));
            note_validation(&mut loader, &data, &hard);
        }
        met.iter().filter(|&&at| at % 4 == 0).count() as f64 / met.len() as f64
    };
    let chosen = share_of_hard(Select::weighted_draw(0.2, draw));
    assert!(chosen > 0.35, "a quarter is hard; of those drawn {chosen}");
    let even = share_of_hard(Select::weighted_draw(0.2, WeightedDraw { hardness: 0.0, ..draw }));
    assert!((even - 0.25).abs() < 0.04, "{even}");
    // With a turn that counts for much, 2,000 samples are met in ten draws of 200 nearly all.
    let mut loader = Select::weighted_draw(0.1, WeightedDraw { hardness: 0.0, turn: 8.0, ..draw })
        .loader(&data.train, &data.validation)
        .unwrap();
    let mut ever = BTreeSet::new();
    for _ in 0..11 {
        ever.extend(go_through(&mut loader, model.as_ref(), data.n_classes() as i64, &hard).0);
        note_validation(&mut loader, &data, &hard);
    }
    // Drawn evenly, it would be 2,000 · (1 − 0.9^11) = 1,372.
    assert!(ever.len() > 1800, "{}", ever.len());
}

#[test]
fn wrong_labels_are_counted_held_back_and_corrected_for() {
    let data = split_bars(2500);
    let n_classes = data.n_classes() as i64;
    let noisy = data.with_label_noise(LabelNoise { rate: 0.4, ..Default::default() }).unwrap();
    let wrong: BTreeSet<i64> = noisy.noise.as_ref().unwrap().flipped.iter().copied().collect();
    let (_variables, model) = model(&noisy);
    // A model that knows nine of ten samples: of a wrong label, it gives the true class 0.9.
    let known = |at: i64| if at % 10 == 0 { 0.2 } else { 0.9 };
    let seen = |at: i64| if wrong.contains(&at) { 0.1 / (n_classes - 1) as f32 } else { known(at) };
    let mut loader = Select::auto(0.2).loader(&noisy.train, &noisy.validation).unwrap().batch_size(100);
    let (mut met, mut batches) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        (met, batches) = go_through(&mut loader, model.as_ref(), n_classes, &seen);
        note_validation(&mut loader, &noisy, &known);
    }
    let evidence = loader.evidence().unwrap().unwrap();
    assert!((evidence.noise_rate - 0.4).abs() < 0.06, "{}", evidence.noise_rate);
    let n_wrong = met.iter().filter(|at| wrong.contains(at)).count() as f64 / met.len() as f64;
    assert!(n_wrong < 0.2, "40 % of the labels are wrong; of those drawn {n_wrong}");

    // At the step, a loss counts by the chance that its label is right.
    let mut epoch = loader.epoch(model.as_ref()).unwrap();
    assert!(epoch.weighs(&batches[0]));
    let losses = Tensor::from_slice(&[0.1_f32, 5.0]);
    let batch = BatchIndices { indices: Tensor::from_slice(&[0_i64, 1]), weights: None };
    let weights = Vec::<f32>::try_from(epoch.weights(&batch, &losses).unwrap()).unwrap();
    assert!(weights[0] > 0.9 && weights[1] < 0.3, "{weights:?}");
    // One who only tells what his step saw is handed the same weights.
    let batch = epoch.next().unwrap().unwrap();
    let probabilities: Vec<f32> = to_vec(&batch.indices).into_iter().map(seen).collect();
    let features = Tensor::ones([probabilities.len() as i64, 4], (Kind::Float, Device::Cpu));
    let stats = BatchStats { features: &features, logits: &logits(&batch.labels, &probabilities, n_classes) };
    let weights = epoch.observe(&batch, &stats).unwrap();
    let given =
        BatchIndices { indices: batch.indices.shallow_clone(), weights: Some(batch.weights.shallow_clone()) };
    let expected = epoch.weights(&given, &-Tensor::from_slice(&probabilities).log()).unwrap();
    assert!((&weights - expected).abs().max().double_value(&[]) < 1e-3, "{weights:?}");
    let of_doubted = weights.double_value(&[probabilities.iter().position(|p| *p < 0.1).unwrap() as i64]);
    assert!(of_doubted < 0.5 * batch.weights.max().double_value(&[]), "{of_doubted}");

    // What the evidence says of each sample: those with a wrong label pull the other way.
    let table = evidence.to_dataframe().unwrap();
    assert_eq!(table.shape(), (noisy.train.len(), 5));
    let times = to_vec(&evidence.times_met);
    assert_eq!(times.iter().sum::<i64>(), 8 * 400);
    let losses = Vec::<f32>::try_from(&evidence.loss).unwrap();
    for (at, loss) in losses.iter().enumerate().filter(|&(at, _)| times[at] > 0) {
        assert!((loss + seen(at as i64).ln()).abs() < 1e-4, "{at}: {loss}");
    }
    assert!(losses.iter().zip(&times).all(|(loss, &times)| loss.is_nan() == (times == 0)));
}

#[test]
fn clean_labels_are_left_alone() {
    let data = split_bars(2500);
    let (_variables, model) = model(&data);
    let known = |at: i64| if at % 10 == 0 { 0.2 } else { 0.9 };
    let mut loader = Select::auto(0.2).loader(&data.train, &data.validation).unwrap().batch_size(100);
    for _ in 0..8 {
        let (_, batches) = go_through(&mut loader, model.as_ref(), data.n_classes() as i64, &known);
        assert!(batches.iter().all(|batch| batch.weights.is_none()));
        note_validation(&mut loader, &data, &known);
    }
    assert_eq!(loader.evidence().unwrap().unwrap().noise_rate, 0.0);
    let epoch = loader.epoch(model.as_ref()).unwrap();
    assert!(!epoch.weighs(&BatchIndices { indices: Tensor::from_slice(&[0_i64]), weights: None }));
}

#[test]
fn rare_classes_are_drawn_as_the_validation_set_has_them() {
    let imbalance = ClassImbalance { classes: 0.5, keep: 0.1, seed: 1 };
    let data = split_bars(3000).with_class_imbalance(imbalance).unwrap();
    let n_classes = data.n_classes();
    let (_variables, model) = model(&data);
    let labels = to_vec(&data.train.labels);
    let shares = |select: Select| -> (Vec<f64>, Vec<f64>) {
        let mut loader = select.loader(&data.train, &data.validation).unwrap().batch_size(100);
        let (mut n, mut weighed) = (vec![0.0; n_classes], vec![0.0; n_classes]);
        for number in 0..10 {
            let (_, batches) = go_through(&mut loader, model.as_ref(), n_classes as i64, &|_| 0.7);
            note_validation(&mut loader, &data, &|_| 0.7);
            for batch in batches.iter().filter(|_| number >= 2) {
                for (row, at) in to_vec(&batch.indices).into_iter().enumerate() {
                    let class = labels[at as usize] as usize;
                    n[class] += 1.0;
                    weighed[class] +=
                        batch.weights.as_ref().map_or(1.0, |weights| weights.double_value(&[row as i64]));
                }
            }
        }
        let share = |counts: Vec<f64>| {
            let sum: f64 = counts.iter().sum();
            counts.into_iter().map(|count| count / sum).collect::<Vec<f64>>()
        };
        (share(n), share(weighed))
    };
    let rarest = |shares: &[f64]| shares.iter().copied().fold(1.0, f64::min);
    let (random, _) = shares(Select::fresh_random(0.1));
    assert!(rarest(&random) < 0.5 / n_classes as f64, "{random:?}");
    // A draw without replacement takes a little less than it should of those it takes most of; weights make up for it.
    let (drawn, weighed) = shares(Select::auto(0.1));
    assert!(rarest(&drawn) > 0.55 / n_classes as f64, "{drawn:?}");
    assert!(rarest(&weighed) > 0.7 / n_classes as f64, "{weighed:?}");
    // At half of the data, a rare class has fewer samples than it should give: they weigh more.
    let (drawn, weighed) = shares(Select::auto(0.5));
    assert!(rarest(&drawn) < 0.5 / n_classes as f64, "{drawn:?}");
    assert!(rarest(&weighed) > 0.7 / n_classes as f64, "{weighed:?}");
}

#[test]
fn the_settings_of_a_draw_are_checked_and_kept_with_the_run() {
    let data = split_bars(100);
    for (draw, name) in [
        (WeightedDraw { hardness: -1.0, ..Default::default() }, "hardness"),
        (WeightedDraw { floor: f64::NAN, ..Default::default() }, "floor"),
        (WeightedDraw { correction: 1.5, ..Default::default() }, "correction"),
    ] {
        let error = Select::weighted_draw(0.5, draw).loader(&data.train, &data.validation).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    let options = Select::auto(0.1).options();
    assert_eq!(options, Select::weighted_draw(0.1, WeightedDraw::default()).options());
    assert_eq!(options["draw_hardness"], 1.0);
    let message = Select::named("infobach", 0.1).unwrap_err().to_string();
    assert!(message.contains("did you mean 'infobatch'"), "{message}");
}

#[test]
fn a_training_by_remembered_losses_keeps_its_evidence_and_weighted_trainings_learn() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let experiment = Experiment::create_in(&store, "strategies").unwrap();
    let data = split_bars(700);
    for name in STRATEGIES {
        let select = Select::named(name, if name == "full" { 1.0 } else { 0.4 }).unwrap();
        let trainer = Trainer::new(LeNet::for_data(&data))
            .select(select)
            .epochs(12)
            .batch_size(40)
            .learning_rate(0.02)
            .seed(1);
        let fitted = trainer.fit(&data, &experiment).unwrap();
        let accuracy = fitted.test_accuracy.or(fitted.validation_accuracy).unwrap();
        // GLISTER keeps the same few, and may miss a class.
        assert!(accuracy > if name == "glister" { 0.3 } else { 0.8 }, "{name}: {accuracy}");
        let run = experiment.find_run(&fitted.run).unwrap();
        let kept = run.artifacts().unwrap().iter().any(|artifact| artifact.name == "evidence");
        assert_eq!(kept, ["auto", "weighted-draw", "infobatch"].contains(&name), "{name}");
        let selections = run.selection_records().unwrap().len();
        let expected = match name {
            "full" | "fresh-random" | "fixed-random" | "hardest-half" => 0,
            "glister" | "grad-match" => 3,
            _ => 12,
        };
        assert_eq!(selections, expected, "{name}");
    }
}

#[test]
fn a_regression_can_be_drawn_by_its_losses() {
    use glisten::model::Mlp;
    let folder = tempfile::tempdir().unwrap();
    let mut csv = String::from("x,z,y\n");
    for at in 0..400 {
        let (x, z) = (f64::from(at % 20) / 10.0, f64::from(at / 20) / 10.0);
        csv.push_str(&format!("{x},{z},{}\n", 3.0 * x - z));
    }
    let path = folder.path().join("plane.csv");
    std::fs::write(&path, csv).unwrap();
    let data = glisten::data::DataSpec::new(path.to_str().unwrap())
        .target("y")
        .load_split(None, Split::default())
        .unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let experiment = Experiment::create_in(&store, "plane").unwrap();
    for name in ["auto", "infobatch", "hardest-half", "grad-match"] {
        let trainer = Trainer::new(Mlp::for_data(&data))
            .select(Select::named(name, 0.3).unwrap())
            .epochs(6)
            .batch_size(16)
            .learning_rate(0.003);
        trainer.fit(&data, &experiment).unwrap();
    }
}
