//! Running the ordinary clients (package managers, curl, tar): found on the search path, given their arguments as they
//! are, never through a shell.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::{interrupt, program};

/// Why a way to the data did not lead there.
pub(super) enum Failure {
    /// This way failed; the next one may not.
    Reason(String),
    /// No use going on: the user pressed stop.
    Stop(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Interrupted(_) => Self::Stop(error),
            other => Self::Reason(other.to_string()),
        }
    }
}

/// No single command may take longer than this.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// The programs that can be run: those in the folders of a search path.
#[derive(Clone, Copy)]
pub(super) struct Programs<'a> {
    pub(super) search_path: &'a OsStr,
}

impl Programs<'_> {
    fn find(self, name: &str) -> Result<PathBuf, Failure> {
        program::find_in(name, self.search_path)
            .ok_or_else(|| Failure::Reason(format!("{name} is not installed (not found on PATH)")))
    }

    /// Whether a program of that name is there.
    pub(super) fn have(self, program: &str) -> bool {
        self.find(program).is_ok()
    }

    /// Runs a program in `dir` until it ends, looking at the stop button meanwhile.
    pub(super) fn run(self, program: &str, args: &[&OsStr], dir: &Path) -> Result<(), Failure> {
        self.run_within(program, args, dir, None)
    }

    /// The same; the program is ended when it has brought more bytes into a folder than its limit.
    pub(super) fn run_within(
        self,
        program: &str,
        args: &[&OsStr],
        dir: &Path,
        limit: Option<(&Path, u64)>,
    ) -> Result<(), Failure> {
        let path = self.find(program)?;
        let could_not = |e: std::io::Error| Failure::Reason(format!("{program} could not be run: {e}"));
        let mut said = tempfile::tempfile().map_err(could_not)?;
        let mut child = Command::new(&path)
            .args(args)
            .current_dir(dir)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.try_clone().map_err(could_not)?)
            .spawn()
            .map_err(could_not)?;
        let started = Instant::now();
        let mut nap = Duration::from_millis(2);
        let n_before = limit.map_or(0, |(folder, _)| bytes_below(folder));
        let too_much = || {
            let (folder, limit) = limit?;
            let found = bytes_below(folder).saturating_sub(n_before);
            (found > limit)
                .then(|| Failure::Reason(format!("{program}: {}", super::ways::too_much(found, limit))))
        };
        let status = loop {
            match child.try_wait().map_err(could_not)? {
                Some(status) => break status,
                None => {
                    let stop = interrupt::check().err().map(Failure::Stop);
                    let late = started.elapsed() > LIMIT;
                    let late =
                        late.then(|| Failure::Reason(format!("{program} had not ended after {LIMIT:?}")));
                    if let Some(failure) = stop.or(late).or_else(too_much) {
                        // It may have ended by itself meanwhile: either way it is gone after `wait`.
                        let _ = child.kill();
                        let _ = child.wait();
                        return Err(failure);
                    }
                }
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(Duration::from_millis(50));
        };
        if status.success() {
            return too_much().map_or(Ok(()), Err);
        }
        // Ctrl-C reaches the program too: then its end is no reason to try the next way.
        interrupt::check()?;
        let mut text = Vec::new();
        if said.rewind().is_ok() {
            let _ = said.read_to_end(&mut text);
        }
        Err(Failure::Reason(format!(
            "{program} ended with {status}: {}",
            gist(&String::from_utf8_lossy(&text))
        )))
    }
}

/// Bytes on the disk of all files below a folder. Links are not followed.
fn bytes_below(folder: &Path) -> u64 {
    let mut total = 0_u64;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(about) = entry.metadata() else { continue };
        total = total.saturating_add(if about.is_dir() {
            bytes_below(&entry.path())
        } else {
            about.blocks().saturating_mul(512)
        });
    }
    total
}

/// The lines of what a program said that tell something, the first three of them, in one line.
fn gist(text: &str) -> String {
    // npm closes with where its log lies, apt-get opens with remarks on its sandbox: both are no reasons.
    let noise =
        |line: &str| line.is_empty() || line.contains("complete log of this run") || line.starts_with("W: ");
    let told = |line: &&str| !noise(line);
    let lines =
        text.lines().map(|line| line.trim().trim_start_matches("npm error").trim_start()).filter(told);
    let gist = lines.take(3).collect::<Vec<_>>().join("; ");
    match gist.char_indices().nth(400) {
        _ if gist.is_empty() => "it said nothing".to_owned(),
        None => gist,
        Some((end, _)) => format!("{} …", &gist[..end]),
    }
}

/// The arguments of a command, of strings and paths alike.
pub(super) fn args<'a>(words: &'a [&'a str], last: &'a [OsString]) -> Vec<&'a OsStr> {
    words.iter().map(OsStr::new).chain(last.iter().map(OsString::as_os_str)).collect()
}
