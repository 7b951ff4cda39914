//! The store while its writers are killed, its disk is full and many write at once.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use glisten::prelude::*;
use glisten::track::{MetricStats, Status};
use rand::{Rng, SeedableRng};

/// Set in a child of these tests: the store it writes to.
const STORE: &str = "GLISTEN_TEST_STRESS_STORE";
/// And, where it is to find the disk full: the most bytes of a file.
const LIMIT: &str = "GLISTEN_TEST_STRESS_LIMIT";

/// Whether the long proofs are asked for.
fn full() -> bool {
    std::env::var_os("GLISTEN_TEST_FULL").is_some()
}

/// This very test binary as another process that runs `name` only.
fn child(name: &str, store: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", &format!("store_under_stress::{name}"), "--nocapture"])
        .env(STORE, store)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn store_of_child() -> Option<PathBuf> {
    std::env::var_os(STORE).map(PathBuf::from)
}

/// Values whose sums of squares are exact in integers: multiples of 2⁻²⁰ around a number of seconds since 1970, of which a
/// metric of that kind has, and an accuracy; now and then one that is not finite.
fn values_of(step: i64) -> [(&'static str, f64); 2] {
    let scrambled = (step as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44;
    let small = scrambled as f64 / f64::from(1 << 20);
    let accuracy = if step % 97 == 0 { f64::NAN } else { small };
    [("seconds", 1_763_000_000.0 + small), ("accuracy", accuracy)]
}

/// Mean and deviation of multiples of 2⁻²⁰, from sums that are exact.
fn exactly(values: &[f64]) -> (f64, f64) {
    let units: Vec<i128> = values.iter().map(|value| (value * f64::from(1 << 20)) as i128).collect();
    let n = units.len() as i128;
    let (sum, squares) = (units.iter().sum::<i128>(), units.iter().map(|unit| unit * unit).sum::<i128>());
    let unit = f64::from(1 << 20).recip();
    let mean = (sum / n) as f64 * unit + (sum % n) as f64 / n as f64 * unit;
    let variance = (n * squares - sum * sum) as f64 / (n * (n - 1)) as f64;
    (mean, variance.sqrt() * unit)
}

fn assert_statistics(stats: &MetricStats, values: &[f64], what: &str) {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    assert_eq!((stats.count as usize, stats.nonfinite as usize), (finite.len(), values.len() - finite.len()));
    if finite.len() < 2 {
        return;
    }
    let (mean, deviation) = exactly(&finite);
    let close = |a: f64, b: f64| (a / b - 1.0).abs() < 4.0 * f64::EPSILON;
    assert!(close(stats.mean, mean), "{what}: mean {} beside {mean}", stats.mean);
    assert!(close(stats.stddev().unwrap(), deviation), "{what}: {:?} beside {deviation}", stats.stddev());
    let extreme = |pick: fn(f64, f64) -> f64| finite.iter().copied().reduce(pick).unwrap();
    assert_eq!((stats.min, stats.max), (extreme(f64::min), extreme(f64::max)), "{what}");
    assert_eq!(stats.last, *finite.last().unwrap(), "{what}");
}

/// Every run's series: steps without a gap, the values that were logged, statistics that fit them. The number of points.
fn assert_whole(path: &Path) -> BTreeMap<String, usize> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let store = Store::open(path).unwrap();
    let mut n_points = BTreeMap::new();
    for record in store.run_records(None).unwrap() {
        for (metric, stats) in &record.metrics {
            let points = store.series(record.id, metric).unwrap();
            for (at, point) in points.iter().enumerate() {
                assert_eq!(point.step, at as i64 + 1, "no step is missing");
                let (_, value) = values_of(point.step).into_iter().find(|(name, _)| name == metric).unwrap();
                assert_eq!(point.value.to_bits(), value.to_bits());
            }
            let values: Vec<f64> = points.iter().map(|point| point.value).collect();
            assert_statistics(stats, &values, metric);
            *n_points.entry(record.name.clone()).or_default() += points.len();
        }
    }
    n_points
}

/// Not a test of its own: the process that is killed, or finds the disk full.
#[test]
fn a_writer() {
    let Some(path) = store_of_child() else { return };
    let store = Store::open(&path).unwrap();
    let run = Experiment::resume_in(&store, "stress").unwrap().start_run("run").unwrap();
    println!("\nrun {}", run.name());
    if let Some(limit) = std::env::var(LIMIT).ok().and_then(|limit| limit.parse().ok()) {
        limit_file_size(limit);
    }
    for step in 1.. {
        // One by one, together, and many steps at once.
        let logged = if step % 3 == 0 {
            run.log_metrics(step, &values_of(step))
        } else {
            values_of(step).into_iter().try_for_each(|(name, value)| run.log_metric(name, value, step))
        };
        match logged {
            Ok(()) => println!("\nlogged {step}"),
            Err(error) => {
                println!("\nerror {error}");
                break;
            }
        }
    }
    std::io::stdout().flush().unwrap();
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

/// What a writer said: its run, the last step for which a call returned, and its error.
#[derive(Default, Debug)]
struct Said {
    run: String,
    logged: i64,
    error: String,
}

fn listen(process: &mut Child, mut stop: impl FnMut(&Said) -> bool) -> Said {
    let mut said = Said::default();
    let mut killed = false;
    for line in BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some(run) = line.strip_prefix("run ") {
            said.run = run.to_owned();
        } else if let Some(step) = line.strip_prefix("logged ") {
            said.logged = step.parse().unwrap();
        } else if let Some(error) = line.strip_prefix("error ") {
            said.error = error.to_owned();
        }
        // What stands in the pipe when it is killed was said, too: the loop goes on to its end.
        if !killed && stop(&said) {
            process.kill().unwrap();
            killed = true;
        }
    }
    process.wait().unwrap();
    said
}

#[test]
fn writers_killed_at_random_moments_lose_nothing_that_was_logged() {
    let kills = if full() { 200 } else { 10 };
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let mut logged = BTreeMap::new();
    for _ in 0..kills {
        let mut process = child("a_writer", &path).spawn().unwrap();
        let (target, moment) = (random.gen_range(1..400), Duration::from_micros(random.gen_range(0..2_000)));
        let said = listen(&mut process, |said| {
            let now = said.logged >= target;
            if now {
                std::thread::sleep(moment);
            }
            now
        });
        assert!(said.error.is_empty() && said.logged >= target, "{said:?}");
        logged.insert(said.run, said.logged);
    }
    let n_points = assert_whole(&path);
    assert_eq!(n_points.len(), kills);
    for (run, steps) in &logged {
        assert!(n_points[run] as i64 >= 2 * steps, "{run}: {} points of {steps} steps", n_points[run]);
    }
    let store = Store::open(&path).unwrap();
    assert!(store.run_records(None).unwrap().iter().all(|record| record.status == Status::Failed));
    println!("{kills} kills, {} points", n_points.values().sum::<usize>());
}

/// Whatever is full, and wherever: nothing that was logged is lost, the error says what to do, and with room it goes on.
fn assert_survived(path: &Path, said: &Said) {
    assert!(said.logged > 10, "{said:?}");
    assert!(said.error.contains(&path.display().to_string()) && said.error.contains("kept"), "{said:?}");
    let n_points = assert_whole(path);
    assert!(n_points[&said.run] as i64 >= 2 * said.logged, "{n_points:?} {said:?}");
    let store = Store::open(path).unwrap();
    let run = Experiment::open_in(&store, "stress").unwrap().start_run("run").unwrap();
    run.log_metrics(1, &values_of(1)).unwrap();
    run.complete().unwrap();
    assert_whole(path);
}

#[test]
fn a_file_that_may_not_grow_costs_nothing_that_was_logged() {
    for limit in [250_000, 400_000, 1_200_000] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        drop(Store::open(&path).unwrap());
        let mut process = child("a_writer", &path).env(LIMIT, limit.to_string()).spawn().unwrap();
        let said = listen(&mut process, |_| false);
        assert_survived(&path, &said);
    }
}

/// A disk of a megabyte, full: a file system in memory of that size, in a name space of its own, where the machine lets one
/// make it.
#[test]
fn a_full_disk_costs_nothing_that_was_logged() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, copy) = (folder.path().join("disk"), folder.path().join("copy"));
    std::fs::create_dir_all(&disk).unwrap();
    std::fs::create_dir_all(&copy).unwrap();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]).args([&disk, &copy]);
        command
    };
    let mount = "mount -t tmpfs -o size=1m none \"$1\"";
    if !unshare(mount).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: this machine lets no one mount a file system of their own");
        return;
    }
    // The disk goes away with its name space, so the store is copied off it, as a user would who makes room.
    let script =
        format!("{mount} && \"$3\" --exact store_under_stress::a_writer --nocapture; cp -r \"$1\"/. \"$2\"");
    let path = disk.join("runs.db");
    let mut process = unshare(&script)
        .arg(std::env::current_exe().unwrap())
        .env(STORE, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = listen(&mut process, |_| false);
    assert!(said.error.contains("full") && said.error.contains("make room"), "{said:?}");
    said.error = said.error.replace(&path.display().to_string(), &copy.join("runs.db").display().to_string());
    assert_survived(&copy.join("runs.db"), &said);
}

const WRITERS: usize = 16;

/// Not a test of its own: one of many writers. It waits until all are there.
#[test]
fn one_of_many_writers() {
    let Some(path) = store_of_child() else { return };
    let steps: i64 = std::env::var("GLISTEN_TEST_STEPS").unwrap().parse().unwrap();
    let store = Store::open(&path).unwrap();
    let run = Experiment::resume_in(&store, "stress").unwrap().start_run("run").unwrap();
    while store.run_records(None).unwrap().len() < WRITERS {
        std::thread::sleep(Duration::from_millis(5));
    }
    for step in 1..=steps {
        let [_, (name, value)] = values_of(step);
        run.log_metric(name, value, step).unwrap();
    }
    run.complete().unwrap();
}

#[test]
fn sixteen_processes_write_while_another_reads() {
    let steps: usize = if full() { 10_000 } else { 1_000 };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let writer = || child("one_of_many_writers", &path).env("GLISTEN_TEST_STEPS", steps.to_string()).spawn();
    let mut processes: Vec<Child> = (0..WRITERS).map(|_| writer().unwrap()).collect();
    let mut n_reads = 0;
    while processes.iter_mut().any(|process| process.try_wait().unwrap().is_none()) {
        if let Ok(store) = Store::open(&path) {
            let runs = glisten::analytics::runs(&store, None).unwrap();
            if runs.column_named("accuracy.max").is_ok() {
                assert!(runs.sort_by("accuracy.max").unwrap().height() <= WRITERS);
                n_reads += 1;
            }
        }
    }
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let n_points = assert_whole(&path);
    assert_eq!(n_points.len(), WRITERS);
    assert!(n_points.values().all(|&n| n == steps), "{n_points:?}");
    assert!(n_reads > 0);
    let store = Store::open(&path).unwrap();
    assert!(store.run_records(None).unwrap().iter().all(|record| record.status == Status::Completed));
}
