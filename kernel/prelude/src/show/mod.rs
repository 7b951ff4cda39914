//! How values show in a notebook. Types without a [`Show`] of their own show as their `Debug`.

mod frame;
mod images;
mod report;
mod study;
mod table;
mod tensor;

use serde_json::{Map, Value};

pub(crate) use report::drawing;

/// A value's representations by MIME type; a front end takes the richest that it knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MimeBundle(Map<String, Value>);

impl MimeBundle {
    /// Plain text, which every bundle should have.
    pub fn text(text: impl Into<String>) -> Self {
        Self::default().with("text/plain", text)
    }

    /// Adds HTML. Whoever makes it escapes what is not theirs: see [`escape`].
    #[must_use]
    pub fn html(self, html: impl Into<String>) -> Self {
        self.with("text/html", html)
    }

    /// Adds a representation.
    #[must_use]
    pub fn with(mut self, mime_type: &str, data: impl Into<String>) -> Self {
        self.0.insert(mime_type.to_owned(), Value::String(data.into()));
        self
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_json(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// A value with a display of its own.
pub trait Show {
    /// Its representations.
    fn mime_bundle(&self) -> MimeBundle;
}

/// `text` with everything escaped that HTML gives a meaning, in content and in quoted attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

impl<T: Show + ?Sized> Show for &T {
    fn mime_bundle(&self) -> MimeBundle {
        (**self).mime_bundle()
    }
}

impl<T: Show + ?Sized> Show for &mut T {
    fn mime_bundle(&self) -> MimeBundle {
        (**self).mime_bundle()
    }
}

impl<T: Show + ?Sized> Show for Box<T> {
    fn mime_bundle(&self) -> MimeBundle {
        (**self).mime_bundle()
    }
}

/// Statements have no value: nothing is shown.
impl Show for () {
    fn mime_bundle(&self) -> MimeBundle {
        MimeBundle::default()
    }
}

/// What `display` is given ready-made.
impl Show for MimeBundle {
    fn mime_bundle(&self) -> MimeBundle {
        self.clone()
    }
}

/// For `display("…")`; the value of a last expression shows with quotes, as Rust would write it.
impl Show for str {
    fn mime_bundle(&self) -> MimeBundle {
        MimeBundle::text(crate::rt::via::debug_text(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_html() {
        assert_eq!(escape(r#"<a b="c">&'"#), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
    }
}
