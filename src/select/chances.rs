//! How likely a weighted draw is to take each sample, and the draw itself.

use rand::Rng;

use super::classes::Classes;
use super::glister::vector::{best_of_machine, ln};
use super::weighted_draw::WeightedDraw;

/// Ranks are told apart this finely: as many groups of validation samples, equal in number, ordered by their loss.
pub(super) const N_RANKS: usize = 20;

/// What was met longer ago than so many epochs counts as met then.
const OLDEST: usize = 1000;

/// What a draw goes by.
pub(super) struct Known<'a> {
    /// By sample: where its loss stands among validation losses, [`N_RANKS`] if that is not known.
    pub(super) ranks: &'a [u8],
    /// By sample: the epoch in which it was last met, counted from 0; −1 if never.
    pub(super) epochs: &'a [i32],
    /// The epoch that the draw is for.
    pub(super) now: i32,
    /// By sample: the factor of its chance because its label may be wrong, NaN where it is not known; empty where all are right.
    pub(super) trust: &'a [f32],
    /// The share of wrong labels.
    pub(super) noise_rate: f64,
    /// The classes of the training set and of the validation set.
    pub(super) classes: [&'a Classes; 2],
    /// The validation losses by class, ascending.
    pub(super) sorted: &'a [Vec<f32>],
}

/// The chance of each sample, up to a factor: it goes by its rank, its class, its age and the trust in its label.
pub(super) struct Chances<'a> {
    known: Known<'a>,
    chances: Vec<f32>,
    /// By class and rank, and at the end of each class that of a sample whose rank is not known.
    hardness: Vec<Vec<f64>>,
    /// By class, the sum of its samples' chances; empty where classes are drawn as they come.
    asked: Vec<f64>,
    correction: f64,
}

impl<'a> Chances<'a> {
    pub(super) fn new(draw: &WeightedDraw, known: Known<'a>) -> Self {
        let [classes, validation_classes] = known.classes;
        let n_classes = classes.n;
        // A table by class and rank, one by class and age.
        let age = |epoch: i32| usize::try_from(known.now.saturating_sub(epoch)).unwrap_or(0).min(OLDEST);
        let n_ages = known.epochs.iter().map(|&epoch| age(epoch)).max().unwrap_or(0) + 1;
        let mut of_rank = vec![0_u32; n_classes * (N_RANKS + 1)];
        let mut of_age = vec![0_u32; n_classes * n_ages];
        let each = || known.ranks.iter().zip(known.epochs).zip(classes.labels());
        for ((&rank, &epoch), &class) in each() {
            of_rank[class as usize * (N_RANKS + 1) + usize::from(rank)] += 1;
            of_age[class as usize * n_ages + age(epoch)] += 1;
        }
        let by_class = if draw.balance {
            class_ratios(&classes.counts(), &validation_classes.counts(), known.noise_rate)
        } else {
            Vec::new()
        };
        let of_class = |class: usize| by_class.get(class).copied().unwrap_or(1.0);
        // How the training losses are spread over the ranks, classes in the shares of the validation set.
        let mut spread = vec![0.0; N_RANKS];
        for (class, counts) in of_rank.chunks_exact(N_RANKS + 1).enumerate() {
            spread.iter_mut().zip(counts).for_each(|(sum, &n)| *sum += f64::from(n) * of_class(class));
        }
        let total: f64 = spread.iter().sum();
        let mean = |values: &[f64]| {
            if total > 0.0 {
                values.iter().zip(&spread).map(|(v, s)| v * s).sum::<f64>() / total
            } else {
                1.0
            }
        };
        let mut hardness = hardness(known.sorted, draw.hardness, draw.floor);
        for hardness in &mut hardness {
            hardness.push(mean(hardness));
        }
        let by_rank: Vec<f32> = hardness
            .iter()
            .enumerate()
            .flat_map(|(class, of_ranks)| {
                of_ranks.iter().map(move |hardness| (hardness * of_class(class)) as f32)
            })
            .collect();
        let by_age = by_age(&of_age, n_ages, draw.turn);
        let mut chances: Vec<f32> = each()
            .map(|((&rank, &epoch), &class)| {
                let class = class as usize;
                by_rank[class * (N_RANKS + 1) + usize::from(rank)] * by_age[class * n_ages + age(epoch)]
            })
            .collect();
        hold_back(&mut chances, known.trust);
        let mut asked = Vec::new();
        if !by_class.is_empty() {
            asked.resize(n_classes, 0.0);
            let each = chances.iter().zip(classes.labels());
            each.for_each(|(&chance, &class)| asked[class as usize] += f64::from(chance));
        }
        Self { known, chances, hardness, asked, correction: draw.correction }
    }

    /// `k` samples, in the order of their positions, and their weights with a mean of 1 where they are not all alike.
    pub(super) fn draw(&self, k: usize, rng: &mut impl Rng) -> (Vec<i64>, Option<Vec<f32>>) {
        let chosen = draw(&self.chances, k, rng);
        let weights = self.weights(&chosen);
        (chosen, weights)
    }

    fn weights(&self, chosen: &[i64]) -> Option<Vec<f32>> {
        let short = self.shortfall(chosen);
        if self.correction == 0.0 && short.is_empty() {
            return None;
        }
        let raw: Vec<f64> = chosen
            .iter()
            .map(|&at| {
                let class = self.known.classes[0].of(at as usize);
                let hardness = self.hardness[class][usize::from(self.known.ranks[at as usize])];
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
    fn shortfall(&self, chosen: &[i64]) -> Vec<f64> {
        let mut got = vec![0.0; self.asked.len()];
        if got.is_empty() {
            return got;
        }
        chosen.iter().for_each(|&at| got[self.known.classes[0].of(at as usize)] += 1.0);
        let scale = chosen.len() as f64 / self.asked.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let times = |(asked, got): (&f64, f64)| if got > 0.0 { asked * scale / got } else { 1.0 };
        let times: Vec<f64> = self.asked.iter().zip(got).map(times).collect();
        if times.iter().all(|&times| times < 1.25) {
            return Vec::new();
        }
        times.into_iter().map(|times| times.clamp(1.0 / MOST, MOST)).collect()
    }
}

/// Multiplies `chances` by `trust`, where that is not known by its mean.
fn hold_back(chances: &mut [f32], trust: &[f32]) {
    let known = trust.iter().filter(|trust| !trust.is_nan());
    let (sum, n) = known.fold((0.0, 0.0), |(sum, n), &trust| (sum + f64::from(trust), n + 1.0));
    let mean = if n == 0.0 { 1.0 } else { (sum / n) as f32 };
    for (chance, trust) in chances.iter_mut().zip(trust) {
        *chance *= if trust.is_nan() { mean } else { *trust };
    }
}

/// `k` of the samples with these `chances`, ascending, without replacement: each waits for a time of an exponential
/// distribution, the shorter the likelier it is, and the `k` that are there first are drawn.
fn draw(chances: &[f32], k: usize, rng: &mut impl Rng) -> Vec<i64> {
    let n = chances.len();
    if k >= n {
        return (0..n as i64).collect();
    }
    let mut bits = vec![0_u32; n];
    rng.fill(&mut bits[..]);
    let mut times = vec![0.0; n];
    waiting_times(chances, &bits, &mut times);
    let arrival = |(at, &time): (usize, &f32)| (time, at as u32);
    let mut at_least = k as f64;
    let arrivals: Vec<(f32, u32)> = loop {
        at_least += 4.0 * at_least.sqrt() + 16.0;
        let until = time_for(chances, at_least);
        let arrivals: Vec<_> =
            times.iter().enumerate().filter(|(_, time)| **time <= until).map(arrival).collect();
        if arrivals.len() > k || until.is_infinite() {
            break arrivals;
        }
    };
    let by_time = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    let last = *arrivals.clone().select_nth_unstable_by(k.saturating_sub(1), by_time).1;
    let in_time = arrivals.into_iter().filter(|arrival| by_time(arrival, &last).is_le());
    in_time.take(k).map(|(_, at)| i64::from(at)).collect()
}

best_of_machine!(
    waiting_times,
    waiting_times_avx2,
    waiting_times_with,
    (chances: &[f32], bits: &[u32], times: &mut [f32])
);

/// Times of exponential distributions, as often in a unit of time as `chances` say, each from 32 random bits.
#[inline(always)]
fn waiting_times_with<const FUSED: bool>(chances: &[f32], bits: &[u32], times: &mut [f32]) {
    const RESOLUTION: f32 = (1 << 24) as f32;
    for ((time, &bits), &chance) in times.iter_mut().zip(bits).zip(chances) {
        // 1 − u for a u that is uniform in [0, 1), without rounding.
        let left = (RESOLUTION - (bits >> 8) as f32) / RESOLUTION;
        *time = -ln::<FUSED>(left) / if chance > f32::MIN_POSITIVE { chance } else { f32::MIN_POSITIVE };
    }
}

/// The time until which at least `k` samples of these `chances` are expected to be there: where Σ 1 − e^(−time·chance) is `k` or
/// a little more. Infinite, if so many are hardly ever.
fn time_for(chances: &[f32], k: f64) -> f32 {
    // Chances by their magnitude, 16 steps an octave, each taken for the lowest of its step.
    const SHIFT: u32 = 19;
    let mut counts = vec![0_u32; 1 << (32 - SHIFT)];
    chances.iter().for_each(|chance| counts[(chance.to_bits() >> SHIFT) as usize] += 1);
    let steps: Vec<(f64, f64)> = counts
        .into_iter()
        .enumerate()
        .filter(|&(_, count)| count > 0)
        .map(|(step, count)| (f64::from(f32::from_bits((step as u32) << SHIFT)), f64::from(count)))
        .filter(|(chance, _)| *chance > 0.0 && chance.is_finite())
        .collect();
    if steps.iter().map(|(_, count)| count).sum::<f64>() * 0.95 < k {
        return f32::INFINITY;
    }
    let there = |time: f64| steps.iter().map(|(chance, n)| n * -(-time * chance).exp_m1()).sum::<f64>();
    let mean = steps.iter().map(|(chance, n)| chance * n).sum::<f64>();
    // All arrive later than if those that are there arrived again.
    let (mut low, mut high) = (0.0, k / mean);
    while there(high) < k {
        (low, high) = (high, 2.0 * high);
    }
    while high - low > 0.01 * high {
        let middle = (low + high) / 2.0;
        if there(middle) < k { low = middle } else { high = middle }
    }
    high as f32
}

/// No sample weighs more than this because its class is short of samples, nor is a class drawn more than so many times as
/// often as it comes: single samples would rule the gradient.
const MOST: f64 = 20.0;

/// By class: how much more frequent it is in the validation set than in the training set, if a share `noise_rate` of its labels
/// were one of all classes at random as well. With wrong labels that is less than balances the right ones, whose share is known
/// only as well as the rate is: a rate too low would have rare classes drawn next to never. A class that one of the sets does not
/// have stays as it is. Empty where no class differs by more than the validation set's size lets one expect.
fn class_ratios(train: &[f64], validation: &[f64], noise_rate: f64) -> Vec<f64> {
    let (n, v) = (train.iter().sum::<f64>(), validation.iter().sum::<f64>());
    let any = noise_rate / train.len().max(1) as f64;
    let mut differs = false;
    let ratios: Vec<f64> = train
        .iter()
        .zip(validation)
        .map(|(&train, &validation)| {
            if train == 0.0 || validation == 0.0 {
                return 1.0;
            }
            let (share, expected) = (train / n, (1.0 - noise_rate) * validation / v + any);
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

/// By class and age, for a table `counts` of as many samples of each class and age: age^ρ, in units of the class's mean, so that
/// a class is not drawn more rarely because its samples are few and each was met lately.
fn by_age(counts: &[u32], n_ages: usize, turn: f64) -> Vec<f32> {
    let of_age: Vec<f64> = (0..n_ages).map(|age| (age as f64).max(0.5).powf(turn)).collect();
    let of_class = |counts: &[u32]| {
        let sum: f64 = counts.iter().zip(&of_age).map(|(&n, factor)| f64::from(n) * factor).sum();
        let n: f64 = counts.iter().map(|&n| f64::from(n)).sum();
        let mean = if n > 0.0 { sum / n } else { 1.0 };
        of_age.iter().map(|factor| (factor / mean) as f32).collect::<Vec<f32>>()
    };
    counts.chunks_exact(n_ages).flat_map(of_class).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use tch::Tensor;

    use super::*;

    fn classes(labels: &[i64], n_classes: usize) -> Classes {
        Classes::new("training set", &Tensor::from_slice(labels), n_classes).unwrap()
    }

    fn known<'a>(
        (ranks, epochs): (&'a [u8], &'a [i32]),
        classes: [&'a Classes; 2],
        sorted: &'a [Vec<f32>],
    ) -> Known<'a> {
        Known { ranks, epochs, now: 5, trust: &[], noise_rate: 0.0, classes, sorted }
    }

    #[test]
    fn a_sample_is_drawn_first_as_often_as_its_chance_says() {
        // Four samples of one class, of the lowest and the highest rank, one never met, one long not met.
        let ranks = [0, 19, N_RANKS as u8, 0];
        let epochs = [4, 4, 4, 2];
        let (train, validation) = (classes(&[0; 4], 1), classes(&[0; 40], 1));
        let sorted: Vec<f32> = (0..40).map(|at| at as f32 / 20.0).collect();
        let draw = WeightedDraw { hardness: 1.0, floor: 0.5, turn: 1.0, ..Default::default() };
        let sorted = [sorted];
        let chances = Chances::new(&draw, known((&ranks, &epochs), [&train, &validation], &sorted));
        let of: Vec<f64> = chances.chances.iter().map(|&chance| f64::from(chance)).collect();
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
        let ranks: Vec<u8> = (0..n).map(|at| if at % 2 == 0 { 0 } else { 19 }).collect();
        let epochs = vec![4; n];
        let (train, validation) = (classes(&vec![0; n], 1), classes(&[0; 40], 1));
        let sorted: Vec<f32> = (0..40).map(|at| at as f32 / 20.0).collect();
        let draw = WeightedDraw { correction: 1.0, ..Default::default() };
        let sorted = [sorted];
        let chances = Chances::new(&draw, known((&ranks, &epochs), [&train, &validation], &sorted));
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
        assert!(class_ratios(&[510.0, 490.0], &[60.0, 40.0], 0.0).is_empty(), "chance");
        let ratios = class_ratios(&[900.0, 90.0, 10.0, 0.0], &[100.0, 100.0, 0.0, 100.0], 0.0);
        assert!(
            (ratios[0] - (1.0 / 3.0) / 0.9).abs() < 1e-9 && (ratios[1] - (1.0 / 3.0) / 0.09).abs() < 1e-9
        );
        assert_eq!(ratios[2..], [1.0, 1.0], "in one of the sets only");
        assert!(class_ratios(&[], &[], 0.0).is_empty());
    }

    #[test]
    fn wrong_labels_even_classes_out_and_are_not_taken_for_imbalance() {
        // 40 % of the labels drawn anew from four classes.
        let validation = [600.0, 300.0, 90.0, 10.0];
        let noisy = validation.map(|n| 10.0 * (0.6 * n + 0.1 * 1000.0));
        assert!(class_ratios(&noisy, &validation, 0.4).is_empty());
        assert!(!class_ratios(&noisy, &validation, 0.0).is_empty());
    }

    #[test]
    fn a_draw_is_the_first_of_all_waiting_times() {
        // Chances over many magnitudes, none among them, and more asked for than have any.
        let chances: Vec<f32> = (0..5000)
            .map(|at| match at % 7 {
                0 => 0.0,
                rest => 10.0_f32.powi(rest - 4) * (1.0 + at as f32 / 5000.0),
            })
            .collect();
        for (k, seed) in
            [(0, 0), (1, 1), (37, 2), (500, 3), (2500, 4), (4200, 5), (4400, 6), (4999, 7), (5000, 8)]
        {
            let rng = || ChaCha8Rng::seed_from_u64(seed);
            let chosen = draw(&chances, k, &mut rng());
            let mut rng = rng();
            let mut bits = vec![0_u32; 5000];
            rng.fill(&mut bits[..]);
            let mut of_each = vec![0.0; 5000];
            waiting_times(&chances, &bits, &mut of_each);
            let mut times: Vec<(f32, i64)> = of_each.into_iter().zip(0..).collect();
            times.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut expected: Vec<i64> = times[..k].iter().map(|&(_, at)| at).collect();
            expected.sort_unstable();
            assert_eq!(chosen, expected, "{k}");
        }
    }
}
