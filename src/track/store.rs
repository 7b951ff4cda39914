//! The store: one SQLite file in WAL mode, opened here and nowhere else.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::schema;
use crate::error::{Error, Result};

/// How long a writer waits for others before it gives up. A single write takes well under a millisecond: only a process that
/// was stopped in the middle of one makes others wait so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A store of experiments. Clones share one connection; several processes may use one file at once.
#[derive(Clone)]
pub struct Store {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
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
    /// read from: see [`Store::is_read_only`].
    ///
    /// # Errors
    /// [`Error::Store`] if the file is not a store or cannot be opened; [`Error::BadFile`] if another
    /// program or a later release of Glisten wrote it, or an older release is writing to it at this moment.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_at(path.as_ref())
    }

    /// Not generic: a notebook cell, which compiles what is, does not see SQLite's functions.
    fn open_at(path: &Path) -> Result<Self> {
        let failed = |source| Error::Store { path: path.to_path_buf(), doing: "opening", source };
        let (connection, read_only) = match Self::open_to_write(path)? {
            Some(connection) => (connection, false),
            None => (Self::open_to_read(path)?, true),
        };
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
        let store =
            Self { path: path.to_path_buf(), connection: Arc::new(Mutex::new(connection)), read_only };
        store.mark_dead_runs()?;
        Ok(store)
    }

    /// `None` for a file that can only be read.
    fn open_to_write(path: &Path) -> Result<Option<Connection>> {
        let failed = |doing| move |source| Error::Store { path: path.to_path_buf(), doing, source };
        let mut connection = match Connection::open(path) {
            Ok(connection) => connection,
            Err(error) if cannot_be_written(&error) && path.is_file() => return Ok(None),
            Err(error) => return Err(failed("opening")(error)),
        };
        connection.busy_handler(Some(wait_for_turn)).map_err(failed("opening"))?;
        match check_kind(&connection, path) {
            Err(Error::Store { source, .. }) if cannot_be_written(&source) => return Ok(None),
            checked => checked?,
        }
        // WAL with synchronous=NORMAL: a commit survives the death of the process, a power cut may cost the last moments.
        let to_wal =
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000;";
        let ensured = connection.execute_batch(to_wal).and_then(|()| schema::ensure(&mut connection));
        match ensured {
            Ok(schema::Ensured::Whole) => {}
            Ok(schema::Ensured::InUse(run)) => {
                let expected = format!("no run at work, to bring the store to version {}", schema::VERSION);
                let found = format!(
                    "run '{run}', which an older release of Glisten is writing; open it again when that has ended"
                );
                return Err(Error::bad_file(path, expected, found));
            }
            Err(error) if cannot_be_written(&error) => return Ok(None),
            Err(error) => return Err(failed("making the tables")(error)),
        }
        // A file on a read-only disk opens, and says so only when it is written to.
        let can_write =
            connection.is_readonly("main").map(|read_only| !read_only).map_err(failed("opening"))?;
        Ok(can_write.then_some(connection))
    }

    fn open_to_read(path: &Path) -> Result<Connection> {
        let failed = |source| Error::Store { path: path.to_path_buf(), doing: "opening to read", source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let absolute = std::path::absolute(path).map_err(Error::io(path, "opening to read"))?;
        let escaped = escaped_for_uri(&absolute);
        let open = |options: &str| {
            let connection =
                Connection::open_with_flags(format!("file://{escaped}?mode=ro{options}"), flags)?;
            connection.busy_handler(Some(wait_for_turn))?;
            schema::kind(&connection)?;
            Ok(connection)
        };
        // Beside a file in WAL mode SQLite makes two more. Where it may not, and no journal is left of another process, the
        // file is whole by itself and is read as one that nobody writes.
        let mut journal = absolute.into_os_string();
        journal.push("-wal");
        let is_whole = std::fs::metadata(&journal).map_or(true, |journal| journal.len() == 0);
        let connection = open("")
            .or_else(|error: rusqlite::Error| if is_whole { open("&immutable=1") } else { Err(error) })
            .map_err(failed)?;
        check_kind(&connection, path)?;
        match schema::kind(&connection).map_err(failed)? {
            schema::Kind::Store(schema::VERSION) => Ok(connection),
            _ => {
                let expected =
                    format!("a store of version {}, or one that can be written to", schema::VERSION);
                Err(Error::bad_file(path, expected, "an older one that can only be read"))
            }
        }
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

    /// Whether the file, or its folder, can only be read from.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub(super) fn read<T>(
        &self,
        doing: &'static str,
        f: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        f(&self.lock()).map_err(|source| Error::Store { path: self.path.clone(), doing, source })
    }

    /// As [`Store::read`], for several queries that have to see the same state.
    pub(super) fn read_at_once<T>(
        &self,
        doing: &'static str,
        f: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let mut connection = self.lock();
        let run = || f(&*connection.transaction()?);
        run().map_err(|source| Error::Store { path: self.path.clone(), doing, source })
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
        // Immediate: the lock is waited for at the start, where waiting is possible, not in the middle.
        let run = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = f(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|source| Error::Store { path: self.path.clone(), doing, source })
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
        WeakStore { path: self.path.clone(), connection: Arc::downgrade(&self.connection) }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held rolled its transaction back: the connection is sound.
        self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A store that this does not keep open.
pub(super) struct WeakStore {
    path: PathBuf,
    connection: std::sync::Weak<Mutex<Connection>>,
}

impl WeakStore {
    /// Whether it stands for that store, or for a clone of it.
    pub(super) fn is(&self, store: &Store) -> bool {
        std::ptr::eq(self.connection.as_ptr(), Arc::as_ptr(&store.connection))
    }

    /// The store, if it is still open.
    pub(super) fn upgrade(&self) -> Option<Store> {
        let connection = self.connection.upgrade()?;
        Some(Store { path: self.path.clone(), connection, read_only: false })
    }
}

fn check_kind(connection: &Connection, path: &Path) -> Result<()> {
    let failed = |source| Error::Store { path: path.to_path_buf(), doing: "opening", source };
    match schema::kind(connection).map_err(failed)? {
        schema::Kind::Empty | schema::Kind::Store(1..=schema::VERSION) => Ok(()),
        schema::Kind::Store(version) => {
            let found = format!("version {version}; another release of Glisten wrote it");
            Err(Error::bad_file(path, format!("a store of version {} or older", schema::VERSION), found))
        }
        schema::Kind::Foreign => {
            Err(Error::bad_file(path, "a Glisten store or a new file", "another program's SQLite database"))
        }
    }
}

/// Whether SQLite says that the file, its folder or its disk takes no writing.
fn cannot_be_written(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            rusqlite::ErrorCode::ReadOnly
                | rusqlite::ErrorCode::CannotOpen
                | rusqlite::ErrorCode::PermissionDenied
        )
    )
}

/// A path as the path of a `file:` URI.
fn escaped_for_uri(path: &Path) -> String {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(|&byte| match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// SQLite asks this while another process writes, the first time with 0: sleeps a moment, and says whether to go on waiting.
/// SQLite's own handler sleeps up to a tenth of a second, in which dozens of others pass a waiting writer by.
fn wait_for_turn(n_waits: i32) -> bool {
    thread_local! {
        static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    if n_waits == 0 {
        SINCE.set(Some(Instant::now()));
    }
    let waited = SINCE.get().map_or(Duration::ZERO, |since| since.elapsed());
    if waited > PATIENCE {
        return false;
    }
    // Longer and longer up to 4 ms, and no two alike, so that processes do not wake in step.
    let most = 100_u64 << n_waits.clamp(0, 5);
    let within =
        u64::from(std::process::id()).wrapping_mul(0x9E37_79B9).wrapping_add(n_waits as u64 * 0x85EB_CA6B);
    std::thread::sleep(Duration::from_micros(most / 2 + within % most));
    true
}

pub(super) fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
