//! The tables of the store, and how a file comes to have them.

use rusqlite::Connection;

/// The version this program writes, kept in SQLite's `user_version`.
pub(super) const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE experiments (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL            -- milliseconds since 1970, UTC
);
CREATE TABLE runs (
    id            INTEGER PRIMARY KEY,
    experiment    INTEGER NOT NULL REFERENCES experiments(id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('running', 'completed', 'failed', 'stopped')),
    error         TEXT,
    created       INTEGER NOT NULL,
    ended         INTEGER,
    config        TEXT,                 -- what makes two runs the same piece of work; see Experiment::resume
    pid           INTEGER,              -- with process_start: the process that writes this run
    process_start INTEGER,
    UNIQUE (experiment, name)
);
CREATE INDEX runs_by_config ON runs (experiment, config);
CREATE TABLE parameters (
    run   INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    value TEXT NOT NULL,                -- as JSON, which keeps the type
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
CREATE TABLE metrics (
    run   INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    step  INTEGER NOT NULL,
    value REAL,                         -- SQLite has no NaN: NULL is NaN, infinities are stored as they are
    PRIMARY KEY (run, name, step)
) WITHOUT ROWID;
CREATE TABLE metric_stats (
    run       INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name      TEXT NOT NULL,
    count     INTEGER NOT NULL,
    min       REAL,
    max       REAL,
    mean      REAL NOT NULL,
    m2        REAL NOT NULL,
    last      REAL,
    last_step INTEGER NOT NULL,
    nonfinite INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
";

/// Makes the tables where there are none. Several processes may do this at once.
pub(super) fn ensure(connection: &mut Connection) -> rusqlite::Result<i64> {
    let found = version(connection)?;
    if found != 0 {
        return Ok(found);
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if version(&transaction)? == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()?;
    version(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}
