//! The templates: the report's own, and those of a user's folder in their place.

use crate::context::Page;
use crate::error::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

macro_rules! own {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../templates/", $name)))),*]
    };
}

/// The report's own, by name.
const OWN: [(&str, &str); 16] = own![
    "report.html",
    "report.css",
    "report.js",
    "answer.html",
    "notes.html",
    "strategies.html",
    "charts.html",
    "figures.html",
    "comparison.html",
    "published.html",
    "selections.html",
    "parameters.html",
    "runs.html",
    "data.html",
    "reproduce.html",
    "method.html",
];

/// Fills the templates with `page`; those in `folder` come before the report's own.
pub(super) fn fill(page: &Page, folder: Option<&Path>) -> Result<String> {
    let mut templates: BTreeMap<String, String> =
        OWN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    if let Some(folder) = folder {
        templates.extend(read(folder)?);
    }
    let [style, script] = ["report.css", "report.js"].map(|name| templates.remove(name).unwrap_or_default());
    let hash = format!("sha256-{}", STANDARD.encode(Sha256::digest(script.as_bytes())));

    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    for (name, text) in templates {
        environment.add_template_owned(name, text)?;
    }
    environment.add_global("style", minijinja::Value::from_safe_string(style));
    environment.add_global("script", minijinja::Value::from_safe_string(script));
    environment.add_global("script_hash", hash);
    Ok(environment.get_template("report.html")?.render(minijinja::value::Serde(page))?)
}

/// The templates, style and script in a folder, by name.
fn read(folder: &Path) -> Result<Vec<(String, String)>> {
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Templates { path, source }
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong(folder))? {
        let path = entry.map_err(wrong(folder))?.path();
        let is_template = path
            .extension()
            .is_some_and(|extension| ["html", "css", "js"].iter().any(|one| extension == *one));
        if let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| is_template) {
            found.push((name.to_owned(), fs::read_to_string(&path).map_err(wrong(&path))?));
        }
    }
    Ok(found)
}
