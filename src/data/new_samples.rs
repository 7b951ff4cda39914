//! Inputs to predict with a trained model, with what is known of each: where it comes from, and its label, if it has one.

use std::path::Path;

use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use tch::{Kind, Tensor};

use super::dataset::Dataset;
use super::examples::Examples;
use super::spec::DataSpec;
use super::table::TableSchema;
use super::task::InputShape;
use super::{folder, npy};
use crate::error::{Error, Result};

/// What a model was trained on, as far as new inputs must be brought into its form.
#[derive(Debug, Clone, Copy)]
pub struct ModelInputs<'a> {
    /// The shape of one input.
    pub shape: InputShape,
    /// The classes' names; none for a regression.
    pub classes: &'a [String],
    /// Of a table, how its columns become features.
    pub table: Option<&'a TableSchema>,
}

/// Inputs to predict.
#[derive(Debug)]
pub struct NewSamples {
    /// Images `u8 [N, C, H, W]` or rows `f32 [N, F]`.
    pub inputs: Tensor,
    /// One row an input: `row` (i64, counted from 1) or `file` (str), and, where labels are given, `label`: a class's name
    /// (str), or the target of a regression (f64). A label that is missing is null.
    pub about: DataFrame,
}

impl NewSamples {
    /// Of rows, counted from 1.
    fn of_rows(inputs: Tensor, label: Option<Column>) -> Result<Self> {
        let n = inputs.size().first().copied().unwrap_or(0);
        Self::new(inputs, Series::new("row".into(), (1..=n).collect::<Vec<i64>>()).into(), label)
    }

    fn new(inputs: Tensor, origin: Column, label: Option<Column>) -> Result<Self> {
        let n = origin.len();
        let columns = [Some(origin), label].into_iter().flatten().collect();
        Ok(Self { inputs, about: DataFrame::new(n, columns)? })
    }

    /// How many there are, N.
    pub fn len(&self) -> usize {
        self.about.height()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of classes, the labels that were given, as names; `None` where there are none, or they are targets.
    pub fn label_names(&self) -> Option<Vec<Option<&str>>> {
        Some(self.about.column("label").ok()?.str().ok()?.iter().collect())
    }

    /// Of a regression, the targets that were given.
    pub fn targets(&self) -> Option<Vec<Option<f64>>> {
        Some(self.about.column("label").ok()?.f64().ok()?.iter().collect())
    }
}

/// What a path leads to, and how it is to be read.
pub(super) enum Place<'a> {
    Table(&'a Path),
    Npz(&'a Path),
    Npy(&'a Path, Option<&'a Path>),
    Images(&'a Path),
    Named(&'a str),
}

impl DataSpec {
    /// Loads inputs to predict with a model that was trained on `like`: the rows of a `.csv` or `.parquet` file, with or without
    /// the target; the images of a folder with a sub-folder for each class (of its `test`, where it has `train` beside it), of
    /// a folder of images alone, or one image; the arrays `x_test` or `x`, with `y_test` or `y` if they are there, of an
    /// `.npz` file; an `.npy` file, with the labels' file if it is set; the test set of a named data set.
    ///
    /// Images are made grey or coloured as the model has them, and brought to its size if `resize` is set.
    ///
    /// # Errors
    /// [`Error::Argument`] if the model takes in something else; [`Error::NotFound`] or [`Error::BadFile`] naming columns that
    /// are missing, a column and row whose value is of another kind, or a file that cannot be read.
    pub fn load_new(&self, like: ModelInputs<'_>, resize: bool) -> Result<NewSamples> {
        let takes = |expected: String| Err(Error::argument("data", expected, self));
        match (self.place()?, like.table, like.shape) {
            (Place::Table(path), Some(schema), _) => schema.read_new(path),
            (Place::Table(_), None, InputShape::Table { n_features }) => takes(format!(
                "{n_features} numbers a row in an .npy or .npz file: the model's file knows no columns (it was trained on \
                 arrays, or saved by an older release: train it again)"
            )),
            (_, Some(schema), _) => {
                let columns = crate::error::listing(&schema.columns());
                takes(format!(
                    "a .csv or .parquet file with the columns that the model was trained on ({columns})"
                ))
            }
            (Place::Npz(path), None, _) => {
                let (inputs, labels) = npy::read_new_npz(path)?;
                NewSamples::of_rows(
                    inputs,
                    labels.map(|labels| as_column(&labels, like.classes)).transpose()?,
                )
            }
            (Place::Npy(inputs, labels), None, _) => {
                let (inputs, labels) = npy::read_new(inputs, labels)?;
                NewSamples::of_rows(
                    inputs,
                    labels.map(|labels| as_column(&labels, like.classes)).transpose()?,
                )
            }
            (Place::Images(path), None, InputShape::Image { channels, height, width }) => {
                let images = folder::read_new(path, [channels, height, width], resize)?;
                let files = Series::new("file".into(), images.files);
                let labels = images.labels.map(|labels| Series::new("label".into(), labels).into());
                NewSamples::new(images.inputs, files.into(), labels)
            }
            (Place::Named(name), None, _) => {
                let Dataset { name, classes, test, .. } = Dataset::named(name)?;
                if classes != like.classes {
                    let expected = format!(
                        "a data set with the model's classes ({})",
                        crate::error::listing(like.classes)
                    );
                    let got = format!("{name} with {}", crate::error::listing(&classes));
                    return Err(Error::argument("data", expected, got));
                }
                let Some(Examples { inputs, labels }) = test else {
                    return Err(Error::argument("data", "a data set with a test set", name));
                };
                NewSamples::of_rows(inputs, Some(as_column(&labels, like.classes)?))
            }
            (Place::Table(_) | Place::Images(_), None, shape) => {
                takes(format!("inputs of {shape}, which the model was trained on"))
            }
        }
    }
}

/// Labels of a tensor, `i64 [N]` classes by name or `f32 [N]` targets. What is none of the classes is named by its number.
fn as_column(labels: &Tensor, classes: &[String]) -> Result<Column> {
    if classes.is_empty() {
        let targets = Vec::<f64>::try_from(&labels.f_to_kind(Kind::Double)?)?;
        return Ok(Series::new("label".into(), targets).into());
    }
    if labels.f_kind()? != Kind::Int64 {
        return Err(Error::argument("labels", "whole numbers, for classes", format!("{:?}", labels.kind())));
    }
    let name = |label: i64| {
        let class = usize::try_from(label).ok().and_then(|label| classes.get(label));
        class.cloned().unwrap_or_else(|| label.to_string())
    };
    let names: Vec<String> = Vec::<i64>::try_from(labels)?.into_iter().map(name).collect();
    Ok(Series::new("label".into(), names).into())
}

/// A sample for each row of a table.
pub(super) fn of_table(inputs: Tensor, label: Option<Column>) -> Result<NewSamples> {
    NewSamples::of_rows(inputs, label)
}
