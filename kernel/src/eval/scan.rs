//! Whether a cell is complete: what a console front end asks at each line break.

use super::cell;
use crate::nesting;

/// How much code is parsed, in bytes.
const LONGEST: usize = 64 << 10;
/// How deep it may be nested, as [`nesting::depth`] counts, with the stack of the threads that answer requests.
const DEEPEST: usize = 1000;
/// How many levels the next line is indented by at most.
const DEEPEST_INDENT: usize = 20;

/// The answer to `is_complete_request`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Completeness {
    Complete,
    /// The code goes on; the next line begins with these spaces.
    Incomplete(String),
    Invalid,
}

/// Judges `code`.
pub(crate) fn completeness(code: &str) -> Completeness {
    let (_, code) = super::command::split(code);
    let code = code.as_str();
    if code.trim_start().starts_with('?') {
        return Completeness::Complete;
    }
    let balance = Balance::of(code);
    if balance.mismatched {
        return Completeness::Invalid;
    }
    if balance.open > 0 || balance.in_text {
        return Completeness::Incomplete(" ".repeat(4 * balance.open.min(DEEPEST_INDENT)));
    }
    // Whoever writes that much has written the beginning before; whether the code goes on shows at its end.
    let code = crate::docs::last_statements(code, LONGEST);
    if nesting::depth(code).0 > DEEPEST {
        // Nothing is open; whoever runs it is told what is wrong with it, if something is.
        return Completeness::Complete;
    }
    match cell::parse(code) {
        Ok(_) => Completeness::Complete,
        Err(error) if error.at_end => Completeness::Incomplete("    ".to_owned()),
        Err(_) => Completeness::Invalid,
    }
}

/// What is still open at the end of some code.
#[derive(Default)]
struct Balance {
    /// Brackets not closed.
    open: usize,
    /// A string or block comment is not closed.
    in_text: bool,
    mismatched: bool,
}

impl Balance {
    fn of(code: &str) -> Self {
        let mut rest = code;
        let mut closers = Vec::new();
        let mut previous = ' ';
        while let Some(next) = rest.chars().next() {
            let skipped = match next {
                '/' if rest.starts_with("//") => rest.find('\n').or(Some(rest.len())),
                '/' if rest.starts_with("/*") => block_comment(rest),
                '"' => string(rest),
                'r' if !is_word(previous) => raw_string(rest),
                '\'' => Some(char_or_lifetime(rest)),
                _ => Some(0),
            };
            let Some(skipped) = skipped else {
                return Self { open: closers.len(), in_text: true, mismatched: false };
            };
            if skipped > 0 {
                rest = &rest[skipped..];
                previous = ' ';
                continue;
            }
            match next {
                '(' => closers.push(')'),
                '[' => closers.push(']'),
                '{' => closers.push('}'),
                ')' | ']' | '}' if closers.pop() != Some(next) => {
                    return Self { mismatched: true, ..Self::default() };
                }
                _ => {}
            }
            // `br"…"` and `cr"…"` are raw strings as well.
            previous = if matches!(next, 'b' | 'c') && !is_word(previous) { ' ' } else { next };
            rest = &rest[next.len_utf8()..];
        }
        Self { open: closers.len(), ..Self::default() }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the block comment that `text` begins with; they nest.
pub(crate) fn block_comment(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    None
}

pub(crate) fn string(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The length of the raw string that `text` begins with; 0 where it is an ordinary `r`.
pub(crate) fn raw_string(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    let opening = 1 + hashes;
    if !text[opening..].starts_with('"') {
        return Some(0);
    }
    let closing = format!("\"{}", "#".repeat(hashes));
    text[opening + 1..].find(&closing).map(|at| opening + 1 + at + closing.len())
}

/// The length of a character literal, or of the quote alone before a lifetime.
pub(crate) fn char_or_lifetime(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            text[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 3)
        }
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1),
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_code() {
        for code in [
            "",
            "1 + 1",
            "let a = 1",
            "fn f() { }",
            "let s = \"(\";",
            "let c = '{'; let d = '\\''; let l: &'static str = r#\"\"(\"#;",
            "// (\nlet a = 1; /* { /* [ */ */",
            ":vars",
            ":dep a = \"(\"\na::f()",
        ] {
            assert_eq!(completeness(code), Completeness::Complete, "{code}");
        }
    }

    #[test]
    fn incomplete_code_with_its_indent() {
        for (code, indent) in [
            ("fn f() {", 4),
            (":dep a\nfn f() {", 4),
            ("f(a, [", 8),
            ("let s = \"abc", 0),
            ("/* a", 0),
            ("let x =", 4),
            ("r#\"a\"", 0),
        ] {
            assert_eq!(completeness(code), Completeness::Incomplete(" ".repeat(indent)), "{code}");
        }
    }

    #[test]
    fn invalid_code() {
        for code in [")", "fn f( }", "let = 3;", "1 +/ 2;"] {
            assert_eq!(completeness(code), Completeness::Invalid, "{code}");
        }
    }
}
