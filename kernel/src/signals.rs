//! Signals to the kernel: Ctrl-C is the stop button, the others end it with nothing left behind.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use crate::interrupt::Interrupts;
use crate::supervise;

/// Takes SIGINT, SIGTERM and SIGHUP from now on, in a thread of its own. To be called before other threads start.
///
/// # Errors
/// If the thread cannot be started.
pub(crate) fn listen(interrupts: Arc<Interrupts>, quit: Sender<()>) -> anyhow::Result<()> {
    // SAFETY: the set is initialised before it is used.
    let set = unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        set
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        loop {
            let mut signal = 0;
            // SAFETY: both pointers live through the call.
            match unsafe { libc::sigwait(&raw const set, &raw mut signal) } {
                0 if signal == libc::SIGINT => {
                    // Caught, so that SIGTERM still ends the kernel.
                    let _ = supervise::catch(|| interrupts.interrupt());
                }
                _ => {
                    let _ = quit.send(());
                }
            }
        }
    })?;
    Ok(())
}
