//! Makes the index from sources: `glisten-kernel index`, called when the bundle is made.

mod cfg;
mod expand;
mod read;
mod text;
mod tree;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use super::{Index, Item, ROOT};
use tree::Tree;

/// The members of the standard library that cells use most, as one would find them in its sources, which need not be there.
const STD: &str = include_str!("std.rs.txt");

/// A crate to read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Source {
    /// As it is written in code.
    pub(crate) name: String,
    /// Its `lib.rs`.
    pub(crate) path: PathBuf,
    /// The features that it is built with.
    pub(crate) features: HashSet<String>,
}

/// Writes the index of the crates that the file `crates` lists as `{"name", "path", "features"}`.
///
/// # Errors
/// If the list is not what it should be, a crate's `lib.rs` cannot be read or `output` not be written.
pub(crate) fn write_index(crates: &Path, output: &Path) -> anyhow::Result<()> {
    let list = std::fs::read(crates).with_context(|| format!("no {}", crates.display()))?;
    let sources: Vec<Source> =
        serde_json::from_slice(&list).context("expected a list of crates with name, path and features")?;
    let mut tree = Tree::default();
    read::text(&mut tree, "std", STD)?;
    for source in &sources {
        read::krate(&mut tree, &source.name, &source.path, &source.features)?;
    }
    let index = tree.into_index(ROOT);
    std::fs::write(output, serde_json::to_vec(&index)?)
        .with_context(|| format!("{} cannot be written", output.display()))
}

/// `index` with further crates, which cells can name; those that cannot be read are left out.
pub(super) fn extend(index: &Index, sources: &[Source]) -> Index {
    let mut tree = Tree::beside(index);
    let mut names = Vec::new();
    for source in sources {
        match read::krate(&mut tree, &source.name, &source.path, &source.features) {
            Ok(()) => names.push(source.name.clone()),
            Err(error) => log::debug!("{error:#}"),
        }
    }
    tree.into_extended(&names)
}

/// The items that a session has declared so, whose types may also be those of `index`, behind all that `index` holds.
pub(super) fn of_session(declarations: &[String], index: &Index) -> Vec<Item> {
    let mut tree = Tree::beside(index);
    for declaration in declarations {
        // One item that is not understood must not hide the others.
        if let Err(error) = read::text(&mut tree, "cell", declaration) {
            log::debug!("{error:#}");
        }
    }
    tree.into_items()
}

/// The index of crates that are given as text, and of which all is public.
#[cfg(test)]
pub(super) fn of_texts(crates: &[(&str, &str)]) -> Index {
    let mut tree = Tree::default();
    for (name, source) in [("std", STD)].iter().chain(crates) {
        read::text(&mut tree, name, source).unwrap();
    }
    tree.into_index(ROOT)
}
