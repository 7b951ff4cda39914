//! Runs as tables: types, order, which columns, what differs, and names that do not exist.

use glisten::prelude::*;
use polars::prelude::{AnyValue, DataFrame, DataType, TimeUnit, TimeZone};

use crate::analytics_search::five_runs;

fn names(table: &DataFrame) -> String {
    table.column("run").unwrap().str().unwrap().iter().map(Option::unwrap).collect()
}

fn sorted(study: &Experiment, by: &str, order: SortOrder) -> String {
    names(&study.analytics().sort_by(by).sort_order(order).runs().unwrap())
}

fn columns(table: &DataFrame) -> Vec<String> {
    table.get_column_names().into_iter().map(ToString::to_string).collect()
}

#[test]
fn columns_have_the_narrowest_type_that_holds_their_values() {
    let (_folder, study) = five_runs();
    let table = study.analytics().runs().unwrap();
    let time = DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC));
    for (column, dtype) in [
        ("run", DataType::String),
        ("fraction", DataType::Float64), // 0.1, 0.3 and a whole 1
        ("seed", DataType::Int64),
        ("augment", DataType::Boolean),
        ("strategy", DataType::String),
        ("batch", DataType::String), // 128, 64 and "auto"
        ("validation:accuracy.max", DataType::Float64),
        ("validation:accuracy.count", DataType::Int64),
        ("experiment", DataType::String),
        ("status", DataType::String),
        ("created", time.clone()),
        ("ended", time),
        ("error", DataType::String),
    ] {
        assert_eq!(table.column(column).unwrap().dtype(), &dtype, "{column}");
        assert_eq!(study.runs().unwrap().column(column).unwrap().dtype(), &dtype, "{column}");
    }
    let ascending = study.analytics().sort_by("run").sort_order(SortOrder::Ascending).runs().unwrap();
    let cell = |column: &str, row: usize| ascending.column(column).unwrap().get(row).unwrap().into_static();
    assert_eq!(cell("batch", 0), AnyValue::StringOwned("128".into()));
    assert_eq!(cell("fraction", 2), AnyValue::Float64(1.0));
    assert_eq!(cell("fraction", 4), AnyValue::Null);
    assert_eq!(cell("augment", 1), AnyValue::Boolean(false));
    // Only NaN was logged: no statistic of values, but their number.
    assert_eq!(cell("train:loss.max", 3), AnyValue::Null);
    assert_eq!(
        (cell("train:loss.count", 3), cell("train:loss.nonfinite", 3)),
        (AnyValue::Int64(0), AnyValue::Int64(1))
    );
    println!("{ascending}"); // showing it must not panic
}

#[test]
fn what_is_asked_for_most_stands_first_for_an_experiment_and_sagemakers_order_holds_for_analytics() {
    let (_folder, study) = five_runs();
    let friendly = columns(&study.runs().unwrap());
    assert_eq!(
        friendly[..7],
        ["run", "experiment", "status", "strategy", "fraction", "seed", "validation:accuracy.max"]
    );
    let table = study.analytics().runs().unwrap();
    let of = |metric: &str| {
        ["min", "max", "avg", "stddev", "last", "count", "nonfinite"]
            .map(|suffix| format!("{metric}.{suffix}"))
    };
    let mut expected: Vec<String> =
        ["run", "augment", "batch", "fraction", "note with blanks", "seed", "strategy"]
            .map(str::to_owned)
            .to_vec();
    expected.extend(of("train:loss"));
    expected.extend(of("validation:accuracy"));
    expected.extend(["experiment", "status", "created", "ended", "error"].map(str::to_owned));
    assert_eq!(columns(&table), expected);
}

#[test]
fn runs_are_sorted_by_anything_they_have_and_those_without_stand_last() {
    use SortOrder::{Ascending, Descending};
    let (_folder, study) = five_runs();
    for (by, ascending, descending) in [
        ("metrics.validation:accuracy.max", "acbde", "bcade"), // 0.8, 0.95, 0.92
        ("Metrics.Validation:Accuracy.MAX", "acbde", "bcade"),
        ("validation:accuracy - Max", "acbde", "bcade"),
        ("validation:accuracy", "acbde", "bcade"), // the last: 0.7, 0.95, 0.92
        ("validation:accuracy.count", "bcade", "abcde"), // 3, 2, 2
        ("parameters.fraction", "abcde", "cbade"),
        ("FRACTION", "abcde", "cbade"),
        ("seed", "acbde", "bacde"),
        ("augment", "bacde", "abcde"),
        ("batch", "badce", "dabce"), // numbers before text
        ("strategy", "bcade", "acbde"),
        ("run", "abcde", "edcba"),
        ("TrialComponentName", "abcde", "edcba"),
        ("status", "abdec", "cabde"),
        ("created", "abcde", "edcba"),
        ("CreationTime", "abcde", "edcba"),
        ("LastModifiedTime", "abcde", "edcba"),
        ("ended", "abcde", "edcba"),
        ("error", "cabde", "cabde"),
    ] {
        assert_eq!(sorted(&study, by, Ascending), ascending, "{by}");
        assert_eq!(sorted(&study, by, Descending), descending, "{by}");
    }
    // As SageMaker's: the latest first where nothing is said.
    assert_eq!(names(&study.analytics().runs().unwrap()), "edcba");
    assert_eq!(names(&study.analytics().sort_by("fraction").runs().unwrap()), "cbade");
    assert_eq!(names(&study.analytics().sort_order(Ascending).runs().unwrap()), "abcde");
}

#[test]
fn a_name_that_no_run_has_is_an_error_with_the_nearest() {
    let (_folder, study) = five_runs();
    let analytics = || study.analytics();
    for (result, expected) in [
        (analytics().sort_by("validation:acuracy.max").runs(), "did you mean 'validation:accuracy.max'"),
        (
            analytics().sort_by("metrics.fractoin").runs(),
            "no property named 'metrics.fractoin'; did you mean 'fraction'",
        ),
        (analytics().sort_by("qqq").metrics(), "there are: run, experiment"),
        (
            analytics().metric_names(["validation:accurracy"]).runs(),
            "no metric named 'validation:accurracy'; did you mean 'validation:accuracy'?",
        ),
        (analytics().metric_names(["qqq"]).metrics(), "there are: train:loss, validation:accuracy"),
        (
            analytics().parameter_names(["stratgy"]).runs(),
            "no parameter named 'stratgy'; did you mean 'strategy'?",
        ),
        (analytics().compare(&["a", "z"]), "no run named 'z'; there are: a, b, c, d, e"),
        (analytics().compare(&["a"]), "expected two runs or more, got 1"),
        (analytics().compare(&["a", "a"]), "'a' twice"),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let empty = Experiment::create_in(study.store(), "empty").unwrap();
    let table = empty.analytics().sort_by("fraction").metric_names(["loss"]).runs().unwrap();
    assert_eq!(table.height(), 0);
    assert_eq!(empty.analytics().metrics().unwrap().height(), 0);
}

#[test]
fn names_that_are_chosen_are_the_only_ones_and_are_there_though_no_run_found_has_them() {
    let (_folder, study) = five_runs();
    let chosen = study.analytics().metric_names(["Train:Loss"]).parameter_names(["seed", "augment"]);
    let table = chosen.clone().search("run = c").unwrap().runs().unwrap();
    let mut expected = ["run", "augment", "seed"].map(str::to_owned).to_vec();
    expected.extend(
        ["min", "max", "avg", "stddev", "last", "count", "nonfinite"]
            .map(|suffix| format!("train:loss.{suffix}")),
    );
    expected.extend(["experiment", "status", "created", "ended", "error"].map(str::to_owned));
    assert_eq!(columns(&table), expected);
    let points = chosen.metrics().unwrap();
    let metrics: Vec<&str> =
        points.column("metric").unwrap().str().unwrap().iter().map(Option::unwrap).collect();
    assert_eq!(metrics, ["train:loss"; 4]);
    // Nothing chosen: what the runs found have.
    let table = study.analytics().search("run in (d, e)").unwrap().runs().unwrap();
    assert!(columns(&table).contains(&"batch".to_owned()) && !columns(&table).contains(&"seed".to_owned()));
}

#[test]
fn every_value_stands_in_the_long_table_run_by_run() {
    let (_folder, study) = five_runs();
    let other = Experiment::create_in(study.store(), "other").unwrap();
    other.start_run("a").unwrap().log_metric("train:loss", 7.0, 1).unwrap();
    let found = study.analytics().search("validation:accuracy exists").unwrap();
    let table = found.sort_by("validation:accuracy.max").metrics().unwrap();
    assert_eq!(columns(&table)[..5], ["experiment", "run", "metric", "step", "value"]);
    // b: 2 values; c: 3, one of them NaN; a: 3 of each of two metrics.
    assert_eq!(names(&table), "bbcccaaaaaa");
    let values: Vec<f64> = table.column("value").unwrap().f64().unwrap().iter().map(Option::unwrap).collect();
    assert_eq!(values[..3], [0.6, 0.95, 0.9]);
    assert!(values[3].is_nan());
    assert_eq!(values[8..], [0.5, 0.8, 0.7]);
    let steps: Vec<i64> = table.column("step").unwrap().i64().unwrap().iter().map(Option::unwrap).collect();
    assert_eq!(steps, [1, 2, 1, 2, 3, 1, 2, 3, 1, 2, 3]);
    assert_eq!(table.column("step").unwrap().dtype(), &DataType::Int64);
    // One run of several is read by itself, and is the same.
    let one = study.analytics().search("run = a").unwrap();
    assert!(one.metrics().unwrap().equals(&table.slice(5, 6)));
    assert!(one.metric_names(["train:loss"]).metrics().unwrap().equals(&table.slice(5, 3)));
    let all = ExperimentAnalytics::all(study.store()).metric_names(["train:loss"]).metrics().unwrap();
    assert_eq!(all.height(), 5, "three of a, one of d, one of the other experiment's a");
}

#[test]
fn a_comparison_shows_what_differs_and_nothing_else() {
    let (_folder, study) = five_runs();
    let table = study.analytics().compare(&["a", "b"]).unwrap();
    assert_eq!(columns(&table), ["what", "a", "b"]);
    let text =
        |column: &str, row: usize| table.column(column).unwrap().str().unwrap().get(row).map(str::to_owned);
    let rows: Vec<(String, Option<String>, Option<String>)> =
        (0..table.height()).map(|row| (text("what", row).unwrap(), text("a", row), text("b", row))).collect();
    let row =
        |what: &str| rows.iter().find(|row| row.0 == what).map(|row| (row.1.as_deref(), row.2.as_deref()));
    assert_eq!(row("parameters.fraction"), Some((Some("0.1"), Some("0.3"))));
    assert_eq!(row("parameters.augment"), Some((Some("true"), Some("false"))));
    assert_eq!(row("parameters.note with blanks"), Some((Some("it's \"new\""), None)));
    assert_eq!(row("metrics.validation:accuracy.max"), Some((Some("0.8"), Some("0.95"))));
    assert_eq!(row("metrics.train:loss.count"), Some((Some("3"), None)));
    for same in ["status", "experiment", "error", "metrics.validation:accuracy.nonfinite"] {
        assert_eq!(row(same), None, "{same} does not differ");
    }
    assert_eq!(
        study.analytics().compare(&["a", "c"]).unwrap().column("what").unwrap().str().unwrap().get(0),
        Some("status")
    );
    // What it names can be sorted by.
    for (what, _, _) in &rows {
        study.analytics().sort_by(what).records().unwrap();
    }
    // Runs of one name in two experiments, and a run that is called like the first column.
    let other = Experiment::create_in(study.store(), "other").unwrap();
    other.start_run("a").unwrap().complete().unwrap();
    other.start_run("what").unwrap().complete().unwrap();
    let all = ExperimentAnalytics::all(study.store());
    let message = all.compare(&["a", "b"]).unwrap_err().to_string();
    assert!(message.contains("study/a, other/a"), "{message}");
    let table = all.compare(&["study/a", "other/a", "what"]).unwrap();
    assert_eq!(columns(&table), ["what", "study/a", "other/a", "what'"]);
    assert_eq!(table.column("what").unwrap().str().unwrap().get(0), Some("experiment"));
}

#[test]
fn a_parameter_may_be_called_like_a_column() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "study").unwrap();
    for (name, value) in [("x", 2), ("y", 1)] {
        let run = study.start_run(name).unwrap();
        run.log_parameter("status", value).unwrap();
        run.log_parameter("metrics.odd", value).unwrap();
        run.log_parameter("loss.max", value).unwrap();
        run.log_metric("loss", 1.0, 1).unwrap();
        run.complete().unwrap();
    }
    let table = study.analytics().sort_by("parameters.status").runs().unwrap();
    assert_eq!(names(&table), "xy");
    assert!(
        columns(&table).contains(&"status'".to_owned()) && columns(&table).contains(&"loss.max'".to_owned())
    );
    for search in [
        "parameters.status = 1",
        "metrics.odd = 1",
        "loss.max = 1 and metrics.loss.max = 1",
        "status = completed and run = y",
    ] {
        let found = study.analytics().search(search).unwrap().runs().unwrap();
        assert_eq!(names(&found), "y", "{search}");
    }
}

#[test]
fn tags_notes_and_surroundings_are_columns_and_can_be_searched_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "study").unwrap();
    let plain = study.start_run("plain").unwrap();
    plain.log_metric("loss", 1.0, 1).unwrap();
    plain.complete().unwrap();
    let before = columns(&study.runs().unwrap());
    assert!(
        !before
            .iter()
            .any(|name| name.starts_with("tags.") || name.starts_with("environment.") || name == "note")
    );

    let marked = study.start_run("marked").unwrap();
    marked.set_tag("stage", "draft 1").unwrap();
    marked.set_note("with the new augmentation").unwrap();
    let file = folder.path().join("model.bin");
    std::fs::write(&file, "weights").unwrap();
    marked.log_artifact("model", &file).unwrap();
    marked.complete().unwrap();
    for table in [study.runs().unwrap(), study.analytics().runs().unwrap()] {
        let names = columns(&table);
        assert_eq!(names[names.len() - 3..], ["error", "note", "tags.stage"]);
    }
    let table = study.analytics().environment(true).runs().unwrap();
    assert_eq!(table.column("environment.threads").unwrap().dtype(), &DataType::Int64);
    assert_eq!(table.column("environment.os").unwrap().null_count(), 0);
    assert_eq!(table.column("tags.stage").unwrap().null_count(), 1);

    for search in [
        "tags.stage = 'draft 1'",
        "Tags.STAGE contains draft",
        "stage exists",
        "note contains augmentation",
        "artifacts.model exists",
        "OutputArtifacts.model contains model",
        "any Tags (Key = stage and Value contains 1)",
        "tags.stage exists and environment.threads >= 1 and os contains linux",
    ] {
        assert_eq!(names(&study.analytics().search(search).unwrap().runs().unwrap()), "marked", "{search}");
    }
    assert_eq!(
        names(&study.analytics().search("tags.nobody not exists and run = plain").unwrap().runs().unwrap()),
        "plain"
    );
    assert_eq!(names(&study.analytics().sort_by("tags.stage").runs().unwrap()), "markedplain");
    let message = study.analytics().sort_by("tags.stag").runs().unwrap_err().to_string();
    assert!(message.contains("did you mean 'tags.stage'"), "{message}");

    let table = study.analytics().compare(&["plain", "marked"]).unwrap();
    let what: Vec<&str> = table.column("what").unwrap().str().unwrap().iter().map(Option::unwrap).collect();
    assert_eq!(what[..2], ["note", "tags.stage"]);
    assert!(!what.contains(&"environment.os"), "{what:?}");
}

#[test]
fn the_long_table_says_when_each_value_was_logged() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "study").unwrap();
    let run = study.start_run("run").unwrap();
    run.log_batch_at(&[("loss", 1, 0.5, 1_764_000_000_123)]).unwrap();
    run.complete().unwrap();
    for table in [study.metrics().unwrap(), study.analytics().metrics().unwrap()] {
        assert_eq!(columns(&table), ["experiment", "run", "metric", "step", "value", "time"]);
        let time = AnyValue::Datetime(1_764_000_000_123, TimeUnit::Milliseconds, Some(&TimeZone::UTC));
        assert_eq!(table.column("time").unwrap().get(0).unwrap(), time);
    }
}
