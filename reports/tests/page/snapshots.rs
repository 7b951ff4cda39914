//! What the templates see and what they make of it, against files that are kept: a change shows in the history.
//!
//! `GLISTEN_UPDATE_SNAPSHOTS=1` writes them anew; look at the difference before you commit it.

use crate::made_up;
use glisten_reports::{Options, Section, Tables, page, render_tables};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn assert_kept(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("GLISTEN_UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, found).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    let differs = kept.lines().zip(found.lines()).position(|(kept, found)| kept != found);
    let line = differs.unwrap_or(kept.lines().count().min(found.lines().count()));
    assert!(
        kept == found,
        "{name}, line {}:\n  kept  {:?}\n  found {:?}",
        line + 1,
        kept.lines().nth(line),
        found.lines().nth(line)
    );
}

fn options() -> Options {
    Options {
        title: Some("Can we train on a third of it?".to_owned()),
        author: Some("A. Researcher".to_owned()),
        written_at: Some("25 November 2026".to_owned()),
        notes: Some("The second seed was **repeated**.".to_owned()),
        how_made: vec!["glisten report how-much-data -o report.html".to_owned()],
        baseline: Some("full 100 % seed 0".to_owned()),
        ..Options::default()
    }
}

#[test]
fn the_context_is_the_kept_one() {
    let made_up = made_up::runs(7, 4);
    let tables = Tables { classes: Some(&made_up.classes), ..Tables::new(&made_up.runs, &made_up.metrics) };
    let mut context = serde_json::to_value(page(tables, &options()).unwrap()).unwrap();
    // Drawings are looked at by eye; what they say is here.
    let mut cut = |chart: &mut Value| {
        let svg = chart["svg"].as_str().unwrap();
        let description = svg.split("<desc").nth(1).and_then(|rest| rest.split('>').nth(1)).unwrap();
        chart["svg"] = Value::String(description.trim_end_matches("</desc").to_owned());
    };
    context["charts"].as_array_mut().unwrap().iter_mut().for_each(&mut cut);
    cut(&mut context["selections"]["chart"]);
    assert_kept("context.json", &(serde_json::to_string_pretty(&context).unwrap() + "\n"));
}

#[test]
fn the_page_is_the_kept_one() {
    let made_up = made_up::runs(7, 4);
    let tables = Tables::new(&made_up.runs, &made_up.metrics);
    let options = Options { without: vec![Section::Charts], ..options() };
    let html = render_tables(tables, &options).unwrap();
    // The style has its own file and history.
    let style = html.find("<style>").unwrap()..html.find("</style>").unwrap();
    assert_kept("report.html", &html.replace(&html[style], "<style>"));
}
