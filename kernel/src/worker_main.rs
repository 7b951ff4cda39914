//! `glisten-kernel worker`: the process that loads the prelude and runs the libraries that cells become.

use std::ffi::{CString, c_char, c_int};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;

use anyhow::Context;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};
use serde_json::{Value, json};

use crate::calls::CALLS;
use crate::worker::REPLIES;

/// Serves requests until the kernel closes the pipe.
///
/// # Errors
/// If the prelude cannot be loaded.
pub(crate) fn serve(prelude: &Path) -> anyhow::Result<()> {
    let descriptor =
        |name| std::env::var(name).ok().and_then(|fd| fd.parse().ok()).context("started by hand");
    let (fd, calls): (c_int, c_int) = (descriptor(REPLIES)?, descriptor(CALLS)?);
    let requests = requests_from_stdin()?;
    // SAFETY: the kernel has opened these descriptors for us; no other thread runs yet.
    let mut replies = unsafe {
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        std::env::remove_var(REPLIES);
        std::env::remove_var(CALLS);
        File::from_raw_fd(fd)
    };
    let prelude = open(prelude)?;
    // SAFETY: the prelude exports these with these signatures: see `kernel/prelude/src/rt.rs`.
    let forget = unsafe {
        let start: Symbol<unsafe extern "C" fn(c_int, c_int, c_int)> =
            prelude.get(b"glisten_prelude_start")?;
        start(requests.as_raw_fd(), fd, calls);
        // Programs that a cell starts must not find our libraries before their own. Not earlier: the prelude looks for
        // CUDA along this path. The only other thread, which flushes, does not read the environment.
        std::env::remove_var("LD_LIBRARY_PATH");
        prelude.get::<unsafe extern "C" fn(*const c_char)>(b"glisten_prelude_forget")?
    };
    while let Some(text) = read_line(&requests)? {
        let request: Value = serde_json::from_str(&text)?;
        match request["op"].as_str() {
            Some("run") => {
                let stage = run(&request).unwrap_or_else(|error| {
                    let message = json!({"type": "error", "ename": "LoadError", "evalue": format!("{error:#}"),
                        "traceback": [format!("\x1b[1;31mLoadError\x1b[0m: {error:#}")]});
                    let _ = writeln!(replies, "{message}");
                    None
                });
                writeln!(replies, "{}", json!({"type": "done", "stage": stage}))?;
            }
            Some("forget") => {
                for name in request["names"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    let name = CString::new(name)?;
                    // SAFETY: the name ends with a zero and is not kept.
                    unsafe { forget(name.as_ptr()) };
                }
            }
            // An answer that comes after its cell has given up waiting.
            _ => {}
        }
    }
    Ok(())
}

/// A line, read byte by byte: what follows it may be the answer that the cell itself will read from this pipe.
fn read_line(mut requests: &File) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match requests.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) if byte[0] == b'\n' => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Loads a cell and calls it; the stage that failed, if one did. The library stays: variables may hold its code, as destructors or trait objects.
fn run(request: &Value) -> anyhow::Result<Option<usize>> {
    let path = request["library"].as_str().context("no library named")?;
    let symbol = request["symbol"].as_str().context("no symbol named")?;
    for needed in request["needs"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        // It is found by its name from now on. Once is enough; again does nothing.
        std::mem::forget(open(Path::new(needed))?);
    }
    let library = std::mem::ManuallyDrop::new(open(Path::new(path))?);
    // SAFETY: code generation gives this function this signature.
    let status = unsafe {
        let cell: Symbol<extern "C" fn() -> c_int> = library.get(symbol.as_bytes())?;
        cell()
    };
    // 0 for a cell that ran to its end, else the stage counted from 1.
    Ok(usize::try_from(status).ok().and_then(|status| status.checked_sub(1)))
}

fn open(path: &Path) -> anyhow::Result<Library> {
    // SAFETY: loading runs initialisers of libraries that we or the user's own cells have made.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.map_err(anyhow::Error::from)
}

/// Takes the request pipe off standard input, which reads as empty from now on.
fn requests_from_stdin() -> anyhow::Result<File> {
    let null = File::open("/dev/null")?;
    // SAFETY: both descriptors are open; the new one is ours.
    unsafe {
        let fd = libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 10);
        anyhow::ensure!(fd >= 0, "standard input is closed");
        libc::dup2(null.as_raw_fd(), 0);
        Ok(File::from_raw_fd(fd))
    }
}
