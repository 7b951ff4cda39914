//! Which process writes a run, so that a run whose process was killed can be told from one that is still at work.

/// This process: its number and the time it was started, in clock ticks since boot.
pub(super) fn this() -> (u32, Option<i64>) {
    let pid = std::process::id();
    (pid, start_ticks(pid))
}

/// Whether the process that started at `start` under the number `pid` is still there. A number that the system has
/// given to another process since then does not count.
pub(super) fn alive(pid: u32, start: Option<i64>) -> bool {
    match (start_ticks(pid), start) {
        (Some(now), Some(then)) => now == then,
        (Some(_), None) => true,
        // No /proc here (macOS): ask the system whether the number is in use.
        (None, _) if !std::path::Path::new("/proc/self/stat").exists() => {
            // SAFETY: signal 0 only asks whether the process exists.
            i32::try_from(pid).is_ok_and(|pid| unsafe { libc::kill(pid, 0) } == 0)
        }
        (None, _) => false,
    }
}

/// Field 22 of `/proc/PID/stat`, counted behind the command name, which may itself hold spaces and parentheses.
fn start_ticks(pid: u32) -> Option<i64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_lives_and_one_that_started_earlier_under_its_number_does_not() {
        let (pid, start) = super::this();
        assert!(super::alive(pid, start));
        if let Some(start) = start {
            assert!(!super::alive(pid, Some(start - 1)));
        }
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(!super::alive(pid, Some(1)));
    }
}
