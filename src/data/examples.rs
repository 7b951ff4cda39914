//! Inputs with their labels, as two tensors that are known to fit each other.

use std::collections::BTreeMap;
use std::fmt;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use super::task::{InputShape, Task};
use crate::error::{Error, Result};

/// Inputs with their labels: images or rows of a table, each with a class or with the target of a regression.
pub struct Examples {
    /// Images, `u8 [N, C, H, W]`, or rows of a table, `f32 [N, F]`.
    pub inputs: Tensor,
    /// Classes, `i64 [N]`, each from 0 to the number of classes less one; or targets of a regression, `f32 [N]`.
    pub labels: Tensor,
}

impl Examples {
    /// Puts inputs (`u8 [N, C, H, W]` or `f32 [N, F]`) and their classes (`i64 [N]`) together. Both stay on the device they
    /// are on.
    ///
    /// # Errors
    /// [`Error::Argument`] if a dtype or shape is another, an axis has size 0, the counts or devices differ, an input is
    /// not finite, or a label is not below `n_classes`.
    pub fn new(inputs: Tensor, labels: Tensor, n_classes: usize) -> Result<Self> {
        let examples = Self { inputs, labels };
        examples.check()?;
        if examples.is_regression() {
            return Err(Error::argument("labels", "dtype i64 (Int64), for classes", "Float"));
        }
        let largest = examples.largest_label()?;
        if n_classes as i64 <= largest {
            let expected = match n_classes {
                0 => "at least one class".to_owned(),
                n => format!("labels from 0 to {}, for {n} classes", n - 1),
            };
            return Err(Error::argument("labels", expected, format!("label {largest}")));
        }
        Ok(examples)
    }

    /// Puts inputs (`u8 [N, C, H, W]` or `f32 [N, F]`) and the targets of a regression (`f32 [N]`) together.
    ///
    /// # Errors
    /// As [`Examples::new`], and if a target is not finite.
    pub fn regression(inputs: Tensor, targets: Tensor) -> Result<Self> {
        let examples = Self { inputs, labels: targets };
        examples.check()?;
        if !examples.is_regression() {
            return Err(Error::argument("targets", "dtype f32 (Float)", "Int64"));
        }
        Ok(examples)
    }

    /// Everything but the largest label.
    pub(super) fn check(&self) -> Result<()> {
        let (size, kind) = (self.inputs.size(), self.inputs.f_kind()?);
        let expected = match (kind, size.len()) {
            (Kind::Uint8, 4) | (Kind::Float, 2) if !size.contains(&0) => None,
            (Kind::Uint8, _) => Some("shape [N, C, H, W], none of them 0, for images of u8"),
            (Kind::Float, 2) => Some("shape [N, F], none of them 0, for rows of a table of f32"),
            _ => Some("images, u8 [N, C, H, W], or rows of a table, f32 [N, F]"),
        };
        if let Some(expected) = expected {
            return Err(Error::argument("inputs", expected, format!("{kind:?} {size:?}")));
        }
        let (label_size, label_kind) = (self.labels.size(), self.labels.f_kind()?);
        if !matches!(label_kind, Kind::Int64 | Kind::Float) {
            let expected = "dtype i64 (Int64) for classes, or f32 (Float) for a regression";
            return Err(Error::argument("labels", expected, format!("{label_kind:?}")));
        }
        if label_size != [size[0]] {
            let expected = format!("shape [{}], one for each input", size[0]);
            return Err(Error::argument("labels", expected, format!("{label_size:?}")));
        }
        let (on, label_on) = (self.inputs.device(), self.labels.device());
        if on != label_on {
            return Err(Error::argument(
                "labels",
                format!("the inputs' device, {on:?}"),
                format!("{label_on:?}"),
            ));
        }
        check_finite("inputs", &self.inputs)?;
        check_finite("labels", &self.labels)?;
        if label_kind == Kind::Int64 {
            let smallest = self.labels.f_min()?.f_int64_value(&[])?;
            if smallest < 0 {
                return Err(Error::argument("labels", "labels of 0 or more", format!("label {smallest}")));
            }
        }
        Ok(())
    }

    /// The largest class; 0 for a regression.
    pub(super) fn largest_label(&self) -> Result<i64> {
        if self.is_regression() {
            return Ok(0);
        }
        Ok(self.labels.f_max()?.f_int64_value(&[])?)
    }

    fn is_regression(&self) -> bool {
        self.labels.f_kind().is_ok_and(|kind| kind == Kind::Float)
    }

    /// What the labels are, for so many classes.
    pub fn task(&self, n_classes: usize) -> Task {
        if self.is_regression() { Task::Regression } else { Task::Classification { n_classes } }
    }

    /// The number of examples, N.
    pub fn len(&self) -> usize {
        self.inputs.size().first().map_or(0, |&n| n as usize)
    }

    /// Whether there is none; never so for examples made by [`Examples::new`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of one input.
    pub fn input_shape(&self) -> InputShape {
        match self.inputs.size()[..] {
            [_, channels, height, width] => InputShape::Image { channels, height, width },
            [_, n_features] => InputShape::Table { n_features },
            _ => InputShape::Table { n_features: 0 },
        }
    }

    /// `[C, H, W]` of images; `None` for rows of a table.
    pub fn image_shape(&self) -> Option<[i64; 3]> {
        self.input_shape().image()
    }

    /// The device that the tensors are on.
    pub fn device(&self) -> Device {
        self.inputs.device()
    }

    /// A copy of the examples at `indices`, in that order; one may come several times.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no index, or one is not from 0 to N − 1.
    pub fn select(&self, indices: &[i64]) -> Result<Self> {
        let n = self.len() as i64;
        if indices.is_empty() {
            return Err(Error::argument("indices", "at least one index", "none"));
        }
        if let Some(index) = indices.iter().find(|&&index| !(0..n).contains(&index)) {
            return Err(Error::argument("indices", format!("indices from 0 to {}", n - 1), index));
        }
        let indices = Tensor::f_from_slice(indices)?.f_to_device(self.device())?;
        Ok(Self {
            inputs: self.inputs.f_index_select(0, &indices)?,
            labels: self.labels.f_index_select(0, &indices)?,
        })
    }

    /// The first `n` (all, if there are fewer). Shares its storage with `self`.
    ///
    /// # Errors
    /// [`Error::Argument`] if `n` is 0.
    pub fn take(&self, n: usize) -> Result<Self> {
        if n == 0 {
            return Err(Error::argument("n", "at least 1", 0));
        }
        let n = n.min(self.len()) as i64;
        Ok(Self { inputs: self.inputs.f_narrow(0, 0, n)?, labels: self.labels.f_narrow(0, 0, n)? })
    }

    /// A random sample of `n` (all, if there are fewer), in their old order; each class has its share.
    ///
    /// # Errors
    /// [`Error::Argument`] if `n` is 0.
    pub(super) fn sample(&self, n: usize, seed: u64) -> Result<Self> {
        if n == 0 || n >= self.len() {
            return self.take(n);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut groups: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let labels = self.labels.f_to_device(Device::Cpu)?;
        let classes = if self.is_regression() { vec![0; self.len()] } else { Vec::<i64>::try_from(&labels)? };
        for (at, class) in classes.into_iter().enumerate() {
            groups.entry(class).or_default().push(at as i64);
        }
        let counts: Vec<usize> = groups.values().map(Vec::len).collect();
        let mut taken = Vec::with_capacity(n);
        for (group, share) in groups.values_mut().zip(shares(&counts, n)) {
            taken.extend_from_slice(group.partial_shuffle(&mut rng, share).0);
        }
        taken.sort_unstable();
        self.select(&taken)
    }

    /// The same examples on `device`; without a copy if they are there already.
    ///
    /// # Errors
    /// [`Error::Torch`] if the device is not there or has too little memory.
    pub fn to_device(&self, device: Device) -> Result<Self> {
        Ok(Self { inputs: self.inputs.f_to_device(device)?, labels: self.labels.f_to_device(device)? })
    }

    /// How many examples each class has: `[n_classes]`. Labels beyond are left out.
    ///
    /// # Errors
    /// [`Error::Argument`] for a regression, which has no classes.
    pub fn class_counts(&self, n_classes: usize) -> Result<Vec<i64>> {
        if self.is_regression() {
            return Err(Error::argument("labels", "classes", "targets of a regression"));
        }
        let counts = self.labels.f_bincount(None::<&Tensor>, n_classes as i64)?.f_to_device(Device::Cpu)?;
        let mut counts = Vec::<i64>::try_from(&counts)?;
        counts.truncate(n_classes);
        Ok(counts)
    }
}

/// `n` divided among groups of these sizes, of which there are more than `n` in all: one to each group while there are as many,
/// the rest in proportion, by largest remainders (ties in the groups' order).
fn shares(counts: &[usize], n: usize) -> Vec<usize> {
    let least = usize::from(n >= counts.len());
    let rest = (n - least * counts.len()) as u128;
    let total = counts.iter().map(|count| count - least).sum::<usize>().max(1) as u128;
    let due = |at: usize| (counts[at] - least) as u128 * rest;
    let mut shares: Vec<usize> = (0..counts.len()).map(|at| least + (due(at) / total) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..counts.len()).collect();
    by_remainder.sort_by_key(|&at| std::cmp::Reverse(due(at) % total));
    let n_left = n - shares.iter().sum::<usize>();
    by_remainder.into_iter().take(n_left).for_each(|at| shares[at] += 1);
    shares
}

/// Shares the storage: nothing is copied.
impl Clone for Examples {
    fn clone(&self) -> Self {
        Self { inputs: self.inputs.shallow_clone(), labels: self.labels.shallow_clone() }
    }
}

impl fmt::Debug for Examples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Examples({} of {}, {:?})", self.len(), self.input_shape(), self.device())
    }
}

/// Checks that floats are finite; names the first that is not by its indices.
fn check_finite(name: &str, tensor: &Tensor) -> Result<()> {
    if tensor.f_kind()? != Kind::Float {
        return Ok(());
    }
    let finite = tensor.f_isfinite()?;
    if finite.f_all()?.f_int64_value(&[])? != 0 {
        return Ok(());
    }
    let first = finite.f_logical_not()?.f_nonzero()?.f_get(0)?.f_to_device(Device::Cpu)?;
    let place = Vec::<i64>::try_from(&first)?;
    let value = tensor.f_double_value(&place)?;
    Err(Error::argument(name, "finite numbers", format!("{value} at {place:?}")))
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn a_sample_is_shared_out_in_proportion() {
        assert_eq!(shares(&[50, 50], 20), [10, 10]);
        assert_eq!(shares(&[90, 9, 1], 10), [7, 2, 1]);
        assert_eq!(shares(&[1, 1, 1, 1, 96], 5), [1, 1, 1, 1, 1]);
        assert_eq!(shares(&[3, 3, 3], 2), [1, 1, 0]);
        assert_eq!(shares(&[4, 2], 5), [3, 2]);
        assert_eq!(shares(&[7], 3), [3]);
        for n in 1..60 {
            let shares = shares(&[30, 17, 9, 3, 1], n);
            assert_eq!(shares.iter().sum::<usize>(), n);
            assert!(shares.iter().zip([30, 17, 9, 3, 1]).all(|(share, count)| *share <= count));
        }
    }
}
