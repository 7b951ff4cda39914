//! GLISTER's options as a sweep file writes them.

use serde::{Deserialize, Serialize};

use crate::select::{Glister, Greedy, Scope, Select, Strategy};

/// r and ε where a file names a greedy and gives neither: those of the paper and of CORDS.
const DEFAULT_ROUNDS: usize = 15;
const DEFAULT_EPSILON: f64 = 0.01;

/// GLISTER's options for one fraction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlisterFor {
    /// One of the sweep's fractions.
    pub fraction: f64,
    /// What is other than for all fractions.
    pub options: GlisterOptions,
}

/// GLISTER's options in a sweep file; what is not given keeps its default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GlisterOptions {
    /// Epochs between two selections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select_every: Option<usize>,
    /// How the greedy selection goes through the budget: `RGreedy`, `Stochastic` or `Naive`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greedy: Option<GreedyName>,
    /// ε of the stochastic greedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// What is chosen among: `whole`, `per-class` or `per-batch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeName>,
    /// Samples in a mini-batch of the scope `per-batch`; the training's own batch size if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_batch_size: Option<usize>,
    /// Greedy rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounds: Option<usize>,
    /// Step size of the hypothetical step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta: Option<f64>,
    /// Whether the last layer's weights count as well as its biases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_layer: Option<bool>,
    /// The warm start's share of the epochs: [`Select::kappa`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kappa: Option<f64>,
    /// Candidates are a random pool of this many times the budget: [`Select::pool`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<f64>,
    /// The cheap mode: [`Select::remembered`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remembered: Option<bool>,
    /// How many validation samples are looked at: [`Select::validation_samples`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_samples: Option<usize>,
}

/// The name of a [`Greedy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GreedyName {
    /// [`Greedy::RGreedy`].
    RGreedy,
    /// [`Greedy::Stochastic`].
    Stochastic,
    /// [`Greedy::Naive`].
    Naive,
}

/// The name of a [`Scope`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeName {
    /// [`Scope::Whole`].
    Whole,
    /// [`Scope::PerClass`].
    PerClass,
    /// [`Scope::PerBatch`].
    PerBatch,
}

impl GlisterOptions {
    /// The greedy that these options ask for; `rounds` and `epsilon` alone say which one is meant.
    fn greedy(&self, select: &Select) -> Option<Greedy> {
        let rounds = |rounds: Option<usize>| match (rounds, select.strategy()) {
            (Some(rounds), _) => rounds,
            (None, Strategy::Glister { glister: Glister { greedy: Greedy::RGreedy { rounds }, .. }, .. }) => {
                rounds
            }
            (None, _) => DEFAULT_ROUNDS,
        };
        match (self.greedy, self.rounds, self.epsilon) {
            (Some(GreedyName::RGreedy), n, _) => Some(Greedy::RGreedy { rounds: rounds(n) }),
            (Some(GreedyName::Naive), ..) => Some(Greedy::Naive),
            (Some(GreedyName::Stochastic), _, epsilon) => {
                Some(Greedy::Stochastic { epsilon: epsilon.unwrap_or(DEFAULT_EPSILON) })
            }
            (None, _, Some(epsilon)) => Some(Greedy::Stochastic { epsilon }),
            (None, Some(rounds), None) => Some(Greedy::RGreedy { rounds }),
            (None, None, None) => None,
        }
    }

    /// `select` with these options; strategies other than GLISTER stay as they are. `batch_size` is the training's own.
    pub fn apply(&self, mut select: Select, batch_size: usize) -> Select {
        if select.name() != "glister" {
            return select;
        }
        if let Some(epochs) = self.select_every {
            select = select.select_every(epochs);
        }
        if let Some(greedy) = self.greedy(&select) {
            select = select.greedy(greedy);
        }
        match self.scope {
            None => {}
            Some(ScopeName::Whole) => select = select.scope(Scope::Whole),
            Some(ScopeName::PerClass) => select = select.scope(Scope::PerClass),
            Some(ScopeName::PerBatch) => {
                let batch_size = self.scope_batch_size.unwrap_or(batch_size);
                select = select.scope(Scope::PerBatch { batch_size });
            }
        }
        if let Some(eta) = self.eta {
            select = select.eta(eta);
        }
        if let Some(linear_layer) = self.linear_layer {
            select = select.linear_layer(linear_layer);
        }
        if let Some(kappa) = self.kappa {
            select = select.kappa(kappa);
        }
        if let Some(times) = self.pool {
            select = select.pool(times);
        }
        if let Some(remembered) = self.remembered {
            select = select.remembered(remembered);
        }
        if let Some(n) = self.validation_samples {
            select = select.validation_samples(n);
        }
        select
    }
}
