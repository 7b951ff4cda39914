//! `cargo xtask lab`: JupyterLab on `notebooks/`, with the Glisten kernel.

use anyhow::Result;

use crate::folders::Folders;
use crate::{process, python, say, setup};

/// Does the set-up, then runs JupyterLab with `args` until it is stopped.
///
/// # Errors
/// If a step of the set-up fails, or JupyterLab does.
pub(crate) fn run(folders: &Folders, args: &[String]) -> Result<()> {
    let ready = setup::whole(folders, Vec::new())?;
    say::step("JupyterLab (Ctrl-C ends it)");
    let notebooks = folders.root.join("notebooks");
    let mut lab = python::command(&ready.python);
    lab.args(["-m", "jupyterlab", "--MultiKernelManager.default_kernel_name=glisten"]);
    lab.arg(format!("--ServerApp.root_dir={}", notebooks.display())).args(args);
    // SAFETY: `geteuid` has no preconditions.
    if unsafe { libc::geteuid() } == 0 {
        lab.arg("--allow-root");
    }
    let ended = process::run_in_terminal(lab.current_dir(&notebooks));
    if process::interrupted() { Ok(()) } else { ended }
}
