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
    /// Of the compiler itself, not of a place in the cell.
    pub(crate) fn of_compiler(message: String) -> Self {
        Self { message, code: None, level: "error".to_owned(), spans: Vec::new(), children: Vec::new() }
    }

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

    /// Of E0106: the columns where lifetimes are missing, and how many there.
    pub(crate) fn missing_lifetimes(&self) -> impl Iterator<Item = (usize, usize)> {
        self.spans.iter().filter(|span| span.is_primary).map(|span| {
            let label = span.label.as_deref().unwrap_or_default();
            let number = label.split(' ').find_map(|word| word.parse().ok());
            (span.column_start, number.unwrap_or(1))
        })
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
        let mut excerpt = Excerpt::of("", 0);
        for mark in &marks {
            if mark.line != last_line {
                if last_line != 0 && mark.line > last_line + 1 {
                    let _ = write!(text, "\n{BLUE}...{PLAIN}");
                }
                let line = lines.get(mark.line - 1).copied().unwrap_or_default();
                excerpt = Excerpt::of(line, mark.column - 1);
                let _ = write!(text, "\n{BLUE}{:width$} |{PLAIN} {}", mark.line, excerpt.text);
                last_line = mark.line;
            }
            let (indent, length) = excerpt.place(mark.column - 1, mark.length);
            let (colour, sign) = if mark.is_primary { (RED, "^") } else { (BLUE, "-") };
            let _ = write!(
                text,
                "\n{:width$} {BLUE}|{PLAIN} {}{colour}{} {}{PLAIN}",
                "",
                " ".repeat(indent),
                sign.repeat(length),
                mark.label,
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

/// What is shown of a line: all of it, or of a very long one what is around the place that matters.
struct Excerpt {
    text: String,
    /// Characters of the line that are left out in front, less the mark that stands for them.
    left_out: usize,
}

impl Excerpt {
    /// Characters shown at most, and how many of them before the place.
    const MOST: usize = 240;
    const BEFORE: usize = 80;

    /// Of `line` around its character `column`, from 0.
    fn of(line: &str, column: usize) -> Self {
        if line.chars().nth(Self::MOST).is_none() {
            return Self { text: line.to_owned(), left_out: 0 };
        }
        let start = column.saturating_sub(Self::BEFORE);
        let mut shown = line.chars().skip(start);
        let mut text = String::from(if start > 0 { "…" } else { "" });
        text.extend(shown.by_ref().take(Self::MOST));
        if shown.next().is_some() {
            text.push('…');
        }
        Self { text, left_out: start.saturating_sub(usize::from(start > 0)) }
    }

    /// Where in the excerpt a piece of the line is, and how much of it is to be seen: 1 at least.
    fn place(&self, column: usize, length: usize) -> (usize, usize) {
        let end = self.text.chars().count();
        let start = column.saturating_sub(self.left_out).min(end);
        (start, length.min(end.saturating_sub(start)).max(1))
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
    let excerpt = Excerpt::of(text, column);
    let (indent, length) = excerpt.place(column, length);
    let width = line.to_string().len();
    format!(
        "{RED}error{PLAIN}{BOLD}: {message}{PLAIN}\n{:width$}{BLUE}-->{PLAIN} In [{number}]:{line}:{}\n\
         {:width$} {BLUE}|{PLAIN}\n{BLUE}{line} |{PLAIN} {}\n{:width$} {BLUE}|{PLAIN} {}{RED}{}{PLAIN}",
        "",
        column + 1,
        "",
        excerpt.text,
        "",
        " ".repeat(indent),
        "^".repeat(length),
    )
}
