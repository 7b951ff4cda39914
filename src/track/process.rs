//! Which process writes a run, so that a run whose process was killed can be told from one that is still at work.

use std::sync::OnceLock;

/// How long after its last sign of life a run on another machine counts as dead, in milliseconds. Its heart beats four
/// times in that time.
const SILENCE_MS: i64 = 120_000;

/// The process that writes a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Writer {
    /// The machine, since its last start, and the processes it can see: [`host`].
    pub(super) host: Option<String>,
    /// The process's number.
    pub(super) pid: u32,
    /// When it was started, in clock ticks since the machine was. A number is given again, this is not.
    pub(super) start: Option<i64>,
}

impl Writer {
    /// This process.
    pub(super) fn this() -> Self {
        let pid = std::process::id();
        Self { host: Some(host().to_owned()), pid, start: start_ticks(pid) }
    }

    /// Whether it is still there. Of a process that cannot be seen from here (another machine, another container) it is
    /// asked when it last gave a sign of life.
    pub(super) fn is_alive(&self, heartbeat_ms: Option<i64>, now_ms: i64) -> bool {
        match &self.host {
            Some(other) if other != host() => {
                heartbeat_ms.is_some_and(|heartbeat| now_ms - heartbeat < SILENCE_MS)
            }
            _ => self.is_alive_here(),
        }
    }

    /// Whether it is still there, on this machine. A number that the system has given to another process since then does
    /// not count.
    pub(super) fn is_alive_here(&self) -> bool {
        match (start_ticks(self.pid), self.start) {
            (Some(now), Some(then)) => now == then,
            (Some(_), None) => true,
            // No /proc here (macOS): ask the system whether the number is in use.
            (None, _) if !std::path::Path::new("/proc/self/stat").exists() => {
                // SAFETY: signal 0 only asks whether the process exists.
                i32::try_from(self.pid).is_ok_and(|pid| unsafe { libc::kill(pid, 0) } == 0)
            }
            (None, _) => false,
        }
    }
}

/// This machine since its last start, and the set of processes that can be seen from here.
fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let seen = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        format!("{}/{}/{}", name(), boot.trim(), seen.display())
    })
}

/// The machine's name.
pub(super) fn name() -> String {
    let mut bytes = [0_u8; 256];
    // SAFETY: at most the length of the buffer is written; its last byte stays 0.
    let failed = unsafe { libc::gethostname(bytes.as_mut_ptr().cast(), bytes.len() - 1) } != 0;
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(0);
    if failed { String::new() } else { String::from_utf8_lossy(&bytes[..end]).into_owned() }
}

/// Field 22 of `/proc/PID/stat`, counted behind the command name, which may itself hold spaces and parentheses. A process
/// that is dead, and only waits for its parent to ask how it died, is not there.
fn start_ticks(pid: u32) -> Option<i64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::Writer;

    #[test]
    fn this_process_lives_and_one_that_started_earlier_under_its_number_does_not() {
        let this = Writer::this();
        assert!(this.is_alive(None, 0));
        if let Some(start) = this.start {
            assert!(!Writer { start: Some(start - 1), ..this }.is_alive(None, 0));
        }
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = Writer { host: None, pid: child.id(), start: Some(1) };
        child.wait().unwrap();
        assert!(!gone.is_alive(Some(0), 0));
    }

    #[test]
    fn of_a_process_on_another_machine_the_last_sign_of_life_counts() {
        let elsewhere = Writer { host: Some("elsewhere".to_owned()), ..Writer::this() };
        assert!(elsewhere.is_alive(Some(1_000_000), 1_060_000));
        assert!(!elsewhere.is_alive(Some(1_000_000), 1_130_000));
        assert!(!elsewhere.is_alive(None, 0));
    }
}
