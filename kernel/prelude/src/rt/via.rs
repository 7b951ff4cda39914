//! How a value of any type is shown without the compiler having to be asked twice: method calls on references to
//! references, of which the first that exists is taken (autoref specialisation, D. Tolnay, 2019).

use std::error::Error;
use std::fmt::{self, Debug, Display, Write as _};

use super::CellError;
use crate::show::{MimeBundle, Show};

/// Around the value of a last expression: a `Result` yields its value or ends the cell, anything else itself.
pub struct Peel<'a, T: ?Sized>(pub &'a T);

/// Around a value that is to be shown.
pub struct Via<'a, T: ?Sized>(pub &'a T);

/// More text than this is cut: it would only stall the front end.
const MAX_TEXT: usize = 256 * 1024;

/// A `Result` with an error that is one.
pub trait PeelError<'a, T> {
    /// The value, or the cell's error.
    ///
    /// # Errors
    /// The one in the `Result`.
    fn peel(&self) -> Result<&'a T, CellError>;
}

impl<'a, T, E: Error + 'static> PeelError<'a, T> for &&&Peel<'a, Result<T, E>> {
    fn peel(&self) -> Result<&'a T, CellError> {
        self.0.as_ref().map_err(|error| CellError::new(std::any::type_name::<E>(), error))
    }
}

/// A `Result` with an error that can be read, as a boxed one.
pub trait PeelDisplay<'a, T> {
    /// The value, or the cell's error.
    ///
    /// # Errors
    /// The one in the `Result`.
    fn peel(&self) -> Result<&'a T, CellError>;
}

impl<'a, T, E: Display> PeelDisplay<'a, T> for &&Peel<'a, Result<T, E>> {
    fn peel(&self) -> Result<&'a T, CellError> {
        self.0.as_ref().map_err(|error| CellError::of_text(std::any::type_name::<E>(), format!("{error:#}")))
    }
}

/// A `Result` with an error that can only be debugged.
pub trait PeelDebug<'a, T> {
    /// The value, or the cell's error.
    ///
    /// # Errors
    /// The one in the `Result`.
    fn peel(&self) -> Result<&'a T, CellError>;
}

impl<'a, T, E: Debug> PeelDebug<'a, T> for &Peel<'a, Result<T, E>> {
    fn peel(&self) -> Result<&'a T, CellError> {
        self.0.as_ref().map_err(|error| CellError::of_text(std::any::type_name::<E>(), format!("{error:?}")))
    }
}

/// Any other value.
pub trait PeelNothing<'a, T: ?Sized> {
    /// The value itself.
    ///
    /// # Errors
    /// None.
    fn peel(&self) -> Result<&'a T, CellError>;
}

impl<'a, T: ?Sized> PeelNothing<'a, T> for Peel<'a, T> {
    fn peel(&self) -> Result<&'a T, CellError> {
        Ok(self.0)
    }
}

/// A value with a display of its own.
pub trait ViaShow {
    /// Tells the kernel the result.
    fn show_result(&self);
}

impl<T: Show + ?Sized> ViaShow for &&Via<'_, T> {
    fn show_result(&self) {
        super::result(&self.0.mime_bundle());
    }
}

/// A value with `Debug`.
pub trait ViaDebug {
    /// Tells the kernel the result.
    fn show_result(&self);
}

impl<T: Debug + ?Sized> ViaDebug for &Via<'_, T> {
    fn show_result(&self) {
        show_debug(&self.0);
    }
}

/// A value that only has a type.
pub trait ViaType {
    /// Tells the kernel the result.
    fn show_result(&self);
}

impl<T: ?Sized> ViaType for Via<'_, T> {
    fn show_result(&self) {
        show_type(std::any::type_name::<T>());
    }
}

// Not generic, so that cells need not compile them.

fn show_debug(value: &dyn Debug) {
    super::result(&MimeBundle::text(debug_text(value)));
}

fn show_type(name: &str) {
    super::result(&MimeBundle::text(format!("a value of type {name} (no Debug)")));
}

/// `{value:?}`, cut at [`MAX_TEXT`].
pub(crate) fn debug_text(value: &(impl Debug + ?Sized)) -> String {
    let mut capped = Capped { text: String::new(), limit: MAX_TEXT };
    if write!(capped, "{value:?}").is_err() {
        capped.text.push_str(" … (cut)");
    }
    capped.text
}

/// Takes text up to a limit, then refuses, which ends the formatting early.
struct Capped {
    text: String,
    limit: usize,
}

impl fmt::Write for Capped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.text.len() + text.len() > self.limit {
            let room = text.floor_char_boundary(self.limit.saturating_sub(self.text.len()));
            self.text.push_str(&text[..room]);
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bare;

    #[test]
    #[allow(clippy::needless_borrow)]
    fn each_kind_of_value_finds_its_way() {
        let fine: Result<u8, std::fmt::Error> = Ok(1);
        assert_eq!(*(&&&&Peel(&fine)).peel().unwrap(), 1);
        let failed: Result<u8, String> = Err("no".to_owned());
        assert!((&&&&Peel(&failed)).peel().is_err());
        let failed: Result<u8, Vec<u8>> = Err(vec![1]);
        assert!((&&&&Peel(&failed)).peel().is_err());
        assert!((&&&&Peel(&Bare)).peel().is_ok());
        assert!((&&&&Peel(&Err::<u8, Bare>(Bare))).peel().is_ok());
        (&&&Via(&Bare)).show_result();
        (&&&Via(&1)).show_result();
        (&&&Via(&())).show_result();
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(debug_text(&[1, 2]), "[1, 2]");
        let text = debug_text(&vec!["ä"; MAX_TEXT]);
        assert!(text.len() < MAX_TEXT + 20 && text.ends_with("(cut)"));
    }
}
