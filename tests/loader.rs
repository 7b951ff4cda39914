//! The loader: warm starts, pools, the cheap mode, and what cannot be chosen by.

use glisten::data::Normalization;
use glisten::prelude::*;
use glisten::select::last_layer;
use tch::{Device, IndexOp, Kind, Tensor, nn};

use super::support::split_bars;

fn model(data: &Splits) -> (nn::VarStore, Box<dyn Model>) {
    let variables = nn::VarStore::new(Device::Cpu);
    tch::manual_seed(0);
    let model = LeNet::for_data(data).build(&variables.root());
    (variables, model)
}

fn sorted(indices: &Tensor) -> Vec<i64> {
    let mut indices = Vec::<i64>::try_from(indices).unwrap();
    indices.sort_unstable();
    indices
}

fn to_vec(indices: &Tensor) -> Vec<i64> {
    Vec::try_from(indices).unwrap()
}

#[test]
fn a_warm_start_trains_on_all_of_the_data_first_and_then_selects_at_once() {
    let data = split_bars(600); // 480 to train on
    let (_variables, model) = model(&data);
    // int(0.5 · 9) = 4, ⌈4 · 0.25⌉ = 1 full epoch, then 9 − 4 = 5 on 120 samples.
    let mut loader = Select::glister(0.25)
        .kappa(0.5)
        .select_every(2)
        .loader(&data.train, &data.validation)
        .unwrap()
        .epochs(9)
        .batch_size(50);
    assert_eq!((loader.n_epochs(), loader.n_steps()), (Some(6), Some(10 + 5 * 3)));
    let (mut sizes, mut selected, mut steps) = (Vec::new(), Vec::new(), 0);
    for _ in 0..6 {
        let epoch = loader.epoch(model.as_ref()).unwrap();
        sizes.push(epoch.n_samples());
        selected.push(epoch.selection.is_some());
        steps += epoch.count() as u64;
    }
    assert_eq!(sizes, [480, 120, 120, 120, 120, 120]);
    assert_eq!(selected, [false, true, false, true, false, true], "from the first subset epoch on, every 2");
    assert_eq!(loader.n_steps(), Some(steps), "the steps are known beforehand");

    let mut unplanned = Select::fresh_random(0.25).kappa(0.5).loader(&data.train, &data.validation).unwrap();
    let message = unplanned.epoch(model.as_ref()).unwrap_err().to_string();
    assert!(message.contains("epochs") && message.contains("kappa = 0.5"), "{message}");
}

#[test]
fn a_warm_start_costs_what_the_cold_one_does() {
    let data = split_bars(2500); // 2,000 to train on
    for (fraction, kappa) in [(0.1, 0.5), (0.3, 0.5), (0.5, 0.3)] {
        let n_samples = |select: Select| -> i64 {
            let (_variables, model) = model(&data);
            let mut loader = select.loader(&data.train, &data.validation).unwrap().epochs(20);
            (0..loader.n_epochs().unwrap()).map(|_| loader.epoch(model.as_ref()).unwrap().n_samples()).sum()
        };
        let (warm, cold) = (
            n_samples(Select::fresh_random(fraction).kappa(kappa)),
            n_samples(Select::fresh_random(fraction)),
        );
        assert!(
            (warm - cold).abs() <= 2000,
            "fraction {fraction}: {warm} against {cold}, at most an epoch apart"
        );
    }
}

/// What a selection from a pool has to be, by hand: the same pool, passed through the model, and the same greedy.
#[test]
fn a_pool_bounds_what_is_looked_at_and_is_drawn_anew() {
    let data = split_bars(600);
    let (_variables, model) = model(&data);
    let mut loader = Select::glister(0.1)
        .pool(2.0)
        .select_every(1)
        .loader(&data.train, &data.validation)
        .unwrap()
        .epochs(30);
    let mut ever = vec![false; 480];
    let mut different = std::collections::BTreeSet::new();
    for _ in 0..30 {
        let chosen = sorted(loader.epoch(model.as_ref()).unwrap().indices());
        assert_eq!(chosen.len(), 48);
        assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]), "each once");
        chosen.iter().for_each(|&at| ever[at as usize] = true);
        different.insert(chosen);
    }
    // The model is the same each time: without a pool the picks would be, too.
    assert_eq!(different.len(), 30);
    let n_ever = ever.into_iter().filter(|&one| one).count();
    assert!(n_ever > 240, "{n_ever} of 480");

    let whole = |select: Select| {
        let mut loader = select.loader(&data.train, &data.validation).unwrap();
        sorted(loader.epoch(model.as_ref()).unwrap().indices())
    };
    assert_eq!(whole(Select::glister(0.1).pool(10.0)), whole(Select::glister(0.1)), "a pool of all is all");
    let of_fewer = whole(Select::glister(0.1).validation_samples(20));
    assert_eq!(of_fewer.len(), 48);
    assert_ne!(of_fewer, whole(Select::glister(0.1)));
}

#[test]
fn the_cheap_mode_chooses_by_what_training_saw_and_draws_what_it_never_saw() {
    let data = split_bars(600);
    let (_variables, model) = model(&data);
    let select = Select::glister(0.25).remembered(true).select_every(1).kappa(0.5);
    let mut loader = select.loader(&data.train, &data.validation).unwrap().epochs(8).batch_size(50).seed(4);
    // One full epoch: all is seen.
    let mut epoch = loader.epoch(model.as_ref()).unwrap();
    assert!(epoch.remembers() && epoch.selection.is_none());
    let _no_grad = tch::no_grad_guard();
    while let Some(batch) = epoch.next().transpose().unwrap() {
        let features = model.features(&batch.inputs, true);
        let logits = model.logits(&features);
        let _ = epoch.observe(&batch, &BatchStats { features: &features, logits: &logits }).unwrap();
    }
    // As the model did not learn, what was noted is what a pass gives, so the picks must be those of a pass.
    let cheap = loader.epoch(model.as_ref()).unwrap().selection.take().unwrap();
    let mut thorough = Select::glister(0.25).loader(&data.train, &data.validation).unwrap().seed(4);
    let expected = thorough.epoch(model.as_ref()).unwrap().selection.take().unwrap();
    let (cheap, expected) = (sorted(&cheap.indices), sorted(&expected.indices));
    let n_same = cheap.iter().filter(|at| expected.contains(at)).count();
    assert!(n_same >= 118, "{n_same} of 120: all but ties within float noise");
    assert_eq!(loader.n_noted_bytes(), 480 * (84 + 10) * 4 + 480);

    // Nothing seen: everything is drawn, without a gain. A quarter seen: three quarters of the budget are drawn.
    let mut loader = Select::glister(0.25)
        .remembered(true)
        .select_every(1)
        .loader(&data.train, &data.validation)
        .unwrap()
        .batch_size(50);
    let mut epoch = loader.epoch(model.as_ref()).unwrap();
    let first = epoch.selection.take().unwrap();
    assert!(first.gains.is_none());
    while let Some(batch) = epoch.next().transpose().unwrap() {
        let features = model.features(&batch.inputs, true);
        let logits = model.logits(&features);
        let _ = epoch.observe(&batch, &BatchStats { features: &features, logits: &logits }).unwrap();
    }
    let second = loader.epoch(model.as_ref()).unwrap().selection.take().unwrap();
    let first = to_vec(&first.indices);
    let gains = Vec::<f32>::try_from(second.gains.as_ref().unwrap()).unwrap();
    let (mut n_seen, mut n_new) = (0, 0);
    for (index, gain) in to_vec(&second.indices).into_iter().zip(gains) {
        assert_eq!(first.contains(&index), !gain.is_nan(), "a gain where it was seen, and only there");
        if gain.is_nan() { n_new += 1 } else { n_seen += 1 }
    }
    assert_eq!((n_seen, n_new), (30, 90));
}

#[test]
fn notes_that_do_not_fit_the_batch_are_refused() {
    let data = split_bars(600);
    let (_variables, model) = model(&data);
    let select = Select::glister(0.25).remembered(true);
    let mut loader = select.loader(&data.train, &data.validation).unwrap().batch_size(50);
    let mut epoch = loader.epoch(model.as_ref()).unwrap();
    let indices = epoch.next().unwrap().unwrap().indices;
    let zeros = |n: i64, d: i64| Tensor::zeros([n, d], (Kind::Float, Device::Cpu));
    let message = epoch.note(&indices, &zeros(49, 84), &zeros(50, 10)).unwrap_err().to_string();
    assert!(message.contains("features") && message.contains("50 rows"), "{message}");
    epoch.note(&indices, &zeros(50, 84), &zeros(50, 10)).unwrap();
}

#[test]
fn notes_for_a_weighted_draw_are_refused_where_they_fit_nothing() {
    let data = split_bars(600);
    let (_variables, model) = model(&data);
    let mut loader = Select::auto(0.25).loader(&data.train, &data.validation).unwrap().batch_size(50);
    let mut epoch = loader.epoch(model.as_ref()).unwrap();
    let zeros = |n: i64, d: i64| Tensor::zeros([n, d], (Kind::Float, Device::Cpu));
    let indices = |values: &[i64]| Tensor::from_slice(values);
    epoch.note(&indices(&[]), &zeros(0, 84), &zeros(0, 10)).unwrap();
    epoch.note(&indices(&[0, 479]), &zeros(2, 84), &zeros(2, 10)).unwrap();
    for (positions, n_features, n_classes, said) in [
        (indices(&[0, 480]), 84, 10, "indices: expected positions from 0 to 479, got 480"),
        (indices(&[-1, 0]), 84, 10, "got -1"),
        (indices(&[0, 1, 2, 3]).reshape([2, 2]), 84, 10, "shape [2, 2]"),
        (indices(&[0, 1]), 84, 3, "logits: expected 10 classes, as before, got 3"),
    ] {
        let noted = epoch.note(&positions, &zeros(2, n_features), &zeros(2, n_classes));
        let message = noted.unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
    }
    // Features of another width cannot be told before there is a gradient to set them beside.
    drop(epoch);
    let mut epoch = loader.epoch(model.as_ref()).unwrap();
    let message = epoch.note(&indices(&[0, 1]), &zeros(2, 80), &zeros(2, 10)).unwrap_err().to_string();
    assert!(message.contains("features and logits: expected [2, 84] and [2, 10]"), "{message}");
    let labels = Tensor::full([data.train.len() as i64], 10, (Kind::Int64, Device::Cpu));
    let train = Examples { inputs: data.train.inputs.shallow_clone(), labels };
    let mut loader = Select::auto(0.25).loader(&train, &data.validation).unwrap();
    let mut epoch = loader.epoch(model.as_ref()).unwrap();
    let message = epoch.note(&indices(&[0]), &zeros(1, 84), &zeros(1, 10)).unwrap_err().to_string();
    assert!(message.contains("labels of the training set") && message.contains("0 to 9"), "{message}");
}

#[test]
fn one_sample_to_choose_one_to_validate_and_a_class_without_any() {
    let data = split_bars(600);
    let (_variables, model) = model(&data);
    // 480 · 0.0005 rounds to 0: one sample is chosen.
    let mut loader = Select::glister(0.0005).loader(&data.train, &data.validation).unwrap();
    assert_eq!(loader.epoch(model.as_ref()).unwrap().n_samples(), 1);
    let one = data.validation.take(1).unwrap();
    let mut loader = Select::glister(0.1).loader(&data.train, &one).unwrap();
    assert_eq!(sorted(loader.epoch(model.as_ref()).unwrap().indices()).len(), 48);
    // Class 3 has no training sample, but validation samples.
    let without = to_vec(&data.train.labels.ne(3).nonzero().flatten(0, -1));
    let train = data.train.select(&without).unwrap();
    let mut loader = Select::glister(0.1).loader(&train, &data.validation).unwrap();
    assert!(loader.epoch(model.as_ref()).unwrap().n_samples() > 40);
    let nothing =
        Examples { inputs: data.train.inputs.narrow(0, 0, 0), labels: data.train.labels.narrow(0, 0, 0) };
    let message = Select::glister(0.1).loader(&data.train, &nothing).unwrap_err().to_string();
    assert!(message.contains("validation set"), "{message}");
    let message = Select::full().loader(&nothing, &data.validation).unwrap_err().to_string();
    assert!(message.contains("training set"), "{message}");
}

#[test]
fn labels_out_of_range_and_weights_that_are_not_finite_are_said() {
    let data = split_bars(600);
    let (variables, model) = model(&data);
    for label in [-1, 10] {
        let labels = data.train.labels.copy();
        let _ = labels.i(7).fill_(label);
        let train = Examples { inputs: data.train.inputs.shallow_clone(), labels };
        let mut loader = Select::glister(0.1).loader(&train, &data.validation).unwrap();
        let message = loader.epoch(model.as_ref()).unwrap_err().to_string();
        assert!(message.contains("labels of the training set") && message.contains("0 to 9"), "{message}");
        assert!(message.ends_with(&format!("got {label}")), "{message}");
    }
    let _no_grad = tch::no_grad_guard();
    let _ = variables.variables()["fc3.bias"].shallow_clone().fill_(f64::NAN);
    let mut loader = Select::glister(0.1).loader(&data.train, &data.validation).unwrap();
    let error = loader.epoch(model.as_ref()).unwrap_err();
    assert!(matches!(error, Error::Diverged { epoch: 1, .. }), "{error}");
    let seen = last_layer(model.as_ref(), &data.validation, &Normalization::of(&data.train)).unwrap();
    assert!(seen.logits.isnan().any().int64_value(&[]) != 0, "a pass alone only reports");
}

#[test]
fn options_out_of_range_are_named() {
    let data = split_bars(600);
    for (select, name) in [
        (Select::glister(0.5).kappa(1.0), "kappa"),
        (Select::glister(0.5).kappa(-0.1), "kappa"),
        (Select::fresh_random(0.5).kappa(f64::NAN), "kappa"),
        (Select::glister(0.5).pool(0.5), "pool"),
        (Select::glister(0.5).pool(f64::INFINITY), "pool"),
        (Select::glister(0.5).validation_samples(0), "validation_samples"),
    ] {
        let message = select.loader(&data.train, &data.validation).unwrap_err().to_string();
        assert!(message.starts_with(name), "{message}");
    }
}
