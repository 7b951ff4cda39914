//! Random damage to what comes from elsewhere: whatever it is, an import or an export ends with a result or an error.
//! `GLISTEN_FUZZ_SECONDS` says for how long each goes on; without it, a few cases, and a minute each with `GLISTEN_TEST_FULL`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use glisten::exchange::{MlflowServer, import_mlflow, import_sagemaker};
use glisten::track::{Experiment, Store};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::import::file_store;
use super::server::{Fate, Proxy};

/// Whether there is time for case `n`.
fn goes_on(n: u64, started: Instant) -> bool {
    let named = std::env::var("GLISTEN_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let full = std::env::var_os("GLISTEN_TEST_FULL").is_some_and(|value| value == "1").then_some(60);
    match named.or(full) {
        Some(secs) => started.elapsed() < Duration::from_secs(secs),
        None => n < 60,
    }
}

const PIECES: [&[u8]; 28] = [
    b"9223372036854775807",
    b"-9223372036854775808",
    b"1e999",
    b"NaN",
    b"-inf",
    b"null",
    b"~",
    b"[",
    b"{",
    b"}",
    b"]",
    b"\"",
    b"'",
    b"\\",
    b"\n",
    b"\r\n",
    b",",
    b": ",
    b"- ",
    b"&a *a",
    b"!!binary ",
    b"\x1b[2J",
    b"\xff\xfe",
    b"\0",
    b"\xe2\x80\xae",
    b"_x2E_",
    b"<<: *x",
    b"://a:b@c",
];

/// `bytes` with some of them changed, taken out, doubled, or something awkward put between.
fn damaged(bytes: &[u8], chance: &mut StdRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..chance.gen_range(1..6) {
        let at = chance.gen_range(0..=bytes.len());
        match chance.gen_range(0..6) {
            0 if at < bytes.len() => bytes[at] = chance.r#gen(),
            1 => bytes.truncate(at),
            2 => {
                let end = chance.gen_range(at..=bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let end = chance.gen_range(at..=bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let n = chance.gen_range(1..2000);
                let piece = PIECES[chance.gen_range(0..PIECES.len())].repeat(n);
                bytes.splice(at..at, piece);
            }
            _ => {
                let piece = PIECES[chance.gen_range(0..PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
    bytes
}

/// Neither does what was imported break what comes after.
fn use_up(store: &Store, folder: &Path) {
    for name in store.experiment_names().unwrap() {
        let study = Experiment::open_in(store, &name).unwrap();
        study.export().csv(folder.join("csv")).unwrap();
        study.export().json_lines(folder.join("jsonl")).unwrap();
        study.export().tensorboard(folder.join("logs")).unwrap();
    }
}

#[test]
fn damaged_file_stores_and_tables_end_in_a_result_or_an_error() {
    let mut chance = StdRng::seed_from_u64(28);
    let started = Instant::now();
    let run = "1/0123456789abcdef0123456789abcdef";
    let places = ["meta.yaml", "metrics/train/loss", "params/lr", "tags/mlflow.note.content", "../meta.yaml"];
    let sagemaker =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exchange/sagemaker.csv")).unwrap();
    let mut n_imported = 0;
    for n in 0.. {
        if !goes_on(n, started) {
            break;
        }
        let folder = tempfile::tempdir().unwrap();
        let mlruns = folder.path().join("mlruns");
        file_store(&mlruns);
        for _ in 0..chance.gen_range(1..3) {
            let path = mlruns.join(run).join(places[chance.gen_range(0..places.len())]);
            let before = fs::read(&path).unwrap_or_default();
            fs::write(&path, damaged(&before, &mut chance)).unwrap();
        }
        let store = Store::open(folder.path().join("runs.db")).unwrap();
        n_imported += usize::from(import_mlflow(&store, &mlruns, None).is_ok());
        let csv = folder.path().join("x.csv");
        fs::write(&csv, damaged(&sagemaker, &mut chance)).unwrap();
        n_imported += usize::from(import_sagemaker(&store, &csv, "sagemaker").is_ok());
        use_up(&store, folder.path());
    }
    assert!(n_imported > 0, "not all of it is damaged beyond reading");
}

#[test]
fn damaged_answers_of_a_server_end_in_a_result_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "study").unwrap();
    let run = study.start_run("run").unwrap();
    run.log_metric("loss", 0.5, 1).unwrap();
    run.complete().unwrap();
    let started = Instant::now();
    for n in 0.. {
        if !goes_on(n, started) {
            break;
        }
        let chance = std::sync::Mutex::new(StdRng::seed_from_u64(n));
        let proxy = Proxy::start(None, move |number, request| {
            let line = request.lines().next().unwrap_or_default();
            let body = if line.contains("get-by-name") {
                "{\"experiment\": {\"experiment_id\": \"1\", \"lifecycle_stage\": \"active\"}}"
            } else if line.contains("runs/search") || line.contains("runs/create") {
                "{\"run\": {\"info\": {\"run_id\": \"r\", \"status\": \"RUNNING\", \"artifact_uri\": \"mlflow-artifacts:/1\"}}, \
                  \"runs\": [{\"info\": {\"run_id\": \"r\"}, \"data\": {\"metrics\": [{\"key\": \"loss\", \"value\": 1}], \
                  \"tags\": [{\"key\": \"glisten.run\", \"value\": \"x\"}]}}], \"next_page_token\": \"\"}"
            } else if line.contains("get-history") {
                "{\"metrics\": [{\"key\": \"loss\", \"value\": 0.5, \"step\": \"1\", \"timestamp\": 2}]}"
            } else {
                "{}"
            };
            let mut chance = chance.lock().unwrap();
            let is_damaged = number < 40 && chance.gen_bool(0.5);
            let body =
                if is_damaged { damaged(body.as_bytes(), &mut chance) } else { body.as_bytes().to_vec() };
            let body = String::from_utf8_lossy(&body).into_owned();
            Fate::Answer(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            ))
        });
        let server = MlflowServer::new(&proxy.uri()).unwrap().tries(2, Duration::ZERO);
        let _ = study.export().mlflow(&server).map(|exported| exported.to_string());
    }
}
