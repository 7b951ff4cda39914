//! Reading CSV files whole, with every failure an error about the file.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use polars::prelude::{CsvParseOptions, CsvReadOptions, DataFrame, NullValues, PolarsResult, SerReader};

use super::TableOptions;
use crate::data::budget;
use crate::data::files::{DataFile, TOO_LARGE};
use crate::error::{Error, Result};

/// More than this a gzipped CSV file may not unpack to.
const MAX_BYTES: usize = 64 << 30;

/// The data set's name: the file's, without `.csv`, `.csv.gz` or `.parquet`.
pub(super) fn name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_owned(),
        _ => name.to_owned(),
    }
}

/// A CSV file, gzipped or not.
pub(super) fn csv(path: &Path, options: &TableOptions) -> Result<DataFrame> {
    let expected = "a CSV file whose first line names the columns";
    let bytes = DataFile::open(path)?.read_up_to(MAX_BYTES)?;
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        let line = 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
        return Err(Error::bad_file(path, expected, format!("a zero byte in line {line}: this is no text")));
    }
    if let Err(e) = std::str::from_utf8(&bytes) {
        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        return Err(Error::bad_file(path, "text in UTF-8", format!("other bytes in line {line}")));
    }
    check_header(path, &bytes, options)?;
    // As columns of 64-bit numbers, or views of texts, while the file's own bytes are still there.
    budget::memory(path.display(), (bytes.len() as u64).saturating_mul(6), TOO_LARGE)?;
    let null_values = options.null_values.iter().map(|text| text.as_str().into()).collect();
    let parse = CsvParseOptions::default()
        .with_separator(options.separator as u8)
        .with_null_values(Some(NullValues::AllColumns(null_values)));
    let read = || {
        CsvReadOptions::default()
            .with_has_header(true)
            // By all rows: a column whose first hundred are whole numbers may have halves later.
            .with_infer_schema_length(None)
            .with_parse_options(parse)
            .into_reader_with_file_handle(Cursor::new(bytes))
            .finish()
    };
    whole(path, expected, read)
}

/// Runs a reader of Polars, which panics over some files: damaged ones, and sound ones with what it was built without.
pub(super) fn whole<T>(path: &Path, expected: &str, read: impl FnOnce() -> PolarsResult<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(whole)) => Ok(whole),
        Ok(Err(e)) => Err(Error::bad_file(path, expected, first_line(&e.to_string()))),
        Err(panic) => {
            let said = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("its reader failed");
            let found = format!("damage, or a form that is not supported ({})", first_line(said));
            Err(Error::bad_file(path, expected, found))
        }
    }
}

/// The names in the first line must be there and differ: Polars would make up others.
fn check_header(path: &Path, bytes: &[u8], options: &TableOptions) -> Result<()> {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let line = line.trim_start_matches('\u{feff}').trim_end_matches('\r');
    if line.contains('"') {
        // Quoted names may hold separators and line ends: left to Polars.
        return Ok(());
    }
    let names: Vec<&str> = line.split(options.separator).collect();
    let expected = "names of columns in the first line, each another";
    let mut seen = std::collections::HashSet::new();
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() && names.len() > 1 {
            return Err(Error::bad_file(path, expected, format!("none for column {}", at + 1)));
        }
        if !seen.insert(*name) {
            return Err(Error::bad_file(path, expected, format!("'{name}' twice")));
        }
    }
    Ok(())
}

pub(super) fn first_line(text: &str) -> String {
    const MAX_CHARS: usize = 300;
    text.lines().next().unwrap_or_default().chars().take(MAX_CHARS).collect()
}
