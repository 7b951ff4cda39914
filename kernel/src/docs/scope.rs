//! What a cell of this session can name: the index, with the session's own items before it.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use syn::punctuated::Punctuated;
use syn::{GenericArgument, PathArguments, Token, Type, TypeParamBound};

use super::parse::parse;
use super::{Docs, Index, Item, Kind, Member, ROOT, Target, Ty};
use crate::eval::lock;
use crate::eval::state::State;

/// A moment of the session.
pub(super) struct Scope<'a> {
    pub(super) index: &'a Index,
    /// The session's items, behind those of the index.
    session: Arc<Vec<Item>>,
    /// Variables with their types.
    pub(super) variables: BTreeMap<String, String>,
    /// How many steps of inference are left: see [`Self::spend`].
    steps: Cell<usize>,
}

/// How many steps the inference of a request may take: enough for any code that people write and read.
const STEPS: usize = 20_000;

impl<'a> Scope<'a> {
    pub(super) fn new(state: &Mutex<State>, docs: &Docs, index: &'a Arc<Index>) -> Self {
        let (items, variables) = {
            let state = lock(state);
            let variables =
                state.variables.iter().map(|(name, variable)| (name.clone(), variable.ty.clone()));
            (state.items.clone(), variables.collect())
        };
        Self { index, session: docs.session_items(&items, index), variables, steps: Cell::new(STEPS) }
    }

    /// Takes `steps` of those that are left. `None` where there are none: code can be written (`let a = (a, a);`) for which the ways of
    /// inference multiply.
    pub(super) fn spend(&self, steps: usize) -> Option<()> {
        self.steps.set(self.steps.get().checked_sub(steps)?);
        Some(())
    }

    /// From now on there are as many steps as at the beginning.
    pub(super) fn begin_anew(&self) {
        self.steps.set(STEPS);
    }

    pub(super) fn item(&self, id: usize) -> Option<&Item> {
        self.index.items.get(id).or_else(|| self.session.get(id.checked_sub(self.index.items.len())?))
    }

    /// The session's items that can be named.
    pub(super) fn session_items(&self) -> impl Iterator<Item = &Item> {
        self.session.iter()
    }

    /// Where `path` leads.
    pub(super) fn resolve(&self, path: &[String]) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let own = self.session.iter().rposition(|item| item.name == *first);
        let mut target = match own {
            Some(at) => Target::Item(self.index.items.len() + at),
            None if first == ROOT => Target::Module(ROOT.to_owned()),
            None if matches!(first.as_str(), "core" | "alloc") => Target::Module("std".to_owned()),
            None => {
                self.index.scope.get(first).or_else(|| self.index.scope.get(&format!("{first}!")))?.clone()
            }
        };
        for name in rest {
            let Target::Module(module) = &target else { return None };
            target = self.index.modules.get(module)?.get(name)?.clone();
        }
        Some(target)
    }

    /// The item that `path` names; for a path as rustc prints it, by its last name alone where the path is not known.
    pub(super) fn resolve_item(&self, path: &[String]) -> Option<usize> {
        match self.resolve(path) {
            Some(Target::Item(id)) => Some(id),
            Some(Target::Module(_)) => None,
            None if path.len() > 1 => self.index.named(path.last()?),
            None => None,
        }
    }

    /// The type that a cell would write as `text`.
    pub(super) fn ty(&self, text: &str) -> Option<Ty> {
        self.of_syntax(&parse(text, syn::parse_str)?)
    }

    pub(super) fn of_syntax(&self, ty: &Type) -> Option<Ty> {
        let group = |name: &str, args: Vec<Ty>| Some(Ty { name: name.to_owned(), item: None, args });
        match ty {
            Type::Path(path) if path.qself.is_none() => {
                let segments: Vec<String> =
                    path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
                let args = match path.path.segments.last().map(|segment| &segment.arguments) {
                    Some(PathArguments::AngleBracketed(args)) => args
                        .args
                        .iter()
                        .filter_map(|arg| match arg {
                            GenericArgument::Type(ty) => Some(self.of_syntax(ty).unwrap_or_default()),
                            GenericArgument::AssocType(ty) if ty.ident == "Item" => {
                                Some(self.of_syntax(&ty.ty).unwrap_or_default())
                            }
                            _ => None,
                        })
                        .collect(),
                    _ => Vec::new(),
                };
                Some(Ty { name: segments.last()?.clone(), item: self.resolve_item(&segments), args })
            }
            Type::Reference(reference) => self.of_syntax(&reference.elem),
            Type::Paren(inner) => self.of_syntax(&inner.elem),
            Type::Group(inner) => self.of_syntax(&inner.elem),
            Type::Tuple(tuple) => {
                group("()", tuple.elems.iter().map(|e| self.of_syntax(e).unwrap_or_default()).collect())
            }
            Type::Slice(slice) => group("[]", self.of_syntax(&slice.elem).into_iter().collect()),
            Type::Array(array) => group("[]", self.of_syntax(&array.elem).into_iter().collect()),
            Type::ImplTrait(object) => self.of_bounds(&object.bounds),
            Type::TraitObject(object) => self.of_bounds(&object.bounds),
            _ => None,
        }
    }

    fn of_bounds(&self, bounds: &Punctuated<TypeParamBound, Token![+]>) -> Option<Ty> {
        let path = bounds.iter().find_map(|bound| match bound {
            TypeParamBound::Trait(bound) => Some(bound.path.clone()),
            _ => None,
        })?;
        self.of_syntax(&Type::Path(syn::TypePath { qself: None, path }))
    }

    /// The members of a type: its own, those of its traits, then those of what it derefs to.
    pub(super) fn members(&self, ty: &Ty) -> Vec<&Member> {
        let mut members = Vec::new();
        for ty in self.dereferenced(ty) {
            members.extend(self.own_members(&ty));
        }
        members
    }

    fn item_of(&self, ty: &Ty) -> Option<&Item> {
        let id = if ty.name == "[]" { self.index.slice() } else { ty.item };
        self.item(id?)
    }

    /// The members of a type itself and of its traits.
    pub(super) fn own_members(&self, ty: &Ty) -> impl Iterator<Item = &Member> {
        let item = self.item_of(ty);
        let traits = item.into_iter().flat_map(|item| &item.traits).filter_map(|id| self.item(*id));
        item.into_iter().flat_map(|item| &item.members).chain(traits.flat_map(|item| &item.members))
    }

    /// A type and what it derefs to, in turn; aliases stand for what they name.
    pub(super) fn dereferenced(&self, ty: &Ty) -> Vec<Ty> {
        let mut all = Vec::new();
        let mut next = Some(ty.clone());
        while let Some(ty) = next.filter(|_| all.len() < 6) {
            let item = ty.item.and_then(|id| self.item(id));
            next = match item {
                Some(item) => item.leads_to.clone(),
                None => None,
            };
            if matches!(ty.name.as_str(), "Box" | "Arc" | "Rc" | "Cow") {
                next = ty.args.last().cloned();
            }
            // Of a `Vec<T>` the slice has elements of T.
            if let (Some(target), "Vec" | "[]") = (&mut next, ty.name.as_str()) {
                target.args.clone_from(&ty.args);
            }
            all.push(ty);
        }
        all
    }

    /// What the type parameters of `ty` stand for.
    pub(super) fn arguments(&self, ty: &Ty) -> HashMap<String, Ty> {
        let signature = self.item_of(ty).map(|item| item.signature.as_str());
        // As in `struct Map<'a, K: Hash, V = ()>`; what is no type is not among the arguments either.
        let parameters = signature.and_then(|text| text.split_once('<')).map_or("", |(_, rest)| rest);
        let names = parameters.trim_end_matches('>').split(',').map(str::trim);
        let names = names.filter(|name| !name.starts_with(['\'', ' ']) && !name.starts_with("const "));
        let names = names.filter_map(|name| name.split(|c: char| !(c.is_alphanumeric() || c == '_')).next());
        names.filter(|name| !name.is_empty()).map(str::to_owned).zip(ty.args.iter().cloned()).collect()
    }

    /// What `?` and `unwrap` take out of `ty`.
    pub(super) fn inner(&self, ty: &Ty) -> Option<Ty> {
        let is_wrapper = ty.name == "Option" || ty.name.ends_with("Result");
        if is_wrapper { ty.args.first().filter(|ty| !ty.name.is_empty()).cloned() } else { None }
    }

    /// The item's signature in a few words, for lists of completions.
    pub(super) fn kind_of(&self, target: &Target) -> &'static str {
        match target {
            Target::Item(id) => self.item(*id).map_or("", |item| item.kind.word()),
            Target::Module(_) => "module",
        }
    }

    /// The type's item itself, through aliases.
    pub(super) fn of_item(&self, id: usize) -> Option<Ty> {
        let item = self.item(id)?;
        match item.kind {
            Kind::Type => item.leads_to.clone(),
            _ => Some(Ty { name: item.name.clone(), item: Some(id), args: Vec::new() }),
        }
    }
}
