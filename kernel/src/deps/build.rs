//! A cargo project for a set of dependencies, and the files that its build leaves for cells.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::cargo::{self, Progress, without_colour};
use super::{Built, Error, List};
use crate::bundle::Bundle;
use crate::docs::gather::Source;
use crate::eval::rustc::Compiler;

/// Raised when the way a project is made changes.
const RECIPE: u32 = 1;

/// What makes these crates others than the prelude's, also where package, version and features are the same.
const FLAGS: &str = "-Cprefer-dynamic\x1f-Cmetadata=glisten-dep";

/// What is to be built.
pub(crate) struct Request<'a> {
    pub(crate) list: &'a List,
    pub(crate) compiler: &'a Compiler,
    /// Where projects and what they have built lie, for all sessions.
    pub(crate) cache: &'a Path,
    /// The session's own folder for what comes of it; not there yet.
    pub(crate) into: PathBuf,
    /// What the session has: versions chosen before are kept where they can be.
    pub(crate) earlier: Option<&'a Built>,
}

/// Builds the dependencies, or finds that they are built.
///
/// # Errors
/// [`Error::Stopped`] by the stop button; [`Error::Cargo`] where cargo refuses; [`Error::Around`] where files cannot be written.
pub(crate) fn build(request: &Request<'_>, tell: &mut dyn FnMut(&Progress)) -> Result<Built, Error> {
    let bundle = request.compiler.bundle();
    let dependencies = manifest_table(request.list)?;
    let root = request.cache.join(short_hash(&format!("{RECIPE}\n{}", bundle.rustc_says())));
    let hash = short_hash(&dependencies);
    let project = Project { request, folder: root.join(&hash), krate: format!("glisten_deps_{hash}"), root };
    project.write_manifest(&dependencies)?;
    let _turn = project.lock(tell)?;
    let metadata = project.metadata(tell)?;
    let direct = direct_dependencies(&metadata)?;
    let code: String = direct.iter().map(|dep| format!("extern crate {} as _;\n", dep.name)).collect();
    write_if_other(&project.folder.join("lib.rs"), &code)?;
    let messages =
        project.cargo(&["build", "--release", "--message-format=json-render-diagnostics"], tell)?;
    project.gather(&messages, &direct, &metadata)
}

/// A dependency of the project itself.
struct Direct {
    /// As code names it.
    name: String,
    package_id: String,
    package: String,
    version: String,
}

struct Project<'a> {
    request: &'a Request<'a>,
    /// For all projects of one compiler.
    root: PathBuf,
    folder: PathBuf,
    krate: String,
}

impl Project<'_> {
    fn write_manifest(&self, dependencies: &str) -> anyhow::Result<()> {
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        let Self { krate, .. } = self;
        let manifest = format!(
            "# Made by glisten-kernel for `:dep`. The whole folder may be removed at any time.\n\
             [package]\nname = \"{}\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n\
             [lib]\nname = \"{krate}\"\npath = \"lib.rs\"\ncrate-type = [\"dylib\"]\n\n[workspace]\n\n\
             [profile.release]\nopt-level = 2\ndebug = false\nstrip = \"debuginfo\"\nincremental = false\n\n{dependencies}",
            krate.replace('_', "-"),
        );
        write_if_other(&self.folder.join("Cargo.toml"), &manifest)?;
        let code = self.folder.join("lib.rs");
        if !code.exists() {
            write_if_other(&code, "")?;
        }
        let lock = self.folder.join("Cargo.lock");
        if let Some(earlier) = self.request.earlier.filter(|_| !lock.exists()) {
            // Without one cargo chooses anew, which is right too.
            let _ = fs::copy(earlier.project.join("Cargo.lock"), &lock);
        }
        Ok(())
    }

    /// Waits until no other kernel is at this project.
    fn lock(&self, tell: &mut dyn FnMut(&Progress)) -> Result<File, Error> {
        let path = self.folder.join("turn");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(&path).with_context(|| format!("cannot write {}", path.display()))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if self.request.compiler.is_stopped() => {
                    return Err(Error::Stopped);
                }
                Err(TryLockError::WouldBlock) => {
                    let doing = "waiting for another kernel that builds the same".to_owned();
                    tell(&Progress { done: None, doing });
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(TryLockError::Error(error)) => return Err(anyhow!(error).into()),
            }
        }
    }

    fn metadata(&self, tell: &mut dyn FnMut(&Progress)) -> Result<Value, Error> {
        let host = host(self.bundle()).to_owned();
        let text = self.cargo(&["metadata", "--format-version=1", "--filter-platform", &host], tell)?;
        Ok(serde_json::from_str(&text).context("`cargo metadata` gave no JSON")?)
    }

    /// Calls cargo; once more without the network where there seems to be none.
    fn cargo(&self, arguments: &[&str], tell: &mut dyn FnMut(&Progress)) -> Result<String, Error> {
        let compiler = self.request.compiler;
        match cargo::run(&mut self.command(arguments, false), compiler, tell) {
            Err(Error::Cargo(said)) if is_about_the_network(&said) => {
                match cargo::run(&mut self.command(arguments, true), compiler, tell) {
                    Err(Error::Cargo(_)) => {
                        let sentence =
                            "the registry cannot be reached, and what is on this machine is not enough";
                        Err(Error::Cargo(format!("error: {sentence}\n{said}")))
                    }
                    other => other,
                }
            }
            other => other,
        }
    }

    fn command(&self, arguments: &[&str], offline: bool) -> Command {
        let bundle = self.bundle();
        let target = self.root.join("target");
        let mut command = Command::new(bundle.cargo());
        command
            .current_dir(&self.folder)
            .args(arguments)
            .env("RUSTC", bundle.compiler())
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS)
            .env("CARGO_TARGET_DIR", &target)
            .env("CARGO_BUILD_BUILD_DIR", &target)
            .env("CARGO_BUILD_TARGET", host(bundle))
            .env("CARGO_INCREMENTAL", "0")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .env_remove("RUSTUP_TOOLCHAIN");
        if offline {
            command.arg("--offline");
        }
        command
    }

    fn bundle(&self) -> &Bundle {
        self.request.compiler.bundle()
    }

    /// Takes what cells need out of cargo's folders, where another session may build something else at any time.
    fn gather(&self, messages: &str, direct: &[Direct], metadata: &Value) -> Result<Built, Error> {
        let into = &self.request.into;
        let _ = fs::remove_dir_all(into);
        fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
        let triple = Path::new(host(self.bundle()));
        let mut externs = BTreeMap::new();
        let mut native = BTreeSet::new();
        let mut library = None;
        for message in messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let strings = |value: &Value| -> Vec<String> {
                value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
            };
            if message["reason"] == "build-script-executed" {
                native.extend(strings(&message["linked_paths"]));
            }
            if message["reason"] != "compiler-artifact" {
                continue;
            }
            let kinds = strings(&message["target"]["kind"]);
            let is_macro = kinds.iter().any(|kind| kind == "proc-macro");
            let own = message["target"]["name"] == self.krate.as_str();
            for file in strings(&message["filenames"]).iter().map(Path::new) {
                // What build scripts and macros are made of is no cell's business.
                let is_for_cells = is_macro || file.components().any(|part| part.as_os_str() == triple);
                let wanted = match file.extension().and_then(|extension| extension.to_str()) {
                    Some("rmeta") => is_for_cells && !own,
                    Some("so" | "dylib") => is_for_cells && (is_macro || own),
                    _ => false,
                };
                let (true, Some(name)) = (wanted, file.file_name().and_then(|name| name.to_str())) else {
                    continue;
                };
                let to = into.join(name);
                put(file, &to, !own)
                    .with_context(|| format!("cannot put {} into {}", name, into.display()))?;
                if own {
                    library = Some(to);
                } else if let Some(dep) =
                    direct.iter().find(|dep| message["package_id"] == dep.package_id.as_str())
                {
                    externs.insert(dep.name.clone(), name.to_owned());
                }
            }
        }
        let library = library.context("cargo built no shared library")?;
        if let Some(missing) = direct.iter().find(|dep| !externs.contains_key(&dep.name)) {
            return Err(
                anyhow!("cargo built no library of {} that Rust code can use", missing.package).into()
            );
        }
        Ok(Built {
            krate: self.krate.clone(),
            library,
            folder: into.clone(),
            externs,
            native: native.into_iter().collect(),
            versions: direct.iter().map(|dep| (dep.package.clone(), dep.version.clone())).collect(),
            project: self.folder.clone(),
            sources: sources(metadata, direct),
            doubles: doubles(metadata),
        })
    }
}

fn manifest_table(list: &List) -> anyhow::Result<String> {
    let dependencies: toml::Table = list.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let table = toml::Table::from_iter([("dependencies".to_owned(), toml::Value::Table(dependencies))]);
    toml::to_string(&table).context("the dependencies cannot be written as TOML")
}

/// What the project's own package depends on.
fn direct_dependencies(metadata: &Value) -> anyhow::Result<Vec<Direct>> {
    let root = metadata["resolve"]["root"].as_str().context("`cargo metadata` has no root")?;
    let nodes = metadata["resolve"]["nodes"].as_array().context("`cargo metadata` resolves nothing")?;
    let node = nodes.iter().find(|node| node["id"] == root).context("`cargo metadata` lacks the root")?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut direct = Vec::new();
    for dep in node["deps"].as_array().into_iter().flatten() {
        let package = packages.iter().find(|package| package["id"] == dep["pkg"]);
        let package = package.with_context(|| format!("`cargo metadata` lacks {}", dep["pkg"]))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        direct.push(Direct {
            name: text(&dep["name"]),
            package_id: text(&dep["pkg"]),
            package: text(&package["name"]),
            version: text(&package["version"]),
        });
    }
    Ok(direct)
}

/// The sources of what cells can name, and of what those crates depend on: they often pass names on.
fn sources(metadata: &Value, direct: &[Direct]) -> Vec<Source> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let nodes = list(&metadata["resolve"]["nodes"]);
    let packages = list(&metadata["packages"]);
    let node = |id: &str| nodes.iter().find(|node| node["id"] == id);
    let mut wanted: Vec<(String, String)> =
        direct.iter().map(|dep| (dep.name.clone(), dep.package_id.clone())).collect();
    for dep in direct {
        for inner in node(&dep.package_id).map(|node| list(&node["deps"])).unwrap_or_default() {
            let (name, id) = (inner["name"].as_str(), inner["pkg"].as_str());
            if let (Some(name), Some(id)) = (name, id)
                && !wanted.iter().any(|(other, _)| other == name)
            {
                wanted.push((name.to_owned(), id.to_owned()));
            }
        }
    }
    let mut sources = Vec::new();
    for (name, id) in wanted {
        let package = packages.iter().find(|package| package["id"] == id.as_str());
        let targets = package.map(|package| list(&package["targets"])).unwrap_or_default();
        let is_library = |target: &&Value| list(&target["kind"]).iter().any(|kind| kind == "lib");
        let features = node(&id).map(|node| list(&node["features"])).unwrap_or_default();
        if let Some(path) = targets.iter().find(is_library).and_then(|target| target["src_path"].as_str()) {
            let features = features.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            sources.push(Source { name, path: PathBuf::from(path), features });
        }
    }
    sources
}

/// Packages of the prelude whose types a user may expect to be the same, and that are not.
fn doubles(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let names = packages.filter_map(|package| package["name"].as_str());
    let mut names: Vec<String> =
        names.filter(|name| matches!(*name, "glisten" | "polars" | "tch")).map(str::to_owned).collect();
    names.dedup();
    names
}

fn is_about_the_network(said: &str) -> bool {
    let said = without_colour(said).to_lowercase();
    [
        "network",
        "could not resolve host",
        "couldn't resolve host",
        "failed to download",
        "failed to fetch",
        "download of config.json failed",
        "timeout was reached",
        "timed out",
        "could not connect",
        "couldn't connect",
        "connection refused",
    ]
    .iter()
    .any(|sign| said.contains(sign))
}

/// The machine that the compiler compiles for.
fn host(bundle: &Bundle) -> &str {
    let line = bundle.rustc_says().lines().find_map(|line| line.strip_prefix("host: "));
    line.unwrap_or("x86_64-unknown-linux-gnu")
}

fn short_hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))[..12].to_owned()
}

/// Writes `text`, in one step, unless it is there: what has not changed is not built again.
fn write_if_other(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    // A name that nobody can guess and lay a link at.
    let folder = path.parent().unwrap_or(path);
    let write = || {
        let mut part = tempfile::NamedTempFile::new_in(folder)?;
        part.write_all(text.as_bytes())?;
        part.persist(path).map_err(|refused| refused.error)
    };
    write().map(drop).with_context(|| format!("cannot write {}", path.display()))
}

/// `file` at `to`: the same file where it may be shared and lies on the same disk, else a copy.
fn put(file: &Path, to: &Path, may_share: bool) -> std::io::Result<()> {
    if may_share && fs::hard_link(file, to).is_ok() {
        return Ok(());
    }
    let _ = fs::remove_file(to);
    fs::copy(file, to).map(drop)
}
