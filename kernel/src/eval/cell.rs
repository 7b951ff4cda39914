//! A cell taken apart: items that later cells see too, statements, and the last expression, whose value is shown.

use std::collections::BTreeSet;
use std::ops::Range;

use proc_macro2::{LineColumn, TokenStream, TokenTree};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{Block, Expr, Pat, Stmt};

use super::item::CellItem;

/// One cell's code in the parts that code generation needs. All ranges are bytes of `source`.
#[derive(Debug)]
pub(crate) struct Cell {
    /// The code as it is compiled: the user's, with a last `;` added where one was forgotten.
    pub(crate) source: String,
    /// Functions, types, imports …
    pub(crate) items: Vec<CellItem>,
    /// Runs of statements with no item between them.
    pub(crate) statements: Vec<Range<usize>>,
    /// The last expression, when no `;` follows it.
    pub(crate) tail: Option<Range<usize>>,
    /// What the cell's own `let`s name.
    pub(crate) variables: Vec<NewVariable>,
    /// Those `let`s, in their order.
    pub(crate) bindings: Vec<Binding>,
    /// Names that are assigned to somewhere.
    pub(crate) assigned: BTreeSet<String>,
    /// Each identifier that occurs, also in format strings: the variables among them are lent to the cell.
    pub(crate) words: BTreeSet<String>,
}

/// A variable made by a `let` at the top level of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewVariable {
    pub(crate) name: String,
    /// The type as the user wrote it, if it can be written again in a later cell as it stands.
    pub(crate) ty: Option<String>,
}

/// A `let` at the top level of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    /// The byte behind its `;`.
    pub(crate) end: usize,
    /// What it names.
    pub(crate) names: Vec<String>,
    /// Whether it gives a value at once.
    pub(crate) has_value: bool,
}

/// Where and why a cell is not Rust. Lines count from 1, columns from 0.
#[derive(Debug)]
pub(crate) struct ParseError {
    pub(crate) message: String,
    pub(crate) start: LineColumn,
    pub(crate) end: LineColumn,
    /// The code ended before the construct did.
    pub(crate) at_end: bool,
}

/// Takes `source` apart.
///
/// # Errors
/// [`ParseError`] with the place in the cell.
pub(crate) fn parse(source: &str) -> Result<Cell, ParseError> {
    // Positions of earlier cells are never asked for again: without this the table of sources only grows.
    proc_macro2::extra::invalidate_current_thread_spans();
    let mut source = source.to_owned();
    let tokens = match parse_statements(&source) {
        Ok(statements) => statements,
        Err(error) => {
            let parsed = error.at_end.then(|| parse_statements(&format!("{source}\n;")).ok()).flatten();
            source.push_str("\n;");
            parsed.ok_or(error)?
        }
    };
    let (statements, words) = tokens;
    Ok(split(source, statements, words))
}

fn parse_statements(source: &str) -> Result<(Vec<Stmt>, BTreeSet<String>), ParseError> {
    let end = end_of(source);
    let fail = |error: syn::Error| {
        let (start, stop) = (error.span().start(), error.span().end());
        // Behind the last token syn has no place to name: it gives an empty one at the beginning.
        let at_end = start == stop;
        let (start, stop) = if at_end { (end, end) } else { (start, stop) };
        let message = error.to_string();
        ParseError { message, start, end: stop, at_end }
    };
    let tokens: TokenStream = source.parse().map_err(|error: proc_macro2::LexError| fail(error.into()))?;
    let mut words = BTreeSet::new();
    collect_words(tokens.clone(), &mut words);
    let statements = Block::parse_within.parse2(tokens).map_err(fail)?;
    Ok((statements, words))
}

fn split(source: String, statements: Vec<Stmt>, words: BTreeSet<String>) -> Cell {
    let mut cell = Cell {
        source,
        items: Vec::new(),
        statements: Vec::new(),
        tail: None,
        variables: Vec::new(),
        bindings: Vec::new(),
        assigned: assigned(&statements),
        words,
    };
    let last = statements.len().wrapping_sub(1);
    let mut joined = false;
    for (index, statement) in statements.into_iter().enumerate() {
        let range = statement.span().byte_range();
        let statement = match statement {
            // It stands where statements stand, but declares statics.
            Stmt::Macro(call)
                if call.mac.path.segments.last().is_some_and(|last| last.ident == "thread_local") =>
            {
                Stmt::Item(syn::Item::Macro(syn::ItemMacro {
                    attrs: call.attrs,
                    ident: None,
                    mac: call.mac,
                    semi_token: call.semi_token,
                }))
            }
            other => other,
        };
        match statement {
            Stmt::Item(item) => {
                cell.items.push(CellItem::new(item, &cell.source));
                joined = false;
                continue;
            }
            Stmt::Expr(ref expr, None) if index == last && !is_silent(expr) => {
                cell.tail = Some(range);
                continue;
            }
            Stmt::Macro(ref call)
                if index == last && call.semi_token.is_none() && !is_silent_macro(&call.mac.path) =>
            {
                cell.tail = Some(range);
                continue;
            }
            Stmt::Local(ref local) => {
                let mut own = Vec::new();
                new_variables(&local.pat, &cell.source, &mut own);
                let names: Vec<String> = own.iter().map(|variable| variable.name.clone()).collect();
                // A name that is bound again moves to the end.
                cell.variables.retain(|variable| !names.contains(&variable.name));
                cell.variables.append(&mut own);
                cell.bindings.push(Binding { end: range.end, names, has_value: local.init.is_some() });
            }
            _ => {}
        }
        match cell.statements.last_mut() {
            Some(run) if joined => run.end = range.end,
            _ => cell.statements.push(range),
        }
        joined = true;
    }
    if cell.statements.last().is_some_and(|run| run.start == run.end) {
        cell.statements.pop();
    }
    cell
}

/// Expressions that have no value to show, or never come back: as a statement rustc infers them more gladly.
fn is_silent(expr: &Expr) -> bool {
    match expr {
        Expr::Macro(call) => is_silent_macro(&call.mac.path),
        Expr::Return(_) | Expr::ForLoop(_) | Expr::While(_) | Expr::Assign(_) | Expr::Verbatim(_) => true,
        _ => false,
    }
}

fn is_silent_macro(path: &syn::Path) -> bool {
    const SILENT: [&str; 12] = [
        "assert",
        "assert_eq",
        "assert_ne",
        "eprint",
        "eprintln",
        "panic",
        "print",
        "println",
        "todo",
        "unimplemented",
        "unreachable",
        "debug_assert",
    ];
    path.segments.last().is_some_and(|segment| SILENT.iter().any(|name| segment.ident == name))
}

/// The variables that `statements` assign to, whole, at any depth.
fn assigned(statements: &[Stmt]) -> BTreeSet<String> {
    struct Assigned(BTreeSet<String>);
    impl Visit<'_> for Assigned {
        fn visit_expr_assign(&mut self, assign: &syn::ExprAssign) {
            if let Expr::Path(path) = &*assign.left
                && let Some(name) = path.path.get_ident()
            {
                self.0.insert(name.to_string());
            }
            syn::visit::visit_expr_assign(self, assign);
        }
    }
    let mut assigned = Assigned(BTreeSet::new());
    statements.iter().for_each(|statement| assigned.visit_stmt(statement));
    assigned.0
}

/// Adds the names that `pattern` binds, each once.
fn new_variables(pattern: &Pat, source: &str, variables: &mut Vec<NewVariable>) {
    struct Bindings<'a>(&'a mut Vec<NewVariable>);
    impl Visit<'_> for Bindings<'_> {
        fn visit_pat_ident(&mut self, binding: &syn::PatIdent) {
            let name = binding.ident.to_string();
            // `None` and constants look like bindings; a variable with a capital letter is not Rust's way.
            if !name.starts_with(char::is_uppercase) {
                self.0.retain(|variable| variable.name != name);
                self.0.push(NewVariable { name, ty: None });
            }
            syn::visit::visit_pat_ident(self, binding);
        }
        fn visit_expr(&mut self, _: &Expr) {}
    }
    Bindings(variables).visit_pat(pattern);
    if let (Pat::Type(typed), Some(variable)) = (pattern, variables.last_mut())
        && let Pat::Ident(binding) = &*typed.pat
        && binding.ident == variable.name
        && is_whole(&typed.ty)
    {
        variable.ty = source.get(typed.ty.span().byte_range()).map(str::to_owned);
    }
}

/// Whether a type says everything: nothing left to infer, no lifetime left out.
fn is_whole(ty: &syn::Type) -> bool {
    struct Whole(bool);
    impl Visit<'_> for Whole {
        fn visit_type_infer(&mut self, _: &syn::TypeInfer) {
            self.0 = false;
        }
        fn visit_type_reference(&mut self, _: &syn::TypeReference) {
            self.0 = false;
        }
        fn visit_lifetime(&mut self, _: &syn::Lifetime) {
            self.0 = false;
        }
        fn visit_type_macro(&mut self, _: &syn::TypeMacro) {
            self.0 = false;
        }
    }
    let mut whole = Whole(true);
    whole.visit_type(ty);
    whole.0
}

/// Adds each identifier of `tokens`, and those that format strings name as `{x}` or `{x:?}`.
pub(super) fn collect_words(tokens: TokenStream, words: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                words.insert(ident.to_string().trim_start_matches("r#").to_owned());
            }
            TokenTree::Group(group) => collect_words(group.stream(), words),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                for piece in text.split(['{', '$', ':', '.']).skip(1) {
                    let name: String =
                        piece.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if !name.is_empty() {
                        words.insert(name);
                    }
                }
                // A width or precision, `{:width$}`, stands before its `$`.
                words.extend(text.split('$').filter_map(|piece| {
                    let start =
                        piece.rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |at| at + 1);
                    piece.get(start..).filter(|name| !name.is_empty()).map(str::to_owned)
                }));
            }
            TokenTree::Punct(_) => {}
        }
    }
}

fn end_of(source: &str) -> LineColumn {
    let trimmed = source.trim_end();
    let last_line = trimmed.rsplit('\n').next().unwrap_or_default();
    LineColumn { line: trimmed.matches('\n').count() + 1, column: last_line.chars().count() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(cell: &Cell) -> Vec<&str> {
        cell.variables.iter().map(|variable| variable.name.as_str()).collect()
    }

    #[test]
    fn items_statements_and_the_tail_are_told_apart() {
        let cell = parse("use std::fmt;\nlet a = 1;\nfn f() {}\nlet b = a;\nf();\na + b").unwrap();
        assert_eq!(cell.items.len(), 2);
        let text: Vec<_> = cell.statements.iter().map(|run| &cell.source[run.clone()]).collect();
        assert_eq!(text, ["let a = 1;", "let b = a;\nf();"]);
        assert_eq!(cell.tail.clone().map(|tail| &cell.source[tail]), Some("a + b"));
        assert_eq!(names(&cell), ["a", "b"]);
    }

    #[test]
    fn patterns_bind_their_names_once() {
        let cell = parse(
            "let (mut a, [b, ..], P { x, y: z }) = f(); let Some(q) = g() else { return Ok(()) }; let a = 2;",
        )
        .unwrap();
        assert_eq!(names(&cell), ["b", "x", "z", "q", "a"]);
    }

    #[test]
    fn only_a_whole_type_is_taken_as_written() {
        let cell = parse("let a: Vec<u8> = f(); let b: Vec<_> = f(); let c: &str = g();").unwrap();
        let types: Vec<_> = cell.variables.iter().map(|v| v.ty.is_some()).collect();
        assert_eq!(types, [true, false, false]);
    }

    #[test]
    fn a_forgotten_last_semicolon_is_added() {
        let cell = parse("let a = 1").unwrap();
        assert_eq!(names(&cell), ["a"]);
        assert!(cell.tail.is_none());
    }

    #[test]
    fn words_come_from_format_strings_too() {
        let cell = parse(r#"println!("{a:?} {{}} {b:>w$.p$}", c.d)"#).unwrap();
        for word in ["a", "b", "w", "p", "c", "d"] {
            assert!(cell.words.contains(word), "{word} is missing from {:?}", cell.words);
        }
    }

    #[test]
    fn an_error_says_where() {
        let error = parse("let a = 1;\nlet b = = 2;").unwrap_err();
        assert_eq!((error.start.line, error.start.column, error.at_end), (2, 8, false));
        assert!(parse("fn f(").unwrap_err().at_end || parse("fn f(").is_err());
    }
}
