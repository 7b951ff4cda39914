//! `cargo xtask bench selection`: Glisten's GLISTER and CORDS' own, in turn, on the same features.
//!
//! `tests/bench/selection.py` measures, with CORDS in one process and the example `bench-selection` in another. Time is that of
//! CORDS' `select()` and of `Glister::choose`, given features and logits. Memory is by how much the most that was resident
//! meanwhile exceeds what was resident before. The objective is the validation loss after the step with the picks; with
//! Stochastic, with the picks that CORDS was let make, each from the sample that Glisten drew.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::row::median;
use super::{Effort, Row, Unit, example, json_of, python_environment};
use crate::folders::{self, Folders};
use crate::{plan, say, setup};

/// torch with all it needs, and on top of that CORDS and NumPy.
const TORCH: &str = include_str!("../libtorch/cuda-requirements.txt");
pub(crate) const CORDS: &str = include_str!("selection-requirements.txt");

const PEER: &str = "CORDS 0.0.4";
/// How many times faster than CORDS.
const TIMES_FASTER: f64 = 50.0;
/// How many times less memory than CORDS with the weights.
const TIMES_LESS_MEMORY: f64 = 10.0;
/// By how much an objective may be above CORDS': what rounding changes among ties.
const OBJECTIVE_TOLERANCE: f64 = 1e-3;

/// The Python that has PyTorch and CORDS.
///
/// # Errors
/// If they cannot be installed.
pub(crate) fn python(folders: &Folders) -> Result<PathBuf> {
    python_environment(folders, "selection", &format!("{TORCH}{CORDS}"))
}

/// Sets everything up and measures.
///
/// # Errors
/// If something cannot be set up, or Glisten fails. That CORDS runs out of memory is a result.
pub(super) fn measure(folders: &Folders, effort: Effort) -> Result<Vec<Row>> {
    setup::libtorch_only(folders)?;
    let program = example(folders, "bench-selection")?;
    let python = python(folders)?;
    let place = folders.target.join("bench/selection");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    // Not so much that the machine would suffer.
    let limit_bytes = memory("MemAvailable:")? / 2;
    let (sizes, percents) = if effort.quick {
        (json!([[84, 10]]), json!([10]))
    } else {
        (json!([[84, 10], [84, 100], [512, 10], [512, 100]]), json!([10, 30, 50]))
    };
    let settings = json!({
        "place": place, "program": program.get_program().to_string_lossy(), "quick": effort.quick,
        "n": 45_000, "m": 5_000, "sizes": sizes, "percents": percents,
        "threads": plan::n_cores(), "limit_bytes": limit_bytes,
    });
    let config = place.join("config.json");
    folders::write_atomically(&config, settings.to_string())?;
    let mut measuring = std::process::Command::new(python);
    measuring.arg(folders.root.join("tests/bench/selection.py")).arg(&config);
    let mut measured = json_of(measuring.env("PYTHONUNBUFFERED", "1").env_remove("PYTHONPATH"))?;
    measured["hardware"] = hardware().into();
    fs::write(place.join("measured.json"), serde_json::to_string_pretty(&measured)?)
        .context("cannot write what was measured")?;
    say::note(&format!(
        "{}, torch {} for both, {} threads, N = 45,000, 5,000 to validate, r = 15, ε = 0.01, η = 0.01",
        hardware(),
        measured["torch"].as_str().unwrap_or("unknown"),
        plan::n_cores(),
    ));
    rows(&measured)
}

/// The table's rows from what `selection.py` measured.
///
/// # Errors
/// If something is missing in it.
pub(super) fn rows(measured: &Value) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for case in measured["cases"].as_array().context("no cases measured")? {
        let name = case["case"].as_str().context("a case without a name")?;
        let greedy = case["greedy"].as_str().context("a case without a greedy")?;
        let values = |side: &str, what: &str| {
            let trials = case[side].as_array().into_iter().flatten();
            trials.filter_map(|trial| trial[what].as_f64()).collect::<Vec<f64>>()
        };
        let (ours, theirs) = (values("ours", "secs"), values("theirs", "secs"));
        anyhow::ensure!(!ours.is_empty(), "Glisten has no result for {name}");
        if theirs.is_empty() {
            // CORDS could not do this one, or one before that needs less.
            let name = match case["needs_gigabytes"].as_f64() {
                Some(needs) => format!("{name} (CORDS out of memory: {needs:.1} GB)"),
                None => format!("{name} (CORDS out of memory)"),
            };
            rows.push(Row::new(name.clone(), Unit::Seconds, &ours));
            rows.push(Row::new(format!("{name}, memory"), Unit::Megabytes, &values("ours", "growth_mb")));
            continue;
        }
        let peer = match values("theirs", "picks").first() {
            Some(picks) if greedy == "Stochastic" => format!("{PEER}, from {picks} picks"),
            _ => PEER.to_owned(),
        };
        let row = Row::new(name, Unit::Seconds, &ours).against(&peer, &theirs);
        rows.push(row.target(median(&theirs) / TIMES_FASTER));
        let (ours, theirs) = (values("ours", "growth_mb"), values("theirs", "growth_mb"));
        let row = Row::new(format!("{name}, memory"), Unit::Megabytes, &ours).against(PEER, &theirs);
        let with_weights = case["linear_layer"] == true;
        rows.push(if with_weights { row.target(median(&theirs) / TIMES_LESS_MEMORY) } else { row });
        let (ours, theirs) = (values("ours", "objective"), values("theirs", "objective"));
        let row = Row::new(format!("{name}, objective"), Unit::Nats, &ours).against(&peer, &theirs);
        rows.push(row.target(median(&theirs) * (1.0 + OBJECTIVE_TOLERANCE)));
    }
    Ok(rows)
}

fn hardware() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let flags = field("flags").unwrap_or_default();
    let widest = ["avx512f", "avx2", "sse2"].into_iter().find(|flag| flags.split(' ').any(|f| f == *flag));
    let model = field("model name").unwrap_or_else(|| "unknown processor".to_owned());
    let gib = memory("MemTotal:").unwrap_or(0) >> 30;
    format!("{} cores of {model} ({}), {gib} GiB", plan::n_cores(), widest.unwrap_or("no vectors known"))
}

/// A line of `/proc/meminfo`, in bytes.
fn memory(name: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let line =
        text.lines().find_map(|line| line.strip_prefix(name)).context("/proc/meminfo is not as expected")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}
