//! The store under what happens to stores: several processes, `kill -9`, a step logged twice, files that are no store.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use glisten::prelude::*;
use glisten::track::Status;

/// Set in a child of these tests: the store it writes to.
const CHILD: &str = "GLISTEN_TEST_CHILD_STORE";

/// Starts this very test binary as another process that runs `name` only.
fn child(name: &str, store: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--include-ignored"])
        .env(CHILD, store)
        .stdout(Stdio::piped());
    command
}

fn child_store() -> Option<Store> {
    std::env::var_os(CHILD).map(|path| Store::open(path).unwrap())
}

#[test]
fn a_metric_logged_twice_is_replaced_and_statistics_follow() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "study").unwrap();
    let mut run = study.start_run("a").unwrap();
    for (step, value) in [(1, 0.1), (2, 0.2), (3, 0.3), (2, 0.8), (4, f64::NAN), (5, f64::INFINITY)] {
        run.log_metric("accuracy", value, step).unwrap();
    }
    run.log_parameter("fraction", 0.5).unwrap();
    run.log_parameter("fraction", 0.25).unwrap();
    run.complete().unwrap();
    let record = &store.run_records(None).unwrap()[0];
    let stats = record.metrics["accuracy"];
    // Of 0.1, 0.8, 0.3: mean 0.4, sample standard deviation √0.13.
    assert_eq!((stats.count, stats.nonfinite, stats.min, stats.max, stats.last), (3, 2, 0.1, 0.8, 0.3));
    assert!((stats.mean - 0.4).abs() < 1e-12 && (stats.stddev().unwrap() - 0.13_f64.sqrt()).abs() < 1e-12);
    assert_eq!(record.parameters["fraction"], Parameter::Number(0.25));
    let series = store.metric_points(Some("study"), Some("accuracy")).unwrap();
    assert_eq!(series.len(), 5);
    assert!(series[3].value.is_nan() && series[4].value == f64::INFINITY, "what is not finite is kept");
}

#[test]
fn names_may_be_anything_up_to_255_characters() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    for name in ["'; DROP TABLE runs; --", "<script>alert(1)</script>", "日本語 🦀", &"x".repeat(255)] {
        let study = Experiment::create_in(&store, name).unwrap();
        study.start_run(name).unwrap().log_metric(name, 1.0, 1).unwrap();
        assert_eq!(study.runs().unwrap().height(), 1);
    }
    for name in ["", "  \n", &"x".repeat(256)] {
        let message = Experiment::create_in(&store, name).unwrap_err().to_string();
        assert!(message.contains("1 to 255 characters"), "{message}");
    }
    let message = Experiment::open_in(&store, "日本 🦀").unwrap_err().to_string();
    assert!(message.contains("did you mean '日本語 🦀'"), "{message}");
    let message = Experiment::create_in(&store, "日本語 🦀").unwrap_err().to_string();
    assert!(message.contains("which exists"), "{message}");
    let study = Experiment::open_in(&store, "日本語 🦀").unwrap();
    assert_eq!(study.start_run("日本語 🦀").unwrap().name(), "日本語 🦀-2");
}

#[test]
fn files_that_are_no_store_are_errors_and_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.db");
    std::fs::write(&path, "These are my notes, not a database. ".repeat(40)).unwrap();
    let message = Store::open(&path).unwrap_err().to_string();
    assert!(message.contains("notes.db") && message.contains("not a database"), "{message}");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("These are my notes"));
    let message = Store::open(folder.path().join("no/such/folder/x.db")).unwrap_err().to_string();
    assert!(message.contains("no/such/folder"), "{message}");

    let newer = folder.path().join("newer.db");
    drop(Store::open(&newer).unwrap());
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let message = Store::open(&newer).unwrap_err().to_string();
    assert!(message.contains("version 99") && message.contains("another release"), "{message}");
}

#[test]
fn another_programs_database_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mlflow.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE runs (id INTEGER)").unwrap();
    let before = std::fs::read(&path).unwrap();
    let message = Store::open(&path).unwrap_err().to_string();
    assert!(message.contains("another program's SQLite database"), "{message}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn huge_finite_values_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let run = Experiment::create_in(&store, "huge").unwrap().start_run("run").unwrap();
    for (step, value) in [(1, 1.5e308), (2, -1.5e308), (3, 1.5e308)] {
        run.log_metric("loss", value, step).unwrap();
    }
    let record = &store.run_records(None).unwrap()[0];
    assert_eq!((record.metrics["loss"].count, record.metrics["loss"].max), (3, 1.5e308));
}

#[test]
fn a_run_that_is_dropped_is_failed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "study").unwrap();
    drop(study.start_run("dropped").unwrap());
    assert_eq!(store.run_records(None).unwrap()[0].status, Status::Failed);
}

#[test]
fn what_log_metric_returned_for_survives_kill_9_and_the_run_is_marked() {
    if let Some(store) = child_store() {
        let run = Experiment::create_in(&store, "killed").unwrap().start_run("run").unwrap();
        for step in 1.. {
            run.log_metric("loss", 1.0 / step as f64, step).unwrap();
            println!("logged {step}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let mut process =
        child("store::what_log_metric_returned_for_survives_kill_9_and_the_run_is_marked", &path)
            .spawn()
            .unwrap();
    let mut last = 0;
    for line in BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap) {
        // The test harness writes the test's name before the first line.
        if let Some((_, step)) = line.rsplit_once("logged ") {
            last = step.parse().unwrap();
        }
        if last == 200 {
            process.kill().unwrap();
            break;
        }
    }
    process.wait().unwrap();
    assert_eq!(last, 200);
    let store = Store::open(&path).unwrap();
    assert!(store.metric_points(None, None).unwrap().len() >= 200);
    assert_eq!(store.run_records(None).unwrap()[0].status, Status::Running, "nobody has looked yet");
    Experiment::open_in(&store, "killed").unwrap();
    let record = &store.run_records(None).unwrap()[0];
    assert_eq!(
        (record.status, record.error.as_deref()),
        (Status::Failed, Some("its process ended before the run did"))
    );
}

#[test]
fn writers_in_several_processes_wait_for_one_another() {
    const PROCESSES: usize = 6;
    const STEPS: i64 = 100;
    if let Some(store) = child_store() {
        let study = Experiment::resume_in(&store, "shared").unwrap();
        let mut run = study.start_run("run").unwrap();
        for step in 0..STEPS {
            run.log_metrics(step, &[("loss", step as f64), ("accuracy", 0.5)]).unwrap();
        }
        run.complete().unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let name = "store::writers_in_several_processes_wait_for_one_another";
    let processes: Vec<_> = (0..PROCESSES).map(|_| child(name, &path).spawn().unwrap()).collect();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let store = Store::open(&path).unwrap();
    let records = store.run_records(Some("shared")).unwrap();
    assert_eq!(records.len(), PROCESSES);
    for record in records {
        assert_eq!((record.status, record.metrics["loss"].count), (Status::Completed, STEPS as u64));
    }
}
