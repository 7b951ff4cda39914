//! Reads a worker's three pipes in one thread, so that output keeps its order and none is missing when a cell is done.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use serde_json::Value;

use crate::supervise;
use crate::worker::{Publish, Reply};

/// How long text is gathered before it is shown: a message for each write of `eprint!` would be many.
const GATHERING: Duration = Duration::from_millis(3);

/// Starts the thread. It ends with the worker, after [`Reply::Exited`].
pub(crate) fn start(
    stdout: OwnedFd,
    stderr: OwnedFd,
    replies: OwnedFd,
    publish: Arc<dyn Publish>,
    mailbox: Sender<Reply>,
) {
    let mut pipes = [Pipe::new(replies), Pipe::new(stdout), Pipe::new(stderr)];
    std::thread::spawn(move || {
        loop {
            wait(&pipes);
            // Text that comes in crumbs is gathered for a moment; a reply is not kept waiting.
            if !pipes[0].is_ready() {
                std::thread::sleep(GATHERING);
            }
            // Replies are read first but passed on last: what was printed before a reply is in its pipe by now.
            let [replies, out, err] = &mut pipes;
            replies.fill();
            for (pipe, is_stderr) in [(out, false), (err, true)] {
                pipe.fill();
                let text = pipe.take_text();
                if !text.is_empty() {
                    let shown = supervise::catch(|| {
                        supervise::panic_if_asked(&text);
                        publish.stream(is_stderr, &text);
                    });
                    say_if_lost(shown, "some output", publish.as_ref());
                }
            }
            for line in replies.take_lines() {
                let dispatched = supervise::catch(|| {
                    let text = String::from_utf8_lossy(&line);
                    if text.contains("\"type\":\"display\"") {
                        supervise::panic_in("display", &text);
                    }
                    dispatch(&line, publish.as_ref())
                });
                match dispatched {
                    Ok(Some(reply)) => {
                        let _ = mailbox.send(reply);
                    }
                    Ok(None) => {}
                    Err(sentence) => say_if_lost(Err(sentence), "a display", publish.as_ref()),
                }
            }
            if replies.closed {
                let _ = mailbox.send(Reply::Exited);
                return;
            }
        }
    });
}

/// Tells the user of output that a panic of the kernel's own has swallowed.
fn say_if_lost(shown: Result<(), String>, what: &str, publish: &dyn Publish) {
    if let Err(sentence) = shown {
        publish.stream(true, &format!("{what} is missing here: {sentence}\n"));
    }
}

/// Publishes what needs no answer; the rest is for the session.
fn dispatch(line: &[u8], publish: &dyn Publish) -> Option<Reply> {
    let mut message: Value = match serde_json::from_slice(line) {
        Ok(message) => message,
        Err(error) => {
            log::warn!("a line of the worker is not JSON ({error}): {}", String::from_utf8_lossy(line));
            return None;
        }
    };
    let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
    match message["type"].as_str().unwrap_or_default() {
        "result" => return Some(Reply::Result(message["data"].take())),
        "done" => {
            let stage = message["stage"].as_u64().and_then(|stage| usize::try_from(stage).ok());
            return Some(Reply::Done(stage));
        }
        "ask" => {
            let password = message["password"].as_bool().unwrap_or_default();
            return Some(Reply::Ask { prompt: text("prompt"), password });
        }
        "error" => {
            let traceback = message["traceback"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let number = |name: &str| message[name].as_u64().and_then(|n| usize::try_from(n).ok());
            return Some(Reply::Error {
                ename: text("ename"),
                evalue: text("evalue"),
                traceback: traceback.map(str::to_owned).collect(),
                place: number("line").zip(number("column")),
            });
        }
        "display" => {
            let (id, update) = (message["id"].as_str().map(str::to_owned), message["update"] == true);
            publish.display(message["data"].take(), message["metadata"].take(), id, update);
        }
        "clear" => publish.clear(message["wait"] == true),
        other => log::warn!("a reply of unknown type '{other}' from the worker"),
    }
    None
}

/// The reading end of a pipe, with what has come and was not passed on.
struct Pipe {
    file: File,
    buffer: Vec<u8>,
    closed: bool,
}

impl Pipe {
    fn new(fd: OwnedFd) -> Self {
        // SAFETY: the descriptor is open and ours.
        unsafe {
            let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
            libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
        }
        Self { file: File::from(fd), buffer: Vec::new(), closed: false }
    }

    fn is_ready(&self) -> bool {
        let mut polled = libc::pollfd { fd: self.file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the entry lives through the call.
        unsafe { libc::poll(&raw mut polled, 1, 0) == 1 }
    }

    fn fill(&mut self) {
        let mut chunk = [0; 65536];
        // No more than a few chunks in a turn, so that a flood on one pipe does not keep the others waiting.
        for _ in 0..16 {
            match self.file.read(&mut chunk) {
                Ok(0) => {
                    self.closed = true;
                    return;
                }
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    fn take_lines(&mut self) -> Vec<Vec<u8>> {
        let Some(end) = self.buffer.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = self.buffer.split_off(end + 1);
        let lines = std::mem::replace(&mut self.buffer, rest);
        lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    }

    /// All that has come, but for the beginning of a character whose end has not.
    fn take_text(&mut self) -> String {
        let keep = if self.closed { 0 } else { unfinished(&self.buffer) };
        let rest = self.buffer.split_off(self.buffer.len() - keep);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// How many bytes at the end begin a UTF-8 character that is not all there.
fn unfinished(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let needs = match bytes[bytes.len() - back] {
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_0111 => 4,
            0b1000_0000..=0b1011_1111 => continue,
            _ => return 0,
        };
        return if needs > back { back } else { 0 };
    }
    0
}

/// Waits until one of the open pipes has something.
fn wait(pipes: &[Pipe; 3]) {
    let mut polled = [libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 }; 3];
    for (entry, pipe) in polled.iter_mut().zip(pipes) {
        let fd: RawFd = if pipe.closed { -1 } else { pipe.file.as_raw_fd() };
        entry.fd = fd;
    }
    // SAFETY: the array lives through the call.
    unsafe { libc::poll(polled.as_mut_ptr(), 3, -1) };
}

#[cfg(test)]
mod tests {
    use super::unfinished;

    #[test]
    fn a_split_character_waits_for_its_end_and_wrong_bytes_do_not() {
        for (bytes, kept) in [
            (&b"abc"[..], 0),
            ("ä".as_bytes(), 0),
            (&"ä".as_bytes()[..1], 1),
            (&"€".as_bytes()[..2], 2),
            (b"\xff", 0),
        ] {
            assert_eq!(unfinished(bytes), kept, "{bytes:?}");
        }
    }
}
