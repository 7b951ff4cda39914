//! Experiments and runs: what was trained, with which parameters, every metric of it and the samples it chose, kept in one
//! SQLite file.

mod experiment;
mod process;
mod resume;
mod run;
mod schema;
mod selections;
mod stats;
mod store;

pub use experiment::Experiment;
pub use run::{Run, Status};
pub use selections::SelectionRecord;
pub use stats::MetricStats;
pub use store::{MetricPoint, RunRecord, Store};

use serde::{Deserialize, Serialize};

/// The value of a run's parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Parameter {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// Text.
    Text(String),
}

macro_rules! parameter_from {
    ($($from:ty => |$value:ident| $into:expr),* $(,)?) => {
        $(impl From<$from> for Parameter {
            fn from($value: $from) -> Self {
                $into
            }
        })*
    };
}

parameter_from! {
    bool => |value| Self::Boolean(value),
    i64 => |value| Self::Integer(value),
    i32 => |value| Self::Integer(value.into()),
    u32 => |value| Self::Integer(value.into()),
    u64 => |value| i64::try_from(value).map_or_else(|_| Self::Text(value.to_string()), Self::Integer),
    usize => |value| Self::from(value as u64),
    f64 => |value| Self::Number(value),
    f32 => |value| Self::Number(value.into()),
    &str => |value| Self::Text(value.to_owned()),
    String => |value| Self::Text(value),
}

impl std::fmt::Display for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// Lists and objects are kept as their JSON text.
impl From<serde_json::Value> for Parameter {
    fn from(value: serde_json::Value) -> Self {
        serde_json::from_value(value.clone()).unwrap_or_else(|_| Self::Text(value.to_string()))
    }
}
