//! What a notebook cell sees without importing anything, and what a program of one's own starts with.

pub use crate::analytics::{Chart, RunsExt};
pub use crate::data::{Dataset, Examples, InputShape, Missing, Split, Splits, TableOptions, Task, Unseen};
pub use crate::error::{Error, Result};
pub use crate::model::{Architecture, LeNet, LogisticRegression, Mlp, Model, ResNet18};
pub use crate::report::Report;
pub use crate::select::{RGreedy, Select};
pub use crate::track::{Experiment, Parameter, Run, Store};
pub use crate::train::{Augment, Fitted, Precision, Schedule, Sgd, Sweep, Trainer};
