//! Which samples an epoch trains on: all of them, a random part, or the part that a strategy picks.

mod chances;
mod chooser;
mod classes;
mod epoch;
mod glister;
mod glister_online;
mod grad_match;
mod grid;
mod hardest;
mod history;
mod info_batch;
mod label_noise;
mod loader;
mod look;
mod noted;
mod plan;
mod random;
mod strategy;
mod weighted_draw;

pub use epoch::{Batch, BatchIndices, BatchStats, Epoch};
pub use glister::{Glister, Greedy, LastLayer, Loss, Scope};
pub use grad_match::GradMatch;
pub use grid::Grid;
pub use history::Evidence;
pub use info_batch::InfoBatch;
pub use loader::{Loader, last_layer};
pub use plan::Plan;
pub use strategy::{LooksAt, STRATEGIES, Strategy};
pub use weighted_draw::WeightedDraw;

pub(crate) use loader::LoaderState;

use std::collections::BTreeMap;

use tch::Tensor;

use crate::error::{Error, Result};
use chooser::Remembers;

/// Samples chosen out of N.
#[derive(Debug)]
pub struct Selection {
    /// Their positions, `i64 [k]`, each in 0..N and there once.
    pub indices: Tensor,
    /// What each promised at the time it was chosen, `f32 [k]`, where the strategy computes that.
    pub gains: Option<Tensor>,
    /// By what each one's loss counts, `f32 [k]`, where the strategy weighs what it chooses.
    pub weights: Option<Tensor>,
}

impl Selection {
    /// A random draw, which has neither gains nor weights.
    fn drawn(indices: Tensor) -> Self {
        Self { indices, gains: None, weights: None }
    }
}

/// A strategy and the fraction of the data that it may use in an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Select {
    strategy: Strategy,
    fraction: f64,
    kappa: f64,
}

impl Select {
    fn of(strategy: Strategy, fraction: f64) -> Self {
        Self { strategy, fraction, kappa: 0.0 }
    }

    /// All of the data.
    pub fn full() -> Self {
        Self::of(Strategy::Full, 1.0)
    }

    /// GLISTER-ONLINE with `RGreedy` (15 rounds, η = 0.01, biases and weights), chosen anew every 5 epochs.
    pub fn glister(fraction: f64) -> Self {
        let strategy =
            Strategy::Glister { select_every: 5, glister: Glister::default(), looks_at: LooksAt::default() };
        Self::of(strategy, fraction)
    }

    /// A new random subset each epoch.
    pub fn fresh_random(fraction: f64) -> Self {
        Self::of(Strategy::FreshRandom, fraction)
    }

    /// One random subset for the whole training.
    pub fn fixed_random(fraction: f64) -> Self {
        Self::of(Strategy::FixedRandom, fraction)
    }

    /// What Glisten advises: [`Select::weighted_draw`] as it is by default. Its settings were chosen by validation accuracy in
    /// trials on Fashion-MNIST, MNIST, CIFAR-10 and Covertype, once for all data; `cargo xtask study strategies` sets it beside
    /// the others. Against a validation set that is clean and has classes as they shall count, it gains where training labels
    /// are wrong or classes rare. On clean data it is as good as fresh random subsets, and no better; it loses where a training
    /// step is so cheap that choosing tells, as with a small MLP, and half a point in a long schedule (100 epochs on 30 %).
    pub fn auto(fraction: f64) -> Self {
        Self::of(Strategy::Auto, fraction)
    }

    /// A new random subset each epoch in which samples that the model still gets wrong are likelier, and samples unlike those
    /// of the validation set are rarer: [`WeightedDraw`].
    pub fn weighted_draw(fraction: f64, draw: WeightedDraw) -> Self {
        Self::of(Strategy::WeightedDraw(draw), fraction)
    }

    /// `InfoBatch`: well-known samples are left out at random, and what is kept of them counts for more: [`InfoBatch`].
    pub fn info_batch(fraction: f64) -> Self {
        Self::of(Strategy::InfoBatch(InfoBatch::default()), fraction)
    }

    /// The hardest half of each batch of a random subset twice the size, at the cost of a forward pass over all of it.
    pub fn hardest_half(fraction: f64) -> Self {
        Self::of(Strategy::HardestHalf, fraction)
    }

    /// GRAD-MATCH: mini-batches, with weights, whose gradients together come nearest to the whole one: [`GradMatch`].
    pub fn grad_match(fraction: f64) -> Self {
        Self::of(Strategy::GradMatch(GradMatch::default()), fraction)
    }

    /// The strategy called `name`, one of [`STRATEGIES`], with its default options.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another name; [`Error::Argument`] for a fraction outside (0, 1], or below 1 with "full".
    pub fn named(name: &str, fraction: f64) -> Result<Self> {
        let select = Self::of(Strategy::named(name)?, fraction);
        select.check()?;
        Ok(select)
    }

    /// Every strategy with every fraction, the largest fraction first, as an iterator of [`Select`].
    ///
    /// # Errors
    /// As [`Select::named`].
    pub fn grid(fractions: &[f64], strategies: &[&str]) -> Result<Grid> {
        Grid::new(fractions, strategies)
    }

    /// Sets how many epochs a subset of GLISTER or GRAD-MATCH is kept; other strategies take no notice.
    #[must_use]
    pub fn select_every(mut self, epochs: usize) -> Self {
        match &mut self.strategy {
            Strategy::Glister { select_every, .. } | Strategy::GradMatch(GradMatch { select_every, .. }) => {
                *select_every = epochs
            }
            _ => {}
        }
        self
    }

    /// Lets GLISTER choose by `RGreedy` with this many rounds; other strategies take no notice.
    #[must_use]
    pub fn rounds(self, rounds: usize) -> Self {
        self.greedy(Greedy::RGreedy { rounds })
    }

    /// Sets how GLISTER goes through its budget; other strategies take no notice.
    #[must_use]
    pub fn greedy(self, greedy: Greedy) -> Self {
        self.change(|glister| glister.greedy = greedy)
    }

    /// Sets whether GLISTER chooses among all samples, within each class, or whole mini-batches; other strategies take no
    /// notice.
    #[must_use]
    pub fn scope(self, scope: Scope) -> Self {
        self.change(|glister| glister.scope = scope)
    }

    /// Sets the loss whose gradients GLISTER looks at, which is to be the one that is trained on; other strategies take no
    /// notice.
    #[must_use]
    pub fn loss(self, loss: Loss) -> Self {
        self.change(|glister| glister.loss = loss)
    }

    /// Sets the step size of GLISTER's hypothetical step; other strategies take no notice.
    #[must_use]
    pub fn eta(self, eta: f64) -> Self {
        self.change(|glister| glister.eta = eta)
    }

    /// Whether GLISTER looks at the last layer's weights as well as its biases; other strategies take no notice.
    #[must_use]
    pub fn linear_layer(self, linear_layer: bool) -> Self {
        self.change(|glister| glister.linear_layer = linear_layer)
    }

    /// Draws GLISTER's candidates from a random pool of `times` the budget, anew for each selection: 2.0 is a pool twice as
    /// large as what is chosen. Other strategies take no notice.
    #[must_use]
    pub fn pool(self, times: f64) -> Self {
        self.looks_at(|looks_at| looks_at.pool = Some(times))
    }

    /// The cheap mode: GLISTER chooses by what training saw of each sample the last time, without a pass over the candidates
    /// ([`LooksAt::remembered`]). Other strategies take no notice.
    #[must_use]
    pub fn remembered(self, remembered: bool) -> Self {
        self.looks_at(|looks_at| looks_at.remembered = remembered)
    }

    /// Lets GLISTER look at `n` validation samples only, drawn anew for each selection. Other strategies take no notice.
    #[must_use]
    pub fn validation_samples(self, n: usize) -> Self {
        self.looks_at(|looks_at| looks_at.validation_samples = Some(n))
    }

    /// Starts warm (κ in the GLISTER paper and CORDS): of T epochs the first int(κT) are replaced by ⌈int(κT)·fraction⌉
    /// epochs on all of the data, at the same cost; the other T − int(κT) train on subsets. For any strategy but full.
    #[must_use]
    pub fn kappa(mut self, kappa: f64) -> Self {
        self.kappa = kappa;
        self
    }

    /// The epochs that a training of `epochs` epochs is made of: see [`Select::kappa`].
    pub fn plan(&self, epochs: usize) -> Plan {
        match self.strategy {
            Strategy::Full => Plan::full(epochs),
            _ => Plan::new(epochs, self.kappa, self.fraction),
        }
    }

    /// The strategy.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The strategy's name, one of [`STRATEGIES`].
    pub fn name(&self) -> &'static str {
        self.strategy.name()
    }

    /// The fraction of the training set used in an epoch, in (0, 1].
    pub fn fraction(&self) -> f64 {
        self.fraction
    }

    /// How many of `n` samples that is: n·fraction rounded, but at least 1.
    pub fn budget(&self, n: i64) -> i64 {
        ((n as f64 * self.fraction).round() as i64).clamp(1, n.max(1))
    }

    /// The strategy's own settings by name, to be kept with a run. A setting that is at its default and changes nothing is
    /// left out.
    pub fn options(&self) -> BTreeMap<&'static str, serde_json::Value> {
        let mut options: BTreeMap<&'static str, serde_json::Value> = BTreeMap::new();
        if self.kappa > 0.0 && self.strategy != Strategy::Full {
            options.insert("kappa", self.kappa.into());
        }
        options.extend(self.strategy.options());
        options
    }

    /// Whether a selection is more than a random draw, so that it says something about the samples.
    pub fn chooses(&self) -> bool {
        self.strategy.chooses()
    }

    /// Whether training is to tell the loader what it saw of each sample: [`Epoch::note`].
    pub(crate) fn remembers(&self) -> bool {
        self.what_remembers() != Remembers::Nothing
    }

    /// Whether losses are noted, so that what is seen of the validation set is of use: [`Loader::note_validation`].
    pub(crate) fn remembers_losses(&self) -> bool {
        self.what_remembers() == Remembers::Losses
    }

    fn what_remembers(&self) -> Remembers {
        self.strategy.chooser().map_or(Remembers::Nothing, |chooser| chooser.remembers())
    }

    pub(crate) fn check(&self) -> Result<()> {
        if !(self.fraction > 0.0 && self.fraction <= 1.0) {
            return Err(Error::argument("fraction", "a number above 0 and up to 1", self.fraction));
        }
        if !(0.0..1.0).contains(&self.kappa) {
            return Err(Error::argument("kappa", "a number from 0 up to, not including, 1", self.kappa));
        }
        if self.strategy == Strategy::Full && self.fraction < 1.0 {
            return Err(Error::argument("fraction of 'full'", "1", self.fraction));
        }
        self.strategy.check()
    }

    fn looks_at(mut self, change: impl FnOnce(&mut LooksAt)) -> Self {
        if let Strategy::Glister { looks_at, .. } = &mut self.strategy {
            change(looks_at);
        }
        self
    }

    fn change(mut self, change: impl FnOnce(&mut Glister)) -> Self {
        if let Strategy::Glister { glister, .. } = &mut self.strategy {
            change(glister);
        }
        self
    }
}

impl std::fmt::Display for Select {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.strategy {
            Strategy::Full => f.write_str("full"),
            _ => write!(f, "{} {}", self.name(), self.fraction),
        }
    }
}
