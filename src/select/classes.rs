//! The class of each sample, on the host.

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};

/// The class of each sample of a set; all in one where labels are no classes.
#[derive(Debug)]
pub(super) struct Classes {
    labels: Vec<u32>,
    are_classes: bool,
    /// How many classes are told apart.
    pub(super) n: usize,
}

/// Fewer validation samples of a class than this rank nothing.
const FEW: usize = 20;

impl Classes {
    /// By labels `i64 [N]` in 0..`n_classes`, or targets of a regression, of the set `name`.
    pub(super) fn new(name: &str, labels: &Tensor, n_classes: usize) -> Result<Self> {
        if labels.f_kind()? != Kind::Int64 {
            let n = labels.size().first().map_or(0, |&n| n as usize);
            return Ok(Self { labels: vec![0; n], are_classes: false, n: 1 });
        }
        let as_class = |label: i64| {
            u32::try_from(label).ok().filter(|&label| (label as usize) < n_classes).ok_or_else(|| {
                Error::argument(
                    format!("labels of the {name}"),
                    format!("0 to {}", n_classes as i64 - 1),
                    label,
                )
            })
        };
        let labels = Vec::<i64>::try_from(labels.f_to_device(Device::Cpu)?)?;
        let labels = labels.into_iter().map(as_class).collect::<Result<_>>()?;
        Ok(Self { labels, are_classes: true, n: n_classes })
    }

    /// Whether labels are classes at all.
    pub(super) fn are_classes(&self) -> bool {
        self.are_classes
    }

    /// The class of each sample, below [`Classes::n`].
    pub(super) fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The class of the sample at `at`.
    pub(super) fn of(&self, at: usize) -> usize {
        self.labels[at] as usize
    }

    /// How many samples each class has.
    pub(super) fn counts(&self) -> Vec<f64> {
        let mut counts = vec![0_u32; self.n];
        self.labels.iter().for_each(|&label| counts[label as usize] += 1);
        counts.into_iter().map(f64::from).collect()
    }

    /// The values of each class's samples, ascending; those of all for a class that has fewer than [`FEW`].
    pub(super) fn sorted(&self, values: &[f32]) -> Vec<Vec<f32>> {
        let ascending = |mut values: Vec<f32>| {
            values.sort_unstable_by(f32::total_cmp);
            values
        };
        let mut parts = vec![Vec::new(); self.n];
        for (&value, &label) in values.iter().zip(&self.labels) {
            parts[label as usize].push(value);
        }
        let has_few = |part: &Vec<f32>| part.len() < FEW;
        let all = if parts.iter().any(has_few) { ascending(values.to_vec()) } else { Vec::new() };
        parts.into_iter().map(|part| if has_few(&part) { all.clone() } else { ascending(part) }).collect()
    }
}
