//! Whether the files of a work tree are those of its commit, found as git finds it: by how each file looks on the disk, and by
//! its hash where that leaves a doubt; but without a filter. Where one may be at work, a hash that differs says nothing.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use super::index::{Entry, Seen, entries, tree_id};
use super::object::{Hash, tree_of};
use super::{LONGEST, Repository, state_within};
use crate::regular_file;

/// How many bytes of files are hashed, and how long all may take, before the answer is that it is not known.
const MOST_HASHED: u64 = 256 << 20;
const PATIENCE: Duration = Duration::from_secs(10);
/// How deep submodules in submodules are looked into.
const DEEPEST: usize = 8;

/// Whether tracked files or what is staged differ from `commit`; `None` if that cannot be told.
pub(super) fn is_dirty(repository: &Repository, commit: &str, depth: usize) -> Option<bool> {
    let n_hash_bytes = commit.len() / 2;
    let path = repository.own.join("index");
    let (bytes, written) = match path.symlink_metadata() {
        Ok(metadata) => (regular_file::read(&path, LONGEST).ok()?, metadata),
        // Nothing is tracked.
        Err(_) => return tree_of(repository, commit).map(|tree| Some(tree) != tree_id(&[], n_hash_bytes)),
    };
    let entries = entries(&bytes, n_hash_bytes)?;
    if entries.iter().any(|entry| entry.is_unmerged || entry.is_to_be_added) {
        return Some(true);
    }
    let mut look = Look {
        repository,
        may_convert: None,
        has_attributes: entries.iter().any(|entry| entry.path.ends_with(b".gitattributes")),
        index_written: (written.mtime(), written.mtime_nsec()),
        n_hashed: 0,
        until: Instant::now() + PATIENCE,
        depth,
    };
    let staged = tree_id(&entries.iter().collect::<Vec<_>>(), n_hash_bytes)?;
    // One file that surely differs decides, whatever is not known of others.
    let mut is_dirty = tree_of(repository, commit).map(|tree| tree != staged);
    for entry in entries.iter().filter(|entry| !entry.is_not_looked_at) {
        if is_dirty == Some(true) {
            break;
        }
        match look.differs(entry) {
            Some(true) => is_dirty = Some(true),
            Some(false) => {}
            None => is_dirty = None,
        }
    }
    is_dirty
}

/// What is needed to look at one file after the other.
struct Look<'a> {
    repository: &'a Repository,
    may_convert: Option<bool>,
    has_attributes: bool,
    index_written: (i64, i64),
    n_hashed: u64,
    until: Instant,
    depth: usize,
}

impl Look<'_> {
    /// Whether a file differs from what was staged of it.
    fn differs(&mut self, entry: &Entry) -> Option<bool> {
        const KIND: u32 = 0o170_000;
        if Instant::now() > self.until {
            return None;
        }
        let within = Path::new(OsStr::from_bytes(&entry.path));
        if !within.components().all(|part| matches!(part, Component::Normal(name) if name != ".git")) {
            return None;
        }
        let path = self.repository.work_tree.join(within);
        // A folder that is not checked out.
        if entry.mode & KIND == 0o040_000 {
            return Some(false);
        }
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Some(true),
            Err(_) => return None,
        };
        match entry.mode & KIND {
            0o160_000 => self.submodule_differs(&path, &metadata, entry),
            0o120_000 if metadata.is_symlink() => {
                let target = std::fs::read_link(&path).ok()?;
                let target = target.as_os_str().as_bytes();
                let mut hash = Hash::new("blob", target.len() as u64, entry.id.len());
                hash.update(target);
                Some(hash.finish() != entry.id)
            }
            0o100_000 if metadata.is_file() => self.file_differs(&path, &metadata, entry),
            // On file systems without links git writes their targets into files.
            0o120_000 if metadata.is_file() => None,
            _ => Some(true),
        }
    }

    fn file_differs(&mut self, path: &Path, metadata: &Metadata, entry: &Entry) -> Option<bool> {
        if (metadata.mode() & 0o100 != 0) != (entry.mode & 0o100 != 0) {
            // git may have been told not to look at that.
            return if self.configuration_says("filemode") { None } else { Some(true) };
        }
        let now = Seen {
            changed_secs: metadata.ctime() as u32,
            changed_nanos: metadata.ctime_nsec() as u32,
            modified_secs: metadata.mtime() as u32,
            modified_nanos: metadata.mtime_nsec() as u32,
            inode: metadata.ino() as u32,
            n_bytes: metadata.size() as u32,
        };
        // One that was changed in the moment in which the index was written may look unchanged.
        let is_surely_older = (metadata.mtime(), metadata.mtime_nsec()) < self.index_written;
        if now == entry.seen && is_surely_older {
            return Some(false);
        }
        // git writes zero where it wants the content looked at.
        if now.n_bytes != entry.seen.n_bytes && entry.seen.n_bytes != 0 {
            return Some(true);
        }
        self.n_hashed = self.n_hashed.saturating_add(metadata.size());
        if self.n_hashed > MOST_HASHED {
            return None;
        }
        if hash_of(path, metadata.size(), entry.id.len())? == entry.id {
            return Some(false);
        }
        if self.may_convert() { None } else { Some(true) }
    }

    /// Whether git may have stored something else of a file than what stands in it: line ends, or what a filter makes of it.
    fn may_convert(&mut self) -> bool {
        if let Some(known) = self.may_convert {
            return known;
        }
        let of_user = |within: &str| user_folder().map(|folder| folder.join(within));
        let files = [
            Some(self.repository.common.join("info/attributes")),
            of_user("git/attributes"),
            Some(PathBuf::from("/etc/gitattributes")),
        ];
        let may = self.has_attributes
            || files.into_iter().flatten().any(|path| path.exists())
            || ["attributesfile", "autocrlf"].iter().any(|name| self.configuration_says(name));
        self.may_convert = Some(may);
        may
    }

    /// Whether a word stands anywhere in what git is configured with. What is included from elsewhere may say anything.
    fn configuration_says(&self, word: &str) -> bool {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let files = [
            Some(self.repository.common.join("config")),
            Some(self.repository.own.join("config.worktree")),
            home.map(|home| home.join(".gitconfig")),
            user_folder().map(|folder| folder.join("git/config")),
            Some(PathBuf::from("/etc/gitconfig")),
        ];
        files.into_iter().flatten().filter(|path| path.exists()).any(|path| {
            let Ok(bytes) = regular_file::read(&path, 1 << 20) else { return true };
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            let told_otherwise =
                |line: &str| line.contains(word) && !(word == "filemode" && line.contains("true"));
            text.lines().any(|line| told_otherwise(line) || line.contains("[include"))
        })
    }

    /// Whether a submodule is at another commit than the one staged, or has changes of its own.
    fn submodule_differs(&self, path: &Path, metadata: &Metadata, entry: &Entry) -> Option<bool> {
        if !metadata.is_dir() {
            return Some(true);
        }
        if !path.join(".git").exists() {
            return Some(false);
        }
        if self.depth >= DEEPEST {
            return None;
        }
        let state = state_within(path, self.depth + 1)?;
        if state.commit != hex::encode(&entry.id) { Some(true) } else { state.is_dirty }
    }
}

/// The hash of a file's content as it is; `None` if it changes meanwhile, or cannot be read.
fn hash_of(path: &Path, n_bytes: u64, n_hash_bytes: usize) -> Option<Vec<u8>> {
    let mut file = regular_file::open(path).ok()?.take(n_bytes + 1);
    let mut hash = Hash::new("blob", n_bytes, n_hash_bytes);
    let (mut buffer, mut n_read) = (vec![0; 1 << 16], 0);
    loop {
        let n = file.read(&mut buffer).ok()?;
        if n == 0 {
            break;
        }
        n_read += n as u64;
        hash.update(&buffer[..n]);
    }
    (n_read == n_bytes).then(|| hash.finish())
}

/// `$XDG_CONFIG_HOME`, else `~/.config`.
fn user_folder() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("XDG_CONFIG_HOME").or_else(|| named("HOME").map(|home| home.join(".config")))
}
