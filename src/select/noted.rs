//! What training itself saw of each sample the last time: the cheap mode's stand-in for a pass over the data.

use tch::{Device, Kind, Tensor};

use super::LastLayer;
use crate::error::Result;

/// Features and logits by sample, O(N·(C + D)) memory, and which samples have any.
#[derive(Debug)]
pub(super) struct Noted {
    features: Tensor, // f32 [N, D]
    logits: Tensor,   // f32 [N, C]
    is_seen: Tensor,  // bool [N]
}

impl Noted {
    /// Nothing of `n` samples, in the shapes of the first batch.
    pub(super) fn new(n: i64, features: &Tensor, logits: &Tensor) -> Result<Self> {
        let room = |like: &Tensor| {
            Tensor::f_zeros([n, like.size().last().copied().unwrap_or(0)], (Kind::Float, like.device()))
        };
        Ok(Self {
            features: room(features)?,
            logits: room(logits)?,
            is_seen: Tensor::f_zeros([n], (Kind::Bool, features.device()))?,
        })
    }

    /// Notes what was seen of the samples at `indices`, `i64 [B]`: features `[B, D]` and logits `[B, C]`.
    pub(super) fn note(&mut self, indices: &Tensor, features: &Tensor, logits: &Tensor) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let _ = self.features.f_index_copy_(0, indices, &features.f_detach()?.f_to_kind(Kind::Float)?)?;
        let _ = self.logits.f_index_copy_(0, indices, &logits.f_detach()?.f_to_kind(Kind::Float)?)?;
        let _ = self.is_seen.f_index_fill_(0, indices, 1)?;
        Ok(())
    }

    /// `indices` parted into those seen and those not, each in the order given.
    pub(super) fn part(&self, indices: &Tensor) -> Result<(Tensor, Tensor)> {
        let is_seen = self.is_seen.f_index_select(0, indices)?;
        Ok((indices.f_masked_select(&is_seen)?, indices.f_masked_select(&is_seen.f_logical_not()?)?))
    }

    /// What was seen of the samples at `indices`, whose labels are `labels`.
    pub(super) fn of(&self, indices: &Tensor, labels: &Tensor) -> Result<LastLayer> {
        Ok(LastLayer {
            features: self.features.f_index_select(0, indices)?,
            logits: self.logits.f_index_select(0, indices)?,
            labels: labels.f_index_select(0, indices)?,
        })
    }

    /// How many bytes the notes take.
    pub(super) fn n_bytes(&self) -> usize {
        4 * (self.features.numel() + self.logits.numel()) + self.is_seen.numel()
    }

    /// The notes as tensors by name, for a checkpoint.
    pub(super) fn tensors(&self) -> [(&'static str, Tensor); 3] {
        [
            ("noted.features", self.features.shallow_clone()),
            ("noted.logits", self.logits.shallow_clone()),
            ("noted.is_seen", self.is_seen.shallow_clone()),
        ]
    }

    /// The notes that [`Noted::tensors`] gave, put on `device`; `None` if they are not those of `n` samples.
    pub(super) fn from_tensors(
        mut take: impl FnMut(&str) -> Option<Tensor>,
        n: i64,
        device: Device,
    ) -> Result<Option<Self>> {
        let [Some(features), Some(logits), Some(is_seen)] =
            ["noted.features", "noted.logits", "noted.is_seen"].map(&mut take)
        else {
            return Ok(None);
        };
        let fits = matches!(features.size()[..], [rows, _] if rows == n)
            && matches!(logits.size()[..], [rows, _] if rows == n)
            && is_seen.size() == [n];
        if !fits {
            return Ok(None);
        }
        Ok(Some(Self {
            features: features.f_to_device(device)?,
            logits: logits.f_to_device(device)?,
            is_seen: is_seen.f_to_device(device)?,
        }))
    }
}
