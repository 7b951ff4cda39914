//! The overlay: what Glisten links to, made of links into a libtorch.
//!
//! It differs from the libtorch behind it in two ways. It shows the libraries of the CPU only, so that nothing is tied to
//! CUDA when it is linked (CUDA is opened at run time, from the folder that `source.json` names). And it holds `libtch.so`,
//! torch-sys's C shim as a shared library: notebook cells instantiate generic functions of tch that call into the shim, which
//! rustc hides when it is linked in statically. The same library holds Glisten's own operators, `src/ops/native`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Origin, VERSION, store};
use crate::folders::{self, Folders};
use crate::{preflight, process};

/// The version of torch-sys whose shim is compiled; the number behind it is raised when the way it is made changes.
const RECIPE: &str = "torch-sys 0.24.0, recipe 3";

/// The sources of Glisten's own operators, which are part of the overlay's name: other sources make another overlay.
const OPERATORS: &[(&str, &str)] = &[
    ("convolution.h", include_str!("../../../src/ops/native/convolution.h")),
    ("gather.h", include_str!("../../../src/ops/native/gather.h")),
    ("kernels.cpp", include_str!("../../../src/ops/native/kernels.cpp")),
    ("kernels.h", include_str!("../../../src/ops/native/kernels.h")),
    ("memory.cpp", include_str!("../../../src/ops/native/memory.cpp")),
    ("norm.h", include_str!("../../../src/ops/native/norm.h")),
    ("operators.cpp", include_str!("../../../src/ops/native/operators.cpp")),
    ("small.h", include_str!("../../../src/ops/native/small.h")),
    ("vectors.h", include_str!("../../../src/ops/native/vectors.h")),
    ("winograd.h", include_str!("../../../src/ops/native/winograd.h")),
];

/// Everything that decides what an overlay holds, but for the libtorch behind it.
pub(super) fn recipe() -> String {
    let sources: String = OPERATORS.iter().map(|(name, text)| format!("{name}\n{text}\n")).collect();
    format!("{RECIPE}, operators {}", &folders::digest(&sources)[..16])
}
const TORCH_SYS: (&str, &str) = ("torch-sys", "0.24.0");

/// Starts of the names of libraries that `libtorch_cpu.so` may need, in the wheels and in the archives of libtorch.
const CPU_LIBRARIES: &[&str] = &[
    "libarm_compute",
    "libc10.so",
    "libcudart",
    "libcupti",
    "libgfortran",
    "libgomp",
    "libiomp5",
    "libmkl_",
    "libopenblas",
    "libtorch_cpu.so",
];

/// `source.json` of an overlay.
#[derive(Serialize, Deserialize)]
pub(super) struct Source {
    /// The libtorch behind the overlay: the folder with `include` and `lib`.
    pub(super) source: PathBuf,
    /// Its folder of libraries, where `libtorch_cuda.so` is looked for.
    lib: PathBuf,
    version: String,
    /// Whether `lib` holds `libtorch_cuda.so`.
    cuda: bool,
    /// [`Origin::name`].
    pub(super) origin: String,
    recipe: String,
}

/// The source of the overlay that `.libtorch` points at, if that is whole and of this recipe.
pub(super) fn current(folders: &Folders) -> Option<Source> {
    let overlay = folders.libtorch_link().canonicalize().ok()?;
    is_complete(&overlay).then(|| read_source(&overlay)).flatten()
}

/// The libtorch behind `folder`, if that is an overlay.
pub(super) fn source_of(folder: &Path) -> Option<PathBuf> {
    read_source(folder)?.source.canonicalize().ok()
}

fn read_source(overlay: &Path) -> Option<Source> {
    serde_json::from_slice(&fs::read(overlay.join("source.json")).ok()?).ok()
}

/// Whether `overlay` is whole, of this recipe, and its libtorch is still there.
pub(super) fn is_complete(overlay: &Path) -> bool {
    // `lib/libtorch_cpu.so` is a link: it is no file when the libtorch behind it has gone.
    let is_whole =
        ["lib/libtch.so", "lib/libtorch_cpu.so", "lib/libc10.so"].iter().all(|f| overlay.join(f).is_file());
    is_whole && read_source(overlay).is_some_and(|s| s.recipe == recipe() && s.version == VERSION)
}

/// Where the overlay of the libtorch in `root` is, or will be.
pub(super) fn folder_for(folders: &Folders, root: &Path) -> PathBuf {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let digest = folders::digest(&format!("{}\n{}", recipe(), root.display()));
    store(folders).join(format!("overlay-{}", &digest[..16]))
}

/// Makes the overlay of the libtorch in `root` (about four minutes of C++), unless it is there.
///
/// # Errors
/// If torch-sys's sources cannot be found, do not compile, or the result misses a library.
pub(super) fn provide(folders: &Folders, root: &Path, origin: Origin) -> Result<PathBuf> {
    let overlay = folder_for(folders, root);
    let source = Source {
        source: root.to_owned(),
        lib: root.join("lib"),
        version: VERSION.to_owned(),
        cuda: root.join("lib/libtorch_cuda.so").is_file(),
        origin: origin.name().to_owned(),
        recipe: recipe(),
    };
    if is_complete(&overlay) {
        folders::write_atomically(&overlay.join("source.json"), serde_json::to_string_pretty(&source)?)?;
        return Ok(overlay);
    }
    folders::remove(&overlay)?;
    let part = folders::with_suffix(&overlay, ".part");
    folders::remove(&part)?;
    let lib = part.join("lib");
    fs::create_dir_all(&lib).with_context(|| format!("cannot make {}", lib.display()))?;
    folders::replace_link(&part.join("include"), &root.join("include"))?;
    for library in cpu_libraries(root)? {
        let name = library.file_name().context("a library without a name")?;
        folders::replace_link(&lib.join(name), &library)?;
    }
    // torch-sys's build script, where somebody builds without this repository's configuration, asks for `-ltorch`.
    folders::write_atomically(&lib.join("libtorch.so"), "INPUT(libtorch_cpu.so)\n")?;
    compile_shim(&shim_sources(folders)?, &part)?;
    folders::write_atomically(&part.join("source.json"), serde_json::to_string_pretty(&source)?)?;
    fs::rename(&part, &overlay).with_context(|| format!("cannot make {}", overlay.display()))?;
    Ok(overlay)
}

/// The libraries of `root` that the CPU needs, and those of NVIDIA's packages beside it that PyTorch's CPU library was linked to.
fn cpu_libraries(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut look_in = vec![root.join("lib")];
    if let Some(packages) = root.parent().filter(|_| root.ends_with("torch"))
        && let Ok(entries) = fs::read_dir(packages.join("nvidia"))
    {
        look_in.extend(entries.filter_map(|e| Some(e.ok()?.path().join("lib"))));
    }
    for folder in look_in {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.contains(".so") && CPU_LIBRARIES.iter().any(|start| name.starts_with(start)) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// The OpenMP libraries in `lib`.
fn openmp_libraries(lib: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(lib).with_context(|| format!("cannot read {}", lib.display()))?;
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libgomp") || name.starts_with("libiomp5")
    });
    Ok(found)
}

/// The folder of the shim's sources, among those that cargo has downloaded.
fn shim_sources(folders: &Folders) -> Result<PathBuf> {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    // Where the crates are not there yet, this shows how they are downloaded.
    process::run(folders.cargo()?.args(["fetch", "--locked", "--target", &host]))?;
    let mut command = folders.cargo()?;
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &host]);
    let metadata: serde_json::Value =
        serde_json::from_str(&process::output(&mut command)?).context("`cargo metadata` gave no JSON")?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` lists no packages")?;
    let package = packages
        .iter()
        .find(|p| p["name"] == TORCH_SYS.0 && p["version"] == TORCH_SYS.1)
        .with_context(|| format!("Cargo.lock holds no {} {}", TORCH_SYS.0, TORCH_SYS.1))?;
    let manifest = package["manifest_path"].as_str().context("torch-sys has no manifest")?;
    let sources = Path::new(manifest).with_file_name("libtch");
    if !sources.join("torch_api.cpp").is_file() {
        bail!("torch-sys has no {}", sources.join("torch_api.cpp").display());
    }
    Ok(sources)
}

/// A source file, the name of its object file, and what the compiler is told besides.
struct Unit {
    source: PathBuf,
    object: PathBuf,
    options: Vec<String>,
}

/// The instruction sets that the operators' arithmetic is compiled for; which one is used is decided when it runs.
fn instruction_sets() -> &'static [(&'static str, &'static [&'static str])] {
    if cfg!(target_arch = "x86_64") {
        &[
            ("base", &[]),
            ("avx2", &["-mavx2", "-mfma"]),
            ("avx512", &["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma"]),
        ]
    } else {
        &[("base", &[])]
    }
}

/// What the shim is made of: torch-sys's part in `sources`, and Glisten's operators, written to `place`, where object files
/// go too.
fn units(sources: &Path, place: &Path) -> Result<Vec<Unit>> {
    for (name, text) in OPERATORS {
        folders::write_atomically(&place.join(name), text)?;
    }
    let unit = |folder: &Path, name: &str, object: &str, options: &[&str]| Unit {
        source: folder.join(format!("{name}.cpp")),
        object: place.join(format!("{object}.o")),
        options: options.iter().map(|&option| option.to_owned()).collect(),
    };
    let mut units = vec![
        unit(sources, "torch_api_generated", "torch_api_generated", &["-O1"]),
        unit(sources, "torch_api", "torch_api", &["-O1"]),
        // Without OpenMP libtorch's own header would run what is to run in parallel on one thread.
        unit(place, "operators", "operators", &["-O1", "-fopenmp"]),
        unit(place, "memory", "memory", &["-O2"]),
    ];
    for (set, flags) in instruction_sets() {
        let mut kernels = unit(place, "kernels", &format!("kernels_{set}"), flags);
        kernels.options.extend(["-O3".to_owned(), format!("-DGLISTEN_ISA={set}")]);
        units.push(kernels);
    }
    Ok(units)
}

/// Compiles the shim in `sources` and Glisten's operators against the overlay `part`, as `lib/libtch.so` in it.
fn compile_shim(sources: &Path, part: &Path) -> Result<()> {
    let compiler = preflight::cxx_compiler()?;
    let place = tempfile::tempdir_in(part).context("no folder for the shim's object files")?;
    let units = units(sources, place.path())?;
    let mut compile: Vec<Command> = Vec::new();
    for unit in &units {
        let mut command = Command::new(&compiler);
        command.args(["-std=c++17", "-fPIC", "-w", "-D_GLIBCXX_USE_CXX11_ABI=1", "-DGLOG_USE_GLOG_EXPORT"]);
        command.args(&unit.options);
        for include in ["include", "include/torch/csrc/api/include"] {
            command.arg("-I").arg(part.join(include));
        }
        command.arg("-c").arg(&unit.source).arg("-o").arg(&unit.object);
        compile.push(command);
    }
    process::run_behind_spinner("compiling torch-sys's C++ shim and Glisten's operators", &mut compile)?;
    let lib = part.join("lib");
    let shim = lib.join("libtch.so");
    let mut link = Command::new(&compiler);
    link.arg("-shared").args(units.iter().map(|unit| &unit.object));
    link.arg("-o").arg(&shim).arg("-L").arg(&lib).args(["-ltorch_cpu", "-lc10", "-Wl,-rpath,$ORIGIN"]);
    // The one that libtorch uses: with another one there would be two sets of threads.
    link.args(openmp_libraries(&lib)?);
    process::output(&mut link)?;
    if process::find_program(&["ldd"]).is_some() {
        let needed = process::output(Command::new("ldd").arg(&shim))?;
        let missing: Vec<&str> =
            needed.lines().filter(|line| line.contains("not found")).map(str::trim).collect();
        if !missing.is_empty() {
            bail!("libtorch lacks libraries that it needs: {}", missing.join("; "));
        }
    }
    Ok(())
}
