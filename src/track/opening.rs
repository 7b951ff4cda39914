//! Opening a store. The file may come from anywhere: its schema is looked at before anything else is done with it, and its
//! tables can have nothing run, ask for no more work than their size explains, and grow little while they are opened.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::schema::{self, Kind, VERSION};
use crate::error::{Error, Result};
use crate::regular_file::kind_name;

/// How long a process waits for others before it gives up. A single write takes well under a millisecond: only a process that
/// was stopped in the middle of one makes others wait so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The longest text or blob that is read or written, in bytes: a selection of a hundred million samples.
const LONGEST_VALUE: i32 = 1 << 29;

/// How much work one call may be, in steps of SQLite's virtual machine: so many, and so many more for each byte of the file.
/// Reading all points of a store takes about one a byte; what takes ten times that goes round in circles, as in a file whose
/// pages lead to one another. What is written is not in the file yet.
const STEPS_TO_READ: u64 = 1_000_000;
const STEPS_TO_WRITE: u64 = 2_000_000_000;
const STEPS_PER_BYTE: u64 = 10;
/// How many steps lie between two looks at that.
const STEPS_AT_ONCE: u32 = 20_000;

/// A store that has been opened.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) read_only: bool,
    pub(super) work: Work,
}

/// How much work is left to the call at hand, before the size of the file is looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Work(Arc<AtomicI64>);

impl Work {
    /// A call that reads begins.
    pub(super) fn begin_to_read(&self) {
        self.0.store(STEPS_TO_READ as i64, Ordering::Relaxed);
    }

    /// A call that writes begins.
    pub(super) fn begin_to_write(&self) {
        self.0.store(STEPS_TO_WRITE as i64, Ordering::Relaxed);
    }

    /// Ends calls on `connection` that are too much work for a file of this size.
    fn limit(&self, connection: &Connection, path: &Path) -> rusqlite::Result<()> {
        let (work, files) = (self.clone(), [path.to_path_buf(), beside(path, "-wal")]);
        let is_too_much = move || {
            let left = work.0.fetch_sub(i64::from(STEPS_AT_ONCE), Ordering::Relaxed);
            left < 0 && {
                let sizes = files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len());
                left.unsigned_abs() > sizes.sum::<u64>().saturating_mul(STEPS_PER_BYTE)
            }
        };
        connection.progress_handler(STEPS_AT_ONCE as i32, Some(is_too_much))
    }
}

/// Why a store could not be opened to write to.
enum Refused {
    /// It, its folder or its disk takes no writing; it may still be read.
    Unwritable(Error),
    Other(Error),
}

impl Refused {
    fn of(error: Error) -> Self {
        if is_unwritable(&error) { Self::Unwritable(error) } else { Self::Other(error) }
    }
}

/// Opens the store at `path`, making it if it is not there and bringing an older one to this version; to read from, where
/// nothing can be written.
///
/// # Errors
/// As [`Store::open`](super::Store::open).
pub(super) fn open(path: &Path) -> Result<Opened> {
    check_files(path)?;
    let started = Instant::now();
    loop {
        let opened = open_once(path);
        // SQLite does not always wait by itself: two processes that would turn a new file to WAL at once could wait for each
        // other for ever, so one of them is turned away at once.
        let is_turned_away = matches!(&opened, Err(error) if is_busy(error));
        if !is_turned_away || started.elapsed() > PATIENCE {
            return opened;
        }
        wait_for_turn(i32::try_from(started.elapsed().as_millis()).unwrap_or(i32::MAX).max(1));
    }
}

fn open_once(path: &Path) -> Result<Opened> {
    let work = Work::default();
    match open_to_write(path, &work) {
        Ok(connection) => Ok(Opened { connection, read_only: false, work }),
        Err(Refused::Other(error)) => Err(error),
        // Nothing stands in an empty file.
        Err(Refused::Unwritable(error)) if path.metadata().map_or(true, |file| file.len() == 0) => Err(error),
        Err(Refused::Unwritable(_)) => {
            Ok(Opened { connection: open_to_read(path, &work)?, read_only: true, work })
        }
    }
}

/// Looks at what lies at `path` and beside it, where SQLite and this program will write: an archive may hold links there, or
/// something that is waited for.
fn check_files(path: &Path) -> Result<()> {
    if let Ok(there) = path.metadata()
        && !there.is_file()
    {
        return Err(Error::bad_file(path, "a store, which is a file", kind_name(there.file_type())));
    }
    // SQLite writes beside the file that a link leads to, Glisten beside the link.
    let file = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    for end in ["-wal", "-shm", "-journal"] {
        let journal = beside(&file, end);
        if let Ok(there) = journal.symlink_metadata()
            && !there.is_file()
        {
            let expected = format!("a journal of the store, or nothing ({end} is SQLite's)");
            return Err(Error::bad_file(&journal, expected, kind_name(there.file_type())));
        }
    }
    let folder = beside(path, ".d");
    match folder.symlink_metadata() {
        Ok(there) if !there.is_dir() => {
            let expected = "the folder of the store's files, or nothing (links are not followed here)";
            Err(Error::bad_file(&folder, expected, kind_name(there.file_type())))
        }
        _ => Ok(()),
    }
}

/// `path` with `end` behind its name.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn open_to_write(path: &Path, work: &Work) -> std::result::Result<Connection, Refused> {
    let failed = |doing| move |source| Refused::of(Error::Store { path: path.to_path_buf(), doing, source });
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed("opening"))?;
    guard(&connection, path, work).map_err(failed("opening"))?;
    check_kind(&connection, path).map_err(Refused::of)?;
    // WAL with synchronous=NORMAL: a commit survives the death of the process, a power cut may cost the last moments.
    let to_wal = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000;";
    connection.execute_batch(to_wal).map_err(failed("opening"))?;
    match schema::ensure(&mut connection).map_err(failed("making the tables"))? {
        schema::Ensured::Whole => {}
        schema::Ensured::NotOurs(found) => return Err(Refused::Other(not_ours(path, found))),
        schema::Ensured::InUse(run) => {
            let expected = format!("no run at work, to bring the store to version {VERSION}");
            let found = format!(
                "run '{run}', which an older release of Glisten is writing; open it again when that has ended"
            );
            return Err(Refused::Other(Error::bad_file(path, expected, found)));
        }
    }
    // A file on a read-only disk opens, and says so only when it is written to.
    if connection.is_readonly("main").map_err(failed("opening"))? {
        let error = ffi::Error::new(ffi::SQLITE_READONLY);
        return Err(failed("opening")(rusqlite::Error::SqliteFailure(error, None)));
    }
    Ok(connection)
}

fn open_to_read(path: &Path, work: &Work) -> Result<Connection> {
    const ALONE: &str = "&vfs=unix-none";
    let failed = |source| Error::Store { path: path.to_path_buf(), doing: "opening to read", source };
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let absolute = std::path::absolute(path).map_err(Error::io(path, "opening to read"))?;
    let escaped = escaped_for_uri(&absolute);
    let open = |options: &str| {
        let uri = format!("file://{escaped}?mode=ro{options}");
        let connection = Connection::open_with_flags(uri, flags)?;
        guard(&connection, path, work)?;
        if options == ALONE {
            // Then what would lie beside the file is kept in memory, and a journal is left where it is.
            connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE;")?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        }
        schema::kind(&connection)?;
        Ok(connection)
    };
    // Beside a file in WAL mode SQLite makes two more. Where it may not, and no journal is left of another process, the
    // file is whole by itself and is read as one that nobody writes. One with a journal of a writer that was killed is read
    // without locks.
    let journal = beside(&absolute.canonicalize().unwrap_or(absolute), "-wal");
    let is_whole = journal.metadata().map_or(true, |journal| journal.len() == 0);
    let otherwise = if is_whole { "&immutable=1" } else { ALONE };
    let connection = open("").or_else(|_: rusqlite::Error| open(otherwise)).map_err(failed)?;
    check_kind(&connection, path)?;
    match schema::kind(&connection).map_err(failed)? {
        Kind::Store(VERSION) => Ok(connection),
        _ => {
            let expected = format!("a store of version {VERSION}, or one that can be written to");
            Err(Error::bad_file(path, expected, "an older one that can only be read"))
        }
    }
}

/// Settles, before the first page is read, what the file may have done.
fn guard(connection: &Connection, path: &Path, work: &Work) -> rusqlite::Result<()> {
    connection.busy_handler(Some(wait_for_turn))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    // What is sorted is sorted in memory: a store is read where no disk takes anything any more.
    connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;")?;
    work.begin_to_read();
    work.limit(connection, path)
}

fn check_kind(connection: &Connection, path: &Path) -> Result<()> {
    let failed = |source| Error::Store { path: path.to_path_buf(), doing: "opening", source };
    match schema::kind(connection).map_err(failed)? {
        Kind::Empty => Ok(()),
        Kind::Store(version @ 1..=VERSION) => match schema::not_ours(connection, version).map_err(failed)? {
            Some(found) => Err(not_ours(path, found)),
            None => Ok(()),
        },
        Kind::Store(version) => {
            let found = format!("version {version}; another release of Glisten wrote it");
            Err(Error::bad_file(path, format!("a store of version {VERSION} or older"), found))
        }
        Kind::Foreign => {
            Err(Error::bad_file(path, "a Glisten store or a new file", "another program's SQLite database"))
        }
    }
}

fn not_ours(path: &Path, found: String) -> Error {
    let expected = "the tables and indices that Glisten makes, and nothing else (a store from elsewhere may hold what does harm)";
    Error::bad_file(path, expected, found)
}

/// Whether SQLite says that the file, its folder or its disk takes no writing.
pub(super) fn is_unwritable(error: &Error) -> bool {
    let Error::Store { source, .. } = error else { return false };
    let Some(error) = source.sqlite_error() else { return false };
    matches!(
        error.code,
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::DiskFull
    ) || matches!(
        error.extended_code,
        ffi::SQLITE_IOERR_WRITE
            | ffi::SQLITE_IOERR_FSYNC
            | ffi::SQLITE_IOERR_TRUNCATE
            | ffi::SQLITE_IOERR_SHMOPEN
            | ffi::SQLITE_IOERR_SHMSIZE
            | ffi::SQLITE_IOERR_SHMMAP
    )
}

fn is_busy(error: &Error) -> bool {
    let Error::Store { source, .. } = error else { return false };
    matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
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
