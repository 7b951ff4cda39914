//! The strategies by name, with their settings.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Glister, GradMatch, InfoBatch, WeightedDraw};
use crate::error::{Error, Result};

/// How samples are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Strategy {
    /// All of the data, every epoch.
    Full,
    /// GLISTER-ONLINE, chosen anew every `select_every` epochs.
    Glister {
        /// Epochs between two selections; the first is made at the first epoch that trains on a subset.
        select_every: usize,
        /// The selection's own settings.
        glister: Glister,
        /// What a selection looks at.
        looks_at: LooksAt,
    },
    /// A new random subset each epoch: the strongest cheap baseline known.
    FreshRandom,
    /// One random subset for the whole training.
    FixedRandom,
    /// What Glisten advises: [`WeightedDraw`] as it is by default.
    Auto,
    /// A new subset each epoch, drawn by the losses that training has met.
    WeightedDraw(WeightedDraw),
    /// A new random subset each epoch, with fewer of the samples whose loss is low.
    InfoBatch(InfoBatch),
    /// Of a random subset twice the size, the half of each batch whose loss is highest. Jordan, "94 % on CIFAR-10 in 3.29
    /// seconds on a single GPU", 2024, keeps the harder half of each batch in its longest training.
    HardestHalf,
    /// Weighted mini-batches whose gradients match the whole one.
    GradMatch(GradMatch),
}

/// What a GLISTER selection looks at, and so what it costs. By default that is everything: one pass over all training
/// samples and one over all validation samples at each selection, as published.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LooksAt {
    /// Candidates are a random pool of this many times the budget, drawn anew for each selection; 1 or more. `None`: all
    /// training samples.
    pub pool: Option<f64>,
    /// Takes features and logits from what training itself saw of each sample the last time (of older weights, in training
    /// mode, augmented where training augments) instead of a pass over the candidates. Candidates that training has not
    /// met yet have no gain: they get their share of the budget by a random draw, so that each is met in time.
    pub remembered: bool,
    /// How many validation samples are looked at, drawn anew for each selection. `None`: all.
    pub validation_samples: Option<usize>,
}

/// The names that [`Select::named`](super::Select::named) knows.
pub const STRATEGIES: [&str; 9] = [
    "full",
    "auto",
    "glister",
    "fresh-random",
    "fixed-random",
    "weighted-draw",
    "infobatch",
    "hardest-half",
    "grad-match",
];

impl Strategy {
    /// The strategy of this name, with its default settings.
    pub(super) fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "full" => Self::Full,
            "auto" => Self::Auto,
            "glister" => {
                Self::Glister { select_every: 5, glister: Glister::default(), looks_at: LooksAt::default() }
            }
            "fresh-random" => Self::FreshRandom,
            "fixed-random" => Self::FixedRandom,
            "weighted-draw" => Self::WeightedDraw(WeightedDraw::default()),
            "infobatch" => Self::InfoBatch(InfoBatch::default()),
            "hardest-half" => Self::HardestHalf,
            "grad-match" => Self::GradMatch(GradMatch::default()),
            _ => {
                let hint = match crate::error::nearest(name, &STRATEGIES) {
                    Some(near) => format!("; did you mean '{near}'? There are: {}", STRATEGIES.join(", ")),
                    None => format!("; there are: {}", STRATEGIES.join(", ")),
                };
                return Err(Error::NotFound { kind: "strategy", name: name.to_owned(), hint });
            }
        })
    }

    /// The strategy's name, one of [`STRATEGIES`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Auto => "auto",
            Self::Glister { .. } => "glister",
            Self::FreshRandom => "fresh-random",
            Self::FixedRandom => "fixed-random",
            Self::WeightedDraw(_) => "weighted-draw",
            Self::InfoBatch(_) => "infobatch",
            Self::HardestHalf => "hardest-half",
            Self::GradMatch(_) => "grad-match",
        }
    }

    /// Whether a selection is more than a random draw, and known before the epoch begins.
    pub(super) fn chooses(&self) -> bool {
        !matches!(self, Self::Full | Self::FreshRandom | Self::FixedRandom | Self::HardestHalf)
    }

    /// Whether validation samples are looked at to choose.
    pub(super) fn needs_validation(&self) -> bool {
        matches!(self, Self::Glister { .. } | Self::Auto | Self::WeightedDraw(_))
    }

    /// The settings by name, to be kept with a run. A setting that is at its default and changes nothing is left out.
    pub(super) fn options(&self) -> BTreeMap<&'static str, Value> {
        match *self {
            Self::Full | Self::FreshRandom | Self::FixedRandom | Self::HardestHalf => BTreeMap::new(),
            Self::Glister { select_every, glister, looks_at } => {
                let mut options = glister.options();
                options.insert("select_every", select_every.into());
                if let Some(times) = looks_at.pool {
                    options.insert("pool", times.into());
                }
                if looks_at.remembered {
                    options.insert("remembered", true.into());
                }
                if let Some(n) = looks_at.validation_samples {
                    options.insert("validation_samples", n.into());
                }
                options
            }
            Self::Auto => WeightedDraw::default().options(),
            Self::WeightedDraw(draw) => draw.options(),
            Self::InfoBatch(info_batch) => info_batch.options(),
            Self::GradMatch(grad_match) => grad_match.options(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Glister { select_every: 0, .. } => {
                Err(Error::argument("select_every", "1 or more epochs", 0))
            }
            Self::Glister { glister, looks_at, .. } => {
                if let Some(times) = looks_at.pool.filter(|times| !(times.is_finite() && *times >= 1.0)) {
                    return Err(Error::argument("pool", "1 or more times the budget", times));
                }
                if looks_at.validation_samples == Some(0) {
                    return Err(Error::argument("validation_samples", "1 or more", 0));
                }
                glister.check()
            }
            Self::WeightedDraw(draw) => draw.check(),
            Self::InfoBatch(info_batch) => info_batch.check(),
            Self::GradMatch(grad_match) => grad_match.check(),
            Self::Full | Self::FreshRandom | Self::FixedRandom | Self::HardestHalf | Self::Auto => Ok(()),
        }
    }
}
