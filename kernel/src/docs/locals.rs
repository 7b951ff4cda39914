//! The names that a cell's own code has bound at the cursor: by `let`, `for`, `if let`, `match`, as parameters of closures and
//! functions. The code up to the cursor is closed in the ways that it may go on, parsed, and walked down to the cursor.

use std::borrow::Cow;

use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::visit::Visit;
use syn::{Block, Expr, FnArg, Pat, Signature, Stmt, Token};

use super::Ty;
use super::infer::{Inference, segments};
use super::outline::Outline;
use super::parse::is_shallow;
use super::scope::Scope;

/// What stands for the word at the cursor.
const CURSOR: &str = "__glisten_cursor";

/// A name with its type, where that is known. Of two with the same name the later one is meant.
pub(super) type Binding = (String, Option<Ty>);

/// The names bound at the end of `before`, the code up to the word `word` at the cursor. `None` where it cannot be parsed.
pub(super) fn at_end_of(scope: &Scope<'_>, before: &str, word: &str) -> Option<Vec<Binding>> {
    bound_in(scope, Outline::of(before, word)?)
}

/// The names bound at the end of `outline`.
pub(super) fn bound_in(scope: &Scope<'_>, outline: Outline) -> Option<Vec<Binding>> {
    let statements = close(&outline)?;
    let mut walk = Walk::new(scope);
    for statement in &statements {
        walk.visit_stmt(statement);
    }
    // Of what is not asked for, only the name.
    let mut found: Vec<Binding> = outline.names.into_iter().map(|name| (name, None)).collect();
    found.extend(walk.found?);
    Some(found)
}

/// What `pattern` binds in a value of type `ty`.
pub(super) fn bindings(scope: &Scope<'_>, pattern: &Pat, ty: Option<Ty>) -> Vec<Binding> {
    let mut walk = Walk::new(scope);
    walk.bind(pattern, ty);
    walk.bound
}

/// The code with a word at its end and everything closed that is open there.
fn close(outline: &Outline) -> Option<Vec<Stmt>> {
    let Outline { text: before, closers, .. } = outline;
    if !is_shallow(before) {
        return None;
    }
    // The expression may be whole; a statement; the head of an `if`, `for` or `match`; the guard or the pattern of an arm.
    for ends_statement in [false, true] {
        for suffix in ["", ";", " {}", " => {}", " {};"] {
            let mut text = format!("{before}{CURSOR}{suffix}");
            for (at, closer) in closers.iter().enumerate() {
                text.push(*closer);
                let in_block = closers.get(at + 1).is_none_or(|next| *next == '}');
                if ends_statement && in_block && *closer != '}' {
                    text.push(';');
                }
            }
            text.push(';');
            if let Ok(statements) = Block::parse_within.parse_str(&text) {
                return Some(statements);
            }
        }
    }
    None
}

struct Walk<'a> {
    scope: &'a Scope<'a>,
    /// What is bound where the walk is, the nearest last.
    bound: Vec<Binding>,
    /// Types of the parameters of the closure that is visited next.
    hints: Option<Vec<Option<Ty>>>,
    found: Option<Vec<Binding>>,
}

impl<'a> Walk<'a> {
    fn new(scope: &'a Scope<'a>) -> Self {
        Self { scope, bound: Vec::new(), hints: None, found: None }
    }

    fn inference(&self) -> Inference<'_> {
        Inference::among(self.scope, Cow::Borrowed(&self.bound))
    }

    fn ty_of(&self, expr: &Expr) -> Option<Ty> {
        self.inference().of_expr(expr)
    }

    fn within(&mut self, visit: impl FnOnce(&mut Self)) {
        let outer = self.bound.len();
        visit(self);
        self.bound.truncate(outer);
    }

    fn add(&mut self, name: String, ty: Option<Ty>) {
        self.bound.push((name, ty.filter(Ty::is_small)));
    }

    /// Binds what `pattern` names in a value of type `ty`.
    fn bind(&mut self, pattern: &Pat, ty: Option<Ty>) {
        match pattern {
            Pat::Ident(binding) => {
                let name = binding.ident.to_string();
                if let Some((_, inner)) = &binding.subpat {
                    self.bind(inner, ty.clone());
                }
                if name != CURSOR && !name.starts_with(char::is_uppercase) {
                    self.add(name, ty);
                }
            }
            Pat::Type(typed) => {
                let written = self.scope.of_syntax(&typed.ty);
                self.bind(&typed.pat, written.or(ty));
            }
            Pat::Reference(inner) => self.bind(&inner.pat, ty),
            Pat::Paren(inner) => self.bind(&inner.pat, ty),
            Pat::Or(cases) => {
                if let Some(first) = cases.cases.first() {
                    self.bind(first, ty);
                }
            }
            Pat::Tuple(tuple) => {
                let parts = ty.filter(|ty| ty.name == "()").map(|ty| ty.args).unwrap_or_default();
                for (at, element) in tuple.elems.iter().enumerate() {
                    self.bind(element, parts.get(at).cloned().filter(|ty| !ty.name.is_empty()));
                }
            }
            Pat::Slice(slice) => {
                let element = ty.and_then(|ty| self.inference().element(&ty));
                slice.elems.iter().for_each(|pattern| self.bind(pattern, element.clone()));
            }
            Pat::TupleStruct(variant) => {
                let name = variant.path.segments.last().map(|segment| segment.ident.to_string());
                let args = ty.map(|ty| ty.args).unwrap_or_default();
                let inner = match name.as_deref() {
                    Some("Some" | "Ok") => args.into_iter().next(),
                    Some("Err") => args.into_iter().nth(1),
                    _ => None,
                };
                let inner = inner.filter(|ty| !ty.name.is_empty());
                variant.elems.iter().for_each(|pattern| self.bind(pattern, inner.clone()));
            }
            Pat::Struct(fields) => {
                let ty = self.inference().named(&segments(&fields.path)).or(ty);
                for field in &fields.fields {
                    let syn::Member::Named(name) = &field.member else { continue };
                    let ty = ty.as_ref().and_then(|ty| self.inference().field(ty, &name.to_string()));
                    self.bind(&field.pat, ty);
                }
            }
            _ => {}
        }
    }

    fn parameters(&mut self, signature: &Signature, own: Option<&Ty>) {
        for input in &signature.inputs {
            match input {
                FnArg::Receiver(_) => self.add("self".to_owned(), own.cloned()),
                FnArg::Typed(typed) => {
                    let ty = self.scope.of_syntax(&typed.ty);
                    self.bind(&typed.pat, ty);
                }
            }
        }
    }

    /// A function's body sees nothing of what stands around it.
    fn function(&mut self, signature: &Signature, block: &Block, own: Option<&Ty>) {
        let outer = std::mem::take(&mut self.bound);
        self.parameters(signature, own);
        self.visit_block(block);
        self.bound = outer;
    }
}

impl Visit<'_> for Walk<'_> {
    fn visit_ident(&mut self, ident: &proc_macro2::Ident) {
        if ident == CURSOR && self.found.is_none() {
            self.found = Some(self.bound.clone());
        }
    }

    fn visit_block(&mut self, block: &Block) {
        self.within(|walk| syn::visit::visit_block(walk, block));
    }

    fn visit_local(&mut self, local: &syn::Local) {
        if let Some(init) = &local.init {
            self.visit_expr(&init.expr);
            if let Some((_, diverge)) = &init.diverge {
                self.visit_expr(diverge);
            }
        }
        syn::visit::visit_pat(self, &local.pat);
        let ty = local.init.as_ref().and_then(|init| self.ty_of(&init.expr));
        self.bind(&local.pat, ty);
    }

    fn visit_expr_let(&mut self, condition: &syn::ExprLet) {
        self.visit_expr(&condition.expr);
        let ty = self.ty_of(&condition.expr);
        self.bind(&condition.pat, ty);
    }

    fn visit_expr_if(&mut self, branch: &syn::ExprIf) {
        self.within(|walk| {
            walk.visit_expr(&branch.cond);
            walk.visit_block(&branch.then_branch);
        });
        if let Some((_, otherwise)) = &branch.else_branch {
            self.visit_expr(otherwise);
        }
    }

    fn visit_expr_while(&mut self, repeat: &syn::ExprWhile) {
        self.within(|walk| {
            walk.visit_expr(&repeat.cond);
            walk.visit_block(&repeat.body);
        });
    }

    fn visit_expr_for_loop(&mut self, repeat: &syn::ExprForLoop) {
        self.visit_expr(&repeat.expr);
        let element = self.ty_of(&repeat.expr).and_then(|ty| self.inference().element(&ty));
        self.within(|walk| {
            walk.bind(&repeat.pat, element);
            walk.visit_block(&repeat.body);
        });
    }

    fn visit_expr_match(&mut self, choice: &syn::ExprMatch) {
        self.visit_expr(&choice.expr);
        let ty = self.ty_of(&choice.expr);
        for arm in &choice.arms {
            self.within(|walk| {
                walk.bind(&arm.pat, ty.clone());
                syn::visit::visit_arm(walk, arm);
            });
        }
    }

    fn visit_expr_closure(&mut self, closure: &syn::ExprClosure) {
        let hints = self.hints.take().unwrap_or_default();
        self.within(|walk| {
            for (at, input) in closure.inputs.iter().enumerate() {
                walk.bind(input, hints.get(at).cloned().flatten());
            }
            walk.visit_expr(&closure.body);
        });
    }

    fn visit_expr_method_call(&mut self, call: &syn::ExprMethodCall) {
        self.visit_expr(&call.receiver);
        self.visit_ident(&call.method);
        let mut hints = self.inference().closure_parameters(call);
        for (at, argument) in call.args.iter().enumerate() {
            self.hints = hints.remove(&at);
            self.visit_expr(argument);
            self.hints = None;
        }
    }

    fn visit_item_fn(&mut self, item: &syn::ItemFn) {
        self.function(&item.sig, &item.block, None);
    }

    fn visit_item_impl(&mut self, item: &syn::ItemImpl) {
        let own = self.scope.of_syntax(&item.self_ty);
        for member in &item.items {
            match member {
                syn::ImplItem::Fn(function) => self.function(&function.sig, &function.block, own.as_ref()),
                other => self.visit_impl_item(other),
            }
        }
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        let arguments = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(call.tokens.clone());
        match arguments {
            Ok(arguments) => arguments.iter().for_each(|argument| self.visit_expr(argument)),
            // In the macro's own language there may be names of its own; those around it are there too.
            Err(_) if self.found.is_none() && holds_cursor(call.tokens.clone()) => {
                self.found = Some(self.bound.clone());
            }
            Err(_) => {}
        }
    }
}

fn holds_cursor(tokens: proc_macro2::TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        proc_macro2::TokenTree::Ident(ident) => ident == CURSOR,
        proc_macro2::TokenTree::Group(group) => holds_cursor(group.stream()),
        _ => false,
    })
}
