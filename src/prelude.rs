//! What a notebook cell sees without importing anything, and what a program of one's own starts with.

pub use crate::analytics::{Chart, ChartExt, ExperimentAnalytics, RunsExt, Search, SortOrder};
pub use crate::data::{
    Channels, ClassImbalance, DataSpec, Dataset, Draw, Examples, ImageOptions, InputShape, LabelNoise,
    Missing, Split, Splits, TableOptions, TableSchema, TargetKind, Task, Unseen,
};
pub use crate::error::{Error, Result};
pub use crate::exchange::{MlflowServer, import_mlflow, import_sagemaker};
pub use crate::model::{Architecture, LeNet, LogisticRegression, Mlp, Model, ResNet18};
pub use crate::report::Report;
pub use crate::select::{Batch, BatchStats, Glister, Greedy, Loader, Loss, Scope, Select, WeightedDraw};
pub use crate::track::{Experiment, Parameter, Run, Store};
pub use crate::train::{Augment, Fitted, Precision, Schedule, Sgd, Sweep, TrainedModel, Trainer};
