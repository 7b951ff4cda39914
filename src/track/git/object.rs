//! Objects: their hashes, and the tree that a commit names.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{Repository, is_object_id};
use crate::regular_file;

/// A hash as the repository makes them: SHA-1 of 20 bytes, or SHA-256 of 32.
pub(super) enum Hash {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hash {
    /// That of an object of `kind` ("blob", "tree") with `n_bytes` of content to come.
    pub(super) fn new(kind: &str, n_bytes: u64, n_hash_bytes: usize) -> Self {
        let mut hash = if n_hash_bytes == 32 { Self::Sha256(Sha256::new()) } else { Self::Sha1(Sha1::new()) };
        hash.update(format!("{kind} {n_bytes}\0").as_bytes());
        hash
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(hash) => hash.finalize().to_vec(),
            Self::Sha256(hash) => hash.finalize().to_vec(),
        }
    }
}

/// The hash of the tree that belongs to `commit`; `None` where the commit is not found, or packed as a difference to another.
pub(super) fn tree_of(repository: &Repository, commit: &str) -> Option<Vec<u8>> {
    let mut places = vec![repository.common.join("objects")];
    // Objects that are lent by another repository.
    let lent = super::text(&places[0].join("info/alternates")).unwrap_or_default();
    places.extend(lent.lines().take(8).map(|line| places[0].join(line)).collect::<Vec<PathBuf>>());
    places.iter().find_map(|objects| loose(objects, commit).or_else(|| packed(objects, commit)))
}

fn loose(objects: &Path, commit: &str) -> Option<Vec<u8>> {
    let file = regular_file::open(&objects.join(&commit[..2]).join(&commit[2..])).ok()?;
    let content = first_bytes(ZlibDecoder::new(file))?;
    let end_of_header = content.iter().position(|&byte| byte == 0)?;
    content.starts_with(b"commit ").then(|| tree_named(&content[end_of_header + 1..]))?
}

/// The commit's first line is "tree " and a hash.
fn tree_named(content: &[u8]) -> Option<Vec<u8>> {
    let line = content.split(|&byte| byte == b'\n').next()?;
    let id = std::str::from_utf8(line.strip_prefix(b"tree ")?).ok()?;
    is_object_id(id).then(|| hex::decode(id).ok())?
}

fn first_bytes(inflated: impl Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    inflated.take(200).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn packed(objects: &Path, commit: &str) -> Option<Vec<u8>> {
    let id = hex::decode(commit).ok()?;
    let packs = std::fs::read_dir(objects.join("pack")).ok()?;
    packs.flatten().map(|entry| entry.path()).find_map(|path| {
        if path.extension()? != "idx" {
            return None;
        }
        let at = offset_in_pack(&regular_file::open(&path).ok()?, &id).ok()??;
        commit_at(&regular_file::open(&path.with_extension("pack")).ok()?, at)
    })
}

/// Where a pack holds the object, by its index of version 2: a table of how many hashes begin with at most each byte, the
/// hashes in order, their checksums, their offsets, and those offsets that need more than 31 bits.
fn offset_in_pack(index: &File, id: &[u8]) -> io::Result<Option<u64>> {
    const HEADER: u64 = 8;
    const HASHES: u64 = HEADER + 256 * 4;
    let number = |at: u64| {
        let mut bytes = [0; 4];
        index.read_exact_at(&mut bytes, at).map(|()| u32::from_be_bytes(bytes))
    };
    if number(0)? != 0xFF74_4F63 || number(4)? != 2 {
        return Ok(None);
    }
    let n_of = |byte: u64| number(HEADER + 4 * byte).map(u64::from);
    let first = u64::from(id[0]);
    let (mut low, mut high) = (if first == 0 { 0 } else { n_of(first - 1)? }, n_of(first)?);
    let (n, n_hash_bytes) = (n_of(255)?, id.len() as u64);
    let mut found = vec![0; id.len()];
    while low < high {
        let middle = low + (high - low) / 2;
        index.read_exact_at(&mut found, HASHES + n_hash_bytes * middle)?;
        match found.as_slice().cmp(id) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => {
                let offsets = HASHES + (n_hash_bytes + 4) * n;
                let offset = number(offsets + 4 * middle)?;
                if offset & 0x8000_0000 == 0 {
                    return Ok(Some(offset.into()));
                }
                let large = offsets + 4 * n + 8 * u64::from(offset & 0x7FFF_FFFF);
                return Ok(Some(u64::from(number(large)?) << 32 | u64::from(number(large + 4)?)));
            }
        }
    }
    Ok(None)
}

/// The tree of the commit that stands at `at` in a pack, if it stands there whole.
fn commit_at(pack: &File, at: u64) -> Option<Vec<u8>> {
    const COMMIT: u8 = 1;
    let mut bytes = [0; 1024];
    let n = pack.read_at(&mut bytes, at).ok()?;
    let bytes = &bytes[..n];
    let kind = bytes.first()? >> 4 & 7;
    // The size goes on as long as the highest bit is set.
    let n_header = bytes.iter().position(|byte| byte & 0x80 == 0)? + 1;
    (kind == COMMIT).then(|| tree_named(&first_bytes_of_part(&bytes[n_header..])?))?
}

/// The beginning of what was deflated, of which only a part may be at hand.
fn first_bytes_of_part(deflated: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = [0; 72];
    let mut inflater = flate2::Decompress::new(true);
    inflater.decompress(deflated, &mut bytes, flate2::FlushDecompress::None).ok()?;
    Some(bytes[..usize::try_from(inflater.total_out()).ok()?].to_vec())
}
