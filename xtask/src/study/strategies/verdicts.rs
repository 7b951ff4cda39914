//! What was aimed at beside what was reached, for the strategy that `Select::auto` stands for.

use serde::{Deserialize, Serialize};

use super::cells::{Cell, Difference};
use super::grid::Condition;
use super::statistics::Estimate;

pub(super) const AUTO: &str = "auto";

/// How a target came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    Met,
    Missed,
    /// Runs are missing that it takes to tell.
    Open,
}

impl Outcome {
    fn of(met: Option<bool>) -> Self {
        match met {
            Some(true) => Self::Met,
            Some(false) => Self::Missed,
            None => Self::Open,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Open => "open",
        }
    }
}

/// A target in one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) target: String,
    /// Data set, fraction and schedule.
    pub(super) place: String,
    pub(super) outcome: Outcome,
    /// The figures that it rests on.
    pub(super) found: String,
}

/// A target that is asked of some cells of `auto`.
struct Target {
    text: &'static str,
    asked_of: fn(&Cell) -> bool,
    judge: fn(&Cell) -> (Option<bool>, String),
}

static TARGETS: [Target; 7] = [
    Target {
        text: "clean: above fresh random at equal time, the interval leaving zero out",
        asked_of: is_clean,
        judge: |cell| above_random(cell, 0.0),
    },
    Target {
        text: "clean, 30 %: no loss against full data that can be measured, at 3 times its speed",
        asked_of: |cell| is_clean(cell) && cell.percent == 30,
        judge: no_loss,
    },
    Target {
        text: "clean, 10 %: at most half the points that fresh random loses at equal time",
        asked_of: |cell| is_clean(cell) && cell.percent == 10,
        judge: half_the_loss,
    },
    Target {
        text: "40 % random labels, 10 and 30 %: at least 2 points above fresh random at equal time",
        asked_of: |cell| is_noisy(cell) && matches!(cell.percent, 10 | 30),
        judge: |cell| above_random(cell, 2.0),
    },
    Target {
        text: "40 % random labels, 30 %: at least 1 point above full data",
        asked_of: |cell| is_noisy(cell) && cell.percent == 30,
        judge: |cell| (cell.beside_full.and_then(|points| reaches(&points, 1.0)), full_text(cell)),
    },
    Target {
        text: "10:1 imbalance: at least 1 point of balanced accuracy above fresh random at equal time",
        asked_of: Cell::is_balanced,
        judge: |cell| above_random(cell, 1.0),
    },
    Target {
        text: "everywhere: choosing takes at most 3 % of training",
        asked_of: |_| true,
        judge: |cell| {
            let (share, of_sums) = (100.0 * cell.choosing_share, 100.0 * cell.choosing_share_of_sums);
            (Some(share <= 3.0), format!("{share:.1} %; of all seconds, disturbed ones too, {of_sums:.1} %"))
        },
    },
];

fn is_clean(cell: &Cell) -> bool {
    cell.condition == Condition::Clean.name()
}

fn is_noisy(cell: &Cell) -> bool {
    cell.condition == Condition::Noise(40).name()
}

/// Whether a difference is `least` points or more, and shown to be above zero.
fn reaches(points: &Estimate, least: f64) -> Option<bool> {
    points.above(0.0).map(|above| above && points.mean >= least)
}

fn above_random(cell: &Cell, least: f64) -> (Option<bool>, String) {
    match &cell.equal_time {
        Some(beside) => (reaches(&beside.points, least), random_text(beside)),
        None => {
            let worth = cell.worth_epochs.map_or_else(String::new, |worth| format!(" ({worth:.1})"));
            (None, format!("no schedule of fresh random with so many epochs{worth} is in the store"))
        }
    }
}

fn no_loss(cell: &Cell) -> (Option<bool>, String) {
    let (Some(points), Some(speedup)) = (cell.beside_full, cell.speedup) else {
        return (None, "no runs on full data".to_owned());
    };
    let met = points.interval().map(|(_, high)| high >= 0.0 && speedup >= 3.0);
    let measured =
        cell.speedup_measured.map(|speed| format!(" ({speed:.1} as measured)")).unwrap_or_default();
    (met, format!("{} at {speedup:.1} times its speed{measured}", full_text(cell)))
}

fn half_the_loss(cell: &Cell) -> (Option<bool>, String) {
    let (Some(beside_full), Some(beside)) = (cell.beside_full, &cell.equal_time) else {
        return (None, above_random(cell, 0.0).1);
    };
    let lost = -beside_full.mean;
    let random_lost = lost + beside.points.mean;
    let met = (beside_full.n > 1 && beside.points.n > 1).then_some(lost <= random_lost.max(0.0) / 2.0);
    (met, format!("{lost:.2} points lost, fresh random in {} epochs {random_lost:.2}", beside.epochs))
}

fn random_text(beside: &Difference) -> String {
    format!("{} beside fresh random in {} epochs", points_text(&beside.points), beside.epochs)
}

fn full_text(cell: &Cell) -> String {
    cell.beside_full.map_or_else(String::new, |points| format!("{} beside full data", points_text(&points)))
}

/// `+0.42 ± 0.31 points (5 seeds)`.
fn points_text(points: &Estimate) -> String {
    let half = points.half_width.map(|half| format!(" ± {half:.2}")).unwrap_or_default();
    let s = if points.n == 1 { "" } else { "s" };
    format!("{:+.2}{half} points ({} seed{s})", points.mean, points.n)
}

/// All targets in all places that the study has them.
pub(super) fn verdicts(cells: &[Cell]) -> Vec<Verdict> {
    let of_auto = || cells.iter().filter(|cell| cell.strategy == AUTO);
    let of_target = |target: &'static Target| {
        of_auto().filter(move |cell| (target.asked_of)(cell)).map(move |cell| {
            let (met, found) = (target.judge)(cell);
            let place = place(cell);
            Verdict { target: target.text.to_owned(), place, outcome: Outcome::of(met), found }
        })
    };
    TARGETS.iter().flat_map(of_target).collect()
}

/// `mnist, 30 %`, with what is not clear from a target's text.
pub(super) fn place(cell: &Cell) -> String {
    let schedule =
        if cell.epochs == super::grid::SHORT { String::new() } else { format!(", {} epochs", cell.epochs) };
    format!("{}, {}, {} %{schedule}", cell.data, cell.condition, cell.percent)
}

/// The verdicts as lines, each target with how often it is met.
pub(super) fn text(verdicts: &[Verdict]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut rest = verdicts;
    while let Some(first) = rest.first() {
        let n = rest.iter().take_while(|verdict| verdict.target == first.target).count();
        let (of_target, after) = rest.split_at(n);
        let count = |outcome| of_target.iter().filter(|verdict| verdict.outcome == outcome).count();
        let open = match count(Outcome::Open) {
            0 => String::new(),
            open => format!(", {open} open"),
        };
        lines.push(format!("{}: met in {} of {n}{open}", first.target, count(Outcome::Met)));
        let width = of_target.iter().map(|verdict| verdict.place.chars().count()).max().unwrap_or_default();
        for verdict in of_target {
            let Verdict { place, found, .. } = verdict;
            lines.push(format!("  {:<6}  {place:<width$}  {found}", verdict.outcome.word()));
        }
        rest = after;
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::cells::Difference;
    use super::super::cells::tests::run;
    use super::super::cells::{Cell, cells};
    use super::super::statistics::Estimate;
    use super::{Outcome, TARGETS, Verdict, text, verdicts};

    /// A cell of `auto` with these figures.
    fn cell(condition: &str, percent: u32, above_random: [f64; 3], above_full: [f64; 3]) -> Cell {
        let mut cell = cells(&[run("auto", 20, 0, 90.0)]).remove(0);
        cell.condition = condition.to_owned();
        cell.percent = percent;
        let points = Estimate::of(&above_random).unwrap();
        cell.equal_time = Some(Difference { epochs: 21, secs: 1.0, points });
        cell.beside_full = Estimate::of(&above_full);
        cell.speedup = Some(3.1);
        cell
    }

    /// How the target numbered `at` came out; nothing where it is not asked.
    fn outcome(at: usize, cell: &Cell) -> Option<Outcome> {
        let all = verdicts(std::slice::from_ref(cell));
        all.into_iter().find(|verdict| verdict.target == TARGETS[at].text).map(|verdict| verdict.outcome)
    }

    #[test]
    fn above_random_means_the_whole_interval() {
        let surely = cell("clean", 30, [0.3, 0.4, 0.5], [0.0, 0.1, -0.1]);
        assert_eq!(outcome(0, &surely), Some(Outcome::Met));
        assert_eq!(outcome(0, &cell("clean", 30, [0.3, 3.0, -0.5], [0.0; 3])), Some(Outcome::Missed));
        assert_eq!(outcome(0, &cell("noise-40", 30, [0.3, 0.4, 0.5], [0.0; 3])), None);
        let alone = Cell { equal_time: None, ..surely };
        assert_eq!(outcome(0, &alone), Some(Outcome::Open));
    }

    #[test]
    fn no_loss_takes_speed_too() {
        let good = cell("clean", 30, [0.3, 0.4, 0.5], [-0.3, 0.1, -0.1]);
        assert_eq!(outcome(1, &good), Some(Outcome::Met));
        let slow = Cell { speedup: Some(2.9), ..good.clone() };
        assert_eq!(outcome(1, &slow), Some(Outcome::Missed));
        let worse = Cell { beside_full: Estimate::of(&[-0.3, -0.31, -0.32]), ..good.clone() };
        assert_eq!(outcome(1, &worse), Some(Outcome::Missed));
        let one_seed = Cell { beside_full: Estimate::of(&[-0.3]), ..good };
        assert_eq!(outcome(1, &one_seed), Some(Outcome::Open));
    }

    #[test]
    fn half_the_loss_is_of_what_random_loses_at_equal_time() {
        // 1 point lost; fresh random 1 + 1.1 or 1 + 0.9.
        let met = cell("clean", 10, [1.1, 1.1, 1.1], [-1.0, -1.1, -0.9]);
        assert_eq!(outcome(2, &met), Some(Outcome::Met));
        let missed = cell("clean", 10, [0.9, 0.9, 0.9], [-1.0, -1.1, -0.9]);
        assert_eq!(outcome(2, &missed), Some(Outcome::Missed));
        assert_eq!(outcome(2, &Cell { equal_time: None, ..met }), Some(Outcome::Open));
        // Where fresh random loses nothing, half of nothing.
        let gains = cell("clean", 10, [-1.0, -1.0, -1.0], [-0.5, -0.5, -0.5]);
        assert_eq!(outcome(2, &gains), Some(Outcome::Missed));
    }

    #[test]
    fn noise_and_imbalance_have_points_to_reach() {
        let noisy = cell("noise-40", 30, [2.1, 2.0, 2.2], [0.9, 0.8, 1.0]);
        assert_eq!((outcome(3, &noisy), outcome(4, &noisy)), (Some(Outcome::Met), Some(Outcome::Missed)));
        // Two points on average that might be none.
        let unsure = cell("noise-40", 30, [9.0, -5.0, 2.1], [1.1, 1.2, 1.3]);
        assert_eq!((outcome(3, &unsure), outcome(4, &unsure)), (Some(Outcome::Missed), Some(Outcome::Met)));
        assert_eq!(outcome(5, &cell("imbalance", 10, [1.1, 1.2, 1.3], [0.0; 3])), Some(Outcome::Met));
        assert_eq!(outcome(5, &cell("imbalance", 10, [0.8, 0.9, 1.0], [0.0; 3])), Some(Outcome::Missed));
    }

    #[test]
    fn choosing_has_a_share_it_may_take() {
        let mut dear = cell("imbalance", 10, [0.0; 3], [0.0; 3]);
        dear.choosing_share = 0.031;
        assert_eq!(outcome(6, &dear), Some(Outcome::Missed));
        dear.choosing_share = 0.029;
        assert_eq!(outcome(6, &dear), Some(Outcome::Met));
    }

    #[test]
    fn the_text_counts_and_tells_the_figures() {
        let cells = [
            cell("noise-40", 30, [2.1, 2.0, 2.2], [1.0; 3]),
            cell("noise-40", 10, [0.1, 0.0, 0.2], [1.0; 3]),
        ];
        let text = text(&verdicts(&cells));
        let counted = "40 % random labels, 10 and 30 %: at least 2 points above fresh random at equal time: met in 1 of 2";
        assert!(text.contains(counted), "{text}");
        let line =
            "  met     mnist, noise-40, 30 %  +2.10 ± 0.25 points (3 seeds) beside fresh random in 21 epochs";
        assert!(text.contains(line), "{text}");
        let verdict = |outcome| Verdict {
            target: "t".to_owned(),
            place: "p".to_owned(),
            outcome,
            found: "f".to_owned(),
        };
        let lines = super::text(&[verdict(Outcome::Open), verdict(Outcome::Met)]);
        assert!(lines.starts_with("t: met in 1 of 2, 1 open\n  open    p  f\n"), "{lines}");
    }
}
