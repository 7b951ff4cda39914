//! The store: one SQLite file in WAL mode, opened here and nowhere else.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::opening::{self, Opened, Work, beside};
use crate::error::{Error, Result};

/// A store of experiments. Clones share one connection; several processes may use one file at once.
#[derive(Clone)]
pub struct Store {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    work: Work,
    read_only: bool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
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

    /// Opens the store in the file `path`, making the file if it is not there. A store of an older version is brought to this
    /// one. Runs whose process is no more are marked as failed. A file (or a folder) that cannot be written to is opened to
    /// read from, and so is one on a disk that is full: see [`Store::is_read_only`].
    ///
    /// The file may come from elsewhere: one that holds more than Glisten's own tables (a trigger, a view, a generated column)
    /// is refused, and so are links where the store's journals and its folder would be.
    ///
    /// # Errors
    /// [`Error::Store`] if the file is not a store or cannot be opened; [`Error::BadFile`] if another
    /// program or a later release of Glisten wrote it, if it holds what Glisten does not make, or an older release is writing to it
    /// at this moment.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_at(path.as_ref())
    }

    /// Not generic: a notebook cell, which compiles what is, does not see SQLite's functions.
    fn open_at(path: &Path) -> Result<Self> {
        let failed = |source| Error::Store { path: path.to_path_buf(), doing: "opening", source };
        let Opened { connection, read_only, work } = opening::open(path)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
        let connection = Arc::new(Mutex::new(connection));
        let store = Self { path: path.to_path_buf(), connection, work, read_only };
        store.mark_dead_runs()?;
        Ok(store)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder beside the file for what is too large for it: `glisten.db.d` for `glisten.db`. It is made by whoever puts
    /// something there.
    pub fn folder(&self) -> PathBuf {
        beside(&self.path, ".d")
    }

    /// Whether the file, or its folder, can only be read from.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub(super) fn read<T>(
        &self,
        doing: &'static str,
        f: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        f(&self.lock()).map_err(|source| self.failed(doing, source))
    }

    /// As [`Store::read`], for several queries that have to see the same state.
    pub(super) fn read_at_once<T>(
        &self,
        doing: &'static str,
        f: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let mut connection = self.lock();
        let run = || f(&*connection.transaction()?);
        run().map_err(|source| self.failed(doing, source))
    }

    pub(super) fn write<T>(
        &self,
        doing: &'static str,
        f: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        if self.read_only {
            return Err(self.refused_to_write());
        }
        let mut connection = self.lock();
        self.work.begin_to_write();
        // Immediate: the lock is waited for at the start, where waiting is possible, not in the middle.
        let run = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = f(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|source| self.failed(doing, source))
    }

    fn failed(&self, doing: &'static str, source: rusqlite::Error) -> Error {
        if let rusqlite::Error::FromSqlConversionFailure(_, _, inner) = &source
            && let Some(NotOurs { expected, found }) = inner.downcast_ref()
        {
            return Error::bad_file(&self.path, *expected, found);
        }
        Error::Store { path: self.path.clone(), doing, source }
    }

    fn refused_to_write(&self) -> Error {
        let expected = "a file and a folder that can be written to";
        Error::bad_file(
            &self.path,
            expected,
            "a store that can only be read; copy it elsewhere to go on with it",
        )
    }

    pub(super) fn weak(&self) -> WeakStore {
        let (path, work) = (self.path.clone(), self.work.clone());
        WeakStore { path, connection: Arc::downgrade(&self.connection), work }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held rolled its transaction back: the connection is sound.
        let connection = self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.work.begin_to_read();
        connection
    }
}

/// Something in a row that Glisten does not write. The row's file came from elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub(super) struct NotOurs {
    pub(super) expected: &'static str,
    pub(super) found: String,
}

impl NotOurs {
    /// As an error about the text in a `column` of a row.
    pub(super) fn in_column(self, column: usize) -> rusqlite::Error {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(self))
    }
}

/// A store that this does not keep open.
pub(super) struct WeakStore {
    path: PathBuf,
    connection: std::sync::Weak<Mutex<Connection>>,
    work: Work,
}

impl WeakStore {
    /// Whether it stands for that store, or for a clone of it.
    pub(super) fn is(&self, store: &Store) -> bool {
        std::ptr::eq(self.connection.as_ptr(), Arc::as_ptr(&store.connection))
    }

    /// The store, if it is still open.
    pub(super) fn upgrade(&self) -> Option<Store> {
        let connection = self.connection.upgrade()?;
        Some(Store { path: self.path.clone(), connection, work: self.work.clone(), read_only: false })
    }
}

pub(super) fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
