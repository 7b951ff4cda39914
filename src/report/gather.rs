//! What a report is made of, read from the store.

use std::collections::{BTreeSet, HashMap};

use glisten_reports::{Options, Section, Tables};
use polars::functions::concat_df_diagonal;
use polars::prelude::{Column, DataFrame};

use super::chosen::{self, Chosen};
use crate::analytics;
use crate::error::{Error, Result};
use crate::track::{Experiment, RunRecord};

/// The metrics that a report draws over the epochs: the first of them that any run has.
const DRAWN: [&str; 3] = ["validation:accuracy", "test:accuracy", "train:accuracy"];

/// The tables of some experiments.
pub(super) struct Gathered {
    runs: DataFrame,
    metrics: DataFrame,
    chosen: Chosen,
    /// Device, threads and data of the runs, each combination once.
    pub(super) how_made: Vec<String>,
}

impl Gathered {
    pub(super) fn from(experiments: &[Experiment], options: &Options) -> Result<Self> {
        let several = experiments.len() > 1;
        let (mut runs, mut records, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for experiment in experiments {
            let own = experiment.store().run_records(Some(experiment.name()))?;
            let mut table = experiment.runs()?;
            names.extend(own.iter().map(|record| name_of(several, &record.experiment, &record.name)));
            add_environment(&mut table, &own)?;
            runs.push(table);
            records.extend(own.into_iter().map(|record| (experiment, record)));
        }
        if runs.is_empty() {
            return Err(Error::argument("experiments", "at least one experiment to report on", "none"));
        }
        let mut runs = if several { concat_df_diagonal(&runs)? } else { runs.swap_remove(0) };
        if several {
            runs.with_column(Column::new("run".into(), names.clone()))?;
        }
        let chosen = if options.without.contains(&Section::Selections) {
            Chosen::default()
        } else {
            let by_name: HashMap<String, _> = names.into_iter().zip(&records).collect();
            chosen::of(&glisten_reports::cells(&runs, options)?, &by_name)?
        };
        Ok(Self { runs, metrics: metrics(experiments)?, chosen, how_made: how_made(&records) })
    }

    pub(super) fn tables(&self) -> Tables<'_> {
        Tables {
            runs: &self.runs,
            metrics: &self.metrics,
            classes: self.chosen.classes.as_ref(),
            images: &self.chosen.images,
            not_shown: &self.chosen.not_shown,
        }
    }
}

/// What a run is called in a report.
pub(super) fn name_of(several: bool, experiment: &str, run: &str) -> String {
    if several { format!("{experiment} / {run}") } else { run.to_owned() }
}

/// The values over the steps of the metric that is drawn; reading all metrics would take most of the time.
fn metrics(experiments: &[Experiment]) -> Result<DataFrame> {
    let several = experiments.len() > 1;
    for metric in DRAWN {
        let mut tables = Vec::new();
        for experiment in experiments {
            let mut table = analytics::metrics(experiment.store(), Some(experiment.name()), Some(metric))?;
            if several {
                let runs = table.column("run")?.str()?.iter();
                let named: Vec<String> =
                    runs.map(|run| name_of(true, experiment.name(), run.unwrap_or_default())).collect();
                table.with_column(Column::new("run".into(), named))?;
            }
            tables.push(table);
        }
        if tables.iter().any(|table| table.height() > 0) {
            return Ok(concat_df_diagonal(&tables)?);
        }
    }
    Ok(DataFrame::empty())
}

/// What each run recorded of its surroundings, as columns named `environment.` and what it is.
fn add_environment(table: &mut DataFrame, records: &[RunRecord]) -> Result<()> {
    let names: BTreeSet<&str> =
        records.iter().flat_map(|record| record.environment.keys().map(String::as_str)).collect();
    for name in names {
        let values: Vec<Option<String>> =
            records.iter().map(|record| record.environment.get(name).map(ToString::to_string)).collect();
        table.with_column(Column::new(format!("environment.{name}").into(), values))?;
    }
    Ok(())
}

fn how_made(records: &[(&Experiment, RunRecord)]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (_, record) in records {
        let parameter =
            |name: &str| record.parameters.get(name).map_or_else(|| "?".to_owned(), ToString::to_string);
        let line = format!(
            "Glisten {}, device {}, {} threads; data {} (fingerprint {}), {} to train on and {} to validate.",
            parameter("glisten_version"),
            parameter("device"),
            parameter("threads"),
            parameter("dataset"),
            parameter("dataset_fingerprint").chars().take(12).collect::<String>(),
            parameter("n_train"),
            parameter("n_validation"),
        );
        if record.parameters.contains_key("glisten_version") && !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}
