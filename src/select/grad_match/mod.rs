//! GRAD-MATCH: the mini-batches whose weighted gradients add up to that of all data.
//!
//! Killamsetty, Durga, Ramakrishnan, De, Iyer: "GRAD-MATCH: Gradient Matching based Data Subset Selection for Efficient Deep
//! Model Training", ICML 2021, arXiv 2103.00123, in its per-batch variant. Gradients are those of the last layer, and those of a
//! batch its mean: [mean r, Rᵀ E / B] from residuals R `[B, C]` and features E `[B, D]`. They are formed in one product a batch, for
//! as many classes at a time as keep memory at O(N·(C + D)) beside the Gram matrix of the batches.

mod pursuit;

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::chooser::Chooser;
use super::loader::Loader;
use super::{LastLayer, Loss, Selection};
use crate::data::Normalization;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::Model;
use pursuit::matching_pursuit;

/// λ of the pursuit: none, as the authors' toolkit configures the per-batch variant for MNIST and CIFAR-10.
const RIDGE: f64 = 0.0;

/// The stream of the orders that are cut into mini-batches.
const ORDERS: u64 = 1 << 58;

/// The settings of GRAD-MATCH (Killamsetty et al., ICML 2021), per batch: the weighted mini-batches whose gradients together
/// come nearest to that of all training data, by orthogonal matching pursuit. Each selection passes over the training set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GradMatch {
    /// Epochs between two selections; 5 if not set.
    pub select_every: usize,
}

impl Default for GradMatch {
    fn default() -> Self {
        Self { select_every: 5 }
    }
}

impl GradMatch {
    /// The settings by name, to be kept with a run.
    pub(super) fn options(&self) -> BTreeMap<&'static str, serde_json::Value> {
        BTreeMap::from([("select_every", self.select_every.into())])
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.select_every {
            0 => Err(Error::argument("select_every", "1 or more epochs", 0)),
            _ => Ok(()),
        }
    }
}

impl Chooser for GradMatch {
    fn choose(
        &self,
        loader: &mut Loader,
        model: &dyn Model,
        normalization: &Normalization,
    ) -> Result<Option<Selection>> {
        if !loader.is_due(self.select_every)? {
            return Ok(None);
        }
        let seen = loader.pass_over_train(model, normalization, None)?;
        let n = loader.train.len() as i64;
        let order = loader.random(ORDERS | loader.n_epochs_begun, n, n);
        Ok(Some(choose(
            &seen,
            &seen,
            &Loss::of_labels(&seen.labels),
            loader.budget(),
            loader.batch_size,
            &order,
        )?))
    }
}

/// Chooses `budget` of the candidates: those of whole mini-batches, the runs of `batch_size` that `order` (a permutation of 0..N,
/// `i64 [N]`; random, as the mini-batches of a training are) is cut into, so that the weighted mean gradient comes as near as
/// possible to the mean gradient of `target`. Samples come in the order in which their batches were picked; of the last one
/// only as many as there is room for. Each has its batch's weight, scaled so that the mean over the samples chosen is 1.
///
/// Where fewer batches than the budget needs already match as well as any, the rest come in by their products with what
/// is left and weigh what the others weigh on average: a weight of 0 would have the budget train on nothing.
///
/// # Errors
/// [`Error::Interrupted`] if a stop was asked for. [`Error::Argument`] if `budget` is 0 or above the number of candidates,
/// `batch_size` is 0, `order` has another length, shapes, kinds or devices do not fit together, features or logits are not
/// finite, or a label is out of range. [`Error::Torch`] if libtorch refuses.
pub(super) fn choose(
    candidates: &LastLayer,
    target: &LastLayer,
    loss: &Loss,
    budget: i64,
    batch_size: i64,
    order: &Tensor,
) -> Result<Selection> {
    let (n, d, c) = candidates.check("candidates", loss, true)?;
    let (_, target_d, target_c) = target.check("target", loss, true)?;
    if (d, c) != (target_d, target_c) {
        let got = format!("D = {target_d}, C = {target_c}");
        return Err(Error::argument("target", format!("D = {d}, C = {c} as the candidates"), got));
    }
    if !(1..=n).contains(&budget) {
        return Err(Error::argument("budget", format!("1 to {n}, the number of candidates"), budget));
    }
    if batch_size < 1 {
        return Err(Error::argument("batch_size", "1 or more", batch_size));
    }
    if order.size() != [n] || order.kind() != Kind::Int64 {
        let got = format!("{:?} {:?}", order.kind(), order.size());
        return Err(Error::argument("order", format!("a permutation i64 [{n}]"), got));
    }
    let _no_grad = tch::no_grad_guard();
    let batch_size = batch_size.min(n);
    let (gram, correlations) = products(candidates, target, loss, batch_size, order)?;
    if gram.iter().chain(&correlations).any(|product| !product.is_finite()) {
        let expected = "features and logits whose gradients are finite";
        return Err(Error::argument("candidates and target", expected, "ones that overflow"));
    }
    interrupt::check()?;
    let n_batches = correlations.len() as i64;
    let size = |batch: usize| batch_size.min(n - batch as i64 * batch_size);
    let mut k = (budget + batch_size - 1) / batch_size;
    let mut matched = matching_pursuit(&gram, &correlations, k as usize, RIDGE);
    // The short last batch may be among those picked.
    while k < n_batches && matched.atoms.iter().map(|&batch| size(batch)).sum::<i64>() < budget {
        k += 1;
        matched = matching_pursuit(&gram, &correlations, k as usize, RIDGE);
    }
    let n_matched = matched.weights.iter().filter(|&&weight| weight > 0.0).count();
    let mean = if n_matched == 0 { 1.0 } else { matched.weights.iter().sum::<f64>() / n_matched as f64 };
    let (mut places, mut weights) = (Vec::new(), Vec::new());
    for (&batch, &weight) in matched.atoms.iter().zip(&matched.weights) {
        let from = batch as i64 * batch_size;
        let taken = size(batch).min(budget - places.len() as i64);
        places.extend(from..from + taken);
        weights.resize(places.len(), if weight > 0.0 { weight } else { mean });
    }
    let scale = budget as f64 / weights.iter().sum::<f64>();
    let weights: Vec<f32> = weights.iter().map(|weight| (weight * scale) as f32).collect();
    let device = order.device();
    Ok(Selection {
        indices: order.f_index_select(0, &Tensor::from_slice(&places).f_to_device(device)?)?,
        gains: None,
        weights: Some(Tensor::from_slice(&weights).f_to_device(device)?),
    })
}

/// The products of the batches' mean gradients with one another, `[n, n]`, and with the target's, `[n]`, in double precision.
fn products(
    candidates: &LastLayer,
    target: &LastLayer,
    loss: &Loss,
    batch_size: i64,
    order: &Tensor,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let n_threads = tch::get_num_threads().max(1) as usize;
    let r = loss.residuals(candidates, n_threads)?.f_index_select(0, order)?; // [N, C]
    let e = candidates.features.f_index_select(0, order)?; // [N, D]
    let s = loss.residuals(target, n_threads)?; // [M, C]
    let (n_samples, c) = r.size2()?;
    let n = (n_samples + batch_size - 1) / batch_size;
    let options = (Kind::Double, r.device());
    let (mut gram, mut correlations) = (Tensor::zeros([n, n], options), Tensor::zeros([n], options));
    for from in (0..c).step_by(batch_size as usize) {
        interrupt::check()?;
        let n_classes = batch_size.min(c - from);
        let of_classes = |residuals: &Tensor| residuals.f_narrow(1, from, n_classes);
        let gradients = mean_gradients(&of_classes(&r)?, &e, batch_size)?; // [n, classes·(D + 1)]
        let goal = mean_gradients(&of_classes(&s)?, &target.features, s.size()[0])?; // [1, classes·(D + 1)]
        gram += gradients.f_matmul(&gradients.f_tr()?)?;
        correlations += gradients.f_mv(&goal.f_squeeze_dim(0)?)?;
    }
    Ok((Vec::try_from(gram.f_reshape([-1])?)?, Vec::try_from(correlations)?))
}

/// The mean gradient of each run of `size` rows, the last run as short as it must be: residuals r `[N, C]` and features e
/// `[N, D]` to `f64 [n, C·(D + 1)]`, for each class its D weights and its bias.
fn mean_gradients(r: &Tensor, e: &Tensor, size: i64) -> Result<Tensor> {
    let ((n, c), d) = (r.size2()?, e.size()[1]);
    let n_whole = n / size;
    let mut parts = Vec::new();
    for (at, n_batches, size) in [(0, n_whole, size), (n_whole * size, 1, n % size)] {
        if n_batches * size == 0 {
            continue;
        }
        let batches =
            |of: &Tensor, width| of.f_narrow(0, at, n_batches * size)?.f_reshape([n_batches, size, width]);
        let (r, e) = (batches(r, c)?.f_transpose(1, 2)?, batches(e, d)?);
        let weights = r.f_bmm(&e)?; // [n, C, D]
        let biases = r.f_sum_dim_intlist(2, true, Kind::Float)?; // [n, C, 1]
        let sums = Tensor::f_cat(&[weights, biases], 2)?.f_to_kind(Kind::Double)?;
        parts.push((sums / size as f64).f_reshape([n_batches, c * (d + 1)])?);
    }
    Ok(Tensor::f_cat(&parts, 0)?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);
    const SMOOTHED: Loss = Loss::CrossEntropy { label_smoothing: 0.1 };

    /// N samples, with a last layer `[C, D + 1]` that gives their logits.
    fn samples(n: i64, d: i64, c: i64, layer: &Tensor) -> LastLayer {
        let features = Tensor::randn([n, d], FLOAT);
        let labels = Tensor::randint(c, [n], (Kind::Int64, Device::Cpu));
        let logits = features.matmul(&layer.narrow(1, 0, d).tr()) + layer.select(1, d);
        LastLayer { features, logits, labels }
    }

    /// The mean gradient of the last layer over some samples by libtorch's own differentiation.
    fn gradient(samples: &LastLayer, layer: &Tensor, loss: Loss) -> Tensor {
        let layer = layer.copy().set_requires_grad(true);
        let d = samples.features.size()[1];
        let logits = samples.features.matmul(&layer.narrow(1, 0, d).tr()) + layer.select(1, d);
        let loss = match loss {
            Loss::CrossEntropy { label_smoothing } => logits.cross_entropy_loss::<&Tensor>(
                &samples.labels,
                None,
                tch::Reduction::Mean,
                -100,
                label_smoothing,
            ),
            Loss::SquaredError => panic!("not asked for here"),
        };
        Tensor::run_backward(&[loss], &[&layer], false, false)[0].to_kind(Kind::Double).view([-1])
    }

    #[test]
    fn products_are_those_of_gradients_by_autograd() {
        // The last batch is whole, short, alone; with batches of 4 the 10 classes come in three parts.
        for (n, batch_size, loss) in [(60, 20, Loss::default()), (47, 4, SMOOTHED), (7, 7, Loss::default())] {
            tch::manual_seed(n);
            let layer = Tensor::randn([10, 7], FLOAT);
            let (candidates, target) = (samples(n, 6, 10, &layer), samples(33, 6, 10, &layer));
            let order = Tensor::randperm(n, (Kind::Int64, Device::Cpu));
            let (gram, correlations) = products(&candidates, &target, &loss, batch_size, &order).unwrap();
            let batches: Vec<Tensor> = order
                .split(batch_size, 0)
                .iter()
                .map(|indices| gradient(&candidates.select(indices), &layer, loss))
                .collect();
            let expected = Tensor::stack(&batches, 0);
            let goal = gradient(&target, &layer, loss);
            for (got, expected) in
                [(gram, expected.matmul(&expected.tr())), (correlations, expected.mv(&goal))]
            {
                let difference = Tensor::from_slice(&got) - expected.reshape([-1]);
                assert!(difference.abs().max().double_value(&[]) < 1e-5);
            }
        }
    }

    #[test]
    fn whole_batches_fill_the_budget_to_the_sample() {
        tch::manual_seed(1);
        let layer = Tensor::randn([5, 9], FLOAT);
        let (candidates, target) = (samples(103, 8, 5, &layer), samples(40, 8, 5, &layer));
        let order = Tensor::randperm(103, (Kind::Int64, Device::Cpu));
        let places: Vec<i64> = order.argsort(0, false).try_into().unwrap();
        for batch_size in [1, 10, 25, 103, 500] {
            for budget in [1, 10, 31, 99, 102, 103] {
                let chosen = choose(&candidates, &target, &SMOOTHED, budget, batch_size, &order).unwrap();
                let indices: Vec<i64> = chosen.indices.try_into().unwrap();
                let weights: Vec<f32> = chosen.weights.unwrap().try_into().unwrap();
                assert_eq!((indices.len(), weights.len()), (budget as usize, budget as usize));
                let mean = weights.iter().sum::<f32>() / budget as f32;
                assert!((mean - 1.0).abs() < 1e-5 && weights.iter().all(|&weight| weight > 0.0));
                let mut sorted = indices.clone();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted.len(), indices.len());
                // Batch after batch, each whole but the last, all samples of one with one weight.
                let batch = |&index: &i64| places[index as usize] / batch_size;
                let runs: Vec<&[i64]> = indices.chunk_by(|a, b| batch(a) == batch(b)).collect();
                let mut met: Vec<i64> = runs.iter().map(|run| batch(&run[0])).collect();
                for run in &runs[..runs.len() - 1] {
                    assert_eq!(run.len() as i64, batch_size.min(103 - batch(&run[0]) * batch_size));
                }
                let mut at = 0;
                for run in &runs {
                    assert!(weights[at..at + run.len()].iter().all(|&weight| weight == weights[at]));
                    at += run.len();
                }
                met.sort_unstable();
                met.dedup();
                assert_eq!(met.len(), runs.len());
            }
        }
    }

    /// The gradient of what is chosen stands nearer to the target's direction than that of as many batches at random.
    #[test]
    fn what_is_chosen_matches_the_target() {
        tch::manual_seed(2);
        let layer = Tensor::randn([10, 17], FLOAT);
        let candidates = samples(4000, 16, 10, &layer);
        let order = Tensor::randperm(4000, (Kind::Int64, Device::Cpu));
        let loss = Loss::default();
        let goal = gradient(&candidates, &layer, loss);
        let cosine =
            |gradient: &Tensor| (gradient.dot(&goal) / (gradient.norm() * goal.norm())).double_value(&[]);
        let drawn = cosine(&gradient(&candidates.select(&order.narrow(0, 0, 400)), &layer, loss));
        let chosen = choose(&candidates, &candidates, &loss, 400, 20, &order).unwrap();
        let weighted = |weights: &Tensor| {
            let part = candidates.select(&chosen.indices);
            let r = loss.residuals(&part, 1).unwrap() * weights.unsqueeze(1);
            mean_gradients(&r, &part.features, 400).unwrap().squeeze_dim(0)
        };
        let weights = chosen.weights.as_ref().unwrap();
        assert!(1.0 - cosine(&weighted(weights)) < 0.5 * (1.0 - drawn));
        assert!(cosine(&weighted(weights)) > cosine(&weighted(&weights.ones_like())));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let layer = Tensor::randn([3, 5], FLOAT);
        let (candidates, narrow) = (samples(8, 4, 3, &layer), samples(8, 3, 3, &layer.narrow(1, 0, 4)));
        let order = Tensor::arange(8, (Kind::Int64, Device::Cpu));
        let loss = Loss::default();
        let refused = |target: &LastLayer, budget, batch_size, order: &Tensor| {
            choose(&candidates, target, &loss, budget, batch_size, order).unwrap_err().to_string()
        };
        assert!(refused(&narrow, 2, 2, &order).starts_with("target: expected D = 4, C = 3"));
        assert!(refused(&candidates, 0, 2, &order).starts_with("budget: expected 1 to 8"));
        assert!(refused(&candidates, 9, 2, &order).starts_with("budget: expected 1 to 8"));
        assert!(refused(&candidates, 2, 0, &order).starts_with("batch_size: expected 1 or more"));
        let huge = LastLayer {
            features: Tensor::full([8, 4], 3e38, FLOAT),
            logits: Tensor::zeros([8, 3], FLOAT),
            labels: Tensor::zeros([8], (Kind::Int64, Device::Cpu)),
        };
        assert!(refused(&huge, 2, 2, &order).contains("ones that overflow"));
        assert!(
            refused(&candidates, 2, 2, &order.narrow(0, 0, 7)).starts_with("order: expected a permutation")
        );
    }
}
