//! Code that need not be whole, in tokens: what stands before the cursor.

use std::ops::Range;

use crate::eval::scan;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, keyword or lifetime.
    Word,
    Literal,
    /// Any other character, brackets too.
    Sign(char),
}

/// Tokens with their bytes.
pub(super) type Tokens = Vec<(Token, Range<usize>)>;

/// The tokens of `text` with their bytes, without comments. `None` where the text ends inside a string or comment.
pub(super) fn tokens(text: &str) -> Option<Tokens> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, length) = match next {
            '/' if rest.starts_with("//") => (None, rest.find('\n')?),
            '/' if rest.starts_with("/*") => (None, scan::block_comment(rest)?),
            '"' => (Some(Token::Literal), scan::string(rest)?),
            'r' if scan::raw_string(rest)? > 0 => (Some(Token::Literal), scan::raw_string(rest)?),
            '\'' => (Some(Token::Literal), scan::char_or_lifetime(rest)),
            c if is_word(c) => {
                let mut length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                let is_number = c.is_ascii_digit();
                if is_number {
                    // `1.5`, but not `1..2` and `1.max(2)`.
                    let fraction = rest[length..].strip_prefix('.').unwrap_or_default();
                    if fraction.starts_with(|c: char| c.is_ascii_digit()) {
                        let digits = fraction.find(|c: char| !is_word(c)).unwrap_or(fraction.len());
                        length += 1 + digits;
                    }
                }
                (Some(if is_number { Token::Literal } else { Token::Word }), length)
            }
            c if c.is_whitespace() => (None, c.len_utf8()),
            c => (Some(Token::Sign(c)), c.len_utf8()),
        };
        if let Some(token) = token {
            tokens.push((token, at..at + length));
        }
        at += length.max(1);
    }
    Some(tokens)
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The place of the bracket that the one at `close` closes.
pub(super) fn opening(tokens: &[(Token, Range<usize>)], close: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for at in (0..=close).rev() {
        match tokens[at].0 {
            Token::Sign(')' | ']' | '}') => depth += 1,
            Token::Sign('(' | '[' | '{') => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_comments_and_numbers_are_one_piece() {
        let text = "f(\"a.b(\", 1.5, 'x', x.0) // .\n r#\"\"\"# 1..2";
        let words: Vec<&str> = tokens(text).unwrap().into_iter().map(|(_, range)| &text[range]).collect();
        assert_eq!(
            words,
            [
                "f",
                "(",
                "\"a.b(\"",
                ",",
                "1.5",
                ",",
                "'x'",
                ",",
                "x",
                ".",
                "0",
                ")",
                "r#\"\"\"#",
                "1",
                ".",
                ".",
                "2"
            ]
        );
        assert!(tokens("f(\"abc").is_none() && tokens("f(/* a").is_none() && tokens("// abc").is_none());
    }
}
