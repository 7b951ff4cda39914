//! rustc's diagnostics: read from JSON, told apart by where they point, and drawn on the user's own code.

use std::fmt::Write as _;

use serde::Deserialize;

use super::source::{Origin, Source};

const RED: &str = "\x1b[1;31m";
const BLUE: &str = "\x1b[1;34m";
const GREEN: &str = "\x1b[1;32m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// One error, warning, note or help.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Diagnostic {
    pub(crate) message: String,
    code: Option<Code>,
    pub(crate) level: String,
    pub(crate) spans: Vec<Span>,
    #[serde(default)]
    pub(crate) children: Vec<Diagnostic>,
}

#[derive(Debug, Clone, Deserialize)]
struct Code {
    code: String,
}

/// A place in a file; lines and columns count from 1.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Span {
    file_name: String,
    pub(crate) line_start: usize,
    line_end: usize,
    column_start: usize,
    column_end: usize,
    pub(crate) is_primary: bool,
    label: Option<String>,
    pub(crate) suggested_replacement: Option<String>,
    expansion: Option<Box<Expansion>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Expansion {
    span: Span,
}

/// The errors among rustc's JSON lines; a line that is none of JSON is rustc itself failing.
pub(crate) fn read(stderr: &str) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let mut other = String::new();
    for line in stderr.lines() {
        match serde_json::from_str::<Diagnostic>(line) {
            Ok(diagnostic) if diagnostic.level.starts_with("error") => errors.push(diagnostic),
            Ok(_) => {}
            Err(_) => {
                let _ = writeln!(other, "{line}");
            }
        }
    }
    if errors.is_empty() && !other.is_empty() {
        let level = "error".to_owned();
        errors.push(Diagnostic {
            message: other,
            code: None,
            level,
            spans: Vec::new(),
            children: Vec::new(),
        });
    }
    // "aborting due to …" only where it is all there is.
    if errors.iter().any(|error| !error.spans.is_empty()) {
        errors.retain(|error| !error.message.starts_with("aborting due to"));
    }
    errors
}

impl Diagnostic {
    /// As `E0382`; empty where rustc gave none.
    pub(crate) fn code(&self) -> &str {
        self.code.as_ref().map_or("", |code| &code.code)
    }

    /// As `error[E0382]`.
    pub(crate) fn ename(&self) -> String {
        match self.code() {
            "" => self.level.clone(),
            code => format!("{}[{code}]", self.level),
        }
    }

    /// Where it points to within the generated file, primary places first.
    pub(crate) fn origins<'a>(&'a self, source: &'a Source) -> impl Iterator<Item = (&'a Origin, &'a Span)> {
        let spans =
            self.spans.iter().filter(|s| s.is_primary).chain(self.spans.iter().filter(|s| !s.is_primary));
        spans.filter_map(Span::in_cell_file).map(|span| (source.origin(span.line_start), span))
    }

    /// Draws it in colour on `code`, the cell that it is about, numbered `number`.
    pub(crate) fn render(&self, source: &Source, code: &str, number: usize) -> String {
        let lines: Vec<&str> = code.lines().collect();
        let mut text = format!("{RED}{}{PLAIN}{BOLD}: {}{PLAIN}", self.ename(), self.message.trim_end());
        let mut marks: Vec<Mark<'_>> = self.spans.iter().filter_map(|span| Mark::new(span, source)).collect();
        // At the same place the label that says more stands last.
        marks.sort_by_key(|mark| (mark.line, std::cmp::Reverse(mark.column)));
        let width = marks.iter().map(|mark| mark.line.to_string().len()).max().unwrap_or(1);
        if let Some(first) = marks.iter().find(|mark| mark.is_primary).or(marks.first()) {
            let _ =
                write!(text, "\n{:width$}{BLUE}-->{PLAIN} In [{number}]:{}:{}", "", first.line, first.column);
            let _ = write!(text, "\n{:width$} {BLUE}|{PLAIN}", "");
        }
        let mut last_line = 0;
        for mark in &marks {
            if mark.line != last_line {
                if last_line != 0 && mark.line > last_line + 1 {
                    let _ = write!(text, "\n{BLUE}...{PLAIN}");
                }
                let line = lines.get(mark.line - 1).copied().unwrap_or_default();
                let _ = write!(text, "\n{BLUE}{:width$} |{PLAIN} {line}", mark.line);
                last_line = mark.line;
            }
            let (colour, sign) = if mark.is_primary { (RED, "^") } else { (BLUE, "-") };
            let _ = write!(
                text,
                "\n{:width$} {BLUE}|{PLAIN} {:indent$}{colour}{} {}{PLAIN}",
                "",
                "",
                sign.repeat(mark.length),
                mark.label,
                indent = mark.column - 1,
            );
        }
        for child in &self.children {
            let suggestion = child.spans.iter().find_map(|span| span.suggested_replacement.as_deref());
            let ours = child.spans.iter().any(|span| Mark::new(span, source).is_none());
            if ours && !child.spans.is_empty() || child.message.contains("__rt") {
                continue;
            }
            let colour = if child.level == "help" { GREEN } else { BOLD };
            let _ = write!(
                text,
                "\n{:width$} {BLUE}={PLAIN} {colour}{}{PLAIN}: {}",
                "", child.level, child.message
            );
            if let Some(suggestion) = suggestion.map(str::trim).filter(|s| !s.is_empty()) {
                let _ = write!(text, ": `{suggestion}`");
            }
        }
        text
    }
}

impl Span {
    /// The place in the generated file: the span itself, or where the macro that it comes from was called.
    fn in_cell_file(&self) -> Option<&Self> {
        if self.file_name.ends_with("cell.rs") {
            return Some(self);
        }
        self.expansion.as_ref().and_then(|expansion| expansion.span.in_cell_file())
    }
}

/// An underlined piece of one line of the cell.
struct Mark<'a> {
    line: usize,
    column: usize,
    length: usize,
    is_primary: bool,
    label: &'a str,
}

impl<'a> Mark<'a> {
    fn new(span: &'a Span, source: &Source) -> Option<Self> {
        let place = span.in_cell_file()?;
        let Origin::Cell(line) = *source.origin(place.line_start) else { return None };
        let one_line = place.line_start == place.line_end;
        let length = if one_line { place.column_end.saturating_sub(place.column_start).max(1) } else { 1 };
        let label = span.label.as_deref().unwrap_or_default();
        Some(Self { line, column: place.column_start, length, is_primary: span.is_primary, label })
    }
}

/// Draws an error at a place of the cell that rustc never saw: lines from 1, columns from 0.
pub(crate) fn render_syntax(
    message: &str,
    code: &str,
    number: usize,
    start: (usize, usize),
    end: (usize, usize),
) -> String {
    let (line, column) = start;
    let length = if end.0 == line { end.1.saturating_sub(column).max(1) } else { 1 };
    let text = code.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let width = line.to_string().len();
    format!(
        "{RED}error{PLAIN}{BOLD}: {message}{PLAIN}\n{:width$}{BLUE}-->{PLAIN} In [{number}]:{line}:{}\n\
         {:width$} {BLUE}|{PLAIN}\n{BLUE}{line} |{PLAIN} {text}\n{:width$} {BLUE}|{PLAIN} {:column$}{RED}{}{PLAIN}",
        "",
        column + 1,
        "",
        "",
        "",
        "^".repeat(length),
    )
}
