//! Networks that can be trained and selected with: features, then one linear layer that gives the logits.

mod lenet;
mod logistic;
mod mlp;
mod resnet;

pub use lenet::LeNet;
pub use logistic::LogisticRegression;
pub use mlp::Mlp;
pub use resnet::ResNet18;

use tch::{Tensor, nn};

use crate::data::{InputShape, Splits, Task};
use crate::error::{Error, Result};

/// A network whose last layer is linear. Selection works on what goes into that layer and what comes out.
pub trait Model {
    /// Penultimate features: normalised inputs, `f32 [N, C, H, W]` images or `f32 [N, F]` rows of a table, to `[N, D]`.
    /// `train` switches dropout and batch statistics on. What comes is f32, or bf16 inside a training step of that precision.
    fn features(&self, inputs: &Tensor, train: bool) -> Tensor;

    /// The last layer: features `[N, D]` to logits `[N, classes]`, or to one prediction `[N, 1]` for a regression.
    fn logits(&self, features: &Tensor) -> Tensor;

    /// Inputs straight to logits.
    fn forward(&self, inputs: &Tensor, train: bool) -> Tensor {
        self.logits(&self.features(inputs, train))
    }
}

impl<M: Model + ?Sized> Model for Box<M> {
    fn features(&self, images: &Tensor, train: bool) -> Tensor {
        (**self).features(images, train)
    }

    fn logits(&self, features: &Tensor) -> Tensor {
        (**self).logits(features)
    }
}

/// A kind of network, from which a training makes a fresh [`Model`] with weights drawn from its seed.
///
/// One's own network, in a notebook cell, is a [`Model`] and what builds it:
///
/// ```no_run
/// use glisten::prelude::*;
/// use tch::{Tensor, nn};
///
/// struct Wide { hidden: nn::Linear, last: nn::Linear }
///
/// impl Model for Wide {
///     fn features(&self, inputs: &Tensor, _train: bool) -> Tensor { inputs.flatten(1, -1).apply(&self.hidden).relu() }
///     fn logits(&self, features: &Tensor) -> Tensor { features.apply(&self.last) }
/// }
///
/// struct WideFor { n_values: i64, n_classes: i64 }
///
/// impl Architecture for WideFor {
///     fn name(&self) -> &str { "wide" }
///     fn build(&self, path: &nn::Path<'_>) -> Box<dyn Model> {
///         Box::new(Wide {
///             hidden: nn::linear(path / "hidden", self.n_values, 1000, Default::default()),
///             last: nn::linear(path / "last", 1000, self.n_classes, Default::default()),
///         })
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let data = Dataset::mnist()?.split(Split::default())?;
/// Trainer::new(WideFor { n_values: 28 * 28, n_classes: 10 }).fit(&data, &Experiment::resume("wide")?)?;
/// # Ok(())
/// # }
/// ```
pub trait Architecture {
    /// The name a run is stored under.
    fn name(&self) -> &str;

    /// Settings of its own that a training's result hangs on, in any form: trainings that differ in them are not taken for
    /// one another.
    fn settings(&self) -> String {
        String::new()
    }

    /// Whether it can take in this data.
    ///
    /// # Errors
    /// [`Error::Argument`] if it cannot, saying what it can.
    fn check(&self, data: &Splits) -> Result<()> {
        let _ = data;
        Ok(())
    }

    /// A new model whose variables live under `path`.
    fn build(&self, path: &nn::Path<'_>) -> Box<dyn Model>;
}

/// The names that [`named`] knows.
pub const NAMES: [&str; 4] = ["lenet", "resnet18", "mlp", "logistic-regression"];

/// The name that stands for the model which [`fitting`] gives.
pub const AUTO: &str = "auto";

/// Larger images than this are for a ResNet-18.
const SMALL_SIDE: i64 = 32;

/// The name of the model that fits the data, and why: an MLP for rows of a table and for regressions, LeNet for small images
/// (up to 32 × 32) and ResNet-18 for larger ones.
pub fn fitting(data: &Splits) -> (&'static str, &'static str) {
    match (data.input_shape(), data.task()) {
        (InputShape::Table { .. }, _) => ("mlp", "rows of a table"),
        (_, Task::Regression) => ("mlp", "a regression"),
        (InputShape::Image { height, width, .. }, _) if height.max(width) <= SMALL_SIDE => {
            ("lenet", "small images")
        }
        _ => ("resnet18", "images larger than 32 × 32"),
    }
}

/// The architecture of that name, sized for `data`; for [`AUTO`] the one that fits it.
///
/// # Errors
/// [`Error::NotFound`] for a name that is not one of [`NAMES`].
pub fn named(name: &str, data: &Splits) -> Result<Box<dyn Architecture>> {
    match name {
        AUTO => named(fitting(data).0, data),
        "lenet" => Ok(Box::new(LeNet::for_data(data))),
        "resnet18" => Ok(Box::new(ResNet18::for_data(data))),
        "mlp" => Ok(Box::new(Mlp::for_data(data))),
        "logistic-regression" => Ok(Box::new(LogisticRegression::for_data(data))),
        _ => {
            check_name(name)?;
            Err(Error::NotFound { kind: "model", name: name.to_owned(), hint: String::new() })
        }
    }
}

/// Whether there is a model of that name.
///
/// # Errors
/// [`Error::NotFound`] if there is none, with the nearest name.
pub fn check_name(name: &str) -> Result<()> {
    if NAMES.contains(&name) {
        return Ok(());
    }
    let hint = match crate::error::nearest(name, &NAMES) {
        Some(near) => format!("; did you mean '{near}'? There are: {}", NAMES.join(", ")),
        None => format!("; there are: {}", NAMES.join(", ")),
    };
    Err(Error::NotFound { kind: "model", name: name.to_owned(), hint })
}

/// Whether `data` is what a model was sized for; `model` is the name of its type.
fn check_shape(model: &str, sized_for: (InputShape, Task), data: &Splits) -> Result<()> {
    if sized_for == (data.input_shape(), data.task()) {
        return Ok(());
    }
    let expected = format!("inputs of {} and {}, for which this {model} was made", sized_for.0, sized_for.1);
    let got = format!("{} and {}; {model}::for_data(&data) fits", data.input_shape(), data.task());
    Err(Error::argument("data", expected, got))
}

/// Whether `data` is images with classes, which alone `model` can take in.
fn check_image_classes(model: &str, data: &Splits) -> Result<()> {
    match (data.task(), data.input_shape()) {
        (Task::Classification { .. }, InputShape::Image { .. }) => Ok(()),
        (task, shape) => Err(Error::argument(
            "data",
            format!("images with classes, for {model}"),
            format!("{task}, {shape}"),
        )),
    }
}

/// How many weights a saved model of that kind has at least: those of its layers that grow with what it was made for. A file
/// that does not hold as many is none of it, whatever it says.
pub fn n_weights_at_least(name: &str, settings: &str, input: InputShape, task: Task) -> u128 {
    let (n_values, n_outputs) = (input.n_values() as u128, task.n_outputs() as u128);
    match name {
        "lenet" => lenet::n_flattened(input) as u128 * 120 + 84 * n_outputs,
        "resnet18" => input.image().map_or(0, |[channels, ..]| channels as u128) * 576 + 512 * n_outputs,
        "mlp" => {
            let hidden: Vec<u32> = serde_json::from_str(settings).unwrap_or_default();
            let widths = hidden.iter().map(|&width| u128::from(width)).chain([n_outputs]);
            widths.fold((0, n_values), |(n, from), to| (n + from * to, to)).0
        }
        "logistic-regression" => n_values * n_outputs,
        _ => 0,
    }
}

/// The architecture of a saved model, from its name, its settings and what it was made for.
///
/// # Errors
/// [`Error::NotFound`] for a name that is not one of [`NAMES`]; [`Error::Argument`] for settings that it does not have.
pub fn of_saved(name: &str, settings: &str, input: InputShape, task: Task) -> Result<Box<dyn Architecture>> {
    match name {
        // They take in nothing else: a file that says so was not written by us.
        "lenet" | "resnet18" if input.image().is_none() || task == Task::Regression => Err(Error::argument(
            "model",
            format!("images with classes, for a {name}"),
            format!("{task}, {input}"),
        )),
        "lenet" => Ok(Box::new(LeNet::for_shape(input, task))),
        "resnet18" => Ok(Box::new(ResNet18::for_shape(input, task))),
        "mlp" => {
            let hidden: Vec<i64> = serde_json::from_str(settings)
                .map_err(|_| Error::argument("settings of the mlp", "a list of widths", settings))?;
            let model = Mlp::for_shape(input, task).hidden(&hidden);
            model.check_widths()?;
            Ok(Box::new(model))
        }
        "logistic-regression" => Ok(Box::new(LogisticRegression::for_shape(input, task))),
        _ => {
            let hint = format!("; there are: {}; one of your own is read by load_with", NAMES.join(", "));
            Err(Error::NotFound { kind: "model", name: name.to_owned(), hint })
        }
    }
}
