//! What a run records of its surroundings by itself, so that it can be made again: the code's git commit, the command line,
//! versions and the machine.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::{Parameter, process};
use crate::device;

/// How long the answer of git is taken for granted: a commit is rarely made between two runs of a sweep.
const FRESH: Duration = Duration::from_secs(5);

/// Names and values, in the order they are shown.
pub(super) fn of_this_process() -> Vec<(String, Parameter)> {
    static FIXED: OnceLock<Vec<(&'static str, Parameter)>> = OnceLock::new();
    let fixed = FIXED.get_or_init(|| {
        vec![
            ("command", command_line().into()),
            ("glisten_version", env!("CARGO_PKG_VERSION").into()),
            ("libtorch_version", device::libtorch_version().unwrap_or_else(|| "unknown".to_owned()).into()),
            ("hostname", process::name().into()),
            ("os", operating_system().into()),
            ("cores", std::thread::available_parallelism().map_or(1, usize::from).into()),
        ]
    });
    let mut values: Vec<(String, Parameter)> = Vec::new();
    if let Ok(folder) = std::env::current_dir() {
        if let Some((commit, is_dirty)) = git_state(&folder) {
            values.push(("git_commit".to_owned(), commit.into()));
            values.push(("git_dirty".to_owned(), is_dirty.into()));
        }
        values.push(("folder".to_owned(), folder.to_string_lossy().into_owned().into()));
    }
    values.extend(fixed.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    values.push(("threads".to_owned(), tch::get_num_threads().into()));
    values
}

/// The program and its arguments as they would be typed.
fn command_line() -> String {
    let plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_./:=,@%+".contains(c))
    };
    let quoted = |argument: std::ffi::OsString| {
        let text = argument.to_string_lossy().into_owned();
        if plain(&text) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
    };
    std::env::args_os().map(quoted).collect::<Vec<_>>().join(" ")
}

fn operating_system() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    [std::env::consts::OS, release.trim(), std::env::consts::ARCH].map(str::to_owned).join(" ")
}

/// The commit of the work tree around `folder`, and whether tracked files differ from it.
fn git_state(folder: &std::path::Path) -> Option<(String, bool)> {
    type Known = Option<(Instant, PathBuf, Option<(String, bool)>)>;
    static KNOWN: Mutex<Known> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((asked, place, state)) = &*known
        && asked.elapsed() < FRESH
        && place == folder
    {
        return state.clone();
    }
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        // Looking at the state is not to write the index.
        let output = command.env("GIT_OPTIONAL_LOCKS", "0").output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let state = git(&["rev-parse", "HEAD"]).map(|commit| {
        let changes = git(&["status", "--porcelain", "--untracked-files=no"]);
        (commit, changes.is_none_or(|changes| !changes.is_empty()))
    });
    *known = Some((Instant::now(), folder.to_path_buf(), state.clone()));
    state
}
