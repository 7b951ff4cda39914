//! The life of a run: made, started, at work (its heart beats), ended, or found dead.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::opening::is_unwritable;
use super::process::Writer;
use super::run::Status;
use super::store::{WeakStore, now_ms};
use super::{Parameter, Store, environment};
use crate::error::Result;

/// How often a run at work gives a sign of life.
const BEAT: Duration = Duration::from_secs(30);

/// Why a run has failed whose process is no more.
const DEAD: &str = "its process ended before the run did";

/// What a new run begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewRun<'a> {
    /// Its name, or `name-2`, `name-3`, … where that is taken.
    pub(super) name: &'a str,
    /// By which a run of the same piece of work is found.
    pub(super) config: Option<&'a str>,
    pub(super) parameters: &'a BTreeMap<String, Parameter>,
    /// Whether it is at work from now on, in this process.
    pub(super) started: bool,
}

/// Whose a run is that was to be taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// This process's, from now on.
    This,
    /// Another process is at work on it.
    Another,
}

impl Store {
    /// Makes a run: its key and its name.
    pub(super) fn insert_run(&self, experiment: i64, new: NewRun<'_>) -> Result<(i64, String)> {
        let surroundings = environment::of_this_process();
        let run = self.write("starting a run", |transaction| {
            let name = free_name(transaction, experiment, new.name)?;
            let id = insert(transaction, experiment, &name, new)?;
            set_environment(transaction, id, &surroundings)?;
            Ok((id, name))
        })?;
        if new.started {
            self.keep_beating();
        }
        Ok(run)
    }

    /// The run of that name, made where there is none, and at work in this process from now on unless it is in another.
    pub(super) fn take_up_or_insert(&self, experiment: i64, name: &str) -> Result<(i64, Owner)> {
        let surroundings = environment::of_this_process();
        let taken = self.write("starting a run", |transaction| {
            let found: Option<i64> = transaction
                .query_row(
                    "SELECT id FROM runs WHERE experiment = ? AND name = ?",
                    params![experiment, name],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(id) = found {
                return Ok((id, take_up(transaction, id)?));
            }
            let parameters = BTreeMap::new();
            let id = insert(
                transaction,
                experiment,
                name,
                NewRun { name, config: None, parameters: &parameters, started: true },
            )?;
            set_environment(transaction, id, &surroundings)?;
            Ok((id, Owner::This))
        })?;
        self.keep_beating();
        Ok(taken)
    }

    pub(super) fn set_parameters(&self, run: i64, values: &[(&str, &Parameter)]) -> Result<()> {
        let values = values.iter().copied();
        self.write("logging parameters", |transaction| set_parameters(transaction, run, values))
    }

    pub(super) fn set_tag(&self, run: i64, name: &str, value: &str) -> Result<()> {
        self.write("setting a tag", |transaction| {
            let sql = "INSERT OR REPLACE INTO tags (run, name, value) VALUES (?, ?, ?)";
            transaction.prepare_cached(sql)?.execute(params![run, name, value]).map(drop)
        })
    }

    pub(super) fn set_note(&self, run: i64, note: Option<&str>) -> Result<()> {
        self.write("writing a note", |transaction| {
            transaction.execute("UPDATE runs SET note = ? WHERE id = ?", params![note, run]).map(drop)
        })
    }

    /// Adds lines to a run's log.
    pub(super) fn log_text(&self, run: i64, text: &str) -> Result<()> {
        self.write("writing to a log", |transaction| {
            let mut statement = transaction.prepare_cached(
                "INSERT INTO log_lines (run, line, time, text)
                 VALUES (?1, (SELECT coalesce(max(line), 0) + 1 FROM log_lines WHERE run = ?1), ?2, ?3)",
            )?;
            for line in text.lines() {
                statement.execute(params![run, now_ms(), line])?;
            }
            Ok(())
        })
    }

    pub(super) fn end_run(&self, run: i64, status: Status, error: Option<&str>) -> Result<()> {
        self.write("ending a run", |transaction| {
            transaction
                .execute(
                    "UPDATE runs SET status = ?, error = ?, ended = ? WHERE id = ?",
                    params![status.as_str(), error, now_ms(), run],
                )
                .map(drop)
        })
    }

    /// Marks runs as failed whose process is no more.
    pub(super) fn mark_dead_runs(&self) -> Result<()> {
        if self.is_read_only() {
            return Ok(());
        }
        let dead = |row: &Row<'_>| -> rusqlite::Result<Option<i64>> {
            let writer = Writer { host: row.get(1)?, pid: row.get(2)?, start: row.get(3)? };
            Ok(if writer.is_alive(row.get(4)?, now_ms()) { None } else { Some(row.get(0)?) })
        };
        let sql =
            "SELECT id, host, coalesce(pid, 0), process_start, heartbeat FROM runs WHERE status = 'running'";
        let found: Vec<Option<i64>> = self.read("looking for dead runs", |connection| {
            connection.prepare(sql)?.query_map([], dead)?.collect()
        })?;
        for id in found.into_iter().flatten() {
            // Unless its process has ended it, or another has taken it up, in the meantime.
            let marked = self.write("marking a dead run", |transaction| {
                let still = transaction.query_row(&format!("{sql} AND id = ?"), [id], dead).optional()?.flatten();
                if still.is_some() {
                    let sql = "UPDATE runs SET status = 'failed', error = ?, ended = coalesce(heartbeat, ?) WHERE id = ?";
                    transaction.execute(sql, params![DEAD, now_ms(), id])?;
                }
                Ok(())
            });
            match marked {
                // On a full disk a store is read all the same; whoever can write to it marks the run.
                Err(error) if is_unwritable(&error) => return Ok(()),
                marked => marked?,
            }
        }
        Ok(())
    }

    /// Gives a sign of life for every run of this process. A run that was thought dead elsewhere, because this process was
    /// held up for long, is at work again.
    fn beat(&self) -> Result<()> {
        let writer = Writer::this();
        self.write("giving a sign of life", |transaction| {
            let sql = "UPDATE runs SET heartbeat = ?1, status = 'running', error = NULL, ended = NULL
                       WHERE host = ?2 AND pid = ?3 AND process_start IS ?4
                       AND (status = 'running' OR status = 'failed' AND error = ?5)";
            transaction.execute(sql, params![now_ms(), writer.host, writer.pid, writer.start, DEAD]).map(drop)
        })
    }

    /// Has this store's runs give signs of life for as long as it is open.
    pub(super) fn keep_beating(&self) {
        static BEATING: Mutex<Vec<WeakStore>> = Mutex::new(Vec::new());
        let mut beating = BEATING.lock().unwrap_or_else(PoisonError::into_inner);
        if beating.iter().any(|weak| weak.is(self)) {
            return;
        }
        let is_first = beating.is_empty();
        beating.push(self.weak());
        if !is_first {
            return;
        }
        // Without a thread the run is found by its process all the same, as long as that is on this machine.
        let _ = std::thread::Builder::new().name("glisten-heartbeat".to_owned()).spawn(|| {
            loop {
                std::thread::sleep(BEAT);
                let mut beating = BEATING.lock().unwrap_or_else(PoisonError::into_inner);
                beating.retain(|weak| weak.upgrade().is_some());
                let stores: Vec<Store> = beating.iter().filter_map(WeakStore::upgrade).collect();
                if stores.is_empty() {
                    return;
                }
                drop(beating);
                for store in stores {
                    // A beat that failed is made up for by the next.
                    let _ = store.beat();
                }
            }
        });
    }
}

/// `base`, or `base-2`, `base-3`, … where that name is taken.
pub(super) fn free_name(
    transaction: &Transaction<'_>,
    experiment: i64,
    base: &str,
) -> rusqlite::Result<String> {
    let mut is_taken = transaction.prepare_cached("SELECT 1 FROM runs WHERE experiment = ? AND name = ?")?;
    let mut name = base.to_owned();
    let mut counter = 1;
    while is_taken.exists(params![experiment, name])? {
        counter += 1;
        name = format!("{base}-{counter}");
    }
    Ok(name)
}

fn insert(
    transaction: &Transaction<'_>,
    experiment: i64,
    name: &str,
    new: NewRun<'_>,
) -> rusqlite::Result<i64> {
    let now = now_ms();
    let writer = Some(Writer::this()).filter(|_| new.started);
    let status = if new.started { Status::Running } else { Status::Created };
    transaction
        .prepare_cached(
            "INSERT INTO runs (experiment, name, status, created, heartbeat, config, host, pid, process_start)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            experiment,
            name,
            status.as_str(),
            now,
            writer.as_ref().map(|_| now),
            new.config,
            writer.as_ref().and_then(|writer| writer.host.as_deref()),
            writer.as_ref().map(|writer| writer.pid),
            writer.as_ref().and_then(|writer| writer.start),
        ])?;
    let id = transaction.last_insert_rowid();
    let parameters = new.parameters.iter().map(|(name, value)| (name.as_str(), value));
    set_parameters(transaction, id, parameters)?;
    Ok(id)
}

/// Puts a run to work in this process, unless it is at work in another.
pub(super) fn take_up(transaction: &Transaction<'_>, run: i64) -> rusqlite::Result<Owner> {
    let this = Writer::this();
    let sql = "SELECT host, coalesce(pid, 0), process_start, heartbeat FROM runs WHERE id = ? AND status = 'running'";
    let at_work = transaction
        .query_row(sql, [run], |row| {
            let writer = Writer { host: row.get(0)?, pid: row.get(1)?, start: row.get(2)? };
            Ok(writer != this && writer.is_alive(row.get(3)?, now_ms()))
        })
        .optional()?;
    if at_work == Some(true) {
        return Ok(Owner::Another);
    }
    transaction.execute(
        "UPDATE runs SET status = 'running', error = NULL, ended = NULL, heartbeat = ?, host = ?, pid = ?, process_start = ?
         WHERE id = ?",
        params![now_ms(), this.host, this.pid, this.start, run],
    )?;
    Ok(Owner::This)
}

/// Keeps parameters of a run; one kept again is replaced.
pub(super) fn set_parameters<'a>(
    transaction: &Transaction<'_>,
    run: i64,
    values: impl Iterator<Item = (&'a str, &'a Parameter)>,
) -> rusqlite::Result<()> {
    let mut statement = transaction
        .prepare_cached("INSERT OR REPLACE INTO parameters (run, name, value) VALUES (?, ?, ?)")?;
    for (name, value) in values {
        statement.execute(params![run, name, value.to_json()])?;
    }
    Ok(())
}

/// Keeps what a run recorded of its surroundings.
pub(super) fn set_environment(
    transaction: &Transaction<'_>,
    run: i64,
    values: &BTreeMap<String, Parameter>,
) -> rusqlite::Result<()> {
    let content = environment::to_json(values);
    transaction
        .prepare_cached("INSERT OR IGNORE INTO environments (content) VALUES (?)")?
        .execute([&content])?;
    transaction
        .prepare_cached(
            "UPDATE runs SET environment = (SELECT id FROM environments WHERE content = ?) WHERE id = ?",
        )?
        .execute(params![content, run])?;
    Ok(())
}
