//! The runs of `tests/analytics/parity.json` logged here: statistics as NumPy's, tables as those of SageMaker's own
//! `ExperimentAnalytics`. `tests/analytics/parity.py` wrote the file and says how.

use std::collections::{BTreeMap, BTreeSet};

use glisten::prelude::*;
use polars::prelude::{AnyValue, DataFrame};
use serde_json::Value;

fn expected() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/analytics/parity.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Numbers stand as text, which is read to the last bit.
fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

/// Logs the first `n` runs of `expected`.
fn logged(expected: &Value, n: usize) -> (tempfile::TempDir, Experiment) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "parity").unwrap();
    for run in &expected["runs"].as_array().unwrap()[..n] {
        let logging = study.start_run(run["name"].as_str().unwrap()).unwrap();
        for (name, value) in run["parameters"].as_object().unwrap() {
            logging.log_parameter(name, Parameter::from(value.clone())).unwrap();
        }
        for (name, values) in run["series"].as_object().unwrap() {
            for (step, value) in values.as_array().unwrap().iter().enumerate() {
                logging.log_metric(name, number(value), step as i64 + 1).unwrap();
            }
        }
        logging.complete().unwrap();
    }
    (folder, study)
}

/// Equal but for rounding: NumPy's extended precision has 64 bits, of which a mean leaves a deviation of 1e-20 where there is
/// none.
fn close(ours: f64, reference: f64) -> bool {
    (ours - reference).abs() <= 1e-13 * reference.abs() + 1e-18
}

#[test]
fn statistics_are_those_of_numpy_in_extended_precision() {
    let expected = expected();
    let runs = expected["runs"].as_array().unwrap();
    let (_folder, study) = logged(&expected, runs.len());
    let records = study.store().run_records(None).unwrap();
    assert_eq!(records.len(), 5);
    let mut compared = 0;
    for (run, record) in runs.iter().zip(&records) {
        for (metric, reference) in run["statistics"].as_object().unwrap() {
            let stats = &record.metrics[metric];
            let of = |key: &str| number(&reference[key]);
            assert_eq!(stats.count as f64, of("Count"), "{metric}");
            assert_eq!(stats.nonfinite as f64, of("NonFinite"), "{metric}");
            assert_eq!((stats.min, stats.max, stats.last), (of("Min"), of("Max"), of("Last")), "{metric}");
            assert!(close(stats.mean, of("Avg")), "{metric}: {} for {}", stats.mean, of("Avg"));
            match stats.stddev() {
                None => assert_eq!(reference["StdDev"], Value::Null),
                Some(ours) => assert!(close(ours, of("StdDev")), "{metric}: {ours} for {}", of("StdDev")),
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 4 * 6 + 2);
}

/// Our name of a column of SageMaker's; `None` for what only the service has.
fn ours(column: &str) -> Option<String> {
    match column {
        "TrialComponentName" => Some("run".to_owned()),
        "Experiments" => Some("experiment".to_owned()),
        "DisplayName" | "Trials" => None,
        other => Some(match other.split_once(" - ") {
            Some((metric, statistic)) => format!("{metric}.{}", statistic.to_lowercase()),
            None => other.to_owned(),
        }),
    }
}

fn columns(frame: &Value) -> Vec<String> {
    frame["columns"].as_array().unwrap().iter().filter_map(|name| ours(name.as_str().unwrap())).collect()
}

/// Our columns that SageMaker has too.
fn shared(table: &DataFrame) -> Vec<String> {
    let names = table.get_column_names().into_iter().map(ToString::to_string);
    let own = ["status", "created", "ended", "error"];
    names.filter(|name| !name.ends_with(".nonfinite") && !own.contains(&name.as_str())).collect()
}

/// Each cell by run and column.
fn cells(frame: &Value) -> BTreeMap<(String, String), Value> {
    let names = frame["columns"].as_array().unwrap();
    let mut cells = BTreeMap::new();
    for row in frame["rows"].as_array().unwrap() {
        for (name, value) in names.iter().zip(row.as_array().unwrap()) {
            if let Some(column) = ours(name.as_str().unwrap()) {
                let value = if column == "experiment" { &value[0] } else { value };
                cells.insert((row[0].as_str().unwrap().to_owned(), column), value.clone());
            }
        }
    }
    cells
}

fn assert_same_cells(table: &DataFrame, frame: &Value) {
    let names: Vec<String> =
        table.column("run").unwrap().str().unwrap().iter().map(|name| name.unwrap().to_owned()).collect();
    let reference = cells(frame);
    assert_eq!(reference.len(), names.len() * shared(table).len());
    for ((run, column), value) in &reference {
        let row = names.iter().position(|name| name == run).unwrap();
        match (table.column(column).unwrap().get(row).unwrap(), value) {
            (AnyValue::Null, Value::Null) => {}
            (AnyValue::String(text), Value::String(reference)) => assert_eq!(text, reference),
            (AnyValue::Int64(whole), reference) => {
                assert_eq!(whole as f64, number(&reference["number"]), "{run} {column}");
            }
            (AnyValue::Float64(ours), reference) => {
                let reference = number(&reference["number"]);
                assert!(close(ours, reference), "{run} {column}: {ours} for {reference}");
            }
            (found, reference) => panic!("{run} {column}: {found} for {reference}"),
        }
    }
}

#[test]
fn columns_stand_in_sagemakers_order_with_its_values() {
    let expected = expected();
    let (_folder, study) = logged(&expected, 4);
    let table = study.analytics().runs().unwrap();
    assert_eq!(shared(&table), columns(&expected["alike"]));
    assert_same_cells(&table, &expected["alike"]);
    assert!(table.get_column_names().iter().any(|name| name.as_str() == "with:gaps.nonfinite"));
}

#[test]
fn where_runs_have_different_names_columns_are_the_same_in_one_order() {
    let expected = expected();
    let (_folder, study) = logged(&expected, 5);
    let table = study.analytics().runs().unwrap();
    let set = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(set(shared(&table)), set(columns(&expected["ragged"])));
    assert_same_cells(&table, &expected["ragged"]);
    // SageMaker's order is that in which names turn up, row by row; ours does not depend on the rows.
    let sorted = study.analytics().sort_by("run").sort_order(SortOrder::Ascending).runs().unwrap();
    assert_eq!(shared(&sorted), shared(&table));
}

#[test]
fn metrics_and_parameters_are_chosen_as_sagemaker_does() {
    let expected = expected();
    let (_folder, study) = logged(&expected, 5);
    let analytics = study
        .analytics()
        .metric_names(["validation:accuracy", "train:loss"])
        .parameter_names(["strategy", "seed"])
        .sort_by(expected["chosen"]["search"]["SortBy"].as_str().unwrap())
        .sort_order(SortOrder::Ascending);
    let table = analytics.runs().unwrap();
    let set = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(set(shared(&table)), set(columns(&expected["chosen"])));
    assert_same_cells(&table, &expected["chosen"]);
    let best = table.column("validation:accuracy.max").unwrap().f64().unwrap();
    let best: Vec<f64> = best.iter().map(Option::unwrap).collect();
    assert!(best.is_sorted(), "{best:?}");
    // The search that SageMaker's class sends for an experiment finds the same runs here.
    let request = expected["chosen"]["search"]["SearchExpression"].clone();
    let found = ExperimentAnalytics::all(study.store()).search(request).unwrap().records().unwrap();
    assert_eq!(found.len(), 5);
}
