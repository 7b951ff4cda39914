//! The pipes to the kernel: lines of JSON, from any thread, while a cell runs and after.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::{Value, json};

use crate::show::Show;

static REPLIES: OnceLock<Mutex<ManuallyDrop<File>>> = OnceLock::new();
static REQUESTS: OnceLock<Mutex<ManuallyDrop<File>>> = OnceLock::new();

/// Remembers the pipes. They belong to the worker, which keeps them open as long as it lives.
pub(super) fn open(requests: i32, replies: i32) {
    for (place, fd) in [(&REQUESTS, requests), (&REPLIES, replies)] {
        // SAFETY: the descriptor is open; it is never closed through this file.
        let file = unsafe { File::from_raw_fd(fd) };
        let _ = place.set(Mutex::new(ManuallyDrop::new(file)));
    }
}

/// Sends one message. Outside a kernel it goes nowhere.
pub(crate) fn send(message: &Value) {
    if let Some(replies) = REPLIES.get() {
        let line = format!("{message}\n");
        let mut file = replies.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = file.write_all(line.as_bytes());
    }
}

/// Shows `value` now, while the cell runs.
pub fn display(value: &(impl Show + ?Sized)) {
    show(value, None, false);
}

/// Shows `value` in the place called `id`: the first time a new one, then again and again the same.
pub fn update_display(id: &str, value: &(impl Show + ?Sized)) {
    static PLACES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let known = places.iter().any(|place| place == id);
    if !known {
        places.push(id.to_owned());
    }
    show(value, Some(id), known);
}

pub(crate) fn show(value: &(impl Show + ?Sized), id: Option<&str>, update: bool) {
    let _ = std::io::stdout().flush();
    let data = value.mime_bundle();
    send(&json!({"type": "display", "data": data.as_json(), "metadata": {}, "id": id, "update": update}));
}

/// Clears what the cell has shown; with `wait` only when something new comes, so that nothing flickers.
pub fn clear_output(wait: bool) {
    let _ = std::io::stdout().flush();
    send(&json!({"type": "clear", "wait": wait}));
}

/// Asks the user for a line.
///
/// # Errors
/// If the front end cannot ask, or the user presses stop instead.
pub fn input(prompt: &str) -> std::io::Result<String> {
    ask(prompt, false)
}

/// Asks the user for a line that nobody is to read over their shoulder.
///
/// # Errors
/// As [`input`].
pub fn input_password(prompt: &str) -> std::io::Result<String> {
    ask(prompt, true)
}

fn ask(prompt: &str, password: bool) -> std::io::Result<String> {
    let _ = std::io::stdout().flush();
    send(&json!({"type": "ask", "prompt": prompt, "password": password}));
    let nobody =
        || std::io::Error::new(ErrorKind::Unsupported, "the front end does not let cells ask for input");
    let requests = REQUESTS.get().ok_or_else(nobody)?;
    let mut file = requests.lock().unwrap_or_else(PoisonError::into_inner);
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match file.read(&mut byte) {
            Ok(1) if byte[0] == b'\n' => break,
            Ok(1) => line.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                if glisten::interrupt::requested() {
                    return Err(std::io::Error::other(glisten::Error::Interrupted(
                        "while waiting for input".into(),
                    )));
                }
            }
            Ok(_) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) => return Err(error),
        }
    }
    let answer: Value = serde_json::from_slice(&line)?;
    answer["text"].as_str().map(str::to_owned).ok_or_else(nobody)
}
