//! The cache of fetched data sets: one folder each, which appears only whole, with a manifest of what is in it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::Kind;
use super::files;
use super::named::Whole;
use crate::error::{Error, Result};
use crate::{interrupt, progress};

/// The file that says what a folder of the cache holds; written last, so a folder with it is whole.
const MANIFEST: &str = "glisten.json";

/// What a folder of the cache holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) dataset: String,
    /// Where it came from, in words.
    pub(super) source: String,
    /// Whether the files have the published hashes; files given by the user need not.
    pub(super) as_published: bool,
    pub(super) files: Vec<ManifestFile>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ManifestFile {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// The user's folder for what Glisten fetches: `$GLISTEN_CACHE`, else `$XDG_CACHE_HOME/glisten`, else
/// `~/.cache/glisten`. It need not exist.
///
/// # Errors
/// [`Error::Argument`] if none of the three variables is set.
pub fn cache_dir() -> Result<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The XDG specification has relative paths ignored.
    var("GLISTEN_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("glisten")))
        .or_else(|| var("HOME").map(|home| home.join(".cache/glisten")))
        .ok_or_else(|| Error::argument("GLISTEN_CACHE", "a folder (HOME is not set either)", "nothing"))
}

/// The folder of one data set in the cache.
pub(super) fn folder(root: &Path, kind: Kind) -> PathBuf {
    root.join("data").join(kind.name())
}

/// Whether there is something whole for the data set, going by the manifest alone.
pub(super) fn is_there(dir: &Path) -> bool {
    dir.join(MANIFEST).is_file()
}

/// Checks each file against the manifest, and against the published hashes if the manifest says that it has these.
pub(super) fn verify(dir: &Path, kind: Kind) -> Result<Manifest> {
    let path = dir.join(MANIFEST);
    let manifest: Manifest = serde_json::from_slice(&files::read(&path)?)
        .map_err(|e| Error::bad_file(&path, "a manifest as Glisten writes it", e.to_string()))?;
    for (name, published) in kind.facts().files {
        let listed = manifest.files.iter().find(|file| file.name == *name);
        let listed = listed.ok_or_else(|| Error::bad_file(&path, format!("an entry for {name}"), "none"))?;
        let file = dir.join(name);
        let published = published.filter(|_| manifest.as_published);
        let expected = published.unwrap_or(listed.sha256.as_str());
        let found = files::sha256(&[&files::read(&file)?]);
        if found != expected {
            return Err(Error::bad_file(&file, format!("SHA-256 {expected}"), format!("SHA-256 {found}")));
        }
        interrupt::check()?;
    }
    Ok(manifest)
}

/// Puts a data set into the cache, in place of what is there: written beside, then renamed.
pub(super) fn put(root: &Path, kind: Kind, contents: &[Whole<'_>], manifest: &Manifest) -> Result<PathBuf> {
    let dir = folder(root, kind);
    let beside = temp_folder(root, kind)?;
    let new = beside.path().join("new");
    fs::create_dir(&new).map_err(Error::io(&new, "creating the folder"))?;
    for whole in contents {
        interrupt::check()?;
        whole.write(&new)?;
    }
    let path = new.join(MANIFEST);
    let text = serde_json::to_vec_pretty(manifest).map_err(|e| Error::io(&path, "writing")(e.into()))?;
    fs::write(&path, text).map_err(Error::io(&path, "writing"))?;
    if fs::symlink_metadata(&dir).is_ok() {
        let old = beside.path().join("old");
        fs::rename(&dir, &old).map_err(Error::io(&dir, "moving the earlier copy away"))?;
    }
    fs::rename(&new, &dir).map_err(Error::io(&dir, "putting the new copy in its place"))?;
    Ok(dir)
}

/// The beginning of the names of a data set's temporary folders.
fn temp_prefix(kind: Kind) -> String {
    format!(".tmp-{kind}-")
}

/// A folder on the cache's file system that goes when the value is dropped, or with the next fetch of this data set.
pub(super) fn temp_folder(root: &Path, kind: Kind) -> Result<tempfile::TempDir> {
    let parent = root.join("data");
    fs::create_dir_all(&parent).map_err(Error::io(&parent, "creating the folder"))?;
    tempfile::Builder::new()
        .prefix(&temp_prefix(kind))
        .tempdir_in(&parent)
        .map_err(Error::io(&parent, "creating a temporary folder"))
}

/// The right to change the data set's folder, until dropped.
pub(super) struct Lock {
    _file: File,
}

/// Waits for that right, and removes what a killed process has left of an earlier fetch.
pub(super) fn lock(root: &Path, kind: Kind) -> Result<Lock> {
    let parent = root.join("data");
    fs::create_dir_all(&parent).map_err(Error::io(&parent, "creating the folder"))?;
    let path = parent.join(format!(".lock-{kind}"));
    let file = File::options().create(true).append(true).open(&path).map_err(Error::io(&path, "opening"))?;
    let mut said = false;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {
                if !said {
                    progress::tell(|l| {
                        l.note(&format!("another process is fetching {kind}; waiting for it"))
                    });
                    said = true;
                }
                interrupt::check()?;
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(TryLockError::Error(e)) => return Err(Error::io(&path, "locking")(e)),
        }
    }
    clear_left_over(&parent, kind);
    Ok(Lock { _file: file })
}

/// Removes what a killed process has left, unless someone is at work just now.
pub(super) fn tidy(root: &Path, kind: Kind) {
    let parent = root.join("data");
    let file = File::options().append(true).open(parent.join(format!(".lock-{kind}")));
    if let Ok(file) = file
        && file.try_lock().is_ok()
    {
        clear_left_over(&parent, kind);
    }
}

/// Only tidiness: a folder that cannot be removed does not stand in the way.
fn clear_left_over(parent: &Path, kind: Kind) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&temp_prefix(kind)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
