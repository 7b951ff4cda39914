//! One thread a socket: it alone touches the socket, and others leave messages in its outbox and ring its bell.
//!
//! Nothing here grows without end, whoever connects: messages that come in have a size, those that nobody reads a number.
//! A subscriber that reads slowly slows the output down and loses nothing; one that reads nothing for [`PATIENCE_MS`] misses
//! what does not fit.

use std::collections::{HashMap, HashSet};

use zmq::{Context, DONTWAIT, Message, POLLIN, SNDMORE, Socket, SocketType};

use super::complaints::Complaints;
use super::outbox::{Outbox, Waiting, outbox};

use crate::{nesting, supervise};

/// The frames of one message.
pub(crate) type Frames = Vec<Vec<u8>>;

/// How long a message waits for a client that does not read.
pub(super) const PATIENCE_MS: i32 = 5000;
/// How many messages wait for one client to read them: of output, which has a length, and of others, which have none.
const UNREAD: (i32, i32) = (64, 16);

/// What the topics that one subscriber asks for may hold together, in bytes, each counted with [`TOPIC`]: libzmq keeps them in a
/// tree with a node for each byte.
const TOPICS: usize = 64 << 10;
const TOPIC: usize = 64;

/// The most that a message may hold that comes in: a frame in bytes, and the number of frames.
fn most(kind: SocketType) -> (i64, usize) {
    match kind {
        zmq::ROUTER => (16 << 20, 256),
        // Subscriptions (and what a subscriber says of itself when it connects), and the pings of the heartbeat.
        zmq::XPUB => (320, 1),
        _ => (1 << 10, 16),
    }
}

/// A bound socket and its end of the outbox.
pub(crate) struct Channel {
    kind: SocketType,
    socket: Socket,
    waiting: Waiting,
    /// Clients that have not read for a while: nothing waits for them.
    deaf: HashSet<Vec<u8>>,
    /// By descriptor the connection, and the bytes of the topics that it has asked for; see [`TOPICS`].
    topics: HashMap<i32, (u64, usize)>,
    complaints: Complaints,
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
        socket.set_sndtimeo(PATIENCE_MS)?;
        socket.set_sndhwm(if kind == zmq::XPUB { UNREAD.0 } else { UNREAD.1 })?;
        // What comes in waits at the sender's while the thread is at work.
        socket.set_rcvhwm(if kind == zmq::XPUB { 1 } else { 8 })?;
        socket.set_maxmsgsize(most(kind).0)?;
        let (outbox, waiting) = outbox()?;
        let (deaf, topics) = (HashSet::new(), HashMap::new());
        let complaints = Complaints::default();
        let mut channel = Self { kind, socket, waiting, deaf, topics, complaints };
        if kind == zmq::XPUB {
            channel.socket.set_xpub_verbose(true)?;
            channel.wait_for_all(true)?;
        }
        if kind == zmq::ROUTER {
            channel.socket.set_router_handover(true)?;
            // Else what cannot be sent is dropped without a word.
            channel.socket.set_router_mandatory(true)?;
        }
        let bound = channel.socket.bind(endpoint);
        bound.map_err(|error| anyhow::anyhow!("{endpoint} cannot be bound: {error}"))?;
        Ok((channel, outbox))
    }

    /// Serves the socket in a thread of its own until the context ends: `receive` gets each message that comes in, and
    /// what it returns is sent at once.
    pub(crate) fn serve(
        mut self,
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

    fn run(&mut self, receive: &mut impl FnMut(Frames) -> Option<Frames>) -> zmq::Result<()> {
        loop {
            let bell = self.waiting.bell();
            let mut items = [self.socket.as_poll_item(POLLIN), zmq::PollItem::from_fd(bell, POLLIN)];
            match zmq::poll(&mut items, -1) {
                Err(zmq::Error::EINTR) => continue,
                result => result?,
            };
            let rung = items[1].is_readable();
            // First what came in: a new subscriber is welcomed before it gets anything else.
            loop {
                match self.receive() {
                    Ok(Some(frames)) => {
                        // Whoever waits for an answer was told by then: see `requests`.
                        if let Ok(Some(reply)) = supervise::catch(|| receive(frames)) {
                            self.send(&reply)?;
                        }
                        // One answer after the other: many requests at once must not become many answers that wait here.
                        if self.kind == zmq::ROUTER {
                            self.send_waiting()?;
                        }
                    }
                    Ok(None) => {}
                    Err(zmq::Error::EAGAIN) => break,
                    Err(zmq::Error::EINTR) => {}
                    Err(error) => return Err(error),
                }
            }
            if rung {
                self.send_waiting()?;
            }
        }
    }

    fn send_waiting(&mut self) -> zmq::Result<()> {
        for frames in self.waiting.take() {
            let sent = self.send(&frames);
            self.waiting.sent(&frames);
            sent?;
        }
        Ok(())
    }

    /// The next message, `None` where it is not to be looked at.
    fn receive(&mut self) -> zmq::Result<Option<Frames>> {
        let (size, count) = most(self.kind);
        let (mut frames, mut bytes) = (Frames::new(), 0_i64);
        let mut message = Message::new();
        // All frames of a message are there once the first is.
        self.socket.recv(&mut message, DONTWAIT)?;
        if self.kind == zmq::XPUB && !self.may_subscribe(&mut message) {
            return Ok(None);
        }
        loop {
            bytes = bytes.saturating_add(i64::try_from(message.len()).unwrap_or(i64::MAX));
            let is_last = !message.get_more();
            if frames.len() < count && bytes <= 2 * size {
                frames.push(message.to_vec());
            } else {
                frames.clear();
                bytes = i64::MAX;
            }
            if is_last && bytes == i64::MAX {
                self.complaints.warn(&format!("a message was dropped: {} bytes are the most", 2 * size));
                // Who has to reply before the next message does so.
                return Ok((self.kind == zmq::REP).then(|| vec![Vec::new()]));
            }
            if is_last {
                return Ok(Some(frames));
            }
            self.socket.recv(&mut message, 0)?;
        }
    }

    /// Counts a subscription, or that one has ended. False where a subscriber has asked for too much: it is cut off, and what it
    /// has asked for is forgotten.
    fn may_subscribe(&mut self, message: &mut Message) -> bool {
        let size = message.len() + TOPIC;
        let Some(fd) = message.gets("__fd").and_then(|fd| fd.parse().ok()) else { return true };
        // A connection that is gone has taken its topics along.
        let Some(connection) = inode(fd) else { return false };
        let (known, bytes) = self.topics.entry(fd).or_insert((connection, 0));
        if *known != connection {
            // Descriptors are used again.
            (*known, *bytes) = (connection, 0);
        }
        match message.first() {
            Some(1) => *bytes += size,
            Some(0) => *bytes = bytes.saturating_sub(size),
            // Subscribers have nothing else to say.
            _ => return false,
        }
        if *bytes > TOPICS {
            *bytes = 0;
            self.complaints.warn("a subscriber that asked for too many topics was cut off");
            // SAFETY: that the descriptor may be another's by now does no harm: where it is no socket this is refused, and where it
            // is another client's, that one connects anew.
            unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
            return false;
        }
        true
    }

    fn send(&mut self, frames: &Frames) -> zmq::Result<()> {
        let sent = match self.kind {
            zmq::XPUB => self.publish(frames),
            zmq::ROUTER => self.reply(frames),
            _ => self.put(frames, 0),
        };
        match sent {
            Err(zmq::Error::ETERM) => Err(zmq::Error::ETERM),
            Err(error) => {
                // A client that has gone away must not end the channel for the others.
                log::warn!("a message could not be sent: {error}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Sends to all subscribers, and waits for those that are behind.
    fn publish(&mut self, frames: &Frames) -> zmq::Result<()> {
        match self.put(frames, 0) {
            Err(zmq::Error::EAGAIN) => {
                log::warn!(
                    "a subscriber has not read for {PATIENCE_MS} ms; until it does, it misses the output"
                );
                self.waiting.set_missed();
                // A send that does not wait takes it off libzmq's list of those that are sent to, until it reads again. The others
                // are waited for as before.
                self.wait_for_all(false)?;
                let sent = self.put(frames, 0);
                self.wait_for_all(true)?;
                sent
            }
            sent => sent,
        }
    }

    /// Sends to the client that the first frame names.
    fn reply(&mut self, frames: &Frames) -> zmq::Result<()> {
        let Some(client) = frames.first() else { return Ok(()) };
        match self.put(frames, if self.deaf.contains(client) { DONTWAIT } else { 0 }) {
            Err(zmq::Error::EAGAIN) => {
                if self.deaf.len() >= 1000 {
                    self.deaf.clear();
                }
                if self.deaf.insert(client.clone()) {
                    log::warn!(
                        "a client has not read for {PATIENCE_MS} ms; until it does, it misses replies"
                    );
                }
                Ok(())
            }
            Err(zmq::Error::EHOSTUNREACH) => {
                log::debug!("a reply to a client that has gone was dropped");
                self.deaf.remove(client);
                Ok(())
            }
            sent => {
                self.deaf.remove(client);
                sent
            }
        }
    }

    fn put(&self, frames: &Frames, flags: i32) -> zmq::Result<()> {
        for (at, frame) in frames.iter().enumerate() {
            let more = if at + 1 < frames.len() { SNDMORE } else { 0 };
            loop {
                match self.socket.send(frame.as_slice(), flags | more) {
                    Err(zmq::Error::EINTR) => {}
                    sent => break sent?,
                }
            }
        }
        Ok(())
    }

    /// Whether a send waits until every subscriber has room, or drops the message for those that have none.
    fn wait_for_all(&mut self, wait: bool) -> zmq::Result<()> {
        let value = i32::from(wait);
        // SAFETY: the socket is open, and the option an int.
        let failed = unsafe {
            let value: *const i32 = &raw const value;
            let option = zmq_sys::ZMQ_XPUB_NODROP.cast_signed();
            zmq_sys::zmq_setsockopt(self.socket.as_mut_ptr(), option, value.cast(), size_of::<i32>())
        };
        // XPUB has had this option for longer than libzmq 4.3, which is built along.
        if failed == 0 { Ok(()) } else { Err(zmq::Error::EINVAL) }
    }
}

/// What tells the file behind a descriptor from all others that are open.
fn inode(fd: i32) -> Option<u64> {
    // SAFETY: the structure is only read once it is filled.
    unsafe {
        let mut about = std::mem::MaybeUninit::<libc::stat>::uninit();
        (libc::fstat(fd, about.as_mut_ptr()) == 0).then(|| about.assume_init().st_ino)
    }
}
