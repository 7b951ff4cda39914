//! `glisten doctor`: what this machine gives Glisten to work with.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use glisten::data::{Kind, cache_dir};
use glisten::device::{self, Cuda};
use glisten::ops;

/// The libtorch that tch 0.24 is written for.
const LIBTORCH: &str = "2.11.0";

#[derive(clap::Args)]
#[command(after_help = "Example:
  glisten doctor                    # exit status 1 if something does not fit")]
pub(super) struct DoctorArguments {
    /// The notebook bundle; if not given, the one beside this program
    #[arg(long, value_name = "FOLDER", env = "GLISTEN_BUNDLE")]
    bundle: Option<PathBuf>,
}

impl DoctorArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut fits = true;
        let mut say = |what: &str, finding: Result<String, String>| {
            let (mark, text) = match finding {
                Ok(text) => (console::style("ok").green(), text),
                Err(text) => {
                    fits = false;
                    (console::style("!!").red(), text)
                }
            };
            super::print::drawn(&format!("{mark} {what:<10} {}", super::text::printable_lines(&text)));
        };
        say("glisten", Ok(env!("CARGO_PKG_VERSION").to_owned()));
        say("libtorch", libtorch());
        say("cuda", cuda());
        say("device", Ok(device::name(device::best())));
        let path = ops::cpu_path().map(|path| format!("{path} instructions"));
        say("cpu", path.map_err(|error| error.to_string()));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        say("threads", Ok(format!("{} for libtorch, {cores} cores to run on", tch::get_num_threads())));
        let rustc = rustc_version();
        let version = rustc.as_deref().map(first_line).map_err(Clone::clone);
        say("rustc", version.map(|line| format!("{line} (needed for notebook cells only)")));
        say("bundle", bundle(self.bundle, rustc.ok().as_deref()));
        say("data", data());
        Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn libtorch() -> Result<String, String> {
    // A tensor that adds up says more than a version does.
    let sum = tch::Tensor::from_slice(&[1.0_f32, 2.0]).sum(tch::Kind::Float).double_value(&[]);
    if sum != 3.0 {
        return Err(format!("1 + 2 = {sum}: this libtorch does not work"));
    }
    let Some(folder) = device::libtorch_folder() else {
        return Ok("of unknown version, from an unknown folder".to_owned());
    };
    let text = format!("in {}", folder.display());
    let version = device::libtorch_version();
    let origin = origin(&folder).map(|origin| format!(" ({origin})")).unwrap_or_default();
    match version {
        Some(version) if version == LIBTORCH => Ok(format!("{version} {text}{origin}")),
        Some(version) => {
            Err(format!("{version} {text}{origin}, but {LIBTORCH} is needed: `cargo xtask libtorch`"))
        }
        None => Ok(format!("of unknown version {text}{origin}")),
    }
}

/// Where the set-up took libtorch from.
fn origin(lib: &Path) -> Option<String> {
    let source = std::fs::read(lib.parent()?.join("source.json")).ok()?;
    let source: serde_json::Value = serde_json::from_slice(&source).ok()?;
    let text = |name: &str| source.get(name)?.as_str();
    Some(format!("{}, {}", text("origin")?, text("source")?))
}

fn cuda() -> Result<String, String> {
    match device::open_cuda() {
        Cuda::NoDriver => Ok("none: no NVIDIA driver here".to_owned()),
        Cuda::Open(path) if tch::Cuda::is_available() => {
            Ok(format!("{} devices, through {}", tch::Cuda::device_count(), path.display()))
        }
        Cuda::Open(path) => Err(format!("{} is open, but it finds no device", path.display())),
        Cuda::NotOpened(error) => Err(format!("could not be opened: {error}")),
        Cuda::NoLibrary(folders) => {
            let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
            Err(format!(
                "there is a driver, but no libtorch_cuda.so in {}; name its folder in {}",
                folders.join(", "),
                device::CUDA_FOLDER_VARIABLE
            ))
        }
    }
}

fn rustc_version() -> Result<String, String> {
    let program = glisten::program::find("rustc").ok_or("rustc is not on the PATH")?;
    // Not here: what stands in the current folder (rust-toolchain.toml) would say which toolchain is fetched and run.
    let output = Command::new(program)
        .current_dir("/")
        .arg("-vV")
        .output()
        .map_err(|error| format!("rustc does not start: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the bundle was made by the rustc that cells will be compiled with.
fn bundle(folder: Option<PathBuf>, rustc: Option<&str>) -> Result<String, String> {
    let Some(folder) = folder.or_else(beside_this_program) else {
        return Ok("none beside this program; `cargo xtask demo` makes one for notebooks".to_owned());
    };
    let path = folder.join("bundle.json");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let made_by = json.get("rustc").and_then(|rustc| rustc.as_str()).unwrap_or_default();
    match rustc {
        Some(rustc) if rustc.trim() == made_by.trim() => Ok(format!("{} fits this rustc", folder.display())),
        Some(rustc) => Err(format!(
            "{} was made by '{}', but this is '{}': `cargo xtask bundle` makes it anew",
            folder.display(),
            first_line(made_by),
            first_line(rustc)
        )),
        None => Err(format!("{} needs rustc '{}'", folder.display(), first_line(made_by))),
    }
}

fn beside_this_program() -> Option<PathBuf> {
    let folder = std::env::current_exe().ok()?.parent().and_then(Path::parent)?.join("bundle");
    folder.join("bundle.json").is_file().then_some(folder)
}

fn data() -> Result<String, String> {
    let cache = cache_dir().map_err(|error| error.to_string())?;
    let there =
        Kind::ALL.iter().filter(|kind| cache.join("data").join(kind.name()).is_dir()).map(|kind| kind.name());
    let there: Vec<_> = there.collect();
    let there = if there.is_empty() { "none yet".to_owned() } else { there.join(", ") };
    Ok(format!("{there}, cached in {}", cache.display()))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
