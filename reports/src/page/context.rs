//! What the template sees: every number already a text, every name already short. The template computes nothing.

use super::Options;
use crate::chart::Svg;
use crate::statistics::Estimate;
use crate::summary::{
    BesidePublished, Comparison, KEPT_ENOUGH, Outcome, Published, Row, SettingSummary, Summary,
    beside_published, setting_name, signed_points,
};
use crate::table::Run;
use crate::wording::{self, FULL, count, percent, shorten};
use serde::Serialize;
use std::collections::BTreeSet;

/// What stands where there is no figure.
const NONE: &str = "–";
const LONGEST_NAME: usize = 48;
const LONGEST_HOVER: usize = 300;
const LONGEST_LINE: usize = 2000;

#[derive(Debug, Serialize)]
pub(super) struct Page {
    title: String,
    subtitle: Vec<String>,
    headline: String,
    caveats: Vec<String>,
    has_runs: bool,
    charts: Vec<Chart>,
    chart_setting: Option<String>,
    settings: Vec<SettingPart>,
    runs: RunsPart,
    kept_enough: String,
    has_published: bool,
    how_made: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Chart {
    title: String,
    svg: String,
    caption: &'static str,
    is_wide: bool,
}

#[derive(Debug, Serialize)]
struct SettingPart {
    name: Option<String>,
    rows: Vec<RowLine>,
    comparisons: Vec<ComparisonLine>,
    published: Vec<PublishedLine>,
}

#[derive(Debug, Serialize)]
struct PublishedLine {
    source: String,
    fraction: String,
    published_speedup: String,
    speedup: String,
    speedup_class: &'static str,
    published_lost: String,
    lost: String,
    lost_class: &'static str,
    why_not: String,
}

#[derive(Debug, Serialize)]
struct RowLine {
    strategy: String,
    class: &'static str,
    fraction: String,
    seeds: String,
    accuracy: String,
    kept: String,
    lost: String,
    speedup: String,
    wall_ratio: String,
    training: String,
    selection: String,
}

#[derive(Debug, Serialize)]
struct ComparisonLine {
    fraction: String,
    glister: String,
    random: String,
    difference: String,
    glister_speedup: String,
    random_speedup: String,
    class: &'static str,
    verdict: &'static str,
}

/// The runs table; a column that no run fills is left out.
#[derive(Debug, Serialize)]
struct RunsPart {
    count: String,
    columns: Vec<RunColumn>,
    rows: Vec<Vec<RunCell>>,
}

#[derive(Debug, Serialize)]
struct RunColumn {
    name: &'static str,
    class: &'static str,
}

#[derive(Debug, Serialize)]
struct RunCell {
    text: String,
    /// The whole name, where `text` is a shortened one.
    hover: Option<String>,
    class: &'static str,
}

impl Page {
    pub(super) fn new(
        summary: &Summary,
        runs: &[Run],
        charts: &[Svg; 3],
        more_charts: &[(Svg, &'static str)],
        options: &Options,
    ) -> Self {
        let several = summary.settings.len() > 1;
        let has_intervals = summary.settings.first().is_some_and(|setting| {
            setting.rows.iter().any(|row| row.accuracy.is_some_and(|accuracy| accuracy.half_width.is_some()))
        });
        let captions = [
            if has_intervals {
                "Mean over seeds; whiskers and the band of full data are 95 % intervals. The vertical axis does not start at zero."
            } else {
                "One seed each, so there are no intervals. The vertical axis does not start at zero."
            },
            "Training steps and choosing, full data ÷ subset; the lower line is full data itself, 1 ×.",
            "One line a run, measured after each epoch. Within a strategy, solid is the largest fraction.",
        ];
        let usual = charts.iter().zip(captions).enumerate();
        let chart = |svg: &Svg, caption, is_wide| Chart {
            title: svg.title().to_owned(),
            svg: svg.as_str().to_owned(),
            caption,
            is_wide,
        };
        let charts = usual
            .map(|(i, (svg, caption))| chart(svg, caption, i == 2))
            .chain(more_charts.iter().map(|(svg, caption)| chart(svg, caption, true)))
            .collect();
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
        Self {
            title: options
                .title
                .as_deref()
                .map_or("How much of the data is needed?".to_owned(), |t| shorten(t, 160)),
            subtitle,
            headline: wording::keep_together(&summary.headline),
            caveats: summary.caveats.iter().map(|text| wording::keep_together(text)).collect(),
            has_runs: summary.n_runs > 0,
            charts,
            chart_setting: summary.settings.first().filter(|_| several).map(|one| setting_name(&one.setting)),
            settings: summary
                .settings
                .iter()
                .map(|setting| SettingPart::new(setting, several, &options.published))
                .collect(),
            runs: RunsPart::new(runs, counted),
            kept_enough: wording::keep_together(&percent(KEPT_ENOUGH)),
            has_published: !options.published.is_empty() && !summary.settings.is_empty(),
            how_made: options.how_made.iter().map(|text| shorten(text, LONGEST_LINE)).collect(),
        }
    }
}

impl SettingPart {
    fn new(setting: &SettingSummary, several: bool, published: &[Published]) -> Self {
        Self {
            name: several.then(|| setting_name(&setting.setting)),
            rows: setting.rows.iter().map(RowLine::new).collect(),
            comparisons: setting.comparisons.iter().map(ComparisonLine::new).collect(),
            published: beside_published(setting, published).iter().map(PublishedLine::new).collect(),
        }
    }
}

impl PublishedLine {
    fn new(one: &BesidePublished) -> Self {
        let class = |met: Option<bool>| match met {
            Some(true) => "number won",
            Some(false) => "number lost",
            None => "number open",
        };
        Self {
            source: shorten(&one.published.source, LONGEST_NAME),
            fraction: percent(one.published.fraction),
            published_speedup: wording::times(one.published.speedup),
            speedup: show(one.speedup.as_ref(), wording::times_with_interval),
            speedup_class: class(one.faster),
            published_lost: wording::fixed(one.published.accuracy_lost, 2),
            lost: show(one.accuracy_lost.as_ref(), wording::points),
            lost_class: class(one.more_accurate),
            why_not: if one.why_not.is_empty() {
                "better in both".to_owned()
            } else {
                wording::keep_together(&one.why_not)
            },
        }
    }
}

impl RowLine {
    fn new(row: &Row) -> Self {
        let is_full = row.strategy == FULL;
        let reference = |text: String| if is_full { "reference".to_owned() } else { text };
        Self {
            strategy: wording::strategy(&row.strategy),
            class: strategy_class(Some(&row.strategy)),
            fraction: percent(row.fraction),
            seeds: row.n_seeds.to_string(),
            accuracy: show(row.accuracy.as_ref(), wording::accuracy),
            kept: reference(show(row.accuracy_kept.as_ref(), |kept| {
                format!("{} %", wording::fixed(kept * 100.0, 1))
            })),
            lost: reference(show(row.accuracy_lost.as_ref(), wording::points)),
            speedup: reference(show(row.speedup.as_ref(), wording::times_with_interval)),
            wall_ratio: reference(show(row.wall_ratio.as_ref(), |ratio| wording::times(ratio.mean))),
            training: show(row.training_seconds.as_ref(), |value| wording::seconds(*value)),
            selection: show(row.selection_seconds.as_ref(), |value| wording::seconds(*value)),
        }
    }
}

impl ComparisonLine {
    fn new(comparison: &Comparison) -> Self {
        let (class, verdict) = match comparison.outcome {
            Outcome::GlisterBetter => ("won", "GLISTER is better"),
            Outcome::RandomBetter => ("lost", "Fresh random is better"),
            Outcome::NoDifferenceShown => ("open", "No difference shown"),
            Outcome::TooFewSeeds => ("open", "Too few seeds to tell"),
            Outcome::RandomMissing => ("open", "Fresh random is missing"),
            Outcome::AccuracyMissing => ("open", "Test accuracy is missing"),
        };
        let speedup = |value: &Option<Estimate>| show(value.as_ref(), wording::times_with_interval);
        Self {
            fraction: percent(comparison.fraction),
            glister: show(comparison.glister.as_ref(), wording::accuracy),
            random: show(comparison.random.as_ref(), wording::accuracy),
            difference: show(comparison.difference.as_ref(), signed_points),
            glister_speedup: speedup(&comparison.glister_speedup),
            random_speedup: speedup(&comparison.random_speedup),
            class,
            verdict,
        }
    }
}

impl RunsPart {
    fn new(runs: &[Run], count: String) -> Self {
        let mut sorted: Vec<&Run> = runs.iter().collect();
        // Best first; runs without the metric last, in their order.
        sorted.sort_by(|a, b| {
            let key = |run: &Run| run.validation_accuracy_max.unwrap_or(f64::NEG_INFINITY);
            key(b).total_cmp(&key(a))
        });
        type Show = fn(&Run) -> Option<String>;
        let columns: [(&'static str, &'static str, Show); 14] = [
            ("Run", "name", |run| Some(run.name.clone())),
            ("Experiment", "name", |run| run.experiment.clone()),
            ("Status", "", |run| Some(run.status.clone())),
            ("Strategy", "strategy", |run| run.strategy.as_deref().map(wording::strategy)),
            ("Fraction", "number", |run| run.fraction.map(percent)),
            ("Seed", "number", |run| run.seed.map(|seed| seed.to_string())),
            ("Epochs", "number", |run| run.epochs.map(|epochs| epochs.to_string())),
            ("Best validation accuracy", "number", |run| {
                run.validation_accuracy_max.map(|v| wording::fixed(v, 4))
            }),
            ("Test accuracy", "number", |run| run.test_accuracy.map(|v| wording::fixed(v, 4))),
            ("Least validation loss", "number", |run| run.validation_loss_min.map(|v| wording::fixed(v, 4))),
            ("Training", "number", |run| run.training_seconds.map(wording::seconds)),
            ("Choosing", "number", |run| run.selection_seconds.map(wording::seconds)),
            ("Whole run", "number", |run| run.wall_seconds.map(wording::seconds)),
            ("Data set, model", "name", data_and_model),
        ];
        // A column in which every run says the same, or nothing, belongs above the table, not in it.
        let is_constant = |name: &str, show: Show| {
            let values: BTreeSet<Option<String>> = sorted.iter().map(|run| show(run)).collect();
            let may_go = matches!(name, "Experiment" | "Epochs" | "Data set, model")
                || (name == "Status" && sorted.iter().all(|run| run.is_completed()));
            values.len() <= 1 && (may_go || values.contains(&None))
        };
        let kept: Vec<_> = columns.into_iter().filter(|(name, _, show)| !is_constant(name, *show)).collect();
        let rows = sorted
            .iter()
            .map(|run| kept.iter().map(|(_, class, show)| cell(run, class, show(run))).collect())
            .collect();
        let columns = kept
            .iter()
            .map(|(name, class, _)| RunColumn { name, class: if *class == "strategy" { "" } else { class } })
            .collect();
        Self { count, columns, rows }
    }
}

fn data_and_model(run: &Run) -> Option<String> {
    let parts: Vec<&str> = [&run.dataset, &run.model].into_iter().flatten().map(String::as_str).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn cell(run: &Run, class: &'static str, value: Option<String>) -> RunCell {
    let whole = value.unwrap_or_else(|| NONE.to_owned());
    let text = shorten(&whole, LONGEST_NAME);
    let hover = (text != whole).then(|| shorten(&whole, LONGEST_HOVER));
    let class = if class == "strategy" { strategy_class(run.strategy.as_deref()) } else { class };
    RunCell { text, hover, class }
}

/// The class that gives a strategy its colour in tables.
fn strategy_class(strategy: Option<&str>) -> &'static str {
    match strategy {
        Some(FULL) => "key full",
        Some(wording::GLISTER) => "key glister",
        Some(wording::FRESH_RANDOM) => "key fresh",
        Some(wording::FIXED_RANDOM) => "key fixed",
        _ => "key",
    }
}

fn show<T: ?Sized>(value: Option<&T>, as_text: impl Fn(&T) -> String) -> String {
    value.map_or(NONE.to_owned(), as_text)
}
