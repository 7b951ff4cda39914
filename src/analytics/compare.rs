//! What differs between runs.

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, IntoColumn, NewChunkedArray, StringChunked};

use super::frame::distinct;
use super::names::{Names, keys, nearest};
use super::property::{Property, Statistic, Value};
use crate::error::{Error, Result};
use crate::track::{Parameter, RunRecord};

/// One row for each thing in which the `wanted` of `all` runs differ.
pub(super) fn frame(all: &[RunRecord], wanted: &[impl AsRef<str>]) -> Result<DataFrame> {
    let wanted: Vec<&str> = wanted.iter().map(AsRef::as_ref).collect();
    if wanted.len() < 2 {
        return Err(Error::argument("compare", "two runs or more", wanted.len()));
    }
    let runs: Vec<&RunRecord> = wanted.iter().map(|name| find(all, name)).collect::<Result<_>>()?;
    for (at, run) in runs.iter().enumerate() {
        if runs[..at].iter().any(|other| other.id == run.id) {
            return Err(Error::argument("compare", "different runs", format!("'{}' twice", wanted[at])));
        }
    }
    let mut rows = Rows { runs: &runs, names: Vec::new(), values: vec![Vec::new(); runs.len()] };
    for property in [Property::Experiment, Property::Status, Property::Error, Property::Note] {
        rows.add(|| own_name(&property).to_owned(), |run| property.of(run).map(shown));
    }
    rows.add_map("parameters", |run| &run.parameters);
    for tag in keys(runs.iter().map(|run| &run.tags)) {
        rows.add(|| format!("tags.{tag}"), |run| run.tags.get(tag).cloned());
    }
    rows.add_map("environment", |run| &run.environment);
    let names = Names::of(runs.iter().copied());
    for metric in names.metrics {
        for statistic in Statistic::ALL {
            let property = Property::Metric(metric.to_owned(), statistic);
            rows.add(
                || format!("metrics.{metric}.{}", statistic.suffix()),
                |run| property.of(run).map(shown),
            );
        }
    }
    rows.frame(&wanted)
}

/// What was collected: for each row its name, for each run its value.
struct Rows<'a> {
    runs: &'a [&'a RunRecord],
    names: Vec<String>,
    values: Vec<Vec<Option<String>>>,
}

impl<'a> Rows<'a> {
    /// A row, if the runs differ in it.
    fn add(&mut self, name: impl FnOnce() -> String, value: impl Fn(&'a RunRecord) -> Option<String>) {
        let values: Vec<Option<String>> = self.runs.iter().map(|run| value(run)).collect();
        if values.windows(2).any(|pair| pair[0] != pair[1]) {
            self.names.push(name());
            self.values.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }
    }

    fn add_map(&mut self, prefix: &str, map: impl Fn(&'a RunRecord) -> &'a BTreeMap<String, Parameter>) {
        for name in keys(self.runs.iter().map(|run| map(run))) {
            let value = |run| map(run).get(name).map(|value| shown(value.into()));
            self.add(|| format!("{prefix}.{name}"), value);
        }
    }

    fn frame(self, wanted: &[&str]) -> Result<DataFrame> {
        let n_rows = self.names.len();
        let text = |name: &str, values: Vec<Option<String>>| -> Column {
            StringChunked::from_iter_options(name.into(), values.into_iter()).into_column()
        };
        let mut columns = vec![text("what", self.names.into_iter().map(Some).collect())];
        columns.extend(wanted.iter().zip(self.values).map(|(name, values)| text(name, values)));
        Ok(DataFrame::new(n_rows, distinct(columns))?)
    }
}

/// The run called `name`, or `experiment/name`.
fn find<'a>(all: &'a [RunRecord], name: &str) -> Result<&'a RunRecord> {
    let full = |run: &RunRecord| format!("{}/{}", run.experiment, run.name);
    let found: Vec<&RunRecord> = all.iter().filter(|run| run.name == name).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => all.iter().find(|run| full(run) == name).ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|run| run.name.as_str()).collect();
            let hint = match nearest(name, &names).as_slice() {
                [] => format!("; there are: {}", crate::error::listing(&names)),
                near => format!("; did you mean '{}'?", near.join("' or '")),
            };
            Error::NotFound { kind: "run", name: name.to_owned(), hint }
        }),
        several => {
            let names: Vec<String> = several.iter().map(|run| full(run)).collect();
            let expected = format!("one of {}", crate::error::listing(&names));
            Err(Error::argument("compare", expected, format!("'{name}', which they all are called")))
        }
    }
}

fn own_name(property: &Property) -> &'static str {
    match property {
        Property::Experiment => "experiment",
        Property::Status => "status",
        Property::Note => "note",
        _ => "error",
    }
}

fn shown(value: Value<'_>) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) | Value::Time(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Text(value) => value.to_owned(),
    }
}
