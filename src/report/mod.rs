//! Reports: the tables of experiments, what their runs chose and where they were made, handed to `glisten-reports`, and one
//! HTML file written; on paper as well.

mod chosen;
mod gather;
mod rebuilt;

pub use crate::browser::print_to_pdf;
pub use glisten_reports::{Options, Section, Theme};

use std::path::{Path, PathBuf};

use glisten_reports::Svg;
use glisten_reports::summary::Summary;

use crate::analytics::Chart;
use crate::error::{Error, Result};
use crate::exchange::{Exported, file_name};
use crate::track::Experiment;
use gather::Gathered;

/// A report that has been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    path: PathBuf,
    n_bytes: usize,
    data: Option<Exported>,
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

    /// The files of its numbers, where [`Options::data`] asked for them.
    pub fn data(&self) -> Option<&Exported> {
        self.data.as_ref()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:.0} kB)", self.path.display(), self.n_bytes as f64 / 1e3)
    }
}

/// Writes one report of the runs of several experiments. Where there are several, a run is called
/// "experiment / run" in it, as two may have runs of the same name. With [`Options::data`], a path as any other here, the
/// numbers of these runs are written to that folder first, as by [`save_data`], and the report names it.
///
/// # Errors
/// [`Error::Argument`] for no experiment; [`Error::Io`] if the numbers cannot be written; else as [`Experiment::report`].
pub fn report_on(experiments: &[Experiment], path: impl AsRef<Path>, options: &Options) -> Result<Report> {
    let gathered = Gathered::from(experiments, options)?;
    let options = completed(experiments, options, &gathered);
    let path = path.as_ref();
    let seen_from_report = Options {
        data: options.data.as_deref().map(|data| beside(path, data)).transpose()?,
        ..options.clone()
    };
    let html = glisten_reports::render_tables(gathered.tables(), &seen_from_report)?;
    let data = options.data.as_deref().map(|folder| save_data(experiments, folder, &options)).transpose()?;
    glisten_reports::write(path, &html)?;
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    Ok(Report { path, n_bytes: html.len(), data })
}

/// The way from a report to the folder of its numbers.
fn beside(report: &Path, data: &Path) -> Result<PathBuf> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(Error::io(path, "finding"));
    let (report, data) = (absolute(report)?, absolute(data)?);
    let below = report.parent().and_then(|folder| data.strip_prefix(folder).ok());
    Ok(below.unwrap_or(&data).to_path_buf())
}

/// Writes the numbers of a report of `experiments` to `folder`, as [`Export::parquet`](crate::exchange::Export::parquet)
/// does: all metrics of the runs that the options name, and what the runs chose. The other artifacts stay in the store. Of
/// several experiments, each has a folder of its own in it.
///
/// # Errors
/// [`Error::Argument`] for no experiment; [`Error::Io`] if a file cannot be written; [`Error::Store`] if the store cannot be
/// read.
pub fn save_data(
    experiments: &[Experiment],
    folder: impl AsRef<Path>,
    options: &Options,
) -> Result<Exported> {
    let (folder, several) = (folder.as_ref(), experiments.len() > 1);
    let mut exported = Exported::default();
    for experiment in experiments {
        let records = experiment.store().run_records(Some(experiment.name()))?;
        let names = records.into_iter().map(|record| record.name);
        let wanted =
            names.filter(|name| options.is_wanted(&gather::name_of(several, experiment.name(), name)));
        let own = if several { folder.join(file_name(experiment.name())) } else { folder.to_path_buf() };
        let one = experiment.export().runs(wanted).artifacts(false).selections(true).parquet(own)?;
        exported.files.extend(one.files);
        exported.n_bytes += one.n_bytes;
        exported.n_runs += one.n_runs;
        exported.n_values += one.n_values;
    }
    if exported.files.is_empty() {
        return Err(Error::argument("experiments", "at least one experiment to report on", "none"));
    }
    Ok(exported)
}

/// Saves each chart of the report of `experiments` in `folder`, which is made if it is not there, as an SVG file and, with
/// `as_png`, as a PNG file too. Returns their paths.
///
/// # Errors
/// As [`report_on`].
pub fn save_charts(
    experiments: &[Experiment],
    folder: impl AsRef<Path>,
    options: &Options,
    as_png: bool,
) -> Result<Vec<PathBuf>> {
    let folder = folder.as_ref();
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
    let mut paths = Vec::new();
    for (name, svg) in charts(experiments, options)? {
        for extension in ["svg", "png"].into_iter().take(1 + usize::from(as_png)) {
            let path = folder.join(format!("{name}.{extension}"));
            svg.save(&path)?;
            paths.push(path);
        }
    }
    Ok(paths)
}

fn charts(experiments: &[Experiment], options: &Options) -> Result<Vec<(&'static str, Svg)>> {
    let gathered = Gathered::from(experiments, options)?;
    Ok(glisten_reports::charts(gathered.tables(), &completed(experiments, options, &gathered))?)
}

/// The figures of the report of `experiments`, for programs: see [`Experiment::summary`].
///
/// # Errors
/// As [`report_on`].
pub fn summary_of(experiments: &[Experiment], options: &Options) -> Result<Summary> {
    let options = Options { without: vec![Section::Selections], ..options.clone() };
    let gathered = Gathered::from(experiments, &options)?;
    Ok(glisten_reports::summary_of(gathered.tables(), &options)?)
}

/// With a title, and what the runs say of how they were made.
fn completed(experiments: &[Experiment], options: &Options, gathered: &Gathered) -> Options {
    let mut options = options.clone();
    let names: Vec<&str> = experiments.iter().map(Experiment::name).collect();
    options.title.get_or_insert_with(|| names.join(", "));
    options.how_made.extend(gathered.how_made.iter().cloned());
    options
}

impl Experiment {
    /// Writes the report of this experiment's runs: what they show in a sentence, charts, the runs, how each was made, and how
    /// each figure was measured, in one HTML file that needs nothing else.
    ///
    /// # Errors
    /// [`Error::Store`] if the runs cannot be read; [`Error::Report`] if the file cannot be written.
    pub fn report(&self, path: impl AsRef<Path>) -> Result<Report> {
        self.report_with(path, &Options::default())
    }

    /// As [`Experiment::report`], with a title, an author, notes and more of one's own.
    ///
    /// # Errors
    /// As [`Experiment::report`]; [`Error::Report`] also for a run that the options name and that is not there, and for
    /// templates that cannot be read or filled.
    pub fn report_with(&self, path: impl AsRef<Path>, options: &Options) -> Result<Report> {
        report_on(std::slice::from_ref(self), path, options)
    }

    /// The charts of the report by name, as `class-balance` or `time-spent`: by the same code, to show in a notebook or to save.
    ///
    /// # Errors
    /// As [`Experiment::report_with`].
    pub fn charts(&self, options: &Options) -> Result<Vec<(&'static str, Chart)>> {
        let charts = charts(std::slice::from_ref(self), options)?;
        Ok(charts.into_iter().map(|(name, svg)| (name, Chart(svg))).collect())
    }

    /// The figures of the report, for programs: accuracy, speedup and accuracy lost by strategy and fraction, with their
    /// intervals, and each strategy that chooses beside fresh random.
    ///
    /// # Errors
    /// As [`Experiment::report`].
    pub fn summary(&self) -> Result<Summary> {
        Ok(glisten_reports::summary::summarize(&self.runs()?)?)
    }
}
