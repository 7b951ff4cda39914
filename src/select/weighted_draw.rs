//! The weighted draw: a new random subset each epoch, in which samples that the model still gets wrong are likelier, and
//! samples of a kind that the validation set does not have are rarer.
//!
//! It goes by the losses that training itself computed when it last met a sample, so that choosing needs no pass over the
//! training set. What makes that sound:
//!
//! - *Stale losses.* A loss is kept as its rank among the validation losses that its class had at the time when it was met, and
//!   read as the validation loss of that rank today.
//! - *Wrong labels.* The share ρ of wrong labels is estimated from the accuracy on samples met for the first time against that
//!   on the validation set ([`NoiseEstimate`](super::label_noise::NoiseEstimate)). A label to which the model gives the
//!   probability p is then right with a chance of (1 − ρ)p / ((1 − ρ)p + ρ/C). By that a sample is the rarer drawn; and at the
//!   step its loss counts by it, which makes the gradient that of −ln((1 − ρ)p + ρ/C), the loss corrected for the noise
//!   (Patrini et al., "Making Deep Neural Networks Robust to Label Noise: A Loss Correction Approach", CVPR 2017), in units of
//!   the share of right labels, so that a step is as long as without noise, or shorter while ρ is uncertain. A class that the
//!   model does not know would be taken for wrong as a whole, and never be learnt: there p is raised until three quarters of its
//!   validation samples would be trusted; in a rare class less, as most of its labels are wrong. What is hard counts for less
//!   the more labels are wrong, and the less the model knows: a high loss then says less of what is still to be learnt. After a
//!   warm start, and with all of the data in each epoch, no sample is met for the first time behind a model that is known: ρ is
//!   taken for 0 then.
//! - *Classes* are drawn as often as they are in the validation set, where the two sets differ by more than chance and wrong
//!   labels explain; where labels are wrong, as often as they would be with as many wrong ones there, which sets right less. What
//!   a class cannot give in number it gives in weight.
//! - *Samples never met* have the mean chance of those met, so that exploring is as likely as it promises to be worth; and
//!   the longer ago a sample was met, the likelier it is drawn.
//!
//! The draw is without replacement, by exponential races (Efraimidis and Spirakis, Inf. Process. Lett. 97(5), 2006): O(N).

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::Selection;
use super::chances::{Chances, Known};
use super::chooser::{Chooser, Remembers};
use super::label_noise::LabelNoise;
use super::loader::Loader;
use crate::data::Normalization;
use crate::error::{Error, Result};
use crate::model::Model;

/// The stream of the draws, beside those of `loader.rs` and `glister_online.rs`.
const DRAWS: u64 = 1 << 60;

/// A model that recognises this much more than chance knows enough to be asked what is hard; for one that recognises less, it
/// counts by the square.
const COMPETENT: f64 = 0.6;

/// How much less hardness and turn count per share of wrong labels.
const NOISE_SHADES: f64 = 1.25;

/// The settings of a weighted draw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeightedDraw {
    /// β: the chance of a sample goes with (loss + `floor` · mean loss)^β. 0: all are alike.
    pub hardness: f64,
    /// What is added to each loss, as a share of the mean loss, so that easy samples are met too.
    pub floor: f64,
    /// γ: the chance of a sample goes with the γ-th power of the chance that its label is right. 0: wrong labels are not held
    /// back.
    pub trust: f64,
    /// α: each sample's loss is weighed by 1 / (its hardness's part of the chance)^α. 1 makes the gradient that of an even draw,
    /// with less variance; 0 lets hard samples count for more.
    pub correction: f64,
    /// ρ: the chance of a sample goes with the ρ-th power of the number of epochs since it was last met. 0: that does not
    /// matter; high: all samples are met in turn.
    pub turn: f64,
    /// Whether the loss of a sample counts at the step by the chance that its label is right.
    pub at_steps: bool,
    /// Whether classes are drawn as often as they are in the validation set.
    pub balance: bool,
    /// The share of the epochs after which hardness counts no longer.
    pub until: f64,
}

impl Default for WeightedDraw {
    /// What the study of strategies is run with: β = 1 with a floor of 0.5, γ = 2, α = 0, ρ = 1.5. Chosen by validation accuracy
    /// on Fashion-MNIST, MNIST and CIFAR-10 with seeds that the study does not use.
    fn default() -> Self {
        Self {
            hardness: 1.0,
            floor: 0.5,
            trust: 2.0,
            correction: 0.0,
            turn: 1.5,
            at_steps: true,
            balance: true,
            until: 1.0,
        }
    }
}

impl WeightedDraw {
    /// The settings by name, to be kept with a run.
    pub(super) fn options(&self) -> BTreeMap<&'static str, serde_json::Value> {
        BTreeMap::from([
            ("draw_hardness", self.hardness.into()),
            ("draw_floor", self.floor.into()),
            ("draw_trust", self.trust.into()),
            ("draw_correction", self.correction.into()),
            ("draw_turn", self.turn.into()),
            ("draw_at_steps", self.at_steps.into()),
            ("draw_balance", self.balance.into()),
            ("draw_until", self.until.into()),
        ])
    }

    pub(super) fn check(&self) -> Result<()> {
        for (name, value, most) in [
            ("hardness", self.hardness, 4.0),
            ("floor", self.floor, 100.0),
            ("trust", self.trust, 8.0),
            ("correction", self.correction, 1.0),
            ("turn", self.turn, 8.0),
            ("until", self.until, 1.0),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(Error::argument(name, format!("a number from 0 to {most}"), value));
            }
        }
        Ok(())
    }
}

impl Chooser for WeightedDraw {
    fn choose(
        &self,
        loader: &mut Loader,
        model: &dyn Model,
        normalization: &Normalization,
    ) -> Result<Option<Selection>> {
        let (n, budget, number) = (loader.train.len() as i64, loader.budget(), loader.n_epochs_begun);
        let Some(last) = number.checked_sub(1).filter(|_| loader.has_history()) else {
            return Ok(Some(Selection::drawn(loader.random(number, n, budget))));
        };
        let validation = loader.validation_now(model, normalization)?;
        let over = loader.n_epochs().is_some_and(|all| number as f64 >= self.until * all as f64);
        loader.tell_classes(&validation.logits)?;
        let mut rng = ChaCha8Rng::seed_from_u64(loader.seed);
        rng.set_stream(DRAWS | number);
        let device = loader.train.device();
        let (Some(history), Some([classes, validation_classes])) = (&mut loader.history, &loader.classes)
        else {
            return Ok(None);
        };
        let sorted = history.judge(&validation, (classes, validation_classes), last)?;
        let (noise_rate, at_least) = history.noise_rate();
        // Where labels are wrong, or the model knows little yet, a high loss says less of what is still to be learnt.
        let sound = (1.0 - NOISE_SHADES * noise_rate).max(0.0);
        let able = (history.noise.competence() / COMPETENT).clamp(0.0, 1.0).powi(2);
        let hardness = if over { 0.0 } else { self.hardness * able * sound };
        let draw = Self { hardness, turn: self.turn * sound, ..*self };
        let noise = if noise_rate > 0.0 {
            let counts = validation_classes.counts();
            Some(LabelNoise::new((noise_rate, at_least), (&sorted, &counts), device)?)
        } else {
            None
        };
        let trust = match &noise {
            Some(noise) => noise.trust(history.losses(), classes, self.trust),
            None => Vec::new(),
        };
        let known = Known {
            ranks: history.ranks(),
            epochs: history.epochs(),
            now: number as i32,
            trust: &trust,
            noise_rate,
            classes: [classes, validation_classes],
            sorted: &sorted,
        };
        let (chosen, weights) = Chances::new(&draw, known).draw(budget as usize, &mut rng);
        let put = |values: &[f32]| Ok::<Tensor, Error>(Tensor::f_from_slice(values)?.f_to_device(device)?);
        let selection = Selection {
            indices: Tensor::f_from_slice(&chosen)?.f_to_device(device)?,
            gains: Some(put(&history.gains_of(&chosen))?),
            weights: weights.map(|weights| put(&weights)).transpose()?,
        };
        loader.noise = noise.filter(|_| self.at_steps);
        Ok(Some(selection))
    }

    fn remembers(&self) -> Remembers {
        Remembers::Losses
    }
}
