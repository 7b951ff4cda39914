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
/// What counts as no slower.
const AS_FAST: f64 = 1.1;

/// Sets everything up and measures.
///
/// # Errors
/// If a kernel cannot be set up, or does not do what a cell asks.
pub(super) fn measure(folders: &Folders, effort: Effort) -> Result<Vec<Row>> {
    let ready = setup::whole(folders, Vec::new())?;
    let place = folders.target.join("bench/kernel");
    // A quick run takes the peer as it is, and leaves it out where it is still to be built.
    let evcxr =
        if effort.quick && !Evcxr::is_complete(folders) { None } else { Some(Evcxr::provide(folders)?) };
    if let Some(evcxr) = &evcxr {
        evcxr.write_spec(&place.join("jupyter/kernels"))?;
    }
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let config = place.join("config.json");
    let settings = json!({
        "bundle": ready.bundle,
        "evcxr_setup": evcxr.as_ref().map(Evcxr::set_up),
        "trials": effort.trials(9, 3),
        "starts": effort.trials(3, 1),
        "cells": effort.trials(500, 120),
    });
    folders::write_atomically(&config, settings.to_string())?;
    let script = |what: &str| {
        let mut command = python::command(&ready.python);
        command.arg(folders.root.join("tests/bench/kernel.py")).arg(what).arg(&config);
        json_of(command.env("JUPYTER_PATH", place.join("jupyter")))
    };
    let dep = evcxr.map(|evcxr| evcxr.first_dep(|| script("dep"))).transpose()?;
    let measured = script("measure")?;
    fs::write(place.join("measured.json"), serde_json::to_string_pretty(&measured)?)
        .context("cannot write what was measured")?;
    rows(&measured, dep.as_ref())
}

/// The table's rows from what `kernel.py` measured; without evcxr where `dep`, its first `:dep`, is not known.
///
/// # Errors
/// If something is missing in it.
pub(super) fn rows(measured: &Value, dep: Option<&Value>) -> Result<Vec<Row>> {
    let times = |path: &str| {
        let list = measured.pointer(path).and_then(Value::as_array);
        let list = list.with_context(|| format!("nothing measured at {path}"))?;
        anyhow::Ok(list.iter().filter_map(Value::as_f64).collect::<Vec<f64>>())
    };
    let seconds = |case: &str, ours: &str, theirs: &str| {
        let row = Row::new(case, Unit::Seconds, &times(ours)?);
        if dep.is_none() {
            return anyhow::Ok(row);
        }
        Ok(row.against(Evcxr::NAME, &times(theirs)?))
    };
    let quotients = |case: &str, of: &str, by: &str, most: f64| {
        let (of, by) = (times(of)?, times(by)?);
        let quotients: Vec<f64> = of.iter().zip(&by).map(|(of, by)| of / by).collect();
        anyhow::Ok(Row::new(case, Unit::Times, &quotients).target(most))
    };
    let mut rows = Vec::new();
    for (case, most) in OVER_BARE {
        let [ours, theirs, bare] = ["glisten", "evcxr", "bare"].map(|name| format!("/cells/{case}/{name}"));
        let row = seconds(case, &ours, &theirs)?;
        rows.push(if dep.is_some() { row.target(median(&times(&theirs)?) / TIMES_FASTER) } else { row });
        rows.push(quotients(&format!("{case}, over bare rustc"), &ours, &bare, most)?);
    }
    rows.push(seconds("1 + 1", "/cells/1 + 1/glisten", "/cells/1 + 1/evcxr")?.target(0.3));
    rows.push(seconds("start to first result", "/starts/glisten", "/starts/evcxr")?.target(3.0));
    if let Some(dep) = dep {
        // Its seconds of computing over the cores: no more than it takes on a quiet machine, whatever else ran beside it.
        let cpu = dep["dep_cpu"].as_f64().context("the time of evcxr's first `:dep` is not known")?;
        let cores = dep["cores"].as_f64().context("how many cores built evcxr's `:dep` is not known")?;
        let first: Vec<f64> = times("/starts/evcxr")?.iter().map(|start| start + cpu / cores).collect();
        let row =
            Row::new("start to first result, with the first :dep", Unit::Seconds, &times("/starts/glisten")?);
        rows.push(row.against(Evcxr::NAME, &first).target(3.0));
    }
    let case = "first let of a DataFrame, over the tenth";
    rows.push(quotients(case, "/starts/first_let", "/starts/tenth_let", AS_FAST)?);
    let case = "cell 500 after 100 items, over cell 5";
    rows.push(quotients(case, "/long/late", "/long/early", AS_FAST)?);
    let idle = times("/completion/glisten")?;
    let busy = times("/completion/glisten_busy")?;
    let longest = idle.iter().chain(&busy).copied().fold(0.0, f64::max);
    rows.push(seconds("completion", "/completion/glisten", "/completion/evcxr")?.target(0.3));
    rows.push(Row::new("completion while a cell runs", Unit::Seconds, &busy).target(0.3));
    rows.push(Row::new("completion, the longest", Unit::Seconds, &[longest]).target(0.3));
    let longest = times("/completion/glisten_long")?.into_iter().fold(0.0, f64::max);
    rows.push(Row::new("the same of code of up to 1 MB, the longest", Unit::Seconds, &[longest]).target(0.3));
    Ok(rows)
}
