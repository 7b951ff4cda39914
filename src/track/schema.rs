//! The tables of the store, and how a file comes to have them.

use rusqlite::Connection;

/// The version this program writes, kept in SQLite's `user_version`.
pub(super) const VERSION: i64 = 2;

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
    mean      REAL,                     -- NULL where it is beyond what a number can hold
    m2        REAL,
    last      REAL,
    last_step INTEGER NOT NULL,
    nonfinite INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
";

/// What version 2 added.
const SELECTIONS: &str = "
CREATE TABLE selections (
    run     INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    epoch   INTEGER NOT NULL,           -- the first epoch that trained on it, counted from 1
    count   INTEGER NOT NULL,
    samples BLOB NOT NULL,              -- ascending positions; see track/selections.rs for these three
    gains   BLOB,
    weights BLOB,
    PRIMARY KEY (run, epoch)
);
";

/// SQLite's `application_id`, by which a store is told from another program's database: "GLSN".
const APPLICATION: i64 = 0x474C_534E;

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// New, with no table in it.
    Empty,
    /// A store of that version.
    Store(i64),
    /// Another program's database.
    Foreign,
}

/// Looks at a file without changing it.
pub(super) fn kind(connection: &Connection) -> rusqlite::Result<Kind> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    if number("SELECT count(*) FROM sqlite_master")? == 0 {
        return Ok(Kind::Empty);
    }
    if number("PRAGMA application_id")? != APPLICATION {
        return Ok(Kind::Foreign);
    }
    Ok(Kind::Store(number("PRAGMA user_version")?))
}

/// Makes the tables that are not there: all of them in a new file, those that have been added since in an older store.
/// Several processes may do this at once.
pub(super) fn ensure(connection: &mut Connection) -> rusqlite::Result<()> {
    if kind(connection)? == Kind::Store(VERSION) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = kind(&transaction)?;
    if found == Kind::Empty {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
    }
    if matches!(found, Kind::Empty | Kind::Store(1)) {
        transaction.execute_batch(SELECTIONS)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}
