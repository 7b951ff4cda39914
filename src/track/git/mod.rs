//! The state of the git repository around a folder, read from its files. No program is run for it: a repository that somebody
//! sent may name commands in its configuration (`core.fsmonitor`, filters, hooks, a pager …), and git runs some of them when it is
//! only asked how things stand.
//!
//! The formats are those of git's own documentation: gitrepository-layout(5), gitformat-index(5), gitformat-pack(5).

mod index;
mod object;
mod work_tree;

use std::path::{Component, Path, PathBuf};

use crate::regular_file;

/// The longest file read of a repository: the index of a million files is about 100 MB.
const LONGEST: u64 = 256 << 20;

/// A commit, and how the files stand to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// The commit's name, in hexadecimal digits.
    pub(super) commit: String,
    /// Whether tracked files, or what is staged, differ from it; `None` where that cannot be told without running what the
    /// repository names (a filter, say), or in a reasonable time.
    pub(super) is_dirty: Option<bool>,
}

/// The state of the work tree around `folder`, if it is in one that has a commit.
pub(super) fn state(folder: &Path) -> Option<State> {
    state_within(folder, 0)
}

/// `depth`: in how many repositories this one lies as a submodule.
fn state_within(folder: &Path, depth: usize) -> Option<State> {
    let repository = Repository::around(folder)?;
    let commit = repository.head()?;
    let is_dirty = work_tree::is_dirty(&repository, &commit, depth);
    Some(State { commit, is_dirty })
}

/// Where the parts of a repository are.
struct Repository {
    /// The tracked files.
    work_tree: PathBuf,
    /// What belongs to this work tree alone: `HEAD` and `index`.
    own: PathBuf,
    /// What all of its work trees share: refs and objects.
    common: PathBuf,
}

impl Repository {
    fn around(folder: &Path) -> Option<Self> {
        folder.ancestors().find_map(Self::at)
    }

    /// The repository whose work tree is `work_tree` itself.
    fn at(work_tree: &Path) -> Option<Self> {
        let dot_git = work_tree.join(".git");
        let kind = dot_git.metadata().ok()?;
        let own = if kind.is_dir() {
            dot_git
        } else {
            // Of a further work tree, or a submodule: a file that says where it is.
            let text = text(&dot_git)?;
            work_tree.join(text.strip_prefix("gitdir: ")?)
        };
        let common = text(&own.join("commondir")).map_or_else(|| own.clone(), |path| own.join(path));
        own.join("HEAD").is_file().then(|| Self { work_tree: work_tree.to_path_buf(), own, common })
    }

    /// The commit that is checked out.
    fn head(&self) -> Option<String> {
        let mut content = text(&self.own.join("HEAD"))?;
        // A branch may stand for another one, and a hostile one for itself.
        for _ in 0..5 {
            let Some(name) = content.strip_prefix("ref:") else {
                return Some(content).filter(|id| is_object_id(id));
            };
            content = self.reference(name.trim())?;
        }
        None
    }

    /// What stands in the branch or tag `name`, as `refs/heads/main`.
    fn reference(&self, name: &str) -> Option<String> {
        let is_within = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !name.starts_with("refs/") || !is_within {
            return None;
        }
        let loose = [&self.own, &self.common].into_iter().find_map(|place| text(&place.join(name)));
        loose.or_else(|| {
            let packed = regular_file::read(&self.common.join("packed-refs"), LONGEST).ok()?;
            let packed = String::from_utf8_lossy(&packed);
            let of_name = |line: &str| {
                line.split_once(' ')
                    .filter(|(_, other)| other.trim_end() == name)
                    .map(|(id, _)| id.to_owned())
            };
            packed.lines().find_map(of_name)
        })
    }
}

/// The text of a small file, without the end of its last line.
fn text(path: &Path) -> Option<String> {
    let bytes = regular_file::read(path, 64 << 10).ok()?;
    Some(String::from_utf8(bytes).ok()?.trim_end().to_owned())
}

/// Whether it is a SHA-1 or SHA-256 in hexadecimal digits: nothing else of a file that a repository points to is kept.
fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests;
