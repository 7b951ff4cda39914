//! Training: a model, the data, a selection and a seed in; a run with its metrics in the store out.

mod epoch;
mod optimizer;
mod sweep;
mod trainer;

pub use optimizer::Sgd;
pub use sweep::Sweep;
pub use trainer::{Fitted, Trainer};
