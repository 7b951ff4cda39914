//! `cargo xtask bench training`: images per second of trainings by the `Trainer` and by PyTorch eager at its best, in turn, and
//! whether both come to the same losses from the same weights and batches.
//!
//! Ours is `tests/bench/training.rs`, the peer `tests/bench/training.py`. Each trial is a process of its own, on all cores.

use std::cell::{Cell, RefCell};

use anyhow::{Context, Result};
use serde_json::Value;

use super::row::median;
use super::{Effort, Row, Unit, example, in_turn, json_of, python_environment};
use crate::folders::Folders;
use crate::{python, say, setup};

/// PyTorch without the libraries of CUDA, for which the peer puts empty ones in place.
const REQUIREMENTS: &str = "\
torch==2.11.0
filelock==4.2.11
fsspec==2026.9.0
Jinja2==3.1.6
MarkupSafe==3.0.4
mpmath==1.3.0
networkx==3.6.1
numpy==2.4.6
nvidia-cuda-cupti==13.0.85
nvidia-cuda-runtime==13.0.96
setuptools==81.0.0
sympy==1.14.0
typing_extensions==4.16.0
";
const PEER: &str = "PyTorch 2.11 eager";

/// What one trial does: images of an epoch, samples of a batch, epochs.
struct Trial {
    images: usize,
    batch: usize,
    epochs: usize,
}

impl Trial {
    fn arguments(&self, model: &str, precision: &str) -> Vec<String> {
        let numbers = [self.images, self.batch, self.epochs].map(|n| n.to_string());
        [&["speed".to_owned(), model.to_owned(), precision.to_owned()][..], &numbers].concat()
    }
}

/// Sets everything up and measures.
///
/// # Errors
/// If PyTorch cannot be installed, or one of the two cannot train.
pub(super) fn measure(folders: &Folders, effort: Effort) -> Result<Vec<Row>> {
    setup::libtorch_only(folders)?;
    let python = python_environment(folders, "training", REQUIREMENTS)?;
    let program = example(folders, "bench-training")?;
    let program = program.get_program().to_owned();
    let ours = |arguments: &[String]| {
        let mut command = std::process::Command::new(&program);
        json_of(command.args(arguments).current_dir(&folders.root))
    };
    let theirs = |arguments: &[String]| {
        let mut command = python::command(&python);
        json_of(command.arg(folders.root.join("tests/bench/training.py")).args(arguments))
    };
    let steps = effort.trials(2, 1);
    let lenet = Trial { images: 128 * effort.trials(100, 20), batch: 128, epochs: effort.trials(3, 1) };
    let resnet = || Trial { images: 128, batch: 128, epochs: steps };
    let mut rows = Vec::new();
    let multiplies_bf16 = Cell::new(false);
    let mut measured = Vec::new();
    for (model, precision, trial, target) in [
        ("lenet", "fp32", lenet, 1.2),
        ("resnet18", "fp32", resnet(), 1.1),
        ("resnet18", "bf16", resnet(), 1.1),
    ] {
        // Without instructions for it PyTorch takes seconds for an image.
        let slow = precision == "bf16" && !multiplies_bf16.get();
        let peer_trial = if slow { Trial { images: 4, batch: 4, epochs: 1 } } else { Trial { ..trial } };
        let remarks = RefCell::new(String::new());
        say::note(&format!("{model} {precision}"));
        let figures = in_turn(
            effort.trials(if slow { 2 } else { 3 }, 1),
            &mut [
                &mut || {
                    let result = ours(&trial.arguments(model, precision))?;
                    multiplies_bf16.set(result["cpu_path"] == "avx512-bf16");
                    rate(&result)
                },
                &mut || {
                    let result = theirs(&peer_trial.arguments(model, precision))?;
                    *remarks.borrow_mut() = format!(
                        "{}, {} threads",
                        result["format"].as_str().unwrap_or("?"),
                        result["threads"]
                    );
                    rate(&result)
                },
            ],
        )?;
        let batch = if slow { ", batch of 4" } else { "" };
        let peer = format!("{PEER}, {}{batch}", remarks.borrow());
        rows.push(
            Row::new(format!("{model} {precision}"), Unit::PerSecond("images/s"), &figures[0])
                .against(&peer, &figures[1])
                .target(target * median(&figures[1])),
        );
        measured.push(figures);
    }
    // bf16 beside our own fp32; both were measured in this run.
    let fp32 = &measured[1][0];
    rows.push(
        Row::new("resnet18 bf16 beside fp32", Unit::PerSecond("images/s"), &measured[2][0])
            .against("Glisten fp32", fp32)
            .target(2.5 * median(fp32)),
    );
    rows.extend(curve(folders, &ours, &theirs)?);
    Ok(rows)
}

/// How far the losses of five epochs lie from PyTorch's, beside how far PyTorch's own lie apart with one thread and with more:
/// float noise.
fn curve(
    folders: &Folders,
    ours: &dyn Fn(&[String]) -> Result<Value>,
    theirs: &dyn Fn(&[String]) -> Result<Value>,
) -> Result<Vec<Row>> {
    let folder = folders.target.join("bench/training");
    let arguments = ["curve".to_owned(), folder.display().to_string()];
    let (ours, theirs) = (ours(&arguments)?, theirs(&arguments)?);
    let (losses, peer, again) = (list(&ours, "losses")?, list(&theirs, "losses")?, list(&theirs, "again")?);
    let farthest = |a: &[f64], b: &[f64]| {
        a.iter().zip(b).map(|(a, b)| (a - b).abs() / b).fold(0.0, f64::max).max(f64::EPSILON)
    };
    let row =
        Row::new("lenet fp32 loss curve, farthest off, relative", Unit::Times, &[farthest(&losses, &peer)]);
    Ok(vec![
        row.against("PyTorch 2.11, another number of threads", &[farthest(&again, &peer)])
            .target(LOSS_TOLERANCE),
    ])
}

/// Rounding errors of fp32, 6e-8 each, after 80 steps that each build on the one before.
const LOSS_TOLERANCE: f64 = 1e-3;

fn rate(result: &Value) -> Result<f64> {
    result["images_per_second"].as_f64().context("no images per second were measured")
}

fn list(result: &Value, name: &str) -> Result<Vec<f64>> {
    let list = result[name].as_array().with_context(|| format!("no {name} were given"))?;
    Ok(list.iter().filter_map(Value::as_f64).collect())
}
