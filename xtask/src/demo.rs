//! `cargo xtask demo`: the example notebook, run through the kernel by a real Jupyter client, and its report.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::folders::{self, Folders};
use crate::plan::{self, Part, Step};
use crate::setup::Ready;
use crate::{process, python, say, setup};

const NOTEBOOK: &str = "01-how-much-data.ipynb";
const EXPERIMENT: &str = "how-much-data";
/// What the notebook takes on two quiet cores.
const NOTEBOOK_SECS: f64 = 300.0;
const RUNNER: &str = include_str!("run_notebook.py");

/// Does what is missing of the set-up and of the demo, then prints the runs and where the results are.
///
/// # Errors
/// If a step fails; a failing cell is shown with its error.
pub(crate) fn run(folders: &Folders) -> Result<()> {
    let start = Instant::now();
    let out = folders.target.join("demo");
    let before = Done::read(&out);
    let notebook = folders.root.join("notebooks").join(NOTEBOOK);
    let then = if before.is_some() {
        Vec::new()
    } else {
        vec![
            Step::new("Fashion-MNIST: download 30 MB, unless it is in the cache", 10.0).of(Part::Data),
            Step::per_core(
                format!("run {NOTEBOOK}: 30 training runs (those in the store are kept)"),
                2.0 * NOTEBOOK_SECS,
                2,
            ),
        ]
    };
    let mut ready = setup::whole(folders, then)?;
    let set_up = start.elapsed();

    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let _lock = folders::lock(&out)?;
    let inputs = inputs(&notebook, &ready)?;
    let sweep = match before.filter(|done| done.inputs == inputs) {
        Some(done) => {
            say::step(&format!(
                "{NOTEBOOK} has been run with this build (remove {} to run it anew)",
                out.display()
            ));
            done.sweep
        }
        None => run_notebook(folders, &mut ready, &notebook, &out, &inputs)?,
    };

    let mut runs = Command::new(folders.program("glisten")?);
    runs.arg("runs").arg("--store").arg(out.join("glisten.db")).arg(EXPERIMENT);
    process::run(&mut runs)?;
    say::step("done");
    say::note(&format!("notebook  {}", out.join(NOTEBOOK).display()));
    say::note(&format!("report    {}", out.join("report.html").display()));
    say::note(&format!("store     {}", out.join("glisten.db").display()));
    let [set_up, sweep, whole] = [set_up, sweep, start.elapsed()].map(say::duration);
    say::note(&format!("times     set-up {set_up}, notebook {sweep}, this command {whole}"));
    Ok(())
}

/// Fetches the data and runs the notebook; returns how long the notebook took.
fn run_notebook(
    folders: &Folders,
    ready: &mut Ready,
    notebook: &Path,
    out: &Path,
    inputs: &str,
) -> Result<Duration> {
    say::step("Fashion-MNIST");
    let mut fetch = Command::new(folders.program("glisten")?);
    ready.plan.run(Part::Data, || process::run(fetch.args(["data", "fetch", "fashion-mnist"])))?;
    // An earlier demo of another build was not planned to be done again.
    let planned = ready.plan.expected(Part::Work);
    let expected = plan::rough(if planned > 0.0 { planned } else { NOTEBOOK_SECS });
    say::step(&format!("running {NOTEBOOK} in {}: {expected}, less what its store holds", out.display()));
    folders::remove(&Done::path(out))?;
    let start = Instant::now();
    let mut runner = runner(ready, folders)?;
    runner.arg(notebook).arg(out.join(NOTEBOOK)).env("GLISTEN_STORE", out.join("glisten.db"));
    if !process::succeeds(&mut runner)? {
        bail!("the notebook did not run to its end: see the error above");
    }
    let sweep = start.elapsed();
    if !out.join("report.html").is_file() {
        bail!("{NOTEBOOK} ran, but left no {}", out.join("report.html").display());
    }
    let done = json!({ "inputs": inputs, "sweep_secs": sweep.as_secs_f64() });
    folders::write_atomically(&Done::path(out), done.to_string())?;
    Ok(sweep)
}

/// The command that runs a notebook: the environment's Python with `run_notebook.py`.
fn runner(ready: &Ready, folders: &Folders) -> Result<Command> {
    let script = folders.target.join("run_notebook.py");
    folders::write_atomically(&script, RUNNER)?;
    let mut command = python::command(&ready.python);
    command.arg(script).args(["--kernel", "glisten"]);
    Ok(command)
}

/// `done.json` in the demo's folder: the notebook ran to its end.
struct Done {
    inputs: String,
    sweep: Duration,
}

impl Done {
    fn path(out: &Path) -> PathBuf {
        out.join("done.json")
    }

    /// What an earlier call has done, if all that it left is still there.
    fn read(out: &Path) -> Option<Self> {
        let done: serde_json::Value = serde_json::from_slice(&fs::read(Self::path(out)).ok()?).ok()?;
        let all_there = [NOTEBOOK, "report.html", "glisten.db"].iter().all(|name| out.join(name).is_file());
        let sweep = Duration::try_from_secs_f64(done["sweep_secs"].as_f64()?).ok()?;
        all_there.then(|| Some(Self { inputs: done["inputs"].as_str()?.to_owned(), sweep }))?
    }
}

/// What the demo's results depend on.
fn inputs(notebook: &Path, ready: &Ready) -> Result<String> {
    let text = fs::read_to_string(notebook).with_context(|| format!("cannot read {}", notebook.display()))?;
    Ok(folders::digest(&format!("{text}\n{}", ready.bundle.display())))
}
