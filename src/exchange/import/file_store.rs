//! MLflow's file store, `mlruns/`, as it lies on the disk: `EXPERIMENT_ID/meta.yaml`, and in `EXPERIMENT_ID/RUN_ID/` another
//! `meta.yaml`, a file a metric, parameter and tag, whose path is its name, and the artifacts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::meta::Meta;
use crate::error::{Error, Result};
use crate::interrupt;

/// What MLflow keeps in a store's or an experiment's folder beside experiments and runs.
const NOT_RUNS: [&str; 5] = ["tags", "datasets", "traces", "models", ".trash"];

/// An experiment of the file store.
pub(super) struct StoredExperiment {
    pub(super) name: String,
    pub(super) runs: Vec<StoredRun>,
    /// Runs that stand there as deleted.
    pub(super) n_deleted: usize,
}

/// A run of it.
pub(super) struct StoredRun {
    pub(super) meta: Meta,
    pub(super) id: String,
    pub(super) metrics: BTreeMap<String, Vec<StoredPoint>>,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
    /// Name and place of each.
    pub(super) artifacts: Vec<(String, PathBuf)>,
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StoredPoint {
    pub(super) time_ms: i64,
    pub(super) value: f64,
    pub(super) step: i64,
}

/// Reads the experiments in `folder`, which may also be the folder of one experiment; of several, those that `wanted` holds.
///
/// # Errors
/// [`Error::BadFile`] or [`Error::Io`] that names the file; [`Error::Argument`] for a folder that is no file store.
pub(super) fn read(
    folder: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<(Vec<StoredExperiment>, Vec<String>)> {
    let mut folders = Vec::new();
    if folder.join("meta.yaml").is_file() {
        folders.push(folder.to_owned());
    } else {
        for path in folders_in(folder)? {
            if path.join("meta.yaml").is_file() {
                folders.push(path);
            }
        }
    }
    let mut experiments = Vec::new();
    let mut names = Vec::new();
    for path in folders {
        let meta = Meta::read(&path.join("meta.yaml"))?;
        if meta.text("lifecycle_stage") == Some("deleted") || meta.text("experiment_id").is_none() {
            continue;
        }
        let name = meta.required("name")?.to_owned();
        names.push(name.clone());
        if wanted(&name) {
            experiments.push(experiment(&path, name)?);
        }
    }
    if names.is_empty() {
        let expected =
            "MLflow's file store: a folder `mlruns` with a folder for each experiment that holds meta.yaml";
        return Err(Error::argument("folder", expected, folder.display()));
    }
    Ok((experiments, names))
}

fn experiment(folder: &Path, name: String) -> Result<StoredExperiment> {
    let mut runs = Vec::new();
    let mut n_deleted = 0;
    for path in folders_in(folder)? {
        interrupt::check()?;
        let meta = path.join("meta.yaml");
        if !meta.is_file() {
            continue;
        }
        let meta = Meta::read(&meta)?;
        if meta.text("lifecycle_stage") == Some("deleted") {
            n_deleted += 1;
            continue;
        }
        runs.push(run(&path, meta)?);
    }
    // In the order they were started; the folders' names are random.
    let mut keyed = Vec::with_capacity(runs.len());
    for run in runs {
        keyed.push((run.meta.integer("start_time")?.unwrap_or(0), run));
    }
    keyed.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.id.cmp(&other.id)));
    Ok(StoredExperiment { name, runs: keyed.into_iter().map(|(_, run)| run).collect(), n_deleted })
}

fn run(folder: &Path, meta: Meta) -> Result<StoredRun> {
    let id = meta.text("run_id").or_else(|| meta.text("run_uuid"));
    let id = id.map_or_else(|| meta.required("run_id").map(str::to_owned), |id| Ok(id.to_owned()))?;
    let texts = |kind: &str| -> Result<BTreeMap<String, String>> {
        files_in(&folder.join(kind))?.into_iter().map(|(name, path)| Ok((name, text(&path)?))).collect()
    };
    let mut metrics = BTreeMap::new();
    for (name, path) in files_in(&folder.join("metrics"))? {
        metrics.insert(name, points(&path)?);
    }
    Ok(StoredRun {
        metrics,
        parameters: texts("params")?,
        tags: texts("tags")?,
        artifacts: files_in(&folder.join("artifacts"))?,
        id,
        meta,
    })
}

/// `TIME VALUE STEP` a line; older stores have no step, newer ones may have a data set's name and digest behind it.
fn points(path: &Path) -> Result<Vec<StoredPoint>> {
    let text = text(path)?;
    let mut points = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let point = match fields[..] {
            [time, value] => number(time).zip(value.parse().ok()).map(|pair| (pair, Some(0))),
            [time, value, step] | [time, value, step, _, _] => {
                number(time).zip(value.parse().ok()).map(|pair| (pair, number(step)))
            }
            _ => None,
        };
        let Some(((time_ms, value), Some(step))) = point else {
            let expected = format!("'TIME VALUE STEP' of a metric in line {}", at + 1);
            return Err(Error::bad_file(
                path,
                expected,
                format!("{:?}", line.chars().take(60).collect::<String>()),
            ));
        };
        points.push(StoredPoint { time_ms, value, step });
    }
    Ok(points)
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(Error::io(path, "reading"))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count();
        Error::bad_file(path, format!("text in UTF-8 in line {line}"), "bytes that are not")
    })
}

/// The folders in `folder` that may hold an experiment or a run, by name.
fn folders_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder, "reading the folder"))? {
        let path = entry.map_err(Error::io(folder, "reading the folder"))?.path();
        let is_other = NOT_RUNS.iter().any(|name| path.ends_with(name));
        if path.is_dir() && !is_other {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Every file under `folder`, which may not be there, by its path from there.
fn files_in(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    let mut left = vec![(String::new(), folder.to_owned())];
    while let Some((prefix, folder)) = left.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io(&folder, "reading the folder")(error)),
        };
        for entry in entries {
            let entry = entry.map_err(Error::io(&folder, "reading the folder"))?;
            let name = entry.file_name().into_string().map_err(|name| {
                Error::bad_file(&folder, "names in UTF-8", format!("{}", name.to_string_lossy()))
            })?;
            let name = format!("{prefix}{name}");
            // Links are not followed: one to a folder above would never end.
            let kind = entry.file_type().map_err(Error::io(&folder, "reading the folder"))?;
            if kind.is_dir() {
                left.push((format!("{name}/"), entry.path()));
            } else if kind.is_file() {
                files.push((name, entry.path()));
            }
        }
    }
    files.sort();
    Ok(files)
}
