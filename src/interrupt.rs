//! The stop button: one flag for the process, set by a signal handler and looked at by every long call.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Asks every long call of this process to end cleanly. Safe to call from a signal handler.
pub fn request() {
    REQUESTED.store(true, Ordering::SeqCst);
}

/// Takes the request back, before the next piece of work starts.
pub fn clear() {
    REQUESTED.store(false, Ordering::SeqCst);
}

/// Whether a stop was asked for since the last [`clear`].
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// For use in loops.
///
/// # Errors
/// [`Error::Interrupted`] if a stop was asked for.
pub fn check() -> Result<()> {
    if requested() { Err(Error::Interrupted(String::new())) } else { Ok(()) }
}
