//! One thread a socket: it alone touches the socket, and others leave messages in its outbox and ring its bell.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use zmq::{Context, POLLIN, Socket, SocketType};

use crate::{nesting, supervise};

/// The frames of one message.
pub(crate) type Frames = Vec<Vec<u8>>;

/// Where a thread leaves messages for a socket that another thread owns.
#[derive(Clone)]
pub(crate) struct Outbox {
    messages: Sender<Frames>,
    bell: Arc<OwnedFd>,
}

/// A bound socket and its end of the outbox.
pub(crate) struct Channel {
    socket: Socket,
    messages: Receiver<Frames>,
    bell: Arc<OwnedFd>,
}

impl Outbox {
    /// Queues a message; it is sent in the order of the calls.
    pub(crate) fn send(&self, frames: Frames) {
        let _ = self.messages.send(frames);
        let one = 1_u64.to_ne_bytes();
        // SAFETY: an event counter takes eight bytes.
        unsafe { libc::write(self.bell.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

impl Channel {
    /// Binds a socket to `endpoint`.
    ///
    /// # Errors
    /// If the port is taken or the system gives no descriptor.
    pub(crate) fn bind(
        context: &Context,
        kind: SocketType,
        endpoint: &str,
    ) -> anyhow::Result<(Self, Outbox)> {
        let socket = context.socket(kind)?;
        // What was sent last, as the reply to a shutdown, still gets out.
        socket.set_linger(500)?;
        if kind == zmq::XPUB {
            socket.set_xpub_verbose(true)?;
            socket.set_sndhwm(0)?;
        }
        if kind == zmq::ROUTER {
            socket.set_router_handover(true)?;
        }
        socket.bind(endpoint).map_err(|error| anyhow::anyhow!("{endpoint} cannot be bound: {error}"))?;
        // SAFETY: the descriptor is new, and ours if it is one.
        let bell = unsafe {
            let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            anyhow::ensure!(fd >= 0, "no event counter: {}", std::io::Error::last_os_error());
            Arc::new(OwnedFd::from_raw_fd(fd))
        };
        let (sender, messages) = channel();
        let outbox = Outbox { messages: sender, bell: Arc::clone(&bell) };
        Ok((Self { socket, messages, bell }, outbox))
    }

    /// Serves the socket in a thread of its own until the context ends: `receive` gets each message that comes in, and
    /// what it returns is sent at once.
    pub(crate) fn serve(
        self,
        name: &'static str,
        mut receive: impl FnMut(Frames) -> Option<Frames> + Send + 'static,
    ) {
        let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(nesting::STACK);
        let served = thread.spawn(move || {
            if let Err(error) = self.run(&mut receive)
                && error != zmq::Error::ETERM
            {
                log::error!("the {name} channel ended: {error}");
            }
        });
        if let Err(error) = served {
            log::error!("no thread for the {name} channel: {error}");
        }
    }

    fn run(&self, receive: &mut impl FnMut(Frames) -> Option<Frames>) -> zmq::Result<()> {
        loop {
            let mut items =
                [self.socket.as_poll_item(POLLIN), zmq::PollItem::from_fd(self.bell.as_raw_fd(), POLLIN)];
            match zmq::poll(&mut items, -1) {
                Err(zmq::Error::EINTR) => continue,
                result => result?,
            };
            let rung = items[1].is_readable();
            // First what came in: a new subscriber is welcomed before it gets anything else.
            loop {
                match self.socket.recv_multipart(zmq::DONTWAIT) {
                    Ok(frames) => {
                        // Whoever waits for an answer was told by then: see `requests`.
                        if let Ok(Some(reply)) = supervise::catch(|| receive(frames)) {
                            self.send(reply)?;
                        }
                    }
                    Err(zmq::Error::EAGAIN) => break,
                    Err(zmq::Error::EINTR) => {}
                    Err(error) => return Err(error),
                }
            }
            if rung {
                let mut count = [0; 8];
                // SAFETY: an event counter gives eight bytes.
                unsafe { libc::read(self.bell.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
                for frames in self.messages.try_iter() {
                    self.send(frames)?;
                }
            }
        }
    }

    fn send(&self, frames: Frames) -> zmq::Result<()> {
        match self.socket.send_multipart(frames, 0) {
            Err(zmq::Error::ETERM) => Err(zmq::Error::ETERM),
            Err(error) => {
                // A client that has gone away must not end the channel for the others.
                log::warn!("a message could not be sent: {error}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}
