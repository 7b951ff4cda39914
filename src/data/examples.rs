//! Images with their labels, as two tensors that are known to fit each other.

use std::fmt;

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};

/// Images with their labels.
pub struct Examples {
    /// `u8 [N, C, H, W]`.
    pub images: Tensor,
    /// `i64 [N]`, each from 0 to the number of classes less one.
    pub labels: Tensor,
}

impl Examples {
    /// Puts images, `u8 [N, C, H, W]`, and their labels, `i64 [N]`, together. Both stay on the device they are on.
    ///
    /// # Errors
    /// [`Error::Argument`] if a dtype or shape is another, an axis has size 0, the counts or devices differ, or a label is
    /// not below `n_classes`.
    pub fn new(images: Tensor, labels: Tensor, n_classes: usize) -> Result<Self> {
        let examples = Self { images, labels };
        examples.check()?;
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

    /// Everything but the largest label.
    pub(super) fn check(&self) -> Result<()> {
        let (size, kind) = (self.images.size(), self.images.f_kind()?);
        if kind != Kind::Uint8 {
            return Err(Error::argument("images", "dtype u8 (Uint8)", format!("{kind:?}")));
        }
        if size.len() != 4 || size.contains(&0) {
            return Err(Error::argument("images", "shape [N, C, H, W], none of them 0", format!("{size:?}")));
        }
        let (label_size, label_kind) = (self.labels.size(), self.labels.f_kind()?);
        if label_kind != Kind::Int64 {
            return Err(Error::argument("labels", "dtype i64 (Int64)", format!("{label_kind:?}")));
        }
        if label_size != [size[0]] {
            let expected = format!("shape [{}], one for each image", size[0]);
            return Err(Error::argument("labels", expected, format!("{label_size:?}")));
        }
        let (on, label_on) = (self.images.device(), self.labels.device());
        if on != label_on {
            return Err(Error::argument(
                "labels",
                format!("the images' device, {on:?}"),
                format!("{label_on:?}"),
            ));
        }
        let smallest = self.labels.f_min()?.f_int64_value(&[])?;
        if smallest < 0 {
            return Err(Error::argument("labels", "labels of 0 or more", format!("label {smallest}")));
        }
        Ok(())
    }

    pub(super) fn largest_label(&self) -> Result<i64> {
        Ok(self.labels.f_max()?.f_int64_value(&[])?)
    }

    /// The number of images, N.
    pub fn len(&self) -> usize {
        self.images.size().first().map_or(0, |&n| n as usize)
    }

    /// Whether there is none; never so for examples made by [`Examples::new`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[C, H, W]`.
    pub fn image_shape(&self) -> [i64; 3] {
        match self.images.size()[..] {
            [_, c, h, w] => [c, h, w],
            _ => [0; 3],
        }
    }

    /// The device that the tensors are on.
    pub fn device(&self) -> Device {
        self.images.device()
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
            images: self.images.f_index_select(0, &indices)?,
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
        Ok(Self { images: self.images.f_narrow(0, 0, n)?, labels: self.labels.f_narrow(0, 0, n)? })
    }

    /// The same examples on `device`; without a copy if they are there already.
    ///
    /// # Errors
    /// [`Error::Torch`] if the device is not there or has too little memory.
    pub fn to_device(&self, device: Device) -> Result<Self> {
        Ok(Self { images: self.images.f_to_device(device)?, labels: self.labels.f_to_device(device)? })
    }

    /// How many examples each class has: `[n_classes]`. Labels beyond are left out.
    ///
    /// # Errors
    /// [`Error::Torch`] only.
    pub fn class_counts(&self, n_classes: usize) -> Result<Vec<i64>> {
        let counts = self.labels.f_bincount(None::<&Tensor>, n_classes as i64)?.f_to_device(Device::Cpu)?;
        let mut counts = Vec::<i64>::try_from(&counts)?;
        counts.truncate(n_classes);
        Ok(counts)
    }
}

/// Shares the storage: nothing is copied.
impl Clone for Examples {
    fn clone(&self) -> Self {
        Self { images: self.images.shallow_clone(), labels: self.labels.shallow_clone() }
    }
}

impl fmt::Debug for Examples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Examples({} of {}, {:?})", self.len(), by(self.image_shape()), self.device())
    }
}

/// "1×28×28".
pub(super) fn by([c, h, w]: [i64; 3]) -> String {
    format!("{c}×{h}×{w}")
}
