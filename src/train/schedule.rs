//! How the learning rate changes over a training, step by step.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A learning-rate schedule over all steps of a training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// From the peak towards 0 along half a cosine (Loshchilov and Hutter, ICLR 2017, without restarts).
    #[default]
    Cosine,
    /// From a twenty-fifth of the peak up to it over the first 30 % of the steps, then down to a 250,000th, both along half
    /// a cosine (Smith and Topin, 2018, as PyTorch's `OneCycleLR` has it, without its cycle of the momentum).
    OneCycle,
    /// The peak at every step.
    Constant,
}

/// The names of the schedules.
pub const SCHEDULES: [&str; 3] = ["cosine", "one-cycle", "constant"];

/// Share of the steps that the one-cycle schedule rises for.
const RISE: f64 = 0.3;
/// Peak over first rate, and first over last.
const FIRST_BELOW_PEAK: f64 = 25.0;
const LAST_BELOW_FIRST: f64 = 1e4;

impl Schedule {
    /// The learning rate of step `step` out of `n_steps`, counted from 0, where the highest is `peak`.
    pub fn rate(self, peak: f64, step: u64, n_steps: u64) -> f64 {
        match self {
            Self::Cosine => half_cosine(peak, 0.0, step as f64 / n_steps.max(1) as f64),
            Self::Constant => peak,
            Self::OneCycle => {
                let first = peak / FIRST_BELOW_PEAK;
                // The step at which the peak is met, and the last one; a short training has no room to rise.
                let (top, end) = ((RISE * n_steps as f64 - 1.0).max(0.0), n_steps as f64 - 1.0);
                let step = step as f64;
                if step < top {
                    half_cosine(first, peak, step / top)
                } else {
                    half_cosine(peak, first / LAST_BELOW_FIRST, (step - top) / (end - top).max(1.0))
                }
            }
        }
    }

    /// Its name, one of [`SCHEDULES`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::OneCycle => "one-cycle",
            Self::Constant => "constant",
        }
    }
}

/// From `from` at 0 to `to` at 1.
fn half_cosine(from: f64, to: f64, done: f64) -> f64 {
    to + (from - to) * 0.5 * (1.0 + (PI * done).cos())
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cosine" => Ok(Self::Cosine),
            "one-cycle" => Ok(Self::OneCycle),
            "constant" => Ok(Self::Constant),
            _ => Err(Error::argument("schedule", SCHEDULES.join(", "), format!("'{name}'"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SCHEDULES, Schedule};

    #[test]
    fn the_cosine_falls_from_the_peak_to_none() {
        // torch.optim.lr_scheduler.CosineAnnealingLR(lr=0.05, T_max=10): steps 0, 5, 9.
        for (step, expected) in [(0, 0.05), (5, 0.025), (9, 0.001_223_587_092_621_161_5)] {
            assert!((Schedule::Cosine.rate(0.05, step, 10) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn one_cycle_rises_and_falls_as_pytorchs() {
        // torch.optim.lr_scheduler.OneCycleLR(max_lr=0.05, total_steps=20, cycle_momentum=False).
        let expected = [
            (0, 0.002),
            (3, 0.033_416_407_864_998_735),
            (5, 0.05),
            (6, 0.049_373_200_311_754_37),
            (12, 0.025_000_1),
            (19, 2e-7),
        ];
        for (step, expected) in expected {
            let rate = Schedule::OneCycle.rate(0.05, step, 20);
            assert!((rate - expected).abs() < 1e-12, "step {step}: {rate}");
        }
        // Where PyTorch divides by zero: trainings too short to rise.
        for n_steps in 1..5 {
            for step in 0..n_steps {
                let rate = Schedule::OneCycle.rate(0.05, step, n_steps);
                assert!(rate.is_finite() && rate > 0.0 && rate <= 0.05, "{step} of {n_steps}: {rate}");
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for name in SCHEDULES {
            let schedule: Schedule = name.parse().unwrap();
            assert_eq!(schedule.to_string(), name);
            assert_eq!(serde_json::to_string(&schedule).unwrap(), format!("\"{name}\""));
        }
        let message = "cosin".parse::<Schedule>().unwrap_err().to_string();
        assert!(message.contains("one-cycle") && message.contains("'cosin'"), "{message}");
    }
}
