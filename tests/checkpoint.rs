//! Checkpoints: a training that is killed at any moment and goes on ends as if nothing had happened; a checkpoint that
//! cannot be written or used is an error that says so, and the earlier one stays.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use glisten::prelude::*;
use glisten::progress::{Listener, RunProgress, set_listener};
use glisten::track::Status;
use rand::{Rng, SeedableRng};

use super::support::split_bars;

/// Set in a child of these tests: the store it writes to, and what it trains.
const STORE: &str = "GLISTEN_TEST_CHECKPOINT_STORE";
const CASE: &str = "GLISTEN_TEST_CHECKPOINT_CASE";
/// Set in a child that is to run out of room: no file may grow beyond so many bytes once an epoch is done.
const LIMIT: &str = "GLISTEN_TEST_CHECKPOINT_LIMIT";

const EPOCHS: usize = 14;

/// The case in which 40 % of the labels are wrong.
const WRONG_LABELS: &str = "auto with wrong labels";

fn cases() -> [(&'static str, Select); 9] {
    [
        ("full", Select::full()),
        ("fresh-random", Select::fresh_random(0.3)),
        ("fixed-random", Select::fixed_random(0.3)),
        ("glister", Select::glister(0.3).select_every(3).kappa(0.4).pool(2.0)),
        ("auto", Select::auto(0.3).kappa(0.2)),
        (WRONG_LABELS, Select::auto(0.3)),
        ("infobatch", Select::info_batch(0.3)),
        ("grad-match", Select::grad_match(0.3).select_every(4)),
        ("remembered", Select::glister(0.3).select_every(2).remembered(true).validation_samples(60)),
    ]
}

fn trainer(data: &Splits, case: &str) -> Trainer {
    let (_, select) = cases().into_iter().find(|(name, _)| *name == case).unwrap();
    Trainer::new(LeNet::for_data(data))
        .select(select)
        .epochs(EPOCHS)
        .batch_size(40)
        .seed(3)
        .checkpoint_every(3)
}

struct Tell;

impl Listener for Tell {
    fn run(&self, progress: &RunProgress) {
        // A line before the output of the harness ends in one of ours.
        println!("\nepoch {}", progress.epoch);
        let limit = std::env::var(LIMIT).ok().and_then(|limit| limit.parse().ok());
        if let Some(limit) = limit.filter(|_| progress.epoch == 4) {
            limit_file_size(limit);
        }
    }
    fn run_ended(&self, _: &RunProgress, status: &str) {
        println!("\nended {status}");
    }
    fn note(&self, text: &str) {
        println!("\nnote {text}");
    }
}

/// Writing beyond it fails with an error, as on a disk that is full.
fn limit_file_size(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: both calls take plain values and concern this process alone.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
}

/// Not a test of its own: the process that the tests below start and kill.
#[test]
fn a_training_to_be_killed() {
    let (Some(store), Ok(case)) = (std::env::var_os(STORE), std::env::var(CASE)) else { return };
    let mut data = split_bars(700);
    if case == WRONG_LABELS {
        data = data.with_label_noise(LabelNoise { rate: 0.4, ..Default::default() }).unwrap();
    }
    let store = Store::open(PathBuf::from(store)).unwrap();
    let study = Experiment::resume_in(&store, "killed").unwrap();
    set_listener(Some(Arc::new(Tell)));
    match trainer(&data, &case).fit(&data, &study) {
        Ok(_) => println!("\ncomplete"),
        Err(error) => println!("\nerror {error}"),
    }
    std::io::stdout().flush().unwrap();
}

fn start(store: &Path, case: &str, limit: Option<u64>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "checkpoint::a_training_to_be_killed", "--nocapture"])
        .env(STORE, store)
        .env(CASE, case)
        .env("OMP_NUM_THREADS", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(limit) = limit {
        command.env(LIMIT, limit.to_string());
    }
    command.spawn().unwrap()
}

/// Everything but seconds of a run: metric, step, the value's bits; and its selections: epoch, samples, the gains' bits.
type Results = (Vec<(String, i64, u64)>, Vec<(i64, Vec<u32>, Option<Vec<u32>>)>);

/// Those of the one complete run.
fn results(store: &Path) -> Results {
    let store = Store::open(store).unwrap();
    let records = store.run_records(None).unwrap();
    let complete: Vec<_> = records.iter().filter(|record| record.status == Status::Completed).collect();
    let [record] = &complete[..] else { panic!("not one complete run: {records:?}") };
    let points = store.metric_points(None, None).unwrap().into_iter();
    let points = points.filter(|point| point.run == record.name && !point.metric.ends_with(":seconds"));
    let points = points.map(|point| (point.metric, point.step, point.value.to_bits())).collect();
    let run = Experiment::open_in(&store, "killed").unwrap().find_run(&record.name).unwrap();
    let bits = |values: Option<Vec<f32>>| values.map(|values| values.into_iter().map(f32::to_bits).collect());
    let selections = run.selection_records().unwrap().into_iter();
    (points, selections.map(|one| (one.epoch, one.indices, bits(one.gains))).collect())
}

/// Statistics as they were kept while metrics came and went, against those of the series.
fn statistics_fit(store: &Path) {
    let store = Store::open(store).unwrap();
    for record in store.run_records(None).unwrap() {
        for (name, stats) in &record.metrics {
            let mut expected = glisten::track::MetricStats::default();
            let points = store.metric_points(None, Some(name)).unwrap();
            points
                .iter()
                .filter(|point| point.run == record.name)
                .for_each(|point| expected.push(point.value));
            assert_eq!(*stats, expected, "{name}");
        }
    }
}

#[test]
fn a_training_killed_at_random_moments_and_resumed_has_the_same_metrics_to_the_bit() {
    let kills = if std::env::var_os("GLISTEN_TEST_FULL").is_some() { 40 } else { 3 };
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(11);
    for (case, select) in cases() {
        let folder = tempfile::tempdir().unwrap();
        let through = folder.path().join("through.db");
        let mut process = start(&through, case, None);
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let lives: Vec<(String, Instant)> = lines.map(|line| (line, Instant::now())).collect();
        assert!(process.wait().unwrap().success(), "{case}");
        let at = |line: &str| lives.iter().find(|(known, _)| known == line).unwrap().1;
        let n_epochs = lives.iter().filter(|(line, _)| line.starts_with("epoch ")).count() - 1;
        let an_epoch = (at("complete") - at("epoch 0")) / n_epochs as u32;

        let killed = folder.path().join("killed.db");
        let (mut n_killed, mut n_resumed, mut n_lives) = (0, 0, 0);
        loop {
            n_lives += 1;
            assert!(n_lives < 20 * kills, "{case} gets nowhere");
            let mut process = start(&killed, case, None);
            let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
            // The first kill leaves a checkpoint; the others come before, between, behind and while one is written.
            let target = if n_killed == 0 { 4 } else { random.gen_range(0..n_epochs) };
            for line in lines.by_ref() {
                n_resumed += usize::from(line.contains("going on behind epoch"));
                let epoch = line.strip_prefix("epoch ").and_then(|epoch| epoch.parse::<usize>().ok());
                if epoch.is_some_and(|epoch| epoch >= target) && n_killed < kills {
                    std::thread::sleep(an_epoch.mul_f64(random.gen_range(0.0..1.5)));
                    process.kill().unwrap();
                    break;
                }
            }
            let last = lines.last();
            if process.wait().unwrap().success() {
                break;
            }
            n_killed += 1;
            assert!(n_killed <= kills, "{case}: {last:?}");
        }
        assert!(n_killed > 0 && n_resumed > 0, "{case}: killed {n_killed} times, went on {n_resumed} times");
        let ((metrics, selections), (expected_metrics, expected_selections)) =
            (results(&killed), results(&through));
        assert_eq!(metrics, expected_metrics, "{case}, killed {n_killed} times");
        assert_eq!(selections, expected_selections, "{case}");
        assert_eq!(selections.is_empty(), !select.chooses(), "{case}");
        statistics_fit(&killed);
        let folder = Store::open(&killed).unwrap().folder().to_path_buf();
        let left = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let checkpoints: Vec<_> =
            left.filter(|name| name.to_string_lossy().contains(".safetensors")).collect();
        assert!(checkpoints.is_empty(), "{case}: {checkpoints:?} is left behind");
        println!("{case}: killed {n_killed} times, went on {n_resumed} times, {} metrics", metrics.len());
    }
}

/// Lets a training come to its second checkpoint, which cannot be written, and go on, and kills it an epoch later; returns the
/// store and what was said.
fn out_of_room(folder: &Path, case: &str) -> (PathBuf, Vec<String>) {
    let path = folder.join("full.db");
    // A LeNet's checkpoint has 500 kB, the store's journal less.
    let mut process = start(&path, case, Some(400_000));
    let mut said = Vec::new();
    for line in BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap) {
        if let Some(text) = line.strip_prefix("note ") {
            said.push(text.to_owned());
        }
        assert!(!line.starts_with("error "), "{line}");
        if line == "epoch 7" {
            process.kill().unwrap();
            break;
        }
    }
    process.wait().unwrap();
    (path, said)
}

#[test]
fn a_full_disk_is_said_the_earlier_checkpoint_stays_and_training_goes_on_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, said) = out_of_room(folder.path(), "full");
    let [said] = &said[..] else { panic!("not said once: {said:?}") };
    assert!(
        said.contains("no checkpoint behind epoch 6: ") && said.contains("the training goes on"),
        "{said}"
    );
    assert!(said.contains("run-1.safetensors: writing") && said.contains("large"), "{said}");
    let store = Store::open(&path).unwrap();
    let record = store.run_records(None).unwrap().remove(0);
    assert!(record.metrics["train:loss"].count >= 7, "what was logged is kept: {record:?}");
    let left: Vec<_> =
        std::fs::read_dir(store.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["run-1.safetensors"], "the earlier checkpoint, and no part of the new one");

    let mut process = start(&path, "full", None);
    let lines: Vec<String> =
        BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    process.wait().unwrap();
    assert!(lines.iter().any(|line| line.contains("going on behind epoch 3 of 14")), "{lines:?}");
    let through = folder.path().join("through.db");
    let mut process = start(&through, "full", None);
    assert!(BufReader::new(process.stdout.take().unwrap()).lines().any(|line| line.unwrap() == "complete"));
    process.wait().unwrap();
    assert_eq!(results(&path), results(&through));
}

/// Four checkpoints, of which none can be written: said once, and all else is as it would have been.
#[test]
fn a_training_is_completed_though_no_checkpoint_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let (path, through) = (folder.path().join("without.db"), folder.path().join("through.db"));
    // Where the file would be, there is a folder with something in it.
    let place = Store::open(&path).unwrap().folder().join("run-1.safetensors");
    std::fs::create_dir_all(place.join("something")).unwrap();
    let lines = |store: &Path| -> Vec<String> {
        let mut process = start(store, "full", None);
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
        process.wait().unwrap();
        lines
    };
    let said = lines(&path);
    let warnings = said.iter().filter(|line| line.starts_with("note ")).collect::<Vec<_>>();
    assert!(warnings.len() == 1 && warnings[0].contains("no checkpoint behind epoch 3: "), "{said:?}");
    assert!(said.iter().any(|line| line == "complete"), "{said:?}");
    assert!(lines(&through).iter().any(|line| line == "complete"));
    assert_eq!(results(&path), results(&through));
}

#[test]
fn a_checkpoint_that_cannot_be_used_is_said_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = out_of_room(folder.path(), "remembered");
    let store = Store::open(&path).unwrap();
    let checkpoint = store.folder().join("run-1.safetensors");
    let whole = std::fs::read(&checkpoint).unwrap();
    let data = split_bars(700);
    let fit = || {
        let study = Experiment::resume_in(&store, "killed").unwrap();
        trainer(&data, "remembered").fit(&data, &study).map(|fitted| fitted.run)
    };
    let record = || store.run_records(None).unwrap();
    // Whoever looks for a run like it finds that its process is dead.
    drop(Experiment::open_in(&store, "killed").unwrap());
    let (before, n_before) = (record()[0].metrics["train:loss"], record().len());
    let half = whole[..whole.len() / 2].to_vec();
    for (bytes, expected) in [
        (half, "no whole safetensors file"),
        (Vec::new(), "no whole safetensors file"),
        (b"not a checkpoint at all".to_vec(), "no whole safetensors file"),
        (safetensors_of(&[]), "Glisten did not write"),
    ] {
        std::fs::write(&checkpoint, &bytes).unwrap();
        let message = fit().unwrap_err().to_string();
        assert!(message.contains("run-1.safetensors") && message.contains(expected), "{message}");
        assert!(message.contains("without this file the training starts from its beginning"), "{message}");
        assert_eq!(std::fs::read(&checkpoint).unwrap(), bytes, "nobody touches it");
        assert_eq!((record()[0].metrics["train:loss"], record().len()), (before, n_before));
    }

    // Tensors of other shapes under a manifest that fits.
    let header = String::from_utf8(whole[8..8 + header_len(&whole)].to_vec()).unwrap();
    let reshaped = header.replace("\"shape\":[84,120]", "\"shape\":[120,84]");
    assert_ne!(header, reshaped);
    let mut bytes = whole.clone();
    bytes[8..8 + header_len(&whole)].copy_from_slice(reshaped.as_bytes());
    std::fs::write(&checkpoint, &bytes).unwrap();
    let message = fit().unwrap_err().to_string();
    assert!(
        message.contains("'fc2.weight' of shape [84, 120]") && message.contains("[120, 84]"),
        "{message}"
    );
    assert_eq!(record()[0].status, Status::Failed);

    std::fs::write(&checkpoint, &whole).unwrap();
    assert_eq!(fit().unwrap(), record()[0].name, "the whole one is taken, into the same run");
    assert_eq!(record().len(), 1);
}

fn header_len(bytes: &[u8]) -> usize {
    u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize
}

/// A safetensors file from elsewhere.
fn safetensors_of(tensors: &[(&str, tch::Tensor)]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    tch::Tensor::write_safetensors(tensors, file.path()).unwrap();
    std::fs::read(file.path()).unwrap()
}

#[test]
fn checkpoints_can_be_kept_or_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "kept").unwrap();
    let data = split_bars(600);
    let trainer = || Trainer::new(LeNet::for_data(&data)).epochs(3).batch_size(64);
    trainer().checkpoint_every(0).fit(&data, &study).unwrap();
    assert!(!store.folder().exists());
    let fitted = trainer().checkpoint_every(1).keep_checkpoint(true).fit(&data, &study).unwrap();
    assert!(study.find_run(&fitted.run).unwrap().checkpoint_path().is_file());
}
