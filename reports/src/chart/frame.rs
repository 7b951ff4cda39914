//! Axes, grid, legend and labels: the quiet part of a chart, in units of the drawing.

use super::canvas::{Canvas, PIXELS_PER_UNIT};
use super::palette::{AXIS, GRID, Ink, PAPER, QUIET, TEXT};
use super::svg::{Drawn, Root};
use crate::wording;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::DrawingArea;
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, ShapeStyle, TextStyle};

/// What is drawn within the axes, in the units of the data.
pub(super) type Plot<'a> = DrawingArea<Canvas<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

pub(super) const LABEL_SIZE: f64 = 12.0;
/// Width of a letter over the font size: generous for the usual interface fonts.
const LETTER: f64 = 0.56;
/// The same of a capital letter.
const CAPITAL: f64 = 0.7;

/// One axis: its range, the labelled ticks and what is measured in which unit.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<(f64, String)>,
    pub(super) title: String,
}

impl Axis {
    /// An axis that holds `low` to `high`, with about `n` round ticks. The range grows to whole ticks.
    pub(super) fn round(low: f64, high: f64, n: usize, title: impl Into<String>) -> Self {
        let title = title.into();
        let usable = low.is_finite() && high.is_finite() && low.abs() < 1e300 && high.abs() < 1e300;
        let (mut low, mut high) = if usable { (low.min(high), low.max(high)) } else { (0.0, 1.0) };
        let least = (low.abs().max(high.abs()) * 1e-9).max(1e-12);
        if high - low < least {
            let pad = if low == 0.0 { 1.0 } else { (low.abs() * 0.01).max(least) };
            (low, high) = (low - pad, high + pad);
        }
        let step = round_step((high - low) / n.max(1) as f64);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let digits = (-step.log10() + 1e-9).ceil().clamp(0.0, 9.0) as usize;
        let label = |value: f64| {
            if value.abs() >= 1e6 || (value != 0.0 && value.abs() < 1e-6) {
                format!("{value:.1e}").replace('-', "−")
            } else {
                wording::fixed(value, digits)
            }
        };
        let n_ticks = (last - first).clamp(1.0, 50.0) as usize;
        let ticks =
            (0..=n_ticks).map(|i| (first + i as f64) * step).map(|value| (value, label(value))).collect();
        Self { low: first * step, high: last * step, ticks, title }
    }

    /// An axis of shares from 0 to `high`, labelled in per cent.
    pub(super) fn percent(high: f64, title: impl Into<String>) -> Self {
        let step = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]
            .into_iter()
            .find(|step| high / step <= 6.5)
            .unwrap_or(0.2);
        let n = (high / step - 1e-9).ceil().max(1.0) as usize;
        let ticks = (0..=n).map(|i| i as f64 * step).map(|share| (share, wording::percent(share))).collect();
        Self { low: 0.0, high: n as f64 * step, ticks, title: title.into() }
    }
}

/// 1, 2 or 5 times a power of ten, at least about `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor =
        [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= step * 0.999).unwrap_or(10.0);
    factor * power
}

/// Where the axes lie on the drawing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Frame {
    pub(super) fn plot_width(&self) -> f64 {
        self.width - self.left - self.right
    }

    pub(super) fn plot_height(&self) -> f64 {
        self.height - self.top - self.bottom
    }

    /// Units of the drawing for a value on the vertical axis.
    pub(super) fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.top + (axis.high - value) / (axis.high - axis.low) * self.plot_height()
    }

    pub(super) fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + (value - axis.low) / (axis.high - axis.low) * self.plot_width()
    }

    /// Draws paper, grid, ticks and titles, and gives the area within them.
    pub(super) fn draw<'a>(&self, root: &Root<'a>, x: &Axis, y: &Axis) -> Drawn<Plot<'a>> {
        paper(root, self.width, self.height)?;
        self.grid(root, x, y)?;
        let (right, bottom) = (self.width - self.right, self.height - self.bottom);
        let middle = self.left + self.plot_width() / 2.0;
        text(root, &x.title, (middle, self.height - 4.0), TEXT, LABEL_SIZE, (HPos::Center, VPos::Bottom))?;
        text(root, &y.title, (1.0, 6.0), TEXT, LABEL_SIZE, (HPos::Left, VPos::Top))?;

        let pixels = |units: f64| (units * PIXELS_PER_UNIT).round() as i32;
        Ok(root.clone().apply_coord_spec(Cartesian2d::<RangedCoordf64, RangedCoordf64>::new(
            x.low..x.high,
            y.low..y.high,
            (pixels(self.left)..pixels(right), pixels(bottom)..pixels(self.top)),
        )))
    }

    /// Draws grid and ticks: all there is of a frame that is one of several on a drawing.
    pub(super) fn grid(&self, root: &Root<'_>, x: &Axis, y: &Axis) -> Drawn {
        let (right, bottom) = (self.width - self.right, self.height - self.bottom);
        for (value, label) in &y.ticks {
            let at = self.y(y, *value);
            root.draw(&PathElement::new(vec![pixel(self.left, at), pixel(right, at)], line(GRID, 1.0)))?;
            text(root, label, (self.left - 8.0, at), QUIET, LABEL_SIZE, (HPos::Right, VPos::Center))?;
        }
        root.draw(&PathElement::new(vec![pixel(self.left, bottom), pixel(right, bottom)], line(AXIS, 1.0)))?;
        for (value, label) in &x.ticks {
            let at = self.x(x, *value);
            root.draw(&PathElement::new(vec![pixel(at, bottom), pixel(at, bottom + 4.0)], line(AXIS, 1.0)))?;
            text(root, label, (at, bottom + 8.0), QUIET, LABEL_SIZE, (HPos::Center, VPos::Top))?;
        }
        Ok(())
    }
}

/// A drawing with one sentence on it, for a chart that has nothing to show.
pub(super) fn empty(root: &Root<'_>, width: f64, height: f64, lines: &[String]) -> Drawn {
    paper(root, width, height)?;
    for (i, sentence) in lines.iter().enumerate() {
        let y = height / 2.0 + (i as f64 - (lines.len() as f64 - 1.0) / 2.0) * 20.0;
        text(root, sentence, (width / 2.0, y), QUIET, 14.0, (HPos::Center, VPos::Center))?;
    }
    Ok(())
}

pub(super) fn paper(root: &Root<'_>, width: f64, height: f64) -> Drawn {
    root.draw(&Rectangle::new([(0, 0), pixel(width, height)], PAPER.carrier().filled()))
}

/// A point of the drawing as the backend counts.
pub(super) fn pixel(x: f64, y: f64) -> (i32, i32) {
    ((x * PIXELS_PER_UNIT).round() as i32, (y * PIXELS_PER_UNIT).round() as i32)
}

pub(super) fn line(ink: Ink, width: f64) -> ShapeStyle {
    ink.carrier().stroke_width((width * PIXELS_PER_UNIT).round() as u32)
}

pub(super) fn faint_line(ink: Ink, width: f64, opacity: f64) -> ShapeStyle {
    ink.carrier().mix(opacity).stroke_width((width * PIXELS_PER_UNIT).round() as u32)
}

pub(super) fn text(
    root: &Root<'_>,
    content: &str,
    at: (f64, f64),
    ink: Ink,
    size: f64,
    anchor: (HPos, VPos),
) -> Drawn {
    styled_text(root, content, at, ink, size, anchor, FontStyle::Normal)
}

fn styled_text(
    root: &Root<'_>,
    content: &str,
    at: (f64, f64),
    ink: Ink,
    size: f64,
    anchor: (HPos, VPos),
    style: FontStyle,
) -> Drawn {
    let font = ("sans-serif", size * PIXELS_PER_UNIT).into_font().style(style);
    let colour = ink.carrier();
    let style = TextStyle::from(font).color(&colour).pos(Pos::new(anchor.0, anchor.1));
    root.draw(&Text::new(content.to_owned(), pixel(at.0, at.1), style))
}

/// How wide a label is likely to be.
pub(super) fn label_width(content: &str, size: f64) -> f64 {
    content.chars().fold(0.0, |sum, c| sum + if c.is_uppercase() { CAPITAL } else { LETTER }) * size
}

/// A mark of a strategy: its own shape, so that colour is not the only difference.
pub(super) fn marker(root: &Root<'_>, ink: Ink, at: (f64, f64), radius: f64) -> Drawn {
    faint_marker(root, ink, at, radius, 1.0)
}

/// As [`marker`], with what lies beneath shining through.
pub(super) fn faint_marker(root: &Root<'_>, ink: Ink, at: (f64, f64), radius: f64, opacity: f64) -> Drawn {
    let around = |corners: &[(f64, f64)]| {
        corners.iter().map(|(dx, dy)| pixel(at.0 + dx * radius, at.1 + dy * radius)).collect::<Vec<_>>()
    };
    let fill = ink.carrier().mix(opacity).filled();
    match corners(ink) {
        [] => root.draw(&Circle::new(pixel(at.0, at.1), (radius * PIXELS_PER_UNIT).round() as u32, fill)),
        corners => root.draw(&Polygon::new(around(corners), fill)),
    }
}

/// The corners of a mark of radius 1: none of a circle. Each of the colours of strategies has its own.
fn corners(ink: Ink) -> &'static [(f64, f64)] {
    // Shades stand for a number: their order is in the colour, a shape would mislead.
    if ink.is_shade() {
        return &[];
    }
    match ink.colour {
        6 => &[],
        7 => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        8 => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
        9 => &STAR,
        10 => &[(0.0, 1.2), (1.15, -0.85), (-1.15, -0.85)],
        11 => &PLUS,
        12 => &CROSS,
        13 => &[(-1.05, -1.1), (1.05, -1.1), (-1.05, 1.1), (1.05, 1.1)],
        14 => &[(-1.3, -0.5), (1.3, -0.5), (1.3, 0.5), (-1.3, 0.5)],
        _ => &[(0.0, -1.2), (1.15, 0.85), (-1.15, 0.85)],
    }
}

/// Five points at 1.45, the dents between them at 0.6.
const STAR: [(f64, f64); 10] = [
    (0.0, -1.45),
    (0.35, -0.49),
    (1.38, -0.45),
    (0.57, 0.19),
    (0.85, 1.17),
    (0.0, 0.6),
    (-0.85, 1.17),
    (-0.57, 0.19),
    (-1.38, -0.45),
    (-0.35, -0.49),
];

const PLUS: [(f64, f64); 12] = [
    (-0.4, -1.25),
    (0.4, -1.25),
    (0.4, -0.4),
    (1.25, -0.4),
    (1.25, 0.4),
    (0.4, 0.4),
    (0.4, 1.25),
    (-0.4, 1.25),
    (-0.4, 0.4),
    (-1.25, 0.4),
    (-1.25, -0.4),
    (-0.4, -0.4),
];

/// [`PLUS`], turned by an eighth.
const CROSS: [(f64, f64); 12] = [
    (0.6, -1.17),
    (1.17, -0.6),
    (0.57, 0.0),
    (1.17, 0.6),
    (0.6, 1.17),
    (0.0, 0.57),
    (-0.6, 1.17),
    (-1.17, 0.6),
    (-0.57, 0.0),
    (-1.17, -0.6),
    (-0.6, -1.17),
    (0.0, -0.57),
];

/// An entry of a legend.
pub(super) struct Key {
    pub(super) label: String,
    pub(super) ink: Ink,
    pub(super) mark: Mark,
}

/// How an entry of a legend shows what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Line,
    Point,
    LineWithPoints,
}

/// Entries in rows from left to right under `top`; gives where the next row would begin.
pub(super) fn legend_height(keys: &[Key], width: f64) -> f64 {
    place(keys, width).last().map_or(0.0, |(_, row)| (*row as f64 + 1.0) * 18.0)
}

pub(super) fn legend(root: &Root<'_>, keys: &[Key], left: f64, top: f64, width: f64) -> Drawn {
    for (key, (x, row)) in keys.iter().zip(place(keys, width)) {
        let (x, y) = (left + x, top + row as f64 * 18.0 + 9.0);
        if key.mark != Mark::Point {
            root.draw(&PathElement::new(vec![pixel(x, y), pixel(x + 18.0, y)], line(key.ink, 2.0)))?;
        }
        if key.mark != Mark::Line {
            marker(root, key.ink, (x + 9.0, y), 4.0)?;
        }
        text(root, &key.label, (x + 24.0, y), key.ink_of_text(), LABEL_SIZE, (HPos::Left, VPos::Center))?;
    }
    Ok(())
}

impl Key {
    fn ink_of_text(&self) -> Ink {
        Ink { dash: 0, ..self.ink }
    }
}

fn place(keys: &[Key], width: f64) -> Vec<(f64, usize)> {
    let (mut x, mut row) = (0.0, 0);
    keys.iter()
        .map(|key| {
            let own = 24.0 + label_width(&key.label, LABEL_SIZE) + 14.0;
            if x > 0.0 && x + own > width {
                (x, row) = (0.0, row + 1);
            }
            let at = (x, row);
            x += own;
            at
        })
        .collect()
}

/// Moves `wanted` positions apart until neighbours are `gap` apart, as little as possible, within `low` to `high`.
/// The order is kept; the positions must be sorted.
pub(super) fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    // Pool neighbours that are too close: a pool sits where its members' wishes meet on average.
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (i, position) in wanted.iter().enumerate() {
        pools.push((position - i as f64 * gap, 1));
        while let [.., (before, n), (after, m)] = pools[..] {
            if before <= after {
                break;
            }
            let merged = (before * n as f64 + after * m as f64) / (n + m) as f64;
            pools.truncate(pools.len() - 2);
            pools.push((merged, n + m));
        }
    }
    let room = high - low - gap * (wanted.len() as f64 - 1.0);
    let offsets = pools.iter().flat_map(|(offset, n)| std::iter::repeat_n(*offset, *n));
    offsets.enumerate().map(|(i, offset)| offset.clamp(low, low + room.max(0.0)) + i as f64 * gap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for (low, high) in
            [(0.861, 0.917), (0.0, 1.0), (-3.0, 1e9), (0.5, 0.5), (1e-12, 2e-12), (f64::NAN, 1.0), (0.0, 0.0)]
        {
            let axis = Axis::round(low, high, 5, "");
            assert!((2..=12).contains(&axis.ticks.len()), "{low}..{high}: {:?}", axis.ticks);
            assert!(axis.high > axis.low);
        }
        let labels: Vec<String> =
            Axis::round(0.861, 0.917, 5, "").ticks.into_iter().map(|tick| tick.1).collect();
        assert_eq!(labels, ["0.86", "0.88", "0.90", "0.92"]);
        let labels: Vec<String> = Axis::percent(0.5, "").ticks.into_iter().map(|tick| tick.1).collect();
        assert_eq!(labels, ["0 %", "10 %", "20 %", "30 %", "40 %", "50 %"]);
    }

    #[test]
    fn each_colour_of_strategies_has_its_own_mark() {
        let marks: Vec<_> = (5..15).map(|colour| corners(Ink { colour, dash: 0 })).collect();
        for (i, mark) in marks.iter().enumerate() {
            assert!(!marks[..i].contains(mark), "colour {}", i + 5);
            let reach = mark.iter().map(|(x, y)| x.hypot(*y)).fold(0.0, f64::max);
            assert!(mark.is_empty() || (1.0..=1.6).contains(&reach), "{reach}");
        }
    }

    #[test]
    fn labels_do_not_collide() {
        let placed = spread(&[10.0, 11.0, 12.0, 50.0], 13.0, 0.0, 100.0);
        assert!(placed.windows(2).all(|pair| pair[1] - pair[0] >= 13.0 - 1e-9), "{placed:?}");
        assert!((placed[3] - 50.0).abs() < 1e-9, "a free label stays: {placed:?}");
        assert!(spread(&[99.0, 99.0], 13.0, 0.0, 100.0)[1] <= 100.0);
        assert!(spread(&[], 13.0, 0.0, 100.0).is_empty());
    }
}
