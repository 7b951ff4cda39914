//! What a training leaves: its figures, and the trained model, to predict with, to save and to load.

use std::path::Path;

use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, nn};

use super::targets::TargetScale;
use super::tensor_file::{self, Format, Tensors};
use crate::data::{
    DataSpec, Examples, InputShape, ModelInputs, NewSamples, Normalization, Splits, TableSchema, Task,
};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::{Architecture, Model};
use crate::ops;
use crate::track::Run;

/// What came of a training. The full series of its metrics is in the store.
#[derive(Debug)]
pub struct Fitted {
    /// The run's name within its experiment.
    pub run: String,
    /// Accuracy on the validation set after the last epoch, in [0, 1].
    pub validation_accuracy: Option<f64>,
    /// Accuracy on the test set at the end, where there is one.
    pub test_accuracy: Option<f64>,
    /// Root mean squared error of a regression on the validation set after the last epoch, in the target's own unit.
    pub validation_rmse: Option<f64>,
    /// R² of a regression on the validation set after the last epoch.
    pub validation_r2: Option<f64>,
    /// Root mean squared error of a regression on the test set at the end, in the target's own unit.
    pub test_rmse: Option<f64>,
    /// R² of a regression on the test set at the end.
    pub test_r2: Option<f64>,
    /// Seconds of training steps, all epochs together.
    pub train_secs: f64,
    /// Seconds of choosing, all epochs together.
    pub selection_secs: f64,
    /// Whether a completed run of this configuration was there already and nothing was trained.
    pub reused: bool,
    /// The model as it was after the last epoch; `None` where nothing was trained.
    pub model: Option<TrainedModel>,
}

impl Fitted {
    /// The trained model.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the run was complete before, and so nothing was trained.
    pub fn model(&self) -> Result<&TrainedModel> {
        self.model.as_ref().ok_or_else(|| Error::NotFound {
            kind: "model in memory of the run",
            name: self.run.clone(),
            hint: "; it was complete before and was not trained again: save a model when it is trained"
                .to_owned(),
        })
    }
}

/// A model with its weights and everything that is needed to predict with it.
pub struct TrainedModel {
    manifest: Manifest,
    normalization: Normalization,
    model: Box<dyn Model>,
    variables: nn::VarStore,
}

const FORMAT: Format = Format { id: "model 1", name: "a model saved by Glisten" };
/// With the scale of its targets, without which its outputs are no predictions: an older release refuses it.
const WITH_TARGETS: Format = Format { id: "model 2", name: "a model saved by Glisten" };
const WEIGHTS: &str = "model.";
const NORMALIZATION: [&str; 2] = ["normalization.mean", "normalization.inverse"];

/// Inputs of a pass that predicts.
const BATCH: i64 = 500;

/// What a saved model says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Manifest {
    architecture: String,
    settings: String,
    /// `[C, H, W]` of images, `[F]` of rows of a table.
    input_shape: Vec<i64>,
    classes: Vec<String>,
    dataset: String,
    dataset_fingerprint: String,
    glisten_version: String,
    /// Of a table, how its columns become features. Older releases did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<TableSchema>,
    /// By which outputs become predictions of a regression; none in files of before, whose targets were learnt as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    targets: Option<TargetScale>,
}

impl Manifest {
    /// Reads a model file of either format.
    fn read(path: &Path) -> Result<(Self, Tensors)> {
        match tensor_file::read(path, &FORMAT) {
            Ok(read) => Ok(read),
            Err(error) => tensor_file::read(path, &WITH_TARGETS).map_err(|_| error),
        }
    }

    /// What the model takes and gives, if that can be.
    fn made_for(&self, path: &Path) -> Result<(InputShape, Task)> {
        const MOST_VALUES: i64 = 1 << 28;
        let n_values = self
            .input_shape
            .iter()
            .try_fold(1_i64, |n, &size| n.checked_mul(size).filter(|n| size > 0 && *n <= MOST_VALUES));
        let input = match (n_values, &self.input_shape[..]) {
            (Some(_), &[channels, height, width]) => InputShape::Image { channels, height, width },
            (Some(_), &[n_features]) => InputShape::Table { n_features },
            _ => {
                let found = format!("{:?}", self.input_shape);
                return Err(Error::bad_file(path, "inputs of [C, H, W] or [F]", found));
            }
        };
        let task = match self.classes.len() {
            0 => Task::Regression,
            n_classes => Task::Classification { n_classes },
        };
        Ok((input, task))
    }
}

impl std::fmt::Debug for TrainedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrainedModel").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl TrainedModel {
    pub(super) fn new(
        architecture: &dyn Architecture,
        data: &Splits,
        (normalization, targets): (Normalization, Option<TargetScale>),
        model: Box<dyn Model>,
        variables: nn::VarStore,
    ) -> Self {
        let manifest = Manifest {
            architecture: architecture.name().to_owned(),
            settings: architecture.settings(),
            input_shape: data.input_shape().dims(),
            classes: data.classes.clone(),
            dataset: data.name.clone(),
            dataset_fingerprint: data.fingerprint.clone(),
            glisten_version: env!("CARGO_PKG_VERSION").to_owned(),
            table: data.table.as_deref().cloned(),
            targets,
        };
        Self { manifest, normalization, model, variables }
    }

    /// The architecture's name.
    pub fn architecture(&self) -> &str {
        &self.manifest.architecture
    }

    /// The classes' names; none for a regression.
    pub fn classes(&self) -> &[String] {
        &self.manifest.classes
    }

    /// The shape of one input.
    pub fn input_shape(&self) -> InputShape {
        match self.manifest.input_shape[..] {
            [channels, height, width] => InputShape::Image { channels, height, width },
            _ => InputShape::Table { n_features: self.manifest.input_shape.iter().product() },
        }
    }

    /// Of a model trained on a table, how its columns become features; it is kept in the model's file.
    pub fn table(&self) -> Option<&TableSchema> {
        self.manifest.table.as_ref()
    }

    /// Loads inputs to predict in the form that the model takes: see [`DataSpec::load_new`].
    ///
    /// # Errors
    /// As [`DataSpec::load_new`].
    pub fn load_new(&self, data: &DataSpec, resize: bool) -> Result<NewSamples> {
        let like = ModelInputs { shape: self.input_shape(), classes: self.classes(), table: self.table() };
        data.load_new(like, resize)
    }

    /// Predicts each of `samples`: what is known of it ([`NewSamples::about`]), then the columns of [`TrainedModel::predict`].
    /// The prediction of a regression is in the unit of its table's target.
    ///
    /// # Errors
    /// As [`TrainedModel::predict`].
    pub fn predict_new(&self, samples: &NewSamples) -> Result<DataFrame> {
        let predictions = self.predict(&samples.inputs)?;
        let mut columns: Vec<Column> = samples.about.columns().to_vec();
        for column in predictions.columns() {
            let mut column = column.clone();
            // A class may be called "row".
            while columns.iter().any(|known| known.name() == column.name()) {
                column.rename(format!("{}'", column.name()).into());
            }
            columns.push(column);
        }
        if let Some((mean, deviation)) = self.table().map(TableSchema::target_scale)
            && (mean, deviation) != (0.0, 1.0)
            && let Some(last) = columns.last_mut().filter(|_| self.classes().is_empty())
        {
            let values = last.f32()?.iter().map(|value| Some((f64::from(value?) * deviation + mean) as f32));
            *last = Series::new(last.name().clone(), values.collect::<Vec<Option<f32>>>()).into();
        }
        Ok(DataFrame::new(samples.len(), columns)?)
    }

    /// Mean and standard deviation of a regression's training targets, by which outputs become predictions.
    pub fn target_scale(&self) -> Option<TargetScale> {
        self.manifest.targets
    }

    /// Writes weights, normalisation, the table's schema, the targets' scale, class names and the architecture's settings to one
    /// safetensors file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let variables = self.variables.variables().into_iter();
        let mut tensors: Tensors =
            variables.map(|(name, tensor)| (format!("{WEIGHTS}{name}"), tensor)).collect();
        let parts = [self.normalization.mean(), self.normalization.inverse()].map(Tensor::shallow_clone);
        tensors.extend(NORMALIZATION.map(str::to_owned).into_iter().zip(parts));
        let format = if self.manifest.targets.is_some() { &WITH_TARGETS } else { &FORMAT };
        tensor_file::write(path.as_ref(), format, &self.manifest, &tensors)
    }

    /// Reads a saved model whose architecture Glisten knows, onto `device`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::BadFile`] if it is damaged or no saved model, or does not fit its
    /// architecture; [`Error::NotFound`] for an architecture of one's own: see [`TrainedModel::load_with`];
    /// [`Error::Argument`] if [`ops::CPU_PATH_VARIABLE`] names instructions that the processor lacks.
    pub fn load(path: impl AsRef<Path>, device: Device) -> Result<Self> {
        let path = path.as_ref();
        let (manifest, tensors) = Manifest::read(path)?;
        let (input, task) = manifest.made_for(path)?;
        let architecture = crate::model::of_saved(&manifest.architecture, &manifest.settings, input, task)?;
        // Before weights are made: what a file says of itself could ask for more of them than any machine holds.
        let least = crate::model::n_weights_at_least(&manifest.architecture, &manifest.settings, input, task);
        let weights = tensors.iter().filter(|(name, _)| name.starts_with(WEIGHTS));
        let n_weights = weights.map(|(_, tensor)| tensor.numel() as u128).sum::<u128>();
        if n_weights < least {
            let expected = format!("the weights of a {}, {least} or more", manifest.architecture);
            return Err(Error::bad_file(path, expected, format!("{n_weights} of them")));
        }
        Self::restore(path, manifest, tensors, architecture.as_ref(), device)
    }

    /// Reads a saved model of an architecture of one's own, onto `device`.
    ///
    /// # Errors
    /// As [`TrainedModel::load`], and [`Error::BadFile`] if it was saved from another architecture.
    pub fn load_with(
        path: impl AsRef<Path>,
        architecture: &dyn Architecture,
        device: Device,
    ) -> Result<Self> {
        let path = path.as_ref();
        let (manifest, tensors) = Manifest::read(path)?;
        let named = |name: &str, settings: &str| {
            format!("the architecture '{name}' {settings}").trim_end().to_owned()
        };
        let expected = named(architecture.name(), &architecture.settings());
        let found = named(&manifest.architecture, &manifest.settings);
        if expected != found {
            return Err(Error::bad_file(path, expected, found));
        }
        Self::restore(path, manifest, tensors, architecture, device)
    }

    fn restore(
        path: &Path,
        manifest: Manifest,
        mut tensors: Tensors,
        architecture: &dyn Architecture,
        device: Device,
    ) -> Result<Self> {
        ops::cpu_path()?;
        let [Some(mean), Some(inverse)] = NORMALIZATION.map(|name| tensors.remove(name)) else {
            return Err(Error::bad_file(path, "the normalisation of its inputs", "none"));
        };
        let normalization =
            Normalization::from_tensors(mean.f_to_device(device)?, inverse.f_to_device(device)?);
        let variables = nn::VarStore::new(device);
        let model = architecture.build(&variables.root());
        tensor_file::copy_into(&variables.variables(), &tensors, WEIGHTS, path)?;
        Ok(Self { manifest, normalization, model, variables })
    }

    /// Predicts for new inputs, of the shape and dtype that the model was trained on: `u8 [N, C, H, W]` images or
    /// `f32 [N, F]` rows. One row an input: `class` (str), `probability` (f32, of that class), then each class's
    /// probability under its name (f32); of a regression, `prediction` (f32), on the target's own scale.
    ///
    /// # Errors
    /// [`Error::Argument`] for inputs of another shape or dtype; [`Error::Interrupted`] if a stop was asked for.
    pub fn predict(&self, inputs: &Tensor) -> Result<DataFrame> {
        let outputs = self.outputs(inputs)?;
        let n = outputs.size()[0] as usize;
        let column = |name: &str, values: Vec<f32>| Column::from(Series::new(name.into(), values));
        if self.classes().is_empty() {
            let targets = self.manifest.targets.unwrap_or(TargetScale::IDENTITY);
            let values = Vec::try_from(&targets.restore(&outputs.f_reshape([-1])?)?)?;
            return Ok(DataFrame::new(n, vec![column("prediction", values)])?);
        }
        let probabilities = outputs.f_softmax(-1, Kind::Float)?; // [N, C]
        let (highest, class) = probabilities.f_max_dim(-1, false)?;
        let class: Vec<i64> = Vec::try_from(&class)?;
        let names: Vec<&str> = class.iter().map(|&class| self.classes()[class as usize].as_str()).collect();
        let mut columns =
            vec![Series::new("class".into(), names).into(), column("probability", Vec::try_from(&highest)?)];
        for (at, name) in self.classes().iter().enumerate() {
            // A class may be called "class".
            let taken = |name: &str| columns.iter().any(|one: &Column| one.name().as_str() == name);
            let mut name = name.clone();
            while taken(&name) {
                name.push('\'');
            }
            let values = probabilities.f_select(1, at as i64)?.f_contiguous()?;
            columns.push(column(&name, Vec::try_from(&values)?));
        }
        Ok(DataFrame::new(n, columns)?)
    }

    /// How often each class was taken for each: one row a true class, whose name is in the column `true`, and one column
    /// (i64) a predicted class.
    ///
    /// # Errors
    /// As [`TrainedModel::predict`]; [`Error::Argument`] for a regression, or a label that is none of the classes.
    pub fn confusion_matrix(&self, examples: &Examples) -> Result<DataFrame> {
        let counts = self.confusion_counts(examples)?;
        let names: Vec<&str> = self.classes().iter().map(String::as_str).collect();
        let mut first = "true".to_owned();
        while names.contains(&first.as_str()) {
            first.push('\'');
        }
        let mut columns = vec![Column::from(Series::new(first.as_str().into(), &names))];
        for (at, name) in names.iter().enumerate() {
            let values: Vec<i64> = counts.iter().map(|row| row[at]).collect();
            columns.push(Series::new((*name).into(), values).into());
        }
        Ok(DataFrame::new(names.len(), columns)?)
    }

    /// `[i][j]`: how many samples of class `i` are taken for class `j`.
    fn confusion_counts(&self, examples: &Examples) -> Result<Vec<Vec<i64>>> {
        let n_classes = self.classes().len() as i64;
        if n_classes == 0 {
            return Err(Error::argument("model", "one that tells classes apart", "a regression"));
        }
        let labels = examples.labels.f_to_device(Device::Cpu)?;
        if labels.f_kind()? != Kind::Int64 {
            return Err(Error::argument("labels", "classes, i64", format!("{:?}", labels.kind())));
        }
        for label in [labels.f_min()?, labels.f_max()?] {
            let label = label.f_int64_value(&[])?;
            if !(0..n_classes).contains(&label) {
                return Err(Error::argument("labels", format!("0 to {}", n_classes - 1), label));
            }
        }
        let predicted = self.outputs(&examples.inputs)?.f_argmax(-1, false)?;
        let cells = (labels * n_classes).f_add(&predicted)?;
        let counts = Vec::<i64>::try_from(&cells.f_bincount::<&Tensor>(None, n_classes * n_classes)?)?;
        Ok(counts.chunks(n_classes as usize).map(<[i64]>::to_vec).collect())
    }

    /// Keeps the model with `run`, as the artifact `model`; and, of a test set with classes, the confusion matrix `test`.
    pub(super) fn keep_with(&self, run: &Run, test: Option<&Examples>) -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir(), "making a folder"))?;
        let path = folder.path().join("model.safetensors");
        self.save(&path)?;
        run.log_artifact("model", &path)?;
        if let Some(test) = test.filter(|test| !test.is_empty() && !self.classes().is_empty()) {
            let counts = self.confusion_counts(test)?;
            let counts: Vec<Vec<u64>> =
                counts.iter().map(|row| row.iter().map(|count| count.unsigned_abs()).collect()).collect();
            let labels: Vec<&str> = self.classes().iter().map(String::as_str).collect();
            run.log_confusion_matrix("test", &labels, &counts)?;
        }
        Ok(())
    }

    /// The last layer's output for `inputs`, `f32 [N, C]`, on the CPU.
    fn outputs(&self, inputs: &Tensor) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let (size, kind) = (inputs.size(), inputs.f_kind()?);
        let expected_kind = if self.manifest.input_shape.len() == 3 { Kind::Uint8 } else { Kind::Float };
        if size.get(1..) != Some(&self.manifest.input_shape[..]) || kind != expected_kind {
            let axes: Vec<String> = self.manifest.input_shape.iter().map(ToString::to_string).collect();
            let expected =
                format!("{expected_kind:?} of shape [N, {}], as the model was trained on", axes.join(", "));
            return Err(Error::argument("inputs", expected, format!("{kind:?} of shape {size:?}")));
        }
        let device = self.variables.device();
        let mut parts = Vec::new();
        for from in (0..size[0]).step_by(BATCH as usize) {
            interrupt::check()?;
            let batch = inputs.f_narrow(0, from, BATCH.min(size[0] - from))?.f_to_device(device)?;
            let outputs = self.model.forward(&self.normalization.apply(&batch), false);
            parts.push(outputs.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?);
        }
        if parts.is_empty() {
            return Err(Error::argument("inputs", "one input or more", "none"));
        }
        Ok(Tensor::f_cat(&parts, 0)?)
    }
}
