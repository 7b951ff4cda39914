//! The runtime of cells: the store that holds variables between them, how a cell begins and ends, and its line to the
//! kernel. Generated code calls most of this; [`display`], [`update_display`], [`clear_output`] and [`input`] are for users.

mod error;
mod link;
mod store;
pub mod via;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

pub use error::CellError;
pub use link::{clear_output, display, input, input_password, update_display};
pub use store::{own, put, take};
pub use via::{Peel, Via};

use crate::show::MimeBundle;

thread_local! {
    static RUNS_CELL: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

static RUNNING: AtomicBool = AtomicBool::new(false);

/// What the panic hook saw.
struct Panic {
    message: String,
    file: String,
    line: u32,
    column: u32,
}

/// Runs a stage of a cell to its end, between [`begin`] and [`finish`]. `None` if it failed: the kernel has then been told why,
/// and the cell is at its end.
///
/// Compiled anew in every cell, so all that does not depend on `R` is elsewhere.
pub fn stage<R>(stage: impl FnOnce() -> Result<R, CellError>) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(stage)) {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            end(Some(Failed::Error(error)));
            None
        }
        Err(payload) => {
            end(Some(Failed::Panic(payload)));
            None
        }
    }
}

enum Failed {
    Error(CellError),
    Panic(Box<dyn Any + Send>),
}

/// A cell begins.
pub fn begin() {
    glisten::interrupt::clear();
    crate::progress::cell_begins();
    RUNNING.store(true, Ordering::Relaxed);
    RUNS_CELL.set(true);
}

/// A cell has run to its end.
pub fn finish() {
    end(None);
}

fn end(failed: Option<Failed>) {
    RUNS_CELL.set(false);
    RUNNING.store(false, Ordering::Relaxed);
    flush();
    crate::progress::cell_ends(failed.is_some());
    match failed {
        None => {}
        Some(Failed::Error(error)) => link::send(&error.message()),
        Some(Failed::Panic(payload)) => {
            let panic = PANIC.take();
            link::send(&panic.map_or_else(|| silent_panic(payload.as_ref()), Panic::into_message));
        }
    }
}

/// Tells the kernel the value of the cell's last expression.
pub(crate) fn result(bundle: &MimeBundle) {
    if !bundle.is_empty() {
        flush();
        link::send(&json!({"type": "result", "data": bundle.as_json()}));
    }
}

/// Called once by the worker: `requests` and `replies` are its pipes to the kernel, and `calls` a file of four bytes in which
/// the kernel looks up how many of Glisten's calls are in progress. It is closed.
#[unsafe(no_mangle)]
pub extern "C" fn glisten_prelude_start(requests: i32, replies: i32, calls: i32) {
    link::open(requests, replies);
    count_calls_in(calls);
    // SAFETY: the handler only stores to an atomic. Without SA_RESTART a read that waits is woken by the signal.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_interrupt as *const () as usize;
        libc::sigaction(libc::SIGINT, &raw const action, std::ptr::null_mut());
    }
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if RUNS_CELL.get() {
            let place = info.location();
            PANIC.set(Some(Panic {
                message: info.payload_as_str().unwrap_or("a value that is no text").to_owned(),
                file: place.map(|place| place.file().to_owned()).unwrap_or_default(),
                line: place.map_or(0, std::panic::Location::line),
                column: place.map_or(0, std::panic::Location::column),
            }));
        } else {
            default(info);
        }
    }));
    glisten::device::open_cuda();
    crate::progress::listen();
    std::thread::spawn(|| {
        // `print!` without a line end waits in a buffer: this is what makes it arrive.
        loop {
            let running = RUNNING.load(Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(if running { 50 } else { 250 }));
            let _ = std::io::Write::flush(&mut std::io::stdout());
        }
    });
}

/// Drops the variable of that name, if there is one.
///
/// # Safety
/// `name` ends with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glisten_prelude_forget(name: *const libc::c_char) {
    // SAFETY: as the caller promises.
    let name = unsafe { std::ffi::CStr::from_ptr(name) }.to_string_lossy();
    // A destructor that panics must not end the worker.
    let _ = catch_unwind(|| store::forget(&name));
}

/// Has Glisten count its calls where the kernel sees the number.
fn count_calls_in(file: i32) {
    const SIZE: usize = size_of::<AtomicU32>();
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a mapping that cannot be made is an error that is looked at; one that can is never undone, and holds zeros,
    // aligned to a page.
    unsafe {
        let page = libc::mmap(std::ptr::null_mut(), SIZE, protection, flags, file, 0);
        if page != libc::MAP_FAILED {
            glisten::interrupt::count_calls_in(&*page.cast::<AtomicU32>());
        }
        libc::close(file);
    }
}

extern "C" fn on_interrupt(_: libc::c_int) {
    glisten::interrupt::request();
}

/// Sends on what Rust's and C's own buffers still hold.
fn flush() {
    let _ = std::io::Write::flush(&mut std::io::stdout());
    // SAFETY: a null pointer means all streams.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

impl Panic {
    fn into_message(self) -> Value {
        let Self { message, file, line, column } = self;
        let mut traceback = vec![format!("\x1b[1;31mpanicked\x1b[0m: {message}")];
        if file.ends_with("cell.rs") {
            // The kernel knows which line of the user's this is.
            return json!({"type": "error", "ename": "panic", "evalue": message, "traceback": traceback,
                "line": line, "column": column});
        }
        let short = file
            .rsplit_once("/registry/src/")
            .and_then(|(_, path)| path.split_once('/'))
            .map(|(_, path)| path);
        traceback.push(format!("at {}:{line}:{column}", short.unwrap_or(&file)));
        json!({"type": "error", "ename": "panic", "evalue": message, "traceback": traceback})
    }
}

/// A panic that went past the hook, as `resume_unwind` does.
fn silent_panic(payload: &(dyn Any + Send)) -> Value {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let message = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("the cell panicked");
    json!({"type": "error", "ename": "panic", "evalue": message,
        "traceback": [format!("\x1b[1;31mpanicked\x1b[0m: {message}")]})
}
