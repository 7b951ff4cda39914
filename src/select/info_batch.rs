//! InfoBatch at a fixed budget: well-learned samples are met less often, and count for more where they are.
//!
//! Qin et al.: "InfoBatch: Lossless Training Speed Up by Unbiased Dynamic Data Pruning", ICLR 2024, arXiv 2303.04947. There, an
//! epoch goes through all samples but skips one whose last loss is below the mean with probability r, and multiplies the loss of
//! such a one that stays by 1/(1 − r), so that the expected gradient is that of all data; the last epochs skip nothing. How much is
//! skipped follows from the losses. Here the budget says how many samples an epoch has: the epoch goes through a random order in
//! the same way and ends when the budget is full.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::Tensor;

use super::Selection;
use super::chooser::{Chooser, Remembers};
use super::loader::Loader;
use crate::data::Normalization;
use crate::error::{Error, Result};
use crate::model::Model;

/// The stream of the draws, beside those of the other strategies.
const DRAWS: u64 = 1 << 59;

/// The settings of `InfoBatch` (Qin et al., ICLR 2024) at a fixed budget: an epoch goes through a random order, in which it
/// skips a sample whose last loss is below the mean with probability r, and multiplies the loss of such a one that stays by
/// 1/(1 − r), until the budget is full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InfoBatch {
    /// r: the probability that a sample with a loss below the mean is skipped, in [0, 1).
    pub prune: f64,
    /// δ: the share of the epochs that skip, in [0, 1]; those after it take samples as they come.
    pub until: f64,
}

impl Default for InfoBatch {
    /// r = 0.5 and δ = 0.875, as published.
    fn default() -> Self {
        Self { prune: 0.5, until: 0.875 }
    }
}

impl InfoBatch {
    /// Whether the epoch numbered `epoch` from 0, of `n_epochs`, skips samples.
    pub(super) fn prunes(&self, epoch: usize, n_epochs: usize) -> bool {
        (epoch + 1) as f64 <= self.until * n_epochs as f64
    }

    /// The settings by name, to be kept with a run.
    pub(super) fn options(&self) -> BTreeMap<&'static str, serde_json::Value> {
        BTreeMap::from([("prune", self.prune.into()), ("prune_until", self.until.into())])
    }

    /// # Errors
    /// [`Error::Argument`] for a setting outside what it may be.
    pub(super) fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.prune) {
            return Err(Error::argument("prune", "a number from 0 up to, not including, 1", self.prune));
        }
        if !(0.0..=1.0).contains(&self.until) {
            return Err(Error::argument("until", "a number from 0 to 1", self.until));
        }
        Ok(())
    }
}

impl Chooser for InfoBatch {
    fn choose(&self, loader: &mut Loader, _: &dyn Model, _: &Normalization) -> Result<Option<Selection>> {
        let (n, number) = (loader.train.len() as i64, loader.n_epochs_begun);
        let prunes = loader.n_epochs().is_none_or(|n_epochs| self.prunes(number as usize, n_epochs));
        if let Some(history) = loader.history.as_mut() {
            history.take_in()?;
        }
        let Some(history) = loader.history.as_ref().filter(|_| prunes) else {
            return Ok(Some(Selection::drawn(loader.random(number, n, loader.budget()))));
        };
        let order = Vec::<i64>::try_from(loader.random(number, n, n).f_to_device(tch::Device::Cpu)?)?;
        let mut rng = ChaCha8Rng::seed_from_u64(loader.seed);
        rng.set_stream(DRAWS | number);
        let (chosen, weights) =
            draw(history.losses(), &order, loader.budget() as usize, self.prune, &mut rng);
        let put = |tensor: Tensor| tensor.f_to_device(loader.train.device());
        Ok(Some(Selection {
            indices: put(Tensor::f_from_slice(&chosen)?)?,
            gains: None,
            weights: Some(put(Tensor::f_from_slice(&weights)?)?),
        }))
    }

    fn is_shuffled(&self) -> bool {
        true
    }

    fn remembers(&self) -> Remembers {
        Remembers::Losses
    }
}

/// Goes through `order` (random; each sample at most once) until `budget` samples are chosen, and returns them in a random
/// order with their weights. `losses` are the last known ones by sample; what is not finite is unknown. A sample whose loss is
/// below the mean of the known ones is skipped with probability `prune` (in [0, 1)) and weighs 1/(1 − `prune`) if it is not;
/// all others are taken and weigh 1.
///
/// Weights are not scaled: their expected mean is the number of samples gone through by the budget, 1 or more, and each step is
/// that much larger, as published.
///
/// Should `order` run out before the budget is full, skipped ones fill up, and then all of the below-mean ones chosen weigh
/// how many of them there are by how many were chosen, which is 1 where all are: that is the weight with which the expected
/// gradient is still that of all samples.
pub(super) fn draw(
    losses: &[f32],
    order: &[i64],
    budget: usize,
    prune: f64,
    rng: &mut impl Rng,
) -> (Vec<i64>, Vec<f32>) {
    let budget = budget.min(order.len());
    let known = losses.iter().filter(|loss| loss.is_finite()).map(|&loss| f64::from(loss));
    let mean = known.clone().sum::<f64>() / known.count() as f64;
    let is_learned = |sample: i64| {
        let loss = losses[sample as usize];
        loss.is_finite() && f64::from(loss) < mean
    };
    let kept_weight = (1.0 / (1.0 - prune)) as f32;
    let (mut chosen, mut skipped) = (Vec::with_capacity(budget), Vec::new());
    for &sample in order {
        if chosen.len() == budget {
            break;
        }
        match is_learned(sample) {
            true if rng.gen_range(0.0..1.0) < prune => skipped.push(sample),
            true => chosen.push((sample, kept_weight)),
            false => chosen.push((sample, 1.0)),
        }
    }
    let n_missing = budget - chosen.len();
    if n_missing > 0 {
        let n_learned = order.iter().filter(|&&sample| is_learned(sample)).count();
        let n_chosen = n_learned - skipped.len() + n_missing;
        let weight = (n_learned as f64 / n_chosen as f64) as f32;
        chosen.extend(skipped[..n_missing].iter().map(|&sample| (sample, weight)));
        for (sample, of_sample) in &mut chosen {
            if is_learned(*sample) {
                *of_sample = weight;
            }
        }
        chosen.shuffle(rng);
    }
    chosen.into_iter().unzip()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn shuffled(n: i64, rng: &mut ChaCha8Rng) -> Vec<i64> {
        let mut order: Vec<i64> = (0..n).collect();
        order.shuffle(rng);
        order
    }

    #[test]
    fn budgets_are_exact_and_weights_follow_the_losses() {
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let n = rng.gen_range(1..200);
            let budget = rng.gen_range(0..=n);
            let prune = [0.0, 0.3, 0.5, 0.9][seed as usize % 4];
            let unknown = [0.0, 0.2, 1.0][seed as usize % 3];
            let losses: Vec<f32> = (0..n)
                .map(|_| if rng.gen_bool(unknown) { f32::NAN } else { rng.gen_range(0.0_f32..1.0).powi(3) })
                .collect();
            let order = shuffled(n as i64, &mut rng);
            let (samples, weights) = draw(&losses, &order, budget, prune, &mut rng);
            assert_eq!((samples.len(), weights.len()), (budget, budget), "seed {seed}");
            let mut sorted = samples.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), budget, "seed {seed}");
            let known: Vec<f64> =
                losses.iter().filter(|loss| !loss.is_nan()).map(|&loss| loss.into()).collect();
            let mean = known.iter().sum::<f64>() / known.len() as f64;
            let is_learned = |sample: i64| f64::from(losses[sample as usize]) < mean;
            // Where all of the others were met and there is room for more, the order ran out.
            let n_learned = order.iter().filter(|&&sample| is_learned(sample)).count();
            let n_met = samples.iter().filter(|&&sample| is_learned(sample)).count();
            let all = budget - n_met == n - n_learned;
            for (&sample, &weight) in samples.iter().zip(&weights) {
                let kept = (1.0 / (1.0 - prune)) as f32;
                let balanced = (n_learned as f64 / n_met as f64) as f32;
                let fits = match is_learned(sample) {
                    true => weight == kept || all && weight == balanced,
                    false => weight == 1.0,
                };
                assert!(fits, "seed {seed}: {weight}");
            }
        }
    }

    /// x is what differs most between samples of low and of high loss, as gradients do. The mean over many draws, weighted, is
    /// that of all samples; unweighted it is far off.
    #[test]
    fn weighted_sums_are_unbiased() {
        let n = 1000;
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let losses: Vec<f32> =
            (0..n).map(|i| if i % 10 == 0 { f32::NAN } else { (i as f32 / 500.0).powi(2) }).collect();
        let x: Vec<f64> = (0..n).map(|i| 1.0 + (i as f64 / 250.0).sqrt()).collect();
        let expected = x.iter().sum::<f64>() / n as f64;
        // Out of 1000, 567 have a loss below the mean: with 900 the order runs out each time, with 300 never.
        for budget in [300, 900] {
            let (mut weighted, mut of_weights, mut plain) = (0.0, 0.0, 0.0);
            let n_draws = 2000;
            for _ in 0..n_draws {
                let order = shuffled(n, &mut rng);
                let (samples, weights) = draw(&losses, &order, budget, 0.5, &mut rng);
                for (&sample, &weight) in samples.iter().zip(&weights) {
                    weighted += f64::from(weight) * x[sample as usize];
                    of_weights += f64::from(weight);
                    plain += x[sample as usize];
                }
            }
            let bias = weighted / of_weights / expected - 1.0;
            let unweighted = plain / (n_draws * budget) as f64 / expected - 1.0;
            assert!(bias.abs() < 0.001 && unweighted > 0.005, "{budget}: {bias}, {unweighted}");
            if budget == 900 {
                // All of the data's sum, not only its mean.
                assert!((weighted / (n_draws as f64 * n as f64) / expected - 1.0).abs() < 0.001);
            }
        }
    }

    #[test]
    fn without_losses_it_is_the_order_itself() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let order = shuffled(50, &mut rng);
        for losses in [[f32::NAN; 50], [0.7; 50], [f32::INFINITY; 50]] {
            let (samples, weights) = draw(&losses, &order, 20, 0.5, &mut rng);
            assert_eq!(samples, order[..20]);
            assert_eq!(weights, [1.0; 20]);
        }
        // One that diverged neither lifts the mean nor is skipped.
        let mut losses: Vec<f32> = (0..50).map(|i| i as f32).collect();
        losses[0] = f32::INFINITY;
        let (samples, weights) = draw(&losses, &order, 50, 0.5, &mut rng);
        assert_eq!((samples.len(), weights), (50, vec![1.0; 50]));
        let (samples, _) = draw(&losses, &[1, 0, 2], 1, 1.0 - 1e-9, &mut rng);
        assert_eq!(samples, [0]);
    }

    #[test]
    fn the_last_epochs_skip_nothing() {
        let settings = InfoBatch::default();
        assert_eq!(
            (0..8).filter(|&epoch| settings.prunes(epoch, 8)).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 5, 6]
        );
        assert_eq!((0..20).filter(|&epoch| settings.prunes(epoch, 20)).count(), 17);
        assert!((0..9).all(|epoch| InfoBatch { until: 1.0, ..settings }.prunes(epoch, 9)));
        assert!(!InfoBatch { until: 0.0, ..settings }.prunes(0, 9));
    }

    #[test]
    fn settings_are_shares() {
        let settings = InfoBatch::default();
        assert!(settings.check().is_ok());
        for prune in [-0.1, 1.0, f64::NAN] {
            let message = InfoBatch { prune, ..settings }.check().unwrap_err().to_string();
            assert!(message.starts_with("prune: expected a number from 0"), "{message}");
        }
        let message = InfoBatch { until: 1.1, ..settings }.check().unwrap_err().to_string();
        assert!(message.starts_with("until: expected a number from 0 to 1"), "{message}");
    }
}
