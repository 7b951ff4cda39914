//! The type of an expression, as far as signatures tell it.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::collections::HashMap;

use syn::{
    Expr, ExprMethodCall, FnArg, GenericParam, Lit, Member as FieldMember, Signature, Type, TypeParamBound,
};

use super::locals::{self, Binding};
use super::parse::parse;
use super::scope::Scope;
use super::tokens::{Token, Tokens, tokens};
use super::{Kind, Target, Ty};

/// What macros give whose bodies say nothing that a reader of signatures understands.
const MACROS: [(&str, &str); 4] =
    [("df", "Result<DataFrame>"), ("vec", "Vec<_>"), ("format", "String"), ("series", "Series")];

/// How far `let`s are followed, and expressions into one another.
const DEPTH: usize = 12;

/// How many tokens are looked at in search of a `let` where code does not parse.
const LOOKS: usize = 2_000_000;

/// Finds types of expressions of a cell.
pub(super) struct Inference<'a> {
    pub(super) scope: &'a Scope<'a>,
    /// What the cell itself has bound at the cursor; `None` where its code does not parse.
    pub(super) locals: Option<Cow<'a, [Binding]>>,
    /// The cell's code up to the cursor, for where it does not.
    before: &'a str,
    /// The tokens of `before`, once they are asked for.
    tokens: OnceCell<Option<Tokens>>,
    /// How many tokens may still be looked at.
    looks: Cell<usize>,
}

impl<'a> Inference<'a> {
    /// For the end of `before`, the cell's code up to the word at the cursor, of which as much as there is is `word`.
    pub(super) fn new(scope: &'a Scope<'a>, before: &'a str, word: &str) -> Self {
        let locals = locals::at_end_of(scope, before, word).map(Cow::Owned);
        // What the names needed must not be missing where one of them is asked for.
        scope.begin_anew();
        Self { scope, locals, before, tokens: OnceCell::new(), looks: Cell::new(LOOKS) }
    }

    /// Where code has bound `locals`.
    pub(super) fn among(scope: &'a Scope<'a>, locals: Cow<'a, [Binding]>) -> Self {
        Self { scope, locals: Some(locals), before: "", tokens: OnceCell::new(), looks: Cell::new(0) }
    }
}

impl Inference<'_> {
    /// The type of an expression.
    pub(super) fn of_expr(&self, expr: &Expr) -> Option<Ty> {
        self.of(expr, DEPTH)
    }

    /// The name that the cell itself has bound last so.
    pub(super) fn local(&self, name: &str) -> Option<&Binding> {
        self.locals.as_deref().unwrap_or_default().iter().rfind(|(other, _)| other == name)
    }

    /// The type of the expression that `text` is.
    pub(super) fn of_text(&self, text: &str) -> Option<Ty> {
        self.of(&parse(text, syn::parse_str)?, DEPTH)
    }

    /// The type of the variable `name`: that of the nearest `let` of the cell, else the session's.
    pub(super) fn of_variable(&self, name: &str) -> Option<Ty> {
        self.variable(name, DEPTH)
    }

    fn of(&self, expr: &Expr, depth: usize) -> Option<Ty> {
        self.scope.spend(1)?;
        self.of_kind(expr, depth.checked_sub(1)?).filter(Ty::is_small)
    }

    fn of_kind(&self, expr: &Expr, depth: usize) -> Option<Ty> {
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
                    ty.args = vec![self.of(value, depth).unwrap_or_default()];
                    return Some(ty);
                }
                self.value(&path)
            }
            Expr::MethodCall(call) => self.method_call(call, depth),
            Expr::Field(field) => {
                let base = self.of(&field.base, depth)?;
                match &field.member {
                    FieldMember::Unnamed(index) => base.args.get(usize::try_from(index.index).ok()?).cloned(),
                    FieldMember::Named(name) => self.field(&base, &name.to_string()),
                }
            }
            Expr::Index(index) => {
                let base = self.of(&index.expr, depth)?;
                let is_list = |ty: &Ty| matches!(ty.name.as_str(), "[]" | "Vec" | "slice");
                self.scope.dereferenced(&base).iter().find(|ty| is_list(ty))?.args.first().cloned()
            }
            Expr::Tuple(tuple) => {
                let args = tuple.elems.iter().map(|e| self.of(e, depth).unwrap_or_default()).collect();
                Some(Ty { name: "()".to_owned(), item: None, args })
            }
            Expr::Array(array) => {
                let args = array.elems.first().and_then(|e| self.of(e, depth)).into_iter().collect();
                Some(Ty { name: "[]".to_owned(), item: None, args })
            }
            Expr::Range(range) => {
                let end = range.start.iter().chain(&range.end).find_map(|end| self.of(end, depth));
                let mut iterator = self.scope.ty("Iterator")?;
                iterator.args = vec![end.unwrap_or_default()];
                Some(iterator)
            }
            Expr::Block(block) => match block.block.stmts.as_slice() {
                [syn::Stmt::Expr(only, None)] => self.of(only, depth),
                _ => None,
            },
            _ => None,
        }
    }

    /// The type of a field.
    pub(super) fn field(&self, base: &Ty, name: &str) -> Option<Ty> {
        let is_it = |member: &&&super::Member| member.kind == Kind::Field && member.name == name;
        let ty = self.scope.members(base).iter().find(is_it)?.ty.clone()?;
        Some(filled(ty, &self.scope.arguments(base)))
    }

    /// What a loop over a value of type `ty` goes through.
    pub(super) fn element(&self, ty: &Ty) -> Option<Ty> {
        let known = |ty: Option<&Ty>| ty.filter(|ty| !ty.name.is_empty()).cloned();
        for ty in self.scope.dereferenced(ty) {
            if let Some(element) = ty.item.and_then(|id| self.scope.item(id)?.iterates.clone()) {
                return Some(filled(element, &self.scope.arguments(&ty)));
            }
            match ty.name.as_str() {
                "[]" | "slice" | "Vec" | "VecDeque" | "HashSet" | "BTreeSet" | "Option" => {
                    return known(ty.args.first());
                }
                "HashMap" | "BTreeMap" if ty.args.len() >= 2 => {
                    return Some(Ty { name: "()".to_owned(), item: None, args: ty.args[..2].to_vec() });
                }
                name if name.ends_with("Iterator") => return known(ty.args.first()),
                _ => {}
            }
        }
        None
    }

    /// What a call of a method gives.
    fn method_call(&self, call: &ExprMethodCall, depth: usize) -> Option<Ty> {
        let receiver = self.of(&call.receiver, depth)?;
        let name = call.method.to_string();
        match name.as_str() {
            "unwrap" | "expect" | "unwrap_or" | "unwrap_or_default" | "unwrap_or_else" => {
                if let Some(inner) = self.scope.inner(&receiver) {
                    return Some(inner);
                }
            }
            "clone" | "to_owned" | "as_ref" | "as_mut" | "borrow" if receiver.name != "str" => {
                return Some(receiver);
            }
            _ => {}
        }
        // To find a method, and to read what it says, takes longer than anything else.
        self.scope.spend(10)?;
        let (owner, member) = self.find_method(&receiver, &name)?;
        let of_owner = self.arguments_of(&owner);
        let mut arguments = of_owner.clone();
        if let Some(signature) = parse(&member.signature, syn::parse_str::<Signature>) {
            // `::<Vec<_>>` says what the first type parameter is; what is left out there is an iterator's element.
            let written = call.turbofish.iter().flat_map(|turbofish| &turbofish.args);
            let written: Vec<Ty> = written
                .filter_map(|argument| match argument {
                    syn::GenericArgument::Type(ty) => Some(self.scope.of_syntax(ty).unwrap_or_default()),
                    _ => None,
                })
                .collect();
            for (parameter, mut ty) in signature.generics.type_params().zip(written) {
                if let ([argument], Some(element)) = (ty.args.as_mut_slice(), self.element(&receiver))
                    && argument.name.is_empty()
                {
                    *argument = element;
                }
                arguments.insert(parameter.ident.to_string(), ty);
            }
            // What a closure gives is what its type parameter stands for.
            for (at, argument) in call.args.iter().enumerate() {
                if let Expr::Closure(closure) = argument
                    && let Some(bound) = function_bound(&signature, at)
                    && let syn::ReturnType::Type(_, returned) = &bound.output
                    && let Some(ty) = self.returned_by(closure, &self.parameters_of(bound, &of_owner), depth)
                {
                    learn(returned, ty, &mut arguments);
                }
            }
        }
        Some(filled(member.ty.clone()?, &arguments))
    }

    /// For each argument of `call` that is a closure the types of the parameters that it is given.
    pub(super) fn closure_parameters(&self, call: &ExprMethodCall) -> HashMap<usize, Vec<Option<Ty>>> {
        let is_closure = |(at, argument): (usize, &Expr)| matches!(argument, Expr::Closure(_)).then_some(at);
        let closures: Vec<usize> = call.args.iter().enumerate().filter_map(is_closure).collect();
        let find = || {
            let receiver = self.of_expr(&call.receiver)?;
            self.scope.spend(10)?;
            let (owner, member) = self.find_method(&receiver, &call.method.to_string())?;
            let signature: Signature = parse(&member.signature, syn::parse_str)?;
            let arguments = self.arguments_of(&owner);
            let parameters =
                |at: usize| Some((at, self.parameters_of(function_bound(&signature, at)?, &arguments)));
            Some(closures.iter().filter_map(|at| parameters(*at)).collect())
        };
        if closures.is_empty() { HashMap::new() } else { find().unwrap_or_default() }
    }

    /// What a closure is given that must be `bound`, where the type parameters stand for `arguments`.
    fn parameters_of(
        &self,
        bound: &syn::ParenthesizedGenericArguments,
        arguments: &HashMap<String, Ty>,
    ) -> Vec<Option<Ty>> {
        let parameter = |ty: &Type| Some(filled(self.scope.of_syntax(ty)?, arguments));
        let is_known = |ty: &Ty| !ty.name.is_empty() && ty.is_small();
        bound.inputs.iter().map(parameter).map(|ty| ty.filter(is_known)).collect()
    }

    fn returned_by(&self, closure: &syn::ExprClosure, parameters: &[Option<Ty>], depth: usize) -> Option<Ty> {
        let mut locals = self.locals.as_deref().unwrap_or_default().to_vec();
        // Copied for each closure, so each of them costs a step.
        self.scope.spend(locals.len() / 10)?;
        for (at, input) in closure.inputs.iter().enumerate() {
            locals.extend(locals::bindings(self.scope, input, parameters.get(at).cloned().flatten()));
        }
        Inference::among(self.scope, Cow::Owned(locals)).of(&closure.body, depth.checked_sub(1)?)
    }

    /// The method, and the type that it belongs to: the receiver's, or one that it derefs to.
    fn find_method(&self, receiver: &Ty, name: &str) -> Option<(Ty, &super::Member)> {
        self.scope.dereferenced(receiver).into_iter().find_map(|ty| {
            let member = self.scope.own_members(&ty).find(|member| member.name == name)?;
            Some((ty, member))
        })
    }

    /// What the type parameters of `owner` stand for, and `Item` for an iterator.
    fn arguments_of(&self, owner: &Ty) -> HashMap<String, Ty> {
        let mut arguments = self.scope.arguments(owner);
        if let Some(element) = self.element(owner) {
            arguments.entry("Item".to_owned()).or_insert(element);
        }
        arguments
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

    /// The type that a path names.
    pub(super) fn named(&self, path: &[String]) -> Option<Ty> {
        match self.scope.resolve(path)? {
            Target::Item(id) => self.scope.of_item(id),
            Target::Module(_) => None,
        }
    }

    fn variable(&self, name: &str, depth: usize) -> Option<Ty> {
        let depth = depth.checked_sub(1)?;
        if let Some((_, ty)) = self.local(name) {
            return ty.clone();
        }
        if self.locals.is_none()
            && let Some((ty, value)) = self.last_let(name)
        {
            return match (ty, value) {
                (Some(ty), _) => self.scope.ty(ty),
                (None, Some(value)) => self.of(&parse(value, syn::parse_str)?, depth),
                (None, None) => None,
            };
        }
        self.scope.ty(self.scope.variables.get(name)?)
    }

    /// Type and value of the last whole `let NAME` before the cursor.
    fn last_let(&self, name: &str) -> Option<(Option<&str>, Option<&str>)> {
        let tokens = self.tokens.get_or_init(|| tokens(self.before)).as_deref()?;
        let look = |tokens: usize| {
            self.looks.set(self.looks.get().checked_sub(tokens)?);
            Some(())
        };
        look(tokens.len())?;
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
                look(1)?;
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

/// `ty` with what its type parameters stand for.
fn filled(ty: Ty, arguments: &HashMap<String, Ty>) -> Ty {
    if ty.item.is_none()
        && ty.args.is_empty()
        && let Some(argument) = arguments.get(&ty.name)
    {
        return argument.clone();
    }
    Ty { args: ty.args.into_iter().map(|arg| filled(arg, arguments)).collect(), ..ty }
}

/// Notes what the type parameter stands for that `written` is, or holds as in `Option<B>`, where it has the type `ty`.
fn learn(written: &Type, ty: Ty, arguments: &mut HashMap<String, Ty>) {
    let Type::Path(path) = written else { return };
    let Some(last) = path.path.segments.last() else { return };
    match &last.arguments {
        syn::PathArguments::None => {
            arguments.insert(last.ident.to_string(), ty);
        }
        syn::PathArguments::AngleBracketed(inner) => {
            for (argument, ty) in inner.args.iter().zip(ty.args) {
                if let syn::GenericArgument::Type(written) = argument {
                    learn(written, ty, arguments);
                }
            }
        }
        syn::PathArguments::Parenthesized(_) => {}
    }
}

/// The `FnMut(A) -> B` that argument `at` (the receiver not counted) must be.
fn function_bound(signature: &Signature, at: usize) -> Option<&syn::ParenthesizedGenericArguments> {
    let mut typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(&*typed.ty),
        FnArg::Receiver(_) => None,
    });
    match typed.nth(at)? {
        Type::ImplTrait(object) => object.bounds.iter().find_map(function_of),
        Type::Path(path) => {
            let name = path.path.get_ident()?;
            let declared = signature.generics.params.iter().find_map(|parameter| match parameter {
                GenericParam::Type(parameter) if parameter.ident == *name => {
                    parameter.bounds.iter().find_map(function_of)
                }
                _ => None,
            });
            let clauses = signature.generics.where_clause.iter().flat_map(|clause| &clause.predicates);
            let mut clauses = clauses.filter_map(|predicate| match predicate {
                syn::WherePredicate::Type(clause) => Some(clause),
                _ => None,
            });
            declared.or_else(|| {
                let is_its = |clause: &&syn::PredicateType| {
                    matches!(&clause.bounded_ty, Type::Path(path) if path.path.is_ident(name))
                };
                clauses.find(is_its)?.bounds.iter().find_map(function_of)
            })
        }
        _ => None,
    }
}

fn function_of(bound: &TypeParamBound) -> Option<&syn::ParenthesizedGenericArguments> {
    let TypeParamBound::Trait(bound) = bound else { return None };
    match &bound.path.segments.last()?.arguments {
        syn::PathArguments::Parenthesized(arguments) => Some(arguments),
        _ => None,
    }
}

/// The names of a path.
pub(super) fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}
