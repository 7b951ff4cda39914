//! The stop button: one flag for the process, set by a signal handler and looked at by every long call.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::error::{Error, Result};

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// Calls in progress, where nobody else wants to see their number.
static CALLS: AtomicU32 = AtomicU32::new(0);
static SHARED_CALLS: OnceLock<&'static AtomicU32> = OnceLock::new();

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

/// A call that will end by itself, with [`Error::Interrupted`], once a stop is asked for: it may take as long as a batch
/// does, but needs no force. Such calls may hold one another.
#[derive(Debug)]
#[must_use = "the call is over when this is dropped"]
pub struct Call(&'static AtomicU32);

/// A long call begins; it is over when the value is dropped.
pub fn enter() -> Call {
    let calls = SHARED_CALLS.get().copied().unwrap_or(&CALLS);
    calls.fetch_add(1, Ordering::SeqCst);
    Call(calls)
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counts the calls in progress in `counter` from now on, where another process may see it. Only the first time, and for
/// calls that begin later.
pub fn count_calls_in(counter: &'static AtomicU32) {
    let _ = SHARED_CALLS.set(counter);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_while_they_last() {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        count_calls_in(&COUNTER);
        let outer = enter();
        {
            let _inner = enter();
            assert!(COUNTER.load(Ordering::SeqCst) >= 2);
        }
        // Other tests of this process may train at the same time.
        assert!(COUNTER.load(Ordering::SeqCst) >= 1);
        drop(outer);
    }
}
