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

/// The tables of version 2, of which version 1 had no selections; of versions 1 and 2 this is all.
const OF_VERSION_2: &str = "
CREATE TABLE experiments (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL
);
CREATE TABLE runs (
    id            INTEGER PRIMARY KEY,
    experiment    INTEGER NOT NULL REFERENCES experiments(id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('running', 'completed', 'failed', 'stopped')),
    error         TEXT,
    created       INTEGER NOT NULL,
    ended         INTEGER,
    config        TEXT,
    pid           INTEGER,
    process_start INTEGER,
    UNIQUE (experiment, name)
);
CREATE INDEX runs_by_config ON runs (experiment, config);
CREATE TABLE parameters (
    run   INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
CREATE TABLE metrics (
    run   INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    step  INTEGER NOT NULL,
    value REAL,
    PRIMARY KEY (run, name, step)
) WITHOUT ROWID;
CREATE TABLE metric_stats (
    run       INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    name      TEXT NOT NULL,
    count     INTEGER NOT NULL,
    min       REAL,
    max       REAL,
    mean      REAL,
    m2        REAL,
    last      REAL,
    last_step INTEGER NOT NULL,
    nonfinite INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
";

/// SQLite's `application_id`, by which a store is told from another program's database: "GLSN".
const APPLICATION: i64 = 0x474C_534E;

/// A store takes up to twice its size when it is brought to this version: what needs more was not written by Glisten.
const PAGES_TO_SPARE: i64 = 1000;
/// SQLite's own limit.
const MOST_PAGES: i64 = 4_294_967_294;

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
    /// It holds that, which Glisten does not make: nothing was changed.
    NotOurs(String),
}

/// Looks at a file without changing it.
pub(super) fn kind(connection: &Connection) -> rusqlite::Result<Kind> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    // Not all are counted: a file may lead from page to page for ever.
    if !connection.prepare("SELECT 1 FROM sqlite_schema LIMIT 1")?.exists([])? {
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
            if let Some(found) = not_ours(&transaction, version)? {
                return Ok(Ensured::NotOurs(found));
            }
            if let Some(run) = run_at_work(&transaction)? {
                return Ok(Ensured::InUse(run));
            }
            if version == 1 {
                transaction.execute_batch(SELECTIONS)?;
            }
            let n_pages = transaction.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))?;
            transaction.pragma_update(None, "max_page_count", 4 * n_pages + PAGES_TO_SPARE)?;
            let brought = to_version_3(&transaction);
            transaction.pragma_update(None, "max_page_count", MOST_PAGES)?;
            brought?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        Kind::Store(_) | Kind::Foreign => {}
    }
    transaction.commit()?;
    Ok(Ensured::Whole)
}

/// What the file of a store of `version` holds that Glisten does not make, in words; and what it lacks. Triggers, views,
/// generated columns, defaults and checks are a program of whoever wrote them.
pub(super) fn not_ours(connection: &Connection, version: i64) -> rusqlite::Result<Option<String>> {
    let (ours, theirs) = (Item::of_version(version)?, Item::all(connection)?);
    for item in &theirs {
        let Some(known) = ours.iter().find(|known| known.kind == item.kind && known.name == item.name) else {
            return Ok(Some(format!("{}, which no release of Glisten makes", item.described())));
        };
        if known.table != item.table || known.definition != item.definition {
            return Ok(Some(format!("{} that is defined otherwise than Glisten does it", item.described())));
        }
    }
    let is_there =
        |known: &&Item| theirs.iter().any(|item| item.kind == known.kind && item.name == known.name);
    Ok(ours.iter().find(|known| !is_there(known)).map(|known| format!("no {} '{}'", known.kind, known.name)))
}

/// A table, index, trigger or view.
#[derive(Debug)]
struct Item {
    kind: String,
    name: String,
    table: String,
    /// The words of its definition; none of an index that SQLite makes by itself.
    definition: Vec<String>,
}

impl Item {
    /// What a store of that version holds, from the very definitions it was made with.
    fn of_version(version: i64) -> rusqlite::Result<Vec<Self>> {
        let made = Connection::open_in_memory()?;
        let definitions = match version {
            1 => vec![OF_VERSION_2],
            2 => vec![OF_VERSION_2, SELECTIONS],
            _ => vec![TABLES, SELECTIONS, RUNS, OF_RUNS],
        };
        made.execute_batch(&definitions.concat())?;
        Self::all(&made)
    }

    /// The first of those in a file: more than Glisten makes, if there are more.
    fn all(connection: &Connection) -> rusqlite::Result<Vec<Self>> {
        let sql = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema LIMIT 100";
        let mut statement = connection.prepare(sql)?;
        let items = statement.query_map([], |row| {
            let definition = words(row.get_ref(3)?.as_str()?);
            Ok(Self { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, definition })
        })?;
        let items = items.collect::<rusqlite::Result<Vec<_>>>()?;
        // What ANALYZE keeps is numbers; SQLite reserves the name.
        Ok(items.into_iter().filter(|item| !item.name.starts_with("sqlite_stat")).collect())
    }

    fn described(&self) -> String {
        let article = if self.kind == "index" { "an" } else { "a" };
        match self.kind.as_str() {
            "table" | "view" => format!("{article} {} '{}'", self.kind, self.name),
            kind => format!("{article} {kind} '{}' on '{}'", self.name, self.table),
        }
    }
}

/// The words and signs of a definition, in which comments, white space, capitals and quotes around names make no difference.
fn words(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let up_to =
            |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
        let is_of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let n = if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with("--") {
            up_to("\n", 2)
        } else if rest.starts_with("/*") {
            up_to("*/", 2)
        } else {
            let (n, word) = match first {
                '"' => (up_to("\"", 1), None),
                '`' => (up_to("`", 1), None),
                '[' => (up_to("]", 1), None),
                '\'' => {
                    let n = up_to("'", 1);
                    (n, Some(rest[..n].to_owned()))
                }
                c if is_of_name(c) => {
                    let n = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
                    (n, Some(rest[..n].to_lowercase()))
                }
                c => (c.len_utf8(), Some(c.to_string())),
            };
            words.push(word.unwrap_or_else(|| rest[..n].trim_matches(['"', '`', '[', ']']).to_lowercase()));
            n
        };
        rest = &rest[n..];
    }
    words
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
