//! What the store knows of the study's runs, read through `glisten export`: this program opens no store itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::grid::{self, Condition, Data, Size, sweeps};
use super::statistics::median;
use crate::process;

/// What runs have in common that are set beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Task {
    pub(super) condition: Condition,
    pub(super) data: Data,
    /// Of the training set that an epoch trains on.
    pub(super) percent: u32,
}

/// One complete run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub(super) task: Task,
    pub(super) epochs: usize,
    pub(super) strategy: String,
    pub(super) seed: u64,
    /// On the test set, in per cent: of all samples, and the mean over the classes.
    pub(super) accuracy: f64,
    pub(super) balanced_accuracy: f64,
    /// Training steps of an epoch: the median over the epochs, so that a disturbance of the machine counts little.
    pub(super) epoch_secs: f64,
    /// All choosing.
    pub(super) choosing_secs: f64,
    /// Choosing as a share of training in the same epoch, the median over the epochs; of a strategy that does not choose in
    /// each of them, all choosing as a share of all training.
    pub(super) choosing_share: f64,
}

impl Run {
    /// The experiment that it is of.
    pub(super) fn experiment(&self) -> String {
        grid::experiment(self.task.data, self.task.condition, self.epochs)
    }
}

/// The study's runs in `store` that are complete, from each experiment that any size of the study knows, read by way of files
/// in `folder`. Of a run that was done twice the later one counts.
///
/// # Errors
/// If `program` cannot export them, or exports something else than it should.
pub(super) fn read(program: &Path, store: &Path, folder: &Path) -> Result<Vec<Run>> {
    let glisten =
        |arguments: &[&str]| process::output(Command::new(program).args(arguments).arg("--store").arg(store));
    let listed: Value = serde_json::from_str(&glisten(&["runs", "--format", "json"])?)
        .context("`glisten runs --format json` gave no JSON")?;
    let known = experiments();
    let mut runs = Vec::new();
    for listed in listed.as_array().into_iter().flatten() {
        let name = listed["experiment"].as_str().unwrap_or_default();
        let Some(&(data, condition, epochs)) = known.get(name) else { continue };
        let part = folder.join(name);
        let output = part.to_string_lossy();
        glisten(&["export", name, "--to", "jsonl", "--no-artifacts", "--output", &output])?;
        let text = |file: &str| {
            let path = part.join(file);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let found = of_experiment(data, condition, epochs, &text("runs.jsonl")?, &text("metrics.jsonl")?);
        runs.extend(found.with_context(|| format!("the runs of {name}"))?);
    }
    Ok(latest(runs))
}

/// What each experiment is of.
fn experiments() -> BTreeMap<String, (Data, Condition, usize)> {
    let all = [Size::Quick, Size::Main, Size::Full].into_iter().flat_map(sweeps);
    all.map(|sweep| (sweep.experiment(), (sweep.data, sweep.condition, sweep.epochs))).collect()
}

/// The complete runs of an experiment, as `glisten export --to jsonl` writes it.
fn of_experiment(
    data: Data,
    condition: Condition,
    epochs: usize,
    runs: &str,
    metrics: &str,
) -> Result<Vec<Run>> {
    let mut series: BTreeMap<(String, &str), BTreeMap<i64, f64>> = BTreeMap::new();
    for line in metrics.lines() {
        for metric in ["epoch:seconds", "selection:seconds"] {
            // Most lines are of other metrics, and need not be taken apart.
            if line.contains(metric) {
                let point: Value = serde_json::from_str(line).context("metrics.jsonl")?;
                let (step, value) = (point["step"].as_i64(), point["value"].as_f64());
                if let (Some(run), Some(step), Some(value)) = (point["run"].as_str(), step, value) {
                    series.entry((run.to_owned(), metric)).or_default().insert(step, value);
                }
            }
        }
    }
    let mut found = Vec::new();
    for line in runs.lines() {
        let run: Value = serde_json::from_str(line).context("runs.jsonl")?;
        if run["status"] != "completed" {
            continue;
        }
        let name = run["run"].as_str().unwrap_or_default().to_owned();
        let lacks = |what: &str| format!("the run '{name}' is complete and has no {what}");
        let parameters = &run["parameters"];
        let strategy = parameters["strategy"].as_str().with_context(|| lacks("strategy"))?.to_owned();
        let fraction = parameters["fraction"].as_f64().with_context(|| lacks("fraction"))?;
        let seed = parameters["seed"].as_u64().with_context(|| lacks("seed"))?;
        let last = |metric: &str| run["metrics"][metric]["last"].as_f64().with_context(|| lacks(metric));
        let secs = |metric| series.get(&(name.clone(), metric)).cloned().unwrap_or_default();
        let (training, choosing) = (secs("epoch:seconds"), secs("selection:seconds"));
        found.push(Run {
            task: Task { condition, data, percent: (100.0 * fraction).round() as u32 },
            epochs,
            strategy,
            seed,
            accuracy: 100.0 * last("test:accuracy")?,
            balanced_accuracy: 100.0 * last("test:balanced_accuracy")?,
            epoch_secs: median(training.values().copied()).with_context(|| lacks("epoch:seconds"))?,
            choosing_secs: choosing.values().sum(),
            choosing_share: choosing_share(&training, &choosing),
        });
    }
    Ok(found)
}

/// [`Run::choosing_share`], of the seconds by epoch.
fn choosing_share(training: &BTreeMap<i64, f64>, choosing: &BTreeMap<i64, f64>) -> f64 {
    let by_epoch = training.iter().map(|(epoch, secs)| choosing.get(epoch).unwrap_or(&0.0) / secs);
    let of_sums = choosing.values().sum::<f64>() / training.values().sum::<f64>();
    match median(by_epoch) {
        // Where it is far below, most epochs train on what was chosen before.
        Some(share) if share >= of_sums / 10.0 => share,
        _ => of_sums,
    }
}

/// One run for each seed of a schedule, the last in `runs`.
fn latest(runs: Vec<Run>) -> Vec<Run> {
    let key = |run: &Run| (run.task, run.epochs, run.strategy.clone(), run.seed);
    let by_key: BTreeMap<_, Run> = runs.into_iter().map(|run| (key(&run), run)).collect();
    by_key.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::super::grid::{Condition, Data, Size, sweeps};
    use super::{choosing_share, experiments, latest, of_experiment};

    const RUNS: &str = r#"{"run":"auto 30 % seed 7","status":"completed","parameters":{"strategy":"auto","fraction":0.3,"seed":7},"metrics":{"test:accuracy":{"last":0.8997},"test:balanced_accuracy":{"last":0.75}}}
{"run":"full seed 7","status":"running","parameters":{"strategy":"full","fraction":1.0,"seed":7},"metrics":{}}
"#;
    const METRICS: &str = r#"{"metric":"epoch:seconds","run":"auto 30 % seed 7","step":1,"value":1.5}
{"metric":"epoch:seconds","run":"auto 30 % seed 7","step":2,"value":9.0}
{"metric":"epoch:seconds","run":"auto 30 % seed 7","step":3,"value":1.0}
{"metric":"selection:seconds","run":"auto 30 % seed 7","step":1,"value":0.25}
{"metric":"selection:seconds","run":"auto 30 % seed 7","step":2,"value":0.0}
{"metric":"train:loss","run":"auto 30 % seed 7","step":2,"value":"NaN"}
"#;

    #[test]
    fn complete_runs_are_read_and_one_slow_epoch_counts_little() {
        let runs = of_experiment(Data::Mnist, Condition::Noise(40), 3, RUNS, METRICS).unwrap();
        let [run] = &runs[..] else { panic!("{runs:?}") };
        assert_eq!((run.strategy.as_str(), run.task.percent, run.seed), ("auto", 30, 7));
        assert_eq!((run.accuracy, run.balanced_accuracy), (89.97, 75.0));
        assert_eq!((run.epoch_secs, run.choosing_secs), (1.5, 0.25));
        let again = super::Run { accuracy: 90.5, ..run.clone() };
        assert_eq!(latest(vec![run.clone(), again.clone()]), [again]);
    }

    #[test]
    fn the_share_of_choosing_is_the_usual_one_or_that_of_rare_choosing() {
        let seconds = |values: &[f64]| (1..).zip(values.iter().copied()).collect();
        let training = seconds(&[1.0, 1.0, 2.0, 1.0]);
        // In each epoch, once disturbed: 1/50, 1/50, 1/4, 1/50.
        assert_eq!(choosing_share(&training, &seconds(&[0.02, 0.02, 0.5, 0.02])), 0.02);
        // Once in four: a fifth of all.
        assert_eq!(choosing_share(&training, &seconds(&[1.0, 0.0, 0.0, 0.0])), 0.2);
        assert_eq!(choosing_share(&training, &seconds(&[])), 0.0);
    }

    #[test]
    fn a_complete_run_that_lacks_something_is_named() {
        let error = of_experiment(Data::Mnist, Condition::Clean, 3, RUNS, "").unwrap_err();
        assert_eq!(format!("{error:#}"), "the run 'auto 30 % seed 7' is complete and has no epoch:seconds");
    }

    #[test]
    fn an_experiments_name_says_one_thing_only() {
        let known = experiments();
        for sweep in [Size::Quick, Size::Main, Size::Full].into_iter().flat_map(sweeps) {
            assert_eq!(known[&sweep.experiment()], (sweep.data, sweep.condition, sweep.epochs));
        }
    }
}
