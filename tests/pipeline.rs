//! From data to dataframe: a training's metrics, one seed one result, stopping, and going on.

use std::sync::{Arc, Mutex};

use glisten::interrupt;
use glisten::prelude::*;
use glisten::progress::{Listener, RunProgress, set_listener};
use glisten::track::Status;
use polars::prelude::DataFrame;

use super::support::split_bars;

/// The stop request and the listener belong to the process: tests that train take turns.
static TRAINING: Mutex<()> = Mutex::new(());

fn in_turn() -> std::sync::MutexGuard<'static, ()> {
    TRAINING.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    (folder, store)
}

fn trainer(data: &Splits) -> Trainer {
    Trainer::new(LeNet::for_data(data)).epochs(3).batch_size(64)
}

/// run, metric, step, value of everything but seconds.
fn results(experiment: &Experiment) -> Vec<(String, i64, f64)> {
    let points = experiment.store().metric_points(Some(experiment.name()), None).unwrap();
    points
        .into_iter()
        .filter(|point| !point.metric.ends_with(":seconds"))
        .map(|point| (point.metric, point.step, point.value))
        .collect()
}

fn number(runs: &DataFrame, column: &str, row: usize) -> f64 {
    runs.column(column)
        .unwrap()
        .cast(&polars::prelude::DataType::Float64)
        .unwrap()
        .f64()
        .unwrap()
        .get(row)
        .unwrap()
}

#[test]
fn a_training_learns_and_its_run_has_every_metric() {
    let _turn = in_turn();
    let (_folder, store) = store();
    let study = Experiment::create_in(&store, "bars").unwrap();
    let data = split_bars(2000);
    let fitted = trainer(&data).epochs(4).fit(&data, &study).unwrap();
    assert!(fitted.test_accuracy.unwrap() > 0.9, "{fitted:?}");
    let record = &store.run_records(Some("bars")).unwrap()[0];
    assert_eq!(record.status, Status::Completed);
    for metric in [
        "train:loss",
        "train:accuracy",
        "validation:loss",
        "validation:accuracy",
        "epoch:seconds",
        "selection:seconds",
    ] {
        assert_eq!(record.metrics[metric].count, 4, "{metric}");
    }
    for metric in ["test:loss", "test:accuracy", "test:balanced_accuracy", "run:seconds"] {
        assert_eq!(record.metrics[metric].count, 1, "{metric}");
    }
    let runs = study.runs().unwrap();
    let metrics = study.metrics().unwrap();
    let accuracies: Vec<f64> = results(&study)
        .into_iter()
        .filter(|(name, ..)| name == "validation:accuracy")
        .map(|(.., value)| value)
        .collect();
    let highest = accuracies.iter().copied().fold(f64::MIN, f64::max);
    assert_eq!(number(&runs, "validation:accuracy.max", 0), highest);
    assert_eq!(number(&runs, "validation:accuracy.last", 0), accuracies[3]);
    assert_eq!(number(&runs, "validation:accuracy.count", 0), 4.0);
    assert_eq!(number(&runs, "fraction", 0), 1.0);
    assert_eq!(metrics.shape(), (4 * 6 + 4, 6));
    let chart = study.chart("validation:accuracy").unwrap();
    assert!(
        chart.svg().starts_with("<svg") && chart.description().contains("1 run"),
        "{}",
        chart.description()
    );
    let message = study.chart("validation:acuracy").unwrap_err().to_string();
    assert!(message.contains("did you mean 'validation:accuracy'"), "{message}");
}

#[test]
fn one_seed_gives_one_result_whatever_ran_before() {
    let _turn = in_turn();
    let (_folder, store) = store();
    let data = split_bars(900);
    for (number, select) in [
        Select::full(),
        Select::glister(0.3).select_every(2),
        Select::glister(0.3).pool(2.0).select_every(1).kappa(0.5),
        Select::glister(0.3).remembered(true).select_every(1).validation_samples(50),
        Select::fresh_random(0.3),
        Select::fixed_random(0.3),
    ]
    .into_iter()
    .enumerate()
    {
        let fit = |name: String, seed| {
            let study = Experiment::create_in(&store, &name).unwrap();
            trainer(&data).select(select).seed(seed).fit(&data, &study).unwrap();
            results(&study)
        };
        let first = fit(format!("first {number}"), 5);
        fit(format!("another seed {number}"), 6);
        let again = fit(format!("again {number}"), 5);
        assert_eq!(first, again, "{select}");
        assert_ne!(
            first,
            results(&Experiment::open_in(&store, &format!("another seed {number}")).unwrap()),
            "{select}"
        );
    }
}

#[test]
fn a_stopped_run_is_stored_with_its_metrics_and_resume_does_what_is_missing() {
    struct StopAfterTwo;
    impl Listener for StopAfterTwo {
        fn run(&self, progress: &RunProgress) {
            if progress.epoch == 2 {
                interrupt::request();
            }
        }
        fn run_ended(&self, _: &RunProgress, _: &str) {}
        fn note(&self, _: &str) {}
    }
    let _turn = in_turn();
    let (_folder, store) = store();
    let data = split_bars(600);
    let study = Experiment::resume_in(&store, "stopped").unwrap();
    set_listener(Some(Arc::new(StopAfterTwo)));
    let error = trainer(&data).fit(&data, &study).unwrap_err();
    set_listener(None);
    interrupt::clear();
    assert!(matches!(error, Error::Interrupted(_)));
    assert_eq!(error.to_string(), "interrupted: run 'full seed 0' is stored as stopped after 2 of 3 epochs");
    let record = &store.run_records(Some("stopped")).unwrap()[0];
    assert_eq!((record.status, record.metrics["train:loss"].count), (Status::Stopped, 2));

    let fitted = trainer(&data).fit(&data, &study).unwrap();
    assert!(!fitted.reused, "a stopped run without a checkpoint is done again");
    let again = trainer(&data).fit(&data, &study).unwrap();
    assert!(again.reused, "a completed one is not");
    assert_eq!((again.run.as_str(), again.test_accuracy), (fitted.run.as_str(), fitted.test_accuracy));
    let other_split = super::support::bars(600, 7).split(Split { validation: 0.2, seed: 2 }).unwrap();
    assert!(!trainer(&data).fit(&other_split, &study).unwrap().reused, "another split is other work");
    assert!(
        !trainer(&data).seed(1).fit(&data, &study).unwrap().reused,
        "another configuration is another piece of work"
    );
    let created = Experiment::open_in(&store, "stopped").unwrap();
    assert!(!trainer(&data).fit(&data, &created).unwrap().reused, "only resume() reuses");
}

/// Before clipping was the default, the same call trained without it. Such a run is told by its parameters: it has no
/// `clip_grad_norm`, as one that is asked not to clip.
#[test]
fn runs_of_the_former_defaults_are_found_and_gone_on_with_as_they_began() {
    struct StopAfterTwo;
    impl Listener for StopAfterTwo {
        fn run(&self, progress: &RunProgress) {
            if progress.epoch == 2 {
                interrupt::request();
            }
        }
        fn run_ended(&self, _: &RunProgress, _: &str) {}
        fn note(&self, _: &str) {}
    }
    let _turn = in_turn();
    let (_folder, store) = store();
    let data = split_bars(600);
    let study = Experiment::resume_in(&store, "former").unwrap();
    let former = || trainer(&data).clip_grad_norm(0.0).checkpoint_every(1);
    let complete = former().fit(&data, &study).unwrap();
    let expected = results(&study);
    let clip_of =
        |at: usize| store.run_records(Some("former")).unwrap()[at].parameters.get("clip_grad_norm").cloned();
    assert_eq!(clip_of(0), None);
    let found = trainer(&data).fit(&data, &study).unwrap();
    assert!(found.reused && found.run == complete.run, "complete runs are found complete");
    // Whoever asks for a norm, be it the default one, asks for other work.
    assert!(!trainer(&data).clip_grad_norm(1.0).fit(&data, &study).unwrap().reused);
    assert_eq!(clip_of(1), Some(Parameter::Number(1.0)));

    study.delete_run(&complete.run).unwrap();
    set_listener(Some(Arc::new(StopAfterTwo)));
    former().fit(&data, &study).unwrap_err();
    set_listener(None);
    interrupt::clear();
    study.delete_run("full seed 0-2").unwrap();
    let gone_on = trainer(&data).checkpoint_every(1).fit(&data, &study).unwrap();
    assert!(!gone_on.reused && store.run_records(Some("former")).unwrap().len() == 1);
    assert_eq!((clip_of(0), results(&study)), (None, expected), "as it would have come out");
    // A new one is clipped, and says so.
    trainer(&data).seed(5).fit(&data, &study).unwrap();
    assert_eq!(clip_of(1), Some(Parameter::Number(1.0)));
}

#[test]
fn a_loss_that_is_not_finite_fails_the_run_and_says_what_helps() {
    let _turn = in_turn();
    let (_folder, store) = store();
    let data = split_bars(600);
    let study = Experiment::create_in(&store, "diverged").unwrap();
    let error =
        trainer(&data).learning_rate(1e6).clip_grad_norm(0.0).epochs(5).fit(&data, &study).unwrap_err();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
    assert!(error.to_string().contains("a lower learning rate"), "{error}");
    let record = &store.run_records(Some("diverged")).unwrap()[0];
    assert_eq!(record.status, Status::Failed);
    assert!(record.metrics["train:loss"].nonfinite > 0, "the value is kept and counted");
}

#[test]
fn what_cannot_be_trained_is_said_before_anything_is_stored() {
    let _turn = in_turn();
    let (_folder, store) = store();
    let data = split_bars(600);
    let study = Experiment::create_in(&store, "wrong").unwrap();
    for (trainer, name) in [
        (trainer(&data).epochs(0), "epochs"),
        (trainer(&data).batch_size(0), "batch_size"),
        (trainer(&data).learning_rate(-1.0), "learning_rate"),
        (trainer(&data).select(Select::glister(0.0)), "fraction"),
        (trainer(&data).select(Select::glister(f64::NAN)), "fraction"),
        (trainer(&data).select(Select::glister(0.5).select_every(0)), "select_every"),
        (trainer(&data).select(Select::glister(0.5).rounds(0)), "rounds"),
        (trainer(&data).select(Select::glister(0.5).kappa(1.0)), "kappa"),
        (trainer(&data).select(Select::glister(0.5).pool(0.9)), "pool"),
        (trainer(&data).select(Select::glister(0.5).validation_samples(0)), "validation_samples"),
    ] {
        let message = trainer.fit(&data, &study).unwrap_err().to_string();
        assert!(message.starts_with(name), "{message}");
    }
    assert!(store.run_records(None).unwrap().is_empty());
}

#[test]
fn a_label_out_of_range_in_any_part_is_said_before_anything_is_stored() {
    let _turn = in_turn();
    let (_folder, store) = store();
    let study = Experiment::create_in(&store, "wrong").unwrap();
    for (part, label) in [("training set", 10), ("validation set", -1), ("test set", 12)] {
        let mut data = split_bars(600);
        let examples = match part {
            "training set" => &mut data.train,
            "validation set" => &mut data.validation,
            _ => data.test.as_mut().unwrap(),
        };
        examples.labels = examples.labels.copy();
        let _ = examples.labels.get(3).fill_(label);
        let message = trainer(&data).fit(&data, &study).unwrap_err().to_string();
        assert_eq!(message, format!("labels of the {part}: expected 0 to 9, got {label}"));
    }
    assert!(store.run_records(None).unwrap().is_empty());
}

/// A class that training never sees, one sample to validate by, and a budget that rounds to none.
#[test]
fn scarce_data_is_trained_on_all_the_same() {
    let _turn = in_turn();
    let (_folder, store) = store();
    let study = Experiment::create_in(&store, "scarce").unwrap();
    let mut data = split_bars(600);
    let others = Vec::<i64>::try_from(data.train.labels.ne(3).nonzero().flatten(0, -1)).unwrap();
    data.train = data.train.select(&others).unwrap();
    trainer(&data).select(Select::glister(0.3)).fit(&data, &study).unwrap();
    data.validation = data.validation.take(1).unwrap();
    let fitted = trainer(&data).select(Select::glister(0.3)).fit(&data, &study).unwrap();
    assert!([0.0, 1.0].contains(&fitted.validation_accuracy.unwrap()));
    trainer(&data).select(Select::glister(1e-6).select_every(1)).fit(&data, &study).unwrap();
    trainer(&data).select(Select::glister(1e-6).remembered(true)).fit(&data, &study).unwrap();
}

#[test]
fn a_warm_start_has_the_epochs_that_it_says_and_its_schedule_is_stretched_over_them() {
    let _turn = in_turn();
    let (_folder, store) = store();
    let study = Experiment::create_in(&store, "warm").unwrap();
    let data = split_bars(600);
    // int(0.5 · 8) = 4, ⌈4 · 0.25⌉ = 1 full epoch and 4 on a quarter.
    let select = Select::glister(0.25).kappa(0.5).select_every(2);
    let fitted = trainer(&data).epochs(8).select(select).fit(&data, &study).unwrap();
    let record = store.run_records(Some("warm")).unwrap().remove(0);
    assert_eq!(record.metrics["train:loss"].count, 5);
    assert_eq!(record.parameters["kappa"], Parameter::Number(0.5));
    let kept = study.find_run(&fitted.run).unwrap().selection_records().unwrap();
    assert_eq!(
        kept.iter().map(|one| (one.epoch, one.indices.len())).collect::<Vec<_>>(),
        [(2, 120), (4, 120)]
    );
    assert!(kept.iter().all(|one| one.gains.is_some()));
    let random =
        trainer(&data).select(Select::fresh_random(0.25)).keep_selections(true).fit(&data, &study).unwrap();
    let kept = study.find_run(&random.run).unwrap().selection_records().unwrap();
    assert_eq!(
        kept.iter().map(|one| (one.epoch, one.gains.is_none())).collect::<Vec<_>>(),
        [(1, true), (2, true), (3, true)]
    );
    let silent =
        trainer(&data).select(Select::glister(0.25)).keep_selections(false).fit(&data, &study).unwrap();
    assert!(study.find_run(&silent.run).unwrap().selections().unwrap().height() == 0);
}

/// 28 × 40, 8 × 8 and 1 × 1 images, 33 × 31 ones in colour.
#[test]
fn lenet_takes_images_of_any_shape_and_says_which_data_it_was_made_for() {
    let _turn = in_turn();
    let (_folder, store) = store();
    let study = Experiment::create_in(&store, "shapes").unwrap();
    let of_shape = |channels: i64, height: i64, width: i64| {
        let images =
            tch::Tensor::randint(256, [40, channels, height, width], (tch::Kind::Uint8, tch::Device::Cpu));
        let labels = tch::Tensor::arange(40, (tch::Kind::Int64, tch::Device::Cpu)).remainder(3);
        Dataset::from_tensors("noise", images, labels)
            .unwrap()
            .split(Split { validation: 0.2, seed: 0 })
            .unwrap()
    };
    for (channels, height, width) in [(1, 28, 40), (1, 8, 8), (1, 1, 1), (3, 33, 31)] {
        let data = of_shape(channels, height, width);
        trainer(&data).epochs(1).select(Select::glister(0.5)).fit(&data, &study).unwrap();
    }
    let message = trainer(&split_bars(600)).fit(&of_shape(1, 8, 8), &study).unwrap_err().to_string();
    assert!(
        message.contains("1×28×28 and 10 classes") && message.contains("1×8×8 and 3 classes"),
        "{message}"
    );
}

/// A model of one's own may panic: what comes after it must still be able to train.
#[test]
fn a_model_that_panics_while_choosing_leaves_gradients_on() {
    struct Panics;
    impl Model for Panics {
        fn features(&self, _: &tch::Tensor, _: bool) -> tch::Tensor {
            panic!("on purpose")
        }
        fn logits(&self, features: &tch::Tensor) -> tch::Tensor {
            features.shallow_clone()
        }
    }
    let data = split_bars(600);
    let mut loader = Select::glister(0.5).loader(&data.train, &data.validation).unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| loader.epoch(&Panics).map(|_| ())));
    assert!(result.is_err());
    let x = tch::Tensor::from_slice(&[2.0_f32]).set_requires_grad(true);
    (&x * &x).backward();
    assert_eq!(x.grad().double_value(&[]), 4.0);
}

#[test]
fn a_sweep_does_every_pair_with_every_seed_once() {
    let _turn = in_turn();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sweep.toml");
    let wrong = [
        ("selection = []", "unknown field `selection`"),
        ("experiment = 3", "expected a string"),
        ("experiment = \"x\"\ndata = \"mnist\"\nselections = [\"glister\"]\nfractions = [1.5]", "fraction"),
        (
            "experiment = \"x\"\ndata = \"mnist\"\nselections = [\"glistr\"]\nfractions = [0.5]",
            "did you mean 'glister'",
        ),
        (
            "experiment = \"x\"\ndata = \"mnist\"\nselections = []\nfractions = []\nfull = false",
            "at least one",
        ),
        ("experiment = \"x\"\ndata = \"mnist\"\nselections = []\nfractions = []\nseeds = []", "seeds"),
        ("experiment = \"x\"\ndata = \"mnits\"\nselections = []\nfractions = []", "fashion-mnist"),
        ("experiment = \"x\"\ndata = \"mnist\"\nselections = []\nfractions = []\nepochs = 0", "epochs"),
        (
            "experiment = \"x\"\ndata = \"mnist\"\nmodel = \"resnet\"\nselections = []\nfractions = []",
            "resnet",
        ),
        (
            "experiment = \"x\"\ndata = \"mnist\"\nselections = [\"glister\"]\nfractions = [0.5]\n[glister]\npol = 2.0",
            "unknown field `pol`",
        ),
        (
            "experiment = \"x\"\ndata = \"mnist\"\nselections = [\"glister\"]\nfractions = [0.5]\n[glister]\nkappa = 1.5",
            "kappa",
        ),
        (
            "experiment = \"x\"\ndata = \"mnist\"\nselections = []\nfractions = []\n[augment]\nflips = true",
            "unknown field `flips`",
        ),
        (
            "experiment = \"x\"\ndata = \"mnist\"\nselections = []\nfractions = []\nprecision = \"fp16\"",
            "unknown variant `fp16`",
        ),
        (
            "experiment = \"x\"\ndata = \"mnist\"\nselections = []\nfractions = []\nlabel_smoothing = 1.5",
            "label_smoothing",
        ),
        ("experiment = \"x", "a sweep in TOML"),
    ];
    for (text, expected) in wrong {
        std::fs::write(&path, text).unwrap();
        let message = Sweep::from_file(&path).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("sweep.toml"), "{text}\n{message}");
    }
    std::fs::write(&path, "experiment = \"x\"\ndata = \"mnist\"\nselections = [\"glister\"]\nfractions = [0.5]\n[glister]\nselect_every = 3").unwrap();
    let sweep = Sweep::from_file(&path).unwrap();
    assert_eq!(sweep.selections().unwrap(), [Select::full(), Select::glister(0.5).select_every(3)]);
    let text = "experiment = \"x\"\ndata = \"mnist\"\nselections = [\"glister\"]\nfractions = [0.5, 0.1]\nfull = false
        [glister]\npool = 2.0\nkappa = 0.2\n[[glister_for]]\nfraction = 0.1\noptions = { pool = 1.5, remembered = true }";
    std::fs::write(&path, text).unwrap();
    let half = Select::glister(0.5).pool(2.0).kappa(0.2);
    let tenth = Select::glister(0.1).pool(1.5).kappa(0.2).remembered(true);
    assert_eq!(Sweep::from_file(&path).unwrap().selections().unwrap(), [half, tenth]);
    std::fs::write(&path, text.replace("fraction = 0.1", "fraction = 0.2")).unwrap();
    let message = Sweep::from_file(&path).unwrap_err().to_string();
    assert!(message.contains("glister_for.fraction"), "{message}");
    let sweeps = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks/sweeps");
    for data in ["mnist", "fashion-mnist", "cifar10"] {
        let sweep = Sweep::from_file(sweeps.join(format!("lenet-{data}.toml"))).unwrap();
        assert_eq!((sweep.selections().unwrap().len(), sweep.seeds.len()), (10, 3));
        assert_eq!(sweep.published.len(), 3);
    }
    let example =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks/sweeps/how-much-data.toml");
    assert_eq!(Sweep::from_file(example).unwrap().selections().unwrap().len(), 10);
}
