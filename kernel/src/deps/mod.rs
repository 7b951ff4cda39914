//! Crates that the user adds with `:dep`: cargo builds them, once for a machine, into one shared library that stands beside the
//! prelude's, and cells are compiled against both.
//!
//! A crate that the prelude holds too (serde, rand) is another crate than the prelude's own: everything here is compiled with
//! metadata of its own, so that neither rustc nor the dynamic linker takes one for the other. One shared library, and not a
//! copy in each cell, is what gives a crate one set of statics (a generator's state, a runtime, a logger).

mod build;
mod cargo;
mod line;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::docs::gather::Source;

pub(crate) use build::{Request, build};
pub(crate) use cargo::{Progress, without_colour};
pub(crate) use line::parse;

/// What cargo cannot do better than say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The stop button.
    #[error("stopped")]
    Stopped,
    /// cargo's own words, in colour.
    #[error("{0}")]
    Cargo(String),
    /// Something around cargo.
    #[error("{0:#}")]
    Around(#[from] anyhow::Error),
}

/// Names and requirements, as in a manifest.
pub(crate) type List = BTreeMap<String, toml::Value>;

/// The dependencies of a session.
#[derive(Default)]
pub(crate) struct Dependencies {
    pub(crate) list: List,
    /// What cells are compiled against.
    pub(crate) built: Option<Arc<Built>>,
    /// What the worker has loaded.
    pub(crate) loaded: Vec<Arc<Built>>,
    /// How many times something was built.
    pub(crate) generation: usize,
}

/// A set of dependencies that was built.
#[derive(Debug)]
pub(crate) struct Built {
    /// The crate that holds all of them.
    pub(crate) krate: String,
    /// Its shared library.
    pub(crate) library: PathBuf,
    /// The folder of the metadata that rustc needs.
    folder: PathBuf,
    /// What cells can name: the names in code, with files in `folder`.
    externs: BTreeMap<String, String>,
    /// Folders that build scripts named to the linker, as `native=/a/b`.
    native: Vec<String>,
    /// What the user asked for, with the versions found.
    pub(crate) versions: Vec<(String, String)>,
    /// The project, whose `Cargo.lock` the next set begins with.
    project: PathBuf,
    /// Where the sources of these crates, and of those that they may pass on, lie.
    pub(crate) sources: Vec<Source>,
    /// Crates of the prelude that were built once more, so that their types are not the prelude's.
    pub(crate) doubles: Vec<String>,
}

impl Built {
    /// Adds to a call of rustc what lets a cell use the dependencies.
    pub(crate) fn add_to(&self, command: &mut Command) {
        for (name, file) in &self.externs {
            command.arg("--extern").arg(format!("{name}={}", self.folder.join(file).display()));
        }
        command.arg("--extern").arg(format!("{}={}", self.krate, self.library.display()));
        command.arg("-L").arg(format!("dependency={}", self.folder.display()));
        for path in &self.native {
            command.arg("-L").arg(path);
        }
    }

    /// The names that cells can use.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.externs.keys().map(String::as_str)
    }

    /// Names that stood for another crate in `earlier`, another version or other features: types of theirs have changed.
    pub(crate) fn replaced_since(&self, earlier: &Self) -> Vec<String> {
        let is_other = |(name, file): &(&String, &String)| self.externs.get(*name) != Some(*file);
        earlier.externs.iter().filter(is_other).map(|(name, _)| name.clone()).collect()
    }

    /// Crates that are the same for rustc and the linker as in `earlier`, but hold other code: a folder of the user's own
    /// whose sources have changed. One process must not load both.
    pub(crate) fn rewritten_since(&self, earlier: &Self) -> Vec<String> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&earlier.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let new = self.folder.join(&name);
            if name.ends_with(".rmeta") && new.is_file() && !same_content(&entry.path(), &new) {
                let stem = name.trim_start_matches("lib");
                names.push(stem.rsplit_once('-').map_or(stem, |(krate, _)| krate).to_owned());
            }
        }
        names.sort();
        names
    }
}

fn same_content(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| path.metadata().map(|m| (m.dev(), m.ino(), m.len())).ok();
    let (a_is, b_is) = (identity(a), identity(b));
    // Links to one file, as nearly always.
    a_is == b_is || (a_is.map(|a| a.2) == b_is.map(|b| b.2) && std::fs::read(a).ok() == std::fs::read(b).ok())
}

/// The user's folder for what is built: `$GLISTEN_CACHE`, else `$XDG_CACHE_HOME/glisten`, else `~/.cache/glisten`.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("GLISTEN_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("glisten")))
        .or_else(|| var("HOME").map(|home| home.join(".cache/glisten")))
        .map(|folder| folder.join("deps"))
}
