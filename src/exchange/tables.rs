//! Parquet and CSV: the dataframes of `Experiment::runs` and `Experiment::metrics` as files.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use polars::prelude::{
    BooleanChunked, Column, CsvWriter, DataFrame, IntoColumn, NamedFrom, NewChunkedArray, ParquetWriter,
    SerWriter, StringChunked,
};

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

    fn write(self, path: &Path, frame: DataFrame, raw_text: bool) -> Result<u64> {
        let mut frame =
            if matches!(self, Self::Csv) && !raw_text { without_formulas(&frame)? } else { frame };
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
    /// `-inf`, what there is no value of as nothing. Texts and names of columns are those of [`csv_cell`], so that a
    /// spreadsheet runs no formula that somebody has put into a name; [`Export::raw_text`] leaves them as they are.
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
            exported.n_bytes += kind.write(&path, frame, self.raw_text)?;
            exported.files.push(path);
        }
        for record in records.iter().filter(|_| self.with_selections) {
            interrupt::check()?;
            let selections = self.experiment.find_run(&record.name)?.selections()?;
            if selections.height() > 0 {
                let path = folder.join("runs").join(file_name(&record.name)).join("selections");
                let path = path.with_extension(kind.extension());
                exported.n_bytes += kind.write(&path, selections, self.raw_text)?;
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

/// A text as a cell of CSV that no spreadsheet takes for a formula: one that begins with `=`, `+`, `-`, `@` (or their wide
/// forms), a tabulator or a line break, and is no number, gets a `'` in front.
pub fn csv_cell(text: &str) -> Cow<'_, str> {
    let begins = text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r', '\n']);
    let is_number = text.parse::<f64>().is_ok();
    if begins && !is_number { format!("'{text}").into() } else { text.into() }
}

/// The table with each text, and each name of a column, as [`csv_cell`] has it.
fn without_formulas(frame: &DataFrame) -> Result<DataFrame> {
    let mut taken = HashSet::new();
    let column = |column: &Column| -> Result<Column> {
        let mut name = csv_cell(column.name()).into_owned();
        while !taken.insert(name.clone()) {
            name.insert(0, '\'');
        }
        if !column.dtype().is_string() {
            return Ok(column.clone().with_name(name.into()));
        }
        let texts = column.str()?.iter().map(|text| text.map(csv_cell));
        Ok(StringChunked::from_iter_options(name.into(), texts).into_column())
    };
    let columns = frame.columns().iter().map(column).collect::<Result<Vec<_>>>()?;
    Ok(DataFrame::new(frame.height(), columns)?)
}

/// The rows of the runs named.
fn of_runs(frame: DataFrame, wanted: &HashSet<&str>) -> Result<DataFrame> {
    let runs = frame.column("run")?.str()?;
    let is_wanted: Vec<bool> = runs.iter().map(|run| run.is_some_and(|run| wanted.contains(run))).collect();
    Ok(frame.filter(&BooleanChunked::new("wanted".into(), is_wanted))?)
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_a_text_and_numbers_stay_numbers() {
        for formula in [
            "=1+1",
            "+cmd",
            "-2+3",
            "@SUM(1)",
            "\t=1",
            "\r=1",
            "\n=1",
            "＝1",
            "=HYPERLINK(\"http://x\")",
            "-",
            "- a",
        ] {
            assert_eq!(csv_cell(formula), format!("'{formula}"));
        }
        for text in ["", "-0.5", "+3", "-1e-5", "-inf", "a=b", "'=1", " =1", "glister 30 %", "日本語"] {
            assert_eq!(csv_cell(text), text);
        }
    }

    #[test]
    fn names_of_columns_stay_distinct() {
        let frame = df!("=a" => ["=b"], "'=a" => ["c"], "lr" => [-0.5]).unwrap();
        let safe = without_formulas(&frame).unwrap();
        let names: Vec<&str> = safe.get_column_names().into_iter().map(|name| name.as_str()).collect();
        assert_eq!(names, ["'=a", "''=a", "lr"]);
        assert_eq!(safe.column("'=a").unwrap().str().unwrap().get(0), Some("'=b"));
    }
}
