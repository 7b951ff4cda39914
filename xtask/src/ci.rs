//! A build cache that runs of CI share, in the user's cache folder; used when it can be, needed never.
//!
//! Cargo's fingerprints of the crates from the registry do not hold the workspace's path, so any clone that builds in
//! `<cache>/ci-target` finds them fresh, Polars above all. Those of the workspace's own packages do: they are of use to one
//! clone only, and are removed when another one comes, so that the cache does not grow.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::folders::{self, Folders};
use crate::{process, say};

/// How long to wait for another run before building without the cache.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// A cache larger than this starts anew: it holds dependencies of long ago.
const MAX_BYTES: u64 = 20_000_000_000;
const MEMBERS: &[&str] = &["glisten", "glisten-kernel", "glisten-prelude", "glisten-reports", "xtask"];

/// Under CI (`CI` is set, and the target folder is not chosen otherwise), makes cargo build in the shared folder. The file
/// must be kept until the end: it holds off other clones.
///
/// # Errors
/// If the cache cannot be written to, or the user stops the wait.
pub(crate) fn share_target(folders: &Folders) -> Result<Option<File>> {
    let is_set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty() && v != "false");
    if !is_set("CI") || is_set("CARGO_TARGET_DIR") {
        return Ok(None);
    }
    let shared = folders.cache.join("ci-target");
    fs::create_dir_all(&shared).with_context(|| format!("cannot make {}", shared.display()))?;
    let path = shared.join(".clone-lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
    let start = Instant::now();
    while lock.try_lock().is_err() {
        process::check_interrupt()?;
        if start.elapsed() > PATIENCE {
            say::note("the shared build cache is still in use: building without it");
            return Ok(None);
        }
        if start.elapsed() < Duration::from_secs(1) {
            say::note("waiting for another run that uses the shared build cache");
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    if size(&shared) > MAX_BYTES {
        say::note("the shared build cache has grown beyond 20 GB: starting it anew");
        folders::remove(&shared.join("release"))?;
    }
    let owner = shared.join(".clone");
    let this = folders.root.to_string_lossy().into_owned();
    if fs::read_to_string(&owner).ok().as_ref() != Some(&this) {
        forget_members(&shared.join("release"))?;
        folders::write_atomically(&owner, &this)?;
    }
    say::note(&format!("building in {}", shared.display()));
    folders.use_cargo_target(shared);
    Ok(Some(lock))
}

/// Bytes of the files in `folder`, as far as they can be read.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() { size(&entry.path()) } else { metadata.len() })
    });
    sizes.sum()
}

/// Removes from a profile's folder what was built of the workspace's own packages.
///
/// # Errors
/// If a folder cannot be read, or a file stays.
pub(crate) fn forget_members(profile: &Path) -> Result<()> {
    // Fingerprints first: without one, cargo builds anew, whatever else is left.
    for name in [".fingerprint", "build", "deps"] {
        let in_deps = name == "deps";
        let folder = profile.join(name);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
            if is_of_member(&entry.file_name().to_string_lossy(), in_deps) {
                folders::remove(&entry.path())?;
            }
        }
    }
    folders::remove(&profile.join("incremental"))
}

/// Whether cargo gave this name (`NAME-HASH`, `libNAME-HASH.rlib`) to something of a package of this workspace: one that is
/// called like a member, or a program, of which the registry's crates leave none beside their libraries.
fn is_of_member(name: &str, in_deps: bool) -> bool {
    if in_deps && !name.contains('.') {
        return true;
    }
    let stem = name.split('.').next().unwrap_or(name);
    let stem = stem.strip_prefix("lib").unwrap_or(stem);
    let Some((package, _hash)) = stem.rsplit_once('-') else { return false };
    MEMBERS.iter().any(|member| package == *member || package == member.replace('-', "_"))
}
