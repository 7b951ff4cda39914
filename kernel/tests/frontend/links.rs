//! Every public function of ours can be called from a cell: what a cell compiles itself, as generic functions, must not need
//! symbols that the bundle keeps to itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use syn::{FnArg, GenericParam, Type, TypeParamBound};

use crate::client::{Kernel, bundle};

/// Calls in one cell: few enough for an error to be found, enough for few cells.
const IN_A_CELL: usize = 60;

/// Calls of what cannot be called by its signature alone: by path, whole.
const BY_HAND: &[(&str, &str)] = &[
    ("glisten_prelude::rt::display", "glisten_prelude::rt::display(any::<&DataFrame>())"),
    ("glisten_prelude::rt::own", "glisten_prelude::rt::own(1)"),
    ("glisten_prelude::rt::put", "glisten_prelude::rt::put(\"x\", 1)"),
    ("glisten_prelude::rt::stage", "glisten_prelude::rt::stage(|| Ok(1))"),
    ("glisten_prelude::rt::take", "unsafe { glisten_prelude::rt::take::<u8>(\"x\") }"),
    (
        "glisten_prelude::rt::update_display",
        "glisten_prelude::rt::update_display(\"x\", any::<&DataFrame>())",
    ),
    ("glisten::ops::by_parts", "glisten::ops::by_parts(|| 1)"),
    (
        "glisten::track::Experiment::with_run",
        "any::<Experiment>().with_run(\"x\", |run| { run.complete()?; Ok(1) })",
    ),
];

/// Traits of ours that a type implements, to call their methods on.
const IMPLEMENTED_BY: &[(&str, &str)] = &[
    ("Architecture", "LeNet"),
    ("ChartExt", "Experiment"),
    ("IntoSearch", "&str"),
    ("Listener", "dyn glisten::progress::Listener"),
    ("Model", "dyn glisten::model::Model"),
    ("RunsExt", "DataFrame"),
    ("Show", "DataFrame"),
];

#[test]
fn each_public_function_links_in_a_cell() {
    let text = std::fs::read_to_string(bundle().join("index.json")).expect("the index of completion");
    let index: Value = serde_json::from_str(&text).expect("JSON");
    let (calls, unknown) = calls_of(&index);
    assert!(calls.len() > 400, "only {} functions were found", calls.len());
    assert!(unknown.is_empty(), "say how these are called, in this test's tables: {unknown:#?}");
    let kernel = Kernel::start();
    kernel.run("fn any<T>() -> T { unreachable!() }").ok();
    let calls: Vec<_> = calls.into_iter().collect();
    let mut failed = Vec::new();
    for some in calls.chunks(IN_A_CELL) {
        if let Some(why) = failure_of(&kernel, some) {
            // One by one, to name each.
            let alone: Vec<_> =
                some.chunks(1).filter_map(|one| Some((&one[0].0, failure_of(&kernel, one)?))).collect();
            assert!(!alone.is_empty(), "together they fail, each alone does not: {why}");
            failed.extend(alone);
        }
    }
    assert!(failed.is_empty(), "{} of {} functions fail: {failed:#?}", failed.len(), calls.len());
}

/// Why a cell with these calls fails, if it does.
fn failure_of(kernel: &Kernel, calls: &[(String, String)]) -> Option<String> {
    let lines: String = calls.iter().map(|(_, call)| format!("    {{ let _ = {call}; }}\n")).collect();
    let outcome = kernel.run(&format!("if std::hint::black_box(false) {{\n{lines}}}"));
    (outcome.reply["status"] != "ok").then(|| {
        let (error, traceback) = outcome.failure();
        if error.contains("LoadError") { error } else { format!("{error}\n{traceback}") }
    })
}

/// A call of each function and method of our crates by its path, and the paths of those that cannot be called so.
fn calls_of(index: &Value) -> (BTreeMap<String, String>, Vec<String>) {
    let items = index["items"].as_array().expect("items");
    // The shortest path of each item.
    let mut paths: BTreeMap<usize, String> = BTreeMap::new();
    for (module, names) in index["modules"].as_object().expect("modules") {
        let ours = ["glisten", "glisten_prelude"].contains(&module.split("::").next().unwrap_or_default());
        for (name, target) in names.as_object().into_iter().flatten().filter(|_| ours) {
            let Some(item) = target["i"].as_u64().and_then(|item| usize::try_from(item).ok()) else {
                continue;
            };
            let path = format!("{module}::{name}");
            let known = paths.entry(item).or_insert_with(|| path.clone());
            if path.len() < known.len() {
                *known = path;
            }
        }
    }
    // What the prelude takes from other crates is theirs to keep.
    let is_ours = |path: &str| {
        let is_of = |modules: &[&str]| modules.iter().any(|module| path.starts_with(module));
        // Each cell that shows a value calls those of `via`.
        !is_of(&["glisten::prelude::", "glisten_prelude::prelude::", "glisten_prelude::rt::via::"])
    };
    // Path, signature, and for a trait's methods a type that has them, if one is known.
    let mut functions = Vec::new();
    for (item, path) in paths.iter().filter(|(_, path)| is_ours(path)) {
        let item = &items[*item];
        let kind = item["kind"].as_str().unwrap_or_default();
        if kind == "function" {
            functions.push((path.clone(), item["signature"].as_str().unwrap_or_default(), Some("")));
        }
        let name = item["name"].as_str().unwrap_or_default();
        let implementor = IMPLEMENTED_BY.iter().find(|(other, _)| *other == name).map(|(_, ty)| *ty);
        for member in item["members"].as_array().into_iter().flatten() {
            let member_name = member["name"].as_str().unwrap_or_default();
            let signature = member["signature"].as_str().unwrap_or_default();
            if !["method", "function"].contains(&member["kind"].as_str().unwrap_or_default()) {
                continue;
            }
            functions.push(match (kind, implementor) {
                ("trait", Some(ty)) => (format!("<{ty} as {path}>::{member_name}"), signature, Some(ty)),
                ("trait", None) => (format!("{path}::{member_name}"), signature, None),
                _ => (format!("{path}::{member_name}"), signature, Some("")),
            });
        }
    }
    let (mut calls, mut unknown) = (BTreeMap::new(), Vec::new());
    for (path, signature, receiver) in functions {
        let by_hand = BY_HAND.iter().find(|(other, _)| *other == path).map(|(_, call)| (*call).to_owned());
        match by_hand.or_else(|| call(&path, signature, receiver?)) {
            Some(call) => drop(calls.insert(path, call)),
            None => unknown.push(format!("{path}: {signature}")),
        }
    }
    (calls, unknown)
}

/// A call of `path` with values of any kind, by its signature. `receiver` is the type of `self`, where the path does not say.
fn call(path: &str, signature: &str, receiver: &str) -> Option<String> {
    let signature: syn::Signature = syn::parse_str(&signature.replace("mut self", "self")).ok()?;
    let mut bounds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for parameter in &signature.generics.params {
        if let GenericParam::Type(parameter) = parameter {
            bounds.insert(parameter.ident.to_string(), parameter.bounds.iter().map(text).collect());
        }
    }
    let mut arguments = Vec::new();
    for input in &signature.inputs {
        arguments.push(match input {
            FnArg::Receiver(_) if receiver.is_empty() => "any()".to_owned(),
            FnArg::Receiver(kind) => match (&kind.reference, &kind.mutability) {
                (None, _) => format!("any::<{receiver}>()"),
                (Some(_), None) => format!("any::<&{receiver}>()"),
                (Some(_), Some(_)) => format!("any::<&mut {receiver}>()"),
            },
            FnArg::Typed(argument) => value(&argument.ty, &bounds)?,
        });
    }
    let is_safe = signature.unsafety.is_none();
    let call = format!("{path}({})", arguments.join(", "));
    Some(if is_safe { call } else { format!("unsafe {{ {call} }}") })
}

/// A value of type `ty`, whose type rustc can infer.
fn value(ty: &Type, bounds: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let of_bounds = |all: &[String]| {
        all.iter().find_map(|bound| {
            let bound = bound.replace(' ', "");
            Some(match bound.as_str() {
                "AsRef<Path>" | "AsRef<str>" | "Into<String>" | "Into<PathBuf>" | "IntoSearch" => {
                    "\"x\"".to_owned()
                }
                "Into<Parameter>" => "1_i64".to_owned(),
                "Architecture" | "Architecture+'static" => "any::<LeNet>()".to_owned(),
                "Module" | "Model" => return None,
                bound => {
                    let item = bound.strip_prefix("IntoIterator<Item=")?.strip_suffix('>')?;
                    let item: Type = syn::parse_str(item).ok()?;
                    format!("[{}]", value(&item, bounds)?)
                }
            })
        })
    };
    match ty {
        Type::ImplTrait(any) => {
            let all: Vec<String> =
                any.bounds.iter().filter(|b| matches!(b, TypeParamBound::Trait(_))).map(text).collect();
            of_bounds(&all)
        }
        Type::Path(path)
            if path.path.get_ident().is_some_and(|ident| bounds.contains_key(&ident.to_string())) =>
        {
            of_bounds(&bounds[&text(ty)])
        }
        Type::Tuple(tuple) => {
            let parts: Option<Vec<String>> = tuple.elems.iter().map(|part| value(part, bounds)).collect();
            Some(format!("({},)", parts?.join(", ")).replace("(,)", "()"))
        }
        Type::Reference(reference) => {
            let inner = value(&reference.elem, bounds)?;
            let mutable = if reference.mutability.is_some() { "mut " } else { "" };
            Some(if inner == "any()" { inner } else { format!("&{mutable}{inner}") })
        }
        Type::Slice(slice) => {
            let inner = value(&slice.elem, bounds)?;
            Some(if inner == "any()" { inner } else { format!("[{inner}]") })
        }
        // Anything that mentions a parameter elsewhere is for the tables.
        other => {
            let words: BTreeSet<String> =
                text(other).split(|c: char| !(c.is_alphanumeric() || c == '_')).map(str::to_owned).collect();
            (!words.contains("impl") && bounds.keys().all(|name| !words.contains(name)))
                .then(|| "any()".to_owned())
        }
    }
}

fn text(tokens: &impl quote::ToTokens) -> String {
    tokens.to_token_stream().to_string()
}
