//! The index: which files are tracked, with the hash of what was staged of each and how the file looked on the disk then.

/// A file that is tracked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Within the work tree, as bytes.
    pub(super) path: Vec<u8>,
    /// Its kind and permissions, as in a tree: `0o100644`, `0o120000` …
    pub(super) mode: u32,
    /// The hash of its content.
    pub(super) id: Vec<u8>,
    /// How the file looked.
    pub(super) seen: Seen,
    /// Whether its content is in conflict.
    pub(super) is_unmerged: bool,
    /// Whether it was said to be added later, without a content.
    pub(super) is_to_be_added: bool,
    /// Whether git does not look at the file, as its user wished.
    pub(super) is_not_looked_at: bool,
}

/// What tells, without reading a file, that it is as it was. All are cut to 32 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) changed_secs: u32,
    pub(super) changed_nanos: u32,
    pub(super) modified_secs: u32,
    pub(super) modified_nanos: u32,
    pub(super) inode: u32,
    pub(super) n_bytes: u32,
}

/// The entries of an index; `None` for one that is damaged, or that refers to a shared one.
pub(super) fn entries(bytes: &[u8], n_hash_bytes: usize) -> Option<Vec<Entry>> {
    let mut reader = Reader { rest: bytes };
    if reader.take(4)? != b"DIRC" {
        return None;
    }
    let version = reader.number()?;
    let n_entries = reader.number()? as usize;
    if !(2..=4).contains(&version) {
        return None;
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(n_entries.min(bytes.len() / 60));
    for _ in 0..n_entries {
        let before = entries.last().map_or(&[][..], |entry: &Entry| &entry.path);
        let entry = reader.entry(version, n_hash_bytes, before)?;
        entries.push(entry);
    }
    // What follows are extensions and a hash of all. One in small letters changes what the entries mean.
    while reader.rest.len() > n_hash_bytes {
        let name = reader.take(4)?;
        let n_bytes = reader.number()? as usize;
        reader.take(n_bytes)?;
        if name[0].is_ascii_lowercase() && name != b"sdir" {
            return None;
        }
    }
    Some(entries)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn flags(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn entry(&mut self, version: u32, n_hash_bytes: usize, before: &[u8]) -> Option<Entry> {
        const EXTENDED: u16 = 0x4000;
        const ASSUME_VALID: u16 = 0x8000;
        const SKIP_WORK_TREE: u16 = 0x4000;
        const INTENT_TO_ADD: u16 = 0x2000;
        let n_bytes_before = self.rest.len();
        let [changed_secs, changed_nanos, modified_secs, modified_nanos] =
            [self.number()?, self.number()?, self.number()?, self.number()?];
        let (_device, inode, mode) = (self.number()?, self.number()?, self.number()?);
        let (_user, _group, n_bytes) = (self.number()?, self.number()?, self.number()?);
        let id = self.take(n_hash_bytes)?.to_vec();
        let flags = self.flags()?;
        let more = if version > 2 && flags & EXTENDED != 0 { self.flags()? } else { 0 };
        let path = if version == 4 {
            // How many bytes of the path before this one does not share, then its own end.
            let n_dropped = self.offset()?;
            let n_shared = before.len().checked_sub(n_dropped)?;
            [&before[..n_shared], self.up_to_nul()?].concat()
        } else {
            let path = self.up_to_nul()?.to_vec();
            // Entries are padded to a multiple of eight bytes by one to eight NULs, of which one is behind us.
            let n_read = n_bytes_before - self.rest.len();
            self.take(n_read.next_multiple_of(8) - n_read)?;
            path
        };
        Some(Entry {
            path,
            mode,
            id,
            seen: Seen { changed_secs, changed_nanos, modified_secs, modified_nanos, inode, n_bytes },
            is_unmerged: flags & 0x3000 != 0,
            is_to_be_added: more & INTENT_TO_ADD != 0,
            is_not_looked_at: flags & ASSUME_VALID != 0 || more & SKIP_WORK_TREE != 0,
        })
    }

    fn up_to_nul(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| byte == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }

    /// A number as packs write offsets.
    fn offset(&mut self) -> Option<usize> {
        let mut byte = self.take(1)?[0];
        let mut value = usize::from(byte & 0x7F);
        while byte & 0x80 != 0 {
            byte = self.take(1)?[0];
            value = value.checked_add(1)?.checked_mul(128)?.checked_add(usize::from(byte & 0x7F))?;
        }
        Some(value)
    }
}

/// The hash of the tree that a commit of `entries` would have: they are in the order of their paths.
pub(super) fn tree_id(entries: &[&Entry], n_hash_bytes: usize) -> Option<Vec<u8>> {
    tree_below(entries, 0, 0, n_hash_bytes)
}

/// The tree of the folder whose path has `n_prefix` bytes, of which `entries` are all.
fn tree_below(entries: &[&Entry], n_prefix: usize, depth: usize, n_hash_bytes: usize) -> Option<Vec<u8>> {
    const FOLDER: u32 = 0o040_000;
    const DEEPEST: usize = 200;
    if depth > DEEPEST {
        return None;
    }
    let mut tree = Vec::new();
    let mut at = 0;
    while let Some(entry) = entries.get(at) {
        let name = entry.path.get(n_prefix..)?;
        let (mode, name, id) = match name.iter().position(|&byte| byte == b'/') {
            None => {
                at += 1;
                (entry.mode, name, entry.id.clone())
            }
            // A folder whose files are not checked out stands in the index as a whole.
            Some(end) if entry.mode == FOLDER && end + 1 == name.len() => {
                at += 1;
                (FOLDER, &name[..end], entry.id.clone())
            }
            Some(end) => {
                let folder = &entry.path[..=n_prefix + end];
                let n = entries[at..].iter().take_while(|other| other.path.starts_with(folder)).count();
                let id = tree_below(&entries[at..at + n], folder.len(), depth + 1, n_hash_bytes)?;
                at += n;
                (FOLDER, &name[..end], id)
            }
        };
        if name.is_empty() {
            return None;
        }
        tree.extend(format!("{mode:o} ").bytes());
        tree.extend(name);
        tree.push(0);
        tree.extend(id);
    }
    let mut hash = super::object::Hash::new("tree", tree.len() as u64, n_hash_bytes);
    hash.update(&tree);
    Some(hash.finish())
}
