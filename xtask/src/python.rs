//! Private Python environments; first of all the one of this clone: JupyterLab, the client that runs notebooks, and the Glisten kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::folders::{self, Folders};
use crate::{process, say};

const REQUIREMENTS: &str = include_str!("requirements.txt");
const TRACKERS: &str = include_str!("trackers-requirements.txt");

/// The environment's folder. Another list of requirements gets another folder.
pub(crate) fn folder(folders: &Folders) -> PathBuf {
    own(&folders.target.join("python")).folder()
}

/// Whether the environment is whole, and the Python that it was made from is still there.
pub(crate) fn is_complete(folders: &Folders) -> bool {
    own(&folders.target.join("python")).is_complete()
}

/// Makes the environment, unless it is whole, and returns its Python.
///
/// # Errors
/// If venv or pip fails.
pub(crate) fn provide(folders: &Folders) -> Result<PathBuf> {
    own(&folders.target.join("python")).provide("installing JupyterLab and nbclient")
}

/// Whether the environment of [`provide_trackers`] is whole.
pub(crate) fn has_trackers(folders: &Folders) -> bool {
    trackers(&folders.target.join("trackers")).is_complete()
}

/// Makes the environment with the trackers that the tests of exports and imports talk to, MLflow and TensorBoard, unless it
/// is whole, and returns its Python.
///
/// # Errors
/// If venv or pip fails.
pub(crate) fn provide_trackers(folders: &Folders) -> Result<PathBuf> {
    trackers(&folders.target.join("trackers")).provide("installing MLflow and TensorBoard for the tests")
}

fn trackers(place: &Path) -> Environment<'_> {
    Environment { place, requirements: TRACKERS, without_dependencies: true }
}

fn own(place: &Path) -> Environment<'_> {
    Environment { place, requirements: REQUIREMENTS, without_dependencies: false }
}

/// A Python environment by what it holds. `place` has room for one: another list of requirements takes the place of the first.
pub(crate) struct Environment<'a> {
    pub(crate) place: &'a Path,
    /// As pip reads it; every package pinned.
    pub(crate) requirements: &'a str,
    /// The list is complete: pip does not look at what its packages require.
    pub(crate) without_dependencies: bool,
}

impl Environment<'_> {
    fn folder(&self) -> PathBuf {
        self.place.join(&folders::digest(self.requirements)[..12])
    }

    fn is_complete(&self) -> bool {
        let folder = self.folder();
        // The scripts inside hold the path: a clone that was moved needs a new environment.
        let made_at = fs::read_to_string(folder.join(".complete"));
        made_at.is_ok_and(|path| Path::new(&path) == folder) && folder.join("bin/python").exists()
    }

    /// Makes it, unless it is whole, saying `message` meanwhile; returns its Python.
    ///
    /// # Errors
    /// If venv or pip fails.
    pub(crate) fn provide(&self, message: &str) -> Result<PathBuf> {
        let folder = self.folder();
        let python = folder.join("bin/python");
        if self.is_complete() {
            return Ok(python);
        }
        say::step("making a private Python environment");
        // An environment cannot be renamed into place, since its scripts hold its path: `.complete`, written last, tells a
        // whole one from what a killed command has left.
        folders::remove(self.place)?;
        // Inside `place`, where the next call sweeps what a killed pip has left.
        let temporary = self.place.join("tmp");
        fs::create_dir_all(&temporary).with_context(|| format!("cannot make {}", self.place.display()))?;
        process::output(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let requirements = folder.join("requirements.txt");
        folders::write_atomically(&requirements, self.requirements)?;
        let mut install = Command::new(&python);
        install.env("TMPDIR", &temporary).env("PIP_ROOT_USER_ACTION", "ignore").args([
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--quiet",
        ]);
        if self.without_dependencies {
            install.arg("--no-deps");
        }
        install.arg("--requirement").arg(&requirements);
        process::run_behind_spinner(message, &mut [install])?;
        folders::remove(&temporary)?;
        folders::write_atomically(&folder.join(".complete"), folder.to_string_lossy().as_bytes())?;
        Ok(python)
    }
}

/// A command of the environment's Python that sees the kernels of the environment before all others.
pub(crate) fn command(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.env("JUPYTER_PREFER_ENV_PATH", "1").env_remove("JUPYTER_PATH").env_remove("PYTHONPATH");
    command.env("PYTHONUNBUFFERED", "1");
    command
}
