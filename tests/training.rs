//! Trainings of every model, and of every setting of a step: they learn, and one seed gives one result.

use glisten::model;
use glisten::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use super::support::split_bars;

/// A store that goes with its folder, and the values of one metric of the run in it.
fn fit(trainer: &Trainer, data: &Splits, metric: &str) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let experiment = Experiment::create_in(&store, "training").unwrap();
    trainer.fit(data, &experiment).unwrap();
    let mut points = store.metric_points(Some("training"), None).unwrap();
    points.retain(|point| point.metric == metric);
    points.sort_by_key(|point| point.step);
    points.into_iter().map(|point| point.value).collect()
}

/// Rows of a table of six columns, and for each the sum of the first two less the third.
fn table(n: usize) -> (Tensor, Tensor) {
    tch::set_num_threads(1);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let values: Vec<f32> = (0..6 * n).map(|_| rng.gen_range(-2.0..2.0)).collect();
    let rows = Tensor::from_slice(&values).view([n as i64, 6]);
    let target = rows.select(1, 0) + rows.select(1, 1) - rows.select(1, 2);
    (rows, target)
}

#[test]
fn tables_are_learnt_by_an_mlp_and_by_logistic_regression() {
    let (rows, target) = table(1000);
    let classes = target.gt(0.0).to_kind(Kind::Int64);
    let data = Dataset::from_tensors("halves", rows, classes).unwrap().split(Split::default()).unwrap();
    for name in ["mlp", "logistic-regression"] {
        let trainer = Trainer::of(model::named(name, &data).unwrap()).epochs(10).batch_size(32);
        let accuracy = fit(&trainer, &data, "validation:accuracy");
        assert!(accuracy[9] > 0.95, "{name}: {accuracy:?}");
    }
}

#[test]
fn a_regression_is_learnt_and_has_no_accuracy() {
    let (rows, target) = table(1000);
    let data = Dataset::from_tensors("sums", rows, target).unwrap().split(Split::default()).unwrap();
    for name in ["mlp", "logistic-regression"] {
        let trainer =
            Trainer::of(model::named(name, &data).unwrap()).epochs(10).batch_size(32).learning_rate(0.01);
        let loss = fit(&trainer, &data, "validation:loss");
        // The target's variance, which a constant leaves, is 4.
        assert!(loss[9] < 0.1, "{name}: {loss:?}");
        assert!(fit(&trainer, &data, "validation:accuracy").is_empty());
    }
    let smoothed = Trainer::new(Mlp::for_data(&data)).label_smoothing(0.1).check(&data);
    assert!(smoothed.unwrap_err().to_string().starts_with("label_smoothing: expected 0"));
}

/// `n` images of one's own, as it were: 48 × 48, a thin white line over a few white dots on black, in one of four directions.
fn strokes(n: usize) -> Splits {
    const SIDE: i64 = 48;
    tch::set_num_threads(1);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut pixels = Vec::with_capacity(n * (SIDE * SIDE) as usize);
    for at in 0..n {
        let offset = rng.gen_range(8..40);
        for (y, x) in (0..SIDE * SIDE).map(|pixel| (pixel / SIDE, pixel % SIDE)) {
            let on_line = [y == offset, x == offset, y - x == 24 - offset, y + x == 24 + offset][at % 4];
            pixels.push(if on_line || rng.gen_ratio(1, 50) { 255_u8 } else { 0 });
        }
    }
    let images = Tensor::from_slice(&pixels).view([n as i64, 1, SIDE, SIDE]);
    let labels = Tensor::arange(n as i64, (Kind::Int64, Device::Cpu)).remainder(4);
    Dataset::from_tensors("strokes", images, labels)
        .unwrap()
        .split(Split { validation: 0.2, seed: 1 })
        .unwrap()
}

/// A learning rate of 0.05 without clipping kills the ReLUs of most of these in their first steps.
#[test]
fn the_defaults_learn_a_few_hundred_images_of_ones_own_with_every_seed() {
    let data = strokes(400);
    let accuracy = |trainer: Trainer| *fit(&trainer, &data, "validation:accuracy").last().unwrap();
    for batch_size in [128, 16] {
        for seed in 0..4 {
            let trainer = Trainer::new(LeNet::for_data(&data)).batch_size(batch_size).seed(seed);
            let reached = accuracy(trainer.epochs(15));
            assert!(reached > 0.9, "batches of {batch_size}, seed {seed}: {reached}");
        }
    }
    let unclipped = (0..2)
        .map(|seed| accuracy(Trainer::new(LeNet::for_data(&data)).clip_grad_norm(0.0).epochs(15).seed(seed)));
    let worst = unclipped.fold(1.0, f64::min);
    assert!(worst < 0.7, "without clipping {worst}: then what is it for?");
}

#[test]
fn every_setting_of_a_step_counts_and_repeats_itself() {
    let data = split_bars(400);
    let plain = || Trainer::new(LeNet::for_data(&data)).epochs(2).batch_size(64).seed(3);
    let losses = |trainer: &Trainer| fit(trainer, &data, "validation:loss");
    let without = losses(&plain());
    type Set = fn(Trainer) -> Trainer;
    let settings: [(&str, Set); 6] = [
        ("one-cycle", |t| t.schedule(Schedule::OneCycle)),
        ("constant", |t| t.schedule(Schedule::Constant)),
        ("crop", |t| t.augment(Augment { crop_padding: 2, flip: false })),
        ("flip", |t| t.augment(Augment { crop_padding: 0, flip: true })),
        ("smoothing", |t| t.label_smoothing(0.1)),
        ("clipping", |t| t.clip_grad_norm(0.1)),
    ];
    for (name, set) in settings {
        let first = losses(&set(plain()));
        assert_eq!(first, losses(&set(plain())), "{name}");
        assert_ne!(first, without, "{name}");
        assert!(first[1].is_finite(), "{name}: {first:?}");
    }
}

#[test]
fn a_resnet_18_learns_in_either_precision() {
    let data = split_bars(160);
    for precision in [Precision::Fp32, Precision::Bf16] {
        let trainer = Trainer::new(ResNet18::for_data(&data))
            .epochs(2)
            .batch_size(32)
            .learning_rate(0.02)
            .precision(precision);
        let losses = fit(&trainer, &data, "train:loss");
        assert!(losses[1] < 0.8 * losses[0], "{precision}: {losses:?}");
    }
}

#[test]
fn settings_out_of_range_are_refused_before_anything_is_stored() {
    let data = split_bars(100);
    let trainer = || Trainer::new(LeNet::for_data(&data));
    for (trainer, expected) in [
        (trainer().label_smoothing(1.0), "label_smoothing: expected"),
        (
            trainer().clip_grad_norm(-0.5),
            "clip_grad_norm: expected a positive number, or 0 for no clipping, got -0.5",
        ),
        (trainer().clip_grad_norm(f64::NAN), "clip_grad_norm: expected a positive number"),
        (trainer().clip_grad_norm(f64::INFINITY), "clip_grad_norm: expected a positive number"),
        (
            trainer().augment(Augment { crop_padding: -1, flip: false }),
            "crop_padding: expected 0 to 64 pixels, got -1",
        ),
    ] {
        let message = trainer.check(&data).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    let table = {
        let (rows, target) = table(50);
        Dataset::from_tensors("sums", rows, target).unwrap().split(Split::default()).unwrap()
    };
    for name in ["lenet", "resnet18"] {
        let message = Trainer::of(model::named(name, &table).unwrap()).check(&table).unwrap_err().to_string();
        assert!(message.contains("images with classes"), "{message}");
    }
    let message = Trainer::new(Mlp::for_data(&data)).check(&table).unwrap_err().to_string();
    assert!(message.contains("Mlp::for_data(&data) fits"), "{message}");
    let message = Trainer::new(Mlp::for_data(&data).hidden(&[])).check(&data).unwrap_err().to_string();
    assert!(message.starts_with("hidden: expected one width or more"), "{message}");
    let message = model::named("resnet", &data).err().unwrap().to_string();
    assert!(message.contains("did you mean 'resnet18'"), "{message}");
}
