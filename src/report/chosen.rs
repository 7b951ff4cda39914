//! What the runs chose: classes by epoch, and the images chosen most and least, as far as selections were kept and the data
//! is at hand without fetching it.

use std::collections::{BTreeMap, HashMap};

use glisten_reports::{ContactSheet, Sample};
use polars::prelude::{Column, DataFrame};

use crate::data::{Dataset, FetchOptions, Kind, Split, Splits};
use crate::error::Result;
use crate::track::{Experiment, Parameter, RunRecord, SelectionRecord, Status};

/// Runs whose selections are read: enough to see what is chosen, and a report is written in a moment.
const MOST_RUNS: usize = 10;
const MOST_IMAGES: usize = 12;

/// What one strategy chose with one fraction.
pub(super) struct Chosen {
    /// `run`, `epoch`, `class`, `count`, `available`.
    pub(super) classes: DataFrame,
    pub(super) images: Option<ContactSheet>,
}

/// What the runs chose of the strategy that a report is about: GLISTER, else the first by name that kept selections, with
/// its smallest fraction. None where no selections were kept or the data set is not at hand as it was then.
pub(super) fn of(
    records: &[(&Experiment, RunRecord)],
    name: impl Fn(&RunRecord) -> String,
) -> Result<Option<Chosen>> {
    let text = |record: &RunRecord, name: &str| record.parameters.get(name).map(ToString::to_string);
    let number = |record: &RunRecord, name: &str| match record.parameters.get(name) {
        Some(Parameter::Number(value)) => Some(*value),
        Some(Parameter::Integer(value)) => Some(*value as f64),
        _ => None,
    };
    // Strategy, GLISTER first, and fraction; the data must be the same, as positions in it are counted.
    type Cell = (bool, String, u64, [Option<String>; 3]);
    let mut cells: BTreeMap<Cell, Vec<&(&Experiment, RunRecord)>> = BTreeMap::new();
    for one in records.iter().filter(|(_, record)| record.status == Status::Completed) {
        let record = &one.1;
        let (Some(strategy), Some(fraction)) = (text(record, "strategy"), number(record, "fraction")) else {
            continue;
        };
        let data = ["dataset_fingerprint", "split_validation", "split_seed"].map(|name| text(record, name));
        let key = (strategy != "glister", strategy, (fraction * 1e6) as u64, data);
        cells.entry(key).or_default().push(one);
    }
    for ((_, strategy, fraction, _), runs) in &cells {
        let mut kept: Vec<(&RunRecord, Vec<SelectionRecord>)> = Vec::new();
        for (experiment, record) in runs.iter().take(MOST_RUNS) {
            let selections = experiment.find_run(&record.name)?.selection_records()?;
            if !selections.is_empty() {
                kept.push((record, selections));
            }
        }
        let Some(first) = kept.first() else { continue };
        let Some(data) = data_of(first.0) else { return Ok(None) };
        let n_runs = if kept.len() == 1 { "1 run".to_owned() } else { format!("{} runs", kept.len()) };
        let strategy = if strategy == "glister" { "GLISTER" } else { strategy };
        let about = format!("{strategy} {} %, {n_runs}", *fraction as f64 / 1e4);
        let Some(labels) = labels(&data)? else { return Ok(None) };
        return Ok(Some(Chosen {
            classes: classes(&kept, &labels, &data, &name)?,
            images: images(&kept, &labels, &data, about)?,
        }));
    }
    Ok(None)
}

/// The data that a run was trained on, if it is a named data set in the cache and still the same.
fn data_of(record: &RunRecord) -> Option<Splits> {
    let Some(Parameter::Text(name)) = record.parameters.get("dataset") else { return None };
    let kind: Kind = name.parse().ok()?;
    let validation = match record.parameters.get("split_validation")? {
        Parameter::Number(validation) => *validation,
        _ => return None,
    };
    let seed = match record.parameters.get("split_seed")? {
        Parameter::Integer(seed) => u64::try_from(*seed).ok()?,
        _ => return None,
    };
    let options = FetchOptions { offline: true, ..FetchOptions::default() };
    // Not at hand is no error: the report says that the images are missing.
    let data = Dataset::open_with(kind, &options).ok()?.split(Split { validation, seed }).ok()?;
    let is_same =
        record.parameters.get("dataset_fingerprint") == Some(&Parameter::Text(data.fingerprint.clone()));
    is_same.then_some(data)
}

/// The class of each training example; none for a regression.
fn labels(data: &Splits) -> Result<Option<Vec<i64>>> {
    if data.classes.is_empty() {
        return Ok(None);
    }
    Ok(Some(Vec::try_from(&data.train.labels)?))
}

fn classes(
    kept: &[(&RunRecord, Vec<SelectionRecord>)],
    labels: &[i64],
    data: &Splits,
    name: impl Fn(&RunRecord) -> String,
) -> Result<DataFrame> {
    let count = |labels: &mut dyn Iterator<Item = i64>| {
        let mut counts = vec![0_i64; data.classes.len()];
        for label in labels {
            if let Some(count) = usize::try_from(label).ok().and_then(|label| counts.get_mut(label)) {
                *count += 1;
            }
        }
        counts
    };
    let available = count(&mut labels.iter().copied());
    let (mut runs, mut epochs, mut names, mut counts, mut all) = (vec![], vec![], vec![], vec![], vec![]);
    for (record, selections) in kept {
        for selection in selections {
            let chosen = selection.indices.iter().filter_map(|at| labels.get(*at as usize).copied());
            for (class, n) in count(&mut chosen.into_iter()).into_iter().enumerate() {
                runs.push(name(record));
                epochs.push(selection.epoch);
                names.push(data.classes[class].clone());
                counts.push(n);
                all.push(available[class]);
            }
        }
    }
    let columns = vec![
        Column::new("run".into(), runs),
        Column::new("epoch".into(), epochs),
        Column::new("class".into(), names),
        Column::new("count".into(), counts),
        Column::new("available".into(), all),
    ];
    Ok(DataFrame::new(columns[0].len(), columns)?)
}

/// None for a table: rows of numbers are no pictures.
fn images(
    kept: &[(&RunRecord, Vec<SelectionRecord>)],
    labels: &[i64],
    data: &Splits,
    about: String,
) -> Result<Option<ContactSheet>> {
    let Some([channels @ (1 | 3), height, width]) = data.image_shape() else { return Ok(None) };
    let mut n_chosen: HashMap<u32, u64> = HashMap::new();
    let mut n_selections = 0;
    for selection in kept.iter().flat_map(|one| &one.1) {
        n_selections += 1;
        for at in &selection.indices {
            *n_chosen.entry(*at).or_default() += 1;
        }
    }
    let times = |at: u32| n_chosen.get(&at).copied().unwrap_or(0);
    let mut order: Vec<u32> = (0..labels.len() as u32).collect();
    // Of as many choices, the order of the positions: the same report each time.
    order.sort_by_key(|at| (std::cmp::Reverse(times(*at)), *at));
    let sample = |at: u32| -> Result<Sample> {
        let image = data.train.inputs.f_get(i64::from(at))?.f_permute([1, 2, 0])?.f_contiguous()?;
        let class = usize::try_from(labels[at as usize]).ok().and_then(|label| data.classes.get(label));
        Ok(Sample {
            index: i64::from(at),
            class: class.cloned().unwrap_or_default(),
            n_chosen: times(at),
            width: width as u32,
            height: height as u32,
            pixels: Vec::try_from(&image.f_reshape([height * width * channels])?)?,
        })
    };
    let mut most: Vec<Sample> =
        order.iter().take(MOST_IMAGES).map(|at| sample(*at)).collect::<Result<_>>()?;
    most.retain(|sample| sample.n_chosen > 0);
    order.sort_by_key(|at| (times(*at), *at));
    let least = order.iter().take(MOST_IMAGES).map(|at| sample(*at)).collect::<Result<_>>()?;
    Ok(Some(ContactSheet { about, n_selections, most, least }))
}
