//! The shape of the code: every file says what it is for, and modules use only what stands to their left.

use std::fs;
use std::path::{Path, PathBuf};

/// In the order data flows; a module may use those before it.
const MODULES: [&str; 8] = ["data", "model", "select", "track", "train", "analytics", "exchange", "report"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The modules of the pipeline that `text` names after `crate::`, comments left out.
fn named_in(text: &str) -> Vec<&'static str> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut named: Vec<&str> = Vec::new();
    for module in MODULES {
        let path = format!("crate::{module}");
        let follows = |at: usize| code[at + path.len()..].chars().next();
        if code
            .match_indices(&path)
            .any(|(at, _)| !follows(at).is_some_and(|c| c.is_alphanumeric() || c == '_'))
        {
            named.push(module);
        }
    }
    // `use crate::{data::…, select::…}`
    for (at, opening) in code.match_indices("crate::{") {
        let group = &code[at + opening.len()..];
        let group = &group[..group.find(';').unwrap_or(group.len())];
        named.extend(MODULES.iter().filter(|module| {
            group.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == **module)
        }));
    }
    named
}

#[test]
fn modules_use_only_what_stands_to_their_left() {
    let src = root().join("src");
    let mut wrong = Vec::new();
    for (position, module) in MODULES.iter().enumerate() {
        let folder = src.join(module);
        let files =
            if folder.is_dir() { rust_files(&folder) } else { vec![src.join(format!("{module}.rs"))] };
        assert!(!files.is_empty());
        for file in files {
            for named in named_in(&fs::read_to_string(&file).unwrap()) {
                if MODULES.iter().position(|other| *other == named).unwrap() > position {
                    wrong.push(format!("{} uses crate::{named}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_search_for_uses_sees_every_form() {
    assert_eq!(named_in("use crate::train::Trainer;"), ["train"]);
    assert_eq!(named_in("fn f() { crate::report::write() }"), ["report"]);
    assert_eq!(named_in("use crate::{\n    error::Error,\n    select::Select,\n};"), ["select"]);
    assert!(named_in("// crate::train\nuse crate::training;").is_empty());
}

#[test]
fn leaves_use_no_module_of_the_pipeline() {
    let src = root().join("src");
    let mut leaves = ["browser", "error", "device", "interrupt", "progress"]
        .map(|leaf| src.join(format!("{leaf}.rs")))
        .to_vec();
    leaves.extend(rust_files(&src.join("ops")));
    for leaf in leaves {
        let named = named_in(&fs::read_to_string(&leaf).unwrap());
        assert!(named.is_empty(), "{} uses {named:?}", leaf.display());
    }
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let folders = ["src", "reports", "kernel", "xtask", "tests"];
    let files: Vec<PathBuf> = folders.iter().flat_map(|folder| rust_files(&root().join(folder))).collect();
    assert!(files.len() > 40);
    let silent: Vec<_> = files
        .iter()
        .filter(|file| {
            !fs::read_to_string(file).unwrap().lines().next().is_some_and(|line| line.starts_with("//! "))
        })
        .collect();
    assert!(silent.is_empty(), "no //! on the first line: {silent:?}");
}

#[test]
fn heavy_libraries_stay_where_they_belong() {
    // Only the kernel speaks ZMQ, only reports draws and fills templates, and neither knows what trains.
    let forbidden = [
        (".", &["zmq", "jupyter-protocol", "plotters", "minijinja"][..]),
        ("reports", &["tch", "glisten", "rusqlite", "zmq"]),
        ("kernel", &["tch", "polars", "glisten", "rusqlite", "plotters"]),
        ("xtask", &["tch", "polars", "glisten"]),
    ];
    for (package, libraries) in forbidden {
        let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        let own = manifest.split("[dependencies]").nth(1).unwrap();
        let own = own.split("\n[").next().unwrap();
        let names: Vec<&str> = own.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).collect();
        assert!(names.len() > 5, "{package}: {names:?}");
        for library in libraries {
            assert!(!names.contains(library), "{package}/Cargo.toml depends on {library}");
        }
    }
    // Only track opens the store; the error type names what may come of it.
    for file in rust_files(&root().join("src")) {
        let may = file.starts_with(root().join("src/track")) || file.ends_with("src/error.rs");
        assert!(
            may || !fs::read_to_string(&file).unwrap().contains("rusqlite"),
            "{} knows rusqlite",
            file.display()
        );
    }
}
