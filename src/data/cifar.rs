//! The binary format of CIFAR-10: records of one label byte and 3 × 32 × 32 image bytes, plane after plane.

use std::path::Path;

use super::files::{self, DataFile};
use crate::error::{Error, Result};

/// Bytes of one image: 3 planes (red, green, blue) of 32 rows of 32.
pub const IMAGE_BYTES: usize = 3 * 32 * 32;
/// Bytes of one record: the label, then the image.
pub const RECORD_BYTES: usize = 1 + IMAGE_BYTES;
/// Classes, and so one more than the largest label.
pub const N_CLASSES: usize = 10;

/// No batch file has more records than this; it bounds what a hostile gzip stream can unpack to.
const MAX_RECORDS: usize = 1_000_000;

/// What one batch file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// `[N, 3, 32, 32]`, the last axis running fastest.
    pub images: Vec<u8>,
    /// `[N]`, each from 0 to 9.
    pub labels: Vec<u8>,
}

/// Reads one batch file (`data_batch_1.bin`), gzipped or not, of `n_records` records, or of any number if `None`.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::BadFile`] if it is empty, its length is not the one expected or not a
/// whole number of records, or a label is not from 0 to 9.
pub fn read_batch(path: impl AsRef<Path>, n_records: Option<usize>) -> Result<Batch> {
    let path = path.as_ref();
    let mut file = DataFile::open(path)?;
    let bytes = match n_records {
        Some(n) => file.read_rest(0, n * RECORD_BYTES, &format!("{n} records of {RECORD_BYTES}"))?,
        // One byte more than the most there may be is no whole number of records.
        None => file.read_up_to(MAX_RECORDS * RECORD_BYTES + 1)?,
    };
    if bytes.is_empty() || bytes.len() % RECORD_BYTES != 0 {
        let expected = format!("a whole number of records of {RECORD_BYTES} bytes");
        return Err(Error::bad_file(path, expected, format!("{} bytes", bytes.len())));
    }
    let n = bytes.len() / RECORD_BYTES;
    let mut batch = Batch { images: Vec::with_capacity(n * IMAGE_BYTES), labels: Vec::with_capacity(n) };
    for record in bytes.chunks_exact(RECORD_BYTES) {
        batch.labels.push(record[0]);
        batch.images.extend_from_slice(&record[1..]);
    }
    files::check_labels(path, &batch.labels, N_CLASSES)?;
    Ok(batch)
}

/// Reads the class names (`batches.meta.txt`): one a line, ten of them.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::BadFile`] if it does not hold ten names in UTF-8.
pub fn read_class_names(path: impl AsRef<Path>) -> Result<Vec<String>> {
    let path = path.as_ref();
    let expected = "ten class names, one a line";
    let text = String::from_utf8(files::read(path)?)
        .map_err(|e| Error::bad_file(path, expected, format!("text that is not UTF-8: {e}")))?;
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    if names.len() != N_CLASSES {
        return Err(Error::bad_file(path, expected, format!("{} names", names.len())));
    }
    Ok(names)
}

/// The records of a batch file, as [`read_batch`] reads them back.
pub(super) fn records(images: &[u8], labels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(labels.len() * RECORD_BYTES);
    for (&label, image) in labels.iter().zip(images.chunks_exact(IMAGE_BYTES)) {
        bytes.push(label);
        bytes.extend_from_slice(image);
    }
    bytes
}
