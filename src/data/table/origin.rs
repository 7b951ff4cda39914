//! Where a table came from, and so what an error about one of its columns names.

use std::path::Path;

use crate::error::Error;

/// A dataframe in memory, or a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'a> {
    Frame,
    File(&'a Path),
}

impl Origin<'_> {
    /// An error about a column: what was expected of it, and what was found instead.
    pub(super) fn column(&self, column: &str, expected: &str, found: impl Into<String>) -> Error {
        match self {
            Self::Frame => Error::argument(format!("column '{column}'"), expected, found.into()),
            Self::File(path) => {
                Error::bad_file(path, format!("{expected} in column '{column}'"), found.into())
            }
        }
    }

    /// The name of a column, with its file.
    pub(super) fn named(&self, column: &str) -> String {
        match self {
            Self::Frame => format!("column '{column}'"),
            Self::File(path) => format!("{}: column '{column}'", path.display()),
        }
    }

    /// What the table is, for an error.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Frame => "the dataframe".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// An error about the table as a whole.
    pub(super) fn table(&self, expected: &str, found: impl Into<String>) -> Error {
        match self {
            Self::Frame => Error::argument("dataframe", expected, found.into()),
            Self::File(path) => Error::bad_file(path, expected, found.into()),
        }
    }

    /// Names the file in an error about a column that is not there.
    pub(super) fn no_column(&self, name: &str, known: &[&str]) -> Error {
        let near = crate::error::nearest(name, known);
        let near = near.map(|near| format!(" did you mean '{near}'?")).unwrap_or_default();
        let place = match self {
            Self::Frame => String::new(),
            Self::File(path) => format!(" in {}", path.display()),
        };
        let hint = format!("{place};{near} there are: {}", crate::error::listing(known));
        Error::NotFound { kind: "column", name: name.to_owned(), hint }
    }
}
