//! Every public function of Glisten that a cell can name is called from a cell, at least so far that it links.
//!
//! The list is the index of completion, so that a new function cannot be forgotten: a call is made of its signature. What is
//! generic is compiled in the cell and takes its inlined callees along; the C libraries among these are hidden in the bundle.
//! A function with a type parameter of a new kind fails here until [`KINDS`] or [`CALLS`] knows it.

use std::collections::{BTreeMap, BTreeSet};

use quote::ToTokens;
use serde_json::Value;
use syn::visit_mut::VisitMut;

use crate::client::{Kernel, bundle};

/// What stands for a type parameter with these bounds (without blanks).
const KINDS: [(&str, &str); 12] = [
    ("", "i64"),
    ("'static", "i64"),
    ("AsRef<Path>", "&'static str"),
    ("AsRef<std::path::Path>", "&'static str"),
    ("AsRef<str>", "&'static str"),
    ("Into<PathBuf>", "&'static str"),
    ("Into<String>", "&'static str"),
    ("Into<Parameter>", "f64"),
    ("IntoSearch", "&'static str"),
    ("Architecture+'static", "LeNet"),
    ("Show+?Sized", "DataFrame"),
    ("Model", "LeNet"),
];

/// Calls that are not made of a signature, by path: of what cannot be named in a cell, or is made otherwise.
const CALLS: [(&str, &str); 0] = [];

/// Who stands for a trait that no type of the index implements, by the trait's name.
const IMPLEMENTORS: [(&str, &str); 3] = [
    ("Model", "dyn glisten::model::Model"),
    ("Listener", "dyn glisten::progress::Listener"),
    ("IntoSearch", "&'static str"),
];

/// Calls in a cell: enough for few cells, few enough for rustc.
const BATCH: usize = 60;

#[test]
fn every_function_of_the_prelude_links_from_a_cell() {
    let calls = calls();
    // The index holds hundreds; a list that has shrunk to little tests little.
    assert!(calls.len() > 500, "{} calls", calls.len());
    for expected in
        ["Run::log_parameters", "Run::log_parameter", "Store::open", "Experiment::resume", "RunsExt"]
    {
        assert!(calls.keys().any(|name| name.contains(expected)), "no call of {expected}");
    }
    let kernel = Kernel::start();
    kernel
        .run("unsafe fn any<T>() -> T { unsafe { std::hint::black_box(std::ptr::null::<T>()).read() } }")
        .ok();
    let all: Vec<(&String, &String)> = calls.iter().collect();
    let mut failures = Vec::new();
    for batch in all.chunks(BATCH) {
        if failure(&kernel, batch).is_some() {
            search(&kernel, batch, &mut failures);
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), all.len(), failures.join("\n"));
}

#[test]
fn what_a_cell_logs_is_kept() {
    let kernel = Kernel::start();
    kernel.run("let study = Experiment::resume(\"logged\")?; let run = study.run(\"by hand\")?;").ok();
    kernel.run("run.log_parameters([(\"fraction\", 0.3), (\"learning_rate\", 0.05)])?").ok();
    kernel.run("run.log_parameters(vec![(String::from(\"depth\"), 3)])?").ok();
    kernel.run("run.log_parameter(\"augmented\", true)?; run.log_parameter(\"model\", \"mine\")?").ok();
    kernel.run("run.complete()?").ok();
    let frame = kernel.run("study.runs()?.select([\"fraction\", \"depth\", \"model\"])?");
    let text = frame.ok();
    assert!(text.contains("0.3") && text.contains('3') && text.contains("mine"), "{text}");
    // A store of one's own, opened and closed in a cell.
    assert_eq!(kernel.run("Store::open(\"own.db\")?.is_read_only()").ok(), "false");
}

/// Finds the calls of a batch that fail.
fn search(kernel: &Kernel, batch: &[(&String, &String)], failures: &mut Vec<String>) {
    if let [(name, call)] = batch {
        failures.extend(failure(kernel, batch).map(|error| format!("{name}: {call}\n    {error}")));
        return;
    }
    let (left, right) = batch.split_at(batch.len() / 2);
    for half in [left, right] {
        if failure(kernel, half).is_some() {
            search(kernel, half, failures);
        }
    }
}

/// Why a cell with these calls fails, if it does.
fn failure(kernel: &Kernel, calls: &[(&String, &String)]) -> Option<String> {
    let lines: String = calls.iter().map(|(_, call)| format!("    {{ let _ = {call}; }}\n")).collect();
    // Compiled and linked, and not done.
    let cell = format!("if std::hint::black_box(false) {{ unsafe {{\n{lines}}} }}");
    let outcome = kernel.run(&cell);
    if outcome.reply["status"] == "ok" { None } else { Some(outcome.failure().0) }
}

/// Calls of all public functions and methods, and a drop of each type, by name.
fn calls() -> BTreeMap<String, String> {
    let index = std::fs::read(bundle().join("index.json")).expect("the index of completion");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let items = index["items"].as_array().expect("items");
    let paths = paths(&index);
    let implemented: BTreeSet<u64> = items
        .iter()
        .filter_map(|item| item["traits"].as_array())
        .flatten()
        .filter_map(Value::as_u64)
        .collect();
    let mut calls = BTreeMap::new();
    for (id, path) in &paths {
        let item = &items[*id];
        let own = path.starts_with("glisten");
        let (kind, name) = (text(item, "kind"), text(item, "name"));
        match kind {
            "function" if own => {
                calls.insert(path.clone(), call(path, path, text(item, "signature")));
            }
            "struct" | "enum" if own => {
                let of_type = with_arguments(path, text(item, "signature"));
                calls.insert(format!("drop of {path}"), format!("any::<{of_type}>()"));
                for member in functions(item) {
                    let name = format!("{path}::{}", text(member, "name"));
                    calls.insert(name.clone(), call(&name, &name, text(member, "signature")));
                }
            }
            "trait" if own && !implemented.contains(&(*id as u64)) => {
                let (_, by) = IMPLEMENTORS.iter().find(|(of, _)| *of == name).unwrap_or_else(|| {
                    panic!("{path}: say in IMPLEMENTORS which type its methods are called of")
                });
                for member in functions(item) {
                    let qualified = format!("<{by} as {path}>::{}", text(member, "name"));
                    calls.insert(qualified.clone(), call(&qualified, &qualified, text(member, "signature")));
                }
            }
            _ => {}
        }
        if !matches!(kind, "struct" | "enum") {
            continue;
        }
        // What traits of ours add, to types of others too.
        for of_trait in item["traits"].as_array().into_iter().flatten() {
            let Some(id) = of_trait.as_u64().and_then(|id| usize::try_from(id).ok()) else { continue };
            let Some(trait_path) = paths.get(&id).filter(|path| path.starts_with("glisten")) else {
                continue;
            };
            for member in functions(&items[id]) {
                let qualified = format!("<{path} as {trait_path}>::{}", text(member, "name"));
                let name = format!("{name} as {trait_path}::{}", text(member, "name"));
                calls.insert(name.clone(), call(&name, &qualified, text(member, "signature")));
            }
        }
    }
    calls
}

/// Ways by which a cell can name the items of the index; of Glisten's items, all that are public.
fn paths(index: &Value) -> BTreeMap<usize, String> {
    let mut paths: BTreeMap<usize, String> = BTreeMap::new();
    let targets = |names: &Value| -> Vec<(String, usize)> {
        let names = names.as_object().into_iter().flatten();
        let id = |target: &Value| target["i"].as_u64().and_then(|id| usize::try_from(id).ok());
        names.filter_map(|(name, target)| Some((name.clone(), id(target)?))).collect()
    };
    let modules = index["modules"].as_object().expect("modules");
    let seen_in_cells: BTreeSet<usize> = targets(&index["scope"]).into_iter().map(|(_, id)| id).collect();
    for (module, names) in modules {
        for (name, id) in targets(names) {
            // What every cell's own frame calls, in each cell of every test.
            let is_frame = module.starts_with("glisten_prelude::rt") && !seen_in_cells.contains(&id);
            if is_frame || name.ends_with('!') || module == "glisten_prelude::prelude" {
                continue;
            }
            let path = format!("{module}::{name}");
            let rank = |path: &str| (!path.starts_with("glisten"), path.len(), path.to_owned());
            if paths.get(&id).is_none_or(|known| rank(&path) < rank(known)) {
                paths.insert(id, path);
            }
        }
    }
    paths
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// The functions among an item's members.
fn functions(item: &Value) -> impl Iterator<Item = &Value> {
    let members = item["members"].as_array().into_iter().flatten();
    members.filter(|member| matches!(text(member, "kind"), "function" | "method"))
}

/// A type with something for its parameters, of a declaration as `struct Via<'a, T: ?Sized>`.
fn with_arguments(path: &str, declaration: &str) -> String {
    let item: Option<syn::ItemStruct> = syn::parse_str(&format!("{declaration};")).ok();
    let types = item.map_or(0, |item| item.generics.type_params().count());
    if types == 0 { path.to_owned() } else { format!("{path}<{}>", vec!["i64"; types].join(", ")) }
}

/// A call of `function` with what `any` makes for its parameters, named where only a type parameter says what they are.
fn call(name: &str, function: &str, signature: &str) -> String {
    if let Some((_, call)) = CALLS.iter().find(|(path, _)| *path == name) {
        return (*call).to_owned();
    }
    let parsed: syn::TraitItemFn = syn::parse_str(&format!("{signature};"))
        .unwrap_or_else(|error| panic!("{name}: {signature}: {error}"));
    let mut concrete = Concrete { name, parameters: BTreeMap::new(), changed: false };
    let generics = parsed.sig.generics.clone();
    let inputs = parsed.sig.inputs.to_token_stream().to_string();
    for parameter in generics.type_params() {
        let mut bounds = parameter.bounds.clone();
        for clause in generics.where_clause.iter().flat_map(|clause| &clause.predicates) {
            if let syn::WherePredicate::Type(of_type) = clause
                && parameter.ident == of_type.bounded_ty.to_token_stream().to_string()
            {
                bounds.extend(of_type.bounds.clone());
            }
        }
        let stands_for = concrete.of_bounds(&bounds);
        concrete.parameters.insert(parameter.ident.to_string(), stands_for);
    }
    let mut arguments = Vec::new();
    for input in parsed.sig.inputs {
        let syn::FnArg::Typed(input) = input else {
            arguments.push("any()".to_owned());
            continue;
        };
        let mut ty = *input.ty;
        concrete.changed = false;
        concrete.visit_type_mut(&mut ty);
        let named = ty.to_token_stream().to_string();
        arguments.push(if concrete.changed { format!("any::<{named}>()") } else { "any()".to_owned() });
    }
    // A type parameter that no argument has is chosen in the call.
    let is_shown =
        |name: &syn::Ident| inputs.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| name == word);
    let turbofish = if generics.type_params().all(|parameter| is_shown(&parameter.ident)) {
        String::new()
    } else {
        let chosen =
            generics.type_params().map(|p| concrete.parameters[&p.ident.to_string()].to_token_stream());
        format!("::<{}>", chosen.map(|ty| ty.to_string()).collect::<Vec<_>>().join(", "))
    };
    format!("{function}{turbofish}({})", arguments.join(", "))
}

/// Puts types in the place of type parameters and of `impl Trait`.
struct Concrete<'a> {
    name: &'a str,
    parameters: BTreeMap<String, syn::Type>,
    changed: bool,
}

impl Concrete<'_> {
    fn of_bounds(
        &mut self,
        bounds: &syn::punctuated::Punctuated<syn::TypeParamBound, syn::Token![+]>,
    ) -> syn::Type {
        for bound in bounds {
            let syn::TypeParamBound::Trait(bound) = bound else { continue };
            let Some(last) = bound.path.segments.last() else { continue };
            match (&last.arguments, last.ident.to_string().as_str()) {
                (syn::PathArguments::Parenthesized(of), "Fn" | "FnMut" | "FnOnce") => {
                    let (inputs, output) = (&of.inputs, &of.output);
                    let mut function: syn::Type = syn::parse_quote!(fn(#inputs) #output);
                    self.visit_type_mut(&mut function);
                    return function;
                }
                (syn::PathArguments::AngleBracketed(of), "IntoIterator" | "Iterator") => {
                    let item = of.args.iter().find_map(|arg| match arg {
                        syn::GenericArgument::AssocType(item) => Some(item.ty.clone()),
                        _ => None,
                    });
                    let mut item = item.unwrap_or_else(|| panic!("{}: an iterator of what?", self.name));
                    self.visit_type_mut(&mut item);
                    return syn::parse_quote!(std::vec::IntoIter<#item>);
                }
                _ => {}
            }
        }
        let written = bounds.to_token_stream().to_string().replace(' ', "");
        let (_, stands_for) = KINDS.iter().find(|(kind, _)| *kind == written).unwrap_or_else(|| {
            panic!("{}: say in KINDS what stands for a type parameter with the bounds `{written}`", self.name)
        });
        syn::parse_str(stands_for).expect("a type")
    }
}

impl VisitMut for Concrete<'_> {
    fn visit_type_mut(&mut self, ty: &mut syn::Type) {
        let found = match &*ty {
            syn::Type::ImplTrait(of) => Some(self.of_bounds(&of.bounds)),
            syn::Type::Path(path) => {
                path.path.get_ident().and_then(|name| self.parameters.get(&name.to_string())).cloned()
            }
            _ => None,
        };
        match found {
            Some(found) => {
                self.changed = true;
                *ty = found;
            }
            None => syn::visit_mut::visit_type_mut(self, ty),
        }
    }
}
