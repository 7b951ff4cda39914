//! Artifacts: files kept with a run, each copied into the store's folder with its hash.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::record::run_folder;
use super::store::{NotOurs, now_ms};
use super::{Run, Store};
use crate::error::{Error, Result};
use crate::regular_file::{self, is_one_name};

/// A file kept with a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactRecord {
    /// Its name within the run.
    pub name: String,
    /// Where its bytes lie. [`ArtifactRecord::open`] opens them without following a link.
    pub path: PathBuf,
    /// How many there are.
    pub n_bytes: u64,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// When it was kept, in milliseconds since 1970 (UTC).
    pub created_ms: i64,
}

impl ArtifactRecord {
    /// From `name, file, bytes, sha256, created` in the columns from `at` on.
    pub(super) fn from_row(row: &Row<'_>, at: usize, folder: &Path) -> rusqlite::Result<Self> {
        let (name, file): (String, String) = (row.get(at)?, row.get(at + 1)?);
        if !is_one_name(file.as_ref()) || file.len() > 255 {
            let expected = "artifacts that lie in the store's own folder, each under the name of one file";
            return Err(
                NotOurs { expected, found: format!("{file:?} as the file of '{name}'") }.in_column(at + 1)
            );
        }
        Ok(Self {
            name,
            path: folder.join(file),
            n_bytes: row.get::<_, i64>(at + 2)?.unsigned_abs(),
            sha256: row.get(at + 3)?,
            created_ms: row.get(at + 4)?,
        })
    }

    /// Opens the file to read. A store may come from elsewhere: where there is a link, or no regular file, that is an error.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened.
    pub fn open(&self) -> Result<File> {
        open_kept(&self.path)
    }
}

/// Opens an artifact at its [`ArtifactRecord::path`]: see [`ArtifactRecord::open`].
pub(crate) fn open_kept(path: &Path) -> Result<File> {
    let open = || {
        let (run, file) = (path.parent()?, path.file_name()?);
        Some(regular_file::open_below(run.parent()?, &[run.file_name()?, file]))
    };
    open().unwrap_or_else(|| Err(std::io::ErrorKind::InvalidInput.into())).map_err(Error::io(path, "opening"))
}

/// How often each class was taken for each: kept with a run as a JSON file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    /// The classes' names.
    pub labels: Vec<String>,
    /// `counts[i][j]`: how many samples of class `i` were taken for class `j`.
    pub counts: Vec<Vec<u64>>,
}

/// The longest file of a confusion matrix that is read, in bytes: one of two thousand classes.
const LARGEST_MATRIX: u64 = 64 << 20;

/// What the artifact of a confusion matrix is called: this, and the matrix's own name.
const CONFUSION: &str = "confusion-matrix/";

impl Run {
    /// Keeps a copy of the file at `path`, with its hash; one kept under that name before is replaced. When this returns, it
    /// survives the death of the process.
    ///
    /// # Errors
    /// [`Error::Argument`] for an empty name; [`Error::Io`] if the file cannot be read (it is not a folder, say) or the copy
    /// cannot be written: then nothing is kept and one of that name stays as it was.
    pub fn log_artifact(&self, name: &str, path: impl AsRef<Path>) -> Result<ArtifactRecord> {
        let path = path.as_ref();
        if path.is_dir() {
            return Err(Error::argument(
                "path of an artifact",
                "a file",
                format!("the folder {}", path.display()),
            ));
        }
        let mut file = File::open(path).map_err(Error::io(path, "reading"))?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        self.store().keep_artifact(self.id(), name, extension, path, &mut file)
    }

    /// As [`Run::log_artifact`], with bytes in memory, under a file name that ends in `extension`.
    ///
    /// # Errors
    /// As [`Run::log_artifact`].
    pub fn log_artifact_bytes(
        &self,
        name: &str,
        extension: &str,
        mut bytes: &[u8],
    ) -> Result<ArtifactRecord> {
        self.store().keep_artifact(self.id(), name, Some(extension), Path::new(name), &mut bytes)
    }

    /// As [`Run::log_artifact`], from a file that is open already; `source` is its name in an error, and gives the ending.
    pub(crate) fn log_artifact_from(
        &self,
        name: &str,
        source: &Path,
        file: &mut dyn Read,
    ) -> Result<ArtifactRecord> {
        let extension = source.extension().and_then(|extension| extension.to_str());
        self.store().keep_artifact(self.id(), name, extension, source, file)
    }

    /// Keeps a confusion matrix, as a JSON artifact: `counts[i][j]` samples of the class `labels[i]` were taken for
    /// `labels[j]`.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `counts` has a row and a column for each label; else as [`Run::log_artifact`].
    pub fn log_confusion_matrix(
        &self,
        name: &str,
        labels: &[&str],
        counts: &[Vec<u64>],
    ) -> Result<ArtifactRecord> {
        let n = labels.len();
        if n == 0 || counts.len() != n || counts.iter().any(|row| row.len() != n) {
            let shape = format!(
                "{} rows of {:?} columns",
                counts.len(),
                counts.iter().map(Vec::len).collect::<Vec<_>>()
            );
            let expected = format!("{n} rows of {n} columns, one for each label (at least one)");
            return Err(Error::argument("counts of a confusion matrix", expected, shape));
        }
        let matrix = ConfusionMatrix {
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            counts: counts.to_vec(),
        };
        let json = serde_json::json!(matrix).to_string();
        self.log_artifact_bytes(&format!("{CONFUSION}{name}"), "json", json.as_bytes())
    }

    /// The confusion matrix kept under that name.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none; [`Error::BadFile`] if its file is not what was kept.
    pub fn confusion_matrix(&self, name: &str) -> Result<ConfusionMatrix> {
        let artifact = self.artifact(&format!("{CONFUSION}{name}"))?;
        let bytes = regular_file::read_at_most(artifact.open()?, LARGEST_MATRIX);
        let bytes = bytes.map_err(Error::io(&artifact.path, "reading"))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::bad_file(&artifact.path, "labels and counts as JSON", error.to_string()))
    }

    /// The files kept with this run, by name.
    ///
    /// # Errors
    /// [`Error::Store`] if the store cannot be read.
    pub fn artifacts(&self) -> Result<Vec<ArtifactRecord>> {
        let folder = run_folder(&self.store().folder(), self.id());
        self.store().read("reading artifacts", |connection| {
            connection
                .prepare(
                    "SELECT name, file, bytes, sha256, created FROM artifacts WHERE run = ? ORDER BY name",
                )?
                .query_map([self.id()], |row| ArtifactRecord::from_row(row, 0, &folder))?
                .collect()
        })
    }

    /// The artifact of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, naming the nearest.
    pub fn artifact(&self, name: &str) -> Result<ArtifactRecord> {
        let mut artifacts = self.artifacts()?;
        match artifacts.iter().position(|artifact| artifact.name == name) {
            Some(at) => Ok(artifacts.swap_remove(at)),
            None => {
                let names: Vec<String> = artifacts.into_iter().map(|artifact| artifact.name).collect();
                Err(Error::not_found("artifact", name, &names))
            }
        }
    }
}

impl Store {
    /// The folder of a run's files, made where it is not there. Neither it nor the store's own may be a link.
    fn make_run_folder(&self, run: i64) -> Result<PathBuf> {
        let own = self.folder();
        let of_run = run_folder(&own, run);
        for folder in [&own, &of_run] {
            match fs::create_dir(folder) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::io(folder, "creating the folder")(error));
                }
                _ => {}
            }
            let kind =
                folder.symlink_metadata().map_err(Error::io(folder, "looking at the folder"))?.file_type();
            if !kind.is_dir() {
                let expected = "a folder of the store (links are not followed here)";
                return Err(Error::bad_file(folder, expected, regular_file::kind_name(kind)));
            }
        }
        Ok(of_run)
    }

    /// Removes the files of runs that are no more. What cannot be removed is in nobody's way: no other run is given this key.
    pub(super) fn remove_files_of(&self, runs: &[i64]) {
        let folder = self.folder();
        // Through a link this would be somebody else's folder.
        if !folder.symlink_metadata().is_ok_and(|there| there.is_dir()) {
            return;
        }
        for &run in runs {
            // A link at its place is removed, and not what it leads to.
            let _ = fs::remove_dir_all(run_folder(&folder, run));
            let _ = fs::remove_file(folder.join(format!("run-{run}.safetensors")));
        }
        // Fails while other runs have something there.
        let _ = fs::remove_dir(folder);
    }

    fn keep_artifact(
        &self,
        run: i64,
        name: &str,
        extension: Option<&str>,
        source: &Path,
        bytes: &mut dyn Read,
    ) -> Result<ArtifactRecord> {
        super::experiment::check_name("artifact name", name)?;
        // Before anything is copied: a store that cannot be written to says so.
        self.write("keeping an artifact", |_| Ok(()))?;
        let folder = self.make_run_folder(run)?;
        let copied = copy(source, bytes, &folder);
        let (part, sha256, n_bytes) = copied.inspect_err(|_| remove_if_empty(&folder))?;
        let file = file_name(&sha256, name, extension);
        let path = folder.join(&file);
        part.persist(&path).map_err(|error| Error::io(&path, "writing")(error.error))?;
        let created_ms = now_ms();
        let before: Option<String> = self.write("keeping an artifact", |transaction| {
            let before = transaction
                .query_row("SELECT file FROM artifacts WHERE run = ? AND name = ?", params![run, name], |row| row.get(0))
                .optional()?;
            let sql = "INSERT OR REPLACE INTO artifacts (run, name, file, bytes, sha256, created) VALUES (?, ?, ?, ?, ?, ?)";
            transaction.execute(sql, params![run, name, file, n_bytes as i64, sha256, created_ms])?;
            Ok(before)
        })?;
        if let Some(before) = before.filter(|before| *before != file && is_one_name(before.as_ref())) {
            let _ = fs::remove_file(folder.join(before));
        }
        Ok(ArtifactRecord { name: name.to_owned(), path, n_bytes, sha256, created_ms })
    }
}

/// A whole copy in `folder` under a name of its own, its SHA-256 and its length.
fn copy(
    source: &Path,
    bytes: &mut dyn Read,
    folder: &Path,
) -> Result<(tempfile::NamedTempFile, String, u64)> {
    let mut part = tempfile::Builder::new()
        .prefix(".part-")
        .tempfile_in(folder)
        .map_err(Error::io(folder, "making a file"))?;
    let (mut hash, mut n_bytes) = (Sha256::new(), 0_u64);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = match bytes.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io(source, "reading")(error)),
        };
        hash.update(&buffer[..n]);
        n_bytes += n as u64;
        part.write_all(&buffer[..n]).map_err(Error::io(folder, "writing a copy into it"))?;
    }
    part.as_file().sync_all().map_err(Error::io(folder, "writing a copy into it"))?;
    Ok((part, hex::encode(hash.finalize()), n_bytes))
}

/// A name that says what is in the file, and that no other artifact of the run has. Users' names may hold anything.
fn file_name(sha256: &str, name: &str, extension: Option<&str>) -> String {
    let plain = |text: &str, longest: usize| -> String {
        let kept = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
        text.chars().take(longest).map(kept).collect()
    };
    let digest = &hex::encode(Sha256::digest(name))[..6];
    let stem = extension.and_then(|extension| name.strip_suffix(&format!(".{extension}"))).unwrap_or(name);
    let extension = extension.map(|extension| format!(".{}", plain(extension, 16))).unwrap_or_default();
    format!("{}-{}-{digest}{extension}", plain(stem, 60), &sha256[..10])
}

fn remove_if_empty(folder: &Path) {
    let _ = fs::remove_dir(folder);
    if let Some(parent) = folder.parent() {
        let _ = fs::remove_dir(parent);
    }
}
