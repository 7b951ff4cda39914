//! Going on with a run that ended before its time: found by its configuration, taken up by one process, cut back to where
//! its checkpoint stands.

use rusqlite::{OptionalExtension, params};

use super::store::{keep_stats, stats_of_series};
use super::{Store, process};
use crate::error::Result;

impl Store {
    /// Failed and stopped runs of the same configuration, the latest first: keys and names.
    pub(super) fn unfinished_runs(&self, experiment: i64, config: &str) -> Result<Vec<(i64, String)>> {
        self.read("looking up a run", |connection| {
            let sql = "SELECT id, name FROM runs WHERE experiment = ? AND config = ? AND status IN ('failed', 'stopped')
                       ORDER BY id DESC";
            connection
                .prepare(sql)?
                .query_map(params![experiment, config], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
    }

    /// Makes a failed or stopped run this process's own again, and drops the metrics and selections beyond `last_step`.
    /// False, and nothing changes, if it is neither any more.
    pub(super) fn reopen_run(&self, run: i64, last_step: i64) -> Result<bool> {
        let (pid, process_start) = process::this();
        self.write("going on with a run", |transaction| {
            let sql =
                "UPDATE runs SET status = 'running', error = NULL, ended = NULL, pid = ?, process_start = ?
                       WHERE id = ? AND status IN ('failed', 'stopped')";
            if transaction.execute(sql, params![pid, process_start, run])? == 0 {
                return Ok(false);
            }
            transaction.execute("DELETE FROM metrics WHERE run = ? AND step > ?", params![run, last_step])?;
            transaction
                .execute("DELETE FROM selections WHERE run = ? AND epoch > ?", params![run, last_step])?;
            transaction.execute("DELETE FROM metric_stats WHERE run = ?", [run])?;
            let series: Vec<(String, i64)> = transaction
                .prepare("SELECT name, max(step) FROM metrics WHERE run = ? GROUP BY name")?
                .query_map([run], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            for (name, last_step) in series {
                let stats = stats_of_series(transaction, run, &name)?;
                keep_stats(transaction, run, &name, &stats, last_step)?;
            }
            Ok(true)
        })
    }

    pub(super) fn run_id(&self, experiment: i64, name: &str) -> Result<Option<i64>> {
        self.read("looking up a run", |connection| {
            let sql = "SELECT id FROM runs WHERE experiment = ? AND name = ?";
            connection.query_row(sql, params![experiment, name], |row| row.get(0)).optional()
        })
    }
}
