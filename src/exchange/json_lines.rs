//! JSON lines: one object a line, for programs that read a stream.
//!
//! `runs.jsonl`, one run a line:
//!
//! | field | value |
//! |---|---|
//! | `experiment`, `run` | texts |
//! | `status` | `created`, `running`, `completed`, `failed` or `stopped` |
//! | `created`, `ended` | `2026-11-25T16:40:00.000Z`; `ended` is null before the end |
//! | `error`, `note` | text or null |
//! | `parameters`, `environment` | an object: text, number or boolean by name |
//! | `tags` | an object: text by name |
//! | `metrics` | an object by name: `count`, `min`, `max`, `avg`, `stddev`, `last` over the finite values, null where there are none, and `nonfinite`, how many others there are |
//! | `artifacts` | a list of `name`, `n_bytes`, `sha256` |
//!
//! `metrics.jsonl`, one value a line: `experiment`, `run`, `metric` (texts), `step` (a whole number), `value` (a number, or
//! one of the texts `"NaN"`, `"Infinity"`, `"-Infinity"`, which JSON has no numbers for), `time` (as above, or null).
//!
//! `selections.jsonl`, one selection a line: `experiment`, `run`, `epoch` (the first that trained on it, from 1), `indices`
//! (positions in the training set, ascending), `gains` and `weights` (lists in the same order, or null).

use std::io::{BufWriter, Write};
use std::path::Path;

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::files::write_whole;
use super::{Export, Exported};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::track::{MetricPoint, Parameter, RunRecord, SelectionRecord, utc};

impl Export<'_> {
    /// Writes `runs.jsonl`, `metrics.jsonl` and, with the artifacts, `selections.jsonl` into `folder`: one object a line.
    /// Numbers are written with as many digits as it takes to read the same number back; NaN and infinities as the texts
    /// `"NaN"`, `"Infinity"` and `"-Infinity"`. Artifacts lie in `runs/RUN/artifacts/…`.
    ///
    /// Fields: `runs.jsonl` has `experiment`, `run`, `status`, `created`, `ended`, `error`, `note`, `parameters`,
    /// `environment`, `tags`, `metrics` (`count`, `min`, `max`, `avg`, `stddev`, `last`, `nonfinite` by name), `artifacts`
    /// (`name`, `n_bytes`, `sha256`); `metrics.jsonl` `experiment`, `run`, `metric`, `step`, `value`, `time`;
    /// `selections.jsonl` `experiment`, `run`, `epoch`, `indices`, `gains`, `weights`. Times are UTC in RFC 3339.
    ///
    /// # Errors
    /// As [`Export::parquet`].
    pub fn json_lines(&self, folder: impl AsRef<Path>) -> Result<Exported> {
        let _call = interrupt::enter();
        let folder = folder.as_ref();
        let records = self.records()?;
        let mut exported = Exported { n_runs: records.len(), ..Default::default() };
        let write =
            |name: &str, exported: &mut Exported, fill: &mut dyn FnMut(&mut Lines<'_>) -> Result<()>| {
                let path = folder.join(name);
                exported.n_bytes += write_whole(&path, |file| fill(&mut Lines { file, path: &path }))?;
                exported.files.push(path);
                Ok::<_, Error>(())
            };
        write("runs.jsonl", &mut exported, &mut |lines| {
            records.iter().try_for_each(|record| lines.push(&run(record)))
        })?;
        let mut n_values = 0;
        write("metrics.jsonl", &mut exported, &mut |lines| {
            for record in &records {
                for metric in record.metrics.keys() {
                    interrupt::check()?;
                    let points = self.experiment.store().series(record.id, metric)?;
                    n_values += points.len();
                    points.iter().try_for_each(|point| lines.push(&value(point)))?;
                }
            }
            Ok(())
        })?;
        exported.n_values = n_values;
        if self.with_selections {
            write("selections.jsonl", &mut exported, &mut |lines| {
                for record in &records {
                    interrupt::check()?;
                    let selections = self.experiment.find_run(&record.name)?.selection_records()?;
                    selections.iter().try_for_each(|chosen| lines.push(&selection(record, chosen)))?;
                }
                Ok(())
            })?;
        }
        self.copy_artifacts(folder, &mut exported)?;
        Ok(exported)
    }
}

/// A file of lines being written.
struct Lines<'a> {
    file: &'a mut BufWriter<std::fs::File>,
    path: &'a Path,
}

impl Lines<'_> {
    fn push(&mut self, object: &Value) -> Result<()> {
        writeln!(self.file, "{object}").map_err(Error::io(self.path, "writing"))
    }
}

fn run(record: &RunRecord) -> Value {
    let parameters = |values: &std::collections::BTreeMap<String, Parameter>| -> Value {
        values.iter().map(|(name, value)| (name.clone(), parameter(value))).collect::<Map<_, _>>().into()
    };
    let metrics = record.metrics.iter().map(|(name, stats)| {
        let known = |value: f64| if stats.count > 0 { number(value) } else { Value::Null };
        let object = json!({
            "count": stats.count,
            "min": known(stats.min),
            "max": known(stats.max),
            "avg": known(stats.mean),
            "stddev": stats.stddev().map_or(Value::Null, number),
            "last": known(stats.last),
            "nonfinite": stats.nonfinite,
        });
        (name.clone(), object)
    });
    let artifacts = record.artifacts.iter().map(
        |artifact| json!({ "name": artifact.name, "n_bytes": artifact.n_bytes, "sha256": artifact.sha256 }),
    );
    json!({
        "experiment": record.experiment,
        "run": record.name,
        "status": record.status.as_str(),
        "created": time(Some(record.created_ms)),
        "ended": time(record.ended_ms),
        "error": record.error,
        "note": record.note,
        "parameters": parameters(&record.parameters),
        "environment": parameters(&record.environment),
        "tags": record.tags,
        "metrics": metrics.collect::<Map<_, _>>(),
        "artifacts": artifacts.collect::<Vec<_>>(),
    })
}

fn value(point: &MetricPoint) -> Value {
    json!({
        "experiment": point.experiment,
        "run": point.run,
        "metric": point.metric,
        "step": point.step,
        "value": number(point.value),
        "time": time(point.time_ms),
    })
}

fn selection(record: &RunRecord, chosen: &SelectionRecord) -> Value {
    let list = |values: &Option<Vec<f32>>| -> Value {
        values.as_ref().map(|values| values.iter().map(|&value| single(value)).collect::<Vec<_>>()).into()
    };
    json!({
        "experiment": record.experiment,
        "run": record.name,
        "epoch": chosen.epoch,
        "indices": chosen.indices,
        "gains": list(&chosen.gains),
        "weights": list(&chosen.weights),
    })
}

fn parameter(value: &Parameter) -> Value {
    match value {
        Parameter::Boolean(value) => (*value).into(),
        Parameter::Integer(value) => (*value).into(),
        Parameter::Number(value) => number(*value),
        Parameter::Text(value) => value.as_str().into(),
    }
}

/// A number, or the text that stands for what JSON has none for.
fn number(value: f64) -> Value {
    match value {
        value if value.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        value => value.into(),
    }
}

/// An `f32` with its own few digits: as an `f64`, 0.1 would have seventeen.
fn single(value: f32) -> Value {
    value.to_string().parse().ok().filter(|_| value.is_finite()).map_or_else(|| number(value.into()), number)
}

/// Milliseconds since 1970 as RFC 3339 in UTC; null for a moment that no calendar has.
fn time(milliseconds: Option<i64>) -> Value {
    let time = milliseconds.and_then(utc);
    time.map_or(Value::Null, |time| time.to_rfc3339_opts(SecondsFormat::Millis, true).into())
}
