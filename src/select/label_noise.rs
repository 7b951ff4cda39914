//! Wrong labels: what share of the training labels they are, and how likely a label is right.

use tch::{Device, Kind, Tensor};

use super::LastLayer;
use crate::error::Result;

/// Labels of which a share is wrong.
#[derive(Debug)]
pub(super) struct LabelNoise {
    /// The share of the labels that are drawn from all classes alike.
    rate: f64,
    n_classes: usize,
    /// By what the model's probability for a label of each class is multiplied, `f32 [C]`, 1 or more; `None` where all are 1.
    leniency: Option<Tensor>,
}

/// This share of a class's validation samples, the best recognised ones, are to be taken for right at least as likely as not.
const TO_BE_TRUSTED: f64 = 0.75;

impl LabelNoise {
    /// A share `rate` of labels is wrong. `sorted` are the validation losses of each class, ascending: where the model knows a
    /// class so badly that it would take even validation samples of it for wrong, more is believed to be right.
    pub(super) fn new(rate: f64, sorted: &[Vec<f32>], device: Device) -> Result<Self> {
        let n_classes = sorted.len();
        let odds = rate / n_classes.max(1) as f64 / (1.0 - rate);
        let of_class = |losses: &Vec<f32>| {
            let at = (losses.len() as f64 * TO_BE_TRUSTED) as usize;
            let loss = losses.get(at.min(losses.len().saturating_sub(1))).copied().unwrap_or(0.0);
            (odds * f64::from(loss).exp()).clamp(1.0, 1e12) as f32
        };
        let leniency: Vec<f32> = sorted.iter().map(of_class).collect();
        let leniency = if leniency.iter().all(|&times| times == 1.0) {
            None
        } else {
            Some(Tensor::f_from_slice(&leniency)?.f_to_device(device)?)
        };
        Ok(Self { rate, n_classes, leniency })
    }

    /// The chance that each label is right, `f32 [B]`: `losses`, `f32 [B]`, are the cross-entropies against `labels`,
    /// `i64 [B]`.
    pub(super) fn trust(&self, losses: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let mut right = losses.f_neg()?.f_exp_()?;
        if let Some(leniency) = &self.leniency {
            right *= leniency.f_index_select(0, labels)?;
        }
        let as_likely = self.rate / self.n_classes as f64 / (1.0 - self.rate);
        Ok(&right / (&right + as_likely))
    }

    /// By what a loss counts at the step, `f32 [B]`: by the chance that its label is right, in units of the share of labels that
    /// are, so that steps are as long as if all labels were right. On the CPU in one pass, as an operator of libtorch takes longer
    /// than a batch of numbers.
    pub(super) fn weights(&self, losses: &Tensor, labels: &Tensor) -> Result<Tensor> {
        if losses.device() != Device::Cpu {
            return Ok(self.trust(losses, labels)?.f_div_scalar_(1.0 - self.rate)?);
        }
        let leniency = self.leniency.as_ref().map(Vec::<f32>::try_from).transpose()?;
        let leniency = |label: i64| leniency.as_ref().map_or(1.0, |times| times[label as usize]);
        let as_likely = (self.rate / self.n_classes as f64 / (1.0 - self.rate)) as f32;
        let weights: Vec<f32> = Vec::<f32>::try_from(losses)?
            .into_iter()
            .zip(Vec::<i64>::try_from(labels)?)
            .map(|(loss, label)| {
                let right = (-loss).exp() * leniency(label);
                right / ((right + as_likely) * (1.0 - self.rate as f32))
            })
            .collect();
        Ok(Tensor::f_from_slice(&weights)?)
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

    /// Counts the samples with classes `labels`, `i64 [B]`, and `logits`, `f32 [B, C]`, of which `counts` is true.
    fn add(&mut self, logits: &Tensor, labels: &Tensor, counts: impl Fn(usize) -> bool) -> Result<()> {
        let n_classes = self.labelled.len();
        let logits = Vec::<f32>::try_from(logits.f_to_device(Device::Cpu)?.f_reshape([-1])?)?;
        let labels = Vec::<i64>::try_from(labels.f_to_device(Device::Cpu)?)?;
        for ((at, of_sample), label) in logits.chunks_exact(n_classes.max(1)).enumerate().zip(labels) {
            let (Ok(label), true) = (usize::try_from(label), counts(at)) else { continue };
            let highest =
                (0..n_classes).max_by(|&a, &b| of_sample[a].total_cmp(&of_sample[b]).then(b.cmp(&a)));
            let taken_for = highest.unwrap_or(0);
            self.taken_for[taken_for] += 1.0;
            if let Some(labelled) = self.labelled.get_mut(label) {
                *labelled += 1.0;
                self.recognised[label] += f64::from(u8::from(taken_for == label));
            }
        }
        Ok(())
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

    /// Counts samples with classes `labels`, `i64 [B]`, of which training saw `logits`, `f32 [B, C]`, and `n_met` says how often
    /// it had met them before, `f32 [B]`.
    pub(super) fn count(&mut self, n_met: &Tensor, logits: &Tensor, labels: &Tensor) -> Result<()> {
        let n_met = Vec::<f32>::try_from(n_met.f_to_device(Device::Cpu)?)?;
        let n_classes = logits.size()[1] as usize;
        // What came from a checkpoint of another model does not count.
        let fitting = self.first_met.take().filter(|counts| counts.labelled.len() == n_classes);
        let counts = self.first_met.insert(fitting.unwrap_or_else(|| Counts::new(n_classes)));
        counts.add(logits, labels, |at| n_met[at] == 0.0)
    }

    /// Takes in what the model sees of the validation set behind an epoch.
    ///
    /// A label that is wrong is recognised only as often as its class is taken for anything: of the labels c,
    /// (1 − ρ)·recall(c) + ρ·share(c) are. Recalls are the mean of those before and behind the epoch, in which the samples were
    /// met.
    pub(super) fn update(&mut self, validation: &LastLayer) -> Result<()> {
        let n_classes = validation.logits.size()[1] as usize;
        let mut seen = Counts::new(n_classes);
        seen.add(&validation.logits, &validation.labels, |_| true)?;
        let share = |counts: &Counts, class: usize| counts.taken_for[class] / counts.n().max(1.0);
        let recalls: Vec<f64> =
            (0..n_classes).map(|class| seen.recognised[class] / seen.labelled[class].max(1.0)).collect();
        self.competence = seen.sum(|class| recalls[class] - share(&seen, class)) / seen.n().max(1.0);
        let before = self.recalls_before.replace(recalls.clone());
        let (Some(first_met), Some(before)) = (self.first_met.take(), before) else { return Ok(()) };
        if first_met.labelled.len() != n_classes || before.len() != n_classes {
            return Ok(());
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
        Ok(())
    }

    /// The share of the training labels that are wrong, each class as likely as the other; 0 where so few are missing that it
    /// may be chance: less than three standard errors with `n_validation` validation samples.
    pub(super) fn rate(&self, n_validation: usize) -> f64 {
        let [missing, possible, n] = self.sums;
        if possible <= 0.0 || n_validation == 0 {
            return 0.0;
        }
        let rate = missing / possible;
        // Of a share, p(1 − p) is 1/4 at most. The validation set is the same in all epochs, the samples are not.
        let error = 0.5 * (possible + n * n / n_validation as f64).sqrt() / possible;
        if rate < LEAST.max(3.0 * error) { 0.0 } else { rate.min(MOST) }
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
        Ok(Some(Self { recalls_before: values(RECALLS)?, first_met, sums, competence: 1.0 }))
    }
}

#[cfg(test)]
mod tests {
    use tch::Reduction;

    use super::*;

    #[test]
    fn a_step_by_trust_is_a_step_on_the_corrected_loss() {
        let noise = LabelNoise::new(0.3, &vec![vec![0.1; 30]; 4], Device::Cpu).unwrap();
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
        });
        let weighed = gradient(&|logits| {
            let losses = logits.cross_entropy_loss::<&Tensor>(&labels, None, Reduction::None, -100, 0.0);
            let weights = noise.weights(&losses.detach(), &labels).unwrap();
            (losses * weights).mean(Kind::Float)
        });
        assert!((corrected / 0.7 - weighed).abs().max().double_value(&[]) < 1e-6);
        let trust = noise.trust(&Tensor::from_slice(&[2.0_f32, f32::NAN]), &labels.narrow(0, 0, 2)).unwrap();
        let right = 0.7 * (-2.0_f64).exp();
        assert!((trust.double_value(&[0]) - right / (right + 0.075)).abs() < 1e-6);
        assert!(trust.double_value(&[1]).is_nan());
    }

    #[test]
    fn a_class_that_the_model_does_not_know_is_not_taken_for_wrong() {
        // Of the second class, not even validation samples are recognised: their losses are about 8.
        let sorted = [vec![0.1; 40], (0..40).map(|at| 7.0 + at as f32 / 20.0).collect()];
        let noise = LabelNoise::new(0.4, &sorted, Device::Cpu).unwrap();
        let (losses, labels) =
            (Tensor::from_slice(&[0.1_f32, 8.0, 8.0, 12.0]), Tensor::from_slice(&[0_i64, 0, 1, 1]));
        let trust = noise.trust(&losses, &labels).unwrap();
        let weights = noise.weights(&losses, &labels).unwrap();
        assert!((weights * 0.6 - &trust).abs().max().double_value(&[]) < 1e-6);
        let trust = Vec::<f32>::try_from(trust).unwrap();
        assert!(trust[0] > 0.7 && trust[1] < 0.01, "{trust:?}");
        assert!(trust[2] > 0.5 && trust[3] < 0.1, "{trust:?}");
    }
}
