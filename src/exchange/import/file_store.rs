//! MLflow's file store, `mlruns/`, as it lies on the disk: `EXPERIMENT_ID/meta.yaml`, and in `EXPERIMENT_ID/RUN_ID/` another
//! `meta.yaml`, a file a metric, parameter and tag, whose path is its name, and the artifacts.

use std::collections::BTreeMap;
use std::path::Path;

use super::folder::{Folder, PassedOver};
use super::meta::Meta;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::track::{KNOWN_TIMES, utc};

/// What MLflow keeps in a store's or an experiment's folder beside experiments and runs.
const NOT_RUNS: [&str; 5] = ["tags", "datasets", "traces", "models", ".trash"];

/// Bytes that a parameter or tag may have; MLflow itself takes some thousand.
const LONGEST_TEXT: u64 = 16 << 20;
/// Bytes that the values of a metric may have: some ten million values.
const LONGEST_SERIES: u64 = 512 << 20;

/// A file store, or an experiment of one, as it was read.
pub(super) struct FileStore {
    pub(super) folder: Folder,
    pub(super) experiments: Vec<StoredExperiment>,
    /// The names of all experiments.
    pub(super) names: Vec<String>,
    pub(super) passed_over: PassedOver,
}

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
    /// Name of each, and its path from the store's folder.
    pub(super) artifacts: Vec<(String, String)>,
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
pub(super) fn read(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<FileStore> {
    let top = Folder::open(folder)?;
    let mut passed_over = PassedOver::default();
    let mut found = Vec::new();
    if top.has_file("meta.yaml", &mut passed_over)? {
        found.push(String::new());
    } else {
        for name in top.folders(&mut passed_over)?.into_iter().filter(|name| may_hold_runs(name)) {
            if top.folder(&name)?.has_file("meta.yaml", &mut passed_over)? {
                found.push(name);
            }
        }
    }
    let mut experiments = Vec::new();
    let mut names = Vec::new();
    for place in found {
        let own = if place.is_empty() { None } else { Some(top.folder(&place)?) };
        let own = own.as_ref().unwrap_or(&top);
        let meta = Meta::read(own)?;
        if meta.text("lifecycle_stage") == Some("deleted") || meta.text("experiment_id").is_none() {
            continue;
        }
        let name = meta.required("name")?.to_owned();
        names.push(name.clone());
        if wanted(&name) {
            let prefix = if place.is_empty() { place } else { place + "/" };
            experiments.push(experiment(own, &prefix, name, &mut passed_over)?);
        }
    }
    if names.is_empty() {
        let expected =
            "MLflow's file store: a folder `mlruns` with a folder for each experiment that holds meta.yaml";
        let notes: String = passed_over.notes().iter().map(|note| format!("; {note}")).collect();
        return Err(Error::argument("folder", expected, format!("{}{notes}", folder.display())));
    }
    Ok(FileStore { folder: top, experiments, names, passed_over })
}

fn may_hold_runs(name: &str) -> bool {
    !NOT_RUNS.contains(&name)
}

/// The experiment in `folder`, whose path from the store's folder is `prefix`.
fn experiment(
    folder: &Folder,
    prefix: &str,
    name: String,
    passed_over: &mut PassedOver,
) -> Result<StoredExperiment> {
    let mut keyed = Vec::new();
    let mut n_deleted = 0;
    for entry in folder.folders(passed_over)?.into_iter().filter(|name| may_hold_runs(name)) {
        interrupt::check()?;
        let own = folder.folder(&entry)?;
        if !own.has_file("meta.yaml", passed_over)? {
            continue;
        }
        let meta = Meta::read(&own)?;
        if meta.text("lifecycle_stage") == Some("deleted") {
            n_deleted += 1;
            continue;
        }
        let started = meta.time("start_time")?.unwrap_or(0);
        keyed.push((started, run(&own, &format!("{prefix}{entry}/"), meta, passed_over)?));
    }
    // In the order they were started; the folders' names are random.
    keyed.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.id.cmp(&other.id)));
    Ok(StoredExperiment { name, runs: keyed.into_iter().map(|(_, run)| run).collect(), n_deleted })
}

fn run(folder: &Folder, prefix: &str, meta: Meta, passed_over: &mut PassedOver) -> Result<StoredRun> {
    let id = meta.text("run_id").or_else(|| meta.text("run_uuid"));
    let id = id.map_or_else(|| meta.required("run_id").map(str::to_owned), |id| Ok(id.to_owned()))?;
    let mut texts = |kind: &str| -> Result<BTreeMap<String, String>> {
        let names = folder.files_below(kind, passed_over)?.into_iter();
        names.map(|name| Ok((name.clone(), text(folder, &format!("{kind}/{name}"), LONGEST_TEXT)?))).collect()
    };
    let (parameters, tags) = (texts("params")?, texts("tags")?);
    let mut metrics = BTreeMap::new();
    for name in folder.files_below("metrics", passed_over)? {
        let path = format!("metrics/{name}");
        let series = points(&folder.path().join(&path), &text(folder, &path, LONGEST_SERIES)?)?;
        metrics.insert(name, series);
    }
    let artifacts = folder.files_below("artifacts", passed_over)?.into_iter();
    let artifacts = artifacts.map(|name| (name.clone(), format!("{prefix}artifacts/{name}"))).collect();
    Ok(StoredRun { metrics, parameters, tags, artifacts, id, meta })
}

/// `TIME VALUE STEP` a line; older stores have no step, newer ones may have a data set's name and digest behind it.
fn points(path: &Path, text: &str) -> Result<Vec<StoredPoint>> {
    let mut points = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |expected: &str| {
            let found = format!("{:?}", line.chars().take(60).collect::<String>());
            Error::bad_file(path, format!("{expected} in line {}", at + 1), found)
        };
        let fields: Vec<&str> = line.split_whitespace().take(6).collect();
        let point = match fields[..] {
            [time, value] => number(time).zip(value.parse().ok()).map(|pair| (pair, Some(0))),
            [time, value, step] | [time, value, step, _, _] => {
                number(time).zip(value.parse().ok()).map(|pair| (pair, number(step)))
            }
            _ => None,
        };
        let Some(((time_ms, value), Some(step))) = point else {
            return Err(wrong("'TIME VALUE STEP' of a metric"));
        };
        if utc(time_ms).is_none() {
            return Err(wrong(KNOWN_TIMES));
        }
        points.push(StoredPoint { time_ms, value, step });
    }
    Ok(points)
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn text(folder: &Folder, path: &str, longest: u64) -> Result<String> {
    String::from_utf8(folder.read(path, longest)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count();
        let path = folder.path().join(path);
        Error::bad_file(&path, format!("text in UTF-8 in line {line}"), "bytes that are not")
    })
}
