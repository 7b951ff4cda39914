//! Items of cells: what each one defines, so that a later definition replaces an earlier one.

use std::collections::BTreeSet;
use std::ops::Range;

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Item, UseTree, Visibility};

use super::cell::collect_words;

/// An item as it stands in one cell.
#[derive(Debug, Clone)]
pub(crate) struct CellItem {
    pub(crate) range: Range<usize>,
    /// The `pub` before it, blanked when compiled: an item that the library exports costs code in every cell.
    pub(crate) visibility: Option<Range<usize>>,
    pub(crate) parts: Vec<ItemPart>,
}

/// What is kept of an item: one part each, but one per imported name for `use`.
#[derive(Debug, Clone)]
pub(crate) struct ItemPart {
    pub(crate) defines: Defines,
    /// Identifiers that occur in it.
    pub(crate) words: BTreeSet<String>,
    /// For an import, the one-name `use` that stands for it in later cells.
    pub(crate) import: Option<String>,
    /// A cell may depend on it without naming it: an import, a trait, an alias, a module.
    pub(crate) is_ambient: bool,
}

/// What an item takes the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Defines {
    /// A type, trait or module.
    Type(String),
    /// A function or constant.
    Value(String),
    /// A static, with its declaration (`mut X: T`) for cells that only refer to it.
    Static {
        name: String,
        mutable: bool,
        ty: String,
        /// One of `thread_local!`: what is shared is its key.
        is_key: bool,
    },
    Macro(String),
    /// A name by `use`, in whatever namespaces it has there.
    Import(String),
    /// A glob import or a nameless one, by its path.
    Glob(String),
    /// An implementation, by the text of its head; for an inherent one, its members too.
    Impl {
        head: String,
        members: BTreeSet<String>,
    },
    /// Anything else, by its text.
    Other(String),
}

impl Defines {
    /// The name as a cell would write it, where there is one.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Type(name)
            | Self::Value(name)
            | Self::Macro(name)
            | Self::Import(name)
            | Self::Static { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Whether `self`, sent later, takes the place of `earlier`.
    pub(crate) fn replaces(&self, earlier: &Self) -> bool {
        use Defines::{Glob, Impl, Import, Macro, Other, Static, Type, Value};
        match (self, earlier) {
            (Impl { head: a, members: new }, Impl { head: b, members: old }) => {
                a == b && (new.is_empty() || old.is_empty() || !new.is_disjoint(old))
            }
            (Type(a), Type(b)) | (Macro(a), Macro(b)) | (Glob(a), Glob(b)) | (Other(a), Other(b)) => a == b,
            (Value(a) | Static { name: a, .. }, Value(b) | Static { name: b, .. }) => a == b,
            (Import(a), b) => b.name() == Some(a),
            (a, Import(b)) => a.name() == Some(b),
            _ => false,
        }
    }

    /// Whether a variable's type can depend on it.
    pub(crate) fn shapes_types(&self) -> bool {
        matches!(self, Self::Type(_) | Self::Value(_) | Self::Import(_))
    }

    /// For messages, as "`impl Point`".
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Impl { head, .. } => format!("`{head}`"),
            Self::Glob(text) | Self::Other(text) => format!("`{text}`"),
            other => format!("`{}`", other.name().unwrap_or_default()),
        }
    }
}

impl CellItem {
    pub(super) fn new(item: Item, source: &str) -> Self {
        let range = item.span().byte_range();
        let visibility = visibility_of(&item)
            .filter(|visibility| !matches!(visibility, Visibility::Inherited))
            .map(|visibility| visibility.span().byte_range());
        let mut words = BTreeSet::new();
        collect_words(item.to_token_stream(), &mut words);
        let is_ambient = match &item {
            Item::Trait(_) | Item::TraitAlias(_) | Item::Type(_) | Item::Mod(_) => true,
            Item::Const(i) => i.ident == "_",
            _ => false,
        };
        let part = |defines| {
            let is_ambient = is_ambient || matches!(defines, Defines::Other(_));
            ItemPart { defines, words: words.clone(), import: None, is_ambient }
        };
        let parts = match &item {
            Item::Use(import) => {
                let mut leaves = Vec::new();
                let start = if import.leading_colon.is_some() { "::" } else { "" };
                use_leaves(&import.tree, start, &mut leaves);
                leaves
            }
            Item::Fn(i) => vec![part(Defines::Value(i.sig.ident.to_string()))],
            Item::Const(i) => vec![part(Defines::Value(i.ident.to_string()))],
            Item::Static(i) => vec![part(Defines::Static {
                name: i.ident.to_string(),
                mutable: matches!(i.mutability, syn::StaticMutability::Mut(_)),
                ty: i.ty.to_token_stream().to_string(),
                is_key: false,
            })],
            Item::Struct(i) => vec![part(Defines::Type(i.ident.to_string()))],
            Item::Enum(i) => vec![part(Defines::Type(i.ident.to_string()))],
            Item::Union(i) => vec![part(Defines::Type(i.ident.to_string()))],
            Item::Type(i) => vec![part(Defines::Type(i.ident.to_string()))],
            Item::Trait(i) => vec![part(Defines::Type(i.ident.to_string()))],
            Item::Mod(i) => vec![part(Defines::Type(i.ident.to_string()))],
            Item::Macro(syn::ItemMacro { ident: Some(ident), .. }) => {
                vec![part(Defines::Macro(ident.to_string()))]
            }
            Item::Macro(i) if i.mac.path.segments.last().is_some_and(|last| last.ident == "thread_local") => {
                let keys = syn::parse2::<Keys>(i.mac.tokens.clone()).map(|keys| keys.0).unwrap_or_default();
                keys.into_iter().map(part).collect()
            }
            Item::Impl(i) => vec![part(implementation(i))],
            _ => vec![part(Defines::Other(source.get(range.clone()).unwrap_or_default().to_owned()))],
        };
        Self { range, visibility, parts }
    }
}

/// What `thread_local!` declares.
struct Keys(Vec<Defines>);

impl syn::parse::Parse for Keys {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        let mut keys = Vec::new();
        while !input.is_empty() {
            syn::Attribute::parse_outer(input)?;
            input.parse::<Visibility>()?;
            input.parse::<syn::Token![static]>()?;
            let name = input.parse::<syn::Ident>()?.to_string();
            input.parse::<syn::Token![:]>()?;
            let ty: syn::Type = input.parse()?;
            let ty = format!("::std::thread::LocalKey<{}>", ty.to_token_stream());
            keys.push(Defines::Static { name, mutable: false, ty, is_key: true });
            input.parse::<syn::Token![=]>()?;
            if input.peek(syn::Token![const]) {
                input.parse::<syn::Token![const]>()?;
            }
            input.parse::<syn::Expr>()?;
            if !input.is_empty() {
                input.parse::<syn::Token![;]>()?;
            }
        }
        Ok(Self(keys))
    }
}

fn implementation(item: &syn::ItemImpl) -> Defines {
    let generics = item.generics.to_token_stream();
    let self_ty = item.self_ty.to_token_stream();
    match &item.trait_ {
        Some((bang, path, _)) => {
            let bang = bang.map(|_| "!").unwrap_or_default();
            let head = format!("impl{generics} {bang}{} for {self_ty}", path.to_token_stream());
            Defines::Impl { head, members: BTreeSet::new() }
        }
        None => {
            let members = item
                .items
                .iter()
                .filter_map(|member| match member {
                    syn::ImplItem::Fn(f) => Some(f.sig.ident.to_string()),
                    syn::ImplItem::Const(c) => Some(c.ident.to_string()),
                    _ => None,
                })
                .collect();
            Defines::Impl { head: format!("impl{generics} {self_ty}"), members }
        }
    }
}

fn visibility_of(item: &Item) -> Option<&Visibility> {
    Some(match item {
        Item::Const(i) => &i.vis,
        Item::Enum(i) => &i.vis,
        Item::Fn(i) => &i.vis,
        Item::Mod(i) => &i.vis,
        Item::Static(i) => &i.vis,
        Item::Struct(i) => &i.vis,
        Item::Trait(i) => &i.vis,
        Item::Type(i) => &i.vis,
        Item::Union(i) => &i.vis,
        Item::Use(i) => &i.vis,
        _ => return None,
    })
}

/// One part for each name that a `use` brings in.
fn use_leaves(tree: &UseTree, path: &str, leaves: &mut Vec<ItemPart>) {
    let mut leaf = |defines: Defines, import: String| {
        let words = import.split(|c: char| !(c.is_alphanumeric() || c == '_')).map(str::to_owned).collect();
        leaves.push(ItemPart { defines, words, import: Some(import), is_ambient: true });
    };
    match tree {
        UseTree::Path(inner) => use_leaves(&inner.tree, &format!("{path}{}::", inner.ident), leaves),
        UseTree::Group(group) => group.items.iter().for_each(|inner| use_leaves(inner, path, leaves)),
        UseTree::Glob(_) => leaf(Defines::Glob(format!("use {path}*")), format!("use {path}*;")),
        UseTree::Name(name) if name.ident == "self" => {
            let module = path.trim_end_matches("::");
            let own = module.rsplit("::").next().unwrap_or(module);
            leaf(Defines::Import(own.to_owned()), format!("use {module};"));
        }
        UseTree::Name(name) => {
            leaf(Defines::Import(name.ident.to_string()), format!("use {path}{};", name.ident));
        }
        UseTree::Rename(rename) => {
            let target = if rename.ident == "self" {
                path.trim_end_matches("::").to_owned()
            } else {
                format!("{path}{}", rename.ident)
            };
            let import = format!("use {target} as {};", rename.rename);
            match rename.rename == "_" {
                true => leaf(Defines::Glob(import.clone()), import),
                false => leaf(Defines::Import(rename.rename.to_string()), import),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::parse;
    use super::Defines;

    fn defines(code: &str) -> Vec<Defines> {
        parse(code).unwrap().items.into_iter().flat_map(|item| item.parts).map(|part| part.defines).collect()
    }

    #[test]
    fn imports_are_kept_name_by_name() {
        let cell = parse("use std::{fmt::{self, Debug as D}, collections::*};").unwrap();
        let imports: Vec<_> = cell.items[0].parts.iter().filter_map(|part| part.import.clone()).collect();
        assert_eq!(imports, ["use std::fmt;", "use std::fmt::Debug as D;", "use std::collections::*;"]);
    }

    #[test]
    fn the_same_impl_replaces_and_another_does_not() {
        let impls =
            defines("impl A for B { fn x() {} } impl A for C {} impl B { fn x() {} } impl B { fn y() {} }");
        for (i, a) in impls.iter().enumerate() {
            for (j, b) in impls.iter().enumerate() {
                assert_eq!(a.replaces(b), i == j, "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn a_type_and_a_function_may_share_a_name() {
        let both = defines("struct A { x: u8 } fn A() {} use b::A;");
        assert!(!both[0].replaces(&both[1]));
        assert!(both[2].replaces(&both[0]) && both[2].replaces(&both[1]));
    }
}
