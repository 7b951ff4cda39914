//! Experiments in and out, with the other tools themselves at the other end.

pub(crate) mod files;
pub(crate) mod fuzz;
pub(crate) mod hostile;
pub(crate) mod import;
pub(crate) mod mlflow;
pub(crate) mod server;

use std::path::Path;

use glisten::select::Selection;
use glisten::track::{Experiment, Run, Store};
use tch::Tensor;

/// Names and values that other tools stumble over.
const METRIC: &str = "日本語 🦀/loss_x41_";
const RUN: &str = "../first: 日本語 🦀";

/// An experiment with a completed run that has everything, one that failed, one that was stopped and one that just began.
fn study(folder: &Path) -> Experiment {
    let store = Store::open(folder.join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "a study: ü 🦀").unwrap();
    let run = study.start_run(RUN).unwrap();
    fill(&run, folder);
    run.complete().unwrap();
    let failed = study.start_run("failed").unwrap();
    failed.log_metric("validation:accuracy", 0.25, 1).unwrap();
    failed
        .end_with(&glisten::Error::Diverged { what: "loss is NaN".into(), epoch: 3, advice: "less".into() })
        .unwrap();
    let stopped = study.start_run("stopped").unwrap();
    stopped.log_parameter("fraction", 0.3).unwrap();
    stopped.end_with(&glisten::Error::Interrupted(String::new())).unwrap();
    study
}

fn fill(run: &Run, folder: &Path) {
    let points = awkward_points();
    let batch: Vec<(&str, i64, f64, i64)> =
        points.iter().map(|(step, value)| (METRIC, *step, *value, 1_700_000_000_000 + *step)).collect();
    run.log_batch_at(&batch).unwrap();
    let many: Vec<(&str, i64, f64)> =
        (0..2300).map(|step| ("validation:accuracy", step, many(step))).collect();
    run.log_batch(&many).unwrap();
    for (name, value) in [("fraction", 0.1 + 0.2), ("lr", 1e-5)] {
        run.log_parameter(name, value).unwrap();
    }
    run.log_parameter("epochs", 10).unwrap();
    run.log_parameter("weight decay", 10.0).unwrap();
    run.log_parameter("version", "3.10").unwrap();
    run.log_parameter("nesterov", true).unwrap();
    run.log_parameter("model: \"größe\"", "lenet, the \"small\"\none").unwrap();
    run.set_tag("team/vision", "a,b").unwrap();
    run.set_tag("glisten.run", "not ours").unwrap();
    run.set_note("A *note*\nof two lines").unwrap();
    let artifact = folder.join("weights.bin");
    std::fs::write(&artifact, artifact_bytes()).unwrap();
    run.log_artifact("model 🦀.bin", &artifact).unwrap();
    let selection = Selection {
        indices: Tensor::from_slice(&[7_i64, 3, 5]),
        gains: Some(Tensor::from_slice(&[0.5_f32, f32::NAN, -2.5])),
        weights: None,
    };
    run.log_selection(1, &selection).unwrap();
}

/// Steps and values: what is no number, what JSON and texts lose digits of, what is as large or as small as numbers get.
fn awkward_points() -> Vec<(i64, f64)> {
    let values = [0.1 + 0.2, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-300, 1.7e308, 5e-324, 1e15 + 0.3];
    (-2..).zip(values).collect()
}

/// A value with all of its digits.
fn many(step: i64) -> f64 {
    (step as f64 * 0.37).sin()
}

fn artifact_bytes() -> Vec<u8> {
    (0..70_000_u32).flat_map(|at| at.to_le_bytes()).collect()
}
