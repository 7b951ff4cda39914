//! Our side of `cargo xtask bench selection`: one selection for each line of JSON on stdin, one line of JSON for its result.
//!
//! A request names a folder with features, logits and labels of the training and validation samples as `.npy` files, and the
//! selection's settings. What is timed is the choice; the network's pass is part of neither side. Asked for `n_samples`, it says as
//! well which candidates the first so many random samples of the stochastic greedy held, so that CORDS can choose from the same.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use glisten::prelude::*;
use glisten::select::LastLayer;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tch::Tensor;

/// What the last layer sees of the samples.
struct Problem {
    train: LastLayer,
    validation: LastLayer,
}

impl Problem {
    fn read(folder: &Path) -> Result<Self> {
        let read = |part: &str, what: &str| {
            let file = folder.join(format!("{part}_{what}.npy"));
            Tensor::read_npy(&file).with_context(|| format!("cannot read {}", file.display()))
        };
        let part = |part| {
            anyhow::Ok(LastLayer {
                features: read(part, "features")?,
                logits: read(part, "logits")?,
                labels: read(part, "labels")?,
            })
        };
        Ok(Self { train: part("train")?, validation: part("validation")? })
    }
}

fn main() -> Result<()> {
    let mut loaded: Option<(String, Problem)> = None;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        if let Some(threads) = request["threads"].as_i64() {
            tch::set_num_threads(i32::try_from(threads)?);
        }
        let folder = request["folder"].as_str().context("no folder")?;
        if loaded.as_ref().is_none_or(|(name, _)| name != folder) {
            // The old one goes before the new one comes.
            drop(loaded.take());
            loaded = Some((folder.to_owned(), Problem::read(Path::new(folder))?));
        }
        let (_, problem) = loaded.as_ref().context("nothing loaded")?;
        let result = select(problem, &request)?;
        println!("{result}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn select(problem: &Problem, request: &Value) -> Result<Value> {
    let number = |name: &str| request[name].as_f64().with_context(|| format!("no number '{name}'"));
    let greedy = match request["greedy"].as_str() {
        Some("RGreedy") => Greedy::RGreedy { rounds: number("rounds")? as usize },
        Some("Stochastic") => Greedy::Stochastic { epsilon: number("epsilon")? },
        other => anyhow::bail!("greedy {other:?} is not measured"),
    };
    let linear_layer = request["linear_layer"].as_bool().context("no linear_layer")?;
    let glister = Glister { greedy, eta: number("eta")?, linear_layer, ..Default::default() };
    let (budget, seed) = (number("budget")? as i64, number("seed")? as u64);
    let rss_before = memory::start_peak()?;
    let start = Instant::now();
    let selection = glister.choose(&problem.train, &problem.validation, budget, seed)?;
    let secs = start.elapsed().as_secs_f64();
    let growth_mb = (memory::peak()? - rss_before) / 1e6;
    let indices = Vec::<i64>::try_from(&selection.indices)?;
    let samples = match (greedy, request["n_samples"].as_u64()) {
        (Greedy::Stochastic { epsilon }, Some(n_samples)) => {
            samples(problem.train.labels.size()[0] as usize, epsilon, seed, &indices, n_samples as usize)?
        }
        _ => Vec::new(),
    };
    Ok(json!({ "secs": secs, "growth_mb": growth_mb, "indices": indices, "samples": samples }))
}

/// The first samples from which the stochastic greedy made these picks among `n` candidates.
fn samples(n: usize, epsilon: f64, seed: u64, picks: &[i64], n_samples: usize) -> Result<Vec<Vec<usize>>> {
    let size = ((n as f64 / picks.len() as f64 * (1.0 / epsilon).ln()) as usize).max(1);
    let mut draws = ChaCha8Rng::seed_from_u64(seed);
    let mut left: Vec<usize> = (0..n).collect();
    let mut samples = Vec::new();
    for &pick in picks.iter().take(n_samples) {
        let positions = if size < left.len() {
            rand::seq::index::sample(&mut draws, left.len(), size).into_vec()
        } else {
            (0..left.len()).collect()
        };
        samples.push(positions.iter().map(|&position| left[position]).collect());
        let picked = positions.into_iter().find(|&position| left[position] == pick as usize);
        left.swap_remove(picked.context("a pick that was not in its sample")?);
    }
    Ok(samples)
}

/// The process's resident memory, by Linux's own account.
mod memory {
    use anyhow::{Context, Result};

    /// Gives free memory back, begins a new peak, and returns what is resident now, in bytes.
    pub(crate) fn start_peak() -> Result<f64> {
        // SAFETY: glibc's own call, which takes no pointers.
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        unsafe {
            libc::malloc_trim(0);
        }
        std::fs::write("/proc/self/clear_refs", "5").context("cannot begin a new peak of memory")?;
        of("VmRSS:")
    }

    /// The most that was resident since, in bytes.
    pub(crate) fn peak() -> Result<f64> {
        of("VmHWM:")
    }

    fn of(name: &str) -> Result<f64> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes * 1024.0)
    }
}
