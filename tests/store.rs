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
    let run = study.start_run("a").unwrap();
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
    let connection = rusqlite::Connection::open(&path).unwrap();
    let status: String = connection.query_row("SELECT status FROM runs", [], |row| row.get(0)).unwrap();
    assert_eq!(status, "running", "nobody has looked yet");
    let store = Store::open(&path).unwrap();
    assert!(store.metric_points(None, None).unwrap().len() >= 200);
    let record = &store.run_records(None).unwrap()[0];
    assert_eq!(
        (record.status, record.error.as_deref()),
        (Status::Failed, Some("its process ended before the run did"))
    );
}

fn selection(indices: &[i64], gains: Option<&[f32]>) -> glisten::select::Selection {
    glisten::select::Selection {
        indices: tch::Tensor::from_slice(indices),
        gains: gains.map(tch::Tensor::from_slice),
        weights: None,
    }
}

#[test]
fn selections_come_back_as_a_dataframe_and_one_of_the_same_epoch_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "study").unwrap();
    let run = study.start_run("a").unwrap();
    run.log_selection(4, &selection(&[70_000, 2, 9], None)).unwrap();
    run.log_selection(1, &selection(&[1], Some(&[9.0]))).unwrap();
    run.log_selection(1, &selection(&[7, 3, 5], Some(&[0.1, f32::NAN, -2.5]))).unwrap();
    run.complete().unwrap();
    let frame = study.find_run("a").unwrap().selections().unwrap();
    let column = |name: &str| frame.column(name).unwrap();
    let whole = |name: &str| column(name).i64().unwrap().iter().map(Option::unwrap).collect::<Vec<_>>();
    assert_eq!(whole("epoch"), [1, 1, 1, 4, 4, 4]);
    assert_eq!(whole("index"), [3, 5, 7, 2, 9, 70_000]);
    let gains: Vec<Option<f32>> = column("gain").f32().unwrap().iter().collect();
    assert_eq!(gains, [None, Some(-2.5), Some(0.1), None, None, None]);
    assert_eq!(column("weight").null_count(), 6);
    let message = study.find_run("b").unwrap_err().to_string();
    assert!(message.contains("no run named 'b'"), "{message}");
    let message = run.log_selection(1, &selection(&[-1], None)).unwrap_err().to_string();
    assert!(message.contains("positions from 0"), "{message}");
}

#[test]
fn a_selection_that_was_kept_survives_kill_9() {
    const N: i64 = 5000;
    let every_third: Vec<i64> = (0..N).map(|at| 3 * at).collect();
    let gains: Vec<f32> = (0..N).map(|at| (at as f32).sin()).collect();
    if let Some(store) = child_store() {
        let run = Experiment::create_in(&store, "killed").unwrap().start_run("run").unwrap();
        for epoch in 1.. {
            run.log_selection(epoch, &selection(&every_third, Some(&gains))).unwrap();
            println!("kept {epoch}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let mut process = child("store::a_selection_that_was_kept_survives_kill_9", &path).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let last: i64 = lines
        .filter_map(|line| line.rsplit_once("kept ").map(|(_, epoch)| epoch.parse().unwrap()))
        .find(|&epoch| epoch == 20)
        .unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    let store = Store::open(&path).unwrap();
    let records =
        Experiment::open_in(&store, "killed").unwrap().find_run("run").unwrap().selection_records().unwrap();
    assert!(records.len() as i64 >= last);
    for record in records {
        assert_eq!(record.indices.iter().map(|&at| i64::from(at)).collect::<Vec<_>>(), every_third);
        assert_eq!(record.gains.as_deref(), Some(&gains[..]));
    }
}

#[test]
fn a_selection_whose_bytes_are_broken_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let store = Store::open(&path).unwrap();
    let run = Experiment::create_in(&store, "broken").unwrap().start_run("run").unwrap();
    run.log_selection(3, &selection(&[1, 2, 3], None)).unwrap();
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute("UPDATE selections SET samples = x'0102'", [])
        .unwrap();
    let message = run.selection_records().unwrap_err().to_string();
    assert!(message.contains("a selection of 3 samples at epoch 3"), "{message}");
}

/// What the README says a kept selection costs, from picks as scattered, and gains as rough, as any can be.
#[test]
fn a_kept_selection_takes_four_bytes_a_sample_and_one_more() {
    use rand::{Rng, SeedableRng, seq::SliceRandom};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    for fraction in [0.1, 0.3, 0.5] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        let run =
            Experiment::create_in(&Store::open(&path).unwrap(), "cost").unwrap().start_run("run").unwrap();
        let mut all: Vec<i64> = (0..54_000).collect();
        all.shuffle(&mut random);
        let chosen = &all[..(54_000.0 * fraction) as usize];
        let gains: Vec<f32> = chosen.iter().map(|_| random.gen_range(-0.01_f32..0.1)).collect();
        let started = std::time::Instant::now();
        run.log_selection(1, &selection(chosen, Some(&gains))).unwrap();
        let elapsed = started.elapsed();
        let sql = "SELECT length(samples) + length(gains) FROM selections";
        let connection = rusqlite::Connection::open(&path).unwrap();
        let n_bytes: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        println!("{} samples with gains: {n_bytes} bytes, {elapsed:.1?}", chosen.len());
        assert!(n_bytes < 5 * chosen.len() as i64, "{n_bytes} bytes for {} samples", chosen.len());
    }
}
