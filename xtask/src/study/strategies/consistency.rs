//! Whether a study with other seeds agrees with the results that are kept in the repository.

use super::cells::Cell;
use super::statistics::Estimate;
use super::verdicts::{AUTO, place};

/// A line for each difference of `auto` in `found`: whether its 95 % interval and that of the same difference in `kept` have
/// something in common. And how many there are that have, of how many that can be told.
pub(super) fn beside_kept(found: &[Cell], kept: &[Cell]) -> (String, usize, usize) {
    let mut lines = Vec::new();
    let (mut n_consistent, mut n_told) = (0, 0);
    for cell in found.iter().filter(|cell| cell.strategy == AUTO) {
        let same = kept.iter().find(|other| other.strategy == AUTO && other.is_at(cell));
        for (what, ours, theirs) in differences(cell, same) {
            let told = ours.zip(theirs).and_then(|(ours, theirs)| overlap(&ours, &theirs));
            n_told += usize::from(told.is_some());
            n_consistent += usize::from(told == Some(true));
            let word = match told {
                Some(true) => "consistent",
                Some(false) => "different",
                None => "open",
            };
            let (place, ours, theirs) = (place(cell), text(ours), text(theirs));
            lines.push(format!("  {word:<10}  {place}, {what}: {ours}; kept {theirs}"));
        }
    }
    (lines.join("\n"), n_consistent, n_told)
}

/// The differences that both have, of the same kind: to fresh random at equal time, unless one of them has only equal epochs
/// or the schedules are of different lengths; and to full data.
fn differences(cell: &Cell, kept: Option<&Cell>) -> [(String, Option<Estimate>, Option<Estimate>); 2] {
    let equal_time = |cell: &Cell| cell.equal_time.as_ref().map(|beside| (beside.epochs, beside.points));
    let equal_epochs = |cell: &Cell| cell.equal_epochs.as_ref().map(|beside| beside.points);
    let random = match (equal_time(cell), kept.and_then(equal_time)) {
        (Some((ours, points)), Some((theirs, kept))) if ours == theirs => {
            (format!("fresh random in {ours} epochs"), Some(points), Some(kept))
        }
        _ => ("fresh random in as many epochs".to_owned(), equal_epochs(cell), kept.and_then(equal_epochs)),
    };
    [random, ("full data".to_owned(), cell.beside_full, kept.and_then(|kept| kept.beside_full))]
}

/// Unknown where one has no interval.
fn overlap(one: &Estimate, other: &Estimate) -> Option<bool> {
    let ((low, high), (other_low, other_high)) = (one.interval()?, other.interval()?);
    Some(low <= other_high && other_low <= high)
}

fn text(points: Option<Estimate>) -> String {
    points.map_or_else(
        || "nothing".to_owned(),
        |points| match points.half_width {
            Some(half) => format!("{:+.2} ± {half:.2}", points.mean),
            None => format!("{:+.2}", points.mean),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::cells::tests::run;
    use super::super::cells::{Cell, cells};
    use super::beside_kept;

    /// `auto` so many points above fresh random, a little less and a little more.
    fn study(above: f64, seeds: std::ops::Range<u64>) -> Vec<Cell> {
        let mut runs = Vec::new();
        for (seed, shift) in seeds.zip([-0.1, 0.0, 0.1]) {
            runs.push(run("full", 20, seed, 90.0));
            runs.push(run("fresh-random", 20, seed, 80.0));
            runs.push(run("auto", 20, seed, 80.0 + above + shift));
        }
        cells(&runs)
    }

    #[test]
    fn intervals_that_meet_are_consistent() {
        let (text, n_consistent, n_told) = beside_kept(&study(2.0, 10..13), &study(2.3, 0..3));
        assert_eq!((n_consistent, n_told), (2, 2), "{text}");
        let (text, n_consistent, n_told) = beside_kept(&study(2.0, 10..13), &study(3.0, 0..3));
        assert_eq!((n_consistent, n_told), (0, 2), "{text}");
        assert!(
            text.contains(
                "different   mnist, clean, 30 %, fresh random in 20 epochs: +2.00 ± 0.25; kept +3.00 ± 0.25"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_is_missing_is_no_contradiction() {
        let (text, n_consistent, n_told) = beside_kept(&study(2.0, 10..13), &[]);
        assert_eq!((n_consistent, n_told), (0, 0));
        assert!(text.contains("open ") && text.contains("kept nothing"), "{text}");
        let (_, n_consistent, n_told) = beside_kept(&study(2.0, 10..11), &study(2.0, 0..3));
        assert_eq!((n_consistent, n_told), (0, 0), "one seed has no interval");
    }
}
