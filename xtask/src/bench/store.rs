//! `cargo xtask bench store`: metrics logged per second, and the sorted table of many runs, beside MLflow on its SQLite store.
//!
//! Ours is `tests/bench/store.rs`, the peer `tests/bench/store.py`. Each trial is a process of its own; what it takes to start
//! is not counted.

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use super::row::median;
use super::{Effort, Row, Unit, example, in_turn, json_of, python_environment};
use crate::folders::Folders;
use crate::{python, say, setup};

const REQUIREMENTS: &str = include_str!("store-requirements.txt");
const PEER: &str = "MLflow 3.17, SQLite";
/// How many times more metrics per second than MLflow, one by one and together.
const TIMES_MORE: f64 = 50.0;
/// How many times faster the sorted table is there.
const TIMES_FASTER: f64 = 20.0;
/// Seconds for the table of ten thousand runs.
const TEN_THOUSAND: f64 = 0.5;

/// Sets everything up and measures.
///
/// # Errors
/// If MLflow cannot be installed, or one of the two fails.
pub(super) fn measure(folders: &Folders, effort: Effort) -> Result<Vec<Row>> {
    setup::libtorch_only(folders)?;
    let python = python_environment(folders, "store", REQUIREMENTS)?;
    let program = example(folders, "bench-store")?.get_program().to_owned();
    let place = folders.target.join("bench/store");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let ours = |words: &[String]| {
        json_of(std::process::Command::new(&program).args(words).current_dir(&folders.root))
    };
    let theirs = |words: &[String]| {
        json_of(python::command(&python).arg(folders.root.join("tests/bench/store.py")).args(words))
    };
    let words = |words: &[&str], numbers: &[usize]| -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).chain(numbers.iter().map(usize::to_string)).collect()
    };
    let trials = effort.trials(5, 1);
    let mut rows = Vec::new();

    let (many, few) = (effort.trials(60_000, 6_000), effort.trials(600, 60));
    let (most, more) = (effort.trials(600_000, 60_000), effort.trials(12_000, 3_000));
    for (case, our_words, their_words) in [
        ("metrics logged one by one", words(&["single"], &[many]), words(&["single"], &[few])),
        (
            "metrics logged 1,000 at once",
            words(&["batched"], &[most, 1000]),
            words(&["batched"], &[more, 1000]),
        ),
    ] {
        say::note(case);
        let figures =
            in_turn(trials, &mut [&mut || rate(&ours(&our_words)?), &mut || rate(&theirs(&their_words)?)])?;
        rows.push(
            Row::new(case, Unit::PerSecond("metrics/s"), &figures[0])
                .against(PEER, &figures[1])
                .target(TIMES_MORE * median(&figures[1])),
        );
    }

    let table = |name: &str, runs: usize| {
        let file = place.join(format!("{name}-{runs}.db"));
        words(&["table", &file.to_string_lossy()], &[runs, 100, 1])
    };
    let runs = effort.trials(1000, 100);
    say::note(&format!("the table of {runs} runs"));
    let figures = in_turn(
        trials,
        &mut [&mut || seconds(&ours(&table("glisten", runs))?), &mut || {
            seconds(&theirs(&table("mlflow", runs))?)
        }],
    )?;
    rows.push(
        Row::new(format!("{runs} runs sorted into a table"), Unit::Seconds, &figures[0])
            .against(PEER, &figures[1])
            .target(median(&figures[1]) / TIMES_FASTER),
    );
    let runs = effort.trials(10_000, 1000);
    say::note(&format!("the table of {runs} runs"));
    let figures = in_turn(trials, &mut [&mut || seconds(&ours(&table("glisten", runs))?)])?;
    rows.push(
        Row::new(format!("{runs} runs sorted into a table"), Unit::Seconds, &figures[0]).target(TEN_THOUSAND),
    );
    Ok(rows)
}

fn rate(result: &Value) -> Result<f64> {
    result["per_second"].as_f64().context("no metrics per second were measured")
}

fn seconds(result: &Value) -> Result<f64> {
    result["seconds"][0].as_f64().context("no seconds were measured")
}
