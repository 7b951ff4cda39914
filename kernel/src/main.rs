//! The Jupyter kernel: cells of Rust with Glisten, polars and tch at hand, compiled against one prebuilt library.
//!
//! Only this package speaks ZeroMQ. It depends on none of what cells use: the prelude lives in the worker process, which
//! this executable starts as `glisten-kernel worker` and which may die without taking the kernel along.

mod bundle;
mod calls;
mod deps;
mod docs;
mod eval;
#[cfg(test)]
mod fuzz;
mod install;
mod interrupt;
mod jupyter;
mod nesting;
mod pump;
mod signals;
mod supervise;
mod temp;
mod worker;
mod worker_main;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use install::Place;

/// The Jupyter kernel of Glisten
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Serve a front end; Jupyter calls this
    Run {
        /// The file with ports and key that the front end has written
        #[arg(long, short = 'f')]
        connection_file: PathBuf,
        /// The notebook bundle
        #[arg(long, env = "GLISTEN_BUNDLE")]
        bundle: Option<PathBuf>,
    },
    /// Tell Jupyter of this kernel
    #[command(after_help = "Example:\n  glisten-kernel install --sys-prefix")]
    Install {
        #[command(flatten)]
        place: Place,
        /// The notebook bundle
        #[arg(long, env = "GLISTEN_BUNDLE")]
        bundle: Option<PathBuf>,
    },
    /// Take the kernel off Jupyter's list
    Uninstall {
        #[command(flatten)]
        place: Place,
    },
    /// Write the index that completion and inspection use
    #[command(hide = true)]
    Index {
        /// A list of crates (name, path, features) as JSON
        #[arg(long)]
        crates: PathBuf,
        /// The file to write
        #[arg(long, short = 'o')]
        output: PathBuf,
    },
    /// Run cells for a kernel
    #[command(hide = true)]
    Worker {
        /// The prelude's shared library
        prelude: PathBuf,
    },
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("GLISTEN_KERNEL_LOG", "warn")).init();
    supervise::watch();
    match act(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("glisten-kernel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(action: Action) -> anyhow::Result<()> {
    match action {
        Action::Run { connection_file, bundle } => {
            jupyter::serve(&connection_file, &bundle_or_default(bundle)?)
        }
        Action::Install { place, bundle } => {
            let bundle = bundle_or_default(bundle)?;
            bundle::Bundle::open(&bundle)?;
            println!("installed {}", install::install(&place, &bundle)?.display());
            Ok(())
        }
        Action::Uninstall { place } => {
            println!("removed {}", install::uninstall(&place)?.display());
            Ok(())
        }
        Action::Index { crates, output } => docs::gather::write_index(&crates, &output),
        Action::Worker { prelude } => worker_main::serve(&prelude),
    }
}

/// The bundle beside the executable's folder: `target/bundle` for `target/release/glisten-kernel`.
fn bundle_or_default(bundle: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(bundle) = bundle {
        return Ok(bundle);
    }
    let program = std::env::current_exe()?;
    let folders = program.ancestors().skip(1).take(2).map(|folder| folder.join("bundle"));
    let folders: Vec<PathBuf> = folders.collect();
    let found = folders.iter().find(|folder| folder.join("bundle.json").is_file()).or(folders.last());
    found.cloned().ok_or_else(|| anyhow::anyhow!("no folder for the bundle; give one with --bundle"))
}
