//! The type of an expression, as far as signatures tell it.

use syn::{Expr, Lit, Member as FieldMember};

use super::scope::Scope;
use super::tokens::{Token, tokens};
use super::{Kind, Target, Ty};

/// What macros give whose bodies say nothing that a reader of signatures understands.
const MACROS: [(&str, &str); 4] =
    [("df", "Result<DataFrame>"), ("vec", "Vec<_>"), ("format", "String"), ("series", "Series")];

/// How far `let`s are followed, and expressions into one another.
const DEPTH: usize = 12;

/// Finds types of expressions of a cell.
pub(super) struct Inference<'a> {
    pub(super) scope: &'a Scope<'a>,
    /// The cell's code up to the cursor.
    pub(super) before: &'a str,
}

impl Inference<'_> {
    /// The type of the expression that `text` is.
    pub(super) fn of_text(&self, text: &str) -> Option<Ty> {
        self.of(&syn::parse_str(text).ok()?, DEPTH)
    }

    /// The type of the variable `name`: that of the nearest `let` of the cell, else the session's.
    pub(super) fn of_variable(&self, name: &str) -> Option<Ty> {
        self.variable(name, DEPTH)
    }

    fn of(&self, expr: &Expr, depth: usize) -> Option<Ty> {
        let depth = depth.checked_sub(1)?;
        match expr {
            Expr::Paren(inner) => self.of(&inner.expr, depth),
            Expr::Group(inner) => self.of(&inner.expr, depth),
            Expr::Reference(inner) => self.of(&inner.expr, depth),
            Expr::Unary(inner) => self.of(&inner.expr, depth),
            Expr::Try(inner) => self.scope.inner(&self.of(&inner.expr, depth)?),
            Expr::Cast(cast) => self.scope.of_syntax(&cast.ty),
            Expr::Struct(literal) => self.named(&segments(&literal.path)),
            Expr::Macro(call) => {
                let name = call.mac.path.segments.last()?.ident.to_string();
                let (_, ty) = MACROS.iter().find(|(known, _)| *known == name)?;
                self.scope.ty(ty)
            }
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(_) => self.scope.ty("str"),
                Lit::Float(number) if number.suffix().is_empty() => self.scope.ty("f64"),
                _ => None,
            },
            Expr::Path(path) => {
                let path = segments(&path.path);
                match path.as_slice() {
                    [name] => self.variable(name, depth).or_else(|| self.value(&path)),
                    _ => self.value(&path),
                }
            }
            Expr::Call(call) => {
                let Expr::Path(function) = &*call.func else { return None };
                let path = segments(&function.path);
                // `Ok(x)` and `Some(x)` hold what they are given.
                if let ([name], [value]) = (path.as_slice(), call.args.iter().collect::<Vec<_>>().as_slice())
                    && let Some(wrapper) = match name.as_str() {
                        "Ok" => Some("Result"),
                        "Some" => Some("Option"),
                        _ => None,
                    }
                {
                    let mut ty = self.scope.ty(wrapper)?;
                    ty.args = vec![self.of(value, depth)?];
                    return Some(ty);
                }
                self.value(&path)
            }
            Expr::MethodCall(call) => {
                let receiver = self.of(&call.receiver, depth)?;
                let name = call.method.to_string();
                self.method(&receiver, &name)
            }
            Expr::Field(field) => {
                let base = self.of(&field.base, depth)?;
                match &field.member {
                    FieldMember::Unnamed(index) => base.args.get(usize::try_from(index.index).ok()?).cloned(),
                    FieldMember::Named(name) => {
                        let is_it =
                            |member: &&&super::Member| member.kind == Kind::Field && *name == member.name;
                        self.scope.members(&base).iter().find(is_it)?.ty.clone()
                    }
                }
            }
            Expr::Index(index) => {
                let base = self.of(&index.expr, depth)?;
                let is_list = |ty: &Ty| matches!(ty.name.as_str(), "[]" | "Vec" | "slice");
                self.scope.dereferenced(&base).iter().find(|ty| is_list(ty))?.args.first().cloned()
            }
            _ => None,
        }
    }

    /// What a call of the method gives.
    fn method(&self, receiver: &Ty, name: &str) -> Option<Ty> {
        match name {
            "unwrap" | "expect" | "unwrap_or" | "unwrap_or_default" | "unwrap_or_else" => {
                return self.scope.inner(receiver);
            }
            "clone" | "to_owned" | "as_ref" | "as_mut" | "borrow" if receiver.name != "str" => {
                return Some(receiver.clone());
            }
            _ => {}
        }
        for ty in self.scope.dereferenced(receiver) {
            let found = self
                .scope
                .members(&Ty { args: Vec::new(), ..ty.clone() })
                .into_iter()
                .find(|m| m.name == name);
            if let Some(member) = found {
                let mut returned = member.ty.clone()?;
                // `T` of a `Vec<T>` and of an `Option<T>` is their only argument.
                fill(&mut returned, &ty);
                return Some(returned);
            }
        }
        None
    }

    /// The value (or, for a function, what it returns) that `path` leads to.
    fn value(&self, path: &[String]) -> Option<Ty> {
        if let Some(Target::Item(id)) = self.scope.resolve(path) {
            let item = self.scope.item(id)?;
            return match item.kind {
                Kind::Function | Kind::Constant => item.leads_to.clone(),
                _ => self.scope.of_item(id),
            };
        }
        let (name, of) = path.split_last()?;
        let ty = self.named(of)?;
        self.scope.members(&ty).into_iter().find(|member| member.name == *name)?.ty.clone()
    }

    fn named(&self, path: &[String]) -> Option<Ty> {
        match self.scope.resolve(path)? {
            Target::Item(id) => self.scope.of_item(id),
            Target::Module(_) => None,
        }
    }

    fn variable(&self, name: &str, depth: usize) -> Option<Ty> {
        let depth = depth.checked_sub(1)?;
        if let Some((ty, value)) = self.last_let(name) {
            return match (ty, value) {
                (Some(ty), _) => self.scope.ty(ty),
                (None, Some(value)) => self.of(&syn::parse_str(value).ok()?, depth),
                (None, None) => None,
            };
        }
        self.scope.ty(self.scope.variables.get(name)?)
    }

    /// Type and value of the last whole `let NAME` before the cursor.
    fn last_let(&self, name: &str) -> Option<(Option<&str>, Option<&str>)> {
        let tokens = tokens(self.before)?;
        let text = |at: usize| tokens.get(at).map(|(_, range)| &self.before[range.clone()]);
        let is = |at: usize, sign: char| tokens.get(at).is_some_and(|(token, _)| *token == Token::Sign(sign));
        for start in (0..tokens.len()).rev().filter(|at| text(*at) == Some("let")) {
            let at = start + 1 + usize::from(text(start + 1) == Some("mut"));
            if text(at) != Some(name) || !(is(at + 1, ':') || is(at + 1, '=')) {
                continue;
            }
            let mut depth = 0_i32;
            let mut equals = None;
            for end in at + 1..tokens.len() {
                match tokens[end].0 {
                    Token::Sign('(' | '[' | '{') => depth += 1,
                    Token::Sign(')' | ']' | '}') => depth -= 1,
                    Token::Sign('=') if depth == 0 && equals.is_none() => equals = Some(end),
                    Token::Sign(';') if depth == 0 => {
                        let between = |from: usize, to: usize| {
                            self.before.get(tokens.get(from)?.1.start..tokens.get(to.checked_sub(1)?)?.1.end)
                        };
                        let ty = if is(at + 1, ':') { between(at + 2, equals.unwrap_or(end)) } else { None };
                        return Some((ty, equals.and_then(|equals| between(equals + 1, end))));
                    }
                    _ => {}
                }
                if depth < 0 {
                    break;
                }
            }
        }
        None
    }
}

/// Puts the argument of `owner` where `ty` has `T`.
fn fill(ty: &mut Ty, owner: &Ty) {
    if ty.item.is_none()
        && ty.name == "T"
        && let [only] = owner.args.as_slice()
    {
        *ty = only.clone();
        return;
    }
    ty.args.iter_mut().for_each(|arg| fill(arg, owner));
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}
