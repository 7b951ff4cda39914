//! Kernelspecs: how Jupyter finds the kernel.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use jupyter_protocol::JupyterKernelspec;

const LOGO_SVG: &[u8] = include_bytes!("../logo/logo-svg.svg");
const LOGO_PNG: &[u8] = include_bytes!("../logo/logo-64x64.png");

/// Where to put a kernelspec, and under which name.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Place {
    /// For this user (the default)
    #[arg(long, conflicts_with_all = ["sys_prefix", "prefix"])]
    user: bool,
    /// Into the active Python environment
    #[arg(long, conflicts_with = "prefix")]
    sys_prefix: bool,
    /// Into PREFIX/share/jupyter
    #[arg(long)]
    prefix: Option<PathBuf>,
    /// The kernel's name, as in `jupyter console --kernel NAME`
    #[arg(long, default_value = "glisten")]
    name: String,
}

/// Writes the kernelspec for this executable and `bundle`, whole or not at all.
///
/// # Errors
/// If the name is no file name, or the folder cannot be written.
pub(crate) fn install(place: &Place, bundle: &Path) -> anyhow::Result<PathBuf> {
    let target = place.folder()?;
    let kernels = target.parent().context("no folder for kernels")?;
    let bundle = std::path::absolute(bundle)?;
    let program = std::env::current_exe()?;
    let argv = [&program, Path::new("run"), Path::new("--connection-file"), Path::new("{connection_file}")];
    let argv = argv.into_iter().chain([Path::new("--bundle"), &bundle]);
    let argv: Option<Vec<String>> = argv.map(|argument| argument.to_str().map(str::to_owned)).collect();
    let spec = JupyterKernelspec {
        argv: argv.context("a path to the kernel is not UTF-8, which a kernelspec cannot hold")?,
        display_name: "Glisten (Rust)".to_owned(),
        language: "rust".to_owned(),
        interrupt_mode: Some("message".to_owned()),
        // jupyter_client takes a missing field, but no null.
        metadata: Some(Default::default()),
        env: Some(Default::default()),
    };
    std::fs::create_dir_all(kernels).with_context(|| format!("{} cannot be made", kernels.display()))?;
    let new = tempfile::Builder::new().prefix(".glisten-").tempdir_in(kernels)?;
    std::fs::write(new.path().join("kernel.json"), serde_json::to_string_pretty(&spec)? + "\n")?;
    std::fs::write(new.path().join("logo-svg.svg"), LOGO_SVG)?;
    std::fs::write(new.path().join("logo-64x64.png"), LOGO_PNG)?;
    set_readable(new.path())?;
    let old = tempfile::Builder::new().prefix(".glisten-").tempdir_in(kernels)?;
    if target.exists() {
        std::fs::rename(&target, old.path().join("old"))?;
    }
    std::fs::rename(new.keep(), &target)
        .with_context(|| format!("{} cannot be written", target.display()))?;
    Ok(target)
}

/// Removes the kernelspec.
///
/// # Errors
/// If there is none, or it cannot be removed.
pub(crate) fn uninstall(place: &Place) -> anyhow::Result<PathBuf> {
    let target = place.folder()?;
    if !target.join("kernel.json").is_file() {
        bail!("no kernel is installed at {}", target.display());
    }
    std::fs::remove_dir_all(&target).with_context(|| format!("{} cannot be removed", target.display()))?;
    Ok(target)
}

impl Place {
    fn folder(&self) -> anyhow::Result<PathBuf> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(allowed) {
            bail!("--name: expected letters, digits, '.', '_' and '-', got '{}'", self.name);
        }
        let data = match (&self.prefix, self.sys_prefix) {
            (Some(prefix), _) => prefix.join("share").join("jupyter"),
            (None, true) => sys_prefix()?.join("share").join("jupyter"),
            (None, false) => user_data()?,
        };
        Ok(data.join("kernels").join(&self.name))
    }
}

/// The folder that Jupyter searches for this user.
fn user_data() -> anyhow::Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("JUPYTER_DATA_DIR") {
        return Ok(folder);
    }
    let home = variable("HOME").context("HOME is not set; use --prefix")?;
    if cfg!(target_os = "macos") {
        return Ok(home.join("Library").join("Jupyter"));
    }
    Ok(variable("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local").join("share")).join("jupyter"))
}

/// The prefix of the active Python environment.
fn sys_prefix() -> anyhow::Result<PathBuf> {
    for name in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        if let Some(folder) = std::env::var_os(name).filter(|value| !value.is_empty()) {
            return Ok(folder.into());
        }
    }
    let output = Command::new("python3").args(["-I", "-c", "import sys; print(sys.prefix)"]).output();
    let output = output.context("--sys-prefix: python3 cannot be run; use --prefix")?;
    if !output.status.success() {
        bail!("--sys-prefix: python3 does not say its prefix; use --prefix");
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// A temporary folder is the owner's alone; a kernelspec is for everybody.
fn set_readable(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
}
