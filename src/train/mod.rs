//! Training: a model, the data, a selection and a seed in; a run with its metrics in the store out.

mod augment;
mod checkpoint;
mod epoch;
mod evidence;
mod fit;
mod fitted;
mod glister_options;
mod loss;
mod optimizer;
mod precision;
mod schedule;
mod sweep;
mod targets;
mod tensor_file;
mod trainer;

pub use augment::Augment;
pub use fitted::{Fitted, TrainedModel};
pub use glister_options::{GlisterFor, GlisterOptions, GreedyName, ScopeName};
pub use optimizer::Sgd;
pub use precision::{PRECISIONS, Precision};
pub use schedule::{SCHEDULES, Schedule};
pub use sweep::{FailedRun, Sweep, SweepOutcome};
pub use targets::TargetScale;
pub use trainer::Trainer;
