//! The private Python environment of this clone: JupyterLab, the client that runs notebooks, and the Glisten kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::folders::{self, Folders};
use crate::{process, say};

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// The environment's folder. Another list of requirements gets another folder.
pub(crate) fn folder(folders: &Folders) -> PathBuf {
    folders.target.join("python").join(&folders::digest(REQUIREMENTS)[..12])
}

/// Whether the environment is whole, and the Python that it was made from is still there.
pub(crate) fn is_complete(folders: &Folders) -> bool {
    let folder = folder(folders);
    // The scripts inside hold the path: a clone that was moved needs a new environment.
    let made_at = fs::read_to_string(folder.join(".complete"));
    made_at.is_ok_and(|path| Path::new(&path) == folder) && folder.join("bin/python").exists()
}

/// Makes the environment, unless it is whole, and returns its Python.
///
/// # Errors
/// If venv or pip fails.
pub(crate) fn provide(folders: &Folders) -> Result<PathBuf> {
    let folder = folder(folders);
    let python = folder.join("bin/python");
    if is_complete(folders) {
        return Ok(python);
    }
    say::step("making a private Python environment");
    // An environment cannot be renamed into place, since its scripts hold its path: `.complete`, written last, tells a whole
    // one from what a killed command has left.
    let environments = folder.parent().context("no folder for environments")?;
    folders::remove(environments)?;
    // Inside `environments`, where the next call sweeps what a killed pip has left.
    let temporary = environments.join("tmp");
    fs::create_dir_all(&temporary).with_context(|| format!("cannot make {}", environments.display()))?;
    process::output(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let requirements = folder.join("requirements.txt");
    folders::write_atomically(&requirements, REQUIREMENTS)?;
    let mut install = Command::new(&python);
    install.env("TMPDIR", &temporary).env("PIP_ROOT_USER_ACTION", "ignore").args([
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--requirement",
    ]);
    process::run_behind_spinner(
        "installing JupyterLab and nbclient",
        &mut [{
            install.arg(&requirements);
            install
        }],
    )?;
    folders::remove(&temporary)?;
    folders::write_atomically(&folder.join(".complete"), folder.to_string_lossy().as_bytes())?;
    Ok(python)
}

/// A command of the environment's Python that sees the kernels of the environment before all others.
pub(crate) fn command(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.env("JUPYTER_PREFER_ENV_PATH", "1").env_remove("JUPYTER_PATH").env_remove("PYTHONPATH");
    command.env("PYTHONUNBUFFERED", "1");
    command
}
