//! What the crates define and re-export, and where each path leads.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use syn::{GenericArgument, PathArguments, Type};

use super::expand::Macros;
use super::read::segments;
use crate::docs::{Index, Item, Kind, Member, Target, Ty};

/// An item as it was read: types are still syntax.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) name: String,
    /// Always there once it is in the tree.
    pub(super) kind: Option<Kind>,
    pub(super) signature: String,
    pub(super) docs: String,
    pub(super) is_public: bool,
    pub(super) members: Vec<FoundMember>,
    pub(super) derives: Vec<String>,
    pub(super) leads_to: Option<Type>,
    pub(super) module: String,
    pub(super) traits: Vec<usize>,
    /// What it derefs to, and the module that says so.
    pub(super) derefs_to: Option<(String, Type)>,
    /// What a loop over it goes through, and the module that says so.
    pub(super) iterates: Option<(String, Type)>,
}

#[derive(Debug)]
pub(super) struct FoundMember {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) signature: String,
    pub(super) docs: String,
    pub(super) ty: Option<Type>,
}

#[derive(Debug, Default)]
pub(super) struct FoundImpl {
    pub(super) module: String,
    pub(super) of: Vec<String>,
    pub(super) of_trait: Option<Vec<String>>,
    /// Of an implementation of `Deref`.
    pub(super) target: Option<Type>,
    /// Of an implementation of `Iterator` or `IntoIterator`.
    pub(super) iterates: Option<Type>,
    pub(super) members: Vec<FoundMember>,
}

/// One name that a `use` brings in; `name` is none for a glob.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) path: Vec<String>,
    pub(super) name: Option<String>,
    pub(super) is_public: bool,
    /// It begins with `::`.
    pub(super) absolute: bool,
}

#[derive(Debug, Default)]
struct Module {
    items: BTreeMap<String, usize>,
    /// With whether they are public.
    children: BTreeMap<String, bool>,
    uses: Vec<Use>,
}

/// All that was read.
#[derive(Default)]
pub(super) struct Tree<'a> {
    modules: HashMap<String, Module>,
    found: Vec<Found>,
    impls: Vec<FoundImpl>,
    /// The `macro_rules!` met so far.
    pub(super) macros: Macros,
    /// For items of a session: what stands before theirs.
    base: Option<&'a Index>,
    resolved: RefCell<HashMap<(String, String), Option<Target>>>,
}

impl<'a> Tree<'a> {
    /// A tree whose items come behind those of `index`.
    pub(super) fn beside(index: &'a Index) -> Self {
        Self { base: Some(index), ..Self::default() }
    }

    pub(super) fn module(&mut self, path: &str) {
        self.modules.entry(path.to_owned()).or_default();
    }

    pub(super) fn submodule(&mut self, parent: &str, name: &str, is_public: bool) {
        self.module(&format!("{parent}::{name}"));
        self.modules.entry(parent.to_owned()).or_default().children.insert(name.to_owned(), is_public);
    }

    pub(super) fn add_use(&mut self, module: &str, import: Use) {
        self.modules.entry(module.to_owned()).or_default().uses.push(import);
    }

    pub(super) fn add(&mut self, module: &str, mut found: Found) {
        found.module = module.to_owned();
        let is_macro = found.kind == Some(Kind::Macro);
        let is_type = !matches!(found.kind, Some(Kind::Function | Kind::Constant));
        let key = if is_macro { format!("{}!", found.name) } else { found.name.clone() };
        let items = &mut self.modules.entry(module.to_owned()).or_default().items;
        // A type comes before a function of the same name.
        if is_type || !items.contains_key(&key) {
            items.insert(key, self.found.len());
        }
        self.found.push(found);
    }

    pub(super) fn add_impl(&mut self, found: FoundImpl) {
        self.impls.push(found);
    }

    /// Where `path`, written in `module`, leads.
    fn resolve(
        &self,
        module: &str,
        path: &[String],
        absolute: bool,
        seen: &mut HashSet<(String, String)>,
    ) -> Option<Target> {
        let (first, mut rest) = path.split_first()?;
        let mut target = match first.as_str() {
            _ if absolute => self.krate(first)?,
            "crate" => Target::Module(module.split("::").next().unwrap_or(module).to_owned()),
            "self" => Target::Module(module.to_owned()),
            "super" => {
                let mut parent = module.rsplit_once("::")?.0;
                while let Some((next, further)) = rest.split_first()
                    && next == "super"
                {
                    parent = parent.rsplit_once("::")?.0;
                    rest = further;
                }
                Target::Module(parent.to_owned())
            }
            name => self.lookup(module, name, seen).or_else(|| self.krate(name))?,
        };
        for name in rest {
            let Target::Module(module) = &target else { return None };
            target = self.lookup(&module.clone(), name, seen)?;
        }
        Some(target)
    }

    fn krate(&self, name: &str) -> Option<Target> {
        // `core` and `alloc` are parts of what is read as `std`.
        let name = if matches!(name, "core" | "alloc") { "std" } else { name };
        self.modules.contains_key(name).then(|| Target::Module(name.to_owned()))
    }

    /// What `name` is in `module`, whether or not others may use it.
    fn lookup(&self, module: &str, name: &str, seen: &mut HashSet<(String, String)>) -> Option<Target> {
        let key = (module.to_owned(), name.to_owned());
        if let Some(target) = self.resolved.borrow().get(&key) {
            return target.clone();
        }
        let is_first = seen.is_empty();
        if !seen.insert(key.clone()) {
            return None;
        }
        let target = self.look(module, name, seen);
        // In the midst of a search "no" may only mean that somebody is looking there already.
        if is_first || target.is_some() {
            self.resolved.borrow_mut().insert(key, target.clone());
        }
        target
    }

    fn look(&self, module: &str, name: &str, seen: &mut HashSet<(String, String)>) -> Option<Target> {
        let found = self.modules.get(module)?;
        if let Some(item) = found.items.get(name).or_else(|| found.items.get(&format!("{name}!"))) {
            return Some(Target::Item(*item));
        }
        if found.children.contains_key(name) {
            return Some(Target::Module(format!("{module}::{name}")));
        }
        for import in found.uses.iter().filter(|import| import.name.as_deref() == Some(name)) {
            // `use polars;` names a crate and must not look for itself.
            if let Some(target) = self.resolve(module, &import.path, import.absolute, seen) {
                return Some(target);
            }
        }
        for import in found.uses.iter().filter(|import| import.name.is_none()) {
            if let Some(Target::Module(from)) = self.resolve(module, &import.path, import.absolute, seen)
                && from != module
                && let Some(target) = self.lookup(&from, name, seen)
            {
                return Some(target);
            }
        }
        None
    }

    /// What others see in `module`; the nearest comes first where names are the same.
    fn exports(&self, module: &str) -> BTreeMap<String, Target> {
        let mut names = BTreeMap::new();
        let mut seen = HashSet::new();
        let mut todo = VecDeque::from([module.to_owned()]);
        while let Some(path) = todo.pop_front() {
            let Some(module) = self.modules.get(&path).filter(|_| seen.insert(path.clone())) else {
                continue;
            };
            let items = module.items.iter().filter(|(_, id)| self.found[**id].is_public);
            let items = items.map(|(name, id)| (name.clone(), Target::Item(*id)));
            let children = module.children.iter().filter(|(_, is_public)| **is_public);
            let children =
                children.map(|(name, _)| (name.clone(), Target::Module(format!("{path}::{name}"))));
            for (name, target) in items.chain(children) {
                names.entry(name).or_insert(target);
            }
            for import in module.uses.iter().filter(|import| import.is_public) {
                let target = self.resolve(&path, &import.path, import.absolute, &mut HashSet::new());
                match (&import.name, target) {
                    (None, Some(Target::Module(from))) => todo.push_back(from),
                    (Some(name), Some(target)) => {
                        let is_macro =
                            matches!(target, Target::Item(id) if self.found[id].kind == Some(Kind::Macro));
                        let last = import.path.last().map(String::as_str).unwrap_or_default();
                        let name = match name.as_str() {
                            // Nobody can write it, but its methods are in scope.
                            "_" => format!("_ {last}"),
                            name if is_macro => format!("{name}!"),
                            name => name.to_owned(),
                        };
                        names.entry(name).or_insert(target);
                    }
                    _ => {}
                }
            }
        }
        names
    }

    /// The type that `ty`, written in `module` (in an implementation for `own`), names.
    fn ty(&self, module: &str, ty: &Type, own: Option<usize>) -> Option<Ty> {
        let bound = |bounds: &syn::punctuated::Punctuated<syn::TypeParamBound, syn::Token![+]>| {
            bounds.iter().find_map(|bound| match bound {
                syn::TypeParamBound::Trait(bound) => Some(self.path(module, &bound.path, own)),
                _ => None,
            })
        };
        let group = |name: &str, elements: Vec<Ty>| Ty { name: name.to_owned(), item: None, args: elements };
        match ty {
            Type::Path(path) if path.qself.is_none() => Some(self.path(module, &path.path, own)),
            Type::Reference(reference) => self.ty(module, &reference.elem, own),
            Type::Paren(inner) => self.ty(module, &inner.elem, own),
            Type::Group(inner) => self.ty(module, &inner.elem, own),
            Type::Tuple(tuple) => Some(group(
                "()",
                tuple.elems.iter().map(|e| self.ty(module, e, own).unwrap_or_default()).collect(),
            )),
            Type::Slice(slice) => Some(group("[]", self.ty(module, &slice.elem, own).into_iter().collect())),
            Type::Array(array) => Some(group("[]", self.ty(module, &array.elem, own).into_iter().collect())),
            Type::TraitObject(object) => bound(&object.bounds),
            Type::ImplTrait(object) => bound(&object.bounds),
            _ => None,
        }
    }

    fn path(&self, module: &str, path: &syn::Path, own: Option<usize>) -> Ty {
        let names = segments(path);
        let name = names.last().cloned().unwrap_or_default();
        let item = match names.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["Self"] => own,
            ["Self", _] => None,
            _ => self.item_at(module, &names),
        };
        // Those that can do more are iterators too.
        let is_iterator = item.is_none() && name.ends_with("Iterator");
        let item = if is_iterator { self.item_at("std", &["Iterator".to_owned()]) } else { item };
        let args = match path.segments.last().map(|segment| &segment.arguments) {
            Some(PathArguments::AngleBracketed(args)) => args
                .args
                .iter()
                .filter_map(|arg| match arg {
                    GenericArgument::Type(ty) => Some(self.ty(module, ty, own).unwrap_or_default()),
                    GenericArgument::AssocType(ty) if ty.ident == "Item" => {
                        Some(self.ty(module, &ty.ty, own).unwrap_or_default())
                    }
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        Ty { name, item, args }
    }

    /// The item that a path names; those of the session before those of the index, and of `std` where nothing else is.
    fn item_at(&self, module: &str, path: &[String]) -> Option<usize> {
        let offset = self.base.map_or(0, |index| index.items.len());
        let resolve = |module: &str| match self.resolve(module, path, false, &mut HashSet::new()) {
            Some(Target::Item(id)) => Some(id + offset),
            _ => None,
        };
        let of_std = || if path.len() == 1 { resolve("std") } else { None };
        resolve(module).or_else(|| self.base?.named(path.last()?)).or_else(of_std)
    }

    /// Gives types what their `impl` blocks say; `in_scope` are the traits whose methods a cell can call.
    fn attach(&mut self, in_scope: Option<&HashSet<usize>>) -> Vec<(String, usize, Vec<FoundMember>)> {
        let offset = self.base.map_or(0, |index| index.items.len());
        let mut foreign = Vec::new();
        for found in std::mem::take(&mut self.impls) {
            let FoundImpl { module, of, of_trait, target, iterates, members } = found;
            let Some(item) = self.item_at(&module, &of).and_then(|item| item.checked_sub(offset)) else {
                continue;
            };
            match of_trait {
                None => foreign.push((module, item, members)),
                Some(path) => {
                    self.found[item].derives.extend(path.last().cloned());
                    if let Some(element) = iterates {
                        self.found[item].iterates = Some((module.clone(), element));
                    }
                    if let Some(target) = target {
                        self.found[item].derefs_to = Some((module, target));
                    } else if let Some(id) = self.item_at(&module, &path).map(|id| id.wrapping_sub(offset))
                        && in_scope.is_none_or(|scope| scope.contains(&id))
                        && !self.found[item].traits.contains(&id)
                    {
                        self.found[item].traits.push(id);
                    }
                }
            }
        }
        foreign
    }

    /// All items, with types by their places among them.
    fn finish(&mut self, in_scope: Option<&HashSet<usize>>) -> Vec<Item> {
        let offset = self.base.map_or(0, |index| index.items.len());
        let impls = self.attach(in_scope);
        let mut items: Vec<Item> = Vec::with_capacity(self.found.len());
        for (id, found) in self.found.iter().enumerate() {
            let own = Some(id + offset);
            let leads_to = match (&found.derefs_to, &found.leads_to) {
                (Some((module, target)), _) => self.ty(module, target, own),
                (None, ty) => ty.as_ref().and_then(|ty| self.ty(&found.module, ty, own)),
            };
            let mut item = Item {
                name: found.name.clone(),
                kind: found.kind.unwrap_or(Kind::Struct),
                signature: found.signature.clone(),
                docs: found.docs.clone(),
                members: found.members.iter().map(|m| self.member(&found.module, m, own)).collect(),
                traits: found.traits.iter().map(|id| id.wrapping_add(offset)).collect(),
                leads_to,
                iterates: found.iterates.as_ref().and_then(|(module, ty)| self.ty(module, ty, own)),
            };
            let synthetic = [
                ("Clone", "clone", Kind::Method, "fn clone(&self) -> Self"),
                ("Default", "default", Kind::Function, "fn default() -> Self"),
            ];
            for (derive, name, kind, signature) in synthetic {
                if found.derives.iter().any(|derived| derived == derive) {
                    let ty = Some(Ty { name: found.name.clone(), item: own, args: Vec::new() });
                    let (name, signature) = (name.to_owned(), signature.to_owned());
                    item.members.push(Member { name, kind, signature, docs: String::new(), ty });
                }
            }
            items.push(item);
        }
        for (module, item, members) in impls {
            let members = members.iter().map(|m| self.member(&module, m, Some(item + offset)));
            let members: Vec<Member> = members.collect();
            items[item].members.extend(members);
        }
        items
    }

    fn member(&self, module: &str, found: &FoundMember, own: Option<usize>) -> Member {
        Member {
            name: found.name.clone(),
            kind: found.kind,
            signature: found.signature.clone(),
            docs: found.docs.clone(),
            ty: found.ty.as_ref().and_then(|ty| self.ty(module, ty, own)),
        }
    }

    /// The items alone; their places count from the end of the base.
    pub(super) fn into_items(mut self) -> Vec<Item> {
        self.finish(None)
    }

    /// The base with the `crates` that were read, which a cell can name.
    pub(super) fn into_extended(mut self, crates: &[String]) -> Index {
        let mut index = self.base.cloned().unwrap_or_default();
        let offset = index.items.len();
        let mut todo = crates.to_vec();
        while let Some(path) = todo.pop() {
            if index.modules.contains_key(&path) {
                continue;
            }
            let mut names = self.exports(&path);
            for target in names.values_mut() {
                match target {
                    Target::Item(id) => *id += offset,
                    Target::Module(path) => todo.push(path.clone()),
                }
            }
            names.retain(|name, _| !name.starts_with('_'));
            index.modules.insert(path, names);
        }
        for name in crates {
            index.scope.entry(name.clone()).or_insert_with(|| Target::Module(name.clone()));
        }
        index.items.extend(self.finish(None));
        index
    }

    /// The index of what can be reached from the crate `root`.
    pub(super) fn into_index(mut self, root: &str) -> Index {
        let mut scope = self.exports(&format!("{root}::prelude"));
        for (name, target) in self.exports(root) {
            if matches!(&target, Target::Module(path) if !path.contains("::")) {
                scope.insert(name, target);
            }
        }
        for (name, target) in [("std", Target::Module("std".to_owned()))].map(|(n, t)| (n.to_owned(), t)) {
            scope.insert(name, target);
        }
        for (name, target) in self.exports("std") {
            scope.entry(name).or_insert(target);
        }
        let mut modules = BTreeMap::from([(root.to_owned(), self.exports(root))]);
        let mut todo: Vec<Target> = scope.values().chain(modules[root].values()).cloned().collect();
        while let Some(target) = todo.pop() {
            if let Target::Module(path) = target
                && !modules.contains_key(&path)
            {
                let names = self.exports(&path);
                todo.extend(names.values().cloned());
                modules.insert(path, names);
            }
        }
        let traits: HashSet<usize> =
            scope.values().filter_map(|t| if let Target::Item(id) = t { Some(*id) } else { None }).collect();
        let items = self.finish(Some(&traits));
        scope.retain(|name, _| !name.starts_with('_'));
        // What is read as `std` has the preludes' names at its root, where nobody would find them.
        if let Some(names) = modules.get_mut("std") {
            names.retain(|_, target| matches!(target, Target::Module(_)));
        }
        modules.values_mut().for_each(|names| names.retain(|name, _| !name.starts_with('_')));
        reachable(Index { items, scope, modules, ..Index::default() })
    }
}

/// `index` without the items that no path and no type leads to.
fn reachable(mut index: Index) -> Index {
    fn of_ty(ty: &Ty, to: &mut Vec<usize>) {
        to.extend(ty.item);
        ty.args.iter().for_each(|arg| of_ty(arg, to));
    }
    let targets = index.scope.values().chain(index.modules.values().flat_map(BTreeMap::values));
    let mut todo: Vec<usize> =
        targets.filter_map(|target| if let Target::Item(id) = target { Some(*id) } else { None }).collect();
    let mut places = vec![None; index.items.len()];
    let mut kept = Vec::new();
    while let Some(id) = todo.pop() {
        if places[id].is_none() {
            places[id] = Some(kept.len());
            kept.push(id);
            let item = &index.items[id];
            todo.extend(&item.traits);
            let tys = item
                .leads_to
                .iter()
                .chain(&item.iterates)
                .chain(item.members.iter().filter_map(|member| member.ty.as_ref()));
            tys.for_each(|ty| of_ty(ty, &mut todo));
        }
    }
    fn move_ty(ty: &mut Ty, places: &[Option<usize>]) {
        ty.item = ty.item.and_then(|id| places[id]);
        ty.args.iter_mut().for_each(|arg| move_ty(arg, places));
    }
    let mut items: Vec<Option<Item>> = std::mem::take(&mut index.items).into_iter().map(Some).collect();
    for id in kept {
        let Some(mut item) = items[id].take() else { continue };
        item.traits = item.traits.iter().filter_map(|id| places[*id]).collect();
        item.leads_to.iter_mut().chain(&mut item.iterates).for_each(|ty| move_ty(ty, &places));
        item.members.iter_mut().filter_map(|member| member.ty.as_mut()).for_each(|ty| move_ty(ty, &places));
        index.items.push(item);
    }
    let names = index.scope.values_mut().chain(index.modules.values_mut().flat_map(BTreeMap::values_mut));
    for target in names {
        if let Target::Item(id) = target {
            *id = places[*id].unwrap_or_default();
        }
    }
    index
}
