//! What options add and leave out, and what a report says of what is missing.

use crate::made_up;
use glisten_reports::summary::summarize;
use glisten_reports::{
    ContactSheet, Error, Options, Sample, Section, Tables, charts, page, render, render_tables,
};
use polars::prelude::*;
use std::fs;

fn options() -> Options {
    Options::default()
}

#[test]
fn the_runs_to_report_on_are_named_or_matched() {
    let made_up = made_up::runs(14, 3);
    let some = Options { runs: vec!["full*".to_owned(), "glister 30 % seed 1".to_owned()], ..options() };
    let page = page(Tables::new(&made_up.runs, &made_up.metrics), &some).unwrap();
    let mut names: Vec<&str> =
        page.runs.as_ref().unwrap().rows.iter().map(|row| row[0].text.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["full 100 % seed 0", "full 100 % seed 1", "glister 30 % seed 1"]);
    let lines = page.charts.iter().find(|chart| chart.id == "metric-per-epoch").unwrap();
    assert_eq!(lines.columns, ["Epoch", "Full data", "GLISTER 30 %"], "the others' metrics are left out too");
    let wrong = Options { runs: vec!["gilster 30 % seed 1".to_owned()], ..options() };
    let error = render(&made_up.runs, &made_up.metrics, &wrong).unwrap_err();
    assert!(matches!(error, Error::UnknownRun { .. }));
    assert!(error.to_string().contains("there are: `glister 30 % seed 1`"), "{error}");
}

#[test]
fn the_folder_of_the_numbers_is_named_as_seen_from_the_report() {
    let made_up = made_up::runs(7, 3);
    let folder = |data: &str| {
        let options = Options { data: Some(data.into()), ..options() };
        page(Tables::new(&made_up.runs, &made_up.metrics), &options).unwrap().data.unwrap().folder
    };
    for (data, expected) in [
        ("numbers", Some("numbers")),
        ("./a/numbers/", Some("a/numbers")),
        ("/home/me/numbers", Some("numbers")),
        ("../numbers", Some("numbers")),
        ("a/..", None),
        ("", None),
        (".", None),
        ("a\u{202E}\u{0}<b>", Some("a<b>")),
    ] {
        assert_eq!(folder(data).as_deref(), expected, "{data:?}");
    }
    let options = Options { data: Some("<b>numbers".into()), ..options() };
    let html = render(&made_up.runs, &made_up.metrics, &options).unwrap();
    assert!(html.contains("<bdi class=\"file\">&lt;b&gt;numbers</bdi>"));
}

#[test]
fn a_baseline_has_the_others_beside_it() {
    let made_up = made_up::runs(7, 3);
    let beside = Options { baseline: Some("full 100 % seed 0".to_owned()), ..options() };
    let page = page(Tables::new(&made_up.runs, &made_up.metrics), &beside).unwrap();
    let runs = page.runs.unwrap();
    let column = |name: &str| runs.columns.iter().position(|column| column.name == name).unwrap();
    let row = |name: &str| runs.rows.iter().find(|row| row[0].text == name).unwrap();
    let cell = |run: &str, name: &str| row(run)[column(name)].text.clone();
    let test: Vec<f64> = ["full 100 % seed 0", "glister 30 % seed 0"]
        .map(|run| cell(run, "Test accuracy").parse().unwrap())
        .to_vec();
    let points: f64 =
        cell("glister 30 % seed 0", "Points beside the baseline").replace('−', "-").parse().unwrap();
    assert!((points - 100.0 * (test[1] - test[0])).abs() < 0.02, "{points}");
    assert_eq!(cell("full 100 % seed 0", "Points beside the baseline"), "0.00");
    assert_eq!(cell("full 100 % seed 0", "Times as fast as the baseline"), "1.00 ×");
    let faster = cell("glister 30 % seed 0", "Times as fast as the baseline");
    assert!(faster.trim_end_matches(" ×").parse::<f64>().unwrap() > 2.0, "{faster}");
    let parameters = page.parameters.unwrap();
    let fraction = parameters.differing.iter().find(|one| one.name == "fraction").unwrap();
    let marked: Vec<&str> =
        fraction.values.iter().filter(|value| value.is_baseline).map(|value| value.text.as_str()).collect();
    assert_eq!((marked, fraction.values.len()), (vec!["1.0"], 4));
    assert!(parameters.shared.iter().any(|fact| fact.name == "batch_size" && fact.value == "20"));
    let wrong = Options { baseline: Some("fill".to_owned()), ..options() };
    assert!(matches!(render(&made_up.runs, &made_up.metrics, &wrong), Err(Error::UnknownRun { .. })));
}

#[test]
fn each_run_says_how_to_make_it_again() {
    let mut made_up = made_up::runs(14, 3);
    let dirty: Vec<bool> = (0..14).map(|i| i == 0).collect();
    made_up.runs.with_column(Column::new("git_dirty".into(), dirty)).unwrap();
    let hosts = vec!["secret-host"; 14];
    made_up.runs.with_column(Column::new("hostname".into(), hosts)).unwrap();
    let html = render(&made_up.runs, &made_up.metrics, &options()).unwrap();
    assert!(html.contains("<pre>glisten train fashion-mnist --strategy glister --fraction 0.3</pre>"));
    assert!(
        html.contains(
            "<bdi>glister 30 % seed 0 and glister 30 % seed 1</bdi>; <bdi>commit 0123456789ab</bdi>"
        )
    );
    assert_eq!(html.matches("with changes that are not committed").count(), 1);
    assert!(html.contains("<dt><bdi>libtorch version</bdi></dt><dd><bdi>2.11.0</bdi></dd>"));
    assert!(!html.contains("secret-host"), "where in a network it ran is not the readers' concern");
    let without = made_up.runs.drop("command").unwrap();
    assert!(
        render(&without, &made_up.metrics, &options())
            .unwrap()
            .contains("Of 14 runs the command is not known.")
    );
}

#[test]
fn weak_evidence_is_what_the_report_says_first() {
    let runs = made_up::runs(14, 3).runs;
    let headline = |runs: &DataFrame| summarize(runs).unwrap().headline;
    let is_strategy = |name: &str| -> BooleanChunked {
        runs.column("strategy")
            .unwrap()
            .str()
            .unwrap()
            .iter()
            .map(|strategy| strategy == Some(name))
            .collect()
    };
    let no_random = runs.filter(&!is_strategy("fresh-random")).unwrap();
    assert!(
        headline(&no_random)
            .starts_with("The evidence is weak: random subsets of the same size were not trained")
    );
    let one_seed = headline(&runs.head(Some(7)));
    assert!(one_seed.starts_with("The evidence is weak: each figure is from one seed"), "{one_seed}");
    let mut no_time = runs.clone();
    for column in ["selection:seconds.avg", "selection:seconds.count"] {
        no_time = no_time.drop(column).unwrap();
    }
    let no_time = headline(&no_time);
    assert!(no_time.contains("the time of choosing was not counted. So far, "), "{no_time}");
    assert!(summarize(&no_random).unwrap().weaknesses.len() == 1);
    assert!(page(Tables::new(&no_random, &DataFrame::empty()), &options()).unwrap().is_weak);
    let strong = made_up::runs(210, 1).runs;
    let summary = summarize(&strong).unwrap();
    assert!(summary.weaknesses.is_empty() && !summary.headline.contains("weak"), "{}", summary.headline);
}

#[test]
fn what_is_missing_is_said() {
    let made_up = made_up::runs(7, 0);
    let html = render(&made_up.runs, &made_up.metrics, &options()).unwrap();
    assert!(html.contains("No run has a finite value of validation:accuracy."), "runs without epochs");
    assert!(html.contains("Which classes were chosen is not shown"));
    assert!(html.contains("The most and least chosen images are not shown"));
    let one_fraction = made_up::runs(3, 4);
    let html = render(&one_fraction.runs, &one_fraction.metrics, &options()).unwrap();
    assert!(html.contains("30 %") && !html.contains("NaN %"));
    let no_time = one_fraction.runs.drop("epoch:seconds.avg").unwrap();
    let html = render(&no_time, &one_fraction.metrics, &options()).unwrap();
    assert!(html.contains("No completed run recorded the seconds of training and choosing."));
    let image = Sample { index: 7, width: 3, height: 3, pixels: vec![0; 4], ..Sample::default() };
    let images = ContactSheet { most: vec![image], n_selections: 1, ..ContactSheet::default() };
    let tables = Tables { images: &[images], ..Tables::new(&one_fraction.runs, &one_fraction.metrics) };
    let error = render_tables(tables, &options()).unwrap_err();
    assert!(error.to_string().contains("image 7") && error.to_string().contains("found 4 bytes"), "{error}");
}

#[test]
fn each_section_can_be_left_out() {
    let made_up = made_up::runs(7, 3);
    let images = made_up::images(2, 1);
    let tables = Tables {
        runs: &made_up.runs,
        metrics: &made_up.metrics,
        classes: Some(&made_up.classes),
        images: &images,
        not_shown: &[],
    };
    let all = Options {
        notes: Some("mine".to_owned()),
        published: vec![glisten_reports::summary::Published {
            source: "a paper".to_owned(),
            fraction: 0.3,
            speedup: 3.0,
            accuracy_lost: 1.0,
        }],
        ..options()
    };
    let headings = |options: &Options| render_tables(tables, options).unwrap().matches("<h2>").count();
    assert_eq!(headings(&all), Section::ALL.len());
    for (_, section) in Section::ALL {
        assert_eq!(headings(&Options { without: vec![section], ..all.clone() }), Section::ALL.len() - 1);
    }
}

#[test]
fn templates_of_ones_own_take_the_place_of_the_reports() {
    let made_up = made_up::runs(3, 2);
    let folder = tempfile::tempdir().unwrap();
    let own = Options { templates: Some(folder.path().to_owned()), ..options() };
    let render = |options: &Options| render(&made_up.runs, &made_up.metrics, options);
    assert_eq!(render(&own).unwrap(), render(&options()).unwrap(), "an empty folder changes nothing");
    fs::write(
        folder.path().join("answer.html"),
        "<p class=\"house\">{{ headline }}</p>{% include \"house.html\" %}",
    )
    .unwrap();
    fs::write(folder.path().join("house.html"), "<p>{{ runs.rows|length }} runs of the house</p>").unwrap();
    fs::write(folder.path().join("report.css"), ".house { color: green }").unwrap();
    fs::write(folder.path().join("report.js"), "document.title = 'house';").unwrap();
    fs::write(folder.path().join("notes.txt"), "not a template").unwrap();
    let html = render(&own).unwrap();
    assert!(html.contains("<p class=\"house\">") && html.contains("<p>3 runs of the house</p>"));
    assert!(html.contains(".house { color: green }") && !html.contains("--paper"));
    // openssl dgst -sha256 -binary <<< … | base64, of the script without the line's end
    assert!(
        html.contains("script-src 'sha256-") && html.contains("<script>document.title = 'house';</script>")
    );
    fs::write(folder.path().join("answer.html"), "{{ headline").unwrap();
    let error = render(&own).unwrap_err();
    assert!(matches!(error, Error::Template(_)));
    let none = Options { templates: Some(folder.path().join("none")), ..options() };
    assert!(render(&none).unwrap_err().to_string().contains("none could not be read"));
}

#[test]
fn every_chart_can_be_had_by_itself() {
    let made_up = made_up::runs(14, 6);
    let tables = Tables { classes: Some(&made_up.classes), ..Tables::new(&made_up.runs, &made_up.metrics) };
    let charts = charts(tables, &options()).unwrap();
    let names: Vec<&str> = charts.iter().map(|chart| chart.0).collect();
    let expected = [
        "accuracy-versus-fraction",
        "speedup-versus-fraction",
        "accuracy-versus-time",
        "metric-per-epoch",
        "time-spent",
        "parameters",
        "class-balance",
    ];
    assert_eq!(names, expected);
    for (name, svg) in &charts {
        assert!(svg.as_str().contains("role=\"img\"") && svg.description().len() > 40, "{name}");
        let figures = svg.figures();
        assert!(*name == "parameters" || !figures.rows.is_empty(), "{name} has no numbers");
        assert!(figures.rows.iter().all(|row| row.len() == figures.columns.len()), "{name}");
    }
    // 31.5 s of full data; the fronts and parts are those of the table of strategies.
    let front = &charts[2].1;
    assert!(front.description().contains("On the Pareto front"), "{}", front.description());
    let spent = charts[4].1.figures();
    assert_eq!(spent.rows[0][..2], ["full 100 % seed 0", "Full data"]);
    assert_eq!(spent.rows[0][3], "0.00 s", "full data chooses nothing");
}

#[test]
fn of_a_thousand_runs_bands_are_drawn_and_the_caption_says_so() {
    let made_up = made_up::runs(350, 40);
    let page = page(Tables::new(&made_up.runs, &made_up.metrics), &options()).unwrap();
    let chart = page.charts.iter().find(|chart| chart.id == "metric-per-epoch").unwrap();
    assert!(chart.caption.starts_with("Bands, since 350 lines"), "{}", chart.caption);
    assert!(chart.svg.matches("<polygon").count() >= 14 && chart.svg.len() < 60_000, "{}", chart.svg.len());
    assert_eq!(chart.rows.len(), 12);
    assert!(chart.rows[11][1].contains(" to "), "{:?}", chart.rows[11]);
}
