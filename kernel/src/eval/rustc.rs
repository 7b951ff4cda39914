//! Calls of rustc: one compiler process for a library, one, at the same time, for the types of new variables.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use super::diagnostic::{self, Diagnostic};
use super::source::Source;
use crate::bundle::Bundle;

/// What a compiler call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// A shared library to load.
    Library,
    /// Only to see whether it compiles.
    Check,
    /// To be told the types of variables, by an error.
    Types,
}

/// What came of a compiler call.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// Where the library is, if one was asked for and could be made.
    pub(crate) library: Option<PathBuf>,
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) interrupted: bool,
}

/// The compiler of one session.
pub(crate) struct Compiler {
    bundle: Bundle,
    folder: PathBuf,
    stubs: PathBuf,
    running: Mutex<Running>,
}

/// The compiler processes of the cell that is compiling now.
#[derive(Default)]
struct Running {
    pids: Vec<u32>,
    stopped: bool,
}

impl Compiler {
    /// A compiler that puts its files into `folder`.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub(crate) fn new(bundle: Bundle, folder: &Path) -> anyhow::Result<Self> {
        let stubs = folder.join("stubs");
        bundle.write_stubs(&stubs)?;
        Ok(Self { bundle, folder: folder.to_path_buf(), stubs, running: Mutex::default() })
    }

    /// The bundle that cells are compiled against.
    pub(crate) fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Forgets an earlier [`Self::stop`]: a new cell begins.
    pub(crate) fn begin(&self) {
        *self.lock() = Running::default();
    }

    /// Ends the compiler processes that run, and keeps new ones from starting until [`Self::begin`].
    pub(crate) fn stop(&self) {
        let mut running = self.lock();
        running.stopped = true;
        for pid in &running.pids {
            // SAFETY: a process stays in the list until just before it is waited for, so the id is still its own.
            unsafe { libc::kill(-pid.cast_signed(), libc::SIGKILL) };
        }
    }

    /// Compiles `source` in a folder of its own called `name`.
    ///
    /// # Errors
    /// If the file cannot be written or rustc not be started.
    pub(crate) fn compile(&self, name: &str, source: &Source, goal: Goal) -> anyhow::Result<Compiled> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("cell.rs"), &source.text)?;
        let library = folder.join(format!("lib{name}.so"));
        let mut command = self.bundle.rustc(&folder, name, &self.stubs);
        match goal {
            Goal::Library => command.args(["--emit=link", "-o"]).arg(&library),
            Goal::Check => command.args(["--emit=metadata", "-o"]).arg(folder.join("checked.rmeta")),
            Goal::Types => command
                .args(["--emit=metadata", "-Ztrim-diagnostic-paths=no", "-o"])
                .arg(folder.join("types.rmeta"))
                .env("RUSTC_BOOTSTRAP", "1"),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let interrupted = || Compiled { library: None, errors: Vec::new(), interrupted: true };
        let mut child = {
            let mut running = self.lock();
            if running.stopped {
                return Ok(interrupted());
            }
            let child = command.spawn()?;
            running.pids.push(child.id());
            child
        };
        let mut stderr = Vec::new();
        if let Some(mut pipe) = child.stderr.take() {
            pipe.read_to_end(&mut stderr)?;
        }
        let stopped = {
            let mut running = self.lock();
            running.pids.retain(|pid| *pid != child.id());
            running.stopped
        };
        let status = child.wait()?;
        if stopped {
            return Ok(interrupted());
        }
        let library = (goal == Goal::Library && status.success()).then_some(library);
        let errors =
            if status.success() { Vec::new() } else { diagnostic::read(&String::from_utf8_lossy(&stderr)) };
        Ok(Compiled { library, errors, interrupted: false })
    }

    /// Removes the files of a compile.
    pub(crate) fn clean(&self, name: &str) {
        let _ = std::fs::remove_dir_all(self.folder.join(name));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The real compiler behind rustup's proxy, which costs tens of milliseconds a call.
pub(crate) fn behind_proxy(rustc: &Path) -> PathBuf {
    let sysroot = Command::new(rustc).args(["--print", "sysroot"]).output();
    let found = sysroot.ok().filter(|output| output.status.success()).map(|output| {
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("bin").join("rustc")
    });
    found.filter(|path| path.is_file()).unwrap_or_else(|| rustc.to_path_buf())
}
