//! One selection problem as tensors: gains at given validation residuals, and the hypothetical step. Runs on any device.

use tch::{Device, Kind, Tensor};

use super::cpu;
use super::{Glister, LastLayer, Loss};
use crate::error::Result;

/// What stays as it is while samples are taken.
pub(super) struct Problem<'a> {
    /// Features e of the candidates, `f32 [N, D]`.
    pub(super) features: &'a Tensor,
    /// Residuals r of the candidates, `f32 [N, C]`.
    pub(super) r: Tensor,
    /// The validation samples: features v `[M, D]`, logits u `[M, C]`, labels.
    pub(super) validation: &'a LastLayer,
    pub(super) loss: Loss,
    pub(super) eta: f64,
    pub(super) linear_layer: bool,
    /// For what the CPU computes without libtorch.
    pub(super) n_threads: usize,
}

/// The sums over the samples taken: Σ r_i `[C]` and, with the weights, Σ r_i ⊗ e_i `[C, D]`.
pub(super) struct Taken {
    pub(super) biases: Tensor,
    weights: Option<Tensor>,
}

/// The validation gradient: G_b `[C]` and, with the weights, G_W `[C, D]`.
pub(super) struct Gradient {
    biases: Tensor,
    weights: Option<Tensor>,
}

impl<'a> Problem<'a> {
    pub(super) fn new(
        candidates: &'a LastLayer,
        validation: &'a LastLayer,
        glister: &Glister,
        n_threads: usize,
    ) -> Result<Self> {
        Ok(Self {
            features: &candidates.features,
            r: glister.loss.residuals(candidates, n_threads)?,
            validation,
            loss: glister.loss,
            eta: glister.eta,
            linear_layer: glister.linear_layer,
            n_threads,
        })
    }

    pub(super) fn taken_none(&self) -> Taken {
        let (c, d) = (self.r.size()[1], self.features.size()[1]);
        let options = (Kind::Float, self.r.device());
        Taken {
            biases: Tensor::zeros([c], options),
            weights: self.linear_layer.then(|| Tensor::zeros([c, d], options)),
        }
    }

    /// The validation gradient after the step with the samples taken.
    pub(super) fn gradient(&self, taken: &Taken) -> Result<Gradient> {
        let v = &self.validation.features;
        let step = match &taken.weights {
            Some(weights) => v.matmul(&weights.tr()) + &taken.biases, // [M, C]
            None => taken.biases.unsqueeze(0),                        // [1, C]
        };
        let u = &self.validation.logits - step * self.eta;
        let s = self.loss.residuals_at(&u, &self.validation.labels, self.n_threads)?; // [M, C]
        let m = s.size()[0] as f64;
        Ok(Gradient {
            biases: s.sum_dim_intlist(0, false, Kind::Float) / m,
            weights: self.linear_layer.then(|| s.tr().matmul(v) / m),
        })
    }

    /// The gain of every candidate, `f32 [N]`.
    pub(super) fn gains(&self, gradient: &Gradient) -> Result<Tensor> {
        gains(self.features, &self.r, gradient, self.n_threads)
    }

    /// The gains of the candidates at `rows`, `f32 [rows]`.
    pub(super) fn gains_at(&self, gradient: &Gradient, rows: &Tensor) -> Result<Tensor> {
        let r = self.r.index_select(0, rows);
        match gradient.weights {
            Some(_) => gains(&self.features.index_select(0, rows), &r, gradient, self.n_threads),
            None => gains(self.features, &r, gradient, self.n_threads),
        }
    }

    /// Takes the candidates at `rows`, each counted with its weight (`f32 [rows, 1]`; none: 1).
    pub(super) fn take(&self, taken: &mut Taken, rows: &Tensor, weights: Option<&Tensor>) {
        let mut r = self.r.index_select(0, rows); // [rows, C]
        if let Some(weights) = weights {
            r *= weights;
        }
        taken.biases += r.sum_dim_intlist(0, false, Kind::Float);
        if let Some(sum) = &mut taken.weights {
            let _ = sum.addmm_(&r.tr(), &self.features.index_select(0, rows));
        }
    }
}

/// r_i·G_b + r_iᵀ G_W e_i for each row i.
fn gains(features: &Tensor, r: &Tensor, gradient: &Gradient, n_threads: usize) -> Result<Tensor> {
    match &gradient.weights {
        Some(weights) if r.device() == Device::Cpu => {
            cpu::gains(features, r, &gradient.biases, weights, n_threads)
        }
        Some(weights) => {
            let mut per_class = features.matmul(&weights.tr()); // [N, C]
            per_class += &gradient.biases;
            per_class *= r;
            Ok(per_class.sum_dim_intlist(1, false, Kind::Float))
        }
        None => Ok(r.mv(&gradient.biases)),
    }
}
