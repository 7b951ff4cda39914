//! Tables: from a CSV or Parquet file, or a dataframe, to a data set of rows.
//!
//! What a column becomes hangs on its type. Numbers are standardised; texts, booleans and the columns named as
//! `categories` become one 0-or-1 feature for each category. Means, deviations and categories are those of the training
//! rows alone; a test set, and new rows to predict, are put into the same form by the [`TableSchema`] that the data set
//! keeps. Missing values are an error unless [`TableOptions`] says what to do.

mod origin;
mod pages;
mod parquet;
mod read;
mod schema;
mod target;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars::prelude::{DataFrame, IdxCa};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use self::origin::Origin;
pub use self::schema::TableSchema;
use super::dataset::Dataset;
use crate::error::{Error, Result};

/// How a table is read. The default takes every column but the target and refuses missing values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableOptions {
    /// The data set's name; the file's, if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is learnt; by the target's type, if not set: a regression for floats, classes for everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TargetKind>,
    /// Columns to leave out, as numbers that only count the rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Columns of numbers that stand for categories, as postal codes do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// What to do about missing values (nulls, empty fields and NaN).
    pub missing: Missing,
    /// The same for single columns, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing_in: BTreeMap<String, Missing>,
    /// What to do about a category that the training rows do not have.
    pub unseen: Unseen,
    /// More categories in a column than this are an error: it is rather a free text, or a number written badly.
    pub max_categories: usize,
    /// Whether numbers are brought to mean 0 and deviation 1 over the training rows.
    pub standardize: bool,
    /// The same for the target of a regression; [`TableSchema::target_scale`] leads back.
    pub standardize_target: bool,
    /// What separates the fields of a CSV file: one ASCII character.
    pub separator: char,
    /// Texts of a CSV file that mean a missing value, beside the empty field: "NA", "?".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub null_values: Vec<String>,
    /// A file of the same form with the test set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The share of the rows that becomes the test set, in (0, 1), where no file has one: ⌊n · share⌋ of n rows, at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_share: Option<f64>,
    /// Which rows these are.
    pub test_seed: u64,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            name: None,
            task: None,
            ignore: Vec::new(),
            categories: Vec::new(),
            missing: Missing::Error,
            missing_in: BTreeMap::new(),
            unseen: Unseen::Error,
            max_categories: 256,
            standardize: true,
            standardize_target: false,
            separator: ',',
            null_values: Vec::new(),
            test: None,
            test_share: None,
            test_seed: 42,
        }
    }
}

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// Each of its values is a class.
    Classification,
    /// It is a number to come near to.
    Regression,
}

/// What to do about missing values. Statistics are those of the training rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// Refuse them, naming column and row.
    #[default]
    Error,
    /// Leave out the row.
    DropRows,
    /// Put the column's mean in place of a number; a text becomes a category of its own.
    Mean,
    /// Put the column's median in place of a number; a text becomes a category of its own.
    Median,
    /// Have a feature of its own say that the value is missing; in place of a number stands the mean then.
    Category,
}

/// What to do about a category that the training rows do not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unseen {
    /// Refuse it, naming column and row.
    #[default]
    Error,
    /// Let all features of the column be 0.
    Zeros,
}

impl std::str::FromStr for Missing {
    type Err = Error;

    /// As a sweep file writes it: "drop-rows".
    fn from_str(text: &str) -> Result<Self> {
        use serde::de::IntoDeserializer;
        use serde::de::value::Error as NoName;
        let known: Result<Self, NoName> = Self::deserialize(text.into_deserializer());
        known.map_err(|_| Error::argument("missing", "error, drop-rows, mean, median or category", text))
    }
}

impl TableOptions {
    fn missing_in(&self, column: &str) -> Missing {
        self.missing_in.get(column).copied().unwrap_or(self.missing)
    }

    /// Whether the values are in range; what hangs on the table is checked with it.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the first that is not.
    pub fn check(&self) -> Result<()> {
        if let Some(share) = self.test_share
            && !(share > 0.0 && share < 1.0)
        {
            return Err(Error::argument("test_share", "a share above 0 and below 1", share));
        }
        if self.test.is_some() && self.test_share.is_some() {
            return Err(Error::argument("test_share", "none where `test` names a file", "both"));
        }
        if !self.separator.is_ascii() || matches!(self.separator, '"' | '\n' | '\r') {
            let expected = "one ASCII character that is no quote and no line end";
            return Err(Error::argument("separator", expected, format!("{:?}", self.separator)));
        }
        if self.max_categories == 0 {
            return Err(Error::argument("max_categories", "1 or more", 0));
        }
        Ok(())
    }
}

impl Dataset {
    /// A data set of a CSV file (its first line the columns' names; gzipped or not), `target` naming the column to learn.
    ///
    /// ```no_run
    /// use glisten::prelude::*;
    /// let data = Dataset::from_csv("wine.csv", "cultivar")?.split(Split::default())?;
    /// println!("{data}"); // wine: 161 to train on, 17 to validate, 3 classes, 13 features
    /// # Ok::<(), glisten::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Dataset::from_csv_with`].
    pub fn from_csv(path: impl AsRef<Path>, target: &str) -> Result<Self> {
        Self::from_csv_with(path, target, &TableOptions::default())
    }

    /// As [`Dataset::from_csv`], with a say in how columns are taken:
    ///
    /// ```no_run
    /// use glisten::prelude::*;
    /// let options = TableOptions {
    ///     ignore: vec!["passenger".into(), "name".into()],
    ///     missing: Missing::Median,
    ///     test_share: Some(0.2),
    ///     ..Default::default()
    /// };
    /// let data = Dataset::from_csv_with("titanic.csv", "survived", &options)?;
    /// # Ok::<(), glisten::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::BadFile`] naming the file, and column and row where there is one, if it cannot be read, is
    /// no CSV, or has missing or infinite values, unseen or too many categories; [`Error::NotFound`] for a column that is
    /// not there; [`Error::Argument`] for an option out of range.
    pub fn from_csv_with(path: impl AsRef<Path>, target: &str, options: &TableOptions) -> Result<Self> {
        from_files(path.as_ref(), target, options, read::csv)
    }

    /// A data set of a Parquet file, `target` naming the column to learn.
    ///
    /// # Errors
    /// As [`Dataset::from_parquet_with`].
    pub fn from_parquet(path: impl AsRef<Path>, target: &str) -> Result<Self> {
        Self::from_parquet_with(path, target, &TableOptions::default())
    }

    /// As [`Dataset::from_parquet`], with a say in how columns are taken.
    ///
    /// # Errors
    /// As [`Dataset::from_csv_with`], for Parquet.
    pub fn from_parquet_with(path: impl AsRef<Path>, target: &str, options: &TableOptions) -> Result<Self> {
        let wanted = |name: &str| !options.ignore.iter().any(|ignored| ignored == name);
        from_files(path.as_ref(), target, options, |path, _| parquet::parquet(path, &wanted))
    }

    /// A data set of a dataframe, `target` naming the column to learn. [`TableOptions::test`] is for files; a frame's test
    /// set is added by [`Dataset::with_test_frame`].
    ///
    /// # Errors
    /// [`Error::NotFound`] for a column that is not there; [`Error::Argument`] naming column and row for missing or infinite
    /// values, unseen or too many categories, or an option out of range.
    pub fn from_frame(frame: &DataFrame, target: &str, options: &TableOptions) -> Result<Self> {
        options.check()?;
        if options.test.is_some() {
            return Err(Error::argument(
                "test",
                "none for a dataframe; see Dataset::with_test_frame",
                "a file",
            ));
        }
        build(frame, None, target, options, [&Origin::Frame, &Origin::Frame])
    }

    /// Adds a test set from a dataframe with the columns that the table had, in the form fitted to the training rows.
    ///
    /// # Errors
    /// [`Error::Argument`] if this data set is no table; else as [`Dataset::from_frame`].
    pub fn with_test_frame(mut self, frame: &DataFrame) -> Result<Self> {
        let Some(schema) = &self.table else {
            return Err(Error::argument("data set", "one made of a table", &self));
        };
        self.test = Some(schema.examples(frame)?);
        Ok(self)
    }
}

/// A file with a table, by its ending; columns that are not `wanted` need not be read.
fn read_any(path: &Path, options: &TableOptions, wanted: &dyn Fn(&str) -> bool) -> Result<DataFrame> {
    let is_parquet = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
    if is_parquet { parquet::parquet(path, wanted) } else { read::csv(path, options) }
}

fn from_files(
    path: &Path,
    target: &str,
    options: &TableOptions,
    read: impl Fn(&Path, &TableOptions) -> Result<DataFrame>,
) -> Result<Dataset> {
    options.check()?;
    let frame = read(path, options)?;
    let test = options.test.as_deref().map(|test| read(test, options)).transpose()?;
    let test_origin = Origin::File(options.test.as_deref().unwrap_or(path));
    let named = match &options.name {
        Some(_) => options.clone(),
        None => TableOptions { name: Some(read::name(path)), ..options.clone() },
    };
    build(&frame, test.as_ref(), target, &named, [&Origin::File(path), &test_origin])
}

fn build(
    frame: &DataFrame,
    test: Option<&DataFrame>,
    target: &str,
    options: &TableOptions,
    [origin, test_origin]: [&Origin<'_>; 2],
) -> Result<Dataset> {
    let name = options.name.clone().unwrap_or_else(|| "table".to_owned());
    if name.trim().is_empty() {
        return Err(Error::argument("name", "a name for the data set", "an empty one"));
    }
    let apart = options.test_share.map(|share| hold_out(frame, share, options.test_seed)).transpose()?;
    let (train_frame, train_rows) = match &apart {
        Some([(train, rows), _]) => (train, Some(rows.as_slice())),
        None => (frame, None),
    };
    let (schema, train) = TableSchema::fit(train_frame, train_rows, target, options, origin)?;
    let test = match (&apart, test) {
        (Some([_, (test, rows)]), _) => Some(schema.examples_of(test, Some(rows.as_slice()), origin)?),
        (None, Some(test)) => Some(schema.examples_of(test, None, test_origin)?),
        (None, None) => None,
    };
    Ok(Dataset { name, classes: schema.classes().to_vec(), train, test, table: Some(Arc::new(schema)) })
}

/// Rows, with where they stood in the table, counted from 0.
type Rows = (DataFrame, Vec<usize>);

/// A seeded random share of the rows set apart: those that stay, and those set apart, each in their old order.
fn hold_out(frame: &DataFrame, share: f64, seed: u64) -> Result<[Rows; 2]> {
    let n = frame.height();
    let n_test = (n as f64 * share) as usize;
    if n_test == 0 || n_test >= n {
        let expected = "a share that leaves at least one row to test on and one to train on";
        return Err(Error::argument(
            "test_share",
            expected,
            format!("{share} of {n} rows, which is {n_test}"),
        ));
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut train = order.split_off(n_test);
    let mut test = order;
    train.sort_unstable();
    test.sort_unstable();
    let rows = |rows: Vec<usize>| -> Result<Rows> {
        let indices = rows.iter().map(|&row| row as polars::prelude::IdxSize).collect::<Vec<_>>();
        Ok((frame.take(&IdxCa::from_vec("row".into(), indices))?, rows))
    };
    Ok([rows(train)?, rows(test)?])
}
