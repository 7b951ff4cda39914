//! The Rust that README and guide show runs through the kernel as it stands there, block after block, each document in a
//! session of its own.

#[path = "../../../tests/documents/blocks.rs"]
mod blocks;

use std::path::PathBuf;

use crate::client::{Kernel, plain};

#[test]
fn every_block_of_rust_runs() {
    let mut blocks = blocks::blocks();
    blocks.retain(|block| block.language == "rust");
    assert!(blocks.len() > 10, "README has more");
    for of_document in blocks.chunk_by(|a, b| a.document == b.document) {
        let kernel = Kernel::start();
        // The data sets that are fetched already; the kernel's own folder for dependencies stays apart.
        let cache = kernel.folder().join("cache");
        std::fs::create_dir_all(&cache).expect("a folder");
        std::os::unix::fs::symlink(cached(), cache.join("data")).expect("a link");
        for block in of_document {
            let outcome = kernel.run(block.text.trim_end());
            let error = outcome.contents("error");
            let error: Vec<String> =
                error.iter().map(|error| plain(&error["traceback"].to_string())).collect();
            assert!(
                outcome.reply["status"] == "ok",
                "{}:\n{}\n{}",
                block.place(),
                block.text,
                error.join("\n")
            );
        }
    }
}

/// The user's folder of data sets, made where there is none: what is missing is fetched into it, as for other tests.
fn cached() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("GLISTEN_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("glisten")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/glisten")))
        .expect("a home");
    std::fs::create_dir_all(cache.join("data")).expect("a folder");
    cache.join("data")
}
