//! Where the time went: training, choosing, and everything else, as one bar a run, or of many runs one a strategy and fraction.

use super::frame::{Axis, Frame, LABEL_SIZE, empty, label_width, pixel, text};
use super::palette::{Ink, PAPER, QUIET, TEXT, of_part};
use super::svg::{About, Figures, Svg, finish};
use crate::error::Result;
use crate::summary::{Row, SettingSummary, setting_name, setting_of, strategy_rank};
use crate::table::Run;
use crate::wording::{self, FULL, percent, shorten};
use plotters::element::Rectangle;
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};
use std::cmp::Ordering;

const WIDTH: f64 = 960.0;
const TITLE: &str = "Where the time went";
/// Of more completed runs than this, there is a bar for each strategy and fraction instead.
const MOST_RUNS: usize = 40;
/// Of more bars than this, each is thinner.
const MOST_THICK: usize = 24;
/// Of more bars than this, the description names the longest and the shortest only.
const MOST_DESCRIBED: usize = 12;
/// More strategies and fractions than this are in the table alone.
const MOST_BARS: usize = 24;

/// The parts of a run, or their means over the runs of a strategy and fraction, in seconds.
struct Bar {
    label: String,
    strategy: String,
    training: f64,
    choosing: f64,
    /// Evaluation, reading data, saving; none where the whole time was not recorded.
    rest: Option<f64>,
}

impl Bar {
    fn total(&self) -> f64 {
        self.training + self.choosing + self.rest.unwrap_or(0.0)
    }
}

/// The completed runs of `setting` whose seconds of training and choosing are known, in the order of their bars; none where there are too many for a
/// bar each.
pub(super) fn each_run<'a>(setting: Option<&SettingSummary>, runs: &'a [Run]) -> Option<Vec<&'a Run>> {
    let setting = &setting?.setting;
    let is_known = |run: &&Run| run.strategy.is_some() && run.fraction.is_some() && of_run(run).is_some();
    let mut known: Vec<&Run> = runs
        .iter()
        .filter(|run| run.is_completed() && is_known(run) && setting_of(run) == *setting)
        .take(MOST_RUNS + 1)
        .collect();
    known.sort_by(|a, b| cell_order(a, b).then(a.seed.cmp(&b.seed)).then_with(|| a.name.cmp(&b.name)));
    (!known.is_empty() && known.len() <= MOST_RUNS).then_some(known)
}

/// By strategy, the larger fraction first.
fn cell_order(a: &Run, b: &Run) -> Ordering {
    fn of(run: &Run) -> ((usize, &str), f64) {
        (strategy_rank(run.strategy.as_deref().unwrap_or_default()), run.fraction.unwrap_or(1.0))
    }
    let ((strategy, fraction), (other, other_fraction)) = (of(a), of(b));
    strategy.cmp(&other).then(other_fraction.total_cmp(&fraction))
}

/// What the bars stand for, in a sentence.
pub(super) fn what_bars_are(setting: Option<&SettingSummary>, runs: &[Run]) -> &'static str {
    if each_run(setting, runs).is_some() {
        "One bar a run."
    } else if setting.is_some_and(|setting| setting.n_runs > MOST_RUNS) {
        "One bar a strategy and fraction, the mean over its runs, since there are more than 40 runs; the seconds of each run are \
         in the table of all runs."
    } else {
        "One bar a strategy and fraction, the mean over its runs."
    }
}

pub(super) fn draw(setting: Option<&SettingSummary>, runs: &[Run]) -> Result<Svg> {
    let rows = setting.map(|setting| setting.rows.as_slice()).unwrap_or_default();
    let each = each_run(setting, runs);
    let bars: Vec<Bar> = match &each {
        Some(runs) => runs.iter().filter_map(|run| of_run(run)).collect(),
        None => rows.iter().filter_map(of_row).collect(),
    };
    if bars.is_empty() {
        let sentence = "No completed run recorded the seconds of training and choosing.";
        let about =
            About { title: TITLE.to_owned(), description: sentence.to_owned(), width: WIDTH, height: 160.0 };
        return finish(about, |root| empty(root, WIDTH, 160.0, &[sentence.to_owned()]));
    }
    let drawn = if each.is_some() { &bars[..] } else { &bars[..bars.len().min(MOST_BARS)] };
    let thickness = if drawn.len() > MOST_THICK { 20.0 } else { 26.0 };
    let longest = drawn.iter().map(Bar::total).fold(0.0, f64::max);
    let (unit, seconds) = if longest < 300.0 {
        ("seconds", 1.0)
    } else if longest < 18_000.0 {
        ("minutes", 60.0)
    } else {
        ("hours", 3600.0)
    };
    let axis_title =
        if each.is_some() { format!("Of each run, {unit}") } else { format!("Mean of a run, {unit}") };
    let left = 20.0 + drawn.iter().map(|bar| label_width(&bar.label, LABEL_SIZE)).fold(20.0, f64::max);
    let right = 96.0;
    let top = 36.0;
    let height = top + thickness * drawn.len() as f64 + 54.0;
    let frame = Frame { width: WIDTH, height, left, right, top, bottom: 48.0 };
    let mut x = Axis::round(0.0, longest / seconds, 8, axis_title);
    // The axis ends with the longest bar, so that its label has room.
    x.high = longest / seconds;
    x.ticks.retain(|tick| tick.0 <= x.high * (1.0 + 1e-9));
    let y = Axis { low: 0.0, high: drawn.len() as f64, ticks: Vec::new(), title: String::new() };
    let about = About {
        title: TITLE.to_owned(),
        description: describe(setting, &bars, each.is_some()),
        width: WIDTH,
        height,
    };
    let svg = finish(about, |root| {
        frame.draw(root, &x, &y)?;
        let mut at = left;
        for (name, ink) in parts() {
            root.draw(&filled(ink, (at, 10.0), (at + 14.0, 22.0)))?;
            text(root, name, (at + 20.0, 16.0), TEXT, LABEL_SIZE, (HPos::Left, VPos::Center))?;
            at += 20.0 + label_width(name, LABEL_SIZE) + 18.0;
        }
        for (i, bar) in drawn.iter().enumerate() {
            let upper = top + thickness * i as f64 + 5.0;
            let (middle, lower) = (upper + (thickness - 8.0) / 2.0, upper + thickness - 8.0);
            text(root, &bar.label, (left - 8.0, middle), TEXT, LABEL_SIZE, (HPos::Right, VPos::Center))?;
            let mut from = 0.0;
            for (part, (_, part_ink)) in
                [Some(bar.training), Some(bar.choosing), bar.rest].into_iter().zip(parts())
            {
                let to = from + part.unwrap_or(0.0);
                let (a, b) = (frame.x(&x, from / seconds), frame.x(&x, to / seconds));
                if b - a >= 0.3 {
                    root.draw(&filled(part_ink, (a, upper), (b, lower)))?;
                    if b - a > 4.0 {
                        // A line of paper parts the colours for those who see them alike.
                        root.draw(&filled(PAPER, (b - 1.0, upper), (b, lower)))?;
                    }
                }
                from = to;
            }
            let end = frame.x(&x, from / seconds) + 6.0;
            let total = wording::seconds(bar.total());
            text(root, &total, (end, middle), QUIET, LABEL_SIZE, (HPos::Left, VPos::Center))?;
        }
        Ok(())
    })?;
    Ok(svg.with_figures(figures(&bars, each.is_some())))
}

/// What a run's time goes into, in the order of the bars.
fn parts() -> [(&'static str, Ink); 3] {
    [("Training", of_part(0)), ("Choosing", of_part(1)), ("Evaluation and the rest", of_part(5))]
}

fn filled(ink: Ink, from: (f64, f64), to: (f64, f64)) -> Rectangle<(i32, i32)> {
    Rectangle::new([pixel(from.0, from.1), pixel(to.0, to.1)], ink.carrier().filled())
}

fn of_row(row: &Row) -> Option<Bar> {
    let label = named(&row.strategy, row.fraction);
    whole(label.clone(), label, row.training_seconds?, row.selection_seconds?, row.wall_seconds)
}

fn of_run(run: &Run) -> Option<Bar> {
    let strategy = named(run.strategy.as_deref().unwrap_or_default(), run.fraction.unwrap_or(1.0));
    let label = shorten(&run.name, 32);
    whole(label, strategy, run.training_seconds?, run.selection_seconds?, run.wall_seconds)
}

/// As "GLISTER 30 %".
fn named(strategy: &str, fraction: f64) -> String {
    let share = if strategy == FULL { String::new() } else { format!(" {}", percent(fraction)) };
    format!("{}{share}", wording::strategy(strategy))
}

/// None where a part is no number.
fn whole(label: String, strategy: String, training: f64, choosing: f64, wall: Option<f64>) -> Option<Bar> {
    let rest = wall.map(|wall| (wall - training - choosing).max(0.0));
    let is_drawable = [training, choosing, rest.unwrap_or(0.0)].iter().all(|seconds| seconds.is_finite());
    is_drawable.then_some(Bar { label, strategy, training, choosing, rest })
}

fn rest(bar: &Bar) -> String {
    bar.rest.map_or("not recorded".to_owned(), wording::seconds)
}

fn describe(setting: Option<&SettingSummary>, bars: &[Bar], is_each: bool) -> String {
    let of_which = setting.map(|one| format!("{}. ", setting_name(&one.setting))).unwrap_or_default();
    let one = |bar: &Bar| {
        format!(
            "{}: {} training, {} choosing, evaluation and the rest {}.",
            bar.label,
            wording::seconds(bar.training),
            wording::seconds(bar.choosing),
            rest(bar)
        )
    };
    if !is_each {
        let sentences: Vec<String> = bars.iter().take(MOST_BARS).map(one).collect();
        return format!("{of_which}Mean seconds of a run. {}", sentences.join(" "));
    }
    if bars.len() <= MOST_DESCRIBED {
        let sentences: Vec<String> = bars.iter().map(one).collect();
        return format!("{of_which}Seconds of each run. {}", sentences.join(" "));
    }
    let by_total = |a: &&Bar, b: &&Bar| a.total().total_cmp(&b.total());
    let ends = [bars.iter().max_by(by_total), bars.iter().min_by(by_total)];
    let ends: Vec<String> = ends.into_iter().flatten().map(one).collect();
    format!(
        "{of_which}Seconds of each of {} runs. The longest and the shortest: {}",
        bars.len(),
        ends.join(" ")
    )
}

fn figures(bars: &[Bar], is_each: bool) -> Figures {
    let (of_each, of_means): (&[&str], &[&str]) =
        (&["Run", "Strategy and fraction"], &["Strategy and fraction"]);
    let mut columns = if is_each { of_each } else { of_means }.to_vec();
    columns.extend(["Training", "Choosing", "Evaluation and the rest", "Whole run"]);
    let mut figures = Figures::new(&columns);
    let row = |bar: &Bar| {
        let mut row = vec![bar.label.clone()];
        row.extend(is_each.then(|| bar.strategy.clone()));
        row.extend([
            wording::seconds(bar.training),
            wording::seconds(bar.choosing),
            rest(bar),
            bar.rest.map_or("not recorded".to_owned(), |_| wording::seconds(bar.total())),
        ]);
        row
    };
    figures.rows = bars.iter().map(row).collect();
    figures
}
