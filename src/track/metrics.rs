//! Metrics: every value in the table of points, and the statistics of each series beside it.

use std::collections::HashMap;

use rusqlite::{CachedStatement, OptionalExtension, Transaction, params};

use super::store::now_ms;
use super::{MetricStats, Store};
use crate::error::Result;

/// A value to keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point<'a> {
    pub(super) metric: &'a str,
    pub(super) step: i64,
    pub(super) value: f64,
    /// Milliseconds since 1970; now, if there is none.
    pub(super) time_ms: Option<i64>,
}

impl Store {
    /// Keeps values in one transaction; a step logged again replaces the value. When this returns, they are in the file.
    pub(super) fn log_points(&self, run: i64, points: &[Point<'_>]) -> Result<()> {
        self.write("logging metrics", |transaction| log_points(transaction, run, points))
    }
}

/// One metric of one run as it is kept, less its points.
struct Series {
    key: i64,
    stats: MetricStats,
    /// The highest step, and the highest one with a finite value.
    last_step: i64,
    last_finite_step: Option<i64>,
    /// Whether a value was replaced, so that the statistics have to be made anew.
    replaced: bool,
}

impl Series {
    fn new(key: i64) -> Self {
        Self {
            key,
            stats: MetricStats::default(),
            last_step: i64::MIN,
            last_finite_step: None,
            replaced: false,
        }
    }

    fn push(&mut self, step: i64, value: f64) {
        self.last_step = self.last_step.max(step);
        self.stats.push_out_of_order(value);
        if value.is_finite() && self.last_finite_step.is_none_or(|last| step > last) {
            self.stats.last = value;
            self.last_finite_step = Some(step);
        }
    }

    fn keep(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let finite = |value: f64| value.is_finite().then_some(value);
        let stats = &self.stats;
        transaction
            .prepare_cached(
                "UPDATE series SET count = ?, min = ?, max = ?, mean = ?, mean_low = ?, m2 = ?, m2_low = ?, last = ?,
                     nonfinite = ?, last_step = ?, last_finite_step = ? WHERE id = ?",
            )?
            .execute(params![
                stats.count as i64,
                finite(stats.min),
                finite(stats.max),
                finite(stats.mean),
                stats.mean_low,
                finite(stats.m2),
                stats.m2_low,
                finite(stats.last),
                stats.nonfinite as i64,
                self.last_step,
                self.last_finite_step,
                self.key,
            ])?;
        Ok(())
    }
}

fn log_points(transaction: &Transaction<'_>, run: i64, points: &[Point<'_>]) -> rusqlite::Result<()> {
    let now = now_ms();
    let mut known: HashMap<&str, Series> = HashMap::new();
    let mut append = transaction
        .prepare_cached("INSERT OR IGNORE INTO points (series, step, value, time) VALUES (?, ?, ?, ?)")?;
    let mut latest: Option<(&str, Series)> = None;
    for point in points {
        // A batch is mostly one series after the other, or a few in turn.
        if latest.as_ref().is_none_or(|(name, _)| *name != point.metric) {
            let next = match known.remove(point.metric) {
                Some(series) => series,
                None => series(transaction, run, point.metric)?,
            };
            if let Some((name, series)) = latest.replace((point.metric, next)) {
                known.insert(name, series);
            }
        }
        let Some((_, series)) = latest.as_mut() else { continue };
        log_point(transaction, &mut append, series, point, now)?;
    }
    known.extend(latest);
    for series in known.values() {
        if series.replaced {
            recompute(transaction, series.key)?;
        } else {
            series.keep(transaction)?;
        }
    }
    Ok(())
}

fn log_point(
    transaction: &Transaction<'_>,
    append: &mut CachedStatement<'_>,
    series: &mut Series,
    point: &Point<'_>,
    now: i64,
) -> rusqlite::Result<()> {
    let value = (!point.value.is_nan()).then_some(point.value);
    let time = point.time_ms.unwrap_or(now);
    if append.execute(params![series.key, point.step, value, time])? == 0 {
        transaction
            .prepare_cached("UPDATE points SET value = ?, time = ? WHERE series = ? AND step = ?")?
            .execute(params![value, time, series.key, point.step])?;
        series.replaced = true;
    }
    series.push(point.step, point.value);
    Ok(())
}

/// The series of that name, made where it is not there.
fn series(transaction: &Transaction<'_>, run: i64, name: &str) -> rusqlite::Result<Series> {
    let found = transaction
        .prepare_cached(
            "SELECT count, min, max, mean, mean_low, m2, m2_low, last, nonfinite, id, last_step, last_finite_step
             FROM series WHERE run = ? AND name = ?",
        )?
        .query_row(params![run, name], |row| {
            Ok(Series {
                stats: stats_from(row, 0)?,
                key: row.get(9)?,
                last_step: row.get(10)?,
                last_finite_step: row.get(11)?,
                replaced: false,
            })
        })
        .optional()?;
    if let Some(series) = found {
        return Ok(series);
    }
    transaction
        .prepare_cached("INSERT INTO series (run, name, count, nonfinite, last_step) VALUES (?, ?, 0, 0, 0)")?
        .execute(params![run, name])?;
    Ok(Series::new(transaction.last_insert_rowid()))
}

/// Keeps the statistics of a metric whose values are not known.
pub(super) fn keep_statistics(
    transaction: &Transaction<'_>,
    run: i64,
    name: &str,
    stats: &MetricStats,
) -> rusqlite::Result<()> {
    let series = series(transaction, run, name)?;
    Series { stats: *stats, last_step: 0, ..series }.keep(transaction)
}

/// Makes the statistics of a series anew from its points.
pub(super) fn recompute(transaction: &Transaction<'_>, key: i64) -> rusqlite::Result<()> {
    let mut series = Series::new(key);
    let mut statement =
        transaction.prepare_cached("SELECT step, value FROM points WHERE series = ? ORDER BY step")?;
    let mut rows = statement.query([key])?;
    while let Some(row) = rows.next()? {
        series.push(row.get(0)?, row.get::<_, Option<f64>>(1)?.unwrap_or(f64::NAN));
    }
    series.keep(transaction)
}

/// Reads `count, min, max, mean, mean_low, m2, m2_low, last, nonfinite` from column `at` on.
pub(super) fn stats_from(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<MetricStats> {
    let number = |offset: usize| row.get::<_, Option<f64>>(at + offset);
    let or_nan = |offset: usize| Ok::<_, rusqlite::Error>(number(offset)?.unwrap_or(f64::NAN));
    let count = row.get::<_, i64>(at)?.unsigned_abs();
    Ok(MetricStats {
        count,
        min: or_nan(1)?,
        max: or_nan(2)?,
        mean: number(3)?.unwrap_or(if count == 0 { 0.0 } else { f64::NAN }),
        mean_low: number(4)?.unwrap_or(0.0),
        m2: number(5)?.unwrap_or(if count == 0 { 0.0 } else { f64::INFINITY }),
        m2_low: number(6)?.unwrap_or(0.0),
        last: or_nan(7)?,
        nonfinite: row.get::<_, i64>(at + 8)?.unsigned_abs(),
    })
}
