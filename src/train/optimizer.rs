//! Stochastic gradient descent with Nesterov momentum and a cosine schedule.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The optimiser's settings. The learning rate falls from `learning_rate` to 0 along half a cosine, step by step
/// (Loshchilov and Hutter, ICLR 2017, without restarts).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// The learning rate of the first step.
    pub learning_rate: f64,
    /// Momentum, in [0, 1).
    pub momentum: f64,
    /// Whether the momentum is Nesterov's.
    pub nesterov: bool,
    /// Weight decay (the L2 penalty's factor).
    pub weight_decay: f64,
}

impl Default for Sgd {
    /// 0.05, momentum 0.9 after Nesterov, weight decay 5e-4.
    fn default() -> Self {
        Self { learning_rate: 0.05, momentum: 0.9, nesterov: true, weight_decay: 5e-4 }
    }
}

impl Sgd {
    /// The learning rate of step `step` out of `n_steps`, counted from 0.
    pub fn learning_rate_at(&self, step: u64, n_steps: u64) -> f64 {
        let done = step as f64 / n_steps.max(1) as f64;
        self.learning_rate * 0.5 * (1.0 + (PI * done).cos())
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return Err(Error::argument("learning_rate", "a positive number", self.learning_rate));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(Error::argument(
                "momentum",
                "a number from 0 up to, not including, 1",
                self.momentum,
            ));
        }
        if self.nesterov && self.momentum == 0.0 {
            return Err(Error::argument(
                "momentum",
                "a number above 0, which Nesterov's needs",
                self.momentum,
            ));
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return Err(Error::argument("weight_decay", "0 or a positive number", self.weight_decay));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Sgd;

    #[test]
    fn the_schedule_falls_from_the_full_rate_to_none() {
        // torch.optim.lr_scheduler.CosineAnnealingLR(lr=0.05, T_max=10): steps 0, 5, 9.
        let sgd = Sgd::default();
        for (step, expected) in [(0, 0.05), (5, 0.025), (9, 0.001_223_587_092_621_161_5)] {
            assert!((sgd.learning_rate_at(step, 10) - expected).abs() < 1e-12);
        }
    }
}
