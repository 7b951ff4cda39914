//! One GLISTER selection: from the model as it stands, or from what training has noted, to the samples chosen.

use tch::{Kind, Tensor};

use super::loader::{Loader, last_layer};
use super::{Glister, LastLayer, LooksAt, Selection};
use crate::data::{Examples, Normalization};
use crate::error::{Error, Result};
use crate::model::Model;

/// Random streams of a seed, beside those of the epochs: the pool, and the validation samples, of the selection before epoch
/// e take stream e of these.
const POOLS: u64 = 1 << 62;
const VALIDATION_DRAWS: u64 = 1 << 61;

impl Loader {
    /// One GLISTER selection for the epoch that is about to begin.
    pub(super) fn choose(
        &self,
        model: &dyn Model,
        normalization: &Normalization,
        glister: &Glister,
        looks_at: &LooksAt,
    ) -> Result<Selection> {
        let (n, budget) = (self.train.len() as i64, self.budget());
        // Another sample each time for the stochastic greedy: the seed goes with the epoch.
        let seed = self.seed ^ (self.n_epochs_begun + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // Only the cheap mode needs a random order of all, from which it takes those that were never seen.
        let pool = match looks_at.pool {
            Some(times) => Some(self.random(POOLS | self.n_epochs_begun, n, pool_size(times, budget, n))),
            None if looks_at.remembered => Some(self.random(POOLS | self.n_epochs_begun, n, n)),
            None => None,
        };
        let Some(pool) = pool else {
            let candidates = self.pass(model, &self.train, normalization, "training set")?;
            let validation = self.validation_pass(model, normalization, looks_at)?;
            return glister.choose(&candidates, &validation, budget, seed);
        };
        if !looks_at.remembered {
            let candidates = self.pass(model, &part(&self.train, &pool), normalization, "training set")?;
            let validation = self.validation_pass(model, normalization, looks_at)?;
            let chosen = glister.choose(&candidates, &validation, budget, seed)?;
            return Ok(Selection { indices: pool.index_select(0, &chosen.indices), ..chosen });
        }
        let (seen, new) = match &self.noted {
            Some(noted) => noted.part(&pool)?,
            None => (pool.narrow(0, 0, 0), pool.shallow_clone()),
        };
        let (n_seen, n_new) = (seen.size()[0], new.size()[0]);
        let n_drawn = share(budget, n_new, n_seen);
        let drawn = new.narrow(0, 0, n_drawn);
        let (Some(noted), true) = (&self.noted, n_drawn < budget) else {
            return Ok(Selection::drawn(drawn));
        };
        let candidates = noted.of(&seen, &self.train.labels)?;
        let candidates = checked(candidates, "training set", self.n_epochs_begun)?;
        let validation = self.validation_pass(model, normalization, looks_at)?;
        let chosen = glister.choose(&candidates, &validation, budget - n_drawn, seed)?;
        let indices = Tensor::f_cat(&[seen.f_index_select(0, &chosen.indices)?, drawn], 0)?;
        // No gain is known of what was drawn.
        let unknown = Tensor::f_full([n_drawn], f64::NAN, (Kind::Float, indices.device()))?;
        let gains = chosen.gains.map(|gains| Tensor::f_cat(&[gains, unknown], 0)).transpose()?;
        // What was drawn counts for what GLISTER's picks do.
        let ones = Tensor::f_ones([n_drawn], (Kind::Float, indices.device()))?;
        let weights = chosen.weights.map(|weights| Tensor::f_cat(&[weights, ones], 0)).transpose()?;
        Ok(Selection { indices, gains, weights })
    }

    fn validation_pass(
        &self,
        model: &dyn Model,
        normalization: &Normalization,
        looks_at: &LooksAt,
    ) -> Result<LastLayer> {
        let n = self.validation.len() as i64;
        match looks_at.validation_samples {
            Some(k) if (k as i64) < n => {
                let drawn = self.random(VALIDATION_DRAWS | self.n_epochs_begun, n, k as i64);
                self.pass(model, &part(&self.validation, &drawn), normalization, "validation set")
            }
            _ => self.pass(model, &self.validation, normalization, "validation set"),
        }
    }

    fn pass(
        &self,
        model: &dyn Model,
        examples: &Examples,
        normalization: &Normalization,
        name: &str,
    ) -> Result<LastLayer> {
        checked(last_layer(model, examples, normalization)?, name, self.n_epochs_begun)
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
