//! What can be asked of a run: the names that people write for it, and the value that a run has under each.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
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
    Created,
    Ended,
    Modified,
    Parameter(String),
    Metric(String, Statistic),
}

/// Names of what every run has: ours first, then SageMaker's for the same.
const OWN: [(&str, Property); 19] = [
    ("run", Property::Run),
    ("experiment", Property::Experiment),
    ("status", Property::Status),
    ("created", Property::Created),
    ("ended", Property::Ended),
    ("modified", Property::Modified),
    ("error", Property::Error),
    ("TrialComponentName", Property::Run),
    ("DisplayName", Property::Run),
    ("RunName", Property::Run),
    ("ExperimentName", Property::Experiment),
    ("Parents.ExperimentName", Property::Experiment),
    ("Status.PrimaryStatus", Property::Status),
    ("PrimaryStatus", Property::Status),
    ("Status.Message", Property::Error),
    ("CreationTime", Property::Created),
    ("StartTime", Property::Created),
    ("EndTime", Property::Ended),
    ("LastModifiedTime", Property::Modified),
];

/// How many of [`OWN`] are our own names.
const N_OURS: usize = 7;

impl Property {
    /// The value of `run`, where it has one.
    pub(super) fn of<'a>(&self, run: &'a RunRecord) -> Option<Value<'a>> {
        match self {
            Self::Run => Some(Value::Text(&run.name)),
            Self::Experiment => Some(Value::Text(&run.experiment)),
            Self::Status => Some(Value::Text(run.status.as_str())),
            Self::Error => run.error.as_deref().map(Value::Text),
            Self::Created => Some(Value::Time(run.created_ms)),
            Self::Ended => run.ended_ms.map(Value::Time),
            Self::Modified => Some(Value::Time(run.ended_ms.unwrap_or(run.created_ms))),
            Self::Parameter(name) => run.parameters.get(name).map(Value::from),
            Self::Metric(name, statistic) => run.metrics.get(name).and_then(|stats| statistic.of(stats)),
        }
    }

    /// What its values are over `runs`; `None` if none of them has one.
    pub(super) fn kind(&self, runs: &[RunRecord]) -> Option<Kind> {
        match self {
            Self::Created | Self::Ended | Self::Modified => Some(Kind::Time),
            Self::Metric(..) => Some(Kind::Number),
            Self::Run | Self::Experiment | Self::Status | Self::Error => Some(Kind::Text),
            Self::Parameter(_) => {
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

/// Where the names of a user stand.
#[derive(Debug, Clone, Copy)]
enum Group {
    Parameters,
    Metrics,
}

/// In the order in which a name without prefix is looked up.
const GROUPS: [Group; 2] = [Group::Parameters, Group::Metrics];

impl Group {
    /// Of `parameters.fraction`, in any case: the group and `fraction`.
    fn split(asked: &str) -> Option<(Self, &str)> {
        let (prefix, name) = asked.split_once('.')?;
        let group = match prefix.to_ascii_lowercase().as_str() {
            "parameters" | "hyperparameters" => Self::Parameters,
            "metrics" => Self::Metrics,
            _ => return None,
        };
        (!name.is_empty()).then_some((group, name))
    }
}

/// The names under which something can be asked of a set of runs.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    pub(super) parameters: Vec<&'a str>,
    pub(super) metrics: Vec<&'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn of(runs: impl Iterator<Item = &'a RunRecord> + Clone) -> Self {
        Self {
            parameters: keys(runs.clone().map(|run| &run.parameters)),
            metrics: keys(runs.map(|run| &run.metrics)),
        }
    }

    /// The property that `asked` means: a column's name, or that of a parameter, or of a metric with its statistic (without
    /// one, its last value), with or without prefix, in any case; or SageMaker's name for it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, naming the nearest.
    pub(super) fn find(&self, asked: &str) -> Result<Property> {
        self.look_up(asked).ok_or_else(|| self.unknown("property", asked, &self.all()))
    }

    /// As [`Names::find`], but a name with a prefix may be one that no run has.
    pub(super) fn find_or_absent(&self, asked: &str) -> Result<Property> {
        let absent = || {
            let (group, name) = Group::split(asked)?;
            Some(match group {
                Group::Parameters => Property::Parameter(name.to_owned()),
                Group::Metrics => Property::Metric(name.to_owned(), Statistic::Last),
            })
        };
        self.look_up(asked).or_else(absent).map_or_else(|| self.find(asked), Ok)
    }

    /// The metric that `asked` means, as it is spelt in the store.
    pub(super) fn metric(&self, asked: &str) -> Result<&'a str> {
        let found = pick(&self.metrics, asked, true).or_else(|| pick(&self.metrics, asked, false));
        found.ok_or_else(|| self.unknown("metric", asked, &self.metrics))
    }

    /// The parameter that `asked` means, as it is spelt in the store.
    pub(super) fn parameter(&self, asked: &str) -> Result<&'a str> {
        let found = pick(&self.parameters, asked, true).or_else(|| pick(&self.parameters, asked, false));
        found.ok_or_else(|| self.unknown("parameter", asked, &self.parameters))
    }

    fn look_up(&self, asked: &str) -> Option<Property> {
        const PREFIX: &str = "TrialComponent.";
        let bare = match asked.get(..PREFIX.len()) {
            Some(start) if start.eq_ignore_ascii_case(PREFIX) => &asked[PREFIX.len()..],
            _ => asked,
        };
        if let Some((group, name)) = Group::split(bare)
            && let Some(found) = [true, false].into_iter().find_map(|exact| self.in_group(group, name, exact))
        {
            return Some(found);
        }
        let own = |exact: bool| {
            OWN.iter().find(|(name, _)| same(name, bare, exact)).map(|(_, property)| property.clone())
        };
        let users = |exact| GROUPS.into_iter().find_map(|group| self.in_group(group, bare, exact));
        own(true).or_else(|| users(true)).or_else(|| own(false)).or_else(|| users(false))
    }

    fn in_group(&self, group: Group, asked: &str, exact: bool) -> Option<Property> {
        match group {
            Group::Parameters => {
                pick(&self.parameters, asked, exact).map(|name| Property::Parameter(name.to_owned()))
            }
            Group::Metrics => {
                // `NAME.max`, or `NAME - Max` as SageMaker heads its columns
                let with_statistic = [".", " - "].into_iter().find_map(|separator| {
                    let (name, suffix) = asked.rsplit_once(separator)?;
                    Some((pick(&self.metrics, name, exact)?, Statistic::named(suffix)?))
                });
                let bare = || pick(&self.metrics, asked, exact).map(|name| (name, Statistic::Last));
                with_statistic
                    .or_else(bare)
                    .map(|(name, statistic)| Property::Metric(name.to_owned(), statistic))
            }
        }
    }

    /// Every name, as it would be written.
    fn all(&self) -> Vec<String> {
        let own = OWN[..N_OURS].iter().map(|(name, _)| (*name).to_owned());
        let mut all: Vec<String> = own.collect();
        all.extend(self.parameters.iter().map(|name| (*name).to_owned()));
        for name in &self.metrics {
            all.extend(Statistic::ALL.map(|statistic| format!("{name}.{}", statistic.suffix())));
        }
        all
    }

    fn unknown(&self, kind: &'static str, asked: &str, known: &[impl AsRef<str>]) -> Error {
        let bare = Group::split(asked).map_or(asked, |(_, name)| name);
        let near = nearest(bare, known);
        let hint = match near.as_slice() {
            [] => format!("; there are: {}", crate::error::listing(known)),
            [one] => format!("; did you mean '{one}'?"),
            [first @ .., last] => format!("; did you mean '{}' or '{last}'?", first.join("', '")),
        };
        Error::NotFound { kind, name: asked.to_owned(), hint }
    }
}

/// Up to three names among `known` that `asked` was probably meant to be, the likeliest first.
pub(super) fn nearest<'a>(asked: &str, known: &'a [impl AsRef<str>]) -> Vec<&'a str> {
    const SHOWN: usize = 3;
    let asked = asked.to_lowercase();
    let likeness = |name: &'a str| (strsim::jaro_winkler(&asked, &name.to_lowercase()), name);
    let mut near: Vec<(f64, &str)> =
        known.iter().map(|name| likeness(name.as_ref())).filter(|(likeness, _)| *likeness > 0.75).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(SHOWN).map(|(_, name)| name).collect()
}

fn same(name: &str, asked: &str, exact: bool) -> bool {
    if exact { name == asked } else { name.to_lowercase() == asked.to_lowercase() }
}

fn pick<'a>(names: &[&'a str], asked: &str, exact: bool) -> Option<&'a str> {
    if exact {
        return names.binary_search(&asked).ok().map(|at| names[at]);
    }
    names.iter().find(|name| same(name, asked, false)).copied()
}

/// The keys of all `maps`, sorted. Runs mostly have the same ones as the run before.
pub(super) fn keys<'a, V: 'a>(maps: impl Iterator<Item = &'a BTreeMap<String, V>>) -> Vec<&'a str> {
    let mut names = BTreeSet::new();
    let mut before: Option<&BTreeMap<String, V>> = None;
    for map in maps {
        if !before.is_some_and(|before| before.keys().eq(map.keys())) {
            names.extend(map.keys().map(String::as_str));
        }
        before = Some(map);
    }
    names.into_iter().collect()
}
