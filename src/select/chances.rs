//! How likely a weighted draw is to take each sample, and the draw itself.

use rand::Rng;

use super::history::Classes;
use super::weighted_draw::WeightedDraw;

/// Ranks are told apart this finely: as many groups of validation samples, equal in number, ordered by their loss.
const N_RANKS: usize = 20;

/// The chance of each sample, up to a factor: it goes by its rank, its class and its age alone.
pub(super) struct Chances<'a> {
    ranks: &'a [f32],
    ages: &'a [f32],
    classes: &'a Classes,
    /// By class and rank, and at the end of each class that of a sample never met: its chance, and the hardness in it.
    chance: Vec<Vec<f64>>,
    hardness: Vec<Vec<f64>>,
    /// By sample, NaN where it is not known; empty where all are trusted.
    trust: Vec<f32>,
    mean_trust: f64,
    /// By class: how much likelier than it comes it is drawn; empty where no class is.
    by_class: Vec<f64>,
    /// By class and age; empty where that does not matter.
    by_age: Vec<Vec<f64>>,
    correction: f64,
}

/// Which of the [`N_RANKS`] a rank in [0, 1] is; [`N_RANKS`] for one that is not known.
fn group(rank: f32) -> usize {
    if rank.is_nan() { N_RANKS } else { ((rank * N_RANKS as f32) as usize).min(N_RANKS - 1) }
}

impl<'a> Chances<'a> {
    /// `sorted` are the validation losses by class, ascending.
    pub(super) fn new(
        draw: &WeightedDraw,
        (ranks, ages, trust): (&'a [f32], &'a [f32], Option<Vec<f32>>),
        (classes, validation_classes): (&'a Classes, &Classes),
        sorted: &[Vec<f32>],
    ) -> Self {
        let by_class = if draw.balance {
            class_ratios(&classes.counts(), &validation_classes.counts())
        } else {
            Vec::new()
        };
        let of_class = |class: usize| by_class.get(class).copied().unwrap_or(1.0);
        // How the training losses are spread over the ranks, classes in the shares of the validation set.
        let mut spread = vec![0.0; N_RANKS];
        for (at, &rank) in ranks.iter().enumerate().filter(|(_, rank)| !rank.is_nan()) {
            spread[group(rank)] += of_class(classes.of(at));
        }
        let total: f64 = spread.iter().sum();
        let mean = |values: &[f64]| {
            if total > 0.0 {
                values.iter().zip(&spread).map(|(v, s)| v * s).sum::<f64>() / total
            } else {
                1.0
            }
        };
        let trust: Vec<f32> = trust.unwrap_or_default();
        let (sum, n_known) = trust
            .iter()
            .filter(|trust| !trust.is_nan())
            .fold((0.0, 0.0), |(sum, n), &trust| (sum + f64::from(trust), n + 1.0));
        let mean_trust = if n_known == 0.0 { 1.0 } else { sum / n_known };
        let mut hardness = hardness(sorted, draw.hardness, draw.floor);
        let mut chance = Vec::with_capacity(hardness.len());
        for hardness in &mut hardness {
            let mut of_class = hardness.clone();
            of_class.push(mean(hardness));
            hardness.push(mean(hardness));
            chance.push(of_class);
        }
        let by_age = if draw.turn == 0.0 { Vec::new() } else { by_age(ages, classes, draw.turn) };
        Self {
            ranks,
            ages,
            classes,
            chance,
            hardness,
            trust,
            mean_trust,
            by_class,
            by_age,
            correction: draw.correction,
        }
    }

    fn of(&self, at: usize) -> f64 {
        let class = self.classes.of(at);
        let turn = if self.by_age.is_empty() { 1.0 } else { self.by_age[class][self.ages[at] as usize] };
        let balance = if self.by_class.is_empty() { 1.0 } else { self.by_class[class] };
        let trust = match self.trust.get(at) {
            Some(trust) if !trust.is_nan() => f64::from(*trust),
            _ => self.mean_trust,
        };
        turn * balance * trust * self.chance[class][group(self.ranks[at])]
    }

    /// `k` samples, in the order of their positions, and their weights with a mean of 1 where they are not all alike.
    pub(super) fn draw(&self, k: usize, rng: &mut impl Rng) -> (Vec<i64>, Option<Vec<f32>>) {
        let chances: Vec<f32> = (0..self.ranks.len()).map(|at| self.of(at) as f32).collect();
        let mut arrivals: Vec<(f32, u32)> = chances
            .iter()
            .enumerate()
            .map(|(at, chance)| {
                let waiting = -(1.0 - rng.gen_range(0.0_f32..1.0)).ln();
                (waiting / chance.max(f32::MIN_POSITIVE), at as u32)
            })
            .collect();
        if k < arrivals.len() {
            arrivals.select_nth_unstable_by(k, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            arrivals.truncate(k);
        }
        let mut chosen: Vec<i64> = arrivals.iter().map(|&(_, at)| i64::from(at)).collect();
        chosen.sort_unstable();
        let weights = self.weights(&chances, &chosen);
        (chosen, weights)
    }

    fn weights(&self, chances: &[f32], chosen: &[i64]) -> Option<Vec<f32>> {
        let short = self.shortfall(chances, chosen);
        if self.correction == 0.0 && short.is_empty() {
            return None;
        }
        let raw: Vec<f64> = chosen
            .iter()
            .map(|&at| {
                let class = self.classes.of(at as usize);
                let hardness = self.hardness[class][group(self.ranks[at as usize])];
                short.get(class).copied().unwrap_or(1.0)
                    * hardness.max(f64::MIN_POSITIVE).powf(-self.correction)
            })
            .collect();
        let mean = raw.iter().sum::<f64>() / raw.len().max(1) as f64;
        Some(raw.into_iter().map(|weight| (weight / mean) as f32).collect())
    }

    /// By class, how many times fewer of it were drawn than should have been: where a class has no more samples to give, they
    /// weigh as much more, and those of the others, which were drawn in their place, less. Empty where every class gave about
    /// what was asked of it.
    fn shortfall(&self, chances: &[f32], chosen: &[i64]) -> Vec<f64> {
        let n_classes = self.by_class.len();
        if n_classes == 0 {
            return Vec::new();
        }
        let (mut asked, mut got) = (vec![0.0; n_classes], vec![0.0; n_classes]);
        chances.iter().enumerate().for_each(|(at, &chance)| asked[self.classes.of(at)] += f64::from(chance));
        chosen.iter().for_each(|&at| got[self.classes.of(at as usize)] += 1.0);
        let scale = chosen.len() as f64 / asked.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let times = |(asked, got): (f64, f64)| if got > 0.0 { asked * scale / got } else { 1.0 };
        let times: Vec<f64> = asked.into_iter().zip(got).map(times).collect();
        if times.iter().all(|&times| times < 1.25) {
            return Vec::new();
        }
        times.into_iter().map(|times| times.clamp(1.0 / MOST, MOST)).collect()
    }
}

/// No sample weighs more than this because its class is short of samples, nor is a class drawn more than so many times as
/// often as it comes: single samples would rule the gradient.
const MOST: f64 = 20.0;

/// By class: how much more frequent it is in the validation set than in the training set. A class that one of them does not
/// have stays as it is. Empty where no class differs by more than the validation set's size lets one expect.
fn class_ratios(train: &[f64], validation: &[f64]) -> Vec<f64> {
    let (n, v) = (train.iter().sum::<f64>(), validation.iter().sum::<f64>());
    let mut differs = false;
    let ratios: Vec<f64> = train
        .iter()
        .zip(validation)
        .map(|(&train, &validation)| {
            if train == 0.0 || validation == 0.0 {
                return 1.0;
            }
            let (share, expected) = (train / n, validation / v);
            // Four standard errors of a share in a sample of the validation set's size.
            differs |= (share - expected).abs() > 4.0 * (share.max(expected) / v).sqrt();
            (expected / share).clamp(1.0 / MOST, MOST)
        })
        .collect();
    if differs { ratios } else { Vec::new() }
}

/// By class and rank: (mean validation loss there + floor · mean loss of all)^β, in units of the mean loss of all.
fn hardness(sorted: &[Vec<f32>], beta: f64, floor: f64) -> Vec<Vec<f64>> {
    let mean =
        |part: &[f32]| part.iter().map(|&loss| f64::from(loss)).sum::<f64>() / part.len().max(1) as f64;
    let unit = sorted.iter().map(|losses| mean(losses)).sum::<f64>() / sorted.len().max(1) as f64;
    let unit = if unit > 0.0 && unit.is_finite() { unit } else { 1.0 };
    let of_class = |losses: &Vec<f32>| {
        let n = losses.len();
        let part = |rank: usize| {
            let from = (rank * n / N_RANKS).min(n.saturating_sub(1));
            &losses[from..((rank + 1) * n / N_RANKS).max(from + 1).min(n)]
        };
        (0..N_RANKS).map(|rank| (mean(part(rank)) / unit + floor).powf(beta)).collect()
    };
    sorted.iter().map(of_class).collect()
}

/// By class and age: age^ρ, in units of the class's mean, so that a class is not drawn more rarely because its samples are few
/// and each was met lately.
fn by_age(ages: &[f32], classes: &Classes, turn: f64) -> Vec<Vec<f64>> {
    let oldest = ages.iter().copied().fold(1.0, f32::max) as usize;
    let of_age: Vec<f64> = (0..=oldest).map(|age| (age as f64).max(0.5).powf(turn)).collect();
    let (mut sums, mut counts) = (vec![0.0; classes.n], vec![0.0; classes.n]);
    for (at, &age) in ages.iter().enumerate() {
        sums[classes.of(at)] += of_age[age as usize];
        counts[classes.of(at)] += 1.0;
    }
    let mean = |class: usize| if counts[class] > 0.0 { sums[class] / counts[class] } else { 1.0 };
    (0..classes.n).map(|class| of_age.iter().map(|factor| factor / mean(class)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use tch::Tensor;

    use super::*;

    fn classes(labels: &[i64], n_classes: usize) -> Classes {
        Classes::new(&Tensor::from_slice(labels), n_classes).unwrap()
    }

    #[test]
    fn a_sample_is_drawn_first_as_often_as_its_chance_says() {
        // Four samples of one class, of the lowest and the highest rank, one never met, one long not met.
        let ranks = [0.0, 1.0, f32::NAN, 0.0];
        let ages = [1.0, 1.0, 1.0, 3.0];
        let (train, validation) = (classes(&[0; 4], 1), classes(&[0; 40], 1));
        let sorted: Vec<f32> = (0..40).map(|at| at as f32 / 20.0).collect();
        let draw = WeightedDraw { hardness: 1.0, floor: 0.5, turn: 1.0, ..Default::default() };
        let chances = Chances::new(&draw, (&ranks, &ages, None), (&train, &validation), &[sorted]);
        let of: Vec<f64> = (0..4).map(|at| chances.of(at)).collect();
        // Ranks hold two losses each: the lowest 0 and 0.05, the highest 1.9 and 1.95, of a mean of 0.975.
        let (low, high) = (0.025 / 0.975 + 0.5, 1.925 / 0.975 + 0.5);
        // The ages' mean is 1.5.
        let expected = [low, high, (2.0 * low + high) / 3.0, 3.0 * low].map(|chance| chance / 1.5);
        for (of, expected) in of.iter().zip(expected) {
            assert!((of - expected).abs() < 1e-6, "{of} {expected}");
        }
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut counts = [0.0; 4];
        for _ in 0..40_000 {
            let (chosen, weights) = chances.draw(1, &mut rng);
            assert!(weights.is_none());
            counts[chosen[0] as usize] += 1.0;
        }
        let sum: f64 = of.iter().sum();
        for (count, of) in counts.iter().zip(&of) {
            // Four standard errors.
            let p = of / sum;
            assert!(
                (count / 40_000.0 - p).abs() < 4.0 * (p * (1.0 - p) / 40_000.0).sqrt(),
                "{counts:?} {of}"
            );
        }
        assert_eq!(chances.draw(4, &mut rng).0, [0, 1, 2, 3]);
        assert_eq!(chances.draw(9, &mut rng).0, [0, 1, 2, 3]);
    }

    #[test]
    fn a_full_correction_makes_the_draw_even_in_what_it_adds_up() {
        // Expected weight: chance of being drawn times weight is the same for all, when few of many are drawn.
        let n = 2000;
        let ranks: Vec<f32> = (0..n).map(|at| (at % 2) as f32).collect();
        let ages = vec![1.0; n];
        let (train, validation) = (classes(&vec![0; n], 1), classes(&[0; 40], 1));
        let sorted: Vec<f32> = (0..40).map(|at| at as f32 / 20.0).collect();
        let draw = WeightedDraw { correction: 1.0, ..Default::default() };
        let chances = Chances::new(&draw, (&ranks, &ages, None), (&train, &validation), &[sorted]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut sums = [0.0; 2];
        for _ in 0..400 {
            let (chosen, weights) = chances.draw(40, &mut rng);
            let weights = weights.unwrap();
            assert!((weights.iter().sum::<f32>() - 40.0).abs() < 1e-3);
            chosen.iter().zip(weights).for_each(|(at, weight)| sums[(at % 2) as usize] += f64::from(weight));
        }
        assert!((sums[0] / sums[1] - 1.0).abs() < 0.1, "{sums:?}");
    }

    #[test]
    fn classes_are_as_they_come_unless_the_validation_set_says_otherwise() {
        assert!(class_ratios(&[510.0, 490.0], &[60.0, 40.0]).is_empty(), "chance");
        let ratios = class_ratios(&[900.0, 90.0, 10.0, 0.0], &[100.0, 100.0, 0.0, 100.0]);
        assert!(
            (ratios[0] - (1.0 / 3.0) / 0.9).abs() < 1e-9 && (ratios[1] - (1.0 / 3.0) / 0.09).abs() < 1e-9
        );
        assert_eq!(ratios[2..], [1.0, 1.0], "in one of the sets only");
        assert!(class_ratios(&[], &[]).is_empty());
    }
}
