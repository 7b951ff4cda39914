//! What can be asked of a run, and the value that a run has of it.

use std::cmp::Ordering;

use crate::track::{MetricStats, Parameter, RunRecord};

/// A statistic of a metric, in SageMaker's order, and ours behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statistic {
    Min,
    Max,
    Avg,
    StdDev,
    Last,
    Count,
    NonFinite,
}

impl Statistic {
    pub(super) const ALL: [Self; 7] =
        [Self::Min, Self::Max, Self::Avg, Self::StdDev, Self::Last, Self::Count, Self::NonFinite];

    /// As it stands behind the metric's name.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
            Self::Avg => "avg",
            Self::StdDev => "stddev",
            Self::Last => "last",
            Self::Count => "count",
            Self::NonFinite => "nonfinite",
        }
    }

    pub(super) fn named(suffix: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|statistic| suffix.eq_ignore_ascii_case(statistic.suffix()))
    }

    /// Its value; `None` where there is no finite value to take it of.
    pub(super) fn of(self, stats: &MetricStats) -> Option<Value<'static>> {
        let of_values = |value: f64| (stats.count > 0).then_some(Value::Number(value));
        match self {
            Self::Min => of_values(stats.min),
            Self::Max => of_values(stats.max),
            Self::Avg => of_values(stats.mean),
            Self::StdDev => stats.stddev().map(Value::Number),
            Self::Last => of_values(stats.last),
            Self::Count => Some(Value::Integer(stats.count as i64)),
            Self::NonFinite => Some(Value::Integer(stats.nonfinite as i64)),
        }
    }
}

/// A value of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(&'a str),
    /// Milliseconds since 1970 (UTC).
    Time(i64),
}

impl<'a> From<&'a Parameter> for Value<'a> {
    fn from(parameter: &'a Parameter) -> Self {
        match parameter {
            Parameter::Boolean(value) => Self::Boolean(*value),
            Parameter::Integer(value) => Self::Integer(*value),
            Parameter::Number(value) => Self::Number(*value),
            Parameter::Text(value) => Self::Text(value),
        }
    }
}

impl Value<'_> {
    /// The order of a column: numbers among themselves whatever their type, and before them what is true or false, behind
    /// them text.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Integer(a), Self::Integer(b)) | (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Integer(a), Self::Number(b)) => (*a as f64).total_cmp(b),
            (Self::Number(a), Self::Integer(b)) => a.total_cmp(&(*b as f64)),
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Boolean(_) => 0,
            Self::Integer(_) | Self::Number(_) => 1,
            Self::Time(_) => 2,
            Self::Text(_) => 3,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Boolean(_) => Kind::Boolean,
            Self::Integer(_) | Self::Number(_) => Kind::Number,
            Self::Text(_) => Kind::Text,
            Self::Time(_) => Kind::Time,
        }
    }
}

/// What the values of a property are, over all runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Number,
    Text,
    Time,
    Mixed,
}

/// Something that a run may have a value of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Property {
    Run,
    Experiment,
    Status,
    Error,
    Note,
    Created,
    Ended,
    Modified,
    Parameter(String),
    Metric(String, Statistic),
    Tag(String),
    Environment(String),
    /// The file of that name kept with the run; its value is where it lies.
    Artifact(String),
}

impl Property {
    /// The value of `run`, where it has one.
    pub(super) fn of<'a>(&self, run: &'a RunRecord) -> Option<Value<'a>> {
        match self {
            Self::Run => Some(Value::Text(&run.name)),
            Self::Experiment => Some(Value::Text(&run.experiment)),
            Self::Status => Some(Value::Text(run.status.as_str())),
            Self::Error => run.error.as_deref().map(Value::Text),
            Self::Note => run.note.as_deref().map(Value::Text),
            Self::Created => Some(Value::Time(run.created_ms)),
            Self::Ended => run.ended_ms.map(Value::Time),
            Self::Modified => Some(Value::Time(run.ended_ms.or(run.heartbeat_ms).unwrap_or(run.created_ms))),
            Self::Parameter(name) => run.parameters.get(name).map(Value::from),
            Self::Metric(name, statistic) => run.metrics.get(name).and_then(|stats| statistic.of(stats)),
            Self::Tag(name) => run.tags.get(name).map(|value| Value::Text(value)),
            Self::Environment(name) => run.environment.get(name).map(Value::from),
            Self::Artifact(name) => {
                let artifact = run.artifacts.iter().find(|artifact| artifact.name == *name)?;
                Some(Value::Text(artifact.path.to_str().unwrap_or(&artifact.sha256)))
            }
        }
    }

    /// What its values are over `runs`; `None` if none of them has one.
    pub(super) fn kind(&self, runs: &[RunRecord]) -> Option<Kind> {
        match self {
            Self::Created | Self::Ended | Self::Modified => Some(Kind::Time),
            Self::Metric(..) => Some(Kind::Number),
            Self::Run | Self::Experiment | Self::Status | Self::Error | Self::Note => Some(Kind::Text),
            Self::Tag(_) | Self::Artifact(_) => Some(Kind::Text),
            Self::Parameter(_) | Self::Environment(_) => {
                let mut kinds = runs.iter().filter_map(|run| self.of(run)).map(|value| value.kind());
                let first = kinds.next()?;
                Some(if kinds.all(|kind| kind == first) { first } else { Kind::Mixed })
            }
        }
    }

    /// What `run` is sorted by: its value, unless that is not a number though it should be one.
    pub(super) fn sort_key<'a>(&self, run: &'a RunRecord) -> Option<Value<'a>> {
        self.of(run).filter(|value| !matches!(value, Value::Number(number) if number.is_nan()))
    }

    /// Whether it is a moment.
    pub(super) fn is_time(&self) -> bool {
        matches!(self, Self::Created | Self::Ended | Self::Modified)
    }
}
