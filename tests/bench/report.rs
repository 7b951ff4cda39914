//! The in-process part of `cargo xtask bench report`. The last line it prints is JSON.
//!
//! `tables RUNS EPOCHS TIMES`: seconds from dataframes in memory to the file on disk, `TIMES` of them, and the file's bytes.
//! `store FILE RUNS EPOCHS TIMES`: the same from opening the store on, which is made where it is not there.
//! `scroll CHROMIUM RUNS EPOCHS TIMES`: seconds from a frame to the next while Chromium scrolls through the report, from top to
//! end: of each time the longest and the middle.

#[path = "../../reports/tests/chromium/mod.rs"]
mod chromium;
#[path = "../../reports/tests/made_up/mod.rs"]
mod made_up;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use glisten::prelude::*;
use glisten_reports::{Options, Tables};
use serde_json::json;

const EXPERIMENT: &str = "how-much-data";
/// Steps from the top of a page to its end.
const N_FRAMES: u32 = 300;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().with_context(|| format!("'{text}' is no number"));
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.html");
    let (seconds, n_bytes) = match words[..] {
        ["tables", runs, epochs, times] => {
            let made_up = made_up::runs(number(runs)?, number(epochs)? as i64);
            repeated(number(times)?, &report, || Ok(glisten_reports::write(&report, &html(&made_up)?)?))?
        }
        ["scroll", browser, runs, epochs, times] => {
            glisten_reports::write(&report, &html(&made_up::runs(number(runs)?, number(epochs)? as i64))?)?;
            println!("{}", scrolled(Path::new(browser), folder.path(), &report, number(times)?));
            return Ok(());
        }
        ["store", file, runs, epochs, times] => {
            let (file, runs) = (Path::new(file), number(runs)?);
            make(file, runs, number(epochs)? as i64)?;
            repeated(number(times)?, &report, || {
                let store = Store::open(file)?;
                Experiment::open_in(&store, EXPERIMENT)?.report(&report)?;
                Ok(())
            })?
        }
        _ => bail!("expected tables, store or scroll with their numbers; got {words:?}"),
    };
    println!("{}", json!({ "seconds": seconds, "bytes": n_bytes }));
    Ok(())
}

/// With a contact sheet for each strategy and fraction that chooses.
fn html(made_up: &made_up::MadeUp) -> Result<String> {
    let images = made_up::images(12, made_up.runs.height().saturating_sub(1).min(6));
    let tables = Tables {
        classes: Some(&made_up.classes),
        images: &images,
        ..Tables::new(&made_up.runs, &made_up.metrics)
    };
    Ok(glisten_reports::render_tables(tables, &Options::default())?)
}

/// The report opened and scrolled through so many times.
fn scrolled(program: &Path, folder: &Path, report: &Path, times: usize) -> serde_json::Value {
    let mut browser = chromium::Chromium::start(program, folder);
    let (mut longest, mut middle) = (Vec::new(), Vec::new());
    for _ in 0..times {
        browser.open(report, 1280, "light", "screen");
        let mut seconds: Vec<f64> = browser.scroll(N_FRAMES).into_iter().map(|gap| gap / 1e3).collect();
        seconds.sort_by(f64::total_cmp);
        middle.push(seconds[seconds.len() / 2]);
        longest.push(seconds[seconds.len() - 1]);
    }
    json!({ "longest": longest, "middle": middle })
}

/// Seconds of each time, and the bytes of the file, which are the same each time.
fn repeated(times: usize, report: &Path, write: impl Fn() -> Result<()>) -> Result<(Vec<f64>, usize)> {
    let mut seconds = Vec::new();
    let mut before: Option<Vec<u8>> = None;
    for _ in 0..times {
        let start = Instant::now();
        write()?;
        seconds.push(start.elapsed().as_secs_f64());
        let bytes = std::fs::read(report)?;
        ensure!(before.as_ref().is_none_or(|before| *before == bytes), "the same input gave other bytes");
        before = Some(bytes);
    }
    Ok((seconds, before.map_or(0, |bytes| bytes.len())))
}

/// A store of made-up runs, with what a training logs.
fn make(file: &Path, n_runs: usize, n_epochs: i64) -> Result<()> {
    if file.is_file() {
        return Ok(());
    }
    // Made beside its place, so that a store half made is not taken for one.
    let part = file.with_extension("part");
    for left in [part.clone(), part.with_extension("part-wal"), part.with_extension("part-shm")] {
        if left.exists() {
            std::fs::remove_file(left)?;
        }
    }
    let made_up = made_up::runs(n_runs, n_epochs);
    let text = |name: &str, row: usize| -> Result<String> {
        Ok(made_up.runs.column(name)?.str()?.get(row).unwrap_or_default().to_owned())
    };
    let number = |name: &str, row: usize| -> Result<f64> {
        Ok(made_up.runs.column(name)?.get(row)?.try_extract::<f64>()?)
    };
    let values: Vec<f64> = made_up.metrics.column("value")?.f64()?.iter().flatten().collect();
    {
        let store = Store::open(&part)?;
        let study = Experiment::create_in(&store, EXPERIMENT)?;
        for row in 0..n_runs {
            let run = study.start_run(&text("run", row)?)?;
            for name in ["strategy", "dataset", "model"] {
                run.log_parameter(name, text(name, row)?)?;
            }
            for name in ["fraction", "learning_rate"] {
                run.log_parameter(name, number(name, row)?)?;
            }
            for name in ["seed", "epochs", "batch_size"] {
                run.log_parameter(name, number(name, row)? as i64)?;
            }
            let mut points = Vec::new();
            for epoch in 1..=n_epochs {
                let at = 2 * (row * n_epochs as usize + epoch as usize - 1);
                points.push(("validation:accuracy", epoch, values[at]));
                points.push(("validation:loss", epoch, values[at + 1]));
                points.push(("train:loss", epoch, 0.9 * values[at + 1]));
                points.push(("epoch:seconds", epoch, number("epoch:seconds.avg", row)?));
                points.push(("selection:seconds", epoch, number("selection:seconds.avg", row)?));
            }
            points.push(("test:accuracy", n_epochs, number("test:accuracy.last", row)?));
            points.push(("run:seconds", n_epochs, number("run:seconds.last", row)?));
            run.log_batch(&points)?;
            run.complete()?;
        }
    }
    std::fs::rename(&part, file)?;
    Ok(())
}
