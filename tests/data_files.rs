//! Readers of data files: small whole ones, and broken ones whose error must say which file, what was expected, what found.

use std::fmt::Debug;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use glisten::data::strips::{self, StripSize};
use glisten::data::{Dataset, Kind, cifar, idx};
use glisten::error::Error;
use tch::Tensor;
use tempfile::TempDir;

/// Writes a file into a folder of its own.
fn file(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn idx_bytes(dims: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
    bytes.extend_from_slice(values);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An RGB strip whose rows are the given bytes.
fn png_bytes(width: u32, height: u32, color: png::ColorType, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

fn values<T: tch::kind::Element + Copy>(tensor: &Tensor) -> Vec<T> {
    Vec::<T>::try_from(&tensor.flatten(0, -1)).unwrap()
}

/// The message must name the file, what was expected and what was found.
#[track_caller]
fn names<T: Debug>(result: Result<T, Error>, path: &Path, expected: &str, found: &str) {
    let error = result.expect_err("a broken file was taken");
    assert!(matches!(error, Error::BadFile { .. }), "{error:?}");
    let message = error.to_string();
    let (before, after) =
        message.split_once(", found ").unwrap_or_else(|| panic!("no 'found' in: {message}"));
    assert!(before.starts_with(&format!("{}: expected ", path.display())), "not this file: {message}");
    assert!(before.contains(expected), "'{expected}' is not what was expected in: {message}");
    assert!(after.contains(found), "'{found}' is not what was found in: {message}");
}

#[test]
fn data_idx_is_read_whether_gzipped_or_not_and_whatever_its_name() {
    let plain = idx_bytes(&[2, 2, 3], &[0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255]);
    for (name, bytes) in [("a-ubyte", plain.clone()), ("a-ubyte", gzip(&plain)), ("not-gzip.gz", plain)] {
        let (_dir, path) = file(name, &bytes);
        let images = idx::read_images(&path).unwrap();
        assert_eq!((images.size(), images.kind()), (vec![2, 1, 2, 3], tch::Kind::Uint8));
        assert_eq!(values::<u8>(&images), [0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255]);
    }
    let (_dir, path) = file("labels", &gzip(&idx_bytes(&[4], &[0, 2, 1, 2])));
    let labels = idx::read_labels(&path, 3).unwrap();
    assert_eq!((labels.size(), labels.kind()), (vec![4], tch::Kind::Int64));
    assert_eq!(values::<i64>(&labels), [0, 2, 1, 2]);
    let (_dir, path) = file("colour", &idx_bytes(&[1, 3, 1, 2], &[1, 2, 3, 4, 5, 6]));
    assert_eq!(idx::read_images(&path).unwrap().size(), [1, 3, 1, 2]);
}

#[test]
fn data_idx_pairs_make_examples() {
    let (_a, images) = file("images", &idx_bytes(&[3, 1, 2], &[1, 2, 3, 4, 5, 6]));
    let (_b, labels) = file("labels", &idx_bytes(&[3], &[1, 0, 1]));
    let examples = idx::read_examples(&images, &labels, 2).unwrap();
    assert_eq!((examples.len(), examples.image_shape()), (3, Some([1, 1, 2])));
    let (_c, short) = file("short-labels", &idx_bytes(&[2], &[1, 0]));
    names(idx::read_examples(&images, &short, 2), &short, "3 labels, one for each image", "2 labels");
}

#[test]
fn data_broken_idx_files_are_named() {
    let good = idx_bytes(&[2, 2, 2], &[7; 8]);
    let packed = gzip(&good);
    let mut wrong_crc = packed.clone();
    let at = wrong_crc.len() - 8;
    wrong_crc[at] ^= 0xff;
    let mut trailing = packed.clone();
    trailing.extend(b"more");
    let mut huge = good[..4].to_vec();
    huge.extend([0xff; 12]);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("empty", vec![], "a file with content", "an empty file"),
        ("three-bytes", vec![0, 0, 8], "an IDX magic number", "only 3 bytes"),
        ("text", b"<html>not found</html>".to_vec(), "an IDX magic number", "0x3c68746d"),
        ("no-dims", with(3, 0), "an IDX magic number", "0x00000800"),
        ("many-dims", with(3, 9), "1 to 4", "0x00000809"),
        ("floats", with(2, 0x0d), "dtype code 0x08 (unsigned bytes)", "dtype code 0x0d (32-bit floats)"),
        ("cut-in-header", good[..9].to_vec(), "an IDX header of 16 bytes", "9 bytes"),
        (
            "truncated",
            good[..good.len() - 1].to_vec(),
            "24 bytes (a header of 16, then 2 × 2 × 2)",
            "23 bytes",
        ),
        ("overlong", [&good[..], &[1]].concat(), "24 bytes", "25 bytes"),
        ("zero", idx_bytes(&[0, 2, 2], &[]), "none of them 0", "0 × 2 × 2"),
        ("huge", huge, "dimensions of a sensible size", "4294967295 × 4294967295"),
        ("big", idx_bytes(&[60_000, 28, 28], &[0; 8]), "47040016 bytes", "24 bytes"),
        ("gz-truncated", packed[..packed.len() - 9].to_vec(), "an intact gzip stream", "damaged or cut off"),
        ("gz-header-only", packed[..6].to_vec(), "an intact gzip stream", "damaged or cut off"),
        ("gz-crc", wrong_crc, "an intact gzip stream", "damaged or cut off"),
        ("gz-trailing", trailing, "an intact gzip stream", "damaged or cut off"),
        (
            "gz-overlong",
            gzip(&[&good[..], &[0; 9]].concat()),
            "24 bytes after unpacking",
            "more than 24 bytes",
        ),
        ("gz-short", gzip(&good[..20]), "24 bytes after unpacking", "20 bytes after unpacking"),
    ];
    for (name, bytes, expected, found) in cases {
        let (_dir, path) = file(name, &bytes);
        names(idx::read_images(&path), &path, expected, found);
    }

    let (_dir, labels) = file("labels", &idx_bytes(&[3], &[0, 9, 10]));
    names(idx::read_labels(&labels, 10), &labels, "labels from 0 to 9", "label 10 at index 2");
    names(idx::read_images(&labels), &labels, "3 or 4 dimensions, for images", "1 (3)");
    let (_dir, images) = file("images", &good);
    names(idx::read_labels(&images, 10), &images, "1 dimension, for labels", "3 (2 × 2 × 2)");

    let dir = TempDir::new().unwrap();
    names(idx::read(dir.path()), dir.path(), "a file", "a folder");
    let missing = dir.path().join("missing");
    let error = idx::read(&missing).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("missing: opening"), "{error}");
}

#[test]
fn data_a_gzip_stream_cannot_claim_more_memory_than_its_dimensions() {
    // 100 MB of zeros pack into 100 kB; the header promises 8 bytes.
    let mut bytes = idx_bytes(&[2, 2, 2], &[]);
    bytes.resize(100_000_000, 0);
    let (_dir, path) = file("bomb.gz", &gzip(&bytes));
    names(idx::read(&path), &path, "24 bytes after unpacking", "more than 24 bytes");
}

#[test]
fn data_no_cut_or_flipped_byte_panics() {
    let image = png_bytes(4, 2, png::ColorType::Rgb, &(0..24).collect::<Vec<u8>>());
    let size = StripSize { n_images: None, height: 2, width: 2 };
    let plain = idx_bytes(&[2, 2, 2], &[7; 8]);
    for bytes in [gzip(&plain), plain, image, vec![3; cifar::RECORD_BYTES]] {
        let n = bytes.len().min(120);
        let cut = (0..n).map(|at| bytes[..at].to_vec());
        let flipped = (0..n).flat_map(|at| {
            [1_u8, 0x80, 0xff].map(|mask| {
                let mut bytes = bytes.clone();
                bytes[at] ^= mask;
                bytes
            })
        });
        for bytes in cut.chain(flipped) {
            let (_dir, path) = file("x", &bytes);
            // Whether it is an error is for the other tests to say; here it must only come back.
            let _ = idx::read_images(&path);
            let _ = idx::read_labels(&path, 10);
            let _ = cifar::read_batch(&path, None);
            let _ = strips::read_images(&path, size);
            let _ = strips::read_labels(&path, None, 10);
        }
    }
}

/// Two records: labels 3 and 9, pixels counted up.
fn two_records() -> Vec<u8> {
    let image = |start: usize| (0..cifar::IMAGE_BYTES).map(move |i| ((start + i) % 251) as u8);
    std::iter::once(3).chain(image(0)).chain(std::iter::once(9)).chain(image(100)).collect()
}

#[test]
fn data_cifar_batches_are_read() {
    for bytes in [two_records(), gzip(&two_records())] {
        let (_dir, path) = file("data_batch_1.bin", &bytes);
        let batch = cifar::read_batch(&path, None).unwrap();
        assert_eq!(batch.labels, [3, 9]);
        assert_eq!(batch.images.len(), 2 * 3072);
        assert_eq!(batch.images[..3], [0, 1, 2]);
        assert_eq!(batch.images[3072..3075], [100, 101, 102]);
        assert_eq!(cifar::read_batch(&path, Some(2)).unwrap(), batch);
    }
    let (_dir, path) = file("batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
    assert_eq!(cifar::read_class_names(&path).unwrap().len(), 10);
}

#[test]
fn data_broken_cifar_batches_are_named() {
    let good = two_records();
    let mut label = good.clone();
    label[3073] = 10;
    let cases: Vec<(Vec<u8>, Option<usize>, &str, &str)> = vec![
        (vec![], None, "a file with content", "an empty file"),
        (good[..good.len() - 1].to_vec(), None, "a whole number of records of 3073 bytes", "6145 bytes"),
        (good[..3073].to_vec(), Some(2), "6146 bytes (2 records of 3073)", "3073 bytes"),
        ([&good[..], &good[..]].concat(), Some(2), "6146 bytes (2 records of 3073)", "12292 bytes"),
        (label, Some(2), "labels from 0 to 9", "label 10 at index 1"),
    ];
    for (bytes, n, expected, found) in cases {
        let (_dir, path) = file("test_batch.bin", &bytes);
        names(cifar::read_batch(&path, n), &path, expected, found);
    }
    let (_dir, path) = file("batches.meta.txt", b"airplane\nbird\n");
    names(cifar::read_class_names(&path), &path, "ten class names", "2 names");
}

#[test]
fn data_strips_are_read_plane_after_plane() {
    // Two images of 2 × 2; a row of the PNG is R G B of (0,0), (0,1), (1,0), (1,1).
    let rows =
        [[1, 10, 100, 2, 20, 200, 3, 30, 130, 4, 40, 140], [5, 50, 150, 6, 60, 160, 7, 70, 170, 8, 80, 180]];
    let (_dir, path) = file("strip.png", &png_bytes(4, 2, png::ColorType::Rgb, rows.as_flattened()));
    let images = strips::read_images(&path, StripSize { n_images: Some(2), height: 2, width: 2 }).unwrap();
    let expected =
        [[1, 2, 3, 4, 10, 20, 30, 40, 100, 200, 130, 140], [5, 6, 7, 8, 50, 60, 70, 80, 150, 160, 170, 180]];
    assert_eq!(images, expected.as_flattened());
    let (_dir, path) = file("labels.json", b"[1, 0]");
    assert_eq!(strips::read_labels(&path, Some(2), 2).unwrap(), [1, 0]);
}

#[test]
fn data_broken_strips_are_named() {
    let size = StripSize { n_images: Some(2), height: 2, width: 2 };
    let good = png_bytes(4, 2, png::ColorType::Rgb, &[9; 24]);
    let mut flipped = good.clone();
    let at = good.windows(4).position(|w| w == b"IDAT").unwrap() + 6;
    flipped[at] ^= 0x55;
    let cases: Vec<(Vec<u8>, &str, &str)> = vec![
        (vec![], "a PNG image", "an empty file"),
        (b"GIF89a...".to_vec(), "a PNG signature", "0x474946383961"),
        (good[..good.len() - 5].to_vec(), "ends with its IEND chunk", "cut off"),
        ([&good[..], b"x"].concat(), "ends with its IEND chunk", "something after it"),
        (flipped, "an intact PNG", ""),
        (png_bytes(4, 3, png::ColorType::Rgb, &[9; 36]), "a PNG of 4 × 2 pixels", "4 × 3 pixels"),
        (png_bytes(3, 2, png::ColorType::Rgb, &[9; 18]), "a row an image of 2 × 2", "3 × 2 pixels"),
        (png_bytes(4, 2, png::ColorType::Rgba, &[9; 32]), "colour type Rgb, 8 bits", "Rgba, 8 bits"),
        (png_bytes(4, 2, png::ColorType::Grayscale, &[9; 8]), "colour type Rgb", "Grayscale"),
    ];
    for (bytes, expected, found) in cases {
        let (_dir, path) = file("data_batch_1.png", &bytes);
        names(strips::read_images(&path, size), &path, expected, found);
    }
    let range = "a JSON list of whole numbers from 0 to 9";
    let labels: [(&str, &str, &str); 8] = [
        ("", range, "an empty file"),
        ("{\"a\": 1}", range, "map"),
        ("[1, 2.5]", range, "2.5"),
        ("[1, \"2\"]", range, "string"),
        ("[1, 2", range, "EOF"),
        ("[1, -1]", range, "label -1 at index 1"),
        ("[10, 1]", range, "label 10 at index 0"),
        ("[1, 2, 3]", "2 labels", "3 labels"),
    ];
    for (text, expected, found) in labels {
        let (_dir, path) = file("train_lables.json", text.as_bytes());
        names(strips::read_labels(&path, Some(2), 10), &path, expected, found);
    }
}

#[test]
fn data_a_named_set_must_keep_what_it_promises() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path();
    names(Dataset::open_dir(Kind::Mnist, folder), folder, "train-images-idx3-ubyte", "no file at all");
    fs::write(folder.join("notes.txt"), "x").unwrap();
    names(
        Dataset::open_dir(Kind::Cifar10, folder),
        folder,
        "data_batch_1.bin or data_batch_1.png",
        "notes.txt",
    );

    // Right in its format, but not MNIST.
    let small = folder.join("train-images-idx3-ubyte");
    fs::write(&small, idx_bytes(&[2, 28, 28], &[0; 1568])).unwrap();
    names(Dataset::open_dir(Kind::Mnist, folder), &small, "60000 × 28 × 28, as mnist has", "2 × 28 × 28");

    // Images as promised, in a folder below and gzipped; the labels are too few.
    let below = TempDir::new().unwrap();
    let inner = below.path().join("usr/share");
    fs::create_dir_all(&inner).unwrap();
    let images = GzEncoder::new(Vec::new(), Compression::fast());
    let write = |mut to: GzEncoder<Vec<u8>>| {
        to.write_all(&idx_bytes(&[60_000, 28, 28], &vec![0; 47_040_000])).unwrap();
        to.finish().unwrap()
    };
    fs::write(inner.join("train-images-idx3-ubyte.gz"), write(images)).unwrap();
    let labels = inner.join("train-labels-idx1-ubyte");
    fs::write(&labels, idx_bytes(&[59_999], &[0; 59_999])).unwrap();
    names(Dataset::open_dir(Kind::FashionMnist, below.path()), &labels, "60000, as fashion-mnist", "59999");

    let path = folder.join("notes.txt");
    names(Dataset::open_dir(Kind::Cifar10, &path), &path, "a folder with the files of cifar10", "a file");
}
