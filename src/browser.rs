//! What only a browser can do: a report printed to PDF. Any installed Chromium will do.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::interrupt;
use crate::program;

/// What Chromium may be called.
const NAMES: [&str; 5] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
/// How long it may take; a report of ten thousand runs takes some seconds.
const LIMIT: Duration = Duration::from_secs(120);
/// The variable that names another limit, in seconds.
const LIMIT_VARIABLE: &str = "GLISTEN_CHROMIUM_SECONDS";
/// Bytes of what it says that are read.
const SAID: u64 = 64 << 10;

/// Prints an HTML file to a PDF file, whole or not at all, by the Chromium that `GLISTEN_CHROMIUM` names, else one on the `PATH`.
/// It gets a profile of its own that is removed afterwards, reaches no network, and may take two minutes, or as many seconds as
/// `GLISTEN_CHROMIUM_SECONDS` says; then it is ended with everything that it has started.
///
/// # Errors
/// [`Error::Argument`] if there is no Chromium or it does not print, or not in time; [`Error::Io`] if a file cannot be read or
/// written; [`Error::Interrupted`] if a stop was asked for.
pub fn print_to_pdf(html: impl AsRef<Path>, pdf: impl AsRef<Path>) -> Result<()> {
    let html = html.as_ref();
    let (html, to) = (html.canonicalize().map_err(Error::io(html, "reading"))?, pdf.as_ref());
    let what = to.display().to_string();
    let limit = limit()?;
    let browser = find().ok_or_else(|| {
        Error::argument(
            what.as_str(),
            "an installed Chromium to write it with (as by `apt-get install chromium`), or GLISTEN_CHROMIUM with its path",
            "none; an HTML file needs none",
        )
    })?;
    // Written beside its place first: whoever reads it sees a whole file.
    let beside = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = tempfile::tempdir_in(beside).map_err(Error::io(to, "writing"))?;
    let part = std::path::absolute(folder.path().join("part.pdf")).map_err(Error::io(to, "writing"))?;
    // A profile of its own, since a Chromium at work would take the call for one of its windows.
    let profile = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir(), "making a folder in it"))?;
    let mut said = tempfile::tempfile().map_err(Error::io(&std::env::temp_dir(), "making a file in it"))?;
    let child = Command::new(&browser)
        .args(["--headless", "--disable-gpu", "--no-first-run", "--disable-extensions"])
        .args(["--disable-breakpad", "--disable-background-networking", "--disable-component-update"])
        .args(["--disable-sync", "--disable-default-apps", "--no-default-browser-check"])
        // A report asks for nothing. A page that does reaches nobody: no name resolves, and the proxy is not there.
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=socks5://127.0.0.1:9"])
        .arg("--proxy-bypass-list=<-loopback>")
        .args(is_root().then_some("--no-sandbox"))
        .arg("--no-pdf-header-footer")
        .arg(joined("--user-data-dir=", profile.path()))
        .arg(joined("--print-to-pdf=", &part))
        .arg(address(&html)?)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.try_clone().map_err(Error::io(&browser, "starting"))?)
        // Its own group, so that all of it ends together.
        .process_group(0)
        .spawn()
        .map_err(Error::io(&browser, "starting"))?;
    let ended = Group(child).wait(limit).map_err(Error::io(&browser, "waiting for it"))?;
    interrupt::check()?;
    let expected = |what: &str| format!("{} to write it{what}", browser.display());
    let Some(status) = ended else {
        let within = expected(&format!(" within {} s (as {LIMIT_VARIABLE} says)", limit.as_secs_f64()));
        return Err(Error::argument(what, within, "nothing by then; it was ended"));
    };
    if !status.success() || !part.is_file() {
        let found = match status.signal() {
            Some(signal) => format!("an end by signal {signal}"),
            None => status.to_string(),
        };
        return Err(Error::argument(
            what,
            expected(""),
            format!("{found}, saying: {}", last_line(&mut said)),
        ));
    }
    std::fs::rename(&part, to).map_err(Error::io(to, "writing"))
}

/// A process with all that it has started, none of which outlives this.
struct Group(Child);

impl Group {
    /// How it ended; `None` if it had not by the limit, or a stop was asked for.
    fn wait(mut self, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
        let started = Instant::now();
        while !self.has_ended() {
            if started.elapsed() >= limit || interrupt::requested() {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Before it is waited for: until then nobody else can have the group's number.
        self.kill();
        self.0.wait().map(Some)
    }

    /// Whether the process itself has, without forgetting it.
    fn has_ended(&self) -> bool {
        // SAFETY: zeroes are a valid siginfo_t, which the call fills in or leaves alone.
        unsafe {
            let mut about: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            libc::waitid(libc::P_PID, self.0.id(), &mut about, options) != 0 || about.si_pid() != 0
        }
    }

    fn kill(&self) {
        // SAFETY: the group is the one that was made for this process, which has not been waited for yet.
        unsafe { libc::kill(-(self.0.id() as libc::pid_t), libc::SIGKILL) };
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // After a `wait` that came to its end this finds it gone, and its number not used again so soon.
        if let Ok(None) = self.0.try_wait() {
            self.kill();
            let _ = self.0.wait();
        }
    }
}

fn limit() -> Result<Duration> {
    let Some(text) = std::env::var_os(LIMIT_VARIABLE) else { return Ok(LIMIT) };
    let secs = text.to_str().and_then(|text| text.trim().parse::<f64>().ok());
    let limit = secs.filter(|secs| *secs > 0.0).and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    limit.ok_or_else(|| Error::argument(LIMIT_VARIABLE, "a number of seconds above 0", format!("{text:?}")))
}

/// `file:///…` with what addresses give a meaning to (`#`, `?`, `%`) escaped.
fn address(html: &Path) -> Result<String> {
    let address = reqwest::Url::from_file_path(html);
    address
        .map(String::from)
        .map_err(|()| Error::argument("HTML file", "an absolute path", html.display().to_string()))
}

/// The last line that says something.
fn last_line(said: &mut File) -> String {
    let mut bytes = Vec::new();
    let length = said.metadata().map_or(0, |about| about.len());
    let _ = said.seek(SeekFrom::Start(length.saturating_sub(SAID)));
    let _ = said.take(SAID).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned()
}

/// `GLISTEN_CHROMIUM`, else the first of [`NAMES`] on the `PATH`.
fn find() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("GLISTEN_CHROMIUM") {
        return Some(PathBuf::from(given));
    }
    NAMES.iter().find_map(|name| program::find(name))
}

/// Chromium's sandbox refuses to work for root, as in most containers. The page is our own and holds no foreign script.
fn is_root() -> bool {
    // SAFETY: `geteuid` has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut text = OsString::from(option);
    text.push(path);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_files_are_escaped() {
        for (path, expected) in [
            ("/a/b.html", "file:///a/b.html"),
            ("/a#b/c?d/50 %.html", "file:///a%23b/c%3Fd/50%20%25.html"),
            ("/ü/%23.html", "file:///%C3%BC/%2523.html"),
        ] {
            assert_eq!(address(Path::new(path)).unwrap(), expected);
        }
    }
}
