//! What completion and inspection know: an index of the crates that cells see, made when the bundle is made, and the
//! session's own variables and items.
//!
//! The index is a light reading of sources, not a compile: it knows public items, members with their signatures and
//! documentation, what each path leads to, and the return types as far as names tell them. Where that is not enough it
//! gives nothing rather than something wrong.

mod complete;
mod context;
pub(crate) mod gather;
#[cfg(test)]
mod hostile;
mod infer;
mod inspect;
mod locals;
mod outline;
mod parse;
mod scope;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::eval::state::KeptItem;
use crate::nesting::STACK;

pub(crate) use complete::complete;
pub(crate) use inspect::{inspect, page};
pub(crate) use outline::last_statements;

/// The file's name in the bundle.
const FILE: &str = "index.json";

/// The crate that cells link to; its `prelude` is what they see.
const ROOT: &str = "glisten_prelude";

/// What is known of the crates that cells see.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) items: Vec<Item>,
    /// What a cell sees without `use`.
    pub(crate) scope: BTreeMap<String, Target>,
    /// What the public modules hold, by paths as a cell writes them (`polars::prelude`).
    pub(crate) modules: BTreeMap<String, BTreeMap<String, Target>>,
    /// The items by their own names.
    #[serde(skip)]
    by_name: HashMap<String, Vec<usize>>,
}

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    /// An item, by its place in the index.
    #[serde(rename = "i")]
    Item(usize),
    /// A module, by its path.
    #[serde(rename = "m")]
    Module(String),
}

/// The kinds of items and members, as front ends know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Struct,
    Enum,
    Trait,
    Type,
    Function,
    Constant,
    Macro,
    /// A function with a receiver.
    Method,
    Field,
    Variant,
}

/// A public item.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// As it is declared, without a body.
    pub(crate) signature: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) docs: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<Member>,
    /// Traits in a cell's scope that the type implements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) traits: Vec<usize>,
    /// What a function returns, what a type derefs to, what an alias stands for, what a constant is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) leads_to: Option<Ty>,
    /// What a loop over it goes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) iterates: Option<Ty>,
}

/// A method, associated function, field, variant or constant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) signature: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) docs: String,
    /// What it returns or is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ty: Option<Ty>,
}

/// A type as far as completion needs it: references are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ty {
    /// Its last name; `()` for tuples.
    #[serde(rename = "n")]
    pub(crate) name: String,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub(crate) item: Option<usize>,
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) args: Vec<Ty>,
}

impl Ty {
    /// Whether there is not too much of it. Types that hold one another twice double with each `let`.
    fn is_small(&self) -> bool {
        fn left(ty: &Ty, most: usize) -> Option<usize> {
            ty.args.iter().try_fold(most.checked_sub(1)?, |most, arg| left(arg, most))
        }
        left(self, 100).is_some()
    }
}

impl std::fmt::Display for Ty {
    /// As it is written, with `_` for what is not known.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = || self.args.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match (self.name.as_str(), self.args.as_slice()) {
            ("", _) => write!(f, "_"),
            ("()", _) => write!(f, "({})", list()),
            ("[]", _) => write!(f, "[{}]", list()),
            (name, []) => write!(f, "{name}"),
            (name, [item]) if name.ends_with("Iterator") => write!(f, "impl {name}<Item = {item}>"),
            (name, _) => write!(f, "{name}<{}>", list()),
        }
    }
}

impl Kind {
    /// The word that JupyterLab draws a symbol for.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Struct | Self::Type => "class",
            Self::Enum => "enum",
            Self::Trait => "interface",
            Self::Function => "function",
            Self::Constant => "constant",
            Self::Macro => "keyword",
            Self::Method => "method",
            Self::Field => "property",
            Self::Variant => "enumMember",
        }
    }

    /// Whether it can be written behind a dot.
    pub(crate) fn follows_dot(self) -> bool {
        matches!(self, Self::Method | Self::Field)
    }
}

impl Index {
    /// Makes the list by name.
    fn finish(mut self) -> Self {
        for (index, item) in self.items.iter().enumerate() {
            self.by_name.entry(item.name.clone()).or_default().push(index);
        }
        self
    }

    /// What stands for `[T]`. By name alone it could also be some crate's module `slice`.
    fn slice(&self) -> Option<usize> {
        let is_it = |index: &usize| self.items[*index].signature.starts_with("struct slice<T>");
        self.by_name.get("slice")?.iter().copied().find(is_it)
    }

    /// The item of that name, the one in a cell's scope first, then the one with the most members.
    fn named(&self, name: &str) -> Option<usize> {
        if let Some(Target::Item(index)) = self.scope.get(name) {
            return Some(*index);
        }
        let items = self.by_name.get(name)?;
        items.iter().copied().max_by_key(|index| self.items[*index].members.len())
    }
}

/// The index of a bundle, read when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Docs {
    file: PathBuf,
    index: OnceLock<Arc<Index>>,
    /// With the user's own dependencies, where there are any.
    extended: RwLock<Option<Arc<Index>>>,
    /// The session's items as they were read last.
    session: Mutex<Option<Session>>,
}

/// What a session has defined.
#[derive(Debug)]
struct Session {
    /// As the cells have declared it.
    declarations: Vec<String>,
    /// The index that it refers to.
    beside: Arc<Index>,
    items: Arc<Vec<Item>>,
}

impl Docs {
    /// The index in the bundle at `folder`.
    pub(crate) fn of_bundle(folder: &Path) -> Arc<Self> {
        Arc::new(Self { file: folder.join(FILE), ..Self::default() })
    }

    /// Reads the index soon, so that nobody waits for it later.
    pub(crate) fn warm(self: &Arc<Self>) {
        let docs = Arc::clone(self);
        std::thread::spawn(move || {
            // The first cell's compiler comes first.
            std::thread::sleep(Duration::from_secs(2));
            docs.of_prelude();
        });
    }

    /// Reads the sources of the user's dependencies too, soon.
    pub(crate) fn extend(self: &Arc<Self>, sources: Vec<gather::Source>) {
        let docs = Arc::clone(self);
        let thread = std::thread::Builder::new().name("read sources".to_owned()).stack_size(STACK);
        let started = thread.spawn(move || {
            let extended = Arc::new(gather::extend(docs.of_prelude(), &sources).finish());
            *docs.extended.write().unwrap_or_else(PoisonError::into_inner) = Some(extended);
        });
        if let Err(error) = started {
            log::warn!("completion does not know the dependencies: no thread: {error}");
        }
    }

    /// What is known now.
    fn current(&self) -> Arc<Index> {
        let extended = self.extended.read().unwrap_or_else(PoisonError::into_inner).clone();
        extended.unwrap_or_else(|| Arc::clone(self.of_prelude()))
    }

    /// The items that the session has defined, behind those of `index`. Read again only when there are others.
    fn session_items(&self, kept: &[KeptItem], index: &Arc<Index>) -> Arc<Vec<Item>> {
        let declarations: Vec<String> = kept.iter().map(KeptItem::declaration).collect();
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = session.as_ref()
            && known.declarations == declarations
            && Arc::ptr_eq(&known.beside, index)
        {
            return Arc::clone(&known.items);
        }
        let items = Arc::new(gather::of_session(&declarations, index));
        *session = Some(Session { declarations, beside: Arc::clone(index), items: Arc::clone(&items) });
        items
    }

    fn of_prelude(&self) -> &Arc<Index> {
        self.index.get_or_init(|| {
            let read = || {
                let text = std::fs::read(&self.file)?;
                anyhow::Ok(serde_json::from_slice::<Index>(&text)?)
            };
            let index = read().map(Index::finish).unwrap_or_else(|error| {
                log::warn!("{}: {error}; completion knows only the session", self.file.display());
                Index::default()
            });
            Arc::new(index)
        })
    }
}
