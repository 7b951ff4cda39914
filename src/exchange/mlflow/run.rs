//! One run to MLflow: made or found again, what is missing sent, its end said last.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::batch::{Batch, Point};
use super::client::Failure;
use super::entries::{Entries, LONGEST_NAME};
use super::points::Known;
use super::{DONE_TAG, MlflowExported, RUN_TAG, Target, artifacts, tag, text_of};
use crate::error::Result;
use crate::exchange::Export;
use crate::exchange::artifacts::Attached;
use crate::track::{MetricPoint, RunRecord, Status};

/// A run as it stands in the store.
pub(super) struct Source {
    pub(super) record: RunRecord,
    points: Vec<MetricPoint>,
    /// Metrics of which only statistics are known.
    without_values: Vec<String>,
    pub(super) attached: Vec<Attached>,
}

impl Source {
    pub(super) fn read(export: &Export<'_>, record: &RunRecord) -> Result<Self> {
        let (mut points, mut without_values) = (Vec::new(), Vec::new());
        for metric in record.metrics.keys() {
            let series = export.experiment().store().series(record.id, metric)?;
            if series.is_empty() {
                without_values.push(metric.clone());
            }
            points.extend(series);
        }
        Ok(Self { without_values, record: record.clone(), points, attached: export.attached(record)? })
    }

    /// What stands for all there is to export, so that an export that would change nothing is known.
    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let record = &self.record;
        // Debug forms are as good as any: a change costs an export that sends nothing.
        hash.update(format!("{:?}", (record.status, record.ended_ms, &record.error, &record.note)));
        hash.update(format!("{:?}", (&record.parameters, &record.tags, &record.environment)));
        for Attached { name, sha256, .. } in &self.attached {
            hash.update(format!("{name:?} {sha256}"));
        }
        for MetricPoint { metric, step, value, time_ms, .. } in &self.points {
            hash.update(metric);
            hash.update([0]);
            hash.update(step.to_le_bytes());
            hash.update(value.to_le_bytes());
            hash.update(time_ms.unwrap_or(-1).to_le_bytes());
        }
        hex::encode(hash.finalize())
    }
}

/// What tells a run from every other one, also of another store: its experiment, name and beginning.
pub(super) fn stable_id(record: &RunRecord) -> String {
    let mut hash = Sha256::new();
    for part in [&record.experiment, &record.name] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(record.created_ms.to_le_bytes());
    hex::encode(&hash.finalize()[..16])
}

/// Brings MLflow's run to where ours stands; `there` is what the server has of it.
pub(super) fn export(
    target: &Target<'_>,
    source: &Source,
    there: Option<Value>,
    id: &str,
    exported: &mut MlflowExported,
) -> Result<()> {
    let record = &source.record;
    let name = &record.name;
    let fingerprint = source.fingerprint();
    let is_new = there.is_none();
    let run = match there {
        Some(run)
            if tag(&run, DONE_TAG) == Some(&fingerprint)
                && run["info"]["status"] == status(record.status) =>
        {
            exported.n_unchanged += 1;
            return Ok(());
        }
        Some(run) => run,
        None => create(target, record, id)?,
    };
    exported.n_new += usize::from(is_new);
    for metric in &source.without_values {
        let note = format!(
            "run '{name}': of '{metric}' statistics are known and no values: MLflow has no place for them"
        );
        exported.notes.push(note);
    }
    let run_id = run["info"]["run_id"].as_str().unwrap_or_default().to_owned();

    let mut entries = Entries::of(target, record, &mut exported.notes);
    let points = source.points(target, &mut entries);
    let (tags, parameters) = entries.missing(&run, name, &mut exported.notes);
    let known_keys: BTreeSet<&str> = run["data"]["metrics"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|metric| metric["key"].as_str())
        .collect();
    let known = Known::read(target, &run_id, known_keys)?;
    let missing: Vec<Point> = points.into_iter().filter(|point| !known.holds(point)).collect();
    for batch in Batch::pack(&tags, &parameters, missing) {
        exported.n_values += send(target, &run_id, name, &batch)?;
    }
    artifacts::export(target, source, &run, exported)?;

    let mut update = json!({ "run_id": run_id, "status": status(record.status) });
    if let Some(ended_ms) = record.ended_ms {
        update["end_time"] = ended_ms.max(0).into();
    }
    let doing = format!("ending the run '{name}'");
    target.client.with_retries(&doing, || target.client.post("runs/update", &update))?;
    set_tag(target, &run_id, name, DONE_TAG, &fingerprint)
}

/// Sets a tag; doing so twice changes nothing.
pub(super) fn set_tag(target: &Target<'_>, run_id: &str, name: &str, key: &str, value: &str) -> Result<()> {
    let body = json!({ "run_id": run_id, "key": key, "value": value });
    let doing = format!("setting a tag of the run '{name}'");
    target.client.with_retries(&doing, || target.client.post("runs/set-tag", &body)).map(|_| ())
}

fn create(target: &Target<'_>, record: &RunRecord, id: &str) -> Result<Value> {
    let body = json!({
        "experiment_id": target.experiment_id,
        "run_name": record.name.chars().take(LONGEST_NAME).collect::<String>(),
        "start_time": record.created_ms.max(0),
        "tags": [{ "key": RUN_TAG, "value": id }],
    });
    let mut is_first = true;
    target.client.with_retries(&format!("making the run '{}'", record.name), || {
        if !std::mem::take(&mut is_first) {
            // The first try may have made it, and only its answer was lost.
            if let Some(run) = target.search(&format!("tags.`{RUN_TAG}` = '{id}'"))?.remove(id) {
                return Ok(run);
            }
        }
        let run = target.client.post("runs/create", &body)?["run"].take();
        text_of(&run["info"], "run_id")?;
        Ok(run)
    })
}

/// Sends a batch; returns how many values went. On a second try the values that the first one brought there are left out.
fn send(target: &Target<'_>, run_id: &str, name: &str, batch: &Batch) -> Result<usize> {
    let mut is_first = true;
    target.client.with_retries(&format!("logging to the run '{name}'"), || {
        let known = if std::mem::take(&mut is_first) {
            Known::default()
        } else {
            let keys: BTreeSet<&str> = batch.points.iter().map(|point| &*point.key).collect();
            Known::read(target, run_id, keys)?
        };
        let wanted: Vec<&Point> = batch.points.iter().filter(|point| !known.holds(point)).collect();
        target.client.post("runs/log-batch", &batch.body(run_id, &wanted))?;
        Ok::<_, Failure>(batch.points.len())
    })
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Created => "SCHEDULED",
        Status::Running => "RUNNING",
        Status::Completed => "FINISHED",
        Status::Failed => "FAILED",
        Status::Stopped => "KILLED",
    }
}

impl Source {
    /// Every value, under the name that MLflow takes.
    fn points(&self, target: &Target<'_>, entries: &mut Entries) -> Vec<Point> {
        let mut points = Vec::with_capacity(self.points.len());
        let mut key: (&str, Arc<str>) = ("", "".into());
        for point in &self.points {
            if key.0 != point.metric {
                let encoded = target.encode(&point.metric);
                entries.keep_name(encoded.tag);
                key = (&point.metric, encoded.key.into());
            }
            // MLflow knows no time before 1970.
            let time_ms = point.time_ms.unwrap_or(self.record.created_ms).max(0);
            points.push(Point { key: key.1.clone(), step: point.step, value: point.value, time_ms });
        }
        points
    }
}
