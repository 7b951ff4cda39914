//! Reading the columns of a Parquet file that are asked for.
//!
//! Polars panics over a file that has a type which it was built without, whatever columns are read of it. So each column's
//! type is looked at here first: what can be a feature is read, what cannot is named. Decimals, half floats and small unsigned
//! integers, which our Polars lacks, are read as what they are stored as, and made numbers here.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use polars::prelude::{
    ArrowDataType, BinaryChunked, Column, DataFrame, DataType, NamedFrom, ParquetReader, SerReader, Series,
};
use polars_parquet::read::ParquetType;
use polars_parquet::read::schema::SchemaDescriptor;

use super::origin::Origin;
use super::pages;
use super::read::whole;
use crate::data::budget;
use crate::data::files::{self, TOO_LARGE};
use crate::error::{Error, Result};

/// Reads the columns that are `wanted`. The others are columns of missing values: their names and places count, and what is
/// in them does not.
pub(super) fn parquet(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<DataFrame> {
    const MAGIC: &[u8] = b"PAR1";
    let bytes = files::read(path)?;
    if bytes.is_empty() {
        return Err(Error::bad_file(path, "a Parquet file", "an empty file"));
    }
    if bytes.len() < 12 || !bytes.starts_with(MAGIC) || !bytes.ends_with(MAGIC) {
        let found =
            format!("{} bytes that do not begin and end with PAR1 (another format, or cut off)", bytes.len());
        return Err(Error::bad_file(path, "a Parquet file", found));
    }
    let expected = "an intact Parquet file";
    let mut reader = ParquetReader::new(Cursor::new(bytes.as_slice()));
    let (metadata, schema) =
        whole(path, expected, || Ok((reader.get_metadata()?.clone(), reader.schema()?)))?;

    let mut columns = Vec::with_capacity(schema.len());
    for (name, field) in schema.iter() {
        let form = if wanted(name) { Form::of(field.dtype(), name, path)? } else { Form::Unread };
        columns.push((name.clone(), form));
    }
    let read = |name: &str| columns.iter().any(|(own, form)| own == name && *form != Form::Unread);
    let needed = whole(path, expected, || Ok(pages::check(&bytes, &metadata, &read)))?
        .map_err(|found| Error::bad_file(path, expected, found))?;
    budget::memory(path.display(), needed, TOO_LARGE)?;

    let mut stored = (*metadata).clone();
    // Another writer's idea of the types, which would have categories in place of texts.
    stored.key_value_metadata = None;
    let fields = metadata.schema().fields().iter().cloned().map(|mut field| {
        let form = columns.iter().find(|(name, _)| name == field.name()).map(|(_, form)| *form);
        if let (ParquetType::PrimitiveType(own), Some(Form::Decimal { .. } | Form::Half)) = (&mut field, form)
        {
            (own.logical_type, own.converted_type) = (None, None);
        }
        field
    });
    stored.schema_descr = SchemaDescriptor::new(metadata.schema().name().into(), fields.collect());
    let names = columns.iter().filter(|(_, form)| *form != Form::Unread).map(|(name, _)| name.to_string());
    let names: Vec<String> = names.collect();
    let height = metadata.num_rows;
    let frame = if names.is_empty() {
        DataFrame::empty_with_height(height)
    } else {
        whole(path, expected, || {
            let mut reader = ParquetReader::new(Cursor::new(bytes.as_slice())).with_columns(Some(names));
            reader.set_metadata(Arc::new(stored));
            reader.finish()
        })?
    };
    // The number of rows is the footer's, whatever the columns hold.
    if let Some(column) = frame.columns().iter().find(|column| column.len() != height) {
        let found = format!("{height} rows, but {} in column '{}'", column.len(), column.name());
        return Err(Error::bad_file(path, expected, found));
    }
    let columns = columns.iter().map(|(name, form)| match form {
        Form::Unread => Ok(Column::full_null(name.clone(), height, &DataType::Null)),
        Form::Plain => Ok(frame.column(name)?.clone()),
        Form::Half => numbers(frame.column(name)?, path, half),
        Form::Decimal { scale } => decimals(frame.column(name)?, *scale, path),
    });
    Ok(DataFrame::new(height, columns.collect::<Result<Vec<_>>>()?)?)
}

/// How a column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Not at all.
    Unread,
    /// By Polars.
    Plain,
    /// A 16-bit float, as two bytes.
    Half,
    /// A whole number, as an integer or as bytes, to be divided by 10 to the power of `scale`.
    Decimal { scale: usize },
}

impl Form {
    fn of(dtype: &ArrowDataType, name: &str, path: &Path) -> Result<Self> {
        use ArrowDataType as T;
        Ok(match dtype {
            T::Null | T::Boolean | T::Float32 | T::Float64 => Self::Plain,
            T::Int8 | T::Int16 | T::Int32 | T::Int64 => Self::Plain,
            T::UInt32 | T::UInt64 => Self::Plain,
            // Our Polars has no such columns; stored they are wider.
            T::UInt8 | T::UInt16 => Self::Decimal { scale: 0 },
            T::Utf8 | T::LargeUtf8 | T::Utf8View => Self::Plain,
            T::Dictionary(_, values, _) => Self::of(values, name, path)?,
            T::Float16 => Self::Half,
            T::Decimal(_, scale)
            | T::Decimal32(_, scale)
            | T::Decimal64(_, scale)
            | T::Decimal256(_, scale) => Self::Decimal { scale: *scale },
            other => {
                let found = format!(
                    "values of type {}; make numbers or texts of them, or leave it out by `ignore`",
                    type_name(other)
                );
                return Err(Origin::File(path).column(name, "numbers, texts or booleans", found));
            }
        })
    }
}

/// What people call the type.
fn type_name(dtype: &ArrowDataType) -> String {
    use ArrowDataType as T;
    match dtype {
        T::Date32 | T::Date64 => "date".to_owned(),
        T::Timestamp(..) => "datetime".to_owned(),
        T::Duration(_) => "duration".to_owned(),
        T::Time32(_) | T::Time64(_) => "time".to_owned(),
        T::Interval(_) => "interval".to_owned(),
        T::List(_) | T::LargeList(_) => "list".to_owned(),
        T::FixedSizeList(_, n) => format!("list of {n} values"),
        T::Struct(_) => "struct".to_owned(),
        T::Map(..) => "map".to_owned(),
        T::Union(_) => "union".to_owned(),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => "binary".to_owned(),
        T::Int128 | T::UInt128 => "128-bit integer".to_owned(),
        T::Extension(extension) => format!("{} (an extension)", extension.name),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// A column of decimals: whole numbers, if its scale is 0 and a float tells them all apart; else floats.
fn decimals(column: &Column, scale: usize, path: &Path) -> Result<Column> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let divisor = 10_f64.powi(scale.min(400) as i32);
    if !column.dtype().is_integer() {
        let floats = numbers(column, path, |bytes| Some(big_endian(bytes) / divisor))?;
        let is_exact = scale == 0 && floats.f64()?.iter().flatten().all(|number| number.abs() < EXACT);
        return Ok(if is_exact { floats.cast(&DataType::Int64)? } else { floats });
    }
    if scale == 0 {
        return Ok(column.clone());
    }
    let floats = column.as_materialized_series().cast(&DataType::Float64)?;
    let floats: Vec<Option<f64>> = floats.f64()?.iter().map(|number| Some(number? / divisor)).collect();
    Ok(Series::new(column.name().clone(), floats).into())
}

/// A column of bytes as the numbers that `number` makes of them.
fn numbers(column: &Column, path: &Path, number: impl Fn(&[u8]) -> Option<f64>) -> Result<Column> {
    let name = column.name();
    let series = column.as_materialized_series();
    let Ok(values): Result<&BinaryChunked, _> = series.binary() else {
        let found = format!("values of type {}", column.dtype());
        return Err(Origin::File(path).column(name, "bytes that stand for numbers", found));
    };
    let numbers: Vec<Option<f64>> = values.iter().map(|value| number(value?)).collect();
    if numbers.iter().flatten().count() != values.len() - values.null_count() {
        return Err(Origin::File(path).column(name, "numbers of the size that its type says", "others"));
    }
    Ok(Series::new(name.clone(), numbers).into())
}

/// A two's complement number, its highest byte first.
fn big_endian(bytes: &[u8]) -> f64 {
    let is_negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    if bytes.len() <= 16 {
        let start = if is_negative { -1_i128 } else { 0 };
        return bytes.iter().fold(start, |number, &byte| number << 8 | i128::from(byte)) as f64;
    }
    // −x − 1 has the bits of x turned over: the sum loses no more than each of its roundings.
    let turn = |byte: u8| if is_negative { !byte } else { byte };
    let magnitude = bytes.iter().fold(0.0, |number, &byte| number * 256.0 + f64::from(turn(byte)));
    if is_negative { -magnitude - 1.0 } else { magnitude }
}

/// A 16-bit float (IEEE 754), its lowest byte first.
fn half(bytes: &[u8]) -> Option<f64> {
    let bits = u16::from_le_bytes(bytes.try_into().ok()?);
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2_f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    };
    Some(if bits & 0x8000 != 0 { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_the_numbers_they_stand_for() {
        // NumPy: np.float16(x).tobytes().
        let halves: [(u16, f64); 6] = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x3555, 0.333_251_953_125),
            (0xfc00, f64::NEG_INFINITY),
        ];
        for (bits, number) in halves {
            assert_eq!(half(&bits.to_le_bytes()), Some(number));
        }
        assert!(half(&[0, 0x7e]).unwrap().is_nan() && half(&[0]).is_none());
        for number in [0_i128, 1, -1, 255, -256, 12_345_678_901_234_567, i128::MIN, i128::MAX] {
            let bytes = number.to_be_bytes();
            assert_eq!(big_endian(&bytes), number as f64);
            let first = if number < 0 { 0xff } else { 0 };
            let long = [&[first; 16][..], &bytes].concat();
            let error = (big_endian(&long) - number as f64).abs();
            assert!(error <= 1e-14 * (number as f64).abs(), "{number}: {}", big_endian(&long));
        }
        assert_eq!((big_endian(&[0xff]), big_endian(&[0x80, 0]), big_endian(&[])), (-1.0, -32768.0, 0.0));
    }
}
