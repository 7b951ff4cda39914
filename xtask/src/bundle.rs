//! The bundle that notebook cells link to: the prelude and all below it as one shared library, and the metadata that rustc
//! needs to use it.
//!
//! `target/bundle` is a link to `target/bundles/<fingerprint>`, so that a new bundle takes the place of the old one in one
//! step, and a running kernel, which resolves the link when it starts, keeps the one that it has loaded. Inside:
//!
//! - `libglisten_prelude.so`, a Rust `dylib`
//! - `deps/`, for `-L dependency`: `.rmeta` files (a sixth of the `.rlib` files, which hold the code that the dylib already
//!   has) and procedural macros, as hard links into cargo's target folder
//! - `index.json`: what completion and inspection know of these crates, written by `glisten-kernel index`
//! - `bundle.json`: which rustc made it, and where the native libraries are

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::build::Artifact;
use crate::folders::{self, Folders};
use crate::{process, say};

/// Raised when the way a bundle is made changes.
const RECIPE: u32 = 5;
const PRELUDE: &str = "glisten-prelude";
const LIBRARY: &str = "libglisten_prelude.so";

/// Where the current bundle is found.
pub(crate) fn link(folders: &Folders) -> PathBuf {
    folders.target.join("bundle")
}

/// Whether there is a bundle, fresh or not.
pub(crate) fn exists(folders: &Folders) -> bool {
    link(folders).join("bundle.json").is_file()
}

/// Makes the bundle of `artifacts`, unless the one there was made of the same. Returns the path that [`link`] points at.
///
/// # Errors
/// If a library is missing among `artifacts`, the prelude does not compile, or the disk is full.
pub(crate) fn provide(folders: &Folders, artifacts: &[Artifact]) -> Result<PathBuf> {
    let metadata = metadata(folders)?;
    let needed = closure(&metadata, artifacts)?;
    let rustc = Rustc::ask(folders)?;
    let native = folders.libtorch_link().join("lib");
    let native = native.canonicalize().with_context(|| format!("no {}", native.display()))?;
    let prelude = folders.root.join("kernel/prelude/src/lib.rs");
    let fingerprint = fingerprint(&needed, prelude.parent().unwrap_or(&prelude), &rustc.version, &native)?;
    let bundles = folders.target.join("bundles");
    let place = bundles.join(&fingerprint[..16]);
    if !place.join("bundle.json").is_file() {
        say::step("making the notebook bundle");
        let part = folders::with_suffix(&place, ".part");
        folders::remove(&part)?;
        fs::create_dir_all(part.join("deps")).with_context(|| format!("cannot make {}", part.display()))?;
        compile(folders, &rustc, &prelude, &native, &needed, &part)?;
        for artifact in &needed.libraries {
            hard_link_or_copy(&artifact.file, &part.join("deps"))?;
        }
        index(folders, &metadata, &part.join("index.json"))?;
        let text = serde_json::to_string_pretty(&json!({
            "rustc": rustc.version,
            "rustc_path": rustc.sysroot.join("bin/rustc"),
            "native": [native],
            "sysroot_lib": rustc.libraries,
            "version": env!("CARGO_PKG_VERSION"),
            "fingerprint": fingerprint,
        }))?;
        folders::write_atomically(&part.join("bundle.json"), text)?;
        folders::remove(&place)?;
        fs::rename(&part, &place).with_context(|| format!("cannot make {}", place.display()))?;
    }
    if link(folders).canonicalize().ok().as_deref() != Some(&place) {
        folders::replace_link(&link(folders), &Path::new("bundles").join(&fingerprint[..16]))?;
        prune(&bundles, &place)?;
    }
    Ok(place)
}

/// The crates that cells need, out of all that cargo built.
pub(crate) struct Needed<'a> {
    /// Names and libraries of what the prelude itself uses.
    externs: Vec<(String, &'a Artifact)>,
    /// Those and all below them.
    pub(crate) libraries: Vec<&'a Artifact>,
}

fn metadata(folders: &Folders) -> Result<Value> {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = folders.cargo()?;
    command.args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &host]);
    serde_json::from_str(&process::output(&mut command)?).context("`cargo metadata` gave no JSON")
}

/// The libraries of the prelude's dependencies, whole, among `artifacts`.
///
/// # Errors
/// If one is missing, or it cannot be told which of two the prelude uses.
pub(crate) fn closure<'a>(metadata: &Value, artifacts: &'a [Artifact]) -> Result<Needed<'a>> {
    let nodes = metadata["resolve"]["nodes"].as_array().context("`cargo metadata` resolves nothing")?;
    let nodes: HashMap<&str, &Value> = nodes.iter().filter_map(|n| Some((n["id"].as_str()?, n))).collect();
    let packages = metadata["packages"].as_array().context("`cargo metadata` lists no packages")?;
    let prelude = packages.iter().find(|p| p["name"] == PRELUDE).and_then(|p| p["id"].as_str());
    let prelude = prelude.with_context(|| format!("no package {PRELUDE}"))?;
    let mut of_package: HashMap<&str, Vec<&Artifact>> = HashMap::new();
    for artifact in artifacts {
        of_package.entry(&artifact.package).or_default().push(artifact);
    }

    let mut externs = Vec::new();
    for (name, package) in dependencies(nodes[prelude]) {
        let built = of_package.get(package).map(Vec::as_slice).unwrap_or_default();
        // The same package can be there once more for build scripts, which are not optimised.
        let mut own: Vec<&Artifact> = built.iter().copied().filter(|a| a.opt_level != "0").collect();
        if own.is_empty() {
            own = built.to_vec();
        }
        own.dedup_by(|a, b| a.file == b.file);
        match own.as_slice() {
            [one] => externs.push((name.to_owned(), *one)),
            [] => bail!("cargo built no library of {package}"),
            several => bail!(
                "cargo built {} libraries of {package}: which one the prelude uses is not known",
                several.len()
            ),
        }
    }

    let mut libraries = Vec::new();
    let mut seen = HashSet::new();
    let mut todo: Vec<&str> = dependencies(nodes[prelude]).map(|(_, package)| package).collect();
    while let Some(package) = todo.pop() {
        if !seen.insert(package) {
            continue;
        }
        let built = of_package.get(package).map(Vec::as_slice).unwrap_or_default();
        libraries.extend(built.iter().copied());
        // What a procedural macro is made of is not seen by those who use it.
        if !built.iter().any(|artifact| artifact.is_proc_macro)
            && let Some(node) = nodes.get(package)
        {
            todo.extend(dependencies(node).map(|(_, package)| package));
        }
    }
    libraries.sort_by(|a, b| a.file.cmp(&b.file));
    libraries.dedup_by(|a, b| a.file == b.file);
    Ok(Needed { externs, libraries })
}

/// Extern names and package ids of a node's ordinary dependencies.
fn dependencies(node: &Value) -> impl Iterator<Item = (&str, &str)> {
    let deps = node["deps"].as_array().map(Vec::as_slice).unwrap_or_default();
    deps.iter().filter_map(|dep| {
        let is_ordinary =
            dep["dep_kinds"].as_array().is_none_or(|kinds| kinds.iter().any(|k| k["kind"].is_null()));
        if is_ordinary { Some((dep["name"].as_str()?, dep["pkg"].as_str()?)) } else { None }
    })
}

/// What a bundle depends on, as a hash: the libraries by path, size and time, the prelude's sources by content, and rustc.
pub(crate) fn fingerprint(needed: &Needed<'_>, sources: &Path, rustc: &str, native: &Path) -> Result<String> {
    let mut text = format!("recipe {RECIPE}\n{rustc}\n{}\n", native.display());
    for artifact in &needed.libraries {
        let m = artifact.file.metadata().with_context(|| format!("no {}", artifact.file.display()))?;
        let _ = writeln!(text, "{} {} {}.{:09}", artifact.file.display(), m.len(), m.mtime(), m.mtime_nsec());
    }
    let mut files = rust_files(sources)?;
    files.sort();
    for file in &files {
        let source = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let _ = writeln!(text, "{} {}", file.display(), folders::digest(&source));
    }
    Ok(folders::digest(&text))
}

/// The `.rs` files of a folder and all below it.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

/// The compiler that cargo uses.
struct Rustc {
    program: std::ffi::OsString,
    /// All of `rustc -vV`.
    version: String,
    sysroot: PathBuf,
    /// The folder of `libstd-HASH.so`.
    libraries: PathBuf,
}

impl Rustc {
    fn ask(folders: &Folders) -> Result<Self> {
        let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let ask =
            |args: &[&str]| process::output(Command::new(&program).args(args).current_dir(&folders.root));
        let version = ask(&["-vV"])?.trim_end().to_owned();
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim_end());
        let libraries = PathBuf::from(ask(&["--print", "target-libdir"])?.trim_end());
        Ok(Self { program, version, sysroot, libraries })
    }
}

/// Compiles the prelude into `part`. By rustc and not by cargo, which would choose other features for one package alone.
fn compile(
    folders: &Folders,
    rustc: &Rustc,
    prelude: &Path,
    native: &Path,
    needed: &Needed<'_>,
    part: &Path,
) -> Result<()> {
    let mut command = Command::new(&rustc.program);
    command.current_dir(&folders.root).arg(prelude);
    command.args(["--edition", "2024", "--crate-name", "glisten_prelude", "--crate-type", "dylib"]);
    command.args([
        "-C",
        "prefer-dynamic",
        "-C",
        "opt-level=2",
        "-C",
        "strip=debuginfo",
        "--cap-lints",
        "warn",
    ]);
    // Another crate than the `glisten_prelude` that cargo builds.
    command.args(["-C", "metadata=bundle"]);
    for (name, artifact) in &needed.externs {
        let rlib = artifact.rlib();
        command.arg("--extern").arg([name.as_ref(), "=".as_ref(), rlib.as_os_str()].concat_os());
    }
    let deps = folders.cargo_target()?.join("release/deps");
    command.arg("-L").arg(["dependency=".as_ref(), deps.as_os_str()].concat_os());
    command.arg("-L").arg(["native=".as_ref(), native.as_os_str()].concat_os());
    for folder in [Path::new("$ORIGIN"), native, &rustc.libraries] {
        command.arg("-C").arg(["link-arg=-Wl,-rpath,".as_ref(), folder.as_os_str()].concat_os());
    }
    if let Some(argument) = exports(rustc, part)? {
        command.arg("-C").arg(argument);
    }
    command.arg("-o").arg(part.join(LIBRARY));
    let mut commands = [command];
    process::run_behind_spinner("linking the prelude, Polars and tch into one library", &mut commands)
}

/// The linker's argument by which the library shows SQLite's functions too, where the linker takes it: rust-lld does, which is
/// rustc's own on Linux; GNU's takes one list of symbols only, and rustc gives it one.
///
/// rustc shows Rust's functions and hides those of C libraries that are linked in. But generic and inline code of rusqlite is
/// compiled in the cell that needs it, dropping a `Store` included, and calls them. Our own generic functions call none; what
/// rustc inlines beside them is not ours to say.
fn exports(rustc: &Rustc, part: &Path) -> Result<Option<std::ffi::OsString>> {
    let list = part.join("exports.list");
    folders::write_atomically(&list, "{ global: sqlite3_*; };\n")?;
    let list = list.canonicalize().with_context(|| format!("no {}", list.display()))?;
    let argument = ["link-arg=-Wl,--version-script=".as_ref(), list.as_os_str()].concat_os();
    let (source, trial) = (part.join("trial.rs"), part.join("libtrial.so"));
    folders::write_atomically(&source, "//! Nothing.\n")?;
    let mut command = Command::new(&rustc.program);
    command.arg(&source).args([
        "--crate-name",
        "trial",
        "--crate-type",
        "dylib",
        "-C",
        "prefer-dynamic",
        "-C",
    ]);
    command.arg(&argument).arg("-o").arg(&trial);
    let is_taken = process::output(&mut command).is_ok();
    folders::remove(&source)?;
    folders::remove(&trial)?;
    Ok(is_taken.then_some(argument))
}

/// Has the kernel read the sources of what cells name, for completion and inspection.
fn index(folders: &Folders, metadata: &Value, output: &Path) -> Result<()> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let features: HashMap<String, Value> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .map(|node| (node["id"].to_string(), node["features"].clone()))
        .collect();
    let mut crates = Vec::new();
    for package in list(&metadata["packages"]) {
        let name = package["name"].as_str().unwrap_or_default();
        let is_seen = matches!(name, "glisten" | "tch") || name == PRELUDE || name.starts_with("polars");
        // A package that is there for another platform only has no features here.
        let features = features.get(&package["id"].to_string()).filter(|_| is_seen);
        let is_library = |target: &Value| list(&target["kind"]).iter().any(|kind| kind == "lib");
        let targets = list(&package["targets"]);
        if let (Some(features), Some(library)) = (features, targets.iter().find(|target| is_library(target)))
        {
            let name = name.replace('-', "_");
            crates.push(json!({"name": name, "path": library["src_path"], "features": features}));
        }
    }
    let description = output.with_extension("crates.json");
    folders::write_atomically(&description, Value::from(crates).to_string())?;
    let mut kernel = Command::new(folders.program("glisten-kernel")?);
    kernel.args(["index", "--crates"]).arg(&description).arg("--output").arg(output);
    process::run_behind_spinner("reading the documentation for completion", &mut [kernel])?;
    folders::remove(&description)
}

/// Joins parts of an argument that need not be UTF-8.
trait ConcatOs {
    fn concat_os(&self) -> std::ffi::OsString;
}

impl<const N: usize> ConcatOs for [&std::ffi::OsStr; N] {
    fn concat_os(&self) -> std::ffi::OsString {
        self.iter().copied().collect()
    }
}

fn hard_link_or_copy(file: &Path, into: &Path) -> Result<()> {
    let name = file.file_name().context("a library without a name")?;
    let to = into.join(name);
    let linked = fs::hard_link(file, &to).or_else(|_| fs::copy(file, &to).map(drop));
    linked.with_context(|| format!("cannot put {} into {}", file.display(), into.display()))
}

/// Removes bundles but for `current` and the newest of the others, which a running kernel may still use.
pub(crate) fn prune(bundles: &Path, current: &Path) -> Result<()> {
    let entries = fs::read_dir(bundles).with_context(|| format!("cannot read {}", bundles.display()))?;
    let mut others: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let modified = path.metadata().and_then(|m| m.modified()).ok()?;
            (path != current).then_some((modified, path))
        })
        .collect();
    others.sort();
    let keep = others.iter().rposition(|(_, path)| path.extension().is_none());
    for (index, (_, path)) in others.iter().enumerate() {
        if Some(index) != keep {
            folders::remove(path)?;
        }
    }
    Ok(())
}
