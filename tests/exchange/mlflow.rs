//! Export to a real `mlflow server`: everything arrives once, whatever breaks in between.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use glisten::exchange::{MlflowServer, import_mlflow};
use glisten::track::{RunRecord, Store};
use serde_json::Value;

use super::server::{Fate, Proxy, Server, python};
use super::{METRIC, RUN, artifact_bytes, awkward_points, many, study};
use crate::support::glisten;

fn at(uri: &str) -> MlflowServer {
    MlflowServer::new(uri).unwrap().tries(6, Duration::from_millis(20))
}

fn answer(status: &str, body: &str) -> Fate {
    let length = body.len();
    Fate::Answer(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"))
}

/// What a request does, without what differs from one to the other.
fn endpoint(request: &str) -> String {
    let path = request.split(' ').nth(1).unwrap_or_default();
    path.split('?').next().unwrap_or_default().rsplit("/mlflow/").next().unwrap_or_default().to_owned()
}

/// Steps, times and values of a metric as MLflow's client read them.
fn points(run: &Value, metric: &str) -> Vec<(i64, i64, f64)> {
    let mut points: Vec<(i64, i64, f64)> = run["metrics"][metric]
        .as_array()
        .unwrap_or_else(|| panic!("no '{metric}' in {}", run["metrics"]))
        .iter()
        .map(|p| (p[0].as_i64().unwrap(), p[1].as_i64().unwrap(), p[2].as_str().unwrap().parse().unwrap()))
        .collect();
    points.sort_by_key(|point| point.0);
    points
}

#[test]
fn an_export_that_is_killed_and_done_again_leaves_each_run_and_value_once() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path());
    let backend = format!("sqlite:///{}", folder.path().join("mlflow.db").display());
    let server = Server::start(folder.path(), &backend, &[]);
    // Killed when the server has had its k-th request, with the answer still on its way.
    for k in [3, 5, 6, 8] {
        let (heard, wait) = mpsc::channel();
        let proxy = Proxy::start(Some(server.address), move |number, _| {
            if number < k {
                return Fate::Pass;
            }
            let _ = heard.send(());
            Fate::Unanswered
        });
        let mut process = glisten()
            .args(["export", study.name(), "--to", "mlflow", "--uri", &proxy.uri(), "--store"])
            .arg(folder.path().join("runs.db"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait.recv_timeout(Duration::from_secs(60)).unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }
    let exported = study.export().mlflow(&at(&server.uri())).unwrap();
    assert_eq!(exported.n_runs, 3);
    assert!(exported.n_new < 3 && exported.n_unchanged < 3, "the killed ones had done a part: {exported}");
    let again = study.export().mlflow(&at(&server.uri())).unwrap();
    assert_eq!((again.n_unchanged, again.n_values, again.n_artifacts), (3, 0, 0), "{again}");

    let runs = python("mlflow_read.py", &[&server.uri(), study.name()]);
    let runs: BTreeMap<&str, &Value> =
        runs.as_array().unwrap().iter().map(|run| (run["name"].as_str().unwrap(), run)).collect();
    assert_eq!(
        runs.keys().copied().collect::<Vec<_>>(),
        [RUN, "failed", "stopped"],
        "one run for each of ours"
    );
    let run = runs[RUN];
    let records = study.store().run_records(None).unwrap();
    assert_eq!(run["status"], "FINISHED");
    assert_eq!(run["start_time"], records[0].created_ms);
    assert_eq!(run["end_time"], records[0].ended_ms.unwrap());
    assert_eq!((&runs["failed"]["status"], &runs["stopped"]["status"]), (&"FAILED".into(), &"KILLED".into()));
    assert!(runs["failed"]["tags"]["glisten.error"].as_str().unwrap().contains("loss is NaN"));

    let expected: Vec<(i64, f64)> = awkward_points()
        .into_iter()
        // MLflow's databases have no infinities: `sanitize_metric_value` of its `sqlalchemy_store.py`.
        .map(|(step, value)| (step, if value.is_infinite() { f64::MAX.copysign(value) } else { value }))
        .collect();
    let found = points(run, "日本語 _x1F980_/loss_x5F_x41_");
    assert_eq!(found.len(), expected.len());
    for ((step, time, value), (expected_step, expected)) in found.into_iter().zip(expected) {
        assert_eq!((step, time), (expected_step, 1_700_000_000_000 + expected_step));
        assert!(value == expected || value.is_nan() && expected.is_nan(), "{step}: {value} for {expected}");
    }
    let values: Vec<(i64, f64)> = points(run, "validation:accuracy").iter().map(|p| (p.0, p.2)).collect();
    assert_eq!(values, (0..2300).map(|step| (step, many(step))).collect::<Vec<_>>());

    let params = &run["params"];
    assert_eq!((&params["fraction"], &params["nesterov"]), (&"0.30000000000000004".into(), &"true".into()));
    assert_eq!(params["model: _x22_größe_x22_"], "lenet, the \"small\"\none");
    let tags = &run["tags"];
    assert_eq!((&tags["team/vision"], &tags["glisten_x2E_run"]), (&"a,b".into(), &"not ours".into()));
    assert_eq!(tags["mlflow.note.content"], "A *note*\nof two lines");
    use sha2::Digest;
    let artifacts = run["artifacts"].as_object().unwrap();
    assert_eq!(artifacts["model _x1F980_.bin"], hex::encode(sha2::Sha256::digest(artifact_bytes())));
    assert!(artifacts.contains_key("selections.parquet") && artifacts.len() == 2, "{artifacts:?}");

    // What comes later is sent, and nothing else.
    let later = study.start_run("later").unwrap();
    later.log_metric("loss", 0.5, 1).unwrap();
    let exported = study.export().mlflow(&at(&server.uri())).unwrap();
    assert_eq!((exported.n_new, exported.n_unchanged, exported.n_values), (1, 3, 1), "{exported}");
    later.log_metric("loss", 0.25, 2).unwrap();
    later.complete().unwrap();
    let exported = study.export().mlflow(&at(&server.uri())).unwrap();
    assert_eq!((exported.n_new, exported.n_unchanged, exported.n_values), (0, 3, 1), "{exported}");
}

/// A file store keeps a value as often as it is sent, so that each one that is sent twice would be seen; and what an import
/// of it gives must be what was exported.
#[test]
fn through_a_network_that_fails_into_a_file_store_and_back_each_value_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path());
    let mlruns = folder.path().join("mlruns");
    std::fs::create_dir(&mlruns).unwrap();
    let server = Server::start(folder.path(), mlruns.to_str().unwrap(), &[]);
    // Of each endpoint: the first request is not heard, the second is done but not answered, the third is refused, then
    // one passes, and so on. An `Unanswered` `runs/create` or `log-batch` is where a blind second try does harm.
    let numbers = std::sync::Mutex::new(BTreeMap::<String, usize>::new());
    let n_faults = Arc::new(AtomicUsize::new(0));
    let counted = n_faults.clone();
    let proxy = Proxy::start(Some(server.address), move |_, request| {
        let mut numbers = numbers.lock().unwrap();
        let number = numbers.entry(endpoint(request)).or_default();
        *number += 1;
        let fate = match *number % 5 {
            1 => Fate::Unheard,
            2 => Fate::Unanswered,
            3 => answer("503 Service Unavailable", "{\"error_code\": \"TEMPORARILY_UNAVAILABLE\"}"),
            4 => answer("429 Too Many Requests\r\nRetry-After: 0", ""),
            _ => Fate::Pass,
        };
        counted.fetch_add(usize::from(fate != Fate::Pass), Ordering::Relaxed);
        fate
    });
    let exported = study.export().mlflow(&at(&proxy.uri())).unwrap();
    assert_eq!((exported.n_runs, exported.n_new), (3, 3), "{exported}");
    assert!(n_faults.load(Ordering::Relaxed) > 30);

    let back = Store::open(folder.path().join("back.db")).unwrap();
    let imported = import_mlflow(&back, &mlruns, Some(study.name())).unwrap();
    assert_eq!((imported.n_runs, imported.n_values), (3, 8 + 2300 + 1), "{imported}");
    assert!(!imported.notes.iter().any(|note| note.contains("more than once")), "{imported}");
    let (ours, theirs) = (study.store(), &back);
    let comparable = |record: &RunRecord| {
        let mut tags = record.tags.clone();
        tags.retain(|name, _| !name.starts_with("imported."));
        (
            (record.name.clone(), record.status, record.created_ms, record.ended_ms),
            (record.parameters.clone(), tags, record.note.clone(), record.error.clone()),
            record.environment.clone(),
        )
    };
    let sorted = |store: &Store| {
        let mut records = store.run_records(None).unwrap();
        records.sort_by(|a, b| a.name.cmp(&b.name));
        records
    };
    for (one, other) in sorted(ours).iter().zip(&sorted(theirs)) {
        assert_eq!(comparable(one), comparable(other));
        for metric in one.metrics.keys() {
            let series = |store: &Store, id: i64| -> Vec<_> {
                let points = store.series(id, metric).unwrap().into_iter();
                points.map(|p| (p.step, p.time_ms, (!p.value.is_nan()).then(|| p.value.to_bits()))).collect()
            };
            assert_eq!(series(ours, one.id), series(theirs, other.id), "{metric}");
        }
    }
    assert_eq!(series_length(theirs, METRIC), 8);
}

fn series_length(store: &Store, metric: &str) -> usize {
    store.metric_points(None, Some(metric)).unwrap().len()
}

#[test]
fn a_server_that_is_not_there_or_refuses_is_said_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path());
    let message = |uri: &str| study.export().mlflow(&at(uri)).unwrap_err().to_string();

    // Nobody listens on a port that was just let go.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let started = Instant::now();
    let said = message(&format!("http://{free}"));
    assert!(said.contains("6 tries") && said.to_lowercase().contains("connection refused"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(20));

    let proxy = Proxy::start(None, |_, _| answer("401 Unauthorized", "who are you?"));
    let said = message(&proxy.uri());
    assert!(said.contains("401") && said.contains("MLFLOW_TRACKING_TOKEN"), "{said}");
    assert!(proxy.requests().len() <= 2, "a refusal is not tried again");

    let page = "<html>Not MLflow at all</html>";
    let proxy = Proxy::start(None, move |_, _| answer("200 OK", page));
    let said = message(&proxy.uri());
    assert!(said.contains("Not MLflow at all") && said.contains("is an MLflow server there?"), "{said}");

    let proxy =
        Proxy::start(None, |_, _| answer("500 Internal Server Error", "{\"message\": \"disk full\"}"));
    let said = message(&proxy.uri().replace("http://", "http://somebody:secret@"));
    assert!(said.contains("disk full") && !said.contains("secret"), "{said}");
    assert_eq!(proxy.requests().len(), 6);

    for uri in ["mlruns", "sqlite:///x.db", "http://", "ftp://x", ""] {
        let said = MlflowServer::new(uri).unwrap_err().to_string();
        assert!(said.contains("MLflow uri: expected the http:// or https:// address"), "{uri}: {said}");
    }
}

#[test]
fn credentials_are_shown_as_mlflows_own_client_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path());
    let shown = |server: &dyn Fn(&str) -> MlflowServer| -> String {
        let proxy = Proxy::start(None, |_, _| answer("403 Forbidden", ""));
        let _ = study.export().mlflow(&server(&proxy.uri())).unwrap_err();
        let request = proxy.requests()[0].to_lowercase();
        request.lines().find(|line| line.starts_with("authorization:")).unwrap_or("none").to_owned()
    };
    assert_eq!(shown(&|uri| at(uri)), "none");
    assert_eq!(shown(&|uri| at(uri).token("abc")), "authorization: bearer abc");
    // base64 of `user:pässword` in UTF-8: python3 -c "import base64; print(base64.b64encode('user:pässword'.encode()))"
    let basic = shown(&|uri| at(uri).password("user", "pässword"));
    assert_eq!(basic, "authorization: basic dXNlcjpww6Rzc3dvcmQ=".to_lowercase());
    for (variables, expected) in [
        (&[("MLFLOW_TRACKING_TOKEN", "abc")][..], "authorization: bearer abc"),
        (
            &[
                ("MLFLOW_TRACKING_USERNAME", "a"),
                ("MLFLOW_TRACKING_PASSWORD", "b"),
                ("MLFLOW_TRACKING_TOKEN", "c"),
            ],
            "authorization: basic ytpi",
        ),
    ] {
        let proxy = Proxy::start(None, |_, _| answer("403 Forbidden", ""));
        let mut command = glisten();
        command
            .args(["export", study.name(), "--to", "mlflow", "--store"])
            .arg(folder.path().join("runs.db"));
        command.envs(variables.iter().copied()).env("MLFLOW_TRACKING_URI", proxy.uri());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let request = proxy.requests()[0].to_lowercase();
        assert!(request.lines().any(|line| line == expected), "{request}");
    }
}
