//! Folders of images: a sub-folder for each class, PNG or JPEG files in it.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::dataset::Dataset;
use super::examples::Examples;
use super::{budget, files};
use crate::error::{Error, Result};
use crate::interrupt;

/// How the images of a folder are read. The default wants them all of one size, all grey or all in colour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageOptions {
    /// The data set's name; the folder's, if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Brings every image to this height and width (bilinear; proportions are not kept).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<[u32; 2]>,
    /// Makes every image grey, or colour; as the files are, if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
}

/// What a pixel holds. Transparency is left out either way, and 16 bits become 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// One value: how bright.
    Grey,
    /// Red, green and blue.
    Rgb,
}

/// No image may be larger: it bounds what a hostile file can ask for.
const MAX_SIDE: u32 = 1 << 14;
/// Bytes that a decoder takes at most beside what it gives, as a multiple of that: a progressive JPEG's coefficients, and the
/// copies in which 16 bits become 8, colours change and pixels become planes.
const DECODER_COPIES: u64 = 4;
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

impl Dataset {
    /// A data set of a folder of images, with a sub-folder for each class: `FOLDER/CLASS/*.png` (or `.jpg`, `.jpeg`), or
    /// `FOLDER/train/CLASS/…` with `FOLDER/test/CLASS/…` beside it. Classes and files are taken in the order of their names;
    /// hidden files are passed over.
    ///
    /// ```no_run
    /// use glisten::prelude::*;
    /// let data = Dataset::from_folder("leaves")?.split(Split::default())?;
    /// # Ok::<(), glisten::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Dataset::from_folder_with`].
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        Self::from_folder_with(folder, &ImageOptions::default())
    }

    /// As [`Dataset::from_folder`], with a say in sizes and colours.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::BadFile`] naming the file or folder: if it cannot be read, is no PNG or JPEG image or cut
    /// off, has another size than the first and `resize` is not set, is grey among coloured ones (or the reverse) and
    /// `channels` is not set; if there are fewer than two classes, a class has no image, or the test set has a class of its
    /// own. [`Error::Argument`] for a size out of range; [`Error::Interrupted`].
    pub fn from_folder_with(folder: impl AsRef<Path>, options: &ImageOptions) -> Result<Self> {
        let folder = folder.as_ref();
        if let Some([height, width]) = options.resize
            && ![height, width].iter().all(|side| (1..=MAX_SIDE).contains(side))
        {
            let got = format!("{height} and {width}");
            return Err(Error::argument("resize", format!("height and width from 1 to {MAX_SIDE}"), got));
        }
        let (train, test) = (folder.join("train"), folder.join("test"));
        let (train, test) = if train.is_dir() {
            (train, test.is_dir().then_some(test))
        } else {
            (folder.to_path_buf(), None)
        };
        let class_folders = class_folders(&train)?;
        if class_folders.len() < 2 {
            let found = match class_folders.first() {
                None => "no folder".to_owned(),
                Some((class, _)) => format!("one folder, {class}"),
            };
            return Err(Error::bad_file(&train, "a folder for each class, two or more", found));
        }
        let classes: Vec<String> = class_folders.iter().map(|(class, _)| class.clone()).collect();
        let train_files = files_of(&class_folders, &classes)?;
        let form = Form::of(&train_files, options, None)?;
        let train = form.read(&train_files, classes.len())?;
        let test = match test {
            None => None,
            Some(test) => {
                let test_files = files_of(&class_folders_of_test(&test, &classes)?, &classes)?;
                Some(Form::of(&test_files, options, Some(&form))?.read(&test_files, classes.len())?)
            }
        };
        let name = match &options.name {
            Some(name) => name.clone(),
            None => folder
                .canonicalize()
                .ok()
                .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
                .unwrap_or_else(|| "images".to_owned()),
        };
        Ok(Self { name, classes, train, test, table: None })
    }
}

/// Images to predict.
pub(super) struct NewImages {
    /// `u8 [N, C, H, W]`.
    pub(super) inputs: Tensor,
    /// The files, as they stand below the folder.
    pub(super) files: Vec<String>,
    /// The names of the folders that they are in, where these are classes.
    pub(super) labels: Option<Vec<String>>,
}

/// Reads one image, the images of a folder, or those of a folder with a sub-folder for each class; of a folder with a `train`
/// and a `test`, those of its `test`. They come as `[channels, height, width]`; of other sizes only if they are to be resized.
pub(super) fn read_new(path: &Path, [channels, height, width]: [i64; 3], resize: bool) -> Result<NewImages> {
    let test = path.join("test");
    let root = if path.join("train").is_dir() && test.is_dir() { test } else { path.to_path_buf() };
    let folders = if root.is_dir() { class_folders(&root)? } else { Vec::new() };
    let classes: Vec<String> = folders.iter().map(|(class, _)| class.clone()).collect();
    let files = match &folders[..] {
        [] if root.is_dir() => files_of(&[(String::new(), root.clone())], &[])?,
        [] => vec![(root.clone(), 0)],
        _ => files_of(&folders, &classes)?,
    };
    let channels = if channels == 1 { Channels::Grey } else { Channels::Rgb };
    let [height, width] = [height, width].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    let form = Form { height, width, channels, resize, largest: 0 };
    let options =
        ImageOptions { resize: resize.then_some([height, width]), channels: Some(channels), name: None };
    let examples = Form::of(&files, &options, Some(&form))?.read(&files, classes.len().max(1))?;
    let name = |path: &Path| path.strip_prefix(&root).unwrap_or(path).display().to_string();
    let names =
        files.iter().map(|(file, _)| if *file == root { root.display().to_string() } else { name(file) });
    let labels = files.iter().map(|(_, label)| classes.get(*label as usize).cloned()).collect::<Option<_>>();
    Ok(NewImages { inputs: examples.inputs, files: names.collect(), labels })
}

/// A file and the class that it belongs to.
type Labelled = (PathBuf, i64);

/// The folders in `folder`, by name; hidden ones are passed over.
fn class_folders(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut folders: Vec<(String, PathBuf)> =
        entries(folder)?.into_iter().filter(|(_, path)| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

fn class_folders_of_test(folder: &Path, classes: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let folders = class_folders(folder)?;
    if let Some((class, path)) = folders.iter().find(|(class, _)| !classes.contains(class)) {
        let expected = format!("a class that the training set has ({})", crate::error::listing(classes));
        return Err(Error::bad_file(path, expected, format!("'{class}'")));
    }
    if folders.is_empty() {
        return Err(Error::bad_file(folder, "a folder for each class", "no folder"));
    }
    Ok(folders)
}

fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder, "listing the folder"))? {
        let entry = entry.map_err(Error::io(folder, "listing the folder"))?;
        let name = entry.file_name().into_string().map_err(|name| {
            Error::bad_file(folder, "names in UTF-8", format!("'{}'", name.to_string_lossy()))
        })?;
        if !name.starts_with('.') {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

/// The images in the classes' folders.
fn files_of(folders: &[(String, PathBuf)], classes: &[String]) -> Result<Vec<Labelled>> {
    let mut all = Vec::new();
    for (class, folder) in folders {
        let label = classes.iter().position(|known| known == class).unwrap_or_default() as i64;
        let mut files: Vec<PathBuf> = entries(folder)?.into_iter().map(|(_, path)| path).collect();
        files.sort();
        let is_image = |path: &Path| {
            let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
            ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) && !path.is_dir()
        };
        if let Some(path) = files.iter().find(|path| !is_image(path)) {
            let found = if path.is_dir() { "a folder" } else { "another file" };
            return Err(Error::bad_file(
                path,
                "images only (.png, .jpg, .jpeg) in the folder of a class",
                found,
            ));
        }
        if files.is_empty() {
            return Err(Error::bad_file(folder, "an image or more in the folder of a class", "none"));
        }
        all.extend(files.into_iter().map(|path| (path, label)));
    }
    Ok(all)
}

/// The size and channels that all images are brought to, or have.
#[derive(Clone, Copy)]
struct Form {
    height: u32,
    width: u32,
    channels: Channels,
    resize: bool,
    /// Bytes of the largest of the images as it is decoded.
    largest: u64,
}

impl Form {
    /// Looks at the heads of all files: whether they agree, among themselves or with `like`.
    fn of(files: &[Labelled], options: &ImageOptions, like: Option<&Self>) -> Result<Self> {
        let mut form = like.copied();
        let first = if like.is_some() { "the training images" } else { "the first image" };
        let mut largest = like.map_or(0, |like| like.largest);
        for (path, _) in files {
            interrupt::check()?;
            let Head { height, width, channels, n_bytes } = head(path)?;
            largest = largest.max(n_bytes);
            let [height, width] = options.resize.unwrap_or([height, width]);
            let channels = options.channels.unwrap_or(channels);
            let form = form.get_or_insert(Self {
                height,
                width,
                channels,
                resize: options.resize.is_some(),
                largest: 0,
            });
            if (form.height, form.width) != (height, width) {
                let expected = format!(
                    "{} × {} pixels, as {first} (`resize` would bring all to one size)",
                    form.width, form.height
                );
                return Err(Error::bad_file(path, expected, format!("{width} × {height} pixels")));
            }
            if form.channels != channels {
                let expected = format!(
                    "{} pixels, as {first} (`channels` would make all alike)",
                    form.channels.as_str()
                );
                return Err(Error::bad_file(path, expected, format!("{} pixels", channels.as_str())));
            }
        }
        let form = form.map(|form| Self { largest, ..form });
        form.ok_or_else(|| Error::argument("folder", "an image or more", "none"))
    }

    fn n_bytes(self) -> usize {
        let channels = if self.channels == Channels::Rgb { 3 } else { 1 };
        channels * self.height as usize * self.width as usize
    }

    /// Decodes the files on all cores: `u8 [N, C, H, W]` with their labels.
    fn read(self, files: &[Labelled], n_classes: usize) -> Result<Examples> {
        let n_threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let total = (files.len() as u64).saturating_mul(self.n_bytes() as u64);
        let in_work = self.largest.saturating_mul(DECODER_COPIES * n_threads.min(files.len()) as u64);
        // The pixels, and the tensor that is made of them.
        let needed = total.saturating_mul(2).saturating_add(in_work);
        let folder =
            files.first().and_then(|(path, _)| path.parent()?.parent()).unwrap_or(Path::new("folder"));
        budget::memory(
            format!(
                "{}: {} images of {} × {} pixels",
                folder.display(),
                files.len(),
                self.width,
                self.height
            ),
            needed,
            "`resize` makes them smaller, fewer files take less",
        )?;
        let mut pixels = vec![0_u8; total as usize];
        let share = files.len().div_ceil(n_threads).max(1);
        std::thread::scope(|scope| {
            let parts = pixels.chunks_mut(share * self.n_bytes()).zip(files.chunks(share));
            let threads: Vec<_> = parts
                .map(|(pixels, files)| {
                    scope.spawn(move || {
                        for ((path, _), to) in files.iter().zip(pixels.chunks_exact_mut(self.n_bytes())) {
                            interrupt::check()?;
                            self.decode(path, to)?;
                        }
                        Ok::<(), Error>(())
                    })
                })
                .collect();
            // The first in order, so that the same folder gives the same error.
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        let channels = if self.channels == Channels::Rgb { 3 } else { 1 };
        let size = [files.len() as i64, channels, i64::from(self.height), i64::from(self.width)];
        let labels: Vec<i64> = files.iter().map(|(_, label)| *label).collect();
        let images = Tensor::f_from_data_size(&pixels, &size, Kind::Uint8)?;
        Examples::new(images, Tensor::f_from_slice(&labels)?, n_classes)
    }

    /// Writes one image as `[C, H, W]` into `to`.
    fn decode(self, path: &Path, to: &mut [u8]) -> Result<()> {
        let mut image = open(path, |reader| reader.decode())?;
        if self.resize && (image.height(), image.width()) != (self.height, self.width) {
            image = image.resize_exact(self.width, self.height, FilterType::Triangle);
        }
        let pixels = match self.channels {
            Channels::Grey => image.into_luma8().into_raw(),
            Channels::Rgb => planes(&image),
        };
        if pixels.len() != to.len() {
            let expected = format!("{} bytes of pixels, as its head says", to.len());
            return Err(Error::bad_file(path, expected, format!("{} bytes", pixels.len())));
        }
        to.copy_from_slice(&pixels);
        Ok(())
    }
}

impl Channels {
    fn as_str(self) -> &'static str {
        match self {
            Self::Grey => "grey",
            Self::Rgb => "coloured",
        }
    }
}

/// Pixel after pixel to plane after plane.
fn planes(image: &DynamicImage) -> Vec<u8> {
    let pixels = image.to_rgb8().into_raw();
    (0..3).flat_map(|channel| pixels.iter().skip(channel).step_by(3).copied()).collect()
}

/// What an image's first bytes say.
struct Head {
    height: u32,
    width: u32,
    channels: Channels,
    /// Bytes when decoded.
    n_bytes: u64,
}

fn head(path: &Path) -> Result<Head> {
    open(path, |reader| {
        let decoder = reader.into_decoder()?;
        let (width, height) = decoder.dimensions();
        let channels = if decoder.color_type().has_color() { Channels::Rgb } else { Channels::Grey };
        Ok(Head { height, width, channels, n_bytes: decoder.total_bytes() })
    })
}

type Reader = ImageReader<Cursor<Vec<u8>>>;

/// Opens an image by what it is, not by its name.
fn open<T>(path: &Path, read: impl FnOnce(Reader) -> image::ImageResult<T>) -> Result<T> {
    let expected = "a PNG or JPEG image";
    let bytes = files::read(path)?;
    if bytes.is_empty() {
        return Err(Error::bad_file(path, expected, "an empty file"));
    }
    let is_cut = bytes.starts_with(&[0xff, 0xd8]) && !has_end(&bytes);
    if is_cut {
        return Err(Error::bad_file(path, "a JPEG image with its end marker", "none (cut off)"));
    }
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(Error::io(path, "reading"))?;
    match reader.format() {
        Some(ImageFormat::Png | ImageFormat::Jpeg) => {}
        Some(other) => return Err(Error::bad_file(path, expected, format!("an image in {other:?}"))),
        None => return Err(Error::bad_file(path, expected, "something else")),
    }
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    // Of the whole folder it has been seen that there is room for it.
    limits.max_alloc = Some(u64::from(MAX_SIDE) * u64::from(MAX_SIDE) * 8);
    reader.limits(limits);
    read(reader).map_err(|e| Error::bad_file(path, "an intact PNG or JPEG image", e.to_string()))
}

/// Whether a JPEG's end marker follows its last scan. A decoder would fill up with grey what was cut off.
fn has_end(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    match (last(0xda), last(0xd9)) {
        (Some(scan), Some(end)) => end > scan,
        // Without a scan the decoder has something to say.
        (None, _) => true,
        (Some(_), None) => false,
    }
}
