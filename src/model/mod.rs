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

/// A kind of network, from which a training makes a fresh [`Model`] with weights drawn from its seed.
pub trait Architecture {
    /// The name a run is stored under.
    fn name(&self) -> &str;

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
