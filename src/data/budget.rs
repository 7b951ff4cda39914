//! How much memory and disk a file from outside may take. A few bytes can ask for gigabytes: what is needed is told from
//! headers and set beside what the machine has, before it is spent.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result, bytes};

/// Sets a limit of its own on the memory that reading data may take: `512MB`, `4GB`, or bytes.
const VARIABLE: &str = "GLISTEN_MEMORY_LIMIT";
/// Less than this is had on every machine: not worth a look at what is free.
const SMALL: u64 = 1 << 20;

/// Whether `needed` bytes of memory are free, for `what` (mostly a file's path); `advice` says what to do if not.
///
/// # Errors
/// [`Error::TooLarge`] if they are not; [`Error::Argument`] for a limit in the environment that is none.
pub(crate) fn memory(what: impl std::fmt::Display, needed: u64, advice: &str) -> Result<()> {
    if needed < SMALL {
        return Ok(());
    }
    let free = memory_free()?;
    if needed <= free {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: what.to_string(),
        needed: bytes(needed),
        resource: "memory",
        free: bytes(free),
        advice: advice.to_owned(),
    })
}

/// Whether the disk of `folder` has room for `needed` bytes.
///
/// # Errors
/// [`Error::TooLarge`] if it has not.
pub(super) fn disk(what: &Path, folder: &Path, needed: u64) -> Result<()> {
    match disk_free(folder) {
        Some(free) if needed > free => Err(Error::TooLarge {
            what: what.display().to_string(),
            needed: bytes(needed),
            resource: "disk",
            free: bytes(free),
            advice: format!("make room on the disk of {}", folder.display()),
        }),
        _ => Ok(()),
    }
}

/// An empty buffer with room for `n` bytes, if that much memory is free.
///
/// # Errors
/// As [`memory`].
pub(super) fn buffer(path: &Path, n: u64, advice: &str) -> Result<Vec<u8>> {
    memory(path.display(), n, advice)?;
    let mut buffer = Vec::new();
    let room = usize::try_from(n).ok().and_then(|n| buffer.try_reserve_exact(n).ok());
    match room {
        Some(()) => Ok(buffer),
        None => Err(refused(path, n, advice)),
    }
}

/// Reads at most `limit` bytes of a stream whose length nobody knows: memory is asked for step by step, each step only if
/// that much is free.
///
/// # Errors
/// As [`memory`]; the stream's own errors as `damaged` makes them.
pub(super) fn read_up_to(
    stream: &mut dyn Read,
    limit: u64,
    path: &Path,
    advice: &str,
    damaged: impl Fn(std::io::Error) -> Error,
) -> Result<Vec<u8>> {
    const STEP: u64 = 1 << 20;
    let mut out: Vec<u8> = Vec::new();
    let mut stream = stream.take(limit);
    loop {
        let room = (out.capacity() - out.len()) as u64;
        if room == 0 {
            // While it grows, the old and the new place may both be there.
            let grown = (2 * out.len() as u64).max(STEP).min(limit.max(1));
            memory(path.display(), grown + out.len() as u64, advice)?;
            let more = (grown as usize).saturating_sub(out.len()).max(1);
            out.try_reserve_exact(more).map_err(|_| refused(path, grown, advice))?;
        }
        let room = (out.capacity() - out.len()) as u64;
        let n_read = stream.by_ref().take(room).read_to_end(&mut out).map_err(&damaged)?;
        if (n_read as u64) < room {
            return Ok(out);
        }
    }
}

fn refused(path: &Path, n: u64, advice: &str) -> Error {
    Error::TooLarge {
        what: path.display().to_string(),
        needed: bytes(n),
        resource: "memory",
        free: "less".to_owned(),
        advice: advice.to_owned(),
    }
}

/// Bytes of memory that this process can still take without pushing others out: the least of what the machine has available,
/// what its control groups leave, its address space, and the user's own limit.
pub(crate) fn memory_free() -> Result<u64> {
    let limits = [user_limit()?, machine_available(), control_groups_leave(), address_space_left()];
    Ok(limits.into_iter().flatten().min().unwrap_or(u64::MAX))
}

fn user_limit() -> Result<Option<u64>> {
    let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = text.to_string_lossy();
    let upper = text.trim().to_uppercase();
    let (number, unit) = match upper.find(|c: char| !c.is_ascii_digit() && c != '.') {
        Some(at) => upper.split_at(at),
        None => (upper.as_str(), ""),
    };
    let unit = match unit.trim() {
        "" | "B" => 1.0,
        "K" | "KB" => 1e3,
        "M" | "MB" => 1e6,
        "G" | "GB" => 1e9,
        "T" | "TB" => 1e12,
        _ => f64::NAN,
    };
    match number.parse::<f64>().map(|number| number * unit) {
        Ok(limit) if limit.is_finite() => Ok(Some(limit as u64)),
        _ => Err(Error::argument(VARIABLE, "a size, as 512MB or 4GB", text)),
    }
}

/// What Linux says is available; the whole memory where it does not say.
fn machine_available() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    told.map(|kibibytes| kibibytes.saturating_mul(1024)).or_else(|| {
        // SAFETY: sysconf only answers.
        let (pages, size) =
            unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
        Some(u64::try_from(pages).ok()?.saturating_mul(u64::try_from(size).ok()?))
    })
}

/// What the control groups of this process, each and those above it, leave; versions 1 and 2.
fn control_groups_leave() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let left = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
        match controllers {
            "" => left_in(
                Path::new("/sys/fs/cgroup"),
                group,
                ["memory.max", "memory.current", "inactive_file "],
            ),
            names if names.split(',').any(|name| name == "memory") => {
                let files = ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "];
                left_in(Path::new("/sys/fs/cgroup/memory"), group, files)
            }
            _ => None,
        }
    });
    left.min()
}

/// The least that `group`, below `root`, and the groups above it leave. In a container the root is its own group.
fn left_in(root: &Path, group: &str, [limit, usage, reclaimable]: [&str; 3]) -> Option<u64> {
    let group = root.join(group.trim_start_matches('/'));
    let left = group.ancestors().take_while(|folder| folder.starts_with(root)).filter_map(|folder| {
        let number = |file: &str| -> Option<u64> {
            std::fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
        };
        let (limit, used) = (number(limit)?, number(usage)?);
        // Pages of files that were read once are given up before anything fails.
        let cached = std::fs::read_to_string(folder.join("memory.stat")).ok().and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix(reclaimable))?.trim().parse::<u64>().ok()
        });
        Some(limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
    });
    left.min()
}

/// What `ulimit -v` leaves.
fn address_space_left() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit fills the struct it is given.
    let has_limit = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } == 0
        && limit.rlim_cur != libc::RLIM_INFINITY;
    if !has_limit {
        return None;
    }
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').next()?.parse().ok()?;
    // SAFETY: sysconf only answers.
    let size = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    Some(limit.rlim_cur.saturating_sub(pages.saturating_mul(size)))
}

/// Bytes that an ordinary user may still write to the disk of `folder`.
fn disk_free(folder: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    let mut about = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with a zero byte; statvfs fills the struct where it returns 0.
    let about = unsafe {
        if libc::statvfs(path.as_ptr(), about.as_mut_ptr()) != 0 {
            return None;
        }
        about.assume_init()
    };
    // Of other widths on other systems.
    #[allow(clippy::unnecessary_cast)]
    Some((about.f_bavail as u64).saturating_mul(about.f_frsize as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_some_memory_and_not_all_of_it() {
        let free = memory_free().unwrap();
        assert!((SMALL..1 << 60).contains(&free), "{free}");
        memory("a", SMALL, "").unwrap();
        let message = memory("leaves.npz", u64::MAX, "take fewer").unwrap_err().to_string();
        assert!(message.starts_with("leaves.npz needs ") && message.ends_with(": take fewer"), "{message}");
    }

    #[test]
    fn a_groups_own_limit_and_those_above_it_count() {
        let root = tempfile::tempdir().unwrap();
        let files = ["memory.max", "memory.current", "inactive_file "];
        let inner = root.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        assert_eq!(left_in(root.path(), "/a/b", files), None);
        let write = |folder: &Path, max: &str, current: &str| {
            std::fs::write(folder.join("memory.max"), max).unwrap();
            std::fs::write(folder.join("memory.current"), current).unwrap();
        };
        write(&inner, "max\n", "5\n");
        write(&root.path().join("a"), "1000\n", "700\n");
        assert_eq!(left_in(root.path(), "/a/b", files), Some(300));
        std::fs::write(root.path().join("a/memory.stat"), "anon 500\ninactive_file 200\n").unwrap();
        assert_eq!(left_in(root.path(), "/a/b", files), Some(500));
        write(&inner, "100\n", "40\n");
        assert_eq!(left_in(root.path(), "/a/b", files), Some(60));
    }

    #[test]
    fn a_stream_is_read_to_its_end_or_its_limit() {
        let source = vec![7_u8; 3 << 20];
        for limit in [0, 1, 1 << 20, (1 << 20) + 1, 3 << 20, 1 << 40] {
            let read = read_up_to(&mut &source[..], limit, Path::new("x"), "", |e| panic!("{e}")).unwrap();
            assert_eq!(read.len() as u64, limit.min(source.len() as u64));
        }
    }
}
