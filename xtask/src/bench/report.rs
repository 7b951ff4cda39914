//! `cargo xtask bench report`: how long a report takes to write, and how large it is. There is no peer.
//!
//! The in-process part is `tests/bench/report.rs`.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Effort, Row, Unit, example, json_of};
use crate::folders::Folders;
use crate::{say, setup};

/// Seconds for a thousand runs of three hundred epochs.
const SECONDS: f64 = 1.0;
/// Megabytes of their report.
const LARGE: f64 = 2.0;
/// Megabytes of a report of five runs.
const SMALL: f64 = 0.15;

/// Builds and measures.
///
/// # Errors
/// If it does not build, or a report cannot be written.
pub(super) fn measure(folders: &Folders, effort: Effort) -> Result<Vec<Row>> {
    setup::libtorch_only(folders)?;
    let program = example(folders, "bench-report")?.get_program().to_owned();
    let place = folders.target.join("bench/report");
    std::fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let trials = effort.trials(9, 2).to_string();
    let ours = |words: &[&str]| {
        json_of(std::process::Command::new(&program).args(words).arg(&trials).current_dir(&folders.root))
    };
    let (runs, epochs) = (effort.trials(1000, 100).to_string(), effort.trials(300, 30).to_string());
    let mut rows = Vec::new();
    let case = format!("{runs} runs × {epochs} epochs");
    say::note(&format!("{case}, from dataframes"));
    let large = ours(&["tables", &runs, &epochs])?;
    rows.push(Row::new(format!("{case}, from dataframes"), Unit::Seconds, &seconds(&large)?).target(SECONDS));
    say::note(&format!("{case}, from the store"));
    let store = place.join(format!("{runs}-{epochs}.db"));
    let from_store = ours(&["store", &store.to_string_lossy(), &runs, &epochs])?;
    rows.push(
        Row::new(format!("{case}, from the store"), Unit::Seconds, &seconds(&from_store)?).target(SECONDS),
    );
    rows.push(Row::new(format!("{case}, size"), Unit::Megabytes, &[megabytes(&large)?]).target(LARGE));
    let small = ours(&["tables", "5", "20"])?;
    rows.push(Row::new("5 runs, size", Unit::Megabytes, &[megabytes(&small)?]).target(SMALL));
    Ok(rows)
}

fn seconds(result: &Value) -> Result<Vec<f64>> {
    let list = result["seconds"].as_array().context("no seconds were measured")?;
    // The first time warms up.
    Ok(list.iter().skip(1).filter_map(Value::as_f64).collect())
}

fn megabytes(result: &Value) -> Result<f64> {
    result["bytes"].as_f64().map(|bytes| bytes / 1e6).context("no size was measured")
}
