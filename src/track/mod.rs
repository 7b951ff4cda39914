//! Experiments and runs: what was trained, with which parameters, every metric of it and the samples it chose, kept in one
//! SQLite file.

mod artifact;
mod current;
mod double;
mod environment;
mod experiment;
mod git;
mod import;
mod life;
mod metrics;
mod opening;
mod parameter;
mod process;
mod record;
mod resume;
mod run;
mod schema;
mod secrets;
mod selections;
mod stats;
mod store;
mod time;

pub(crate) use artifact::open_kept;
pub use artifact::{ArtifactRecord, ConfusionMatrix};
pub use current::{EXPERIMENT_VARIABLE, RUN_VARIABLE, load_run, unique_name_from_base};
pub use environment::CONTEXT_VARIABLE;
pub(crate) use environment::leave_context_out;
pub(crate) use experiment::DivergedRun;
pub use experiment::Experiment;
pub use import::ImportedRun;
pub use parameter::Parameter;
pub use record::{ExperimentRecord, LogLine, MetricPoint, RunRecord};
pub use run::{Run, Status};
pub use selections::SelectionRecord;
pub use stats::MetricStats;
pub use store::Store;
pub(crate) use time::KNOWN_TIMES;
pub use time::utc;
