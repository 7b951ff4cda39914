//! Which process writes a run, so that a run whose process was killed can be told from one that is still at work.

use std::sync::OnceLock;

use sha2::{Digest, Sha256};

/// How long after its last sign of life a run on another machine counts as dead, in milliseconds. Its heart beats four
/// times in that time.
const SILENCE_MS: i64 = 120_000;

const DAY_MS: i64 = 86_400_000;

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

    /// Whether it is still there. Of a process that cannot be seen from here (on another machine, in another container, or of
    /// another user where processes are hidden) it is asked when it last gave a sign of life.
    pub(super) fn is_alive(&self, heartbeat_ms: Option<i64>, now_ms: i64) -> bool {
        let seen = match &self.host {
            Some(other) if other != host() => None,
            _ => self.seen_here(),
        };
        // A sign from the far future is none: clocks differ by minutes, not by days.
        let beats = |heartbeat| (-DAY_MS..SILENCE_MS).contains(&now_ms.saturating_sub(heartbeat));
        seen.unwrap_or_else(|| heartbeat_ms.is_some_and(beats))
    }

    /// Whether it is still there, on this machine. One of which that cannot be told is.
    pub(super) fn is_alive_here(&self) -> bool {
        self.seen_here().unwrap_or(true)
    }

    /// Whether it is still there, on this machine; `None` where it may not be seen. A number that the system has given to
    /// another process since then does not count.
    fn seen_here(&self) -> Option<bool> {
        match (start_ticks(self.pid), self.start) {
            (Some(now), Some(then)) => Some(now == then),
            (Some(_), None) => Some(true),
            // What is no number of a process is one of a group, or of all.
            (None, _) => match i32::try_from(self.pid) {
                Ok(pid) if pid > 0 => is_in_use(pid),
                _ => Some(false),
            },
        }
    }
}

/// Whether a process has this number, asked where `/proc` does not show it: on macOS, as there is none, and where another user's
/// processes are hidden (`hidepid`); then it is not known whether it is the same process. One that is dead, and only waits for
/// its parent to ask how it died, is not there.
fn is_in_use(pid: i32) -> Option<bool> {
    // SAFETY: signal 0 only asks whether the process exists.
    let exists = unsafe { libc::kill(pid, 0) } == 0;
    let is_hidden = !exists && std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM);
    if is_hidden {
        return None;
    }
    Some(exists && !std::path::Path::new("/proc/self/stat").exists())
}

/// This machine since its last start, and the set of processes that can be seen from here: a hash of these, which tells nobody
/// the machine's name.
fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let seen = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        // Where the kernel is one of the container's own (gVisor), the first process of each has another start.
        let first = start_ticks(1).unwrap_or_default();
        let text = format!("{}/{}/{}/{first}", name(), boot.trim(), seen.display());
        hex::encode(&Sha256::digest(text)[..16])
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
        for heartbeat in [i64::MIN, i64::MAX, 1_000_000 + 2 * super::DAY_MS] {
            assert!(!elsewhere.is_alive(Some(heartbeat), 1_000_000), "{heartbeat}");
        }
    }

    #[test]
    fn of_a_process_that_may_not_be_seen_the_last_sign_of_life_counts() {
        // As another user, a process of root may not be sent a signal; `hidepid` hides it from /proc as well.
        // SAFETY: no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            println!("skipped: only root can become another user");
            return;
        }
        let hidden = std::thread::spawn(|| {
            // The system call concerns the thread alone, the library's function all of them.
            // SAFETY: a plain value.
            let is_another =
                unsafe { libc::syscall(libc::SYS_setresuid, 65_534_i64, 65_534_i64, -1_i64) } == 0;
            is_another.then(|| super::is_in_use(1))
        });
        match hidden.join().unwrap() {
            Some(seen) => assert_eq!(seen, None),
            None => println!("skipped: nobody can become another user here"),
        }
        assert_eq!(super::is_in_use(1), Some(false), "it may be seen, and /proc does not show it");
        for pid in [0, u32::MAX] {
            assert!(!Writer { host: None, pid, start: None }.is_alive_here());
        }
    }
}
