//! Stores that somebody else made: with programs in them, with paths that lead elsewhere, with pages that lead in circles, with
//! links and pipes beside them. Each is an error at once, and nothing outside is read, written or removed.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use glisten::prelude::*;
use rusqlite::Connection;

use super::support::glisten;

const SECRET: &str = "the private key of somebody";

/// A store with one completed run that has rows in each table. Returns the path of its artifact `notes`.
pub(crate) fn small_store(path: &Path) -> PathBuf {
    let store = Store::open(path).unwrap();
    let run = Experiment::create_in(&store, "study").unwrap().start_run("run").unwrap();
    run.log_parameters([("fraction", 0.3), ("seed", 1.0)]).unwrap();
    for step in 1..=30 {
        run.log_metrics(step, &[("loss", 1.0 / step as f64), ("validation:accuracy", 0.5)]).unwrap();
    }
    run.set_tag("stage", "final").unwrap();
    run.set_note("a note").unwrap();
    run.log_text("one line\nanother").unwrap();
    let selection = glisten::select::Selection {
        indices: tch::Tensor::from_slice(&(0..200_i64).collect::<Vec<_>>()),
        gains: Some(tch::Tensor::from_slice(&[0.5_f32; 200])),
        weights: None,
    };
    run.log_selection(1, &selection).unwrap();
    let kept = run.log_artifact_bytes("notes", "txt", b"what was noted").unwrap();
    run.log_confusion_matrix("test", &["a", "b"], &[vec![1, 2], vec![3, 4]]).unwrap();
    run.complete().unwrap();
    kept.path
}

/// What a store is told by those who send it.
fn change(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
}

fn error_of_opening(path: &Path) -> String {
    match Store::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_store_that_holds_more_than_glistens_tables_is_refused_and_left_alone() {
    let redefined = |table: &str, from: &str, to: &str| {
        format!(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, '{}', '{}') WHERE name = '{table}';",
            from.replace('\'', "''"),
            to.replace('\'', "''")
        )
    };
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)";
    let cases = [
        (
            format!(
                "CREATE TRIGGER fill AFTER UPDATE ON runs BEGIN INSERT INTO tags {endless} SELECT 1, x, x FROM n; END;"
            ),
            "a trigger 'fill' on 'runs'",
        ),
        (
            format!(
                "DROP TABLE log_lines; CREATE VIEW log_lines AS {endless} SELECT 1 AS run, x AS line, x AS time, x AS text FROM n;"
            ),
            "a view 'log_lines'",
        ),
        ("CREATE TABLE more (x);".to_owned(), "a table 'more'"),
        ("CREATE INDEX slow ON runs (hex(zeroblob(1000)));".to_owned(), "an index 'slow' on 'runs'"),
        ("CREATE VIRTUAL TABLE words USING fts5(x);".to_owned(), "a table 'words"),
        (
            "ALTER TABLE runs ADD COLUMN more TEXT AS (hex(zeroblob(100000000))) VIRTUAL;".to_owned(),
            "a table 'runs' that is defined otherwise",
        ),
        (
            redefined("tags", "value TEXT NOT NULL", "value TEXT NOT NULL CHECK (length(value) < 9)"),
            "a table 'tags' that",
        ),
        (
            redefined("tags", "value TEXT NOT NULL", "value TEXT NOT NULL DEFAULT (hex(zeroblob(9)))"),
            "a table 'tags' that",
        ),
        (
            redefined("runs_at_work", "status = 'running'", "status = 'RUNNING'"),
            "an index 'runs_at_work' on 'runs' that",
        ),
        ("DROP INDEX runs_at_work;".to_owned(), "no index 'runs_at_work'"),
        ("DROP TABLE tags;".to_owned(), "no table 'tags'"),
    ];
    for (sql, found) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sent.db");
        small_store(&path);
        // A run that opening would mark: what a trigger waits for.
        change(
            &path,
            "UPDATE runs SET status = 'running', pid = 1, process_start = 1, host = NULL, heartbeat = 1;",
        );
        change(&path, &sql);
        let before = std::fs::read(&path).unwrap();
        let message = error_of_opening(&path);
        assert!(message.contains("sent.db") && message.contains(found), "{sql}: {message}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{sql}");
        let output = glisten().args(["runs", "--store"]).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{sql}");
        let sizes =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        assert!(sizes.sum::<u64>() < 1_000_000, "{sql}");
    }
    // What makes no difference: comments, capitals and quotes, and what ANALYZE keeps.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sent.db");
    small_store(&path);
    change(&path, "ANALYZE;");
    change(&path, &redefined("tags", "CREATE TABLE tags (", "create  /* mine */ table \"tags\"( -- here\n"));
    assert_eq!(Store::open(&path).unwrap().run_records(None).unwrap().len(), 1);
}

#[test]
fn an_older_store_with_a_program_in_it_is_refused_before_it_is_changed() {
    for (sql, found) in [
        ("CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END;", "a trigger 't'"),
        (
            "DROP TABLE metrics; CREATE VIEW metrics AS SELECT 1 AS run, 'x' AS name, 1 AS step, 1 AS value;",
            "a view",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.db");
        drop(super::store_versions::old_store(&path, 2));
        change(&path, sql);
        let before = std::fs::read(&path).unwrap();
        let message = error_of_opening(&path);
        assert!(message.contains(found), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn what_is_no_regular_file_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.db");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let socket = folder.path().join("socket.db");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, found) in [
        (pipe.as_path(), "a named pipe"),
        (&socket, "a socket"),
        (Path::new("/dev/zero"), "a device"),
        (folder.path(), "a folder"),
    ] {
        let message = error_of_opening(path);
        assert!(message.contains(found) && message.contains(&path.display().to_string()), "{message}");
        let output = glisten().args(["runs", "--store"]).arg(path).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn links_and_pipes_where_the_journals_and_the_folder_would_be_are_refused() {
    for end in ["-wal", "-shm", "-journal", ".d"] {
        for kind in ["link", "link to nothing", "pipe"] {
            let folder = tempfile::tempdir().unwrap();
            let (path, private) = (folder.path().join("sent.db"), folder.path().join("private"));
            small_store(&path);
            let _ = std::fs::rename(folder.path().join("sent.db.d"), folder.path().join("away"));
            std::fs::write(&private, SECRET).unwrap();
            let planted = folder.path().join(format!("sent.db{end}"));
            match kind {
                "link" => symlink(&private, &planted).unwrap(),
                "link to nothing" => symlink(folder.path().join("new"), &planted).unwrap(),
                _ => assert!(Command::new("mkfifo").arg(&planted).status().unwrap().success()),
            }
            let message = error_of_opening(&path);
            let found = if kind == "pipe" { "a named pipe" } else { "found a link" };
            assert!(message.contains(found) && message.contains(end), "{end} {kind}: {message}");
            assert_eq!(std::fs::read_to_string(&private).unwrap(), SECRET);
            assert!(!folder.path().join("new").exists());
        }
    }
}

/// The text of every file below a folder.
fn all_text(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            text += &all_text(&path);
        } else {
            text += &String::from_utf8_lossy(&std::fs::read(&path).unwrap());
        }
    }
    text
}

#[test]
fn an_artifacts_path_leads_nowhere_else() {
    let private = tempfile::tempdir().unwrap();
    let secret = private.path().join("key");
    std::fs::write(&secret, SECRET).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let up = format!("{}{}", "../".repeat(20), secret.display());
    for file in [secret.to_str().unwrap(), &up, "../../private", "..", ".", "", "a/b", "x\0y"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sent.db");
        small_store(&path);
        std::fs::write(folder.path().join("private"), SECRET).unwrap();
        let connection = Connection::open(&path).unwrap();
        connection.execute("UPDATE artifacts SET file = ? WHERE name = 'notes'", [file]).unwrap();
        drop(connection);
        let store = Store::open(&path).unwrap();
        let message = store.run_records(None).unwrap_err().to_string();
        assert!(message.contains("the name of one file") && message.contains("notes"), "{file}: {message}");
        let study = Experiment::open_in(&store, "study").unwrap();
        let run = study.find_run("run").unwrap();
        assert!(run.artifact("notes").is_err());
        let out = folder.path().join("out");
        for form in ["parquet", "jsonl"] {
            let mut command = glisten();
            command.args(["export", "study", "--to", form, "--store"]).arg(&path).arg("-o").arg(&out);
            assert_eq!(command.output().unwrap().status.code(), Some(1), "{file}");
        }
        assert!(!all_text(&out).contains(SECRET), "{file}");
        // What is replaced or deleted is not what the path leads to.
        run.log_artifact_bytes("notes", "txt", b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), SECRET);
        assert_eq!(std::fs::read_to_string(folder.path().join("private")).unwrap(), SECRET);
        study.delete_run("run").unwrap();
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), SECRET);
    }
}

#[test]
fn links_in_the_folder_of_a_store_are_not_followed() {
    for what in ["file", "folder of the run"] {
        let folder = tempfile::tempdir().unwrap();
        let (path, private) = (folder.path().join("sent.db"), folder.path().join("private"));
        let kept = small_store(&path);
        std::fs::create_dir(&private).unwrap();
        let of_run = kept.parent().unwrap().to_path_buf();
        if what == "file" {
            std::fs::write(private.join("key"), SECRET).unwrap();
            std::fs::remove_file(&kept).unwrap();
            symlink(private.join("key"), &kept).unwrap();
        } else {
            std::fs::write(private.join(kept.file_name().unwrap()), SECRET).unwrap();
            std::fs::remove_dir_all(&of_run).unwrap();
            symlink(&private, &of_run).unwrap();
        }
        let n_private = std::fs::read_dir(&private).unwrap().count();
        let store = Store::open(&path).unwrap();
        let study = Experiment::open_in(&store, "study").unwrap();
        let run = study.find_run("run").unwrap();
        let message = run.artifact("notes").unwrap().open().unwrap_err().to_string();
        assert!(message.contains("link") || message.contains("Not a directory"), "{what}: {message}");
        let out = folder.path().join("out");
        let mut command = glisten();
        command.args(["export", "study", "--to", "parquet", "--store"]).arg(&path).arg("-o").arg(&out);
        assert_eq!(command.output().unwrap().status.code(), Some(1), "{what}");
        assert!(!all_text(&out).contains(SECRET), "{what}");
        if what != "file" {
            let message = run.log_artifact_bytes("more", "txt", b"x").unwrap_err().to_string();
            assert!(message.contains("found a link"), "{message}");
        }
        study.delete_run("run").unwrap();
        assert_eq!(
            std::fs::read_dir(&private).unwrap().count(),
            n_private,
            "{what}: nothing was removed or added"
        );
        assert!(all_text(&private).contains(SECRET));
    }
}

/// A file of a few dozen pages whose pages lead to one another: one table of them has 100²⁰ rows for whoever goes through it.
#[test]
fn a_table_without_an_end_is_not_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endless.db");
    small_store(&path);
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA writable_schema = ON;").unwrap();
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
    let n_pages = number("PRAGMA page_count");
    let page_size = number("PRAGMA page_size") as usize;
    let leaf = number("SELECT rootpage FROM sqlite_schema WHERE name = 'environments'");
    const DEPTH: u32 = 12;
    connection
        .execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = 'environments'", [n_pages + 1])
        .unwrap();
    drop(connection);
    let mut bytes = std::fs::read(&path).unwrap();
    for level in 0..DEPTH {
        let child = if level + 1 == DEPTH { leaf } else { n_pages + level + 2 };
        // An interior page of a table: kind 5, cells of a child and a key, and the last child.
        const N: usize = 100;
        let mut page = vec![0_u8; page_size];
        let start = page_size - 5 * N;
        page[0] = 5;
        page[3..5].copy_from_slice(&(N as u16).to_be_bytes());
        page[5..7].copy_from_slice(&(start as u16).to_be_bytes());
        page[8..12].copy_from_slice(&child.to_be_bytes());
        for cell in 0..N {
            let at = start + 5 * cell;
            page[at..at + 4].copy_from_slice(&child.to_be_bytes());
            page[at + 4] = 1;
            page[12 + 2 * cell..14 + 2 * cell].copy_from_slice(&(at as u16).to_be_bytes());
        }
        bytes.extend(page);
    }
    bytes[28..32].copy_from_slice(&(n_pages + DEPTH).to_be_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let store = Store::open(&path).unwrap();
    let message = store.run_records(None).unwrap_err().to_string();
    assert!(message.contains("more work than its size explains"), "{message}");
}

#[test]
fn values_of_other_types_are_errors_and_no_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sent.db");
    small_store(&path);
    let whole = std::fs::read(&path).unwrap();
    let columns: Vec<(String, String)> = Connection::open(&path)
        .unwrap()
        .prepare(
            "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'",
        )
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    assert!(columns.len() > 40, "{columns:?}");
    let values =
        ["x'00ff'", "'text'", "-9223372036854775808", "9223372036854775807", "1e308", "-0.5", "''", "NULL"];
    // Two of them for each column, where the long proofs are not asked for: each value meets columns of each kind.
    let step = if std::env::var_os("GLISTEN_TEST_FULL").is_some() { 1 } else { 4 };
    for (at, (table, column)) in columns.iter().enumerate() {
        for value in values.iter().skip(at % step).step_by(step) {
            std::fs::write(&path, &whole).unwrap();
            let connection = Connection::open(&path).unwrap();
            connection
                .execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF;")
                .unwrap();
            // Keys and NOT NULL refuse some.
            let _ = connection.execute(&format!("UPDATE {table} SET {column} = {value}"), []);
            drop(connection);
            super::hostile_input::use_all_of(&path, &folder.path().join("out"));
        }
    }
}

#[test]
fn an_export_lets_those_read_it_whom_the_umask_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    small_store(&path);
    for (umask, expected) in [("077", 0o600), ("022", 0o644), ("002", 0o664)] {
        let out = folder.path().join(umask);
        let script = "umask $1; shift; exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", umask, env!("CARGO_BIN_EXE_glisten")]);
        command.args(["export", "study", "--to", "parquet", "--store"]).arg(&path).arg("-o").arg(&out);
        assert!(command.status().unwrap().success());
        let mut n = 0;
        for file in ["runs.parquet", "metrics.parquet", "runs/run/selections.parquet"] {
            let mode = out.join(file).metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, expected, "{umask} {file}");
            n += 1;
        }
        assert_eq!(n, 3);
        // One that is there keeps what it says.
        let page = out.join("report.html");
        std::fs::write(&page, "").unwrap();
        std::fs::set_permissions(&page, std::fs::Permissions::from_mode(0o640)).unwrap();
        let mut command = glisten();
        command.args(["report", "study", "--store"]).arg(&path).arg("-o").arg(&page);
        assert!(command.status().unwrap().success());
        assert_eq!(page.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    }
}
