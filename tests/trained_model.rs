//! A trained model: saved, loaded, predicting; and files that are none.

use glisten::prelude::*;
use glisten::train::TrainedModel;
use polars::prelude::DataFrame;
use tch::{Device, Kind, Tensor, nn};

use super::support::split_bars;

fn fit(data: &Splits) -> (tempfile::TempDir, Fitted) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "saved").unwrap();
    let fitted = Trainer::new(LeNet::for_data(data)).epochs(3).batch_size(64).fit(data, &study).unwrap();
    (folder, fitted)
}

fn floats(frame: &DataFrame, column: &str) -> Vec<f32> {
    frame.column(column).unwrap().f32().unwrap().iter().map(Option::unwrap).collect()
}

#[test]
fn a_saved_model_predicts_what_the_trained_one_does() {
    let data = split_bars(1500);
    let (folder, fitted) = fit(&data);
    let test = data.test.as_ref().unwrap();
    let model = fitted.model().unwrap();
    let path = folder.path().join("model.safetensors");
    model.save(&path).unwrap();
    let loaded = TrainedModel::load(&path, Device::Cpu).unwrap();
    let (before, after) = (model.predict(&test.inputs).unwrap(), loaded.predict(&test.inputs).unwrap());
    assert!(before.equals(&after));
    assert_eq!((before.height(), before.width()), (test.len(), 2 + 10));

    // Against the figures of the run, and probabilities against themselves.
    let classes = before.column("class").unwrap().str().unwrap().clone();
    let labels = Vec::<i64>::try_from(&test.labels).unwrap();
    let n_right =
        classes.iter().zip(&labels).filter(|(class, label)| class.unwrap() == data.classes[**label as usize]);
    let accuracy = n_right.count() as f64 / test.len() as f64;
    assert!((accuracy - fitted.test_accuracy.unwrap()).abs() < 1e-9);
    let mut sums = vec![0.0; test.len()];
    let mut highest = vec![0.0_f32; test.len()];
    for class in &data.classes {
        for (at, p) in floats(&before, class).into_iter().enumerate() {
            sums[at] += p;
            highest[at] = highest[at].max(p);
        }
    }
    assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5));
    assert_eq!(floats(&before, "probability"), highest);

    // The confusion matrix, counted by hand.
    let matrix = loaded.confusion_matrix(test).unwrap();
    assert_eq!(matrix.shape(), (10, 11));
    for (truth, name) in data.classes.iter().enumerate() {
        for predicted in &data.classes {
            let n = classes
                .iter()
                .zip(&labels)
                .filter(|(c, l)| c.unwrap() == predicted && **l as usize == truth)
                .count();
            let cell = matrix.column(predicted).unwrap().i64().unwrap().get(truth).unwrap();
            assert_eq!(cell, n as i64, "{name} taken for {predicted}");
        }
    }
    assert_eq!(matrix.column("true").unwrap().str().unwrap().get(4), Some(data.classes[4].as_str()));
}

#[test]
fn inputs_and_labels_that_do_not_fit_are_said() {
    let data = split_bars(600);
    let (_folder, fitted) = fit(&data);
    let model = fitted.model().unwrap();
    for inputs in [
        Tensor::zeros([3, 1, 28, 29], (Kind::Uint8, Device::Cpu)),
        Tensor::zeros([3, 28, 28], (Kind::Uint8, Device::Cpu)),
        Tensor::zeros([3, 1, 28, 28], (Kind::Float, Device::Cpu)),
    ] {
        let message = model.predict(&inputs).unwrap_err().to_string();
        assert!(message.contains("[N, 1, 28, 28]") && message.contains("Uint8"), "{message}");
    }
    let message = model.predict(&data.train.inputs.narrow(0, 0, 0)).unwrap_err().to_string();
    assert!(message.contains("one input or more"), "{message}");
    let wrong =
        Examples { inputs: data.train.inputs.narrow(0, 0, 2), labels: Tensor::from_slice(&[0_i64, 10]) };
    let message = model.confusion_matrix(&wrong).unwrap_err().to_string();
    assert!(message.contains("0 to 9") && message.ends_with("got 10"), "{message}");
}

#[test]
fn files_that_are_no_saved_model_are_said() {
    let data = split_bars(600);
    let (folder, fitted) = fit(&data);
    let path = folder.path().join("model.safetensors");
    fitted.model().unwrap().save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let message_for = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let message = TrainedModel::load(&path, Device::Cpu).unwrap_err().to_string();
        assert!(message.contains("model.safetensors"), "{message}");
        message
    };
    assert!(message_for(&whole[..whole.len() - 1]).contains("no whole safetensors file"));
    assert!(message_for(b"").contains("no whole safetensors file"));
    let foreign = folder.path().join("foreign.safetensors");
    Tensor::write_safetensors(&[("weight", Tensor::from_slice(&[1.0_f32]))], &foreign).unwrap();
    assert!(message_for(&std::fs::read(&foreign).unwrap()).contains("Glisten did not write"));
    let text = String::from_utf8_lossy(&whole).into_owned();
    assert!(text.contains("[16,6,5,5]"));
    let at = whole.windows(10).position(|bytes| bytes == b"[16,6,5,5]").unwrap();
    let mut reshaped = whole.clone();
    reshaped[at..at + 10].copy_from_slice(b"[6,16,5,5]");
    assert!(message_for(&reshaped).contains("'conv2.weight' of shape [16, 6, 5, 5]"));
    let missing = TrainedModel::load(folder.path().join("none.safetensors"), Device::Cpu).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }), "{missing}");
    let message = fitted.model().unwrap().save(folder.path().join("runs.db/model.safetensors")).unwrap_err();
    assert!(message.to_string().contains("creating the folder"), "{message}");
}

/// An architecture of one's own is given when its file is loaded.
#[test]
fn a_model_of_ones_own_is_loaded_with_its_architecture() {
    struct Linear(i64);
    struct Network(nn::Linear, nn::Linear);
    impl Model for Network {
        fn features(&self, images: &Tensor, _: bool) -> Tensor {
            images.flatten(1, -1).apply(&self.0).relu()
        }
        fn logits(&self, features: &Tensor) -> Tensor {
            features.apply(&self.1)
        }
    }
    impl Architecture for Linear {
        fn name(&self) -> &str {
            "linear"
        }
        fn settings(&self) -> String {
            format!("width {}", self.0)
        }
        fn build(&self, path: &nn::Path<'_>) -> Box<dyn Model> {
            Box::new(Network(
                nn::linear(path / "hidden", 784, self.0, Default::default()),
                nn::linear(path / "out", self.0, 10, Default::default()),
            ))
        }
    }
    let data = split_bars(600);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "own").unwrap();
    let fitted = Trainer::new(Linear(12)).epochs(1).fit(&data, &study).unwrap();
    let path = folder.path().join("own.safetensors");
    fitted.model().unwrap().save(&path).unwrap();
    let message = TrainedModel::load(&path, Device::Cpu).unwrap_err().to_string();
    assert!(message.contains("linear") && message.contains("load_with"), "{message}");
    let message = TrainedModel::load_with(&path, &Linear(13), Device::Cpu).unwrap_err().to_string();
    assert!(message.contains("width 13") && message.contains("width 12"), "{message}");
    let loaded = TrainedModel::load_with(&path, &Linear(12), Device::Cpu).unwrap();
    let inputs = &data.validation.inputs;
    assert!(loaded.predict(inputs).unwrap().equals(&fitted.model().unwrap().predict(inputs).unwrap()));
}
