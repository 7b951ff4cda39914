//! Which epochs a training is made of: full ones to start warm, then those that train on a subset.

/// The epochs of a training, in their order: first `n_full` on all of the data, then `n_subset` on what is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Epochs on all of the data.
    pub n_full: usize,
    /// Epochs on the strategy's subset.
    pub n_subset: usize,
}

/// A product such as 0.29 · 100 may come out a hair below the whole number that is meant.
const HAIR: f64 = 1e-9;

impl Plan {
    /// `epochs` on all of the data.
    pub(super) fn full(epochs: usize) -> Self {
        Self { n_full: epochs, n_subset: 0 }
    }

    /// W = ⌈int(κT)·f⌉ full epochs in place of the first int(κT) subset epochs, whose cost they have; then T − int(κT)
    /// subset epochs.
    pub(super) fn new(epochs: usize, kappa: f64, fraction: f64) -> Self {
        let replaced = ((kappa * epochs as f64 + HAIR) as usize).min(epochs);
        let n_full = (replaced as f64 * fraction - HAIR).ceil().max(0.0) as usize;
        Self { n_full, n_subset: epochs - replaced }
    }

    /// Epochs in all.
    pub fn n_epochs(&self) -> usize {
        self.n_full + self.n_subset
    }

    /// Steps in all, for a training set of `n` samples of which a subset epoch takes `budget`, in batches of `batch_size`.
    pub fn n_steps(&self, n: i64, budget: i64, batch_size: i64) -> u64 {
        let steps = |samples: i64| (samples.max(0) as u64).div_ceil(batch_size.max(1) as u64);
        self.n_full as u64 * steps(n) + self.n_subset as u64 * steps(budget)
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;

    #[test]
    fn a_warm_start_is_that_of_cords() {
        // CORDS 0.0.4, AdaptiveDSSDataLoader: select_after = int(kappa * epochs), warmup_epochs = ceil(select_after * fraction).
        for (epochs, kappa, fraction, n_full, n_subset) in [
            (300, 0.5, 0.1, 15, 150),
            (20, 0.5, 0.3, 3, 10),
            (10, 0.35, 0.1, 1, 7),
            (7, 0.1, 0.5, 0, 7),
            (10, 0.0, 0.3, 0, 10),
            (100, 0.29, 0.1, 3, 71), // 0.29 · 100 is 28.999999999999996
            (20, 0.5, 0.1, 1, 10),   // 10 · 0.1 is 1, not a hair above
        ] {
            let plan = Plan::new(epochs, kappa, fraction);
            assert_eq!(
                plan,
                Plan { n_full, n_subset },
                "T = {epochs}, kappa = {kappa}, fraction = {fraction}"
            );
        }
    }

    #[test]
    fn the_steps_are_those_of_both_kinds_of_epoch() {
        // 2 epochs of ⌈1000/128⌉ = 8 steps and 5 of ⌈300/128⌉ = 3.
        assert_eq!(Plan { n_full: 2, n_subset: 5 }.n_steps(1000, 300, 128), 31);
    }
}
