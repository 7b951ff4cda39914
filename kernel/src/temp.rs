//! The folder for a session's compiled cells, and what kernels that were killed have left behind.
//!
//! A folder belongs to a live kernel as long as the file in it is locked. A process id would not do: a container that shares the
//! folder for temporary files counts processes for itself.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;

const PREFIX: &str = "glisten-kernel-";

/// The file that a live kernel holds locked.
const LOCK: &str = "lock";

/// `$TMPDIR/glisten-kernel-<pid>-…`, the user's alone, removed when dropped.
pub(crate) struct SessionFolder {
    folder: TempDir,
    /// The system lets go of the lock when the process ends, however that ends.
    _lock: File,
}

impl SessionFolder {
    /// Makes the folder, after removing those that no kernel holds any more.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(crate) fn create() -> anyhow::Result<Self> {
        let parent = std::env::temp_dir();
        sweep(&parent);
        Self::create_in(&parent)
    }

    fn create_in(parent: &Path) -> anyhow::Result<Self> {
        // The number tells whoever looks into the folder which process it is of.
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).permissions(Permissions::from_mode(0o700));
        let folder = builder.tempdir_in(parent);
        let folder = folder.with_context(|| format!("no folder can be made in {}", parent.display()))?;
        // It has its name only once it is locked: nobody finds it unlocked.
        let new = folder.path().join("lock.new");
        let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
        let lock = lock.with_context(|| format!("{} cannot be written", new.display()))?;
        if let Err(error) = lock.try_lock() {
            // Nobody else can lock files there either, so nobody will take the folder for one that is left behind.
            log::debug!("{} cannot be locked: {error}", new.display());
        }
        std::fs::rename(&new, folder.path().join(LOCK))?;
        Ok(Self { folder, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes from `parent` the folders of this user that a kernel has made and none holds. One without a lock is of an older version,
/// or not ours: it stays.
fn sweep(parent: &Path) {
    // SAFETY: it only asks.
    let user = unsafe { libc::geteuid() };
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_named_so = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        // Of the entry itself, not of what a link leads to.
        let is_own = |metadata: std::fs::Metadata| metadata.is_dir() && metadata.uid() == user;
        if !is_named_so || !entry.metadata().is_ok_and(is_own) {
            continue;
        }
        // A link or a pipe there is somebody's trap.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let lock = OpenOptions::new().read(true).custom_flags(flags).open(entry.path().join(LOCK));
        let Ok(lock) = lock else { continue };
        if lock.metadata().is_ok_and(|metadata| metadata.is_file())
            && lock.try_lock().is_ok()
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            log::debug!("{} cannot be removed: {error}", entry.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_folders_that_nobody_holds_are_swept() {
        let temp = tempfile::tempdir().unwrap();
        let live = SessionFolder::create_in(temp.path()).unwrap();
        let killed = SessionFolder::create_in(temp.path()).unwrap();
        let at = killed.path().to_path_buf();
        std::fs::create_dir(at.join("cell_1")).unwrap();
        // As the end of the process leaves it.
        let SessionFolder { folder, _lock } = killed;
        let _ = folder.keep();
        drop(_lock);
        sweep(temp.path());
        assert!(live.path().join(LOCK).exists() && !at.exists());
    }

    #[test]
    fn a_folder_of_a_process_that_is_not_seen_here_is_held_all_the_same() {
        // As in a container with process ids of its own: the largest that Linux gives is 2^22.
        let temp = tempfile::tempdir().unwrap();
        let live = SessionFolder::create_in(temp.path()).unwrap();
        let elsewhere = temp.path().join(format!("{PREFIX}{}-x", (1 << 22) + 1));
        std::fs::rename(live.path(), &elsewhere).unwrap();
        sweep(temp.path());
        assert!(elsewhere.join(LOCK).exists());
    }

    #[test]
    fn what_is_not_a_kernels_is_left_and_links_are_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join(LOCK), "theirs").unwrap();
        let place = |name: &str| temp.path().join(format!("{PREFIX}{name}"));
        symlink(other.path(), place("1-link")).unwrap();
        for name in ["2-old", "3-trap", "4-folder"] {
            std::fs::create_dir(place(name)).unwrap();
        }
        symlink(other.path().join(LOCK), place("3-trap").join(LOCK)).unwrap();
        std::fs::create_dir(place("4-folder").join(LOCK)).unwrap();
        std::fs::create_dir(temp.path().join("other-5")).unwrap();
        std::fs::write(temp.path().join("other-5").join(LOCK), "").unwrap();
        sweep(temp.path());
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 5);
        assert!(other.path().join(LOCK).exists());
    }

    #[test]
    fn the_folder_is_the_users_alone() {
        let temp = tempfile::tempdir().unwrap();
        let folder = SessionFolder::create_in(temp.path()).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&folder.path().join(LOCK))), (0o700, 0o600));
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, [LOCK]);
    }
}
