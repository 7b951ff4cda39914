//! Jobs, each one seed of a sweep in a process of its own, as many at once as there are cores. What is done is marked, so that
//! the next call goes on from there.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{self, Guarded};
use crate::{folders, plan, say};

/// More processes than this are not told when the study is stopped.
const MOST_WORKERS: usize = 8;
/// So many failures one after the other mean that something is wrong with all of them.
const MOST_FAILURES: usize = 3;
/// Lines of a failed job's log that are shown.
const LINES_SHOWN: usize = 12;

/// One seed of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    /// The sweep's name.
    pub(super) sweep: String,
    /// The sweep file and its text.
    pub(super) file: PathBuf,
    pub(super) text: String,
    pub(super) seed: u64,
    /// Estimated, on one core.
    pub(super) secs: f64,
    /// Of the text: a sweep that has become another one is not done.
    pub(super) digest: String,
}

impl Job {
    fn name(&self) -> String {
        format!("{}-seed-{}", self.sweep, self.seed)
    }
}

/// Jobs in the order they are started: by seed, so that a study that was stopped has whole comparisons; of one seed the longest
/// first, so that no core is left with a long one at the end.
pub(super) fn in_order(mut jobs: Vec<Job>) -> Vec<Job> {
    jobs.sort_by(|a, b| a.seed.cmp(&b.seed).then(b.secs.total_cmp(&a.secs)).then(a.sweep.cmp(&b.sweep)));
    jobs
}

/// Where the jobs of a study leave what they leave.
pub(super) struct Place<'a> {
    /// The study's folder.
    pub(super) folder: &'a Path,
    pub(super) store: &'a Path,
    /// `glisten`.
    pub(super) program: &'a Path,
}

impl Place<'_> {
    fn mark(&self, job: &Job) -> PathBuf {
        self.folder.join("done").join(format!("{}-{}", job.name(), &job.digest[..12]))
    }

    fn log(&self, job: &Job) -> PathBuf {
        self.folder.join("logs").join(format!("{}.log", job.name()))
    }

    /// The jobs that are not marked as done. Without the store nothing is.
    pub(super) fn missing(&self, jobs: Vec<Job>) -> Vec<Job> {
        if !self.store.is_file() {
            return jobs;
        }
        jobs.into_iter().filter(|job| !self.mark(job).is_file()).collect()
    }

    /// Does one job.
    fn run(&self, job: &Job) -> Result<()> {
        let path = self.log(job);
        let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut command = Command::new(self.program);
        command.arg("sweep").arg(&job.file).arg("--seeds").arg(job.seed.to_string());
        // The study is of the CPU, wherever it is run.
        command.arg("--store").arg(self.store).args(["--device", "cpu"]);
        // A core for each job: its training sets its own threads, all else gets one too.
        command.envs(["OMP_NUM_THREADS", "POLARS_MAX_THREADS"].map(|name| (name, "1")));
        command.stdout(log.try_clone()?).stderr(log);
        let status = Guarded::start(&mut command)?.wait()?;
        process::check_interrupt()?;
        if !status.success() {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            let last = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            bail!("{} failed ({status}); the end of {}:\n{}", job.name(), path.display(), last.join("\n"));
        }
        folders::write_atomically(&self.mark(job), "")
    }

    /// Does all jobs, saying how far it is.
    ///
    /// # Errors
    /// If some jobs failed, or the user asked to stop; what is done stays done.
    pub(super) fn run_all(&self, jobs: Vec<Job>) -> Result<()> {
        if !self.store.is_file() {
            // Marks of a store that is gone.
            folders::remove(&self.folder.join("done"))?;
        }
        for name in ["done", "logs"] {
            let folder = self.folder.join(name);
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        for job in &jobs {
            folders::write_atomically(&job.file, &job.text)?;
        }
        all(jobs, n_workers(), |job| self.run(job))
    }
}

/// Processes at once.
pub(super) fn n_workers() -> usize {
    plan::n_cores().clamp(1, MOST_WORKERS)
}

/// What the workers share.
struct Progress {
    waiting: VecDeque<Job>,
    n_jobs: usize,
    n_done: usize,
    /// Estimated seconds of what is done, and of all.
    secs_done: f64,
    secs: f64,
    /// What those took.
    secs_taken: f64,
    errors: Vec<anyhow::Error>,
    /// Since the last that succeeded.
    n_failed_in_turn: usize,
}

impl Progress {
    fn of(jobs: Vec<Job>) -> Self {
        Self {
            n_jobs: jobs.len(),
            secs: jobs.iter().map(|job| job.secs).sum(),
            waiting: jobs.into(),
            n_done: 0,
            secs_done: 0.0,
            secs_taken: 0.0,
            errors: Vec::new(),
            n_failed_in_turn: 0,
        }
    }

    /// The next job, if one is to be started.
    fn next(&mut self) -> Option<Job> {
        if process::interrupted() || self.n_failed_in_turn >= MOST_FAILURES {
            None
        } else {
            self.waiting.pop_front()
        }
    }

    /// Takes note of a job's end, and says what is to be said about it.
    fn ended(&mut self, job: &Job, taken: Duration, outcome: Result<()>, n_workers: usize) -> String {
        self.n_done += 1;
        let (n_done, n_jobs) = (self.n_done, self.n_jobs);
        self.secs_done += job.secs;
        if let Err(error) = outcome {
            self.n_failed_in_turn += 1;
            self.errors.push(error);
            return format!("[{n_done}/{n_jobs}] {} seed {}: failed", job.sweep, job.seed);
        }
        self.n_failed_in_turn = 0;
        self.secs_taken += taken.as_secs_f64();
        let left = match self.left(n_workers) {
            Some(left) if n_done < n_jobs => format!("; about {} left", say::duration(left)),
            _ => String::new(),
        };
        let taken = say::duration(taken);
        format!("[{n_done}/{n_jobs}] {} seed {}: {taken}{left}", job.sweep, job.seed)
    }

    /// The time left, if what is to come is estimated as well as what is done.
    fn left(&self, n_workers: usize) -> Option<Duration> {
        let left = (self.secs - self.secs_done) * self.secs_taken / self.secs_done / n_workers as f64;
        Duration::try_from_secs_f64(left).ok()
    }
}

/// Does `jobs` by `run`, `n_workers` at once, in their order.
///
/// # Errors
/// If some failed (all that can be done is done first), or the user asked to stop.
fn all(jobs: Vec<Job>, n_workers: usize, run: impl Fn(&Job) -> Result<()> + Sync) -> Result<()> {
    let progress = Mutex::new(Progress::of(jobs));
    let locked = || progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    std::thread::scope(|scope| {
        for _ in 0..n_workers {
            scope.spawn(|| {
                loop {
                    let Some(job) = locked().next() else { return };
                    let start = Instant::now();
                    let outcome = run(&job);
                    if process::interrupted() {
                        return;
                    }
                    let mut progress = locked();
                    say::note(&progress.ended(&job, start.elapsed(), outcome, n_workers));
                }
            });
        }
    });
    process::check_interrupt()?;
    let progress = progress.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if progress.errors.is_empty() {
        return Ok(());
    }
    let errors: Vec<String> = progress.errors.iter().map(|error| format!("{error:#}")).collect();
    let undone = progress.waiting.len();
    let more = if undone > 0 { format!("\n{undone} jobs were not begun.") } else { String::new() };
    bail!("{}{more}\nThe same command does what is missing.", errors.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use anyhow::{Result, bail};

    use super::{Job, MOST_FAILURES, Place, Progress, all, in_order};

    fn job(sweep: &str, seed: u64, secs: f64) -> Job {
        Job {
            sweep: sweep.to_owned(),
            file: "x.toml".into(),
            text: String::new(),
            seed,
            secs,
            digest: "0123456789abcdef".to_owned(),
        }
    }

    #[test]
    fn whole_seeds_come_first_and_of_one_seed_the_longest() {
        let jobs = vec![job("a", 1, 9.0), job("b", 0, 1.0), job("c", 0, 5.0), job("d", 1, 10.0)];
        let order: Vec<String> = in_order(jobs).into_iter().map(|job| job.sweep).collect();
        assert_eq!(order, ["c", "b", "d", "a"]);
    }

    #[test]
    fn a_failure_stops_nobody_and_is_told_at_the_end() {
        let done = Mutex::new(Vec::new());
        let jobs = (0..6).map(|seed| job("a", seed, 1.0)).collect();
        let run = |job: &Job| -> Result<()> {
            if job.seed == 1 {
                bail!("no such strategy");
            }
            done.lock().unwrap().push(job.seed);
            Ok(())
        };
        let error = format!("{:#}", all(jobs, 2, run).unwrap_err());
        assert!(error.contains("no such strategy") && !error.contains("not begun"), "{error}");
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, [0, 2, 3, 4, 5]);
    }

    #[test]
    fn failures_in_turn_end_it() {
        let jobs = (0..10).map(|seed| job("a", seed, 1.0)).collect();
        let error = format!("{:#}", all(jobs, 1, |_| bail!("disk full")).unwrap_err());
        assert_eq!(error.matches("disk full").count(), MOST_FAILURES);
        assert!(error.contains("7 jobs were not begun"), "{error}");
    }

    #[test]
    fn the_time_left_follows_what_jobs_took() {
        let mut progress = Progress::of(vec![job("a", 0, 10.0), job("b", 0, 30.0)]);
        let first = progress.next().unwrap();
        // Twice as long as estimated: 30 s are 60 s, on two cores 30 s.
        let line = progress.ended(&first, Duration::from_secs(20), Ok(()), 2);
        assert_eq!(line, "[1/2] a seed 0: 20 s; about 30 s left");
        let second = progress.next().unwrap();
        assert_eq!(progress.ended(&second, Duration::from_secs(60), Ok(()), 2), "[2/2] b seed 0: 60 s");
    }

    #[test]
    fn marks_are_of_a_sweep_as_it_was_and_of_a_store_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("s.db");
        let place = Place { folder: folder.path(), store: &store, program: folder.path() };
        let jobs = || vec![job("a", 0, 1.0), job("a", 1, 1.0)];
        std::fs::write(&store, "").unwrap();
        std::fs::create_dir_all(folder.path().join("done")).unwrap();
        std::fs::write(place.mark(&jobs()[0]), "").unwrap();
        assert_eq!(place.missing(jobs()), [job("a", 1, 1.0)]);
        let other = Job { digest: "fedcba9876543210".to_owned(), ..job("a", 0, 1.0) };
        assert_eq!(place.missing(vec![other.clone()]), [other]);
        std::fs::remove_file(&store).unwrap();
        assert_eq!(place.missing(jobs()), jobs());
        place.run_all(Vec::new()).unwrap();
        std::fs::write(&store, "").unwrap();
        assert_eq!(place.missing(jobs()), jobs(), "marks of another store");
    }
}
