//! Records of the store as dataframes.

use std::collections::{BTreeMap, HashMap, HashSet};

use polars::prelude::{BooleanChunked, IntoSeries};
use polars::prelude::{
    ChunkedArray, Column, DataFrame, Float64Type, Int64Chunked, Int64Type, IntoColumn, NewChunkedArray,
    StringChunked, TimeUnit, TimeZone,
};

use super::names::Names;
use super::property::{Statistic, Value};
use crate::error::Result;
use crate::track::{MetricPoint, MetricStats, Parameter, RunRecord, utc};

/// Parameters that come first, in this order, where there are any: what a run is told by.
const LEADING: [&str; 3] = ["strategy", "fraction", "seed"];

/// The statistics in the order in which they are mostly asked for.
const FRIENDLY: [Statistic; 7] = [
    Statistic::Max,
    Statistic::Min,
    Statistic::Avg,
    Statistic::StdDev,
    Statistic::Last,
    Statistic::Count,
    Statistic::NonFinite,
];

/// One row a run, what is asked for most in front.
pub(super) fn runs(runs: &[&RunRecord]) -> Result<DataFrame> {
    let names = Names::of(runs.iter().copied());
    let mut columns = vec![
        text("run", runs, |run| Some(&run.name)),
        text("experiment", runs, |run| Some(&run.experiment)),
        text("status", runs, |run| Some(run.status.as_str())),
    ];
    let (mut leading, other): (Vec<Column>, Vec<Column>) = parameters(runs, &names.parameters)
        .into_iter()
        .partition(|column| LEADING.contains(&column.name().as_str()));
    leading.sort_by_key(|column| LEADING.iter().position(|name| column.name() == name));
    columns.extend(leading);
    let mut metrics = metrics_by_name(runs, &names.metrics, &FRIENDLY);
    metrics.sort_by_key(|(name, _)| !name.ends_with(":accuracy"));
    columns.extend(metrics.into_iter().flat_map(|(_, columns)| columns));
    columns.extend(other);
    columns.extend([created(runs), ended(runs)]);
    columns.extend(words(runs, &names.tags));
    Ok(DataFrame::new(runs.len(), distinct(columns))?)
}

/// One row a run, in the order of SageMaker's `ExperimentAnalytics`: the run, the parameters and the metrics named, each by
/// name, its experiment; and then what SageMaker does not have, tags and the environment as far as they are named.
pub(super) fn analytics(runs: &[&RunRecord], names: &Names<'_>) -> Result<DataFrame> {
    let mut columns = vec![text("run", runs, |run| Some(&run.name))];
    columns.extend(parameters(runs, &names.parameters));
    let metrics = metrics_by_name(runs, &names.metrics, &Statistic::ALL);
    columns.extend(metrics.into_iter().flat_map(|(_, columns)| columns));
    columns.push(text("experiment", runs, |run| Some(&run.experiment)));
    columns.push(text("status", runs, |run| Some(run.status.as_str())));
    columns.extend([created(runs), ended(runs)]);
    columns.extend(words(runs, &names.tags));
    columns.extend(prefixed(
        "environment",
        &names.environment,
        pivot(runs, &names.environment, |run| &run.environment),
    ));
    Ok(DataFrame::new(runs.len(), distinct(columns))?)
}

/// One row a value.
pub(super) fn metrics(points: &[&MetricPoint]) -> Result<DataFrame> {
    let text = |name: &str, value: fn(&MetricPoint) -> &str| {
        let values = points.iter().map(|point| Some(value(point)));
        StringChunked::from_iter_options(name.into(), values).into_column()
    };
    let steps: Vec<i64> = points.iter().map(|point| point.step).collect();
    let values: Vec<f64> = points.iter().map(|point| point.value).collect();
    let columns = vec![
        text("experiment", |point| &point.experiment),
        text("run", |point| &point.run),
        text("metric", |point| &point.metric),
        Int64Chunked::from_vec("step".into(), steps).into_column(),
        ChunkedArray::<Float64Type>::from_vec("value".into(), values).into_column(),
        time("time", points.iter().map(|point| point.time_ms)),
    ];
    Ok(DataFrame::new(points.len(), columns)?)
}

/// For each of `names`, which are sorted, what each run has under it. All maps are passed over once; most of them hold the
/// names in the same order, so that a name is found where it is expected.
fn pivot<'a, V>(
    runs: &[&'a RunRecord],
    names: &[&str],
    map: impl Fn(&'a RunRecord) -> &'a BTreeMap<String, V>,
) -> Vec<Vec<Option<&'a V>>> {
    let position: HashMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let mut columns = vec![vec![None; runs.len()]; names.len()];
    for (row, run) in runs.iter().copied().enumerate() {
        let mut expected = 0;
        for (name, value) in map(run) {
            let at = match names.get(expected) {
                Some(next) if *next == name.as_str() => expected,
                _ => match position.get(name.as_str()) {
                    Some(&at) => at,
                    None => continue,
                },
            };
            columns[at][row] = Some(value);
            expected = at + 1;
        }
    }
    columns
}

fn parameters(runs: &[&RunRecord], names: &[&str]) -> Vec<Column> {
    let columns = pivot(runs, names, |run| &run.parameters);
    names.iter().zip(columns).map(|(name, values)| parameter(name, &values)).collect()
}

/// `environment.NAME` and the like.
fn prefixed(prefix: &str, names: &[&str], columns: Vec<Vec<Option<&Parameter>>>) -> Vec<Column> {
    names.iter().zip(columns).map(|(name, values)| parameter(&format!("{prefix}.{name}"), &values)).collect()
}

/// What people wrote, and errors: `error`; `note` where any run has one; `tags.NAME`.
fn words(runs: &[&RunRecord], tags: &[&str]) -> Vec<Column> {
    let mut columns = vec![text("error", runs, |run| run.error.as_deref())];
    if runs.iter().any(|run| run.note.is_some()) {
        columns.push(text("note", runs, |run| run.note.as_deref()));
    }
    for (name, values) in tags.iter().zip(pivot(runs, tags, |run| &run.tags)) {
        let values = values.into_iter().map(|value| value.map(String::as_str));
        columns.push(StringChunked::from_iter_options(format!("tags.{name}").into(), values).into_column());
    }
    columns
}

/// For each metric its name and the columns of its `statistics`.
fn metrics_by_name<'a>(
    runs: &[&RunRecord],
    names: &[&'a str],
    statistics: &[Statistic],
) -> Vec<(&'a str, Vec<Column>)> {
    let columns = pivot(runs, names, |run| &run.metrics);
    let of_metric = |(name, values): (&&'a str, Vec<Option<&MetricStats>>)| {
        let column = |&statistic: &Statistic| statistic_column(name, statistic, &values);
        (*name, statistics.iter().map(column).collect())
    };
    names.iter().zip(columns).map(of_metric).collect()
}

fn statistic_column(metric: &str, statistic: Statistic, stats: &[Option<&MetricStats>]) -> Column {
    let name = format!("{metric}.{}", statistic.suffix()).into();
    let values = stats.iter().map(|stats| stats.and_then(|stats| statistic.of(stats)));
    if matches!(statistic, Statistic::Count | Statistic::NonFinite) {
        let whole =
            values.map(|value| if let Some(Value::Integer(value)) = value { Some(value) } else { None });
        return ChunkedArray::<Int64Type>::from_iter_options(name, whole).into_column();
    }
    let numbers = values.map(|value| if let Some(Value::Number(value)) = value { Some(value) } else { None });
    ChunkedArray::<Float64Type>::from_iter_options(name, numbers).into_column()
}

/// A parameter's column in the narrowest type that holds all of its values: booleans, whole numbers, numbers, else text.
fn parameter(name: &str, values: &[Option<&Parameter>]) -> Column {
    let name = name.into();
    let all = |test: fn(&Parameter) -> bool| values.iter().flatten().all(|value| test(value));
    let of = values.iter().copied();
    if all(|value| matches!(value, Parameter::Integer(_))) {
        let whole =
            of.map(|value| if let Some(Parameter::Integer(value)) = value { Some(*value) } else { None });
        ChunkedArray::<Int64Type>::from_iter_options(name, whole).into_column()
    } else if all(|value| matches!(value, Parameter::Integer(_) | Parameter::Number(_))) {
        let numbers = of.map(|value| match value? {
            Parameter::Integer(value) => Some(*value as f64),
            Parameter::Number(value) => Some(*value),
            Parameter::Boolean(_) | Parameter::Text(_) => None,
        });
        ChunkedArray::<Float64Type>::from_iter_options(name, numbers).into_column()
    } else if all(|value| matches!(value, Parameter::Boolean(_))) {
        let booleans =
            of.map(|value| if let Some(Parameter::Boolean(value)) = value { Some(*value) } else { None });
        BooleanChunked::from_iter_options(name, booleans).into_column()
    } else {
        StringChunked::from_iter_options(name, of.map(|value| value.map(ToString::to_string))).into_column()
    }
}

fn text<'a>(name: &str, runs: &[&'a RunRecord], value: impl Fn(&'a RunRecord) -> Option<&'a str>) -> Column {
    StringChunked::from_iter_options(name.into(), runs.iter().map(|run| value(run))).into_column()
}

fn created(runs: &[&RunRecord]) -> Column {
    time("created", runs.iter().map(|run| Some(run.created_ms)))
}

fn ended(runs: &[&RunRecord]) -> Column {
    time("ended", runs.iter().map(|run| run.ended_ms))
}

/// Milliseconds since 1970 as a datetime whose type names its zone, UTC; null for a moment that no calendar has.
fn time(name: &str, values: impl Iterator<Item = Option<i64>>) -> Column {
    let known = values.map(|ms| ms.filter(|&ms| utc(ms).is_some()));
    let milliseconds = Int64Chunked::from_iter_options(name.into(), known);
    milliseconds.into_datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC)).into_series().into()
}

/// A user's parameter may be called like a column of ours: the later one is given a prime, so that both can be had.
pub(super) fn distinct(columns: Vec<Column>) -> Vec<Column> {
    let mut taken = HashSet::new();
    columns
        .into_iter()
        .map(|column| {
            let mut name = column.name().to_string();
            while !taken.insert(name.clone()) {
                name.push('\'');
            }
            column.with_name(name.into())
        })
        .collect()
}
