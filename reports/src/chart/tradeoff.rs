//! Accuracy against the time that it took, one mark a strategy and fraction, with the Pareto front.

use super::canvas::PIXELS_PER_UNIT;
use super::frame::{
    Axis, Frame, Key, LABEL_SIZE, Mark, empty, label_width, legend, legend_height, line, marker, pixel,
    spread, text,
};
use super::palette::{Ink, TEXT, of_strategy};
use super::svg::{About, Figures, Root, Svg, finish};
use crate::error::Result;
use crate::statistics::Estimate;
use crate::summary::{SettingSummary, setting_name, strategies};
use crate::wording::{self, FULL, percent};
use plotters::element::{Circle, PathElement};
use plotters::style::text_anchor::{HPos, VPos};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 400.0;
const TITLE: &str = "Accuracy versus time";
/// More marks than this are told apart by the legend and the table alone.
const MOST_LABELS: usize = 24;

/// A strategy and fraction: what it took and what it reached.
struct Point<'a> {
    strategy: &'a str,
    label: String,
    ink: Ink,
    seconds: f64,
    accuracy: Estimate,
    is_on_front: bool,
}

pub(super) fn draw(setting: Option<&SettingSummary>) -> Result<Svg> {
    let points = points_of(setting);
    if points.is_empty() {
        let sentence = "No completed run has both a test accuracy and the seconds of training and choosing.";
        let about =
            About { title: TITLE.to_owned(), description: sentence.to_owned(), width: WIDTH, height: 160.0 };
        return finish(about, |root| empty(root, WIDTH, 160.0, &[sentence.to_owned()]));
    }
    let mut strategies: Vec<(&str, Ink)> = points.iter().map(|point| (point.strategy, point.ink)).collect();
    strategies.dedup();
    let mut keys: Vec<Key> = strategies
        .into_iter()
        .map(|(name, ink)| Key { label: wording::strategy(name), ink, mark: Mark::Point })
        .collect();
    keys.push(Key { label: "Pareto front".to_owned(), ink: TEXT.dashed(1), mark: Mark::Line });

    let longest = points.iter().map(|point| point.seconds).fold(0.0, f64::max);
    let (unit, seconds) = unit_of(longest);
    let x = Axis::round(0.0, longest / seconds, 8, format!("Training and choosing, {unit} a run"));
    let low = |point: &Point<'_>| point.accuracy.low().unwrap_or(point.accuracy.mean).max(0.0);
    let high = |point: &Point<'_>| point.accuracy.high().unwrap_or(point.accuracy.mean).min(1.0);
    let (lowest, highest) = points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), point| {
        (least.min(low(point)), most.max(high(point).max(point.accuracy.mean)))
    });
    let pad = ((highest - lowest) * 0.05).max(0.002);
    let y = Axis::round(lowest - pad, highest + pad, 5, "Test accuracy, share of images right");

    let left = 20.0 + y.ticks.iter().map(|tick| label_width(&tick.1, LABEL_SIZE)).fold(20.0, f64::max);
    let right = 24.0;
    let legend_width = WIDTH - left - right;
    let top = 34.0 + legend_height(&keys, legend_width) + 6.0;
    let frame = Frame { width: WIDTH, height: HEIGHT, left, right, top, bottom: 48.0 };
    let about = About {
        title: TITLE.to_owned(),
        description: describe(setting, &points),
        width: WIDTH,
        height: HEIGHT,
    };
    let svg = finish(about, |root| {
        frame.draw(root, &x, &y)?;
        legend(root, &keys, left, 28.0, legend_width)?;
        let at = |point: &Point<'_>| (frame.x(&x, point.seconds / seconds), frame.y(&y, point.accuracy.mean));
        let mut on_front: Vec<(f64, f64)> = points.iter().filter(|point| point.is_on_front).map(at).collect();
        on_front.sort_by(|a, b| a.0.total_cmp(&b.0));
        front(root, &on_front)?;
        for point in &points {
            let (px, py) = at(point);
            if point.accuracy.half_width.is_some() {
                let (upper, lower) = (frame.y(&y, high(point)), frame.y(&y, low(point)));
                root.draw(&PathElement::new(vec![pixel(px, upper), pixel(px, lower)], line(point.ink, 1.2)))?;
            }
            if point.is_on_front {
                root.draw(&Circle::new(pixel(px, py), (8.0 * PIXELS_PER_UNIT) as u32, line(TEXT, 1.2)))?;
            }
            marker(root, point.ink, (px, py), 4.8)?;
        }
        if points.len() <= MOST_LABELS { labels(root, &frame, &points, at) } else { Ok(()) }
    })?;
    Ok(svg.with_figures(figures(&points)))
}

/// Steps from mark to mark: what can be had for so much time.
fn front(root: &Root<'_>, marks: &[(f64, f64)]) -> super::svg::Drawn {
    let mut path = Vec::with_capacity(2 * marks.len());
    for (i, (x, y)) in marks.iter().enumerate() {
        if let Some(before) = i.checked_sub(1).map(|i| marks[i]) {
            path.push(pixel(*x, before.1));
        }
        path.push(pixel(*x, *y));
    }
    root.draw(&PathElement::new(path, line(TEXT.dashed(1), 1.2)))
}

/// Beside the marks, to the side where there is room, apart from each other.
fn labels(
    root: &Root<'_>,
    frame: &Frame,
    points: &[Point<'_>],
    at: impl Fn(&Point<'_>) -> (f64, f64),
) -> super::svg::Drawn {
    let mut wanted: Vec<((f64, f64), &Point<'_>)> = points.iter().map(|point| (at(point), point)).collect();
    wanted.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
    // Marks that are near each other along the axis share a column of labels.
    let mut columns: Vec<Vec<((f64, f64), &Point<'_>)>> = Vec::new();
    for one in wanted {
        let near = |column: &&mut Vec<((f64, f64), &Point<'_>)>| {
            column.iter().any(|other| (other.0.0 - one.0.0).abs() < 110.0)
        };
        match columns.iter_mut().find(near) {
            Some(column) => column.push(one),
            None => columns.push(vec![one]),
        }
    }
    for column in columns {
        let heights: Vec<f64> = column.iter().map(|one| one.0.1).collect();
        let placed = spread(&heights, 14.0, frame.top + 6.0, frame.height - frame.bottom - 8.0);
        for (((x, _), point), label_y) in column.into_iter().zip(placed) {
            let width = label_width(&point.label, LABEL_SIZE);
            let fits = x + 12.0 + width < frame.width;
            // Below the steps of the front, which leave a mark to the right; to its left they come from below.
            let (at, anchor) = if fits {
                ((x + 10.0, label_y + 13.0), HPos::Left)
            } else {
                ((x - 12.0, label_y - 8.0), HPos::Right)
            };
            text(root, &point.label, at, point.ink, LABEL_SIZE, (anchor, VPos::Center))?;
        }
    }
    Ok(())
}

/// By time, ascending.
fn points_of(setting: Option<&SettingSummary>) -> Vec<Point<'_>> {
    let rows = setting.map(|setting| setting.rows.as_slice()).unwrap_or_default();
    let names = strategies(rows);
    let mut points: Vec<Point<'_>> = rows
        .iter()
        .filter_map(|row| {
            let seconds = row.training_seconds? + row.selection_seconds?;
            let accuracy = row.accuracy.filter(|accuracy| accuracy.mean.is_finite())?;
            let is_full = row.strategy == FULL;
            let share = if is_full { String::new() } else { format!(" {}", percent(row.fraction)) };
            (seconds.is_finite() && seconds > 0.0).then(|| Point {
                strategy: &row.strategy,
                label: format!("{}{share}", wording::strategy(&row.strategy)),
                ink: of_strategy(&row.strategy, &names),
                seconds,
                accuracy,
                is_on_front: false,
            })
        })
        .collect();
    // The order of the legend, before that of the front.
    let mut by_time: Vec<usize> = (0..points.len()).collect();
    by_time.sort_by(|a, b| {
        let (a, b) = (&points[*a], &points[*b]);
        a.seconds.total_cmp(&b.seconds).then(b.accuracy.mean.total_cmp(&a.accuracy.mean))
    });
    let mut best = f64::NEG_INFINITY;
    for &i in &by_time {
        if points[i].accuracy.mean > best {
            best = points[i].accuracy.mean;
            points[i].is_on_front = true;
        }
    }
    points
}

fn unit_of(longest: f64) -> (&'static str, f64) {
    match longest {
        ..300.0 => ("seconds", 1.0),
        300.0..18_000.0 => ("minutes", 60.0),
        _ => ("hours", 3600.0),
    }
}

fn describe(setting: Option<&SettingSummary>, points: &[Point<'_>]) -> String {
    let of_which = setting.map(|one| format!("{}. ", setting_name(&one.setting))).unwrap_or_default();
    let mut front: Vec<&Point<'_>> = points.iter().filter(|point| point.is_on_front).collect();
    front.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let front: Vec<String> = front
        .into_iter()
        .map(|point| {
            format!(
                "{} with {} in {}",
                point.label,
                wording::accuracy(&point.accuracy),
                wording::seconds(point.seconds)
            )
        })
        .collect();
    format!(
        "{of_which}On the Pareto front, where nothing else is both faster and as accurate: {}.",
        wording::list(&front)
    )
}

fn figures(points: &[Point<'_>]) -> Figures {
    let mut figures =
        Figures::new(&["Strategy and fraction", "Training and choosing", "Test accuracy", "Pareto front"]);
    figures.rows = points
        .iter()
        .map(|point| {
            vec![
                point.label.clone(),
                wording::seconds(point.seconds),
                wording::accuracy(&point.accuracy),
                if point.is_on_front { "yes" } else { "no" }.to_owned(),
            ]
        })
        .collect();
    figures
}
