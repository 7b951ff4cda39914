//! Readers of data files against mutated files: whatever the bytes are, a data set or an error, never a panic, an abort, a hang
//! or more memory than there is leave for. A few hundred cases each; a minute each where `GLISTEN_TEST_FULL` is 1, and
//! `GLISTEN_FUZZ_SECONDS` says another time. A file that does harm is left, and its place told.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flate2::{Compression, write::GzEncoder};
use glisten::data::strips::{self, StripSize};
use glisten::data::{DataSpec, Dataset, InputShape, Split, cifar, idx, npy};
use glisten::model::LogisticRegression;
use glisten::track::{Experiment, Store};
use glisten::train::{TrainedModel, Trainer};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::support::wait_measured;

const READER: &str = "GLISTEN_TEST_FUZZ_READER";
const FOLDER: &str = "GLISTEN_TEST_FUZZ_FOLDER";
/// What a reader may take, and what the process may have with libtorch and all.
const LIMIT: &str = "100MB";
const MOST_BYTES: u64 = 900 << 20;
const N_CASES: u64 = 250;

/// Reads a file in every way that its kind can be read.
type Read = fn(&Path);
/// A kind of file: its ending, whole files to begin with, and its readers.
type Case = (&'static str, fn() -> Vec<Vec<u8>>, Read);

fn case(reader: &str) -> Case {
    match reader {
        "npy" => ("npy", npy_seeds, |path| {
            let _ = npy::read(path);
            let _ = Dataset::from_npy("x", path, path);
        }),
        "npz" => ("npz", npz_seeds, |path| {
            let _ = npy::read_npz(path);
            let _ = Dataset::from_npz("x", path);
        }),
        "idx" => ("idx", idx_seeds, |path| {
            let _ = idx::read(path);
            let _ = idx::read_images(path);
            let _ = idx::read_labels(path, 10);
        }),
        "cifar" => (
            "bin",
            || vec![gzip(&[3; 3073 * 2]), vec![3; 3073 * 2]],
            |path| {
                let _ = cifar::read_batch(path, None);
                let _ = cifar::read_batch_100(path, Some(2));
                let _ = cifar::read_class_names(path);
            },
        ),
        "strip" => (
            "png",
            || vec![strip()],
            |path| {
                let _ = strips::read_images(path, StripSize { n_images: None, height: 4, width: 4 });
                let _ = strips::read_labels(path, None, 10);
            },
        ),
        "image" => ("image", image_seeds, |path| {
            // A folder of two classes, of which one has the file under another name.
            let folder = path.with_file_name("images");
            for class in ["a", "b"] {
                fs::create_dir_all(folder.join(class)).unwrap();
                fs::copy(path, folder.join(class).join("1.png")).unwrap();
            }
            let _ = Dataset::from_folder(folder);
        }),
        "csv" => ("csv", csv_seeds, |path| {
            let _ = Dataset::from_csv(path, "y");
            let _ = DataSpec::new(path.to_str().unwrap()).target("x").load();
        }),
        "csv-gz" => (
            "csv.gz",
            || csv_seeds().iter().map(|csv| gzip(csv)).collect(),
            |path| {
                let _ = Dataset::from_csv(path, "y");
            },
        ),
        "parquet" => ("parquet", parquet_seeds, |path| {
            let _ = Dataset::from_parquet(path, "y");
            let _ = Dataset::from_parquet(path, "x");
        }),
        "model" => ("safetensors", model_seeds, |path| {
            let Ok(model) = TrainedModel::load(path, tch::Device::Cpu) else { return };
            if let InputShape::Table { n_features: n_features @ 1..100 } = model.input_shape() {
                let _ =
                    model.predict(&tch::Tensor::zeros([2, n_features], (tch::Kind::Float, tch::Device::Cpu)));
            }
            let _ = model.load_new(&DataSpec::new(path.with_file_name("rows.csv").to_str().unwrap()), false);
        }),
        _ => panic!("no reader {reader}"),
    }
}

fn npy_seeds() -> Vec<Vec<u8>> {
    let array = |descr: &str, shape: &str, values: &[u8]| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), values].concat()
    };
    vec![
        array("<f4", "(6, 2)", &[1; 48]),
        array(">i2", "(4,)", &[0; 8]),
        array("|u1", "(2, 3, 4, 1)", &[9; 24]),
        array("<u8", "(3, 1)", &[1; 24]),
    ]
}

fn npz_seeds() -> Vec<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let packed = zip::write::SimpleFileOptions::default();
    let stored = packed.compression_method(zip::CompressionMethod::Stored);
    let seeds = npy_seeds();
    for (name, seed, options) in [("x.npy", 0, packed), ("y.npy", 1, stored), ("junk.npy", 2, packed)] {
        zip.start_file(name, options).unwrap();
        zip.write_all(&seeds[seed]).unwrap();
    }
    vec![zip.finish().unwrap().into_inner()]
}

fn idx_seeds() -> Vec<Vec<u8>> {
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4][..], &[7; 24]].concat();
    let labels = vec![0, 0, 8, 1, 0, 0, 0, 4, 0, 1, 2, 3];
    vec![gzip(&images), images, labels]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn strip() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 16, 3);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[5; 16 * 3 * 3]).unwrap();
    bytes
}

fn image_seeds() -> Vec<Vec<u8>> {
    let image = image::RgbImage::from_fn(20, 17, |x, y| image::Rgb([(x * 9) as u8, (y * 5) as u8, 77]));
    let encoded = |format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    vec![encoded(image::ImageFormat::Png), encoded(image::ImageFormat::Jpeg)]
}

fn csv_seeds() -> Vec<Vec<u8>> {
    let texts =
        ["x,y\n1,a\n2,b\n3,a\n", "x,t,y\n1.5,\"u,v\",a\n,w,b\n-3e5,u,a\n", "\"x\",\"y\"\r\n1,2\r\n2,3\r\n"];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn parquet_seeds() -> Vec<Vec<u8>> {
    use polars::prelude::{ParquetCompression, ParquetWriter, df};
    let frame = df!("x" => [Some(1.5), None, Some(3.5), Some(2.0)], "t" => ["a", "b", "a", "c"], "y" => [0_i64, 1, 0, 1]);
    let mut frame = frame.unwrap();
    let written = [ParquetCompression::Uncompressed, ParquetCompression::Snappy].map(|compression| {
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes).with_compression(compression).finish(&mut frame).unwrap();
        bytes
    });
    written.into_iter().chain([include_bytes!("fixtures/types.parquet").to_vec()]).collect()
}

fn model_seeds() -> Vec<Vec<u8>> {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let mut csv = String::from("x,t,y\n");
    (0..60).for_each(|i| csv.push_str(&format!("{i},{},{}\n", ["u", "v"][i % 2], ["a", "b", "c"][i % 3])));
    let path = folder.path().join("rows.csv");
    fs::write(&path, csv).unwrap();
    let data = Dataset::from_csv(&path, "y").unwrap().split(Split::default()).unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "seed").unwrap();
    let trainer = Trainer::new(LogisticRegression::for_data(&data)).epochs(1).device(tch::Device::Cpu);
    let path = folder.path().join("model.safetensors");
    trainer.fit(&data, &study).unwrap().model().unwrap().save(&path).unwrap();
    vec![fs::read(path).unwrap()]
}

/// The bytes with some places changed in the ways in which files are damaged, or made to do harm.
fn mutate(bytes: &[u8], other: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.gen_range(1..=4) {
        let n = bytes.len();
        if n == 0 {
            break;
        }
        let at = rng.gen_range(0..n);
        match rng.gen_range(0..9) {
            0 => bytes[at] ^= 1 << rng.gen_range(0..8),
            1 => bytes[at] = rng.r#gen(),
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.gen_range(0..5)],
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..(at + rng.gen_range(1..16)).min(n))),
            5 => {
                let piece = bytes[at..(at + rng.gen_range(1..32)).min(n)].to_vec();
                bytes.splice(at..at, piece);
            }
            6 => {
                // Numbers at the ends of their ranges, of both byte orders.
                let number = [0_u64, 1, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX, 1 << 40]
                    [rng.gen_range(0..7)];
                let number = if rng.r#gen() { number.to_le_bytes() } else { number.to_be_bytes() };
                let width = [2, 4, 8][rng.gen_range(0..3)].min(n - at);
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            7 => {
                // Digits of a text become others, or more.
                if let Some(digit) = (at..n).find(|&at| bytes[at].is_ascii_digit()) {
                    let digits = ["9", "0", "-1", "99999999999999999999", "1e400"][rng.gen_range(0..5)];
                    bytes.splice(digit..=digit, digits.bytes());
                }
            }
            _ => {
                let from = rng.gen_range(0..other.len());
                let piece = &other[from..(from + rng.gen_range(1..64)).min(other.len())];
                let end = (at + piece.len()).min(n);
                bytes.splice(at..end, piece.iter().copied());
            }
        }
    }
    bytes
}

/// Not a test of its own: the process that reads mutated files.
#[test]
fn a_process_that_reads() {
    let (Ok(reader), Some(folder)) = (std::env::var(READER), std::env::var_os(FOLDER)) else { return };
    let (ending, seeds, read) = case(&reader);
    let (seeds, path) = (seeds(), PathBuf::from(folder).join(format!("case.{ending}")));
    fs::write(path.with_file_name("rows.csv"), "x,t\n1,u\n2,v\n").unwrap();
    for seed in &seeds {
        fs::write(&path, seed).unwrap();
        read(&path);
    }
    let secs = std::env::var("GLISTEN_FUZZ_SECONDS").ok().map(|secs| secs.parse::<u64>().unwrap());
    let is_full = std::env::var("GLISTEN_TEST_FULL").is_ok_and(|full| full == "1");
    let end = secs.or(is_full.then_some(60)).map(|secs| Instant::now() + Duration::from_secs(secs));
    let mut n = 0;
    while end.map_or(n < N_CASES, |end| Instant::now() < end) {
        let mut rng = ChaCha8Rng::seed_from_u64(n);
        let [one, other] = [0; 2].map(|_: i32| &seeds[rng.gen_range(0..seeds.len())]);
        fs::write(&path, mutate(one, other, &mut rng)).unwrap();
        read(&path);
        n += 1;
    }
    println!("{reader}: {n} cases");
}

/// Starts that process and looks at how it ends.
fn fuzz(reader: &str) {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let file = fs::File::create(&said).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "data_fuzz::a_process_that_reads", "--nocapture"])
        .env(READER, reader)
        .env(FOLDER, folder.path())
        .env("GLISTEN_MEMORY_LIMIT", LIMIT)
        .env("OMP_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let (status, most) = wait_measured(child);
    let said = fs::read_to_string(said).unwrap();
    if !status.success() || most > MOST_BYTES || !said.contains(" cases") {
        let last: Vec<&str> = said.lines().rev().take(12).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        let folder = folder.keep();
        panic!(
            "{reader}: {status}, {} MB; the file is in {}\n{}",
            most >> 20,
            folder.display(),
            last.join("\n")
        );
    }
    println!("{}", said.lines().find(|line| line.ends_with(" cases")).unwrap_or_default());
}

macro_rules! readers {
    ($($test:ident: $reader:literal,)*) => {$(
        #[test]
        fn $test() {
            fuzz($reader);
        }
    )*};
}

readers! {
    mutated_npy_files_do_no_harm: "npy",
    mutated_npz_files_do_no_harm: "npz",
    mutated_idx_files_do_no_harm: "idx",
    mutated_cifar_files_do_no_harm: "cifar",
    mutated_png_strips_do_no_harm: "strip",
    mutated_images_do_no_harm: "image",
    mutated_csv_files_do_no_harm: "csv",
    mutated_gzipped_csv_files_do_no_harm: "csv-gz",
    mutated_parquet_files_do_no_harm: "parquet",
    mutated_models_do_no_harm: "model",
}
