//! Records of the store as dataframes.

use std::collections::BTreeSet;

use polars::prelude::{Column, DataFrame, DataType, NamedFrom, Series, TimeUnit};

use crate::error::Result;
use crate::track::{MetricPoint, MetricStats, Parameter, RunRecord};

/// Columns that come first, in this order, where there are any: what a run is told by.
const LEADING: [&str; 3] = ["strategy", "fraction", "seed"];

/// A statistic's suffix and how it is read; `None` where there is no value to take it of.
type Statistic = (&'static str, fn(&MetricStats) -> Option<f64>);

/// Likewise for what is counted.
type Count = (&'static str, fn(&MetricStats) -> u64);

const STATISTICS: [Statistic; 5] = [
    ("max", |stats| (stats.count > 0).then_some(stats.max)),
    ("min", |stats| (stats.count > 0).then_some(stats.min)),
    ("avg", |stats| (stats.count > 0).then_some(stats.mean)),
    ("stddev", MetricStats::stddev),
    ("last", |stats| (stats.count > 0).then_some(stats.last)),
];

pub(super) fn runs(records: &[RunRecord]) -> Result<DataFrame> {
    let text = |name: &str, value: fn(&RunRecord) -> Option<&str>| {
        Column::from(Series::new(name.into(), records.iter().map(value).collect::<Vec<_>>()))
    };
    let mut columns = vec![
        text("run", |record| Some(&record.name)),
        text("experiment", |record| Some(&record.experiment)),
        text("status", |record| Some(record.status.as_str())),
    ];
    let names: BTreeSet<&str> =
        records.iter().flat_map(|record| record.parameters.keys().map(String::as_str)).collect();
    let (leading, other): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| LEADING.contains(name));
    let leading = LEADING.into_iter().filter(|name| leading.contains(name));
    columns.extend(leading.map(|name| parameter(records, name)));

    let names: BTreeSet<&str> =
        records.iter().flat_map(|record| record.metrics.keys().map(String::as_str)).collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_key(|name| !name.ends_with(":accuracy")); // what is asked for most stands first
    for name in names {
        for (suffix, statistic) in STATISTICS {
            let values = records.iter().map(|record| record.metrics.get(name).and_then(statistic));
            columns.push(Series::new(format!("{name}.{suffix}").into(), values.collect::<Vec<_>>()).into());
        }
        let counts: [Count; 2] = [("count", |stats| stats.count), ("nonfinite", |stats| stats.nonfinite)];
        for (suffix, count) in counts {
            let values =
                records.iter().map(|record| record.metrics.get(name).map(|stats| count(stats) as i64));
            columns.push(Series::new(format!("{name}.{suffix}").into(), values.collect::<Vec<_>>()).into());
        }
    }

    columns.extend(other.into_iter().map(|name| parameter(records, name)));
    columns.push(time("created", records.iter().map(|record| Some(record.created_ms)))?);
    columns.push(time("ended", records.iter().map(|record| record.ended_ms))?);
    columns.push(text("error", |record| record.error.as_deref()));
    Ok(DataFrame::new(records.len(), distinct(columns))?)
}

pub(super) fn metrics(points: &[MetricPoint]) -> Result<DataFrame> {
    let columns = vec![
        Series::new(
            "experiment".into(),
            points.iter().map(|point| point.experiment.as_str()).collect::<Vec<_>>(),
        )
        .into(),
        Series::new("run".into(), points.iter().map(|point| point.run.as_str()).collect::<Vec<_>>()).into(),
        Series::new("metric".into(), points.iter().map(|point| point.metric.as_str()).collect::<Vec<_>>())
            .into(),
        Series::new("step".into(), points.iter().map(|point| point.step).collect::<Vec<_>>()).into(),
        Series::new("value".into(), points.iter().map(|point| point.value).collect::<Vec<_>>()).into(),
    ];
    Ok(DataFrame::new(points.len(), columns)?)
}

/// A parameter's column in the narrowest type that holds all of its values.
fn parameter(records: &[RunRecord], name: &str) -> Column {
    let values: Vec<Option<&Parameter>> = records.iter().map(|record| record.parameters.get(name)).collect();
    let all = |test: fn(&Parameter) -> bool| values.iter().flatten().all(|value| test(value));
    let series = if all(|value| matches!(value, Parameter::Integer(_))) {
        let integer =
            |value: &Parameter| if let Parameter::Integer(value) = value { Some(*value) } else { None };
        Series::new(name.into(), values.iter().map(|value| value.and_then(integer)).collect::<Vec<_>>())
    } else if all(|value| matches!(value, Parameter::Integer(_) | Parameter::Number(_))) {
        let number = |value: &Parameter| match value {
            Parameter::Integer(value) => Some(*value as f64),
            Parameter::Number(value) => Some(*value),
            Parameter::Boolean(_) | Parameter::Text(_) => None,
        };
        Series::new(name.into(), values.iter().map(|value| value.and_then(number)).collect::<Vec<_>>())
    } else if all(|value| matches!(value, Parameter::Boolean(_))) {
        let boolean =
            |value: &Parameter| if let Parameter::Boolean(value) = value { Some(*value) } else { None };
        Series::new(name.into(), values.iter().map(|value| value.and_then(boolean)).collect::<Vec<_>>())
    } else {
        Series::new(
            name.into(),
            values.iter().map(|value| value.map(ToString::to_string)).collect::<Vec<_>>(),
        )
    };
    series.into()
}

/// Milliseconds since 1970 as a datetime in UTC.
fn time(name: &str, values: impl Iterator<Item = Option<i64>>) -> Result<Column> {
    let series = Series::new(name.into(), values.collect::<Vec<_>>());
    Ok(series.cast(&DataType::Datetime(TimeUnit::Milliseconds, None))?.into())
}

/// A user's parameter may be called like a column of ours: the later one is given a prime, so that both can be had.
fn distinct(columns: Vec<Column>) -> Vec<Column> {
    let mut taken = BTreeSet::new();
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
