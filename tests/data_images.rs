//! Folders of images, NumPy arrays, CIFAR-100 and EMNIST: what is read, what is refused, and broken files of each kind.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use glisten::data::{Channels, Dataset, ImageOptions, Kind, Task, cifar, npy};
use glisten::error::Error;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use tch::Tensor;
use tempfile::TempDir;

/// That the error has all these parts in its text and names the file or folder.
#[track_caller]
fn says<T>(result: Result<T, Error>, path: &Path, parts: &[&str]) {
    let Err(error) = result else { panic!("no error, but expected {parts:?}") };
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text}\nlacks one of {parts:?}");
    assert!(text.contains(&path.display().to_string()), "{text} does not name {}", path.display());
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    Vec::<u8>::try_from(tensor.flatten(0, -1)).unwrap()
}

fn labels(tensor: &Tensor) -> Vec<i64> {
    Vec::<i64>::try_from(tensor).unwrap()
}

/// Numbers that look random, the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize
    }

    /// A copy of `bytes`, cut off or with some bytes changed.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        if self.next().is_multiple_of(3) {
            bytes.truncate(self.next() % bytes.len());
        } else {
            for _ in 0..1 + self.next() % 4 {
                let at = self.next() % bytes.len();
                bytes[at] = self.next() as u8;
            }
        }
        bytes
    }
}

/// 2 rows of 3 pixels, counted up from `start`.
fn grey(start: u8) -> DynamicImage {
    GrayImage::from_raw(3, 2, (start..start + 6).collect()).unwrap().into()
}

/// 2 rows of 3 pixels, red, green and blue of each counted up from `start`.
fn colour(start: u8) -> DynamicImage {
    RgbImage::from_raw(3, 2, (start..start + 18).collect()).unwrap().into()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn put(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn png(image: &DynamicImage) -> Vec<u8> {
    encoded(image, ImageFormat::Png)
}

/// Two classes of grey images, in a folder named `shapes`.
fn shapes() -> (TempDir, std::path::PathBuf) {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("shapes");
    put(&root, "round/2.png", &png(&grey(20)));
    put(&root, "round/1.PNG", &png(&grey(10)));
    put(&root, "angular/x.png", &png(&grey(0)));
    put(&root, ".hidden/y.png", b"");
    put(&root, "round/.DS_Store", b"");
    put(&root, "notes.txt", b"beside the classes");
    (dir, root)
}

#[test]
fn data_folders_of_images_are_read_in_the_order_of_names() {
    let (_dir, root) = shapes();
    let data = Dataset::from_folder(&root).unwrap();
    assert_eq!(data.to_string(), "shapes: 3 to train on, 2 classes, 1×2×3");
    assert_eq!(
        (data.classes.clone(), labels(&data.train.labels)),
        (vec!["angular".into(), "round".into()], vec![0, 1, 1])
    );
    assert_eq!(
        bytes(&data.train.inputs),
        [(0..6).collect::<Vec<u8>>(), (10..16).collect(), (20..26).collect()].concat()
    );
    assert_eq!(data.fingerprint().unwrap(), Dataset::from_folder(&root).unwrap().fingerprint().unwrap());

    // With `train` and `test`, the test set may lack a class.
    let whole = TempDir::new().unwrap();
    fs::rename(&root, whole.path().join("train")).unwrap();
    put(whole.path(), "test/round/t.png", &png(&grey(50)));
    let options = ImageOptions { name: Some("mine".into()), ..Default::default() };
    let data = Dataset::from_folder_with(whole.path(), &options).unwrap();
    let test = data.test.as_ref().unwrap();
    assert_eq!((data.name.as_str(), data.train.len(), labels(&test.labels)), ("mine", 3, vec![1]));
    assert_eq!(bytes(&test.inputs), (50..56).collect::<Vec<u8>>());
    put(whole.path(), "test/square/t.png", &png(&grey(50)));
    says(
        Dataset::from_folder(whole.path()),
        &whole.path().join("test/square"),
        &["(angular, round)", "'square'"],
    );
}

#[test]
fn data_colour_images_are_planes() {
    let dir = TempDir::new().unwrap();
    put(dir.path(), "a/1.png", &png(&colour(0)));
    put(dir.path(), "b/1.png", &png(&colour(100)));
    let data = Dataset::from_folder(dir.path()).unwrap();
    assert_eq!(data.image_shape(), Some([3, 2, 3]));
    let expected: Vec<u8> = [0, 100]
        .iter()
        .flat_map(|start| (0..3).flat_map(move |c| (0..6).map(move |i| start + 3 * i + c)))
        .collect();
    assert_eq!(bytes(&data.train.inputs), expected);

    // Mixed, it is an error; told, it is not. Pillow 12: Image.convert('L') of (100, 101, 102) is 100 or 101.
    put(dir.path(), "b/2.png", &png(&grey(7)));
    says(
        Dataset::from_folder(dir.path()),
        &dir.path().join("b/2.png"),
        &["coloured pixels", "grey pixels", "`channels`"],
    );
    let told = |channels| ImageOptions { channels: Some(channels), ..Default::default() };
    let rgb = Dataset::from_folder_with(dir.path(), &told(Channels::Rgb)).unwrap();
    assert_eq!(bytes(&rgb.train.inputs.get(2)), [7, 8, 9, 10, 11, 12].repeat(3));
    let grey = Dataset::from_folder_with(dir.path(), &told(Channels::Grey)).unwrap();
    assert_eq!(grey.image_shape(), Some([1, 2, 3]));
    assert!((100..=101).contains(&bytes(&grey.train.inputs.get(1))[0]));
}

#[test]
fn data_images_of_other_sizes_are_refused_or_resized() {
    let (_dir, root) = shapes();
    let large = GrayImage::from_raw(4, 4, (0..16).map(|i| i * 16).collect()).unwrap().into();
    put(&root, "round/3.png", &png(&large));
    says(
        Dataset::from_folder(&root),
        &root.join("round/3.png"),
        &["3 × 2 pixels", "4 × 4 pixels", "`resize`"],
    );
    let options = ImageOptions { resize: Some([2, 2]), ..Default::default() };
    let data = Dataset::from_folder_with(&root, &options).unwrap();
    // Pillow 12: Image.resize((2, 2), BILINEAR) of the same 16 pixels.
    let found = bytes(&data.train.inputs.get(3));
    let close = found.iter().zip([57_u8, 83, 157, 183]).all(|(a, b)| a.abs_diff(b) <= 1);
    assert!(close && data.image_shape() == Some([1, 2, 2]), "{found:?}");
    let options = ImageOptions { resize: Some([0, 2]), ..Default::default() };
    assert!(
        matches!(Dataset::from_folder_with(&root, &options), Err(Error::Argument { name, .. }) if name == "resize")
    );
}

/// Pillow 12: an 8 × 8 image of one colour, (200, 30, 90), saved with quality 95; read back it is (200, 31, 90).
const JPEG: &str = "\
    ffd8ffe000104a46494600010100000100010000ffdb004300020101010101020101010202020202040302020202050404\
    0304060506060605060606070908060709070606080b08090a0a0a0a0a06080b0c0b0a0c090a0a0affdb00430102020202\
    0202050303050a0706070a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\
    0a0a0a0a0a0a0a0a0a0a0affc00011080008000803012200021101031101ffc4001f000001050101010101010000000000\
    0000000102030405060708090a0bffc400b5100002010303020403050504040000017d0102030004110512213141061351\
    6107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748\
    494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7\
    a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9\
    faffc4001f0100030101010101010101010000000000000102030405060708090a0bffc400b51100020102040403040705\
    040400010277000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f1\
    1718191a262728292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a8283\
    8485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7\
    d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9faffda000c03010002110311003f00f97e8a28ad0ff500ffd9";

#[test]
fn data_jpeg_images_are_read() {
    let dir = TempDir::new().unwrap();
    let jpeg = hex::decode(JPEG).unwrap();
    put(dir.path(), "a/1.jpg", &jpeg);
    // By what it is, not by its name.
    put(dir.path(), "b/1.png", &jpeg);
    let data = Dataset::from_folder(dir.path()).unwrap();
    assert_eq!(data.image_shape(), Some([3, 8, 8]));
    let pixels = bytes(&data.train.inputs.get(0));
    for (channel, value) in [200_u8, 31, 90].into_iter().enumerate() {
        assert!(pixels[64 * channel..64 * (channel + 1)].iter().all(|pixel| pixel.abs_diff(value) <= 1));
    }
}

#[test]
fn data_broken_images_and_folders_are_named() {
    let jpeg = hex::decode(JPEG).unwrap();
    let good = png(&grey(1));
    let mut huge = good.clone();
    huge[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut checksum = good.clone();
    checksum[29] ^= 1;
    let mut inside = good.clone();
    let at = inside.len() - 20;
    inside[at] ^= 0xff;
    let files: Vec<(&str, &[u8], &str)> = vec![
        ("1.png", b"", "an empty file"),
        ("1.png", b"no image at all", "something else"),
        ("1.png", &good[..good.len() / 2], "intact"),
        ("1.png", &good[..20], "intact"),
        ("1.png", &huge, "intact"),
        ("1.png", &checksum, "intact"),
        ("1.png", &inside, "intact"),
        ("1.jpg", &jpeg[..jpeg.len() - 5], "cut off"),
        ("1.jpg", &jpeg[..40], "intact"),
        ("1.png", b"GIF89a\x01\0\x01\0\0\0\0", "Gif"),
        ("1.txt", b"", "another file"),
        ("1.png/2.png", &good, "a folder"),
    ];
    for (name, content, found) in files {
        let dir = TempDir::new().unwrap();
        put(dir.path(), "a/1.png", &good);
        put(dir.path(), &format!("b/{name}"), content);
        let named = dir.path().join("b").join(name.split('/').next().unwrap());
        says(Dataset::from_folder(dir.path()), &named, &[found]);
    }
    let dir = TempDir::new().unwrap();
    says(
        Dataset::from_folder(dir.path().join("nowhere")),
        &dir.path().join("nowhere"),
        &["listing the folder"],
    );
    says(Dataset::from_folder(dir.path()), dir.path(), &["two or more", "no folder"]);
    put(dir.path(), "a/1.png", &good);
    says(Dataset::from_folder(dir.path()), dir.path(), &["two or more", "one folder, a"]);
    fs::create_dir(dir.path().join("b")).unwrap();
    says(Dataset::from_folder(dir.path()), &dir.path().join("b"), &["an image or more", "none"]);
}

/// An `.npy` file of version 1.
fn npy_bytes(header: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{header}\n");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), values].concat()
}

fn read_npy(bytes: &[u8]) -> Result<Tensor, Error> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("array.npy");
    fs::write(&path, bytes).unwrap();
    npy::read(&path)
}

#[test]
fn data_npy_arrays_are_read_as_numpy_writes_them() {
    // NumPy 2.4: np.save of [[1.5, -2, 3.25], [4, 5, 6]] as '<f4'.
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }                                                          ";
    let values = hex::decode("0000c03f000000c000005040000080400000a0400000c040").unwrap();
    let array = read_npy(&npy_bytes(header, &values)).unwrap();
    assert_eq!((array.size(), array.kind()), (vec![2, 3], tch::Kind::Float));
    assert_eq!(Vec::<f32>::try_from(array.flatten(0, -1)).unwrap(), [1.5, -2.0, 3.25, 4.0, 5.0, 6.0]);
    // np.asfortranarray([[1, 2, 3], [4, 5, 6]], '>f8').
    let values = hex::decode(
        "3ff000000000000040100000000000004000000000000000401400000000000040080000000000004018000000000000",
    )
    .unwrap();
    let array =
        read_npy(&npy_bytes("{'descr': '>f8', 'fortran_order': True, 'shape': (2, 3), }", &values)).unwrap();
    assert_eq!(array.size(), [2, 3]);
    assert_eq!(Vec::<f64>::try_from(array.flatten(0, -1)).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let array =
        read_npy(&npy_bytes("{'descr': '<u2', 'fortran_order': False, 'shape': (2,), }", &[1, 0, 255, 255]))
            .unwrap();
    assert_eq!(labels(&array), [1, 65535]);
    let array =
        read_npy(&npy_bytes("{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", &[1, 0])).unwrap();
    assert_eq!(bytes(&array), [1, 0]);
    // Version 2 has a longer length; a scalar has no axes.
    let header = "{\"shape\": (), 'fortran_order': False, 'descr': '<i8'}";
    let version2 = [
        b"\x93NUMPY\x02\0",
        &(header.len() as u32).to_le_bytes()[..],
        header.as_bytes(),
        &7_i64.to_le_bytes(),
    ]
    .concat();
    let scalar = read_npy(&version2).unwrap();
    assert_eq!((scalar.size(), scalar.int64_value(&[])), (vec![], 7));
}

#[test]
fn data_npy_files_make_data_sets() {
    let dir = TempDir::new().unwrap();
    let array = |name: &str, descr: &str, shape: &str, values: &[u8]| {
        let path = dir.path().join(name);
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        fs::write(&path, npy_bytes(&header, values)).unwrap();
        path
    };
    let y = array("y.npy", "|u1", "(4, 1)", &[0, 2, 1, 0]);
    let pixels: Vec<u8> = (0..48).collect();
    let grey = array("grey.npy", "|u1", "(4, 4, 3)", &pixels);
    let data = Dataset::from_npy("grey", &grey, &y).unwrap();
    assert_eq!(data.to_string(), "grey: 4 to train on, 3 classes, 1×4×3");
    let last = array("last.npy", "|u1", "(4, 2, 2, 3)", &pixels);
    let data = Dataset::from_npy("last", &last, &y).unwrap();
    assert_eq!(data.image_shape(), Some([3, 2, 2]));
    assert_eq!(bytes(&data.train.inputs.get(0)), [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
    let first = array("first.npy", "|u1", "(4, 3, 2, 2)", &pixels);
    assert_eq!(bytes(&Dataset::from_npy("first", &first, &y).unwrap().train.inputs), pixels);
    let table = array("table.npy", "<i2", "(4, 2)", &[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 255, 255]);
    let targets = array("targets.npy", "<f4", "(4,)", &[0; 16]);
    let data = Dataset::from_npy("table", &table, &targets).unwrap();
    assert_eq!((data.task(), data.image_shape()), (Task::Regression, None));
    assert_eq!(
        Vec::<f32>::try_from(data.train.inputs.flatten(0, -1)).unwrap(),
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -1.0]
    );

    says(Dataset::from_npy("x", &y, &grey), &grey, &["labels of shape [N]", "[4, 4, 3]"]);
    let flat = array("flat.npy", "|u1", "(4,)", &[0; 4]);
    says(Dataset::from_npy("x", &flat, &y), &flat, &["images", "[4]"]);
    let three = array("three.npy", "|u1", "(3,)", &[0; 3]);
    assert!(
        matches!(Dataset::from_npy("x", &grey, &three), Err(Error::Argument { name, .. }) if name == "labels")
    );
    let below = array("below.npy", "|i1", "(4,)", &[0, 255, 1, 1]);
    assert!(Dataset::from_npy("x", &grey, &below).unwrap_err().to_string().contains("label -1"));
    let nan = array("nan.npy", "<f4", "(4,)", &[0, 0, 0, 0, 0, 0, 0xc0, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(Dataset::from_npy("x", &table, &nan).unwrap_err().to_string().contains("NaN at [1]"));

    let npz = dir.path().join("all.npz");
    let mut archive = zip::ZipWriter::new(fs::File::create(&npz).unwrap());
    for (name, file) in [("x_train", &grey), ("Y_train", &y), ("x_test", &grey), ("y_test", &y)] {
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(&fs::read(file).unwrap()).unwrap();
    }
    archive.finish().unwrap();
    let data = Dataset::from_npz("all", &npz).unwrap();
    assert_eq!(data.to_string(), "all: 4 to train on, 4 to test, 3 classes, 1×4×3");
    assert_eq!(npy::read_npz(&npz).unwrap().len(), 4);
    let good = fs::read(&npz).unwrap();
    fs::write(&npz, &good[..good.len() - 30]).unwrap();
    says(Dataset::from_npz("all", &npz), &npz, &["zip archive"]);
    let mut archive = zip::ZipWriter::new(fs::File::create(&npz).unwrap());
    archive.start_file("z.npy", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(&fs::read(&y).unwrap()).unwrap();
    archive.finish().unwrap();
    says(Dataset::from_npz("all", &npz), &npz, &["x_train or x", "z"]);
}

#[test]
fn data_broken_npy_files_are_named() {
    let header = |descr: &str, shape: &str| {
        format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")
    };
    let good = npy_bytes(&header("'<f4'", "(2,)"), &[0; 8]);
    let mut version = good.clone();
    version[6] = 9;
    let mut length = good.clone();
    length[8..10].copy_from_slice(&u16::MAX.to_le_bytes());
    let of = |descr: &str, shape: &str| npy_bytes(&header(descr, shape), &[0; 8]);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "nothing"),
        (b"PK\x03\x04 an archive".to_vec(), "0x504b0304"),
        (good[..8].to_vec(), "only 8 bytes"),
        (good[..30].to_vec(), "20 there"),
        (version, "9.0"),
        (length, "65535 bytes given"),
        (good[..good.len() - 1].to_vec(), "7 bytes"),
        ([&good[..], b"x"].concat(), "9 bytes"),
        (of("'|O'", "(2,)"), "descr '|O'"),
        (of("'<c8'", "(1,)"), "descr '<c8'"),
        (of("'<U2'", "(1,)"), "descr '<U2'"),
        (of("[('a', '<f4')]", "(2,)"), "structured"),
        (of("'<f4'", "(0,)"), "[0]"),
        (of("'<f4'", "(-2,)"), "whole numbers"),
        (of("'<f4'", "(1, 1, 1, 1, 1, 1, 1, 1, 2)"), "none of them 0"),
        (of("'<f4'", "(4294967296, 4294967296, 4294967296)"), "more than there can be"),
        (npy_bytes("{'descr': '<f4'}", &[0; 8]), "no fortran_order"),
        (npy_bytes("[1, 2]", &[0; 8]), "no dictionary"),
        (npy_bytes("{'descr': '<f4', 'fortran_order': 1, 'shape': (2,)}", &[0; 8]), "neither True nor False"),
        (
            npy_bytes("{'descr': '<u8', 'fortran_order': False, 'shape': (1,)}", &[255; 8]),
            "18446744073709551615",
        ),
    ];
    for (bytes, found) in cases {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("array.npy");
        fs::write(&path, &bytes).unwrap();
        says(npy::read(&path), &path, &["expected", found]);
    }
}

#[test]
fn data_damaged_images_and_arrays_never_panic() {
    let (_dir, root) = shapes();
    let (file, array) = (root.join("round/2.png"), root.join("array.npz"));
    let jpeg = hex::decode(JPEG).unwrap();
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("x.npy", zip::write::SimpleFileOptions::default()).unwrap();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
    archive.write_all(&npy_bytes(header, &[0; 8])).unwrap();
    let npz = archive.finish().unwrap().into_inner();
    let mut numbers = Numbers(3);
    for _ in 0..300 {
        for good in [&png(&grey(20)), &jpeg] {
            fs::write(&file, numbers.damage(good)).unwrap();
            let _ = Dataset::from_folder(&root);
        }
        let _ = read_npy(&numbers.damage(&npy_bytes(header, &[0; 8])));
        fs::write(&array, numbers.damage(&npz)).unwrap();
        let _ = npy::read_npz(&array);
    }
}

/// CIFAR-100's files, of the right size: image i is filled with i % 251, of fine class i % 100 in superclass i % 20.
fn cifar100(dir: &Path) {
    for (name, n) in [("train.bin", 50_000), ("test.bin", 10_000)] {
        let mut bytes = Vec::with_capacity(n * cifar::RECORD_BYTES_100);
        for i in 0..n {
            bytes.extend([(i % 20) as u8, (i % 100) as u8]);
            bytes.resize(bytes.len() + cifar::IMAGE_BYTES, (i % 251) as u8);
        }
        fs::write(dir.join(name), bytes).unwrap();
    }
}

#[test]
fn data_cifar100_is_read_with_fine_or_coarse_labels() {
    let dir = TempDir::new().unwrap();
    cifar100(dir.path());
    let fine = Dataset::open_dir(Kind::Cifar100, dir.path()).unwrap();
    assert_eq!(fine.to_string(), "cifar100: 50000 to train on, 10000 to test, 100 classes, 3×32×32");
    assert_eq!((fine.classes[0].as_str(), fine.classes[99].as_str()), ("apple", "worm"));
    assert_eq!(labels(&fine.train.labels)[97..102], [97, 98, 99, 0, 1]);
    assert_eq!(fine.train.class_counts(100).unwrap(), [500; 100]);
    assert_eq!(bytes(&fine.train.inputs.get(253)), [2; 3072]);
    let coarse = Dataset::open_cifar100_coarse(dir.path()).unwrap();
    assert_eq!((coarse.n_classes(), coarse.classes[14].as_str()), (20, "people"));
    assert_eq!(labels(&coarse.test.unwrap().labels)[18..22], [18, 19, 0, 1]);

    // From a folder into the cache and out again: the files are as they were.
    let cache = TempDir::new().unwrap();
    let options = glisten::data::FetchOptions {
        from: Some(dir.path().to_owned()),
        cache: Some(cache.path().to_owned()),
        offline: true,
        ..Default::default()
    };
    let fetched = glisten::data::fetch("cifar-100", options).unwrap();
    // No hash is published for these files, so that none can vouch for them.
    assert!(!fetched.as_published);
    for name in ["train.bin", "test.bin"] {
        assert!(
            fs::read(fetched.dir.join(name)).unwrap() == fs::read(dir.path().join(name)).unwrap(),
            "{name}"
        );
    }
    let nowhere = glisten::data::FetchOptions {
        cache: Some(dir.path().join("cache")),
        offline: true,
        ..Default::default()
    };
    let error = glisten::data::fetch("cifar100", nowhere).unwrap_err().to_string();
    assert!(error.contains("train.bin, test.bin") && error.contains("--from FOLDER"), "{error}");
}

#[test]
fn data_broken_cifar100_files_are_named() {
    let record = |coarse: u8, fine: u8| [vec![coarse, fine], vec![7; cifar::IMAGE_BYTES]].concat();
    let good = [record(19, 99), record(0, 0)].concat();
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("train.bin");
    fs::write(&path, &good).unwrap();
    let batch = cifar::read_batch_100(&path, Some(2)).unwrap();
    assert_eq!((batch.coarse, batch.fine, batch.images.len()), (vec![19, 0], vec![99, 0], 2 * 3072));
    let cases: Vec<(Vec<u8>, Option<usize>, &str)> = vec![
        (vec![], None, "an empty file"),
        (good[..good.len() - 1].to_vec(), None, "6147 bytes"),
        (good[..3074].to_vec(), Some(2), "3074 bytes"),
        ([&good[..], &good[..]].concat(), Some(2), "12296 bytes"),
        ([record(20, 0), record(0, 0)].concat(), None, "label 20 at index 0"),
        ([record(0, 0), record(0, 100)].concat(), None, "label 100 at index 1"),
        (b"\x1f\x8b\x08\0".to_vec(), None, "gzip"),
    ];
    for (bytes, n, part) in cases {
        fs::write(&path, bytes).unwrap();
        says(cifar::read_batch_100(&path, n), &path, &["expected", part]);
    }
    fs::write(&path, good).unwrap();
    says(Dataset::open_dir(Kind::Cifar100, dir.path()), dir.path(), &["test.bin"]);
}

#[test]
fn data_emnist_images_are_set_upright_and_labels_counted_from_0() {
    let dir = TempDir::new().unwrap();
    let idx = |dims: &[u32], values: Vec<u8>| {
        let mut bytes = vec![0, 0, 8, dims.len() as u8];
        dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
        [bytes, values].concat()
    };
    for (name, n) in [("train", 124_800_usize), ("test", 20_800)] {
        // Each image has its own number's first byte in the second pixel of the first row.
        let mut images = vec![0; n * 784];
        (0..n).for_each(|i| images[i * 784 + 1] = (i % 256) as u8);
        let labels = (0..n).map(|i| 1 + (i % 26) as u8).collect();
        put(
            dir.path(),
            &format!("gzip/emnist-letters-{name}-images-idx3-ubyte"),
            &idx(&[n as u32, 28, 28], images),
        );
        put(dir.path(), &format!("gzip/emnist-letters-{name}-labels-idx1-ubyte"), &idx(&[n as u32], labels));
    }
    let data = Dataset::open_dir("emnist-letters".parse().unwrap(), dir.path()).unwrap();
    assert_eq!(data.to_string(), "emnist-letters: 124800 to train on, 20800 to test, 26 classes, 1×28×28");
    assert_eq!(labels(&data.train.labels)[24..28], [24, 25, 0, 1]);
    let image = data.train.inputs.get(200);
    assert_eq!(image.int64_value(&[0, 1, 0]), 200);
    assert_eq!(image.int64_value(&[0, 0, 1]), 0);
    // Kept in the cache as they were published, on their side.
    let cache = TempDir::new().unwrap();
    let options = glisten::data::FetchOptions {
        from: Some(dir.path().to_owned()),
        cache: Some(cache.path().to_owned()),
        ..Default::default()
    };
    let kept = glisten::data::fetch("emnist-letters", options).unwrap().dir;
    for file in ["train-images-idx3-ubyte", "test-labels-idx1-ubyte"] {
        let name = format!("emnist-letters-{file}");
        assert!(
            fs::read(kept.join(&name)).unwrap() == fs::read(dir.path().join("gzip").join(&name)).unwrap(),
            "{name}"
        );
    }
    let labels_file = dir.path().join("gzip/emnist-letters-train-labels-idx1-ubyte");
    let mut bytes = fs::read(&labels_file).unwrap();
    bytes[8 + 5] = 0;
    fs::write(&labels_file, bytes).unwrap();
    says(
        Dataset::open_dir(Kind::EmnistLetters, dir.path()),
        &labels_file,
        &["labels from 1", "label 0 at index 5"],
    );
}
