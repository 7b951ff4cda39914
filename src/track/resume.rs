//! Going on with a run that ended before its time: found by its configuration, taken up by one process, cut back to where
//! its checkpoint stands.

use rusqlite::{OptionalExtension, params};

use super::life::{Owner, take_up};
use super::run::DIVERGED;
use super::{Store, metrics};
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

    /// The latest failed run of the same configuration that diverged: its key and name, the epoch, and why it failed.
    pub(super) fn diverged_run(
        &self,
        experiment: i64,
        config: &str,
    ) -> Result<Option<(i64, String, String, String)>> {
        self.read("looking up a run", |connection| {
            // Runs of before the tag was set are known by their error: "… at epoch 3: a lower learning rate usually helps".
            let sql = "SELECT runs.id, runs.name, tags.value, coalesce(runs.error, '') FROM runs
                       LEFT JOIN tags ON tags.run = runs.id AND tags.name = ?
                       WHERE experiment = ? AND config = ? AND status = 'failed'
                       AND (tags.value IS NOT NULL OR error LIKE '% at epoch %: a lower learning rate usually helps')
                       ORDER BY runs.id DESC LIMIT 1";
            let row = |row: &rusqlite::Row<'_>| {
                let (epoch, error): (Option<String>, String) = (row.get(2)?, row.get(3)?);
                let in_error = || error.rsplit_once(" at epoch ")?.1.split(':').next().map(str::to_owned);
                let epoch = epoch.or_else(in_error).unwrap_or_default();
                Ok((row.get(0)?, row.get(1)?, epoch, error))
            };
            connection.query_row(sql, params![DIVERGED, experiment, config], row).optional()
        })
    }

    /// A completed run of the same configuration: its key and name.
    pub(super) fn completed_run(&self, experiment: i64, config: &str) -> Result<Option<(i64, String)>> {
        self.read("looking up a run", |connection| {
            let sql = "SELECT id, name FROM runs WHERE experiment = ? AND config = ? AND status = 'completed' LIMIT 1";
            connection.query_row(sql, params![experiment, config], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
    }

    /// Makes a failed or stopped run this process's own again, and drops the metrics and selections beyond `last_step`.
    /// False, and nothing changes, if it is neither any more.
    pub(super) fn reopen_run(&self, run: i64, last_step: i64) -> Result<bool> {
        let is_ours = self.write("going on with a run", |transaction| {
            let is_over = "SELECT 1 FROM runs WHERE id = ? AND status IN ('failed', 'stopped')";
            if !transaction.prepare(is_over)?.exists([run])? || take_up(transaction, run)? != Owner::This {
                return Ok(false);
            }
            transaction.execute("DELETE FROM tags WHERE run = ? AND name = ?", params![run, DIVERGED])?;
            transaction
                .execute("DELETE FROM selections WHERE run = ? AND epoch > ?", params![run, last_step])?;
            let series: Vec<i64> = transaction
                .prepare("SELECT id FROM series WHERE run = ? AND last_step > ?")?
                .query_map(params![run, last_step], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for key in series {
                transaction
                    .execute("DELETE FROM points WHERE series = ? AND step > ?", params![key, last_step])?;
                metrics::recompute(transaction, key)?;
            }
            transaction.execute("DELETE FROM series WHERE run = ? AND count = 0 AND nonfinite = 0", [run])?;
            Ok(true)
        })?;
        if is_ours {
            self.keep_beating();
        }
        Ok(is_ours)
    }

    pub(super) fn run_id(&self, experiment: i64, name: &str) -> Result<Option<i64>> {
        self.read("looking up a run", |connection| {
            let sql = "SELECT id FROM runs WHERE experiment = ? AND name = ?";
            connection.query_row(sql, params![experiment, name], |row| row.get(0)).optional()
        })
    }

    pub(super) fn run_names(&self, experiment: i64) -> Result<Vec<String>> {
        self.read("listing runs", |connection| {
            connection
                .prepare("SELECT name FROM runs WHERE experiment = ? ORDER BY id")?
                .query_map([experiment], |row| row.get(0))?
                .collect()
        })
    }
}
