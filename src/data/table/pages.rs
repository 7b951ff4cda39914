//! A look at the page headers of a Parquet file before it is decoded.
//!
//! Polars makes room for as many values as a page header promises. In a damaged file that can be more than any machine has,
//! which ends the process rather than giving an error. Headers are in Thrift's compact protocol.

use polars_parquet::read::{FileMetadata, PhysicalType};

/// Bytes that one value takes on its way from its column to a feature, beside itself: as a number or a text that may be
/// missing, and as the feature.
const ON_THE_WAY: u64 = 16 + 4;

/// Whether the pages of the columns that are `wanted` promise what the file's footer does, and no more bytes than there are;
/// with the bytes of memory that it takes to read them.
///
/// # Errors
/// Where they do not.
pub(super) fn check(
    bytes: &[u8],
    metadata: &FileMetadata,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<u64, String> {
    let mut needed = 0_u64;
    for (group, rows) in metadata.row_groups.iter().enumerate() {
        for (at, column) in rows.parquet_columns().iter().enumerate() {
            let is_wanted = column.descriptor().path_in_schema.first().is_some_and(|name| wanted(name));
            if !is_wanted {
                continue;
            }
            let range = column.byte_range();
            let n_values = column.num_values();
            let unpacked = check_chunk(bytes, range.start, range.end, n_values)
                .map_err(|found| format!("{found} in column {} of row group {}", at + 1, group + 1))?;
            let width = width(column.descriptor().descriptor.primitive_type.physical_type);
            let values = u64::try_from(n_values).unwrap_or(0).saturating_mul(width + ON_THE_WAY);
            needed = needed.saturating_add(unpacked).saturating_add(values);
        }
    }
    Ok(needed)
}

/// Bytes of a value in memory.
fn width(physical: PhysicalType) -> u64 {
    match physical {
        PhysicalType::Boolean => 1,
        PhysicalType::Int32 | PhysicalType::Float => 4,
        PhysicalType::Int64 | PhysicalType::Double => 8,
        PhysicalType::Int96 => 12,
        // Each a view of 16 bytes; what they show is in the pages.
        PhysicalType::ByteArray => 16,
        PhysicalType::FixedLenByteArray(n) => 16 + n as u64,
    }
}

/// One column of a row group: pages from `start` on, of `n_values` values together. Gives the bytes of all of them unpacked.
fn check_chunk(bytes: &[u8], start: u64, end: u64, n_values: i64) -> Result<u64, String> {
    let part = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let mut rest =
        part.and_then(|(start, end)| bytes.get(start..end)).ok_or("pages beyond the file's end")?;
    let (mut n_seen, mut unpacked) = (0, 0_u64);
    while n_seen < n_values {
        let header = Page::read(&mut rest).ok_or("no page header where one should be")?;
        let n_bytes = usize::try_from(header.compressed).ok().filter(|&n| n <= rest.len());
        let n_bytes = n_bytes.ok_or_else(|| format!("a page of {} bytes", header.compressed))?;
        if header.uncompressed < 0 {
            return Err(format!("a page of {} bytes when unpacked", header.uncompressed));
        }
        if header.n_values < 0 || header.n_values > n_values - n_seen {
            return Err(format!(
                "a page of {} values, where {} are left",
                header.n_values,
                n_values - n_seen
            ));
        }
        // Each entry of a dictionary takes a byte or more.
        if header.n_entries < 0 || header.n_entries > header.uncompressed {
            return Err(format!(
                "a dictionary of {} values in {} bytes",
                header.n_entries, header.uncompressed
            ));
        }
        rest = &rest[n_bytes..];
        n_seen += header.n_values;
        unpacked = unpacked.saturating_add(header.uncompressed.unsigned_abs());
    }
    Ok(unpacked)
}

/// What matters here of a page's header.
#[derive(Default)]
struct Page {
    uncompressed: i64,
    compressed: i64,
    /// Of a data page; 0 of others.
    n_values: i64,
    /// Of a dictionary page; 0 of others.
    n_entries: i64,
}

impl Page {
    /// Reads a header off the front of `bytes`.
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut page = Self::default();
        read_struct(bytes, &mut Vec::new(), &mut |path, value| match path {
            [2] => page.uncompressed = value,
            [3] => page.compressed = value,
            [5 | 8, 1] => page.n_values = value,
            [7, 1] => page.n_entries = value,
            _ => {}
        })?;
        Some(page)
    }
}

/// Structs in structs; a page header has two levels, its statistics one more.
const MAX_DEPTH: usize = 8;

/// Reads a struct off the front of `bytes`, telling `found` each integer in it by the field numbers that lead to it.
fn read_struct(bytes: &mut &[u8], path: &mut Vec<i64>, found: &mut dyn FnMut(&[i64], i64)) -> Option<()> {
    if path.len() > MAX_DEPTH {
        return None;
    }
    let mut field = 0;
    loop {
        let head = byte(bytes)?;
        if head == 0 {
            return Some(());
        }
        field = match head >> 4 {
            0 => integer(bytes)?,
            step => field + i64::from(step),
        };
        path.push(field);
        read_value(head & 0x0f, bytes, path, found)?;
        path.pop();
    }
}

/// A value of one of the protocol's types.
fn read_value(
    kind: u8,
    bytes: &mut &[u8],
    path: &mut Vec<i64>,
    found: &mut dyn FnMut(&[i64], i64),
) -> Option<()> {
    match kind {
        // Truths of a field are in its type.
        1 | 2 => Some(()),
        3 => byte(bytes).map(drop),
        4..=6 => {
            found(path, integer(bytes)?);
            Some(())
        }
        7 => skip(bytes, 8),
        8 => {
            let n = varint(bytes)?;
            skip(bytes, n)
        }
        // No list, set or map is in a page header.
        12 => read_struct(bytes, path, found),
        _ => None,
    }
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(first)
}

fn skip(bytes: &mut &[u8], n: u64) -> Option<()> {
    *bytes = bytes.get(usize::try_from(n).ok()?..)?;
    Some(())
}

/// Seven bits a byte, the lowest first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let next = byte(bytes)?;
        value |= u64::from(next & 0x7f) << shift;
        if next & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Zigzag: 0, −1, 1, −2, …
fn integer(bytes: &mut &[u8]) -> Option<i64> {
    let value = varint(bytes)?;
    Some((value >> 1) as i64 ^ -((value & 1) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_header_is_read_as_the_compact_protocol_writes_it() {
        // Type 0 (data page), 1000 bytes unpacked, 300 packed; data page header: 40 values, encodings 0, 3, 3.
        let header = [
            0x15, 0x00, 0x15, 0xd0, 0x0f, 0x15, 0xd8, 0x04, 0x2c, 0x15, 0x50, 0x15, 0, 0x15, 6, 0x15, 6, 0,
            0, 99,
        ];
        let mut rest = &header[..];
        let page = Page::read(&mut rest).unwrap();
        assert_eq!((page.uncompressed, page.compressed, page.n_values, page.n_entries), (1000, 300, 40, 0));
        assert_eq!(rest, [99]);
        for n in 0..header.len() - 1 {
            assert!(Page::read(&mut &header[..n]).is_none(), "cut off after {n}");
        }
    }
}
