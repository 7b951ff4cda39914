//! Opening files that somebody else may have put there: regular files only, so that nothing waits for a FIFO's other end or
//! reads a device, and, below a folder that came from elsewhere, no links.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path};

/// Opens a regular file to read, through links where there are any. It waits for nothing.
///
/// # Errors
/// As [`File::open`]; [`io::ErrorKind::InvalidInput`] for anything but a regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    checked(file)
}

/// Reads a regular file of at most `longest` bytes.
///
/// # Errors
/// As [`open`]; [`io::ErrorKind::InvalidData`] for a longer one.
pub(crate) fn read(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    read_at_most(open(path)?, longest)
}

/// What is left of `file`, at most `longest` bytes.
///
/// # Errors
/// As [`Read::read_to_end`]; [`io::ErrorKind::InvalidData`] for more.
pub(crate) fn read_at_most(file: File, longest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(longest.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        let text = format!("expected at most {longest} bytes, found more");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(bytes)
}

/// Opens the regular file `folder/names[0]/names[1]/…` to read. Neither `folder` itself nor anything below it may be a link,
/// whoever changes it meanwhile.
///
/// # Errors
/// As [`File::open`]; [`io::ErrorKind::InvalidInput`] for a name that is not one file's, a link, or anything but a regular file.
pub(crate) fn open_below(folder: &Path, names: &[&OsStr]) -> io::Result<File> {
    let Some((last, folders)) = names.split_last() else { return Err(not_a_name(OsStr::new(""))) };
    let options = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let mut place = File::options().read(true).custom_flags(options).open(folder).map_err(said_of_links)?;
    for name in folders {
        place = open_at(&place, name, options)?;
    }
    checked(open_at(&place, last, libc::O_NOFOLLOW | libc::O_NONBLOCK)?)
}

/// Whether `name` names one thing in a folder: it is no path, and neither `.` nor `..`.
pub(crate) fn is_one_name(name: &OsStr) -> bool {
    let mut components = Path::new(name).components();
    let is_normal = matches!(components.next(), Some(Component::Normal(normal)) if normal == name);
    is_normal && components.next().is_none() && !name.as_bytes().contains(&0)
}

/// What `kind` is, as an error names it.
pub(crate) fn kind_name(kind: std::fs::FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_symlink() {
        "a link"
    } else if kind.is_fifo() {
        "a named pipe (FIFO)"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_file() {
        "a file"
    } else {
        "a device"
    }
}

fn open_at(folder: &File, name: &OsStr, options: libc::c_int) -> io::Result<File> {
    if !is_one_name(name) {
        return Err(not_a_name(name));
    }
    let text = CString::new(name.as_bytes()).map_err(|_| not_a_name(name))?;
    // SAFETY: an open folder and a text that ends in NUL, both of which outlive the call.
    let opened = unsafe { libc::openat(folder.as_raw_fd(), text.as_ptr(), options | libc::O_CLOEXEC) };
    if opened < 0 {
        return Err(said_of_links(io::Error::last_os_error()));
    }
    // SAFETY: a descriptor that was opened just now and belongs to nobody else.
    Ok(unsafe { File::from_raw_fd(opened) })
}

fn checked(file: File) -> io::Result<File> {
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let text = format!("expected a regular file, found {}", kind_name(kind));
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

fn not_a_name(name: &OsStr) -> io::Error {
    let text = format!("expected the name of one file, without folders, found {name:?}");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// "Too many levels of symbolic links" is not what happened.
fn said_of_links(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ELOOP) => io::Error::new(
            io::ErrorKind::InvalidInput,
            "expected no link, found one (links are not followed here)",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_file_are_told_from_paths() {
        for name in ["a", "a b.txt", "..a", "日本語", "-"] {
            assert!(is_one_name(OsStr::new(name)), "{name}");
        }
        for name in ["", ".", "..", "/", "a/b", "a/", "./a", "/etc/passwd", "../a", "a/..", "a\0b"] {
            assert!(!is_one_name(OsStr::new(name)), "{name:?}");
        }
    }

    #[test]
    fn below_a_folder_no_link_is_followed_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, outer) = (folder.path().join("store.d"), folder.path().join("private"));
        std::fs::create_dir_all(inner.join("run-1")).unwrap();
        std::fs::create_dir_all(outer.join("run-1")).unwrap();
        for place in [&inner, &outer] {
            std::fs::write(place.join("run-1/kept"), "text").unwrap();
        }
        let open = |folder: &Path, names: [&str; 2]| open_below(folder, &names.map(OsStr::new));
        let mut text = String::new();
        open(&inner, ["run-1", "kept"]).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        let link = |to: &Path, name: &str| {
            std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
            folder.path().join(name)
        };
        link(&outer.join("run-1/kept"), "store.d/run-1/link");
        link(&outer.join("run-1"), "store.d/run-2");
        let whole = link(&outer, "linked.d");
        for (folder, names) in
            [(&inner, ["run-1", "link"]), (&inner, ["run-2", "kept"]), (&whole, ["run-1", "kept"])]
        {
            let message = open(folder, names).unwrap_err().to_string();
            assert!(message.contains("link") || message.contains("Not a directory"), "{names:?}: {message}");
        }
        let fifo = inner.join("run-1/fifo");
        let text = CString::new(fifo.as_os_str().as_bytes()).unwrap();
        // SAFETY: a text that ends in NUL.
        assert_eq!(unsafe { libc::mkfifo(text.as_ptr(), 0o600) }, 0);
        for error in [open(&inner, ["run-1", "fifo"]).unwrap_err(), super::open(&fifo).unwrap_err()] {
            assert!(error.to_string().contains("named pipe"), "{error}");
        }
        assert!(super::open(Path::new("/dev/zero")).unwrap_err().to_string().contains("a device"));
        assert!(super::open(&inner).unwrap_err().to_string().contains("a folder"));
        assert!(read(&inner.join("run-1/kept"), 3).unwrap_err().to_string().contains("at most 3 bytes"));
        assert_eq!(read(&inner.join("run-1/kept"), 4).unwrap(), b"text");
    }
}
