//! Data sets of tables as their first rows: the label, then the features.

use glisten::data::{Examples, TableSchema, Task};
use polars::prelude::{Column, NamedFrom, Series};
use tch::{Device, Kind, Tensor};

use super::{escape, frame};

/// So many rows are shown.
const ROWS: usize = 8;
/// So many classes are counted.
const MAX_CLASSES: usize = 20;

type Failed = Box<dyn std::error::Error>;

/// How many examples each class has (or how the target is spread), and the first rows as HTML.
pub(super) fn head(
    examples: &Examples,
    classes: &[String],
    schema: Option<&TableSchema>,
) -> Result<String, Failed> {
    let target = schema.map_or("label", TableSchema::target);
    let first = examples.take(ROWS)?.to_device(Device::Cpu)?;
    let (spread, labels) = match examples.task(classes.len()) {
        Task::Classification { n_classes } => {
            let labels = Vec::<i64>::try_from(&first.labels)?;
            let name = |label: &i64| classes.get(*label as usize).cloned().unwrap_or_default();
            let names: Vec<String> = labels.iter().map(name).collect();
            (counts(examples, classes, n_classes)?, Series::new(target.into(), names))
        }
        Task::Regression => {
            let labels = examples.labels.f_to_kind(Kind::Double)?;
            let value = |tensor: Tensor| tensor.f_double_value(&[]);
            let spread = format!(
                "{target}: {:.4} to {:.4}, mean {:.4}",
                value(labels.f_min()?)?,
                value(labels.f_max()?)?,
                value(labels.f_mean(Kind::Double)?)?
            );
            (spread, Series::new(target.into(), Vec::<f32>::try_from(&first.labels)?))
        }
    };
    let n_features = first.inputs.size()[1];
    let mut columns: Vec<Column> = vec![labels.into()];
    for at in 0..n_features {
        let values = Vec::<f32>::try_from(&first.inputs.f_select(1, at)?.f_contiguous()?)?;
        let name = schema.and_then(|schema| schema.feature_names().get(at as usize).cloned());
        columns.push(Series::new(name.unwrap_or_else(|| format!("{at}")).into(), values).into());
    }
    let table = frame::table(&columns, first.len());
    let head = format!("{spread}; the first rows, as they are trained on:");
    Ok(format!(r#"<div style="margin:.4em 0;opacity:.75">{}</div>{table}"#, escape(&head)))
}

/// As "setosa 50 · versicolor 50".
fn counts(examples: &Examples, classes: &[String], n_classes: usize) -> Result<String, Failed> {
    let counts = examples.class_counts(n_classes)?;
    let mut parts: Vec<String> =
        classes.iter().zip(&counts).take(MAX_CLASSES).map(|(class, n)| format!("{class} {n}")).collect();
    if classes.len() > MAX_CLASSES {
        parts.push(format!("and {} more classes", classes.len() - MAX_CLASSES));
    }
    Ok(parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use glisten::data::{Dataset, Split, TableOptions};
    use polars::df;

    use crate::show::Show;

    fn html(value: &dyn Show) -> String {
        value.mime_bundle().as_json()["text/html"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_table_shows_its_first_rows_under_the_features_names() {
        let frame = df!(
            "age" => [1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0, 3.0, 1.0, 3.0],
            "town" => ["<Bern>", "Genf", "Genf", "Genf", "Genf", "Genf", "Genf", "Genf", "Genf", "Genf"],
            "kind" => ["a", "b", "a", "b", "a", "b", "a", "b", "a", "b"],
        )
        .unwrap();
        let data = Dataset::from_frame(&frame, "kind", &TableOptions::default()).unwrap();
        let shown = html(&data);
        for part in [
            "a 5 · b 5",
            "town=&lt;Bern&gt;",
            ">kind<",
            ">-1.0<",
            "8 rows × 4 columns",
            "2 classes, 3 features",
        ] {
            assert!(shown.contains(part), "{part} is missing from {shown}");
        }
        assert!(!shown.contains("<img") && !shown.contains("<Bern>"));
        let splits = data.split(Split { validation: 0.2, seed: 0 }).unwrap();
        assert!(html(&splits).contains("8 to train on, 2 to validate"));
    }

    #[test]
    fn a_regression_shows_how_its_target_is_spread() {
        let frame = df!("x" => [0.0, 1.0, 2.0], "y" => [10.0, 20.0, 60.0]).unwrap();
        let data = Dataset::from_frame(&frame, "y", &TableOptions::default()).unwrap();
        let shown = html(&data);
        assert!(shown.contains("y: 10.0000 to 60.0000, mean 30.0000"), "{shown}");
    }
}
