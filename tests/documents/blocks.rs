//! The fenced blocks of the repository's Markdown: what a test runs as it stands there.

#![allow(dead_code, reason = "two test programs read this file, and each needs its part")]

use std::fs;
use std::path::{Path, PathBuf};

/// A fenced block of a document.
pub(crate) struct Block {
    pub(crate) document: PathBuf,
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
}

impl Block {
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.document.display(), self.line)
    }

    /// A block of commands also where nobody called it one.
    pub(crate) fn is_console(&self) -> bool {
        self.language == "console" || self.commands().next().is_some()
    }

    /// What stands behind the prompts.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter_map(|line| line.strip_prefix("$ "))
    }
}

/// The repository; the kernel's tests read this file too.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    if package.ends_with("kernel") { package.parent().unwrap() } else { package }
}

/// The Markdown files of the repository, sorted; not those of built or hidden folders.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_ours =
            !name.starts_with('.') && !["target", "shared", "node_modules"].contains(&name.as_str());
        if entry.file_type().unwrap().is_dir() && is_ours {
            documents(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
}

/// The fenced blocks of all documents, each document's in its order.
pub(crate) fn blocks() -> Vec<Block> {
    let mut files = Vec::new();
    documents(root(), &mut files);
    let mut blocks = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        blocks.extend(blocks_of(file.strip_prefix(root()).unwrap(), &text));
    }
    blocks
}

/// Those of one text.
pub(crate) fn blocks_of(document: &Path, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut fence: Option<(String, usize)> = None;
    for (at, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let ticks: String = trimmed.chars().take_while(|c| *c == '`' || *c == '~').collect();
        match &fence {
            None if ticks.len() >= 3 => {
                let language = trimmed[ticks.len()..].trim().to_owned();
                fence = Some((ticks, line.len() - trimmed.len()));
                blocks.push(Block { document: document.into(), line: at + 1, language, text: String::new() });
            }
            None => {}
            Some((open, _)) if trimmed.trim_end() == open => fence = None,
            Some((_, indent)) => {
                let block = blocks.last_mut().unwrap();
                block.text += line.get(*indent..).unwrap_or(trimmed);
                block.text.push('\n');
            }
        }
    }
    assert!(fence.is_none(), "{}: a block without an end", document.display());
    blocks
}
