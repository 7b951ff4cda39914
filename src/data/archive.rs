//! Zip archives from outside: what they say of themselves is checked before anything is unpacked.

use std::io::{Read, Seek};

use zip::ZipArchive;

/// Deflate packs at most 1032 bytes into one.
pub(super) const DEFLATE_RATIO: u64 = 1032;

/// A file in an archive.
pub(super) struct Entry {
    pub(super) index: usize,
    pub(super) name: String,
    /// Bytes when unpacked, as the archive says. More than these are never to be read.
    pub(super) n_bytes: u64,
}

/// The files of an archive.
///
/// # Errors
/// What is wrong, if it is no whole archive, if two entries share bytes of it (one stream could stand for many files), or an
/// entry claims to unpack to more than its bytes can hold.
pub(super) fn entries<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<Vec<Entry>, String> {
    let mut places = Vec::with_capacity(archive.len());
    let mut entries = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|e| e.to_string())?;
        let name = entry.name().to_owned();
        let (packed, n_bytes) = (entry.compressed_size(), entry.size());
        let end = entry.data_start().checked_add(packed).ok_or_else(|| format!("{name}: no such size"))?;
        if n_bytes > packed.saturating_mul(DEFLATE_RATIO) {
            return Err(format!(
                "{name}: {packed} bytes that claim to unpack to {n_bytes}, which they cannot"
            ));
        }
        places.push((entry.header_start(), end, index));
        let is_file = entry.is_file();
        if is_file {
            entries.push(Entry { index, name, n_bytes });
        }
    }
    places.sort_unstable();
    for pair in places.windows(2) {
        let ((_, end, one), (start, _, other)) = (pair[0], pair[1]);
        if start < end {
            let name = |index: usize| archive.name_for_index(index).unwrap_or_default();
            return Err(format!("entries that overlap ({} and {})", name(one), name(other)));
        }
    }
    Ok(entries)
}
