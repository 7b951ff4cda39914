//! Many runs as one band: the spread of their values at each step.

use super::frame::{Axis, Frame, line, pixel};
use super::palette::Ink;
use super::svg::{Drawn, Root};
use crate::table::Series;
use plotters::element::{PathElement, Polygon};
use plotters::style::Color;

/// The lowest value, a tenth from below, the middle, a tenth from above, the highest.
pub(super) type Spread = [f64; 5];

/// Of more steps than this, neighbours are drawn as one, from the lowest to the highest of them.
const MOST_STEPS: usize = 400;

/// The spread of the values of some runs at each step that any of them has.
pub(super) fn spread_of(series: &[&Series]) -> Vec<(f64, Spread)> {
    let mut points: Vec<(f64, f64)> = series.iter().flat_map(|one| one.points.iter().copied()).collect();
    points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points
        .chunk_by(|a, b| a.0 == b.0)
        .map(|same| (same[0].0, [0.0, 0.1, 0.5, 0.9, 1.0].map(|share| quantile(same, share))))
        .collect()
}

/// By linear interpolation between the two nearest of the sorted values.
fn quantile(sorted: &[(f64, f64)], share: f64) -> f64 {
    let at = share * (sorted.len() as f64 - 1.0);
    let (low, part) = (at.floor() as usize, at.fract());
    let value = |index: usize| sorted[index.min(sorted.len() - 1)].1;
    if part == 0.0 { value(low) } else { value(low) * (1.0 - part) + value(low + 1) * part }
}

/// Fewer steps, without losing how far the values reach.
fn thinned(spreads: &[(f64, Spread)]) -> Vec<(f64, Spread)> {
    let stretch = spreads.len().div_ceil(MOST_STEPS).max(1);
    spreads
        .chunks(stretch)
        .map(|part| {
            let (step, middle) = (part[part.len() / 2].0, part[part.len() / 2].1[2]);
            let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
            for (_, spread) in part {
                low = [low[0].min(spread[0]), low[1].min(spread[1])];
                high = [high[0].max(spread[3]), high[1].max(spread[4])];
            }
            (step, [low[0], low[1], middle, high[0], high[1]])
        })
        .collect()
}

/// From the lowest to the highest value faintly, the middle eight tenths of the runs plainer, their middle as a line.
pub(super) fn draw(
    root: &Root<'_>,
    frame: &Frame,
    (x, y): (&Axis, &Axis),
    spreads: &[(f64, Spread)],
    ink: Ink,
) -> Drawn {
    let spreads = thinned(spreads);
    let at = |step: f64, value: f64| pixel(frame.x(x, step), frame.y(y, value));
    for (low, high, opacity) in [(0, 4, 0.09), (1, 3, 0.2)] {
        let upper = spreads.iter().map(|(step, spread)| at(*step, spread[high]));
        let lower = spreads.iter().rev().map(|(step, spread)| at(*step, spread[low]));
        let around: Vec<(i32, i32)> = upper.chain(lower).collect();
        if around.len() > 2 {
            root.draw(&Polygon::new(around, ink.carrier().mix(opacity).filled()))?;
        }
    }
    let middle: Vec<(i32, i32)> = spreads.iter().map(|(step, spread)| at(*step, spread[2])).collect();
    root.draw(&PathElement::new(middle, line(ink, 2.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys_and_extremes_survive() {
        // numpy.quantile([1, 2, 4, 8, 16], [0, 0.1, 0.5, 0.9, 1]) = [1, 1.4, 4, 12.8, 16]
        let runs: Vec<Series> = [8.0, 1.0, 16.0, 4.0, 2.0]
            .into_iter()
            .map(|value| Series { points: vec![(1.0, value), (2.0, 1.0)], ..Series::default() })
            .collect();
        let spreads = spread_of(&runs.iter().collect::<Vec<_>>());
        assert_eq!(spreads.len(), 2);
        for (found, expected) in spreads[0].1.iter().zip([1.0, 1.4, 4.0, 12.8, 16.0]) {
            assert!((found - expected).abs() < 1e-12, "{found}");
        }
        assert_eq!(spreads[1], (2.0, [1.0; 5]));
        let many: Vec<(f64, Spread)> = (0..10_001)
            .map(|i| {
                (f64::from(i), if i == 5003 { [-9.0, 1.0, 2.0, 3.0, 9.0] } else { [0.0, 1.0, 2.0, 3.0, 4.0] })
            })
            .collect();
        let few = thinned(&many);
        assert!(few.len() <= MOST_STEPS);
        assert!(few.iter().any(|one| one.1[0] == -9.0) && few.iter().any(|one| one.1[4] == 9.0));
    }
}
