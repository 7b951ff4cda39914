//! What the runs say: each strategy's schedule beside full data, and beside fresh random at equal wall time.
//!
//! **Equal time.** Of one data set, condition and fraction all strategies make the same training steps; what they take more of
//! a clock is choosing. Seconds of single runs vary by more than that on a machine that does anything else, but choosing and
//! training of one run suffer alike. So a strategy's `n` epochs are worth `n·(1 + s)/(1 + r)` epochs of fresh random, where `s`
//! and `r` are the shares of choosing in training, the strategy's and fresh random's, measured within each run. The strategy
//! is set beside the schedule of fresh random with the fewest epochs that is not shorter than that, by more than half a per
//! cent. Seconds are those of an epoch of fresh random, the median over all its runs there, times epochs, times `1 + s`.
//! Whether steps do cost the same can be seen from [`StepCost`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::grid::{Condition, Data};
use super::runs::{Run, Task};
use super::statistics::{Estimate, median};

pub(super) const RANDOM: &str = "fresh-random";
pub(super) const FULL: &str = "full";

/// A schedule of fresh random may be shorter than the time to match by this share: nobody can measure it.
const TOLERANCE: f64 = 0.005;

/// A strategy's runs of one schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) data: String,
    pub(super) condition: String,
    pub(super) percent: u32,
    pub(super) epochs: usize,
    pub(super) strategy: String,
    pub(super) seeds: Vec<u64>,
    /// Per cent on the test set; balanced, where classes have been thinned out.
    pub(super) accuracy: Estimate,
    /// Seconds of training and choosing, by the module's text.
    pub(super) secs: f64,
    /// Choosing as a share of training, the median over the runs; and of all choosing in all training.
    pub(super) choosing_share: f64,
    pub(super) choosing_share_of_sums: f64,
    /// How many times as long full data takes: its steps beside these with their choosing; and by the epochs of full data and
    /// of fresh random as they were measured, the median over the pairs of runs on the data set.
    pub(super) speedup: Option<f64>,
    pub(super) speedup_measured: Option<f64>,
    /// Points above full data.
    pub(super) beside_full: Option<Estimate>,
    /// Epochs of fresh random that take as long.
    pub(super) worth_epochs: Option<f64>,
    pub(super) equal_time: Option<Difference>,
    pub(super) equal_epochs: Option<Difference>,
}

/// A strategy beside a schedule of fresh random.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Difference {
    /// Those of fresh random.
    pub(super) epochs: usize,
    pub(super) secs: f64,
    /// Points above fresh random, paired by seed.
    pub(super) points: Estimate,
}

/// What a strategy's training steps cost beside those of fresh random, choosing left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StepCost {
    pub(super) data: String,
    pub(super) strategy: String,
    /// The logarithm of the ratio of the seconds of an epoch, over all pairs of runs with one fraction, schedule and seed.
    pub(super) log_ratio: Estimate,
}

impl Cell {
    /// What is compared.
    pub(super) fn is_balanced(&self) -> bool {
        self.condition == Condition::Imbalance.name()
    }

    /// Whether it is the cell of that place.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        (&self.data, &self.condition, self.percent, self.epochs)
            == (&other.data, &other.condition, other.percent, other.epochs)
    }
}

/// Runs of one schedule by seed.
type Schedule<'a> = BTreeMap<u64, &'a Run>;

/// All schedules of a set of runs.
struct Schedules<'a>(BTreeMap<(Task, usize, &'a str), Schedule<'a>>);

impl<'a> Schedules<'a> {
    fn of(runs: &'a [Run]) -> Self {
        let mut schedules: BTreeMap<_, Schedule<'_>> = BTreeMap::new();
        for run in runs {
            schedules.entry((run.task, run.epochs, run.strategy.as_str())).or_default().insert(run.seed, run);
        }
        Self(schedules)
    }

    fn get<'b>(&'b self, task: Task, epochs: usize, strategy: &'b str) -> Option<&'b Schedule<'a>> {
        self.0.get(&(task, epochs, strategy))
    }

    /// Those of fresh random for a task, the shortest first.
    fn random(&self, task: Task) -> impl Iterator<Item = (usize, &Schedule<'a>)> {
        self.0
            .iter()
            .filter(move |((other, _, strategy), _)| *other == task && *strategy == RANDOM)
            .map(|((_, epochs, _), schedule)| (*epochs, schedule))
    }

    /// Seconds of an epoch of fresh random. Full data has no fresh random beside it, and its own seconds.
    fn epoch_secs(&self, task: Task, own: &Schedule<'_>) -> Option<f64> {
        let random = self.random(task).flat_map(|(_, schedule)| schedule.values().map(|run| run.epoch_secs));
        median(random).or_else(|| median(own.values().map(|run| run.epoch_secs)))
    }

    /// An epoch of full data beside one of fresh random, the median over all conditions and seeds of a data set: single pairs
    /// of runs are as noisy as the machine is busy.
    fn full_ratio(&self, data: Data, percent: u32) -> Option<f64> {
        let of_random = self.0.iter().filter(|((task, _, strategy), _)| {
            task.data == data && task.percent == percent && *strategy == RANDOM
        });
        let ratios = of_random.filter_map(|((task, epochs, _), random)| {
            let full = self.get(Task { percent: 100, ..*task }, *epochs, FULL)?;
            Some(pairs(full, random, |run| run.epoch_secs.ln()).into_iter().map(f64::exp))
        });
        median(ratios.flatten())
    }

    /// Choosing's share in fresh random.
    fn random_share(&self, task: Task) -> f64 {
        let shares =
            self.random(task).flat_map(|(_, schedule)| schedule.values().map(|run| run.choosing_share));
        median(shares).unwrap_or_default()
    }
}

/// `of` the first less `of` the second, for each seed that both have.
fn pairs(ours: &Schedule<'_>, theirs: &Schedule<'_>, of: impl Fn(&Run) -> f64) -> Vec<f64> {
    ours.iter().filter_map(|(seed, run)| Some(of(run) - of(theirs.get(seed)?))).collect()
}

/// The cells of all schedules in `runs`: clean data first, of one data set the largest fraction.
pub(super) fn cells(runs: &[Run]) -> Vec<Cell> {
    let schedules = Schedules::of(runs);
    let mut keys: Vec<_> = schedules.0.keys().copied().collect();
    keys.sort_by_key(|(task, epochs, strategy)| {
        (task.condition, *epochs, task.data, std::cmp::Reverse(task.percent), *strategy)
    });
    keys.into_iter().filter_map(|key| cell(&schedules, key)).collect()
}

fn cell(schedules: &Schedules<'_>, (task, epochs, strategy): (Task, usize, &str)) -> Option<Cell> {
    let own = schedules.get(task, epochs, strategy)?;
    let measure = |run: &Run| {
        if task.condition == Condition::Imbalance { run.balanced_accuracy } else { run.accuracy }
    };
    let choosing_share = median(own.values().map(|run| run.choosing_share))?;
    let random_share = schedules.random_share(task);
    let epoch_secs = schedules.epoch_secs(task, own)?;
    let secs = epoch_secs * epochs as f64 * (1.0 + choosing_share);
    let full_task = Task { percent: 100, ..task };
    let full = schedules.get(full_task, epochs, FULL).filter(|_| strategy != FULL);
    let full_ratio = full.and_then(|_| schedules.full_ratio(task.data, task.percent));
    let beside = |(epochs, random): (usize, &Schedule<'_>)| {
        let secs = epoch_secs * epochs as f64 * (1.0 + random_share);
        Some(Difference { epochs, secs, points: Estimate::of(&pairs(own, random, measure))? })
    };
    let is_choosing = strategy != FULL && strategy != RANDOM;
    // Never less than its own epochs, should it seem to choose faster than at random.
    let worth = ((1.0 + choosing_share) / (1.0 + random_share)).max(1.0);
    let worth_epochs = is_choosing.then_some(epochs as f64 * worth);
    let equal_time = worth_epochs.and_then(|worth| {
        let long_enough = |random: &usize| *random as f64 >= worth * (1.0 - TOLERANCE);
        schedules.random(task).filter(|(random, _)| long_enough(random)).find_map(beside)
    });
    let equal_epochs = schedules.get(task, epochs, RANDOM).filter(|_| is_choosing);
    let training: f64 = own.values().map(|run| run.epoch_secs * run.epochs as f64).sum();
    Some(Cell {
        data: task.data.name().to_owned(),
        condition: task.condition.name(),
        percent: task.percent,
        epochs,
        strategy: strategy.to_owned(),
        seeds: own.keys().copied().collect(),
        accuracy: Estimate::of(&own.values().map(|run| measure(run)).collect::<Vec<_>>())?,
        secs,
        choosing_share,
        choosing_share_of_sums: own.values().map(|run| run.choosing_secs).sum::<f64>() / training,
        speedup: full.map(|_| 100.0 / f64::from(task.percent) / (1.0 + choosing_share)),
        speedup_measured: full_ratio.map(|ratio| ratio / (1.0 + choosing_share)),
        beside_full: full.and_then(|full| Estimate::of(&pairs(own, full, measure))),
        worth_epochs,
        equal_time,
        equal_epochs: equal_epochs.and_then(|random| beside((epochs, random))),
    })
}

/// For each data set and strategy.
pub(super) fn step_costs(runs: &[Run]) -> Vec<StepCost> {
    let schedules = Schedules::of(runs);
    let mut logarithms: BTreeMap<(Data, &str), Vec<f64>> = BTreeMap::new();
    for ((task, epochs, strategy), own) in &schedules.0 {
        if let Some(random) = schedules.get(*task, *epochs, RANDOM).filter(|_| *strategy != RANDOM) {
            let ratios = pairs(own, random, |run| run.epoch_secs.ln());
            logarithms.entry((task.data, *strategy)).or_default().extend(ratios);
        }
    }
    let cost = |((data, strategy), logarithms): ((Data, &str), Vec<f64>)| {
        Some(StepCost {
            data: data.name().to_owned(),
            strategy: strategy.to_owned(),
            log_ratio: Estimate::of(&logarithms)?,
        })
    };
    logarithms.into_iter().filter_map(cost).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::grid::{Condition, Data};
    use super::super::runs::{Run, Task};
    use super::{Cell, cells, step_costs};

    /// A run that takes a second an epoch.
    pub(in super::super) fn run(strategy: &str, epochs: usize, seed: u64, accuracy: f64) -> Run {
        let percent = if strategy == "full" { 100 } else { 30 };
        Run {
            task: Task { data: Data::Mnist, condition: Condition::Clean, percent },
            epochs,
            strategy: strategy.to_owned(),
            seed,
            accuracy,
            balanced_accuracy: accuracy - 10.0,
            epoch_secs: 1.0,
            choosing_secs: 0.0,
            choosing_share: 0.0,
        }
    }

    fn choosing(share: f64, run: Run) -> Run {
        Run { choosing_share: share, choosing_secs: share * run.epochs as f64, ..run }
    }

    fn named<'a>(cells: &'a [Cell], strategy: &str) -> &'a Cell {
        cells.iter().find(|cell| cell.strategy == strategy && cell.epochs == 20).unwrap()
    }

    #[test]
    fn random_is_given_the_time_that_choosing_takes() {
        let of = |share| {
            let runs = [
                run("fresh-random", 20, 0, 80.0),
                run("fresh-random", 21, 0, 81.0),
                run("fresh-random", 30, 0, 85.0),
                choosing(share, run("auto", 20, 0, 86.0)),
            ];
            let cell = named(&cells(&runs), "auto").clone();
            assert_eq!(cell.equal_epochs.unwrap().points.mean, 6.0);
            cell.equal_time.map(|beside| (beside.epochs, beside.points.mean, beside.secs))
        };
        assert_eq!(of(0.0), Some((20, 6.0, 20.0)));
        // Beyond what can be measured.
        assert_eq!(of(0.0045), Some((20, 6.0, 20.0)));
        assert_eq!(of(0.01), Some((21, 5.0, 21.0)));
        assert_eq!(of(0.05), Some((21, 5.0, 21.0)));
        assert_eq!(of(0.07), Some((30, 1.0, 30.0)));
        assert_eq!(of(0.6), None, "no schedule is as long");
    }

    #[test]
    fn what_random_itself_takes_to_choose_is_no_advantage() {
        let runs = [
            choosing(0.1, run("fresh-random", 20, 0, 80.0)),
            choosing(0.1, run("fresh-random", 30, 0, 85.0)),
            choosing(0.1, run("fixed-random", 20, 0, 70.0)),
            choosing(0.05, run("infobatch", 20, 0, 70.0)),
        ];
        let cells = cells(&runs);
        let worth = |strategy| named(&cells, strategy).worth_epochs;
        assert_eq!((worth("fixed-random"), worth("infobatch")), (Some(20.0), Some(20.0)));
        assert!(named(&cells, "fresh-random").equal_time.is_none());
    }

    #[test]
    fn a_noisy_clock_favours_nobody() {
        let mut runs = vec![Run { epoch_secs: 9.0, ..run("full", 20, 0, 90.0) }];
        for (seed, epoch_secs) in (0..3).zip([1.0, 2.0, 50.0]) {
            runs.push(Run { epoch_secs, ..run("fresh-random", 20, seed, 80.0) });
            runs.push(choosing(0.25, Run { epoch_secs: 0.5, ..run("auto", 20, seed, 85.0) }));
        }
        let all = cells(&runs);
        let auto = named(&all, "auto");
        assert_eq!((auto.secs, auto.worth_epochs), (50.0, Some(25.0)));
        let costs = step_costs(&runs);
        let [cost] = &costs[..] else { panic!("{costs:?}") };
        // The geometric mean of 1/2, 1/4 and 1/100.
        assert!((cost.log_ratio.mean.exp() - 800.0_f64.powf(-1.0 / 3.0)).abs() < 1e-12);
    }

    #[test]
    fn speed_is_counted_and_measured_by_most_pairs() {
        let mut runs = Vec::new();
        for (seed, full) in (0..3).zip([3.0, 90.0, 3.5]) {
            runs.push(Run { epoch_secs: full, ..run("full", 20, seed, 90.0) });
            runs.push(run("fresh-random", 20, seed, 80.0));
            runs.push(choosing(0.25, run("auto", 20, seed, 85.0)));
        }
        let all = cells(&runs);
        let auto = named(&all, "auto");
        let (counted, measured) = (auto.speedup.unwrap(), auto.speedup_measured.unwrap());
        assert!((measured - 3.5 / 1.25).abs() < 1e-12, "{measured}");
        assert!((counted - 100.0 / 30.0 / 1.25).abs() < 1e-12, "{counted}");
    }

    #[test]
    fn seeds_are_paired_and_an_unfinished_study_is_read_as_it_is() {
        let runs = [
            run("full", 20, 0, 90.0),
            run("full", 20, 1, 92.0),
            run("fresh-random", 20, 0, 80.0),
            run("fresh-random", 20, 1, 84.0),
            run("auto", 20, 0, 89.0),
            run("auto", 20, 1, 92.0),
            run("auto", 20, 2, 50.0),
        ];
        let cells = cells(&runs);
        let auto = named(&cells, "auto");
        assert_eq!(auto.seeds, [0, 1, 2]);
        let beside_full = auto.beside_full.unwrap();
        assert_eq!((beside_full.mean, beside_full.n), (-0.5, 2));
        let points = auto.equal_time.as_ref().unwrap().points;
        assert_eq!((points.mean, points.n), (8.5, 2));
        assert_eq!(auto.speedup_measured, Some(1.0));
        assert!(named(&cells, "full").beside_full.is_none());
    }

    #[test]
    fn unbalanced_classes_are_weighed_alike() {
        let mut unbalanced = run("auto", 20, 0, 90.0);
        unbalanced.task.condition = Condition::Imbalance;
        let cells = cells(&[unbalanced, run("auto", 20, 0, 90.0)]);
        let means: Vec<(bool, f64)> =
            cells.iter().map(|cell| (cell.is_balanced(), cell.accuracy.mean)).collect();
        assert_eq!(means, [(false, 90.0), (true, 80.0)]);
    }
}
