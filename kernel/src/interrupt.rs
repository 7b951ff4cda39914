//! The stop button: knows whether the session compiles or runs, and what to stop.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::calls::Calls;
use crate::eval::rustc::Compiler;
use crate::supervise;
use crate::worker::{Publish, Reply};

/// How long a cell may take to end after it was asked to, before its process is ended. Time within a call of Glisten's, which
/// looks for the stop button itself, does not count.
const GRACE: Duration = Duration::from_secs(3);
/// How often the cell is looked after meanwhile.
const TICK: Duration = Duration::from_millis(100);

/// What the user reads when Glisten takes long to come to its next look.
const PATIENCE: &str = "stopping: Glisten ends as soon as the batch at work is through, which cannot be broken off. \
                        Press stop once more to end the process at once; the variables are lost then\n";

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
    /// The user knows that pressing once more ends the process.
    warned: bool,
}

#[derive(Default)]
enum Phase {
    #[default]
    Idle,
    Compiling(Arc<Compiler>),
    Running(Running),
}

/// What can be done about a cell that runs.
#[derive(Clone)]
pub(crate) struct Running {
    /// The worker's process, whose group it leads.
    pub(crate) pid: i32,
    /// Where the worker's replies arrive.
    pub(crate) mailbox: Sender<Reply>,
    /// Whether it is within a call of Glisten's.
    pub(crate) calls: Arc<Calls>,
    /// Where the user is told something.
    pub(crate) publish: Arc<dyn Publish>,
}

impl Interrupts {
    /// A cell begins to compile.
    pub(crate) fn compiling(&self, compiler: &Arc<Compiler>) {
        let mut now = self.lock();
        compiler.begin();
        let phase = Phase::Compiling(Arc::clone(compiler));
        *now = Now { phase, serial: now.serial + 1, ..Now::default() };
    }

    /// The cell is about to run; false if it was interrupted before.
    pub(crate) fn running(&self, running: Running) -> bool {
        let mut now = self.lock();
        now.phase = Phase::Running(running);
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
        if let Phase::Running(running) = &self.lock().phase {
            let _ = running.mailbox.send(Reply::Answer(text));
        }
    }

    /// Stops what runs: the compiler at once; a cell by a signal, and by ending its process when that does not help.
    pub(crate) fn interrupt(self: &Arc<Self>) {
        let mut now = self.lock();
        match &now.phase {
            Phase::Idle => return,
            Phase::Compiling(compiler) => compiler.stop(),
            Phase::Running(running) if now.warned => running.kill(),
            Phase::Running(running) => {
                // SAFETY: the worker is waited for only after the phase has changed, so the id is still its own.
                unsafe { libc::kill(running.pid, libc::SIGINT) };
                if !now.interrupted {
                    let (this, serial) = (Arc::clone(self), now.serial);
                    std::thread::spawn(move || {
                        if supervise::catch(|| this.see_to_the_end_of(serial)).is_err() {
                            // Nobody watches the cell any more: pressed once more, the button ends it.
                            this.lock().warned = true;
                        }
                    });
                }
            }
        }
        now.interrupted = true;
    }

    /// Ends compiler and worker without any grace.
    pub(crate) fn stop_all(&self) {
        match &self.lock().phase {
            Phase::Idle => {}
            Phase::Compiling(compiler) => compiler.stop(),
            Phase::Running(running) => running.kill(),
        }
    }

    /// Gives the cell [`GRACE`] outside Glisten's calls, and within them as long as they take.
    fn see_to_the_end_of(&self, serial: u64) {
        let pressed = Instant::now();
        let mut left = GRACE;
        loop {
            std::thread::sleep(TICK);
            let mut now = self.lock();
            let Phase::Running(running) = &now.phase else { return };
            if now.serial != serial {
                return;
            }
            if !running.calls.any() {
                left = left.saturating_sub(TICK);
                if left.is_zero() {
                    running.kill();
                    return;
                }
            } else if !now.warned && pressed.elapsed() >= GRACE {
                let publish = Arc::clone(&running.publish);
                now.warned = true;
                drop(now);
                // Where nobody reads the output, this waits; the stop button must not.
                publish.stream(true, PATIENCE);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Running {
    fn kill(&self) {
        // SAFETY: the worker is waited for only after the phase has changed, so the id is still its own.
        unsafe { libc::kill(-self.pid, libc::SIGKILL) };
    }
}
