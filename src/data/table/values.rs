//! A column's values, as numbers or as texts, with what is missing known as such.

use polars::prelude::{Column, DataType};

use super::origin::Origin;
use crate::data::budget;
use crate::error::Result;

/// A column's values; `None` where one is missing.
#[derive(Debug)]
pub(super) enum Values {
    Numbers(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
}

impl Values {
    /// The values of `column`; its numbers as texts if `as_texts`. Row `i` is the table's row `row(i)`, counted from 1.
    pub(super) fn of(
        column: &Column,
        as_texts: bool,
        row: &dyn Fn(usize) -> usize,
        origin: &Origin<'_>,
    ) -> Result<Self> {
        let dtype = column.dtype();
        let name = column.name().as_str();
        let is_text = matches!(dtype, DataType::String | DataType::Boolean)
            || matches!(dtype.to_string().as_str(), "cat" | "enum");
        if is_text || (as_texts && (dtype.is_primitive_numeric() || *dtype == DataType::Null)) {
            let texts = column.as_materialized_series().cast(&DataType::String)?;
            // Of a column each value may be a long text that the file has once.
            let n_bytes = texts.str()?.iter().flatten().map(|text| text.len() as u64).sum::<u64>();
            let needed = n_bytes.saturating_add(40 * texts.len() as u64);
            budget::memory(origin.named(name), needed, "leave the column out by `ignore`")?;
            return Ok(Self::Texts(texts.str()?.iter().map(|text| text.map(str::to_owned)).collect()));
        }
        if !dtype.is_primitive_numeric() && *dtype != DataType::Null {
            let found =
                format!("values of type {dtype}; make numbers or texts of them, or leave it out by `ignore`");
            return Err(origin.column(name, "numbers, texts or booleans", found));
        }
        let numbers = column.as_materialized_series().cast(&DataType::Float64)?;
        let numbers: Vec<Option<f64>> =
            numbers.f64()?.iter().map(|number| number.filter(|number| !number.is_nan())).collect();
        if let Some(at) = numbers.iter().position(|number| number.is_some_and(f64::is_infinite)) {
            let found = format!("{} in row {}", numbers[at].unwrap_or_default(), row(at));
            return Err(origin.column(name, "finite numbers", found));
        }
        Ok(Self::Numbers(numbers))
    }

    /// Whether the value of a row is missing.
    pub(super) fn is_missing(&self, row: usize) -> bool {
        match self {
            Self::Numbers(numbers) => numbers[row].is_none(),
            Self::Texts(texts) => texts[row].is_none(),
        }
    }

    /// The first missing value among `rows`.
    pub(super) fn first_missing(&self, rows: &[usize]) -> Option<usize> {
        rows.iter().copied().find(|&row| self.is_missing(row))
    }
}

/// The different texts among `rows`, in the order of numbers if all are whole numbers, else of the alphabet.
pub(super) fn distinct<'a>(texts: &'a [Option<String>], rows: &[usize]) -> Vec<&'a str> {
    let set: std::collections::BTreeSet<&str> =
        rows.iter().filter_map(|&row| texts[row].as_deref()).collect();
    let mut names: Vec<&str> = set.into_iter().collect();
    let numbers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
    if numbers.is_some() {
        names.sort_by_key(|name| name.parse::<i64>().unwrap_or(0));
    }
    names
}
