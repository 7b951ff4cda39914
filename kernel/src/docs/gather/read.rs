//! Reads one crate's sources, following `mod` as the compiler does.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use syn::{Attribute, Fields, Generics, ImplItem, Item as SynItem, Signature, TraitItem, Type, Visibility};

use super::cfg::is_public_face;
use super::expand;
use super::text;
use super::tree::{Found, FoundImpl, FoundMember, Tree, Use};
use crate::docs::Kind;
use crate::nesting;

/// How deep a file may be nested, as [`nesting::depth`] counts, with the stack that those threads have who read.
const DEEPEST: usize = 2000;

/// Reads the crate whose root is `path`.
///
/// # Errors
/// If the root cannot be read; modules that cannot are left out with a warning.
pub(super) fn krate(
    tree: &mut Tree<'_>,
    name: &str,
    path: &Path,
    features: &HashSet<String>,
) -> anyhow::Result<()> {
    let source = std::fs::read_to_string(path).with_context(|| format!("no {}", path.display()))?;
    let folder = path.parent().unwrap_or(path).to_path_buf();
    let mut reader =
        Reader { tree, krate: name.to_owned(), features, everything: false, depth: 0, pending: Vec::new() };
    reader.file(&source, name, &folder).with_context(|| format!("{} is not understood", path.display()))?;
    while let Some(Pending { module, file, folder }) = reader.pending.pop() {
        match std::fs::read_to_string(&file) {
            Ok(source) => {
                if let Err(error) = reader.file(&source, &module, &folder) {
                    log::warn!("{}: {error}", file.display());
                }
            }
            Err(error) => log::debug!("{}: {error}", file.display()),
        }
    }
    Ok(())
}

/// Reads `source` as if it were a crate of which all is public.
///
/// # Errors
/// If it is not Rust.
pub(super) fn text(tree: &mut Tree<'_>, name: &str, source: &str) -> anyhow::Result<()> {
    let features = HashSet::new();
    let mut reader = Reader {
        tree,
        krate: name.to_owned(),
        features: &features,
        everything: true,
        depth: 0,
        pending: Vec::new(),
    };
    reader.file(source, name, Path::new(""))
}

struct Reader<'a, 'b> {
    tree: &'a mut Tree<'b>,
    krate: String,
    features: &'a HashSet<String>,
    everything: bool,
    /// How deep within macros it reads.
    depth: usize,
    pending: Vec<Pending>,
}

/// How deep macros may stand for macros.
const MACRO_DEPTH: usize = 8;

/// A module in a file of its own, still to be read.
struct Pending {
    module: String,
    file: PathBuf,
    /// Where its own submodules lie.
    folder: PathBuf,
}

impl Reader<'_, '_> {
    /// Reads a file whose submodules lie in `folder`.
    fn file(&mut self, source: &str, module: &str, folder: &Path) -> anyhow::Result<()> {
        let (depth, _) = nesting::depth(source);
        anyhow::ensure!(depth <= DEEPEST, "nested too deeply: {depth} levels, {DEEPEST} are read");
        let file = syn::parse_file(source)?;
        self.items(&file.items, source, module, folder);
        // Spans are not asked for again: without this the table of sources only grows.
        proc_macro2::extra::invalidate_current_thread_spans();
        Ok(())
    }

    fn is_public(&self, visibility: &Visibility) -> bool {
        self.everything || matches!(visibility, Visibility::Public(_))
    }

    fn sees(&self, attributes: &[Attribute]) -> bool {
        is_public_face(attributes, self.features)
    }

    fn items(&mut self, items: &[SynItem], source: &str, module: &str, folder: &Path) {
        self.tree.module(module);
        for item in items {
            match item {
                SynItem::Mod(m)
                    if m.attrs.iter().all(|a| !a.path().is_ident("cfg")) || self.sees(&m.attrs) =>
                {
                    let is_hidden = !self.sees(&m.attrs);
                    let name = m.ident.to_string();
                    let path = format!("{module}::{name}");
                    self.tree.submodule(module, &name, self.is_public(&m.vis) && !is_hidden);
                    match &m.content {
                        Some((_, inner)) => self.items(inner, source, &path, &folder.join(&name)),
                        // Later: reading a file makes the spans of the one before invalid.
                        None => self.pending.push(Pending {
                            module: path,
                            file: file_of(&m.attrs, folder, &name),
                            folder: folder.join(&name),
                        }),
                    }
                }
                SynItem::Use(u)
                    if self.sees(&u.attrs) || !u.attrs.iter().any(|a| a.path().is_ident("cfg")) =>
                {
                    let is_public = self.is_public(&u.vis);
                    self.uses(&u.tree, &mut Vec::new(), module, is_public, u.leading_colon.is_some());
                }
                SynItem::ExternCrate(_) | SynItem::Mod(_) | SynItem::Use(_) => {}
                SynItem::Macro(m) if m.ident.is_none() && self.sees(&m.attrs) => {
                    if let Some(text) = self.expanded(&m.mac)
                        && let Ok(file) = syn::parse_file(&text)
                        && self.depth < MACRO_DEPTH
                    {
                        self.depth += 1;
                        self.items(&file.items, &text, module, folder);
                        self.depth -= 1;
                    }
                }
                other => self.item(other, source, module),
            }
        }
    }

    fn uses(
        &mut self,
        tree: &syn::UseTree,
        path: &mut Vec<String>,
        module: &str,
        is_public: bool,
        absolute: bool,
    ) {
        let mut found = |name: Option<String>, path: Vec<String>| {
            self.tree.add_use(module, Use { path, name, is_public, absolute });
        };
        match tree {
            syn::UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.uses(&inner.tree, path, module, is_public, absolute);
                path.pop();
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|inner| self.uses(inner, path, module, is_public, absolute));
            }
            syn::UseTree::Glob(_) => found(None, path.clone()),
            syn::UseTree::Name(leaf) => {
                let own = leaf.ident.to_string();
                let mut whole = path.clone();
                if own != "self" {
                    whole.push(own);
                }
                found(whole.last().cloned(), whole);
            }
            syn::UseTree::Rename(leaf) => {
                let mut whole = path.clone();
                if leaf.ident != "self" {
                    whole.push(leaf.ident.to_string());
                }
                found(Some(leaf.rename.to_string()), whole);
            }
        }
    }

    fn item(&mut self, item: &SynItem, source: &str, module: &str) {
        match item {
            SynItem::Struct(i) if self.sees(&i.attrs) => {
                let mut found = self.found(&i.ident, Kind::Struct, &i.attrs, &i.vis);
                found.signature = head("struct", &i.ident, &i.generics, source);
                found.members = self.fields(&i.fields, source);
                found.derives = derives(&i.attrs);
                self.tree.add(module, found);
            }
            SynItem::Enum(i) if self.sees(&i.attrs) => {
                let mut found = self.found(&i.ident, Kind::Enum, &i.attrs, &i.vis);
                found.signature = head("enum", &i.ident, &i.generics, source);
                let variants = i.variants.iter().filter(|variant| self.sees(&variant.attrs));
                found.members = variants
                    .map(|variant| FoundMember {
                        name: variant.ident.to_string(),
                        kind: Kind::Variant,
                        signature: format!(
                            "{}::{}{}",
                            i.ident,
                            variant.ident,
                            text::of(source, &variant.fields)
                        ),
                        docs: text::docs(&variant.attrs),
                        ty: syn::parse_str("Self").ok(),
                    })
                    .collect();
                found.derives = derives(&i.attrs);
                self.tree.add(module, found);
            }
            SynItem::Trait(i) if self.sees(&i.attrs) => {
                let mut found = self.found(&i.ident, Kind::Trait, &i.attrs, &i.vis);
                found.signature = head("trait", &i.ident, &i.generics, source);
                let functions = i.items.iter().filter_map(|member| match member {
                    TraitItem::Fn(f) if self.sees(&f.attrs) => Some(function(&f.sig, &f.attrs, source)),
                    _ => None,
                });
                found.members = functions.collect();
                self.tree.add(module, found);
            }
            SynItem::Fn(i) if self.sees(&i.attrs) => {
                let mut found = self.found(&i.sig.ident, Kind::Function, &i.attrs, &i.vis);
                found.signature = text::of(source, &i.sig);
                found.leads_to = returned(&i.sig);
                self.tree.add(module, found);
            }
            SynItem::Const(i) if self.sees(&i.attrs) => {
                let mut found = self.found(&i.ident, Kind::Constant, &i.attrs, &i.vis);
                found.signature = format!("const {}: {}", i.ident, text::of(source, &*i.ty));
                found.leads_to = Some((*i.ty).clone());
                self.tree.add(module, found);
            }
            SynItem::Static(i) if self.sees(&i.attrs) => {
                let mut found = self.found(&i.ident, Kind::Constant, &i.attrs, &i.vis);
                found.signature = format!("static {}: {}", i.ident, text::of(source, &*i.ty));
                found.leads_to = Some((*i.ty).clone());
                self.tree.add(module, found);
            }
            SynItem::Type(i) if self.sees(&i.attrs) => {
                let mut found = self.found(&i.ident, Kind::Type, &i.attrs, &i.vis);
                found.signature =
                    format!("{} = {}", head("type", &i.ident, &i.generics, source), text::of(source, &*i.ty));
                found.leads_to = Some((*i.ty).clone());
                self.tree.add(module, found);
            }
            SynItem::Macro(i) => self.macro_rules(i),
            SynItem::Impl(i) if self.sees(&i.attrs) => self.implementation(i, source, module),
            _ => {}
        }
    }

    /// What a call of a macro that is known stands for, as text.
    fn expanded(&self, call: &syn::Macro) -> Option<String> {
        let name = call.path.segments.last()?.ident.to_string();
        self.tree.macros.expand(&name, &call.tokens).map(expand::to_text)
    }

    fn macro_rules(&mut self, item: &syn::ItemMacro) {
        if let Some(name) = &item.ident {
            self.tree.macros.add(&name.to_string(), &item.mac.tokens);
        }
        let is_exported = self.everything || item.attrs.iter().any(|a| a.path().is_ident("macro_export"));
        if let Some(name) = item.ident.as_ref().filter(|_| is_exported && self.sees(&item.attrs)) {
            let public = Visibility::Public(Default::default());
            let mut found = self.found(name, Kind::Macro, &item.attrs, &public);
            found.signature = format!("macro {name}!");
            let root = self.krate.clone();
            self.tree.add(&root, found);
        }
    }

    fn implementation(&mut self, item: &syn::ItemImpl, source: &str, module: &str) {
        let Some(of) = path_of(&item.self_ty) else { return };
        let mut found = FoundImpl { module: module.to_owned(), of, ..FoundImpl::default() };
        match &item.trait_ {
            Some((None, path, _)) => {
                found.of_trait = Some(segments(path));
                let associated = |name: &str| {
                    item.items.iter().find_map(|member| match member {
                        ImplItem::Type(ty) if ty.ident == name => Some(ty.ty.clone()),
                        _ => None,
                    })
                };
                if path_ends(path, "Deref") {
                    found.target = associated("Target");
                } else if path_ends(path, "Iterator") || path_ends(path, "IntoIterator") {
                    found.iterates = associated("Item");
                }
            }
            Some(_) => return,
            None => self.members(&item.items, source, &mut found.members, MACRO_DEPTH),
        }
        self.tree.add_impl(found);
    }

    /// The public members of an `impl` block; `depth` is how deep macros may still stand for some.
    fn members(&self, items: &[ImplItem], source: &str, found: &mut Vec<FoundMember>, depth: usize) {
        for member in items {
            match member {
                ImplItem::Fn(f) if self.is_public(&f.vis) && self.sees(&f.attrs) => {
                    found.push(function(&f.sig, &f.attrs, source));
                }
                ImplItem::Const(c) if self.is_public(&c.vis) && self.sees(&c.attrs) => {
                    found.push(FoundMember {
                        name: c.ident.to_string(),
                        kind: Kind::Constant,
                        signature: format!("const {}: {}", c.ident, text::of(source, &c.ty)),
                        docs: text::docs(&c.attrs),
                        ty: Some(c.ty.clone()),
                    });
                }
                ImplItem::Macro(m) if self.sees(&m.attrs) && depth > 0 => {
                    if let Some(text) = self.expanded(&m.mac).map(|text| format!("impl Some {{ {text} }}"))
                        && let Ok(block) = syn::parse_str::<syn::ItemImpl>(&text)
                    {
                        self.members(&block.items, &text, found, depth - 1);
                    }
                }
                _ => {}
            }
        }
    }

    fn found(
        &self,
        name: &syn::Ident,
        kind: Kind,
        attributes: &[Attribute],
        visibility: &Visibility,
    ) -> Found {
        Found {
            name: name.to_string().trim_start_matches("r#").to_owned(),
            kind: Some(kind),
            docs: text::docs(attributes),
            is_public: self.is_public(visibility),
            ..Found::default()
        }
    }

    fn fields(&self, fields: &Fields, source: &str) -> Vec<FoundMember> {
        let visible = fields.iter().filter(|field| self.is_public(&field.vis) && self.sees(&field.attrs));
        visible
            .filter_map(|field| {
                let name = field.ident.as_ref()?.to_string();
                Some(FoundMember {
                    signature: format!("{name}: {}", text::of(source, &field.ty)),
                    name,
                    kind: Kind::Field,
                    docs: text::docs(&field.attrs),
                    ty: Some(field.ty.clone()),
                })
            })
            .collect()
    }
}

fn function(signature: &Signature, attributes: &[Attribute], source: &str) -> FoundMember {
    FoundMember {
        name: signature.ident.to_string().trim_start_matches("r#").to_owned(),
        kind: if signature.receiver().is_some() { Kind::Method } else { Kind::Function },
        signature: text::of(source, signature),
        docs: text::docs(attributes),
        ty: returned(signature),
    }
}

fn returned(signature: &Signature) -> Option<Type> {
    match &signature.output {
        syn::ReturnType::Type(_, ty) => Some((**ty).clone()),
        syn::ReturnType::Default => None,
    }
}

fn head(word: &str, name: &syn::Ident, generics: &Generics, source: &str) -> String {
    let parameters = if generics.params.is_empty() {
        String::new()
    } else {
        format!("<{}>", text::of(source, &generics.params))
    };
    format!("{word} {name}{parameters}")
}

fn derives(attributes: &[Attribute]) -> Vec<String> {
    let mut names = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
        let _ = attribute.parse_nested_meta(|meta| {
            names.extend(meta.path.segments.last().map(|segment| segment.ident.to_string()));
            Ok(())
        });
    }
    names
}

/// The file of `mod name;` whose parent's submodules lie in `folder`.
fn file_of(attributes: &[Attribute], folder: &Path, name: &str) -> PathBuf {
    let given = attributes.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(syn::MetaNameValue {
            path,
            value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(file), .. }),
            ..
        }) if path.is_ident("path") => Some(folder.join(file.value())),
        _ => None,
    });
    given.unwrap_or_else(|| {
        let beside = folder.join(format!("{name}.rs"));
        if beside.is_file() { beside } else { folder.join(name).join("mod.rs") }
    })
}

fn path_of(ty: &Type) -> Option<Vec<String>> {
    match ty {
        Type::Path(path) if path.qself.is_none() => Some(segments(&path.path)),
        Type::Reference(reference) => path_of(&reference.elem),
        Type::TraitObject(object) => object.bounds.iter().find_map(|bound| match bound {
            syn::TypeParamBound::Trait(bound) => Some(segments(&bound.path)),
            _ => None,
        }),
        Type::Group(group) => path_of(&group.elem),
        Type::Paren(inner) => path_of(&inner.elem),
        _ => None,
    }
}

pub(super) fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn path_ends(path: &syn::Path, name: &str) -> bool {
    path.segments.last().is_some_and(|segment| segment.ident == name)
}
