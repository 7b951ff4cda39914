//! GLISTER-ONLINE: the subset whose gradient step most lowers the validation loss.
//!
//! Killamsetty, Sivasubramanian, Ramakrishnan, Iyer: "GLISTER: Generalization based Data Subset Selection for Efficient and
//! Robust Learning", AAAI 2021, arXiv 2012.10630. Gradients are those of the last layer, as in the paper's section on
//! approximations.
//!
//! For sample i with features e_i ∈ R^D and residual r_i ∈ R^C (the loss's derivative by the logits), the gradient of the last
//! layer is (r_i, r_i ⊗ e_i). After a hypothetical step of size η with the samples S, the validation logits are
//! u_j(S) = u_j − η·(Σ_S r_i + (Σ_S r_i ⊗ e_i) v_j), and what sample i would take off the validation loss is, to first
//! order, r_i·G_b + r_iᵀ G_W e_i with G_b = mean_j s_j, G_W = mean_j s_j ⊗ v_j, where s_j is the residual at u_j(S).
//! The gradients are never laid out as N × C·D: whatever the options, memory is O(N·(C + D)).

mod biases;
pub(super) mod cpu;
mod last_layer;
mod loss;
mod per_class;
mod problem;
mod rounds;
mod softmax_mean;
mod stochastic;
mod stochastic_cpu;
mod team;
mod top;
mod units;
mod validation_part;
mod validation_pass;
pub(super) mod vector;

pub use last_layer::LastLayer;
pub use loss::Loss;

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Tensor};

use super::Selection;
use crate::error::{Error, Result};
use problem::Problem;
use units::Units;

/// How the greedy selection goes through the budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Greedy {
    /// min(`rounds`, k) rounds: round q, counted from 0, takes the ⌈(k − taken) / (rounds − q)⌉ highest gains at once, so that
    /// exactly k are chosen.
    RGreedy {
        /// Rounds r: the validation gradient is formed anew this often.
        rounds: usize,
    },
    /// One pick at a time, each the best of (N/k)·ln(1/`epsilon`) drawn at random from those that are left, at least 1 and at
    /// most all. Mirzasoleiman et al., "Lazier Than Lazy Greedy", AAAI 2015.
    Stochastic {
        /// ε: what the greedy guarantee may lose in expectation, in (0, 1).
        epsilon: f64,
    },
    /// One pick at a time, each the best of all that are left.
    Naive,
}

/// What is chosen among.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All samples compete (CORDS calls this "Supervised").
    Whole,
    /// The samples of each class compete among themselves, for a share of the budget by the class's size (largest
    /// remainder), judged by the validation samples of their class, or by all of them where the class has none.
    PerClass,
    /// Whole mini-batches compete, each by its mean gradient: the samples in their order, cut into runs of `batch_size`, the
    /// last one as short as it must be. The number of batches is the budget divided by `batch_size`, rounded, at least 1: the
    /// selection holds as many samples as these batches do.
    PerBatch {
        /// Samples in a mini-batch.
        batch_size: usize,
    },
}

/// GLISTER-ONLINE's settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glister {
    /// How the greedy selection goes through the budget.
    pub greedy: Greedy,
    /// Step size η of the hypothetical step.
    pub eta: f64,
    /// Whether the last layer's weights count as well as its biases.
    pub linear_layer: bool,
    /// What is chosen among.
    pub scope: Scope,
    /// The loss that is trained on.
    pub loss: Loss,
}

impl Default for Glister {
    /// `RGreedy` with 15 rounds, η = 0.01, biases and weights, all samples at once, cross-entropy.
    fn default() -> Self {
        Self {
            greedy: Greedy::RGreedy { rounds: 15 },
            eta: 0.01,
            linear_layer: true,
            scope: Scope::Whole,
            loss: Loss::default(),
        }
    }
}

/// Units chosen, in the order of choosing: positions `i64 [k]` and gains `f32 [k]`.
struct Picks {
    units: Tensor,
    gains: Tensor,
}

/// What one greedy selection is run with.
#[derive(Debug, Clone, Copy)]
struct Run {
    seed: u64,
    /// Tells apart selections under one seed.
    stream: u64,
    n_threads: usize,
}

impl Glister {
    /// Chooses `budget` of the candidates (with [`Scope::PerBatch`], as many as whole batches allow), in the order in which
    /// they were picked. Gains are those at the time of picking; GLISTER weighs all that it picks by 1. Ties are broken by the
    /// lower index. The same `seed` gives the same selection; only [`Greedy::Stochastic`] draws from it.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if a stop was asked for. [`Error::Argument`] if `budget` is 0 or above the number of candidates,
    /// shapes, kinds or devices do not fit together, features or logits are not finite, a label is out of range, a setting is
    /// outside what it may be, or the steps of size `eta` overflow.
    pub fn choose(
        &self,
        candidates: &LastLayer,
        validation: &LastLayer,
        budget: i64,
        seed: u64,
    ) -> Result<Selection> {
        self.check()?;
        let run = Run { seed, stream: 0, n_threads: cpu::n_threads() };
        let d = if self.linear_layer { validation.features.size().last().copied().unwrap_or(1) } else { 1 };
        let _one_thread = match validation.logits.device() {
            Device::Cpu => cpu::OneThread::for_products(validation.logits.numel() as i64 * d),
            _ => None,
        };
        let (n, d, c) = candidates.check("candidates", &self.loss, self.linear_layer)?;
        let (_, validation_d, validation_c) =
            validation.check("validation", &self.loss, self.linear_layer)?;
        if (d, c) != (validation_d, validation_c) {
            let got = format!("D = {validation_d}, C = {validation_c}");
            return Err(Error::argument("validation", format!("D = {d}, C = {c} as the candidates"), got));
        }
        let (device, validation_device) = (candidates.logits.device(), validation.logits.device());
        if device != validation_device {
            return Err(Error::argument(
                "validation",
                format!("tensors on {device:?}"),
                format!("{validation_device:?}"),
            ));
        }
        if !(1..=n).contains(&budget) {
            return Err(Error::argument("budget", format!("1 to {n}, the number of candidates"), budget));
        }
        // A guard, unlike tch::no_grad, gives gradients back when something panics.
        let _no_grad = tch::no_grad_guard();
        let picks = match self.scope {
            Scope::Whole => self.pick(candidates, validation, &Units::samples(n), budget, run)?,
            Scope::PerClass => self.choose_per_class(candidates, validation, budget, run)?,
            Scope::PerBatch { batch_size } => {
                let units = Units::batches(n, batch_size as i64, device);
                let picks = self.pick(candidates, validation, &units, units.nearest(budget), run)?;
                units.expand(&picks)
            }
        };
        if !picks.gains.isfinite().all().int64_value(&[]).eq(&1) {
            let got = format!("{}, with which they overflow", self.eta);
            return Err(Error::argument("eta", "a step size that leaves all gains finite", got));
        }
        let weights = picks.gains.ones_like();
        Ok(Selection { indices: picks.units, gains: Some(picks.gains), weights: Some(weights) })
    }

    /// `k` of the units, by the greedy that is set.
    fn pick(
        &self,
        candidates: &LastLayer,
        validation: &LastLayer,
        units: &Units,
        k: i64,
        run: Run,
    ) -> Result<Picks> {
        let problem = Problem::new(candidates, validation, self, run.n_threads)?;
        match self.greedy {
            Greedy::RGreedy { rounds } => rounds::pick(&problem, units, k, (rounds as i64).min(k)),
            Greedy::Naive => rounds::pick(&problem, units, k, k),
            Greedy::Stochastic { epsilon } => {
                let mut rng = ChaCha8Rng::seed_from_u64(run.seed);
                rng.set_stream(run.stream);
                let draws = stochastic::Draws::new(units.len(), k, epsilon, rng);
                if candidates.logits.device() == Device::Cpu && units.are_samples() {
                    stochastic_cpu::pick(&problem, draws)
                } else {
                    stochastic::pick(&problem, units, draws)
                }
            }
        }
    }

    /// The settings by name, to be kept with a run: those that matter with the greedy, scope and loss that are set.
    pub(super) fn options(&self) -> BTreeMap<&'static str, serde_json::Value> {
        let mut options =
            BTreeMap::from([("eta", self.eta.into()), ("linear_layer", self.linear_layer.into())]);
        match self.greedy {
            Greedy::RGreedy { rounds } => {
                options.extend([("greedy", "RGreedy".into()), ("rounds", rounds.into())]);
            }
            Greedy::Stochastic { epsilon } => {
                options.extend([("greedy", "Stochastic".into()), ("epsilon", epsilon.into())]);
            }
            Greedy::Naive => options.extend([("greedy", "Naive".into())]),
        }
        match self.scope {
            Scope::Whole => options.extend([("scope", "whole".into())]),
            Scope::PerClass => options.extend([("scope", "per-class".into())]),
            Scope::PerBatch { batch_size } => {
                options.extend([("scope", "per-batch".into()), ("scope_batch_size", batch_size.into())]);
            }
        }
        match self.loss {
            Loss::CrossEntropy { label_smoothing: 0.0 } => {}
            Loss::CrossEntropy { label_smoothing } => {
                options.extend([("selection_label_smoothing", label_smoothing.into())]);
            }
            Loss::SquaredError => options.extend([("selection_loss", "squared error".into())]),
        }
        options
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.greedy {
            Greedy::RGreedy { rounds: 0 } => return Err(Error::argument("rounds", "1 or more", 0)),
            Greedy::Stochastic { epsilon } if !(epsilon > 0.0 && epsilon < 1.0) => {
                return Err(Error::argument("epsilon", "a number above 0 and below 1", epsilon));
            }
            Greedy::RGreedy { .. } | Greedy::Stochastic { .. } | Greedy::Naive => {}
        }
        if !(self.eta.is_finite() && self.eta > 0.0) {
            return Err(Error::argument("eta", "a positive number", self.eta));
        }
        match (self.scope, self.loss) {
            (Scope::PerBatch { batch_size: 0 }, _) => Err(Error::argument("batch_size", "1 or more", 0)),
            (Scope::PerClass, Loss::SquaredError) => Err(Error::argument(
                "scope",
                "'whole' or 'per batch' with the squared error: its targets are no classes",
                "'per class'",
            )),
            (_, loss) => loss.check(),
        }
    }
}
