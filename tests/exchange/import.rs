//! Imports: a file store that MLflow's own client made, SageMaker's CSV, and broken files.

use std::fs;
use std::path::Path;

use glisten::exchange::{import_mlflow, import_sagemaker};
use glisten::track::{Parameter, Status, Store};

use super::server::python;
use crate::support::glisten;

#[test]
fn a_file_store_of_mlflows_own_client_is_imported_whole_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let mlruns = folder.path().join("mlruns");
    python("mlflow_make.py", &[mlruns.to_str().unwrap()]);
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let imported = import_mlflow(&store, &mlruns, None).unwrap();
    assert_eq!((imported.n_runs, imported.n_artifacts), (5, 1), "{imported}");
    assert_eq!(imported.n_values, 6 + 400 + 5 + 4);

    let records = store.run_records(Some("résumé 日本語")).unwrap();
    let names: Vec<(&str, Status)> =
        records.iter().map(|record| (record.name.as_str(), record.status)).collect();
    assert_eq!(names[0], ("first: 0089", Status::Completed));
    let mut others = names[1..].to_vec();
    others.sort_by_key(|(name, status)| (*name, status.as_str()));
    let statuses: Vec<Status> = others.iter().map(|(_, status)| *status).collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == Status::Stopped).count(),
        2,
        "killed, and one at work"
    );
    assert_eq!(statuses.iter().filter(|status| **status == Status::Failed).count(), 1);

    let run = &records[0];
    assert_eq!((run.created_ms, run.ended_ms), (1_700_000_000_000, Some(1_700_000_009_000)));
    assert_eq!(run.parameters["lr"], Parameter::Number(0.05));
    assert_eq!(run.parameters["layers"], Parameter::Integer(3));
    assert_eq!(run.parameters["nesterov"], Parameter::Boolean(true));
    assert_eq!(run.parameters["model/name"], Parameter::Text("lenet".into()));
    assert_eq!(run.parameters["empty"], Parameter::Text(String::new()));
    assert_eq!(run.parameters["several"], Parameter::Text("one\ntwo".into()));
    assert_eq!((run.tags["team"].as_str(), run.note.as_deref()), ("vision", Some("a *note*")));
    assert_eq!(run.environment["command"], Parameter::Text("train.py".into()));
    assert_eq!(run.environment["git_commit"], Parameter::Text("0123abc".into()));

    let series = |metric: &str| -> Vec<(i64, f64, Option<i64>)> {
        store.series(run.id, metric).unwrap().iter().map(|p| (p.step, p.value, p.time_ms)).collect()
    };
    let loss = series("loss");
    let bits: Vec<u64> =
        loss.iter().filter(|point| !point.1.is_nan()).map(|point| point.1.to_bits()).collect();
    let expected = [0.1 + 0.2, f64::INFINITY, f64::NEG_INFINITY, 1e-300, 5e-324].map(f64::to_bits);
    assert_eq!((bits, loss.len(), loss[1].1.is_nan()), (expected.to_vec(), 6, true));
    assert_eq!(loss[5].2, Some(1_700_000_001_005));
    let accuracy = series("validation/accuracy");
    assert_eq!((accuracy.len(), accuracy[399].1), (400, 0.5 + 399.0 / 1000.0));
    let values: Vec<(i64, f64)> = series("stepless").iter().map(|point| (point.0, point.1)).collect();
    assert_eq!(values, [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]);
    let values: Vec<(i64, f64)> = series("resumed").iter().map(|point| (point.0, point.1)).collect();
    assert_eq!(values, [(1, 0.1), (2, 0.25), (3, 0.35), (4, 0.4)]);
    let notes = imported.notes.join("\n");
    for said in
        ["all 5 values of 'stepless'", "'resumed' has 2 steps more than once", "1 deleted run is left out"]
    {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    let artifact = &run.artifacts[0];
    assert_eq!(
        (artifact.name.as_str(), fs::read_to_string(&artifact.path).unwrap().as_str()),
        ("model/weights.txt", "weights")
    );

    let again = import_mlflow(&store, &mlruns, None).unwrap();
    assert_eq!((again.n_runs, again.n_known), (0, 5), "{again}");
    assert_eq!(store.run_records(None).unwrap().len(), 5);
    let message = import_mlflow(&store, &mlruns, Some("secnd")).unwrap_err().to_string();
    assert!(
        message.contains("no experiment named 'secnd'") && message.contains("did you mean 'second'"),
        "{message}"
    );
}

/// A store of one run, as MLflow 3.17 lays it out.
pub(crate) fn file_store(folder: &Path) {
    let run = folder.join("1/0123456789abcdef0123456789abcdef");
    for sub in ["metrics/train", "params", "tags", "artifacts"] {
        fs::create_dir_all(run.join(sub)).unwrap();
    }
    fs::write(folder.join("1/meta.yaml"), "experiment_id: '1'\nlifecycle_stage: active\nname: small\n")
        .unwrap();
    let meta = "artifact_uri: s3://bucket/1\nend_time: null\nentry_point_name: ''\nexperiment_id: '1'\nlifecycle_stage: active\n\
                run_id: 0123456789abcdef0123456789abcdef\nrun_name: only\nstart_time: 1700000000000\nstatus: 3\ntags: []\nuser_id: root\n";
    fs::write(run.join("meta.yaml"), meta).unwrap();
    fs::write(run.join("metrics/train/loss"), "1700000000001 0.5 1\n1700000000002 0.25 2\n").unwrap();
    fs::write(run.join("params/lr"), "0.1").unwrap();
}

#[test]
fn a_broken_file_is_named_with_its_line_and_nothing_is_imported() {
    let cases: [(&str, &[u8], &str); 8] = [
        (
            "metrics/train/loss",
            b"1700000000001 0.5 1\n1700000000002 half 2\n",
            "'TIME VALUE STEP' of a metric in line 2",
        ),
        ("metrics/train/loss", b"1700000000001 0.5 1\n\n1700000000002\n", "in line 3"),
        ("metrics/train/loss", b"1 0.5 1\n2 \xff 2\n", "text in UTF-8 in line 2"),
        ("params/lr", b"\xff\xfe", "text in UTF-8 in line 1"),
        ("meta.yaml", b"status: 3\nrun_id: [1, 2\n", "in YAML in line"),
        ("meta.yaml", b"status: 3\nrun_name: x\n", "a value for 'run_id'"),
        (
            "meta.yaml",
            b"run_id: abc\nstatus: 3\nstart_time: yesterday\n",
            "a whole number for 'start_time' in line 3",
        ),
        ("meta.yaml", b"run_id: abc\nstatus: 9\n", "MLflow's status: 1 (running)"),
    ];
    for (file, content, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let mlruns = folder.path().join("mlruns");
        file_store(&mlruns);
        fs::write(mlruns.join("1/0123456789abcdef0123456789abcdef").join(file), content).unwrap();
        let store = Store::open(folder.path().join("runs.db")).unwrap();
        let message = import_mlflow(&store, &mlruns, None).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains(file), "{expected}: {message}");
        assert!(store.experiment_names().unwrap().is_empty(), "nothing is half-written");
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let message = import_mlflow(&store, folder.path(), None).unwrap_err().to_string();
    assert!(message.contains("expected MLflow's file store"), "{message}");
    let message = import_mlflow(&store, folder.path().join("none"), None).unwrap_err().to_string();
    assert!(message.contains("none"), "{message}");
}

#[test]
fn an_import_that_was_broken_off_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let mlruns = folder.path().join("mlruns");
    file_store(&mlruns);
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    // An artifact that cannot be copied breaks the import off after the values.
    let artifacts = mlruns.join("1/0123456789abcdef0123456789abcdef/artifacts");
    fs::write(artifacts.join("weights"), "w").unwrap();
    fs::create_dir_all(store.folder().parent().unwrap()).unwrap();
    fs::write(store.folder(), "a file where the folder of artifacts should be").unwrap();
    import_mlflow(&store, &mlruns, None).unwrap_err();
    fs::remove_file(store.folder()).unwrap();
    let imported = import_mlflow(&store, &mlruns, None).unwrap();
    assert_eq!((imported.n_runs, imported.n_values, imported.n_artifacts), (1, 2, 1), "{imported}");
    let records = store.run_records(None).unwrap();
    assert_eq!(
        (records.len(), records[0].metrics["train/loss"].count, records[0].artifacts.len()),
        (1, 2, 1)
    );
    assert_eq!(records[0].metrics["train/loss"].last, 0.25);
}

/// `tests/exchange/sagemaker.csv` was written by `ExperimentAnalytics` of `sagemaker` 2.245: by `sagemaker_make.py` beside it.
#[test]
fn sagemakers_csv_gives_statistics_and_no_values() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let csv = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exchange/sagemaker.csv");
    let imported = import_sagemaker(&store, &csv, "from sagemaker").unwrap();
    assert_eq!((imported.n_runs, imported.n_values), (3, 0), "{imported}");
    let records = store.run_records(Some("from sagemaker")).unwrap();
    let first = &records[0];
    assert_eq!(first.name, "Training 🦀, first");
    assert_eq!(first.tags["sagemaker.trial_component"], "tc-1");
    assert_eq!(
        first.tags["sagemaker.source_arn"],
        "arn:aws:sagemaker:eu-west-1:123456789012:training-job/tc-1"
    );
    assert_eq!(first.tags["sagemaker.trials"], "['trial-a', 'trial-b']");
    assert_eq!(first.tags["sagemaker.artifact.model - Value"], "s3://bucket/model.tar.gz");
    assert_eq!(first.parameters["learning_rate"], Parameter::Number(0.05));
    assert_eq!(first.parameters["optimizer"], Parameter::Text("sgd, with\n\"momentum\"".into()));
    let stats = first.metrics["validation:accuracy"];
    assert_eq!((stats.count, stats.min, stats.max, stats.mean, stats.last), (20, 0.5, 0.91, 0.8, 0.9));
    assert!((stats.stddev().unwrap() - 0.125).abs() < 1e-15);
    assert_eq!(
        (records[1].metrics["validation:accuracy"].count, records[1].metrics["validation:accuracy"].stddev()),
        (1, None)
    );
    assert!(records[2].metrics.is_empty());
    assert_eq!(records[2].name, "tc-3", "no display name");
    assert!(store.metric_points(None, None).unwrap().is_empty(), "no values are made up");

    use glisten::analytics::RunsExt;
    let study = glisten::track::Experiment::open_in(&store, "from sagemaker").unwrap();
    let best = study.runs().unwrap().best_first("validation:accuracy.max").unwrap();
    assert_eq!(best.column("run").unwrap().str().unwrap().get(0), Some("Training 🦀, first"));
    let again = import_sagemaker(&store, &csv, "from sagemaker").unwrap();
    assert_eq!((again.n_runs, again.n_known), (0, 3));
}

#[test]
fn a_csv_that_is_not_sagemakers_is_refused_with_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let header = "TrialComponentName,DisplayName,lr,loss - Min,loss - Count\n";
    for (text, expected) in [
        ("", "the column 'TrialComponentName'"),
        ("a,b\n1,2\n", "the column 'TrialComponentName'"),
        (&format!("{header}tc,n,0.1,0.5\n"), "5 fields in line 2"),
        (&format!("{header}tc,n,0.1,0.5,3\ntd,n,0.1,low,3\n"), "a number for 'loss - Min' in line 3"),
        (&format!("{header},n,0.1,0.5,3\n"), "a name in the column 'TrialComponentName' in line 2"),
    ] {
        let csv = folder.path().join("x.csv");
        fs::write(&csv, text).unwrap();
        let message = import_sagemaker(&store, &csv, "x").unwrap_err().to_string();
        assert!(message.contains("x.csv") && message.contains(expected), "{expected}: {message}");
    }
    assert!(store.experiment_names().unwrap().is_empty());
}

#[test]
fn the_commands_import_and_export() {
    let folder = tempfile::tempdir().unwrap();
    file_store(&folder.path().join("mlruns"));
    let run = |arguments: &[&str]| {
        let output = glisten()
            .args(arguments)
            .current_dir(folder.path())
            .env_remove("MLFLOW_TRACKING_URI")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr), output.status.code())
    };
    let (said, errors, code) = run(&["import", "mlflow", "mlruns"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        said.contains("1 run with 2 values")
            && said.contains("in: small")
            && said.contains("s3 lie elsewhere"),
        "{said}"
    );
    for to in ["parquet", "csv", "jsonl", "tensorboard"] {
        let (said, errors, code) = run(&["export", "small", "--to", to, "-o", to, "--run", "only"]);
        assert_eq!(code, Some(0), "{errors}");
        assert!(said.contains("1 run, 2 values of metrics") && folder.path().join(to).is_dir(), "{said}");
    }
    for (arguments, expected) in [
        (&["export", "small", "--to", "parquet"][..], "say which folder"),
        (&["export", "small", "--to", "mlflow"], "--uri or MLFLOW_TRACKING_URI"),
        (&["export", "smal", "--to", "csv", "-o", "x"], "did you mean 'small'"),
        (&["export", "small", "--to", "csv", "-o", "x", "--run", "onyl"], "did you mean 'only'"),
        (&["import", "mlflow", "none"], "none"),
        (&["import", "sagemaker", "none.csv", "--experiment", "x"], "none.csv"),
    ] {
        let (_, errors, code) = run(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    }
}
