//! `glisten predict`.

use std::path::PathBuf;
use std::process::ExitCode;

use glisten::data::{DataSpec, NewSamples};
use glisten::device;
use glisten::train::TrainedModel;
use polars::prelude::{Column, CsvWriter, DataFrame, NamedFrom, SerWriter, Series};

use super::table::{Format, Table};

/// Rows of predictions that are printed where no file is asked for.
const SHOWN: usize = 20;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  glisten train fashion-mnist --epochs 10 --save model.safetensors
  glisten predict model.safetensors fashion-mnist                  # accuracy and the confusion matrix of the test set
  glisten predict model.safetensors fashion-mnist --csv predictions.csv

  glisten train customers.csv --target churned --save churn.safetensors
  glisten predict churn.safetensors new-customers.csv --csv churn.csv   # with or without the column 'churned'

  glisten train leaves --save leaves.safetensors
  glisten predict leaves.safetensors found-today --resize               # a folder of images")]
pub(super) struct PredictArguments {
    /// A model that `glisten train --save` or TrainedModel::save wrote
    model: PathBuf,
    /// What to predict: a data set's name (its test set), the path of a .csv or .parquet file with the columns that the model
    /// was trained on, of a folder of images (or of folders, one for each class), or of an .npz or .npy file
    data: String,
    /// The labels that belong to an .npy file
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Bring images to the size that the model was trained on
    #[arg(long)]
    resize: bool,
    /// Write each sample's row or file, its label where one is given, and the class and all probabilities, or the predicted
    /// value, here
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// auto, cpu, cuda or cuda:INDEX
    #[arg(long, default_value = "auto")]
    device: String,
}

impl PredictArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let device = device::named(&self.device)?;
        let model = TrainedModel::load(&self.model, device)?;
        let mut data = DataSpec::new(&self.data);
        if let Some(labels) = &self.labels {
            data = data.labels(labels);
        }
        let samples = model.load_new(&data, self.resize)?;
        let mut predictions = model.predict_new(&samples)?;
        if let Some(path) = &self.csv {
            let mut csv = Vec::new();
            CsvWriter::new(&mut csv).finish(&mut predictions)?;
            glisten_reports::write(path, &String::from_utf8(csv)?)?;
            say!("predictions: {}", path.display());
        }
        let is_scored = if model.classes().is_empty() {
            print_errors(&samples, &predictions)?
        } else {
            print_confusion(&samples, &predictions, model.classes())?
        };
        if !is_scored && self.csv.is_none() {
            Table::of(&predictions.head(Some(SHOWN)))?.print(Format::Table)?;
            if predictions.height() > SHOWN {
                say!("… and {} more; --csv FILE writes all", predictions.height() - SHOWN);
            }
        } else if !is_scored {
            say!("{} samples, none with a label", samples.len());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Accuracy and confusion matrix of the samples with a label; false if there are none.
fn print_confusion(
    samples: &NewSamples,
    predictions: &DataFrame,
    classes: &[String],
) -> anyhow::Result<bool> {
    let labels = samples.label_names().unwrap_or_default();
    let n_labelled = labels.iter().flatten().count();
    if n_labelled == 0 {
        return Ok(false);
    }
    let position = |name: &str| classes.iter().position(|class| class == name);
    let predicted = predictions.column("class")?.str()?;
    let mut counts = vec![vec![0_i64; classes.len()]; classes.len()];
    let mut unknown: Vec<&str> = Vec::new();
    for (label, class) in labels.iter().zip(predicted.iter()) {
        let (Some(label), Some(class)) = (label, class.and_then(position)) else { continue };
        match position(label) {
            Some(label) => counts[label][class] += 1,
            None => unknown.push(label),
        }
    }
    let n_right: i64 = (0..classes.len()).map(|at| counts[at][at]).sum();
    let without = samples.len() - n_labelled;
    let without = if without > 0 { format!(", {without} more have no label") } else { String::new() };
    say!("accuracy {:.2} % of {n_labelled} samples{without}", 100.0 * n_right as f64 / n_labelled as f64);
    if let Some(first) = unknown.first() {
        say!("{} labels are none of the model's classes, as '{first}': counted as wrong", unknown.len());
    }
    let mut first = "true".to_owned();
    while classes.contains(&first) {
        first.push('\'');
    }
    let mut columns = vec![Column::from(Series::new(first.as_str().into(), classes))];
    for (at, name) in classes.iter().enumerate() {
        let values: Vec<i64> = counts.iter().map(|row| row[at]).collect();
        columns.push(Series::new(name.as_str().into(), values).into());
    }
    Table::of(&DataFrame::new(classes.len(), columns)?)?.print(Format::Table)?;
    Ok(true)
}

/// RMSE and R² over the samples with a target; false if there are none.
fn print_errors(samples: &NewSamples, predictions: &DataFrame) -> anyhow::Result<bool> {
    let targets = samples.targets().unwrap_or_default();
    let predicted = predictions.column("prediction")?.f32()?;
    let pairs: Vec<(f64, f64)> =
        targets.iter().zip(predicted.iter()).filter_map(|(y, p)| Some(((*y)?, f64::from(p?)))).collect();
    if pairs.is_empty() {
        return Ok(false);
    }
    let n = pairs.len() as f64;
    let mean = pairs.iter().map(|(target, _)| target / n).sum::<f64>();
    let squared =
        |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(|pair| of(pair).powi(2) / n).sum::<f64>();
    let (error, spread) = (squared(&|(target, value)| target - value), squared(&|(target, _)| target - mean));
    say!("RMSE {:.6} over {} samples", error.sqrt(), pairs.len());
    if spread > 0.0 {
        say!("R² {:.4}", 1.0 - error / spread);
    }
    Ok(true)
}
