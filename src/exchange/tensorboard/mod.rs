//! TensorBoard: one folder a run with one event file.

mod message;
mod record;

use std::path::Path;

use super::files::{file_name, write_whole};
use super::{Export, Exported};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::track::{MetricPoint, RunRecord};

impl Export<'_> {
    /// Writes `RUN/events.out.tfevents.SECONDS.glisten` into `folder` for each run: its metrics as scalars with step and
    /// time, and its parameters for the page HPARAMS. `tensorboard --logdir FOLDER` shows them. TensorBoard keeps values as
    /// 32-bit floats: some seven digits, and nothing above 3.4e38.
    ///
    /// # Errors
    /// As [`Export::parquet`].
    pub fn tensorboard(&self, folder: impl AsRef<Path>) -> Result<Exported> {
        let _call = interrupt::enter();
        let records = self.records()?;
        let mut exported = Exported { n_runs: records.len(), ..Default::default() };
        for record in &records {
            interrupt::check()?;
            let mut points = Vec::new();
            for metric in record.metrics.keys() {
                points.extend(self.experiment.store().series(record.id, metric)?);
            }
            points.sort_by(|a, b| a.step.cmp(&b.step).then_with(|| a.metric.cmp(&b.metric)));
            exported.n_values += points.len();
            // The same run has the same name again: its file is replaced.
            let name = format!("events.out.tfevents.{:010}.glisten", record.created_ms.div_euclid(1000));
            let path = folder.as_ref().join(file_name(&record.name)).join(name);
            exported.n_bytes += write(&path, record, &points)?;
            exported.files.push(path);
        }
        Ok(exported)
    }
}

fn write(path: &Path, run: &RunRecord, points: &[MetricPoint]) -> Result<u64> {
    let secs = |time_ms: i64| time_ms as f64 / 1e3;
    let started = secs(run.created_ms);
    write_whole(path, |file| {
        let mut push = |event: &[u8]| record::write(file, event).map_err(Error::io(path, "writing"));
        push(&message::file_version(started))?;
        push(&message::session_start(started, &run.name, &run.parameters))?;
        for point in points {
            let time = point.time_ms.map_or(started, secs);
            push(&message::scalar(time, point.step, &point.metric, point.value))?;
        }
        if let Some(ended_ms) = run.ended_ms {
            push(&message::session_end(secs(ended_ms), run.status))?;
        }
        Ok(())
    })
}
