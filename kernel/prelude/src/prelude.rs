//! What every cell sees without `use`. Names that both Glisten and polars have are Glisten's: a name that is written out
//! comes before one from a glob.

pub use glisten::prelude::*;
pub use glisten::prelude::{
    Architecture, Batch, BatchStats, Chart, Dataset, Error, Examples, Experiment, ExperimentAnalytics,
    Fitted, LeNet, Loader, Model, Parameter, Report, Result, Run, RunsExt, Search, Select, Sgd, SortOrder,
    Split, Splits, Store, Sweep, Trainer,
};
pub use polars::prelude::*;
pub use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
pub use tch::nn::{self, Module as _, ModuleT as _, OptimizerConfig as _};
pub use tch::{Device, IndexOp, Kind, Tensor};

pub use crate::rt::{clear_output, display, input, input_password, update_display};
pub use crate::show::{MimeBundle, Show};
