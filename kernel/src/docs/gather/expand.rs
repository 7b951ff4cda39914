//! Expands the `macro_rules!` of a crate where they stand for items or members, as macros that write one method for each of
//! many names do. Bodies of functions are of no interest, so that neither hygiene nor every kind of fragment is.

use std::collections::{BTreeSet, HashMap};

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use syn::parse::{Parse, ParseStream, Parser};

/// How deep macros may call macros.
const DEPTH: usize = 16;

/// The macros that were met so far, by name; the last one of a name is meant.
#[derive(Debug, Default)]
pub(super) struct Macros(HashMap<String, Vec<Rule>>);

#[derive(Debug)]
struct Rule {
    pattern: Vec<Pattern>,
    body: TokenStream,
}

#[derive(Debug)]
enum Pattern {
    Token(String),
    Group(Delimiter, Vec<Pattern>),
    Variable { name: String, fragment: String },
    Repeat { inner: Vec<Pattern>, separator: Option<String>, at_most_one: bool, at_least_one: bool },
}

/// What a variable stands for.
#[derive(Debug, Clone)]
enum Bound {
    One(Vec<TokenTree>),
    Many(Vec<Bound>),
}

type Bindings = HashMap<String, Bound>;

impl Macros {
    /// Takes in `macro_rules! name { body }`; what is not understood stays unknown.
    pub(super) fn add(&mut self, name: &str, body: &TokenStream) {
        let mut rules = Vec::new();
        let tokens: Vec<TokenTree> = body.clone().into_iter().collect();
        for part in tokens.split(|token| is_sign(token, ';')) {
            let [TokenTree::Group(pattern), equals, greater, TokenTree::Group(body)] = part else { continue };
            if !is_sign(equals, '=') || !is_sign(greater, '>') {
                continue;
            }
            let Some(pattern) = patterns(&trees(pattern)) else { return };
            rules.push(Rule { pattern, body: body.stream() });
        }
        self.0.insert(name.to_owned(), rules);
    }

    /// The tokens that `name!(input)` stands for.
    pub(super) fn expand(&self, name: &str, input: &TokenStream) -> Option<TokenStream> {
        let input: Vec<TokenTree> = input.clone().into_iter().collect();
        self.0.get(name)?.iter().find_map(|rule| {
            let mut bindings = Bindings::new();
            let rest = matched(&rule.pattern, &input, &mut bindings)?;
            rest.is_empty().then(|| transcribe(&rule.body, &bindings, DEPTH)).flatten()
        })
    }
}

fn trees(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

fn is_sign(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

/// The left side of a rule.
fn patterns(tokens: &[TokenTree]) -> Option<Vec<Pattern>> {
    let mut patterns = Vec::new();
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        match (token, rest) {
            (dollar, [TokenTree::Ident(name), colon, TokenTree::Ident(fragment), after @ ..])
                if is_sign(dollar, '$') && is_sign(colon, ':') =>
            {
                patterns.push(Pattern::Variable { name: name.to_string(), fragment: fragment.to_string() });
                rest = after;
            }
            (dollar, [TokenTree::Group(group), after @ ..]) if is_sign(dollar, '$') => {
                let (separator, operator, after) = repetition(after)?;
                patterns.push(Pattern::Repeat {
                    inner: self::patterns(&trees(group))?,
                    separator: separator.map(|token| token.to_string()),
                    at_most_one: operator == '?',
                    at_least_one: operator == '+',
                });
                rest = after;
            }
            (TokenTree::Group(group), _) => {
                patterns.push(Pattern::Group(group.delimiter(), self::patterns(&trees(group))?));
            }
            (token, _) => patterns.push(Pattern::Token(token.to_string())),
        }
    }
    Some(patterns)
}

/// Separator and operator behind `$(…)`, and what follows them.
fn repetition(tokens: &[TokenTree]) -> Option<(Option<&TokenTree>, char, &[TokenTree])> {
    let operator = |token: &TokenTree| ['*', '+', '?'].into_iter().find(|sign| is_sign(token, *sign));
    match tokens {
        [first, rest @ ..] if operator(first).is_some() => Some((None, operator(first)?, rest)),
        [first, second, rest @ ..] => Some((Some(first), operator(second)?, rest)),
        _ => None,
    }
}

/// What is left of `tokens` behind what `patterns` match.
fn matched<'a>(
    patterns: &[Pattern],
    mut tokens: &'a [TokenTree],
    bindings: &mut Bindings,
) -> Option<&'a [TokenTree]> {
    for pattern in patterns {
        tokens = match pattern {
            Pattern::Token(text) => match tokens.split_first()? {
                (token, rest) if token.to_string() == *text => rest,
                _ => return None,
            },
            Pattern::Group(delimiter, inner) => match tokens.split_first()? {
                (TokenTree::Group(group), rest) if group.delimiter() == *delimiter => {
                    let inside = trees(group);
                    if !matched(inner, &inside, bindings)?.is_empty() {
                        return None;
                    }
                    rest
                }
                _ => return None,
            },
            Pattern::Variable { name, fragment } => {
                let length = fragment_length(fragment, tokens)?;
                bindings.insert(name.clone(), Bound::One(tokens[..length].to_vec()));
                &tokens[length..]
            }
            Pattern::Repeat { inner, separator, at_most_one, at_least_one } => {
                let mut rounds: Vec<Bindings> = Vec::new();
                loop {
                    let mut from = tokens;
                    if let (Some(separator), false) = (separator, rounds.is_empty()) {
                        match from.split_first() {
                            Some((token, rest)) if token.to_string() == *separator => from = rest,
                            _ => break,
                        }
                    }
                    let mut round = Bindings::new();
                    match matched(inner, from, &mut round) {
                        Some(rest) if rest.len() < from.len() => {
                            rounds.push(round);
                            tokens = rest;
                        }
                        _ => break,
                    }
                    if *at_most_one {
                        break;
                    }
                }
                if *at_least_one && rounds.is_empty() {
                    return None;
                }
                for name in names(inner) {
                    let all = rounds.iter().filter_map(|round| round.get(&name).cloned()).collect();
                    bindings.insert(name, Bound::Many(all));
                }
                tokens
            }
        };
    }
    Some(tokens)
}

/// The variables of a pattern.
fn names(patterns: &[Pattern]) -> Vec<String> {
    let mut found = Vec::new();
    for pattern in patterns {
        match pattern {
            Pattern::Token(_) => {}
            Pattern::Variable { name, .. } => found.push(name.clone()),
            Pattern::Group(_, inner) | Pattern::Repeat { inner, .. } => found.extend(names(inner)),
        }
    }
    found
}

/// How many of `tokens` the fragment takes.
fn fragment_length(fragment: &str, tokens: &[TokenTree]) -> Option<usize> {
    fn length_of<T: Parse>(tokens: &[TokenTree]) -> Option<usize> {
        parsed_length(tokens, |input| input.parse::<T>().map(drop))
    }
    match (fragment, tokens) {
        ("ident", [TokenTree::Ident(_), ..]) | ("tt", [_, ..]) | ("literal", [TokenTree::Literal(_), ..]) => {
            Some(1)
        }
        ("literal", [minus, TokenTree::Literal(_), ..]) if is_sign(minus, '-') => Some(2),
        ("literal", [TokenTree::Ident(word), ..]) if *word == "true" || *word == "false" => Some(1),
        ("lifetime", [quote, TokenTree::Ident(_), ..]) if is_sign(quote, '\'') => Some(2),
        ("block", [TokenTree::Group(group), ..]) if group.delimiter() == Delimiter::Brace => Some(1),
        ("ty", _) => length_of::<syn::Type>(tokens),
        ("expr" | "expr_2021", _) => length_of::<syn::Expr>(tokens),
        ("path", _) => length_of::<syn::Path>(tokens),
        ("vis", _) => length_of::<syn::Visibility>(tokens),
        ("item", _) => length_of::<syn::Item>(tokens),
        ("meta", _) => length_of::<syn::Meta>(tokens),
        ("pat" | "pat_param", _) => parsed_length(tokens, |input| syn::Pat::parse_single(input).map(drop)),
        _ => None,
    }
}

fn parsed_length(
    tokens: &[TokenTree],
    parse: impl FnOnce(ParseStream<'_>) -> syn::Result<()>,
) -> Option<usize> {
    let rest = |input: ParseStream<'_>| {
        parse(input)?;
        Ok(input.parse::<TokenStream>()?.into_iter().count())
    };
    let rest = rest.parse2(tokens.iter().cloned().collect()).ok()?;
    tokens.len().checked_sub(rest)
}

/// The right side of a rule with its variables filled in.
fn transcribe(body: &TokenStream, bindings: &Bindings, depth: usize) -> Option<TokenStream> {
    let depth = depth.checked_sub(1)?;
    let tokens: Vec<TokenTree> = body.clone().into_iter().collect();
    let mut rest = tokens.as_slice();
    let mut output = Vec::new();
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        match (token, rest) {
            (dollar, [TokenTree::Ident(name), after @ ..]) if is_sign(dollar, '$') => {
                rest = after;
                match bindings.get(&name.to_string()) {
                    Some(Bound::One(tokens)) => output.extend(tokens.iter().cloned()),
                    Some(Bound::Many(_)) => return None,
                    None if *name == "crate" => {
                        output.push(TokenTree::Ident(Ident::new("crate", Span::call_site())));
                    }
                    None => output.extend([dollar.clone(), TokenTree::Ident(name.clone())]),
                }
            }
            (dollar, [TokenTree::Group(group), after @ ..]) if is_sign(dollar, '$') => {
                let (separator, _, after) = repetition(after)?;
                rest = after;
                let mut used = BTreeSet::new();
                used_in(&group.stream(), &mut used);
                let lists = used.iter().filter_map(|name| match bindings.get(name) {
                    Some(Bound::Many(all)) => Some((name, all)),
                    _ => None,
                });
                let lists: Vec<(&String, &Vec<Bound>)> = lists.collect();
                let rounds = lists.iter().map(|(_, all)| all.len()).max()?;
                for round in 0..rounds {
                    let mut inner = bindings.clone();
                    for (name, all) in &lists {
                        inner.insert((*name).clone(), all.get(round)?.clone());
                    }
                    if let (Some(separator), 1..) = (separator, round) {
                        output.push(separator.clone());
                    }
                    output.extend(transcribe(&group.stream(), &inner, depth)?);
                }
            }
            (TokenTree::Group(group), _) => {
                let inner = transcribe(&group.stream(), bindings, depth)?;
                output.push(TokenTree::Group(Group::new(group.delimiter(), inner)));
            }
            (token, _) => output.push(token.clone()),
        }
    }
    Some(output.into_iter().collect())
}

/// The variables that `tokens` mention.
fn used_in(tokens: &TokenStream, names: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(name) if at > 0 && is_sign(&tokens[at - 1], '$') => {
                names.insert(name.to_string());
            }
            TokenTree::Group(group) => used_in(&group.stream(), names),
            _ => {}
        }
    }
}

/// `tokens` as one would write them, on one line.
pub(super) fn to_text(tokens: TokenStream) -> String {
    let mut text = String::new();
    let mut operator = String::new();
    write(tokens, &mut text, &mut operator);
    text
}

fn write(tokens: TokenStream, text: &mut String, operator: &mut String) {
    for token in tokens {
        let TokenTree::Punct(punct) = &token else {
            // What stood before a variable has lost what it was joint with.
            finish(text, operator);
            let piece = match &token {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Brace => (" { ", " }"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::None => ("", ""),
                    };
                    text.push_str(open);
                    write(group.stream(), text, &mut String::new());
                    text.push_str(close);
                    if group.delimiter() == Delimiter::Brace {
                        text.push(' ');
                    }
                    continue;
                }
                other => other.to_string(),
            };
            let before = text.chars().next_back().unwrap_or(' ');
            // A word behind a word, or behind the bracket that closes what it belongs to: `impl<T> A`, `#[a] pub`, `f() where`.
            let touches = is_word(before) && before != '\'' || matches!(before, '>' | ']' | ')');
            if touches && piece.starts_with(is_word) {
                text.push(' ');
            }
            text.push_str(&piece);
            continue;
        };
        operator.push(punct.as_char());
        if punct.spacing() == proc_macro2::Spacing::Joint && punct.as_char() != '\'' {
            continue;
        }
        finish(text, operator);
    }
    finish(text, operator);
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '"' | '\'')
}

/// Writes the operator that has been gathered.
fn finish(text: &mut String, operator: &mut String) {
    const SPACED: [&str; 10] = ["->", "=>", "=", "+", "|", "==", "+=", "/", "*=", "-="];
    let sign = std::mem::take(operator);
    if sign.is_empty() {
        return;
    }
    let is_spaced = SPACED.contains(&sign.as_str());
    let before = text.chars().next_back().unwrap_or(' ');
    let follows_word = sign.starts_with(['&', '\'', '#']) && is_word(before);
    if (is_spaced || follows_word) && before != ' ' {
        text.push(' ');
    }
    text.push_str(&sign);
    if is_spaced || matches!(sign.as_str(), "," | ":" | ";") {
        text.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(rules: &str, input: &str) -> Option<String> {
        let mut macros = Macros::default();
        macros.add("m", &rules.parse().unwrap());
        macros.expand("m", &input.parse().unwrap()).map(to_text)
    }

    #[test]
    fn members_are_written_once_for_each_name() {
        let setter = "($name:ident($field:ident)) => { pub fn $name(mut self, n: Expr) -> Self { self.$field = n; self } };";
        let text = expanded(setter, "with_year(year)").unwrap();
        assert!(text.starts_with("pub fn with_year(mut self, n: Expr) -> Self { "), "{text}");
        let many = "($($(#[$meta:meta])* $name:ident: $ty:ty = $value:expr),+ $(,)?) => {
            $(impl Thing for $ty { fn $name(&'static self) -> Option<$ty> { $value } })+ }";
        let text = expanded(many, "a: u8 = 1 + 1, #[inline] b: &'a Vec<u16> = f(2),").unwrap();
        assert_eq!(
            text.split_whitespace().collect::<Vec<_>>().join(" "),
            "impl Thing for u8 { fn a(&'static self) -> Option<u8> { 1 + 1 } } \
             impl Thing for &'a Vec<u16> { fn b(&'static self) -> Option<&'a Vec<u16>> { f(2) } }"
        );
    }

    #[test]
    fn the_first_rule_that_fits_is_taken_and_what_fits_none_is_nothing() {
        let rules = "(@inner $a:tt) => { fn inner() {} }; ($a:ident) => { fn $a() {} }; () => {}";
        assert!(expanded(rules, "@inner x").unwrap().starts_with("fn inner()"));
        assert!(expanded(rules, "x").unwrap().starts_with("fn x()"));
        assert_eq!(expanded(rules, "").as_deref(), Some(""));
        assert_eq!(expanded(rules, "1 2"), None);
    }
}
