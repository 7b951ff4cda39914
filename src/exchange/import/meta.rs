//! `meta.yaml` of MLflow's file store: a flat mapping of names to scalars.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use yaml_rust2::Event;
use yaml_rust2::parser::Parser;
use yaml_rust2::scanner::TScalarStyle;

use super::folder::Folder;
use crate::error::{Error, Result};
use crate::track::{KNOWN_TIMES, utc};

/// Bytes that a `meta.yaml` may have; MLflow's own have some hundred.
const LONGEST: u64 = 1 << 20;

/// A `meta.yaml` that was read.
pub(super) struct Meta {
    path: PathBuf,
    entries: BTreeMap<String, Scalar>,
}

/// A value as it stands in the file: what kind of value it is, the reader knows better than YAML does, to which a run
/// named `0089` is a number.
struct Scalar {
    text: String,
    is_null: bool,
    line: usize,
}

impl Meta {
    /// The `meta.yaml` in `folder`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::BadFile`] if it is no mapping in YAML.
    pub(super) fn read(folder: &Folder) -> Result<Self> {
        let bytes = folder.read("meta.yaml", LONGEST)?;
        let path = &folder.path().join("meta.yaml");
        let text = String::from_utf8(bytes).map_err(|error| {
            let found = format!("byte {} that is not", error.utf8_error().valid_up_to());
            Error::bad_file(path, "text in UTF-8", found)
        })?;
        let entries = entries(&text).map_err(|(line, found)| {
            Error::bad_file(path, format!("MLflow's 'name: value' in YAML in line {line}"), found)
        })?;
        Ok(Self { path: path.clone(), entries })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The text at `key`; `None` where there is none, or null.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.entries.get(key).filter(|scalar| !scalar.is_null).map(|scalar| scalar.text.as_str())
    }

    /// The text at `key`, which has to be there.
    ///
    /// # Errors
    /// [`Error::BadFile`] if it is not.
    pub(super) fn required(&self, key: &str) -> Result<&str> {
        self.text(key).ok_or_else(|| {
            let keys: Vec<&String> = self.entries.keys().collect();
            Error::bad_file(&self.path, format!("a value for '{key}'"), crate::error::listing(&keys))
        })
    }

    /// The whole number at `key`.
    ///
    /// # Errors
    /// [`Error::BadFile`] for anything else there.
    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>> {
        let Some(scalar) = self.entries.get(key).filter(|scalar| !scalar.is_null) else { return Ok(None) };
        scalar.text.parse().map(Some).map_err(|_| {
            let expected = format!("a whole number for '{key}' in line {}", scalar.line);
            Error::bad_file(&self.path, expected, format!("{:?}", scalar.text))
        })
    }

    /// The time at `key`, in milliseconds since 1970.
    ///
    /// # Errors
    /// As [`Meta::integer`]; for a time that no calendar has, too.
    pub(super) fn time(&self, key: &str) -> Result<Option<i64>> {
        let time_ms = self.integer(key)?;
        if let Some(time_ms) = time_ms.filter(|&time_ms| utc(time_ms).is_none()) {
            let line = self.entries.get(key).map_or(0, |scalar| scalar.line);
            let expected = format!("{KNOWN_TIMES} for '{key}' in line {line}");
            return Err(Error::bad_file(&self.path, expected, time_ms.to_string()));
        }
        Ok(time_ms)
    }
}

/// The scalars of the outermost mapping; what is nested is passed over. Else the line and what is wrong there.
fn entries(text: &str) -> Result<BTreeMap<String, Scalar>, (usize, String)> {
    let mut parser = Parser::new_from_str(text);
    let mut entries = BTreeMap::new();
    let mut depth = 0_usize;
    let mut key: Option<String> = None;
    loop {
        let (event, mark) =
            parser.next_token().map_err(|error| (error.marker().line(), error.info().to_owned()))?;
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if depth == 0 && matches!(event, Event::SequenceStart(..)) {
                    return Err((mark.line(), "a list".to_owned()));
                }
                depth += 1;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth = depth.saturating_sub(1);
                if depth == 1 {
                    key = None;
                }
            }
            Event::Scalar(text, style, ..) if depth == 1 => match key.take() {
                None => key = Some(text),
                Some(key) => {
                    let is_plain = style == TScalarStyle::Plain;
                    let is_null = is_plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
                    entries.insert(key, Scalar { text, is_null, line: mark.line() });
                }
            },
            Event::Scalar(text, ..) if depth == 0 => {
                return Err((mark.line(), format!("{:?}", text.chars().take(40).collect::<String>())));
            }
            Event::Alias(_) if depth == 1 => key = None,
            Event::StreamEnd => return Ok(entries),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Meta> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meta.yaml");
        std::fs::write(&path, text).unwrap();
        Meta::read(&Folder::open(folder.path()).unwrap())
    }

    /// As PyYAML's `safe_dump` writes them for MLflow: a name that looks like a number of YAML 1.2 is not quoted.
    #[test]
    fn values_are_read_as_texts_and_whole_numbers() {
        let meta = read(
            "end_time: null\nrun_id: 1234e56789\nrun_name: 0089\nnote: \"\\U0001F980 it's\"\nstatus: 3\ntags: []\nother: {a: 1}\nuser: 'null'\n",
        )
        .unwrap();
        assert_eq!(meta.text("run_id"), Some("1234e56789"));
        assert_eq!(meta.text("run_name"), Some("0089"));
        assert_eq!(meta.text("note"), Some("🦀 it's"));
        assert_eq!((meta.text("end_time"), meta.text("user"), meta.text("tags")), (None, Some("null"), None));
        assert_eq!((meta.integer("status").unwrap(), meta.integer("end_time").unwrap()), (Some(3), None));
        assert_eq!(meta.integer("run_name").unwrap(), Some(89), "whoever asks for a number gets one");
        let message = meta.integer("run_id").unwrap_err().to_string();
        assert!(message.contains("a whole number for 'run_id' in line 2"), "{message}");
        let message = meta.required("name").unwrap_err().to_string();
        assert!(message.contains("a value for 'name'") && message.contains("run_id"), "{message}");
    }

    #[test]
    fn what_is_no_mapping_is_said_with_its_line() {
        for (text, expected) in [
            ("a: 1\nb: [1, 2\nc: 3\n", "line "),
            ("- a\n- b\n", "line 1"),
            ("plain\n", "line 1"),
            ("a: 1\n\tb: 2\n", "line 1"),
        ] {
            let message = read(text).map(|_| "read").unwrap_err().to_string();
            assert!(message.contains("meta.yaml") && message.contains(expected), "{text:?}: {message}");
        }
        assert!(read("").unwrap().text("a").is_none());
        let deep = format!("a: {}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let _ = read(&deep);
    }
}
