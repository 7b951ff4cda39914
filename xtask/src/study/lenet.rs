//! `cargo xtask study lenet`: full data, GLISTER, fresh random and fixed random with LeNet, from the sweep files of
//! `notebooks/sweeps`; figures as JSON, a report for each data set, and what was aimed at beside what was reached.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::folders::{self, Folders};
use crate::plan::Step;
use crate::{process, say, setup};

/// The data sets, each with its sweep file.
const LENET: [(&str, &str); 3] =
    [("mnist", "lenet-mnist"), ("fashion-mnist", "lenet-fashion-mnist"), ("cifar10", "lenet-cifar10")];

/// What a quick study is made of: enough to see that all of it works.
const QUICK: [&str; 6] = ["--take", "1500", "--epochs", "2", "--seeds", "0,1"];

/// Does what is missing of the study, and says what came of it.
///
/// # Errors
/// If a step of the set-up or a sweep fails.
pub(super) fn run(folders: &Folders, quick: bool) -> Result<()> {
    let out = folders.target.join("study");
    let name = if quick { "lenet-quick" } else { "lenet" };
    let secs = if quick { 40.0 } else { 1500.0 };
    let step =
        Step::per_core(format!("the study '{name}' (runs that its store holds are kept)"), 2.0 * secs, 2);
    setup::up_to_programs(folders, vec![step])?;
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let _lock = folders::lock(&out)?;

    let start = Instant::now();
    let mut parts = Vec::new();
    for (data, sweep) in &LENET {
        say::step(&format!("{data}, by notebooks/sweeps/{sweep}.toml"));
        let files = Files::of(&out, sweep, quick);
        process::run(&mut files.command(folders, &out.join(format!("{name}.db")), quick)?)?;
        let text = fs::read_to_string(&files.figures)
            .with_context(|| format!("cannot read {}", files.figures.display()))?;
        let figures = serde_json::from_str(&text).with_context(|| format!("{}", files.figures.display()))?;
        parts.push(Part { data: (*data).to_owned(), report: files.report, figures });
    }
    let result = result(name, &parts, quick, start.elapsed().as_secs_f64());
    let path = out.join(format!("{name}.json"));
    folders::write_atomically(&path, serde_json::to_string_pretty(&result)?)?;
    println!("{}", table(&result));
    say::step("done");
    for part in &parts {
        say::note(&format!("report   {}", part.report.display()));
    }
    say::note(&format!("figures  {}", path.display()));
    say::note(&format!("time     {}", say::duration(start.elapsed())));
    Ok(())
}

/// What one sweep leaves.
struct Files {
    sweep: String,
    report: PathBuf,
    figures: PathBuf,
}

impl Files {
    fn of(out: &Path, sweep: &str, quick: bool) -> Self {
        let stem = if quick { format!("{sweep}-quick") } else { sweep.to_owned() };
        Self {
            sweep: format!("{sweep}.toml"),
            report: out.join(format!("{stem}.html")),
            figures: out.join(format!("{stem}.json")),
        }
    }

    fn command(&self, folders: &Folders, store: &Path, quick: bool) -> Result<Command> {
        let mut command = Command::new(folders.program("glisten")?);
        command.arg("sweep").arg(folders.root.join("notebooks/sweeps").join(&self.sweep));
        command.arg("--store").arg(store).arg("--report").arg(&self.report).arg("--json").arg(&self.figures);
        // The study is of the CPU, wherever it is run.
        command.args(["--device", "cpu"]);
        if quick {
            command.args(QUICK);
        }
        Ok(command)
    }
}

/// One data set's figures, as `glisten sweep --json` writes them.
pub(super) struct Part {
    pub(super) data: String,
    pub(super) report: PathBuf,
    pub(super) figures: Value,
}

/// The whole study's figures: for each data set the summary's rows and comparisons and what is in print beside them, and how
/// many of the aims are met.
pub(super) fn result(name: &str, parts: &[Part], quick: bool, seconds: f64) -> Value {
    let (mut faster, mut more_accurate, mut rows, mut beats_random, mut shown, mut comparisons) =
        (0, 0, 0, 0, 0, 0);
    let mut data = Vec::new();
    for part in parts {
        let setting = &part.figures["summary"]["settings"][0];
        let published = part.figures["beside_published"][0].clone();
        for row in published.as_array().into_iter().flatten() {
            rows += 1;
            faster += usize::from(row["faster"] == true);
            more_accurate += usize::from(row["more_accurate"] == true);
        }
        // The study is about GLISTER: its aims are not met by another strategy's win.
        let of_glister: Vec<&Value> = setting["comparisons"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|comparison| comparison["strategy"] == "glister")
            .collect();
        for comparison in &of_glister {
            comparisons += 1;
            beats_random +=
                usize::from(comparison["difference"]["mean"].as_f64().is_some_and(|mean| mean > 0.0));
            shown += usize::from(comparison["outcome"] == "choosing-better");
        }
        data.push(json!({
            "dataset": part.data,
            "report": part.report.file_name().map(|name| name.to_string_lossy()),
            "headline": part.figures["summary"]["headline"],
            "caveats": part.figures["summary"]["caveats"],
            "setting": setting["setting"],
            "rows": setting["rows"],
            "glister_beside_fresh_random": of_glister,
            "glister_beside_published": published,
        }));
    }
    json!({
        "study": name,
        "quick": quick,
        "cores": crate::plan::n_cores(),
        "seconds_of_this_call": seconds,
        "aims": {
            "faster_than_published": { "met": faster, "of": rows },
            "more_accurate_than_published": { "met": more_accurate, "of": rows },
            "mean_above_fresh_random": { "met": beats_random, "of": comparisons },
            "whole_interval_above_fresh_random": { "met": shown, "of": comparisons },
        },
        "data": data,
    })
}

/// The figures as a table for the terminal, and the aims missed with their reasons.
pub(super) fn table(result: &Value) -> String {
    let mut text = format!(
        "{:<14} {:>8}  {:<13} {:>15}  {:>14}  {:>13}\n",
        "data set", "fraction", "strategy", "test accuracy", "points lost", "speedup"
    );
    let estimate = |value: &Value, factor: f64, digits: usize| match value["mean"].as_f64() {
        Some(mean) => {
            let half = value["half_width"].as_f64();
            let half = half.map(|half| format!(" ± {:.digits$}", half * factor)).unwrap_or_default();
            format!("{:.digits$}{half}", mean * factor)
        }
        None => "–".to_owned(),
    };
    let mut missed = String::new();
    for data in result["data"].as_array().into_iter().flatten() {
        let dataset = data["dataset"].as_str().unwrap_or_default();
        for row in data["rows"].as_array().into_iter().flatten() {
            let _ = writeln!(
                text,
                "{dataset:<14} {:>6.0} %  {:<13} {:>15}  {:>14}  {:>13}",
                100.0 * row["fraction"].as_f64().unwrap_or_default(),
                row["strategy"].as_str().unwrap_or_default(),
                estimate(&row["accuracy"], 100.0, 2),
                estimate(&row["accuracy_lost"], 1.0, 2),
                estimate(&row["speedup"], 1.0, 2),
            );
        }
        for row in data["glister_beside_published"].as_array().into_iter().flatten() {
            let why = row["why_not"].as_str().unwrap_or_default();
            if !why.is_empty() {
                let _ = writeln!(
                    missed,
                    "{dataset} at {:.0} %, in print {} × and {} points lost: {why}",
                    100.0 * row["published"]["fraction"].as_f64().unwrap_or_default(),
                    row["published"]["speedup"],
                    row["published"]["accuracy_lost"],
                );
            }
        }
    }
    let aim = |name: &str| {
        let aim = &result["aims"][name];
        format!("{} of {}", aim["met"], aim["of"])
    };
    let _ = write!(
        text,
        "\nGLISTER beside figures in print: faster in {}, less accuracy lost in {}.\n\
         GLISTER beside fresh random: a higher mean in {}, the whole interval above in {}.\n{}{missed}",
        aim("faster_than_published"),
        aim("more_accurate_than_published"),
        aim("mean_above_fresh_random"),
        aim("whole_interval_above_fresh_random"),
        if missed.is_empty() { "" } else { "Missed:\n" },
    );
    text
}

#[cfg(test)]
mod tests {
    use super::{Part, result, table};
    use serde_json::json;

    fn part(data: &str, faster: bool, difference: f64, outcome: &str) -> Part {
        let row = json!({"strategy": "glister", "fraction": 0.1, "accuracy": {"mean": 0.871, "half_width": 0.004},
            "accuracy_lost": {"mean": 2.5, "half_width": 0.5}, "speedup": {"mean": 6.5, "half_width": null}});
        let figures = json!({
            "summary": {"headline": "h", "caveats": [], "settings": [{"setting": {}, "rows": [row],
                "comparisons": [
                    {"strategy": "auto", "fraction": 0.1, "difference": {"mean": 9.0}, "outcome": "choosing-better"},
                    {"strategy": "glister", "fraction": 0.1, "difference": {"mean": difference}, "outcome": outcome},
                ]}]},
            "beside_published": [[{"published": {"fraction": 0.1, "speedup": 6.0, "accuracy_lost": 3.0},
                "faster": faster, "more_accurate": true, "why_not": if faster { "" } else { "choosing took 30 %" }}]],
        });
        Part { data: data.to_owned(), report: format!("/x/{data}.html").into(), figures }
    }

    #[test]
    fn aims_are_counted_and_a_miss_is_told_with_its_reason() {
        let parts =
            [part("mnist", true, 0.4, "choosing-better"), part("cifar10", false, 0.1, "no-difference-shown")];
        let result = result("lenet", &parts, false, 1.0);
        let aims = &result["aims"];
        assert_eq!(aims["faster_than_published"], json!({"met": 1, "of": 2}));
        assert_eq!(aims["more_accurate_than_published"], json!({"met": 2, "of": 2}));
        assert_eq!(aims["mean_above_fresh_random"], json!({"met": 2, "of": 2}));
        assert_eq!(aims["whole_interval_above_fresh_random"], json!({"met": 1, "of": 2}));
        assert_eq!(result["data"][1]["report"], "cifar10.html");
        let beside = result["data"][1]["glister_beside_fresh_random"].as_array().unwrap();
        assert_eq!(beside.len(), 1, "auto's win is no win of GLISTER's");
        assert_eq!(beside[0]["outcome"], "no-difference-shown");
        let table = table(&result);
        assert!(table.contains("87.10 ± 0.40") && table.contains("2.50 ± 0.50"), "{table}");
        assert!(
            table.contains("cifar10 at 10 %, in print 6.0 × and 3.0 points lost: choosing took 30 %"),
            "{table}"
        );
        assert!(!table.contains("mnist at 10 %"), "{table}");
    }
}
