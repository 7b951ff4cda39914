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
/// place, and the operators, dots and keywords of the unfinished expressions, patterns and types in and around them. With
/// the byte of that place.
pub(crate) fn depth(code: &str) -> (usize, usize) {
    // What is unfinished in each open bracket, and in all of them together.
    let mut chains = vec![Chain::default()];
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
                chains.push(Chain::default());
                total += 1;
            }
            ')' | ']' | '}' => {
                if chains.len() > 1 {
                    total -= 1 + chains.pop().unwrap_or_default().length;
                }
                if next == '}' && !goes_on(&rest[1..], chains.last()) {
                    end(&mut chains, &mut total);
                }
            }
            ';' => end(&mut chains, &mut total),
            ',' if !chains.last().is_some_and(Chain::has_list) => end(&mut chains, &mut total),
            '+' | '-' | '*' | '/' | '%' | '^' | '!' | '&' | '|' | '=' | '<' | '>' | '.' | '?' | ':' | '@'
            | '#' | '$' | '~' => {
                if let Some(chain) = chains.last_mut() {
                    let is_arrow = at > 0 && matches!(code.as_bytes()[at - 1], b'-' | b'=');
                    match next {
                        '<' => chain.angles += 1,
                        '>' if !is_arrow => chain.angles = chain.angles.saturating_sub(1),
                        '|' => chain.bars += 1,
                        _ => {}
                    }
                }
                count(&mut chains, &mut total);
            }
            c if is_word(c) => {
                step = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                // `br"…"` and `cr"…"` are raw strings as well.
                if matches!(&rest[..step], "br" | "cr") && rest[step..].starts_with(['"', '#']) {
                    step -= 1;
                }
                if KEYWORDS.contains(&&rest[..step]) {
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

/// Words behind which a parser may call itself without a bracket or an operator: `if if if`.
const KEYWORDS: [&str; 26] = [
    "as", "async", "await", "become", "box", "break", "const", "dyn", "else", "for", "if", "impl", "in",
    "let", "loop", "match", "move", "mut", "raw", "ref", "return", "static", "try", "unsafe", "while",
    "yield",
];

/// What is unfinished within one bracket.
#[derive(Debug, Default)]
struct Chain {
    length: usize,
    /// `<` without their `>`.
    angles: usize,
    /// Each `|`: behind an odd number of them are the parameters of a closure.
    bars: usize,
}

impl Chain {
    /// Whether a comma may separate what belongs to a list that is itself unfinished, as in `A<B, A<B, …` or `|a, b| |a, b| …`.
    fn has_list(&self) -> bool {
        self.angles > 0 || self.bars % 2 == 1
    }
}

fn count(chains: &mut [Chain], total: &mut usize) {
    if let Some(chain) = chains.last_mut() {
        chain.length += 1;
        *total += 1;
    }
}

/// A statement, an item or an element of a list is at its end.
fn end(chains: &mut [Chain], total: &mut usize) {
    if let Some(chain) = chains.last_mut() {
        *total -= std::mem::take(chain).length;
    }
}

/// Whether what a block, or a pattern with fields, ends may go on behind it. `chain` is what it stands in.
fn goes_on(rest: &str, chain: Option<&Chain>) -> bool {
    let rest = rest.trim_start();
    ["else", "as", "in"]
        .iter()
        .any(|word| rest.strip_prefix(word).is_some_and(|rest| !rest.starts_with(is_word)))
        || rest.starts_with(|c: char| ".?+-*/%^&|=<>!:@([{".contains(c))
        || rest.starts_with(',') && chain.is_some_and(Chain::has_list)
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
        assert_eq!(of("let a = 1; let b = 2;"), 3);
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
    fn commas_and_braces_within_what_is_unfinished_do_not_end_it() {
        for piece in [
            "HashMap<u8, ",
            "|a, b| ",
            "|S { a }, b| ",
            "A<{ 1 }, ",
            "if ",
            "match ",
            "while ",
            "yield ",
            "a @ ",
            "for S {} in ",
            "let S {} = ",
            "{}[0] + ",
            "unsafe {} as ",
        ] {
            assert!(of(&piece.repeat(1_000)) > 1_000, "{piece}: {}", of(&piece.repeat(1_000)));
        }
        for (piece, most) in [
            ("|a, b| a + b, ", 12),
            ("Vec<u8>, ", 6),
            ("fn f<A, B>(a: A) -> B {} ", 8),
            ("if a > b {} ", 6),
            ("Some(x) if x > 1 => 2, ", 8),
            ("\"a\" | \"b\" => 1, ", 12),
        ] {
            assert!(of(&piece.repeat(1_000)) < most, "{piece}: {}", of(&piece.repeat(1_000)));
        }
    }

    /// What a cell's text meets: the measure, then the parser, on the stack that it has in the kernel.
    fn meets_a_parser(code: &str) {
        if check(code).is_ok() {
            let _ = crate::eval::cell::parse(code);
        }
    }

    fn on_the_kernels_stack(work: impl FnOnce() + Send + 'static) {
        std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap();
    }

    #[test]
    fn what_is_just_within_the_limit_is_parsed_and_dropped() {
        on_the_kernels_stack(|| {
            for (open, middle, close) in [
                ("(", "1", ")"),
                ("[", "1", "]"),
                ("{", "1", "}"),
                ("-", "1", ""),
                ("&", "1", ""),
                ("1 + ", "1", ""),
                ("a = ", "1", ""),
                ("|a| ", "1", ""),
                ("|a, b| ", "1", ""),
                ("if ", "a", " {}"),
                ("return ", "1", ""),
                ("f(", "1", ")"),
                ("Some(", "1", ")"),
                ("if a { 1 } else ", "{ 1 }", ""),
                ("loop {", "", "}"),
                ("fn f() {", "", "}"),
                ("mod m {", "", "}"),
                ("a[", "0", "]"),
                ("unsafe {", "1", "}"),
                ("..", "", ""),
                ("match a { _ => ", "1", "}"),
                ("a = b && ", "c", ""),
                ("async {", "1", "}"),
                ("S { a: ", "1", "}"),
            ] {
                let unit = (depth(&open.repeat(200)).0 - 1).div_ceil(200);
                let times = LIMIT / (unit + 1) - 2;
                let code = format!("{}{middle}{}", open.repeat(times), close.repeat(times));
                assert!(check(&code).is_ok(), "{open}: {}", of(&code));
                meets_a_parser(&code);
            }
            for (before, piece, behind) in [
                ("1", ".abs()", ""),
                ("1", " as u8", ""),
                ("a", "?", ""),
                ("a", ".b", ""),
                ("a", "()", ""),
                ("a", "[0]", ""),
                ("let v: ", "Vec<", ""),
                ("let v: ", "&'a ", "u8 = 1;"),
                ("let v: ", "*const ", "u8;"),
                ("let ", "&", "a = b;"),
                ("let v: ", "fn() -> ", "u8;"),
                ("let ", "a @ ", "b = c;"),
                ("let v: ", "HashMap<u8, ", "u8"),
                ("use ", "a::", "b;"),
                ("type A = ", "<u8 as ", "u8"),
                ("", "yield ", "1"),
            ] {
                let unit = (depth(&piece.repeat(200)).0 - 1).div_ceil(200).max(1);
                meets_a_parser(&format!("{before}{}{behind}", piece.repeat(LIMIT / unit - 4)));
            }
        });
    }

    #[test]
    fn a_megabyte_that_a_parser_would_enter_does_not_meet_it() {
        on_the_kernels_stack(|| {
            for (before, piece) in [
                ("let v: ", "HashMap<u8, "),
                ("", "|a, b| "),
                ("", "if "),
                ("", "match "),
                ("", "yield "),
                ("let ", "a @ "),
                ("let v: ", "A<{ 1 }, "),
                ("", "for S {} in "),
            ] {
                let code = before.to_owned() + &piece.repeat(1_000_000 / piece.len());
                assert!(check(&code).is_err(), "{piece}");
                meets_a_parser(&code);
            }
        });
    }

    #[test]
    fn random_text_of_any_depth_ends_in_an_answer_or_an_error() {
        const TOKENS: [&str; 62] = [
            "(", ")", "[", "]", "{", "}", "<", ">", "|", "||", "&", "&&", "-", "+", "*", "!", "=", "=>",
            "->", ".", "..", "?", ":", "::", ";", ",", "@", "#", "$", "~", "'a", "'", "\"", "r#", "/*", "*/",
            "//", "1", "x", "S", "if ", "else ", "match ", "while ", "for ", "in ", "let ", "fn ", "mod ",
            "impl ", "dyn ", "as ", "return ", "yield ", "move ", "async ", "unsafe ", "const ", "static ",
            "ref ", "_", "\n",
        ];
        // xorshift64; the seed of a failure stands in the output.
        on_the_kernels_stack(|| {
            for seed in 1..=150_u64 {
                let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let mut next = |below: usize| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    usize::try_from(state % below as u64).unwrap()
                };
                let piece: String = (0..=next(6)).map(|_| TOKENS[next(TOKENS.len())]).collect();
                let before: String = (0..next(4)).map(|_| TOKENS[next(TOKENS.len())]).collect();
                println!("seed {seed}: {before:?}, then {piece:?} again and again");
                meets_a_parser(&(before + &piece.repeat(1_000_000 / piece.len())));
            }
        });
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
