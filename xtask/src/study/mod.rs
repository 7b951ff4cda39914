//! `cargo xtask study NAME`: a study again, into a store of its own. Runs that the store holds are not done again.

mod lenet;
mod strategies;

use anyhow::{Result, ensure};

use crate::folders::Folders;

/// A study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Study {
    /// LeNet on MNIST, Fashion-MNIST and CIFAR-10: full data, GLISTER, fresh random and fixed random
    Lenet,
    /// Every strategy on four data sets, clean, with noisy labels and unbalanced, against fresh random at equal time
    Strategies,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// Which one
    #[arg(value_enum)]
    study: Study,
    /// lenet: a small part of the data, two epochs, two seeds, to see that it works. strategies: the main comparisons with
    /// seeds of their own, beside the results that are kept in the repository; at most 15 minutes on two cores
    #[arg(long)]
    quick: bool,
    /// strategies: more fractions, noise rates and schedules, every strategy in every condition; hours
    #[arg(long, conflicts_with = "quick")]
    full: bool,
    /// strategies: say what would be run and about how long it takes, and run nothing
    #[arg(long)]
    list: bool,
    /// strategies: run nothing, and say what the runs say that are there
    #[arg(long, conflicts_with = "list")]
    analyse: bool,
    /// strategies: keep figures and charts in the repository, for the README and for `--quick` to be set beside
    #[arg(long, conflicts_with_all = ["quick", "list"])]
    save: bool,
}

/// Does what is missing of the study, and says what came of it.
///
/// # Errors
/// If a step of the set-up or a training fails.
pub(crate) fn run(folders: &Folders, arguments: Arguments) -> Result<()> {
    let Arguments { study, quick, full, list, analyse, save } = arguments;
    match study {
        Study::Lenet => {
            ensure!(
                !(full || list || analyse || save),
                "--full, --list, --analyse and --save: only `study strategies` has such an option"
            );
            lenet::run(folders, quick)
        }
        Study::Strategies => {
            let size = match (quick, full) {
                (true, _) => strategies::Size::Quick,
                (_, true) => strategies::Size::Full,
                _ => strategies::Size::Main,
            };
            if list {
                strategies::list(size);
                return Ok(());
            }
            if analyse {
                return strategies::analyse(folders, size, save);
            }
            strategies::run(folders, size, save)
        }
    }
}
