//! What training has learnt of its samples, kept with the run as a table.

use polars::prelude::{DataFrame, IntoColumn, NamedFrom, ParquetWriter, Series};
use tch::Tensor;

use crate::error::{Error, Result};
use crate::select::Evidence;
use crate::track::Run;

impl Evidence {
    /// As a table with a row for each training sample, in their order: `index`, `times_met`, `loss`, `gain`, `mean_gain`. What
    /// is not known is null.
    ///
    /// # Errors
    /// [`Error::Polars`] if Polars refuses.
    pub fn to_dataframe(&self) -> Result<DataFrame> {
        let known = |tensor: &Tensor| -> Result<Vec<Option<f32>>> {
            Ok(Vec::<f32>::try_from(tensor)?
                .into_iter()
                .map(|value| (!value.is_nan()).then_some(value))
                .collect())
        };
        let times_met = Vec::<i64>::try_from(&self.times_met)?;
        let indices: Vec<i64> = (0..times_met.len() as i64).collect();
        let n = indices.len();
        let columns = vec![
            Series::new("index".into(), indices).into_column(),
            Series::new("times_met".into(), times_met).into_column(),
            Series::new("loss".into(), known(&self.loss)?).into_column(),
            Series::new("gain".into(), known(&self.gain)?).into_column(),
            Series::new("mean_gain".into(), known(&self.mean_gain)?).into_column(),
        ];
        Ok(DataFrame::new(n, columns)?)
    }

    /// Keeps it with a run, as the artifact `evidence`, a Parquet file.
    pub(super) fn keep_with(&self, run: &Run) -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir(), "making a folder"))?;
        let path = folder.path().join("evidence.parquet");
        let file = std::fs::File::create(&path).map_err(Error::io(&path, "writing the evidence"))?;
        ParquetWriter::new(file).finish(&mut self.to_dataframe()?)?;
        run.log_artifact("evidence", &path)?;
        Ok(())
    }
}
