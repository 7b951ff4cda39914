//! `cargo xtask study strategies`: every strategy beside fresh random at equal wall time and beside full data, on four data
//! sets, clean, with noisy labels and unbalanced.

mod covertype;
mod grid;
mod queue;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

pub(crate) use self::grid::Size;
use self::grid::{Data, Sweep};
use self::queue::{Job, Place};
use crate::folders::{self, Folders};
use crate::plan::Step;
use crate::{process, say, setup};

/// The study's name, also of its files.
fn name(size: Size) -> &'static str {
    if size == Size::Quick { "strategies-quick" } else { "strategies" }
}

/// Says what would be run, and about how long it takes.
pub(crate) fn list(size: Size) {
    let sweeps = grid::sweeps(size);
    let width = sweeps.iter().map(|sweep| sweep.name().len()).max().unwrap_or_default();
    let mut secs = 0.0;
    for sweep in &sweeps {
        let own = sweep.secs() * sweep.seeds.len() as f64;
        secs += own;
        let n_runs = sweep.n_runs() * sweep.seeds.len();
        println!("{:width$}  {n_runs:>4} runs  {:>6.1} min of a core", sweep.name(), own / 60.0);
    }
    let n_runs: usize = sweeps.iter().map(|sweep| sweep.n_runs() * sweep.seeds.len()).sum();
    let workers = queue::n_workers();
    println!("{n_runs} runs, about {:.0} min on {workers} cores", secs / 60.0 / workers as f64);
}

/// Does what is missing of the study, and says what came of it.
///
/// # Errors
/// If a step of the set-up or a training fails.
pub(crate) fn run(folders: &Folders, size: Size) -> Result<()> {
    let start = Instant::now();
    let out = folders.target.join("study");
    let folder = out.join(name(size));
    let store = out.join(format!("{}.db", name(size)));
    let sweeps = grid::sweeps(size);
    let program = folders.program("glisten")?;
    let place = Place { folder: &folder, store: &store, program: &program };
    let missing = place.missing(jobs(folders, &folder, &sweeps));
    let secs: f64 = missing.iter().map(|job| job.secs).sum();
    let what = format!("the study '{}' (what its store holds is kept)", name(size));
    let mut steps = vec![Step::per_core(what, secs, queue::n_workers())];
    if !covertype::is_there(folders) {
        steps.insert(0, Step::new("Covertype: download 40 MB, unpack and sample it", 30.0));
    }
    setup::up_to_programs(folders, steps)?;
    let _lock = folders::lock(&folder)?;
    // Another command may have done some of it while this one waited.
    let missing = place.missing(missing);
    if !missing.is_empty() {
        covertype::provide(folders)?;
        for data in Data::ALL {
            let used = sweeps.iter().any(|sweep| sweep.data == data);
            if used && data != Data::Covertype {
                process::run(Command::new(&program).args(["data", "fetch", data.name()]))?;
            }
        }
        say::step(&format!("{} jobs, {} at once", missing.len(), queue::n_workers()));
    }
    place.run_all(missing)?;
    say::step("done");
    say::note(&format!("store    {}", store.display()));
    say::note(&format!("time     {}", say::duration(start.elapsed())));
    Ok(())
}

/// The jobs of `sweeps` in their order, their sweep files in `folder`.
fn jobs(folders: &Folders, folder: &Path, sweeps: &[Sweep]) -> Vec<Job> {
    let tables = covertype::folder(folders);
    let of = |sweep: &Sweep| {
        let (name, secs) = (sweep.name(), sweep.secs());
        let file = folder.join(format!("{name}.toml"));
        let text = sweep.to_toml(&tables);
        let digest = folders::digest(&text);
        let job = move |&seed: &u64| Job {
            sweep: name.clone(),
            file: file.clone(),
            text: text.clone(),
            digest: digest.clone(),
            seed,
            secs,
        };
        sweep.seeds.iter().map(job).collect::<Vec<_>>()
    };
    queue::in_order(sweeps.iter().flat_map(of).collect())
}
