//! Writes reports and charts of made-up but plausible runs into a folder, to look at:
//! `cargo run --release --workspace --example synthetic -- /tmp/reports` (the numbers mean nothing).

#[path = "../tests/made_up/mod.rs"]
mod made_up;

use glisten_reports::{Options, Svg, Tables, chart, render_tables, write};
use made_up::Noise;
use polars::prelude::*;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "/tmp/reports".to_owned()));
    std::fs::create_dir_all(&folder)?;
    let options = Options {
        author: Some("A. Researcher".to_owned()),
        how_made: vec!["glisten report how-much-data -o report.html".to_owned()],
        notes: Some("The *second* seed was repeated after a power cut.\n\n- see [the paper](https://arxiv.org/abs/2012.10630)\n".to_owned()),
        ..Options::default()
    };
    for (name, n_runs, n_epochs) in
        [("0", 0, 0), ("1", 1, 6), ("5", 5, 20), ("21", 21, 20), ("100", 100, 50), ("1000", 1000, 300)]
    {
        let made_up = made_up::runs(n_runs, n_epochs);
        let path = folder.join(format!("{name}.html"));
        let images = made_up::images(12, n_runs.saturating_sub(1).min(6));
        let tables = Tables {
            classes: Some(&made_up.classes),
            images: &images,
            ..Tables::new(&made_up.runs, &made_up.metrics)
        };
        let html = render_tables(tables, &options)?;
        write(&path, &html)?;
        println!("{} ({} kB)", path.display(), html.len() / 1000);
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
