//! What only a browser can do: a report printed to PDF, a chart as pixels. Any installed Chromium will do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// What Chromium may be called.
const NAMES: [&str; 5] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/// Prints an HTML file to a PDF file by the Chromium that `GLISTEN_CHROMIUM` names, else one on the `PATH`.
///
/// # Errors
/// [`Error::Argument`] if there is no Chromium or it does not print; [`Error::Io`] if a file cannot be read or written.
pub fn print_to_pdf(html: impl AsRef<Path>, pdf: impl AsRef<Path>) -> Result<()> {
    let html = html.as_ref();
    let html = html.canonicalize().map_err(Error::io(html, "reading"))?;
    write_by_browser(
        &html,
        pdf.as_ref(),
        ("--print-to-pdf=", "part.pdf"),
        &["--no-pdf-header-footer".to_owned()],
    )
}

/// Draws a chart of `size` to a PNG file, light, with two pixels for each unit of the drawing.
///
/// # Errors
/// As [`print_to_pdf`].
pub(crate) fn picture(svg: &str, size: (f64, f64), png: &Path) -> Result<()> {
    let folder = tempfile::tempdir().map_err(Error::io(png, "making room for"))?;
    let page = folder.path().join("chart.html");
    let html = format!(
        "<!doctype html><meta charset=\"utf-8\"><style>body{{margin:0}}svg{{display:block}}</style>{svg}"
    );
    std::fs::write(&page, html).map_err(Error::io(&page, "writing"))?;
    let window = format!("--window-size={},{}", size.0.ceil(), size.1.ceil());
    let options = [window, "--force-device-scale-factor=2".to_owned(), "--hide-scrollbars".to_owned()];
    write_by_browser(&page, png, ("--screenshot=", "part.png"), &options)
}

/// Opens `page` and has the browser write `to`, whole or not at all. What it writes it knows by the end of a file's name.
fn write_by_browser(page: &Path, to: &Path, (task, name): (&str, &str), options: &[String]) -> Result<()> {
    let what = to.display().to_string();
    let browser = find().ok_or_else(|| {
        Error::argument(
            what.as_str(),
            "an installed Chromium to write it with (as by `apt-get install chromium`), or GLISTEN_CHROMIUM with its path",
            "none; HTML and SVG files need none",
        )
    })?;
    // Written beside its place first: whoever reads it sees a whole file. And a profile of its own, since a Chromium at work
    // would take the call for one of its windows.
    let beside = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = tempfile::tempdir_in(beside).map_err(Error::io(to, "writing"))?;
    let part = std::path::absolute(folder.path().join(name)).map_err(Error::io(to, "writing"))?;
    let output = Command::new(&browser)
        .args(["--headless", "--disable-gpu", "--no-first-run", "--disable-extensions"])
        .args(is_root().then_some("--no-sandbox"))
        .args(options)
        .arg(joined("--user-data-dir=", &folder.path().join("profile")))
        .arg(joined(task, &part))
        .arg(joined("file://", page))
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
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
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
