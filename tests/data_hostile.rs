//! Data files made to do harm: a few bytes that ask for gigabytes, and files that are no files.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use flate2::{Compression, Crc, write::DeflateEncoder, write::GzEncoder};
use glisten::data::{DataSpec, Dataset, FetchOptions, fetch, idx, npy};
use glisten::train::TrainedModel;
use polars::prelude::{DataFrame, NamedFrom, ParquetWriter, Series};
use tempfile::TempDir;

use super::support::{glisten, wait_measured};

const MEGA: usize = 1_000_000;

/// Runs the program with this much memory to read data with; what it said, and the most memory that it had, in bytes.
fn run(folder: &Path, limit: &str, arguments: &[&str]) -> (String, Option<i32>, u64) {
    let said = folder.join("said");
    let file = File::create(&said).unwrap();
    let mut command: Command = glisten();
    command
        .args(arguments)
        .current_dir(folder)
        .env("GLISTEN_MEMORY_LIMIT", limit)
        .env("GLISTEN_CACHE", folder.join("cache"))
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file);
    let (status, most) = wait_measured(command.spawn().unwrap());
    (fs::read_to_string(said).unwrap(), status.code(), most)
}

/// It is refused, with these words, and the memory that it asks for is never had.
#[track_caller]
fn refuses(folder: &Path, arguments: &[&str], parts: &[&str]) {
    let (text, code, most) = run(folder, "100MB", arguments);
    assert_eq!(code, Some(1), "{arguments:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "{arguments:?}: {part} is not in {text}");
    }
    assert!(most < 700 * MEGA as u64, "{arguments:?} had {} MB: {text}", most / MEGA as u64);
}

fn npy_header(descr: &str, shape: &str) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An entry of a zip file: its name, the stream that it points to, and how large it says that it is.
struct Entry<'a> {
    name: &'a str,
    stream: usize,
    n_bytes: usize,
}

/// A zip file of these streams, which are written once each, and of entries that may share them.
fn zip(streams: &[&[u8]], entries: &[Entry<'_>]) -> Vec<u8> {
    let packed: Vec<Vec<u8>> = streams.iter().map(|stream| deflate(stream)).collect();
    let head = |name: &str, entry: &Entry<'_>| {
        let mut crc = Crc::new();
        crc.update(streams[entry.stream]);
        let mut bytes = Vec::new();
        bytes.extend([20, 0, 0, 0, 8, 0, 0, 0, 0, 0]);
        bytes.extend(crc.sum().to_le_bytes());
        bytes.extend((packed[entry.stream].len() as u32).to_le_bytes());
        bytes.extend((entry.n_bytes as u32).to_le_bytes());
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    };
    let mut all = Vec::new();
    let mut places = Vec::new();
    for (at, packed) in packed.iter().enumerate() {
        places.push(all.len() as u32);
        let first = entries.iter().find(|entry| entry.stream == at).unwrap();
        all.extend(b"PK\x03\x04");
        all.extend(head(first.name, first));
        all.extend(first.name.as_bytes());
        all.extend(packed);
    }
    let start = all.len() as u32;
    for entry in entries {
        all.extend(b"PK\x01\x02\x14\x00");
        all.extend(head(entry.name, entry));
        all.extend([0; 10]);
        all.extend(places[entry.stream].to_le_bytes());
        all.extend(entry.name.as_bytes());
    }
    let (n, length) = ((entries.len() as u16).to_le_bytes(), all.len() as u32 - start);
    all.extend(b"PK\x05\x06\0\0\0\0");
    all.extend([n, n].concat());
    all.extend(length.to_le_bytes());
    all.extend(start.to_le_bytes());
    all.extend([0, 0]);
    all
}

/// An array of so many zero bytes, as a stream.
fn zeros(n: usize) -> Vec<u8> {
    [npy_header("|u1", &format!("({}, 100)", n / 100)), vec![0; n]].concat()
}

#[test]
fn arrays_cannot_ask_for_more_than_there_is() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path();
    let (large, labels) = (zeros(300 * MEGA), [npy_header("|u1", "(3000000,)"), vec![0; 3 * MEGA]].concat());
    let entry = |name, stream, n_bytes| Entry { name, stream, n_bytes };

    // Asked for: said before it is unpacked.
    let asked = [entry("x_train.npy", 0, large.len()), entry("y_train.npy", 1, labels.len())];
    fs::write(folder.join("asked.npz"), zip(&[&large, &labels], &asked)).unwrap();
    refuses(
        folder,
        &["train", "asked.npz"],
        &["asked.npz needs 606", "MB of memory, but 100.0 MB of it is free here"],
    );

    // Nobody asked for it: never unpacked.
    let small = [npy_header("|u1", "(200, 2)"), (0..400).map(|i| (i % 4) as u8).collect()].concat();
    let two = [npy_header("|u1", "(200,)"), (0..200).map(|i| (i % 2) as u8).collect()].concat();
    let unasked =
        [entry("x.npy", 0, small.len()), entry("y.npy", 1, two.len()), entry("junk.npy", 2, large.len())];
    fs::write(folder.join("unasked.npz"), zip(&[&small, &two, &large], &unasked)).unwrap();
    let (text, code, most) =
        run(folder, "100MB", &["train", "unasked.npz", "--epochs", "1", "--device", "cpu"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(most < 700 * MEGA as u64, "{} MB", most / MEGA as u64);

    // Forty names for one stream.
    let names: Vec<String> = (0..40).map(|i| format!("a{i}.npy")).collect();
    let mut shared: Vec<Entry<'_>> = names.iter().map(|name| entry(name, 0, small.len())).collect();
    shared.push(entry("y.npy", 1, two.len()));
    fs::write(folder.join("shared.npz"), zip(&[&small, &two], &shared)).unwrap();
    let error = npy::read_npz(folder.join("shared.npz")).unwrap_err().to_string();
    assert!(error.contains("entries that overlap (a0.npy and a1.npy)"), "{error}");

    // Sizes that are not what they say: too large to be true, too small, too large.
    for (n_bytes, found) in
        [(4_000 * MEGA, "which they cannot"), (small.len() - 1, "not the"), (small.len() + 1, "not the")]
    {
        let false_size = [entry("x.npy", 0, n_bytes), entry("y.npy", 1, two.len())];
        fs::write(folder.join("false.npz"), zip(&[&small, &two], &false_size)).unwrap();
        let error = npy::read_npz(folder.join("false.npz")).unwrap_err().to_string();
        assert!(error.contains("x") && error.contains(found), "{error}");
    }

    // A header whose shape is more than its bytes, or more than there are numbers for.
    for shape in [
        "(4611686018427387904, 16)",
        "(9223372036854775807, 2, 2)",
        "(18446744073709551615,)",
        "(4294967296, 4294967296)",
    ] {
        fs::write(folder.join("shape.npy"), [npy_header("<f8", shape), vec![0; 64]].concat()).unwrap();
        let error = npy::read(folder.join("shape.npy")).unwrap_err().to_string();
        assert!(error.contains("shape.npy"), "{error}");
    }
}

#[test]
fn tables_cannot_ask_for_more_than_there_is() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path();
    let n = 10 * MEGA;
    let columns =
        vec![Series::new("x".into(), vec![7_i32; n]).into(), Series::new("y".into(), vec![true; n]).into()];
    let mut frame = DataFrame::new(n, columns).unwrap();
    ParquetWriter::new(File::create(folder.join("flat.parquet")).unwrap()).finish(&mut frame).unwrap();
    drop(frame);
    assert!(fs::metadata(folder.join("flat.parquet")).unwrap().len() < MEGA as u64);
    refuses(folder, &["train", "flat.parquet", "--target", "y"], &["flat.parquet needs ", "but 100.0 MB"]);

    let mut gz = GzEncoder::new(File::create(folder.join("rows.csv.gz")).unwrap(), Compression::fast());
    gz.write_all(b"x,y\n").unwrap();
    let rows = "1,2\n".repeat(MEGA);
    (0..50).for_each(|_| gz.write_all(rows.as_bytes()).unwrap());
    gz.finish().unwrap();
    refuses(folder, &["train", "rows.csv.gz", "--target", "y"], &["rows.csv.gz needs ", "but 100.0 MB"]);

    // A feature for each category of many columns: small in the file, large as features.
    let mut csv = (0..40).map(|i| format!("c{i},")).collect::<String>() + "y\n";
    (0..4000).for_each(|row| {
        (0..40).for_each(|_| csv.push_str(&format!("t{},", row % 250)));
        csv.push_str(if row % 2 == 0 { "a\n" } else { "b\n" });
    });
    fs::write(folder.join("wide.csv"), csv).unwrap();
    refuses(
        folder,
        &["train", "wide.csv", "--target", "y"],
        &["wide.csv: 4000 rows of 10000 features needs 320.0 MB", "leave out columns of many categories"],
    );
}

#[test]
fn images_cannot_ask_for_more_than_there_is() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path();
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 8000, 8000);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header().unwrap().write_image_data(&vec![0; 3 * 8000 * 8000]).unwrap();
    for class in ["a", "b"] {
        fs::create_dir_all(folder.join("images").join(class)).unwrap();
        (0..3).for_each(|i| {
            fs::write(folder.join("images").join(class).join(format!("{i}.png")), &png).unwrap()
        });
    }
    refuses(
        folder,
        &["train", "images"],
        &["images", "6 images of 8000 × 8000 pixels needs ", "`resize` makes them smaller"],
    );
    // What each takes while it is decoded counts too.
    refuses(folder, &["train", "images", "--resize", "8,8"], &["6 images of 8 × 8 pixels needs "]);
}

#[test]
fn an_idx_file_cannot_claim_what_no_machine_has() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("images");
    let mut gz = GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
    gz.write_all(&[0, 0, 8, 3]).unwrap();
    gz.write_all(&[[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0xff, 0xff]].concat()).unwrap();
    gz.finish().unwrap();
    let error = idx::read(&path).unwrap_err().to_string();
    assert!(error.contains("images needs ") && error.contains("GB of memory"), "{error}");
}

#[test]
fn a_models_file_cannot_claim_what_it_does_not_hold() {
    let dir = TempDir::new().unwrap();
    let save = |manifest: serde_json::Value| {
        let path = dir.path().join("model.safetensors");
        let header = serde_json::json!({
            "__metadata__": { "glisten.format": "model 1", "glisten.manifest": manifest.to_string() },
            "normalization.mean": { "dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4] },
            "normalization.inverse": { "dtype": "F32", "shape": [1, 1], "data_offsets": [4, 8] },
        })
        .to_string();
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat();
        fs::write(&path, bytes).unwrap();
        path
    };
    let manifest = |architecture: &str, settings: &str, shape: &[i64], n_classes: usize| {
        let classes: Vec<String> = (0..n_classes).map(|class| class.to_string()).collect();
        serde_json::json!({
            "architecture": architecture, "settings": settings, "input_shape": shape, "classes": classes,
            "dataset": "d", "dataset_fingerprint": "f", "glisten_version": "0.1.0",
        })
    };
    for manifest in [
        manifest("mlp", "[1000000, 1000000]", &[1000], 2),
        manifest("mlp", "[128, 64]", &[200_000_000], 2),
        manifest("lenet", "", &[1, 10_000, 10_000], 2),
        manifest("resnet18", "", &[100_000_000, 1, 1], 2),
        manifest("logistic-regression", "", &[100_000_000], 1000),
    ] {
        let path = save(manifest.clone());
        let error = TrainedModel::load(&path, tch::Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("model.safetensors: expected the weights of a "), "{manifest}: {error}");
    }
    for (manifest, expected) in [
        (manifest("mlp", "[-1]", &[3], 2), "hidden"),
        (manifest("mlp", "[]", &[3], 2), "hidden"),
        (manifest("lenet", "", &[3], 2), "images with classes"),
        (manifest("resnet18", "", &[1, 8, 8], 0), "images with classes"),
    ] {
        let error = TrainedModel::load(save(manifest), tch::Device::Cpu).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_archive_cannot_fill_the_disk() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path();
    let name = "train-images-idx3-ubyte";
    let large = vec![0; 400 * MEGA];
    let entry = |name, stream, n_bytes| Entry { name, stream, n_bytes };
    fs::write(folder.join("wanted.zip"), zip(&[&large], &[entry(name, 0, large.len())])).unwrap();
    let from = |archive: &str| ["data", "fetch", "mnist", "--from", archive].map(str::to_owned);
    let refused = |archive: &str, parts: &[&str]| {
        let arguments = from(archive);
        refuses(folder, &arguments.each_ref().map(String::as_str), parts);
        let left: Vec<_> = fs::read_dir(folder.join("cache/data")).unwrap().flatten().collect();
        assert!(left.iter().all(|entry| entry.file_type().unwrap().is_file()), "{left:?}");
    };
    refused(
        "wanted.zip",
        &["wanted.zip", "it unpacks to 400.0 MB or more, where the data set takes 287.2 MB at most"],
    );
    // What the data set does not need is not unpacked at all.
    fs::write(folder.join("unwanted.zip"), zip(&[&large], &[entry("notes.txt", 0, large.len())])).unwrap();
    refused("unwanted.zip", &["expected a file named train-images-idx3-ubyte", "found no file at all"]);
    let two = [entry(name, 0, 20), entry("t10k-images-idx3-ubyte", 0, 20)];
    fs::write(folder.join("shared.zip"), zip(&[&[0; 20]], &two)).unwrap();
    refused("shared.zip", &["shared.zip", "entries that overlap"]);

    // A tar of one file, gzipped: tar is ended when it has written more than the data set can be.
    let mut header = [0_u8; 512];
    header[..9].copy_from_slice(b"zeros.bin");
    header[100..107].copy_from_slice(b"0000644");
    let size = 3_000 * MEGA;
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    header[148..156].fill(b' ');
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut gz = GzEncoder::new(File::create(folder.join("bomb.tar.gz")).unwrap(), Compression::fast());
    gz.write_all(&header).unwrap();
    let some = vec![0; MEGA];
    (0..3_000).for_each(|_| gz.write_all(&some).unwrap());
    gz.write_all(&[0; 2048]).unwrap();
    gz.finish().unwrap();
    refused("bomb.tar.gz", &["bomb.tar.gz", "where the data set takes 287.2 MB at most"]);
}

/// What is no file, under a name that data have.
#[derive(Debug, Clone, Copy)]
enum NoFile {
    Pipe,
    Socket,
    DanglingLink,
    LinkToDevice,
    Folder,
}

fn put(kind: NoFile, path: &Path) {
    let text = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    match kind {
        // SAFETY: the path ends with a zero byte.
        NoFile::Pipe => assert_eq!(unsafe { libc::mkfifo(text.as_ptr(), 0o600) }, 0),
        NoFile::Socket => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        NoFile::DanglingLink => std::os::unix::fs::symlink("nowhere", path).unwrap(),
        NoFile::LinkToDevice => std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        NoFile::Folder => fs::create_dir(path).unwrap(),
    }
}

/// The error that comes within a while: what waits for a writer to a pipe never comes back.
#[track_caller]
fn soon<T: Send + 'static>(what: &str, work: impl FnOnce() -> glisten::Result<T> + Send + 'static) -> String {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(work().err().map(|error| error.to_string())));
    let outcome = receiver.recv_timeout(Duration::from_secs(60));
    outcome.unwrap_or_else(|_| panic!("{what} hangs")).unwrap_or_else(|| panic!("{what} was read"))
}

#[test]
fn what_is_no_file_is_named_and_never_waited_for() {
    type Read = fn(PathBuf) -> glisten::Result<()>;
    let readers: [(&str, Read); 9] = [
        ("t.csv", |path| Dataset::from_csv(path, "y").map(drop)),
        ("t.csv.gz", |path| DataSpec::new(path.to_str().unwrap()).target("y").load().map(drop)),
        ("t.parquet", |path| Dataset::from_parquet(path, "y").map(drop)),
        ("x.npy", |path| npy::read(path).map(drop)),
        ("x.npz", |path| Dataset::from_npz("x", path).map(drop)),
        ("train-images-idx3-ubyte", |path| {
            Dataset::open_dir(glisten::data::Kind::Mnist, path.parent().unwrap()).map(drop)
        }),
        ("data_batch_1.bin", |path| {
            Dataset::open_dir(glisten::data::Kind::Cifar10, path.parent().unwrap()).map(drop)
        }),
        ("m.safetensors", |path| TrainedModel::load(path, tch::Device::Cpu).map(drop)),
        ("a.zip", |path| {
            let options = FetchOptions {
                from: Some(path.clone()),
                cache: Some(path.with_extension("cache")),
                ..Default::default()
            };
            fetch("mnist", options).map(drop)
        }),
    ];
    for kind in [NoFile::Pipe, NoFile::Socket, NoFile::DanglingLink, NoFile::LinkToDevice] {
        for (name, read) in readers {
            let dir = TempDir::new().unwrap();
            let path = dir.path().join(name);
            put(kind, &path);
            let what = format!("{name} as {kind:?}");
            let error = soon(&what, move || read(path));
            let folder = dir.path().to_str().unwrap();
            assert!(error.contains(folder), "{what}: {error}");
        }
        // Among the images of a class, and in place of a class.
        for place in ["images/a/3.png", "images/a/3.jpg", "images/train"] {
            let dir = TempDir::new().unwrap();
            for class in ["a", "b"] {
                fs::create_dir_all(dir.path().join("images").join(class)).unwrap();
                let image = image::GrayImage::from_pixel(8, 8, image::Luma([9]));
                image.save(dir.path().join("images").join(class).join("1.png")).unwrap();
            }
            put(kind, &dir.path().join(place));
            let images = dir.path().join("images");
            if place == "images/train" {
                assert_eq!(
                    Dataset::from_folder(&images).unwrap().train.len(),
                    2,
                    "beside the classes it is passed over"
                );
                continue;
            }
            let error = soon(place, move || Dataset::from_folder(&images));
            assert!(error.contains(place), "{kind:?}: {error}");
        }
    }
    let dir = TempDir::new().unwrap();
    put(NoFile::Folder, &dir.path().join("x.npy"));
    let error = npy::read(dir.path().join("x.npy")).unwrap_err().to_string();
    assert!(error.contains("x.npy: expected a file, found a folder"), "{error}");
}
