//! Which device there is to compute on, and how CUDA comes to be there: opened at run time, by a program that is linked to
//! libtorch's CPU libraries only.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tch::Device;

use crate::error::{Error, Result};

/// Names a folder that holds `libtorch_cuda.so`, for installations that are found in no other way.
pub const CUDA_FOLDER_VARIABLE: &str = "GLISTEN_TORCH_CUDA";

const CUDA_LIBRARY: &str = "libtorch_cuda.so";

/// What came of the search for CUDA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cuda {
    /// The machine has no NVIDIA driver, so nothing was opened.
    NoDriver,
    /// There is a driver, but no `libtorch_cuda.so` was found in the folders listed.
    NoLibrary(Vec<PathBuf>),
    /// The library is there but could not be opened; the loader's message.
    NotOpened(String),
    /// The library is open.
    Open(PathBuf),
}

/// Opens libtorch's CUDA library where there is a driver and a library. Must run before the first call into libtorch, which
/// settles for good on what it finds then; every way into Glisten calls it. Later calls return the first one's answer.
pub fn open_cuda() -> &'static Cuda {
    static CUDA: OnceLock<Cuda> = OnceLock::new();
    CUDA.get_or_init(|| {
        if !driver_present() {
            return Cuda::NoDriver;
        }
        let folders = cuda_folders();
        let Some(library) =
            folders.iter().map(|folder| folder.join(CUDA_LIBRARY)).find(|path| path.is_file())
        else {
            return Cuda::NoLibrary(folders);
        };
        match open_global(&library) {
            Ok(()) => Cuda::Open(library),
            Err(error) => Cuda::NotOpened(error.to_string()),
        }
    })
}

/// The first CUDA device if there is one that can be used, else the CPU.
pub fn best() -> Device {
    open_cuda();
    Device::cuda_if_available()
}

/// The device a user names: `cpu`, `cuda`, `cuda:1` or `auto`.
///
/// # Errors
/// [`Error::Argument`] for another name, or a CUDA device that is not there.
pub fn named(name: &str) -> Result<Device> {
    open_cuda();
    let n_cuda = tch::Cuda::device_count().max(0);
    let index = match name {
        "auto" => return Ok(best()),
        "cpu" => return Ok(Device::Cpu),
        "cuda" => Some(0),
        other => other.strip_prefix("cuda:").and_then(|index| index.parse().ok()),
    };
    match index {
        Some(index) if (index as i64) < n_cuda => Ok(Device::Cuda(index)),
        Some(_) if n_cuda == 0 => {
            let expected = "'cpu': no CUDA device can be used here (`glisten doctor` says why)";
            Err(Error::argument("device", expected, format!("'{name}'")))
        }
        Some(_) => Err(Error::argument(
            "device",
            format!("'cpu', or one of {n_cuda} CUDA devices"),
            format!("'{name}'"),
        )),
        None => Err(Error::argument("device", "'auto', 'cpu', 'cuda' or 'cuda:INDEX'", format!("'{name}'"))),
    }
}

/// The name of `device` as [`named`] takes it.
pub fn name(device: Device) -> String {
    match device {
        Device::Cpu => "cpu".to_owned(),
        Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Waits until everything queued on `device` has been computed, so that a clock can be read.
pub fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}

/// How many bytes of `device`'s memory are in use, by all processes: what is there less what is free, as CUDA's runtime
/// (`cudaMemGetInfo`) says. libtorch gives nothing back that it once had, so at the end of a training that is its peak. `None` on
/// the CPU, or where the runtime does not say.
pub fn memory_used(device: Device) -> Option<u64> {
    type MemGetInfo = unsafe extern "C" fn(*mut usize, *mut usize) -> libc::c_int;
    if !matches!(device, Device::Cuda(_)) {
        return None;
    }
    // The runtime came with libtorch.
    let process = libloading::os::unix::Library::this();
    let (mut free, mut total) = (0, 0);
    // SAFETY: the runtime's own signature; it writes to the two numbers during the call only.
    let status = unsafe {
        let mem_get_info = process.get::<MemGetInfo>(b"cudaMemGetInfo\0").ok()?;
        mem_get_info(&raw mut free, &raw mut total)
    };
    (status == 0).then(|| total.saturating_sub(free) as u64)
}

/// Sets how many threads libtorch computes with on the CPU in this process, as PyTorch's `set_num_threads`. One seed gives one
/// result with one number of threads.
///
/// # Errors
/// [`Error::Argument`] for a number that is not from 1 to 1024.
pub fn set_threads(n: usize) -> Result<()> {
    const MOST: usize = 1024;
    if !(1..=MOST).contains(&n) {
        return Err(Error::argument("threads", format!("1 to {MOST}"), n));
    }
    tch::set_num_threads(n as i32);
    Ok(())
}

/// How many threads libtorch computes with on the CPU.
pub fn threads() -> usize {
    tch::get_num_threads().max(1) as usize
}

fn driver_present() -> bool {
    Path::new("/proc/driver/nvidia/version").exists()
        // SAFETY: the driver's library has no initialiser beyond its own start-up.
        || unsafe { libloading::Library::new("libcuda.so.1") }.is_ok()
}

/// Where the CUDA library may be, the user's word first: the variable, the loader's path, beside the libtorch that is in use,
/// and the place from which the set-up took it.
fn cuda_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os(CUDA_FOLDER_VARIABLE).map(PathBuf::from).into_iter().collect();
    if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
        folders.extend(std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty()));
    }
    if let Some(lib) = libtorch_folder() {
        let source = lib.parent().map(|root| root.join("source.json"));
        let source = source.and_then(|path| std::fs::read(path).ok());
        let source = source.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        folders.extend(source.and_then(|source| Some(PathBuf::from(source.get("lib")?.as_str()?))));
        folders.push(lib);
    }
    folders
}

/// The folder of the `libtorch_cpu.so` that this process has loaded.
pub fn libtorch_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let loaded = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    let mut folder = None;
    for path in loaded {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name {
            // The shim lies in the folder that the set-up made; libtorch itself may be linked to from there.
            "libtch.so" => return path.parent().map(Path::to_path_buf),
            "libtorch_cpu.so" => folder = path.parent().map(Path::to_path_buf),
            _ => {}
        }
    }
    folder
}

/// The version that libtorch's own header names, beside the library that this process has loaded.
pub fn libtorch_version() -> Option<String> {
    let root = libtorch_folder()?.parent()?.to_path_buf();
    let headers = ["include/torch/headeronly/version.h", "include/torch/version.h"];
    let header = headers.iter().find_map(|header| std::fs::read_to_string(root.join(header)).ok())?;
    let number = |name: &str| {
        let definition = format!("define TORCH_VERSION_{name} ");
        header.lines().find(|line| line.contains(&definition))?.split_whitespace().last()
    };
    let numbers = ["MAJOR", "MINOR", "PATCH"].map(number).into_iter().collect::<Option<Vec<_>>>();
    numbers.map(|numbers| numbers.join("."))
}

/// Opens a library for good, its symbols visible to all that is opened later.
fn open_global(path: &Path) -> Result<(), libloading::Error> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: libtorch's own initialisers run, as they do when Python imports it.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL)? };
    std::mem::forget(library);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_set_within_reason() {
        let before = threads();
        set_threads(1).unwrap();
        assert_eq!(threads(), 1);
        set_threads(before).unwrap();
        for n in [0, 5000] {
            let message = set_threads(n).unwrap_err().to_string();
            assert_eq!(message, format!("threads: expected 1 to 1024, got {n}"));
        }
    }
}
