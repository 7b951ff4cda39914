//! The one error type of the library: every variant says where, what was expected and what was found.

use std::path::{Path, PathBuf};

/// What can go wrong in Glisten. A message is a sentence for the person who made the call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A data file is not what its name or place promises: truncated, the wrong format, labels out of range.
    #[error("{path}: expected {expected}, found {found}", path = path.display())]
    BadFile {
        /// The file that was read.
        path: PathBuf,
        /// What the format asks for at this place.
        expected: String,
        /// What stands there instead.
        found: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {doing}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, as "reading" or "creating the folder".
        doing: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// An argument or a configuration field is outside what it may be.
    #[error("{name}: expected {expected}, got {got}")]
    Argument {
        /// The argument, field or flag, named as the user wrote it.
        name: String,
        /// What is allowed.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Reading something would take more memory, or disk, than there is.
    #[error("{what} needs {needed} of {resource}, but {free} of it is free here: {advice}")]
    TooLarge {
        /// What needs it, mostly a file.
        what: String,
        /// How much, as "8.4 GB".
        needed: String,
        /// "memory" or "disk".
        resource: &'static str,
        /// How much there is.
        free: String,
        /// What to do.
        advice: String,
    },
    /// A data set is neither in the cache nor to be had from any of its sources.
    #[error("{dataset} could not be fetched; tried in turn:\n{attempts}\n{advice}")]
    Fetch {
        /// The data set's name.
        dataset: String,
        /// One line for each source tried, with the reason it failed.
        attempts: String,
        /// What to do now.
        advice: String,
    },
    /// An experiment, run or metric of that name does not exist.
    #[error("no {kind} named '{name}'{hint}")]
    NotFound {
        /// "experiment", "run", "metric", "column", "strategy".
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// Nearest names that do exist, as "; did you mean 'x'?", or empty.
        hint: String,
    },
    /// The store file could not be used.
    #[error("store {path}: {doing}: {source}{}", advice(source), path = path.display())]
    Store {
        /// The SQLite file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// SQLite's answer.
        source: rusqlite::Error,
    },
    /// A server did not do what it was asked for.
    #[error("{url}: {doing}: {what}")]
    Server {
        /// Its address.
        url: String,
        /// What was being done, as "logging metrics of run 'a'".
        doing: String,
        /// What came of it, and what to do.
        what: String,
    },
    /// Training came to a value it cannot go on from.
    #[error("{what} at epoch {epoch}: {advice}")]
    Diverged {
        /// As "training loss is NaN".
        what: String,
        /// The epoch, counted from 1.
        epoch: usize,
        /// What usually helps.
        advice: String,
    },
    /// The user pressed stop (or Ctrl-C). What was logged until then is stored.
    #[error("interrupted{}", if .0.is_empty() { String::new() } else { format!(": {}", .0) })]
    Interrupted(String),
    /// libtorch refused an operation.
    #[error("libtorch: {}", first_lines(&.0.to_string()))]
    Torch(#[from] tch::TchError),
    /// Polars refused an operation.
    #[error("polars: {0}")]
    Polars(#[from] polars::error::PolarsError),
    /// A report could not be made.
    #[error(transparent)]
    Report(#[from] glisten_reports::Error),
}

/// `std::result::Result` with Glisten's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::BadFile`].
    pub(crate) fn bad_file(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::BadFile { path: path.to_path_buf(), expected: expected.into(), found: found.into() }
    }

    /// For `map_err`: an [`Error::Io`] about `path`.
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, doing, source }
    }

    /// An [`Error::NotFound`] that names the nearest of the names there are, or lists them.
    pub(crate) fn not_found(kind: &'static str, name: &str, known: &[impl AsRef<str>]) -> Self {
        let hint = match nearest(name, known) {
            Some(near) => format!("; did you mean '{near}'?"),
            None => format!("; there are: {}", listing(known)),
        };
        Self::NotFound { kind, name: name.to_owned(), hint }
    }

    /// An [`Error::Argument`].
    pub(crate) fn argument(
        name: impl Into<String>,
        expected: impl Into<String>,
        got: impl std::fmt::Display,
    ) -> Self {
        Self::Argument { name: name.into(), expected: expected.into(), got: got.to_string() }
    }
}

/// A number of bytes as people say it: "8.4 GB".
pub(crate) fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.1} GB", n as f64 / 1e9),
    }
}

/// libtorch's messages carry a C++ stack behind the sentence that matters.
fn first_lines(message: &str) -> String {
    let end = message.find("\nException raised from").unwrap_or(message.len());
    message[..end].trim_end().to_owned()
}

/// What to do about SQLite's answer, as the end of a sentence.
fn advice(error: &rusqlite::Error) -> &'static str {
    let Some(error) = error.sqlite_error() else { return "" };
    match (error.code, error.extended_code) {
        (rusqlite::ErrorCode::DiskFull, _) => {
            "; make room on that disk and go on: what was logged before is kept"
        }
        (
            _,
            rusqlite::ffi::SQLITE_IOERR_WRITE
            | rusqlite::ffi::SQLITE_IOERR_FSYNC
            | rusqlite::ffi::SQLITE_IOERR_SHMSIZE,
        ) => "; the disk may be full, over a quota or gone: what was logged before is kept",
        (rusqlite::ErrorCode::DatabaseBusy, _) => {
            "; another process did not let go of it: is one stopped (Ctrl-Z) in the middle of writing?"
        }
        (rusqlite::ErrorCode::OperationInterrupted, _) => {
            "; it asks for more work than its size explains: the file is damaged, or was made to do harm"
        }
        (rusqlite::ErrorCode::CannotOpen, _) => "; is its folder there, and may it be written to?",
        (rusqlite::ErrorCode::NotADatabase, _) => ", and nothing was changed in it",
        _ => "",
    }
}

/// The name among `known` that `name` was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, known: &'a [impl AsRef<str>]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| {
            (strsim::jaro_winkler(&name.to_lowercase(), &candidate.as_ref().to_lowercase()), candidate)
        })
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.as_ref())
}

/// The names for a message: all of them, or the first dozen.
pub(crate) fn listing(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<_> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len() {
        0 => "nothing yet".to_owned(),
        n if n > SHOWN => format!("{} and {} more", shown.join(", "), n - SHOWN),
        _ => shown.join(", "),
    }
}
