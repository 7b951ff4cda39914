//! The CSV that SageMaker's `ExperimentAnalytics(…).dataframe().to_csv(…)` writes: one row a trial component, with statistics
//! of its metrics and no series.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use csv_core::{ReadRecordResult, Reader};

use super::folder::read_named;
use super::{Imported, hide_secrets, typed};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::track::{Experiment, ImportedRun, MetricStats, Parameter, Status, Store};

/// The tag that says which trial component a run was.
const SOURCE_TAG: &str = "sagemaker.trial_component";
/// Bytes that such a file may have.
const LONGEST: u64 = 1 << 30;
/// The suffixes of a metric's columns, in the order of `analytics.py` of `sagemaker` 2.x.
const STATISTICS: [&str; 6] = ["Min", "Max", "Avg", "StdDev", "Last", "Count"];

/// Imports a CSV of SageMaker's `ExperimentAnalytics` into the experiment `experiment` of `store`: one run a row, under its
/// display name. A trial component that was imported before is passed over.
///
/// Of a metric the file holds `Min`, `Max`, `Avg`, `StdDev`, `Last` and `Count`, and no values: these are the run's
/// statistics then, `metrics()` has no rows of it, and no chart a line. A metric some of whose statistics are missing is kept
/// as parameters of the columns' names. Source, trials and artifacts are tags. The file does not say when a run was made nor
/// how it ended: the times are those of the import, the status is `completed`.
///
/// # Errors
/// [`Error::BadFile`] for a file that is not such a CSV, naming line and column; [`Error::Store`] if the store cannot be
/// written.
pub fn import_sagemaker(store: &Store, csv: impl AsRef<Path>, experiment: &str) -> Result<Imported> {
    let _call = interrupt::enter();
    let csv = csv.as_ref();
    let mut rows = read(csv)?;
    let target = Experiment::resume_in(store, experiment)?;
    let mut known = HashSet::new();
    for record in store.run_records(Some(experiment))? {
        known.extend(record.tags.get(SOURCE_TAG).cloned());
    }
    let mut imported = Imported { experiments: vec![experiment.to_owned()], ..Default::default() };
    for row in &mut rows {
        interrupt::check()?;
        if !known.insert(row.component.clone()) {
            imported.n_known += 1;
            continue;
        }
        hide_secrets(&row.name, &mut row.past, &mut imported.notes);
        target.import_run(&row.name, &row.past)?;
        imported.n_runs += 1;
    }
    Ok(imported)
}

/// A row in our terms.
struct Row {
    component: String,
    name: String,
    past: ImportedRun,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq)]
enum Column {
    /// pandas' own numbers of the rows.
    Index,
    Component,
    DisplayName,
    Tag(String),
    Statistic {
        metric: String,
        which: usize,
    },
    Parameter(String),
}

impl Column {
    fn of(position: usize, name: &str) -> Self {
        let tag = |name: &str| Self::Tag(format!("sagemaker.{name}"));
        match name {
            "" | "Unnamed: 0" if position == 0 => return Self::Index,
            "TrialComponentName" => return Self::Component,
            "DisplayName" => return Self::DisplayName,
            "SourceArn" => return tag("source_arn"),
            "Trials" => return tag("trials"),
            "Experiments" => return tag("experiments"),
            _ => {}
        }
        let Some((stem, suffix)) = name.rsplit_once(" - ") else { return Self::Parameter(name.to_owned()) };
        if let Some(which) = STATISTICS.iter().position(|statistic| *statistic == suffix) {
            return Self::Statistic { metric: stem.to_owned(), which };
        }
        match suffix {
            "MediaType" | "Value" => tag(&format!("artifact.{name}")),
            _ => Self::Parameter(name.to_owned()),
        }
    }
}

fn read(path: &Path) -> Result<Vec<Row>> {
    let bytes = read_named(path, LONGEST)?;
    let mut records = records(path, &bytes)?.into_iter();
    let (_, header) = records.next().unwrap_or_default();
    let columns: Vec<Column> = header.iter().enumerate().map(|(at, name)| Column::of(at, name)).collect();
    if !columns.contains(&Column::Component) {
        let expected = "the column 'TrialComponentName' of SageMaker's ExperimentAnalytics(…).dataframe().to_csv(…) in line 1";
        return Err(Error::bad_file(path, expected, crate::error::listing(&header)));
    }
    let now_ms = chrono::Utc::now().timestamp_millis();
    let mut rows = Vec::new();
    for (line, fields) in records {
        if fields.len() != columns.len() {
            let expected = format!("{} fields in line {line}, as the first line has", columns.len());
            return Err(Error::bad_file(path, expected, fields.len().to_string()));
        }
        rows.push(row(path, line, &header, &columns, &fields, now_ms)?);
    }
    Ok(rows)
}

fn row(
    path: &Path,
    line: u64,
    header: &[String],
    columns: &[Column],
    fields: &[String],
    now_ms: i64,
) -> Result<Row> {
    let mut past = ImportedRun {
        status: Status::Completed,
        created_ms: now_ms,
        ended_ms: Some(now_ms),
        ..Default::default()
    };
    let (mut component, mut name) = ("", "");
    let mut statistics: BTreeMap<&str, [Option<f64>; 6]> = BTreeMap::new();
    for ((column, field), title) in columns.iter().zip(fields).zip(header) {
        // What a row has no value of, pandas leaves empty.
        if field.is_empty() {
            continue;
        }
        match column {
            Column::Index => {}
            Column::Component => component = field,
            Column::DisplayName => name = field,
            Column::Tag(tag) => {
                past.tags.insert(tag.clone(), field.clone());
            }
            Column::Parameter(parameter_name) => {
                past.parameters.insert(parameter_name.clone(), typed(field));
            }
            Column::Statistic { metric, which } => {
                let Ok(value) = field.parse::<f64>() else {
                    let expected = format!("a number for '{title}' in line {line}");
                    return Err(Error::bad_file(path, expected, format!("{field:?}")));
                };
                statistics.entry(metric).or_default()[*which] = Some(value);
            }
        }
    }
    if component.is_empty() {
        let expected = format!("a name in the column 'TrialComponentName' in line {line}");
        return Err(Error::bad_file(path, expected, "nothing"));
    }
    for (metric, values) in statistics {
        match stats(values) {
            Some(stats) => {
                past.statistics.insert(metric.to_owned(), stats);
            }
            None => {
                for (value, which) in values.into_iter().zip(STATISTICS) {
                    let Some(value) = value else { continue };
                    past.parameters.insert(format!("{metric} - {which}"), Parameter::Number(value));
                }
            }
        }
    }
    past.tags.insert(SOURCE_TAG.to_owned(), component.to_owned());
    let name = if name.is_empty() { component } else { name };
    Ok(Row { component: component.to_owned(), name: name.to_owned(), past })
}

/// A metric's statistics, if all are there and can be those of one series. SageMaker leaves no deviation of a single value.
fn stats([min, max, avg, deviation, last, count]: [Option<f64>; 6]) -> Option<MetricStats> {
    let (min, max, mean, last, count) = (min?, max?, avg?, last?, count?);
    let is_series = [min, max, mean, last].iter().all(|value| value.is_finite())
        && count >= 1.0
        && count.fract() == 0.0
        && count <= 2_f64.powi(53)
        && min <= max
        && (min..=max).contains(&last);
    let deviation = deviation.filter(|deviation| deviation.is_finite() && *deviation >= 0.0);
    let deviation = if count > 1.0 { deviation? } else { 0.0 };
    let mut stats = MetricStats::default();
    (stats.count, stats.min, stats.max) = (count as u64, min, max);
    (stats.mean, stats.m2, stats.last) = (mean, deviation * deviation * (count - 1.0), last);
    is_series.then_some(stats)
}

/// The records of a CSV, each with the line that it begins in.
fn records(path: &Path, bytes: &[u8]) -> Result<Vec<(u64, Vec<String>)>> {
    let mut reader = Reader::new();
    let mut records = Vec::new();
    let mut input = bytes;
    let (mut output, mut ends) = (vec![0; 4096], vec![0; 64]);
    let mut line = 1;
    loop {
        // Ends of lines before a record; the reader itself passes over them only as it goes on.
        let n_before = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        line += n_lines(&input[..n_before]);
        input = &input[n_before..];
        let begun = line;
        let (mut n_output, mut n_ends) = (0, 0);
        loop {
            let (result, n_read, n_written, n_ended) =
                reader.read_record(input, &mut output[n_output..], &mut ends[n_ends..]);
            line += n_lines(&input[..n_read]);
            input = &input[n_read..];
            n_output += n_written;
            n_ends += n_ended;
            match result {
                // The input is all there: nothing more is read, which ends the last record.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => output.resize(2 * output.len(), 0),
                ReadRecordResult::OutputEndsFull => ends.resize(2 * ends.len(), 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(records),
            }
        }
        let mut start = 0;
        let mut fields = Vec::with_capacity(n_ends);
        for &end in &ends[..n_ends] {
            let field = std::str::from_utf8(&output[start..end]).map_err(|_| {
                Error::bad_file(path, format!("text in UTF-8 in line {begun}"), "bytes that are not")
            })?;
            fields.push(field.to_owned());
            start = end;
        }
        records.push((begun, fields));
    }
}

fn n_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_know_their_lines_and_a_field_may_have_several() {
        let text = "\u{feff}a,b\r\n1,\"x\ny\"\"z\"\n\n2,\n";
        let found = records(Path::new("x.csv"), text.as_bytes()).unwrap();
        let texts: Vec<(u64, Vec<&str>)> =
            found.iter().map(|(line, fields)| (*line, fields.iter().map(String::as_str).collect())).collect();
        assert_eq!(texts[0], (1, vec!["a", "b"]));
        assert_eq!(texts[1], (2, vec!["1", "x\ny\"z"]));
        assert_eq!(texts[2], (5, vec!["2", ""]));
        let long = format!("{}\n{}", vec!["f"; 1000].join(","), "y".repeat(100_000));
        let found = records(Path::new("x.csv"), long.as_bytes()).unwrap();
        assert_eq!((found[0].1.len(), found[1].1[0].len()), (1000, 100_000));
    }

    #[test]
    fn statistics_are_taken_only_where_they_can_be_those_of_a_series() {
        let all = [Some(0.1), Some(0.9), Some(0.5), Some(0.2), Some(0.9), Some(5.0)];
        let taken = stats(all).unwrap();
        assert_eq!((taken.count, taken.min, taken.max, taken.mean, taken.last), (5, 0.1, 0.9, 0.5, 0.9));
        assert!((taken.stddev().unwrap() - 0.2).abs() < 1e-15);
        let single = [Some(0.5), Some(0.5), Some(0.5), None, Some(0.5), Some(1.0)];
        assert_eq!(stats(single).unwrap().stddev(), None);
        for (which, value) in [
            (0, None),
            (5, None),
            (5, Some(0.0)),
            (5, Some(2.5)),
            (4, Some(1.5)),
            (1, Some(f64::NAN)),
            (3, None),
        ] {
            let mut broken = all;
            broken[which] = value;
            assert_eq!(stats(broken), None, "{which} {value:?}");
        }
    }
}
