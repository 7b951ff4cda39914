//! A metric over its steps, one line a run, labelled where the lines end; of many runs, bands.

use super::bands::{self, Spread, spread_of};
use super::frame::{
    Axis, Frame, Key, Mark, empty, faint_line, label_width, legend, legend_height, marker, pixel, spread,
    text,
};
use super::palette::{Ink, QUIET, of_run, of_strategy};
use super::svg::{About, Drawn, Figures, Root, Svg, finish};
use super::thin::thin;
use crate::error::Result;
use crate::summary::strategy_rank;
use crate::table::{Run, Series};
use crate::wording::{self, FULL, count, percent};
use plotters::element::PathElement;
use plotters::style::text_anchor::{HPos, VPos};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 430.0;
const MOST_POINTS_A_RUN: usize = 1000;
/// Over all runs: what keeps a chart of a thousand runs small.
const MOST_POINTS: usize = 40_000;
const MOST_LABELS: usize = 20;
/// More runs than this are drawn as bands: one for each strategy and fraction, or for each strategy.
pub(super) const MOST_LINES: usize = 60;
/// More bands than this would hide each other: then there is one for each strategy.
const MOST_BANDS: usize = 8;
/// Rows of the table; of more steps, these many are shown.
const MOST_ROWS: usize = 12;
/// More runs of unknown strategy than this share one colour.
const MOST_COLOURED_RUNS: usize = 12;
const LABEL_GAP: f64 = 14.0;
const LABEL_SIZE: f64 = 12.0;

/// The runs that share a colour and a label: a strategy and fraction, or a single run where these are not known.
struct Group<'a> {
    label: String,
    strategy: Option<String>,
    ink: Ink,
    series: Vec<&'a Series>,
}

pub(super) fn draw(series: &[Series], runs: &[Run], metric: &str) -> Result<Svg> {
    let name = metric_name(metric);
    let title = format!("{name} per epoch");
    let drawable: Vec<&Series> = series.iter().filter(|one| !one.points.is_empty()).collect();
    if drawable.is_empty() {
        let sentence = format!("No run has a finite value of {}.", wording::shorten(metric, 40));
        let about = About { title, description: sentence.clone(), width: WIDTH, height: 160.0 };
        return finish(about, |root| empty(root, WIDTH, 160.0, &[sentence]));
    }
    let is_banded = super::shows_bands(drawable.len());
    let mut groups = group(&drawable, runs);
    if is_banded && (groups.len() > MOST_BANDS || groups.iter().any(|group| group.label.is_empty())) {
        groups = by_strategy(groups);
    }
    let spreads: Vec<Vec<(f64, Spread)>> = groups.iter().map(|group| spread_of(&group.series)).collect();
    let (x, y) = axes(&drawable, metric, &name);
    let labelled = groups.len() <= MOST_LABELS && groups.iter().all(|group| !group.label.is_empty());
    let keys = if labelled { Vec::new() } else { keys_of(&groups, drawable.len()) };

    let widest = groups.iter().map(|group| label_width(&group.label, LABEL_SIZE)).fold(0.0, f64::max);
    let left = 20.0 + y.ticks.iter().map(|tick| label_width(&tick.1, LABEL_SIZE)).fold(20.0, f64::max);
    let right = if labelled { widest + 34.0 } else { 20.0 };
    let top = if keys.is_empty() { 32.0 } else { 34.0 + legend_height(&keys, WIDTH - left - right) };
    let frame = Frame { width: WIDTH, height: HEIGHT, left, right, top, bottom: 48.0 };
    let description = describe(&groups, &drawable, &name);
    let svg = finish(About { title, description, width: WIDTH, height: HEIGHT }, |root| {
        frame.draw(root, &x, &y)?;
        legend(root, &keys, left, 28.0, WIDTH - left - right)?;
        if is_banded {
            for (group, spreads) in groups.iter().zip(&spreads).rev() {
                bands::draw(root, &frame, (&x, &y), spreads, group.ink)?;
            }
        } else {
            lines(root, &frame, &groups, &x, &y, drawable.len())?;
        }
        if labelled { labels(root, &frame, &groups, &x, &y) } else { Ok(()) }
    })?;
    Ok(svg.with_figures(figures(&groups, &spreads)))
}

/// One group for each strategy, all of its fractions together.
fn by_strategy(groups: Vec<Group<'_>>) -> Vec<Group<'_>> {
    let mut merged: Vec<Group<'_>> = Vec::new();
    for group in groups {
        match merged.iter_mut().find(|one| one.strategy == group.strategy) {
            Some(one) => one.series.extend(group.series),
            None => {
                let label = match &group.strategy {
                    Some(strategy) => wording::strategy(strategy),
                    None => "Strategy unknown".to_owned(),
                };
                merged.push(Group { label, ink: Ink { dash: 0, ..group.ink }, ..group });
            }
        }
    }
    merged
}

/// The middle of the runs at some of the steps, with the lowest and highest where there are several runs.
fn figures(groups: &[Group<'_>], spreads: &[Vec<(f64, Spread)>]) -> Figures {
    let mut steps: Vec<f64> = spreads.iter().flatten().map(|one| one.0).collect();
    steps.sort_unstable_by(f64::total_cmp);
    steps.dedup();
    let mut figures = Figures::new(&["Epoch"]);
    figures.columns.extend(groups.iter().take(MOST_LABELS).enumerate().map(|(i, group)| {
        if group.label.is_empty() { format!("Run {}", i + 1) } else { group.label.clone() }
    }));
    figures.rows = super::spaced(&steps, MOST_ROWS)
        .into_iter()
        .map(|step| {
            let cell = |spreads: &Vec<(f64, Spread)>| {
                let found = spreads.binary_search_by(|one| one.0.total_cmp(&step)).ok();
                found.map_or("–".to_owned(), |at| {
                    let [low, _, middle, _, high] = spreads[at].1;
                    let middle = wording::fixed(middle, 3);
                    if low == high {
                        return middle;
                    }
                    format!("{middle} ({} to {})", wording::fixed(low, 3), wording::fixed(high, 3))
                })
            };
            let mut row = vec![wording::trimmed(step, 2)];
            row.extend(spreads.iter().take(MOST_LABELS).map(cell));
            row
        })
        .collect();
    figures
}

fn lines(root: &Root<'_>, frame: &Frame, groups: &[Group<'_>], x: &Axis, y: &Axis, n_runs: usize) -> Drawn {
    let limit = (MOST_POINTS / n_runs.max(1)).min(MOST_POINTS_A_RUN);
    let opacity = match n_runs {
        0..=12 => 1.0,
        13..=60 => 0.7,
        _ => 0.35,
    };
    let width = if n_runs <= 12 { 1.8 } else { 1.2 };
    // Full data last, on top of the others: everything is read against it.
    for group in groups.iter().rev() {
        for one in &group.series {
            let points = thin(&one.points, limit);
            let path: Vec<(i32, i32)> =
                points.iter().map(|(step, value)| pixel(frame.x(x, *step), frame.y(y, *value))).collect();
            if let [(step, value)] = points[..] {
                marker(root, group.ink, (frame.x(x, step), frame.y(y, value)), 3.0)?;
            } else {
                root.draw(&PathElement::new(path, faint_line(group.ink, width, opacity)))?;
            }
        }
    }
    Ok(())
}

fn labels(root: &Root<'_>, frame: &Frame, groups: &[Group<'_>], x: &Axis, y: &Axis) -> Drawn {
    let end = |group: &Group<'_>| {
        let lasts: Vec<(f64, f64)> =
            group.series.iter().filter_map(|one| one.points.last().copied()).collect();
        let n = lasts.len().max(1) as f64;
        let step = lasts.iter().map(|last| last.0).fold(f64::NEG_INFINITY, f64::max);
        (frame.x(x, step), frame.y(y, lasts.iter().map(|last| last.1 / n).sum()))
    };
    let mut wanted: Vec<((f64, f64), &Group<'_>)> = groups.iter().map(|group| (end(group), group)).collect();
    wanted.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
    let positions: Vec<f64> = wanted.iter().map(|(at, _)| at.1).collect();
    let placed = spread(&positions, LABEL_GAP, frame.top, frame.height - frame.bottom);
    let label_x = frame.width - frame.right + 24.0;
    for (((from_x, from_y), group), label_y) in wanted.into_iter().zip(placed) {
        let edge = frame.width - frame.right;
        let leader = vec![
            pixel(from_x + 3.0, from_y),
            pixel(edge.max(from_x + 3.0), from_y),
            pixel(label_x - 8.0, label_y),
            pixel(label_x - 4.0, label_y),
        ];
        root.draw(&PathElement::new(leader, faint_line(Ink { dash: 0, ..group.ink }, 0.8, 0.6)))?;
        let ink = Ink { dash: 0, ..group.ink };
        text(root, &group.label, (label_x, label_y), ink, LABEL_SIZE, (HPos::Left, VPos::Center))?;
    }
    Ok(())
}

fn axes(series: &[&Series], metric: &str, name: &str) -> (Axis, Axis) {
    let points = || series.iter().flat_map(|one| one.points.iter());
    let extent = |value: fn(&(f64, f64)) -> f64| {
        points()
            .map(value)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let (first, last) = extent(|point| point.0);
    let mut x = Axis::round(first, last, 10, "Epoch");
    if points().all(|point| point.0.fract() == 0.0) {
        // No half epochs; and the axis ends where the data does.
        x.ticks.retain(|tick| tick.0.fract() == 0.0);
        for tick in &mut x.ticks {
            tick.1 = wording::trimmed(tick.0, 0);
        }
    }
    if last > first {
        (x.low, x.high) = (first, last);
        let slack = (last - first) * 1e-9;
        x.ticks.retain(|tick| tick.0 >= first - slack && tick.0 <= last + slack);
    }
    let (low, high) = extent(|point| point.1);
    let unit = if metric.ends_with(":seconds") {
        ", seconds"
    } else if metric.ends_with(":accuracy") {
        ", share of images right"
    } else {
        ""
    };
    (x, Axis::round(low, high, 6, format!("{name}{unit}")))
}

/// A strategy and fraction, where they are known, and the series of their runs.
type Cell<'a> = (Option<(String, f64)>, Vec<&'a Series>);

fn group<'a>(series: &[&'a Series], runs: &[Run]) -> Vec<Group<'a>> {
    let by_name: HashMap<&str, &Run> = runs.iter().map(|run| (run.name.as_str(), run)).collect();
    let known = |one: &Series| {
        by_name.get(one.run.as_str()).and_then(|run| Some((run.strategy.clone()?, run.fraction?)))
    };
    if series.iter().all(|one| known(one).is_none()) {
        let anonymous = series.len() > MOST_COLOURED_RUNS;
        return series
            .iter()
            .enumerate()
            .map(|(i, one)| Group {
                label: if anonymous { String::new() } else { wording::shorten(&one.run, 22) },
                strategy: None,
                ink: if anonymous { of_run(0) } else { of_run(i) },
                series: vec![one],
            })
            .collect();
    }
    let mut names: Vec<String> = runs.iter().filter_map(|run| run.strategy.clone()).collect();
    names.sort_by(|a, b| strategy_rank(a).cmp(&strategy_rank(b)));
    names.dedup();
    // By strategy in the report's order, fractions descending; runs that the table does not know come last.
    let mut cells: BTreeMap<(usize, Reverse<u32>), Cell<'_>> = BTreeMap::new();
    for one in series {
        let cell = known(one);
        let key = match &cell {
            Some((strategy, fraction)) => {
                let rank = names.iter().position(|name| name == strategy).unwrap_or(names.len());
                (rank, Reverse((fraction * 1e6).round() as u32))
            }
            None => (names.len() + 1, Reverse(0)),
        };
        cells.entry(key).or_insert_with(|| (cell, Vec::new())).1.push(one);
    }
    let mut n_fractions: HashMap<String, usize> = HashMap::new();
    cells
        .into_values()
        .map(|(cell, series)| match cell {
            Some((strategy, fraction)) => {
                let dash = n_fractions.entry(strategy.clone()).or_default();
                let ink = of_strategy(&strategy, &names).dashed(*dash);
                *dash += 1;
                let share = if strategy == FULL { String::new() } else { format!(" {}", percent(fraction)) };
                Group {
                    label: format!("{}{share}", wording::strategy(&strategy)),
                    strategy: Some(strategy),
                    ink,
                    series,
                }
            }
            None => Group { label: "Strategy unknown".to_owned(), strategy: None, ink: QUIET, series },
        })
        .collect()
}

fn keys_of(groups: &[Group<'_>], n_runs: usize) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for group in groups {
        let label = match &group.strategy {
            Some(strategy) => wording::strategy(strategy),
            None if group.label.is_empty() => count(n_runs, "run", "runs"),
            None => group.label.clone(),
        };
        if !keys.iter().any(|key| key.label == label) && keys.len() < MOST_LABELS {
            keys.push(Key { label, ink: Ink { dash: 0, ..group.ink }, mark: Mark::Line });
        }
    }
    keys
}

fn describe(groups: &[Group<'_>], series: &[&Series], name: &str) -> String {
    let mut text = format!("{name} of {} over the epochs.", count(series.len(), "run", "runs"));
    for group in groups.iter().filter(|group| !group.label.is_empty()).take(MOST_LABELS) {
        let lasts: Vec<f64> =
            group.series.iter().filter_map(|one| one.points.last().map(|last| last.1)).collect();
        let (low, high) =
            lasts.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let range = if lasts.len() == 1 {
            wording::fixed(low, 3)
        } else {
            format!("{} to {}", wording::fixed(low, 3), wording::fixed(high, 3))
        };
        text.push_str(&format!(" {} ends at {range}.", group.label));
    }
    let n_skipped: usize = series.iter().map(|one| one.n_not_finite).sum();
    if n_skipped > 0 {
        text.push_str(&format!(
            " {} not drawn, not being finite.",
            count(n_skipped, "value is", "values are")
        ));
    }
    text
}

/// "validation:accuracy" → "Validation accuracy".
fn metric_name(metric: &str) -> String {
    let words = wording::shorten(metric, 40).replace([':', '_'], " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => "Metric".to_owned(),
    }
}
