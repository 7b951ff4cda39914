//! Made-up but plausible runs, the same each time: for tests, the bench and pictures to look at. The numbers mean nothing.

#![allow(dead_code)] // each user takes a part

use glisten_reports::{ContactSheet, Sample};
use polars::prelude::*;

/// (strategy, fraction, accuracy at the end, seconds of choosing an epoch)
const CELLS: [(&str, f64, f64, f64); 7] = [
    ("full", 1.0, 0.914, 0.0),
    ("glister", 0.3, 0.902, 0.11),
    ("fresh-random", 0.3, 0.896, 0.002),
    ("glister", 0.1, 0.881, 0.10),
    ("fresh-random", 0.1, 0.866, 0.001),
    ("glister", 0.5, 0.909, 0.12),
    ("fresh-random", 0.5, 0.907, 0.002),
];
const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Tables of runs, metrics and classes.
pub(crate) struct MadeUp {
    /// One row a run.
    pub(crate) runs: DataFrame,
    /// One row a metric, run and epoch.
    pub(crate) metrics: DataFrame,
    /// One row a run that chooses, selection and class.
    pub(crate) classes: DataFrame,
}

/// `n_runs` runs of `n_epochs` epochs: seven strategies and fractions in turn, a seed each round.
pub(crate) fn runs(n_runs: usize, n_epochs: i64) -> MadeUp {
    let mut noise = Noise(7);
    let (mut names, mut strategies, mut fractions, mut seeds) = (vec![], vec![], vec![], vec![]);
    let (mut tests, mut bests, mut losses, mut epochs, mut choosings, mut walls) =
        (vec![], vec![], vec![], vec![], vec![], vec![]);
    let (mut metric_runs, mut metric_names, mut steps, mut values) = (vec![], vec![], vec![], vec![]);
    let (mut class_runs, mut class_epochs, mut class_names, mut class_counts) =
        (vec![], vec![], vec![], vec![]);
    for i in 0..n_runs {
        let (strategy, fraction, accuracy, choosing) = CELLS[i % CELLS.len()];
        let seed = (i / CELLS.len()) as i64;
        let name = format!("{strategy} {} % seed {seed}", fraction * 100.0);
        let end = accuracy + noise.next() * 0.002;
        let mut best: f64 = 0.0;
        for epoch in 1..=n_epochs {
            let progress = 1.0 - (-5.0 * fraction.sqrt().max(0.45) * epoch as f64 / n_epochs as f64).exp();
            let value = 0.45 + (end + 0.003 - 0.45) * progress + noise.next() * 0.004;
            best = best.max(value);
            for (metric, value) in [("validation:accuracy", value), ("validation:loss", 2.3 * (1.0 - value))]
            {
                metric_runs.push(name.clone());
                metric_names.push(metric);
                steps.push(epoch);
                values.push(value);
            }
        }
        if strategy != "full" && n_epochs > 0 {
            let skew = if strategy == "glister" { 1.0 } else { 0.0 };
            for epoch in (1..=n_epochs).step_by((n_epochs as usize / 10).max(1)) {
                for (class, name) in CLASSES.iter().enumerate() {
                    let tilt = skew * ((class as f64 - 4.5) / 9.0) * (1.0 - epoch as f64 / n_epochs as f64);
                    class_runs.push(names.len());
                    class_epochs.push(epoch);
                    class_names.push(*name);
                    class_counts.push((6000.0 * fraction * (1.0 + tilt + 0.05 * noise.next())) as i64);
                }
            }
        }
        let seconds = 3.1 * fraction * (1.0 + noise.next() * 0.02) + 0.05;
        names.push(name);
        strategies.push(strategy);
        fractions.push(fraction);
        seeds.push(seed);
        tests.push(end);
        bests.push(best);
        losses.push(0.9 - 0.7 * best);
        epochs.push(seconds);
        choosings.push(choosing);
        walls.push((seconds + choosing + 0.4) * n_epochs as f64);
    }
    let n = names.len();
    let commands: Vec<String> = strategies
        .iter()
        .zip(&fractions)
        .map(|(strategy, fraction)| {
            format!("glisten train fashion-mnist --strategy {strategy} --fraction {fraction}")
        })
        .collect();
    let classes = df!(
        "run" => class_runs.into_iter().map(|run| names[run].clone()).collect::<Vec<_>>(),
        "epoch" => class_epochs,
        "class" => class_names,
        "count" => class_counts,
    );
    let runs = df!(
        "run" => names,
        "experiment" => vec!["how-much-data"; n],
        "status" => vec!["completed"; n],
        "strategy" => strategies,
        "fraction" => fractions,
        "seed" => seeds,
        "dataset" => vec!["Fashion-MNIST"; n],
        "model" => vec!["lenet"; n],
        "epochs" => vec![n_epochs; n],
        "batch_size" => vec![20_i64; n],
        "learning_rate" => vec![0.01; n],
        "validation:accuracy.max" => bests,
        "validation:loss.min" => losses,
        "test:accuracy.last" => tests,
        "epoch:seconds.avg" => epochs,
        "epoch:seconds.count" => vec![n_epochs; n],
        "selection:seconds.avg" => choosings,
        "selection:seconds.count" => vec![n_epochs; n],
        "run:seconds.last" => walls,
        "command" => commands,
        "git_commit" => vec!["0123456789abcdef0123456789abcdef01234567"; n],
        "os" => vec!["Debian GNU/Linux 12 (bookworm), x86-64"; n],
        "libtorch_version" => vec!["2.11.0"; n],
        "device" => vec!["cpu"; n],
        "threads" => vec![2_i64; n],
    );
    let metrics = df!("run" => metric_runs, "metric" => metric_names, "step" => steps, "value" => values);
    MadeUp { runs: runs.unwrap(), metrics: metrics.unwrap(), classes: classes.unwrap() }
}

/// Sheets of `n` images each way, for the first `n_sheets` strategies and fractions that choose: shapes with as much noise as
/// photographs of clothes have, so that they are as large as such.
pub(crate) fn images(n: usize, n_sheets: usize) -> Vec<ContactSheet> {
    let chosen = CELLS.iter().filter(|cell| cell.0 != "full").take(n_sheets);
    chosen
        .enumerate()
        .map(|(at, (strategy, fraction, ..))| {
            let (from, sample) = (100 * at, |i: usize, n_chosen: u64| sample(i, n_chosen));
            let name = if *strategy == "glister" { "GLISTER" } else { "Fresh random" };
            ContactSheet {
                about: format!("{name} {} %, 3 runs", fraction * 100.0),
                n_selections: 30,
                most: (0..n).map(|i| sample(from + i, 30 - i as u64 / 4)).collect(),
                n_like_most: 3,
                least: (0..n).map(|i| sample(from + i + 50, i as u64 / 4)).collect(),
                n_like_least: 1234,
            }
        })
        .collect()
}

/// A disc in grey or in colour.
fn sample(i: usize, n_chosen: u64) -> Sample {
    let is_grey = !i.is_multiple_of(6);
    let mut noise = Noise(i as u64);
    let mut shade = |x: i64, y: i64| {
        let is_inside = (x - 14).pow(2) + (y - 14).pow(2) < (i as i64 * 3 % 120 + 40);
        if is_inside { (180.0 + 14.0 * noise.next()).clamp(0.0, 255.0) as u8 } else { 0 }
    };
    let mut pixel = |x, y| if is_grey { vec![shade(x, y)] } else { vec![shade(x, y), 90, 160] };
    let pixels = (0..28 * 28).flat_map(|at| pixel(at % 28, at / 28)).collect();
    let class = CLASSES[i % CLASSES.len()].to_owned();
    let true_class = (i % 7 == 3).then(|| CLASSES[(i + 1) % CLASSES.len()].to_owned());
    Sample { index: 37 * i as i64, class, true_class, n_chosen, width: 28, height: 28, pixels }
}

/// Numbers around zero, about as wide as a standard normal, the same each time.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    /// The next one.
    pub(crate) fn next(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..4 {
            sum += (self.bits() >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        }
        sum * 1.7
    }

    /// Any 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0
    }
}
