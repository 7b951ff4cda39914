//! Training: a model, the data, a selection and a seed in; a run with its metrics in the store out.

mod augment;
mod epoch;
mod loss;
mod optimizer;
mod precision;
mod schedule;
mod sweep;
mod trainer;

pub use augment::Augment;
pub use optimizer::Sgd;
pub use precision::{PRECISIONS, Precision};
pub use schedule::{SCHEDULES, Schedule};
pub use sweep::Sweep;
pub use trainer::{Fitted, Trainer};
