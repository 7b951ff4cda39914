//! What training has seen of each sample the last time it met it: its loss, and what its gradient would do for the validation
//! loss. Strategies that draw by it need no pass over the training set.

use tch::{Device, Kind, Reduction, Tensor};

use super::label_noise::{LabelNoise, NoiseEstimate};
use super::{LastLayer, Loss};
use crate::error::{Error, Result};

/// What training has learnt of the samples of its training set: evidence for one who looks for wrong labels. A sample whose
/// gain stays below 0 pulls the model away from the validation set.
#[derive(Debug)]
pub struct Evidence {
    /// How often each sample was trained on, `i64 [N]`.
    pub times_met: Tensor,
    /// Its loss when it was last met, in nats (a regression's in squared units of its target), `f32 [N]`; NaN if never.
    pub loss: Tensor,
    /// Its gain when it was last met, `f32 [N]`: the product of its last-layer gradient with that of the validation loss
    /// before the epoch, which to first order is what a step of size 1 on it takes off the validation loss, as in GLISTER. NaN
    /// where none is known.
    pub gain: Tensor,
    /// The mean of its gains, `f32 [N]`; NaN where none is known.
    pub mean_gain: Tensor,
    /// The share of wrong labels as estimated, in [0, 1].
    pub noise_rate: f64,
}

/// O(N) memory, whatever the model.
#[derive(Debug)]
pub(super) struct History {
    /// The loss when last met, `f32 [N]`; NaN if never.
    losses: Tensor,
    /// The epoch in which that was, counted from 0, `f32 [N]`; −1 if never.
    epochs: Tensor,
    /// How often it was met, `f32 [N]`.
    times: Tensor,
    /// The gain when last met, `f32 [N]`; NaN where none was known.
    gains: Tensor,
    /// All its gains added, and how many these were, `f32 [N]`.
    gain_sums: Tensor,
    gain_times: Tensor,
    /// Where its loss stood among the validation losses of that time, in [0, 1], `f32 [N]`; NaN where that is not known.
    ranks: Tensor,
    /// The validation losses before the epoch that is under way, `f32 [V]`, in the order of the samples.
    before: Option<Tensor>,
    /// The same by class, ascending; not kept in checkpoints.
    sorted_before: Option<Vec<Vec<f32>>>,
    /// What is known of wrong labels.
    pub(super) noise: NoiseEstimate,
    /// The gradient there; not kept in checkpoints, as each epoch begins with a new one.
    gradient: Option<Gradient>,
    /// Batches that were handed in and not yet looked at: many small tensors cost more than a large one.
    pending: Vec<Pending>,
}

/// What training saw of one batch, and in which epoch.
#[derive(Debug)]
struct Pending {
    indices: Tensor, // i64 [B]
    seen: LastLayer,
    epoch: u64,
}

/// Samples that may be pending.
const MOST_PENDING: i64 = 8192;

/// The last layer's mean gradient over the validation set.
#[derive(Debug)]
struct Gradient {
    weights: Tensor, // f32 [C, D]
    biases: Tensor,  // f32 [C]
}

const NAMES: [&str; 7] = [
    "history.losses",
    "history.epochs",
    "history.times",
    "history.gains",
    "history.gain_sums",
    "history.gain_times",
    "history.ranks",
];

const BEFORE: &str = "history.before";
/// The class of each sample of a set; all in one where labels are no classes.
#[derive(Debug)]
pub(super) struct Classes {
    labels: Option<Vec<u32>>,
    /// How many classes are told apart.
    pub(super) n: usize,
}

impl Classes {
    /// By labels `i64 [N]` in 0..`n_classes`, or targets of a regression.
    pub(super) fn new(labels: &Tensor, n_classes: usize) -> Result<Self> {
        if labels.f_kind()? != Kind::Int64 {
            return Ok(Self { labels: None, n: 1 });
        }
        if labels.numel() > 0 {
            let (low, high) = labels.f_aminmax(None, false)?;
            for label in [low.f_int64_value(&[])?, high.f_int64_value(&[])?] {
                if !(0..n_classes as i64).contains(&label) {
                    return Err(Error::argument("labels", format!("0 to {}", n_classes as i64 - 1), label));
                }
            }
        }
        let labels = Vec::<i64>::try_from(labels.f_to_device(Device::Cpu)?)?;
        Ok(Self { labels: Some(labels.into_iter().map(|label| label as u32).collect()), n: n_classes })
    }

    /// The class of the sample at `at`.
    pub(super) fn of(&self, at: usize) -> usize {
        self.labels.as_ref().map_or(0, |labels| labels[at] as usize)
    }

    /// How many samples each class has.
    pub(super) fn counts(&self) -> Vec<f64> {
        let mut counts = vec![0.0; self.n];
        self.labels.iter().flatten().for_each(|&label| counts[label as usize] += 1.0);
        counts
    }

    /// The values of each class's samples, ascending; those of all for a class that has fewer than [`FEW`].
    pub(super) fn sorted(&self, values: &[f32]) -> Vec<Vec<f32>> {
        let mut parts = vec![Vec::new(); self.n];
        for (at, &value) in values.iter().enumerate() {
            parts[self.of(at)].push(value);
        }
        for part in parts.iter_mut().filter(|part| part.len() < FEW) {
            *part = values.to_vec();
        }
        parts.iter_mut().for_each(|part| part.sort_unstable_by(f32::total_cmp));
        parts
    }
}

/// Fewer validation samples of a class than this rank nothing.
const FEW: usize = 20;

/// The loss of each sample, `f32 [N]`: cross-entropy against its class, or the squared error against its target.
pub(super) fn losses(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let logits = logits.f_detach()?.f_to_kind(Kind::Float)?;
    if labels.f_kind()? == Kind::Int64 {
        return Ok(logits.f_cross_entropy_loss::<&Tensor>(labels, None, Reduction::None, -100, 0.0)?);
    }
    let n = labels.size()[0];
    let of_outputs = logits.f_reshape([n, -1])?.f_mse_loss(&labels.f_reshape([n, -1])?, Reduction::None)?;
    Ok(of_outputs.f_sum_dim_intlist(1, false, Kind::Float)?)
}

/// The derivative of each sample's loss by its logits, `f32 [N, C]`.
fn residuals(seen: &LastLayer) -> Result<Tensor> {
    Loss::of_labels(&seen.labels).residuals(seen, tch::get_num_threads().max(1) as usize)
}

impl History {
    /// Nothing of `n` samples yet.
    pub(super) fn new(n: i64, device: Device) -> Result<Self> {
        let full = |value: f64| Tensor::f_full([n], value, (Kind::Float, device));
        Ok(Self {
            losses: full(f64::NAN)?,
            epochs: full(-1.0)?,
            times: full(0.0)?,
            gains: full(f64::NAN)?,
            gain_sums: full(0.0)?,
            gain_times: full(0.0)?,
            ranks: full(f64::NAN)?,
            before: None,
            sorted_before: None,
            noise: NoiseEstimate::new(),
            gradient: None,
            pending: Vec::new(),
        })
    }

    /// Notes the samples at `indices`, `i64 [B]`, as the model saw them in `epoch`. Looked at are they when enough have come
    /// together, or by [`History::take_in`].
    pub(super) fn note(&mut self, indices: &Tensor, seen: LastLayer, epoch: u64) -> Result<()> {
        self.pending.push(Pending { indices: indices.shallow_clone(), seen, epoch });
        let n_pending: i64 = self.pending.iter().map(|one| one.indices.size()[0]).sum();
        if n_pending > MOST_PENDING { self.take_in() } else { Ok(()) }
    }

    /// Looks at what was noted.
    pub(super) fn take_in(&mut self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let pending = std::mem::take(&mut self.pending);
        for of_epoch in pending.chunk_by(|a, b| a.epoch == b.epoch) {
            let indices: Vec<&Tensor> = of_epoch.iter().map(|one| &one.indices).collect();
            let indices = Tensor::f_cat(&indices, 0)?;
            let seen = LastLayer::cat(of_epoch.iter().map(|one| &one.seen));
            let seen = LastLayer {
                features: seen.features.f_to_kind(Kind::Float)?,
                logits: seen.logits.f_to_kind(Kind::Float)?,
                ..seen
            };
            let _ = self.losses.f_index_copy_(0, &indices, &losses(&seen.logits, &seen.labels)?)?;
            let _ = self.epochs.f_index_fill_(0, &indices, of_epoch[0].epoch as f64)?;
            if seen.labels.kind() == Kind::Int64 {
                let n_met = self.times.f_index_select(0, &indices)?;
                self.noise.count(&n_met, &seen.logits, &seen.labels)?;
            }
            let ones = Tensor::f_ones([indices.size()[0]], (Kind::Float, indices.device()))?;
            let _ = self.times.f_index_add_(0, &indices, &ones)?;
            if let Some(gradient) = &self.gradient {
                let towards = gradient.biases.f_addmm(&seen.features, &gradient.weights.f_tr()?)?; // [N, C]
                let gains = (residuals(&seen)? * towards).f_sum_dim_intlist(1, false, Kind::Float)?;
                let _ = self.gains.f_index_copy_(0, &indices, &gains)?;
                let _ = self.gain_sums.f_index_add_(0, &indices, &gains)?;
                let _ = self.gain_times.f_index_add_(0, &indices, &ones)?;
            }
        }
        Ok(())
    }

    /// Takes in what the model sees of the validation set behind `epoch`: the samples met in that epoch get the rank of their
    /// loss among the losses of `validation_classes` before and behind it, and the gains of the next epoch are those against
    /// this gradient. In the first epoch a model changes so fast that its losses rank nowhere: its samples count as not met. Returns
    /// the validation losses of each class, ascending.
    pub(super) fn judge(
        &mut self,
        validation: &LastLayer,
        validation_losses: &[f32],
        (classes, validation_classes): (&Classes, &Classes),
        epoch: u64,
    ) -> Result<Vec<Vec<f32>>> {
        self.take_in()?;
        let _no_grad = tch::no_grad_guard();
        let sorted = validation_classes.sorted(validation_losses);
        let before = match (self.sorted_before.take(), self.before.take()) {
            (None, Some(before)) => {
                let before = Vec::<f32>::try_from(before.f_to_device(Device::Cpu)?)?;
                (before.len() == validation_losses.len()).then(|| validation_classes.sorted(&before))
            }
            (before, _) => before,
        };
        let (losses, epochs) = (self.losses()?, Vec::<f32>::try_from(self.epochs.f_to_device(Device::Cpu)?)?);
        let mut ranks = self.ranks()?;
        for (at, &loss) in losses.iter().enumerate().filter(|&(at, _)| epochs[at] == epoch as f32) {
            ranks[at] = before.as_ref().map_or(f32::NAN, |before| {
                let like = [&before[classes.of(at)], &sorted[classes.of(at)]];
                let below = like.map(|losses| losses.partition_point(|&one| one < loss));
                (below[0] + below[1]) as f32 / like.map(Vec::len).iter().sum::<usize>().max(1) as f32
            });
        }
        let device = self.losses.device();
        self.ranks = Tensor::f_from_slice(&ranks)?.f_to_device(device)?;
        self.before = Some(Tensor::f_from_slice(validation_losses)?.f_to_device(device)?);
        if validation.labels.kind() == Kind::Int64 {
            self.noise.update(validation)?;
        }
        let n = validation.logits.size()[0] as f64;
        let residuals = residuals(validation)? / n;
        self.gradient = Some(Gradient {
            weights: residuals.f_tr()?.f_matmul(&validation.features)?,
            biases: residuals.f_sum_dim_intlist(0, false, Kind::Float)?,
        });
        self.sorted_before = Some(sorted.clone());
        Ok(sorted)
    }

    /// The share of the training labels that are wrong: [`NoiseEstimate::rate`].
    pub(super) fn noise_rate(&self) -> f64 {
        self.noise.rate(self.before.as_ref().map_or(0, Tensor::numel))
    }

    /// The rank of each sample's loss when it was last met, NaN where that is not known.
    pub(super) fn ranks(&self) -> Result<Vec<f32>> {
        Ok(Vec::try_from(self.ranks.f_to_device(Device::Cpu)?)?)
    }

    /// How many epochs ago each sample was met, before the epoch `number`, counted from 0; `number` + 1 if never.
    pub(super) fn ages(&self, number: u64) -> Result<Vec<f32>> {
        Ok(Vec::try_from((self.epochs.f_neg()? + number as f64).f_to_device(Device::Cpu)?)?)
    }

    /// The loss of each sample when it was last met, NaN if never.
    pub(super) fn losses(&self) -> Result<Vec<f32>> {
        Ok(Vec::try_from(self.losses.f_to_device(Device::Cpu)?)?)
    }

    /// The chance that each sample's label, one of `labels`, `i64 [N]`, is right, to the power of `power`, by its loss when it
    /// was last met; NaN if never.
    pub(super) fn trust(&self, noise: &LabelNoise, labels: &Tensor, power: f64) -> Result<Vec<f32>> {
        let _no_grad = tch::no_grad_guard();
        let trust = noise.trust(&self.losses, labels)?.f_pow_(power)?;
        Ok(Vec::try_from(trust.f_to_device(Device::Cpu)?)?)
    }

    /// The gains, `f32 [k]`, of the samples at `indices`, `i64 [k]`, when they were last met; NaN where none is known.
    pub(super) fn gains_of(&self, indices: &Tensor) -> Result<Tensor> {
        Ok(self.gains.f_index_select(0, indices)?)
    }

    /// What is known of each sample, for one who looks for wrong labels.
    pub(super) fn evidence(&self) -> Result<Evidence> {
        let copy = |tensor: &Tensor| Ok::<Tensor, Error>(tensor.f_to_device(Device::Cpu)?.copy());
        Ok(Evidence {
            times_met: copy(&self.times.f_to_kind(Kind::Int64)?)?,
            loss: copy(&self.losses)?,
            gain: copy(&self.gains)?,
            // 0/0, where none was known, is NaN.
            mean_gain: copy(&(&self.gain_sums / &self.gain_times))?,
            noise_rate: self.noise_rate(),
        })
    }

    /// How many bytes the history takes.
    pub(super) fn n_bytes(&self) -> usize {
        4 * (7 * self.losses.numel() + self.before.as_ref().map_or(0, Tensor::numel))
    }

    fn by_sample(&self) -> [&Tensor; 7] {
        let Self { losses, epochs, times, gains, gain_sums, gain_times, ranks, .. } = self;
        [losses, epochs, times, gains, gain_sums, gain_times, ranks]
    }

    /// All of it as tensors by name, for a checkpoint.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&'static str, Tensor)> + '_ {
        let by_sample = NAMES.into_iter().zip(self.by_sample().map(Tensor::shallow_clone));
        let before = self.before.as_ref().map(|before| (BEFORE, before.shallow_clone()));
        by_sample.chain(before).chain(self.noise.tensors())
    }

    /// What [`History::tensors`] gave, put on `device`; `None` if it is not that of `n` samples.
    pub(super) fn from_tensors(
        take: impl Fn(&str) -> Option<Tensor>,
        n: i64,
        device: Device,
    ) -> Result<Option<Self>> {
        let mut history = Self::new(n, device)?;
        let Self { losses, epochs, times, gains, gain_sums, gain_times, ranks, .. } = &mut history;
        for (name, place) in
            NAMES.into_iter().zip([losses, epochs, times, gains, gain_sums, gain_times, ranks])
        {
            let Some(tensor) =
                take(name).filter(|tensor| tensor.size() == [n] && tensor.kind() == Kind::Float)
            else {
                return Ok(None);
            };
            *place = tensor.f_to_device(device)?;
        }
        history.before = take(BEFORE).map(|before| before.f_to_device(device)).transpose()?;
        let Some(noise) = NoiseEstimate::from_tensors(take)? else { return Ok(None) };
        history.noise = noise;
        Ok(Some(history))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a model sees that gives three of four samples their class of two, and of every third label another one.
    fn seen(n: i64, wrong: i64) -> LastLayer {
        let truth: Vec<i64> = (0..n).map(|at| at % 2).collect();
        let logits: Vec<f32> = (0..n)
            .flat_map(|at| {
                let taken_for = if at % 8 < 6 { truth[at as usize] } else { 1 - truth[at as usize] };
                [if taken_for == 0 { 2.0 } else { -2.0 }, 0.0]
            })
            .collect();
        let labels: Vec<i64> = (0..n)
            .map(|at| if wrong > 0 && at % wrong == 0 { 1 - truth[at as usize] } else { truth[at as usize] })
            .collect();
        LastLayer {
            features: Tensor::ones([n, 3], (Kind::Float, Device::Cpu)),
            logits: Tensor::from_slice(&logits).view([n, 2]),
            labels: Tensor::from_slice(&labels),
        }
    }

    #[test]
    fn a_history_taken_up_from_a_checkpoint_estimates_what_it_would_have() {
        let (n, validation) = (1200, seen(400, 0));
        let all = seen(n, 3);
        let classes = Classes::new(&all.labels, 2).unwrap();
        let validation_classes = Classes::new(&validation.labels, 2).unwrap();
        let validation_losses =
            Vec::<f32>::try_from(losses(&validation.logits, &validation.labels).unwrap()).unwrap();
        let judge = |history: &mut History, epoch| {
            history.judge(&validation, &validation_losses, (&classes, &validation_classes), epoch).unwrap();
        };
        let note = |history: &mut History, from: i64, epoch| {
            let indices = Tensor::arange_start(from, from + 600, (Kind::Int64, Device::Cpu));
            history.note(&indices, all.select(&indices), epoch).unwrap();
            history.take_in().unwrap();
        };
        let mut history = History::new(n, Device::Cpu).unwrap();
        note(&mut history, 0, 0);
        judge(&mut history, 0);
        note(&mut history, 600, 1);
        let kept: Vec<(&str, Tensor)> =
            history.tensors().map(|(name, tensor)| (name, tensor.copy())).collect();
        let take =
            |name: &str| kept.iter().find(|(known, _)| *known == name).map(|(_, tensor)| tensor.copy());
        let mut taken_up = History::from_tensors(take, n, Device::Cpu).unwrap().unwrap();
        for history in [&mut history, &mut taken_up] {
            judge(history, 1);
            // Of two classes, every third label exchanged is as if two thirds were drawn anew.
            let rate = history.noise_rate();
            assert!((rate - 2.0 / 3.0).abs() < 0.01, "{rate}");
        }
        assert_eq!(history.ranks().unwrap()[600..], taken_up.ranks().unwrap()[600..]);
    }
}
