//! Where things lie: the repository, cargo's target folder, the user's cache.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::{process, say};

/// The folders that the tasks work in.
pub(crate) struct Folders {
    /// The root of this clone.
    pub(crate) root: PathBuf,
    /// `target` of this clone: the bundle, the Python environment and the demo's results. Cargo's own files may lie
    /// elsewhere: see [`Folders::cargo_target`].
    pub(crate) target: PathBuf,
    /// `glisten` in the user's cache folder, shared by all clones.
    pub(crate) cache: PathBuf,
    cargo_target: OnceLock<PathBuf>,
}

impl Folders {
    /// Finds them; the cache follows `XDG_CACHE_HOME`.
    ///
    /// # Errors
    /// If there is neither `XDG_CACHE_HOME` nor `HOME`.
    pub(crate) fn locate() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let manifest = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        let root = manifest.parent().unwrap_or(&manifest).to_owned();
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        let cache = cache.context("no cache folder: set HOME, or XDG_CACHE_HOME to an absolute path")?;
        Ok(Self::new(root, cache.join("glisten")))
    }

    /// Folders of the clone at `root`, with `cache` as the shared one.
    pub(crate) fn new(root: PathBuf, cache: PathBuf) -> Self {
        Self { target: root.join("target"), root, cache, cargo_target: OnceLock::new() }
    }

    /// Makes cargo build in `folder` from now on.
    pub(crate) fn use_cargo_target(&self, folder: PathBuf) {
        let _ = self.cargo_target.set(folder);
    }

    /// Cargo's target folder, as cargo itself sees it (`CARGO_TARGET_DIR`, configuration).
    ///
    /// # Errors
    /// If `cargo metadata` fails.
    pub(crate) fn cargo_target(&self) -> Result<&Path> {
        if let Some(folder) = self.cargo_target.get() {
            return Ok(folder);
        }
        let text = process::output(
            Command::new(cargo())
                .args(["metadata", "--format-version", "1", "--no-deps"])
                .current_dir(&self.root),
        )?;
        let metadata: serde_json::Value =
            serde_json::from_str(&text).context("`cargo metadata` gave no JSON")?;
        let folder =
            metadata["target_directory"].as_str().context("`cargo metadata` names no target folder")?;
        Ok(self.cargo_target.get_or_init(|| PathBuf::from(folder)))
    }

    /// A cargo command in this clone.
    ///
    /// # Errors
    /// As [`Folders::cargo_target`].
    pub(crate) fn cargo(&self) -> Result<Command> {
        let mut command = Command::new(cargo());
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", self.cargo_target()?);
        Ok(command)
    }

    /// A program that the release build made.
    ///
    /// # Errors
    /// As [`Folders::cargo_target`].
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        Ok(self.cargo_target()?.join("release").join(name))
    }

    /// The link in the clone that points at libtorch.
    pub(crate) fn libtorch_link(&self) -> PathBuf {
        self.root.join(".libtorch")
    }
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Holds `folder/.lock` until dropped, so that two commands do not make the same thing at once.
///
/// # Errors
/// If the file cannot be made or locked, or the user stops the wait.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            say::note(&format!("waiting for another command ({})", path.display()))
        }
        Err(fs::TryLockError::Error(error)) => bail!("cannot lock {}: {error}", path.display()),
    }
    match file.lock() {
        Ok(()) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => bail!("stopped"),
        Err(error) => bail!("cannot lock {}: {error}", path.display()),
    }
}

/// Puts `bytes` into `path` so that a reader sees the old file or the new one, never a part.
///
/// # Errors
/// If the folder cannot be written to.
pub(crate) fn write_atomically(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    let part = with_suffix(path, &format!(".{}.part", std::process::id()));
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Makes `link` point at `target`, replacing what it pointed at before in one step.
///
/// # Errors
/// If `link` is there and is not a symbolic link, or the folder cannot be written to.
pub(crate) fn replace_link(link: &Path, target: &Path) -> Result<()> {
    if link.symlink_metadata().is_ok_and(|m| !m.is_symlink()) {
        bail!(
            "{} should be a symbolic link, but is a file or folder of its own: move it away",
            link.display()
        );
    }
    let part = with_suffix(link, &format!(".{}.part", std::process::id()));
    let _ = fs::remove_file(&part);
    let made = std::os::unix::fs::symlink(target, &part).and_then(|()| fs::rename(&part, link));
    made.with_context(|| format!("cannot link {} to {}", link.display(), target.display()))
}

/// `path` with `suffix` after its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a file or folder that may not be there.
///
/// # Errors
/// If it is there and stays.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(m) if m.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// SHA-256 of a text, in hexadecimal.
pub(crate) fn digest(text: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(text.as_bytes()))
}
