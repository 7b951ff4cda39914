//! The files of the named data sets: reading any of their forms, checked against what the data set promises, and writing
//! the one form that the cache holds.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use tch::Tensor;

use super::catalog::{Facts, Kind, Layout};
use super::examples::Examples;
use super::files;
use super::strips::{self, StripSize};
use super::{cifar, idx};
use crate::error::{Error, Result};

/// Images in one batch of CIFAR-10.
const BATCH: usize = 10_000;

/// The training set or the test set, as bytes.
#[derive(Default)]
pub(super) struct Part {
    /// `[N, C, H, W]`.
    pub(super) images: Vec<u8>,
    /// `[N]`.
    pub(super) labels: Vec<u8>,
    /// `[N]`, the superclasses of CIFAR-100; empty elsewhere.
    pub(super) coarse: Vec<u8>,
}

impl Part {
    /// As tensors: `u8 [N, C, H, W]` and `i64 [N]`.
    pub(super) fn into_examples(self, facts: &Facts) -> Result<Examples> {
        let mut size = vec![self.labels.len() as i64];
        size.extend(facts.shape.map(|d| d as i64));
        let images = Tensor::f_from_data_size(&self.images, &size, tch::Kind::Uint8)?;
        let labels: Vec<i64> = self.labels.iter().map(|&label| i64::from(label)).collect();
        Examples::new(images, Tensor::f_from_slice(&labels)?, facts.classes.len())
    }

    /// With the superclasses as labels.
    pub(super) fn into_coarse_examples(mut self, facts: &Facts) -> Result<Examples> {
        self.labels = std::mem::take(&mut self.coarse);
        self.into_examples(facts)
    }
}

/// Reads training and test set from the files of `kind` in `dir` or below it.
pub(super) fn read(kind: Kind, dir: &Path) -> Result<[Part; 2]> {
    let about = std::fs::metadata(dir).map_err(Error::io(dir, "looking for the data set's files"))?;
    if !about.is_dir() {
        return Err(Error::bad_file(dir, format!("a folder with the files of {kind}"), "a file"));
    }
    let facts = kind.facts();
    match facts.layout {
        Layout::Idx => {
            let names = ["train", "t10k"].map(str::to_owned);
            read_idx(dir, names, facts, 0)
        }
        Layout::Emnist { part, first_label } => {
            let names = ["train", "test"].map(|name| format!("{part}-{name}"));
            let mut parts = read_idx(dir, names, facts, first_label)?;
            parts.iter_mut().for_each(|part| part.images = exchange_rows_and_columns(&part.images, facts));
            Ok(parts)
        }
        Layout::CifarBatches => {
            let first = files::find(dir, &["data_batch_1.bin", "data_batch_1.png"])?;
            let dir = first.parent().unwrap_or(dir);
            if first.extension().is_some_and(|e| e == "png") {
                read_strips(dir, facts)
            } else {
                read_batches(dir)
            }
        }
        Layout::Cifar100 => {
            let first = files::find(dir, &["train.bin", "train.bin.gz"])?;
            let dir = first.parent().unwrap_or(dir);
            let part = |path: &Path, n| -> Result<Part> {
                let cifar::Batch100 { images, fine, coarse } = cifar::read_batch_100(path, Some(n))?;
                Ok(Part { images, labels: fine, coarse })
            };
            let test = files::find(dir, &["test.bin", "test.bin.gz"])?;
            Ok([part(&first, facts.n_train)?, part(&test, facts.n_test)?])
        }
    }
}

/// The names of the files that [`read`] looks for, in any of their forms.
pub(super) fn file_names(facts: &Facts) -> Vec<String> {
    let idx = |names: [String; 2]| -> Vec<String> {
        let forms = names.into_iter().flat_map(|name| [(name.clone(), "images", 3), (name, "labels", 1)]);
        forms.flat_map(|(name, what, n_dims)| idx_names(&format!("{name}-{what}"), n_dims)).collect()
    };
    let batches = |ending: &str| -> Vec<String> {
        let numbered = (1..=5).map(|number| format!("data_batch_{number}{ending}"));
        numbered.chain([format!("test_batch{ending}")]).collect()
    };
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    match facts.layout {
        Layout::Idx => idx(["train", "t10k"].map(str::to_owned)),
        Layout::Emnist { part, .. } => idx(["train", "test"].map(|name| format!("{part}-{name}"))),
        Layout::CifarBatches => {
            let labels = ["train_lables", "train_labels", "test_lables", "test_labels"];
            let labels = labels.iter().map(|name| format!("{name}.json")).collect();
            [batches(".bin"), batches(".png"), labels].concat()
        }
        Layout::Cifar100 => names(&["train.bin", "train.bin.gz", "test.bin", "test.bin.gz"]),
    }
}

/// Four IDX files, the names of training and test files beginning with `names`; labels counted from `first_label`.
fn read_idx(dir: &Path, names: [String; 2], facts: &Facts, first_label: u8) -> Result<[Part; 2]> {
    let first = find_idx(dir, &format!("{}-images", names[0]), 3)?;
    let dir = first.parent().unwrap_or(dir);
    let part = |name: &str, n| -> Result<Part> {
        let images = read_idx_images(&find_idx(dir, &format!("{name}-images"), 3)?, facts, n)?;
        let labels = read_idx_labels(&find_idx(dir, &format!("{name}-labels"), 1)?, facts, n, first_label)?;
        Ok(Part { images, labels, coarse: Vec::new() })
    };
    Ok([part(&names[0], facts.n_train)?, part(&names[1], facts.n_test)?])
}

/// `[N, H, W]` to `[N, W, H]`: EMNIST's images lie on their side.
fn exchange_rows_and_columns(images: &[u8], facts: &Facts) -> Vec<u8> {
    let [_, height, width] = facts.shape;
    let mut turned = vec![0; images.len()];
    for (from, to) in images.chunks_exact(height * width).zip(turned.chunks_exact_mut(height * width)) {
        for row in 0..height {
            for column in 0..width {
                to[column * height + row] = from[row * width + column];
            }
        }
    }
    turned
}

/// The file of that name as any of the mirrors writes it.
fn find_idx(dir: &Path, name: &str, n_dims: usize) -> Result<PathBuf> {
    let names = idx_names(name, n_dims);
    files::find(dir, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn idx_names(name: &str, n_dims: usize) -> [String; 4] {
    let (dash, dot) = (format!("{name}-idx{n_dims}-ubyte"), format!("{name}.idx{n_dims}-ubyte"));
    [dash.clone(), format!("{dash}.gz"), dot.clone(), format!("{dot}.gz")]
}

fn read_idx_images(path: &Path, facts: &Facts, n: usize) -> Result<Vec<u8>> {
    let [_, height, width] = facts.shape;
    expect_dims(path, idx::read(path)?, &[n, height, width], facts)
}

/// The labels, counted from 0.
fn read_idx_labels(path: &Path, facts: &Facts, n: usize, first_label: u8) -> Result<Vec<u8>> {
    let mut labels = expect_dims(path, idx::read(path)?, &[n], facts)?;
    if let Some(index) = labels.iter().position(|&label| label < first_label) {
        let found = format!("label {} at index {index}", labels[index]);
        return Err(Error::bad_file(path, format!("labels from {first_label}"), found));
    }
    labels.iter_mut().for_each(|label| *label -= first_label);
    files::check_labels(path, &labels, facts.classes.len())?;
    Ok(labels)
}

fn expect_dims(path: &Path, idx: idx::Idx, dims: &[usize], facts: &Facts) -> Result<Vec<u8>> {
    if idx.dims == dims {
        return Ok(idx.values);
    }
    let expected = format!("dimensions {}, as {} has them", idx::by(dims), facts.name);
    Err(Error::bad_file(path, expected, idx::by(&idx.dims)))
}

fn read_batches(dir: &Path) -> Result<[Part; 2]> {
    let mut train = Part { images: Vec::with_capacity(5 * BATCH * cifar::IMAGE_BYTES), ..Default::default() };
    for number in 1..=5 {
        let batch = cifar::read_batch(dir.join(format!("data_batch_{number}.bin")), Some(BATCH))?;
        train.images.extend_from_slice(&batch.images);
        train.labels.extend_from_slice(&batch.labels);
    }
    let cifar::Batch { images, labels } = cifar::read_batch(dir.join("test_batch.bin"), Some(BATCH))?;
    Ok([train, Part { images, labels, coarse: Vec::new() }])
}

fn read_strips(dir: &Path, facts: &Facts) -> Result<[Part; 2]> {
    let [_, height, width] = facts.shape;
    let size = StripSize { n_images: Some(BATCH), height, width };
    // "lables" is how the package spells it.
    let labels = |name, n| {
        let path = files::find(dir, &[&format!("{name}_lables.json"), &format!("{name}_labels.json")])?;
        strips::read_labels(path, Some(n), facts.classes.len())
    };
    let mut train = Part {
        images: Vec::with_capacity(facts.n_train * cifar::IMAGE_BYTES),
        labels: labels("train", facts.n_train)?,
        coarse: Vec::new(),
    };
    let test_labels = labels("test", facts.n_test)?;
    for number in 1..=5 {
        train.images.extend(strips::read_images(dir.join(format!("data_batch_{number}.png")), size)?);
    }
    let test_images = strips::read_images(dir.join("test_batch.png"), size)?;
    Ok([train, Part { images: test_images, labels: test_labels, coarse: Vec::new() }])
}

/// A file of the cache, in pieces that follow one another.
pub(super) struct Whole<'a> {
    pub(super) name: &'static str,
    pub(super) header: Vec<u8>,
    pub(super) body: Cow<'a, [u8]>,
}

impl Whole<'_> {
    pub(super) fn n_bytes(&self) -> u64 {
        (self.header.len() + self.body.len()) as u64
    }

    pub(super) fn sha256(&self) -> String {
        files::sha256(&[&self.header, &self.body])
    }

    /// Writes it into `dir` and has it on the disk.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(self.name);
        let mut file = File::create(&path).map_err(Error::io(&path, "creating the file"))?;
        file.write_all(&self.header)
            .and_then(|()| file.write_all(&self.body))
            .and_then(|()| file.sync_all())
            .map_err(Error::io(&path, "writing"))
    }
}

/// The files in the form that they were published in, unpacked, whatever form they were read from; in the order of
/// `facts.files`.
pub(super) fn published_form<'a>(kind: Kind, [train, test]: &'a [Part; 2]) -> Vec<Whole<'a>> {
    let facts = kind.facts();
    let names = facts.files.iter().map(|(name, _)| *name);
    match facts.layout {
        Layout::Idx | Layout::Emnist { .. } => {
            let [_, height, width] = facts.shape;
            let images = |part: &'a Part| -> (Vec<usize>, Cow<'a, [u8]>) {
                let bytes = match facts.layout {
                    Layout::Emnist { .. } => exchange_rows_and_columns(&part.images, facts).into(),
                    _ => part.images.as_slice().into(),
                };
                (vec![part.labels.len(), height, width], bytes)
            };
            let labels = |part: &'a Part| -> (Vec<usize>, Cow<'a, [u8]>) {
                let bytes = match facts.layout {
                    Layout::Emnist { first_label, .. } => {
                        part.labels.iter().map(|label| label + first_label).collect::<Vec<u8>>().into()
                    }
                    _ => part.labels.as_slice().into(),
                };
                (vec![part.labels.len()], bytes)
            };
            let contents = [images(train), labels(train), images(test), labels(test)];
            let whole =
                |(name, (dims, body)): (_, (Vec<usize>, _))| Whole { name, header: idx::header(&dims), body };
            names.zip(contents).map(whole).collect()
        }
        Layout::CifarBatches => {
            let batches = [train, test].into_iter().flat_map(|part| {
                part.images.chunks(BATCH * cifar::IMAGE_BYTES).zip(part.labels.chunks(BATCH))
            });
            let whole = |(name, (images, labels))| Whole {
                name,
                header: Vec::new(),
                body: cifar::records(&[labels], images).into(),
            };
            names.zip(batches).map(whole).collect()
        }
        Layout::Cifar100 => {
            let whole = |(name, part): (_, &'a Part)| Whole {
                name,
                header: Vec::new(),
                body: cifar::records(&[&part.coarse, &part.labels], &part.images).into(),
            };
            names.zip([train, test]).map(whole).collect()
        }
    }
}
