//! The one way to a terminal for the commands' messages: what steers a terminal is escaped here, whoever wrote the text (a
//! run's name, a server's answer, a file's path). `println!` and its like are refused in the commands by clippy.
//!
//! What a command draws by itself, in colour, is made of pieces that are escaped one by one: see [`drawn`].

use std::io::{self, Write};

use super::text::printable_lines;

/// A message on standard output, as `println!` takes it.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::print::line(&format!($($text)*)) };
}

/// A message on standard error, as `eprintln!` takes it.
macro_rules! say_aside {
    ($($text:tt)*) => { $crate::cli::print::aside(&format!($($text)*)) };
}

/// A message on standard output.
pub(super) fn line(text: &str) {
    drawn(&printable_lines(text));
}

/// A line on standard output that holds colours of ours: everything else in it has to be `printable`.
pub(super) fn drawn(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        aside(&format!("error: standard output: {error}"));
        std::process::exit(1);
    }
}

/// A message on standard error. Where that is closed there is nobody to tell.
pub(super) fn aside(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable_lines(text));
}

/// What a command ended with.
pub(super) fn error(error: &anyhow::Error) {
    let mark = console::style("error:").for_stderr().red().bold();
    let _ = writeln!(io::stderr().lock(), "{mark} {}", printable_lines(&error.to_string()));
}
