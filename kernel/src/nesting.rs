//! How deep a parser would have to go into some code, found without going there.
//!
//! Parsers and those who walk their trees call themselves for each bracket, and for each operator, method call or `else` of a
//! chain. Enough of these overflow any stack, and that ends the process. So code is measured first, in one pass and without
//! recursion; what is beyond [`LIMIT`] never meets a parser, and what is below it is parsed on a stack of [`STACK`] bytes.

use crate::eval::scan::{block_comment, char_or_lifetime, raw_string, string};

/// The depth up to which code is parsed: a sum of 20,000 terms, or 20,000 brackets one within the other.
pub(crate) const LIMIT: usize = 20_000;

/// Bytes of stack of each thread that parses. The system gives memory only for what is used of it.
pub(crate) const STACK: usize = 1 << 30;

/// Code that is nested too deeply, and where it is deepest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooDeep {
    /// As [`depth`] counts.
    pub(crate) depth: usize,
    /// The line, from 1.
    pub(crate) line: usize,
}

/// Refuses code beyond [`LIMIT`].
///
/// # Errors
/// [`TooDeep`].
pub(crate) fn check(code: &str) -> Result<(), TooDeep> {
    let (depth, at) = depth(code);
    if depth <= LIMIT {
        return Ok(());
    }
    Err(TooDeep { depth, line: code[..at].matches('\n').count() + 1 })
}

/// An upper bound of how often a parser calls itself within itself for `code`: the brackets that are open at its deepest
/// place, and the operators, dots, `else` and `as` of the unfinished expressions in and around them. With the byte of that
/// place.
pub(crate) fn depth(code: &str) -> (usize, usize) {
    // What is unfinished in each open bracket, and in all of them together.
    let mut chains = vec![0_usize];
    let mut total = 1_usize;
    let mut deepest = (1, 0);
    let mut at = 0;
    let mut after_word = false;
    while let Some(next) = code[at..].chars().next() {
        let rest = &code[at..];
        let text = match next {
            '/' if rest.starts_with("//") => rest.find('\n').or(Some(rest.len())),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' if !after_word => raw_string(rest),
            '\'' => Some(char_or_lifetime(rest)),
            _ => Some(0),
        };
        let Some(text) = text else { break };
        if text > 0 {
            at += text;
            after_word = false;
            continue;
        }
        let mut step = next.len_utf8();
        match next {
            '(' | '[' | '{' => {
                chains.push(0);
                total += 1;
            }
            ')' | ']' | '}' => {
                if chains.len() > 1 {
                    total -= 1 + chains.pop().unwrap_or_default();
                }
                if next == '}' && !goes_on(&rest[1..]) {
                    total -= chains.last().copied().unwrap_or_default();
                    reset(&mut chains);
                }
            }
            ';' | ',' => {
                total -= chains.last().copied().unwrap_or_default();
                reset(&mut chains);
            }
            '+' | '-' | '*' | '/' | '%' | '^' | '!' | '&' | '|' | '=' | '<' | '>' | '.' | '?' | ':' => {
                count(&mut chains, &mut total);
            }
            c if is_word(c) => {
                step = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                // `br"…"` and `cr"…"` are raw strings as well.
                if matches!(&rest[..step], "br" | "cr") && rest[step..].starts_with(['"', '#']) {
                    step -= 1;
                }
                if matches!(
                    &rest[..step],
                    "else" | "as" | "in" | "return" | "break" | "move" | "async" | "mut" | "ref"
                ) {
                    count(&mut chains, &mut total);
                }
            }
            _ => {}
        }
        after_word = is_word(next) && step > 1 || is_word(next) && !matches!(next, 'b' | 'c');
        at += step;
        if total > deepest.0 {
            deepest = (total, at.min(code.len()));
        }
    }
    deepest
}

fn count(chains: &mut [usize], total: &mut usize) {
    if let Some(chain) = chains.last_mut() {
        *chain += 1;
        *total += 1;
    }
}

fn reset(chains: &mut [usize]) {
    if let Some(chain) = chains.last_mut() {
        *chain = 0;
    }
}

/// Whether an expression that a block ends may go on behind it.
fn goes_on(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.starts_with("else")
        || rest.starts_with(['.', '?', '+', '-', '*', '/', '%', '^', '&', '|', '=', '<', '>', '!', '('])
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str) -> usize {
        depth(code).0
    }

    #[test]
    fn brackets_operators_and_calls_count_and_statements_end_them() {
        assert_eq!(of(""), 1);
        assert_eq!(of("let a = 1; let b = 2;"), 2);
        assert_eq!(of(&"(".repeat(1000)), 1001);
        assert_eq!(of(&format!("1{}", "+1".repeat(10_000))), 10_001);
        assert_eq!(of(&format!("1.0_f32{}", ".abs()".repeat(5000))), 5003);
        assert_eq!(of(&format!("{}1", "-".repeat(3000))), 3001);
        assert!(of(&"Vec<".repeat(300)) > 300);
        assert!(of(&format!("if a {{}}{}", " else if b {}".repeat(700))) > 700);
        assert!(of(&"let a = 1 + 2;\n".repeat(10_000)) < 5);
        assert!(of(&"fn f(a: &u8) -> u8 { *a }\n".repeat(10_000)) < 10);
        assert!(of(&format!("[{}]", "1.5, ".repeat(100_000))) < 5);
    }

    #[test]
    fn what_stands_in_text_and_comments_does_not_count() {
        let many = "(".repeat(500);
        for code in [
            format!("\"{many}\""),
            format!("r#\"{many}\"#"),
            format!("br\"{many}\""),
            format!("// {many}"),
            format!("/* /* */ {many} */"),
            "let a = '('; let b = '\\''; let c: &'static str = \"\";".to_owned(),
        ] {
            assert!(of(&code) < 8, "{code}: {}", of(&code));
        }
    }

    #[test]
    fn a_megabyte_of_anything_is_measured() {
        for piece in [
            "(", ")", "{", "}", "-", "+1", ".abs()", "Vec<", "'", "\"", "r#", "/*", "\\", "ä", "else ",
            "}else{", ";", "b", "0",
        ] {
            let code = piece.repeat(1_000_000 / piece.len());
            let (deep, at) = depth(&code);
            assert!(deep >= 1 && at <= code.len(), "{piece}");
        }
    }

    #[test]
    fn the_place_is_named() {
        let code = format!("let a = 1;\nlet b = {}1{};\n", "(".repeat(LIMIT + 1), ")".repeat(LIMIT + 1));
        assert_eq!(check(&code).unwrap_err().line, 2);
        assert!(check("1 + 1").is_ok());
    }
}
