//! The short form of a search, as a person types it.

use std::fmt;

use winnow::Parser;
use winnow::combinator::{cut_err, eof, fail, opt, separated, terminated};
use winnow::error::{ContextError, ModalResult, StrContext, StrContextValue};
use winnow::stream::{Stateful, Stream};
use winnow::token::{literal, take_while};

use super::{Expression, Filter, Operator, joined, negated};
use crate::error::{Error, Result};

/// The text, and how many parentheses are open.
type Input<'a> = Stateful<&'a str, usize>;

/// Deeper ones are refused: nobody types them, and each costs stack.
const MAX_DEPTH: usize = 64;

/// Words that mean something; a name or text that is one of them stands in quotes.
const RESERVED: [&str; 6] = ["and", "or", "not", "in", "contains", "exists"];

const NAME: &str = "a name (in quotes if it has blanks)";
const VALUE: &str = "a value (in quotes if it has blanks)";
const COMPARISON: &str =
    "a comparison: =, !=, <, <=, >, >=, contains, in (…), exists, or not before the last three";
const GOES_ON: &str = "'and', 'or' or the end (names and texts with blanks stand in quotes)";
const GOES_ON_WITHIN: &str = "'and', 'or' or a closing parenthesis";
const LIST: &str = "a list in parentheses: (a, b, …)";
const LIST_GOES_ON: &str = "a comma or a closing parenthesis";
const QUOTE: &str = "text in quotes that are closed";
const TOO_DEEP: &str = "at most 64 parentheses within one another";

/// # Errors
/// [`Error::Argument`] with the place where it cannot be read.
pub(super) fn parse(text: &str) -> Result<Expression> {
    let input = Stateful { input: text, state: 0 };
    let mut whole = terminated(any_of, (blanks, eof.context(expected(GOES_ON))));
    whole.parse(input).map_err(|error| {
        let what = error.inner().context().find_map(|context| match context {
            StrContext::Expected(StrContextValue::Description(what)) => Some(*what),
            _ => None,
        });
        pointing_at(text, error.offset(), what.unwrap_or(GOES_ON))
    })
}

/// The error that shows the place, the line with a caret under it.
fn pointing_at(text: &str, offset: usize, expected: &str) -> Error {
    let offset = text.floor_char_boundary(offset.min(text.len()));
    let line_start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let before = text[line_start..offset].chars().count();
    let rest = &text[offset..];
    let got = match rest.chars().next() {
        None => "the end".to_owned(),
        Some(_) => {
            let word: String = rest.chars().take_while(|&c| is_bare(c)).take(40).collect();
            let first = rest.chars().take(1).collect();
            format!("'{}'", if word.is_empty() { first } else { word })
        }
    };
    let position = text[..offset].chars().count() + 1;
    let got = format!(
        "{got} at character {position}\n    {line}\n    {space}^",
        // A width in a format may be 65,535 at most, and a text longer.
        space = " ".repeat(before)
    );
    Error::argument("search", expected, got)
}

fn expected(what: &'static str) -> StrContext {
    StrContext::Expected(StrContextValue::Description(what))
}

/// Fails for good, at what comes next.
fn wrong<'a, T>(input: &mut Input<'a>, what: &'static str) -> ModalResult<T> {
    blanks.parse_next(input)?;
    cut_err(fail::<Input<'a>, T, _>.context(expected(what))).parse_next(input)
}

/// `all or all or …`
fn any_of(input: &mut Input<'_>) -> ModalResult<Expression> {
    let terms: Vec<_> = separated(1.., all_of, keyword("or")).parse_next(input)?;
    Ok(joined(terms, Expression::Any))
}

/// `term and term and …`
fn all_of(input: &mut Input<'_>) -> ModalResult<Expression> {
    let terms: Vec<_> = separated(1.., term, keyword("and")).parse_next(input)?;
    Ok(joined(terms, Expression::All))
}

/// `not term`, `(any_of)`, `any LIST (any_of)` or a comparison. A failure in here is final: something has to stand here.
fn term(input: &mut Input<'_>) -> ModalResult<Expression> {
    let mut is_negated = false;
    while opt(keyword("not")).parse_next(input)?.is_some() {
        is_negated = !is_negated;
    }
    blanks.parse_next(input)?;
    let inner = if opt(literal("(")).parse_next(input)?.is_some() {
        group(input)?
    } else if let Some(list) = opt(nested_list).parse_next(input)? {
        Expression::Nested { list, condition: Box::new(group(input)?) }
    } else {
        comparison(input)?
    };
    Ok(if is_negated { negated(inner) } else { inner })
}

/// What stands behind an opening parenthesis, and the closing one.
fn group(input: &mut Input<'_>) -> ModalResult<Expression> {
    input.state += 1;
    if input.state > MAX_DEPTH {
        return wrong(input, TOO_DEEP);
    }
    let inner = any_of(input)?;
    input.state -= 1;
    blanks.parse_next(input)?;
    cut_err(literal(")").context(expected(GOES_ON_WITHIN))).parse_next(input)?;
    Ok(inner)
}

/// `any LIST (`
fn nested_list(input: &mut Input<'_>) -> ModalResult<String> {
    let (_, list, _, _) = (keyword("any"), word, blanks, literal("(")).parse_next(input)?;
    Ok(list)
}

fn comparison(input: &mut Input<'_>) -> ModalResult<Expression> {
    let name = required_word(input, NAME)?;
    blanks.parse_next(input)?;
    let is_negated = opt(keyword("not")).parse_next(input)?.is_some();
    let filter = |operator, values| Expression::Filter(Filter { name: name.clone(), operator, values });
    if opt(keyword("exists")).parse_next(input)?.is_some() {
        let operator = if is_negated { Operator::NotExists } else { Operator::Exists };
        return Ok(filter(operator, Vec::new()));
    }
    let found = if opt(keyword("in")).parse_next(input)?.is_some() {
        filter(Operator::In, list(input)?)
    } else if opt(keyword("contains")).parse_next(input)?.is_some() {
        filter(Operator::Contains, vec![required_word(input, VALUE)?])
    } else if !is_negated && let Some(operator) = opt(symbol).parse_next(input)? {
        filter(operator, vec![required_word(input, VALUE)?])
    } else {
        return wrong(input, COMPARISON);
    };
    Ok(if is_negated { negated(found) } else { found })
}

fn symbol(input: &mut Input<'_>) -> ModalResult<Operator> {
    let text = take_while(1..=2, ['<', '>', '=', '!']).parse_next(input)?;
    match text {
        "=" | "==" => Ok(Operator::Equals),
        "!=" | "<>" => Ok(Operator::NotEquals),
        "<" => Ok(Operator::LessThan),
        "<=" => Ok(Operator::LessThanOrEqualTo),
        ">" => Ok(Operator::GreaterThan),
        ">=" => Ok(Operator::GreaterThanOrEqualTo),
        _ => fail.parse_next(input),
    }
}

/// `(a, b, …)`
fn list(input: &mut Input<'_>) -> ModalResult<Vec<String>> {
    blanks.parse_next(input)?;
    cut_err(literal("(").context(expected(LIST))).parse_next(input)?;
    let mut values = vec![required_word(input, VALUE)?];
    loop {
        blanks.parse_next(input)?;
        if opt(literal(")")).parse_next(input)?.is_some() {
            return Ok(values);
        }
        cut_err(literal(",").context(expected(LIST_GOES_ON))).parse_next(input)?;
        values.push(required_word(input, VALUE)?);
    }
}

fn blanks(input: &mut Input<'_>) -> ModalResult<()> {
    take_while(0.., char::is_whitespace).void().parse_next(input)
}

fn keyword<'a>(keyword: &'static str) -> impl Parser<Input<'a>, (), winnow::error::ErrMode<ContextError>> {
    let found = take_while(1.., is_bare).verify(move |word: &str| word.eq_ignore_ascii_case(keyword));
    (blanks, found).void()
}

/// A name or a value: in quotes, or bare and not reserved. What is missing is `what`.
fn required_word(input: &mut Input<'_>, what: &'static str) -> ModalResult<String> {
    match opt(word).parse_next(input)? {
        Some(word) => Ok(word),
        None => wrong(input, what),
    }
}

fn word(input: &mut Input<'_>) -> ModalResult<String> {
    blanks.parse_next(input)?;
    if matches!(input.peek_token(), Some('"' | '\'')) {
        return quoted(input);
    }
    take_while(1.., is_bare)
        .verify(|word: &str| !is_reserved(word))
        .map(|word: &str| word.to_owned())
        .parse_next(input)
}

/// In it a backslash makes the quote, or itself, part of the text; before anything else it is only a backslash.
fn quoted(input: &mut Input<'_>) -> ModalResult<String> {
    let start = input.checkpoint();
    let quote = input.next_token();
    let mut text = String::new();
    while let Some(c) = input.next_token() {
        if Some(c) == quote {
            return Ok(text);
        }
        let escapes = c == '\\' && input.peek_token().is_some_and(|next| next == '\\' || Some(next) == quote);
        text.extend(if escapes { input.next_token() } else { Some(c) });
    }
    input.reset(&start);
    wrong(input, QUOTE)
}

fn is_bare(c: char) -> bool {
    !c.is_whitespace() && !"(){}<>=!,\"'".contains(c)
}

fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| word.eq_ignore_ascii_case(reserved))
}

/// Writes a name or a value so that it is read as one.
pub(super) fn write_word(f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
    if !word.is_empty() && word.chars().all(is_bare) && !is_reserved(word) {
        return f.write_str(word);
    }
    f.write_str("'")?;
    for c in word.chars() {
        if matches!(c, '\'' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("'")
}
