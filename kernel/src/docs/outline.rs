//! What of the code before the cursor matters for what can stand there: of each block that is open, its head, the statement that
//! the cursor is in, and the `let`s before that. All else (functions, loops that have ended, other arms) binds nothing there, so
//! it need not be parsed. Found in one walk over the tokens, so that long code costs little and deep code no stack.

use std::collections::HashSet;
use std::ops::Range;

use super::tokens::{Token, is_word, tokens};

/// The code that matters, at most in bytes: it is parsed up to ten times.
pub(super) const LONGEST: usize = 16 << 10;

/// Heads of items and of expressions that end with a block.
const WITH_BLOCK: [&str; 21] = [
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "for",
    "if",
    "impl",
    "loop",
    "macro_rules",
    "match",
    "mod",
    "pub",
    "static",
    "struct",
    "trait",
    "type",
    "union",
    "unsafe",
    "use",
    "while",
];

/// The code before the cursor, without what does not matter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) text: String,
    /// What closes the brackets that are open at its end, the innermost first.
    pub(super) closers: Vec<char>,
    /// Names that `let`s bind which found no room in `text` and are not asked for.
    pub(super) names: Vec<String>,
}

/// Between an open bracket (or the beginning) and the next one that is open at the end.
struct Level {
    /// The `let`s that have ended, as ranges of tokens.
    lets: Vec<Range<usize>>,
    /// What goes on at the end, as a range of tokens; with the bracket that opens the next level.
    rest: Range<usize>,
    /// The next level is a function's, which sees nothing of this one's variables.
    is_function: bool,
}

impl Outline {
    /// Of `before`, the code up to the word `word` at the cursor. `None` inside strings and comments, and where the statement at the
    /// cursor is too long to be parsed.
    pub(super) fn of(before: &str, word: &str) -> Option<Self> {
        let tokens = tokens(before)?;
        let (partners, open) = brackets(&tokens);
        let mut levels = Vec::new();
        let mut is_match = false;
        for at in 0..=open.len() {
            let start = at.checked_sub(1).map_or(0, |outer| open[outer] + 1);
            let end = open.get(at).copied().unwrap_or(tokens.len());
            let is_block = start == 0 || tokens[start - 1].0 == Token::Sign('{');
            let walk = Statements { text: before, tokens: &tokens, partners: &partners, is_match };
            let (ended, last) = if is_block { walk.split(start..end) } else { (Vec::new(), start) };
            let is_let = |range: &Range<usize>| walk.word(range.start) == "let";
            let (head_is_match, is_function) = walk.head(last..end);
            is_match = head_is_match;
            levels.push(Level {
                lets: ended.into_iter().filter(is_let).collect(),
                rest: last..(end + 1).min(tokens.len()),
                is_function,
            });
        }
        let closers = open.iter().rev().map(|at| closer(tokens[*at].0)).collect();
        let (text, names) = assemble(before, &tokens, &levels, word)?;
        Some(Self { text, closers, names })
    }
}

/// The end of `code`: as many whole statements as fit into `most` bytes. Empty where the last one does not.
pub(crate) fn last_statements(code: &str, most: usize) -> &str {
    if code.len() <= most {
        return code;
    }
    let Some(tokens) = tokens(code) else { return "" };
    let (partners, _) = brackets(&tokens);
    let walk = Statements { text: code, tokens: &tokens, partners: &partners, is_match: false };
    let (ended, last) = walk.split(0..tokens.len());
    let starts = ended.iter().map(|range| range.start).chain([last]);
    let mut starts = starts.filter_map(|at| tokens.get(at)).map(|(_, range)| range.start);
    starts.find(|start| code.len() - start <= most).map_or("", |start| &code[start..])
}

/// For each token that opens a bracket the one that closes it (else 0), and those whose brackets are open at the end.
fn brackets(tokens: &[(Token, Range<usize>)]) -> (Vec<usize>, Vec<usize>) {
    let mut partners = vec![0; tokens.len()];
    let mut open = Vec::new();
    for (at, (token, _)) in tokens.iter().enumerate() {
        match token {
            Token::Sign('(' | '[' | '{') => open.push(at),
            Token::Sign(')' | ']' | '}') => {
                if let Some(opening) = open.pop() {
                    partners[opening] = at;
                }
            }
            _ => {}
        }
    }
    (partners, open)
}

fn closer(token: Token) -> char {
    match token {
        Token::Sign('(') => ')',
        Token::Sign('[') => ']',
        _ => '}',
    }
}

/// Finds the statements of a block, or the arms of a `match`.
struct Statements<'a> {
    text: &'a str,
    tokens: &'a [(Token, Range<usize>)],
    partners: &'a [usize],
    is_match: bool,
}

impl<'a> Statements<'a> {
    fn word(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |(_, range)| &self.text[range.clone()])
    }

    fn is(&self, at: usize, sign: char) -> bool {
        self.tokens.get(at).is_some_and(|(token, _)| *token == Token::Sign(sign))
    }

    /// The statements of `run` that have ended, and where the last one begins, which has not.
    fn split(&self, run: Range<usize>) -> (Vec<Range<usize>>, usize) {
        let mut ended = Vec::new();
        let (mut start, mut at) = (run.start, run.start);
        // Where the body of an arm begins.
        let mut body = None;
        while at < run.end {
            let opened = at;
            at = match self.tokens[at].0 {
                Token::Sign('(' | '[' | '{') => self.partners[at].max(at) + 1,
                _ => at + 1,
            };
            let ends = match self.tokens[opened].0 {
                Token::Sign('{') if self.is_match => {
                    body == Some(opened) && !self.is(at, '.') && !self.is(at, '?')
                }
                Token::Sign('{') => self.ends_with_block(start, at),
                Token::Sign(';') => true,
                Token::Sign(',') => self.is_match,
                Token::Sign('=') if self.is(at, '>') => {
                    body.get_or_insert(at + 1);
                    false
                }
                _ => false,
            };
            if ends && at <= run.end {
                ended.push(start..at);
                (start, body) = (at, None);
            }
        }
        (ended, start)
    }

    /// Whether the statement from `start` ends before `next`, with a brace.
    fn ends_with_block(&self, mut start: usize, next: usize) -> bool {
        // Attributes stand before items.
        while self.is(start, '#') && self.is(start + 1, '[') {
            start = self.partners[start + 1].max(start + 1) + 1;
        }
        let goes_on = ["else", "in", "as", ".", "?", "=", ":"].contains(&self.word(next));
        match self.word(start) {
            "let" => false,
            "{" | "'" => !goes_on,
            word if WITH_BLOCK.contains(&word) => !goes_on,
            // A macro with braces, before something that can only be another statement.
            _ => !goes_on && self.tokens.get(next).is_some_and(|(token, _)| *token == Token::Word),
        }
    }

    /// What the bracket after `head` holds: the arms of a `match`, or what a function does.
    fn head(&self, head: Range<usize>) -> (bool, bool) {
        let (mut is_match, mut is_function) = (false, false);
        let mut at = head.start;
        while at < head.end {
            match self.tokens[at].0 {
                Token::Sign('(' | '[') => at = self.partners[at].max(at),
                Token::Sign('{') => {
                    at = self.partners[at].max(at);
                    (is_match, is_function) = (false, false);
                }
                Token::Word => match self.word(at) {
                    "match" => is_match = true,
                    "fn" => is_function = true,
                    _ => {}
                },
                _ => {}
            }
            at += 1;
        }
        (is_match, is_function)
    }
}

/// The text of `levels`, and the names in what found no room there.
fn assemble(
    before: &str,
    tokens: &[(Token, Range<usize>)],
    levels: &[Level],
    word: &str,
) -> Option<(String, Vec<String>)> {
    let bytes = |range: &Range<usize>| match tokens.get(range.clone()) {
        Some([(_, first), .., (_, last)]) => first.start..last.end,
        Some([(_, only)]) => only.clone(),
        _ => 0..0,
    };
    let words = |range: Range<usize>| {
        let words = tokens[range].iter().filter(|(token, _)| *token == Token::Word);
        words.map(|(_, range)| &before[range.clone()])
    };
    let mut left = LONGEST;
    let mut needed = HashSet::from([word]);
    for level in levels {
        left = left.checked_sub(bytes(&level.rest).len() + 1)?;
        needed.extend(words(level.rest.clone()));
    }
    let n_lets: usize =
        levels.iter().map(|level| level.lets.iter().map(|range| bytes(range).len() + 1).sum::<usize>()).sum();
    let all = n_lets <= left;
    let mut names = Vec::new();
    let mut pieces = Vec::new();
    let mut is_seen = true;
    for level in levels.iter().rev() {
        pieces.push(bytes(&level.rest));
        is_seen &= !level.is_function;
        for range in level.lets.iter().rev() {
            let piece = bytes(range);
            let is_end = |at: &usize| matches!(tokens[*at].0, Token::Sign('=' | ':' | ';'));
            let end = range.clone().find(is_end).unwrap_or(range.end);
            let mut bound = words(range.start + 1..end).filter(|word| *word != "mut");
            if all || bound.clone().any(|name| needed.contains(name)) && piece.len() < left {
                left = left.saturating_sub(piece.len() + 1);
                needed.extend(words(range.clone()));
                pieces.push(piece);
            } else if let (Some(name), None, true) = (bound.next(), bound.next(), is_seen) {
                names.push(name.to_owned());
            }
        }
    }
    names.reverse();
    let mut text = String::new();
    for piece in pieces.into_iter().rev() {
        text.push_str(&before[piece]);
        text.push('\n');
    }
    // The word at the cursor stands right behind what is before it, as in `'a`.
    if before.ends_with(|c: char| !c.is_whitespace()) && text.ends_with('\n') {
        text.pop();
    }
    debug_assert!(!before.ends_with(is_word));
    Some((text, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(before: &str) -> String {
        Outline::of(before, "").unwrap().text.replace('\n', " ")
    }

    #[test]
    fn what_has_ended_is_left_out_but_for_what_it_binds() {
        for (code, expected) in [
            ("use a::{b, c};\nlet x = 1; f(x); fn g() { let y = 2; }\nx + ", "let x = 1; x + "),
            (
                "for i in 0..3 { let y = i; } let P { a, .. } = p; if a { b } else { c }\na.",
                "let P { a, .. } = p; a.",
            ),
            ("match e { A { x, .. } => f(x), B(v) if v > 1 => { g(v) } C(w) => w.", "match e { C(w) => w."),
            (
                "let s = match e { A => 1, B => { 2 } C => 3, }; let t = loop { break 1 }; s.",
                "let s = match e { A => 1, B => { 2 } C => 3, }; let t = loop { break 1 }; s.",
            ),
            (
                "impl F { fn a(&self) {} fn b(&self) { let x = 1; f(); self.",
                "impl F { fn b(&self) { let x = 1; self.",
            ),
            ("#[derive(Debug)] struct S { a: u8 } let s = S { a: 1 }; s.", "let s = S { a: 1 }; s."),
            ("v.iter().map(|c| { let d = c; f(d); d.", "v.iter().map(|c| { let d = c; d."),
            ("if let P { x, .. } = y { x.", "if let P { x, .. } = y { x."),
            ("for P { x } in ps { x.", "for P { x } in ps { x."),
            ("'a: loop { break 'a; } S { a: 1 }.f(", "S { a: 1 }.f("),
            (
                "thing! { a } let x = 1; match x { 1 => 2, _ => 3 }.max(",
                "let x = 1; match x { 1 => 2, _ => 3 }.max(",
            ),
            ("let Ok(f) = g() else { return };\nf.", "let Ok(f) = g() else { return }; f."),
            ("f(match e { A => 1, B => ", "f( match e { B => "),
        ] {
            assert_eq!(
                outline(code).replace("( ", "(").replace("{ ", "{"),
                expected.replace("( ", "(").replace("{ ", "{"),
                "{code}"
            );
        }
    }

    #[test]
    fn of_long_code_what_is_asked_for_is_kept_with_what_it_needs() {
        let mut code = "let first = make();\n".to_owned();
        (0..20_000).for_each(|n| code += &format!("let x{n} = {n};\nf(x{n});\n"));
        code += "let second = first.part(x7);\nfn f() { 1 }\nsecond.";
        let Outline { text, closers, names } = Outline::of(&code, "").unwrap();
        assert_eq!(text, "let first = make();\nlet x7 = 7;\nlet second = first.part(x7);\nsecond.");
        assert_eq!((closers.len(), names.len(), names[0].as_str()), (0, 19_999, "x0"));
        // The word at the cursor is asked for as well.
        let text = Outline::of(&code[..code.len() - 1], "x9").unwrap().text;
        assert!(text.contains("let x9 = 9;"), "{text}");
        // A function sees nothing of what is around it.
        assert!(Outline::of(&format!("{code}x(); fn g() {{ "), "").unwrap().names.is_empty());
        assert_eq!(Outline::of(&format!("f({}", "1, ".repeat(LONGEST)), ""), None);
    }

    #[test]
    fn the_last_statements_that_fit() {
        let code = "let a = 1; f(a); let b = { 2 }; b";
        assert_eq!(last_statements(code, 100), code);
        assert_eq!(last_statements(code, 18), "let b = { 2 }; b");
        assert_eq!(last_statements(code, 5), "b");
        assert_eq!(last_statements("f(a, b, c, d)", 5), "");
    }
}
