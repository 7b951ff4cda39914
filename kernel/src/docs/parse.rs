//! The one way from text that somebody wrote to a syntax tree.

use super::outline::LONGEST;
use crate::nesting;

/// How deep code may be nested, as [`nesting::depth`] counts, that completion looks into. Parsing, walking and dropping a tree take a
/// few kB of stack for each level.
const DEEPEST: usize = 256;

/// What `parser` makes of `text`. `None` where that is not what it expects, longer than [`LONGEST`] or deeper than [`DEEPEST`].
pub(super) fn parse<T>(text: &str, parser: impl FnOnce(&str) -> syn::Result<T>) -> Option<T> {
    (text.len() <= LONGEST && is_shallow(text)).then(|| parser(text).ok()).flatten()
}

/// Whether `text` can be parsed without a thought for the stack.
pub(super) fn is_shallow(text: &str) -> bool {
    nesting::depth(text).0 <= DEEPEST
}
