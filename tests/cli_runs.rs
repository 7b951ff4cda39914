//! `glisten runs` and `glisten logs` as their users call them, with this process as the one that writes.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use glisten::prelude::*;
use polars::prelude::{CsvReader, DataType, SerReader};
use serde_json::Value;

use super::support::glisten;

/// What a terminal would act on.
const HOSTILE: &str = "evil \u{1b}[2J\u{1b}]0;owned\u{7} \u{9b}31m \u{202E}gnp";

fn glisten_in(folder: &Path) -> Command {
    let mut command = glisten();
    command.current_dir(folder);
    command
}

#[track_caller]
fn run(command: &mut Command, expected: i32) -> (String, String) {
    let Output { stdout, stderr, status } = command.output().unwrap();
    let (text, errors) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(expected), "{text}{errors}");
    (text, errors)
}

/// Two experiments: `study` with three runs that have ended and a hostile one at work, `other` with one run.
fn store(folder: &Path) -> (Store, Run) {
    let store = Store::open(folder.join("glisten.db")).unwrap();
    let study = Experiment::create_in(&store, "study").unwrap();
    for (name, fraction, values) in
        [("low", 0.1, [0.7, 0.75]), ("high", 0.3, [0.8, 0.92]), ("full", 1.0, [0.85, 0.95])]
    {
        let run = study.start_run(name).unwrap();
        run.log_parameter("fraction", fraction).unwrap();
        run.log_parameter("seed", 7_i64).unwrap();
        run.log_parameter("flip", fraction > 0.2).unwrap();
        for (step, value) in values.into_iter().enumerate() {
            run.log_metrics(step as i64 + 1, &[("validation:accuracy", value), ("loss", 1.0 - value)])
                .unwrap();
        }
        run.log_metric("loss", f64::NAN, 3).unwrap();
        run.log_text(&format!("{name} began\n{name} ended")).unwrap();
        run.complete().unwrap();
    }
    let other = Experiment::create_in(&store, "other").unwrap().start_run("low").unwrap();
    other.log_parameter("fraction", 0.2).unwrap();
    other.end_with(&Error::Interrupted("by a test".to_owned())).unwrap();
    let hostile = study.start_run(HOSTILE).unwrap();
    hostile.log_metric("validation:accuracy", 0.1, 1).unwrap();
    hostile.log_parameter(HOSTILE, HOSTILE).unwrap();
    hostile.log_text(&format!("a tab\tand {HOSTILE}")).unwrap();
    (store, hostile)
}

fn names(json: &str) -> Vec<String> {
    let rows: Vec<Value> = serde_json::from_str(json).unwrap();
    rows.iter().map(|row| row["run"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_format_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, _hostile) = store(folder.path());
    let (json, _) = run(glisten_in(folder.path()).args(["runs", "study", "--format", "json"]), 0);
    let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(names(&json), ["full", "high", "low", HOSTILE], "best first");
    let high = &rows[1];
    assert_eq!(high["fraction"], 0.3);
    assert_eq!(high["seed"], 7);
    assert_eq!(high["flip"], true);
    assert_eq!(high["status"], "completed");
    assert_eq!(high["validation:accuracy.max"], 0.92);
    assert_eq!(high["validation:accuracy.count"], 2);
    // The third loss is NaN: JSON has none, the count of them is there.
    assert_eq!(high["loss.nonfinite"], 1);
    assert!(high["loss.min"].as_f64().unwrap() < 0.09);
    assert_eq!(rows[3]["fraction"], Value::Null);
    assert_eq!(rows[3]["ended"], Value::Null);
    for time in ["created", "ended"] {
        chrono::DateTime::parse_from_rfc3339(high[time].as_str().unwrap()).unwrap();
    }
    let csv = |option: &[&str]| {
        let (csv, _) = run(glisten_in(folder.path()).args(["runs", "study"]).args(option), 0);
        csv
    };
    assert_eq!(csv(&["--csv"]), csv(&["--format", "csv"]));
    assert!(
        !csv(&["--csv"]).contains(|c: char| c.is_control() && c != '\n'),
        "what steers a terminal is escaped"
    );
    let frame = CsvReader::new(Cursor::new(csv(&["--csv", "--raw"]).into_bytes())).finish().unwrap();
    assert_eq!(frame.height(), 4);
    let columns: Vec<&String> = high.as_object().unwrap().keys().collect();
    assert_eq!(
        frame.get_column_names().into_iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
        columns.into_iter().cloned().collect()
    );
    assert_eq!(frame.column("fraction").unwrap().dtype(), &DataType::Float64);
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(frame.column("run").unwrap().str().unwrap().get(at), row["run"].as_str());
        let accuracy = frame.column("validation:accuracy.max").unwrap().f64().unwrap().get(at);
        assert_eq!(accuracy, row["validation:accuracy.max"].as_f64());
    }
    let (table, _) = run(glisten_in(folder.path()).args(["runs", "study"]), 0);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(
        lines[0].starts_with("run ") && lines[1].starts_with("full ") && lines[1].contains("0.95"),
        "{table}"
    );
    assert!(!lines[0].contains("loss.stddev"), "not every column");
    let (all, _) = run(glisten_in(folder.path()).args(["runs", "study", "--all"]), 0);
    assert!(all.contains("loss.stddev"), "{all}");
}

#[test]
fn runs_are_filtered_searched_sorted_and_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, _hostile) = store(folder.path());
    let found = |arguments: &[&str]| {
        names(&run(glisten_in(folder.path()).arg("runs").args(arguments).args(["--format", "json"]), 0).0)
    };
    assert_eq!(found(&["study", "--filter", "fraction <= 0.3 and validation:accuracy.max > 0.9"]), ["high"]);
    assert_eq!(found(&["study", "--filter", "flip = false"]), ["low"]);
    std::fs::write(
        folder.path().join("search.json"),
        r#"{"Filters": [{"Name": "parameters.fraction", "Operator": "LessThan", "Value": "0.5"},
                        {"Name": "metrics.validation:accuracy.max", "Operator": "GreaterThan", "Value": "0.7"}]}"#,
    )
    .unwrap();
    assert_eq!(found(&["study", "--search", "search.json"]), ["high", "low"]);
    assert_eq!(found(&["study", "--search", "search.json", "--filter", "fraction < 0.2"]), ["low"]);
    assert_eq!(found(&["study", "--sort-by", "parameters.Fraction"]), ["full", "high", "low", HOSTILE]);
    assert_eq!(found(&["study", "--sort-by", "fraction", "--ascending", "--limit", "2"]), ["low", "high"]);
    assert_eq!(
        found(&["study", "--sort-by", "loss.min", "--limit", "1"]),
        ["full"],
        "the lowest loss is the best"
    );
    assert_eq!(found(&["study", "--sort-by", "loss.min", "--descending", "--limit", "1"]), ["low"]);
    assert_eq!(found(&["--all-experiments"]).len(), 5);
    assert_eq!(
        found(&["study", "other", "--filter", "fraction < 0.25", "--sort-by", "fraction"]),
        ["low", "low"]
    );
    assert_eq!(found(&["other"]), ["low"]);

    let (json, _) = run(
        glisten_in(folder.path()).args([
            "runs",
            "study",
            "--columns",
            "fraction,metrics.Loss.last,run",
            "--limit",
            "1",
            "--format",
            "json",
        ]),
        0,
    );
    let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(rows[0].as_object().unwrap().len(), 3);
    assert!(
        json.find("fraction") < json.find("loss.last") && json.find("loss.last") < json.find("\"run\""),
        "{json}"
    );

    let (compared, _) = run(glisten_in(folder.path()).args(["runs", "study", "--compare", "low,high"]), 0);
    assert!(
        compared.contains("fraction") && compared.contains("0.1") && compared.contains("0.3"),
        "{compared}"
    );
    assert!(!compared.contains("seed"), "what is alike is left out: {compared}");
    let (none, _) = run(glisten_in(folder.path()).args(["runs", "study", "--filter", "fraction > 5"]), 0);
    assert_eq!(none, "no run satisfies that\n");
}

#[test]
fn experiments_are_listed_with_their_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, _hostile) = store(folder.path());
    let (json, _) = run(glisten_in(folder.path()).args(["runs", "--format", "json"]), 0);
    let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
    let counts = |row: &Value| {
        ["runs", "running", "completed", "failed", "stopped"].map(|name| row[name].as_i64().unwrap())
    };
    assert_eq!((rows[0]["experiment"].as_str(), counts(&rows[0])), (Some("study"), [4, 1, 3, 0, 0]));
    assert_eq!((rows[1]["experiment"].as_str(), counts(&rows[1])), (Some("other"), [1, 0, 0, 0, 1]));
    let (table, _) = run(glisten_in(folder.path()).arg("runs"), 0);
    assert!(table.starts_with("experiment") && table.contains("study"), "{table}");
}

#[test]
fn wrong_names_are_answered_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, _hostile) = store(folder.path());
    let hostile = format!("high{HOSTILE}");
    let cases: [(&[&str], &str); 10] = [
        (&["runs", "studdy"], "did you mean 'study'"),
        (&["runs", "study", "--sort-by", "validation:acuracy.max"], "validation:accuracy.max"),
        (&["runs", "study", "--filter", "fractoin < 1"], "fraction"),
        (&["runs", "study", "--filter", "fraction <"], "fraction <"),
        (&["runs", "study", "--columns", "run,fractoin"], "did you mean 'fraction'"),
        (&["runs", "study", "--search", "none.json"], "none.json"),
        (&["runs", "study", "--compare", "low,hihg"], "high"),
        (&["logs", "hihg"], "did you mean 'high'"),
        (&["logs", "high", "--experiment", "othr"], "did you mean 'other'"),
        (&["logs", &hostile], "\\u{1b}[2J"),
    ];
    for (arguments, expected) in cases {
        let (text, errors) = run(glisten_in(folder.path()).args(arguments), 1);
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
        assert!(text.is_empty() && is_harmless(&errors), "{arguments:?}: {text:?} {errors:?}");
    }
    let (_, errors) = run(glisten_in(folder.path()).args(["logs", "low"]), 1);
    assert!(errors.contains("study, other; --experiment says which"), "{errors}");
    let (_, errors) = run(glisten_in(folder.path()).args(["runs", "study", "--follow", "--csv"]), 1);
    assert!(errors.contains("expected --format table or json"), "{errors}");
}

/// Whether a terminal would show all of it and act on none of it.
fn is_harmless(text: &str) -> bool {
    !text.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202E}')
}

#[test]
fn no_name_and_no_log_line_reaches_a_terminal_raw() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, _hostile) = store(folder.path());
    let commands: [&[&str]; 8] = [
        &["runs", "study"],
        &["runs", "study", "--all"],
        &["runs", "study", "--format", "json"],
        &["runs", "study", "--compare", &format!("low,{HOSTILE}")],
        &["logs", HOSTILE],
        &["logs", HOSTILE, "--timestamps"],
        &["watch", "study"],
        &["watch", "study", "--once"],
    ];
    for arguments in commands {
        let (text, errors) = run(glisten_in(folder.path()).args(arguments), 0);
        assert!(is_harmless(&text) && is_harmless(&errors), "{arguments:?}: {text:?} {errors:?}");
        assert!(text.contains("evil"), "{arguments:?}: {text}");
    }
    let (text, _) = run(glisten_in(folder.path()).args(["logs", HOSTILE]), 0);
    assert!(text.starts_with("a tab\tand evil \\u{1b}[2J"), "{text:?}");
}

/// A following command, whose lines are waited for one by one.
struct Following {
    child: Child,
    lines: mpsc::Receiver<String>,
    errors: ChildStderr,
}

impl Following {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout: ChildStdout = child.stdout.take().unwrap();
        let errors = child.stderr.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, errors }
    }

    /// The next line that satisfies `is_it`; those before it are skipped.
    #[track_caller]
    fn line(&self, is_it: impl Fn(&str) -> bool) -> String {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) if is_it(&line) => return line,
                Ok(line) => before.push(line),
                Err(error) => panic!("{error}; before: {before:#?}"),
            }
        }
    }

    /// Its status and what it said on standard error, once it has ended by itself; and lines nobody waited for.
    fn end(mut self) -> (Option<i32>, String, Vec<String>) {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => rest.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end; {rest:#?}"),
            }
        }
        let code = self.child.wait().unwrap().code();
        let mut errors = String::new();
        self.errors.read_to_string(&mut errors).unwrap();
        (code, errors, rest)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn runs_are_followed_by_lines_until_none_is_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let (store, hostile) = store(folder.path());
    let text = Following::start(glisten_in(folder.path()).args(["runs", "study", "--follow"]));
    let json =
        Following::start(glisten_in(folder.path()).args(["runs", "study", "--follow", "--format", "json"]));
    let filter = ["runs", "study", "--filter", "seed = 11", "--columns", "run,seed", "--follow"];
    let filtered = Following::start(glisten_in(folder.path()).args(filter));
    let first = text.line(|line| line.contains("evil"));
    assert!(first.contains("running") && first.contains("validation:accuracy=0.1"), "{first}");
    assert!(is_harmless(&first));
    json.line(|line| line.contains("\"low\""));

    hostile.log_metric("validation:accuracy", 0.4375, 2).unwrap();
    let line = text.line(|line| line.contains("validation:accuracy=0.4375"));
    assert!(line.contains("evil"), "{line}");
    let line = json.line(|line| line.contains("0.4375"));
    let row: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (row["run"].as_str(), &row["validation:accuracy.last"]),
        (Some(HOSTILE), &Value::from(0.4375))
    );

    let second = Experiment::open_in(&store, "study").unwrap().start_run("second").unwrap();
    text.line(|line| line.contains("second  running"));
    second.log_parameter("seed", 11_i64).unwrap();
    filtered.line(|line| line.contains("second") && line.contains("seed=11"));
    hostile.complete().unwrap();
    text.line(|line| line.contains("evil") && line.contains("completed"));
    second.end_with(&Error::Interrupted("a break".to_owned())).unwrap();
    text.line(|line| line.contains("second  stopped") && line.contains("a break"));
    for following in [text, json, filtered] {
        let (code, errors, _) = following.end();
        assert_eq!((code, errors.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_log_is_followed_from_another_process_until_its_run_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _hostile) = store(folder.path());
    let study = Experiment::open_in(&store, "study").unwrap();
    let trained = study.start_run("trained").unwrap();
    trained.log_text("epoch 1").unwrap();
    let follow = Following::start(glisten_in(folder.path()).args(["logs", "trained", "--follow"]));
    let failing = study.start_run("failing");
    assert_eq!(follow.line(|_| true), "epoch 1");
    for epoch in 2..=20 {
        trained.log_text(&format!("epoch {epoch}\n  and a second line of it")).unwrap();
        assert_eq!(follow.line(|_| true), format!("epoch {epoch}"));
        assert_eq!(follow.line(|_| true), "  and a second line of it");
    }
    // What is logged at the very end is not lost.
    trained.log_text("the last line").unwrap();
    trained.complete().unwrap();
    let (code, errors, rest) = follow.end();
    assert_eq!((code, rest), (Some(0), vec!["the last line".to_owned()]));
    assert!(errors.starts_with("run 'trained' completed after 0:0"), "{errors}");

    let failing = failing.unwrap();
    let follow = Following::start(glisten_in(folder.path()).args(["logs", "failing", "--follow"]));
    failing.log_text("one").unwrap();
    follow.line(|line| line == "one");
    failing
        .end_with(&Error::Argument { name: "x".into(), expected: "y".into(), got: "z\u{1b}c".into() })
        .unwrap();
    let (code, errors, _) = follow.end();
    assert_eq!(code, Some(0));
    assert!(
        errors.contains("run 'failing' failed after") && errors.contains("x: expected y, got z\\u{1b}c"),
        "{errors}"
    );
}

#[test]
fn of_a_log_the_last_lines_or_those_since_a_time_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, hostile) = store(folder.path());
    let logs = |arguments: &[&str]| run(glisten_in(folder.path()).args(["logs", "high"]).args(arguments), 0);
    assert_eq!(logs(&[]).0, "high began\nhigh ended\n");
    assert_eq!(logs(&["-n", "1"]).0, "high ended\n");
    assert_eq!(logs(&["-n", "0"]).0, "");
    assert_eq!(logs(&["--since", "1h"]).0, "high began\nhigh ended\n");
    assert_eq!(logs(&["--since", "2999-01-01"]).0, "");
    let (stamped, _) = logs(&["--timestamps"]);
    let line = stamped.lines().next().unwrap();
    let (time, text) = line.split_at(23);
    chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%.3f").unwrap();
    assert_eq!(text, "  high began");
    let (_, errors) = logs(&["--follow"]);
    assert!(errors.contains("run 'high' completed"), "a run that has ended is not waited for: {errors}");
    let (_, errors) = run(glisten_in(folder.path()).args(["logs", "low", "--experiment", "other"]), 0);
    assert!(
        errors.contains("run 'low' stopped after") && errors.contains("it has logged no line"),
        "{errors}"
    );
    drop(hostile);
}

#[test]
fn nothing_is_deleted_without_a_yes() {
    let folder = tempfile::tempdir().unwrap();
    let (store, hostile) = store(folder.path());
    let delete =
        |arguments: &[&str], code| run(glisten_in(folder.path()).arg("delete").args(arguments), code);
    let n_runs = |experiment| store.run_records(Some(experiment)).unwrap().len();
    let (_, errors) = delete(&["study", "--run", "low"], 1);
    assert!(errors.contains("--yes"), "{errors}");
    assert_eq!(n_runs("study"), 4);
    let (text, _) = delete(&["study", "--run", "low", "--run", "high", "--yes"], 0);
    assert_eq!((text.as_str(), n_runs("study")), ("deleted 2 runs of 'study'\n", 2));
    let (_, errors) = delete(&["study", "--run", "ful", "--yes"], 1);
    assert!(errors.contains("did you mean 'full'"), "{errors}");
    // A run is at work: it stays, and so does its experiment.
    let (_, errors) = delete(&["study", "--yes"], 1);
    assert!(errors.contains("evil \\u{1b}[2J") && n_runs("study") == 2, "{errors}");
    hostile.complete().unwrap();
    let (text, _) = delete(&["study", "--yes"], 0);
    assert_eq!(text, "deleted experiment 'study' with 2 runs\n");
    assert_eq!(store.experiment_names().unwrap(), ["other"]);
}

/// Set in a child of these tests: the store it writes to.
const CHILD: &str = "GLISTEN_TEST_FOLLOWED_STORE";

/// Not a test of its own: a process that begins a run and waits to be killed.
#[test]
#[ignore = "started by another test"]
fn child_that_is_killed_while_it_is_followed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let study = Experiment::open_in(&Store::open(path).unwrap(), "study").unwrap();
    let run = study.start_run("killed").unwrap();
    run.log_text("at work").unwrap();
    std::io::stdin().read_exact(&mut [0]).unwrap();
}

#[test]
fn following_ends_when_the_process_of_the_run_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, hostile) = store(folder.path());
    hostile.complete().unwrap();
    let name = "cli_runs::child_that_is_killed_while_it_is_followed";
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--include-ignored"])
        .env(CHILD, folder.path().join("glisten.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let runs = Following::start(glisten_in(folder.path()).args(["runs", "study", "--follow", "--forever"]));
    runs.line(|line| line.contains("killed  running"));
    let logs = Following::start(glisten_in(folder.path()).args(["logs", "killed", "--follow"]));
    assert_eq!(logs.line(|_| true), "at work");
    writer.kill().unwrap();
    writer.wait().unwrap();
    let (code, errors, _) = logs.end();
    assert_eq!(code, Some(0));
    assert!(errors.contains("run 'killed' failed"), "{errors}");
    runs.line(|line| line.contains("killed  failed"));
    // It follows forever: Ctrl-C ends it.
    interrupt(&runs.child);
    let (code, errors, _) = runs.end();
    assert_eq!((code, errors.as_str()), (Some(130), ""));
}

fn interrupt(child: &Child) {
    // SAFETY: a signal to a child that has not been waited for yet.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
}

/// What the clocks of the reader's place skip, as they do in Cairo after midnight, is a time all the same.
#[test]
fn a_time_that_clocks_skip_is_when_they_go_on() {
    // Summer time begins on the last Friday of April, at midnight.
    let cairo = "EET-2EEST,M4.5.5/0,M10.5.4/24";
    for since in ["2026-04-24", "2026-04-24 00:30", "2026-04-24T00:59:59", "2026-04-25", "2026-10-29 23:30"] {
        for zone in [cairo, "UTC", "<+0545>-5:45"] {
            let folder = tempfile::tempdir().unwrap();
            let mut logs = glisten();
            let output = logs
                .args(["logs", "none", "--since", since])
                .env("TZ", zone)
                .current_dir(folder.path())
                .output();
            let errors = String::from_utf8(output.unwrap().stderr).unwrap();
            assert!(
                errors.contains("no store there") && !errors.contains("expected"),
                "{since} {zone}: {errors}"
            );
        }
    }
}
