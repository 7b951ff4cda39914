//! The stop button: knows whether the session compiles or runs, and what to stop.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::eval::rustc::Compiler;
use crate::worker::Reply;

/// How long a cell may take to end after it was asked to, before its process is ended.
const GRACE: Duration = Duration::from_secs(3);

/// What a session is doing now, seen from other threads.
#[derive(Default)]
pub(crate) struct Interrupts {
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    phase: Phase,
    /// Counts cells, so that a stop that comes late does not hit the next one.
    serial: u64,
    interrupted: bool,
}

#[derive(Default)]
enum Phase {
    #[default]
    Idle,
    Compiling(Arc<Compiler>),
    Running {
        pid: i32,
        mailbox: Sender<Reply>,
    },
}

impl Interrupts {
    /// A cell begins to compile.
    pub(crate) fn compiling(&self, compiler: &Arc<Compiler>) {
        let mut now = self.lock();
        compiler.begin();
        *now =
            Now { phase: Phase::Compiling(Arc::clone(compiler)), serial: now.serial + 1, interrupted: false };
    }

    /// The cell is about to run in process `pid`; false if it was interrupted before.
    pub(crate) fn running(&self, pid: i32, mailbox: Sender<Reply>) -> bool {
        let mut now = self.lock();
        now.phase = Phase::Running { pid, mailbox };
        !now.interrupted
    }

    /// Nothing runs any more. Whether the cell was interrupted.
    pub(crate) fn idle(&self) -> bool {
        let mut now = self.lock();
        now.phase = Phase::Idle;
        now.interrupted
    }

    /// Hands the user's answer to the running cell.
    pub(crate) fn answer(&self, text: String) {
        if let Phase::Running { mailbox, .. } = &self.lock().phase {
            let _ = mailbox.send(Reply::Answer(text));
        }
    }

    /// Stops what runs: the compiler at once; a cell by a signal, and by ending its process when that does not help.
    pub(crate) fn interrupt(self: &Arc<Self>) {
        let mut now = self.lock();
        match &now.phase {
            Phase::Idle => return,
            Phase::Compiling(compiler) => compiler.stop(),
            Phase::Running { pid, .. } => {
                // SAFETY: the worker is waited for only after the phase has changed, so the id is still its own.
                unsafe { libc::kill(*pid, libc::SIGINT) };
                let serial = now.serial;
                let this = Arc::clone(self);
                std::thread::spawn(move || {
                    std::thread::sleep(GRACE);
                    this.end_worker_of(serial);
                });
            }
        }
        now.interrupted = true;
    }

    /// Ends compiler and worker without any grace.
    pub(crate) fn stop_all(&self) {
        match &self.lock().phase {
            Phase::Idle => {}
            Phase::Compiling(compiler) => compiler.stop(),
            // SAFETY: as above.
            Phase::Running { pid, .. } => unsafe {
                libc::kill(-*pid, libc::SIGKILL);
            },
        }
    }

    fn end_worker_of(&self, serial: u64) {
        let now = self.lock();
        if let Phase::Running { pid, .. } = now.phase
            && now.serial == serial
        {
            // SAFETY: as above.
            unsafe { libc::kill(-pid, libc::SIGKILL) };
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
