//! Puts a finished page on disk, whole or not at all.

use crate::error::{Error, Result};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// Writes `html` to `path`: into a file beside it first, which then takes its place in one step. Whoever reads
/// `path` sees the old page or the new one, never half of either.
///
/// # Errors
/// [`Error::Write`] where the folder cannot be written to; nothing is left behind then.
pub fn write(path: &Path, html: &str) -> Result<()> {
    write_bytes(path, html.as_bytes())
}

/// As [`write()`], for what is no text.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    if path.file_name().is_none() || path.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "expected the path of a file, found a folder",
        ));
    }
    // Two threads of one process must not share the file either, and a long name must stay within its limit.
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_file_name(format!(".report-{}-{unique}.part", std::process::id()));
    let written = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report; a file that was never made cannot be removed.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    // A file of this name can only be left over from a killed process that had our number.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
