//! `cargo xtask study strategies`: every strategy beside fresh random at equal wall time and beside full data, on four data
//! sets, clean, with noisy labels and unbalanced.

mod cells;
mod chart;
mod consistency;
mod covertype;
mod grid;
mod queue;
mod results;
mod runs;
mod statistics;
mod verdicts;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

pub(crate) use self::grid::Size;
use self::grid::{Data, Sweep};
use self::queue::{Job, Place};
use self::results::Results;
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

/// The store of the study's runs.
fn store(folders: &Folders, size: Size) -> PathBuf {
    folders.target.join("study").join(format!("{}.db", name(size)))
}

/// Where what the runs say is written.
struct Files {
    results: PathBuf,
    /// In the order of [`CHARTS`].
    charts: [PathBuf; 2],
}

impl Files {
    fn of(folders: &Folders, size: Size) -> Self {
        let (out, name) = (folders.target.join("study"), name(size));
        Self {
            results: out.join(format!("{name}.json")),
            charts: CHARTS.map(|chart| out.join(format!("{name}-{chart}.svg"))),
        }
    }

    /// What is kept in the repository, for the README and to set a quick study beside.
    fn kept(folders: &Folders) -> Self {
        Self {
            results: folders.root.join("xtask/src/study/strategies/results.json"),
            charts: CHARTS.map(|chart| folders.root.join(format!("notebooks/strategies-{chart}.svg"))),
        }
    }

    fn write(&self, results: &Results) -> Result<()> {
        results.write(&self.results)?;
        let [accuracy_time, difference] = &self.charts;
        folders::write_atomically(accuracy_time, chart::accuracy_time(&results.cells))?;
        folders::write_atomically(difference, chart::difference(&results.cells))
    }
}

/// The charts' names.
const CHARTS: [&str; 2] = ["accuracy-time", "difference"];

/// Does what is missing of the study, and says what came of it. `save`: keep that in the repository.
///
/// # Errors
/// If a step of the set-up or a training fails, or nothing can be said of its runs.
pub(crate) fn run(folders: &Folders, size: Size, save: bool) -> Result<()> {
    let start = Instant::now();
    let folder = folders.target.join("study").join(name(size));
    let store = store(folders, size);
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
    let experiments = say_what_came_of_it(folders, size, save)?;
    let reports = reports(folders, size, &program, &store, &experiments)?;
    say::step("done");
    say::note(&format!("store    {}", store.display()));
    for report in reports {
        say::note(&format!("report   {}", report.display()));
    }
    say::note(&format!("time     {}", say::duration(start.elapsed())));
    Ok(())
}

/// Says what the runs say that the store holds, whether the study is complete or not.
///
/// # Errors
/// If there are none, or they cannot be read.
pub(crate) fn analyse(folders: &Folders, size: Size, save: bool) -> Result<()> {
    say_what_came_of_it(folders, size, save).map(|_| ())
}

/// Says it, and writes it down. Returns the experiments that there are.
fn say_what_came_of_it(folders: &Folders, size: Size, save: bool) -> Result<BTreeSet<(Data, String)>> {
    let (store, files) = (store(folders, size), Files::of(folders, size));
    if !store.is_file() {
        bail!("{}: there are no runs yet; `{}` does them", store.display(), command(size));
    }
    let exported = tempfile::tempdir_in(folders.target.join("study")).context("cannot make a folder")?;
    let runs = runs::read(&folders.program("glisten")?, &store, exported.path())?;
    let n_wanted: usize = grid::sweeps(size).iter().map(|sweep| sweep.n_runs() * sweep.seeds.len()).sum();
    say::note(&format!("{} runs are complete; the study has {n_wanted}", runs.len()));
    let results = Results::new(command(size), &runs);
    files.write(&results)?;
    println!("{}\n{}", results::markdown(&results.cells), verdicts::text(&results.verdicts));
    let kept = Files::kept(folders);
    if size == Size::Quick {
        match Results::read(&kept.results)? {
            Some(kept) => {
                let (lines, n_consistent, n_told) = consistency::beside_kept(&results.cells, &kept.cells);
                println!(
                    "\nBeside the results kept in the repository, whose seeds are others: {n_consistent} of {n_told} \
                     differences are consistent (their 95 % intervals have something in common)\n{lines}"
                );
            }
            None => say::note(&format!("no results are kept in {}", kept.results.display())),
        }
    }
    say::note(&format!("figures  {}", files.results.display()));
    for chart in &files.charts {
        say::note(&format!("chart    {}", chart.display()));
    }
    if save {
        kept.write(&results)?;
        say::note(&format!("kept     {}", kept.results.display()));
    }
    Ok(runs.iter().map(|run| (run.task.data, run.experiment())).collect())
}

/// The command that does the study.
fn command(size: Size) -> &'static str {
    match size {
        Size::Quick => "cargo xtask study strategies --quick",
        Size::Main => "cargo xtask study strategies",
        Size::Full => "cargo xtask study strategies --full",
    }
}

/// A report for each data set.
fn reports(
    folders: &Folders,
    size: Size,
    program: &Path,
    store: &Path,
    experiments: &BTreeSet<(Data, String)>,
) -> Result<Vec<PathBuf>> {
    let mut reports = Vec::new();
    for data in Data::ALL {
        let names: Vec<&str> =
            experiments.iter().filter(|(of, _)| *of == data).map(|(_, name)| name.as_str()).collect();
        if names.is_empty() {
            continue;
        }
        let path = folders.target.join("study").join(format!("{}-{}.html", name(size), data.name()));
        let mut glisten = Command::new(program);
        glisten.arg("report").args(names).arg("--output").arg(&path).arg("--store").arg(store);
        glisten.args(["--title", &format!("Strategies on {}", data.name())]);
        process::output(&mut glisten)?;
        reports.push(path);
    }
    Ok(reports)
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
    // The long schedule last: of a study that was stopped, the comparisons of the short one are whole.
    let jobs = |is_long: bool| {
        let sweeps = sweeps.iter().filter(|sweep| (sweep.epochs >= grid::LONG) == is_long);
        queue::in_order(sweeps.flat_map(of).collect())
    };
    [jobs(false), jobs(true)].concat()
}
