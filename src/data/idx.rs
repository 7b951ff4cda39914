//! IDX, the format of MNIST and its family: a magic number, the dimensions, then bytes; gzipped or not, by content.

use std::path::Path;

use tch::{Kind, Tensor};

use super::budget;
use super::examples::Examples;
use super::files::{self, DataFile, TOO_LARGE};
use crate::error::{Error, Result};

/// What an IDX file of unsigned bytes holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// The size along each axis, one to four of them.
    pub dims: Vec<usize>,
    /// The values, the last axis running fastest: as many as the product of `dims`.
    pub values: Vec<u8>,
}

/// What the third byte of the magic number says about the values.
fn dtype_name(code: u8) -> Option<&'static str> {
    Some(match code {
        0x08 => "unsigned bytes",
        0x09 => "signed bytes",
        0x0B => "16-bit integers",
        0x0C => "32-bit integers",
        0x0D => "32-bit floats",
        0x0E => "64-bit floats",
        _ => return None,
    })
}

/// Reads an IDX file of unsigned bytes with any dimensions, gzipped or not.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::BadFile`] for a wrong magic number, another type than unsigned bytes, an
/// axis of size 0, a damaged gzip stream, and for content shorter or longer than the dimensions say.
pub fn read(path: impl AsRef<Path>) -> Result<Idx> {
    let path = path.as_ref();
    let mut file = DataFile::open(path)?;
    let magic = file.read_up_to(4)?;
    let (dtype, n_dims) = match magic[..] {
        [0, 0, dtype, n_dims] if dtype_name(dtype).is_some() && (1..=4).contains(&n_dims) => {
            (dtype, usize::from(n_dims))
        }
        _ => {
            let expected = "an IDX magic number (0x000008 and the number of dimensions, 1 to 4)";
            let found = match magic.len() {
                4 => format!("0x{}", hex::encode(&magic)),
                n => format!("only {n} bytes"),
            };
            return Err(Error::bad_file(path, expected, found));
        }
    };
    if dtype != 0x08 {
        let name = dtype_name(dtype).unwrap_or("an unknown type");
        let expected = "IDX values of dtype code 0x08 (unsigned bytes)";
        return Err(Error::bad_file(path, expected, format!("dtype code 0x{dtype:02x} ({name})")));
    }
    let sizes = file.read_up_to(4 * n_dims)?;
    if sizes.len() != 4 * n_dims {
        let expected = format!("an IDX header of {} bytes ({n_dims} dimensions)", 4 + 4 * n_dims);
        return Err(Error::bad_file(path, expected, format!("{} bytes", 4 + sizes.len())));
    }
    let dims: Vec<usize> =
        sizes.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
    let total = dims.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim));
    let total = total
        .filter(|&n| n > 0 && n < isize::MAX as usize)
        .ok_or_else(|| Error::bad_file(path, "dimensions of a sensible size, none of them 0", by(&dims)))?;
    // The bytes, and the tensor that is made of them.
    budget::memory(path.display(), (total as u64).saturating_mul(2), TOO_LARGE)?;
    let header = 4 + 4 * n_dims;
    let values = file.read_rest(header, total, &format!("a header of {header}, then {}", by(&dims)))?;
    Ok(Idx { dims, values })
}

/// Reads images: `[N, H, W]` (grey) or `[N, C, H, W]`.
///
/// Returns `u8 [N, C, H, W]`.
///
/// # Errors
/// As [`read`], and [`Error::BadFile`] for another number of dimensions.
pub fn read_images(path: impl AsRef<Path>) -> Result<Tensor> {
    let path = path.as_ref();
    let Idx { mut dims, values } = read(path)?;
    if dims.len() == 3 {
        dims.insert(1, 1);
    }
    if dims.len() != 4 {
        return Err(Error::bad_file(
            path,
            "3 or 4 dimensions, for images",
            format!("{} ({})", dims.len(), by(&dims)),
        ));
    }
    let size: Vec<i64> = dims.iter().map(|&d| d as i64).collect();
    Ok(Tensor::f_from_data_size(&values, &size, Kind::Uint8)?)
}

/// Reads labels, `[N]`, each below `n_classes`.
///
/// Returns `i64 [N]`.
///
/// # Errors
/// As [`read`], and [`Error::BadFile`] for another number of dimensions or a label out of range.
pub fn read_labels(path: impl AsRef<Path>, n_classes: usize) -> Result<Tensor> {
    let path = path.as_ref();
    let Idx { dims, values } = read(path)?;
    if dims.len() != 1 {
        return Err(Error::bad_file(
            path,
            "1 dimension, for labels",
            format!("{} ({})", dims.len(), by(&dims)),
        ));
    }
    files::check_labels(path, &values, n_classes)?;
    let labels: Vec<i64> = values.iter().map(|&label| i64::from(label)).collect();
    Ok(Tensor::f_from_slice(&labels)?)
}

/// Reads a file of images and the file of their labels.
///
/// # Errors
/// As [`read_images`] and [`read_labels`], and [`Error::BadFile`] about the labels if there are more or fewer of them
/// than images.
pub fn read_examples(
    images: impl AsRef<Path>,
    labels: impl AsRef<Path>,
    n_classes: usize,
) -> Result<Examples> {
    let image_tensor = read_images(images.as_ref())?;
    let label_tensor = read_labels(labels.as_ref(), n_classes)?;
    let (n_images, n_labels) = (image_tensor.size()[0], label_tensor.size()[0]);
    if n_images != n_labels {
        let expected = format!("{n_images} labels, one for each image of {}", images.as_ref().display());
        return Err(Error::bad_file(labels.as_ref(), expected, format!("{n_labels} labels")));
    }
    Examples::new(image_tensor, label_tensor, n_classes)
}

/// The header of an IDX file of unsigned bytes.
pub(super) fn header(dims: &[usize]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0x08, dims.len() as u8];
    for &dim in dims {
        bytes.extend_from_slice(&(dim as u32).to_be_bytes());
    }
    bytes
}

/// "60000 × 28 × 28".
pub(super) fn by(dims: &[usize]) -> String {
    dims.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}
