//! Parquet columns of every type: what is a number under another name is read as one, and what is none is named.
//!
//! `fixtures/types.parquet` and `fixtures/decimals.parquet` were written by pyarrow 26 (four rows; the second with
//! `store_decimal_as_integer=True, store_schema=False`), since our Polars writes no decimals itself.

use std::path::{Path, PathBuf};

use glisten::data::{Dataset, TableOptions, Task};
use glisten::error::Error;
use polars::prelude::{DataFrame, ParquetReader, SerReader};

const NUMBERS: [&str; 8] = ["price", "small", "large", "huge", "count", "tiny", "short", "half"];
const OTHERS: [(&str, &str); 12] = [
    ("fixed", "list of 2 values"),
    ("list", "list"),
    ("list_of_decimals", "list"),
    ("struct", "struct"),
    ("map", "list"),
    ("binary", "binary"),
    ("fixed_binary", "binary"),
    ("date", "date"),
    ("time", "time"),
    ("when", "datetime"),
    ("duration", "duration"),
    ("uuid", "arrow.uuid (an extension)"),
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Of the file only these columns, beside the target.
fn read(columns: &[&str], target: &str) -> Result<Dataset, Error> {
    let all = NUMBERS.into_iter().chain(OTHERS.map(|(name, _)| name)).chain(["kind", "x", "y"]);
    let ignore = all.filter(|name| !columns.contains(name) && *name != target).map(str::to_owned).collect();
    let options = TableOptions { ignore, standardize: false, ..TableOptions::default() };
    Dataset::from_parquet_with(fixture("types.parquet"), target, &options)
}

fn column(data: &Dataset, at: i64) -> Vec<f64> {
    Vec::<f64>::try_from(data.train.inputs.select(1, at).to_kind(tch::Kind::Double)).unwrap()
}

#[track_caller]
fn near(found: &[f64], expected: &[f64]) {
    let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * b.abs();
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(close),
        "{found:?} is not {expected:?}"
    );
}

#[test]
fn data_parquet_numbers_under_other_names_are_read() {
    let cases: [(&str, [f64; 4]); 6] = [
        ("small", [0.5, -0.5, 1.5, 2.5]),
        ("large", [1.5, -1.5, 1.234_567_890_123_456_8e19, 0.0]),
        ("count", [3.0, -4.0, 5.0, 6.0]),
        ("tiny", [0.0, 1.0, 254.0, 255.0]),
        ("short", [0.0, 1.0, 65534.0, 65535.0]),
        ("half", [0.5, -2.0, 65504.0, 1.000_165_939_331_054_7e-4]),
    ];
    for (name, expected) in cases {
        near(&column(&read(&[name], "y").unwrap(), 0), &expected);
    }
    // As f32 the largest are infinite: standardised they are not.
    let all = TableOptions {
        ignore: OTHERS.iter().map(|(name, _)| (*name).to_owned()).chain(["price".to_owned()]).collect(),
        ..TableOptions::default()
    };
    let data = Dataset::from_parquet_with(fixture("types.parquet"), "y", &all).unwrap();
    assert_eq!(data.to_string(), "types: 4 to train on, 2 classes, 11 features");
    near(&column(&data, 2)[..2], &[std::f64::consts::SQRT_2, -std::f64::consts::SQRT_2]);
    // A missing value is one, and named by its row.
    let error = read(&["price"], "y").unwrap_err().to_string();
    assert!(error.contains("column 'price'") && error.contains("a missing one in row 3"), "{error}");
    // As a target: whole ones are classes, others a regression.
    let counted = read(&["x"], "count").unwrap();
    assert_eq!(
        (counted.task(), counted.classes.join(" ").as_str()),
        (Task::Classification { n_classes: 4 }, "-4 3 5 6")
    );
    assert_eq!(read(&["x"], "small").unwrap().task(), Task::Regression);
    assert_eq!(read(&["x"], "half").unwrap().task(), Task::Regression);
}

#[test]
fn data_parquet_decimals_that_are_stored_as_integers_are_read() {
    let options =
        TableOptions { standardize: false, ignore: vec!["price".into()], ..TableOptions::default() };
    let data = Dataset::from_parquet_with(fixture("decimals.parquet"), "y", &options).unwrap();
    assert_eq!(data.table.as_ref().unwrap().feature_names(), ["small", "large", "whole"]);
    near(&column(&data, 0), &[0.5, -0.5, 1.5, 2.5]);
    near(&column(&data, 1), &[1.5, -1.5, 1.234_567_890_123_456_8e19, 0.0]);
    near(&column(&data, 2), &[3.0, -4.0, 5.0, 6.0]);
    let options = TableOptions {
        missing: glisten::data::Missing::DropRows,
        standardize: false,
        ..TableOptions::default()
    };
    let data = Dataset::from_parquet_with(fixture("decimals.parquet"), "price", &options).unwrap();
    assert_eq!(data.task(), Task::Regression);
    near(
        &Vec::<f64>::try_from(data.train.labels.to_kind(tch::Kind::Double)).unwrap(),
        &[1.5, -2.25, 100_000.75],
    );
}

#[test]
fn data_parquet_columns_that_cannot_be_features_are_named() {
    let path = fixture("types.parquet");
    for (name, kind) in OTHERS {
        for target in ["y", name] {
            let columns = [name, "x"];
            let columns = if target == "y" { &columns[..] } else { &columns[1..] };
            let error = read(columns, target).unwrap_err().to_string();
            let expected = format!(
                "{}: expected numbers, texts or booleans in column '{name}', found values of type {kind}",
                path.display()
            );
            assert!(error.starts_with(&expected) && error.contains("leave it out by `ignore`"), "{error}");
        }
    }
    // What is left out is in nobody's way, and still known by its name.
    let ignore = OTHERS.iter().map(|(name, _)| (*name).to_owned()).chain(["dates".to_owned()]).collect();
    let error = Dataset::from_parquet_with(&path, "y", &TableOptions { ignore, ..TableOptions::default() });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("no column named 'dates'"), "{error}");
    assert_eq!(read(&["x", "kind"], "y").unwrap().to_string(), "types: 4 to train on, 2 classes, 4 features");
    // Polars alone panics over this file: if it ever reads it, much here is not needed any more.
    let whole = std::panic::catch_unwind(|| -> Option<DataFrame> {
        ParquetReader::new(std::fs::File::open(fixture("types.parquet")).unwrap()).finish().ok()
    });
    assert!(!matches!(whole, Ok(Some(_))));
}
