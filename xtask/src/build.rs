//! The release build. One profile and always the whole workspace: another set of packages would unify features differently,
//! and cargo would build Polars a second time.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::folders::Folders;
use crate::plan::{Part, Step};
use crate::process::{self, Guarded};
use crate::say;

/// A library that cargo has built, or found fresh.
#[derive(Debug, Clone)]
pub(crate) struct Artifact {
    /// Cargo's name for the package, as in `cargo metadata`.
    pub(crate) package: String,
    /// What cells need of it: `deps/libNAME-HASH.rmeta`, or the `.so` of a procedural macro.
    pub(crate) file: PathBuf,
    pub(crate) is_proc_macro: bool,
    /// Build dependencies are built with another optimisation level than the program's own libraries.
    pub(crate) opt_level: String,
}

impl Artifact {
    /// The library with its code.
    pub(crate) fn rlib(&self) -> PathBuf {
        self.file.with_extension("rlib")
    }
}

/// The step for the announcement, unless the programs are there (whether they are fresh, cargo finds out quickly).
///
/// # Errors
/// If cargo cannot be asked for its target folder.
pub(crate) fn step(folders: &Folders) -> Result<Option<Step>> {
    if folders.program("glisten-kernel")?.is_file() && folders.program("glisten")?.is_file() {
        return Ok(None);
    }
    let deps = folders.cargo_target()?.join("release/deps");
    let step = if has_polars(&deps) {
        Step::per_core("build Glisten (its dependencies are built)", 300.0, 4)
    } else {
        Step::per_core("build Glisten and its dependencies (Polars is most of it)", 2400.0, 16)
    };
    Ok(Some(step.of(Part::Build)))
}

/// Whether the heaviest dependency has been built.
fn has_polars(deps: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(deps) else { return false };
    entries.filter_map(|e| e.ok()).any(|e| {
        let name = e.file_name().to_string_lossy().into_owned();
        name.starts_with("libpolars-") && name.ends_with(".rlib")
    })
}

/// Builds the workspace and returns its libraries and those of its dependencies.
///
/// # Errors
/// If it does not build; cargo has said why.
pub(crate) fn build(folders: &Folders) -> Result<Vec<Artifact>> {
    say::step("building (release)");
    let mut command = folders.cargo()?;
    command.args([
        "build",
        "--release",
        "--workspace",
        "--locked",
        "--message-format=json-render-diagnostics",
    ]);
    let mut cargo = Guarded::start(command.stdout(Stdio::piped()))?;
    let stdout = cargo.child.stdout.take().context("cargo has no output")?;
    let mut artifacts = Vec::new();
    for line in BufReader::new(stdout).lines() {
        artifacts.extend(artifact(&line.context("cannot read what cargo says")?));
    }
    let status = cargo.wait()?;
    process::check_interrupt()?;
    if !status.success() {
        bail!("the build failed: see cargo's messages above");
    }
    Ok(artifacts)
}

/// The library that one line of cargo's messages speaks of.
pub(crate) fn artifact(line: &str) -> Option<Artifact> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let kinds = message["target"]["kind"].as_array()?;
    let is_proc_macro = kinds.iter().any(|kind| kind == "proc-macro");
    let wanted = if is_proc_macro { "so" } else { "rmeta" };
    let files = message["filenames"].as_array()?.iter().filter_map(|f| f.as_str()).map(PathBuf::from);
    Some(Artifact {
        package: message["package_id"].as_str()?.to_owned(),
        file: files.into_iter().find(|f| f.extension().is_some_and(|e| e == wanted))?,
        is_proc_macro,
        opt_level: message["profile"]["opt_level"].as_str()?.to_owned(),
    })
}
