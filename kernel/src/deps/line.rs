//! What stands behind `:dep`: `rand`, `rand@0.8`, `rand = "0.8"`, `rand = { version = "0.8", features = ["small_rng"] }`,
//! `../my-crate`.

use std::path::Path;

use toml::{Table, Value};

/// Packages whose types meet Glisten's own: a second copy of one would be of no use.
const IN_THE_PRELUDE: [&str; 6] =
    ["glisten", "glisten-prelude", "glisten-reports", "polars", "tch", "torch-sys"];

/// Name and requirement that `line` asks for; relative paths are taken from `folder`.
///
/// # Errors
/// One sentence for the user.
pub(crate) fn parse(line: &str, folder: &Path) -> Result<(String, Value), String> {
    let not_one = |why: &str| {
        format!(
            "`:dep {line}` is no dependency{why}: write `:dep NAME`, `:dep NAME = \"1.2\"`, `:dep NAME = {{ path = \"…\" }}` \
             as in a Cargo.toml, or the path of a crate's folder"
        )
    };
    let is_name = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let (name, value) = if line.starts_with(['.', '/']) && !line.contains('=') {
        of_folder(line, folder)?
    } else if line.contains('=') && !line.contains("@=") {
        let table: Table =
            toml::from_str(line).map_err(|error| not_one(&format!(" ({})", error.message())))?;
        match table.into_iter().collect::<Vec<_>>().as_slice() {
            [(name, value @ (Value::String(_) | Value::Table(_)))] => (name.clone(), value.clone()),
            _ => return Err(not_one("")),
        }
    } else {
        let (name, version) = line.split_once('@').unwrap_or((line, "*"));
        (name.trim().to_owned(), Value::String(version.trim().to_owned()))
    };
    if !is_name(&name) {
        return Err(not_one(""));
    }
    let package = value.get("package").and_then(Value::as_str).unwrap_or(&name).replace('_', "-");
    let key = name.replace('_', "-");
    if IN_THE_PRELUDE.iter().any(|there| *there == package || *there == key) {
        return Err(format!(
            "`{package}` is there already, without `:dep`: cells use the one that Glisten itself is built with, since \
             another copy's types would not fit Glisten's"
        ));
    }
    Ok((name, with_absolute_path(value, folder)?))
}

/// The crate in a folder, under the name that its manifest gives.
fn of_folder(path: &str, folder: &Path) -> Result<(String, Value), String> {
    let manifest = folder.join(path).join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest)
        .map_err(|error| format!("no crate at {path}: {} cannot be read: {error}", manifest.display()))?;
    let table: Table = toml::from_str(&text)
        .map_err(|error| format!("{} is no manifest: {}", manifest.display(), error.message()))?;
    let name = table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
    let name = name.ok_or_else(|| format!("{} names no package", manifest.display()))?;
    let value = Table::from_iter([("path".to_owned(), Value::String(path.to_owned()))]);
    Ok((name.to_owned(), Value::Table(value)))
}

fn with_absolute_path(mut value: Value, folder: &Path) -> Result<Value, String> {
    if let Some(Value::String(path)) = value.get_mut("path") {
        let whole = folder.join(&*path);
        let found =
            whole.canonicalize().map_err(|error| format!("no crate at {}: {error}", whole.display()))?;
        if !found.join("Cargo.toml").is_file() {
            return Err(format!("no crate at {}: there is no Cargo.toml", found.display()));
        }
        *path = found.to_str().ok_or("the path is not UTF-8")?.to_owned();
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(String, String), String> {
        parse(line, Path::new("/")).map(|(name, value)| (name, value.to_string()))
    }

    #[test]
    fn the_forms_of_evcxr_and_of_cargo() {
        for (line, name, value) in [
            ("serde_json", "serde_json", "\"*\""),
            ("rand@0.8", "rand", "\"0.8\""),
            ("rand = \"0.8\"", "rand", "\"0.8\""),
            (
                "r2 = { package = \"rand\", version = \"0.8\", features = [\"small_rng\"] }  # small",
                "r2",
                "{ features = [\"small_rng\"], package = \"rand\", version = \"0.8\" }",
            ),
        ] {
            assert_eq!(parsed(line), Ok((name.to_owned(), value.to_owned())), "{line}");
        }
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("mine")).unwrap();
        std::fs::write(temp.path().join("mine/Cargo.toml"), "[package]\nname = \"my-crate\"").unwrap();
        for line in ["./mine", "my-crate = { path = \"mine\" }"] {
            let (name, value) = parse(line, temp.path()).unwrap();
            let path = value["path"].as_str().unwrap();
            assert_eq!(name, "my-crate");
            assert_eq!(Path::new(path), temp.path().canonicalize().unwrap().join("mine"));
        }
    }

    #[test]
    fn what_is_no_dependency_is_said_in_a_sentence() {
        for (line, part) in [
            ("two words", "is no dependency"),
            ("a = 5", "is no dependency"),
            ("a = { version = }", "is no dependency ("),
            ("a = \"1\"\nb = \"2\"", "is no dependency"),
            ("../nowhere", "no crate at ../nowhere"),
            ("x = { path = \"nowhere\" }", "no crate at /nowhere"),
            ("polars = \"0.40\"", "`polars` is there already"),
            ("p = { package = \"torch_sys\" }", "`torch-sys` is there already"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
