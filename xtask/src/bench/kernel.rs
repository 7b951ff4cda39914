//! `cargo xtask bench kernel`: the same cells in Glisten, in evcxr_jupyter and as bare rustc compiles them, in turn.
//!
//! The clients are one Python program, `tests/bench/kernel.py`, so that all three are timed alike: from sending a cell to its
//! reply. Bare rustc is one call that compiles the cell's code against Glisten's bundle, with the real linker and libraries,
//! and runs nothing.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::evcxr::Evcxr;
use super::row::median;
use super::{Effort, Row, Unit, json_of};
use crate::folders::{self, Folders};
use crate::{python, setup};

/// The longest that bare rustc may be exceeded by: a cell without a new variable, a cell with one.
const OVER_BARE: [(&str, f64); 2] = [("polars and tch", 1.4), ("polars and tch, two new variables", 1.8)];
/// How many times faster than evcxr_jupyter these cells should be.
const TIMES_FASTER: f64 = 4.0;

/// Sets everything up and measures.
///
/// # Errors
/// If a kernel cannot be set up, or does not do what a cell asks.
pub(super) fn measure(folders: &Folders, effort: Effort) -> Result<Vec<Row>> {
    let ready = setup::whole(folders, Vec::new())?;
    let evcxr = Evcxr::provide(folders)?;
    let place = folders.target.join("bench/kernel");
    evcxr.write_spec(&place.join("jupyter/kernels"))?;
    let config = place.join("config.json");
    let settings = json!({
        "bundle": ready.bundle,
        "evcxr_setup": evcxr.set_up(),
        "trials": effort.trials(9, 3),
        "starts": effort.trials(5, 1),
        "cells": effort.trials(500, 120),
    });
    folders::write_atomically(&config, settings.to_string())?;
    let script = |what: &str| {
        let mut command = python::command(&ready.python);
        command.arg(folders.root.join("tests/bench/kernel.py")).arg(what).arg(&config);
        json_of(command.env("JUPYTER_PATH", place.join("jupyter")))
    };
    let dep = evcxr.first_dep(|| script("dep"))?;
    let measured = script("measure")?;
    fs::write(place.join("measured.json"), serde_json::to_string_pretty(&measured)?)
        .context("cannot write what was measured")?;
    rows(&measured, &dep)
}

/// The table's rows from what `kernel.py` measured.
///
/// # Errors
/// If something is missing in it.
pub(super) fn rows(measured: &Value, dep: &Value) -> Result<Vec<Row>> {
    let times = |path: &str| {
        let list = measured.pointer(path).and_then(Value::as_array);
        let list = list.with_context(|| format!("nothing measured at {path}"))?;
        anyhow::Ok(list.iter().filter_map(Value::as_f64).collect::<Vec<f64>>())
    };
    let mut rows = Vec::new();
    let cell = |case: &str, name: &str| times(&format!("/cells/{case}/{name}"));
    for (case, most) in OVER_BARE {
        let (ours, bare, theirs) = (cell(case, "glisten")?, cell(case, "bare")?, cell(case, "evcxr")?);
        let row = Row::new(case, Unit::Seconds, &ours).against(Evcxr::NAME, &theirs);
        rows.push(row.target(median(&theirs) / TIMES_FASTER));
        let over: Vec<f64> = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
        rows.push(Row::new(format!("{case}, over bare rustc"), Unit::Times, &over).target(most));
    }
    let row = Row::new("1 + 1", Unit::Seconds, &cell("1 + 1", "glisten")?);
    rows.push(row.against(Evcxr::NAME, &cell("1 + 1", "evcxr")?).target(0.3));
    let start = times("/starts/glisten")?;
    let first = dep["dep"].as_f64().context("the time of evcxr's first `:dep` is not known")?;
    let again = times("/starts/evcxr")?;
    rows.push(
        Row::new("start to first result", Unit::Seconds, &start).against(Evcxr::NAME, &again).target(3.0),
    );
    // The first time ever, the libraries are built as well.
    rows.push(
        Row::new("start to first result, first time", Unit::Seconds, &start)
            .against(Evcxr::NAME, &again.iter().map(|again| again + first).collect::<Vec<_>>())
            .target(3.0),
    );
    let quotients = |of: &str, by: &str| {
        let (of, by) = (times(of)?, times(by)?);
        anyhow::Ok(of.iter().zip(&by).map(|(of, by)| of / by).collect::<Vec<f64>>())
    };
    let first_let = quotients("/starts/first_let", "/starts/tenth_let")?;
    rows.push(Row::new("first let of a DataFrame, over the tenth", Unit::Times, &first_let).target(1.1));
    let late = quotients("/long/late", "/long/early")?;
    rows.push(Row::new("cell 500 after 100 items, over cell 5", Unit::Times, &late).target(1.1));
    let idle = times("/completion/glisten")?;
    let busy = times("/completion/glisten_busy")?;
    let all: Vec<f64> = idle.iter().chain(&busy).copied().collect();
    let longest = all.iter().copied().fold(0.0, f64::max);
    rows.push(
        Row::new("completion", Unit::Seconds, &all)
            .against(Evcxr::NAME, &times("/completion/evcxr")?)
            .target(0.3),
    );
    rows.push(Row::new("completion, the longest", Unit::Seconds, &[longest]).target(0.3));
    Ok(rows)
}
