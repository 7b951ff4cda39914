//! Accuracy and speedup against the fraction of the data.

use super::frame::{Axis, Frame, Key, Mark, Plot, empty, legend, legend_height, line, marker, pixel};
use super::palette::{FULL_DATA, Ink, QUIET, of_strategy};
use super::svg::{About, Drawn, Figures, Root, Svg, finish};
use crate::error::Result;
use crate::statistics::Estimate;
use crate::summary::{Row, SettingSummary, setting_name};
use crate::wording::{self, FULL, percent};
use plotters::element::{PathElement, Rectangle};
use plotters::style::Color;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 340.0;
/// The height of a legend that leaves the plot its size; a taller one makes the drawing taller.
const LEGEND_HEIGHT: f64 = 36.0;
/// Between the marks of two strategies at the same fraction, so that neither hides the other's interval.
const DODGE: f64 = 5.0;

/// One strategy's estimates by fraction, ascending.
struct Line {
    strategy: String,
    ink: Ink,
    points: Vec<(f64, Estimate)>,
}

pub(super) fn accuracy(setting: Option<&SettingSummary>) -> Result<Svg> {
    let lines = lines_of(setting, |row| row.accuracy);
    let full = setting.and_then(|setting| setting.full()).and_then(|row| row.accuracy);
    let title = "Test accuracy versus fraction of the data";
    if lines.is_empty() && full.is_none() {
        return nothing(title, "No completed run has a test accuracy.");
    }
    let all = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.1)).chain(full);
    let (low, high) = extent(all());
    // With two seeds an interval may be wider than all there is: what lies outside of 0 to 1 says nothing.
    let (low, high) = (low.max(0.0_f64.min(least(all()))), high.min(1.0_f64.max(most(all()))));
    // Two thousandths are no difference to fill an axis with.
    let pad = ((high - low) * 0.06).max(0.002);
    let y = Axis::round(low - pad, high + pad, 5, "Test accuracy, share of images right");
    let mut keys = keys_of(&lines);
    if let Some(full) = full {
        keys.push(Key {
            label: format!("Full data {}", wording::accuracy(&full)),
            ink: FULL_DATA,
            mark: Mark::Line,
        });
    }
    let description = {
        let reference =
            full.map(|full| format!(" Full data: {}.", wording::accuracy(&full))).unwrap_or_default();
        format!("{}{}{reference}", of_which(setting), describe(&lines, wording::accuracy))
    };
    let (floor, ceiling) = (y.low, y.high);
    let figures = figures(&lines, "Test accuracy", full, wording::accuracy);
    let svg = draw(title, description, &lines, &keys, y, |plot, _| {
        let Some(full) = full else { return Ok(()) };
        let (left, right) = (plot.get_x_range().start, plot.get_x_range().end);
        if let (Some(low), Some(high)) = (full.low(), full.high()) {
            let (low, high) = (low.max(floor), high.min(ceiling));
            plot.draw(&Rectangle::new([(left, low), (right, high)], FULL_DATA.carrier().mix(0.12).filled()))?;
        }
        plot.draw(&PathElement::new(vec![(left, full.mean), (right, full.mean)], line(FULL_DATA, 1.5)))
    })?;
    Ok(svg.with_figures(figures))
}

pub(super) fn speedup(setting: Option<&SettingSummary>) -> Result<Svg> {
    let lines = lines_of(setting, |row| row.speedup);
    let title = "Speedup versus fraction of the data";
    if lines.is_empty() {
        return nothing(title, "No completed subset run has a speedup over full data.");
    }
    let (low, high) =
        extent(lines.iter().flat_map(|line| line.points.iter().map(|point| point.1)).filter(is_drawable));
    let smallest = fractions(&lines).fold(1.0, f64::min);
    // The ideal line is shown as far as it leaves the measured ones readable.
    let top = (1.05 / smallest).min(high * 2.2).max(high * 1.05).max(1.5);
    let y = Axis::round(low.min(0.0), top, 6, "Speedup over full data, choosing included (×)");
    let mut keys = keys_of(&lines);
    keys.push(Key { label: "Ideal, 1 ÷ fraction".to_owned(), ink: QUIET.dashed(1), mark: Mark::Line });
    let description = format!(
        "{}{} The ideal is 1 ÷ fraction.",
        of_which(setting),
        describe(&lines, wording::times_with_interval)
    );
    let ceiling = y.high;
    let figures = figures(&lines, "Speedup", None, wording::times_with_interval);
    let svg = draw(title, description, &lines, &keys, y, move |plot, right| {
        let left = (1.0 / ceiling).max(smallest * 0.25);
        let curve = (0..=60).map(|i| left * (right / left).powf(f64::from(i) / 60.0)).map(|f| (f, 1.0 / f));
        plot.draw(&PathElement::new(
            curve.filter(|point| point.1 <= ceiling).collect::<Vec<_>>(),
            line(QUIET.dashed(1), 1.5),
        ))?;
        plot.draw(&PathElement::new(vec![(0.0, 1.0), (right, 1.0)], line(FULL_DATA, 1.0)))
    })?;
    Ok(svg.with_figures(figures))
}

fn figures(
    lines: &[Line],
    what: &str,
    full: Option<Estimate>,
    figure: impl Fn(&Estimate) -> String,
) -> Figures {
    let mut figures = Figures::new(&["Strategy", "Fraction", what]);
    if let Some(full) = full {
        figures.rows.push(vec![wording::strategy(FULL), percent(1.0), figure(&full)]);
    }
    for line in lines {
        let cells = line.points.iter().map(|(fraction, value)| {
            vec![wording::strategy(&line.strategy), percent(*fraction), figure(value)]
        });
        figures.rows.extend(cells);
    }
    figures
}

/// The distance between the marks of neighbouring strategies, in units of the drawing: small enough that the marks
/// of one fraction stay within the axes and apart from those of the next one. `scale` is units for the whole data.
fn dodge_step(lines: &[Line], scale: f64) -> f64 {
    let mut all: Vec<f64> = fractions(lines).chain([0.0]).map(|fraction| fraction * scale).collect();
    all.sort_by(f64::total_cmp);
    let gaps = all.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 1e-3 * scale.min(1.0));
    (gaps.fold(f64::INFINITY, f64::min) / lines.len().max(1) as f64).min(DODGE)
}

fn is_drawable(estimate: &Estimate) -> bool {
    estimate.mean.is_finite()
}

fn lines_of(setting: Option<&SettingSummary>, value: impl Fn(&Row) -> Option<Estimate>) -> Vec<Line> {
    let rows = setting.map(|setting| setting.rows.as_slice()).unwrap_or_default();
    let names: Vec<String> = crate::summary::strategies(rows);
    let mut lines: Vec<Line> = Vec::new();
    for row in rows.iter().filter(|row| row.strategy != FULL) {
        let Some(estimate) = value(row).filter(is_drawable) else { continue };
        match lines.iter_mut().find(|line| line.strategy == row.strategy) {
            Some(line) => line.points.push((row.fraction, estimate)),
            None => lines.push(Line {
                strategy: row.strategy.clone(),
                ink: of_strategy(&row.strategy, &names),
                points: vec![(row.fraction, estimate)],
            }),
        }
    }
    for line in &mut lines {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    lines
}

fn fractions(lines: &[Line]) -> impl Iterator<Item = f64> {
    lines.iter().flat_map(|line| line.points.iter().map(|point| point.0))
}

fn extent(estimates: impl Iterator<Item = Estimate>) -> (f64, f64) {
    estimates.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), one| {
        (low.min(one.low().unwrap_or(one.mean)), high.max(one.high().unwrap_or(one.mean)))
    })
}

fn least(estimates: impl Iterator<Item = Estimate>) -> f64 {
    estimates.map(|one| one.mean).fold(f64::INFINITY, f64::min)
}

fn most(estimates: impl Iterator<Item = Estimate>) -> f64 {
    estimates.map(|one| one.mean).fold(f64::NEG_INFINITY, f64::max)
}

fn keys_of(lines: &[Line]) -> Vec<Key> {
    let key = |line: &Line| Key {
        label: wording::strategy(&line.strategy),
        ink: line.ink,
        mark: Mark::LineWithPoints,
    };
    lines.iter().map(key).collect()
}

fn describe(lines: &[Line], figure: impl Fn(&Estimate) -> String) -> String {
    let one = |line: &Line| {
        let points: Vec<String> = line
            .points
            .iter()
            .map(|(fraction, value)| format!("{} at {}", figure(value), percent(*fraction)))
            .collect();
        format!("{}: {}.", wording::strategy(&line.strategy), wording::list(&points))
    };
    lines.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn of_which(setting: Option<&SettingSummary>) -> String {
    setting.map(|one| format!("{}. ", setting_name(&one.setting))).unwrap_or_default()
}

fn nothing(title: &str, sentence: &str) -> Result<Svg> {
    let about =
        About { title: title.to_owned(), description: sentence.to_owned(), width: WIDTH, height: 160.0 };
    finish(about, |root| empty(root, WIDTH, 160.0, &[sentence.to_owned()]))
}

fn draw(
    title: &str,
    description: String,
    lines: &[Line],
    keys: &[Key],
    y: Axis,
    reference: impl FnOnce(&Plot<'_>, f64) -> Drawn,
) -> Result<Svg> {
    let largest = fractions(lines).fold(0.0, f64::max);
    let x = Axis::percent(
        if largest > 0.0 { (largest * 1.04).min(1.0) } else { 1.0 },
        "Fraction of the training data",
    );
    let left =
        20.0 + y.ticks.iter().map(|tick| super::frame::label_width(&tick.1, 12.0)).fold(20.0, f64::max);
    let legend_width = WIDTH - left - 12.0;
    let of_legend = legend_height(keys, legend_width);
    let height = HEIGHT + (of_legend - LEGEND_HEIGHT).max(0.0);
    let about = About { title: title.to_owned(), description, width: WIDTH, height };
    let top = 34.0 + of_legend + 6.0;
    let frame = Frame { width: WIDTH, height, left, right: 22.0, top, bottom: 48.0 };
    finish(about, |root: &Root<'_>| {
        let plot = frame.draw(root, &x, &y)?;
        legend(root, keys, left, 28.0, legend_width)?;
        reference(&plot, x.high)?;
        let middle = (lines.len() as f64 - 1.0) / 2.0;
        let step = dodge_step(lines, frame.plot_width() / (x.high - x.low));
        for (i, one) in lines.iter().enumerate() {
            let dodge = (i as f64 - middle) * step;
            let at = |fraction: f64, value: f64| (frame.x(&x, fraction) + dodge, frame.y(&y, value));
            let path: Vec<(i32, i32)> =
                one.points.iter().map(|(f, e)| at(*f, e.mean)).map(|p| pixel(p.0, p.1)).collect();
            root.draw(&PathElement::new(path, line(one.ink, 2.0)))?;
            for (fraction, estimate) in &one.points {
                let (px, py) = at(*fraction, estimate.mean);
                if let (Some(low), Some(high)) = (estimate.low(), estimate.high()) {
                    let (low, high) = (frame.y(&y, low.max(y.low)), frame.y(&y, high.min(y.high)));
                    root.draw(&PathElement::new(vec![pixel(px, low), pixel(px, high)], line(one.ink, 1.5)))?;
                    for end in [low, high] {
                        root.draw(&PathElement::new(
                            vec![pixel(px - 3.0, end), pixel(px + 3.0, end)],
                            line(one.ink, 1.5),
                        ))?;
                    }
                }
                marker(root, one.ink, (px, py), 4.5)?;
            }
        }
        Ok(())
    })
}
