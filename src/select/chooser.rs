//! What every strategy is: a way to choose the samples of the epoch that is about to begin.

use super::loader::Loader;
use super::{Selection, Strategy};
use crate::data::Normalization;
use crate::error::Result;
use crate::model::Model;

/// What a strategy wants to know of the samples that training meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remembers {
    Nothing,
    /// Features and logits, O(N·(C + D)) memory.
    LastLayer,
    /// The loss, O(N) memory.
    Losses,
}

/// A strategy. It has no state of its own: what is to be remembered from epoch to epoch is the loader's, which writes it into
/// checkpoints.
pub(super) trait Chooser {
    /// The selection for the epoch that is about to begin; `None` to go on with the last one.
    fn choose(
        &self,
        loader: &mut Loader,
        model: &dyn Model,
        normalization: &Normalization,
    ) -> Result<Option<Selection>>;

    /// Whether what is chosen comes in a random order already, and need not be shuffled.
    fn is_shuffled(&self) -> bool {
        false
    }

    /// What it wants to know of the samples that training meets.
    fn remembers(&self) -> Remembers {
        Remembers::Nothing
    }

    /// Whether it chooses candidates, of which each batch keeps those with the highest loss.
    fn chooses_within_batches(&self) -> bool {
        false
    }
}

impl Strategy {
    /// The strategy at work; `None` for full data, where nothing is chosen.
    pub(super) fn chooser(&self) -> Option<Box<dyn Chooser>> {
        Some(match *self {
            Self::Full => return None,
            Self::FreshRandom => Box::new(super::random::FreshRandom),
            Self::FixedRandom => Box::new(super::random::FixedRandom),
            Self::Glister { select_every, glister, looks_at } => {
                Box::new(super::glister_online::GlisterOnline { select_every, glister, looks_at })
            }
            Self::Auto => Box::new(super::WeightedDraw::default()),
            Self::WeightedDraw(draw) => Box::new(draw),
            Self::InfoBatch(info_batch) => Box::new(info_batch),
            Self::HardestHalf => Box::new(super::hardest::HardestHalf),
            Self::GradMatch(grad_match) => Box::new(grad_match),
        })
    }
}
