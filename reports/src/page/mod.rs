//! The whole report: options and tables in, one HTML file out.

mod template;

use crate::balance::balances;
use crate::chart::{self, Svg};
use crate::context::{Chart, Page, Parts, Read};
use crate::error::{Error, Result};
use crate::options::{Options, Section, is_called};
use crate::selections::{Cell, ContactSheet, cells_of};
use crate::summary::{Summary, summarize_runs};
use crate::table::{METRICS, Run, metric_names, read_runs, read_series, required};
use crate::wording::shorten;
use polars::prelude::{BooleanChunked, DataFrame};
use std::collections::HashSet;

/// What a report is made of. What is not there is said to be missing.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    /// One row a run.
    pub runs: &'a DataFrame,
    /// One row a value of a metric.
    pub metrics: &'a DataFrame,
    /// How many samples of each class the runs chose: see [`chart::class_balance`].
    pub classes: Option<&'a DataFrame>,
    /// The most and least chosen images, one sheet a strategy and fraction; see [`cells`].
    pub images: &'a [ContactSheet],
    /// What is not known of what was chosen, and why, in sentences. Where there are none, the report has its own.
    pub not_shown: &'a [String],
}

impl<'a> Tables<'a> {
    /// Runs and metrics, without what they chose.
    pub fn new(runs: &'a DataFrame, metrics: &'a DataFrame) -> Self {
        Self { runs, metrics, classes: None, images: &[], not_shown: &[] }
    }
}

/// The report of some runs and their metrics: see [`render_tables`].
///
/// # Errors
/// As [`render_tables`].
pub fn render(runs: &DataFrame, metrics: &DataFrame, options: &Options) -> Result<String> {
    render_tables(Tables::new(runs, metrics), options)
}

/// The report as one HTML file: nothing loaded from anywhere, light and dark by the reader's preference, readable without
/// its few lines of script, which sort the table of runs.
///
/// # Errors
/// [`Error::Column`] and [`Error::MissingColumn`] where a table cannot be read; [`Error::UnknownRun`] where the options name
/// a run that is not there; [`Error::Templates`] and [`Error::Template`] where the user's templates cannot be read or filled;
/// [`Error::Image`] where an image is not what it says it is; [`Error::Drawing`] only through a fault of this crate.
pub fn render_tables(tables: Tables<'_>, options: &Options) -> Result<String> {
    template::fill(&page(tables, options)?, options.templates.as_deref())
}

/// What the templates of a report see.
///
/// # Errors
/// As [`render_tables`].
pub fn page(tables: Tables<'_>, options: &Options) -> Result<Page> {
    let drawn = Drawn::new(tables, options)?;
    let charts =
        if options.shows(Section::Charts) && drawn.summary.n_runs > 0 { drawn.charts()? } else { Vec::new() };
    let class_chart = if options.shows(Section::Selections) { drawn.class_chart()? } else { None };
    let details = Read::of(&drawn.table, &drawn.runs)?;
    let parts = Parts {
        summary: &drawn.summary,
        runs: &drawn.runs,
        charts: charts.iter().map(|(id, svg, caption)| Chart::new(id, svg, caption, !is_half(id))).collect(),
        class_chart: class_chart.map(|(id, svg, caption)| Chart::new(id, &svg, caption, true)),
        contact_sheets: tables.images,
        not_shown: tables.not_shown,
        details,
        baseline: drawn.baseline.as_ref(),
    };
    Page::new(parts, options)
}

/// The figures and sentences of a report: [`crate::summary::summarize`] of the runs that the options name.
///
/// # Errors
/// As [`render_tables`].
pub fn summary_of(tables: Tables<'_>, options: &Options) -> Result<Summary> {
    Ok(Drawn::new(tables, options)?.summary)
}

/// The strategies and fractions whose selections a report of these runs shows, in its order: those of the runs that the options
/// name and of the setting that the charts are for. To make [`Tables::classes`] and [`Tables::images`] of.
///
/// # Errors
/// As [`render_tables`].
pub fn cells(runs: &DataFrame, options: &Options) -> Result<Vec<Cell>> {
    let no_metrics = DataFrame::empty();
    let drawn = Drawn::new(Tables::new(runs, &no_metrics), options)?;
    let setting = drawn.summary.settings.first();
    Ok(setting.map(|one| cells_of(&drawn.runs, &one.setting)).unwrap_or_default())
}

/// The charts of a report by name, as `accuracy-versus-fraction`: to save each as a file.
///
/// # Errors
/// As [`render_tables`].
pub fn charts(tables: Tables<'_>, options: &Options) -> Result<Vec<(&'static str, Svg)>> {
    let drawn = Drawn::new(tables, options)?;
    if drawn.summary.n_runs == 0 {
        return Ok(Vec::new());
    }
    Ok(drawn.charts()?.into_iter().chain(drawn.class_chart()?).map(|(id, svg, _)| (id, svg)).collect())
}

/// A name, a chart, and how to read it.
type Captioned = (&'static str, Svg, String);

/// Two of these stand side by side.
fn is_half(id: &str) -> bool {
    id.ends_with("-versus-fraction")
}

/// The runs to report on, read.
struct Drawn<'a> {
    tables: Tables<'a>,
    /// The table of runs, without those that are not asked for.
    table: DataFrame,
    runs: Vec<Run>,
    summary: Summary,
    baseline: Option<Run>,
    is_chosen: bool,
}

impl<'a> Drawn<'a> {
    fn new(tables: Tables<'a>, options: &Options) -> Result<Self> {
        let all = read_runs(tables.runs)?;
        let baseline = options.baseline.as_deref().map(|name| find(&all, name).cloned()).transpose()?;
        let is_chosen = !options.runs.is_empty();
        let (table, runs) = if is_chosen {
            for pattern in &options.runs {
                if !all.iter().any(|run| is_called(pattern, &run.name)) {
                    return Err(unknown(&all, pattern));
                }
            }
            let mask: Vec<bool> = all.iter().map(|run| options.is_wanted(&run.name)).collect();
            let table = tables.runs.filter(&BooleanChunked::from_iter(mask))?;
            let runs = read_runs(&table)?;
            (table, runs)
        } else {
            (tables.runs.clone(), all)
        };
        let summary = summarize_runs(&runs);
        Ok(Self { tables, table, runs, summary, baseline, is_chosen })
    }

    fn charts(&self) -> Result<Vec<Captioned>> {
        let summary = &self.summary;
        let has_intervals = summary.settings.first().is_some_and(|setting| {
            setting.rows.iter().any(|row| row.accuracy.is_some_and(|accuracy| accuracy.half_width.is_some()))
        });
        let intervals = if has_intervals {
            "Mean over seeds; whiskers and the band of full data are 95 % intervals. The vertical axis does not start at zero."
        } else {
            "One seed each, so there are no intervals. The vertical axis does not start at zero."
        };
        let mut charts: Vec<Captioned> = vec![
            ("accuracy-versus-fraction", chart::accuracy_of(summary)?, intervals.to_owned()),
            (
                "speedup-versus-fraction",
                chart::speedup_of(summary)?,
                "Training steps and choosing, full data ÷ subset; the lower line is full data itself, 1 ×."
                    .to_owned(),
            ),
        ];
        if summary
            .settings
            .first()
            .is_none_or(|setting| setting.rows.iter().all(|row| row.training_seconds.is_none()))
        {
            charts.extend(self.scatter()?);
        } else {
            charts.push((
                "accuracy-versus-time",
                chart::tradeoff_of(summary)?,
                "One mark a strategy and fraction, mean over seeds; further left and higher is better. Those with a ring are on \
                 the Pareto front: nothing else is both faster and as accurate."
                    .to_owned(),
            ));
        }
        charts.push(self.per_epoch()?);
        let bars = chart::bars_of_time_spent(summary, &self.runs);
        let rest = "Evaluation and the rest is what remains of the whole run: passes made to report, reading data, saving.";
        charts.push(("time-spent", chart::time_spent_of(summary, &self.runs)?, format!("{bars} {rest}")));
        charts.extend(self.parallel()?);
        Ok(charts)
    }

    /// The metric that the runs are sorted by; another accuracy where it was not kept.
    fn per_epoch(&self) -> Result<Captioned> {
        let metrics = self.tables.metrics;
        let measured = metric_names(metrics)?;
        if metrics.height() > 0 {
            required(metrics, METRICS, "metric")?;
        }
        let shown = ["validation:accuracy", "test:accuracy", "train:accuracy"]
            .into_iter()
            .find(|name| measured.contains(*name))
            .unwrap_or("validation:accuracy");
        let mut series = read_series(metrics, shown)?;
        if self.is_chosen {
            let names: HashSet<&str> = self.runs.iter().map(|run| run.name.as_str()).collect();
            series.retain(|one| names.contains(one.run.as_str()));
        }
        let n_drawn = series.iter().filter(|one| !one.points.is_empty()).count();
        let caption = if chart::shows_bands(n_drawn) {
            format!(
                "Bands, since {n_drawn} lines would hide each other: the line is the middle of the runs, the plainer band holds \
                 eight tenths of them, the faint one all."
            )
        } else {
            "One line a run, measured after each epoch. Within a strategy, solid is the largest fraction."
                .to_owned()
        };
        Ok(("metric-per-epoch", chart::per_step_of(&series, &self.runs, shown)?, caption))
    }

    /// For runs that did not record what training took: the time from start to end.
    fn scatter(&self) -> Result<Option<Captioned>> {
        const SECONDS: &str = "run:seconds.last";
        let Some(reached) = self.reached() else { return Ok(None) };
        if chart::varying(&self.table, &[SECONDS]).is_empty() {
            return Ok(None);
        }
        let caption = "One mark a run: the seconds it took from its start to its end, and what it reached. The numbers are in \
                       the table of all runs.";
        Ok(Some((
            "accuracy-versus-seconds",
            chart::scatter(&self.table, SECONDS, reached, None)?,
            caption.to_owned(),
        )))
    }

    /// How what the runs reached hangs together with the parameters in which they differ.
    fn parallel(&self) -> Result<Option<Captioned>> {
        let Some(reached) = self.reached() else { return Ok(None) };
        let mut columns = chart::varying(&self.table, &PARAMETERS);
        if columns.len() < 2 {
            return Ok(None);
        }
        columns.push(reached);
        let caption = "One line a run, over the parameters in which the runs differ; the warmer, the more accurate. The numbers \
                       are in the table of all runs.";
        Ok(Some((
            "parameters",
            chart::parallel_coordinates(&self.table, &columns, Some(reached))?,
            caption.to_owned(),
        )))
    }

    fn reached(&self) -> Option<&'static str> {
        chart::varying(&self.table, &["test:accuracy.last", "validation:accuracy.max"]).first().copied()
    }

    fn class_chart(&self) -> Result<Option<Captioned>> {
        let Some(classes) = self.tables.classes else { return Ok(None) };
        let balances = balances(classes, &self.runs, self.summary.settings.first())?;
        let whose = match &balances.cells[..] {
            [] => return Ok(None),
            [one] => format!("{}.", one.about()),
            _ => "One panel a strategy and fraction, all on the same scales.".to_owned(),
        };
        let more = match balances.n_more {
            0 => String::new(),
            n => format!(" The {n} largest fractions beside these are left out."),
        };
        let caption = format!(
            "{whose} Above 1 × a class is chosen more often than its share of all of the data, below 1 × less often.{more}"
        );
        Ok(Some(("class-balance", chart::class_balance_of(&balances)?, caption)))
    }
}

/// What a table of runs may vary in, beside the data.
const PARAMETERS: [&str; 18] = [
    "strategy",
    "fraction",
    "seed",
    "dataset",
    "model",
    "epochs",
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "schedule",
    "precision",
    "label_smoothing",
    "clip_grad_norm",
    "crop_padding",
    "select_every",
    "kappa",
    "pool",
];

fn find<'a>(runs: &'a [Run], name: &str) -> Result<&'a Run> {
    runs.iter().find(|run| run.name == name).ok_or_else(|| unknown(runs, name))
}

fn unknown(runs: &[Run], name: &str) -> Error {
    let likeness = |run: &&Run| strsim::jaro_winkler(name, &run.name);
    let mut near: Vec<&Run> = runs.iter().collect();
    near.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    let found: Vec<String> =
        near.into_iter().take(8).map(|run| format!("`{}`", shorten(&run.name, 80))).collect();
    let found = if found.is_empty() { "no run".to_owned() } else { found.join(", ") };
    Error::UnknownRun { name: shorten(name, 80), found }
}
