//! The tables of the store, and how a file comes to have them.

use rusqlite::{Connection, Transaction};

use super::metrics;
use super::process::Writer;

/// The version this program writes, kept in SQLite's `user_version`.
pub(super) const VERSION: i64 = 3;

const TABLES: &str = "
CREATE TABLE experiments (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL            -- milliseconds since 1970, UTC
);
CREATE TABLE parameters (
    run   INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    value TEXT NOT NULL,                -- as JSON, which keeps the type
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
";

/// In version 3 a run may be made before it is started, and says where its process is and when it last gave a sign of life.
/// AUTOINCREMENT: the key of a run that was deleted is not given again, since files are named after it.
const RUNS: &str = "
CREATE TABLE environments (             -- what runs record of their surroundings by themselves; many have the same
    id      INTEGER PRIMARY KEY,
    content TEXT NOT NULL UNIQUE        -- names and values as a JSON object
);
CREATE TABLE runs (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment    INTEGER NOT NULL REFERENCES experiments(id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('created', 'running', 'completed', 'failed', 'stopped')),
    error         TEXT,
    note          TEXT,
    created       INTEGER NOT NULL,     -- these three in milliseconds since 1970, UTC
    ended         INTEGER,
    heartbeat     INTEGER,
    environment   INTEGER REFERENCES environments(id),
    config        TEXT,                 -- what makes two runs the same piece of work; see Experiment::resume
    host          TEXT,                 -- with pid and process_start: the process that writes this run
    pid           INTEGER,
    process_start INTEGER,
    UNIQUE (experiment, name)
);
";

const OF_RUNS: &str = "
CREATE INDEX runs_by_config ON runs (experiment, config);
CREATE INDEX runs_at_work ON runs (id) WHERE status = 'running';
CREATE TABLE tags (
    run   INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
CREATE TABLE series (                   -- one metric of one run, with its statistics
    id               INTEGER PRIMARY KEY,
    run              INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name             TEXT NOT NULL,
    count            INTEGER NOT NULL,
    min              REAL,
    max              REAL,
    mean             REAL,              -- with mean_low: twice a float's precision; NULL beyond what a number can hold
    mean_low         REAL,
    m2               REAL,
    m2_low           REAL,
    last             REAL,
    nonfinite        INTEGER NOT NULL,
    last_step        INTEGER NOT NULL,
    last_finite_step INTEGER,
    UNIQUE (run, name)
);
CREATE TABLE points (
    series INTEGER NOT NULL REFERENCES series(id) ON DELETE CASCADE,
    step   INTEGER NOT NULL,
    value  REAL,                        -- SQLite has no NaN: NULL is NaN, infinities are stored as they are
    time   INTEGER,                     -- when it was logged
    PRIMARY KEY (series, step)
) WITHOUT ROWID;
CREATE TABLE artifacts (
    run     INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    file    TEXT NOT NULL,              -- within the run's folder
    bytes   INTEGER NOT NULL,
    sha256  TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
CREATE TABLE log_lines (
    run  INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    time INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (run, line)
) WITHOUT ROWID;
";

/// What version 2 added to version 1.
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

/// What came of [`ensure`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ensured {
    /// The file has every table.
    Whole,
    /// It is of an older version, and that run of it is being written by an older release: nothing was changed.
    InUse(String),
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

/// Makes the tables that are not there: all of them in a new file; an older store is brought to this version, in one
/// transaction. Several processes may do this at once.
pub(super) fn ensure(connection: &mut Connection) -> rusqlite::Result<Ensured> {
    if kind(connection)? == Kind::Store(VERSION) {
        return Ok(Ensured::Whole);
    }
    // While a table is rebuilt its rows may not be taken for deleted. This cannot be set within a transaction.
    connection.pragma_update(None, "foreign_keys", false)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    match kind(&transaction)? {
        Kind::Empty => {
            transaction.execute_batch(TABLES)?;
            transaction.execute_batch(SELECTIONS)?;
            transaction.execute_batch(RUNS)?;
            transaction.execute_batch(OF_RUNS)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        Kind::Store(version @ 1..VERSION) => {
            if let Some(run) = run_at_work(&transaction)? {
                return Ok(Ensured::InUse(run));
            }
            if version == 1 {
                transaction.execute_batch(SELECTIONS)?;
            }
            to_version_3(&transaction)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        Kind::Store(_) | Kind::Foreign => {}
    }
    transaction.commit()?;
    Ok(Ensured::Whole)
}

/// A run of a store of version 1 or 2 whose process is alive.
fn run_at_work(transaction: &Transaction<'_>) -> rusqlite::Result<Option<String>> {
    let mut statement =
        transaction.prepare("SELECT name, pid, process_start FROM runs WHERE status = 'running'")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let writer = Writer { host: None, pid: row.get(1)?, start: row.get(2)? };
        if writer.is_alive_here() {
            return row.get(0).map(Some);
        }
    }
    Ok(None)
}

fn to_version_3(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(&RUNS.replace("TABLE runs", "TABLE runs_3"))?;
    transaction.execute_batch(
        "INSERT INTO runs_3 (id, experiment, name, status, error, created, ended, config, pid, process_start)
             SELECT id, experiment, name, status, error, created, ended, config, pid, process_start FROM runs;
         DROP TABLE runs;
         ALTER TABLE runs_3 RENAME TO runs;",
    )?;
    transaction.execute_batch(OF_RUNS)?;
    transaction.execute_batch(
        "INSERT INTO series (run, name, count, nonfinite, last_step)
             SELECT run, name, 0, 0, 0 FROM metrics GROUP BY run, name;
         INSERT INTO points (series, step, value)
             SELECT series.id, step, value FROM metrics
             JOIN series ON series.run = metrics.run AND series.name = metrics.name;",
    )?;
    // Anew, in the precision that this version keeps.
    let keys: Vec<i64> = transaction
        .prepare("SELECT id FROM series")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for key in keys {
        metrics::recompute(transaction, key)?;
    }
    transaction.execute_batch("DROP TABLE metrics; DROP TABLE metric_stats;")
}
