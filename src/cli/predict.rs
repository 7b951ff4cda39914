//! `glisten predict`.

use std::path::PathBuf;
use std::process::ExitCode;

use glisten::data::Dataset;
use glisten::device;
use glisten::train::TrainedModel;
use polars::prelude::{CsvWriter, SerWriter};

use super::table::{Format, Table};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  glisten train fashion-mnist --epochs 10 --save model.safetensors
  glisten predict model.safetensors fashion-mnist                  # accuracy and the confusion matrix of the test set
  glisten predict model.safetensors fashion-mnist --csv predictions.csv")]
pub(super) struct PredictArguments {
    /// A model that `glisten train --save` or TrainedModel::save wrote
    model: PathBuf,
    /// The data set whose test set is predicted
    data: String,
    /// Write class and probabilities of every sample here
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
        let dataset = Dataset::named(&self.data)?;
        anyhow::ensure!(
            dataset.classes == model.classes(),
            "{}: its classes are not those of {}: {} and {}",
            self.model.display(),
            dataset.name,
            model.classes().join(", "),
            dataset.classes.join(", ")
        );
        let test =
            dataset.test.as_ref().ok_or_else(|| anyhow::anyhow!("{} has no test set", dataset.name))?;
        if let Some(path) = &self.csv {
            let mut predictions = model.predict(&test.inputs)?;
            let mut csv = Vec::new();
            CsvWriter::new(&mut csv).finish(&mut predictions)?;
            glisten_reports::write(path, &String::from_utf8(csv)?)?;
            say!("predictions: {}", path.display());
        }
        let matrix = model.confusion_matrix(test)?;
        let mut n_right = 0;
        for (at, class) in model.classes().iter().enumerate() {
            n_right += matrix.column(class)?.i64()?.get(at).unwrap_or(0);
        }
        say!("accuracy {:.2} % of {} samples", 100.0 * n_right as f64 / test.len() as f64, test.len());
        Table::of(&matrix)?.print(Format::Table)?;
        Ok(ExitCode::SUCCESS)
    }
}
