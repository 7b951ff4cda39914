//! What can go wrong between a runs table and a report.

use std::path::PathBuf;

/// What the functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a chart or report could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A column holds something that cannot be read as what it should be.
    #[error("column `{column}` of the {table} table: expected {expected}, found {found}")]
    Column {
        /// Which of the two input tables: `runs` or `metrics`.
        table: &'static str,
        /// The column's name.
        column: String,
        /// What can be read.
        expected: &'static str,
        /// The type that was found.
        found: String,
    },
    /// A column without which the table says nothing is not there.
    #[error("the {table} table has no column `{column}`; it has {found}")]
    MissingColumn {
        /// Which of the two input tables: `runs` or `metrics`.
        table: &'static str,
        /// The column's name.
        column: String,
        /// The names of the columns that are there, those first that are most like it.
        found: String,
    },
    /// Polars refused an operation on the input.
    #[error("the dataframe could not be read")]
    Polars(#[from] polars::error::PolarsError),
    /// A chart could not be drawn.
    #[error("the chart `{chart}` could not be drawn: {reason}")]
    Drawing {
        /// What was drawn.
        chart: String,
        /// What the drawing library said.
        reason: String,
    },
    /// The page's template could not be filled.
    #[error("the report's template could not be filled")]
    Template(#[from] minijinja::Error),
    /// An option has no such value.
    #[error("there is no {what} `{found}`; there are: {expected}")]
    Option {
        /// What was to be chosen: `theme` or `section`.
        what: &'static str,
        /// What was given.
        found: String,
        /// What there is.
        expected: String,
    },
    /// No run is called so.
    #[error("no run is called `{name}`; there are: {found}")]
    UnknownRun {
        /// The name or pattern that was given.
        name: String,
        /// The names that there are, those first that are most like it.
        found: String,
    },
    /// The folder of templates could not be read.
    #[error("the templates in {} could not be read", path.display())]
    Templates {
        /// The folder, or a file in it.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// An image of a contact sheet is not what it says it is.
    #[error("image {index}: expected {expected}, found {found}")]
    Image {
        /// Its position in the training set.
        index: i64,
        /// What its width, height and channels promise.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// The file could not be written; what stood at the path before is still there.
    #[error("the report could not be written to {}", path.display())]
    Write {
        /// Where the report should have gone.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}
