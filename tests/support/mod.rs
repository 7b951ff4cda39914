//! What several tests need: a small data set that can be learnt, and the programs that tests drive.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};

use glisten::prelude::{Dataset, Split, Splits};
use tch::{Kind, Tensor};

/// `n` grey images of 28 × 28 in ten classes: class c is a bright bar in its own place, under noise. Made from a seed.
pub(crate) fn bars(n: i64, seed: i64) -> Dataset {
    one_thread();
    let make = |n: i64, seed: i64| {
        tch::manual_seed(seed);
        let labels = Tensor::randint(10, [n], (Kind::Int64, tch::Device::Cpu));
        let images = Tensor::rand([n, 1, 28, 28], (Kind::Float, tch::Device::Cpu)) * 160.0;
        for class in 0..10 {
            let of_class = labels.eq(class).to_kind(Kind::Float).view([-1, 1, 1, 1]) * 90.0;
            let mut bar = images.narrow(2, 2 * class + 3, 3);
            bar += &of_class;
        }
        (images.to_kind(Kind::Uint8), labels)
    };
    let (images, labels) = make(n, seed);
    let (test_images, test_labels) = make(n / 4, seed + 1);
    Dataset::from_tensors("bars", images, labels).unwrap().with_test(test_images, test_labels).unwrap()
}

/// [`bars`], split.
pub(crate) fn split_bars(n: i64) -> Splits {
    bars(n, 7).split(Split { validation: 0.2, seed: 1 }).unwrap()
}

/// Tests run side by side: OpenMP's threads, which spin while they wait for one another, would bring such a machine to a
/// standstill.
fn one_thread() {
    tch::set_num_threads(1);
}

/// The program under test, on one thread.
pub(crate) fn glisten() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glisten"));
    // What a user may have set for themselves is not for the tests, also where `cargo xtask test` does not run them.
    for name in
        ["GLISTEN_STORE", "GLISTEN_RUN", "GLISTEN_EXPERIMENT", "NO_COLOR", "CLICOLOR_FORCE", "COLUMNS"]
    {
        command.env_remove(name);
    }
    command.env("OMP_NUM_THREADS", "1");
    command
}

/// Waits for a child: how it ended, and the most memory that it had, in bytes.
pub(crate) fn wait_measured(child: Child) -> (ExitStatus, u64) {
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: the child is ours and nobody else waits for it; both places are filled by the call.
    let usage = unsafe {
        assert!(libc::wait4(child.id() as libc::pid_t, &raw mut status, 0, usage.as_mut_ptr()) > 0);
        usage.assume_init()
    };
    (ExitStatus::from_raw(status), usage.ru_maxrss as u64 * 1024)
}

/// What the set-up made and names to the tests in a variable, e.g. `GLISTEN_TEST_PYTHON`.
pub(crate) fn from_setup(variable: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) => path.into(),
        None => {
            panic!("{variable} is not set: run the tests by `cargo xtask test`, which sets up what they need")
        }
    }
}

/// Says that a test could not run here: it is counted as skipped in the closing lines of `cargo xtask test`.
pub(crate) fn skipped(name: &str, reason: &str) {
    use std::io::Write;
    println!("SKIPPED {name}: {reason}");
    if let Some(list) = std::env::var_os("GLISTEN_SKIPPED") {
        let mut list = std::fs::OpenOptions::new().append(true).create(true).open(list).unwrap();
        writeln!(list, "{name}: {reason}").unwrap();
    }
}
