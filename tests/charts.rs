//! Charts of any columns, of an experiment and of a table that was filtered.

use glisten::prelude::*;
use polars::prelude::{DataFrame, IntoLazy, col, lit};

/// Four runs of a search over the learning rate; the last has no accuracy.
fn search() -> (tempfile::TempDir, Experiment) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "search").unwrap();
    for (i, rate) in [1e-4, 1e-3, 1e-2, 1e-1].into_iter().enumerate() {
        let run = study.start_run(&format!("rate {rate}")).unwrap();
        run.log_parameter("learning_rate", rate).unwrap();
        run.log_parameter("strategy", if i % 2 == 0 { "full" } else { "glister" }).unwrap();
        if i < 3 {
            run.log_metric("validation:accuracy", 0.6 + 0.1 * i as f64, 1).unwrap();
        }
        run.complete().unwrap();
    }
    (folder, study)
}

#[test]
fn an_experiment_draws_any_two_of_its_columns() {
    let (_folder, study) = search();
    let chart = study.scatter("parameters.Learning_Rate", "metrics.validation:accuracy.max").unwrap();
    assert!(chart.svg().starts_with("<svg ") && chart.svg().contains(">learning_rate (log scale)</text>"));
    let said = chart.description();
    assert!(said.starts_with("validation:accuracy.max against learning_rate of 3 runs."), "{said}");
    assert!(said.contains("The highest validation:accuracy.max, 0.8, is at 0.01."), "{said}");
    assert!(said.contains("Coloured by strategy: Full data (2) and GLISTER (1)."), "{said}");
    assert!(said.contains("1 run is not drawn"), "{said}");
    let times = study.scatter("created", "run").unwrap();
    assert!(times.description().starts_with("run against created of 4 runs."), "{}", times.description());
}

#[test]
fn an_experiment_draws_its_parameters_side_by_side() {
    let (_folder, study) = search();
    let chart =
        study.parallel_coordinates(&["strategy", "learning_rate", "validation:accuracy.max"]).unwrap();
    let said = chart.description();
    assert!(said.starts_with("4 runs over 3 axes."), "{said}");
    assert!(said.contains("Coloured by validation:accuracy.max, from 0.6 to 0.8."), "the last one: {said}");
    assert!(said.contains("1 run has no finite value of validation:accuracy.max: a gap"), "{said}");
    let message = study.parallel_coordinates(&[]).unwrap_err().to_string();
    assert!(message.contains("at least one column"), "{message}");
}

#[test]
fn a_table_that_was_filtered_is_drawn_too() {
    let (_folder, study) = search();
    let filtered: DataFrame =
        study.runs().unwrap().lazy().filter(col("learning_rate").lt(lit(0.05))).collect().unwrap();
    let chart = filtered.scatter("learning_rate", "validation:accuracy.last").unwrap();
    assert!(chart.description().contains("of 3 runs") && !chart.description().contains("not drawn"));
    let chart = filtered.scatter_by("run", "validation:accuracy.last", "learning_rate").unwrap();
    assert!(chart.description().contains("Coloured by learning_rate, from 0.0001 to 0.01."));
    let chart = filtered.parallel_coordinates_by(&["run", "learning_rate"], "strategy").unwrap();
    assert!(chart.description().contains("Coloured by strategy: Full data (2) and GLISTER (1)."));
}

#[test]
fn a_wrong_column_is_answered_with_the_nearest() {
    let (_folder, study) = search();
    for message in [
        study.scatter("learning_rat", "run").unwrap_err().to_string(),
        study.scatter("run", "learning_rat").unwrap_err().to_string(),
        study.parallel_coordinates(&["run", "learning_rat"]).unwrap_err().to_string(),
        study.runs().unwrap().scatter_by("run", "run", "learning_rat").unwrap_err().to_string(),
    ] {
        assert!(message.contains("did you mean 'learning_rate'"), "{message}");
    }
}
