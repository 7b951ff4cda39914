//! libtorch: which one this clone uses, and how it gets there.
//!
//! In order: the folder that `LIBTORCH` names; a PyTorch of the right version that `python3` can import; else the wheels of the
//! Python registry, in the user's cache (all of PyTorch where there is an NVIDIA driver, the CPU part elsewhere;
//! `GLISTEN_LIBTORCH=cpu` or `cuda` decides otherwise). Whatever the
//! source, the clone's `.libtorch` points at an *overlay* of it: see [`overlay`].

mod overlay;
pub(crate) mod wheels;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::folders::{self, Folders};
use crate::plan::{Part, Step};
use crate::{process, say};

/// The version that goes with `tch` 0.24.0.
pub(crate) const VERSION: &str = "2.11.0";

/// Where a libtorch comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The variable `LIBTORCH`.
    Variable,
    /// A PyTorch that `python3` can import.
    Python,
    /// The CPU part of the registry's wheels, in the cache.
    CpuWheels,
    /// All of PyTorch from the registry's wheels, in the cache.
    CudaWheels,
}

impl Origin {
    /// Its name in `source.json` and in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Variable => "LIBTORCH",
            Self::Python => "python3",
            Self::CpuWheels => "cpu wheels",
            Self::CudaWheels => "cuda wheels",
        }
    }
}

/// What must be done before `.libtorch` can be used.
#[derive(Debug)]
pub(crate) struct Plan {
    origin: Origin,
    /// The folder that holds `include` and `lib`; for wheels, where it will be.
    root: PathBuf,
    /// Said to the user: why a nearer source was not taken.
    remark: Option<String>,
}

/// What is missing; `None` if `.libtorch` is as it should be (a few milliseconds).
///
/// # Errors
/// If `LIBTORCH` names a folder that is not a libtorch of the right version.
pub(crate) fn plan(folders: &Folders) -> Result<Option<Plan>> {
    let wants_cuda = wants_cuda()?;
    let variable = std::env::var_os("LIBTORCH").filter(|v| !v.is_empty()).map(PathBuf::from);
    let variable = variable.map(|folder| check_folder(&folder)).transpose()?;
    if let Some(now) = overlay::current(folders) {
        let fits = match (&variable, now.origin.as_str()) {
            (Some(root), _) => *root == now.source,
            (None, "LIBTORCH") => false,
            (None, "cpu wheels") => !wants_cuda,
            (None, "cuda wheels") => wants_cuda,
            (None, _) => true,
        };
        if fits {
            return Ok(None);
        }
    }
    if let Some(root) = variable {
        return Ok(Some(Plan { origin: Origin::Variable, root, remark: None }));
    }
    let remark = match python_torch() {
        Ok(Some(root)) => return Ok(Some(Plan { origin: Origin::Python, root, remark: None })),
        Ok(None) => None,
        Err(why) => Some(format!("{why:#}: not used")),
    };
    let (origin, root) = if wants_cuda {
        (Origin::CudaWheels, wheels::cuda_folder(folders).join("torch"))
    } else {
        (Origin::CpuWheels, wheels::cpu_folder(folders))
    };
    Ok(Some(Plan { origin, root, remark }))
}

/// Whether `.libtorch` points at a whole overlay of the right version.
#[cfg(test)]
pub(crate) fn is_ready(folders: &Folders) -> bool {
    overlay::current(folders).is_some()
}

impl Plan {
    /// The steps, for the announcement.
    pub(crate) fn steps(&self, folders: &Folders) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.root.is_dir() {
            steps.push(match self.origin {
                Origin::CudaWheels => {
                    Step::new("libtorch 2.11.0 with CUDA: download 3 GB, 5 GB on disk", 480.0)
                        .of(Part::Libtorch)
                }
                _ => Step::new("libtorch 2.11.0 for the CPU: download 540 MB, 500 MB on disk", 60.0)
                    .of(Part::Libtorch),
            });
        }
        if !overlay::is_complete(&overlay::folder_for(folders, &self.root)) {
            steps.push(
                Step::per_core("torch-sys's C++ shim and Glisten's operators: compile", 390.0, 2)
                    .of(Part::Libtorch),
            );
        }
        if steps.is_empty() {
            steps.push(
                Step::new(format!("link .libtorch to {}", self.root.display()), 0.0).of(Part::Libtorch),
            );
        }
        steps
    }

    /// Bytes that it will need in the cache.
    pub(crate) fn disk_bytes(&self) -> u64 {
        match self.origin {
            _ if self.root.is_dir() => 100_000_000,
            Origin::CudaWheels => 12_000_000_000,
            _ => 1_200_000_000,
        }
    }

    /// Fetches and compiles what is missing, then points `.libtorch` at it.
    ///
    /// # Errors
    /// If a download does not have the pinned hash, the shim does not compile, a library is missing, or the disk is full.
    pub(crate) fn carry_out(&self, folders: &Folders) -> Result<()> {
        say::step(&format!("libtorch {VERSION} ({})", self.origin.name()));
        if let Some(remark) = &self.remark {
            say::note(remark);
        }
        let store = store(folders);
        let _lock = folders::lock(&store)?;
        wheels::sweep(&store)?;
        match self.origin {
            Origin::CpuWheels => wheels::provide_cpu(folders)?,
            Origin::CudaWheels => wheels::provide_cuda(folders)?,
            Origin::Variable | Origin::Python => {}
        }
        wheels::sweep(&store)?;
        let root = check_folder(&self.root)?;
        let overlay = overlay::provide(folders, &root, self.origin)?;
        folders::replace_link(&folders.libtorch_link(), &overlay)?;
        say::note(&format!(".libtorch -> {}", overlay.display()));
        Ok(())
    }
}

/// The folder of the cache that holds libtorch and the overlays.
fn store(folders: &Folders) -> PathBuf {
    folders.cache.join("libtorch")
}

/// The true path of `folder`, if it is a libtorch of the right version.
///
/// # Errors
/// If not, saying what was expected and found. An overlay stands for the libtorch behind it.
fn check_folder(folder: &Path) -> Result<PathBuf> {
    let root = folder.canonicalize().with_context(|| format!("no libtorch at {}", folder.display()))?;
    let root = overlay::source_of(&root).unwrap_or(root);
    for file in ["lib/libtorch_cpu.so", "lib/libc10.so", "include/torch/csrc/api/include/torch/all.h"] {
        if !root.join(file).is_file() {
            bail!("{} is no libtorch: it has no {file}", root.display());
        }
    }
    let found =
        version_of(&root).with_context(|| format!("cannot tell the version of {}", root.display()))?;
    if found != VERSION {
        bail!("{} is libtorch {found}; Glisten needs {VERSION}", root.display());
    }
    Ok(root)
}

/// The version of the libtorch in `root`, from `build-version` or its headers.
fn version_of(root: &Path) -> Option<String> {
    let read = |name: &str| std::fs::read_to_string(root.join(name)).ok();
    let release = |text: &str| text.split('+').next().map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
    read("build-version").and_then(|text| release(&text)).or_else(|| {
        [
            "include/torch/headeronly/version.h",
            "include/torch/version.h",
            "include/torch/csrc/api/include/torch/version.h",
        ]
        .iter()
        .find_map(|header| version_in_header(&read(header)?))
    })
}

/// The version that the macros of a `version.h` make up.
pub(crate) fn version_in_header(text: &str) -> Option<String> {
    let number = |part: &str| {
        let name = format!("TORCH_VERSION_{part}");
        text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let is_it = words.next() == Some("#define") && words.next() == Some(name.as_str());
            if is_it { words.next()?.parse::<u32>().ok() } else { None }
        })
    };
    Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}

/// The folder of a PyTorch of the right version that `python3` can import, found without importing it.
///
/// # Errors
/// If there is one that cannot be used; the message says why.
fn python_torch() -> Result<Option<PathBuf>> {
    const PROBE: &str = "import importlib.metadata as m, importlib.util as u\n\
        s = u.find_spec('torch')\n\
        print(m.version('torch'), list(s.submodule_search_locations)[0], sep='\\n')";
    let Ok(text) = process::output(Command::new("python3").args(["-c", PROBE])) else { return Ok(None) };
    let mut lines = text.lines();
    let (Some(version), Some(folder)) = (lines.next(), lines.next()) else { return Ok(None) };
    if version.split('+').next() != Some(VERSION) {
        bail!("python3 has PyTorch {version}, Glisten needs {VERSION}");
    }
    check_folder(Path::new(folder)).map(Some)
}

/// Which set of wheels this machine wants.
///
/// # Errors
/// If `GLISTEN_LIBTORCH` is neither `cpu` nor `cuda`.
fn wants_cuda() -> Result<bool> {
    match std::env::var("GLISTEN_LIBTORCH").as_deref() {
        Ok("cpu") => Ok(false),
        Ok("cuda") => Ok(true),
        Ok("") | Err(_) => Ok(has_nvidia_driver()),
        Ok(other) => bail!("GLISTEN_LIBTORCH: expected `cpu` or `cuda`, found `{other}`"),
    }
}

fn has_nvidia_driver() -> bool {
    let known = [
        "/proc/driver/nvidia/version",
        "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
        "/usr/lib64/libcuda.so.1",
        "/usr/lib/libcuda.so.1",
        "/usr/lib/wsl/lib/libcuda.so.1",
    ];
    known.iter().any(|file| Path::new(file).exists())
}
