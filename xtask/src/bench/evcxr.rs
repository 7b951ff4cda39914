//! The peer of the kernel bench: evcxr_jupyter, and the crate that its sessions load by `:dep`.
//!
//! Both take long to build, so they lie in the user's cache, as `evcxr/VERSION`, and are made once: the program by `cargo
//! install`, with the versions that its authors locked (it does not build against newer ones of salsa), the libraries by the
//! first `:dep` of a session, whose time is kept in `dep.json`. Polars and tch get the features that Glisten uses, and tch
//! the libtorch and the ready-made C shim that Glisten uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::folders::{self, Folders};
use crate::{process, say};

const VERSION: &str = "0.22.0";
/// The crate that re-exports Polars and tch.
const CRATE: &str = "peer_prelude";

/// An evcxr_jupyter that is ready to be started.
pub(super) struct Evcxr {
    folder: PathBuf,
    libtorch: PathBuf,
}

impl Evcxr {
    /// Its name with the version, for tables.
    pub(super) const NAME: &str = "evcxr_jupyter 0.22";

    /// Whether it is there, and an earlier bench has built its `:dep`.
    pub(super) fn is_complete(folders: &Folders) -> bool {
        folders.cache.join("evcxr").join(VERSION).join("dep.json").is_file()
    }

    /// Installs it, unless it is there, and writes the crate for its `:dep`.
    ///
    /// # Errors
    /// If it does not build, or the cache cannot be written to.
    pub(super) fn provide(folders: &Folders) -> Result<Self> {
        let folder = folders.cache.join("evcxr").join(VERSION);
        let libtorch = folders.libtorch_link().canonicalize().context("no .libtorch")?;
        let evcxr = Self { folder, libtorch };
        let _lock = folders::lock(&evcxr.folder)?;
        if !evcxr.program().is_file() {
            say::step(&format!("installing {} (about 8 min on 2 cores, once)", Self::NAME));
            let mut cargo = folders.cargo()?;
            // Outside the clone, whose configuration is not meant for it.
            cargo.current_dir(&evcxr.folder).args(["install", "evcxr_jupyter", "--locked", "--version"]);
            cargo.arg(format!("={VERSION}")).arg("--root").arg(&evcxr.folder);
            let build = evcxr.folder.join("build");
            process::run(cargo.env("CARGO_TARGET_DIR", &build))?;
            folders::remove(&build)?;
        }
        evcxr.write_crate(folders)?;
        Ok(evcxr)
    }

    /// The cells that open a session.
    pub(super) fn set_up(&self) -> [String; 2] {
        [
            format!(":dep {CRATE} = {{ path = {:?} }}", self.folder.join(CRATE)),
            format!("use {CRATE}::{{polars, polars::prelude::*, tch, tch::{{Kind, Tensor}}}};"),
        ]
    }

    /// Writes its kernelspec, as `evcxr`, into `kernels`.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub(super) fn write_spec(&self, kernels: &Path) -> Result<()> {
        let folder = kernels.join("evcxr");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // A session's libraries name that of the standard library relative to themselves, one folder too high: it is not found
        // from a folder below the one that rustup is in, as the cache is.
        let std = process::output(Command::new("rustc").args(["--print", "target-libdir"]))?;
        let libraries = std::env::join_paths([self.libtorch.join("lib"), PathBuf::from(std.trim())])?;
        let spec = json!({
            "argv": [self.program(), "--control_file", "{connection_file}"],
            "display_name": Self::NAME,
            "language": "rust",
            "interrupt_mode": "message",
            // Where a session builds: what the first `:dep` has built, later sessions find.
            "env": { "EVCXR_TMPDIR": self.session(), "LD_LIBRARY_PATH": libraries.to_string_lossy() },
        });
        folders::write_atomically(&folder.join("kernel.json"), spec.to_string())
    }

    /// What the first `:dep` took, as `kernel.py dep` measured it: now, if no earlier bench has.
    ///
    /// # Errors
    /// If it does not build.
    pub(super) fn first_dep(&self, measure: impl FnOnce() -> Result<Value>) -> Result<Value> {
        let file = self.folder.join("dep.json");
        if let Ok(text) = fs::read_to_string(&file) {
            return serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()));
        }
        say::step("evcxr's first `:dep` of Polars and tch (about 15 min on 2 cores, once)");
        let mut first = measure()?;
        first["cores"] = crate::plan::n_cores().into();
        first["load_average"] = fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().into();
        folders::write_atomically(&file, first.to_string())?;
        Ok(first)
    }

    fn program(&self) -> PathBuf {
        self.folder.join("bin/evcxr_jupyter")
    }

    fn session(&self) -> PathBuf {
        self.folder.join("session")
    }

    fn write_crate(&self, folders: &Folders) -> Result<()> {
        let dependencies = dependencies(&metadata(folders)?)?;
        let folder = self.folder.join(CRATE);
        let manifest = format!(
            "[package]\nname = \"{CRATE}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependencies}"
        );
        let lib = self.libtorch.join("lib");
        let shim = format!(
            "[target.{}-unknown-linux-gnu.tch]\nrustc-link-search = [{lib:?}]\n\
             rustc-link-lib = [\"tch\", \"torch_cpu\", \"c10\"]\nlibtorch_lib = {lib:?}\n",
            std::env::consts::ARCH
        );
        // Left alone where nothing changes: cargo would build again what is newer.
        write_if_changed(&folder.join("Cargo.toml"), &manifest)?;
        write_if_changed(&folder.join("src/lib.rs"), "pub use {polars, tch};\n")?;
        // Found by the cargo of a session, since it runs in a folder below.
        write_if_changed(&self.folder.join(".cargo/config.toml"), &shim)?;
        let session = self.session();
        fs::create_dir_all(&session).with_context(|| format!("cannot make {}", session.display()))
    }
}

fn write_if_changed(file: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let folder = file.parent().context("a file without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    folders::write_atomically(file, text)
}

fn metadata(folders: &Folders) -> Result<Value> {
    let mut command = folders.cargo()?;
    command.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    serde_json::from_str(&process::output(&mut command)?).context("`cargo metadata` gave no JSON")
}

/// The lines of a `[dependencies]` section for Polars and tch as the package `glisten` depends on them.
///
/// # Errors
/// If it does not.
pub(super) fn dependencies(metadata: &Value) -> Result<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&metadata["packages"]);
    let glisten =
        packages.iter().find(|package| package["name"] == "glisten").context("no package glisten")?;
    let all = list(&glisten["dependencies"]);
    let mut lines = String::new();
    for name in ["polars", "tch"] {
        let found = all.iter().find(|d| d["name"] == name && d["kind"].is_null());
        let found = found.with_context(|| format!("glisten does not depend on {name}"))?;
        lines += &format!(
            "{name} = {{ version = {}, default-features = {}, features = {} }}\n",
            found["req"], found["uses_default_features"], found["features"]
        );
    }
    Ok(lines)
}
