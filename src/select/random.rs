//! Random subsets: a new one each epoch, or one for the whole training.

use super::Selection;
use super::chooser::Chooser;
use super::loader::Loader;
use crate::data::Normalization;
use crate::error::Result;
use crate::model::Model;

/// The stream of the one draw of [`FixedRandom`].
const FIXED_DRAW: u64 = u64::MAX;

/// A new random subset each epoch.
pub(super) struct FreshRandom;

impl Chooser for FreshRandom {
    fn choose(&self, loader: &mut Loader, _: &dyn Model, _: &Normalization) -> Result<Option<Selection>> {
        // One permutation both chooses and shuffles.
        let drawn = loader.random(loader.n_epochs_begun, loader.train.len() as i64, loader.budget());
        Ok(Some(Selection::drawn(drawn)))
    }

    fn is_shuffled(&self) -> bool {
        true
    }
}

/// One random subset for the whole training.
pub(super) struct FixedRandom;

impl Chooser for FixedRandom {
    fn choose(&self, loader: &mut Loader, _: &dyn Model, _: &Normalization) -> Result<Option<Selection>> {
        if loader.has_chosen() {
            return Ok(None);
        }
        let drawn = loader.random(FIXED_DRAW, loader.train.len() as i64, loader.budget());
        Ok(Some(Selection::drawn(drawn)))
    }
}
