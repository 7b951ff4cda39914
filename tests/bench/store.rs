//! Our side of `cargo xtask bench store`. The last line it prints is JSON.
//!
//! `single N`: N metrics of a training (six, step by step), each logged by a call of its own, in a new store; metrics per second.
//! `batched N BATCH`: as many, `BATCH` in a call.
//! `table FILE RUNS STEPS TIMES`: the table of all runs as a dataframe, sorted by a metric's largest value, from opening the
//! store on; seconds, `TIMES` of them. The store is made where it is not there: runs × 10 parameters × 6 metrics × STEPS steps.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use glisten::analytics;
use glisten::prelude::*;
use serde_json::json;

const METRICS: [&str; 6] = [
    "train:loss",
    "train:accuracy",
    "validation:loss",
    "validation:accuracy",
    "epoch:seconds",
    "selection:seconds",
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().with_context(|| format!("'{text}' is no number"));
    let result = match words[..] {
        ["single", n] => json!({ "per_second": log(number(n)?, 1)? }),
        ["batched", n, batch] => json!({ "per_second": log(number(n)?, number(batch)?)? }),
        ["table", file, runs, steps, times] => {
            make(Path::new(file), number(runs)?, number(steps)?)?;
            let times = number(times)?;
            let seconds =
                (0..times).map(|_| table(Path::new(file), number(runs)?)).collect::<Result<Vec<_>>>()?;
            json!({ "seconds": seconds })
        }
        _ => bail!("expected single, batched or table with their numbers; got {words:?}"),
    };
    println!("{result}");
    Ok(())
}

/// The value of a metric at a step: a course that goes somewhere, with noise.
fn value(run: usize, metric: usize, step: i64) -> f64 {
    let noise = ((run * 31 + metric * 17) as f64 + step as f64 * 7.3).sin();
    1.0 / (1.0 + step as f64) + 0.05 * noise
}

fn log(n: usize, batch: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path().join("runs.db"))?;
    let run = Experiment::create_in(&store, "bench")?.start_run("run")?;
    let points: Vec<(&str, i64, f64)> =
        (0..n).map(|at| (METRICS[at % 6], (at / 6) as i64, value(0, at % 6, (at / 6) as i64))).collect();
    let start = Instant::now();
    for batch in points.chunks(batch) {
        match batch {
            [(name, step, value)] => run.log_metric(name, *value, *step)?,
            batch => run.log_batch(batch)?,
        }
    }
    let rate = n as f64 / start.elapsed().as_secs_f64();
    run.complete()?;
    let logged: u64 = store.run_records(None)?[0].metrics.values().map(|stats| stats.count).sum();
    ensure!(logged == n as u64, "{logged} of {n} metrics are there");
    Ok(rate)
}

fn make(file: &Path, runs: usize, steps: usize) -> Result<()> {
    if file.exists() {
        return Ok(());
    }
    let part = file.with_extension("part");
    for name in [part.clone(), part.with_extension("part-wal"), part.with_extension("part-shm")] {
        let _ = std::fs::remove_file(name);
    }
    let store = Store::open(&part)?;
    let study = Experiment::create_in(&store, "bench")?;
    for at in 0..runs {
        let run = study.start_run(&format!("run {at}"))?;
        run.log_parameters(
            (0..10)
                .map(|parameter| (format!("parameter_{parameter}"), at as f64 / 7.0 + f64::from(parameter))),
        )?;
        let points: Vec<(&str, i64, f64)> = (0..METRICS.len())
            .flat_map(|metric| {
                (0..steps as i64).map(move |step| (METRICS[metric], step, value(at, metric, step)))
            })
            .collect();
        run.log_batch(&points)?;
        run.complete()?;
    }
    drop((study, store));
    std::fs::rename(&part, file)?;
    Ok(())
}

fn table(file: &Path, runs: usize) -> Result<f64> {
    let start = Instant::now();
    let store = Store::open(file)?;
    let sorted = analytics::runs(&store, Some("bench"))?.sort_by("metrics.validation:accuracy.max")?;
    let seconds = start.elapsed().as_secs_f64();
    let best = sorted.column("validation:accuracy.max")?.f64()?;
    ensure!(
        sorted.height() == runs && best.get(0) >= best.get(runs - 1),
        "the table is not what it should be"
    );
    Ok(seconds)
}
