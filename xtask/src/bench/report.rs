//! `cargo xtask bench report`: how long a report takes to write, how large it is, and whether a browser scrolls through it
//! without stalling. There is no peer.
//!
//! The in-process part is `tests/bench/report.rs`.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Effort, Row, Unit, example, json_of};
use crate::folders::Folders;
use crate::{say, setup, test};

/// Seconds for a thousand runs of three hundred epochs.
const SECONDS: f64 = 1.0;
/// Megabytes of their report.
const LARGE: f64 = 2.0;
/// Megabytes of a report of five runs.
const SMALL: f64 = 0.15;

/// Seconds from one frame to the next, above which scrolling is felt to stall (the R of Chromium's RAIL).
const STALL: f64 = 0.1;

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
    rows.push(
        Row::new(format!("{case}, from dataframes"), Unit::Seconds, &seconds(&large["seconds"])?)
            .target(SECONDS),
    );
    say::note(&format!("{case}, from the store"));
    let store = place.join(format!("{runs}-{epochs}.db"));
    let from_store = ours(&["store", &store.to_string_lossy(), &runs, &epochs])?;
    rows.push(
        Row::new(format!("{case}, from the store"), Unit::Seconds, &seconds(&from_store["seconds"])?)
            .target(SECONDS),
    );
    rows.push(Row::new(format!("{case}, size"), Unit::Megabytes, &[megabytes(&large)?]).target(LARGE));
    let small = ours(&["tables", "5", "20"])?;
    rows.push(Row::new("5 runs, size", Unit::Megabytes, &[megabytes(&small)?]).target(SMALL));
    if let Some(browser) = test::installed_browser() {
        say::note(&format!("{case}, scrolled from the top to the end in {}", browser.display()));
        let scrolled = ours(&["scroll", &browser.to_string_lossy(), &runs, &epochs])?;
        let longest = seconds(&scrolled["longest"])?;
        rows.push(
            Row::new(format!("{case}, scrolled: longest frame"), Unit::Seconds, &longest).target(STALL),
        );
        let middle = seconds(&scrolled["middle"])?;
        rows.push(Row::new(format!("{case}, scrolled: median frame"), Unit::Seconds, &middle));
    } else {
        say::note("scrolling is not measured: no Chromium on the PATH, and GLISTEN_CHROMIUM names none");
    }
    Ok(rows)
}

fn seconds(list: &Value) -> Result<Vec<f64>> {
    let list = list.as_array().context("no seconds were measured")?;
    // The first time warms up.
    Ok(list.iter().skip(1).filter_map(Value::as_f64).collect())
}

fn megabytes(result: &Value) -> Result<f64> {
    result["bytes"].as_f64().map(|bytes| bytes / 1e6).context("no size was measured")
}
