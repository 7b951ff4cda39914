//! The summary as a dataframe, for a notebook.

use super::Summary;
use crate::error::Result;
use crate::statistics::Estimate;
use polars::prelude::{Column, DataFrame};

/// One row for each setting, strategy and fraction; intervals as `.low` and `.high` columns of their figure.
///
/// # Errors
/// [`crate::Error::Polars`] where Polars refuses the columns, which all have the same length.
pub fn summary_table(summary: &Summary) -> Result<DataFrame> {
    let rows: Vec<_> = summary
        .settings
        .iter()
        .flat_map(|setting| setting.rows.iter().map(move |row| (&setting.setting, row)))
        .collect();
    let mut columns = vec![
        text("dataset", rows.iter().map(|(setting, _)| setting.dataset.clone())),
        text("model", rows.iter().map(|(setting, _)| setting.model.clone())),
        Column::new("epochs".into(), rows.iter().map(|(setting, _)| setting.epochs).collect::<Vec<_>>()),
        text("strategy", rows.iter().map(|(_, row)| Some(row.strategy.clone()))),
        Column::new("fraction".into(), rows.iter().map(|(_, row)| row.fraction).collect::<Vec<_>>()),
        Column::new("seeds".into(), rows.iter().map(|(_, row)| row.n_seeds as i64).collect::<Vec<_>>()),
    ];
    estimate(&mut columns, "accuracy", rows.iter().map(|(_, row)| row.accuracy));
    estimate(&mut columns, "accuracy_lost", rows.iter().map(|(_, row)| row.accuracy_lost));
    estimate(&mut columns, "speedup", rows.iter().map(|(_, row)| row.speedup));
    estimate(&mut columns, "wall_ratio", rows.iter().map(|(_, row)| row.wall_ratio));
    Ok(DataFrame::new(rows.len(), columns)?)
}

fn text(name: &str, values: impl Iterator<Item = Option<String>>) -> Column {
    Column::new(name.into(), values.collect::<Vec<_>>())
}

fn estimate(columns: &mut Vec<Column>, name: &str, values: impl Iterator<Item = Option<Estimate>>) {
    let values: Vec<Option<Estimate>> = values.collect();
    let mut add = |suffix: &str, value: fn(&Estimate) -> Option<f64>| {
        let column: Vec<Option<f64>> = values.iter().map(|one| one.as_ref().and_then(value)).collect();
        columns.push(Column::new(format!("{name}{suffix}").into(), column));
    };
    add("", |one| Some(one.mean));
    add(".low", Estimate::low);
    add(".high", Estimate::high);
}
