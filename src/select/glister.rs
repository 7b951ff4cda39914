//! GLISTER-ONLINE: the subset whose gradient step most lowers the validation loss.
//!
//! Killamsetty, Sivasubramanian, Ramakrishnan, Iyer: "GLISTER: Generalization based Data Subset Selection for Efficient and
//! Robust Learning", AAAI 2021, arXiv 2012.10630. Gradients are those of the last layer, as in the paper's section on
//! approximations.
//!
//! For sample i with features e_i ∈ R^D and residual r_i = softmax(z_i) − onehot(y_i) ∈ R^C, the gradient of the last
//! layer is (r_i, r_i ⊗ e_i). After a hypothetical step of size η with the samples S, the validation logits are
//! u_j(S) = u_j − η·(Σ_S r_i + (Σ_S r_i ⊗ e_i) v_j), and what sample i would take off the validation loss is, to first
//! order, r_i·G_b + r_iᵀ G_W e_i with G_b = mean_j s_j, G_W = mean_j s_j ⊗ v_j, s_j = softmax(u_j(S)) − onehot(y_j).
//! The gradients are never laid out: all gains are one (N × D)(D × C) product and a row-wise dot.

use tch::{IndexOp, Kind, Tensor};

use super::Selection;
use crate::error::{Error, Result};

/// What a last layer sees of a set of samples.
#[derive(Debug)]
pub struct LastLayer {
    /// Penultimate features, `f32 [N, D]`.
    pub features: Tensor,
    /// Logits, `f32 [N, C]`.
    pub logits: Tensor,
    /// Labels, `i64 [N]`, each in 0..C.
    pub labels: Tensor,
}

impl LastLayer {
    /// softmax(logits) − onehot(labels), `[N, C]`: the derivative of the cross-entropy by the logits.
    pub fn residuals(&self) -> Tensor {
        residuals(&self.logits, &self.labels)
    }

    fn check(&self, name: &str) -> Result<(i64, i64, i64)> {
        let (features, logits, labels) = (self.features.size(), self.logits.size(), self.labels.size());
        match (&features[..], &logits[..], &labels[..]) {
            (&[n, d], &[m, c], &[l]) if n == m && m == l && n > 0 => Ok((n, d, c)),
            _ => Err(Error::argument(
                name,
                "features [N, D], logits [N, C] and labels [N] with one N above 0",
                format!("features {features:?}, logits {logits:?}, labels {labels:?}"),
            )),
        }
    }
}

/// The greedy selection's settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RGreedy {
    /// Step size η of the hypothetical step.
    pub eta: f64,
    /// Rounds r: the validation gradient is formed anew this often. A round takes its share of the budget at once.
    pub rounds: usize,
    /// Whether the last layer's weights count as well as its biases.
    pub linear_layer: bool,
}

impl Default for RGreedy {
    /// η = 0.01, r = 15, biases and weights.
    fn default() -> Self {
        Self { eta: 0.01, rounds: 15, linear_layer: true }
    }
}

impl RGreedy {
    /// Chooses `budget` of the candidates. Round q of min(r, budget), counted from 0, takes ⌈(budget − taken) / (r − q)⌉
    /// of the highest gains, so that exactly `budget` are chosen. The gains returned are those at the time of choosing.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if a stop was asked for. [`Error::Argument`] if `budget` is 0 or above the number of candidates, shapes do not fit together, `rounds` is 0
    /// or `eta` is not a positive number.
    pub fn choose(&self, candidates: &LastLayer, validation: &LastLayer, budget: i64) -> Result<Selection> {
        let (n, d, c) = candidates.check("candidates")?;
        let (_, validation_d, validation_c) = validation.check("validation")?;
        if (d, c) != (validation_d, validation_c) {
            let got = format!("D = {validation_d}, C = {validation_c}");
            return Err(Error::argument("validation", format!("D = {d}, C = {c} as the candidates"), got));
        }
        if !(1..=n).contains(&budget) {
            return Err(Error::argument("budget", format!("1 to {n}, the number of candidates"), budget));
        }
        self.check()?;
        // A guard, unlike tch::no_grad, gives gradients back when something panics.
        let _no_grad = tch::no_grad_guard();
        let r = candidates.residuals(); // [N, C]
        let taken_gain = Tensor::full([n], f64::NEG_INFINITY, (Kind::Float, r.device()));
        let is_taken = Tensor::zeros([n], (Kind::Bool, r.device()));
        let mut sum_b = Tensor::zeros([c], (Kind::Float, r.device())); // Σ_S r_i
        let mut sum_w = Tensor::zeros([c, d], (Kind::Float, r.device())); // Σ_S r_i ⊗ e_i
        let (mut indices, mut gains) = (Vec::new(), Vec::new());
        let rounds = (self.rounds as i64).min(budget);
        let mut taken = 0;
        for round in 0..rounds {
            crate::interrupt::check()?;
            let share = (budget - taken + rounds - round - 1) / (rounds - round);
            let gain = self
                .gains(candidates, &r, validation, &sum_b, &sum_w)
                .where_self(&is_taken.logical_not(), &taken_gain);
            let (top_gains, top) = gain.topk(share, 0, true, true);
            let chosen_r = r.index_select(0, &top); // [share, C]
            sum_b += chosen_r.sum_dim_intlist(0, false, Kind::Float);
            if self.linear_layer {
                sum_w += chosen_r.tr().matmul(&candidates.features.index_select(0, &top));
            }
            let _ = is_taken.shallow_clone().index_fill_(0, &top, 1);
            indices.push(top);
            gains.push(top_gains);
            taken += share;
        }
        Ok(Selection { indices: Tensor::cat(&indices, 0), gains: Some(Tensor::cat(&gains, 0)) })
    }

    /// The gain of every candidate, `f32 [N]`, once the samples with these sums have been taken.
    fn gains(
        &self,
        candidates: &LastLayer,
        r: &Tensor,
        validation: &LastLayer,
        sum_b: &Tensor,
        sum_w: &Tensor,
    ) -> Tensor {
        let mut step = sum_b.shallow_clone(); // [C], or [M, C] with the weights
        if self.linear_layer {
            step = validation.features.matmul(&sum_w.tr()) + step;
        }
        let s = residuals(&(&validation.logits - step * self.eta), &validation.labels); // [M, C]
        let m = s.size()[0] as f64;
        let mut per_class = (s.sum_dim_intlist(0, false, Kind::Float) / m).unsqueeze(0); // G_b, [1, C]
        if self.linear_layer {
            let g_w = s.tr().matmul(&validation.features) / m; // [C, D]
            per_class = candidates.features.matmul(&g_w.tr()) + per_class; // [N, C]
        }
        (r * per_class).sum_dim_intlist(1, false, Kind::Float)
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.rounds == 0 {
            return Err(Error::argument("rounds", "1 or more", 0));
        }
        if !(self.eta.is_finite() && self.eta > 0.0) {
            return Err(Error::argument("eta", "a positive number", self.eta));
        }
        Ok(())
    }
}

fn residuals(logits: &Tensor, labels: &Tensor) -> Tensor {
    let ones = Tensor::ones([labels.size()[0], 1], (Kind::Float, logits.device()));
    let mut residuals = logits.softmax(-1, Kind::Float);
    residuals.scatter_add_(1, &labels.unsqueeze(1), &ones.neg())
}

impl LastLayer {
    /// Joins the parts of a pass made in batches.
    pub(crate) fn cat(parts: &[Self]) -> Self {
        let join = |part: fn(&Self) -> &Tensor| Tensor::cat(&parts.iter().map(part).collect::<Vec<_>>(), 0);
        Self { features: join(|p| &p.features), logits: join(|p| &p.logits), labels: join(|p| &p.labels) }
    }

    /// The samples at `indices`.
    pub fn select(&self, indices: &Tensor) -> Self {
        Self {
            features: self.features.index_select(0, indices),
            logits: self.logits.index_select(0, indices),
            labels: self.labels.i(indices),
        }
    }
}
