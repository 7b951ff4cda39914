//! Our side of `cargo xtask bench selection`: one selection for each line of JSON on stdin, one line of JSON for its result.
//!
//! `selection rounds N D C DEVICE` makes features of its own instead, and says how long one round and a whole selection take there,
//! beside one read of the features.
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
use tch::{Device, Kind, Tensor};

/// What the last layer sees of the samples.
struct Problem {
    train: LastLayer,
    validation: LastLayer,
}

impl Problem {
    fn read(folder: &Path, device: Device) -> Result<Self> {
        let read = |part: &str, what: &str| {
            let file = folder.join(format!("{part}_{what}.npy"));
            let tensor =
                Tensor::read_npy(&file).with_context(|| format!("cannot read {}", file.display()))?;
            anyhow::Ok(tensor.f_to_device(device)?)
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
    glisten::device::open_cuda();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => serve(),
        ["rounds", n, d, c, device] => {
            println!("{}", rounds([n.parse()?, d.parse()?, c.parse()?], glisten::device::named(device)?)?);
            Ok(())
        }
        _ => anyhow::bail!("expected nothing or `rounds N D C DEVICE`, got {arguments:?}"),
    }
}

/// Validation samples of [`rounds`].
const N_VALIDATION: i64 = 5000;
/// The share of the samples that [`rounds`] selects.
const SHARE: f64 = 0.1;

/// One round over all samples, and RGreedy with 15 of them, with weights, on features `f32 [N, D]` and logits `f32 [N, C]` made here.
fn rounds([n, d, c]: [i64; 3], device: Device) -> Result<Value> {
    let part = |n: i64| {
        anyhow::Ok(LastLayer {
            features: Tensor::f_randn([n, d], (Kind::Float, device))?.f_relu_()?,
            logits: Tensor::f_randn([n, c], (Kind::Float, device))?,
            labels: Tensor::f_randint(c, [n], (Kind::Int64, device))?,
        })
    };
    tch::manual_seed(1);
    let (train, validation) = (part(n)?, part(N_VALIDATION)?);
    let budget = (n as f64 * SHARE) as i64;
    let median_secs = |call: &dyn Fn() -> Result<()>| {
        let mut secs = Vec::new();
        // The first two warm up: memory is got, kernels are loaded.
        for trial in 0..11 {
            glisten::device::synchronize(device);
            let start = Instant::now();
            call()?;
            glisten::device::synchronize(device);
            if trial >= 2 {
                secs.push(start.elapsed().as_secs_f64());
            }
        }
        secs.sort_by(f64::total_cmp);
        anyhow::Ok(secs[secs.len() / 2])
    };
    let read = median_secs(&|| {
        let _sum = train.features.f_sum(Kind::Float)?;
        Ok(())
    })?;
    let choose = |rounds: usize| {
        let glister =
            Glister { greedy: Greedy::RGreedy { rounds }, linear_layer: true, ..Default::default() };
        median_secs(&|| {
            glister.choose(&train, &validation, budget, 0)?;
            Ok(())
        })
    };
    let (round, selection) = (choose(1)?, choose(15)?);
    Ok(json!({
        "n": n, "d": d, "c": c, "device": glisten::device::name(device), "budget": budget,
        "read_ms": read * 1e3, "gigabytes_per_second": (4 * n * d) as f64 / read / 1e9,
        "round_ms": round * 1e3, "round_in_reads": round / read,
        "selection_ms": selection * 1e3, "selection_in_reads": selection / read,
    }))
}

/// Answers requests until there are no more.
fn serve() -> Result<()> {
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
            let device = glisten::device::named(request["device"].as_str().unwrap_or("cpu"))?;
            loaded = Some((folder.to_owned(), Problem::read(Path::new(folder), device)?));
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
    let device = problem.train.features.device();
    glisten::device::synchronize(device);
    let start = Instant::now();
    let selection = glister.choose(&problem.train, &problem.validation, budget, seed)?;
    glisten::device::synchronize(device);
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
