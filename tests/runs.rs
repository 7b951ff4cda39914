//! Runs as their users start, load, mark and delete them, and the files kept with them.

use std::collections::BTreeMap;
use std::process::Command;

use glisten::prelude::*;
use glisten::track::{self, ImportedRun, RunRecord, Status, load_run, unique_name_from_base};

/// The current run belongs to the process, of which these tests share one under some runners.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn fresh() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    (folder, store)
}

fn record(store: &Store, name: &str) -> RunRecord {
    store.run_records(None).unwrap().into_iter().find(|record| record.name == name).unwrap()
}

#[test]
fn a_run_is_started_found_from_afar_and_gone_on_with() {
    let _alone = alone();
    let (_folder, store) = fresh();
    let study = Experiment::create_in(&store, "study").unwrap();
    let message = load_run().unwrap_err().to_string();
    assert!(message.contains("experiment.run(name)") && message.contains("GLISTEN_RUN"), "{message}");

    let run = study.run("first").unwrap();
    load_run().unwrap().log_metric("loss", 0.5, 1).unwrap();
    assert_eq!(study.run("first").unwrap().id(), run.id(), "the same run is not another one");
    let message = study.run("second").unwrap_err().to_string();
    assert!(message.contains("'first' of experiment 'study' is at work"), "{message}");
    assert_eq!(store.run_records(None).unwrap().len(), 1, "a run that was refused is not made");
    let beside = study.start_run("beside").unwrap();
    beside.complete().unwrap();
    run.complete().unwrap();
    assert!(load_run().is_err(), "a run that has ended is not the current one");
    assert_eq!(record(&store, "first").status, Status::Completed);

    let again = study.run("first").unwrap();
    assert_eq!((again.id(), record(&store, "first").status), (run.id(), Status::Running));
    again.log_metric("loss", 0.25, 2).unwrap();
    again.complete().unwrap();
    let record = record(&store, "first");
    assert_eq!((record.status, record.metrics["loss"].count), (Status::Completed, 2));
}

#[test]
fn a_run_ends_as_its_work_does() {
    let _alone = alone();
    let (_folder, store) = fresh();
    let study = Experiment::create_in(&store, "study").unwrap();
    assert_eq!(study.with_run("good", |run| run.log_metric("loss", 0.5, 1).map(|()| 7)).unwrap(), 7);
    study.with_run("bad", |run| run.log_metric("", 0.5, 1)).unwrap_err();
    study.with_run("stopped", |_| Err::<(), _>(Error::Interrupted(String::new()))).unwrap_err();
    let panicked = std::panic::catch_unwind(|| study.with_run::<()>("panicked", |_| panic!("on purpose")));
    assert!(panicked.is_err());
    drop(study.run("dropped").unwrap());
    study.create_run("later").unwrap();
    let statuses: Vec<(String, Status, String)> = store
        .run_records(None)
        .unwrap()
        .into_iter()
        .map(|record| (record.name, record.status, record.error.unwrap_or_default()))
        .collect();
    let expected = [
        ("good", Status::Completed, ""),
        ("bad", Status::Failed, "metric name: expected 1 to 255 characters"),
        ("stopped", Status::Stopped, "interrupted"),
        ("panicked", Status::Failed, "a panic ended it"),
        ("dropped", Status::Failed, "dropped before it ended"),
        ("later", Status::Created, ""),
    ];
    assert_eq!(statuses.len(), expected.len());
    for ((name, status, error), expected) in statuses.iter().zip(expected) {
        assert_eq!((name.as_str(), *status), (expected.0, expected.1));
        assert!(error.contains(expected.2), "{name}: {error}");
    }
    let later = study.run("later").unwrap();
    assert_eq!(record(&store, "later").status, Status::Running);
    later.complete().unwrap();
}

/// Set in a child of these tests.
const CHILD: &str = "GLISTEN_TEST_JOB";

#[test]
fn a_job_finds_its_run_in_the_environment() {
    if std::env::var_os(CHILD).is_some() {
        let run = load_run().unwrap();
        run.log_metric("loss", 0.125, 3).unwrap();
        run.log_text("from the job").unwrap();
        run.complete().unwrap();
        return;
    }
    let (folder, store) = fresh();
    let study = Experiment::create_in(&store, "study").unwrap();
    let run = study.create_run("job").unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "runs::a_job_finds_its_run_in_the_environment"])
        .env(CHILD, "1")
        .env("GLISTEN_STORE", folder.path().join("runs.db"))
        .env(track::EXPERIMENT_VARIABLE, "study")
        .env(track::RUN_VARIABLE, "job")
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let record = record(&store, "job");
    assert_eq!((record.id, record.status), (run.id(), Status::Completed));
    assert_eq!(record.metrics["loss"].last, 0.125);
    let lines = store.log_lines(run.id(), 0).unwrap();
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["from the job"]);
}

#[test]
fn parameters_tags_notes_and_the_log_come_back() {
    let (_folder, store) = fresh();
    let study = Experiment::create_in(&store, "study").unwrap();
    let run = study.start_run("a").unwrap();
    let parameters: [(&str, Parameter); 4] = [
        ("fraction", 0.3.into()),
        ("epochs", 20.into()),
        ("nesterov", true.into()),
        ("model", "LeNet 'quoted' <b>".into()),
    ];
    run.log_parameters(parameters.clone()).unwrap();
    run.log_parameter("ratio", f64::INFINITY).unwrap();
    run.log_parameters([("good", 1), (" ", 2)]).unwrap_err();
    run.set_tag("team", "vision").unwrap();
    run.set_tag("team", "speech").unwrap();
    run.set_note("the one for\nthe paper").unwrap();
    run.log_text("one\ntwo\n\nfour").unwrap();
    run.log_text("five").unwrap();
    run.complete().unwrap();
    let record = record(&store, "a");
    let mut expected: BTreeMap<String, Parameter> =
        parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    expected.insert("ratio".to_owned(), Parameter::Number(f64::INFINITY));
    assert_eq!(record.parameters, expected, "with their types, and nothing of a set that was refused");
    assert_eq!(record.tags, BTreeMap::from([("team".to_owned(), "speech".to_owned())]));
    assert_eq!(record.note.as_deref(), Some("the one for\nthe paper"));
    let lines = store.log_lines(record.id, 0).unwrap();
    let texts: Vec<_> = lines.iter().map(|line| (line.line, line.text.as_str())).collect();
    assert_eq!(texts, [(1, "one"), (2, "two"), (3, ""), (4, "four"), (5, "five")]);
    assert_eq!(store.log_lines(record.id, 4).unwrap().len(), 1);
}

#[test]
fn surroundings_are_recorded_by_themselves() {
    let (_folder, store) = fresh();
    Experiment::create_in(&store, "study").unwrap().start_run("a").unwrap().complete().unwrap();
    let environment = record(&store, "a").environment;
    let text = |name: &str| environment.get(name).map(ToString::to_string).unwrap_or_default();
    let program = std::env::current_exe().unwrap();
    assert!(text("command").contains(program.file_name().unwrap().to_str().unwrap()), "{}", text("command"));
    assert_eq!(text("glisten_version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(text("threads"), tch::get_num_threads().to_string());
    assert!(text("libtorch_version").starts_with("2.11"), "{}", text("libtorch_version"));
    assert!(!text("os").is_empty() && !text("hostname").is_empty());
    let git = |arguments: &[&str]| Command::new("git").args(arguments).output().ok();
    if let Some(head) = git(&["rev-parse", "HEAD"]).filter(|output| output.status.success()) {
        assert_eq!(text("git_commit"), String::from_utf8_lossy(&head.stdout).trim());
        assert!(matches!(environment["git_dirty"], Parameter::Boolean(_)));
    }
}

#[test]
fn files_are_kept_with_their_hash_whatever_they_are_called() {
    let (folder, store) = fresh();
    let study = Experiment::create_in(&store, "study").unwrap();
    let run = study.start_run("a").unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "abc").unwrap();
    let long = "é".repeat(255);
    for name in ["notes.txt", "../../outside", "a/b\\c\0d", "日本語 🦀", &long] {
        let kept = run.log_artifact(name, &path).unwrap();
        // FIPS 180-2, appendix B.1: SHA-256 of "abc".
        assert_eq!(kept.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((kept.n_bytes, std::fs::read(&kept.path).unwrap()), (3, b"abc".to_vec()));
        assert!(
            kept.path.canonicalize().unwrap().starts_with(store.folder().canonicalize().unwrap()),
            "{name}"
        );
    }
    assert_eq!(run.artifacts().unwrap().len(), 5);
    std::fs::write(&path, "abcd").unwrap();
    let before = run.artifact("notes.txt").unwrap();
    let replaced = run.log_artifact("notes.txt", &path).unwrap();
    assert_eq!((replaced.n_bytes, run.artifacts().unwrap().len()), (4, 5));
    assert!(!before.path.exists(), "what was replaced is gone");
    assert_eq!(record(&store, "a").artifacts.len(), 5);

    let message = run.log_artifact("x", folder.path()).unwrap_err().to_string();
    assert!(message.contains("expected a file"), "{message}");
    let message = run.log_artifact("x", folder.path().join("missing")).unwrap_err().to_string();
    assert!(message.contains("missing: reading"), "{message}");
    let message = run.artifact("note.txt").unwrap_err().to_string();
    assert!(message.contains("did you mean 'notes.txt'"), "{message}");
    assert_eq!(run.artifacts().unwrap().len(), 5);
}

#[test]
fn a_confusion_matrix_is_kept_and_its_shape_looked_at() {
    let (_folder, store) = fresh();
    let run = Experiment::create_in(&store, "study").unwrap().start_run("a").unwrap();
    run.log_confusion_matrix("test", &["cat", "dog"], &[vec![9, 1], vec![2, 8]]).unwrap();
    let matrix = run.confusion_matrix("test").unwrap();
    assert_eq!(
        (matrix.labels, matrix.counts),
        (vec!["cat".to_owned(), "dog".to_owned()], vec![vec![9, 1], vec![2, 8]])
    );
    for counts in [vec![vec![1]], vec![vec![1, 2], vec![3]], vec![]] {
        let message = run.log_confusion_matrix("x", &["cat", "dog"], &counts).unwrap_err().to_string();
        assert!(message.contains("2 rows of 2 columns"), "{message}");
    }
}

#[test]
fn what_is_deleted_is_gone_and_nothing_else() {
    let (folder, store) = fresh();
    let file = folder.path().join("file.txt");
    std::fs::write(&file, "text").unwrap();
    let study = Experiment::create_in(&store, "study").unwrap();
    let other = Experiment::create_in(&store, "other").unwrap();
    let mut kept = Vec::new();
    for (experiment, name) in [(&study, "a"), (&study, "b"), (&other, "a")] {
        let run = experiment.start_run(name).unwrap();
        run.log_metric("loss", 0.5, 1).unwrap();
        kept.push(run.log_artifact("file", &file).unwrap().path);
        run.complete().unwrap();
    }
    study.delete_run("a").unwrap();
    assert_eq!(kept.iter().map(|path| path.exists()).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(store.metric_points(None, None).unwrap().len(), 2);
    let at_work = study.start_run("c").unwrap();
    let message = Experiment::delete_in(&store, "study").unwrap_err().to_string();
    assert!(message.contains("run 'c'") && message.contains("stop it first"), "{message}");
    assert!(kept[1].exists());
    let last = at_work.id();
    at_work.complete().unwrap();
    Experiment::delete_in(&store, "study").unwrap();
    assert_eq!(store.experiment_names().unwrap(), ["other"]);
    assert_eq!(
        (store.metric_points(None, None).unwrap().len(), kept[1].exists(), kept[2].exists()),
        (1, false, true)
    );
    assert!(other.start_run("b").unwrap().id() > last, "a key is not given again: files are named after it");
    let message = Experiment::delete_in(&store, "studi").unwrap_err().to_string();
    assert!(message.contains("no experiment named 'studi'"), "{message}");
}

#[test]
fn experiments_are_listed_with_their_runs() {
    let (_folder, store) = fresh();
    let study = Experiment::create_in(&store, "study").unwrap();
    Experiment::create_in(&store, "empty").unwrap();
    study.start_run("a").unwrap().complete().unwrap();
    let _at_work = study.start_run("b").unwrap();
    let listed: Vec<_> =
        store.experiments().unwrap().into_iter().map(|one| (one.name, one.n_runs, one.n_running)).collect();
    assert_eq!(listed, [("study".to_owned(), 2, 1), ("empty".to_owned(), 0, 0)]);
}

#[test]
fn unique_names_are_and_fit() {
    let names: std::collections::BTreeSet<String> = (0..50).map(|_| unique_name_from_base("base")).collect();
    assert!(names.len() > 48, "two in the same millisecond differ in their four letters");
    assert!(names.iter().all(|name| name.starts_with("base-")));
    assert_eq!(unique_name_from_base(&"é".repeat(200)).chars().count(), 63);
}

#[test]
fn a_run_of_another_tracker_keeps_its_past() {
    let (_folder, store) = fresh();
    let study = Experiment::create_in(&store, "study").unwrap();
    let past = ImportedRun {
        status: Status::Failed,
        error: Some("out of memory".to_owned()),
        note: Some("from elsewhere".to_owned()),
        created_ms: 1_600_000_000_000,
        ended_ms: Some(1_600_000_060_000),
        parameters: BTreeMap::from([("fraction".to_owned(), Parameter::Number(0.3))]),
        tags: BTreeMap::from([("owner".to_owned(), "me".to_owned())]),
        environment: BTreeMap::from([("git_commit".to_owned(), Parameter::from("abc"))]),
        statistics: BTreeMap::new(),
    };
    let run = study.import_run("old", &past).unwrap();
    run.log_batch_at(&[("loss", 1, 0.5, 1_600_000_001_000), ("loss", 2, 0.25, 1_600_000_002_000)]).unwrap();
    drop(run);
    let message = study
        .import_run("old", &ImportedRun { status: Status::Running, ..past.clone() })
        .unwrap_err()
        .to_string();
    assert!(message.contains("not at work"), "{message}");
    Experiment::open_in(&store, "study").unwrap();
    let record = record(&store, "old");
    assert_eq!((record.status, record.error, record.note), (past.status, past.error, past.note));
    assert_eq!((record.created_ms, record.ended_ms), (past.created_ms, past.ended_ms));
    assert_eq!(
        (record.parameters, record.tags, record.environment),
        (past.parameters, past.tags, past.environment)
    );
    let points = store.series(record.id, "loss").unwrap();
    assert_eq!(
        points.iter().map(|point| point.time_ms).collect::<Vec<_>>(),
        [Some(1_600_000_001_000), Some(1_600_000_002_000)]
    );
}
