//! Experiments and runs: what was trained, with which parameters, every metric of it and the samples it chose, kept in one
//! SQLite file.

mod artifact;
mod current;
mod double;
mod environment;
mod experiment;
mod import;
mod life;
mod metrics;
mod parameter;
mod process;
mod record;
mod resume;
mod run;
mod schema;
mod selections;
mod stats;
mod store;

pub use artifact::{ArtifactRecord, ConfusionMatrix};
pub use current::{EXPERIMENT_VARIABLE, RUN_VARIABLE, load_run, unique_name_from_base};
pub(crate) use experiment::DivergedRun;
pub use experiment::Experiment;
pub use import::ImportedRun;
pub use parameter::Parameter;
pub use record::{ExperimentRecord, LogLine, MetricPoint, RunRecord};
pub use run::{Run, Status};
pub use selections::SelectionRecord;
pub use stats::MetricStats;
pub use store::Store;
