//! MLflow's file store as experiments of ours.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::file_store::{StoredPoint, StoredRun, read};
use super::folder::Folder;
use super::{Imported, hide_secrets, typed};
use crate::error::{Error, Result};
use crate::exchange::counted;
use crate::exchange::mlflow::TEXTS_TAG;
use crate::exchange::mlflow::names::{NAME_TAG, OURS, decode};
use crate::interrupt;
use crate::track::{Experiment, ImportedRun, Parameter, Run, Status, Store};

/// The tag that says which run of MLflow a run was.
const SOURCE_TAG: &str = "imported.mlflow_run";
/// The tag that is set once all of it is there.
const WHOLE_TAG: &str = "imported.whole";
/// The longest name there is.
const LONGEST_NAME: usize = 255;

/// Imports the file store `folder` (`mlruns/`) into `store`: each experiment, or the one named `experiment`, under its own
/// name, with the parameters, values, tags, note, status, times and artifacts of its runs. A run that was imported before is
/// passed over, and one whose import was broken off is completed. Everything is read before anything is written.
///
/// MLflow keeps all parameters as texts: what reads like a number or a truth value becomes one. It also keeps several values
/// of one step: where all values of a metric have the same step, which is what logging without one leaves, they are numbered
/// from 0 in the order of their times; else the latest counts. What was exported to MLflow from here gets its own names back.
///
/// The folder may come from a stranger: `folder` itself may be a link, but no link in it is followed and nothing but regular
/// files is opened; [`Imported::notes`] says what was passed over, artifacts among them whose names are paths out of a folder
/// or hold control characters. Passwords in addresses (`https://user:password@host`) are not taken over. A time outside the
/// years 0 to 9999 is an error.
///
/// # Errors
/// [`Error::BadFile`] for a file that cannot be understood, naming file and line; [`Error::Argument`] for a folder that is
/// no file store; [`Error::NotFound`] for an experiment that is not in it; [`Error::Store`] if the store cannot be written.
pub fn import_mlflow(store: &Store, folder: impl AsRef<Path>, experiment: Option<&str>) -> Result<Imported> {
    let _call = interrupt::enter();
    let folder = folder.as_ref();
    let found = read(folder, |name| experiment.is_none_or(|wanted| wanted == name))?;
    if let Some(name) = experiment.filter(|_| found.experiments.is_empty()) {
        return Err(Error::not_found("experiment", name, &found.names));
    }
    let mut imported = Imported { notes: found.passed_over.notes(), ..Default::default() };
    let mut ready = Vec::new();
    for experiment in &found.experiments {
        if experiment.n_deleted > 0 {
            let is = if experiment.n_deleted == 1 { "is" } else { "are" };
            let runs = counted(experiment.n_deleted, "deleted run");
            let note = format!("'{}': {runs} {is} left out", experiment.name);
            imported.notes.push(note);
        }
        for run in &experiment.runs {
            ready.push((experiment.name.as_str(), Ready::of(run, &mut imported.notes)?));
        }
    }
    let mut targets: BTreeMap<&str, (Experiment, HashMap<String, Before>)> = BTreeMap::new();
    for (name, run) in &ready {
        interrupt::check()?;
        if !targets.contains_key(name) {
            let target = Experiment::resume_in(store, name)?;
            targets.insert(name, (target, before(store, name)?));
            imported.experiments.push((*name).to_owned());
        }
        if let Some((target, before)) = targets.get(name) {
            run.write(target, before.get(&run.id), &found.folder, &mut imported)?;
        }
    }
    Ok(imported)
}

/// A run of an earlier import: its name, and whether all of it is there.
struct Before {
    name: String,
    is_whole: bool,
}

/// Runs of earlier imports by their id in MLflow.
fn before(store: &Store, experiment: &str) -> Result<HashMap<String, Before>> {
    let mut before = HashMap::new();
    for record in store.run_records(Some(experiment))? {
        if let Some(id) = record.tags.get(SOURCE_TAG) {
            let is_whole = record.tags.contains_key(WHOLE_TAG);
            before.insert(id.clone(), Before { name: record.name, is_whole });
        }
    }
    Ok(before)
}

/// A run in our terms.
struct Ready<'a> {
    id: String,
    name: String,
    past: ImportedRun,
    points: Vec<(String, i64, f64, i64)>,
    /// Names, and paths from the store's folder.
    artifacts: Vec<(String, &'a str)>,
}

impl<'a> Ready<'a> {
    fn of(run: &'a StoredRun, notes: &mut Vec<String>) -> Result<Self> {
        let whole = |hash: &str| run.tags.get(&format!("{NAME_TAG}{hash}")).cloned();
        let name = run.meta.text("run_name").or_else(|| run.tags.get("mlflow.runName").map(String::as_str));
        let name = run.tags.get("glisten.run_name").map(String::as_str).or(name);
        let name = name.filter(|name| !name.trim().is_empty()).unwrap_or(&run.id);
        let mut name = name.to_owned();
        if name.chars().count() > LONGEST_NAME {
            notes.push(format!("run {}: its name is cut to {LONGEST_NAME} characters", run.id));
            name = name.chars().take(LONGEST_NAME).collect();
        }
        let mut past = ImportedRun {
            created_ms: run.meta.time("start_time")?.unwrap_or(0),
            ended_ms: run.meta.time("end_time")?,
            ..past(run)?
        };
        for (key, value) in &run.parameters {
            past.parameters.insert(decode(key, whole), parameter(run, key, value));
        }
        tags(run, &mut past, whole);
        hide_secrets(&name, &mut past, notes);
        let mut points = Vec::new();
        for (key, series) in &run.metrics {
            let metric = decode(key, whole);
            for point in one_a_step(series, &name, &metric, notes) {
                points.push((metric.clone(), point.step, point.value, point.time_ms));
            }
        }
        let mut artifacts = Vec::new();
        for (key, path) in &run.artifacts {
            let artifact = decode(key, whole);
            if is_harmless_path(&artifact) {
                artifacts.push((artifact, path.as_str()));
            } else {
                let why = "its name leads out of a folder, or holds control characters";
                notes.push(format!("run '{name}': the artifact {artifact:?} is not imported: {why}"));
            }
        }
        let uri = run.meta.text("artifact_uri").unwrap_or_default();
        if run.artifacts.is_empty() && !uri.is_empty() && !uri.starts_with("file:") && !uri.starts_with('/') {
            let note = format!("artifacts under {} lie elsewhere and are not imported", scheme(uri));
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        Ok(Self { id: run.id.clone(), name, past, points, artifacts })
    }

    /// Imports it, unless all of it is there.
    fn write(
        &self,
        target: &Experiment,
        before: Option<&Before>,
        folder: &Folder,
        imported: &mut Imported,
    ) -> Result<()> {
        let run = match before {
            Some(before) if before.is_whole => {
                imported.n_known += 1;
                return Ok(());
            }
            Some(before) => target.find_run(&before.name)?,
            None => target.import_run(&self.name, &self.past)?,
        };
        self.complete(&run, folder, imported)?;
        imported.n_runs += 1;
        Ok(())
    }

    fn complete(&self, run: &Run, folder: &Folder, imported: &mut Imported) -> Result<()> {
        let points: Vec<(&str, i64, f64, i64)> = self
            .points
            .iter()
            .map(|(metric, step, value, time)| (metric.as_str(), *step, *value, *time))
            .collect();
        run.log_batch_at(&points)?;
        imported.n_values += points.len();
        for (name, path) in &self.artifacts {
            if name.chars().count() > LONGEST_NAME {
                imported.notes.push(format!("run '{}': the artifact {path} has too long a name", self.name));
                continue;
            }
            run.log_artifact_from(name, &folder.path().join(path), &mut folder.file(path)?)?;
            imported.n_artifacts += 1;
        }
        run.set_tag(WHOLE_TAG, "true")
    }
}

/// Where the run stands, by MLflow's number for it.
fn past(run: &StoredRun) -> Result<ImportedRun> {
    let number = run.meta.integer("status")?.unwrap_or(1);
    let (status, error) = match number {
        1 => (Status::Stopped, Some("it was running when it was imported from MLflow")),
        2 => (Status::Created, None),
        3 => (Status::Completed, None),
        4 => (Status::Failed, None),
        5 => (Status::Stopped, None),
        other => {
            let expected =
                "MLflow's status: 1 (running), 2 (scheduled), 3 (finished), 4 (failed) or 5 (killed)";
            return Err(Error::bad_file(run.meta.path(), expected, other.to_string()));
        }
    };
    Ok(ImportedRun { status, error: error.map(str::to_owned), ..Default::default() })
}

/// A parameter in its own type, unless an export of ours says that it was a text.
fn parameter(run: &StoredRun, key: &str, value: &str) -> Parameter {
    let texts = run.tags.get(TEXTS_TAG).map_or("", String::as_str);
    if texts.lines().any(|text| text == key) { value.into() } else { typed(value) }
}

/// Tags, and what MLflow keeps as tags though it is something else with us.
fn tags(run: &StoredRun, past: &mut ImportedRun, whole: impl Fn(&str) -> Option<String>) {
    for (key, value) in &run.tags {
        let name = decode(key, &whole);
        if let Some(name) = name.strip_prefix("glisten.environment.").filter(|_| key.starts_with(OURS)) {
            past.environment.insert(name.to_owned(), parameter(run, key, value));
            continue;
        }
        match key.as_str() {
            "mlflow.runName" => {}
            "mlflow.note.content" => past.note = Some(value.clone()),
            "glisten.error" => past.error = Some(value.clone()),
            "mlflow.source.name" => {
                past.environment.entry("command".to_owned()).or_insert_with(|| value.as_str().into());
            }
            "mlflow.source.git.commit" => {
                past.environment
                    .entry("git_commit".to_owned())
                    .or_insert_with(|| Parameter::Text(value.clone()));
            }
            key if key.starts_with(OURS) => {}
            _ => {
                past.tags.insert(name, value.clone());
            }
        }
    }
    past.tags.insert(SOURCE_TAG.to_owned(), run.id.clone());
}

/// A series with each step once: see [`import_mlflow`].
fn one_a_step(series: &[StoredPoint], run: &str, metric: &str, notes: &mut Vec<String>) -> Vec<StoredPoint> {
    let mut series = series.to_vec();
    series.sort_by_key(|point| (point.step, point.time_ms));
    let is_one_step = series.len() > 1 && series.iter().all(|point| point.step == series[0].step);
    if is_one_step && series.iter().any(|point| *point != series[0]) {
        let step = series[0].step;
        notes.push(format!(
            "run '{run}': all {} values of '{metric}' have step {step}: numbered from 0 by time",
            series.len()
        ));
        return (0..).zip(series).map(|(step, point)| StoredPoint { step, ..point }).collect();
    }
    let n_before = series.len();
    let mut kept: Vec<StoredPoint> = Vec::with_capacity(series.len());
    for point in series {
        match kept.last_mut().filter(|last| last.step == point.step) {
            Some(last) => *last = point,
            None => kept.push(point),
        }
    }
    if kept.len() < n_before {
        notes.push(format!(
            "run '{run}': '{metric}' has {} steps more than once: of each the latest value is kept",
            n_before - kept.len()
        ));
    }
    kept
}

/// Whether an artifact's name is one that every other tool may take for a path below its own folder.
fn is_harmless_path(name: &str) -> bool {
    !name.chars().any(char::is_control)
        && !name.contains('\\')
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn scheme(uri: &str) -> &str {
    uri.split_once(':').map_or(uri, |(scheme, _)| scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: i64, time_ms: i64, value: f64) -> StoredPoint {
        StoredPoint { time_ms, value, step }
    }

    #[test]
    fn values_logged_without_a_step_are_numbered_and_of_a_step_logged_again_the_latest_counts() {
        let mut notes = Vec::new();
        let series = [point(0, 30, 0.3), point(0, 10, 0.1), point(0, 20, 0.2)];
        assert_eq!(
            one_a_step(&series, "r", "loss", &mut notes),
            [point(0, 10, 0.1), point(1, 20, 0.2), point(2, 30, 0.3)]
        );
        assert!(notes[0].contains("all 3 values of 'loss' have step 0"), "{notes:?}");
        let series = [point(1, 10, 0.1), point(2, 40, 0.4), point(2, 20, 0.2), point(3, 30, 0.3)];
        assert_eq!(
            one_a_step(&series, "r", "loss", &mut notes),
            [point(1, 10, 0.1), point(2, 40, 0.4), point(3, 30, 0.3)]
        );
        assert_eq!(notes.len(), 2);
        // MLflow's file store keeps a value twice that was sent twice.
        assert_eq!(one_a_step(&[point(7, 1, 0.5); 2], "r", "loss", &mut notes), [point(7, 1, 0.5)]);
        assert!(one_a_step(&[point(7, 1, 0.5)], "r", "loss", &mut Vec::new()).len() == 1);
    }
}
