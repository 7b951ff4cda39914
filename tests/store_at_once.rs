//! A store that is not there yet, opened by many processes at once; a store on a disk that is full; and what runs record of their
//! surroundings, in folders and with commands that somebody else chose.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use glisten::prelude::*;

use super::hostile_store::small_store;
use super::support::skipped;

/// Set in a child of these tests: the store it opens.
const STORE: &str = "GLISTEN_TEST_AT_ONCE_STORE";

/// This very test binary as another process that runs `name` only.
fn child(name: &str, store: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", &format!("store_at_once::{name}"), "--nocapture"])
        .env(STORE, store)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn store_of_child() -> Option<PathBuf> {
    std::env::var_os(STORE).map(PathBuf::from)
}

/// Not a test of its own: opens stores 0, 1, 2, … in a folder, each as soon as it is told to.
#[test]
fn one_that_opens() {
    let Some(folder) = store_of_child() else { return };
    for round in 0.. {
        let signal = folder.join(format!("go-{round}"));
        while !signal.exists() {
            if folder.join("end").exists() {
                return;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        let store = Store::open(folder.join(format!("{round}.db"))).unwrap();
        let study = Experiment::resume_in(&store, "study").unwrap();
        let run = study.start_run("run").unwrap();
        run.log_metric("loss", 0.5, 1).unwrap();
        run.complete().unwrap();
        drop((run, study, store));
        std::fs::write(folder.join(format!("done-{round}-{}", std::process::id())), "").unwrap();
    }
}

#[test]
fn a_new_store_that_many_processes_open_at_once_is_opened_by_each() {
    const PROCESSES: usize = 12;
    let rounds = if std::env::var_os("GLISTEN_TEST_FULL").is_some() { 1_000 } else { 100 };
    let folder = tempfile::tempdir().unwrap();
    let mut processes: Vec<Child> =
        (0..PROCESSES).map(|_| child("one_that_opens", folder.path()).spawn().unwrap()).collect();
    let names = || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    'rounds: for round in 0..rounds {
        std::fs::write(folder.path().join(format!("go-{round}")), "").unwrap();
        let done = format!("done-{round}-");
        while names().filter(|name| name.to_string_lossy().starts_with(&done)).count() < PROCESSES {
            if processes.iter_mut().any(|process| process.try_wait().unwrap().is_some()) {
                break 'rounds;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        for name in names().filter(|name| name.to_string_lossy().starts_with(&done)) {
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
    }
    std::fs::write(folder.path().join("end"), "").unwrap();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    for round in 0..rounds {
        let store = Store::open(folder.path().join(format!("{round}.db"))).unwrap();
        assert!(!store.is_read_only());
        assert_eq!(store.run_records(None).unwrap().len(), PROCESSES, "round {round}");
        assert_eq!(store.experiments().unwrap().len(), 1);
    }
}

/// Not a test of its own: reads a store, as `glisten runs` does, and says what it found.
#[test]
fn one_that_reads() {
    let Some(path) = store_of_child() else { return };
    let store = Store::open(&path).unwrap();
    let study = Experiment::open_in(&store, "study").unwrap();
    let n_values = store.metric_points(None, None).unwrap().len();
    println!("\nfound {} {n_values}", study.runs().unwrap().height());
    let message = study.start_run("more").unwrap_err().to_string();
    println!("\nrefused {message}");
}

/// A store as a writer that was killed leaves it: with a journal, with or without its index, and a run that seems to be at work.
fn store_with_a_journal(folder: &Path, with_index: bool) -> PathBuf {
    let (path, copy) = (folder.join("written.db"), folder.join("runs.db"));
    let store = Store::open(&path).unwrap();
    let run = Experiment::create_in(&store, "study").unwrap().start_run("run").unwrap();
    for step in 1..=50 {
        run.log_metric("loss", 1.0, step).unwrap();
    }
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute("UPDATE runs SET pid = 1, process_start = 1", [])
        .unwrap();
    for end in ["", "-wal", "-shm"].iter().take(if with_index { 3 } else { 2 }) {
        std::fs::copy(format!("{}{end}", path.display()), format!("{}{end}", copy.display())).unwrap();
    }
    assert!(folder.join("runs.db-wal").metadata().unwrap().len() > 10_000);
    copy
}

#[test]
fn a_store_on_a_full_disk_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, from) = (folder.path().join("disk"), folder.path().join("from"));
    std::fs::create_dir_all(&disk).unwrap();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]).args([&disk, &from]);
        command
    };
    let mount = "mount -t tmpfs -o size=2m none \"$1\"";
    if !unshare(mount).output().is_ok_and(|output| output.status.success()) {
        skipped(
            "a_store_on_a_full_disk_is_read",
            "this machine lets no one mount a file system of their own",
        );
        return;
    }
    for (case, n_values) in
        [("at rest", 60), ("with a journal", 50), ("with all that a killed writer leaves", 50)]
    {
        let _ = std::fs::remove_dir_all(&from);
        std::fs::create_dir_all(&from).unwrap();
        if case == "at rest" {
            small_store(&from.join("runs.db"));
        } else {
            store_with_a_journal(&from, case != "with a journal");
        }
        let fill = "cp -r \"$2\"/runs.db* \"$1\" && dd if=/dev/zero of=\"$1\"/rest bs=4k 2>/dev/null; test ! -e \"$1\"/new";
        let script = format!(
            "{mount} && {{ {fill}; }} && \"$3\" --exact store_at_once::one_that_reads --nocapture; \"$4\" runs study --store \"$1\"/runs.db"
        );
        let output = unshare(&script)
            .arg(std::env::current_exe().unwrap())
            .arg(env!("CARGO_BIN_EXE_glisten"))
            .env(STORE, disk.join("runs.db"))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(&format!("found 1 {n_values}")), "{case}: {text}");
        assert!(text.contains("refused "), "{case}: {text}");
        assert!(output.status.success() && text.contains("0.5") || n_values == 50, "{case}: {text}");
        assert!(output.status.success(), "{case}: {text}");
    }
}

/// As somebody who may read a folder and write nothing, also where another process has left a journal.
#[test]
fn a_store_with_a_journal_in_a_folder_that_can_only_be_read_is_read() {
    for with_index in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = store_with_a_journal(folder.path(), with_index);
        super::store_versions::as_a_reader(folder.path(), || {
            let store = Store::open(&path).unwrap();
            assert!(store.is_read_only());
            assert_eq!(store.metric_points(None, None).unwrap().len(), 50);
        });
    }
}

/// Not a test of its own: starts a run where it is.
#[test]
fn one_that_starts_a_run() {
    let Some(path) = store_of_child() else { return };
    let run = Experiment::resume_in(&Store::open(path).unwrap(), "study").unwrap().start_run("run").unwrap();
    run.complete().unwrap();
}

#[test]
fn a_run_in_somebody_elses_folder_runs_nothing_of_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("unpacked");
    std::fs::create_dir(&place).unwrap();
    let mark = folder.path().join("it-was-run");
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=A", "-c", "user.email=a@example.org"])
            .args(arguments)
            .current_dir(&place);
        command.output().is_ok_and(|output| output.status.success())
    };
    if !git(&["init", "-q"]) {
        skipped("a_run_in_somebody_elses_folder_runs_nothing_of_it", "no git to make a repository with");
        return;
    }
    std::fs::write(place.join("data.csv"), "1,2\n").unwrap();
    assert!(git(&["add", "."]) && git(&["commit", "-q", "-m", "first"]));
    let script = format!("touch '{}'", mark.display());
    assert!(git(&["config", "core.fsmonitor", &script]));
    // And a program of git's name, where the search path leads to the current folder.
    for name in ["git", "rustc", "nvidia-smi", "sh", "uname", "hostname"] {
        std::fs::write(place.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(place.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = folder.path().join("runs.db");
    let output = child("one_that_starts_a_run", &path)
        .current_dir(&place)
        .env("PATH", format!(".:{}", std::env::var("PATH").unwrap()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!mark.exists(), "something of the folder was run");
    let record = &Store::open(&path).unwrap().run_records(None).unwrap()[0];
    assert_eq!(record.environment["git_commit"].to_string().len(), 40);
    assert_eq!(record.environment["git_dirty"], Parameter::Boolean(false));
}

#[test]
fn secrets_are_not_kept_and_context_only_where_it_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let start = |context: &str| {
        let output = child("one_that_starts_a_run", &path)
            // The harness takes any filter: as arguments of a program that has such options.
            .args([
                "--skip",
                "--token=s3cret-1",
                "--skip",
                "https://me:s3cret-2@host/x?token=s3cret-3",
                "--skip",
                "s3cret-value",
            ])
            .env("SOME_SERVICE_PASSWORD", "s3cret-value")
            .env("GLISTEN_CONTEXT", context)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    start("");
    start("off");
    let bytes: Vec<u8> = ["", "-wal"]
        .iter()
        .filter_map(|end| std::fs::read(folder.path().join(format!("runs.db{end}"))).ok())
        .flatten()
        .collect();
    assert!(!String::from_utf8_lossy(&bytes).contains("s3cret"), "a secret is in the file");
    let records = Store::open(&path).unwrap().run_records(None).unwrap();
    let [with, without] = &records[..] else { panic!("{records:?}") };
    let command = with.environment["command"].to_string();
    assert!(command.contains("--token=[redacted]") && command.contains("[redacted]@host"), "{command}");
    for name in ["command", "folder", "hostname"] {
        assert!(with.environment.contains_key(name) && !without.environment.contains_key(name), "{name}");
    }
    assert!(without.environment.contains_key("glisten_version"));
    // Exports leave out what was recorded before, where they are told to.
    let export = |arguments: &[&str]| {
        let out = folder.path().join("out");
        let mut command = super::support::glisten();
        command.args(["export", "study", "--to", "jsonl", "--store"]).arg(&path).arg("-o").arg(&out);
        assert!(command.args(arguments).output().unwrap().status.success());
        std::fs::read_to_string(out.join("runs.jsonl")).unwrap()
    };
    assert!(export(&[]).contains("\"hostname\""));
    let text = export(&["--without-context"]);
    assert!(
        !text.contains("\"hostname\"") && !text.contains("\"command\"") && text.contains("glisten_version"),
        "{text}"
    );
}
