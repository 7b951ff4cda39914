//! Runs that other trackers have kept, as runs of ours.

mod file_store;
mod folder;
mod meta;
mod mlflow;
mod sagemaker;

pub use mlflow::import_mlflow;
pub use sagemaker::import_sagemaker;

use super::address::without_secrets;
use super::counted;
use crate::track::{ImportedRun, Parameter};

/// What an import came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Imported {
    /// The experiments that runs were imported to.
    pub experiments: Vec<String>,
    /// Runs that were imported.
    pub n_runs: usize,
    /// Runs that had been imported before.
    pub n_known: usize,
    /// Values of metrics that were imported.
    pub n_values: usize,
    /// Artifacts that were copied in.
    pub n_artifacts: usize,
    /// What could not be taken over as it is, and why.
    pub notes: Vec<String>,
}

impl std::fmt::Display for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { experiments, n_runs, n_known, n_values, n_artifacts, notes } = self;
        let (runs, values) = (counted(*n_runs, "run"), counted(*n_values, "value"));
        write!(f, "{runs} with {values} of metrics and {}", counted(*n_artifacts, "artifact"))?;
        if *n_known > 0 {
            write!(f, " ({n_known} more had been imported before)")?;
        }
        write!(f, " in: {}", crate::error::listing(experiments))?;
        notes.iter().try_for_each(|note| write!(f, "\n  {note}"))
    }
}

/// Takes passwords out of the addresses among what a run keeps, and notes how many there were.
fn hide_secrets(name: &str, run: &mut ImportedRun, notes: &mut Vec<String>) {
    let parameters = run.parameters.values_mut().chain(run.environment.values_mut());
    let texts = parameters.filter_map(|value| match value {
        Parameter::Text(text) => Some(text),
        _ => None,
    });
    let texts = texts.chain(run.tags.values_mut()).chain(&mut run.note).chain(&mut run.error);
    let mut n_hidden = 0;
    for text in texts {
        let without = without_secrets(text).into_owned();
        n_hidden += usize::from(without != *text);
        *text = without;
    }
    if n_hidden > 0 {
        let texts = counted(n_hidden, "text");
        notes.push(format!("run '{name}': passwords in the addresses of {texts} are not taken over"));
    }
}

/// A parameter from the text that another tracker keeps: a truth value, a whole number, another finite number, or the text.
pub(super) fn typed(text: &str) -> Parameter {
    match text {
        "true" | "True" => return true.into(),
        "false" | "False" => return false.into(),
        _ => {}
    }
    // Not what reads like a number but is written otherwise: 007 is a name.
    if let Some(whole) = text.parse::<i64>().ok().filter(|whole| whole.to_string() == text) {
        return whole.into();
    }
    let is_numeric =
        text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) && !text.starts_with("00");
    let number = text.parse::<f64>().ok().filter(|number| is_numeric && number.is_finite());
    number.map_or_else(|| text.into(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::typed;
    use crate::track::Parameter;

    #[test]
    fn parameters_get_the_type_that_their_text_has() {
        assert_eq!(typed("True"), Parameter::Boolean(true));
        assert_eq!(typed("-12"), Parameter::Integer(-12));
        assert_eq!(typed("1e-05"), Parameter::Number(1e-5));
        assert_eq!(typed("10.0"), Parameter::Number(10.0));
        for text in ["", "007", "inf", "nan", "1e999", "lenet", "1_000", "0x10", " 1", "TRUE"] {
            assert_eq!(typed(text), Parameter::Text(text.to_owned()), "{text}");
        }
    }
}
