//! Set-up and developer tasks of Glisten: `cargo xtask demo | lab | test | bench | study | gpu | libtorch | bundle`.
//!
//! Every command makes what it needs and is still missing, says beforehand what that is and about how long it takes, and can
//! be killed at any moment: nothing takes its final name before it is whole, and the next call goes on from there.

mod bench;
mod build;
mod bundle;
mod ci;
mod demo;
mod folders;
mod gpu;
mod lab;
mod libtorch;
mod plan;
mod preflight;
mod process;
mod python;
mod say;
mod setup;
mod study;
mod test;
mod test_environment;
#[cfg(test)]
mod tests;
mod watchdog;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::folders::Folders;

/// Set-up and developer tasks of Glisten. Each command first does what is missing of the set-up.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the example notebook through the kernel; leaves the notebook and its report in target/demo
    Demo,
    /// Open JupyterLab on notebooks/; what follows goes to JupyterLab (`--no-browser`, `--port 9000`)
    #[command(disable_help_flag = true)]
    Lab {
        /// Arguments of JupyterLab
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run every test, and rustfmt, clippy and rustdoc; with a filter, only the tests that it matches
    Test {
        /// Run the long proofs (soaks, hundreds of kills, whole studies) in their full size
        #[arg(long)]
        full: bool,
        /// Filter and options of `cargo nextest run`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        filter: Vec<String>,
    },
    /// Measure Glisten beside its peers; prints a table and writes target/bench/NAME.json
    Bench {
        /// What to measure
        name: bench::Bench,
        /// Few trials, to see that the bench works: not for figures to quote
        #[arg(long)]
        quick: bool,
    },
    /// Do a study again, as far as its store does not hold it; leaves its figures and reports in target/study
    Study(study::Arguments),
    /// Pack what a machine with a GPU needs to measure Glisten there: programs, scripts, CIFAR-10; no Rust is needed there
    Gpu(gpu::Arguments),
    /// Provide libtorch and the C shim of torch-sys, and point .libtorch at them
    Libtorch,
    /// Build the workspace and the bundle that notebook cells link to
    Bundle,
}

fn main() -> ExitCode {
    let args = Args::parse();
    watchdog::start();
    process::listen_for_signals();
    let done = Folders::locate().and_then(|folders| match args.command {
        Command::Demo => demo::run(&folders),
        Command::Lab { args } => lab::run(&folders, &args),
        Command::Test { full, filter } => test::run(&folders, full, &filter),
        Command::Bench { name, quick } => bench::run(&folders, name, bench::Effort { quick }),
        Command::Study(arguments) => study::run(&folders, arguments),
        Command::Gpu(arguments) => gpu::run(&folders, &arguments),
        Command::Libtorch => setup::libtorch_only(&folders),
        Command::Bundle => setup::up_to_bundle(&folders),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if process::interrupted() => {
            eprintln!("\nStopped. The same command goes on from here.");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("{} {error:#}", console::style("error:").red().bold());
            ExitCode::FAILURE
        }
    }
}
