//! Calls of rustc: one compiler process for a library, one, at the same time, for the types of new variables.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use super::diagnostic::{self, Diagnostic};
use super::source::Source;
use crate::bundle::Bundle;
use crate::deps::Built;

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
    /// The user's own dependencies.
    deps: Mutex<Option<Arc<Built>>>,
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
        let folder = folder.to_path_buf();
        Ok(Self { bundle, folder, stubs, deps: Mutex::default(), running: Mutex::default() })
    }

    /// The bundle that cells are compiled against.
    pub(crate) fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The session's folder for temporary files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on cells can use these dependencies.
    pub(crate) fn set_deps(&self, deps: Arc<Built>) {
        *self.deps.lock().unwrap_or_else(PoisonError::into_inner) = Some(deps);
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
        if let Some(deps) = self.deps.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            deps.add_to(&mut command);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let interrupted = || Compiled { library: None, errors: Vec::new(), interrupted: true };
        let Some(mut child) = self.start(&mut command)? else { return Ok(interrupted()) };
        let mut stderr = Vec::new();
        if let Some(mut pipe) = child.stderr.take() {
            pipe.read_to_end(&mut stderr)?;
        }
        let (status, stopped) = self.finish(child)?;
        if stopped {
            return Ok(interrupted());
        }
        let library = (goal == Goal::Library && status.success()).then_some(library);
        let mut errors =
            if status.success() { Vec::new() } else { diagnostic::read(&String::from_utf8_lossy(&stderr)) };
        if let (true, Some(signal)) = (goal != Goal::Types, status.signal()) {
            errors = vec![Diagnostic::of_compiler(format!(
                "the Rust compiler itself was ended by signal {signal}: this cell is more than it can take, as code does that is \
                 nested very deeply, or memory ran out. Split it into several cells"
            ))];
        }
        Ok(Compiled { library, errors, interrupted: false })
    }

    /// Starts a process, with whatever it starts, that [`Self::stop`] ends. `None` where that was called already.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(&self, command: &mut Command) -> std::io::Result<Option<Child>> {
        let mut running = self.lock();
        if running.stopped {
            return Ok(None);
        }
        let child = command.process_group(0).spawn()?;
        running.pids.push(child.id());
        Ok(Some(child))
    }

    /// Waits for a process that was started so. How it ended, and whether the stop button was pressed meanwhile.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub(crate) fn finish(&self, mut child: Child) -> std::io::Result<(ExitStatus, bool)> {
        let stopped = {
            let mut running = self.lock();
            running.pids.retain(|pid| *pid != child.id());
            running.stopped
        };
        Ok((child.wait()?, stopped))
    }

    /// Whether [`Self::stop`] was called since [`Self::begin`].
    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Removes the files of a compile.
    pub(crate) fn clean(&self, name: &str) {
        let _ = std::fs::remove_dir_all(self.folder.join(name));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The real compiler behind rustup's proxy, which costs tens of milliseconds a call.
pub(crate) fn behind_proxy(rustc: &Path) -> PathBuf {
    // Not in the notebook's folder: see `Bundle::check_compiler`.
    let sysroot = Command::new(rustc).args(["--print", "sysroot"]).current_dir("/").output();
    let found = sysroot.ok().filter(|output| output.status.success()).map(|output| {
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("bin").join("rustc")
    });
    found.filter(|path| path.is_file()).unwrap_or_else(|| rustc.to_path_buf())
}
