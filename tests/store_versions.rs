//! Stores of other versions, and files and folders that can only be read.

use std::path::Path;

use glisten::prelude::*;
use glisten::track::Status;

/// The tables of version 2, as that version made them; version 1 had no table of selections.
const VERSION_2: &str = "
CREATE TABLE experiments (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL);
CREATE TABLE runs (
    id            INTEGER PRIMARY KEY,
    experiment    INTEGER NOT NULL REFERENCES experiments(id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('running', 'completed', 'failed', 'stopped')),
    error         TEXT,
    created       INTEGER NOT NULL,
    ended         INTEGER,
    config        TEXT,
    pid           INTEGER,
    process_start INTEGER,
    UNIQUE (experiment, name)
);
CREATE INDEX runs_by_config ON runs (experiment, config);
CREATE TABLE parameters (
    run   INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
CREATE TABLE metrics (
    run   INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    step  INTEGER NOT NULL,
    value REAL,
    PRIMARY KEY (run, name, step)
) WITHOUT ROWID;
CREATE TABLE metric_stats (
    run       INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name      TEXT NOT NULL,
    count     INTEGER NOT NULL,
    min       REAL,
    max       REAL,
    mean      REAL,
    m2        REAL,
    last      REAL,
    last_step INTEGER NOT NULL,
    nonfinite INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
CREATE TABLE selections (
    run     INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    epoch   INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    samples BLOB NOT NULL,
    gains   BLOB,
    weights BLOB,
    PRIMARY KEY (run, epoch)
);
INSERT INTO experiments VALUES (1, 'old', 1700000000000);
INSERT INTO runs VALUES (3, 1, 'one', 'completed', NULL, 1700000000001, 1700000000009, 'config', 1, 1);
INSERT INTO runs VALUES (4, 1, 'two', 'failed', 'no room', 1700000000002, NULL, NULL, NULL, NULL);
INSERT INTO parameters VALUES (3, 'fraction', '0.3');
INSERT INTO metrics VALUES (3, 'loss', 1, 0.5), (3, 'loss', 2, NULL), (3, 'loss', 3, 0.25), (3, 'accuracy', 3, 1e999);
INSERT INTO metric_stats VALUES (3, 'loss', 2, 0.25, 0.5, 0.375, 0.03125, 0.25, 3, 1);
INSERT INTO metric_stats VALUES (3, 'accuracy', 0, NULL, NULL, 0.0, 0.0, NULL, 3, 1);
PRAGMA application_id = 0x474C534E;
PRAGMA user_version = 2;
";

pub(crate) fn old_store(path: &Path, version: i64) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(VERSION_2).unwrap();
    if version == 1 {
        connection.execute_batch("DROP TABLE selections; PRAGMA user_version = 1;").unwrap();
    }
    connection
}

#[test]
fn a_store_of_an_older_version_is_opened_with_all_that_is_in_it() {
    for version in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.db");
        drop(old_store(&path, version));
        let store = Store::open(&path).unwrap();
        let records = store.run_records(None).unwrap();
        let [one, two] = &records[..] else { panic!("{records:?}") };
        assert_eq!((one.id, one.name.as_str(), one.status), (3, "one", Status::Completed));
        assert_eq!((one.created_ms, one.ended_ms), (1_700_000_000_001, Some(1_700_000_000_009)));
        assert_eq!((two.status, two.error.as_deref()), (Status::Failed, Some("no room")));
        assert_eq!(one.parameters["fraction"], Parameter::Number(0.3));
        let loss = one.metrics["loss"];
        assert_eq!((loss.count, loss.nonfinite, loss.min, loss.max, loss.last), (2, 1, 0.25, 0.5, 0.25));
        assert_eq!((loss.mean, loss.m2), (0.375, 0.03125));
        assert_eq!((one.metrics["accuracy"].count, one.metrics["accuracy"].nonfinite), (0, 1));
        let points = store.metric_points(Some("old"), None).unwrap();
        assert_eq!(points.len(), 4);
        assert!(points[0].value.is_infinite() && points[2].value.is_nan());
        // And it goes on: logging, selections, deleting with all that belongs to a run.
        let study = Experiment::open_in(&store, "old").unwrap();
        let run = study.start_run("three").unwrap();
        assert!(run.id() > 4);
        run.log_metric("loss", 0.125, 1).unwrap();
        assert_eq!(study.find_run("one").unwrap().selections().unwrap().height(), 0);
        run.log_selection(
            1,
            &glisten::select::Selection {
                indices: tch::Tensor::from_slice(&[3_i64, 1]),
                gains: Some(tch::Tensor::from_slice(&[0.5_f32, 0.25])),
                weights: None,
            },
        )
        .unwrap();
        assert_eq!(run.selection_records().unwrap().len(), 1);
        run.complete().unwrap();
        study.delete_run("one").unwrap();
        assert_eq!(store.metric_points(None, None).unwrap().len(), 1);
        drop(Store::open(&path).unwrap());
        let sql = "SELECT count(*) FROM pragma_foreign_key_check";
        let connection = rusqlite::Connection::open(&path).unwrap();
        assert_eq!(connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    }
}

#[test]
fn a_store_that_an_older_release_is_writing_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    let connection = old_store(&path, 2);
    let sql = "UPDATE runs SET status = 'running', pid = ?, process_start = NULL WHERE name = 'one'";
    connection.execute(sql, [std::process::id()]).unwrap();
    let message = Store::open(&path).unwrap_err().to_string();
    assert!(message.contains("run 'one'") && message.contains("older release"), "{message}");
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let n_points: i64 = connection.query_row("SELECT count(*) FROM metrics", [], |row| row.get(0)).unwrap();
    assert_eq!((version, n_points), (2, 4), "nothing has changed");
    connection.execute("UPDATE runs SET status = 'stopped' WHERE name = 'one'", []).unwrap();
    drop(connection);
    assert_eq!(Store::open(&path).unwrap().run_records(None).unwrap().len(), 2);
}

#[test]
fn a_store_of_a_later_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("newer.db");
    drop(Store::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&path).unwrap();
    let message = Store::open(&path).unwrap_err().to_string();
    assert!(message.contains("version 99") && message.contains("another release"), "{message}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// Has `f` run as somebody who may read what lies in `folder`, and write nothing.
pub(crate) fn as_a_reader<T: Send>(folder: &Path, f: impl FnOnce() -> T + Send) -> T {
    use std::os::unix::fs::PermissionsExt;
    let allow = |mode_of_files, mode_of_folder| {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode_of_files)).unwrap();
        }
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode_of_folder)).unwrap();
    };
    allow(0o444, 0o555);
    let value = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            // What root may do, it may do whatever the file's permissions: another user may not. This concerns the thread alone.
            // SAFETY: a system call with a plain value.
            unsafe { libc::setfsuid(65_534) };
            f()
        });
        reader.join().unwrap()
    });
    allow(0o644, 0o755);
    value
}

#[test]
fn a_store_that_can_only_be_read_is_read_and_says_so_when_written_to() {
    for at_work in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs 100%?.db");
        let store = Store::open(&path).unwrap();
        let run = Experiment::create_in(&store, "study").unwrap().start_run("a").unwrap();
        run.log_metric("loss", 0.5, 1).unwrap();
        run.complete().unwrap();
        // With and without the files that SQLite keeps beside a store in use.
        let in_use = if at_work { Some((store, run)) } else { None };
        as_a_reader(folder.path(), || {
            let store = Store::open(&path).unwrap();
            assert!(store.is_read_only());
            let study = Experiment::open_in(&store, "study").unwrap();
            assert_eq!(study.runs().unwrap().height(), 1);
            assert_eq!(store.run_records(None).unwrap()[0].metrics["loss"].last, 0.5);
            let message = study.start_run("b").unwrap_err().to_string();
            assert!(message.contains("can only be read") && message.contains("runs 100%?.db"), "{message}");
            let message = Experiment::create_in(&store, "new").unwrap_err().to_string();
            assert!(message.contains("can only be read"), "{message}");
        });
        drop(in_use);
        assert!(!Store::open(&path).unwrap().is_read_only());
    }
}

#[test]
fn an_older_store_that_can_only_be_read_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    drop(old_store(&path, 2));
    let message = as_a_reader(folder.path(), || Store::open(&path).unwrap_err().to_string());
    assert!(
        message.contains("old.db") && message.contains("an older one that can only be read"),
        "{message}"
    );
}

#[test]
fn a_folder_that_is_not_there_or_not_to_be_written_to_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let message = Store::open(folder.path().join("no/such/disk/x.db")).unwrap_err().to_string();
    assert!(message.contains("no/such/disk") && message.contains("is its folder there"), "{message}");
    let message =
        as_a_reader(folder.path(), || Store::open(folder.path().join("x.db")).unwrap_err().to_string());
    assert!(message.contains("x.db") && message.contains("may it be written to"), "{message}");
    let message = Store::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains(&folder.path().display().to_string()), "{message}");
}
