//! Child processes: started so that none outlives this one, however it ends.
//!
//! Each child leads a process group of its own, with all that it starts. A signal that asks us to stop is passed on to the
//! groups, and we wait for them to clean up; the second time they get SIGTERM, the third time SIGKILL. After a `kill -9` of
//! this process the [`watchdog`] ends them.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{say, watchdog};

/// How often we were asked to stop.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);
/// Process ids of running children, negative for one that leads a group; 0 for a free place.
static CHILDREN: [AtomicI32; 8] = [const { AtomicI32::new(0) }; 8];

/// Catches SIGINT, SIGTERM and SIGHUP (see the module's text), but for one that was ignored when this program started
/// (`nohup`).
pub(crate) fn listen_for_signals() {
    extern "C" fn on_signal(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
        let signal = match INTERRUPTS.fetch_add(1, Ordering::SeqCst) {
            0 => signal,
            1 => libc::SIGTERM,
            _ => libc::SIGKILL,
        };
        // SAFETY: the system passes a valid `siginfo_t`; `kill` may be called from a signal handler.
        unsafe {
            let from_terminal = (*info).si_code == libc::SI_KERNEL;
            for child in &CHILDREN {
                let pid = child.load(Ordering::SeqCst);
                // A child in our own group has the terminal's signal already.
                if pid < 0 || (pid > 0 && !from_terminal) {
                    libc::kill(pid, signal);
                }
            }
        }
    }
    // SAFETY: a zeroed `sigaction` is valid, and the handler only touches atomics and calls `kill`.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        // No SA_RESTART: waiting for a file lock must end.
        action.sa_flags = libc::SA_SIGINFO;
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            let mut before: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut before);
            if before.sa_sigaction != libc::SIG_IGN {
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
            }
        }
    }
}

/// Whether the user asked to stop.
pub(crate) fn interrupted() -> bool {
    INTERRUPTS.load(Ordering::SeqCst) > 0
}

/// For use in loops.
///
/// # Errors
/// If the user asked to stop.
pub(crate) fn check_interrupt() -> Result<()> {
    if interrupted() { bail!("stopped") } else { Ok(()) }
}

/// A child that is signalled when this process is, and killed when dropped.
pub(crate) struct Guarded {
    pub(crate) child: Child,
    /// As in [`CHILDREN`]; 0 once it has ended.
    id: i32,
    name: String,
}

impl Guarded {
    /// Starts `command` in a group of its own, without input.
    ///
    /// # Errors
    /// If it cannot be started, or the user asked to stop before.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        Self::spawn(command.process_group(0).stdin(Stdio::null()), true)
    }

    /// Starts `command` in our own group: it may read from the terminal.
    ///
    /// # Errors
    /// As [`Guarded::start`].
    pub(crate) fn start_in_terminal(command: &mut Command) -> Result<Self> {
        let parent = std::process::id();
        // SAFETY: between fork and exec only system calls that may be made there.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                if libc::getppid().cast_unsigned() != parent {
                    libc::_exit(1);
                }
                Ok(())
            });
        }
        Self::spawn(command, false)
    }

    fn spawn(command: &mut Command, leads_group: bool) -> Result<Self> {
        check_interrupt()?;
        let name = command.get_program().to_string_lossy().into_owned();
        hide_cargo_run(command);
        let child = command.spawn().with_context(|| format!("cannot start `{name}`"))?;
        let pid = child.id().cast_signed();
        let id = if leads_group { -pid } else { pid };
        if leads_group {
            watchdog::began(pid);
        }
        for place in &CHILDREN {
            if place.compare_exchange(0, id, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                break;
            }
        }
        Ok(Self { child, id, name })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait().with_context(|| format!("cannot wait for `{}`", self.name))?;
        self.forget();
        Ok(status)
    }

    fn forget(&mut self) {
        let id = std::mem::take(&mut self.id);
        if id == 0 {
            return;
        }
        for place in &CHILDREN {
            let _ = place.compare_exchange(id, 0, Ordering::SeqCst, Ordering::SeqCst);
        }
        if id < 0 {
            watchdog::ended(-id);
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // SAFETY: a plain system call; the child has not been waited for, so its number is still its own.
            unsafe { libc::kill(self.id, libc::SIGKILL) };
            let _ = self.child.wait();
        }
        self.forget();
    }
}

/// Takes from `command` the variables that `cargo run` has set for this program: what a child finds only thanks to them, it
/// would miss when a user starts it.
fn hide_cargo_run(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    let Some(path) = std::env::var_os("LD_LIBRARY_PATH") else { return };
    if command.get_envs().any(|(name, _)| name == "LD_LIBRARY_PATH") {
        return;
    }
    match library_path_before_cargo(&path) {
        Some(path) => command.env("LD_LIBRARY_PATH", path),
        None => command.env_remove("LD_LIBRARY_PATH"),
    };
}

/// What the user's `LD_LIBRARY_PATH` was before `cargo run` put its own folders in front.
pub(crate) fn library_path_before_cargo(path: &OsStr) -> Option<OsString> {
    let own = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
    let is_cargos = |folder: &PathBuf| {
        own.as_ref().is_some_and(|own| folder.starts_with(own))
            || folder.components().any(|part| part.as_os_str() == "rustlib")
            || folder.join("rustlib").is_dir()
    };
    let users: Vec<PathBuf> = std::env::split_paths(path).filter(|folder| !is_cargos(folder)).collect();
    if users.is_empty() { None } else { std::env::join_paths(users).ok() }
}

/// The command as a user would type it, for messages.
fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    let text = words.join(" ");
    if text.chars().count() > 160 { text.chars().take(157).chain("...".chars()).collect() } else { text }
}

/// Whether `command`, run with this process's own output, succeeded.
///
/// # Errors
/// If it cannot be started, or the user asked to stop.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    let status = Guarded::start(command)?.wait()?;
    check_interrupt()?;
    Ok(status.success())
}

/// Runs `command` with this process's own output.
///
/// # Errors
/// If it fails; the message holds the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    finish(Guarded::start(command)?, command)
}

/// Runs `command` with this process's own input and output.
///
/// # Errors
/// If it fails; the message holds the command.
pub(crate) fn run_in_terminal(command: &mut Command) -> Result<()> {
    finish(Guarded::start_in_terminal(command)?, command)
}

fn finish(mut started: Guarded, command: &Command) -> Result<()> {
    let status = started.wait()?;
    check_interrupt()?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs `command` and returns what it wrote to stdout.
///
/// # Errors
/// If it fails; the message ends with what it wrote to stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = quiet_output(command)?;
    if !output.status.success() {
        bail!("{}", failure(command, &output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn quiet_output(command: &mut Command) -> Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut guarded = Guarded::start(command)?;
    let stdout = guarded.child.stdout.take();
    let stderr = guarded.child.stderr.take();
    let reader = std::thread::spawn(move || read_all(stderr));
    let stdout = read_all(stdout);
    let stderr = reader.join().unwrap_or_default();
    let status = guarded.wait()?;
    check_interrupt()?;
    Ok(Output { status, stdout, stderr })
}

fn read_all(from: Option<impl std::io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        let _ = from.read_to_end(&mut bytes);
    }
    bytes
}

fn failure(command: &Command, output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    format!("`{}` failed ({})\n{}", shown(command), output.status, text.trim_end())
}

/// Runs `commands` at the same time behind one spinner that shows `message` and the time spent. What they write is shown only
/// if one fails.
///
/// # Errors
/// If one fails, with what it wrote to stderr.
pub(crate) fn run_behind_spinner(message: &str, commands: &mut [Command]) -> Result<()> {
    let spinner = say::spinner(message);
    let mut started = Vec::new();
    for command in commands.iter_mut() {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut guarded = Guarded::start(command)?;
        let stderr = guarded.child.stderr.take();
        started.push((guarded, std::thread::spawn(move || read_all(stderr))));
    }
    for ((mut guarded, reader), command) in started.into_iter().zip(commands.iter()) {
        while guarded.child.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(50));
            spinner.tick();
        }
        let status = guarded.wait()?;
        let stderr = reader.join().unwrap_or_default();
        check_interrupt()?;
        if !status.success() {
            drop(spinner);
            bail!("{}", failure(command, &Output { status, stdout: Vec::new(), stderr }));
        }
    }
    spinner.done();
    Ok(())
}

/// The first of `names` that is a program on the search path.
pub(crate) fn find_program<S: AsRef<OsStr>>(names: &[S]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name.as_ref())))
        .find(|file| is_executable(file))
}

fn is_executable(file: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}
