//! Where threads leave messages for a socket that another thread owns.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::channel::Frames;

/// How many bytes may wait in an outbox before [`Outbox::send_when_there_is_room`] waits.
const ROOM: usize = 4 << 20;

/// The writing end.
#[derive(Clone)]
pub(crate) struct Outbox(Arc<Shared>);

/// The socket's end.
pub(super) struct Waiting(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Rung when messages have been taken out, and when nobody will take any more.
    room: Condvar,
    bell: OwnedFd,
    /// Somebody connected has missed messages; see [`Outbox::take_missed`].
    missed: AtomicBool,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Frames>,
    /// Of the messages here, and of those that were taken out and are not sent yet.
    bytes: usize,
    /// The socket is gone.
    closed: bool,
}

/// An outbox for one socket.
///
/// # Errors
/// If the system gives no descriptor.
pub(super) fn outbox() -> anyhow::Result<(Outbox, Waiting)> {
    // SAFETY: the descriptor is new, and ours if it is one.
    let bell = unsafe {
        let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
        anyhow::ensure!(fd >= 0, "no event counter: {}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    };
    let (queue, room, missed) = (Mutex::default(), Condvar::new(), AtomicBool::new(false));
    let shared = Arc::new(Shared { queue, room, bell, missed });
    Ok((Outbox(Arc::clone(&shared)), Waiting(shared)))
}

impl Outbox {
    /// Queues a message; it is sent in the order of the calls.
    pub(crate) fn send(&self, frames: Frames) {
        self.0.push(self.0.lock(), frames);
    }

    /// Queues a message once there is room: what may come without end waits here, and with it whatever makes it.
    pub(crate) fn send_when_there_is_room(&self, frames: Frames) {
        let is_full = |queue: &mut Queue| queue.bytes >= ROOM && !queue.closed;
        let queue = self.0.room.wait_while(self.0.lock(), is_full).unwrap_or_else(PoisonError::into_inner);
        self.0.push(queue, frames);
    }

    /// Whether somebody connected has missed messages since this was asked last.
    pub(crate) fn take_missed(&self) -> bool {
        self.0.missed.swap(false, Ordering::SeqCst)
    }
}

impl Waiting {
    /// The descriptor that can be read when messages are waiting.
    pub(super) fn bell(&self) -> RawFd {
        self.0.bell.as_raw_fd()
    }

    /// Takes out what is waiting. [`Self::sent`] is to be called for each message.
    pub(super) fn take(&self) -> VecDeque<Frames> {
        let mut count = [0; 8];
        // SAFETY: an event counter gives eight bytes.
        unsafe { libc::read(self.bell(), count.as_mut_ptr().cast(), count.len()) };
        std::mem::take(&mut self.0.lock().messages)
    }

    /// A message that was taken out is no longer the outbox's.
    pub(super) fn sent(&self, frames: &Frames) {
        let mut queue = self.0.lock();
        queue.bytes = queue.bytes.saturating_sub(size(frames));
        drop(queue);
        self.0.room.notify_all();
    }

    /// Notes that somebody connected misses messages.
    pub(super) fn set_missed(&self) {
        self.0.missed.store(true, Ordering::SeqCst);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.closed = true;
        queue.messages.clear();
        drop(queue);
        self.0.room.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, mut queue: MutexGuard<'_, Queue>, frames: Frames) {
        if queue.closed {
            return;
        }
        queue.bytes += size(&frames);
        queue.messages.push_back(frames);
        drop(queue);
        let one = 1_u64.to_ne_bytes();
        // SAFETY: an event counter takes eight bytes.
        unsafe { libc::write(self.bell.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

fn size(frames: &Frames) -> usize {
    frames.iter().map(Vec::len).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bulk_waits_for_room_and_other_messages_do_not() {
        let (outbox, waiting) = outbox().unwrap();
        outbox.send_when_there_is_room(vec![vec![0; ROOM]]);
        outbox.send(vec![b"status".to_vec()]);
        let bulk = outbox.clone();
        let (sent, arrived) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            bulk.send_when_there_is_room(vec![b"more".to_vec()]);
            sent.send(()).unwrap();
        });
        assert!(arrived.recv_timeout(Duration::from_millis(200)).is_err(), "it waits");
        let taken = waiting.take();
        assert_eq!(taken.len(), 2);
        // Taken out is not sent: there is no room yet.
        assert!(arrived.recv_timeout(Duration::from_millis(200)).is_err(), "it waits still");
        taken.iter().for_each(|frames| waiting.sent(frames));
        arrived.recv_timeout(Duration::from_secs(60)).expect("it goes on");
        thread.join().unwrap();
        assert_eq!(waiting.take(), [[b"more".to_vec()]]);
    }

    #[test]
    fn nobody_waits_for_a_socket_that_is_gone() {
        let (outbox, waiting) = outbox().unwrap();
        outbox.send(vec![vec![0; 2 * ROOM]]);
        let bulk = outbox.clone();
        let thread = std::thread::spawn(move || bulk.send_when_there_is_room(vec![Vec::new()]));
        drop(waiting);
        thread.join().unwrap();
        outbox.send_when_there_is_room(vec![vec![0; 2 * ROOM]]);
        outbox.send_when_there_is_room(vec![vec![0; 2 * ROOM]]);
    }
}
