//! Parallel coordinates: each column an axis of its own, each row a line across them.

use super::colouring::Colouring;
use super::frame::{
    Axis, LABEL_SIZE, Mark, empty, faint_line, label_width, line, marker, paper, pixel, text,
};
use super::palette::{AXIS, PAPER, QUIET, TEXT};
use super::svg::{About, Drawn, Root, Svg, finish};
use super::variable::{Kind, Variable};
use crate::error::Result;
use crate::wording::{self, count};
use plotters::element::{PathElement, Rectangle};
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};
use polars::prelude::DataFrame;

const WIDTH: f64 = 960.0;
/// Of one axis to the next: below this the drawing grows instead.
const LEAST_GAP: f64 = 84.0;
const PLOT_HEIGHT: f64 = 320.0;
const BOTTOM: f64 = 18.0;
const RIGHT: f64 = 70.0;
/// More lines than this cannot be told apart: of more rows, an even choice is drawn.
const MOST_LINES: usize = 300;
const TITLE_ROW: f64 = 18.0;

/// Where the axes stand on the drawing.
struct Layout {
    width: f64,
    height: f64,
    left: f64,
    gap: f64,
    top: f64,
    /// The titles alternate between two rows, being too wide for one.
    is_staggered: bool,
}

impl Layout {
    fn x(&self, column: usize) -> f64 {
        self.left + column as f64 * self.gap
    }

    fn y(&self, axis: &Axis, place: f64) -> f64 {
        self.top + (axis.high - place) / (axis.high - axis.low) * PLOT_HEIGHT
    }
}

pub(super) fn draw(table: &DataFrame, columns: &[&str], colour_by: Option<&str>) -> Result<Svg> {
    let variables: Vec<Variable> =
        columns.iter().map(|name| Variable::read(table, name)).collect::<Result<_>>()?;
    let has_value = |row: usize| variables.iter().any(|variable| variable.places[row].is_some());
    let is_there: Vec<bool> = (0..table.height()).map(has_value).collect();
    let colouring = match colour_by {
        Some(column) => Colouring::by(Variable::read(table, column)?, column, &is_there, Mark::Line),
        None => Colouring::plain(table.height()),
    };
    let rows = if table.column("run").is_ok() { ("run", "runs") } else { ("row", "rows") };
    let names: Vec<String> = variables.iter().map(|variable| variable.name.clone()).collect();
    let title = match &names[..] {
        [] => "Parallel coordinates".to_owned(),
        _ => format!("Parallel coordinates of {}", wording::list(&names)),
    };
    if !is_there.contains(&true) {
        let sentence = if variables.is_empty() {
            "No column was named to draw.".to_owned()
        } else {
            format!("No {} has a finite value of {}.", rows.0, wording::list(&names))
        };
        let about = About { title, description: sentence.clone(), width: WIDTH, height: 160.0 };
        let shown = wording::shorten(&sentence, 110);
        return finish(about, |root| empty(root, WIDTH, 160.0, &[shown]));
    }

    let axes: Vec<Axis> = variables.iter().map(|variable| variable.axis(5, 16)).collect();
    let layout = lay_out(&axes, &colouring);
    let lines = choose(&is_there, &colouring);
    let description = describe(&variables, &is_there, lines.len(), &colouring, rows);
    finish(About { title, description, width: layout.width, height: layout.height }, |root| {
        paper(root, layout.width, layout.height)?;
        colouring.draw_legend(root, 4.0, 4.0, layout.width - 8.0)?;
        for (column, axis) in axes.iter().enumerate() {
            draw_axis(root, &layout, column, axis)?;
        }
        let (width, opacity) = match lines.len() {
            0..=12 => (2.0, 0.95),
            13..=60 => (1.6, 0.75),
            61..=150 => (1.3, 0.55),
            _ => (1.1, 0.4),
        };
        for row in &lines {
            draw_row(root, &layout, &variables, &axes, &colouring, *row, (width, opacity))?;
        }
        // Labels last, on a veil of paper, so that no line runs through them.
        for (column, axis) in axes.iter().enumerate() {
            draw_labels(root, &layout, column, axis)?;
        }
        Ok(())
    })
}

fn lay_out(axes: &[Axis], colouring: &Colouring) -> Layout {
    let n = axes.len();
    let labels = axes.first().map_or(0.0, |axis| {
        axis.ticks.iter().map(|tick| label_width(&tick.1, LABEL_SIZE)).fold(0.0, f64::max)
    });
    let left = (labels + 16.0).max(RIGHT);
    let n_gaps = n.saturating_sub(1).max(1) as f64;
    let width = WIDTH.max(left + RIGHT + n_gaps * LEAST_GAP);
    let gap = (width - left - RIGHT) / n_gaps;
    let widest = axes.iter().map(|axis| label_width(&axis.title, LABEL_SIZE)).fold(0.0, f64::max);
    let is_staggered = n > 2 && widest > gap - 12.0;
    let titles = if is_staggered { 2.0 * TITLE_ROW } else { TITLE_ROW };
    let legend = colouring.height(width - 8.0);
    let top = 4.0 + legend + if legend > 0.0 { 10.0 } else { 0.0 } + titles + 10.0;
    Layout { width, height: top + PLOT_HEIGHT + BOTTOM, left, gap, top, is_staggered }
}

fn draw_axis(root: &Root<'_>, layout: &Layout, column: usize, axis: &Axis) -> Drawn {
    let x = layout.x(column);
    let bottom = layout.top + PLOT_HEIGHT;
    root.draw(&PathElement::new(vec![pixel(x, layout.top), pixel(x, bottom)], line(AXIS, 1.2)))?;
    let room = layout.gap * if layout.is_staggered { 2.0 } else { 1.0 } - 12.0;
    let letters = (room / label_width("m", LABEL_SIZE)) as usize;
    let title = wording::shorten(&axis.title, letters.max(6));
    // The title stands above its axis, but within the drawing.
    let half = label_width(&title, LABEL_SIZE) / 2.0;
    let middle = x.max(half + 2.0).min((layout.width - half - 2.0).max(half));
    let row = if layout.is_staggered && column.is_multiple_of(2) { TITLE_ROW } else { 0.0 };
    let at = (middle, layout.top - 10.0 - row);
    text(root, &title, at, TEXT, LABEL_SIZE, (HPos::Center, VPos::Bottom))?;
    if row > 0.0 {
        let leader = vec![pixel(x, layout.top - 8.0 - row), pixel(x, layout.top)];
        root.draw(&PathElement::new(leader, faint_line(AXIS, 1.0, 0.4)))?;
    }
    Ok(())
}

fn draw_labels(root: &Root<'_>, layout: &Layout, column: usize, axis: &Axis) -> Drawn {
    let x = layout.x(column);
    for (place, label) in &axis.ticks {
        let y = layout.y(axis, *place);
        let width = label_width(label, LABEL_SIZE);
        let veil = [pixel(x - 11.0 - width, y - 7.0), pixel(x - 6.0, y + 7.0)];
        root.draw(&Rectangle::new(veil, PAPER.carrier().mix(0.72).filled()))?;
        root.draw(&PathElement::new(vec![pixel(x - 4.0, y), pixel(x, y)], line(AXIS, 1.2)))?;
        text(root, label, (x - 8.0, y), QUIET, LABEL_SIZE, (HPos::Right, VPos::Center))?;
    }
    Ok(())
}

/// One row: a line over the axes on which it has a value, broken at the others.
fn draw_row(
    root: &Root<'_>,
    layout: &Layout,
    variables: &[Variable],
    axes: &[Axis],
    colouring: &Colouring,
    row: usize,
    (width, opacity): (f64, f64),
) -> Drawn {
    let ink = colouring.inks[row];
    let at = |column: usize| {
        let place = variables[column].places[row]?;
        Some((layout.x(column), layout.y(&axes[column], place)))
    };
    let points: Vec<Option<(f64, f64)>> = (0..variables.len()).map(at).collect();
    for stretch in points.split(Option::is_none) {
        let stretch: Vec<(f64, f64)> = stretch.iter().flatten().copied().collect();
        match stretch[..] {
            [] => {}
            // Nothing to its left and right that a line could lead to.
            [alone] => marker(root, ink, alone, 3.0)?,
            _ => {
                let path: Vec<(i32, i32)> = stretch.iter().map(|(x, y)| pixel(*x, *y)).collect();
                root.draw(&PathElement::new(path, faint_line(ink, width, opacity)))?;
            }
        }
    }
    Ok(())
}

/// The rows to draw, in the order of drawing: those that are high in what is coloured by come last, on top. Of too many an
/// even choice, the lowest and the highest among it.
fn choose(is_there: &[bool], colouring: &Colouring) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..is_there.len()).filter(|row| is_there[*row]).collect();
    let place = |row: &usize| colouring.order[*row].unwrap_or(f64::NEG_INFINITY);
    rows.sort_by(|a, b| place(a).total_cmp(&place(b)));
    if rows.len() <= MOST_LINES {
        return rows;
    }
    let last = (rows.len() - 1) as f64;
    let chosen = |i: usize| rows[(i as f64 / (MOST_LINES - 1) as f64 * last).round() as usize];
    (0..MOST_LINES).map(chosen).collect()
}

fn describe(
    variables: &[Variable],
    is_there: &[bool],
    n_lines: usize,
    colouring: &Colouring,
    (one, many): (&str, &str),
) -> String {
    const MOST_COLUMNS: usize = 20;
    let n = is_there.iter().filter(|is_there| **is_there).count();
    let mut text = format!("{} over {}.", count(n, one, many), count(variables.len(), "axis", "axes"));
    for variable in variables.iter().take(MOST_COLUMNS) {
        let log = if variable.kind == Kind::Logarithm { " on a logarithmic scale" } else { "" };
        text.push_str(&format!(" {}: {}{log}.", variable.name, variable.range()));
    }
    text.push_str(colouring.description());
    for variable in variables.iter().take(MOST_COLUMNS) {
        let n_gaps = variable.n_missing + variable.n_not_finite;
        if n_gaps > 0 {
            let have = if n_gaps == 1 { "has" } else { "have" };
            text.push_str(&format!(
                " {} {have} no finite value of {}: a gap in the line.",
                count(n_gaps, one, many),
                variable.name
            ));
        }
    }
    if n_lines < n {
        text.push_str(&format!(" {n_lines} of them are drawn, chosen evenly."));
    }
    text
}
