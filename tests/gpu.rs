//! What computes on a GPU computes what the CPU does. `cargo xtask test gpu::` runs just these; without a CUDA device each is
//! skipped and says so. `GLISTEN_TEST_DEVICE=cpu` runs them on the CPU, to try the tests themselves.

use glisten::data::LabelNoise;
use glisten::prelude::*;
use glisten::select::LastLayer;
use glisten::{device, ops};
use tch::{Device, Kind, Tensor};

use super::support::{skipped, split_bars};

/// The GPU; `None`, and the test is counted as skipped, where there is none.
fn gpu(test: &str) -> Option<Device> {
    if std::env::var_os("GLISTEN_TEST_DEVICE").is_some_and(|name| name == "cpu") {
        return Some(Device::Cpu);
    }
    let gpu = device::best();
    if gpu == Device::Cpu {
        skipped(&format!("gpu::{test}"), "needs a GPU, and `glisten doctor` says why there is none");
        return None;
    }
    Some(gpu)
}

/// Features, logits and labels of `n` samples, the same whatever the device.
fn last_layer(n: i64, seed: i64, device: Device) -> LastLayer {
    tch::manual_seed(seed);
    let options = (Kind::Float, Device::Cpu);
    let labels = Tensor::randint(10, [n], (Kind::Int64, Device::Cpu));
    let logits = Tensor::randn([n, 10], options) + labels.one_hot(10).to_kind(Kind::Float) * 2.0;
    LastLayer {
        features: Tensor::randn([n, 64], options).relu().to_device(device),
        logits: logits.to_device(device),
        labels: labels.to_device(device),
    }
}

#[test]
fn selections_are_those_of_the_cpu() {
    let Some(gpu) = gpu("selections_are_those_of_the_cpu") else { return };
    for greedy in [Greedy::RGreedy { rounds: 15 }, Greedy::Stochastic { epsilon: 0.01 }] {
        for linear_layer in [false, true] {
            let glister = Glister { greedy, linear_layer, ..Default::default() };
            let [on_cpu, on_gpu] = [Device::Cpu, gpu].map(|device| {
                let (candidates, validation) = (last_layer(3000, 1, device), last_layer(500, 2, device));
                let selection = glister.choose(&candidates, &validation, 300, 3).unwrap();
                let mut picks = Vec::<i64>::try_from(selection.indices.to_device(Device::Cpu)).unwrap();
                picks.sort_unstable();
                picks
            });
            // Sums in another order round otherwise: a pick whose gain is that of another within rounding may change places.
            let same = on_gpu.iter().filter(|pick| on_cpu.binary_search(pick).is_ok()).count();
            assert!(same >= 285, "{greedy:?}, weights {linear_layer}: {same} of 300 picks are the same");
        }
    }
}

#[test]
fn operators_are_those_of_the_cpu() {
    let Some(gpu) = gpu("operators_are_those_of_the_cpu") else { return };
    tch::manual_seed(4);
    let options = (Kind::Float, Device::Cpu);
    let images = Tensor::randint(256, [20, 3, 32, 32], (Kind::Uint8, Device::Cpu));
    let indices = Tensor::from_slice(&[3_i64, 19, 0, 3]);
    let shifts = Tensor::from_slice(&[1_i64, -2, 0, 0, 0, 1, -4, 4, 1, 0, 0, 0]).view([4, 3]);
    let (mean, inverse) =
        (Tensor::full([1, 3, 1, 1], 120.0, options), Tensor::full([1, 3, 1, 1], 0.02, options));
    let weight = Tensor::randn([32, 3, 3, 3], options) * 0.2;
    let [on_cpu, on_gpu] = [Device::Cpu, gpu].map(|device| {
        let [images, indices, mean, inverse, weight] =
            [&images, &indices, &mean, &inverse, &weight].map(|tensor| tensor.to_device(device));
        let batch = ops::gather_images(&images, &indices, Some(&shifts), &mean, &inverse).unwrap();
        let maps = ops::conv2d(&ops::channels_last(&batch), &weight, 1, 1);
        [batch, maps].map(|tensor| tensor.to_device(Device::Cpu))
    });
    assert_eq!(on_cpu[0], on_gpu[0], "images are gathered exactly");
    // Convolutions may be in TF32, which has ten bits.
    let off = (&on_cpu[1] - &on_gpu[1]).abs().max().double_value(&[]);
    assert!(off < 0.05 * on_cpu[1].abs().max().double_value(&[]), "{off}");
}

#[test]
fn every_strategy_and_precision_trains() {
    let Some(gpu) = gpu("every_strategy_and_precision_trains") else { return };
    let clean = split_bars(1500);
    let noisy = split_bars(1500).with_label_noise(LabelNoise { rate: 0.4, ..Default::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let experiment = Experiment::create_in(&store, "gpu").unwrap();
    let strategies = ["fresh-random", "glister", "auto", "infobatch", "hardest-half", "grad-match"];
    let runs = strategies
        .map(|name| (Select::named(name, 0.5).unwrap(), Precision::Fp32, &clean))
        .into_iter()
        .chain([
            (Select::full(), Precision::Bf16, &clean),
            (Select::auto(0.5), Precision::Bf16, &clean),
            (Select::auto(0.5), Precision::Fp32, &noisy),
        ]);
    for (select, precision, data) in runs {
        let trainer = Trainer::new(LeNet::for_data(data)).select(select).precision(precision).device(gpu);
        let trainer = trainer.epochs(12).batch_size(40).learning_rate(0.01).seed(1);
        let fitted = trainer.fit(data, &experiment).unwrap();
        let accuracy = fitted.validation_accuracy.unwrap();
        // GLISTER keeps the same few, and may miss a class.
        let least = if select.name() == "glister" { 0.3 } else { 0.8 };
        let wrong = if data.noise.is_some() { ", wrong labels" } else { "" };
        assert!(accuracy > least, "{select} in {precision}{wrong}: {accuracy}");
    }
    let points = store.metric_points(Some("gpu"), None).unwrap();
    let used: Vec<f64> =
        points.iter().filter(|point| point.metric == "gpu:megabytes").map(|point| point.value).collect();
    assert_eq!(used.len(), if gpu == Device::Cpu { 0 } else { 9 * 12 });
    assert!(used.iter().all(|&megabytes| megabytes > 1.0), "{used:?}");
}
