//! Signatures and documentation as text.

use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Lit, Meta, Token};

/// The documentation comment among `attributes`.
pub(super) fn docs(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
        {
            lines.extend(literal(&pair.value));
        }
    }
    // `/// text` carries the space behind the slashes.
    let by_one =
        lines.iter().flat_map(|text| text.lines()).all(|line| line.is_empty() || line.starts_with(' '));
    let lines = lines.iter().flat_map(|text| if text.is_empty() { vec![""] } else { text.lines().collect() });
    let lines: Vec<&str> =
        lines.map(|line| if by_one { line.strip_prefix(' ').unwrap_or(line) } else { line }).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// A text as a literal, or put together by `concat!` and `stringify!`, as macros do.
fn literal(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        Expr::Macro(call) if call.mac.path.is_ident("stringify") => Some(call.mac.tokens.to_string()),
        Expr::Macro(call) if call.mac.path.is_ident("concat") => {
            let parts =
                Punctuated::<Expr, Token![,]>::parse_terminated.parse2(call.mac.tokens.clone()).ok()?;
            parts.iter().map(literal).collect()
        }
        _ => None,
    }
}

/// The source of `node` on one line.
pub(super) fn of(source: &str, node: &impl Spanned) -> String {
    one_line(source.get(node.span().byte_range()).unwrap_or_default())
}

/// `text` with each run of white space as one space, and none inside brackets' edges; without comments.
pub(super) fn one_line(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(line));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let mut text = words.join(" ");
    for (from, to) in
        [("( ", "("), (", )", ")"), (",)", ")"), (" )", ")"), ("< ", "<"), (", >", ">"), (" ,", ",")]
    {
        text = text.replace(from, to);
    }
    text.trim_end_matches(',').to_owned()
}
