//! The store: one SQLite file in WAL mode, opened here and nowhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::run::Status;
use super::{MetricStats, Parameter, process, schema};
use crate::error::{Error, Result};

/// How long a writer waits for another one before it gives up. A single write takes well under a millisecond.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// A store of experiments. Clones share one connection; several processes may use one file at once.
#[derive(Clone)]
pub struct Store {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

/// One run as it stands in the store.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// Key within the store.
    pub id: i64,
    /// The experiment it belongs to.
    pub experiment: String,
    /// The run's name, unique within its experiment.
    pub name: String,
    /// Where it stands.
    pub status: Status,
    /// Why it failed, where it did.
    pub error: Option<String>,
    /// When it was started, in milliseconds since 1970 (UTC).
    pub created_ms: i64,
    /// When it ended, likewise.
    pub ended_ms: Option<i64>,
    /// Its parameters by name.
    pub parameters: BTreeMap<String, Parameter>,
    /// Statistics of its metrics by name.
    pub metrics: BTreeMap<String, MetricStats>,
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
}

impl Store {
    /// `GLISTEN_STORE`, or `glisten.db` in the current folder.
    pub fn default_path() -> PathBuf {
        std::env::var_os("GLISTEN_STORE")
            .filter(|path| !path.is_empty())
            .map_or_else(|| "glisten.db".into(), Into::into)
    }

    /// Opens the store at [`Store::default_path`], making it if it is not there.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_default() -> Result<Self> {
        Self::open(Self::default_path())
    }

    /// Opens the store in the file `path`, making the file if it is not there. A store of an older version gets the tables
    /// that have been added since.
    ///
    /// # Errors
    /// [`Error::Store`] if the file is not a store or cannot be written; [`Error::BadFile`] if another
    /// program or a later release of Glisten wrote it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |doing| move |source| Error::Store { path: path.to_path_buf(), doing, source };
        let mut connection = Connection::open(path).map_err(failed("opening"))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed("opening"))?;
        match schema::kind(&connection).map_err(failed("opening"))? {
            schema::Kind::Empty | schema::Kind::Store(1..=schema::VERSION) => {}
            schema::Kind::Store(version) => {
                let found = format!("version {version}; another release of Glisten wrote it");
                let expected = format!("a store of version {} or older", schema::VERSION);
                return Err(Error::bad_file(path, expected, found));
            }
            schema::Kind::Foreign => {
                return Err(Error::bad_file(
                    path,
                    "a Glisten store or a new file",
                    "another program's SQLite database",
                ));
            }
        }
        // WAL with synchronous=NORMAL: a commit survives the death of the process, a power cut may cost the last moments.
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;",
            )
            .map_err(failed("opening"))?;
        schema::ensure(&mut connection).map_err(failed("making the tables"))?;
        Ok(Self { path: path.to_path_buf(), connection: Arc::new(Mutex::new(connection)) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder beside the file for what is too large for it: `glisten.db.d` for `glisten.db`. It is made by whoever puts
    /// something there.
    pub fn folder(&self) -> PathBuf {
        let mut folder = self.path.clone().into_os_string();
        folder.push(".d");
        folder.into()
    }

    /// The names of all experiments, oldest first.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be read.
    pub fn experiment_names(&self) -> Result<Vec<String>> {
        self.read("listing experiments", |connection| {
            connection
                .prepare("SELECT name FROM experiments ORDER BY id")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
    }

    pub(super) fn experiment_id(&self, name: &str) -> Result<Option<i64>> {
        self.read("looking up an experiment", |connection| {
            connection
                .query_row("SELECT id FROM experiments WHERE name = ?", [name], |row| row.get(0))
                .optional()
        })
    }

    /// The new experiment's key, or `None` if the name is taken.
    pub(super) fn insert_experiment(&self, name: &str) -> Result<Option<i64>> {
        self.write("making an experiment", |transaction| {
            let sql = "INSERT INTO experiments (name, created) VALUES (?, ?) ON CONFLICT (name) DO NOTHING RETURNING id";
            transaction.query_row(sql, params![name, now_ms()], |row| row.get(0)).optional()
        })
    }

    /// Starts a run under `base`, or under `base-2`, `base-3`, … where that name is taken.
    pub(super) fn insert_run(
        &self,
        experiment: i64,
        base: &str,
        config: Option<&str>,
        parameters: &BTreeMap<String, Parameter>,
    ) -> Result<(i64, String)> {
        let (pid, process_start) = process::this();
        self.write("starting a run", |transaction| {
            let mut name = base.to_owned();
            let mut counter = 1;
            while transaction.prepare_cached("SELECT 1 FROM runs WHERE experiment = ? AND name = ?")?.exists(params![experiment, name])? {
                counter += 1;
                name = format!("{base}-{counter}");
            }
            transaction.execute(
                "INSERT INTO runs (experiment, name, status, created, config, pid, process_start) VALUES (?, ?, 'running', ?, ?, ?, ?)",
                params![experiment, name, now_ms(), config, pid, process_start],
            )?;
            let id = transaction.last_insert_rowid();
            for (key, value) in parameters {
                upsert_parameter(transaction, id, key, value)?;
            }
            Ok((id, name))
        })
    }

    pub(super) fn set_parameter(&self, run: i64, name: &str, value: &Parameter) -> Result<()> {
        self.write("logging a parameter", |transaction| upsert_parameter(transaction, run, name, value))
    }

    pub(super) fn end_run(&self, run: i64, status: Status, error: Option<&str>) -> Result<()> {
        self.write("ending a run", |transaction| {
            transaction.execute(
                "UPDATE runs SET status = ?, error = ?, ended = ? WHERE id = ?",
                params![status.as_str(), error, now_ms(), run],
            )
        })?;
        Ok(())
    }

    /// Marks a run as failed, unless its process has ended it in the meantime.
    fn fail_if_running(&self, run: i64, error: &str) -> Result<()> {
        self.write("marking a dead run", |transaction| {
            let sql =
                "UPDATE runs SET status = 'failed', error = ?, ended = ? WHERE id = ? AND status = 'running'";
            transaction.execute(sql, params![error, now_ms(), run])
        })?;
        Ok(())
    }

    /// A completed run of the same configuration: its key and name.
    pub(super) fn completed_run(&self, experiment: i64, config: &str) -> Result<Option<(i64, String)>> {
        self.read("looking up a run", |connection| {
            let sql = "SELECT id, name FROM runs WHERE experiment = ? AND config = ? AND status = 'completed' LIMIT 1";
            connection.query_row(sql, params![experiment, config], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
    }

    /// Marks runs as failed whose process is no more.
    pub(super) fn mark_dead_runs(&self, experiment: i64) -> Result<()> {
        let running: Vec<(i64, u32, Option<i64>)> = self.read("looking for dead runs", |connection| {
            let sql = "SELECT id, pid, process_start FROM runs WHERE experiment = ? AND status = 'running'";
            connection
                .prepare(sql)?
                .query_map([experiment], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })?;
        for (id, pid, start) in running {
            if !process::alive(pid, start) {
                self.fail_if_running(id, "its process ended before the run did")?;
            }
        }
        Ok(())
    }

    /// Keeps `values` of one step; a step logged again replaces the value. When this returns, the values are in the file.
    pub(super) fn log_metrics(&self, run: i64, step: i64, values: &[(&str, f64)]) -> Result<()> {
        self.write("logging metrics", |transaction| {
            for &(name, value) in values {
                log_metric(transaction, run, name, step, value)?;
            }
            Ok(())
        })
    }

    /// The runs of one experiment (or of all), in the order they were started.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be read.
    pub fn run_records(&self, experiment: Option<&str>) -> Result<Vec<RunRecord>> {
        self.read("reading runs", |connection| {
            let filter = "(?1 IS NULL OR experiments.name = ?1)";
            let sql = format!(
                "SELECT runs.id, experiments.name, runs.name, status, error, runs.created, ended
                 FROM runs JOIN experiments ON experiments.id = runs.experiment WHERE {filter} ORDER BY runs.id"
            );
            let mut records: Vec<RunRecord> = connection
                .prepare(&sql)?
                .query_map([experiment], |row| {
                    Ok(RunRecord {
                        id: row.get(0)?,
                        experiment: row.get(1)?,
                        name: row.get(2)?,
                        status: Status::parse(&row.get::<_, String>(3)?),
                        error: row.get(4)?,
                        created_ms: row.get(5)?,
                        ended_ms: row.get(6)?,
                        parameters: BTreeMap::new(),
                        metrics: BTreeMap::new(),
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            let position: BTreeMap<i64, usize> = records.iter().enumerate().map(|(at, run)| (run.id, at)).collect();
            let of_runs = format!("JOIN runs ON runs.id = run JOIN experiments ON experiments.id = runs.experiment WHERE {filter}");

            let mut statement = connection.prepare(&format!("SELECT run, parameters.name, value FROM parameters {of_runs}"))?;
            let mut rows = statement.query([experiment])?;
            while let Some(row) = rows.next()? {
                let Some(&at) = position.get(&row.get(0)?) else { continue };
                let text: String = row.get(2)?;
                let value = serde_json::from_str(&text).unwrap_or(Parameter::Text(text));
                records[at].parameters.insert(row.get(1)?, value);
            }

            let columns = "run, metric_stats.name, count, min, max, mean, m2, last, nonfinite";
            let mut statement = connection.prepare(&format!("SELECT {columns} FROM metric_stats {of_runs}"))?;
            let mut rows = statement.query([experiment])?;
            while let Some(row) = rows.next()? {
                let Some(&at) = position.get(&row.get(0)?) else { continue };
                records[at].metrics.insert(row.get(1)?, stats_from(row, 2)?);
            }
            Ok(records)
        })
    }

    /// Every value of one metric (or of all), for one experiment (or for all), by run, metric and step.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be read.
    pub fn metric_points(&self, experiment: Option<&str>, metric: Option<&str>) -> Result<Vec<MetricPoint>> {
        self.read("reading metrics", |connection| {
            let sql = "SELECT experiments.name, runs.name, metrics.name, step, value FROM metrics
                       JOIN runs ON runs.id = run JOIN experiments ON experiments.id = runs.experiment
                       WHERE (?1 IS NULL OR experiments.name = ?1) AND (?2 IS NULL OR metrics.name = ?2)
                       ORDER BY runs.id, metrics.name, step";
            let point = |row: &rusqlite::Row<'_>| {
                let value = row.get::<_, Option<f64>>(4)?.unwrap_or(f64::NAN);
                Ok(MetricPoint {
                    experiment: row.get(0)?,
                    run: row.get(1)?,
                    metric: row.get(2)?,
                    step: row.get(3)?,
                    value,
                })
            };
            connection.prepare(sql)?.query_map(params![experiment, metric], point)?.collect()
        })
    }

    pub(super) fn read<T>(
        &self,
        doing: &'static str,
        f: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        f(&self.lock()).map_err(|source| Error::Store { path: self.path.clone(), doing, source })
    }

    pub(super) fn write<T>(
        &self,
        doing: &'static str,
        f: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let mut connection = self.lock();
        // Immediate: the lock is waited for at the start, where waiting is possible, not in the middle.
        let run = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = f(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|source| Error::Store { path: self.path.clone(), doing, source })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held rolled its transaction back: the connection is sound.
        self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn upsert_parameter(
    transaction: &Transaction<'_>,
    run: i64,
    name: &str,
    value: &Parameter,
) -> rusqlite::Result<()> {
    // JSON has no NaN or infinities: such a number is kept as its text.
    let json = match value {
        Parameter::Number(number) if !number.is_finite() => serde_json::json!(number.to_string()),
        value => serde_json::json!(value),
    };
    transaction
        .prepare_cached("INSERT OR REPLACE INTO parameters (run, name, value) VALUES (?, ?, ?)")?
        .execute(params![run, name, json.to_string()])?;
    Ok(())
}

fn log_metric(
    transaction: &Transaction<'_>,
    run: i64,
    name: &str,
    step: i64,
    value: f64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT OR REPLACE INTO metrics (run, name, step, value) VALUES (?, ?, ?, ?)")?
        .execute(params![run, name, step, (!value.is_nan()).then_some(value)])?;
    let known = transaction
        .prepare_cached("SELECT count, min, max, mean, m2, last, nonfinite, last_step FROM metric_stats WHERE run = ? AND name = ?")?
        .query_row(params![run, name], |row| Ok((stats_from(row, 0)?, row.get::<_, i64>(7)?)))
        .optional()?;
    let (stats, last_step) = match known {
        None => {
            let mut stats = MetricStats::default();
            stats.push(value);
            (stats, step)
        }
        Some((mut stats, last_step)) if step > last_step => {
            stats.push(value);
            (stats, step)
        }
        // A step out of order or logged again: rare, and worth one pass over this metric's series.
        Some((_, last_step)) => (stats_of_series(transaction, run, name)?, last_step),
    };
    keep_stats(transaction, run, name, &stats, last_step)
}

/// Statistics of a metric's series as it stands.
pub(super) fn stats_of_series(
    transaction: &Transaction<'_>,
    run: i64,
    name: &str,
) -> rusqlite::Result<MetricStats> {
    let mut stats = MetricStats::default();
    let mut statement =
        transaction.prepare_cached("SELECT value FROM metrics WHERE run = ? AND name = ? ORDER BY step")?;
    let mut rows = statement.query(params![run, name])?;
    while let Some(row) = rows.next()? {
        stats.push(row.get::<_, Option<f64>>(0)?.unwrap_or(f64::NAN));
    }
    Ok(stats)
}

pub(super) fn keep_stats(
    transaction: &Transaction<'_>,
    run: i64,
    name: &str,
    stats: &MetricStats,
    last_step: i64,
) -> rusqlite::Result<()> {
    let finite = |value: f64| value.is_finite().then_some(value);
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO metric_stats (run, name, count, min, max, mean, m2, last, last_step, nonfinite)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            run,
            name,
            stats.count as i64,
            finite(stats.min),
            finite(stats.max),
            finite(stats.mean),
            finite(stats.m2),
            finite(stats.last),
            last_step,
            stats.nonfinite as i64,
        ])?;
    Ok(())
}

/// Reads `count, min, max, mean, m2, last, nonfinite` from column `at` on.
fn stats_from(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<MetricStats> {
    let number =
        |offset: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<f64>>(at + offset)?.unwrap_or(f64::NAN));
    Ok(MetricStats {
        count: row.get::<_, i64>(at)?.unsigned_abs(),
        min: number(1)?,
        max: number(2)?,
        mean: number(3)?,
        m2: number(4)?,
        last: number(5)?,
        nonfinite: row.get::<_, i64>(at + 6)?.unsigned_abs(),
    })
}

pub(super) fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
