//! Writes reports and charts of made-up but plausible runs into a folder, to look at:
//! `cargo run --release --workspace --example synthetic -- /tmp/reports` (the numbers mean nothing).

use glisten_reports::{Options, Svg, chart, render, write};
use polars::prelude::*;
use std::path::PathBuf;

/// (strategy, fraction, accuracy at the end, seconds of choosing an epoch)
const CELLS: [(&str, f64, f64, f64); 7] = [
    ("full", 1.0, 0.914, 0.0),
    ("glister", 0.5, 0.909, 0.12),
    ("glister", 0.3, 0.902, 0.11),
    ("glister", 0.1, 0.881, 0.10),
    ("fresh-random", 0.5, 0.907, 0.002),
    ("fresh-random", 0.3, 0.896, 0.002),
    ("fresh-random", 0.1, 0.866, 0.001),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "/tmp/reports".to_owned()));
    std::fs::create_dir_all(&folder)?;
    let options = Options {
        author: Some("A. Researcher".to_owned()),
        how_made: vec![
            "glisten sweep notebooks/sweeps/how-much-data.toml".to_owned(),
            "glisten report how-much-data -o report.html".to_owned(),
            "Debian 12, x86-64, 2 threads, libtorch 2.11.0 on the CPU".to_owned(),
        ],
        ..Options::default()
    };
    for (name, n_seeds, n_epochs, n_copies) in
        [("one-seed", 1, 6, 1), ("three-seeds", 3, 20, 1), ("many", 5, 300, 28), ("empty", 0, 0, 0)]
    {
        let (runs, metrics) = tables(n_seeds, n_epochs, n_copies)?;
        let path = folder.join(format!("{name}.html"));
        write(&path, &render(&runs, &metrics, &options)?)?;
        println!("{}", path.display());
    }
    for (name, svg) in charts()? {
        let path = folder.join(format!("{name}.svg"));
        write(&path, svg.as_str())?;
        println!("{}: {}", path.display(), svg.description());
    }
    Ok(())
}

/// Charts of a search over parameters: few runs, and a thousand.
fn charts() -> Result<Vec<(String, Svg)>, Box<dyn std::error::Error>> {
    const ACCURACY: &str = "validation:accuracy.max";
    let mut charts = Vec::new();
    for (size, n) in [("small", 24), ("large", 1000)] {
        let table = search(n)?;
        let columns =
            ["strategy", "fraction", "learning_rate", "batch_size", "label_smoothing", "flip", ACCURACY];
        let drawn = [
            ("rate", chart::scatter(&table, "learning_rate", ACCURACY, Some("strategy"))?),
            ("seconds", chart::scatter(&table, "run:seconds.last", ACCURACY, Some("fraction"))?),
            ("plain", chart::scatter(&table, "fraction", ACCURACY, None)?),
            ("created", chart::scatter(&table, "created", ACCURACY, Some("learning_rate"))?),
            ("category", chart::scatter(&table, "strategy", ACCURACY, Some("batch_size"))?),
            ("runs", chart::scatter(&table, "run", "strategy", Some("run"))?),
            ("parallel", chart::parallel_coordinates(&table, &columns, Some(ACCURACY))?),
            ("by-strategy", chart::parallel_coordinates(&table, &columns[1..], Some("strategy"))?),
            ("two-axes", chart::parallel_coordinates(&table, &["run", ACCURACY], None)?),
        ];
        charts.extend(drawn.map(|(what, svg)| (format!("{size}-{what}"), svg)));
    }
    Ok(charts)
}

fn search(n: usize) -> PolarsResult<DataFrame> {
    let mut noise = Noise(11);
    let mut even = || (noise.next() / 1.7 / 2.0 + 0.5).clamp(0.0, 0.999);
    let mut column = |value: &dyn Fn(f64) -> f64| (0..n).map(|_| value(even())).collect::<Vec<f64>>();
    let rates = column(&|x| 10_f64.powf(-4.0 + 3.5 * x));
    let fractions = column(&|x| [0.1, 0.2, 0.3, 0.5][(x * 4.0) as usize]);
    let sizes = column(&|x| [32.0, 64.0, 128.0, 256.0][(x * 4.0) as usize]);
    let smoothings = column(&|x| (x * 20.0).round() / 100.0);
    let strategies = column(&|x| (x * 3.0).floor());
    let errors = column(&|x| x * 0.02);
    let accuracies: Vec<Option<f64>> = (0..n)
        .map(|i| {
            let miss = (rates[i].log10() + 1.8).powi(2) * 0.04 + (0.5 - fractions[i]) * 0.1 + errors[i];
            (i % 12 != 7).then_some(0.93 - miss)
        })
        .collect();
    let names = ["glister", "fresh-random", "fixed-random"];
    let created: Vec<i64> = (0..n as i64).map(|i| 1_790_000_000_000 + i * 431_000).collect();
    let mut table = df!(
        "run" => (0..n).map(|i| format!("{} seed {i}", names[strategies[i] as usize])).collect::<Vec<_>>(),
        "strategy" => strategies.iter().map(|s| names[*s as usize]).collect::<Vec<_>>(),
        "fraction" => fractions.clone(),
        "learning_rate" => rates,
        "batch_size" => sizes.iter().enumerate().map(|(i, s)| (i % 9 != 4).then_some(*s as i64)).collect::<Vec<_>>(),
        "label_smoothing" => smoothings,
        "flip" => errors.iter().map(|e| *e > 0.01).collect::<Vec<_>>(),
        "validation:accuracy.max" => accuracies,
        "run:seconds.last" => fractions.iter().zip(&errors).map(|(f, e)| 90.0 * f + 500.0 * e).collect::<Vec<_>>(),
    )?;
    let created =
        Series::new("created".into(), created).cast(&DataType::Datetime(TimeUnit::Milliseconds, None))?;
    table.with_column(created.into())?;
    Ok(table)
}

fn tables(n_seeds: i64, n_epochs: i64, n_copies: i64) -> PolarsResult<(DataFrame, DataFrame)> {
    let mut noise = Noise(7);
    let (mut names, mut strategies, mut fractions, mut seeds) = (vec![], vec![], vec![], vec![]);
    let (mut tests, mut bests, mut losses, mut epochs, mut choosings, mut walls) =
        (vec![], vec![], vec![], vec![], vec![], vec![]);
    let (mut metric_runs, mut steps, mut values) = (vec![], vec![], vec![]);
    for (strategy, fraction, accuracy, choosing) in CELLS {
        for seed in 0..n_seeds * n_copies {
            let name = format!("{strategy}-{fraction}-seed-{seed}");
            let end = accuracy + noise.next() * 0.002;
            let mut best: f64 = 0.0;
            for epoch in 1..=n_epochs {
                let progress =
                    1.0 - (-5.0 * fraction.sqrt().max(0.45) * epoch as f64 / n_epochs as f64).exp();
                let value = 0.45 + (end + 0.003 - 0.45) * progress + noise.next() * 0.004;
                best = best.max(value);
                metric_runs.push(name.clone());
                steps.push(epoch);
                values.push(value);
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
    }
    let n = names.len();
    let metric_names = vec!["validation:accuracy"; values.len()];
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
        "validation:accuracy.max" => bests,
        "validation:loss.min" => losses,
        "test:accuracy.last" => tests,
        "epoch:seconds.avg" => epochs,
        "epoch:seconds.count" => vec![n_epochs; n],
        "selection:seconds.avg" => choosings,
        "selection:seconds.count" => vec![n_epochs; n],
        "run:seconds.last" => walls,
    )?;
    let metrics = df!("run" => metric_runs, "metric" => metric_names, "step" => steps, "value" => values)?;
    Ok((runs, metrics))
}

/// Numbers around zero, about as wide as a standard normal, the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (self.0 >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        }
        sum * 1.7
    }
}
