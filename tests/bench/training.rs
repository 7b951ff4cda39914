//! The in-process part of `cargo xtask bench training`: trainings by the [`Trainer`] as a user starts them, on images made here.
//! The last line it prints is JSON.
//!
//! `training speed MODEL PRECISION IMAGES BATCH EPOCHS [DEVICE [FORMAT]]`: images per second of the epochs after a first one, which
//! warms up; on the CPU if nothing is said. FORMAT is `channels-last`, the default, or `channels-first`.
//! `training curve FOLDER`: the losses of five epochs of LeNet on 2,000 images; FOLDER gets everything that a peer needs in
//! order to do the same: images, labels, order of samples, initial weights.

use std::path::Path;

use anyhow::{Context, Result, bail};
use glisten::data::Normalization;
use glisten::model;
use glisten::ops;
use glisten::prelude::*;
use serde_json::json;
use tch::{Device, Kind, Tensor, nn};

const SEED: u64 = 1;
const CURVE_IMAGES: i64 = 2000;
const CURVE_EPOCHS: usize = 5;
/// The highest learning rate, one at which these images are learnt.
const CURVE_RATE: f64 = 0.01;

fn main() -> Result<()> {
    glisten::device::open_cuda();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let line = match arguments[..] {
        ["speed", model, precision, images, batch, epochs, ref on @ ..] if on.len() <= 2 => {
            let device = glisten::device::named(on.first().unwrap_or(&"cpu"))?;
            match on.get(1) {
                None | Some(&"channels-last") => {}
                Some(&"channels-first") => ops::keep_channels_first(),
                Some(other) => bail!("expected channels-last or channels-first, got {other}"),
            }
            speed(model, precision.parse()?, images.parse()?, batch.parse()?, epochs.parse()?, device)?
        }
        ["curve", folder] => curve(Path::new(folder))?,
        _ => {
            bail!(
                "expected `speed MODEL PRECISION IMAGES BATCH EPOCHS [DEVICE [FORMAT]]` or `curve FOLDER`, got {arguments:?}"
            )
        }
    };
    println!("{line}");
    Ok(())
}

fn speed(
    model: &str,
    precision: Precision,
    images: i64,
    batch: usize,
    epochs: usize,
    device: Device,
) -> Result<serde_json::Value> {
    let shape = if model == "lenet" { [1, 28, 28] } else { [3, 32, 32] };
    let data = bars(images, shape)?;
    let mut trainer = Trainer::of(model::named(model, &data)?)
        .device(device)
        .precision(precision)
        .batch_size(batch)
        .epochs(epochs + 1)
        .clip_grad_norm(0.0)
        .seed(SEED);
    if model != "lenet" {
        trainer = trainer.augment(Augment::crop_and_flip());
    }
    let secs = by_epoch(&trainer, &data, "epoch:seconds")?;
    let total: f64 = secs[1..].iter().sum();
    Ok(json!({
        "images_per_second": images as f64 * epochs as f64 / total,
        "cpu_path": ops::cpu_path()?.name(),
        "threads": tch::get_num_threads(),
        "device": glisten::device::name(device),
        "gpu_megabytes": glisten::device::memory_used(device).map(|bytes| bytes as f64 / 1e6),
    }))
}

fn curve(folder: &Path) -> Result<serde_json::Value> {
    let data = bars(CURVE_IMAGES, [1, 28, 28])?;
    let architecture = LeNet::for_data(&data);
    // As the trainer itself makes its weights and its order.
    let variables = nn::VarStore::new(Device::Cpu);
    tch::manual_seed(SEED as i64);
    let model = architecture.build(&variables.root());
    let mut loader = Select::full().loader(&data.train, &data.validation)?.seed(SEED);
    let orders: Vec<Tensor> = (0..CURVE_EPOCHS)
        .map(|_| Ok(loader.epoch(model.as_ref())?.indices().shallow_clone()))
        .collect::<Result<_>>()?;
    let normalization = Normalization::of(&data.train);
    let mut arrays: Vec<(String, Tensor)> = variables
        .variables()
        .into_iter()
        .map(|(name, weight)| (format!("weights/{name}"), weight.detach().copy()))
        .collect();
    arrays.extend([
        ("inputs".to_owned(), normalization.apply(&data.train.inputs)),
        ("labels".to_owned(), data.train.labels.shallow_clone()),
        ("orders".to_owned(), Tensor::stack(&orders, 0)),
        ("rate".to_owned(), Tensor::from(CURVE_RATE)),
    ]);
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Tensor::write_npz(&arrays, folder.join("curve.npz"))?;
    let trainer = Trainer::new(architecture)
        .device(Device::Cpu)
        .epochs(CURVE_EPOCHS)
        .clip_grad_norm(0.0)
        .seed(SEED)
        .learning_rate(CURVE_RATE);
    Ok(json!({ "losses": by_epoch(&trainer, &data, "train:loss")? }))
}

/// Trains, and returns one metric of every epoch.
fn by_epoch(trainer: &Trainer, data: &Splits, metric: &str) -> Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path().join("runs.db"))?;
    let experiment = Experiment::create_in(&store, "bench")?;
    trainer.fit(data, &experiment)?;
    let points = store.metric_points(Some("bench"), None)?;
    let mut points: Vec<_> = points.into_iter().filter(|point| point.metric == metric).collect();
    points.sort_by_key(|point| point.step);
    Ok(points.into_iter().map(|point| point.value).collect())
}

/// `n` training images in ten classes: class c is a bright bar in its own place, under noise.
fn bars(n: i64, [channels, height, width]: [i64; 3]) -> Result<Splits> {
    // A tenth goes to the validation set, which the speed of training does not depend on.
    let all = n + n / 8 + 8;
    tch::manual_seed(7);
    let labels = Tensor::randint(10, [all], (Kind::Int64, Device::Cpu));
    let images = Tensor::rand([all, channels, height, width], (Kind::Float, Device::Cpu)) * 160.0;
    for class in 0..10 {
        let of_class = labels.eq(class).to_kind(Kind::Float).view([-1, 1, 1, 1]) * 60.0;
        let mut bar = images.narrow(2, 2 * class + 3, 3);
        bar += &of_class;
    }
    let dataset = Dataset::from_tensors("bars", images.to_kind(Kind::Uint8), labels)?;
    let mut data = dataset.split(Split::default())?;
    data.train = data.train.take(n as usize)?;
    data.validation = data.validation.take(8)?;
    Ok(data)
}
