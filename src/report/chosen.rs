//! What the runs chose: classes by epoch, and the images chosen most and least, as far as selections were kept and the data
//! is at hand without fetching it.

use std::cmp::Reverse;
use std::collections::HashMap;

use glisten_reports::{Cell, ContactSheet, MOST_CELLS, Sample};
use polars::prelude::{Column, DataFrame};

use super::rebuilt::data_of;
use crate::data::Splits;
use crate::error::Result;
use crate::interrupt;
use crate::track::{Experiment, RunRecord, SelectionRecord};

/// Runs of a strategy and fraction whose selections are read: enough to see what is chosen, and a report is written in a
/// moment. Of many strategies and fractions, fewer of each.
const MOST_RUNS: usize = 10;
const FEWEST_RUNS: usize = 3;
const MOST_RUNS_IN_ALL: usize = 40;
const MOST_IMAGES: usize = 12;

/// What the strategies chose.
#[derive(Default)]
pub(super) struct Chosen {
    /// `run`, `epoch`, `class`, `count`, `available`; none where it is not known.
    pub(super) classes: Option<DataFrame>,
    /// One a strategy and fraction.
    pub(super) images: Vec<ContactSheet>,
    /// What is not shown, and why, in sentences.
    pub(super) not_shown: Vec<String>,
}

/// A strategy and fraction, and the selections of some of its runs by the runs' names.
struct Kept<'a> {
    cell: &'a Cell,
    runs: Vec<(&'a str, Vec<SelectionRecord>)>,
}

/// What the runs of `cells` chose; `records` are the runs by their names in the report. All runs of a report's cells were
/// trained on the same data, which is asked of the first.
pub(super) fn of(cells: &[Cell], records: &HashMap<String, &(&Experiment, RunRecord)>) -> Result<Chosen> {
    let mut smallest_first: Vec<usize> = (0..cells.len()).collect();
    smallest_first.sort_by_key(|at| cells[*at].n_smaller);
    let n_cells = cells.len().clamp(1, MOST_CELLS);
    let most_runs = (MOST_RUNS_IN_ALL / n_cells).clamp(FEWEST_RUNS, MOST_RUNS);
    let (mut found, mut without, mut n_more): (Vec<(usize, Kept<'_>)>, Vec<usize>, usize) =
        (vec![], vec![], 0);
    for at in smallest_first {
        let cell = &cells[at];
        if found.len() == MOST_CELLS {
            n_more += 1;
            continue;
        }
        let mut runs = Vec::new();
        for run in cell.runs.iter().take(most_runs) {
            interrupt::check()?;
            let Some((experiment, record)) = records.get(run) else { continue };
            let selections = experiment.find_run(&record.name)?.selection_records()?;
            if !selections.is_empty() {
                runs.push((run.as_str(), selections));
            }
        }
        if runs.is_empty() {
            without.push(at);
        } else {
            found.push((at, Kept { cell, runs }));
        }
    }
    found.sort_by_key(|one| one.0);
    let first = found.first().and_then(|(_, kept)| records.get(kept.runs.first()?.0));
    let Some((_, record)) = first else { return Ok(Chosen::default()) };
    let data = match data_of(record)? {
        Ok(data) => data,
        Err(why) => {
            let sentence = format!("Neither the classes nor the images that were chosen are shown: {why}.");
            return Ok(Chosen { not_shown: vec![sentence], ..Chosen::default() });
        }
    };
    if data.classes.is_empty() {
        let sentence = "Neither classes nor images of what was chosen are shown: a regression has none.";
        return Ok(Chosen { not_shown: vec![sentence.to_owned()], ..Chosen::default() });
    }
    let labels: Vec<i64> = Vec::try_from(&data.train.labels)?;
    let mut chosen = Chosen { classes: Some(classes(&found, &labels, &data)?), ..Chosen::default() };
    if matches!(data.image_shape(), Some([1 | 3, _, _])) {
        for (_, kept) in &found {
            interrupt::check()?;
            chosen.images.push(sheet(kept, &labels, &data)?);
        }
    } else {
        let what = if data.image_shape().is_some() {
            "images of other than 1 or 3 channels"
        } else {
            "rows of a table"
        };
        chosen.not_shown.push(format!("The most and least chosen samples are not shown: they are {what}."));
    }
    if !without.is_empty() {
        without.sort_unstable();
        let names: Vec<&str> = without.iter().map(|at| cells[*at].name.as_str()).collect();
        chosen.not_shown.push(format!(
            "No selections were kept of {}. Those of random draws are where a training is told so: \
             `Trainer::keep_selections`.",
            names.join(", ")
        ));
    }
    if n_more > 0 {
        chosen.not_shown.push(format!(
            "What was chosen is shown of {MOST_CELLS} strategies and fractions; the {n_more} left out are of larger fractions."
        ));
    }
    Ok(chosen)
}

fn classes(found: &[(usize, Kept<'_>)], labels: &[i64], data: &Splits) -> Result<DataFrame> {
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
    for (run, selections) in found.iter().flat_map(|(_, kept)| &kept.runs) {
        for selection in selections {
            let chosen = selection.indices.iter().filter_map(|at| labels.get(*at as usize).copied());
            for (class, n) in count(&mut chosen.into_iter()).into_iter().enumerate() {
                runs.push(*run);
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

/// The images that a strategy and fraction chose most and least.
fn sheet(kept: &Kept<'_>, labels: &[i64], data: &Splits) -> Result<ContactSheet> {
    let mut times = vec![0_u64; labels.len()];
    let mut n_selections = 0;
    for selection in kept.runs.iter().flat_map(|run| &run.1) {
        n_selections += 1;
        for at in &selection.indices {
            if let Some(n) = times.get_mut(*at as usize) {
                *n += 1;
            }
        }
    }
    let mut order: Vec<usize> = (0..labels.len()).collect();
    // Of as many choices, the order of the positions: the same report each time.
    order.sort_by_key(|at| (Reverse(times[*at]), *at));
    let most = order.iter().copied().filter(|at| times[*at] > 0).take(MOST_IMAGES).collect::<Vec<_>>();
    order.sort_by_key(|at| (times[*at], *at));
    let least = &order[..order.len().min(MOST_IMAGES)];
    let n_like = |shown: &[usize]| {
        let Some(last) = shown.last().map(|at| times[*at]) else { return 0 };
        let n_shown = shown.iter().filter(|at| times[**at] == last).count();
        (times.iter().filter(|n| **n == last).count() - n_shown) as u64
    };
    let samples = |shown: &[usize]| -> Result<Vec<Sample>> {
        shown.iter().map(|at| sample(*at, times[*at], labels, data)).collect()
    };
    let n_runs = match (kept.runs.len(), kept.cell.runs.len()) {
        (1, 1) => "1 run".to_owned(),
        (n, all) if n == all => format!("{n} runs"),
        (n, all) => format!("{n} of {all} runs"),
    };
    Ok(ContactSheet {
        about: format!("{}, {n_runs}", kept.cell.name),
        n_selections,
        n_like_most: n_like(&most),
        n_like_least: n_like(least),
        most: samples(&most)?,
        least: samples(least)?,
    })
}

fn sample(at: usize, n_chosen: u64, labels: &[i64], data: &Splits) -> Result<Sample> {
    let image = data.train.inputs.f_get(at as i64)?.f_permute([1, 2, 0])?.f_contiguous()?;
    let size = image.size();
    let named = |label: i64| usize::try_from(label).ok().and_then(|label| data.classes.get(label)).cloned();
    // Where the labels were made noisy on purpose, the picture shows something else than it is called.
    let truth = data.noise.as_ref().and_then(|noise| {
        let flipped = noise.flipped.binary_search(&(at as i64)).ok()?;
        named(*noise.true_labels.get(flipped)?)
    });
    Ok(Sample {
        index: at as i64,
        class: named(labels[at]).unwrap_or_default(),
        true_class: truth,
        n_chosen,
        width: size[1] as u32,
        height: size[0] as u32,
        pixels: Vec::try_from(&image.f_reshape([-1])?)?,
    })
}
