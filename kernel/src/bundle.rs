//! The notebook bundle: the prelude as one shared library, what rustc needs to compile against it, and what it was made with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::nesting;

/// The mending command, for every message about a bundle that is missing or does not fit.
pub(crate) const MEND: &str = "run `cargo xtask bundle` in the clone of Glisten";

/// A bundle that is there and whole, as far as can be seen without compiling.
#[derive(Debug, Clone)]
pub(crate) struct Bundle {
    folder: PathBuf,
    about: About,
    rustc: PathBuf,
}

/// `bundle.json`.
#[derive(Debug, Clone, Deserialize)]
struct About {
    /// What `rustc -vV` said when the bundle was made.
    rustc: String,
    rustc_path: PathBuf,
    /// Folders with libtorch and its C shim.
    native: Vec<PathBuf>,
    /// The folder with `libstd-*.so`.
    sysroot_lib: PathBuf,
}

impl Bundle {
    /// Reads `folder`.
    ///
    /// # Errors
    /// If a file is missing or not what it should be; the message says how to mend it.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("bundle.json");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("no notebook bundle: {} cannot be read; {MEND}", file.display()))?;
        let about: About = serde_json::from_str(&text)
            .with_context(|| format!("{} is not what this kernel expects; {MEND}", file.display()))?;
        let folder = folder.canonicalize()?;
        let rustc =
            if about.rustc_path.is_file() { about.rustc_path.clone() } else { PathBuf::from("rustc") };
        let bundle = Self { folder, about, rustc };
        if !bundle.prelude().is_file() {
            bail!("the notebook bundle is not whole: {} is missing; {MEND}", bundle.prelude().display());
        }
        Ok(bundle)
    }

    /// Compares the compiler with the one that made the bundle, and goes around rustup's proxy from then on.
    ///
    /// # Errors
    /// One sentence with the command that mends it.
    pub(crate) fn check_compiler(&mut self) -> anyhow::Result<()> {
        // Not in the notebook's folder, whose rust-toolchain.toml may name a compiler of a stranger's.
        let output = Command::new(&self.rustc).arg("-vV").current_dir("/").output();
        let found = output.with_context(|| format!("{} cannot be run; {MEND}", self.rustc.display()))?;
        let found = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        if found != self.about.rustc.trim() {
            let first = |text: &str| text.lines().next().unwrap_or("an unknown compiler").to_owned();
            bail!(
                "the notebook bundle was made with {}, but {} is {}: {MEND}",
                first(&self.about.rustc),
                self.rustc.display(),
                first(&found),
            );
        }
        self.rustc = crate::eval::rustc::behind_proxy(&self.rustc);
        Ok(())
    }

    /// The compiler, once [`Self::check_compiler`] has found it.
    pub(crate) fn compiler(&self) -> &Path {
        &self.rustc
    }

    /// The cargo that goes with it.
    pub(crate) fn cargo(&self) -> PathBuf {
        let beside = self.rustc.with_file_name("cargo");
        if beside.is_file() { beside } else { PathBuf::from("cargo") }
    }

    /// All that `rustc -vV` said when the bundle was made.
    pub(crate) fn rustc_says(&self) -> &str {
        &self.about.rustc
    }

    /// The shared library with everything that cells link to.
    pub(crate) fn prelude(&self) -> PathBuf {
        self.folder.join("libglisten_prelude.so")
    }

    /// rustc's first line, as `rustc 1.95.0 (…)`.
    pub(crate) fn rustc_version(&self) -> &str {
        self.about.rustc.lines().next().unwrap_or("rustc")
    }

    /// Folders for the dynamic linker, most particular first.
    pub(crate) fn library_path(&self) -> String {
        let folders =
            std::iter::once(&self.folder).chain(&self.about.native).chain([&self.about.sysroot_lib]);
        let mut path = folders.map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":");
        if let Ok(inherited) = std::env::var("LD_LIBRARY_PATH")
            && !inherited.is_empty()
        {
            path = format!("{path}:{inherited}");
        }
        path
    }

    /// Fills `folder` with empty stand-ins for the native libraries that the prelude names to the linker: the worker has
    /// loaded the real ones, and reading their tables would cost each cell more than its own code does.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub(crate) fn write_stubs(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        for native in &self.about.native {
            let entries = std::fs::read_dir(native)
                .with_context(|| format!("{} cannot be read; {MEND}", native.display()))?;
            for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "so"))
            {
                // A linker script that says nothing.
                std::fs::write(folder.join(entry.file_name()), "/* the worker has loaded this */\n")?;
            }
        }
        Ok(())
    }

    /// A call of rustc for `cell.rs` in `folder`, all but the output; `stubs` is what [`Self::write_stubs`] filled.
    pub(crate) fn rustc(&self, folder: &Path, name: &str, stubs: &Path) -> Command {
        let mut command = Command::new(&self.rustc);
        let prelude = self.prelude();
        command
            .current_dir(folder)
            .args(["cell.rs", "--edition", "2024", "--crate-type", "cdylib", "--crate-name", name])
            .args(["-Cprefer-dynamic", "-Copt-level=0", "-Cdebuginfo=0", "-Ccodegen-units=1"])
            .args(["--error-format=json", "--extern"])
            .arg(format!("glisten_prelude={}", prelude.display()))
            .arg("-L")
            .arg(format!("dependency={}", self.folder.join("deps").display()))
            .arg("-L")
            .arg(format!("native={}", stubs.display()))
            // rustc walks deep expressions by calling itself, as other compilers do.
            .env("RUST_MIN_STACK", nesting::STACK.to_string());
        command
    }
}
