//! Parquet and CSV: the dataframes of `Experiment::runs` and `Experiment::metrics` as files.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use polars::prelude::{BooleanChunked, CsvWriter, DataFrame, NamedFrom, ParquetWriter, SerWriter};

use super::artifacts::Content;
use super::files::{file_name, write_whole};
use super::{Export, Exported};
use crate::error::{Error, Result};
use crate::interrupt;

#[derive(Clone, Copy)]
enum Kind {
    Parquet,
    Csv,
}

impl Kind {
    fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
        }
    }

    fn write(self, path: &Path, mut frame: DataFrame) -> Result<u64> {
        write_whole(path, |file| {
            match self {
                Self::Parquet => ParquetWriter::new(file).finish(&mut frame).map(|_| ())?,
                Self::Csv => CsvWriter::new(file)
                    .with_datetime_format(Some("%Y-%m-%dT%H:%M:%S%.3fZ".into()))
                    .finish(&mut frame)?,
            }
            Ok(())
        })
    }
}

impl Export<'_> {
    /// Writes `runs.parquet` (one row a run) and `metrics.parquet` (one row a value) into `folder`, and for each run
    /// `runs/RUN/selections.parquet` (one row a sample and selection) where it has chosen samples, and its artifacts as
    /// `runs/RUN/artifacts/…`. The columns are those of [`Experiment::runs`](crate::track::Experiment::runs),
    /// [`Experiment::metrics`](crate::track::Experiment::metrics) and [`Run::selections`](crate::track::Run::selections).
    ///
    /// # Errors
    /// [`Error::NotFound`] for a run that is not there; [`Error::Io`] if a file cannot be written; [`Error::Store`] if the
    /// store cannot be read.
    pub fn parquet(&self, folder: impl AsRef<Path>) -> Result<Exported> {
        self.tables(folder.as_ref(), Kind::Parquet)
    }

    /// As [`Export::parquet`], as CSV: times in UTC as `2026-11-25T16:40:00.000Z`, what is not finite as `NaN`, `inf` and
    /// `-inf`, what there is no value of as nothing.
    ///
    /// # Errors
    /// As [`Export::parquet`].
    pub fn csv(&self, folder: impl AsRef<Path>) -> Result<Exported> {
        self.tables(folder.as_ref(), Kind::Csv)
    }

    fn tables(&self, folder: &Path, kind: Kind) -> Result<Exported> {
        let _call = interrupt::enter();
        let records = self.records()?;
        let wanted: HashSet<&str> = records.iter().map(|record| record.name.as_str()).collect();
        let mut exported = Exported { n_runs: records.len(), ..Default::default() };
        let metrics = of_runs(self.experiment.metrics()?, &wanted)?;
        exported.n_values = metrics.height();
        for (name, frame) in [("runs", of_runs(self.experiment.runs()?, &wanted)?), ("metrics", metrics)] {
            let path = folder.join(name).with_extension(kind.extension());
            exported.n_bytes += kind.write(&path, frame)?;
            exported.files.push(path);
        }
        for record in records.iter().filter(|_| self.with_selections) {
            interrupt::check()?;
            let selections = self.experiment.find_run(&record.name)?.selections()?;
            if selections.height() > 0 {
                let path = folder.join("runs").join(file_name(&record.name)).join("selections");
                let path = path.with_extension(kind.extension());
                exported.n_bytes += kind.write(&path, selections)?;
                exported.files.push(path);
            }
        }
        self.copy_artifacts(folder, &mut exported)?;
        Ok(exported)
    }

    /// Copies the artifacts of the runs to `runs/RUN/artifacts/…` in `folder`.
    pub(super) fn copy_artifacts(&self, folder: &Path, exported: &mut Exported) -> Result<()> {
        if !self.with_artifacts {
            return Ok(());
        }
        for record in self.records()? {
            for artifact in &record.artifacts {
                interrupt::check()?;
                let place = folder.join("runs").join(file_name(&record.name)).join("artifacts");
                let path = place.join(file_name(&artifact.name));
                exported.n_bytes += copy(&Content::File(artifact.path.clone()), &path)?;
                exported.files.push(path);
            }
        }
        Ok(())
    }
}

/// Writes `content` to `path`.
fn copy(content: &Content, path: &Path) -> Result<u64> {
    write_whole(path, |file| {
        match content {
            Content::Bytes(bytes) => file.write_all(bytes).map_err(Error::io(path, "writing"))?,
            Content::File(source) => {
                let mut source_file = crate::track::open_kept(source)?;
                std::io::copy(&mut source_file, file).map_err(Error::io(path, "copying an artifact to"))?;
            }
        }
        Ok(())
    })
}

/// The rows of the runs named.
fn of_runs(frame: DataFrame, wanted: &HashSet<&str>) -> Result<DataFrame> {
    let runs = frame.column("run")?.str()?;
    let is_wanted: Vec<bool> = runs.iter().map(|run| run.is_some_and(|run| wanted.contains(run))).collect();
    Ok(frame.filter(&BooleanChunked::new("wanted".into(), is_wanted))?)
}
