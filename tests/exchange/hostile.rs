//! What a stranger may send: folders with links and FIFOs, servers that never end or lead elsewhere, names that steer a
//! terminal or a spreadsheet, times that no calendar has.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use glisten::exchange::{MlflowServer, import_mlflow, import_sagemaker};
use glisten::track::{Experiment, ImportedRun, Parameter, Store};

use super::import::file_store;
use super::server::{Fate, Proxy};
use crate::support::glisten;

const RUN: &str = "1/0123456789abcdef0123456789abcdef";

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A folder with a private file, an import beside it, and a store.
fn ground() -> (tempfile::TempDir, PathBuf, Store) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("private/deep")).unwrap();
    for name in ["private/secret", "private/deep/secret"] {
        fs::write(folder.path().join(name), "0.5").unwrap();
    }
    let mlruns = folder.path().join("mlruns");
    file_store(&mlruns);
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    (folder, mlruns, store)
}

/// Everything that is kept of all runs, as text.
fn kept(store: &Store) -> String {
    format!("{:?}", store.run_records(None).unwrap())
}

#[test]
fn an_import_follows_no_link_and_says_so() {
    for linked in ["artifacts", "params", "tags", "metrics"] {
        let (folder, mlruns, store) = ground();
        let place = mlruns.join(RUN).join(linked);
        fs::remove_dir_all(&place).unwrap();
        symlink(folder.path().join("private"), &place).unwrap();
        let imported = import_mlflow(&store, &mlruns, None).unwrap();
        assert_eq!((imported.n_runs, imported.n_artifacts), (1, 0), "{linked}");
        let notes = imported.notes.join("\n");
        assert!(notes.contains("1 link not followed") && notes.contains(linked), "{notes}");
        assert!(!kept(&store).contains("secret"), "{linked}: {}", kept(&store));
    }
    // Within these folders, and of files.
    for (linked, target) in [
        ("artifacts/model", "private"),
        ("artifacts/weights", "private/secret"),
        ("params/x", "private/secret"),
        ("tags/x", "private/deep"),
        ("metrics/train/other", "private/secret"),
        ("metrics/deep", "private/deep"),
    ] {
        let (folder, mlruns, store) = ground();
        symlink(folder.path().join(target), mlruns.join(RUN).join(linked)).unwrap();
        let imported = import_mlflow(&store, &mlruns, None).unwrap();
        assert!(imported.notes.join("\n").contains("1 link not followed"), "{linked}: {imported}");
        let kept = kept(&store);
        assert!(!kept.contains("secret") && !kept.contains("\"x\"") && imported.n_artifacts == 0, "{kept}");
    }
    // A run, an experiment and a meta.yaml elsewhere.
    for linked in ["run", "experiment", "meta"] {
        let (folder, mlruns, store) = ground();
        let (path, moved) = match linked {
            "run" => (mlruns.join(RUN), folder.path().join("elsewhere")),
            "experiment" => (mlruns.join("1"), folder.path().join("elsewhere")),
            _ => (mlruns.join(RUN).join("meta.yaml"), folder.path().join("meta.yaml")),
        };
        fs::rename(&path, &moved).unwrap();
        symlink(&moved, &path).unwrap();
        let said = match import_mlflow(&store, &mlruns, None) {
            Ok(imported) => imported.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(said.contains("1 link not followed"), "{linked}: {said}");
        assert!(store.run_records(None).unwrap().is_empty(), "{linked}");
    }
    // What the user names may be a link.
    let (folder, mlruns, store) = ground();
    let named = folder.path().join("named");
    symlink(&mlruns, &named).unwrap();
    assert_eq!(import_mlflow(&store, &named, None).unwrap().n_runs, 1);
}

#[test]
fn an_import_waits_for_no_fifo_and_reads_no_device() {
    for place in ["artifacts/pipe", "params/pipe", "tags/pipe", "metrics/train/pipe"] {
        let (_folder, mlruns, store) = ground();
        fifo(&mlruns.join(RUN).join(place));
        let imported = import_mlflow(&store, &mlruns, None).unwrap();
        assert!(imported.notes.join("\n").contains("1 neither a file nor a folder"), "{imported}");
    }
    let (folder, mlruns, store) = ground();
    fs::remove_file(mlruns.join("1/meta.yaml")).unwrap();
    fifo(&mlruns.join("1/meta.yaml"));
    import_mlflow(&store, &mlruns, None).unwrap_err();
    let pipe = folder.path().join("trials.csv");
    fifo(&pipe);
    for path in [&*pipe, Path::new("/dev/zero"), folder.path()] {
        let message = import_sagemaker(&store, path, "x").unwrap_err().to_string();
        assert!(message.contains("expected a regular file"), "{message}");
    }
    // As large as a file may say that it is, and no byte of it on the disk.
    let (_folder, mlruns, store) = ground();
    for place in ["params/large", "meta.yaml"] {
        let path = mlruns.join(RUN).join(place);
        fs::File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        let message = import_mlflow(&store, &mlruns, None).unwrap_err().to_string();
        assert!(message.contains("at most"), "{message}");
    }
}

#[test]
fn artifacts_whose_names_lead_out_of_a_folder_are_left_out() {
    let (_folder, mlruns, store) = ground();
    let artifacts = mlruns.join(RUN).join("artifacts");
    for name in
        ["_x2E__x2E__x2F_up", "_x2F_etc_x2F_passwd", "a\nb", "_x0_x", "_x1B_[2J", "..\\up", "fine.txt"]
    {
        fs::write(artifacts.join(name), "x").unwrap();
    }
    let imported = import_mlflow(&store, &mlruns, None).unwrap();
    let names: Vec<String> =
        store.run_records(None).unwrap()[0].artifacts.iter().map(|artifact| artifact.name.clone()).collect();
    assert_eq!(names, ["fine.txt"], "{imported}");
    assert_eq!(
        imported.notes.iter().filter(|note| note.contains("is not imported")).count(),
        6,
        "{imported}"
    );
}

#[test]
fn times_that_no_calendar_has_are_refused_by_imports_and_unknown_in_exports() {
    for (file, content) in [
        ("metrics/train/loss", format!("1700000000001 0.5 1\n{} 0.25 2\n", i64::MAX)),
        ("metrics/train/loss", format!("1700000000001 0.5 1\n{} 0.25 2\n", i64::MIN)),
        ("meta.yaml", format!("run_id: a\nstart_time: {}\nstatus: 3\n", i64::MIN)),
        ("meta.yaml", "run_id: a\nend_time: 253402300800000\nstatus: 3\n".to_owned()),
    ] {
        let (_folder, mlruns, store) = ground();
        fs::write(mlruns.join(RUN).join(file), content).unwrap();
        let message = import_mlflow(&store, &mlruns, None).unwrap_err().to_string();
        assert!(message.contains("between the years 0 and 9999") && message.contains("line 2"), "{message}");
        assert!(store.run_records(None).unwrap().is_empty());
    }
    // A store that somebody else has written.
    for (at, time) in
        [i64::MIN, i64::MIN + 1, -62_167_219_200_001, 253_402_300_800_000, i64::MAX - 1, i64::MAX]
            .into_iter()
            .enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("runs.db")).unwrap();
        let study = Experiment::create_in(&store, "times").unwrap();
        let past = ImportedRun { created_ms: time, ended_ms: Some(!time), ..Default::default() };
        let run = study.import_run("run", &past).unwrap();
        run.log_batch_at(&[
            ("loss", 1, 0.5, time),
            ("loss", i64::MAX, 0.5, 0),
            ("loss", i64::MIN, 0.5, time),
        ])
        .unwrap();
        study.export().csv(folder.path().join("csv")).unwrap();
        study.export().parquet(folder.path().join("parquet")).unwrap();
        study.export().json_lines(folder.path().join("jsonl")).unwrap();
        study.export().tensorboard(folder.path().join("logs")).unwrap();
        study.report(folder.path().join("report.html")).unwrap();
        let csv = fs::read_to_string(folder.path().join("csv/metrics.csv")).unwrap();
        assert!(csv.contains("1970-01-01T00:00:00.000Z") && !csv.contains("+262"), "{csv}");
        assert!(!format!("{:?}{:?}", study.runs().unwrap(), study.metrics().unwrap()).is_empty());
        // Each command once with one of them is enough, and all with the extremes.
        if at % 5 != 0 {
            continue;
        }
        for arguments in [
            &["runs"][..],
            &["runs", "times"],
            &["runs", "times", "--all", "--csv"],
            &["runs", "times", "--format", "json"],
            &["logs", "run", "--timestamps"],
            &["watch", "times", "--once"],
            &["report", "times", "-o", "r.html"],
        ] {
            let output =
                glisten().args(arguments).current_dir(folder.path()).env("GLISTEN_STORE", "runs.db").output();
            let output = output.unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && !errors.contains("panicked"),
                "{time} {arguments:?}: {errors}"
            );
        }
    }
}

/// Whether a terminal would act on something in it.
fn steers(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).chars().any(|c| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    })
}

#[test]
fn nothing_that_a_command_prints_steers_a_terminal() {
    let hostile = "x\u{1b}]0;owned\u{7}\u{9b}2J\u{202E}\r\u{8}y";
    let (folder, mlruns, _store) = ground();
    let run = mlruns.join(RUN);
    fs::write(mlruns.join("1/meta.yaml"), "experiment_id: \'1\'\nname: \"exp\\e[2J\"\n").unwrap();
    let name = serde_json::to_string(hostile).unwrap();
    fs::write(run.join("meta.yaml"), format!("run_id: a\nstatus: 3\nrun_name: {name}\n")).unwrap();
    fs::write(run.join("metrics/stepless\u{1b}c"), "1 0.5 0\n2 0.6 0\n").unwrap();
    fs::write(run.join("params").join(hostile), hostile).unwrap();
    fs::create_dir(folder.path().join("bad")).unwrap();
    file_store(&folder.path().join("bad"));
    fs::write(folder.path().join("bad/1/meta.yaml"), "experiment_id: '1'\nname: \"\\e[2J\"\n").unwrap();
    fs::write(folder.path().join("bad").join(RUN).join("metrics/\u{1b}[2J"), "\u{1b}[2J").unwrap();
    let experiment = "exp\u{1b}[2J";
    for (arguments, succeeds) in [
        (&["import", "mlflow", "mlruns"][..], true),
        (&["import", "mlflow", "mlruns"], true),
        (&["import", "mlflow", "bad"], false),
        (&["import", "mlflow", "no\u{1b}[2Jne"], false),
        (&["export", experiment, "--to", "csv", "-o", "out\u{1b}[2J"], true),
        (&["export", experiment, "--to", "csv", "-o", "x", "--run", "no\u{1b}[2J"], false),
        (&["export", experiment, "--to", "mlflow", "--uri", "ftp://\u{1b}[2J"], false),
        (
            &[
                "report",
                experiment,
                "-o",
                "r\u{1b}[2J.html",
                "--json",
                "j\u{1b}[2J",
                "--charts",
                "c\u{1b}[2J",
            ],
            true,
        ),
        (&["report", experiment, "--run", "\u{1b}[2J"], false),
        (&["runs"], true),
        (&["runs", experiment, "--csv"], true),
        (&["runs", experiment, "--format", "json"], true),
        (&["runs", experiment, "--all"], true),
        (&["watch", experiment, "--once"], true),
        (&["logs", hostile], true),
        (&["delete", experiment, "--run", hostile, "--yes"], true),
        (&["delete", experiment], false),
    ] {
        let output = glisten()
            .args(arguments)
            .current_dir(folder.path())
            .env("GLISTEN_STORE", "runs.db")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), succeeds, "{arguments:?}: {said}");
        assert!(!steers(&output.stdout), "{arguments:?}: {:?}", String::from_utf8_lossy(&output.stdout));
        assert!(!steers(&output.stderr), "{arguments:?}: {said:?}");
    }
}

#[test]
fn texts_that_a_spreadsheet_runs_are_marked_in_csv_and_raw_only_where_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "@study").unwrap();
    let run = study.start_run("=HYPERLINK(\"http://x.invalid\",\"a\")").unwrap();
    run.log_parameter("+name", "-cmd|' /C calc'!A0").unwrap();
    run.log_parameter("lr", -0.5).unwrap();
    run.log_metric("@SUM(A1)", 0.5, 1).unwrap();
    run.complete().unwrap();
    let write = |raw: bool| {
        let out = folder.path().join(if raw { "raw" } else { "safe" });
        study.export().raw_text(raw).csv(&out).unwrap();
        ["runs.csv", "metrics.csv"].map(|name| fs::read_to_string(out.join(name)).unwrap())
    };
    let begins = |text: &str, c: &str| {
        text.lines().any(|line| line.split(',').any(|cell| cell.trim_start_matches('"').starts_with(c)))
    };
    let (safe, raw) = (write(false), write(true));
    for (safe, raw) in safe.iter().zip(&raw) {
        for formula in ["=HYPERLINK", "@study", "@SUM"] {
            assert_eq!(
                (begins(safe, formula), begins(raw, formula)),
                (false, raw.contains(formula)),
                "{safe}"
            );
        }
    }
    assert!(
        safe[0].contains("'=HYPERLINK") && safe[0].contains("'-cmd") && safe[0].contains("'+name"),
        "{}",
        safe[0]
    );
    assert!(safe[0].contains(",-0.5"), "a number stays one: {}", safe[0]);
    assert!(raw[0].contains("+name") && !raw[0].contains("'+name"), "{}", raw[0]);
    for (flag, marked) in [(None, true), (Some("--raw"), false)] {
        let output = glisten()
            .args(["runs", "@study", "--csv"])
            .args(flag)
            .env("GLISTEN_STORE", store.path())
            .output();
        let said = String::from_utf8(output.unwrap().stdout).unwrap();
        assert_eq!(said.contains("'=HYPERLINK"), marked, "{said}");
    }
}

#[test]
fn passwords_in_addresses_are_neither_shown_nor_taken_over() {
    for uri in
        ["htp://me:s3cret@host", "http://me:s3cret@", "http://me:s3cret@ho st", "me:s3cret@host://x:s3cret@y"]
    {
        let message = MlflowServer::new(uri).unwrap_err().to_string();
        assert!(!message.contains("s3cret") || !uri.contains("://me"), "{message}");
        assert!(!message.contains("x:s3cret"), "{message}");
    }
    // Used, and not said where it fails.
    let proxy = Proxy::start(None, |_, _| Fate::Answer(answer("403 Forbidden", "", "no")));
    let uri = format!("http://me:s3c%72et@{}", proxy.address);
    let folder = tempfile::tempdir().unwrap();
    let study = empty_study(folder.path());
    let server = MlflowServer::new(&uri).unwrap().tries(1, Duration::ZERO);
    let message = study.export().mlflow(&server).unwrap_err().to_string();
    assert!(!message.contains("s3c") && !format!("{server:?}").contains("s3c"), "{message} {server:?}");
    let requests = proxy.requests();
    // `me:s3cret` in base64.
    assert!(requests[0].contains("Basic bWU6czNjcmV0") && !requests[0].contains("s3c"), "{}", requests[0]);

    let (folder, mlruns, store) = ground();
    let run = mlruns.join(RUN);
    for place in ["params/data", "tags/mlflow.source.name", "tags/origin", "tags/mlflow.note.content"] {
        fs::write(run.join(place), "see https://me:s3cret@host/x?token=s3cret, ssh://git@host/y").unwrap();
    }
    let imported = import_mlflow(&store, &mlruns, None).unwrap();
    assert!(imported.notes.join("\n").contains("passwords in the addresses of 4 texts"), "{imported}");
    let kept = kept(&store);
    assert!(!kept.contains("s3cret") && kept.contains("ssh://git@host/y"), "{kept}");
    let csv = folder.path().join("t.csv");
    fs::write(&csv, "TrialComponentName,SourceArn,uri\ntc,http://a:s3cret@b,http://c:s3cret@d\n").unwrap();
    import_sagemaker(&store, &csv, "sm").unwrap();
    let record = &store.run_records(Some("sm")).unwrap()[0];
    assert_eq!(record.parameters["uri"], Parameter::Text("http://[redacted]@d".into()));
    assert_eq!(record.tags["sagemaker.source_arn"], "http://[redacted]@b");
}

fn empty_study(folder: &Path) -> Experiment {
    let store = Store::open(folder.join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "study").unwrap();
    let run = study.start_run("run").unwrap();
    run.log_metric("loss", 0.5, 1).unwrap();
    run.complete().unwrap();
    study
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let n = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {n}\r\n{headers}Connection: close\r\n\r\n{body}")
}

/// A server that answers every request with bytes without end, until nobody reads them.
fn endless(
    head: &'static str,
    piece: &'static str,
) -> (SocketAddr, std::sync::Arc<std::sync::atomic::AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let n_sent = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = n_sent.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let counter = counter.clone();
            std::thread::spawn(move || {
                let mut client: TcpStream = client.unwrap();
                let _ = client.read(&mut [0; 4096]);
                let _ = client.write_all(head.as_bytes());
                let block = piece.repeat((1 << 16) / piece.len());
                while client.write_all(block.as_bytes()).is_ok() {
                    counter.fetch_add(block.len() as u64, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    (address, n_sent)
}

#[test]
fn a_server_that_never_ends_its_answer_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let study = empty_study(folder.path());
    for (head, piece, most) in [
        ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", "{\"a\":[0,0,0,", 48_u64 << 20),
        ("HTTP/1.1 500 Oh\r\n\r\n", "no ", 16 << 20),
        ("HTTP/1.1 404 Oh\r\n\r\n", "no ", 16 << 20),
        ("HTTP/1.1 200 OK\r\n", "X-More: of this\r\n", 16 << 20),
    ] {
        let (address, n_sent) = endless(head, piece);
        let server = MlflowServer::new(&format!("http://{address}")).unwrap().tries(1, Duration::ZERO);
        let started = Instant::now();
        study.export().mlflow(&server).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(100), "{head}");
        // A 404 to the first question is no answer that ends the export: the second one is.
        let n_sent = n_sent.load(std::sync::atomic::Ordering::Relaxed);
        assert!(n_sent < 2 * most, "{head}: {n_sent} bytes");
    }
}

#[test]
fn redirects_are_followed_on_the_same_server_only_and_never_with_a_body() {
    let folder = tempfile::tempdir().unwrap();
    let study = empty_study(folder.path());
    for status in
        ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        for path in ["version", "experiments/get-by-name", "experiments/create", "runs/search", "runs/create"]
        {
            let elsewhere = Proxy::start(None, |_, _| Fate::Answer(answer("200 OK", "", "{}")));
            let to = format!("Location: {}/stolen?token=s3cret\r\n", elsewhere.uri());
            let proxy = Proxy::start(None, move |_, request| {
                let line = request.lines().next().unwrap_or_default();
                Fate::Answer(if line.contains(path) { answer(status, &to, "") } else { made_up(line) })
            });
            let server = MlflowServer::new(&proxy.uri()).unwrap().token("t0ken").tries(2, Duration::ZERO);
            let message = study.export().mlflow(&server).unwrap_err().to_string();
            assert!(message.contains("the server redirects to") && !message.contains("s3cret"), "{message}");
            assert!(elsewhere.requests().is_empty(), "{status} {path}: {:?}", elsewhere.requests());
        }
    }
    // A POST is not sent on on the same server either; a GET is, without a referer, and not for ever.
    for (path, follows) in [("experiments/create", false), ("version", true)] {
        let proxy = Proxy::start(None, move |_, request| {
            let line = request.lines().next().unwrap_or_default();
            let moved = answer("307 Temporary Redirect", "Location: /moved\r\n", "");
            Fate::Answer(if line.contains(path) { moved } else { made_up(line) })
        });
        let server = MlflowServer::new(&proxy.uri()).unwrap().tries(1, Duration::ZERO);
        let _ = study.export().mlflow(&server);
        let moved = proxy.requests().iter().filter(|request| request.contains(" /moved ")).count();
        assert_eq!(moved, usize::from(follows), "{:?}", proxy.requests());
        assert!(!proxy.requests().iter().any(|request| request.to_lowercase().contains("referer")));
    }
    let proxy = Proxy::start(None, |_, _| Fate::Answer(answer("302 Found", "Location: /version\r\n", "")));
    let server = MlflowServer::new(&proxy.uri()).unwrap().tries(1, Duration::ZERO);
    let message = study.export().mlflow(&server).unwrap_err().to_string();
    assert!(message.contains("at most 5 redirects") && proxy.requests().len() == 6, "{message}");
}

/// As a server of MLflow would answer.
fn made_up(line: &str) -> String {
    let body = match line {
        line if line.contains("/version") => "3.1.0",
        line if line.contains("get-by-name") => {
            return answer("404 Not Found", "", "{\"error_code\": \"RESOURCE_DOES_NOT_EXIST\"}");
        }
        line if line.contains("experiments/create") => "{\"experiment_id\": \"1\"}",
        line if line.contains("runs/create") => "{\"run\": {\"info\": {\"run_id\": \"r\"}}}",
        _ => "{}",
    };
    answer("200 OK", "", body)
}

#[test]
fn answers_of_another_shape_and_lists_without_an_end_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let study = empty_study(folder.path());
    let error = |path: &'static str, body: &'static str| {
        let proxy = Proxy::start(None, move |number, request| {
            let line = request.lines().next().unwrap_or_default();
            let body = body.replace("NUMBER", &number.to_string());
            Fate::Answer(if line.contains(path) { answer("200 OK", "", &body) } else { made_up(line) })
        });
        let server = MlflowServer::new(&proxy.uri()).unwrap().tries(1, Duration::ZERO);
        study.export().mlflow(&server).map(|exported| exported.to_string())
    };
    for (path, body, expected) in [
        ("get-by-name", "[]", "expected a JSON object"),
        ("get-by-name", "{\"experiment\": 3}", "without 'experiment_id'"),
        ("experiments/create", "{\"experiment_id\": [1]}", "without 'experiment_id'"),
        ("runs/search", "{\"runs\": 7}", "expected a list as 'runs'"),
        ("runs/search", "{\"runs\": [], \"next_page_token\": 7}", "'next_page_token'"),
        ("runs/search", "{\"runs\": [], \"next_page_token\": \"NUMBER\"}", "expected a list that ends"),
        (
            "runs/search",
            "{\"runs\": [{\"data\": {\"tags\": [{\"key\": \"glisten.run\", \"value\": \"x\"}]}}]}",
            "'run_id'",
        ),
        ("runs/create", "{\"run\": \"r\"}", "without 'run_id'"),
        ("runs/create", "\u{1b}[2J", "expected a JSON object"),
    ] {
        let message = error(path, body).unwrap_err().to_string();
        assert!(message.contains(expected), "{path} {body}: {message}");
    }
}

#[test]
fn a_pdf_is_printed_wherever_the_report_lies_and_a_browser_that_hangs_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let study = empty_study(folder.path());
    let html = folder.path().join("r.html");
    study.report(&html).unwrap();
    let fake = folder.path().join("chromium");
    let script = "#!/bin/sh\nsleep 3600 &\necho $! > \"$PIDS\"\nfor a; do case $a in --user-data-dir=*) echo ${a#*=} >> \"$PIDS\";; esac; done\nwait\n";
    fs::write(&fake, script).unwrap();
    fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let pids = folder.path().join("pids");
    let before = fs::read_dir(folder.path()).unwrap().count();
    let started = Instant::now();
    let output = glisten()
        .args(["report", "study", "-o", "hang.html", "--pdf"])
        .current_dir(folder.path())
        .env("GLISTEN_STORE", "runs.db")
        .env("GLISTEN_CHROMIUM", &fake)
        .env("GLISTEN_CHROMIUM_SECONDS", "1")
        .env("PIDS", &pids)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("within 1 s (as GLISTEN_CHROMIUM_SECONDS says)"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    let noted = fs::read_to_string(&pids).unwrap();
    let (pid, profile) = noted.trim().split_once('\n').unwrap();
    assert!(!Path::new(profile).exists(), "{profile} is left");
    // A killed process that its new parent has not looked at yet is a zombie.
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        before + 2,
        "hang.html and pids, and nothing else"
    );

    let Some(browser) = std::env::var_os("GLISTEN_CHROMIUM") else {
        crate::support::skipped("a_pdf_is_printed", "no Chromium here, and none could be installed");
        return;
    };
    for name in ["50 %25 #1?", "日本 語"] {
        let place = folder.path().join(name);
        fs::create_dir(&place).unwrap();
        let output = glisten()
            .args(["report", "study", "-o"])
            .arg(place.join("r #2%20.html"))
            .arg("--pdf")
            .env("GLISTEN_STORE", folder.path().join("runs.db"))
            .env("GLISTEN_CHROMIUM", &browser)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pdf = fs::read(place.join("r #2%20.pdf")).unwrap();
        // Of an address that is not there Chromium writes none.
        assert!(pdf.starts_with(b"%PDF-") && pdf.len() > 5_000, "{} bytes", pdf.len());
        assert_eq!(fs::read_dir(&place).unwrap().count(), 2);
    }
}
