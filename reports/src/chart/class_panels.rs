//! How often each class is chosen over the epochs, one panel a strategy and fraction, all on the same scales.

use super::class_balance::{
    MOST_LABELS, TITLE, WIDTH, axes, columns_of, epochs_shown, extremes, label, lines, row,
};
use super::frame::{
    Axis, Frame, Key, LABEL_SIZE, Mark, label_width, legend, legend_height, line, paper, pixel, spread, text,
};
use super::palette::{FULL_DATA, Ink, QUIET, TEXT, of_run};
use super::svg::{About, Drawn, Figures, Root, Svg, finish};
use crate::balance::{Balance, Balances, ClassLine};
use crate::error::Result;
use crate::wording::{count, shorten};
use plotters::element::PathElement;
use plotters::style::text_anchor::{HPos, VPos};
use std::collections::HashMap;

const PANEL_HEIGHT: f64 = 196.0;
const SMALL: f64 = 10.5;
/// Letters of the two labels in a panel; the legend has the whole names.
const MOST_LETTERS: usize = 13;
const MOST_EPOCHS: usize = 4;
/// Rows of the table; of more classes, those farthest from their share are in it.
const MOST_ROWS: usize = 120;

/// The inks of the classes that have one of their own, by name, in the order of the legend.
struct Named<'a> {
    order: Vec<&'a ClassLine>,
    inks: HashMap<&'a str, Ink>,
    /// Whether there are others, drawn faintly.
    has_others: bool,
}

/// Of many classes, those that are anywhere farthest from their share.
fn named(cells: &[Balance]) -> Named<'_> {
    let mut farthest: HashMap<&str, f64> = HashMap::new();
    for class in cells.iter().flat_map(|cell| &cell.classes).filter(|class| !class.points.is_empty()) {
        let distance = farthest.entry(class.name.as_str()).or_default();
        *distance = distance.max((class.mean - 1.0).abs());
    }
    let distance = |class: &ClassLine| farthest.get(class.name.as_str()).copied().unwrap_or(0.0);
    let mut order: Vec<&ClassLine> =
        cells.first().map(|cell| cell.classes.iter().collect()).unwrap_or_default();
    let has_others = order.len() > MOST_LABELS;
    if has_others {
        order.sort_by(|a, b| distance(b).total_cmp(&distance(a)));
        order.truncate(MOST_LABELS);
    }
    let inks = order.iter().enumerate().map(|(i, class)| (class.name.as_str(), of_run(i))).collect();
    Named { order, inks, has_others }
}

pub(super) fn draw(balances: &Balances) -> Result<Svg> {
    let cells = &balances.cells;
    let named = named(cells);
    let n_columns = if matches!(cells.len(), 2 | 4) { 2 } else { 3 };
    let panel_width = WIDTH / n_columns as f64;
    let n_rows = cells.len().div_ceil(n_columns);
    let (x, y) = axes(cells, (if n_columns == 2 { 8 } else { 5 }, 4));

    let mut keys: Vec<Key> = named
        .order
        .iter()
        .enumerate()
        .map(|(i, class)| Key { label: label(class), ink: of_run(i), mark: Mark::Line })
        .collect();
    if named.has_others {
        keys.push(Key { label: "Other classes".to_owned(), ink: QUIET, mark: Mark::Line });
    }
    let top = 26.0 + legend_height(&keys, WIDTH) + 6.0;
    let height = top + PANEL_HEIGHT * n_rows as f64 + 22.0;
    let about = About { title: TITLE.to_owned(), description: describe(balances), width: WIDTH, height };
    let svg = finish(about, |root| {
        paper(root, WIDTH, height)?;
        text(root, &y.title, (1.0, 6.0), TEXT, LABEL_SIZE, (HPos::Left, VPos::Top))?;
        text(root, &x.title, (WIDTH / 2.0, height - 4.0), TEXT, LABEL_SIZE, (HPos::Center, VPos::Bottom))?;
        legend(root, &keys, 0.0, 26.0, WIDTH)?;
        let left = 12.0 + y.ticks.iter().map(|tick| label_width(&tick.1, LABEL_SIZE)).fold(20.0, f64::max);
        let right = 12.0 + MOST_LETTERS as f64 * SMALL * 0.56;
        for (i, cell) in cells.iter().enumerate() {
            let (from_x, from_y) =
                ((i % n_columns) as f64 * panel_width, top + (i / n_columns) as f64 * PANEL_HEIGHT);
            let frame = Frame {
                width: WIDTH,
                height,
                left: from_x + left,
                right: WIDTH - from_x - panel_width + right,
                top: from_y + 28.0,
                bottom: height - from_y - PANEL_HEIGHT + 26.0,
            };
            let title = shorten(&cell.about(), 44);
            text(root, &title, (frame.left, from_y + 12.0), TEXT, LABEL_SIZE, (HPos::Left, VPos::Center))?;
            panel(root, &frame, (&x, &y), cell, &named)?;
        }
        Ok(())
    })?;
    Ok(svg.with_figures(figures(cells)))
}

fn panel(root: &Root<'_>, frame: &Frame, (x, y): (&Axis, &Axis), cell: &Balance, named: &Named<'_>) -> Drawn {
    frame.grid(root, x, y)?;
    let edge = frame.width - frame.right;
    let level = frame.y(y, 1.0);
    root.draw(&PathElement::new(vec![pixel(frame.left, level), pixel(edge, level)], line(FULL_DATA, 1.0)))?;
    let ink_of = |class: &ClassLine| named.inks.get(class.name.as_str()).copied();
    for class in cell.classes.iter().filter(|class| ink_of(class).is_none()) {
        lines(root, frame, (x, y), class, QUIET, 0.35)?;
    }
    for class in &cell.classes {
        if let Some(ink) = ink_of(class) {
            lines(root, frame, (x, y), class, ink, 1.0)?;
        }
    }
    // The class that ends highest and the one that ends lowest are named beside their lines.
    let last = |class: &&ClassLine| class.points.last().map_or(0.0, |point| point.1);
    let by_end = |a: &&ClassLine, b: &&ClassLine| last(a).total_cmp(&last(b));
    let ends = || cell.classes.iter().filter(|class| ink_of(class).is_some() && !class.points.is_empty());
    let (Some(highest), Some(lowest)) = (ends().max_by(by_end), ends().min_by(by_end)) else { return Ok(()) };
    let mut labelled = vec![highest];
    if highest.name != lowest.name {
        labelled.push(lowest);
    }
    let heights: Vec<f64> = labelled.iter().map(|class| frame.y(y, last(class))).collect();
    let placed = spread(&heights, 12.0, frame.top, frame.height - frame.bottom);
    for (class, label_y) in labelled.into_iter().zip(placed) {
        let ink = Ink { dash: 0, ..ink_of(class).unwrap_or(QUIET) };
        let name = shorten(&class.name, MOST_LETTERS);
        text(root, &name, (edge + 6.0, label_y), ink, SMALL, (HPos::Left, VPos::Center))?;
    }
    Ok(())
}

fn describe(balances: &Balances) -> String {
    let one = |cell: &Balance| {
        let (most, least) = extremes(cell, 1);
        format!("{}: {most}; {least}.", cell.about())
    };
    let sentences: Vec<String> = balances.cells.iter().map(one).collect();
    let more = match balances.n_more {
        0 => String::new(),
        n => format!(
            " {} more, of larger fractions, are left out.",
            count(n, "strategy and fraction", "strategies and fractions")
        ),
    };
    format!(
        "The class that each strategy and fraction chose most beside its share of the data over all selections, and the one that \
         it chose least. {}{more}",
        sentences.join(" ")
    )
}

fn figures(cells: &[Balance]) -> Figures {
    let epochs = epochs_shown(cells, MOST_EPOCHS);
    let mut figures = Figures::new(&["Strategy, fraction and class"]);
    figures.columns.extend(columns_of(&epochs));
    let most = (MOST_ROWS / cells.len().max(1)).max(2);
    for cell in cells {
        let mut distances: Vec<f64> = cell.classes.iter().map(|class| (class.mean - 1.0).abs()).collect();
        distances.sort_by(|a, b| b.total_cmp(a));
        let least = distances.get(most - 1).copied().unwrap_or(0.0);
        let farthest = cell.classes.iter().filter(|class| (class.mean - 1.0).abs() >= least).take(most);
        figures.rows.extend(
            farthest.map(|class| row(format!("{}: {}", cell.name, shorten(&class.name, 40)), class, &epochs)),
        );
    }
    figures
}
