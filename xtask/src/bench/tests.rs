//! Tests of the machinery that benches share.

use std::process::Command;

use super::load::{Watch, share_of_others, work_of};
use super::row::{Row, Unit, median, table};
use super::{Load, evcxr, in_turn, json_of, kernel, selection, write};

#[test]
fn medians_ratios_and_targets() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    // Less time is better: half of the peer's is a ratio of 2.
    let row = Row::new("cell", Unit::Seconds, &[0.4, 0.5, 0.6]).against("peer 1", &[1.0]).target(0.5);
    assert_eq!((row.ours(), row.is_met()), (0.5, Some(true)));
    let json = serde_json::to_value(&row).unwrap();
    assert_eq!(
        json,
        serde_json::json!({ "case": "cell", "ours": 0.5, "peer": 1.0, "peer_name": "peer 1", "target": 0.5,
            "unit": "s", "n": 3, "ratio": 2.0 })
    );
    // More images a second are better.
    let row =
        Row::new("train", Unit::PerSecond("images/s"), &[300.0]).against("peer", &[100.0]).target(400.0);
    assert_eq!(row.is_met(), Some(false));
    assert_eq!(serde_json::to_value(&row).unwrap()["ratio"], 3.0);
    let alone = serde_json::to_value(Row::new("x", Unit::Megabytes, &[1.0])).unwrap();
    assert!(alone["peer"].is_null() && alone["ratio"].is_null() && alone["target"].is_null());
}

#[test]
fn the_table_shows_three_digits_and_what_was_missed() {
    let rows = [
        Row::new("a", Unit::Seconds, &[0.15349]).against("evcxr", &[1.8764]).target(0.1),
        Row::new("b", Unit::PerSecond("images/s"), &[18_249.0]).target(18_000.0),
    ];
    let quiet = Load::of(Some(0.1), 2, Some(0.012));
    let shown = table(&rows, &quiet);
    for part in
        ["0.153 s", "1.88 s", "12.2 ×", "≤ 0.100 s", "no ", "18200 images/s", "≥ 18000 images/s", "yes"]
    {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    let (lines, load) = shown.split_once("\n\n").unwrap();
    assert_eq!(load, "load average 0.1 before, 0.1 after, on 2 cores, of which others took 1 %\n");
    let widths: Vec<usize> = lines.lines().map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{shown}");
}

#[test]
fn figures_of_a_busy_machine_say_so_in_the_table_and_in_the_file() {
    let rows = [Row::new("a", Unit::Seconds, &[1.0]), Row::new("b", Unit::Seconds, &[1.0])];
    let folder = tempfile::tempdir().unwrap();
    for (others, warns) in [(Some(0.37), true), (Some(0.05), true), (Some(0.049), false), (None, false)] {
        let load = Load::of(Some(1.9), 2, others);
        let shown = table(&rows, &load);
        assert_eq!(shown.starts_with("**BUSY MACHINE: other work took"), warns, "{shown}");
        let file = folder.path().join("x.json");
        write(&file, &rows, &load).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for row in read.as_array().unwrap() {
            assert_eq!(
                row["load"],
                serde_json::json!({ "before": 1.9, "after": 1.9, "cores": 2, "others": others })
            );
            assert_eq!(row["warning"].is_string(), warns, "{row}");
        }
    }
    assert!(Load::of(None, 2, Some(0.37)).warning().unwrap().contains("37 % of its 2 cores"));
}

#[test]
fn work_of_others_is_all_work_but_ones_own() {
    let stat = "cpu  900 0 0 0\ncpu0 100 10 20 5000 300 1 2 40 7 0\ncpu1 50 0 0 9 9\ncpu2 1 1 1 1\nintr 5\n";
    assert_eq!(work_of(stat, |core| core == 0), Some(100 + 10 + 20 + 1 + 2 + 40));
    assert_eq!(work_of(stat, |core| core < 2), Some(173 + 50));
    assert_eq!(work_of(stat, |_| false), None);
    assert_eq!(work_of("", |_| true), None);
    let secs = std::time::Duration::from_secs;
    // Four seconds of two cores: of three of work, one was of others.
    assert_eq!(share_of_others(secs(3), secs(2), secs(4), 2), 0.125);
    assert_eq!(share_of_others(secs(2), secs(3), secs(4), 2), 0.0, "clocks differ a little");
    assert_eq!(share_of_others(secs(3), secs(2), secs(0), 2), 0.0);
}

#[test]
fn the_work_of_a_child_is_ones_own() {
    let busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
    let own = |script: &str| {
        let before = Watch::own();
        assert!(Command::new("sh").args(["-c", script]).status().unwrap().success());
        Watch::own() - before
    };
    assert!(own(busy) > std::time::Duration::from_millis(50));
}

#[test]
fn contestants_take_turns_and_the_first_round_is_not_counted() {
    let order = std::cell::RefCell::new(String::new());
    let mut count = 0.0;
    let mut first = || {
        order.borrow_mut().push('a');
        count += 1.0;
        Ok(count)
    };
    let mut second = || {
        order.borrow_mut().push('b');
        Ok(-1.0)
    };
    let measured = in_turn(2, &mut [&mut first, &mut second]).unwrap();
    assert_eq!(measured, [vec![2.0, 3.0], vec![-1.0, -1.0]]);
    assert_eq!(order.into_inner(), "ababab");
    let mut fails = || anyhow::bail!("broken");
    assert!(in_turn(1, &mut [&mut fails]).is_err());
}

#[test]
fn results_are_the_last_line_and_are_written_whole() {
    let shell = |script: &str| json_of(Command::new("sh").args(["-c", script]));
    assert_eq!(shell("echo progress; echo '{\"a\": 1}'; echo").unwrap()["a"], 1);
    assert!(shell("echo '{\"a\": 1}'; exit 3").is_err());
    assert!(format!("{:#}", shell("echo nothing").unwrap_err()).contains("nothing"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bench/x.json");
    for value in [1.0, 2.0] {
        write(&file, &[Row::new("a", Unit::Times, &[value])], &Load::of(None, 1, None)).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(read[0]["ours"], value);
    }
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing half-written is left");
}

#[test]
fn the_peer_gets_the_features_that_glisten_uses() {
    let dependency = |name: &str, kind: Option<&str>| {
        serde_json::json!({ "name": name, "req": "=1.2.3", "kind": kind, "uses_default_features": false,
            "features": ["csv", "lazy"] })
    };
    let metadata = serde_json::json!({ "packages": [
        { "name": "other", "dependencies": [] },
        { "name": "glisten", "dependencies": [dependency("polars", None), dependency("tch", None), dependency("toml", None)] },
    ]});
    let line = |name| {
        format!(
            "{name} = {{ version = \"=1.2.3\", default-features = false, features = [\"csv\",\"lazy\"] }}\n"
        )
    };
    assert_eq!(evcxr::dependencies(&metadata).unwrap(), line("polars") + &line("tch"));
    assert!(evcxr::dependencies(&serde_json::json!({ "packages": [] })).is_err());
}

#[test]
fn the_kernels_rows_compare_with_evcxr_and_with_bare_rustc() {
    let cell = |ours: f64, evcxr: f64, bare: f64| serde_json::json!({ "glisten": [ours], "evcxr": [evcxr], "bare": [bare] });
    let measured = serde_json::json!({
        "cells": { "polars and tch": cell(0.5, 2.5, 0.4), "polars and tch, two new variables": cell(0.8, 3.0, 0.4),
            "1 + 1": cell(0.15, 1.5, 0.1) },
        "starts": { "glisten": [1.0], "evcxr": [20.0], "first_let": [0.5], "tenth_let": [0.4] },
        "long": { "early": [0.4, 0.5], "late": [0.42, 0.5] },
        "completion": { "glisten": [0.001], "glisten_busy": [0.4], "glisten_long": [0.1, 0.2], "evcxr": [0.2] },
    });
    let rows = kernel::rows(&measured, Some(&serde_json::json!({ "dep_cpu": 1800.0, "cores": 2 }))).unwrap();
    let met = |case: &str| {
        let row = rows.iter().find(|row| row.case() == case);
        row.unwrap_or_else(|| panic!("no row {case}")).is_met()
    };
    assert_eq!(met("polars and tch"), Some(true));
    assert_eq!(met("polars and tch, over bare rustc"), Some(true));
    assert_eq!(met("polars and tch, two new variables"), Some(false), "0.8 s, but a quarter of 3 s is less");
    assert_eq!(met("polars and tch, two new variables, over bare rustc"), Some(false), "twice bare rustc");
    assert_eq!(met("1 + 1"), Some(true));
    assert_eq!(met("first let of a DataFrame, over the tenth"), Some(false));
    assert_eq!(met("cell 500 after 100 items, over cell 5"), Some(true));
    assert_eq!(met("completion, the longest"), Some(false));
    assert_eq!(met("the same of code of up to 1 MB, the longest"), Some(true));
    let first = rows.iter().find(|row| row.case() == "start to first result, with the first :dep").unwrap();
    assert_eq!(serde_json::to_value(first).unwrap()["peer"], 920.0);
    let alone = serde_json::to_value(kernel::rows(&measured, None).unwrap()).unwrap();
    assert!(alone.as_array().unwrap().iter().all(|row| row["peer"].is_null()), "{alone}");
    assert!(kernel::rows(&serde_json::json!({}), None).is_err());
}

#[test]
fn the_selections_rows_compare_time_memory_and_objective_with_cords() {
    let trial = |secs: f64, growth_mb: f64, objective: f64| serde_json::json!({ "secs": secs, "growth_mb": growth_mb, "objective": objective, "picks": 200 });
    let case = |name: &str, greedy: &str, ours: serde_json::Value, theirs: Option<serde_json::Value>| {
        serde_json::json!({ "case": name, "greedy": greedy, "linear_layer": true, "ours": [ours],
            "theirs": theirs.into_iter().collect::<Vec<_>>(), "needs_gigabytes": 18.5 })
    };
    let measured = serde_json::json!({ "cases": [
        case("a", "RGreedy", trial(0.1, 50.0, 1.0), Some(trial(6.0, 400.0, 1.0))),
        case("b", "Stochastic", trial(0.1, 5.0, 1.5), Some(trial(4.0, 400.0, 1.0))),
        case("c", "RGreedy", trial(0.1, 5.0, 1.0), None),
    ]});
    let rows = selection::rows(&measured).unwrap();
    let row = |case: &str| {
        let row = rows.iter().find(|row| row.case() == case);
        row.unwrap_or_else(|| panic!("no row {case}"))
    };
    assert_eq!(row("a").is_met(), Some(true), "60 times faster");
    assert_eq!(row("a, memory").is_met(), Some(false), "an eighth of the memory");
    assert_eq!(row("a, objective").is_met(), Some(true));
    assert_eq!(row("b").is_met(), Some(false), "40 times faster");
    assert_eq!(row("b, memory").is_met(), Some(true));
    assert_eq!(row("b, objective").is_met(), Some(false));
    assert_eq!(serde_json::to_value(row("b")).unwrap()["peer_name"], "CORDS 0.0.4, from 200 picks");
    assert_eq!(row("c (CORDS out of memory: 18.5 GB)").is_met(), None);
    assert!(selection::rows(&serde_json::json!({})).is_err());
}
