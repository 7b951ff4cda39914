//! What the templates see: plain structs that any template engine could take. Every number in them is already a text, every
//! name already short and harmless, so that a template computes nothing.
//!
//! A folder of one's own ([`crate::Options::templates`]) may hold files that take the place of the report's templates of the
//! same names: `report.html`, the page itself, which includes one file for each part (`answer.html`, `notes.html`,
//! `strategies.html`, `charts.html`, `comparison.html`, `published.html`, `selections.html`, `parameters.html`, `runs.html`,
//! `data.html`, `reproduce.html`, `method.html`; and `figures.html`, the table below a chart), `report.css`, its style, and `report.js`,
//! its script. What is not there is the report's own. The templates are [minijinja](https://docs.rs/minijinja)'s; they
//! see the fields of [`Page`], and beside them `style` and `script`, the text of `report.css` and `report.js`, and
//! `script_hash`, by which the page's Content-Security-Policy lets that script, and no other, run. Texts are escaped where
//! they are put in, but for `svg` and `html`, which are markup already and are put in by `|safe`.

mod details;
mod figures;
mod runs;
mod selections;

pub(crate) use details::Read;
pub use details::{CommandLine, Fact, Parameter, Parameters, Reproduce, ValueCount};
pub use figures::{ComparisonLine, PublishedLine, RowLine, SettingPart};
pub use runs::{RunCell, RunColumn, RunsPart};
pub use selections::{Picture, Selections, Sheet};

use crate::chart::Svg;
use crate::error::Result;
use crate::options::{Options, Section, Theme};
use crate::selections::ContactSheet;
use crate::summary::{KEPT_ENOUGH, Summary, setting_name};
use crate::table::Run;
use crate::wording::{self, count, percent, shorten};
use serde::Serialize;
use std::path::{Component, Path};

/// What stands where there is no figure.
const NONE: &str = "–";
const LONGEST_NAME: usize = 48;
const LONGEST_HOVER: usize = 300;
const LONGEST_LINE: usize = 2000;

/// A whole report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// The heading.
    pub title: String,
    /// Setting, number of runs, author, time of writing: what stands in a line below the heading.
    pub subtitle: Vec<String>,
    /// Light, dark, or as the reader prefers.
    pub theme: Theme,
    /// The answer, in a sentence or two.
    pub headline: String,
    /// The other strategies that choose beside the headline's, in a sentence; none where no other chooses.
    pub others: Option<String>,
    /// Whether the headline is not to be relied on; it says why.
    pub is_weak: bool,
    /// What weakens the answer or is missing for it, one sentence each.
    pub caveats: Vec<String>,
    /// Whether there is any run.
    pub has_runs: bool,
    /// The user's notes as HTML without anything that could do harm.
    pub notes_html: Option<String>,
    /// The charts, without that of the selections.
    pub charts: Vec<Chart>,
    /// The setting that the charts are for, where there are several.
    pub chart_setting: Option<String>,
    /// The figures of each setting.
    pub settings: Vec<SettingPart>,
    /// What was chosen; none where that section is left out or there is no run.
    pub selections: Option<Selections>,
    /// In what the runs differ; none where that section is left out or there is no run.
    pub parameters: Option<Parameters>,
    /// The table of runs; none where that section is left out or there is no run.
    pub runs: Option<RunsPart>,
    /// Where the numbers lie beside the report; none where they were not asked for.
    pub data: Option<DataPart>,
    /// How the runs were made; none where that section is left out.
    pub reproduce: Option<Reproduce>,
    /// The share of full-data accuracy that counts as kept.
    pub kept_enough: String,
    /// Whether to show the table of strategies.
    pub shows_strategies: bool,
    /// Whether to set what chooses beside fresh random.
    pub shows_comparison: bool,
    /// Whether to set GLISTER beside figures in print.
    pub shows_published: bool,
    /// Whether to say what each figure means.
    pub shows_method: bool,
}

/// A chart and its numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    /// A name for it within the page.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// The `<svg>` element.
    pub svg: String,
    /// How to read it.
    pub caption: String,
    /// Whether it takes the whole width.
    pub is_wide: bool,
    /// The columns of its numbers; none where they stand elsewhere, as the caption says.
    pub columns: Vec<String>,
    /// Its numbers, as texts.
    pub rows: Vec<Vec<String>>,
}

impl Chart {
    /// A chart under a name, with how to read it.
    pub(crate) fn new(id: &str, svg: &Svg, caption: impl Into<String>, is_wide: bool) -> Self {
        let figures = svg.figures();
        Self {
            id: id.to_owned(),
            title: svg.title().to_owned(),
            svg: svg.as_str().to_owned(),
            caption: wording::keep_together(&caption.into()),
            is_wide,
            columns: figures.columns.clone(),
            rows: figures.rows.clone(),
        }
    }
}

/// Where the numbers lie beside the report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataPart {
    /// The folder, as seen from the report; none where they lie in the report's own.
    pub folder: Option<String>,
}

impl DataPart {
    fn new(folder: &Path) -> Self {
        let leads_out = folder.is_absolute() || folder.components().any(|part| part == Component::ParentDir);
        let shown = if leads_out { folder.file_name().map(Path::new) } else { Some(folder) };
        let parts = shown.into_iter().flat_map(Path::components).filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy()),
            _ => None,
        });
        let name = parts.collect::<Vec<_>>().join("/");
        Self { folder: (!name.is_empty()).then(|| shorten(&name, LONGEST_HOVER)) }
    }
}

/// What a page is made of, drawn and read.
pub(crate) struct Parts<'a> {
    pub(crate) summary: &'a Summary,
    pub(crate) runs: &'a [Run],
    pub(crate) charts: Vec<Chart>,
    pub(crate) class_chart: Option<Chart>,
    pub(crate) contact_sheets: &'a [ContactSheet],
    pub(crate) not_shown: &'a [String],
    pub(crate) details: Read,
    pub(crate) baseline: Option<&'a Run>,
}

impl Page {
    pub(crate) fn new(parts: Parts<'_>, options: &Options) -> Result<Self> {
        let Parts { summary, runs, charts, class_chart, contact_sheets, not_shown, details, baseline } =
            parts;
        let several = summary.settings.len() > 1;
        let has_runs = summary.n_runs > 0;
        let shows = |section: Section| has_runs && options.shows(section);
        let n_not_completed = summary.n_runs - summary.n_completed;
        let counted = if n_not_completed == 0 {
            count(summary.n_runs, "completed run", "completed runs")
        } else {
            format!("{} of {} completed", summary.n_completed, count(summary.n_runs, "run", "runs"))
        };
        let mut subtitle: Vec<String> = Vec::new();
        if let [setting] = &summary.settings[..] {
            subtitle.push(setting_name(&setting.setting));
        }
        subtitle.push(counted.clone());
        subtitle.extend(
            [&options.author, &options.written_at].into_iter().flatten().map(|text| shorten(text, 120)),
        );
        let selections = shows(Section::Selections)
            .then(|| Selections::new(class_chart, contact_sheets, not_shown))
            .transpose()?;
        let notes = options.notes.as_deref().filter(|notes| !notes.trim().is_empty());
        let reproduce = Reproduce::new(&details, options);
        Ok(Self {
            title: options
                .title
                .as_deref()
                .map(|title| shorten(title, 160))
                .filter(|title| !title.trim().is_empty())
                .unwrap_or_else(|| "How much of the data is needed?".to_owned()),
            subtitle,
            theme: options.theme,
            headline: wording::keep_together(&summary.headline),
            others: summary.others.as_deref().map(wording::keep_together),
            is_weak: !summary.weaknesses.is_empty(),
            caveats: summary.caveats.iter().map(|text| wording::keep_together(text)).collect(),
            has_runs,
            notes_html: notes.filter(|_| options.shows(Section::Notes)).map(crate::notes::to_html),
            charts,
            chart_setting: summary.settings.first().filter(|_| several).map(|one| setting_name(&one.setting)),
            settings: summary
                .settings
                .iter()
                .map(|setting| SettingPart::new(setting, several, &options.published))
                .collect(),
            selections,
            runs: shows(Section::Runs).then(|| RunsPart::new(runs, &details, baseline, counted)),
            parameters: shows(Section::Parameters).then(|| Parameters::new(&details, baseline)),
            data: options.data.as_deref().map(DataPart::new),
            reproduce: (options.shows(Section::Reproduce) && (has_runs || !options.how_made.is_empty()))
                .then_some(reproduce),
            kept_enough: wording::keep_together(&percent(KEPT_ENOUGH)),
            shows_strategies: shows(Section::Strategies) && !summary.settings.is_empty(),
            shows_comparison: shows(Section::Comparison) && !summary.settings.is_empty(),
            shows_published: shows(Section::Published)
                && !options.published.is_empty()
                && !summary.settings.is_empty(),
            shows_method: options.shows(Section::Method),
        })
    }
}

fn show<T: ?Sized>(value: Option<&T>, as_text: impl Fn(&T) -> String) -> String {
    value.map_or(NONE.to_owned(), as_text)
}
