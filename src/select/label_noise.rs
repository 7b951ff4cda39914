//! Wrong labels: what share of the training labels they are, and how likely a label is right.

use tch::{Device, Kind, Tensor};

use super::classes::Classes;
use super::glister::vector::{best_of_machine, exp};
use crate::error::Result;

/// Labels of which a share is wrong.
#[derive(Debug)]
pub(super) struct LabelNoise {
    /// How likely a wrong label is this one, in units of how likely a label is right: ρ/C / (1 − ρ).
    as_likely: f32,
    /// In units of which losses count at the step.
    unit: f32,
    /// By what the model's probability for a label of each class is multiplied, 1 or more; empty where all are 1.
    leniency: Vec<f32>,
    /// The same on the device that trains, `f32 [C]`.
    leniency_on_device: Option<Tensor>,
}

/// This share of a class's validation samples, the best recognised ones, are to be taken for right at least as likely as not.
const TO_BE_TRUSTED: f64 = 0.75;

impl LabelNoise {
    /// A share `rate` of labels is wrong, hardly less than `at_least`. `sorted` are the validation losses of each class,
    /// ascending, `counts` how many samples it has there: where the model knows a class so badly that it would take even
    /// validation samples of it for wrong, more is believed to be right; less so in a rare class, among whose labels the wrong
    /// ones are many.
    pub(super) fn new(
        (rate, at_least): (f64, f64),
        (sorted, counts): (&[Vec<f32>], &[f64]),
        device: Device,
    ) -> Result<Self> {
        let n_classes = sorted.len().max(1) as f64;
        let as_likely = rate / n_classes / (1.0 - rate);
        let n: f64 = counts.iter().sum();
        let of_class = |(losses, count): (&Vec<f32>, &f64)| {
            let at = (losses.len() as f64 * TO_BE_TRUSTED) as usize;
            let loss = losses.get(at.min(losses.len().saturating_sub(1))).copied().unwrap_or(0.0);
            let rarity = (n_classes * count / n.max(1.0)).min(1.0);
            (rarity * as_likely * f64::from(loss).min(700.0).exp()).clamp(1.0, 1e12) as f32
        };
        let mut leniency: Vec<f32> = sorted.iter().zip(counts).map(of_class).collect();
        if leniency.iter().all(|&times| times == 1.0) {
            leniency.clear();
        }
        let leniency_on_device = if leniency.is_empty() {
            None
        } else {
            Some(Tensor::f_from_slice(&leniency)?.f_to_device(device)?)
        };
        let unit = (1.0 - at_least) as f32;
        Ok(Self { as_likely: as_likely as f32, unit, leniency, leniency_on_device })
    }

    /// The chance that a label is right to which the model gives the probability `p`; `class` is the label.
    fn chance_of(&self, p: f32, class: usize) -> f32 {
        let right = p * self.leniency.get(class).copied().unwrap_or(1.0);
        right / (right + self.as_likely)
    }

    /// The chance that each label is right to the power of `power`, by `losses`, the cross-entropies against the labels; NaN
    /// where a loss is.
    pub(super) fn trust(&self, losses: &[f32], classes: &Classes, power: f64) -> Vec<f32> {
        let mut trust = vec![0.0; losses.len()];
        probabilities(losses, &mut trust);
        for (at, (trust, loss)) in trust.iter_mut().zip(losses).enumerate() {
            let chance = self.chance_of(*trust, classes.of(at));
            let to_power = if power == 2.0 { chance * chance } else { chance.powf(power as f32) };
            *trust = if loss.is_nan() { f32::NAN } else { to_power };
        }
        trust
    }

    /// By what a loss counts at the step, `f32 [B]`: by the chance that its label is right, in units of the share of labels that
    /// are, so that steps are as long as if all labels were; where that share is uncertain, rather shorter: longer ones have
    /// thrown trainings off their way. `losses`, `f32 [B]`, are cross-entropies against the `labels`.
    pub(super) fn weights_on_cpu(
        &self,
        losses: &Tensor,
        labels: impl Iterator<Item = u32>,
    ) -> Result<Tensor> {
        let weights: Vec<f32> = Vec::<f32>::try_from(losses.f_to_kind(Kind::Float)?)?
            .into_iter()
            .zip(labels)
            .map(|(loss, label)| self.chance_of((-loss).exp(), label as usize) / self.unit)
            .collect();
        Ok(Tensor::f_from_slice(&weights)?)
    }

    /// [`LabelNoise::weights_on_cpu`] with operators of libtorch, for labels `i64 [B]`.
    pub(super) fn weights(&self, losses: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let mut right = losses.f_neg()?.f_exp_()?;
        if let Some(leniency) = &self.leniency_on_device {
            right *= leniency.f_index_select(0, labels)?;
        }
        Ok(&right / ((&right + f64::from(self.as_likely)) * f64::from(self.unit)))
    }
}

best_of_machine!(probabilities, probabilities_avx2, probabilities_with, (losses: &[f32], to: &mut [f32]));

/// e^−loss of each loss: the probability of the label.
#[inline(always)]
fn probabilities_with<const FUSED: bool>(losses: &[f32], to: &mut [f32]) {
    for (to, &loss) in to.iter_mut().zip(losses) {
        *to = exp::<FUSED>(-loss);
    }
}

/// What is known of the share of wrong labels: from how often the model recognises training samples that it meets for the first
/// time, against how often it recognises validation samples.
#[derive(Debug)]
pub(super) struct NoiseEstimate {
    /// The share of each class's validation samples recognised before the epoch that is under way, by class.
    recalls_before: Option<Vec<f64>>,
    /// The samples met for the first time in the epoch under way.
    first_met: Option<Counts>,
    /// Over the epochs, each weighed by how much better than chance its samples are recognised: how many fewer of these are than
    /// of the validation set, how many fewer would be if all labels were wrong, and how many samples there were.
    sums: [f64; 3],
    /// How much better than chance the validation samples are recognised, in [0, 1]; found anew before each epoch.
    competence: f64,
}

/// Samples by class: how many have it as their label, how many of these are recognised, and how many of all are taken for it.
#[derive(Debug, Clone)]
struct Counts {
    labelled: Vec<f64>,
    recognised: Vec<f64>,
    taken_for: Vec<f64>,
}

impl Counts {
    fn new(n_classes: usize) -> Self {
        let zeros = vec![0.0; n_classes];
        Self { labelled: zeros.clone(), recognised: zeros.clone(), taken_for: zeros }
    }

    /// Counts samples, each by its class and the class that it is taken for.
    fn add(&mut self, samples: impl IntoIterator<Item = [u32; 2]>) {
        for [label, taken_for] in samples.into_iter().map(|sample| sample.map(|class| class as usize)) {
            let fits = |class| class < self.labelled.len();
            if fits(label) && fits(taken_for) {
                self.taken_for[taken_for] += 1.0;
                self.labelled[label] += 1.0;
                self.recognised[label] += f64::from(u8::from(taken_for == label));
            }
        }
    }

    fn n(&self) -> f64 {
        self.labelled.iter().sum()
    }

    /// The sum over classes of their samples times what `of_class` says.
    fn sum(&self, of_class: impl Fn(usize) -> f64) -> f64 {
        self.labelled.iter().enumerate().map(|(class, n)| n * of_class(class)).sum()
    }
}

const RECALLS: &str = "history.recalls_before";
const FIRST_MET: &str = "history.first_met";
const SUMS: &str = "history.noise";

/// Below this, an estimated share of wrong labels is taken for chance; above that one, it is not believed.
const LEAST: f64 = 0.05;
const MOST: f64 = 0.9;

/// Fewer samples of an epoch say nothing.
const FEWEST: f64 = 50.0;

/// A model that recognises no more than this above chance says nothing.
const LEAST_COMPETENCE: f64 = 0.02;

impl NoiseEstimate {
    /// Nothing known yet.
    pub(super) fn new() -> Self {
        Self { recalls_before: None, first_met: None, sums: [0.0; 3], competence: 1.0 }
    }

    /// Counts samples of `n_classes` classes that training met for the first time, each by its class and the class that it was
    /// taken for.
    pub(super) fn count(&mut self, n_classes: usize, samples: impl IntoIterator<Item = [u32; 2]>) {
        // What came from a checkpoint of another model does not count.
        let fitting = self.first_met.take().filter(|counts| counts.labelled.len() == n_classes);
        self.first_met.insert(fitting.unwrap_or_else(|| Counts::new(n_classes))).add(samples);
    }

    /// Takes in the `validation` set behind an epoch: the class of each sample and that for which the model takes it.
    ///
    /// A label that is wrong is recognised only as often as its class is taken for anything: of the labels c,
    /// (1 − ρ)·recall(c) + ρ·share(c) are. Recalls are the mean of those before and behind the epoch, in which the samples were
    /// met.
    pub(super) fn update(&mut self, n_classes: usize, validation: impl IntoIterator<Item = [u32; 2]>) {
        let mut seen = Counts::new(n_classes);
        seen.add(validation);
        let share = |counts: &Counts, class: usize| counts.taken_for[class] / counts.n().max(1.0);
        let recalls: Vec<f64> =
            (0..n_classes).map(|class| seen.recognised[class] / seen.labelled[class].max(1.0)).collect();
        self.competence = seen.sum(|class| recalls[class] - share(&seen, class)) / seen.n().max(1.0);
        let before = self.recalls_before.replace(recalls.clone());
        let (Some(first_met), Some(before)) = (self.first_met.take(), before) else { return };
        if first_met.labelled.len() != n_classes || before.len() != n_classes {
            return;
        }
        let recall = |class: usize| (recalls[class] + before[class]) / 2.0;
        let n = first_met.n();
        let missing = first_met.sum(recall) - first_met.recognised.iter().sum::<f64>();
        let possible = first_met.sum(|class| recall(class) - share(&first_met, class));
        let better = possible / n.max(1.0);
        if n >= FEWEST && better >= LEAST_COMPETENCE {
            for (sum, of_epoch) in self.sums.iter_mut().zip([missing, possible, n]) {
                *sum += of_epoch * better;
            }
        }
    }

    /// The share of the training labels that are wrong, each class as likely as the other; 0 where so few are missing that it
    /// may be chance: less than three standard errors with `n_validation` validation samples.
    pub(super) fn rate(&self, n_validation: usize) -> f64 {
        let [missing, possible, _] = self.sums;
        if possible <= 0.0 || n_validation == 0 {
            return 0.0;
        }
        let rate = missing / possible;
        if rate < LEAST.max(3.0 * self.error(n_validation)) { 0.0 } else { rate.min(MOST) }
    }

    /// What the share of wrong labels hardly falls below: two standard errors less than [`NoiseEstimate::rate`].
    pub(super) fn at_least(&self, n_validation: usize) -> f64 {
        let rate = self.rate(n_validation);
        if rate > 0.0 { (rate - 2.0 * self.error(n_validation)).max(0.0) } else { 0.0 }
    }

    /// The standard error of the rate.
    fn error(&self, n_validation: usize) -> f64 {
        let [_, possible, n] = self.sums;
        // Of a share, p(1 − p) is 1/4 at most. The validation set is the same in all epochs, the samples are not.
        0.5 * (possible + n * n / n_validation as f64).sqrt() / possible
    }

    /// How much better than chance the validation samples are recognised, in [0, 1]; 1 for a regression.
    pub(super) fn competence(&self) -> f64 {
        self.competence
    }

    /// All of it as tensors by name, for a checkpoint.
    pub(super) fn tensors(&self) -> Vec<(&'static str, Tensor)> {
        let recalls = self.recalls_before.as_ref().map(|recalls| (RECALLS, Tensor::from_slice(recalls)));
        let first_met = self.first_met.as_ref().map(|counts| {
            let Counts { labelled, recognised, taken_for } = counts;
            (FIRST_MET, Tensor::from_slice(&[&labelled[..], recognised, taken_for].concat()))
        });
        recalls.into_iter().chain(first_met).chain([(SUMS, Tensor::from_slice(&self.sums))]).collect()
    }

    /// What [`NoiseEstimate::tensors`] gave; `None` if it is something else.
    pub(super) fn from_tensors(take: impl Fn(&str) -> Option<Tensor>) -> Result<Option<Self>> {
        let values = |name: &str| {
            let tensor = take(name).filter(|tensor| tensor.kind() == Kind::Double && tensor.dim() == 1);
            tensor.map(|tensor| Vec::<f64>::try_from(tensor.f_to_device(Device::Cpu)?)).transpose()
        };
        let Some(Ok(sums)) = values(SUMS)?.map(<[f64; 3]>::try_from) else { return Ok(None) };
        let first_met = values(FIRST_MET)?.filter(|counts| counts.len().is_multiple_of(3)).map(|counts| {
            let mut parts = counts.chunks(counts.len().div_ceil(3).max(1)).map(<[f64]>::to_vec);
            let mut next = || parts.next().unwrap_or_default();
            Counts { labelled: next(), recognised: next(), taken_for: next() }
        });
        let recalls_before = values(RECALLS)?;
        let can_be = |values: &[f64]| values.iter().all(|value| value.is_finite());
        let counts = first_met
            .iter()
            .flat_map(|Counts { labelled, recognised, taken_for }| [&labelled[..], recognised, taken_for]);
        let all_can_be = counts.chain(recalls_before.as_deref()).chain([&sums[..]]).all(can_be);
        Ok(all_can_be.then_some(Self { recalls_before, first_met, sums, competence: 1.0 }))
    }
}

#[cfg(test)]
mod tests {
    use tch::Reduction;

    use super::*;

    fn classes(labels: &[i64], n_classes: usize) -> Classes {
        Classes::new("training set", &Tensor::from_slice(labels), n_classes).unwrap()
    }

    #[test]
    fn a_step_by_trust_is_a_step_on_the_corrected_loss() {
        let noise = LabelNoise::new((0.3, 0.3), (&vec![vec![0.1; 30]; 4], &[30.0; 4]), Device::Cpu).unwrap();
        let labels = Tensor::from_slice(&[0_i64, 3, 1]);
        let values = [1.5_f32, -0.5, 0.2, 0.0, 2.0, 0.1, -1.0, -2.0, 0.0, 6.0, 0.0, 0.0];
        let gradient = |loss: &dyn Fn(&Tensor) -> Tensor| {
            let logits = Tensor::from_slice(&values).view([3, 4]).set_requires_grad(true);
            loss(&logits).backward();
            logits.grad()
        };
        // Forward correction by hand: −ln((1 − ρ)p + ρ/C), differentiated by libtorch.
        let corrected = gradient(&|logits| {
            let p = logits.softmax(-1, Kind::Float).gather(1, &labels.unsqueeze(1), false);
            -((p * 0.7 + 0.3 / 4.0).log()).mean(Kind::Float)
        }) / 0.7;
        let by_operators = |losses: &Tensor| noise.weights(losses, &labels).unwrap();
        let in_one_pass = |losses: &Tensor| noise.weights_on_cpu(losses, [0, 3, 1].into_iter()).unwrap();
        for weights in [&by_operators as &dyn Fn(&Tensor) -> Tensor, &in_one_pass] {
            let weighed = gradient(&|logits| {
                let losses = logits.cross_entropy_loss::<&Tensor>(&labels, None, Reduction::None, -100, 0.0);
                (&losses * weights(&losses.detach())).mean(Kind::Float)
            });
            assert!((&corrected - weighed).abs().max().double_value(&[]) < 1e-6);
        }
        for (power, tolerance) in [(1.0, 1e-6), (2.0, 1e-6), (3.0, 1e-6)] {
            let trust = noise.trust(&[2.0, f32::NAN], &classes(&[0, 3], 4), power);
            let right = 0.7 * (-2.0_f64).exp();
            let expected = (right / (right + 0.075)).powf(power);
            assert!((f64::from(trust[0]) - expected).abs() < tolerance && trust[1].is_nan(), "{trust:?}");
        }
    }

    #[test]
    fn steps_are_as_long_as_the_share_of_right_labels_is_sure() {
        let mut estimate = NoiseEstimate::new();
        // All of the validation set is recognised, and of the training labels three of five.
        let validation = || (0..1000).map(|at| [at % 10; 2]);
        let training =
            || (0..1000).map(|at| [at % 10, if at / 10 % 5 < 3 { at % 10 } else { (at + 1) % 10 }]);
        let mut known = Vec::new();
        for _ in 0..4 {
            estimate.update(10, validation());
            estimate.count(10, training());
            known.push((estimate.rate(1000), estimate.at_least(1000)));
        }
        assert_eq!(known[0], (0.0, 0.0));
        for &(rate, at_least) in &known[1..] {
            assert!((rate - 0.4 / 0.9).abs() < 1e-9 && at_least > 0.3 && at_least < rate, "{known:?}");
        }
        assert!(known[3].1 > known[1].1, "{known:?}");
        let noise = LabelNoise::new(known[3], (&vec![vec![0.1; 30]; 10], &[100.0; 10]), Device::Cpu).unwrap();
        let weight = noise.weights_on_cpu(&Tensor::from_slice(&[0.0_f32]), [0].into_iter()).unwrap();
        let trusted = (1.0 - known[3].0) / (1.0 - known[3].0 + known[3].0 / 10.0);
        assert!((weight.double_value(&[0]) - trusted / (1.0 - known[3].1)).abs() < 1e-6);
    }

    #[test]
    fn a_class_that_the_model_does_not_know_is_not_taken_for_wrong() {
        // Of the second class, not even validation samples are recognised: their losses are about 8.
        let sorted = [vec![0.1; 40], (0..40).map(|at| 7.0 + at as f32 / 20.0).collect()];
        let (losses, labels) = ([0.1_f32, 8.0, 8.0, 12.0], [0_i64, 0, 1, 1]);
        let trust = |counts: [f64; 2]| {
            let noise = LabelNoise::new((0.4, 0.3), (&sorted, &counts), Device::Cpu).unwrap();
            noise.trust(&losses, &classes(&labels, 2), 1.0)
        };
        let alike = trust([40.0, 40.0]);
        assert!(alike[0] > 0.7 && alike[1] < 0.01, "{alike:?}");
        assert!(alike[2] > 0.5 && alike[3] < 0.1, "{alike:?}");
        // Where one of twenty samples is of that class, most of its labels are wrong ones.
        let rare = trust([760.0, 40.0]);
        assert!(rare[2] < 0.2 && rare[2] > 0.05, "{rare:?}");
    }
}
