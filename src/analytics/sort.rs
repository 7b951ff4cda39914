//! Sorting a table of runs by a metric, under the names that people know from other trackers.

use polars::prelude::{ChunkCompareEq, DataFrame, SortMultipleOptions};

use crate::error::{Error, Result};

/// The mark of a run that diverged; one that was taken up again and completed is none.
const DIVERGED: &str = "tags.diverged";

/// What can be done with a table of runs, beside all that Polars does.
pub trait RunsExt {
    /// Sorts by a column, highest value first, rows without a value last. The column may be written with the prefix
    /// `metrics.` or `parameters.` and in any case: `Metrics.Validation:Accuracy.max`.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a column that is not there, naming the nearest one.
    fn sort_by(&self, column: &str) -> Result<DataFrame>;

    /// The column that `asked` means, with or without prefix and in any case.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a column that is not there, naming the nearest one.
    fn column_named(&self, asked: &str) -> Result<String>;

    /// Sorts so that the best run comes first: by the lowest value where [`lowest_is_best`], else by the highest. Runs that
    /// diverged come last, whatever they had reached before.
    ///
    /// # Errors
    /// As [`RunsExt::sort_by`].
    fn best_first(&self, column: &str) -> Result<DataFrame>;
}

impl RunsExt for DataFrame {
    fn sort_by(&self, column: &str) -> Result<DataFrame> {
        sort(self, column, true)
    }

    fn column_named(&self, asked: &str) -> Result<String> {
        find(self, asked)
    }

    fn best_first(&self, column: &str) -> Result<DataFrame> {
        let sorted = sort(self, column, !lowest_is_best(column))?;
        let (Ok(marks), Ok(status)) = (sorted.column(DIVERGED), sorted.column("status")) else {
            return Ok(sorted);
        };
        let is_diverged = marks.is_not_null() & status.str()?.equal("failed");
        Ok(sorted.filter(&!&is_diverged)?.vstack(&sorted.filter(&is_diverged)?)?)
    }
}

/// Words in the name of a metric of which less is better.
const LOWER_IS_BETTER: [&str; 32] = [
    "loss",
    "losses",
    "error",
    "errors",
    "err",
    "rmse",
    "rmsle",
    "mse",
    "msle",
    "mae",
    "mape",
    "smape",
    "deviance",
    "nll",
    "entropy",
    "crossentropy",
    "perplexity",
    "ppl",
    "bpc",
    "brier",
    "ece",
    "wer",
    "cer",
    "fid",
    "regret",
    "seconds",
    "secs",
    "time",
    "duration",
    "latency",
    "megabytes",
    "nonfinite",
];

/// Whether the best value of a column is its lowest: losses, errors (`validation:error.min`, `rmse`), seconds and memory;
/// not accuracies, R², AUC and what is a number per second. Names (`run`, `experiment`) are best read from A to Z.
pub fn lowest_is_best(column: &str) -> bool {
    let column = column.to_lowercase();
    let column = column.strip_prefix("metrics.").or(column.strip_prefix("parameters.")).unwrap_or(&column);
    if ["run", "experiment", "status", "strategy"].contains(&column) {
        return true;
    }
    let mut words = column.split(|c: char| !c.is_alphanumeric());
    let is_rate = column.contains("_per_") || column.contains("/s");
    !is_rate && words.any(|word| LOWER_IS_BETTER.contains(&word))
}

fn sort(runs: &DataFrame, column: &str, descending: bool) -> Result<DataFrame> {
    let name = find(runs, column)?;
    let options = SortMultipleOptions::default()
        .with_order_descending(descending)
        .with_nulls_last(true)
        .with_maintain_order(true);
    Ok(runs.sort([name.as_str()], options)?)
}

/// The column that `asked` means.
fn find(runs: &DataFrame, asked: &str) -> Result<String> {
    let names: Vec<String> = runs.get_column_names().into_iter().map(ToString::to_string).collect();
    let lower = asked.to_lowercase();
    let bare = lower.strip_prefix("metrics.").or_else(|| lower.strip_prefix("parameters.")).unwrap_or(&lower);
    let found = names
        .iter()
        .find(|name| *name == asked)
        .or_else(|| names.iter().find(|name| name.to_lowercase() == bare));
    found.cloned().ok_or_else(|| {
        let hint = match crate::error::nearest(bare, &names) {
            Some(near) => format!("; did you mean '{near}'?"),
            None => format!("; there are: {}", crate::error::listing(&names)),
        };
        Error::NotFound { kind: "column", name: asked.to_owned(), hint }
    })
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use super::{RunsExt, lowest_is_best};

    #[test]
    fn a_metric_says_by_its_name_which_end_is_the_best() {
        for lowest in [
            "validation:error.min",
            "validation:error_rate.last",
            "top5_error",
            "Metrics.Validation:Loss.min",
            "test:rmse.last",
            "test:mae",
            "val_mse.min",
            "epoch:seconds.avg",
            "wall_secs",
            "perplexity.min",
            "validation:loss.nonfinite",
            "run",
        ] {
            assert!(lowest_is_best(lowest), "{lowest}");
        }
        for highest in [
            "validation:accuracy.max",
            "test:balanced_accuracy.last",
            "test:r2.last",
            "auc",
            "f1",
            "images_per_seconds.avg",
            "lossless_ratio",
            "fraction",
            "created",
            "parameters.epochs",
        ] {
            assert!(!lowest_is_best(highest), "{highest}");
        }
        let runs = df!("run" => ["a", "b", "c"], "validation:error.min" => [0.3, 0.1, 0.2]).unwrap();
        assert_eq!(first(&runs.best_first("validation:error.min").unwrap()), "b");
    }

    fn first(runs: &polars::prelude::DataFrame) -> String {
        runs.column("run").unwrap().str().unwrap().get(0).unwrap().to_owned()
    }

    #[test]
    fn prefix_and_case_do_not_matter_and_empty_cells_come_last() {
        let runs = df!(
            "run" => ["a", "b", "c"],
            "validation:accuracy.max" => [Some(0.5), None, Some(0.9)],
            "validation:loss.min" => [Some(0.1), Some(0.3), None],
        )
        .unwrap();
        for name in
            ["validation:accuracy.max", "metrics.validation:accuracy.max", "Metrics.Validation:Accuracy.MAX"]
        {
            assert_eq!(first(&runs.sort_by(name).unwrap()), "c");
        }
        assert_eq!(first(&runs.best_first("validation:loss.min").unwrap()), "a");
        assert_eq!(first(&runs.sort_by("validation:loss.min").unwrap()), "b");
        let message = runs.sort_by("validation:acuracy.max").unwrap_err().to_string();
        assert!(message.contains("did you mean 'validation:accuracy.max'"), "{message}");
    }
}
