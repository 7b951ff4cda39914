//! What the store holds, read back: experiments, runs, metrics and the lines of a run's log.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use rusqlite::{Connection, params};

use super::metrics::stats_from;
use super::{ArtifactRecord, MetricStats, Parameter, Status, Store, environment};
use crate::error::Result;

/// One experiment as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentRecord {
    /// Its name.
    pub name: String,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub created_ms: i64,
    /// How many runs it has.
    pub n_runs: u64,
    /// How many of them are at work.
    pub n_running: u64,
}

/// One run as it stands in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Key within the store; that of a run that was deleted is not given again.
    pub id: i64,
    /// The experiment it belongs to.
    pub experiment: String,
    /// The run's name, unique within its experiment.
    pub name: String,
    /// Where it stands.
    pub status: Status,
    /// Why it failed, where it did.
    pub error: Option<String>,
    /// What its user wrote about it.
    pub note: Option<String>,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub created_ms: i64,
    /// When it ended, likewise.
    pub ended_ms: Option<i64>,
    /// When its process last gave a sign of life, likewise.
    pub heartbeat_ms: Option<i64>,
    /// Its parameters by name.
    pub parameters: BTreeMap<String, Parameter>,
    /// Statistics of its metrics by name.
    pub metrics: BTreeMap<String, MetricStats>,
    /// What its user marked it with, by name.
    pub tags: BTreeMap<String, String>,
    /// What it recorded of its surroundings by itself: the git commit, the command line, versions and the machine.
    pub environment: BTreeMap<String, Parameter>,
    /// The files kept with it.
    pub artifacts: Vec<ArtifactRecord>,
}

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPoint {
    /// The experiment of its run.
    pub experiment: String,
    /// The run's name.
    pub run: String,
    /// The metric's name.
    pub metric: String,
    /// Epoch or step.
    pub step: i64,
    /// The value; NaN and infinities are kept.
    pub value: f64,
    /// When it was logged, in milliseconds since 1970 (UTC); stores of before version 3 did not keep that.
    pub time_ms: Option<i64>,
}

/// One line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its number, from 1.
    pub line: i64,
    /// When it was written, in milliseconds since 1970 (UTC).
    pub time_ms: i64,
    /// The line, without an end of line.
    pub text: String,
}

impl Store {
    /// All experiments, oldest first.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if the file cannot be read.
    pub fn experiments(&self) -> Result<Vec<ExperimentRecord>> {
        self.read("listing experiments", |connection| {
            let sql =
                "SELECT experiments.name, experiments.created, count(runs.id), total(status = 'running')
                       FROM experiments LEFT JOIN runs ON runs.experiment = experiments.id
                       GROUP BY experiments.id ORDER BY experiments.id";
            let record = |row: &rusqlite::Row<'_>| {
                Ok(ExperimentRecord {
                    name: row.get(0)?,
                    created_ms: row.get(1)?,
                    n_runs: row.get::<_, i64>(2)?.unsigned_abs(),
                    n_running: row.get::<_, f64>(3)? as u64,
                })
            };
            connection.prepare(sql)?.query_map([], record)?.collect()
        })
    }

    /// The names of all experiments, oldest first.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if the file cannot be read.
    pub fn experiment_names(&self) -> Result<Vec<String>> {
        self.read("listing experiments", |connection| {
            connection
                .prepare("SELECT name FROM experiments ORDER BY id")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
    }

    /// The runs of one experiment (or of all), in the order they were made.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if the file cannot be read.
    pub fn run_records(&self, experiment: Option<&str>) -> Result<Vec<RunRecord>> {
        let folder = self.folder();
        // One transaction, so that what another process writes meanwhile is seen wholly or not at all.
        self.read_at_once("reading runs", |connection| {
            let (mut records, keys) = bare_records(connection, experiment)?;
            let position: HashMap<i64, usize> =
                records.iter().enumerate().map(|(at, record)| (record.id, at)).collect();
            let mut each = |table: &str,
                            columns: &str,
                            take: &mut dyn FnMut(
                &mut RunRecord,
                &rusqlite::Row<'_>,
            ) -> rusqlite::Result<()>| {
                // Without an experiment the parameter is bound and not used: a scan of the table, in its order.
                let condition = match experiment {
                    Some(_) => {
                        "run IN (SELECT runs.id FROM runs JOIN experiments ON experiments.id = experiment
                                 WHERE experiments.name = ?1)"
                    }
                    None => "?1 IS NULL",
                };
                let sql = format!("SELECT run, {columns} FROM {table} WHERE {condition}");
                let mut statement = connection.prepare(&sql)?;
                let mut rows = statement.query([experiment])?;
                while let Some(row) = rows.next()? {
                    if let Some(&at) = position.get(&row.get(0)?) {
                        take(&mut records[at], row)?;
                    }
                }
                Ok::<_, rusqlite::Error>(())
            };
            each("parameters", "name, value", &mut |record, row| {
                record.parameters.insert(row.get(1)?, Parameter::from_json(row.get_ref(2)?.as_str()?));
                Ok(())
            })?;
            each("tags", "name, value", &mut |record, row| {
                record.tags.insert(row.get(1)?, row.get(2)?);
                Ok(())
            })?;
            let statistics = "name, count, min, max, mean, mean_low, m2, m2_low, last, nonfinite";
            each("series", statistics, &mut |record, row| {
                record.metrics.insert(row.get(1)?, stats_from(row, 2)?);
                Ok(())
            })?;
            each("artifacts", "name, file, bytes, sha256, created", &mut |record, row| {
                record.artifacts.push(ArtifactRecord::from_row(row, 1, &run_folder(&folder, record.id))?);
                Ok(())
            })?;
            let environments = environments(connection)?;
            for (record, key) in records.iter_mut().zip(keys) {
                if let Some(environment) = key.and_then(|key| environments.get(&key)) {
                    record.environment.clone_from(environment);
                }
            }
            Ok(records)
        })
    }

    /// Every value of one metric (or of all), for one experiment (or for all), by run, metric and step.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if the file cannot be read.
    pub fn metric_points(&self, experiment: Option<&str>, metric: Option<&str>) -> Result<Vec<MetricPoint>> {
        self.points(
            "(?1 IS NULL OR experiments.name = ?1) AND (?2 IS NULL OR series.name = ?2)",
            params![experiment, metric],
        )
    }

    /// Every value of one metric of the run with the key `run`, by step.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if the file cannot be read.
    pub fn series(&self, run: i64, metric: &str) -> Result<Vec<MetricPoint>> {
        self.points("runs.id = ?1 AND series.name = ?2", params![run, metric])
    }

    fn points(&self, condition: &str, parameters: impl rusqlite::Params) -> Result<Vec<MetricPoint>> {
        self.read("reading metrics", |connection| {
            let sql = format!(
                "SELECT experiments.name, runs.name, series.name, step, value, time FROM runs
                 JOIN experiments ON experiments.id = runs.experiment JOIN series ON series.run = runs.id
                 JOIN points ON points.series = series.id
                 WHERE {condition} ORDER BY runs.id, series.name, step"
            );
            let point = |row: &rusqlite::Row<'_>| {
                Ok(MetricPoint {
                    experiment: row.get(0)?,
                    run: row.get(1)?,
                    metric: row.get(2)?,
                    step: row.get(3)?,
                    value: row.get::<_, Option<f64>>(4)?.unwrap_or(f64::NAN),
                    time_ms: row.get(5)?,
                })
            };
            connection.prepare(&sql)?.query_map(parameters, point)?.collect()
        })
    }

    /// The lines of the log of the run with the key `run` behind line `after` (0 for all of them).
    ///
    /// # Errors
    /// [`crate::Error::Store`] if the file cannot be read.
    pub fn log_lines(&self, run: i64, after: i64) -> Result<Vec<LogLine>> {
        self.read("reading a log", |connection| {
            let line = |row: &rusqlite::Row<'_>| {
                Ok(LogLine { line: row.get(0)?, time_ms: row.get(1)?, text: row.get(2)? })
            };
            connection
                .prepare_cached(
                    "SELECT line, time, text FROM log_lines WHERE run = ? AND line > ? ORDER BY line",
                )?
                .query_map(params![run, after], line)?
                .collect()
        })
    }

    /// A number that changes whenever another process (or another [`Store::open`] of this one) has written: cheap to ask
    /// for, many times a second.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if the file cannot be read.
    pub fn data_version(&self) -> Result<i64> {
        self.read("looking for changes", |connection| {
            connection.query_row("PRAGMA data_version", [], |row| row.get(0))
        })
    }
}

/// Runs without what other tables hold of them, and the key of each one's environment.
fn bare_records(
    connection: &Connection,
    experiment: Option<&str>,
) -> rusqlite::Result<(Vec<RunRecord>, Vec<Option<i64>>)> {
    let sql =
        "SELECT runs.id, experiments.name, runs.name, status, error, note, runs.created, ended, heartbeat,
                      environment
               FROM runs JOIN experiments ON experiments.id = runs.experiment
               WHERE ?1 IS NULL OR experiments.name = ?1 ORDER BY runs.id";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([experiment], |row| {
        let record = RunRecord {
            id: row.get(0)?,
            experiment: row.get(1)?,
            name: row.get(2)?,
            status: Status::parse(row.get_ref(3)?.as_str()?),
            error: row.get(4)?,
            note: row.get(5)?,
            created_ms: row.get(6)?,
            ended_ms: row.get(7)?,
            heartbeat_ms: row.get(8)?,
            parameters: BTreeMap::new(),
            metrics: BTreeMap::new(),
            tags: BTreeMap::new(),
            environment: BTreeMap::new(),
            artifacts: Vec::new(),
        };
        Ok((record, row.get::<_, Option<i64>>(9)?))
    })?;
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().unzip())
}

/// The surroundings that any run has recorded, by key.
fn environments(connection: &Connection) -> rusqlite::Result<HashMap<i64, BTreeMap<String, Parameter>>> {
    connection
        .prepare("SELECT id, content FROM environments")?
        .query_map([], |row| Ok((row.get(0)?, environment::from_json(row.get_ref(1)?.as_str()?))))?
        .collect()
}

/// Where the files of a run lie, within the store's folder.
pub(super) fn run_folder(folder: &std::path::Path, run: i64) -> PathBuf {
    folder.join(format!("run-{run}"))
}
