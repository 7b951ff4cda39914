//! Calls of cargo that say how far they are, and that the stop button ends.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Context;

use super::Error;
use crate::eval::rustc::Compiler;

/// How often progress is told where nothing new comes: the clock goes on.
const TICK: Duration = Duration::from_millis(500);

/// What cargo says while it works.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Units done, and in all.
    pub(crate) done: Option<(usize, usize)>,
    /// What it is at, as "Compiling rand v0.8.5".
    pub(crate) doing: String,
}

/// Words that cargo begins a line of its progress with; any other line is something to read.
const STATUS: [&str; 17] = [
    "Adding",
    "Blocking",
    "Building",
    "Checking",
    "Compiling",
    "Dirty",
    "Downloaded",
    "Downloading",
    "Fetch",
    "Finished",
    "Fresh",
    "Locking",
    "Patching",
    "Removing",
    "Running",
    "Unpacking",
    "Updating",
];

/// Runs cargo to its end and returns its standard output.
///
/// # Errors
/// [`Error::Stopped`]; [`Error::Cargo`] with what cargo says where it fails.
pub(crate) fn run(
    command: &mut Command,
    compiler: &Compiler,
    tell: &mut dyn FnMut(&Progress),
) -> Result<String, Error> {
    command
        .env("CARGO_TERM_COLOR", "always")
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "120")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // SAFETY: between fork and exec only async-signal-safe functions are called.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // The kernel has blocked signals for its own thread that waits for them; build scripts expect to get them.
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            Ok(())
        });
    }
    let started = compiler.start(command).context("cargo cannot be started")?;
    let mut child = started.ok_or(Error::Stopped)?;
    let mut stdout = child.stdout.take().context("cargo has no stdout")?;
    let mut stderr = child.stderr.take().context("cargo has no stderr")?;
    let output = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.read_to_end(&mut bytes);
        bytes
    });
    let (sender, pieces) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stderr.read(&mut buffer) {
            if sender.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut said = Said::default();
    loop {
        match pieces.recv_timeout(TICK) {
            Ok(piece) => said.hear(&piece),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        tell(&said.progress);
    }
    let (status, stopped) = compiler.finish(child).context("cargo cannot be waited for")?;
    let output = output.join().unwrap_or_default();
    if stopped {
        return Err(Error::Stopped);
    }
    if !status.success() {
        said.hear(b"\n");
        let text = said.text.trim_end().to_owned();
        return Err(Error::Cargo(if text.is_empty() { format!("cargo {status}") } else { text }));
    }
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// What has come of cargo's standard error.
#[derive(Default)]
struct Said {
    progress: Progress,
    /// Lines that are not progress, in colour.
    text: String,
    pending: Vec<u8>,
}

impl Said {
    fn hear(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
        while let Some(end) = self.pending.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let rest = self.pending.split_off(end + 1);
            let line = std::mem::replace(&mut self.pending, rest);
            self.line(&String::from_utf8_lossy(&line[..end]));
        }
    }

    fn line(&mut self, line: &str) {
        let plain = without_colour(line);
        let plain = plain.trim();
        let Some(word) = plain.split_whitespace().next() else {
            if !self.text.is_empty() {
                self.text.push('\n');
            }
            return;
        };
        if !STATUS.contains(&word) {
            // What clears the bar's line clears nothing here.
            self.text.push_str(line.trim_start_matches("\x1b[K").trim_end());
            self.text.push('\n');
        } else if let Some((count, doing)) = bar(plain) {
            self.progress.done = Some(count);
            if !doing.is_empty() {
                self.progress.doing = doing.to_owned();
            }
        } else {
            self.progress.doing = plain.to_owned();
        }
    }
}

/// Count and text of `Building [=====>   ] 3/10: rand, libc`.
fn bar(line: &str) -> Option<((usize, usize), &str)> {
    let (_, behind) = line.strip_prefix("Building")?.split_once(']')?;
    let (count, doing) = behind.split_once(':').unwrap_or((behind, ""));
    let (done, all) = count.trim().split_once('/')?;
    Some(((done.trim().parse().ok()?, all.trim().parse().ok()?), doing.trim()))
}

/// `text` without escape sequences.
pub(crate) fn without_colour(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            // `ESC [ … letter`, or `ESC ] … ESC \` around links.
            match chars.next() {
                Some('[') => {
                    chars.by_ref().find(|c| c.is_ascii_alphabetic());
                }
                Some(']') => {
                    chars.by_ref().find(|c| matches!(c, '\\' | '\x07'));
                }
                _ => {}
            }
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_and_errors_are_told_apart() {
        let mut said = Said::default();
        said.hear(b"\x1b[1m\x1b[92m   Compiling\x1b[0m rand v0.8.5\n");
        assert_eq!(said.progress, Progress { done: None, doing: "Compiling rand v0.8.5".to_owned() });
        said.hear("    Building [=====>   ] 3/10: rand, äöü".as_bytes());
        said.hear(b"\r\x1b[K");
        assert_eq!(said.progress, Progress { done: Some((3, 10)), doing: "rand, äöü".to_owned() });
        said.hear(b"\x1b[1m\x1b[91merror\x1b[0m: no matching package\n\n  found: nothing\n");
        assert_eq!(said.text, "\x1b[1m\x1b[91merror\x1b[0m: no matching package\n\n  found: nothing\n");
        assert_eq!(without_colour(&said.text), "error: no matching package\n\n  found: nothing\n");
    }
}
