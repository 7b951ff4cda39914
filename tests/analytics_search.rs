//! Searching runs: every operator of SageMaker's grammar, in its JSON and in the short form, and what does not fit the runs.

use glisten::analytics::{IntoSearch, Operator, Search};
use glisten::prelude::{Error, Experiment, ExperimentAnalytics, Store};

/// Five runs: `a` and `b` differ in everything; `c` failed, with a whole number for its fraction; `d` has a batch that is text
/// though that of others is a number; `e` has nothing yet.
pub(crate) fn five_runs() -> (tempfile::TempDir, Experiment) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "study").unwrap();
    let a = study.start_run("a").unwrap();
    a.log_parameter("strategy", "glister").unwrap();
    a.log_parameter("fraction", 0.1).unwrap();
    a.log_parameter("seed", 0).unwrap();
    a.log_parameter("augment", true).unwrap();
    a.log_parameter("batch", 128).unwrap();
    a.log_parameter("note with blanks", "it's \"new\"").unwrap();
    for (step, value) in [(1, 0.5), (2, 0.8), (3, 0.7)] {
        a.log_metrics(step, &[("validation:accuracy", value), ("train:loss", 1.0 - value)]).unwrap();
    }
    a.complete().unwrap();
    let b = study.start_run("b").unwrap();
    b.log_parameter("strategy", "fresh-random").unwrap();
    b.log_parameter("fraction", 0.3).unwrap();
    b.log_parameter("seed", 1).unwrap();
    b.log_parameter("augment", false).unwrap();
    b.log_parameter("batch", 64).unwrap();
    for (step, value) in [(1, 0.6), (2, 0.95)] {
        b.log_metric("validation:accuracy", value, step).unwrap();
    }
    b.complete().unwrap();
    let c = study.start_run("c").unwrap();
    c.log_parameter("strategy", "full").unwrap();
    c.log_parameter("fraction", 1).unwrap();
    c.log_parameter("seed", 0).unwrap();
    for (step, value) in [(1, 0.9), (2, f64::NAN), (3, 0.92)] {
        c.log_metric("validation:accuracy", value, step).unwrap();
    }
    c.end_with(&Error::Argument { name: "x".into(), expected: "y".into(), got: "z".into() }).unwrap();
    let d = study.start_run("d").unwrap();
    d.log_parameter("batch", "auto").unwrap();
    d.log_metric("train:loss", f64::NAN, 1).unwrap();
    d.complete().unwrap();
    study.start_run("e").unwrap().complete().unwrap();
    (folder, study)
}

fn found(study: &Experiment, search: impl IntoSearch) -> glisten::Result<String> {
    let records = study.analytics().sort_by("run").sort_order(glisten::prelude::SortOrder::Ascending);
    Ok(records.search(search)?.records()?.into_iter().map(|run| run.name).collect())
}

/// The condition as a person types it, as SageMaker's filter, and the runs that satisfy it.
const FILTERS: [(&str, &str, &str); 46] = [
    // Numbers are compared as numbers, whole or not, however they are written.
    ("fraction = 0.3", r#"{"Name":"Parameters.fraction","Operator":"Equals","Value":"0.3"}"#, "b"),
    ("fraction == 0.30", r#"{"Name":"Parameters.fraction","Value":"0.30"}"#, "b"),
    ("fraction = 1.0", r#"{"Name":"fraction","Operator":"Equals","Value":"1.0"}"#, "c"),
    ("seed = 0", r#"{"Name":"parameters.SEED","Operator":"Equals","Value":0}"#, "ac"),
    ("seed = 0.0", r#"{"Name":"HyperParameters.seed","Operator":"Equals","Value":"0e3"}"#, "ac"),
    ("fraction > 0.1", r#"{"Name":"Parameters.fraction","Operator":"GreaterThan","Value":"0.1"}"#, "bc"),
    (
        "fraction >= .1",
        r#"{"Name":"Parameters.fraction","Operator":"GreaterThanOrEqualTo","Value":"0.1"}"#,
        "abc",
    ),
    ("fraction<0.3", r#"{"Name":"Parameters.fraction","Operator":"LessThan","Value":"0.3"}"#, "a"),
    ("fraction<=0.3", r#"{"Name":"Parameters.fraction","Operator":"LessThanOrEqualTo","Value":"0.3"}"#, "ab"),
    // SageMaker cuts the decimals of hyperparameters off beside a whole number, by which 0.3 <= 0 would hold; not here.
    ("fraction <= 0", r#"{"Name":"Parameters.fraction","Operator":"LessThanOrEqualTo","Value":"0"}"#, ""),
    // A run without the property: not equal to anything, above and below nothing.
    ("fraction != 0.3", r#"{"Name":"Parameters.fraction","Operator":"NotEquals","Value":"0.3"}"#, "acde"),
    ("not fraction = 0.3", r#"{"Name":"Parameters.fraction","Operator":"NotEquals","Value":0.3}"#, "acde"),
    ("fraction exists", r#"{"Name":"Parameters.fraction","Operator":"Exists"}"#, "abc"),
    ("fraction not exists", r#"{"Name":"Parameters.fraction","Operator":"NotExists"}"#, "de"),
    (
        "not fraction exists",
        r#"{"Name":"Parameters.fraction","Operator":"NotExists","Value":"ignored"}"#,
        "de",
    ),
    ("parameters.nobody exists", r#"{"Name":"Parameters.nobody","Operator":"Exists"}"#, ""),
    ("metrics.nobody not exists", r#"{"Name":"Metrics.nobody","Operator":"NotExists"}"#, "abcde"),
    // In: comma separated, and numbers too.
    (
        "strategy in (full, glister)",
        r#"{"Name":"Parameters.strategy","Operator":"In","Value":"full,glister"}"#,
        "ac",
    ),
    ("strategy in (full)", r#"{"Name":"Parameters.strategy","Operator":"In","Value":"full , nothing"}"#, "c"),
    ("fraction in (1, 0.1)", r#"{"Name":"Parameters.fraction","Operator":"In","Value":["1.0", 0.1]}"#, "ac"),
    ("seed in (2)", r#"{"Name":"Parameters.seed","Operator":"In","Value":"2"}"#, ""),
    // Texts, with their case.
    ("strategy = glister", r#"{"Name":"Parameters.strategy","Operator":"Equals","Value":"glister"}"#, "a"),
    ("strategy = Glister", r#"{"Name":"Parameters.strategy","Operator":"Equals","Value":"Glister"}"#, ""),
    ("strategy contains l", r#"{"Name":"Parameters.strategy","Operator":"Contains","Value":"l"}"#, "ac"),
    ("strategy contains '-r'", r#"{"Name":"Parameters.strategy","Operator":"Contains","Value":"-r"}"#, "b"),
    (
        "'note with blanks' = 'it\\'s \"new\"'",
        r#"{"Name":"Parameters.note with blanks","Value":"it's \"new\""}"#,
        "a",
    ),
    // Booleans.
    ("augment = true", r#"{"Name":"Parameters.augment","Operator":"Equals","Value":"True"}"#, "a"),
    ("augment != true", r#"{"Name":"Parameters.augment","Operator":"NotEquals","Value":true}"#, "bcde"),
    // A parameter that is a number in some runs and text in others.
    ("batch = auto", r#"{"Name":"Parameters.batch","Operator":"Equals","Value":"auto"}"#, "d"),
    ("batch >= 64", r#"{"Name":"Parameters.batch","Operator":"GreaterThanOrEqualTo","Value":"64"}"#, "ab"),
    ("batch contains ut", r#"{"Name":"Parameters.batch","Operator":"Contains","Value":"ut"}"#, "d"),
    // Metrics: the last value, or a statistic. NaN alone is no value; of the last one it is counted.
    (
        "validation:accuracy > 0.75",
        r#"{"Name":"Metrics.validation:accuracy","Operator":"GreaterThan","Value":"0.75"}"#,
        "bc",
    ),
    (
        "validation:accuracy.max > 0.75",
        r#"{"Name":"Metrics.validation:accuracy.max","Operator":"GreaterThan","Value":"0.75"}"#,
        "abc",
    ),
    (
        "metrics.Validation:Accuracy.MIN < 0.55",
        r#"{"Name":"Metrics.validation:accuracy.Min","Operator":"LessThan","Value":"0.55"}"#,
        "a",
    ),
    (
        "validation:accuracy.count = 2",
        r#"{"Name":"Metrics.validation:accuracy.Count","Operator":"Equals","Value":"2"}"#,
        "bc",
    ),
    (
        "validation:accuracy.nonfinite = 1",
        r#"{"Name":"Metrics.validation:accuracy.nonfinite","Value":"1"}"#,
        "c",
    ),
    ("train:loss exists", r#"{"Name":"Metrics.train:loss","Operator":"Exists"}"#, "a"),
    ("train:loss.count exists", r#"{"Name":"Metrics.train:loss.Count","Operator":"Exists"}"#, "ad"),
    // What every run has, under our names and SageMaker's.
    ("run in (a, b, z)", r#"{"Name":"TrialComponentName","Operator":"In","Value":"a,b,z"}"#, "ab"),
    (
        "status = completed",
        r#"{"Name":"Status.PrimaryStatus","Operator":"Equals","Value":"Completed"}"#,
        "abde",
    ),
    (
        "status != running",
        r#"{"Name":"TrialComponent.Status.PrimaryStatus","Operator":"NotEquals","Value":"InProgress"}"#,
        "abcde",
    ),
    (
        "error contains 'expected y'",
        r#"{"Name":"Status.Message","Operator":"Contains","Value":"expected y"}"#,
        "c",
    ),
    (
        "experiment = study",
        r#"{"Name":"Parents.ExperimentName","Operator":"Equals","Value":"study"}"#,
        "abcde",
    ),
    (
        "created > 2020-01-01",
        r#"{"Name":"CreationTime","Operator":"GreaterThan","Value":"2020-01-01T00:00:00"}"#,
        "abcde",
    ),
    (
        "ended < '2020-01-01 10:00'",
        r#"{"Name":"EndTime","Operator":"LessThan","Value":"2020-01-01T00:00:00Z"}"#,
        "",
    ),
    (
        "modified >= 2020-01-01T00:00:00+02:00",
        r#"{"Name":"LastModifiedTime","Operator":"GreaterThanOrEqualTo","Value":"2020-01-01T00:00:00.5"}"#,
        "abcde",
    ),
];

#[test]
fn every_operator_finds_the_same_runs_typed_and_in_json() {
    let (_folder, study) = five_runs();
    for (text, filter, expected) in FILTERS {
        assert_eq!(found(&study, text).unwrap(), expected, "{text}");
        let json = format!(r#"{{"Filters":[{filter}]}}"#);
        assert_eq!(found(&study, json.as_str()).unwrap(), expected, "{filter}");
    }
}

/// Whole expressions: typed, in JSON, and what they find.
const EXPRESSIONS: [(&str, &str, &str); 8] = [
    // And is what holds where no operator is named.
    (
        "fraction <= 0.3 and validation:accuracy.max > 0.9",
        r#"{"Filters":[{"Name":"Parameters.fraction","Operator":"LessThanOrEqualTo","Value":"0.3"},
                       {"Name":"Metrics.validation:accuracy.max","Operator":"GreaterThan","Value":"0.9"}]}"#,
        "b",
    ),
    (
        "seed = 1 OR run = e",
        r#"{"Operator":"Or","Filters":[{"Name":"Parameters.seed","Value":"1"},{"Name":"RunName","Value":"e"}]}"#,
        "be",
    ),
    // `and` binds tighter than `or`.
    (
        "run = e or seed = 0 and strategy = full",
        r#"{"Operator":"Or","Filters":[{"Name":"RunName","Value":"e"}],
            "SubExpressions":[{"Filters":[{"Name":"seed","Value":"0"},{"Name":"strategy","Value":"full"}]}]}"#,
        "ce",
    ),
    (
        "(run = e or seed = 0) and not strategy = full",
        r#"{"Filters":[{"Name":"strategy","Operator":"NotEquals","Value":"full"}],
            "SubExpressions":[{"Operator":"Or","Filters":[{"Name":"RunName","Value":"e"},{"Name":"seed","Value":"0"}]}]}"#,
        "ae",
    ),
    // One object of the list satisfies all of its conditions: no run has both in one metric but `a` and `b`, `c`.
    (
        "any Metrics (MetricName contains accuracy and Max > 0.9)",
        r#"{"NestedFilters":[{"NestedPropertyName":"Metrics","Filters":[
            {"Name":"Metrics.MetricName","Operator":"Contains","Value":"accuracy"},
            {"Name":"Metrics.Max","Operator":"GreaterThan","Value":"0.9"}]}]}"#,
        "bc",
    ),
    (
        "any Metrics (MetricName contains loss and Max > 0.6)",
        r#"{"NestedFilters":[{"NestedPropertyName":"Metrics","Filters":[
            {"Name":"MetricName","Operator":"Contains","Value":"loss"},
            {"Name":"Max","Operator":"GreaterThan","Value":"0.6"}]}]}"#,
        "",
    ),
    (
        "any parameters (name = batch and value = 64) or not any Metrics (Count >= 1)",
        r#"{"Operator":"Or","NestedFilters":[{"NestedPropertyName":"Parameters","Filters":[
            {"Name":"Name","Value":"batch"},{"Name":"Value","Value":"64"}]}],
            "Filters":[{"Name":"RunName","Operator":"In","Value":"d,e"}]}"#,
        "bde",
    ),
    (
        "any Parents (ExperimentName = study) and run != a",
        r#"{"NestedFilters":[{"NestedPropertyName":"Parents","Filters":[{"Name":"Parents.ExperimentName","Value":"study"}]}],
            "Filters":[{"Name":"DisplayName","Operator":"NotEquals","Value":"a"}]}"#,
        "bcde",
    ),
];

#[test]
fn expressions_are_joined_and_nested_alike() {
    let (_folder, study) = five_runs();
    for (text, json, expected) in EXPRESSIONS {
        assert_eq!(found(&study, text).unwrap(), expected, "{text}");
        assert_eq!(found(&study, json).unwrap(), expected, "{json}");
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(found(&study, value).unwrap(), expected, "{json}");
    }
    // Or does not reach beyond the experiment, as a filter that names it would have to.
    let other = Experiment::create_in(study.store(), "other").unwrap();
    other.start_run("e").unwrap().complete().unwrap();
    assert_eq!(found(&study, "seed = 1 or run = e").unwrap(), "be");
    let all = ExperimentAnalytics::all(study.store()).search("seed = 1 or run = e").unwrap();
    assert_eq!(all.records().unwrap().len(), 3);
    // A second search narrows the first.
    let twice = study.analytics().search("seed = 0").unwrap().search("fraction < 1").unwrap();
    assert_eq!(twice.records().unwrap().len(), 1);
}

#[test]
fn a_time_is_as_exact_as_it_is_written() {
    let (_folder, study) = five_runs();
    let created = study.store().run_records(None).unwrap()[0].created_ms;
    let moment = chrono::DateTime::from_timestamp_millis(created).unwrap();
    for format in
        ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.3f", "%Y-%m-%dT%H:%M:%SZ"]
    {
        let text = moment.format(format).to_string();
        assert!(found(&study, format!("created = {text}")).unwrap().contains('a'), "{text}");
        assert!(!found(&study, format!("created > {text}")).unwrap().contains('a'), "{text}");
        assert!(!found(&study, format!("created < {text}")).unwrap().contains('a'), "{text}");
    }
}

#[test]
fn a_name_or_a_value_that_does_not_fit_the_runs_is_an_error() {
    let (_folder, study) = five_runs();
    for (search, expected) in [
        ("fractoin <= 0.3", "no property named 'fractoin'; did you mean 'fraction'"),
        ("Metrics.validation:acuracy.max > 0", "did you mean 'validation:accuracy.max', 'validation:acc"),
        ("fractoin exists", "did you mean 'fraction'"),
        ("zzz = 1", "there are: run, experiment, status"),
        ("fraction > high", "search: fraction: expected a number, as it is in every run, got 'high'"),
        ("fraction in (0.1, low)", "got 'low'"),
        ("strategy > a", "expected a number or a time for >"),
        ("augment >= true", "expected a number or a time for >="),
        ("augment = yes", "expected true or false"),
        ("seed contains 1", "expected text for 'contains'"),
        ("created contains 2026", "expected text for 'contains'"),
        ("created > yesterday", "expected a time as 2026-11-25"),
        ("created > 2026-13-01", "expected a time as 2026-11-25"),
        ("status = done", "expected one of created, running, completed, failed, stopped, got 'done'"),
        ("any Artefacts (Name = x)", "expected a list: Metrics, Parameters, Tags or Parents"),
        ("any Metrics (Name = x)", "expected one of MetricName, Min, Max"),
        ("any Metrics (any Metrics (Max > 1))", "expected no list within a list"),
    ] {
        let message = found(&study, search).unwrap_err().to_string();
        assert!(message.contains(expected), "{search}: {message}");
    }
    // Where there are no runs yet, no name is wrong.
    let empty = Experiment::create_in(study.store(), "empty").unwrap();
    assert_eq!(found(&empty, "fraction <= 0.3").unwrap(), "");
}

#[test]
fn searches_built_in_code_are_those_that_are_typed() {
    let cheap = Search::filter("fraction", Operator::LessThanOrEqualTo, 0.3);
    let built = cheap.clone().and(!Search::is_in("seed", [1, 2])).and(Search::filter(
        "run",
        Operator::Contains,
        "a b",
    ));
    let text = "fraction <= 0.3 and not seed in (1, 2) and run contains 'a b'";
    assert_eq!(built, text.parse().unwrap());
    assert_eq!(built.to_string(), text);
    let nested = Search::nested("Metrics", Search::filter("Max", Operator::GreaterThan, 0.9))
        .or(Search::not_exists("seed"));
    assert_eq!(nested, "any Metrics (Max > 0.9) or seed not exists".parse().unwrap());
    assert_eq!(!!cheap.clone(), cheap);
    let (_folder, study) = five_runs();
    assert_eq!(found(&study, cheap).unwrap(), "ab");
    assert_eq!(found(&study, Search::filter("strategy", Operator::In, "full,glister")).unwrap(), "ac");
    assert_eq!(
        found(&study, Search::exists("augment").and(Search::filter("augment", Operator::Equals, false)))
            .unwrap(),
        "b"
    );
}
