//! Puts finished files on disk, whole or not at all: the one way in which Glisten writes a file to a place that its user named.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// A file that is being written. It is another one beside its place, under a random name that nobody else can have put
/// something under, until [`WholeFile::finish`] puts it there in one step: whoever reads sees the old file or the new one, never
/// half of either. One that is dropped before is gone, and the old one stays.
///
/// Who may read it is what the user's umask says; where there is a file already, what that file says. A link at its place is
/// replaced, and what it leads to stays as it is.
#[derive(Debug)]
pub struct WholeFile {
    part: NamedTempFile,
    path: PathBuf,
}

impl WholeFile {
    /// Begins to write `path`, whose folder has to be there.
    ///
    /// # Errors
    /// As [`File::create_new`] in that folder; [`io::ErrorKind::InvalidInput`] or [`io::ErrorKind::IsADirectory`] where
    /// something that is no file is at the place: a folder, a device, a named pipe.
    pub fn create(path: &Path) -> io::Result<Self> {
        if path.file_name().is_none() {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "expected the path of a file, found a folder",
            ));
        }
        let mut permissions = None;
        if let Ok(there) = path.metadata() {
            let kind = there.file_type();
            if kind.is_dir() {
                let text = "expected the path of a file, found a folder";
                return Err(io::Error::new(io::ErrorKind::IsADirectory, text));
            }
            if !kind.is_file() {
                // As root one would put a file in the place of /dev/stdout, and of /dev/null.
                let found = if kind.is_fifo() { "a named pipe" } else { "a device" };
                let text = format!("expected the path of a file, found {found}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            let is_link = path.symlink_metadata().is_ok_and(|there| there.is_symlink());
            permissions = (!is_link).then(|| Permissions::from_mode(there.permissions().mode() & 0o777));
        }
        let folder = folder_of(path);
        let part = tempfile::Builder::new()
            .prefix(&prefix_of(path))
            .suffix(".part")
            // Less what the umask takes away.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        if let Some(permissions) = permissions {
            part.as_file().set_permissions(permissions)?;
        }
        Ok(Self { part, path: path.to_owned() })
    }

    /// The file that is written to.
    pub fn file(&self) -> &File {
        self.part.as_file()
    }

    /// Has what was written on the disk, and puts it in its place. Returns how many bytes there are.
    ///
    /// # Errors
    /// As [`File::sync_all`] and [`std::fs::rename`]; then what was there before is there still.
    pub fn finish(self) -> io::Result<u64> {
        let Self { part, path } = self;
        part.as_file().sync_all()?;
        let n_bytes = part.as_file().metadata()?.len();
        part.persist(&path).map_err(|failed| failed.error)?;
        // The name is on the disk when the folder is, on file systems that know such a thing.
        match File::open(folder_of(&path)).and_then(|folder| folder.sync_all()) {
            Err(error)
                if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
            {
                Err(error)
            }
            _ => Ok(n_bytes),
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.part.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.part.as_file_mut().flush()
    }
}

/// A dot and the name, or the beginning of a long one: with what follows it has to be a file's name itself.
fn prefix_of(path: &Path) -> String {
    const LONGEST: usize = 40;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{}-", name.chars().take(LONGEST).collect::<String>())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes `html` to `path`: the old page is there or the new one, never half of either.
///
/// # Errors
/// [`Error::Write`] where the folder cannot be written to; nothing is left behind then.
pub fn write(path: &Path, html: &str) -> Result<()> {
    write_bytes(path, html.as_bytes())
}

/// As [`write()`], for what is no text.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = WholeFile::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.finish()
    });
    written.map(drop).map_err(|source| Error::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    /// The names of the folder, and nothing half-written among them.
    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn links_are_replaced_and_what_they_lead_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (private, page) = (folder.path().join("private"), folder.path().join("report.html"));
        fs::write(&private, "mine").unwrap();
        // Under every name that a process with a number of up to some thousands could have chosen in a predictable way.
        for counter in 0..3 {
            let name = format!(".report-{}-{counter}.part", std::process::id());
            symlink(&private, folder.path().join(name)).unwrap();
        }
        symlink(&private, folder.path().join(format!("report.html.{}.part", std::process::id()))).unwrap();
        symlink(&private, &page).unwrap();
        write(&page, "<p>").unwrap();
        assert_eq!(fs::read_to_string(&private).unwrap(), "mine");
        assert_eq!(fs::read_to_string(&page).unwrap(), "<p>");
        assert!(!page.symlink_metadata().unwrap().is_symlink());
    }

    #[test]
    fn who_may_read_it_is_said_by_the_umask_or_by_the_file_that_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let (usual, page) = (folder.path().join("usual"), folder.path().join("page"));
        // What the umask leaves of 0666: it belongs to the process, and other tests run beside this one.
        fs::write(&usual, "").unwrap();
        write(&page, "one").unwrap();
        assert_eq!(mode(&page), mode(&usual));
        for kept in [0o600, 0o640, 0o664] {
            fs::set_permissions(&page, Permissions::from_mode(kept)).unwrap();
            write(&page, "two").unwrap();
            assert_eq!(mode(&page), kept);
        }
        // A link says nothing of who may read what takes its place.
        fs::set_permissions(&usual, Permissions::from_mode(0o600)).unwrap();
        let link = folder.path().join("link");
        symlink(&usual, &link).unwrap();
        write(&link, "three").unwrap();
        let other = folder.path().join("other");
        fs::write(&other, "").unwrap();
        assert_eq!(mode(&link), mode(&other));
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let null = folder.path().join("null");
        symlink("/dev/null", &null).unwrap();
        for (path, found) in [
            (folder.path(), "found a folder"),
            (&null, "found a device"),
            (Path::new("/dev/null"), "found a device"),
            (Path::new("/"), "found a folder"),
        ] {
            let message = WholeFile::create(path).unwrap_err().to_string();
            assert!(message.contains(found), "{}: {message}", path.display());
        }
        assert_eq!(names(folder.path()), ["null"]);
    }

    #[test]
    fn one_that_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        write(&path, "old").unwrap();
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        drop(file);
        assert_eq!(names(folder.path()), ["page"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
}
