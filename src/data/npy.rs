//! NumPy's `.npy` and `.npz` files as tensors.
//!
//! The format is a magic number, a header that is a Python dictionary of three entries, and the values. The header is read
//! here, not by a crate: those that do bring a parser generator along for it, and name no place in their errors.

use std::io::{Cursor, Read};
use std::path::Path;

use tch::{Kind, Tensor};

use super::dataset::Dataset;
use super::files;
use crate::error::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Headers are a line of some hundred bytes.
const MAX_HEADER: usize = 1 << 16;
/// More axes than any data set has.
const MAX_DIMS: usize = 8;

impl Dataset {
    /// A data set of two `.npy` files: inputs and labels.
    ///
    /// Inputs are images, `u8 [N, H, W]`, `[N, C, H, W]` or `[N, H, W, C]` (the last where only that axis has size 1 or 3),
    /// or rows of a table, `[N, F]` of any numbers, kept as f32. Labels are `[N]`: whole numbers are classes counted from 0,
    /// floats are targets of a regression.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::BadFile`] naming the file, if one cannot be read, is no `.npy` file, or has other shapes
    /// or types; [`Error::Argument`] as [`Dataset::from_tensors`].
    pub fn from_npy(
        name: impl Into<String>,
        inputs: impl AsRef<Path>,
        labels: impl AsRef<Path>,
    ) -> Result<Self> {
        let (inputs, labels) = (inputs.as_ref(), labels.as_ref());
        Self::from_tensors(name, as_inputs(read(inputs)?, inputs)?, as_labels(read(labels)?, labels)?)
    }

    /// A data set of an `.npz` file, which holds arrays by name: `x_train` and `y_train` (with `x_test` and `y_test` for a
    /// test set), or `x` and `y`; capitals do not matter. Shapes and types are those of [`Dataset::from_npy`].
    ///
    /// # Errors
    /// As [`Dataset::from_npy`], and [`Error::BadFile`] if no arrays have these names.
    pub fn from_npz(name: impl Into<String>, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let arrays = read_npz(path)?;
        let find = |names: &[&str]| -> Result<Tensor> {
            let found = names.iter().find_map(|name| {
                arrays
                    .iter()
                    .find(|(own, _)| own.eq_ignore_ascii_case(name))
                    .map(|(_, array)| array.shallow_clone())
            });
            found.ok_or_else(|| {
                let own: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
                let expected = format!("an array named {}", names.join(" or "));
                Error::bad_file(path, expected, crate::error::listing(&own))
            })
        };
        let inputs = as_inputs(find(&["x_train", "x"])?, path)?;
        let labels = as_labels(find(&["y_train", "y"])?, path)?;
        let data = Self::from_tensors(name, inputs, labels)?;
        let has_test = arrays.iter().any(|(name, _)| name.eq_ignore_ascii_case("x_test"));
        if !has_test {
            return Ok(data);
        }
        data.with_test(as_inputs(find(&["x_test"])?, path)?, as_labels(find(&["y_test"])?, path)?)
    }
}

/// Reads an `.npy` file.
///
/// Returns a tensor of the array's shape: booleans and bytes as `u8`, `i8`, `i16`, `i32`, `i64`, `f16`, `f32` and `f64` as
/// they are, wider unsigned integers as `i64`. Big-endian and Fortran-ordered arrays are put right.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::BadFile`] if it is no `.npy` file, holds Python objects, texts, complex or
/// structured values, has no values or more than eight axes, or is longer or shorter than its shape says.
pub fn read(path: impl AsRef<Path>) -> Result<Tensor> {
    let path = path.as_ref();
    parse(&files::read(path)?, path, "")
}

/// Reads all arrays of an `.npz` file, with their names, in the file's order.
///
/// # Errors
/// As [`read`], and [`Error::BadFile`] if it is no zip archive.
pub fn read_npz(path: impl AsRef<Path>) -> Result<Vec<(String, Tensor)>> {
    read_archive(path.as_ref())
}

fn read_archive(path: &Path) -> Result<Vec<(String, Tensor)>> {
    /// Deflate packs at most 1032 bytes into one.
    const RATIO: u64 = 1032;
    let bytes = files::read(path)?;
    let most = (bytes.len() as u64).saturating_mul(RATIO);
    let damaged = |e: String| Error::bad_file(path, "an .npz file (a zip archive of .npy files)", e);
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(e.to_string()))?;
    let mut arrays = Vec::new();
    for at in 0..archive.len() {
        let entry = archive.by_index(at).map_err(|e| damaged(e.to_string()))?;
        let Some(name) = entry.name().strip_suffix(".npy").map(str::to_owned) else { continue };
        let mut content = Vec::new();
        entry.take(most).read_to_end(&mut content).map_err(|e| damaged(format!("{name}: {e}")))?;
        arrays.push((name.clone(), parse(&content, path, &format!(" in array '{name}'"))?));
    }
    Ok(arrays)
}

/// An array from the bytes of an `.npy` file; `of` says which array, for errors.
fn parse(bytes: &[u8], path: &Path, of: &str) -> Result<Tensor> {
    let bad = |expected: &str, found: String| Error::bad_file(path, format!("{expected}{of}"), found);
    if !bytes.starts_with(MAGIC) {
        let found = match bytes.len() {
            0 => "nothing".to_owned(),
            n => format!("0x{}", hex::encode(&bytes[..n.min(6)])),
        };
        return Err(bad("the magic number of an .npy file (0x934e554d5059)", found));
    }
    // Version 1 gives the header's length in two bytes, versions 2 and 3 in four.
    let (length, start) = match bytes.first_chunk::<12>() {
        Some([.., 1, _, a, b, _, _]) => (usize::from(u16::from_le_bytes([*a, *b])), 10),
        Some([.., 2 | 3, _, a, b, c, d]) => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12),
        Some([_, _, _, _, _, _, major, minor, ..]) => {
            return Err(bad("version 1, 2 or 3 of the format", format!("{major}.{minor}")));
        }
        None => return Err(bad("a header", format!("only {} bytes", bytes.len()))),
    };
    let end = start + length;
    let text = bytes.get(start..end).filter(|_| length <= MAX_HEADER);
    let text = text.ok_or_else(|| {
        bad("a header of the length given", format!("{length} bytes given, {} there", bytes.len() - start))
    })?;
    let text = std::str::from_utf8(text).map_err(|_| bad("a header of text", "other bytes".to_owned()))?;
    let header = Header::parse(text.trim()).map_err(|found| {
        bad("a header with descr, fortran_order and shape", format!("{found}: {}", text.trim()))
    })?;
    let (dtype, big_endian) = Dtype::parse(&header.descr).ok_or_else(|| {
        bad("numbers or booleans (descr as '<f4', '|u1')", format!("descr '{}'", header.descr))
    })?;
    let shape = &header.shape;
    if shape.len() > MAX_DIMS || shape.contains(&0) {
        let expected = format!("a shape of up to {MAX_DIMS} axes, none of them 0");
        return Err(bad(&expected, format!("{shape:?}")));
    }
    let n = shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim));
    let n_bytes = n.and_then(|n| n.checked_mul(dtype.n_bytes()));
    let values = &bytes[end..];
    if n_bytes != Some(values.len()) {
        let wanted = n_bytes.map_or_else(|| "more than there can be".to_owned(), |n| n.to_string());
        let expected = format!("{wanted} bytes of values, for the shape {shape:?} of '{}'", header.descr);
        return Err(bad(&expected, format!("{} bytes", values.len())));
    }
    let mut values = values.to_vec();
    if big_endian {
        values.chunks_exact_mut(dtype.n_bytes()).for_each(<[u8]>::reverse);
    }
    let mut size: Vec<i64> = shape.iter().map(|&dim| dim as i64).collect();
    if header.fortran_order {
        size.reverse();
    }
    let tensor = dtype.tensor(&values, &size).map_err(|e| match e {
        Error::Argument { got, .. } => bad("numbers below 2^63", got),
        other => other,
    })?;
    if !header.fortran_order {
        return Ok(tensor);
    }
    let axes: Vec<i64> = (0..size.len() as i64).rev().collect();
    Ok(tensor.f_permute(&axes)?.f_contiguous()?)
}

struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, in any order and spacing.
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).ok_or("no dictionary")?;
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut rest = inner.trim();
        while !rest.is_empty() {
            let (key, after) = quoted(rest).ok_or("a key that is no text")?;
            let value = after.trim_start().strip_prefix(':').ok_or("a key without a value")?.trim_start();
            let after = match key {
                "descr" => {
                    let (text, after) =
                        quoted(value).ok_or("a descr that is no text (structured values?)")?;
                    descr = Some(text.to_owned());
                    after
                }
                "fortran_order" => {
                    let (truth, after) = if let Some(after) = value.strip_prefix("True") {
                        (true, after)
                    } else {
                        (
                            false,
                            value
                                .strip_prefix("False")
                                .ok_or("a fortran_order that is neither True nor False")?,
                        )
                    };
                    fortran_order = Some(truth);
                    after
                }
                "shape" => {
                    let (dims, after) = value
                        .strip_prefix('(')
                        .and_then(|value| value.split_once(')'))
                        .ok_or("a shape that is no tuple")?;
                    let dims = dims.split(',').map(str::trim).filter(|dim| !dim.is_empty());
                    let dims = dims.map(|dim| dim.trim_end_matches('L').parse::<usize>().ok());
                    shape =
                        Some(dims.collect::<Option<Vec<_>>>().ok_or("a shape that is not of whole numbers")?);
                    after
                }
                other => return Err(format!("an unknown key '{other}'")),
            };
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(after) => after.trim_start(),
                None if after.is_empty() => after,
                None => return Err("something behind a value".to_owned()),
            };
        }
        Ok(Self {
            descr: descr.ok_or("no descr")?,
            fortran_order: fortran_order.ok_or("no fortran_order")?,
            shape: shape.ok_or("no shape")?,
        })
    }
}

/// A quoted text at the beginning of `text`, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    text[1..].split_once(quote)
}

/// A dtype that can be a tensor's.
enum Dtype {
    /// As it is.
    Same(Kind),
    /// An unsigned integer of so many bytes, which becomes an i64.
    Unsigned(usize),
}

impl Dtype {
    /// From NumPy's `descr`, with whether it is big-endian.
    fn parse(descr: &str) -> Option<(Self, bool)> {
        let (order, name) = descr.split_at_checked(1)?;
        if !matches!(order, "<" | ">" | "|" | "=") {
            return None;
        }
        let dtype = match name {
            "b1" | "u1" => Self::Same(Kind::Uint8),
            "i1" => Self::Same(Kind::Int8),
            "i2" => Self::Same(Kind::Int16),
            "i4" => Self::Same(Kind::Int),
            "i8" => Self::Same(Kind::Int64),
            "f2" => Self::Same(Kind::Half),
            "f4" => Self::Same(Kind::Float),
            "f8" => Self::Same(Kind::Double),
            "u2" => Self::Unsigned(2),
            "u4" => Self::Unsigned(4),
            "u8" => Self::Unsigned(8),
            _ => return None,
        };
        Some((dtype, order == ">"))
    }

    fn n_bytes(&self) -> usize {
        match self {
            Self::Same(kind) => kind.elt_size_in_bytes(),
            Self::Unsigned(n_bytes) => *n_bytes,
        }
    }

    /// The values, little-endian, as a tensor.
    fn tensor(&self, values: &[u8], size: &[i64]) -> Result<Tensor> {
        match self {
            Self::Same(kind) => Ok(Tensor::f_from_data_size(values, size, *kind)?),
            Self::Unsigned(n_bytes) => {
                let number = |bytes: &[u8]| {
                    let number =
                        bytes.iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
                    i64::try_from(number).map_err(|_| Error::argument("values", "numbers below 2^63", number))
                };
                let numbers = values.chunks_exact(*n_bytes).map(number).collect::<Result<Vec<i64>>>()?;
                Ok(Tensor::f_from_slice(&numbers)?.f_view(size)?)
            }
        }
    }
}

/// An array as inputs: images `u8 [N, C, H, W]`, or rows of a table `f32 [N, F]`.
fn as_inputs(array: Tensor, path: &Path) -> Result<Tensor> {
    let (size, kind) = (array.size(), array.f_kind()?);
    let few = |at: usize| matches!(size[at], 1 | 3);
    match (kind, size.len()) {
        (_, 2) => Ok(array.f_to_kind(Kind::Float)?),
        (Kind::Uint8, 3) => Ok(array.f_unsqueeze(1)?),
        (Kind::Uint8, 4) if few(3) && !few(1) => Ok(array.f_permute([0, 3, 1, 2])?.f_contiguous()?),
        (Kind::Uint8, 4) => Ok(array),
        _ => Err(Error::bad_file(
            path,
            "images (u8 of shape [N, H, W], [N, C, H, W] or [N, H, W, C]) or rows of a table ([N, F])",
            format!("{kind:?} of shape {size:?}"),
        )),
    }
}

/// An array as labels: `i64 [N]` classes or `f32 [N]` targets. A second axis of size 1 is taken away.
fn as_labels(array: Tensor, path: &Path) -> Result<Tensor> {
    let (size, kind) = (array.size(), array.f_kind()?);
    let is_column = matches!(size[..], [_] | [_, 1]);
    if !is_column {
        return Err(Error::bad_file(path, "labels of shape [N]", format!("shape {size:?}")));
    }
    let is_float = matches!(kind, Kind::Half | Kind::Float | Kind::Double);
    let kind = if is_float { Kind::Float } else { Kind::Int64 };
    Ok(array.f_to_kind(kind)?.f_view([-1])?)
}
