//! The data that a run was trained on, put together again from what the run recorded of it.

use crate::data::{ClassImbalance, Dataset, Draw, FetchOptions, Kind, LabelNoise, Split, Splits};
use crate::error::Result;
use crate::track::{Parameter, RunRecord};

/// The data of a run, to the bit, or why it cannot be had.
pub(super) type Rebuilt = std::result::Result<Splits, String>;

/// Finds the data set in the cache and does with it what was done for the run: takes the first samples, splits, thins classes
/// out, makes labels noisy. What has another fingerprint then than the run recorded is not its data.
pub(super) fn data_of(record: &RunRecord) -> Result<Rebuilt> {
    let Some(name) = text(record, "dataset") else {
        return Ok(Err("their runs do not say on which data they were trained".to_owned()));
    };
    let Ok(kind) = name.parse::<Kind>() else {
        return Ok(Err(format!(
            "{name} is data of one's own, of which the store keeps samples' positions only"
        )));
    };
    let options = FetchOptions { offline: true, ..FetchOptions::default() };
    let Ok(data) = Dataset::open_with(kind, &options) else {
        return Ok(Err(format!(
            "{name} is not at hand where the report was written; `glisten data fetch {name}` brings it"
        )));
    };
    let changed = || {
        Err(format!(
            "they were trained on a changed {name}, and what their runs recorded is not enough to change it in the same way \
             again"
        ))
    };
    let Some(data) = changed_as(record, data)? else { return Ok(changed()) };
    let is_same = text(record, "dataset_fingerprint").as_deref() == Some(&data.fingerprint);
    Ok(if is_same { Ok(data) } else { changed() })
}

/// None where the run did not record enough.
fn changed_as(record: &RunRecord, data: Dataset) -> Result<Option<Splits>> {
    let (Some(validation), Some(seed)) = (number(record, "split_validation"), seed(record, "split_seed"))
    else {
        return Ok(None);
    };
    // Before classes were thinned out: what is trained on and what is validated on is all there was.
    let n_train = integer(record, "n_train_before_imbalance").or_else(|| integer(record, "n_train"));
    let (Some(n_train), Some(n_validation)) = (n_train, integer(record, "n_validation")) else {
        return Ok(None);
    };
    let Ok(n) = usize::try_from(n_train.saturating_add(n_validation)) else { return Ok(None) };
    let data = if (1..data.train.len()).contains(&n) { data.take(n)? } else { data };
    // What a run recorded is no promise that it is possible.
    let Ok(mut data) = data.split(Split { validation, seed }) else { return Ok(None) };
    if let (Some(classes), Some(keep), Some(seed)) = (
        number(record, "imbalance_classes"),
        number(record, "imbalance_keep"),
        self::seed(record, "imbalance_seed"),
    ) {
        let Ok(thinned) = data.with_class_imbalance(ClassImbalance { classes, keep, seed }) else {
            return Ok(None);
        };
        data = thinned;
    }
    if let (Some(rate), Some(draw), Some(seed)) = (
        number(record, "label_noise"),
        text(record, "label_noise_draw"),
        self::seed(record, "label_noise_seed"),
    ) {
        let draw = match draw.as_str() {
            "other-classes" => Draw::OtherClasses,
            "all-classes" => Draw::AllClasses,
            _ => return Ok(None),
        };
        let Ok(noisy) = data.with_label_noise(LabelNoise { rate, draw, seed }) else { return Ok(None) };
        data = noisy;
    }
    Ok(Some(data))
}

fn text(record: &RunRecord, name: &str) -> Option<String> {
    record.parameters.get(name).map(ToString::to_string)
}

fn number(record: &RunRecord, name: &str) -> Option<f64> {
    match record.parameters.get(name)? {
        Parameter::Number(value) => Some(*value),
        Parameter::Integer(value) => Some(*value as f64),
        _ => None,
    }
}

fn integer(record: &RunRecord, name: &str) -> Option<i64> {
    match record.parameters.get(name)? {
        Parameter::Integer(value) => Some(*value),
        _ => None,
    }
}

fn seed(record: &RunRecord, name: &str) -> Option<u64> {
    integer(record, name).and_then(|seed| u64::try_from(seed).ok())
}
