//! What stands at the cursor: a name alone, a name in a path, a member of some expression.

use std::ops::Range;

use super::tokens::{Token, is_word, opening, tokens};

/// What the word at the cursor belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// A name by itself.
    Name,
    /// Behind `path::`.
    Path(Vec<String>),
    /// Behind a dot: the text of the expression before it.
    Member(String),
}

/// The word that ends at code point `cursor`, where it starts, and what it belongs to. `None` inside strings and comments,
/// and where the code before the cursor makes no sense.
pub(super) fn before(code: &str, cursor: usize) -> Option<(usize, String, Context)> {
    let end = code.char_indices().nth(cursor).map_or(code.len(), |(at, _)| at);
    let before = &code[..end];
    let word = before
        .rfind(|c: char| !is_word(c))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let (head, word) = before.split_at(word);
    let start = head.chars().count();
    let tokens = tokens(head)?;
    let last = |back: usize| match tokens.len().checked_sub(back).map(|at| tokens[at].0) {
        Some(Token::Sign(c)) => c,
        _ => ' ',
    };
    let context = if (last(2), last(1)) == (':', ':') {
        Context::Path(path(head, &tokens[..tokens.len() - 2])?)
    } else if last(1) == '.' && last(2) != '.' {
        Context::Member(head[chain(head, &tokens[..tokens.len() - 1])?].to_owned())
    } else {
        Context::Name
    };
    // A number is no name.
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some((start, word.to_owned(), context))
}

/// The code point where the word around `cursor` ends; where there is none, the word before the parenthesis around it.
pub(super) fn word_end(code: &str, cursor: usize) -> Option<usize> {
    let chars: Vec<char> = code.chars().collect();
    let cursor = cursor.min(chars.len());
    let is_word_at = |at: usize| chars.get(at).is_some_and(|c| is_word(*c));
    if is_word_at(cursor) || cursor.checked_sub(1).is_some_and(is_word_at) {
        return Some((cursor..).find(|at| !is_word_at(*at)).unwrap_or(chars.len()));
    }
    let before: String = chars[..cursor].iter().collect();
    let tokens = tokens(&before)?;
    let mut depth = 0_usize;
    for (at, (token, _)) in tokens.iter().enumerate().rev() {
        match token {
            Token::Sign(')' | ']' | '}') => depth += 1,
            Token::Sign('(') if depth == 0 => {
                let called = tokens[..at].iter().rev().find(|(token, _)| *token != Token::Sign('!'))?;
                return (called.0 == Token::Word).then(|| before[..called.1.end].chars().count());
            }
            Token::Sign('(' | '[' | '{') => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// The segments of the path that ends with the last of `tokens`; generic arguments are left out.
fn path(text: &str, tokens: &[(Token, Range<usize>)]) -> Option<Vec<String>> {
    let mut segments = Vec::new();
    let mut at = tokens.len();
    loop {
        at = before_generics(tokens, at)?;
        let (Token::Word, range) = &tokens[at.checked_sub(1)?] else { return None };
        segments.push(text[range.clone()].to_owned());
        at -= 1;
        if at < 2 || !is_path_separator(tokens, at) {
            segments.reverse();
            return Some(segments);
        }
        at -= 2;
    }
}

/// The bytes of the postfix expression (`a.b(c)?.d`) that ends with the last of `tokens`.
fn chain(text: &str, tokens: &[(Token, Range<usize>)]) -> Option<Range<usize>> {
    const KEYWORDS: [&str; 12] =
        ["return", "in", "let", "if", "match", "while", "else", "mut", "move", "break", "for", "loop"];
    let is_keyword = |at: usize| KEYWORDS.contains(&&text[tokens[at].1.clone()]);
    let end = tokens.last()?.1.end;
    let mut at = tokens.len();
    loop {
        let last = at.checked_sub(1)?;
        match tokens[last].0 {
            Token::Sign('?') => at = last,
            Token::Sign(')' | ']') => {
                let open = opening(tokens, last)?;
                let called = open.checked_sub(1).map(|before| &tokens[before].0);
                match called {
                    Some(Token::Word) if !is_keyword(open - 1) => at = open,
                    Some(Token::Sign('?' | ')' | ']')) => at = open,
                    Some(Token::Sign('>')) if before_generics(tokens, open)? < open => at = open,
                    Some(Token::Sign('!')) if open >= 2 && tokens[open - 2].0 == Token::Word => {
                        return Some(tokens[open - 2].1.start..end);
                    }
                    _ => return Some(tokens[open].1.start..end),
                }
            }
            Token::Sign('>') => {
                let before = before_generics(tokens, at)?;
                if before == at {
                    return None;
                }
                at = before;
            }
            Token::Word if is_keyword(last) => return None,
            Token::Word | Token::Literal => {
                if at >= 2 && tokens[at - 2].0 == Token::Sign('.') {
                    at -= 2;
                } else if at >= 3 && is_path_separator(tokens, last) {
                    at -= 3;
                } else {
                    return Some(tokens[last].1.start..end);
                }
            }
            Token::Sign(_) => return None,
        }
    }
}

/// Whether the two tokens before `at` are `::`.
fn is_path_separator(tokens: &[(Token, Range<usize>)], at: usize) -> bool {
    at >= 2 && tokens[at - 2..at].iter().all(|(token, _)| *token == Token::Sign(':'))
}

/// Where `::<…>` or `<…>` before `at` begins; `at` where there is none.
fn before_generics(tokens: &[(Token, Range<usize>)], at: usize) -> Option<usize> {
    if at == 0 || tokens[at - 1].0 != Token::Sign('>') {
        return Some(at);
    }
    let mut depth = 0_usize;
    for open in (0..at).rev() {
        match tokens[open].0 {
            Token::Sign('>') => depth += 1,
            Token::Sign('<') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(if is_path_separator(tokens, open) { open - 2 } else { open });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_end(code: &str) -> Option<(usize, String, Context)> {
        before(code, code.chars().count())
    }

    fn receiver(code: &str) -> Option<String> {
        match at_end(code)?.2 {
            Context::Member(text) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn receivers_are_whole_postfix_expressions() {
        for (code, expected) in [
            ("let a = df.fil", "df"),
            ("x + f(a, b)?.c[1].", "f(a, b)?.c[1]"),
            ("return (a + b).", "(a + b)"),
            ("let d = df!(\"a\" => [1])?.", "df!(\"a\" => [1])?"),
            ("Dataset::mnist()?\n    .", "Dataset::mnist()?"),
            ("&v.iter().collect::<Vec<_>>().", "v.iter().collect::<Vec<_>>()"),
            ("if x { y.z.", "y.z"),
            ("for i in (0..3).", "(0..3)"),
            ("f(g(x).", "g(x)"),
        ] {
            assert_eq!(receiver(code).as_deref(), Some(expected), "{code}");
        }
        for code in ["0..", "\"a.", "// a.", "1.5", "+."] {
            assert_eq!(receiver(code), None, "{code}");
        }
    }

    #[test]
    fn paths_and_names_with_code_points() {
        let path = |segments: &[&str]| Context::Path(segments.iter().map(|s| (*s).to_owned()).collect());
        assert_eq!(at_end("let ü = Dataset::fa"), Some((17, "fa".to_owned(), path(&["Dataset"]))));
        assert_eq!(at_end("tch::nn::"), Some((9, String::new(), path(&["tch", "nn"]))));
        assert_eq!(at_end("Vec::<u8>::n"), Some((11, "n".to_owned(), path(&["Vec"]))));
        assert_eq!(at_end("x + ab"), Some((4, "ab".to_owned(), Context::Name)));
    }

    #[test]
    fn inspection_looks_at_the_word_or_at_the_call_around() {
        assert_eq!(word_end("abc + d", 1), Some(3));
        assert_eq!(word_end("abc + d", 3), Some(3));
        assert_eq!(word_end("f(a, ", 5), Some(1));
        assert_eq!(word_end("x.g(1, h(2), ", 13), Some(3));
        assert_eq!(word_end(" + ", 1), None);
    }
}
