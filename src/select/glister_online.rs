//! GLISTER as a strategy: from the model as it stands, or from what training has noted, to the samples chosen.

use tch::{Kind, Tensor};

use super::chooser::{Chooser, Remembers};
use super::loader::{Loader, last_layer};
use super::{Glister, LastLayer, LooksAt, Selection};
use crate::data::{Examples, Normalization};
use crate::error::{Error, Result};
use crate::model::Model;

/// Random streams of a seed, beside those of the epochs: the pool, and the validation samples, of the selection before epoch
/// e take stream e of these.
const POOLS: u64 = 1 << 62;
const VALIDATION_DRAWS: u64 = 1 << 61;

/// GLISTER-ONLINE, chosen anew every `select_every` epochs.
pub(super) struct GlisterOnline {
    pub(super) select_every: usize,
    pub(super) glister: Glister,
    pub(super) looks_at: LooksAt,
}

impl Chooser for GlisterOnline {
    fn choose(
        &self,
        loader: &mut Loader,
        model: &dyn Model,
        normalization: &Normalization,
    ) -> Result<Option<Selection>> {
        if !loader.is_due(self.select_every)? {
            return Ok(None);
        }
        let Self { glister, looks_at, .. } = self;
        let (n, budget, number) = (loader.train.len() as i64, loader.budget(), loader.n_epochs_begun);
        // Another sample each time for the stochastic greedy: the seed goes with the epoch.
        let seed = loader.seed ^ (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // Only the cheap mode needs a random order of all, from which it takes those that were never seen.
        let pool = match looks_at.pool {
            Some(times) => Some(loader.random(POOLS | number, n, pool_size(times, budget, n))),
            None if looks_at.remembered => Some(loader.random(POOLS | number, n, n)),
            None => None,
        };
        let validation = |loader: &Loader| loader.validation_pass(model, normalization, looks_at);
        let Some(pool) = pool else {
            let candidates = loader.pass_over_train(model, normalization, None)?;
            return Ok(Some(glister.choose(&candidates, &validation(loader)?, budget, seed)?));
        };
        if !looks_at.remembered {
            let candidates = loader.pass_over_train(model, normalization, Some(&pool))?;
            let chosen = glister.choose(&candidates, &validation(loader)?, budget, seed)?;
            return Ok(Some(Selection { indices: pool.index_select(0, &chosen.indices), ..chosen }));
        }
        let (seen, new) = match &loader.noted {
            Some(noted) => noted.part(&pool)?,
            None => (pool.narrow(0, 0, 0), pool.shallow_clone()),
        };
        let (n_seen, n_new) = (seen.size()[0], new.size()[0]);
        let n_drawn = share(budget, n_new, n_seen);
        let drawn = new.narrow(0, 0, n_drawn);
        let (Some(noted), true) = (&loader.noted, n_drawn < budget) else {
            return Ok(Some(Selection::drawn(drawn)));
        };
        let candidates = checked(noted.of(&seen, &loader.train.labels)?, "training set", number)?;
        let chosen = glister.choose(&candidates, &validation(loader)?, budget - n_drawn, seed)?;
        let indices = Tensor::f_cat(&[seen.f_index_select(0, &chosen.indices)?, drawn], 0)?;
        // No gain is known of what was drawn.
        let unknown = Tensor::f_full([n_drawn], f64::NAN, (Kind::Float, indices.device()))?;
        let gains = chosen.gains.map(|gains| Tensor::f_cat(&[gains, unknown], 0)).transpose()?;
        // What was drawn counts for what GLISTER's picks do.
        let ones = Tensor::f_ones([n_drawn], (Kind::Float, indices.device()))?;
        let weights = chosen.weights.map(|weights| Tensor::f_cat(&[weights, ones], 0)).transpose()?;
        Ok(Some(Selection { indices, gains, weights }))
    }

    fn remembers(&self) -> Remembers {
        if self.looks_at.remembered { Remembers::LastLayer } else { Remembers::Nothing }
    }
}

impl Loader {
    /// What the model sees of the training set, or of the samples at `indices`.
    pub(super) fn pass_over_train(
        &self,
        model: &dyn Model,
        normalization: &Normalization,
        indices: Option<&Tensor>,
    ) -> Result<LastLayer> {
        let examples = indices.map(|indices| part(&self.train, indices));
        let examples = examples.as_ref().unwrap_or(&self.train);
        checked(last_layer(model, examples, normalization)?, "training set", self.n_epochs_begun)
    }

    /// What the model sees of the validation set now: as noted behind the last epoch, or by a pass.
    pub(super) fn validation_now(
        &mut self,
        model: &dyn Model,
        normalization: &Normalization,
    ) -> Result<LastLayer> {
        match self.validation_noted.take() {
            Some((number, seen)) if number == self.n_epochs_begun => {
                checked(seen, "validation set", self.n_epochs_begun)
            }
            _ => self.validation_pass(model, normalization, &LooksAt::default()),
        }
    }

    fn validation_pass(
        &self,
        model: &dyn Model,
        normalization: &Normalization,
        looks_at: &LooksAt,
    ) -> Result<LastLayer> {
        let n = self.validation.len() as i64;
        let seen = match looks_at.validation_samples {
            Some(k) if (k as i64) < n => {
                let drawn = self.random(VALIDATION_DRAWS | self.n_epochs_begun, n, k as i64);
                last_layer(model, &part(&self.validation, &drawn), normalization)?
            }
            _ => last_layer(model, &self.validation, normalization)?,
        };
        checked(seen, "validation set", self.n_epochs_begun)
    }
}

/// The examples at `indices`, `i64 [k]`, each in 0..N.
fn part(examples: &Examples, indices: &Tensor) -> Examples {
    Examples {
        inputs: examples.inputs.index_select(0, indices),
        labels: examples.labels.index_select(0, indices),
    }
}

/// How many candidates there are in a pool of `times` the budget out of `n` samples.
fn pool_size(times: f64, budget: i64, n: i64) -> i64 {
    ((times * budget as f64).round() as i64).clamp(budget, n)
}

/// How much of the budget goes to candidates never seen: their share of all, and whatever the seen ones cannot fill.
fn share(budget: i64, n_new: i64, n_seen: i64) -> i64 {
    let part = (budget as f64 * n_new as f64 / (n_new + n_seen).max(1) as f64).round() as i64;
    part.clamp((budget - n_seen).max(0), n_new.min(budget))
}

/// `seen`, unless nothing can be chosen by it.
fn checked(seen: LastLayer, name: &str, n_epochs_begun: u64) -> Result<LastLayer> {
    let n_classes = seen.logits.size().last().copied().unwrap_or(0);
    if seen.labels.f_kind()? == Kind::Int64 {
        for label in [seen.labels.f_min()?, seen.labels.f_max()?] {
            let label = label.f_int64_value(&[])?;
            if !(0..n_classes).contains(&label) {
                let expected = format!("0 to {}, as the model has {n_classes} logits", n_classes - 1);
                return Err(Error::argument(format!("labels of the {name}"), expected, label));
            }
        }
    }
    // One sum tells: whatever is not finite makes it so.
    let sum = seen.logits.f_sum(Kind::Float)?.f_double_value(&[])?
        + seen.features.f_sum(Kind::Float)?.f_double_value(&[])?;
    if sum.is_finite() || all_finite(&seen.logits)? && all_finite(&seen.features)? {
        return Ok(seen);
    }
    Err(Error::Diverged {
        what: format!("what the model's last layer sees of the {name} is not finite"),
        epoch: n_epochs_begun as usize + 1,
        advice: "a lower learning rate usually helps".to_owned(),
    })
}

fn all_finite(tensor: &Tensor) -> Result<bool> {
    Ok(tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0)
}
