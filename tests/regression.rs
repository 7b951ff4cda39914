//! Regressions at the defaults: targets of any scale, and predictions on it.

use glisten::prelude::*;
use glisten::train::TrainedModel;
use tch::{Device, Kind, Tensor};

fn store() -> (tempfile::TempDir, Experiment) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "regression").unwrap();
    (folder, study)
}

/// 600 rows of three features to train on and 150 to test: targets of mean `mean` and deviation about `scale`, a tenth of it
/// noise.
fn data(mean: f64, scale: f64) -> Splits {
    tch::set_num_threads(1);
    tch::manual_seed(11);
    let part = |n: i64| {
        let inputs = Tensor::randn([n, 3], (Kind::Float, Device::Cpu));
        let weights = Tensor::from_slice(&[0.8_f32, -0.5, 0.3]);
        let noise = Tensor::randn([n], (Kind::Float, Device::Cpu)) * 0.1;
        let targets = (inputs.matmul(&weights) + noise).to_kind(Kind::Double) * scale + mean;
        (inputs, targets.to_kind(Kind::Float))
    };
    let ((inputs, targets), (test_inputs, test_targets)) = (part(600), part(150));
    let data = Dataset::from_tensors("line", inputs, targets).unwrap().with_test(test_inputs, test_targets);
    data.unwrap().split(Split { validation: 0.2, seed: 1 }).unwrap()
}

fn predictions(model: &TrainedModel, inputs: &Tensor) -> Vec<f32> {
    let frame = model.predict(inputs).unwrap();
    frame.column("prediction").unwrap().f32().unwrap().iter().map(Option::unwrap).collect()
}

#[test]
fn targets_of_any_scale_are_learnt_at_the_defaults_and_predicted_on_it() {
    for model in ["mlp", "logistic-regression"] {
        let (folder, study) = store();
        let mut r2_of_first = None;
        for (mean, scale) in [(0.0, 1.0), (5e6, 1e6), (-3e-6, 1e-6), (0.0, 1e30), (1e4, 1.0)] {
            let data = data(mean, scale);
            let fitted =
                Trainer::of(glisten::model::named(model, &data).unwrap()).fit(&data, &study).unwrap();
            let (rmse, r2) = (fitted.test_rmse.unwrap(), fitted.test_r2.unwrap());
            assert!(r2 > 0.95, "{model}, {mean} ± {scale}: {r2}");
            let first = *r2_of_first.get_or_insert(r2);
            assert!((r2 - first).abs() < 0.01, "{model}, {mean} ± {scale}: {r2}, {first}");
            assert!(rmse / scale > 0.08 && rmse / scale < 0.2, "{model}, {mean} ± {scale}: {rmse}");

            // The metrics by hand, from predictions, and those of the saved model.
            let test = data.test.as_ref().unwrap();
            let found = predictions(fitted.model().unwrap(), &test.inputs);
            let targets = Vec::<f32>::try_from(&test.labels).unwrap();
            let squares = found.iter().zip(&targets).map(|(z, y)| (f64::from(*z) - f64::from(*y)).powi(2));
            let by_hand = (squares.sum::<f64>() / targets.len() as f64).sqrt();
            assert!((by_hand / rmse - 1.0).abs() < 1e-2, "{model}, {mean} ± {scale}: {by_hand}, {rmse}");
            let path = folder.path().join("model.safetensors");
            fitted.model().unwrap().save(&path).unwrap();
            assert_eq!(predictions(&TrainedModel::load(&path, Device::Cpu).unwrap(), &test.inputs), found);

            let record = study.store().run_records(None).unwrap().pop().unwrap();
            assert_eq!(record.metrics["validation:rmse"].count, 20);
            assert_eq!(record.metrics["validation:r2"].count, 20);
            assert_eq!((record.metrics["test:rmse"].last, record.metrics["test:r2"].last), (rmse, r2));
            assert!(record.metrics["train:loss"].last < 0.1, "of standardised targets");
        }
    }
}

#[test]
fn strategies_choose_by_standardised_targets() {
    let (_folder, study) = store();
    for name in glisten::select::STRATEGIES {
        let fraction = if name == "full" { 1.0 } else { 0.3 };
        let r2 = [1.0, 1e6].map(|scale| {
            let data = data(5.0 * scale, scale);
            let select = Select::named(name, fraction).unwrap();
            let fitted = Trainer::new(Mlp::for_data(&data)).select(select).batch_size(32).fit(&data, &study);
            fitted.unwrap().test_r2.unwrap()
        });
        assert!(r2.iter().all(|r2| *r2 > 0.9), "{name}: {r2:?}");
        assert!((r2[0] - r2[1]).abs() < 0.02, "{name}: {r2:?}");
    }
}

#[test]
fn a_target_that_is_always_the_same_is_learnt() {
    for constant in [7.0_f32, 0.0, -2.5e6] {
        let (_folder, study) = store();
        let mut data = data(0.0, 1.0);
        let constant_labels = |examples: &Examples| Examples {
            inputs: examples.inputs.shallow_clone(),
            labels: examples.labels.full_like(f64::from(constant)),
        };
        data.train = constant_labels(&data.train);
        data.validation = constant_labels(&data.validation);
        data.test = data.test.as_ref().map(constant_labels);
        let fitted = Trainer::new(Mlp::for_data(&data)).fit(&data, &study).unwrap();
        assert!([Some(0.0), Some(1.0)].contains(&fitted.test_r2), "{fitted:?}");
        assert!(fitted.test_rmse.unwrap() < 0.5, "{fitted:?}");
        for prediction in predictions(fitted.model().unwrap(), &data.validation.inputs) {
            assert!((prediction - constant).abs() < 1.0 + 1e-6 * constant.abs(), "{prediction}");
        }
    }
}

/// Files of before hold no scale of targets: what comes out of the network is the prediction.
#[test]
fn models_of_an_older_release_are_read_and_new_ones_of_regressions_are_not_misread_by_it() {
    let (folder, study) = store();
    let data = data(50.0, 10.0);
    let fitted = Trainer::new(Mlp::for_data(&data)).epochs(3).fit(&data, &study).unwrap();
    let model = fitted.model().unwrap();
    let path = folder.path().join("model.safetensors");
    model.save(&path).unwrap();
    let scale = model.target_scale().unwrap();
    assert!((scale.mean - 50.0).abs() < 2.0 && (scale.std - 10.0).abs() < 2.0, "{scale:?}");

    let mut bytes = std::fs::read(&path).unwrap();
    let n_header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header = String::from_utf8(bytes[8..8 + n_header].to_vec()).unwrap();
    assert!(header.contains("model 2"), "an older release, which reads 'model 1', refuses it: {header}");
    let from = header.find(r#",\"targets\""#).unwrap();
    let to = from + header[from..].find('}').unwrap() + 1;
    header.replace_range(from..to, &" ".repeat(to - from));
    let header = header.replace("model 2", "model 1");
    bytes[8..8 + n_header].copy_from_slice(header.as_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let old = TrainedModel::load(&path, Device::Cpu).unwrap();
    assert_eq!(old.target_scale(), None);
    let inputs = &data.validation.inputs;
    for (outputs, prediction) in predictions(&old, inputs).into_iter().zip(predictions(model, inputs)) {
        let expected = f64::from(outputs) * scale.std + scale.mean;
        assert!((f64::from(prediction) - expected).abs() < 1e-3, "{prediction}, {expected}");
    }
}
