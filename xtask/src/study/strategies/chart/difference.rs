//! Points above fresh random at equal time, a row for each condition, data set, fraction and schedule.

use super::super::cells::{Cell, FULL, RANDOM};
use super::super::grid::SHORT;
use super::super::results::spoken;
use super::super::verdicts::AUTO;
use super::{Canvas, LOOKS, Look, Scale, look, number};

const WIDTH: f64 = 960.0;
const ROW: f64 = 19.0;
const HEAD: f64 = 70.0;
/// Where rows begin: left of it they are named, right of the panel their figures stand.
const LEFT: f64 = 300.0;
const RIGHT: f64 = 150.0;

/// The chart, of all cells that have fresh random beside them at equal time.
pub(in super::super) fn difference(cells: &[Cell]) -> String {
    let compared: Vec<&Cell> = cells
        .iter()
        .filter(|cell| cell.strategy != FULL && cell.strategy != RANDOM && cell.equal_time.is_some())
        .collect();
    let mut rows: Vec<Vec<&Cell>> = Vec::new();
    for &cell in &compared {
        match rows.iter_mut().find(|row| row[0].is_at(cell)) {
            Some(row) => row.push(cell),
            None => rows.push(vec![cell]),
        }
    }
    let of_auto = |row: &Vec<&Cell>| row.iter().any(|cell| cell.strategy == AUTO);
    rows.retain(of_auto);
    let n_groups = 1 + rows.windows(2).filter(|pair| group(pair[0][0]) != group(pair[1][0])).count();
    let height = HEAD + ROW * (rows.len() + n_groups) as f64 + 44.0;
    let mut canvas = Canvas::new(WIDTH, height);
    canvas.text(
        "head",
        "start",
        (20.0, 26.0),
        "Points of test accuracy above fresh random at equal wall time, with 95 % intervals for auto",
    );
    let legend: Vec<&Look> =
        LOOKS.iter().filter(|look| compared.iter().any(|cell| cell.strategy == look.strategy)).collect();
    canvas.legend((26.0, 50.0), &legend);
    let (low, high) = reach(&rows);
    let x = Scale { low, high, from: LEFT, to: WIDTH - RIGHT };
    let bottom = height - 36.0;
    for tick in x.ticks(10) {
        let class = if tick == 0.0 { "zero" } else { "grid" };
        canvas.line(class, (x.at(tick), HEAD), (x.at(tick), bottom));
        let sign = if tick > 0.0 { "+" } else { "" };
        canvas.text("quiet", "middle", (x.at(tick), bottom + 17.0), &format!("{sign}{}", number(tick)));
    }
    let mut y = HEAD;
    let mut before = String::new();
    for row in &rows {
        let name = group(row[0]);
        if name != before {
            y += ROW;
            canvas.text("head", "start", (20.0, y - 3.0), &name);
            before = name;
        }
        y += ROW;
        draw(&mut canvas, &x, y - ROW / 2.0, row);
    }
    canvas.finish(
        "Points of test accuracy above fresh random at equal wall time, for each condition and data set",
    )
}

/// What rows stand under.
fn group(cell: &Cell) -> String {
    let measure = if cell.is_balanced() { " (balanced accuracy)" } else { "" };
    let epochs = if cell.epochs == SHORT { String::new() } else { format!(", {} epochs", cell.epochs) };
    format!("{}{measure}{epochs}", spoken(&cell.condition))
}

fn draw(canvas: &mut Canvas, x: &Scale, y: f64, row: &[&Cell]) {
    let name = format!("{}, {} %", row[0].data, row[0].percent);
    canvas.text("", "end", (LEFT - 12.0, y + 4.0), &name);
    let mut order: Vec<&&Cell> = row.iter().collect();
    order.sort_by_key(|cell| cell.strategy == AUTO);
    for cell in order {
        let (Some(look), Some(beside)) = (look(&cell.strategy), &cell.equal_time) else { continue };
        let points = &beside.points;
        let within = |value: f64| x.at(value.clamp(x.low, x.high));
        if cell.strategy == AUTO {
            if let Some((low, high)) = points.interval() {
                canvas.line("band auto", (within(low), y), (within(high), y));
            }
            let half = points.half_width.map(|half| format!(" ± {half:.2}")).unwrap_or_default();
            let figures = format!("{:+.2}{half}", points.mean).replace('-', "−");
            canvas.text("quiet", "start", (x.to + 14.0, y + 4.0), &figures);
        } else if points.mean < x.low || points.mean > x.high {
            // A rival beyond the axis: its place in the table says how far.
            let arrow = if points.mean < x.low { "‹" } else { "›" };
            let at = within(points.mean);
            canvas.text(&format!("{} quiet", cell.strategy), "middle", (at, y + 4.0), arrow);
            continue;
        }
        canvas.mark(look, (within(points.mean), y));
    }
}

/// From the lowest to the highest end of `auto`'s intervals, but no farther than one and a half times its farthest mean; zero within.
fn reach(rows: &[Vec<&Cell>]) -> (f64, f64) {
    let (mut low, mut high, mut farthest) = (0.0_f64, 0.0_f64, 0.2_f64);
    for cell in rows.iter().flatten().filter(|cell| cell.strategy == AUTO) {
        let Some(beside) = &cell.equal_time else { continue };
        let (from, to) = beside.points.interval().unwrap_or((beside.points.mean, beside.points.mean));
        (low, high) = (low.min(from), high.max(to));
        farthest = farthest.max(beside.points.mean.abs());
    }
    let most = 1.5 * farthest;
    let (low, high) = (low.max(-most), high.min(most));
    let pad = 0.05 * (high - low).max(0.2);
    (low - pad, high + pad)
}

#[cfg(test)]
mod tests {
    use super::super::super::cells::cells;
    use super::super::super::cells::tests::run;
    use super::super::super::grid::Condition;
    use super::super::super::runs::Run;
    use super::{difference, reach};

    fn runs() -> Vec<Run> {
        let mut runs = Vec::new();
        for condition in [Condition::Clean, Condition::Noise(40)] {
            for (seed, shift) in (0..3).zip([-0.1, 0.0, 0.1]) {
                for (strategy, accuracy) in [("fresh-random", 80.0), ("auto", 81.0), ("glister", 60.0)] {
                    let mut run = run(strategy, 20, seed, accuracy);
                    run.accuracy += if strategy == "auto" { shift } else { 0.0 };
                    run.task.condition = condition;
                    runs.push(run);
                }
            }
        }
        runs
    }

    #[test]
    fn each_place_has_its_row_with_figures() {
        let svg = difference(&cells(&runs()));
        assert_eq!(svg.matches(">mnist, 30 %<").count(), 2);
        assert_eq!(svg.matches(">+1.00 ± 0.25<").count(), 2);
        assert!(svg.contains(">clean<") && svg.contains(">40 % random labels<"));
        assert_eq!(svg.matches("band auto").count(), 2);
        // Twenty points below: beyond the axis.
        assert_eq!(svg.matches('‹').count(), 2);
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn the_axis_reaches_as_far_as_intervals_and_holds_zero() {
        let cells = cells(&runs());
        let auto = cells.iter().filter(|cell| cell.strategy == "auto").collect();
        let (low, high) = reach(&[auto]);
        assert!(low < 0.0 && high > 1.25 && high < 1.5, "{low} {high}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(difference(&[]).contains("</svg>"));
    }
}
