//! The set-up that every command shares, as far as that command needs it.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

use crate::build::Artifact;
use crate::folders::{self, Folders};
use crate::plan::{self, Part, Plan, Step};
use crate::{build, bundle, libtorch, preflight, process, python, say};

/// What the set-up has made.
pub(crate) struct Ready {
    /// The notebook bundle, by its true path.
    pub(crate) bundle: PathBuf,
    /// The environment's Python.
    pub(crate) python: PathBuf,
    /// What was announced, as far as it has come.
    pub(crate) plan: Plan,
}

/// `cargo xtask libtorch`.
///
/// # Errors
/// See [`libtorch::Plan::carry_out`].
pub(crate) fn libtorch_only(folders: &Folders) -> Result<()> {
    let Some(plan) = libtorch::plan(folders)? else { return Ok(()) };
    plan::announce(plan.steps(folders));
    preflight::check_tools()?;
    preflight::check_disk(&folders.cache, plan.disk_bytes(), "libtorch")?;
    plan.carry_out(folders)
}

/// libtorch and the build: the programs alone. `then` is what the command does afterwards, for the announcement.
///
/// # Errors
/// If a step fails.
pub(crate) fn up_to_programs(folders: &Folders, then: Vec<Step>) -> Result<()> {
    let mut plan = announce_and_check(folders, Wanted::Programs, then)?;
    make_programs(folders, &mut plan).map(|_| ())
}

/// `cargo xtask bundle`: libtorch, the build, the bundle.
///
/// # Errors
/// If a step fails.
pub(crate) fn up_to_bundle(folders: &Folders) -> Result<()> {
    let mut plan = announce_and_check(folders, Wanted::Bundle, Vec::new())?;
    let bundle = make_bundle(folders, &mut plan)?;
    say::note(&format!("bundle: {}", bundle.display()));
    Ok(())
}

/// The whole set-up: libtorch, the build, the bundle, Python and the kernel in it. `then` is what the command does
/// afterwards, for the announcement.
///
/// # Errors
/// If a step fails.
pub(crate) fn whole(folders: &Folders, then: Vec<Step>) -> Result<Ready> {
    let start = Instant::now();
    let mut plan = announce_and_check(folders, Wanted::All, then)?;
    let bundle = make_bundle(folders, &mut plan)?;
    let _lock = folders::lock(&folders.target)?;
    let python = plan.run(Part::Python, || {
        let python = python::provide(folders)?;
        let mut install = std::process::Command::new(folders.program("glisten-kernel")?);
        install.args(["install", "--name", "glisten", "--prefix"]).arg(python::folder(folders));
        process::output(install.arg("--bundle").arg(bundle::link(folders)))?;
        Ok(python)
    })?;
    say::note(&format!("set-up: {}", say::duration(start.elapsed())));
    Ok(Ready { bundle, python, plan })
}

/// How much of the set-up a command needs; each takes in those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    Programs,
    Bundle,
    All,
}

fn make_programs(folders: &Folders, plan: &mut Plan) -> Result<Vec<Artifact>> {
    if let Some(libtorch) = libtorch::plan(folders)? {
        plan.run(Part::Libtorch, || libtorch.carry_out(folders))?;
    }
    plan.run(Part::Build, || build::build(folders))
}

fn make_bundle(folders: &Folders, plan: &mut Plan) -> Result<PathBuf> {
    let artifacts = make_programs(folders, plan)?;
    let _lock = folders::lock(&folders.target)?;
    plan.run(Part::Bundle, || bundle::provide(folders, &artifacts))
}

/// Says what is missing and how long it takes, and checks that this machine can do it. Quick if nothing is missing.
fn announce_and_check(folders: &Folders, wanted: Wanted, then: Vec<Step>) -> Result<Plan> {
    let mut steps = Vec::new();
    let libtorch = libtorch::plan(folders)?;
    if let Some(plan) = &libtorch {
        steps.extend(plan.steps(folders));
    }
    let build = build::step(folders)?;
    let build_bytes = if build.is_some() { 12_000_000_000 } else { 1_000_000_000 };
    steps.extend(build);
    if wanted >= Wanted::Bundle && !bundle::exists(folders) {
        steps.push(Step::per_core("link the notebook bundle", 40.0, 1).of(Part::Bundle));
    }
    if wanted == Wanted::All && !python::is_complete(folders) {
        steps.push(
            Step::new("a private Python environment with JupyterLab: download 60 MB", 60.0).of(Part::Python),
        );
    }
    let sets_up = !steps.is_empty();
    steps.extend(then);
    let plan = plan::announce(steps);
    if sets_up {
        preflight::check_tools()?;
        if let Some(plan) = &libtorch {
            preflight::check_disk(&folders.cache, plan.disk_bytes(), "libtorch")?;
        }
        preflight::check_disk(folders.cargo_target()?, build_bytes, "the build")?;
    }
    Ok(plan)
}
