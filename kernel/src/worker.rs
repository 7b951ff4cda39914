//! The worker process, seen from the kernel: it holds the variables and runs the cells, and may die of them.

use std::io::{PipeWriter, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use anyhow::Context;
use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::calls::{CALLS, Calls};
use crate::interrupt::Running;
use crate::pump;

/// The environment variable that tells a worker where its replies go.
pub(crate) const REPLIES: &str = "GLISTEN_KERNEL_REPLIES";

/// Where output goes that needs no answer: it may come at any time, also between cells.
pub(crate) trait Publish: Send + Sync {
    /// Text of the worker's stdout (or stderr).
    fn stream(&self, is_stderr: bool, text: &str);
    /// `display_data`, or `update_display_data`.
    fn display(&self, data: Value, metadata: Value, display_id: Option<String>, update: bool);
    /// `clear_output`.
    fn clear(&self, wait: bool);
}

/// What the worker says while a cell runs.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The value of the last expression, as a MIME bundle.
    Result(Value),
    /// The cell failed; `place` is where a panic began, in the generated file.
    Error { ename: String, evalue: String, traceback: Vec<String>, place: Option<(usize, usize)> },
    /// The cell wants a line from the user.
    Ask { prompt: String, password: bool },
    /// The user's line, from the kernel's own stdin channel.
    Answer(String),
    /// The cell has ended and all its output was passed on; and the stage of its source that failed, if one did.
    Done(Option<usize>),
    /// The process has ended.
    Exited,
}

/// A running worker.
pub(crate) struct Worker {
    child: Child,
    requests: PipeWriter,
    replies: Receiver<Reply>,
    running: Running,
}

impl Worker {
    /// Starts a worker that loads the bundle's prelude at once.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub(crate) fn start(bundle: &Bundle, publish: Arc<dyn Publish>) -> anyhow::Result<Self> {
        let (request_reader, requests) = std::io::pipe()?;
        let (reply_reader, reply_writer) = std::io::pipe()?;
        let reply_fd = reply_writer.as_raw_fd();
        let calls = Arc::new(Calls::new()?);
        let calls_fd = calls.descriptor();
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("worker")
            .arg(bundle.prelude())
            .env("LD_LIBRARY_PATH", bundle.library_path())
            .envs(short_spin())
            .env(REPLIES, reply_fd.to_string())
            .env(CALLS, calls_fd.to_string())
            .stdin(request_reader)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        // SAFETY: between fork and exec only async-signal-safe functions are called.
        unsafe {
            command.pre_exec(move || {
                libc::fcntl(reply_fd, libc::F_SETFD, 0);
                libc::fcntl(calls_fd, libc::F_SETFD, 0);
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                // The kernel has blocked signals for its own thread that waits for them; a child inherits that.
                let mut none = std::mem::zeroed();
                libc::sigemptyset(&raw mut none);
                libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
                Ok(())
            });
        }
        let mut child = command.spawn().context("the worker process cannot be started")?;
        drop(reply_writer);
        let stdout: OwnedFd = child.stdout.take().context("the worker has no stdout")?.into();
        let stderr: OwnedFd = child.stderr.take().context("the worker has no stderr")?.into();
        let (mailbox, replies) = channel();
        pump::start(stdout, stderr, reply_reader.into(), Arc::clone(&publish), mailbox.clone());
        let running = Running { pid: child.id().cast_signed(), mailbox, calls, publish };
        Ok(Self { child, requests, replies, running })
    }

    /// What other threads need to stop it and to answer it.
    pub(crate) fn running(&self) -> Running {
        self.running.clone()
    }

    /// Asks it to load `library`, with those that it `needs` before it, and call `symbol`.
    ///
    /// # Errors
    /// If the worker is gone.
    pub(crate) fn run(&mut self, needs: &[PathBuf], library: &Path, symbol: &str) -> std::io::Result<()> {
        self.send(&json!({"op": "run", "needs": needs, "library": library, "symbol": symbol}))
    }

    /// Asks it to drop variables.
    ///
    /// # Errors
    /// If the worker is gone.
    pub(crate) fn forget(&mut self, names: &[String]) -> std::io::Result<()> {
        self.send(&json!({"op": "forget", "names": names}))
    }

    /// Sends the user's line to the waiting cell; `None` where the front end has none to give.
    ///
    /// # Errors
    /// If the worker is gone.
    pub(crate) fn answer(&mut self, text: Option<&str>) -> std::io::Result<()> {
        self.send(&json!({"op": "answer", "text": text}))
    }

    /// Waits for the next reply.
    pub(crate) fn next(&self) -> Reply {
        self.replies.recv().unwrap_or(Reply::Exited)
    }

    /// Waits for the ended process and says how it ended.
    pub(crate) fn end(mut self) -> String {
        self.kill();
        match self.child.wait() {
            Ok(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => format!("was ended by signal {signal} ({})", signal_name(signal)),
                (None, Some(code)) => format!("exited with code {code}"),
                (None, None) => "ended".to_owned(),
            },
            Err(error) => format!("ended ({error})"),
        }
    }

    fn kill(&self) {
        // A worker that exited by itself keeps its status; its children in the group end with it.
        // SAFETY: the process has not been waited for, so the id is still its own.
        unsafe { libc::kill(-self.running.pid, libc::SIGKILL) };
    }

    fn send(&mut self, request: &Value) -> std::io::Result<()> {
        self.requests.write_all(format!("{request}\n").as_bytes())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => "segmentation fault",
        libc::SIGABRT => "abort",
        libc::SIGKILL => "killed, by the system if memory ran out",
        libc::SIGBUS => "bus error",
        libc::SIGFPE => "arithmetic error",
        libc::SIGILL => "illegal instruction",
        libc::SIGTERM => "terminated",
        _ => "see `man 7 signal`",
    }
}

/// How long OpenMP's threads spin while they wait for one another, in libraries that a cell uses, unless the user says so:
/// a short while, then they sleep. With libgomp's own choice training slows down many times as soon as the machine does other
/// work too.
fn short_spin() -> Option<(&'static str, &'static str)> {
    let chosen = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"].iter().any(|name| std::env::var_os(name).is_some());
    (!chosen).then_some(("GOMP_SPINCOUNT", "30000"))
}
