//! How often each class is chosen over the epochs, beside its share of all of the data, by one strategy with one fraction; of
//! several, `class_panels` draws one beside the other.

use super::class_panels;
use super::frame::{Axis, Frame, LABEL_SIZE, empty, faint_line, label_width, line, pixel, spread, text};
use super::palette::{FULL_DATA, Ink, QUIET, of_run};
use super::svg::{About, Drawn, Figures, Root, Svg, finish};
use super::thin::thin;
use crate::balance::{Balance, Balances, ClassLine};
use crate::error::Result;
use crate::wording::{self, list};
use plotters::element::PathElement;
use plotters::style::text_anchor::{HPos, VPos};

pub(super) const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 400.0;
pub(super) const TITLE: &str = "Classes of the chosen subsets";
/// Of more classes than this, those farthest from their share have a label; the others are quiet lines.
pub(super) const MOST_LABELS: usize = 12;
const MOST_POINTS: usize = 400;
/// Columns of the table; of more epochs, these many are shown.
const MOST_EPOCHS: usize = 8;

pub(super) fn draw(balances: &Balances) -> Result<Svg> {
    let [balance] = &balances.cells[..] else {
        if !balances.cells.is_empty() {
            return class_panels::draw(balances);
        }
        let sentence = "No selection of these runs holds a sample whose class is known.";
        let about =
            About { title: TITLE.to_owned(), description: sentence.to_owned(), width: WIDTH, height: 160.0 };
        return finish(about, |root| empty(root, WIDTH, 160.0, &[sentence.to_owned()]));
    };
    let named = named(&balance.classes);
    let (x, y) = axes(std::slice::from_ref(balance), (10, 5));
    let widest = named.iter().map(|class| label_width(&label(class), LABEL_SIZE)).fold(0.0, f64::max);
    let left = 20.0 + y.ticks.iter().map(|tick| label_width(&tick.1, LABEL_SIZE)).fold(20.0, f64::max);
    let frame = Frame { width: WIDTH, height: HEIGHT, left, right: widest + 34.0, top: 32.0, bottom: 48.0 };
    let about =
        About { title: TITLE.to_owned(), description: describe(balance), width: WIDTH, height: HEIGHT };
    let svg = finish(about, |root| {
        frame.draw(root, &x, &y)?;
        let level = frame.y(&y, 1.0);
        let across = vec![pixel(frame.left, level), pixel(WIDTH - frame.right, level)];
        root.draw(&PathElement::new(across, line(FULL_DATA, 1.0)))?;
        let is_named = |class: &ClassLine| named.iter().position(|one| one.name == class.name);
        for class in balance.classes.iter().filter(|class| is_named(class).is_none()) {
            lines(root, &frame, (&x, &y), class, QUIET, 0.35)?;
        }
        for (i, class) in named.iter().enumerate() {
            lines(root, &frame, (&x, &y), class, of_run(i), 1.0)?;
        }
        labels(root, &frame, (&x, &y), &named)
    })?;
    Ok(svg.with_figures(figures(balance)))
}

/// Epochs and ratios of all of `balances`, with about so many ticks.
pub(super) fn axes(balances: &[Balance], (n_x, n_y): (usize, usize)) -> (Axis, Axis) {
    let points = || balances.iter().flat_map(|balance| &balance.classes).flat_map(|class| &class.points);
    let (first, last) = points()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| (low.min(point.0), high.max(point.0)));
    let highest = points().map(|point| point.1).fold(1.0, f64::max);
    let mut x = Axis::round(first, last, n_x, "Epoch");
    x.ticks.retain(|tick| tick.0.fract() == 0.0);
    x.ticks.iter_mut().for_each(|tick| tick.1 = wording::trimmed(tick.0, 0));
    if last > first {
        (x.low, x.high) = (first, last);
        x.ticks.retain(|tick| tick.0 >= first && tick.0 <= last);
    }
    (x, Axis::round(0.0, highest, n_y, "Share of the subset ÷ share of all of the data (×)"))
}

/// The classes that have a label: those that lie farthest from their share at the end.
fn named(classes: &[ClassLine]) -> Vec<&ClassLine> {
    let mut named: Vec<&ClassLine> = classes.iter().filter(|class| !class.points.is_empty()).collect();
    if named.len() > MOST_LABELS {
        named.sort_by(|a, b| (b.mean - 1.0).abs().total_cmp(&(a.mean - 1.0).abs()));
        named.truncate(MOST_LABELS);
    }
    named
}

pub(super) fn label(class: &ClassLine) -> String {
    wording::shorten(&class.name, 20)
}

/// The line of a class, of at most [`MOST_POINTS`] points.
pub(super) fn lines(
    root: &Root<'_>,
    frame: &Frame,
    (x, y): (&Axis, &Axis),
    class: &ClassLine,
    ink: Ink,
    opacity: f64,
) -> Drawn {
    let path = thin(&class.points, MOST_POINTS);
    let mut path: Vec<(i32, i32)> =
        path.iter().map(|(epoch, ratio)| pixel(frame.x(x, *epoch), frame.y(y, *ratio))).collect();
    if let [only] = path[..] {
        // One selection for the whole run.
        path.push((only.0 + 60, only.1));
    }
    root.draw(&PathElement::new(path, faint_line(ink, 1.8, opacity)))
}

fn labels(root: &Root<'_>, frame: &Frame, (x, y): (&Axis, &Axis), classes: &[&ClassLine]) -> Drawn {
    let mut ends: Vec<((f64, f64), &ClassLine, Ink)> = classes
        .iter()
        .enumerate()
        .filter_map(|(i, class)| class.points.last().map(|last| (*last, *class, of_run(i))))
        .map(|((epoch, ratio), class, ink)| ((frame.x(x, epoch), frame.y(y, ratio)), class, ink))
        .collect();
    ends.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
    let heights: Vec<f64> = ends.iter().map(|end| end.0.1).collect();
    let placed = spread(&heights, 14.0, frame.top, frame.height - frame.bottom);
    let edge = frame.width - frame.right;
    for (((from_x, from_y), class, ink), label_y) in ends.into_iter().zip(placed) {
        let ink = Ink { dash: 0, ..ink };
        let leader = vec![
            pixel(from_x + 3.0, from_y),
            pixel(edge.max(from_x + 3.0), from_y),
            pixel(edge + 16.0, label_y),
            pixel(edge + 20.0, label_y),
        ];
        root.draw(&PathElement::new(leader, faint_line(ink, 0.8, 0.6)))?;
        text(root, &label(class), (edge + 24.0, label_y), ink, LABEL_SIZE, (HPos::Left, VPos::Center))?;
    }
    Ok(())
}

fn describe(balance: &Balance) -> String {
    let (most, least) = extremes(balance, 3);
    format!(
        "{}. Over all selections, chosen most beside their share of the data: {most}; least: {least}.",
        balance.about()
    )
}

/// The `n` classes that were chosen most and least beside their share, in words.
pub(super) fn extremes(balance: &Balance, n: usize) -> (String, String) {
    let mut by_mean: Vec<&ClassLine> =
        balance.classes.iter().filter(|class| !class.points.is_empty()).collect();
    by_mean.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    let names = |classes: &mut dyn Iterator<Item = &&ClassLine>| {
        let one = |class: &&ClassLine| format!("{} ({})", label(class), wording::times(class.mean));
        list(&classes.take(n).map(one).collect::<Vec<_>>())
    };
    (names(&mut by_mean.iter()), names(&mut by_mean.iter().rev()))
}

fn figures(balance: &Balance) -> Figures {
    let shown = epochs_shown(std::slice::from_ref(balance), MOST_EPOCHS);
    let mut figures = Figures::new(&["Class"]);
    figures.columns.extend(columns_of(&shown));
    figures.rows =
        balance.classes.iter().map(|class| row(wording::shorten(&class.name, 40), class, &shown)).collect();
    figures
}

/// At most `n` of the epochs, evenly apart.
pub(super) fn epochs_shown(balances: &[Balance], n: usize) -> Vec<f64> {
    let classes = balances.iter().flat_map(|balance| &balance.classes);
    let mut epochs: Vec<f64> = classes.flat_map(|class| class.points.iter().map(|point| point.0)).collect();
    epochs.sort_by(f64::total_cmp);
    epochs.dedup();
    super::spaced(&epochs, n)
}

/// What stands above the cells of [`row`], but for the first.
pub(super) fn columns_of(epochs: &[f64]) -> Vec<String> {
    let at = epochs.iter().map(|epoch| format!("Epoch {}", wording::trimmed(*epoch, 0)));
    at.chain(["All selections".to_owned()]).collect()
}

/// A class at some epochs and over all selections.
pub(super) fn row(name: String, class: &ClassLine, epochs: &[f64]) -> Vec<String> {
    let at = |epoch: &f64| {
        let found = class.points.iter().find(|point| point.0 == *epoch);
        found.map_or("–".to_owned(), |point| wording::times(point.1))
    };
    let mut row = vec![name];
    row.extend(epochs.iter().map(at));
    row.push(wording::times(class.mean));
    row
}
