//! Accuracy against seconds, a panel for each data set: clean, the short schedule, and fresh random for longer too.

use super::super::cells::{Cell, FULL, RANDOM};
use super::super::grid::{Condition, Data, SHORT};
use super::{Canvas, LOOKS, Look, Scale, look, number};

const WIDTH: f64 = 960.0;
const PANEL_HEIGHT: f64 = 300.0;
const HEAD: f64 = 64.0;
/// What a mark with its figures takes that lies below the axis.
const BELOW_WIDTH: f64 = 70.0;

/// The chart, of the cells whose data are clean.
pub(in super::super) fn accuracy_time(cells: &[Cell]) -> String {
    let shown = |cell: &&Cell| {
        let schedule = cell.epochs == SHORT || (cell.strategy == RANDOM && cell.epochs < 3 * SHORT);
        cell.condition == Condition::Clean.name() && schedule
    };
    let cells: Vec<&Cell> = cells.iter().filter(shown).collect();
    let mut panels: Vec<(&str, Vec<&Cell>)> = Vec::new();
    for data in Data::ALL {
        let own: Vec<&Cell> = cells.iter().copied().filter(|cell| cell.data == data.name()).collect();
        // Without fresh random there is nothing yet to see.
        if own.iter().any(|cell| cell.strategy == RANDOM) {
            panels.push((data.name(), own));
        }
    }
    let n_rows = panels.len().div_ceil(2);
    let mut canvas = Canvas::new(WIDTH, HEAD + PANEL_HEIGHT * n_rows as f64);
    canvas.text(
        "head",
        "start",
        (20.0, 26.0),
        "Test accuracy by seconds of training and choosing: clean data, 20 epochs; fresh random for longer too",
    );
    let legend: Vec<&Look> =
        LOOKS.iter().filter(|look| cells.iter().any(|cell| cell.strategy == look.strategy)).collect();
    canvas.legend((26.0, 50.0), &legend);
    for (at, (data, cells)) in panels.iter().enumerate() {
        let left = (at % 2) as f64 * WIDTH / 2.0;
        panel(&mut canvas, (left, HEAD + (at / 2) as f64 * PANEL_HEIGHT), data, cells);
    }
    canvas.finish("Test accuracy by seconds of training and choosing, for each strategy and data set")
}

fn panel(canvas: &mut Canvas, (left, top): (f64, f64), data: &str, cells: &[&Cell]) {
    let secs = |cell: &Cell| cell.secs.max(1e-3).log10();
    let (fastest, slowest) = range(cells.iter().map(|cell| secs(cell)));
    let pad = 0.06 * (slowest - fastest).max(0.1);
    let (low, high) = accuracies(cells);
    let x =
        Scale { low: fastest - pad, high: slowest + pad, from: left + 56.0, to: left + WIDTH / 2.0 - 20.0 };
    let y = Scale { low, high, from: top + PANEL_HEIGHT - 48.0, to: top + 34.0 };
    canvas.text("head", "start", (x.from, top + 20.0), data);
    for tick in y.ticks(6) {
        canvas.line("grid", (x.from, y.at(tick)), (x.to, y.at(tick)));
        canvas.text("quiet", "end", (x.from - 6.0, y.at(tick) + 4.0), &format!("{} %", number(tick)));
    }
    for tick in seconds(10_f64.powf(x.low), 10_f64.powf(x.high)) {
        let at = x.at(tick.log10());
        canvas.line("grid", (at, y.from), (at, y.to));
        canvas.text("quiet", "middle", (at, y.from + 17.0), &format!("{} s", number(tick)));
    }
    canvas.line("axis", (x.from, y.from), (x.to, y.from));
    let place = |cell: &Cell| (x.at(secs(cell)), y.at(cell.accuracy.mean.max(low)));
    // Fresh random given more time: what any choosing has to beat.
    let mut percents: Vec<u32> = cells.iter().map(|cell| cell.percent).collect();
    percents.sort_unstable();
    percents.dedup();
    for percent in percents {
        let mut line: Vec<&&Cell> =
            cells.iter().filter(|cell| cell.strategy == RANDOM && cell.percent == percent).collect();
        line.sort_by_key(|cell| cell.epochs);
        if line.len() > 1 {
            let points: Vec<(f64, f64)> = line.iter().map(|cell| place(cell)).collect();
            canvas.path(RANDOM, &points);
        }
        if let Some(first) = line.first() {
            let (x, _) = place(first);
            canvas.text("quiet", "middle", (x, y.from + 33.0), &format!("{percent} % of the data"));
        }
    }
    // What matters most is drawn last, on top.
    let rank = |cell: &Cell| LOOKS.iter().rev().position(|look| look.strategy == cell.strategy);
    let mut order: Vec<&&Cell> = cells.iter().collect();
    order.sort_by_key(|cell| rank(cell));
    let mut below: Vec<(f64, &Look, f64)> = Vec::new();
    for cell in order {
        let Some(look) = look(&cell.strategy) else { continue };
        let (at, down) = place(cell);
        if cell.accuracy.mean < low {
            below.push((at, look, cell.accuracy.mean));
            continue;
        }
        if let Some((from, to)) = cell.accuracy.interval() {
            let class = format!("band faint {}", cell.strategy);
            canvas.line(&class, (at, y.at(from.max(low))), (at, y.at(to.min(high))));
        }
        canvas.mark(look, (at, down));
    }
    below.sort_by(|one, other| one.0.total_cmp(&other.0));
    // How far to the right each line of figures is taken.
    let mut taken: Vec<f64> = Vec::new();
    for (at, look, mean) in below {
        let free = taken.iter().position(|end| *end < at).unwrap_or(taken.len());
        match taken.get_mut(free) {
            Some(end) => *end = at + BELOW_WIDTH,
            None => taken.push(at + BELOW_WIDTH),
        }
        let down = y.from - 12.0 - 16.0 * free as f64;
        canvas.mark(look, (at, down));
        canvas.text("quiet", "start", (at + 8.0, down + 4.0), &format!("↓ {mean:.1} %"));
    }
}

/// What the axis of accuracies shows: everything down to twice as far below full data as fresh random comes. What lies lower
/// is said in words: it would leave no room to tell the others apart.
fn accuracies(cells: &[&Cell]) -> (f64, f64) {
    let (lowest, highest) = range(cells.iter().map(|cell| cell.accuracy.mean));
    let of = |strategy: &str| {
        range(cells.iter().filter(|cell| cell.strategy == strategy).map(|cell| cell.accuracy.mean))
    };
    let (full, random) = (of(FULL).1, of(RANDOM).0);
    let reach =
        if full.is_finite() && random.is_finite() { full - 2.0 * (full - random).max(0.25) } else { lowest };
    let low = lowest.max(reach);
    let pad = 0.08 * (highest - low).max(0.1);
    (low - pad, highest + pad)
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// 1, 2 and 5 with any number of zeros, between `low` and `high`.
fn seconds(low: f64, high: f64) -> Vec<f64> {
    let powers = (-3..6).map(|power| 10_f64.powi(power));
    let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * power));
    all.filter(|secs| (low..=high).contains(secs)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::cells::cells;
    use super::super::super::cells::tests::run;
    use super::super::super::runs::Run;
    use super::{accuracies, accuracy_time, seconds};

    fn runs() -> Vec<Run> {
        vec![
            run("full", 20, 0, 90.0),
            run("fresh-random", 20, 0, 85.0),
            run("fresh-random", 30, 0, 87.0),
            run("auto", 20, 0, 88.0),
            run("auto", 20, 1, 89.0),
            run("glister", 20, 0, 40.0),
        ]
    }

    #[test]
    fn every_strategy_is_drawn_and_what_lies_far_below_is_said() {
        let svg = accuracy_time(&cells(&runs()));
        // One mark in the legend and one in the panel; of fresh random two there.
        for (strategy, n_marks) in [("full", 2), ("fresh-random", 3), ("auto", 2), ("glister", 2)] {
            let n = svg.matches(&format!("fill {strategy}\"")).count()
                + svg.matches(&format!("hollow {strategy}\"")).count();
            assert_eq!(n, n_marks, "{strategy}");
        }
        assert!(svg.contains("↓ 40.0 %"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
        assert_eq!(svg.matches("band faint auto").count(), 1);
    }

    #[test]
    fn the_axis_leaves_out_what_would_hide_the_rest() {
        let cells = cells(&runs());
        let (low, high) = accuracies(&cells.iter().collect::<Vec<_>>());
        assert!((low - 79.2).abs() < 1e-9 && (high - 90.8).abs() < 1e-9, "{low} {high}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(accuracy_time(&[]).contains("</svg>"));
    }

    #[test]
    fn seconds_have_round_marks() {
        assert_eq!(seconds(3.0, 60.0), [5.0, 10.0, 20.0, 50.0]);
    }
}
