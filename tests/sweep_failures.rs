//! Sweeps of which runs fail: the others are done, what failed is said, and nothing is tried for ever.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use glisten::analytics::RunsExt;
use glisten::prelude::*;
use glisten::track::{RunRecord, Status};

use super::support::{glisten, split_bars};

/// A folder with a table of two classes that a small network learns at once, and a sweep over it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// `settings` go on top of the sweep file; a line `[optimizer]` may end them.
    fn new(settings: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let rows = (0..300).map(|i| {
            let (a, b) = (f64::from(i * 37 % 100) / 10.0, f64::from(i * 61 % 100) / 10.0);
            format!("{a},{b},{}\n", if a + b > 10.0 { "yes" } else { "no" })
        });
        std::fs::write(place.path("table.csv"), format!("a,b,y\n{}", rows.collect::<String>())).unwrap();
        let data = place.path("table.csv");
        let text = format!(
            "experiment = \"s\"\ndata = {{ path = {data:?}, target = \"y\" }}\nmodel = \"mlp\"\n\
             selections = [\"fresh-random\"]\nfractions = [0.5]\nbatch_size = 60\n{settings}\n"
        );
        std::fs::write(place.path("sweep.toml"), text).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = glisten();
        command.arg("sweep").arg(self.path("sweep.toml")).arg("--store").arg(self.path("runs.db"));
        command
    }

    fn sweep(&self, options: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.command().args(options).output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap() + &String::from_utf8(stdout).unwrap())
    }

    fn records(&self) -> Vec<RunRecord> {
        Store::open(self.path("runs.db")).unwrap().run_records(Some("s")).unwrap()
    }

    fn n_with(&self, status: Status) -> usize {
        self.records().iter().filter(|run| run.status == status).count()
    }
}

const ALL_DIVERGE: &str = "seeds = [0, 1]\nepochs = 3\n[optimizer]\nlearning_rate = 1e12";

#[test]
fn runs_that_diverge_end_no_sweep_and_are_not_tried_again() {
    let place = Place::new(ALL_DIVERGE);
    let (code, said) = place.sweep(&["--report", place.path("report.html").to_str().unwrap()]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("4 of 4 runs failed:"), "{said}");
    for run in ["full seed 0", "full seed 1", "fresh-random 50 % seed 0", "fresh-random 50 % seed 1"] {
        assert!(said.contains(&format!("\n  {run}: the training loss is ")), "{run}: {said}");
    }
    assert_eq!((place.records().len(), place.n_with(Status::Failed)), (4, 4));
    assert!(place.records().iter().all(|run| run.tags["diverged"] == "1"), "{:?}", place.records());
    assert!(place.path("report.html").is_file(), "what was asked for is made all the same");

    // Called again: nothing is trained, nothing added.
    let before: Vec<_> = place.records().iter().map(|run| (run.id, run.ended_ms)).collect();
    let (code, said) = place.sweep(&[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("4 of 4 runs failed:") && said.contains("run 'full seed 0' diverged before"),
        "{said}"
    );
    assert!(said.contains("--retry-diverged"), "what to do is said: {said}");
    assert_eq!(place.records().iter().map(|run| (run.id, run.ended_ms)).collect::<Vec<_>>(), before);

    // Asked to try: in the same runs.
    let (code, said) = place.sweep(&["--retry-diverged"]);
    assert_eq!(code, Some(3), "{said}");
    let after = place.records();
    assert_eq!(
        after.iter().map(|run| run.id).collect::<Vec<_>>(),
        before.iter().map(|run| run.0).collect::<Vec<_>>()
    );
    assert!(after.iter().zip(&before).all(|(run, (_, ended))| run.ended_ms > *ended), "they were trained");
    assert!(
        after.iter().all(|run| run.metrics["train:loss"].count + run.metrics["train:loss"].nonfinite == 1)
    );
}

#[test]
fn other_settings_are_other_runs() {
    let place = Place::new(ALL_DIVERGE);
    place.sweep(&[]);
    let text = std::fs::read_to_string(place.path("sweep.toml")).unwrap();
    std::fs::write(place.path("sweep.toml"), text.replace("1e12", "0.05")).unwrap();
    let (code, said) = place.sweep(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("runs failed"), "{said}");
    assert_eq!((place.n_with(Status::Failed), place.n_with(Status::Completed)), (4, 4));
}

/// A stop ends the sweep at once; a run whose checkpoint was spoilt fails alone, and the others are done.
#[test]
fn a_stop_ends_a_sweep_and_a_damaged_checkpoint_one_run_of_it() {
    let place = Place::new("seeds = [0]\nepochs = 400\ncheckpoint_every = 1");
    let mut child = place.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    let checkpoint = loop {
        if let Some(path) = checkpoint_in(place.folder.path()) {
            break path;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "no checkpoint came");
        std::thread::sleep(Duration::from_millis(5));
    };
    // SAFETY: the child has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!((place.records().len(), place.n_with(Status::Stopped)), (1, 1), "the stop ended the sweep");

    std::fs::write(&checkpoint, b"spoilt").unwrap();
    let (code, said) = place.sweep(&[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("1 of 2 runs failed:") && said.contains(checkpoint.to_str().unwrap()), "{said}");
    assert_eq!(place.n_with(Status::Completed), 1, "the other run was done");
    // As said: without the file it starts from its beginning.
    std::fs::remove_file(&checkpoint).unwrap();
    assert_eq!(place.sweep(&[]).0, Some(0));
}

fn checkpoint_in(folder: &Path) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => checkpoint_in(&entry.path()),
        _ => Some(entry.path()).filter(|path| path.extension().is_some_and(|end| end == "safetensors")),
    })
}

/// What hits every run ends the sweep: the second would fail like the first.
#[test]
fn what_every_run_would_meet_ends_a_sweep() {
    // ResNet-18 takes no tables.
    let place = Place::new("seeds = [0, 1]\nepochs = 1");
    let text = std::fs::read_to_string(place.path("sweep.toml")).unwrap();
    std::fs::write(place.path("sweep.toml"), text.replace("\"mlp\"", "\"resnet18\"")).unwrap();
    let (code, said) = place.sweep(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(place.records().is_empty(), "{said}");
}

#[test]
fn a_loss_that_explodes_but_stays_finite_is_not_completed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "explodes").unwrap();
    let data = split_bars(600);
    let fit = |learning_rate: f64| {
        let trainer =
            Trainer::new(LogisticRegression::for_data(&data)).epochs(2).learning_rate(learning_rate);
        trainer.fit(&data, &study)
    };
    let error = fit(1e6).unwrap_err();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
    let record = &store.run_records(Some("explodes")).unwrap()[0];
    assert!(record.metrics["train:loss"].last.is_finite(), "{record:?}");
    assert_eq!((record.status, record.tags["diverged"].as_str()), (Status::Failed, "1"));

    // The worst, whatever it had reached.
    fit(0.01).unwrap();
    let runs = study.runs().unwrap();
    for column in ["validation:accuracy.max", "train:loss.min", "epoch:seconds.avg"] {
        let sorted = runs.best_first(column).unwrap();
        let names = sorted.column("run").unwrap().str().unwrap();
        assert_eq!(names.get(1), Some("full seed 0"), "{column}");
    }
    assert!(
        study.summary().unwrap().caveats.iter().any(|caveat| caveat.contains("1 run diverged (full seed 0)"))
    );
}
