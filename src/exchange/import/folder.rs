//! A folder that came from elsewhere: nothing in it leads out of it. Only what the user names may be a link; below it every
//! step is one name in a folder that is open already, no link is followed, and nothing but regular files is opened, without
//! waiting for a FIFO's other end.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};

use crate::error::{Error, Result};

/// More folders within one another than any store has.
const DEEPEST: usize = 64;

/// An open folder.
pub(super) struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

/// What was met and not opened, by its path from the folder that the user named.
#[derive(Default)]
pub(super) struct PassedOver {
    links: Vec<String>,
    others: Vec<String>,
}

impl PassedOver {
    /// What to say of it.
    pub(super) fn notes(&self) -> Vec<String> {
        let listed = |paths: &[String]| {
            let more = if paths.len() > 3 { ", …" } else { "" };
            format!("{}{more}", paths[..paths.len().min(3)].join(", "))
        };
        let mut notes = Vec::new();
        if !self.links.is_empty() {
            let links = super::counted(self.links.len(), "link");
            notes.push(format!(
                "{links} not followed, and what is behind not imported: {}",
                listed(&self.links)
            ));
        }
        if !self.others.is_empty() {
            let n = self.others.len();
            notes.push(format!("{n} neither a file nor a folder, not opened: {}", listed(&self.others)));
        }
        notes
    }
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    Missing,
    PassedOver,
}

impl Folder {
    /// The folder at `path`, which may be a link: the user named it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened, or is no folder.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let handle = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|error| Error::io(path, "reading the folder")(error.into()))?;
        Ok(Self { handle, path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folders in it, by name.
    pub(super) fn folders(&self, passed_over: &mut PassedOver) -> Result<Vec<String>> {
        let mut folders = Vec::new();
        for name in self.names()? {
            match self.kind(&name, passed_over)? {
                Kind::Folder => folders.push(name),
                Kind::File | Kind::Missing | Kind::PassedOver => {}
            }
        }
        Ok(folders)
    }

    /// The folder `name` in it.
    pub(super) fn folder(&self, name: &str) -> Result<Self> {
        let path = self.path.join(name);
        let failed = |error: io::Error| Error::io(&path, "reading the folder")(error);
        let flags =
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened =
            one_name(name).and_then(|name| Ok(rustix::fs::openat(&self.handle, name, flags, Mode::empty())?));
        Ok(Self { handle: opened.map_err(failed)?, path })
    }

    /// The regular file at `path` below it, in which `/` parts names.
    pub(super) fn file(&self, path: &str) -> Result<File> {
        let failed = |error: io::Error| Error::io(&self.path.join(path), "reading")(error);
        let (folders, name) = path.rsplit_once('/').map_or((None, path), |(front, name)| (Some(front), name));
        let mut place: Option<Self> = None;
        for part in folders.into_iter().flat_map(|folders| folders.split('/')) {
            place = Some(place.as_ref().unwrap_or(self).folder(part)?);
        }
        let folder = place.as_ref().unwrap_or(self);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = one_name(name)
            .and_then(|name| Ok(rustix::fs::openat(&folder.handle, name, flags, Mode::empty())?));
        regular(File::from(opened.map_err(failed)?)).map_err(failed)
    }

    /// The bytes of the regular file at `path` below it, of which there may be `longest`.
    pub(super) fn read(&self, path: &str, longest: u64) -> Result<Vec<u8>> {
        let file = self.file(path)?;
        let whole = self.path.join(path);
        at_most(file, longest).map_err(Error::io(&whole, "reading"))?.ok_or_else(|| too_long(&whole, longest))
    }

    /// Whether there is a regular file `name` in it.
    pub(super) fn has_file(&self, name: &str, passed_over: &mut PassedOver) -> Result<bool> {
        Ok(self.kind(name, passed_over)? == Kind::File)
    }

    /// Every regular file below its folder `name`, which may not be there, by its path from there.
    pub(super) fn files_below(&self, name: &str, passed_over: &mut PassedOver) -> Result<Vec<String>> {
        let mut files = Vec::new();
        if self.kind(name, passed_over)? != Kind::Folder {
            return Ok(files);
        }
        let top = self.folder(name)?;
        let mut left = vec![String::new()];
        while let Some(prefix) = left.pop() {
            if prefix.matches('/').count() > DEEPEST {
                let expected = format!("at most {DEEPEST} folders within one another");
                return Err(Error::bad_file(&top.path, expected, "more"));
            }
            let mut place = None;
            for part in prefix.split('/').filter(|part| !part.is_empty()) {
                place = Some(place.as_ref().unwrap_or(&top).folder(part)?);
            }
            let folder = place.as_ref().unwrap_or(&top);
            for name in folder.names()? {
                let below = format!("{prefix}{name}");
                match folder.kind(&name, passed_over)? {
                    Kind::Folder => left.push(below + "/"),
                    Kind::File => files.push(below),
                    Kind::Missing | Kind::PassedOver => {}
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// The names in it, in their order.
    fn names(&self) -> Result<Vec<String>> {
        let failed = |error: rustix::io::Errno| Error::io(&self.path, "reading the folder")(error.into());
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_str().map_err(|_| {
                let found = entry.file_name().to_string_lossy().into_owned();
                Error::bad_file(&self.path, "names in UTF-8", found)
            })?;
            if !matches!(name, "." | "..") {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn kind(&self, name: &str, passed_over: &mut PassedOver) -> Result<Kind> {
        let path = self.path.join(name);
        let about = match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => about,
            Err(rustix::io::Errno::NOENT) => return Ok(Kind::Missing),
            Err(error) => return Err(Error::io(&path, "looking at it")(error.into())),
        };
        Ok(match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory => Kind::Folder,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => {
                passed_over.links.push(path.display().to_string());
                Kind::PassedOver
            }
            _ => {
                passed_over.others.push(path.display().to_string());
                Kind::PassedOver
            }
        })
    }
}

/// The bytes of the regular file that the user named, of which there may be `longest`; it may be a link.
pub(super) fn read_named(path: &Path, longest: u64) -> Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(io::Error::from);
    let bytes = opened.and_then(|opened| at_most(regular(File::from(opened))?, longest));
    bytes.map_err(Error::io(path, "reading"))?.ok_or_else(|| too_long(path, longest))
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file, found something else"))
}

/// What is in `file`; `None` for more than `longest` bytes.
fn at_most(file: File, longest: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(longest + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= longest).then_some(bytes))
}

fn too_long(path: &Path, longest: u64) -> Error {
    Error::bad_file(path, format!("at most {} MiB here", longest >> 20), "more")
}

fn one_name(name: &str) -> io::Result<&str> {
    if name.is_empty() || matches!(name, "." | "..") || name.contains(['/', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no name of a file")));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, outer) = (folder.path().join("inner"), folder.path().join("outer"));
        for place in [&inner, &outer] {
            std::fs::create_dir_all(place.join("sub/deep")).unwrap();
            std::fs::write(place.join("sub/deep/file"), "text").unwrap();
        }
        symlink(outer.join("sub"), inner.join("linked")).unwrap();
        symlink(outer.join("sub/deep/file"), inner.join("sub/link")).unwrap();
        symlink(&inner, folder.path().join("named")).unwrap();
        rustix::fs::mknodat(CWD, inner.join("sub/fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .unwrap();
        let root = Folder::open(&folder.path().join("named")).unwrap();
        assert_eq!(root.read("sub/deep/file", 4).unwrap(), b"text");
        assert!(root.read("sub/deep/file", 3).unwrap_err().to_string().contains("at most"));
        for path in [
            "linked/deep/file",
            "sub/link",
            "sub/fifo",
            "sub/deep",
            "../outer/sub/deep/file",
            "sub/../sub/deep/file",
            "/etc/hostname",
            "sub//deep/file",
            "sub/deep/file\0",
            "",
        ] {
            assert!(root.file(path).is_err(), "{path:?}");
        }
        let mut passed_over = PassedOver::default();
        assert_eq!(root.folders(&mut passed_over).unwrap(), ["sub"]);
        assert_eq!(root.files_below("sub", &mut passed_over).unwrap(), ["deep/file"]);
        assert!(root.files_below("linked", &mut passed_over).unwrap().is_empty());
        assert_eq!((passed_over.links.len(), passed_over.others.len()), (3, 1));
        assert!(passed_over.notes()[0].contains("3 links not followed"), "{:?}", passed_over.notes());
        for wrong in [inner.join("sub/fifo"), inner.clone(), PathBuf::from("/dev/zero")] {
            assert!(read_named(&wrong, 10).is_err(), "{}", wrong.display());
        }
    }
}
