//! The error that `?` ends a cell with.

use std::error::Error;

use serde_json::{Value, json};

/// What a cell failed with: made by `?` from any error, a string, or a boxed error.
#[derive(Debug)]
pub struct CellError {
    name: String,
    message: String,
    causes: Vec<String>,
}

impl<E: Into<Box<dyn Error>>> From<E> for CellError {
    fn from(error: E) -> Self {
        let boxed: Box<dyn Error> = error.into();
        Self::new(std::any::type_name::<E>(), boxed.as_ref())
    }
}

impl CellError {
    /// From an error that is only looked at; `name` is its type's.
    pub(crate) fn new(name: &str, error: &(dyn Error + 'static)) -> Self {
        let interrupted = matches!(error.downcast_ref(), Some(glisten::Error::Interrupted(_)));
        let name = if interrupted { "KeyboardInterrupt".to_owned() } else { short_name(name) };
        let message = error.to_string();
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many messages already end with that of their cause.
            if !message.contains(&text) && !causes.contains(&text) {
                causes.push(text);
            }
            source = cause.source();
        }
        Self { name, message, causes }
    }

    /// From something that is no error but stands for one.
    pub(crate) fn of_text(name: &str, message: String) -> Self {
        Self { name: short_name(name), message, causes: Vec::new() }
    }

    /// As the kernel is told.
    pub(super) fn message(&self) -> Value {
        let Self { name, message, causes } = self;
        let mut text = format!("\x1b[1;31m{name}\x1b[0m\x1b[31m: {message}");
        for cause in causes {
            text.push_str(&format!("\n  caused by: {cause}"));
        }
        text.push_str("\x1b[0m");
        json!({"type": "error", "ename": name, "evalue": message, "traceback": [text]})
    }
}

/// The name as one speaks of it: `glisten::Error` for `glisten::error::Error`, `std::ParseIntError` for
/// `core::num::error::ParseIntError`, `Mine` for what a cell defines.
fn short_name(name: &str) -> String {
    if name.starts_with('&') || name.contains("dyn ") || name.ends_with("string::String") {
        return "Error".to_owned();
    }
    let path = name.split('<').next().unwrap_or(name);
    let mut segments: Vec<&str> = path.split("::").filter(|segment| *segment != "error").collect();
    let last = segments.pop().unwrap_or(path);
    let package = match segments.first().copied() {
        None => return last.to_owned(),
        Some(package) if package.starts_with("cell_") => return last.to_owned(),
        Some("core" | "alloc") => "std",
        Some(package) => package,
    };
    match segments.get(1) {
        // `Error` alone says little: `std::io::Error`.
        Some(module) if last == "Error" => format!("{package}::{module}::{last}"),
        _ => format!("{package}::{last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(code: impl FnOnce() -> Result<(), CellError>) -> CellError {
        code().unwrap_err()
    }

    #[test]
    fn question_mark_takes_errors_strings_and_boxes() {
        let error = fails(|| {
            "x".parse::<u8>()?;
            Ok(())
        });
        assert_eq!(
            (error.name.as_str(), error.message.as_str()),
            ("std::ParseIntError", "invalid digit found in string")
        );
        assert_eq!(fails(|| Ok(Err("text")?)).name, "Error");
        assert_eq!(fails(|| Ok(Err(String::from("text"))?)).message, "text");
        assert_eq!(fails(|| Ok(Err(Box::<dyn Error>::from("boxed"))?)).message, "boxed");
    }

    #[test]
    fn names_are_short() {
        for (name, short) in [
            ("std::io::error::Error", "std::io::Error"),
            ("core::fmt::Error", "std::fmt::Error"),
            ("polars_error::PolarsError", "polars_error::PolarsError"),
            ("cell_3::Mine<u8>", "Mine"),
            ("alloc::boxed::Box<dyn core::error::Error>", "Error"),
        ] {
            assert_eq!(short_name(name), short);
        }
    }

    #[test]
    fn the_chain_is_told_once() {
        let io = std::io::Error::other("disk on fire");
        let error = glisten::Error::Io { path: "a".into(), doing: "reading", source: io };
        let error = CellError::from(error);
        assert_eq!(error.name, "glisten::Error");
        assert_eq!(error.message().to_string().matches("disk on fire").count(), 2, "evalue and traceback");
    }

    #[test]
    fn a_stopped_call_is_an_interrupt() {
        assert_eq!(CellError::from(glisten::Error::Interrupted(String::new())).name, "KeyboardInterrupt");
    }
}
