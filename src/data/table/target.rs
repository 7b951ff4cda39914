//! The target column: classes, or the numbers of a regression.

use polars::prelude::{Column, DataType, NamedFrom, PlSmallStr, Series};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::origin::Origin;
use super::values::{self, Values};
use super::{Missing, TableOptions, TargetKind};
use crate::error::{Error, Result};

/// More whole numbers than this in a target could be classes or a regression: the user has to say.
const MAX_GUESSED_CLASSES: usize = 100;

/// What the target's values mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) kind: TargetKind,
    /// Whether a row without a target is left out, rather than an error.
    pub(super) drop_missing: bool,
    /// The classes' names; none for a regression.
    pub(super) classes: Vec<String>,
    /// Of a regression, what was subtracted and then divided by: 0 and 1 if it was not standardised.
    pub(super) scale: (f64, f64),
}

/// The target's values, with whole numbers as texts if they stand for classes.
pub(super) fn read(
    column: &Column,
    kind: TargetKind,
    row: &dyn Fn(usize) -> usize,
    origin: &Origin<'_>,
) -> Result<Values> {
    let values = Values::of(column, false, row, origin)?;
    match (kind, values) {
        (TargetKind::Regression, Values::Texts(texts)) => {
            let text = texts.iter().flatten().next().map_or("", String::as_str);
            Err(origin.column(column.name(), "numbers, for a regression", format!("texts, as '{text}'")))
        }
        (TargetKind::Classification, Values::Numbers(numbers)) => {
            let name = |(at, number): (usize, &Option<f64>)| match number {
                Some(number) if number.fract() != 0.0 || number.abs() > 2_f64.powi(53) => {
                    let found = format!("{number} in row {}; task = \"regression\" would take it", row(at));
                    Err(origin.column(column.name(), "whole numbers, for classes", found))
                }
                number => Ok(number.map(|number| (number as i64).to_string())),
            };
            Ok(Values::Texts(numbers.iter().enumerate().map(name).collect::<Result<_>>()?))
        }
        (_, values) => Ok(values),
    }
}

/// What the target is, if the options do not say.
pub(super) fn kind(column: &Column, options: &TableOptions) -> TargetKind {
    let by_type = match column.dtype() {
        DataType::Float32 | DataType::Float64 => TargetKind::Regression,
        _ => TargetKind::Classification,
    };
    options.task.unwrap_or(by_type)
}

impl Target {
    /// Learns the classes, or mean and deviation, of `rows`.
    pub(super) fn fit(
        column: &Column,
        kind: TargetKind,
        values: &Values,
        rows: &[usize],
        row: &dyn Fn(usize) -> usize,
        options: &TableOptions,
        origin: &Origin<'_>,
    ) -> Result<Self> {
        let name = column.name().to_string();
        none_missing(&name, values, rows, row, origin)?;
        let (classes, scale) = match values {
            Values::Texts(texts) => {
                let classes = values::distinct(texts, rows);
                if options.task.is_none()
                    && column.dtype().is_primitive_numeric()
                    && classes.len() > MAX_GUESSED_CLASSES
                {
                    let found = format!("{} different whole numbers", classes.len());
                    let expected =
                        "the option task = \"classification\" or \"regression\" to tell what it is";
                    return Err(origin.column(&name, expected, found));
                }
                if classes.len() < 2 {
                    let found = format!("only '{}'", classes.first().unwrap_or(&""));
                    return Err(origin.column(&name, "two classes or more", found));
                }
                (classes.into_iter().map(str::to_owned).collect(), (0.0, 1.0))
            }
            Values::Numbers(numbers) if options.standardize_target => {
                let (mean, std) = super::schema::moments(numbers, rows);
                (Vec::new(), (mean, if std > 0.0 { std } else { 1.0 }))
            }
            Values::Numbers(_) => (Vec::new(), (0.0, 1.0)),
        };
        let drop_missing = options.missing_in(&name) == Missing::DropRows;
        Ok(Self { name, kind, drop_missing, classes, scale })
    }

    /// The labels of `rows`: `i64 [N]` classes or `f32 [N]` targets.
    pub(super) fn labels(
        &self,
        values: &Values,
        rows: &[usize],
        row: &dyn Fn(usize) -> usize,
        origin: &Origin<'_>,
    ) -> Result<Tensor> {
        none_missing(&self.name, values, rows, row, origin)?;
        match values {
            Values::Numbers(numbers) => {
                let (mean, std) = self.scale;
                let scaled = |at: &usize| ((numbers[*at].unwrap_or_default() - mean) / std) as f32;
                Ok(Tensor::f_from_slice(&rows.iter().map(scaled).collect::<Vec<f32>>())?)
            }
            Values::Texts(texts) => {
                let label = |&at: &usize| -> Result<i64> {
                    let text = texts[at].as_deref().unwrap_or_default();
                    let label = self.classes.iter().position(|class| class == text);
                    label.map(|label| label as i64).ok_or_else(|| self.unknown(text, row(at), origin))
                };
                Ok(Tensor::f_from_slice(&rows.iter().map(label).collect::<Result<Vec<i64>>>()?)?)
            }
        }
    }

    /// What the column says, to be set beside predictions: classes by name, or targets in the table's own unit.
    pub(super) fn given(&self, column: &Column, origin: &Origin<'_>) -> Result<Column> {
        let label: PlSmallStr = "label".into();
        Ok(match read(column, self.kind, &|at| at + 1, origin)? {
            Values::Texts(texts) => Series::new(label, texts).into(),
            Values::Numbers(numbers) => Series::new(label, numbers).into(),
        })
    }

    fn unknown(&self, text: &str, row: usize, origin: &Origin<'_>) -> Error {
        let expected = format!("the training rows' classes ({})", crate::error::listing(&self.classes));
        origin.column(&self.name, &expected, format!("'{text}' in row {row}"))
    }
}

/// A target that is missing cannot be made up.
fn none_missing(
    name: &str,
    values: &Values,
    rows: &[usize],
    row: &dyn Fn(usize) -> usize,
    origin: &Origin<'_>,
) -> Result<()> {
    values.first_missing(rows).map_or(Ok(()), |at| {
        let found = format!("none in row {}; missing = \"drop-rows\" would leave it out", row(at));
        Err(origin.column(name, "a target for each row", found))
    })
}
