//! What only a browser can do: a report printed to PDF. Any installed Chromium will do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::program;

/// What Chromium may be called.
const NAMES: [&str; 5] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/// Prints an HTML file to a PDF file, whole or not at all, by the Chromium that `GLISTEN_CHROMIUM` names, else one on the `PATH`.
///
/// # Errors
/// [`Error::Argument`] if there is no Chromium or it does not print; [`Error::Io`] if a file cannot be read or written.
pub fn print_to_pdf(html: impl AsRef<Path>, pdf: impl AsRef<Path>) -> Result<()> {
    let html = html.as_ref();
    let (html, to) = (html.canonicalize().map_err(Error::io(html, "reading"))?, pdf.as_ref());
    let what = to.display().to_string();
    let browser = find().ok_or_else(|| {
        Error::argument(
            what.as_str(),
            "an installed Chromium to write it with (as by `apt-get install chromium`), or GLISTEN_CHROMIUM with its path",
            "none; an HTML file needs none",
        )
    })?;
    // Written beside its place first: whoever reads it sees a whole file. And a profile of its own, since a Chromium at work
    // would take the call for one of its windows.
    let beside = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = tempfile::tempdir_in(beside).map_err(Error::io(to, "writing"))?;
    let part = std::path::absolute(folder.path().join("part.pdf")).map_err(Error::io(to, "writing"))?;
    let output = Command::new(&browser)
        .args(["--headless", "--disable-gpu", "--no-first-run", "--disable-extensions"])
        .args(is_root().then_some("--no-sandbox"))
        .arg("--no-pdf-header-footer")
        .arg(joined("--user-data-dir=", &folder.path().join("profile")))
        .arg(joined("--print-to-pdf=", &part))
        .arg(joined("file://", &html))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .map_err(Error::io(&browser, "starting"))?;
    if !output.status.success() || !part.is_file() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned();
        let expected = format!("{} to write it", browser.display());
        return Err(Error::argument(what, expected, format!("{}, saying: {said}", output.status)));
    }
    std::fs::rename(&part, to).map_err(Error::io(to, "writing"))
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
