//! Any two columns of a table against each other, one mark a row.

use super::colouring::Colouring;
use super::frame::{Axis, Frame, LABEL_SIZE, Mark, empty, faint_marker, label_width};
use super::svg::{About, Drawn, Root, Svg, finish};
use super::variable::{Kind, Variable};
use crate::error::Result;
use crate::wording::{self, count};
use polars::prelude::DataFrame;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 430.0;
const RIGHT: f64 = 24.0;
/// Rows of one category stand in a band this wide, where the next category is 1 away.
const BAND: f64 = 0.5;
/// Far enough apart for the labels along the horizontal axis.
const LABEL_ROOM: f64 = 74.0;

pub(super) fn draw(table: &DataFrame, x: &str, y: &str, colour_by: Option<&str>) -> Result<Svg> {
    let (mut across, mut up) = (Variable::read(table, x)?, Variable::read(table, y)?);
    let is_drawn: Vec<bool> =
        across.places.iter().zip(&up.places).map(|(x, y)| x.is_some() && y.is_some()).collect();
    across.keep_only(&is_drawn);
    up.keep_only(&is_drawn);
    let colouring = match colour_by {
        Some(column) => Colouring::by(Variable::read(table, column)?, column, &is_drawn, Mark::Point),
        None => Colouring::plain(table.height()),
    };
    let rows = if table.column("run").is_ok() { ("run", "runs") } else { ("row", "rows") };
    let title = format!("{} against {}", up.name, across.name);
    if !is_drawn.contains(&true) {
        let sentence = format!("No {} has a finite value of both {} and {}.", rows.0, across.name, up.name);
        let about = About { title, description: sentence.clone(), width: WIDTH, height: 160.0 };
        return finish(about, |root| empty(root, WIDTH, 160.0, &[sentence]));
    }

    let vertical = up.axis(6, 22);
    let left = 20.0 + vertical.ticks.iter().map(|tick| label_width(&tick.1, LABEL_SIZE)).fold(20.0, f64::max);
    let horizontal = horizontal_axis(&across, WIDTH - left - RIGHT);
    let legend_width = WIDTH - left - RIGHT;
    let top = match colouring.height(legend_width) {
        0.0 => 32.0,
        height => 34.0 + height + 6.0,
    };
    let frame = Frame { width: WIDTH, height: HEIGHT, left, right: RIGHT, top, bottom: 48.0 };
    let description = describe(&across, &up, &is_drawn, &colouring, rows);
    finish(About { title, description, width: WIDTH, height: HEIGHT }, |root| {
        frame.draw(root, &horizontal, &vertical)?;
        colouring.draw_legend(root, left, 28.0, legend_width)?;
        marks(root, &frame, (&across, &horizontal), (&up, &vertical), &colouring)
    })
}

/// As many labels as there is room for.
fn horizontal_axis(variable: &Variable, width: f64) -> Axis {
    let n = match &variable.kind {
        Kind::Category(names) => names.len().min((width / LABEL_ROOM) as usize),
        _ => 10,
    };
    let letters = width / n.max(1) as f64 / label_width("m", LABEL_SIZE);
    variable.axis(n, (letters as usize).saturating_sub(1).clamp(4, 40))
}

fn marks(
    root: &Root<'_>,
    frame: &Frame,
    (across, horizontal): (&Variable, &Axis),
    (up, vertical): (&Variable, &Axis),
    colouring: &Colouring,
) -> Drawn {
    let (xs, ys) = (spread_out(across), spread_out(up));
    let mut points: Vec<(usize, f64, f64)> =
        xs.iter().zip(&ys).enumerate().filter_map(|(row, (x, y))| Some((row, (*x)?, (*y)?))).collect();
    // The highest of what is coloured by lies on top; rows without it lie below.
    let place = |row: usize| colouring.order[row].unwrap_or(f64::NEG_INFINITY);
    points.sort_by(|a, b| place(a.0).total_cmp(&place(b.0)));
    let (radius, opacity) = match points.len() {
        0..=60 => (4.5, 0.9),
        61..=300 => (3.8, 0.75),
        _ => (3.0, 0.6),
    };
    for (row, x, y) in points {
        let at = (frame.x(horizontal, x), frame.y(vertical, y));
        faint_marker(root, colouring.inks[row], at, radius, opacity)?;
    }
    Ok(())
}

/// Places at which rows of one category do not hide one another: the first in the middle of its band, the rest spread by
/// the golden ratio, which fills the band evenly whatever their number.
fn spread_out(variable: &Variable) -> Vec<Option<f64>> {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let Kind::Category(names) = &variable.kind else { return variable.places.clone() };
    let mut n_before = vec![0_u32; names.len()];
    let mut shift = |place: f64| {
        let before = n_before.get_mut(place as usize)?;
        let shift = (0.5 + f64::from(*before) * GOLDEN).fract() - 0.5;
        *before += 1;
        Some(place + BAND * shift)
    };
    variable.places.iter().map(|place| place.and_then(&mut shift)).collect()
}

fn describe(
    across: &Variable,
    up: &Variable,
    is_drawn: &[bool],
    colouring: &Colouring,
    (one, many): (&str, &str),
) -> String {
    let n = is_drawn.iter().filter(|is_drawn| **is_drawn).count();
    let mut text = format!(
        "{} against {} of {}. {}: {}. {}: {}.",
        up.name,
        across.name,
        count(n, one, many),
        across.name,
        across.range(),
        up.name,
        up.range()
    );
    let points: Vec<(f64, f64)> =
        across.places.iter().zip(&up.places).filter_map(|(x, y)| Some(((*x)?, (*y)?))).collect();
    if !up.is_category()
        && let Some(highest) =
            points.iter().copied().reduce(|best, one| if one.1 > best.1 { one } else { best })
        && n > 1
    {
        let (x, y) = (across.show(highest.0), up.show(highest.1));
        text.push_str(&format!(" The highest {}, {y}, is at {x}.", up.name));
    }
    if !up.is_category()
        && !across.is_category()
        && let Some(correlation) = rank_correlation(&points)
    {
        text.push_str(&format!(" Their rank correlation is {}.", wording::fixed(correlation, 2)));
    }
    text.push_str(colouring.description());
    let n_left_out = is_drawn.len() - n;
    if n_left_out > 0 {
        let are = if n_left_out == 1 { "is" } else { "are" };
        text.push_str(&format!(
            " {} {are} not drawn for want of a finite value of one or the other.",
            count(n_left_out, one, many)
        ));
    }
    text
}

/// Spearman's: the correlation of ranks, ties at their mean rank. None where there are fewer than three points or one of the
/// two does not vary.
fn rank_correlation(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < 3 {
        return None;
    }
    let ranks = |value: fn(&(f64, f64)) -> f64| {
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by(|a, b| value(&points[*a]).total_cmp(&value(&points[*b])));
        let mut ranks = vec![0.0; points.len()];
        for tied in order.chunk_by(|a, b| value(&points[*a]) == value(&points[*b])) {
            let before = order.partition_point(|row| value(&points[*row]) < value(&points[tied[0]]));
            let mean = before as f64 + (tied.len() as f64 - 1.0) / 2.0;
            tied.iter().for_each(|row| ranks[*row] = mean);
        }
        ranks
    };
    let (x, y) = (ranks(|point| point.0), ranks(|point| point.1));
    let middle = (points.len() as f64 - 1.0) / 2.0;
    let product =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum() };
    let norm = (product(&x, &x) * product(&y, &y)).sqrt();
    (norm > 0.0).then(|| product(&x, &y) / norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_correlation_is_spearmans() {
        // scipy.stats.spearmanr([1, 2, 2, 4, 5], [5, 6, 7, 8, 7]).statistic
        let tied = [(1.0, 5.0), (2.0, 6.0), (2.0, 7.0), (4.0, 8.0), (5.0, 7.0)];
        assert!((rank_correlation(&tied).unwrap() - 0.763_157_894_736_842).abs() < 1e-12);
        let rising: Vec<(f64, f64)> = (0..9).map(|i| (f64::from(i), f64::from(i).exp())).collect();
        assert_eq!(rank_correlation(&rising), Some(1.0));
        assert_eq!(rank_correlation(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
        assert_eq!(rank_correlation(&rising[..2]), None);
    }
}
