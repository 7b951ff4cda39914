//! What must be on the machine before anything long starts, each with its remedy in a sentence.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// The lowest Rust that Glisten builds with.
const RUST: (u32, u32) = (1, 95);
/// The lowest Python that the pinned packages run on.
const PYTHON: (u32, u32) = (3, 11);

/// Checks the compilers and Python.
///
/// # Errors
/// If one is missing or too old. All that is missing is in one message.
pub(crate) fn check_tools() -> Result<()> {
    let problems: Vec<String> = [check_rust(), cxx_compiler().map(drop), check_python()]
        .into_iter()
        .filter_map(|checked| checked.err().map(|error| format!("{error:#}")))
        .collect();
    process::check_interrupt()?;
    if !problems.is_empty() {
        bail!("this machine lacks something:\n  - {}", problems.join("\n  - "));
    }
    Ok(())
}

/// Checks that the file system of `folder`, which need not exist yet, has `needed` bytes free.
///
/// # Errors
/// If not, with the bytes needed and found.
pub(crate) fn check_disk(folder: &Path, needed: u64, purpose: &str) -> Result<()> {
    let Some(there) = folder.ancestors().find(|f| f.is_dir()) else { return Ok(()) };
    let free = free_bytes(there)?;
    if free < needed {
        bail!(
            "{purpose} needs {:.1} GB in {}, which has {:.1} GB free: free some space, or set \
             CARGO_TARGET_DIR (builds) or XDG_CACHE_HOME (libtorch) to a larger disk",
            needed as f64 / 1e9,
            there.display(),
            free as f64 / 1e9,
        );
    }
    Ok(())
}

fn free_bytes(folder: &Path) -> Result<u64> {
    let name = CString::new(folder.as_os_str().as_bytes()).context("a path with a zero byte")?;
    // SAFETY: `name` is a C string, and a zeroed `statvfs` is valid for the system to fill.
    unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        if libc::statvfs(name.as_ptr(), &raw mut stat) != 0 {
            let error = std::io::Error::last_os_error();
            bail!("cannot ask for the free space of {}: {error}", folder.display());
        }
        Ok(stat.f_bavail * stat.f_frsize)
    }
}

fn check_rust() -> Result<()> {
    let remedy = "install it with `rustup toolchain install stable`";
    let text = process::output(Command::new("rustc").arg("--version"));
    let text = text.with_context(|| format!("no rustc: {remedy}"))?;
    let found = text.split_whitespace().nth(1).unwrap_or_default();
    match major_minor(found) {
        Some(version) if version >= RUST => Ok(()),
        _ => bail!("rustc {found} is too old, {}.{} or newer is needed: {remedy}", RUST.0, RUST.1),
    }
}

/// The C++ compiler: `CXX`, or the first of g++, c++, clang++.
///
/// # Errors
/// If there is none.
pub(crate) fn cxx_compiler() -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os("CXX").filter(|v| !v.is_empty()) {
        let found =
            if Path::new(&chosen).components().count() > 1 { Some(PathBuf::from(&chosen)) } else { None };
        return found
            .filter(|path| path.is_file())
            .or_else(|| process::find_program(&[&chosen]))
            .with_context(|| format!("CXX names {}, which is not there", Path::new(&chosen).display()));
    }
    process::find_program(&["g++", "c++", "clang++"])
        .context("no C++ compiler: install one (Debian: `apt-get install g++`), or name it in CXX")
}

fn check_python() -> Result<()> {
    const PROBE: &str = "import sys, importlib.util as u\n\
        print('%d.%d' % sys.version_info[:2], *[m for m in ('pip', 'venv', 'ensurepip') if not u.find_spec(m)])";
    let text = process::output(Command::new("python3").args(["-c", PROBE]));
    let text =
        text.context("no python3: install it (Debian: `apt-get install python3 python3-pip python3-venv`)")?;
    let mut words = text.split_whitespace();
    let found = words.next().unwrap_or_default();
    if major_minor(found).is_none_or(|version| version < PYTHON) {
        bail!("python3 is {found}, {}.{} or newer is needed", PYTHON.0, PYTHON.1);
    }
    let missing: Vec<&str> = words.collect();
    if !missing.is_empty() {
        let missing = missing.join(" and ");
        bail!("python3 lacks {missing}: install them (Debian: `apt-get install python3-pip python3-venv`)");
    }
    Ok(())
}

/// The first two numbers of a version.
pub(crate) fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
