//! Reading data files that may be anything: missing, a folder, gzipped or not, too short, too long.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::budget;
use crate::error::{Error, Result};
use crate::regular_file;

/// What to do about a file that is too large for the machine.
pub(super) const TOO_LARGE: &str = "read a part of it, or use a machine with more memory";

/// A file opened for reading in order, unpacked on the way if its first two bytes are those of gzip.
pub(super) struct DataFile {
    path: PathBuf,
    content: Content,
    /// Bytes the content can have at most, judged by the size of the file.
    at_most: usize,
}

enum Content {
    Plain { bytes: Cursor<Vec<u8>> },
    Gzip { decoder: Box<MultiGzDecoder<Cursor<Vec<u8>>>> },
}

/// Deflate packs at most 1032 bytes into one.
const DEFLATE_RATIO: usize = 1032;

impl DataFile {
    /// Opens `path`; an empty file or a folder is an error already here.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let bytes = read(path)?;
        if bytes.is_empty() {
            return Err(Error::bad_file(path, "a file with content", "an empty file"));
        }
        let (content, at_most) = if bytes.starts_with(&[0x1f, 0x8b]) {
            let at_most = bytes.len().saturating_mul(DEFLATE_RATIO);
            (Content::Gzip { decoder: Box::new(MultiGzDecoder::new(Cursor::new(bytes))) }, at_most)
        } else {
            let at_most = bytes.len();
            (Content::Plain { bytes: Cursor::new(bytes) }, at_most)
        };
        Ok(Self { path: path.to_path_buf(), content, at_most })
    }

    /// Reads up to `n` bytes: fewer only where the content ends. A damaged gzip stream is an error, and so is one that
    /// unpacks to more than there is memory for.
    pub(super) fn read_up_to(&mut self, n: usize) -> Result<Vec<u8>> {
        let limit = n.min(self.at_most) as u64;
        let damaged = |e: std::io::Error| {
            Error::bad_file(&self.path, "an intact gzip stream", format!("{e} (damaged or cut off)"))
        };
        match &mut self.content {
            Content::Plain { bytes } => budget::read_up_to(bytes, limit, &self.path, TOO_LARGE, damaged),
            Content::Gzip { decoder } => budget::read_up_to(decoder, limit, &self.path, TOO_LARGE, damaged),
        }
    }

    /// Reads the rest, which must be `n` bytes exactly; `before` bytes of the content were read already, `what` says
    /// what the whole is, for the error.
    pub(super) fn read_rest(&mut self, before: usize, n: usize, what: &str) -> Result<Vec<u8>> {
        let rest = self.read_up_to(n.saturating_add(1))?;
        if rest.len() == n {
            return Ok(rest);
        }
        let unpacked = if matches!(self.content, Content::Gzip { .. }) { " after unpacking" } else { "" };
        let found = match &self.content {
            Content::Plain { bytes } => format!("{} bytes", bytes.get_ref().len()),
            Content::Gzip { .. } if rest.len() > n => format!("more than {} bytes{unpacked}", before + n),
            Content::Gzip { .. } => format!("{} bytes{unpacked}", before + rest.len()),
        };
        Err(Error::bad_file(
            &self.path,
            format!("{} bytes{unpacked} ({what})", before.saturating_add(n)),
            found,
        ))
    }
}

/// The whole of a regular file.
///
/// # Errors
/// As [`open`]; [`Error::TooLarge`] if there is too little memory for it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    read_opened(&open(path)?.0, path)
}

/// As [`read`], from the regular file at `path`, which has been opened.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_opened(mut file: &File, path: &Path) -> Result<Vec<u8>> {
    let n_bytes = file.metadata().map_err(Error::io(path, "looking at"))?.len();
    let mut bytes = budget::buffer(path, n_bytes, TOO_LARGE)?;
    file.read_to_end(&mut bytes).map_err(Error::io(path, "reading"))?;
    Ok(bytes)
}

/// Opens a regular file, with its length. What it is, is looked at first: opening a pipe would wait for whoever writes into
/// it, and opening a device may do something.
///
/// # Errors
/// [`Error::Io`] if it is not there or may not be read; [`Error::BadFile`] if it is no regular file.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    let about = std::fs::metadata(path).map_err(Error::io(path, "opening"))?;
    let kind = about.file_type();
    if !kind.is_file() {
        let expected = if kind.is_dir() { "a file" } else { "a regular file" };
        return Err(Error::bad_file(path, expected, regular_file::kind_name(kind)));
    }
    // It may have become a pipe meanwhile: then this does not wait either.
    let file = regular_file::open(path).map_err(Error::io(path, "opening"))?;
    let about = file.metadata().map_err(Error::io(path, "looking at"))?;
    Ok((file, about.len()))
}

/// Checks that each label is below `n_classes`.
pub(super) fn check_labels(path: &Path, labels: &[u8], n_classes: usize) -> Result<()> {
    match labels.iter().position(|&label| usize::from(label) >= n_classes) {
        None => Ok(()),
        Some(index) => Err(Error::bad_file(
            path,
            format!("labels from 0 to {}", n_classes.saturating_sub(1)),
            format!("label {} at index {index}", labels[index]),
        )),
    }
}

/// SHA-256 of the pieces one after another, in hex.
pub(super) fn sha256(pieces: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update(piece);
    }
    hex::encode(hash.finalize())
}

/// How deep, and among how many entries, a folder given by the user is searched.
const MAX_DEPTH: usize = 8;
const MAX_ENTRIES: usize = 20_000;

/// The first file named one of `names` (in that order of preference) in `dir` or below, nearest to `dir` first.
///
/// # Errors
/// [`Error::Io`] if `dir` cannot be listed, [`Error::BadFile`] about `dir` if it holds no such file.
pub(super) fn find(dir: &Path, names: &[&str]) -> Result<PathBuf> {
    let mut level = vec![dir.to_path_buf()];
    let mut seen: Vec<String> = Vec::new();
    let mut n_seen = 0;
    for depth in 0..MAX_DEPTH {
        let mut below = Vec::new();
        let mut files = Vec::new();
        for folder in &level {
            let entries = match std::fs::read_dir(folder) {
                Ok(entries) => entries,
                Err(e) if depth == 0 => return Err(Error::io(dir, "listing the folder")(e)),
                Err(_) => continue,
            };
            for entry in entries.flatten().take(MAX_ENTRIES.saturating_sub(n_seen)) {
                n_seen += 1;
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => below.push(entry.path()),
                    Ok(_) => files.push(entry.path()),
                    Err(_) => {}
                }
            }
        }
        files.sort();
        below.sort();
        for name in names {
            if let Some(path) = files.iter().find(|path| path.file_name().is_some_and(|n| n == *name)) {
                return Ok(path.clone());
            }
        }
        seen.extend(files.iter().filter_map(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned()));
        level = below;
    }
    seen.sort();
    let found = match seen.len() {
        0 => "no file at all".to_owned(),
        1..=8 => seen.join(", "),
        n => format!("{}, … ({n} files)", seen[..8].join(", ")),
    };
    Err(Error::bad_file(dir, format!("a file named {} here or below", names.join(" or ")), found))
}
