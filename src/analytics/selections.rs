//! The selections of a run as a dataframe.

use polars::prelude::{Column, DataFrame, NamedFrom, Series};

use crate::error::Result;
use crate::track::{Run, SelectionRecord};

impl Run {
    /// Which samples this run chose, one row a sample and selection: `epoch` (i64, the first that trained on it, counted
    /// from 1), `index` (i64, the position in the training set; `Splits::train_indices` gives that in the data set), `gain`
    /// and `weight` (f32, null where there is none). Within a selection rows are in the order of the positions.
    ///
    /// # Errors
    /// As [`Run::selection_records`].
    pub fn selections(&self) -> Result<DataFrame> {
        let records = self.selection_records()?;
        let n_rows = records.iter().map(|record| record.indices.len()).sum();
        let epochs = records.iter().flat_map(|record| record.indices.iter().map(|_| record.epoch));
        let indices = records.iter().flat_map(|record| record.indices.iter().map(|&index| i64::from(index)));
        let columns = vec![
            Series::new("epoch".into(), epochs.collect::<Vec<i64>>()).into(),
            Series::new("index".into(), indices.collect::<Vec<i64>>()).into(),
            floats("gain", &records, |record| record.gains.as_deref()),
            floats("weight", &records, |record| record.weights.as_deref()),
        ];
        Ok(DataFrame::new(n_rows, columns)?)
    }
}

fn floats(name: &str, records: &[SelectionRecord], values: fn(&SelectionRecord) -> Option<&[f32]>) -> Column {
    let mut column: Vec<Option<f32>> = Vec::new();
    for record in records {
        match values(record) {
            Some(values) => {
                column.extend(values.iter().map(|value| Some(*value).filter(|value| !value.is_nan())))
            }
            None => column.extend(record.indices.iter().map(|_| None)),
        }
    }
    Series::new(name.into(), column).into()
}
