//! What training has seen of each sample the last time it met it: its loss, and what its gradient would do for the validation
//! loss. Strategies that draw by it need no pass over the training set.
//!
//! It is on the host, whatever the device: what is done with it is a few numbers of a sample. Batches of classes on the CPU are
//! looked at one by one, in single passes; others many at a time, by operators of libtorch.

use tch::{Device, Kind, Tensor, kind::Element};

use super::LastLayer;
use super::chances::N_RANKS;
use super::classes::Classes;
use super::label_noise::NoiseEstimate;
use super::look::{Gradient, Look};
use crate::error::{Error, Result};

/// What training has learnt of the samples of its training set: evidence for one who looks for wrong labels. A sample whose
/// gain stays below 0 pulls the model away from the validation set.
#[derive(Debug)]
pub struct Evidence {
    /// How often each sample was trained on, `i64 [N]`.
    pub times_met: Tensor,
    /// Its loss when it was last met, in nats (a regression's in squared units of its target, which the `Trainer` standardises), `f32 [N]`; NaN if never.
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
    /// The loss when last met; NaN if never.
    losses: Vec<f32>,
    /// The epoch in which that was, counted from 0; −1 if never.
    epochs: Vec<i32>,
    /// How often it was met.
    times: Vec<i32>,
    /// The gain when last met; NaN where none was known.
    gains: Vec<f32>,
    /// All its gains added, and how many these were.
    gain_sums: Vec<f32>,
    gain_times: Vec<i32>,
    /// Where its loss stood among the validation losses of that time, from 0 to below [`N_RANKS`]; that if it is not known.
    ranks: Vec<u8>,
    /// The validation losses before the epoch that is under way, in the order of the samples.
    before: Vec<f32>,
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

const LOSSES: &str = "history.losses";
const EPOCHS: &str = "history.epochs";
const TIMES: &str = "history.times";
const GAINS: &str = "history.gains";
const GAIN_SUMS: &str = "history.gain_sums";
const GAIN_TIMES: &str = "history.gain_times";
const RANKS: &str = "history.ranks";
const BEFORE: &str = "history.before";

impl History {
    /// Nothing of `n` samples yet.
    pub(super) fn new(n: usize) -> Self {
        Self {
            losses: vec![f32::NAN; n],
            epochs: vec![-1; n],
            times: vec![0; n],
            gains: vec![f32::NAN; n],
            gain_sums: vec![0.0; n],
            gain_times: vec![0; n],
            ranks: vec![N_RANKS as u8; n],
            before: Vec::new(),
            sorted_before: None,
            noise: NoiseEstimate::new(),
            gradient: None,
            pending: Vec::new(),
        }
    }

    /// Notes the samples at `indices`, `i64 [B]`, of a training set of these `classes`, as the model saw them in `epoch`:
    /// `features`, `f32 [B, D]`, and `logits`, `f32 [B, C]`, on the CPU.
    pub(super) fn note_on_cpu(
        &mut self,
        indices: &Tensor,
        (features, logits): (&Tensor, &Tensor),
        classes: &Classes,
        epoch: u64,
    ) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let indices = &positions(indices, self.losses.len())?[..];
        let labels: Vec<u32> = indices.iter().map(|&at| classes.labels()[at as usize]).collect();
        let look = Look::on_cpu(logits, &labels)?;
        let gains = self.gradient.as_ref().map(|gradient| look.gains(features, gradient)).transpose()?;
        let n_classes = logits.size()[1] as usize;
        self.noise.count(n_classes, self.first_met(indices, &labels, &look));
        self.set(indices, &look.losses, gains.as_deref(), epoch);
        Ok(())
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
            let indices =
                positions(&Tensor::f_cat(&indices, 0)?.f_to_device(Device::Cpu)?, self.losses.len())?;
            let seen = LastLayer::cat(of_epoch.iter().map(|one| &one.seen));
            let seen = LastLayer {
                features: seen.features.f_to_kind(Kind::Float)?,
                logits: seen.logits.f_to_kind(Kind::Float)?,
                ..seen
            };
            let look = Look::at(&seen)?;
            let gains =
                self.gradient.as_ref().map(|gradient| look.gains(&seen.features, gradient)).transpose()?;
            if seen.labels.kind() == Kind::Int64 {
                let labels = Vec::<i64>::try_from(seen.labels.f_to_device(Device::Cpu)?)?;
                let labels: Vec<u32> = labels.into_iter().map(|label| label as u32).collect();
                let n_classes = seen.logits.size()[1] as usize;
                self.noise.count(n_classes, self.first_met(&indices, &labels, &look));
            }
            self.set(&indices, &look.losses, gains.as_deref(), of_epoch[0].epoch);
        }
        Ok(())
    }

    /// Of the samples at `indices`, of the classes `labels`, those never met before: their classes, and what they are taken for.
    fn first_met(&self, indices: &[i64], labels: &[u32], look: &Look) -> Vec<[u32; 2]> {
        let rows = indices.iter().zip(labels).zip(&look.taken_for);
        rows.filter(|((at, _), _)| self.times[**at as usize] == 0)
            .map(|((_, &label), &taken_for)| [label, taken_for])
            .collect()
    }

    fn set(&mut self, indices: &[i64], losses: &[f32], gains: Option<&[f32]>, epoch: u64) {
        for (row, (&at, &loss)) in indices.iter().zip(losses).enumerate() {
            let at = at as usize;
            self.losses[at] = loss;
            self.epochs[at] = epoch as i32;
            self.times[at] += 1;
            // What is not finite once would be all that is known of it for good.
            if let Some(&gain) = gains.and_then(|gains| gains.get(row)).filter(|gain| gain.is_finite()) {
                self.gains[at] = gain;
                self.gain_sums[at] += gain;
                self.gain_times[at] += 1;
            }
        }
    }

    /// Takes in what the model sees of the validation set behind `epoch`: the samples met in that epoch get the rank of their
    /// loss among the losses of `validation_classes` before and behind it, and the gains of the next epoch are those against
    /// this gradient. In the first epoch a model changes so fast that its losses rank nowhere: its samples count as not met.
    /// Returns the validation losses of each class, ascending.
    pub(super) fn judge(
        &mut self,
        validation: &LastLayer,
        (classes, validation_classes): (&Classes, &Classes),
        epoch: u64,
    ) -> Result<Vec<Vec<f32>>> {
        self.take_in()?;
        let _no_grad = tch::no_grad_guard();
        let (n, n_classes) = (validation_classes.labels().len() as i64, validation_classes.n);
        let size = validation.logits.size();
        if size[0] != n || (validation_classes.are_classes() && size[1] != n_classes as i64) {
            let expected = format!("logits [{n}, {n_classes}]");
            return Err(Error::argument("validation set", expected, format!("{size:?}")));
        }
        let look = if validation_classes.are_classes() && validation.logits.device() == Device::Cpu {
            Look::on_cpu(&validation.logits, validation_classes.labels())?
        } else {
            Look::at(validation)?
        };
        let sorted = validation_classes.sorted(&look.losses);
        let before = self.sorted_before.take().or_else(|| {
            (self.before.len() == look.losses.len()).then(|| validation_classes.sorted(&self.before))
        });
        let limits: Option<Vec<_>> =
            before.map(|before| before.into_iter().zip(&sorted).map(limits_of_ranks).collect());
        let met = self.epochs.iter().zip(&self.losses).zip(classes.labels());
        for (rank, ((&met, &loss), &class)) in self.ranks.iter_mut().zip(met) {
            if met == epoch as i32 {
                *rank = limits.as_ref().map_or(N_RANKS, |limits| {
                    limits[class as usize].iter().map(|&limit| usize::from(limit < loss)).sum()
                }) as u8;
            }
        }
        if validation_classes.are_classes() {
            let seen = validation_classes.labels().iter().zip(&look.taken_for);
            self.noise.update(n_classes, seen.map(|(&label, &taken_for)| [label, taken_for]));
        }
        self.gradient = Some(look.gradient(&validation.features)?);
        self.before = look.losses;
        self.sorted_before = Some(sorted.clone());
        Ok(sorted)
    }

    /// The share of the training labels that are wrong, and what it hardly falls below: [`NoiseEstimate::rate`],
    /// [`NoiseEstimate::at_least`].
    pub(super) fn noise_rate(&self) -> (f64, f64) {
        (self.noise.rate(self.before.len()), self.noise.at_least(self.before.len()))
    }

    /// Where each sample's loss stood among validation losses when it was last met: of [`N_RANKS`], which is for those of which
    /// that is not known.
    pub(super) fn ranks(&self) -> &[u8] {
        &self.ranks
    }

    /// The epoch in which each sample was last met, counted from 0; −1 if never.
    pub(super) fn epochs(&self) -> &[i32] {
        &self.epochs
    }

    /// The loss of each sample when it was last met, NaN if never.
    pub(super) fn losses(&self) -> &[f32] {
        &self.losses
    }

    /// The gains of the samples at `indices` when they were last met; NaN where none is known.
    pub(super) fn gains_of(&self, indices: &[i64]) -> Vec<f32> {
        indices.iter().map(|&at| self.gains[at as usize]).collect()
    }

    /// What is known of each sample, for one who looks for wrong labels.
    pub(super) fn evidence(&self) -> Result<Evidence> {
        // 0/0, where none was known, is NaN.
        let mean_gain: Vec<f32> =
            self.gain_sums.iter().zip(&self.gain_times).map(|(sum, &n)| sum / n as f32).collect();
        Ok(Evidence {
            times_met: Tensor::f_from_slice(&self.times)?.f_to_kind(Kind::Int64)?,
            loss: Tensor::f_from_slice(&self.losses)?,
            gain: Tensor::f_from_slice(&self.gains)?,
            mean_gain: Tensor::f_from_slice(&mean_gain)?,
            noise_rate: self.noise_rate().0,
        })
    }

    /// How many bytes the history takes.
    pub(super) fn n_bytes(&self) -> usize {
        (4 * 6 + 1) * self.losses.len() + 2 * 4 * self.before.len()
    }

    /// All of it as tensors by name, for a checkpoint.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&'static str, Tensor)> + '_ {
        let by_sample = [
            (LOSSES, Tensor::from_slice(&self.losses)),
            (EPOCHS, Tensor::from_slice(&self.epochs)),
            (TIMES, Tensor::from_slice(&self.times)),
            (GAINS, Tensor::from_slice(&self.gains)),
            (GAIN_SUMS, Tensor::from_slice(&self.gain_sums)),
            (GAIN_TIMES, Tensor::from_slice(&self.gain_times)),
            (RANKS, Tensor::from_slice(&self.ranks)),
        ];
        let before = (!self.before.is_empty()).then(|| (BEFORE, Tensor::from_slice(&self.before)));
        by_sample.into_iter().chain(before).chain(self.noise.tensors())
    }

    /// What [`History::tensors`] gave; `None` if it is not that of `n` samples.
    pub(super) fn from_tensors(take: impl Fn(&str) -> Option<Tensor>, n: usize) -> Result<Option<Self>> {
        let (Some(losses), Some(epochs), Some(times), Some(gains)) = (
            numbers(&take, LOSSES)?,
            numbers(&take, EPOCHS)?,
            numbers(&take, TIMES)?,
            numbers(&take, GAINS)?,
        ) else {
            return Ok(None);
        };
        let (Some(gain_sums), Some(gain_times), Some(ranks)) =
            (numbers(&take, GAIN_SUMS)?, numbers(&take, GAIN_TIMES)?, numbers::<u8>(&take, RANKS)?)
        else {
            return Ok(None);
        };
        let Some(noise) = NoiseEstimate::from_tensors(&take)? else { return Ok(None) };
        let before = numbers(&take, BEFORE)?.unwrap_or_default();
        let of_all = [&losses, &gains, &gain_sums].iter().all(|values| values.len() == n)
            && [&epochs, &times, &gain_times].iter().all(|values| values.len() == n)
            && ranks.len() == n;
        let can_be = ranks.iter().all(|&rank| usize::from(rank) <= N_RANKS)
            && epochs.iter().all(|&epoch| (-1..i32::MAX).contains(&epoch))
            && [&times, &gain_times].iter().all(|n_times| n_times.iter().all(|n| (0..i32::MAX).contains(n)));
        let history = || Self {
            losses,
            epochs,
            times,
            gains,
            gain_sums,
            gain_times,
            ranks,
            before,
            sorted_before: None,
            noise,
            gradient: None,
            pending: Vec::new(),
        };
        Ok((of_all && can_be).then(history))
    }
}

/// The positions `indices`, `i64 [B]` on the CPU, of samples of `n`.
pub(super) fn positions(indices: &Tensor, n: usize) -> Result<Vec<i64>> {
    let positions = Vec::<i64>::try_from(indices)?;
    match positions.iter().find(|&at| !(0..n as i64).contains(at)) {
        Some(at) => Err(Error::argument("indices", format!("positions from 0 to {}", n as i64 - 1), at)),
        None => Ok(positions),
    }
}

/// The numbers of the tensor `name`; `None` if there is none, or one of another kind or shape.
fn numbers<T: Element>(take: &impl Fn(&str) -> Option<Tensor>, name: &str) -> Result<Option<Vec<T>>>
where
    Vec<T>: TryFrom<Tensor, Error = tch::TchError>,
{
    let tensor = take(name).filter(|tensor| tensor.kind() == T::KIND && tensor.dim() == 1);
    Ok(tensor.map(|tensor| Vec::try_from(tensor.f_to_device(Device::Cpu)?)).transpose()?)
}

/// The losses above which a loss has rank 1, 2 and so on: as many of the validation losses `before` and `behind`, both ascending,
/// are between two of them as between others.
fn limits_of_ranks((mut before, behind): (Vec<f32>, &Vec<f32>)) -> Vec<f32> {
    before.extend_from_slice(behind);
    // Two runs in order: merging them is one pass.
    before.sort_by(f32::total_cmp);
    let n = before.len();
    (1..N_RANKS).filter_map(|rank| before.get((rank * n).div_ceil(N_RANKS).max(1) - 1).copied()).collect()
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
    fn ranks_part_validation_losses_evenly() {
        let before: Vec<f32> = (0..40).map(|at| at as f32).collect();
        let behind: Vec<f32> = (0..40).map(|at| at as f32 + 0.5).collect();
        let limits = limits_of_ranks((before.clone(), &behind));
        for loss in [-1.0, 0.0, 0.2, 1.9, 2.0, 20.1, 38.4, 39.5, 70.0_f32] {
            // Of all 80 losses, the share that is below.
            let below = before.iter().chain(&behind).filter(|&&one| one < loss).count();
            let rank = limits.iter().filter(|&&limit| limit < loss).count();
            assert_eq!(rank, (below * N_RANKS / 80).min(N_RANKS - 1), "{loss}");
        }
        assert!(limits_of_ranks((Vec::new(), &Vec::new())).is_empty());
    }

    #[test]
    fn a_history_taken_up_from_a_checkpoint_estimates_what_it_would_have() {
        let (n, validation) = (1200, seen(400, 0));
        let all = seen(n, 3);
        let classes = Classes::new("training set", &all.labels, 2).unwrap();
        let validation_classes = Classes::new("validation set", &validation.labels, 2).unwrap();
        let judge = |history: &mut History, epoch| {
            history.judge(&validation, (&classes, &validation_classes), epoch).unwrap();
        };
        let note = |history: &mut History, from: i64, epoch| {
            let indices = Tensor::arange_start(from, from + 600, (Kind::Int64, Device::Cpu));
            history.note(&indices, all.select(&indices), epoch).unwrap();
            history.take_in().unwrap();
        };
        let mut history = History::new(n as usize);
        note(&mut history, 0, 0);
        judge(&mut history, 0);
        note(&mut history, 600, 1);
        let kept: Vec<(&str, Tensor)> =
            history.tensors().map(|(name, tensor)| (name, tensor.copy())).collect();
        let take =
            |name: &str| kept.iter().find(|(known, _)| *known == name).map(|(_, tensor)| tensor.copy());
        let mut taken_up = History::from_tensors(take, n as usize).unwrap().unwrap();
        for history in [&mut history, &mut taken_up] {
            judge(history, 1);
            // Of two classes, every third label exchanged is as if two thirds were drawn anew.
            let (rate, _) = history.noise_rate();
            assert!((rate - 2.0 / 3.0).abs() < 0.01, "{rate}");
        }
        assert_eq!(history.ranks()[600..], taken_up.ranks()[600..]);
    }

    #[test]
    fn batches_looked_at_one_by_one_and_together_leave_the_same() {
        let (n, validation) = (1200, seen(400, 0));
        let all = seen(n, 3);
        let classes = Classes::new("training set", &all.labels, 2).unwrap();
        let validation_classes = Classes::new("validation set", &validation.labels, 2).unwrap();
        let mut histories = [History::new(n as usize), History::new(n as usize)];
        for epoch in 0..3 {
            for from in [0, 200, 400 * epoch] {
                let indices = Tensor::arange_start(from, from + 200, (Kind::Int64, Device::Cpu));
                let part = all.select(&indices);
                let [one, other] = &mut histories;
                one.note_on_cpu(&indices, (&part.features, &part.logits), &classes, epoch as u64).unwrap();
                other.note(&indices, part, epoch as u64).unwrap();
            }
            for history in &mut histories {
                history.judge(&validation, (&classes, &validation_classes), epoch as u64).unwrap();
            }
        }
        let [one, other] = histories.map(|history| {
            let tensors: Vec<(&str, Tensor)> = history.tensors().collect();
            tensors
        });
        assert_eq!(one.len(), other.len());
        for ((name, a), (_, b)) in one.iter().zip(&other) {
            assert!(a.allclose(b, 1e-5, 1e-6, true), "{name}");
        }
        let outside = Tensor::from_slice(&[0_i64, n]);
        let seen = all.select(&Tensor::from_slice(&[0_i64, 1]));
        let mut history = History::new(n as usize);
        let noted = history.note_on_cpu(&outside, (&seen.features, &seen.logits), &classes, 0);
        assert!(noted.unwrap_err().to_string().contains("positions from 0 to 1199"));
    }
}
