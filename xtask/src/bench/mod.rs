//! `cargo xtask bench NAME`: ours and a peer in turn in one run, printed as a table and written to `target/bench/NAME.json`.
//!
//! A bench is a function that returns [`Row`]s; everything else they share is here and below: medians and ratios, running
//! contestants in turn ([`in_turn`]), private Python environments ([`python_environment`]), and in-process parts, which are
//! `[[example]]` targets of the workspace with sources in `tests/bench/` ([`example`], [`json_of`]).

mod evcxr;
mod kernel;
mod load;
mod report;
mod row;
pub(crate) mod selection;
mod store;
#[cfg(test)]
mod tests;
mod training;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::folders::{self, Folders};
use crate::{process, python, say};

pub(crate) use load::Load;
pub(crate) use row::{Row, Unit};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Bench {
    /// Notebook cells: Glisten, evcxr_jupyter and bare rustc
    Kernel,
    /// GLISTER subset selection: Glisten and CORDS
    Selection,
    /// Training: the Trainer and PyTorch eager
    Training,
    /// The store of runs: Glisten and MLflow
    Store,
    /// A report of a thousand runs: seconds, bytes, and frames while it is scrolled
    Report,
}

/// How thoroughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Few trials, to see that a bench works; its figures are not to be quoted.
    pub(crate) quick: bool,
}

impl Effort {
    /// `full` trials, or `quick` ones.
    pub(crate) fn trials(self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

impl Bench {
    fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Selection => "selection",
            Self::Training => "training",
            Self::Store => "store",
            Self::Report => "report",
        }
    }

    fn measure(self, folders: &Folders, effort: Effort) -> Result<Vec<Row>> {
        match self {
            Self::Kernel => kernel::measure(folders, effort),
            Self::Selection => selection::measure(folders, effort),
            Self::Training => training::measure(folders, effort),
            Self::Store => store::measure(folders, effort),
            Self::Report => report::measure(folders, effort),
        }
    }
}

/// Measures, prints the table and writes `target/bench/NAME.json` (`NAME-quick.json` for a quick run). Both say so where the machine
/// was busy with other work.
///
/// # Errors
/// If something cannot be set up or measured. A target that is missed is no error: the table says so.
pub(crate) fn run(folders: &Folders, bench: Bench, effort: Effort) -> Result<()> {
    let start = Instant::now();
    let watch = load::Watch::start();
    let rows = bench.measure(folders, effort)?;
    let load = watch.stop();
    let name = if effort.quick { format!("{}-quick", bench.name()) } else { bench.name().to_owned() };
    let file = folders.target.join("bench").join(format!("{name}.json"));
    write(&file, &rows, &load)?;
    print!("{}", row::table(&rows, &load));
    say::note(&format!("{} in {}", file.display(), say::duration(start.elapsed())));
    Ok(())
}

/// Writes `rows` as a JSON list, whole or not at all. Each row has with it the `load` of the machine and, if that was too much, the
/// `warning`: a row that is copied from the file takes them along.
///
/// # Errors
/// If the folder cannot be written to.
pub(crate) fn write(file: &Path, rows: &[Row], load: &Load) -> Result<()> {
    let folder = file.parent().context("no folder to write to")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut rows = serde_json::to_value(rows)?;
    for row in rows.as_array_mut().into_iter().flatten() {
        row["load"] = serde_json::to_value(load)?;
        row["warning"] = load.warning().into();
    }
    folders::write_atomically(file, serde_json::to_string_pretty(&rows)? + "\n")
}

/// Runs each contestant `trials` times in turn (A B A B …), so that a machine that slows down slows all of them down.
/// Returns what each one measured, in the contestants' order. One more round before, to warm up, is not counted.
///
/// # Errors
/// The first error of a contestant.
pub(crate) fn in_turn(
    trials: usize,
    contestants: &mut [&mut dyn FnMut() -> Result<f64>],
) -> Result<Vec<Vec<f64>>> {
    let mut measured = vec![Vec::with_capacity(trials); contestants.len()];
    for trial in 0..=trials {
        for (contestant, values) in contestants.iter_mut().zip(&mut measured) {
            process::check_interrupt()?;
            let value = contestant()?;
            if trial > 0 {
                values.push(value);
            }
        }
    }
    Ok(measured)
}

/// The Python of a private environment in `target/bench/python` that holds exactly `requirements`: a complete list of pinned
/// packages, since they are installed without looking at what they themselves require (torch would bring along gigabytes).
///
/// # Errors
/// If venv or pip fails.
pub(crate) fn python_environment(folders: &Folders, bench: &str, requirements: &str) -> Result<PathBuf> {
    let place = folders.target.join("bench").join("python").join(bench);
    python::Environment { place: &place, requirements, without_dependencies: true }
        .provide(&format!("installing the peer of the {bench} bench"))
}

/// The program of an `[[example]]` of the workspace, built in release.
///
/// # Errors
/// If it does not build.
pub(crate) fn example(folders: &Folders, name: &str) -> Result<Command> {
    // The whole workspace, as everywhere: other features would compile Polars again.
    let mut cargo = folders.cargo()?;
    cargo.args(["build", "--release", "--workspace", "--locked", "--example", name]);
    process::run(&mut cargo)?;
    let mut program = Command::new(folders.cargo_target()?.join("release/examples").join(name));
    program.current_dir(&folders.root);
    Ok(program)
}

/// Runs `command`, whose last line on stdout is JSON, and returns that; what it writes to stderr is shown.
///
/// # Errors
/// If it fails, or its last line is no JSON.
pub(crate) fn json_of(command: &mut Command) -> Result<serde_json::Value> {
    use std::io::Read;
    let name = command.get_program().to_string_lossy().into_owned();
    let mut started = process::Guarded::start(command.stdout(std::process::Stdio::piped()))?;
    let mut text = String::new();
    if let Some(mut stdout) = started.child.stdout.take() {
        stdout.read_to_string(&mut text).with_context(|| format!("cannot read what `{name}` says"))?;
    }
    let status = started.wait()?;
    process::check_interrupt()?;
    if !status.success() {
        bail!("`{name}` failed ({status})");
    }
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("the last line of `{name}` is no JSON: {last:?}"))
}
