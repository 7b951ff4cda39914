//! What a network's last layer sees of a set of samples: all that the selection needs to know of them.

use tch::{Kind, Tensor};

use super::{Loss, cpu};
use crate::error::{Error, Result};

/// What a last layer sees of a set of samples.
#[derive(Debug)]
pub struct LastLayer {
    /// Penultimate features, `f32 [N, D]`.
    pub features: Tensor,
    /// Logits, `f32 [N, C]`.
    pub logits: Tensor,
    /// Classes `i64 [N]`, each in 0..C; with the squared error, targets `f32 [N, C]`, or `[N]` where C is 1.
    pub labels: Tensor,
}

impl LastLayer {
    /// softmax(logits) − onehot(labels), `[N, C]`: the derivative of the cross-entropy by the logits.
    ///
    /// # Errors
    /// [`Error::Argument`] if logits are not `f32 [N, C]`, N above 0.
    pub fn residuals(&self) -> Result<Tensor> {
        Loss::default().residuals(self, cpu::n_threads())
    }

    /// The samples at `indices`.
    pub fn select(&self, indices: &Tensor) -> Self {
        Self {
            features: self.features.index_select(0, indices),
            logits: self.logits.index_select(0, indices),
            labels: self.labels.index_select(0, indices),
        }
    }

    /// Joins the parts of a pass made in batches.
    pub(crate) fn cat<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let join = |part: fn(&Self) -> &Tensor| Tensor::cat(&parts.clone().map(part).collect::<Vec<_>>(), 0);
        Self { features: join(|p| &p.features), logits: join(|p| &p.logits), labels: join(|p| &p.labels) }
    }

    /// N, D and C, if everything fits together and may be computed with.
    pub(in crate::select) fn check(
        &self,
        name: &str,
        loss: &Loss,
        with_features: bool,
    ) -> Result<(i64, i64, i64)> {
        let (features, logits, labels) = (self.features.size(), self.logits.size(), self.labels.size());
        let (n, d, c) = match (&features[..], &logits[..], labels.first()) {
            (&[n, d], &[m, c], Some(&l)) if n == m && m == l && n > 0 && c > 0 => (n, d, c),
            _ => {
                let got = format!("features {features:?}, logits {logits:?}, labels {labels:?}");
                let expected = "features [N, D], logits [N, C] and labels [N] with one N above 0";
                return Err(Error::argument(name, expected, got));
            }
        };
        for (part, tensor) in [("features", &self.features), ("logits", &self.logits)] {
            if tensor.kind() != Kind::Float {
                return Err(Error::argument(
                    format!("{name}: {part}"),
                    "f32 values",
                    format!("{:?}", tensor.kind()),
                ));
            }
            let device = self.logits.device();
            if tensor.device() != device || self.labels.device() != device {
                let got = format!("{part} on {:?}, labels on {:?}", tensor.device(), self.labels.device());
                return Err(Error::argument(name, format!("all tensors on {device:?}"), got));
            }
            // Features do not count for biases.
            if (part == "logits" || with_features) && !all_finite(tensor)? {
                let advice = "finite values; a lower learning rate, or gradient clipping, keeps a network from diverging";
                return Err(Error::argument(format!("{name}: {part}"), advice, "NaN or infinite ones"));
            }
        }
        match loss {
            Loss::CrossEntropy { .. } => self.check_classes(name, c)?,
            Loss::SquaredError => self.check_targets(name, n, c)?,
        }
        Ok((n, d, c))
    }

    fn check_classes(&self, name: &str, c: i64) -> Result<()> {
        let name = format!("{name}: labels");
        if self.labels.kind() != Kind::Int64 || self.labels.dim() != 1 {
            let got = format!("{:?} {:?}", self.labels.kind(), self.labels.size());
            return Err(Error::argument(name, "classes i64 [N] (or the squared error as loss)", got));
        }
        let (low, high) = self.labels.f_aminmax(None, false)?;
        let (low, high) = (low.f_int64_value(&[])?, high.f_int64_value(&[])?);
        if low < 0 || high >= c {
            let expected = format!("0 to {}, as there are {c} logits", c - 1);
            return Err(Error::argument(name, expected, if low < 0 { low } else { high }));
        }
        Ok(())
    }

    fn check_targets(&self, name: &str, n: i64, c: i64) -> Result<()> {
        let name = format!("{name}: labels");
        let fits = self.labels.size() == [n, c] || (c == 1 && self.labels.size() == [n]);
        if self.labels.kind() != Kind::Float || !fits {
            let got = format!("{:?} {:?}", self.labels.kind(), self.labels.size());
            return Err(Error::argument(name, format!("targets f32 [{n}, {c}] for the squared error"), got));
        }
        if !all_finite(&self.labels)? {
            return Err(Error::argument(name, "finite values", "NaN or infinite ones"));
        }
        Ok(())
    }
}

/// One pass and no copy: the least and the largest value of anything that holds a NaN are NaN.
fn all_finite(tensor: &Tensor) -> Result<bool> {
    if tensor.numel() == 0 {
        return Ok(true);
    }
    let (low, high) = tensor.f_aminmax(None, false)?;
    Ok(low.f_double_value(&[])?.is_finite() && high.f_double_value(&[])?.is_finite())
}
