//! What a greedy picks: single samples, or whole mini-batches that count by their mean.

use tch::{Device, Kind, Tensor};

use super::Picks;

/// The units that are picked, numbered from 0.
pub(super) struct Units {
    n: i64,
    batches: Option<Batches>,
}

struct Batches {
    size: i64,
    n_samples: i64,
    /// The samples of each batch, `i64 [U, B]`; the places that a short last batch leaves hold its last sample.
    rows: Tensor,
    /// By what each counts in the mean, `f32 [U, B]`: 1/B, in a short batch 1/its size, and 0 at the places left.
    shares: Tensor,
}

impl Units {
    /// Each of `n` samples is a unit.
    pub(super) fn samples(n: i64) -> Self {
        Self { n, batches: None }
    }

    /// Each run of `size` out of `n` samples is a unit.
    pub(super) fn batches(n_samples: i64, size: i64, device: Device) -> Self {
        let size = size.min(n_samples);
        let n = (n_samples + size - 1) / size;
        let last = n_samples - (n - 1) * size;
        let rows = Tensor::arange(n * size, (Kind::Int64, device)).clamp_max(n_samples - 1).view([n, size]);
        let shares = Tensor::full([n, size], 1.0 / size as f64, (Kind::Float, device));
        let _ = shares.get(n - 1).fill_(0.0).narrow(0, 0, last).fill_(1.0 / last as f64);
        Self { n, batches: Some(Batches { size, n_samples, rows, shares }) }
    }

    pub(super) fn len(&self) -> i64 {
        self.n
    }

    pub(super) fn are_samples(&self) -> bool {
        self.batches.is_none()
    }

    /// How many units come nearest to `budget` samples, at least 1.
    pub(super) fn nearest(&self, budget: i64) -> i64 {
        let size = self.batches.as_ref().map_or(1, |batches| batches.size);
        ((budget as f64 / size as f64).round() as i64).clamp(1, self.n)
    }

    /// The samples of these units, `i64`, and by what each counts, `f32 [samples, 1]` (none: 1).
    pub(super) fn rows(&self, units: &Tensor) -> (Tensor, Option<Tensor>) {
        match &self.batches {
            None => (units.shallow_clone(), None),
            Some(batches) => (
                batches.rows.index_select(0, units).view([-1]),
                Some(batches.shares.index_select(0, units).view([-1, 1])),
            ),
        }
    }

    /// From the gains of all samples to those of all units.
    pub(super) fn mean(&self, gains: Tensor) -> Tensor {
        match &self.batches {
            None => gains,
            Some(batches) => {
                let gains = gains.index_select(0, &batches.rows.view([-1])).view_as(&batches.shares);
                (gains * &batches.shares).sum_dim_intlist(1, false, Kind::Float)
            }
        }
    }

    /// From the gains of the samples that [`Self::rows`] names to those of their units.
    pub(super) fn mean_of_rows(&self, gains: Tensor, shares: Option<&Tensor>) -> Tensor {
        match (&self.batches, shares) {
            (Some(batches), Some(shares)) => {
                (gains * shares.view([-1])).view([-1, batches.size]).sum_dim_intlist(1, false, Kind::Float)
            }
            _ => gains,
        }
    }

    /// From batches picked to their samples, each with its batch's gain.
    pub(super) fn expand(&self, picks: &Picks) -> Picks {
        let Some(batches) = &self.batches else {
            return Picks { units: picks.units.shallow_clone(), gains: picks.gains.shallow_clone() };
        };
        let places = &picks.units.unsqueeze(1) * batches.size
            + Tensor::arange(batches.size, (Kind::Int64, picks.units.device())); // [k, B]
        let is_sample = places.lt(batches.n_samples);
        let gains = picks.gains.unsqueeze(1).expand_as(&places).masked_select(&is_sample);
        Picks { units: places.masked_select(&is_sample), gains }
    }
}
