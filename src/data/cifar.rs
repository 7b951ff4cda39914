//! The binary formats of CIFAR-10 and CIFAR-100: records of one label byte (two: coarse and fine) and 3 × 32 × 32 image
//! bytes, plane after plane.

use std::path::Path;

use super::files::{self, DataFile};
use crate::error::{Error, Result};

/// Bytes of one image: 3 planes (red, green, blue) of 32 rows of 32.
pub const IMAGE_BYTES: usize = 3 * 32 * 32;
/// Bytes of one record: the label, then the image.
pub const RECORD_BYTES: usize = 1 + IMAGE_BYTES;
/// Classes, and so one more than the largest label.
pub const N_CLASSES: usize = 10;

/// Bytes of one record of CIFAR-100: the coarse label, the fine label, then the image.
pub const RECORD_BYTES_100: usize = 2 + IMAGE_BYTES;
/// CIFAR-100's fine classes.
pub const N_FINE: usize = 100;
/// CIFAR-100's superclasses.
pub const N_COARSE: usize = 20;

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
    let (mut labels, images) = read_records(path, n_records, 1)?;
    let labels = labels.remove(0);
    files::check_labels(path, &labels, N_CLASSES)?;
    Ok(Batch { images, labels })
}

/// What a file of CIFAR-100 holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch100 {
    /// `[N, 3, 32, 32]`, the last axis running fastest.
    pub images: Vec<u8>,
    /// `[N]`, each from 0 to 99.
    pub fine: Vec<u8>,
    /// `[N]`, each from 0 to 19: the superclass.
    pub coarse: Vec<u8>,
}

/// Reads a file of CIFAR-100 (`train.bin`), gzipped or not, of `n_records` records, or of any number if `None`.
///
/// # Errors
/// As [`read_batch`], for fine labels from 0 to 99 and coarse ones from 0 to 19.
pub fn read_batch_100(path: impl AsRef<Path>, n_records: Option<usize>) -> Result<Batch100> {
    let path = path.as_ref();
    let (mut labels, images) = read_records(path, n_records, 2)?;
    let (fine, coarse) = (labels.remove(1), labels.remove(0));
    files::check_labels(path, &fine, N_FINE)?;
    files::check_labels(path, &coarse, N_COARSE)?;
    Ok(Batch100 { images, fine, coarse })
}

/// Reads records of `n_labels` label bytes and an image: the labels of each kind, and the images.
fn read_records(path: &Path, n_records: Option<usize>, n_labels: usize) -> Result<(Vec<Vec<u8>>, Vec<u8>)> {
    let record_bytes = n_labels + IMAGE_BYTES;
    let mut file = DataFile::open(path)?;
    let bytes = match n_records {
        Some(n) => file.read_rest(0, n * record_bytes, &format!("{n} records of {record_bytes}"))?,
        // One byte more than the most there may be is no whole number of records.
        None => file.read_up_to(MAX_RECORDS * record_bytes + 1)?,
    };
    if bytes.is_empty() || bytes.len() % record_bytes != 0 {
        let expected = format!("a whole number of records of {record_bytes} bytes");
        return Err(Error::bad_file(path, expected, format!("{} bytes", bytes.len())));
    }
    let n = bytes.len() / record_bytes;
    let mut labels = vec![Vec::with_capacity(n); n_labels];
    let mut images = Vec::with_capacity(n * IMAGE_BYTES);
    for record in bytes.chunks_exact(record_bytes) {
        let (own, image) = record.split_at(n_labels);
        labels.iter_mut().zip(own).for_each(|(labels, &label)| labels.push(label));
        images.extend_from_slice(image);
    }
    Ok((labels, images))
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

/// The records of a file with these kinds of labels, as they are read back.
pub(super) fn records(labels: &[&[u8]], images: &[u8]) -> Vec<u8> {
    let mut bytes =
        Vec::with_capacity(images.len() + labels.iter().map(|labels| labels.len()).sum::<usize>());
    for (at, image) in images.chunks_exact(IMAGE_BYTES).enumerate() {
        bytes.extend(labels.iter().map(|labels| labels[at]));
        bytes.extend_from_slice(image);
    }
    bytes
}
