//! Networks that can be trained and selected with: features, then one linear layer that gives the logits.

mod lenet;

pub use lenet::LeNet;

use tch::{Tensor, nn};

use crate::data::Splits;
use crate::error::{Error, Result};

/// A network whose last layer is linear. Selection works on what goes into that layer and what comes out.
pub trait Model {
    /// Penultimate features: `f32 [N, C, H, W]` images, normalised, to `f32 [N, D]`. `train` switches dropout and
    /// batch statistics on.
    fn features(&self, images: &Tensor, train: bool) -> Tensor;

    /// The last layer: features `f32 [N, D]` to logits `f32 [N, classes]`.
    fn logits(&self, features: &Tensor) -> Tensor;

    /// Images straight to logits.
    fn forward(&self, images: &Tensor, train: bool) -> Tensor {
        self.logits(&self.features(images, train))
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
pub const NAMES: [&str; 1] = ["lenet"];

/// The architecture of that name, sized for `data`.
///
/// # Errors
/// [`Error::NotFound`] for a name that is not one of [`NAMES`].
pub fn named(name: &str, data: &Splits) -> Result<Box<dyn Architecture>> {
    match name {
        "lenet" => Ok(Box::new(LeNet::for_data(data))),
        _ => Err(Error::NotFound {
            kind: "model",
            name: name.to_owned(),
            hint: format!("; there is: {}", NAMES.join(", ")),
        }),
    }
}
