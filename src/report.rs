//! Reports: the tables of an experiment handed to `glisten-reports`, and one HTML file written.

use std::path::{Path, PathBuf};

use glisten_reports::Options;
use glisten_reports::summary::Summary;

use crate::error::Result;
use crate::track::Experiment;

/// A report that has been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    path: PathBuf,
    n_bytes: usize,
}

impl Report {
    /// The HTML file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub fn n_bytes(&self) -> usize {
        self.n_bytes
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:.0} kB)", self.path.display(), self.n_bytes as f64 / 1e3)
    }
}

impl Experiment {
    /// Writes the report of this experiment's runs: accuracy and speedup by fraction, the runs, and how each figure was
    /// measured, in one HTML file that needs nothing else.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if the runs cannot be read; [`crate::Error::Report`] if the file cannot be written.
    pub fn report(&self, path: impl AsRef<Path>) -> Result<Report> {
        self.report_with(path, &Options::default())
    }

    /// As [`Experiment::report`], with a title, an author and more of one's own.
    ///
    /// # Errors
    /// As [`Experiment::report`].
    pub fn report_with(&self, path: impl AsRef<Path>, options: &Options) -> Result<Report> {
        let mut options = options.clone();
        options.title.get_or_insert_with(|| self.name().to_owned());
        options.how_made.extend(self.how_made()?);
        let html = glisten_reports::render(&self.runs()?, &self.metrics()?, &options)?;
        let path = path.as_ref();
        glisten_reports::write(path, &html)?;
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        Ok(Report { path, n_bytes: html.len() })
    }

    /// The figures of the report, for programs: accuracy, speedup and accuracy lost by strategy and fraction, with their
    /// intervals, and GLISTER beside fresh random.
    ///
    /// # Errors
    /// As [`Experiment::report`].
    pub fn summary(&self) -> Result<Summary> {
        Ok(glisten_reports::summary::summarize(&self.runs()?)?)
    }

    /// Versions, devices and threads of the runs, each combination once.
    fn how_made(&self) -> Result<Vec<String>> {
        let mut lines: Vec<String> = Vec::new();
        for record in self.store().run_records(Some(self.name()))? {
            let parameter =
                |name: &str| record.parameters.get(name).map_or_else(|| "?".to_owned(), ToString::to_string);
            let line = format!(
                "Glisten {}, device {}, {} threads; data {} (fingerprint {}), {} to train on and {} to validate.",
                parameter("glisten_version"),
                parameter("device"),
                parameter("threads"),
                parameter("dataset"),
                parameter("dataset_fingerprint").chars().take(12).collect::<String>(),
                parameter("n_train"),
                parameter("n_validation"),
            );
            if record.parameters.contains_key("glisten_version") && !lines.contains(&line) {
                lines.push(line);
            }
        }
        Ok(lines)
    }
}
