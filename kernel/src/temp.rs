//! The folder for a session's compiled cells, and what kernels that were killed have left behind.

use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;

const PREFIX: &str = "glisten-kernel-";

/// `$TMPDIR/glisten-kernel-<pid>-…`, removed when dropped.
pub(crate) struct SessionFolder(TempDir);

impl SessionFolder {
    /// Makes the folder, after removing those of processes that are no more.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(crate) fn create() -> anyhow::Result<Self> {
        sweep(&std::env::temp_dir());
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir();
        Ok(Self(folder.context("no temporary folder can be made")?))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Removes the folders of dead kernels in `folder`.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let pid = rest.and_then(|rest| rest.split('-').next()).and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid: i32| pid > 0 && !is_alive(pid)) {
            // Another user's folder stays: we may not remove it.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn is_alive(pid: i32) -> bool {
    // SAFETY: signal 0 only asks.
    let answer = unsafe { libc::kill(pid, 0) };
    answer == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folders_of_dead_kernels_are_swept() {
        let temp = tempfile::tempdir().unwrap();
        let own = format!("{PREFIX}{}-x", std::process::id());
        // The largest process id that Linux gives is 2^22.
        let dead = format!("{PREFIX}{}-y", (1 << 22) + 1);
        for name in [own.as_str(), dead.as_str(), "other-1-z"] {
            std::fs::create_dir(temp.path().join(name)).unwrap();
        }
        sweep(temp.path());
        let left = |name: &str| temp.path().join(name).exists();
        assert!(left(&own) && left("other-1-z") && !left(&dead));
    }
}
