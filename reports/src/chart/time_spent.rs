//! Where the time of a run went: training, choosing, and everything else, as bars.

use super::frame::{Axis, Frame, LABEL_SIZE, empty, label_width, pixel, text};
use super::palette::{Ink, PAPER, QUIET, TEXT, of_part};
use super::svg::{About, Figures, Svg, finish};
use crate::error::Result;
use crate::summary::{Row, SettingSummary, setting_name};
use crate::wording::{self, FULL, percent};
use plotters::element::Rectangle;
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};

const WIDTH: f64 = 960.0;
const TITLE: &str = "Where the time went";
const BAR: f64 = 26.0;
/// More strategies and fractions than this are in the table alone.
const MOST_BARS: usize = 24;

/// The parts of a run, in seconds.
struct Bar {
    label: String,
    training: f64,
    choosing: f64,
    /// Evaluation, reading data, saving; none where the whole time was not recorded.
    rest: Option<f64>,
}

impl Bar {
    fn total(&self) -> f64 {
        self.training + self.choosing + self.rest.unwrap_or(0.0)
    }
}

pub(super) fn draw(setting: Option<&SettingSummary>) -> Result<Svg> {
    let rows = setting.map(|setting| setting.rows.as_slice()).unwrap_or_default();
    let bars: Vec<Bar> = rows.iter().filter_map(bar).collect();
    if bars.is_empty() {
        let sentence = "No completed run recorded the seconds of training and choosing.";
        let about =
            About { title: TITLE.to_owned(), description: sentence.to_owned(), width: WIDTH, height: 160.0 };
        return finish(about, |root| empty(root, WIDTH, 160.0, &[sentence.to_owned()]));
    }
    let drawn = &bars[..bars.len().min(MOST_BARS)];
    let longest = drawn.iter().map(Bar::total).fold(0.0, f64::max);
    let (unit, seconds) = if longest < 300.0 {
        ("seconds", 1.0)
    } else if longest < 18_000.0 {
        ("minutes", 60.0)
    } else {
        ("hours", 3600.0)
    };
    let left = 20.0 + drawn.iter().map(|bar| label_width(&bar.label, LABEL_SIZE)).fold(20.0, f64::max);
    let right = 96.0;
    let top = 36.0;
    let height = top + BAR * drawn.len() as f64 + 54.0;
    let frame = Frame { width: WIDTH, height, left, right, top, bottom: 48.0 };
    let mut x = Axis::round(0.0, longest / seconds, 8, format!("Mean of a run, {unit}"));
    // The axis ends with the longest bar, so that its label has room.
    x.high = longest / seconds;
    x.ticks.retain(|tick| tick.0 <= x.high * (1.0 + 1e-9));
    let y = Axis { low: 0.0, high: drawn.len() as f64, ticks: Vec::new(), title: String::new() };
    let about =
        About { title: TITLE.to_owned(), description: describe(setting, &bars), width: WIDTH, height };
    let svg = finish(about, |root| {
        frame.draw(root, &x, &y)?;
        let mut at = left;
        for (name, ink) in parts() {
            root.draw(&filled(ink, (at, 10.0), (at + 14.0, 22.0)))?;
            text(root, name, (at + 20.0, 16.0), TEXT, LABEL_SIZE, (HPos::Left, VPos::Center))?;
            at += 20.0 + label_width(name, LABEL_SIZE) + 18.0;
        }
        for (i, bar) in drawn.iter().enumerate() {
            let upper = top + BAR * i as f64 + 5.0;
            let (middle, lower) = (upper + (BAR - 8.0) / 2.0, upper + BAR - 8.0);
            text(root, &bar.label, (left - 8.0, middle), TEXT, LABEL_SIZE, (HPos::Right, VPos::Center))?;
            let mut from = 0.0;
            for (part, (_, part_ink)) in
                [Some(bar.training), Some(bar.choosing), bar.rest].into_iter().zip(parts())
            {
                let to = from + part.unwrap_or(0.0);
                let (a, b) = (frame.x(&x, from / seconds), frame.x(&x, to / seconds));
                if b - a >= 0.3 {
                    root.draw(&filled(part_ink, (a, upper), (b, lower)))?;
                    if b - a > 4.0 {
                        // A line of paper parts the colours for those who see them alike.
                        root.draw(&filled(PAPER, (b - 1.0, upper), (b, lower)))?;
                    }
                }
                from = to;
            }
            let end = frame.x(&x, from / seconds) + 6.0;
            let total = wording::seconds(bar.total());
            text(root, &total, (end, middle), QUIET, LABEL_SIZE, (HPos::Left, VPos::Center))?;
        }
        Ok(())
    })?;
    Ok(svg.with_figures(figures(&bars)))
}

/// What a run's time goes into, in the order of the bars.
fn parts() -> [(&'static str, Ink); 3] {
    [("Training", of_part(0)), ("Choosing", of_part(1)), ("Evaluation and the rest", of_part(5))]
}

fn filled(ink: Ink, from: (f64, f64), to: (f64, f64)) -> Rectangle<(i32, i32)> {
    Rectangle::new([pixel(from.0, from.1), pixel(to.0, to.1)], ink.carrier().filled())
}

fn bar(row: &Row) -> Option<Bar> {
    let (training, choosing) = (row.training_seconds?, row.selection_seconds?);
    let share = if row.strategy == FULL { String::new() } else { format!(" {}", percent(row.fraction)) };
    let rest = row.wall_seconds.map(|wall| (wall - training - choosing).max(0.0));
    let is_drawable = [training, choosing, rest.unwrap_or(0.0)].iter().all(|seconds| seconds.is_finite());
    is_drawable.then(|| Bar {
        label: format!("{}{share}", wording::strategy(&row.strategy)),
        training,
        choosing,
        rest,
    })
}

fn rest(bar: &Bar) -> String {
    bar.rest.map_or("not recorded".to_owned(), wording::seconds)
}

fn describe(setting: Option<&SettingSummary>, bars: &[Bar]) -> String {
    let of_which = setting.map(|one| format!("{}. ", setting_name(&one.setting))).unwrap_or_default();
    let one = |bar: &Bar| {
        format!(
            "{}: {} training, {} choosing, evaluation and the rest {}.",
            bar.label,
            wording::seconds(bar.training),
            wording::seconds(bar.choosing),
            rest(bar)
        )
    };
    let sentences: Vec<String> = bars.iter().take(MOST_BARS).map(one).collect();
    format!("{of_which}Mean seconds of a run. {}", sentences.join(" "))
}

fn figures(bars: &[Bar]) -> Figures {
    let mut figures = Figures::new(&[
        "Strategy and fraction",
        "Training",
        "Choosing",
        "Evaluation and the rest",
        "Whole run",
    ]);
    figures.rows = bars
        .iter()
        .map(|bar| {
            vec![
                bar.label.clone(),
                wording::seconds(bar.training),
                wording::seconds(bar.choosing),
                rest(bar),
                bar.rest.map_or("not recorded".to_owned(), |_| wording::seconds(bar.total())),
            ]
        })
        .collect();
    figures
}
