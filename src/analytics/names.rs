//! The names that people write for what can be asked of runs: which there are, and what each one means.

use std::collections::{BTreeMap, BTreeSet};

use super::property::{Property, Statistic};
use crate::error::{Error, Result};
use crate::track::RunRecord;

/// Names of what every run has: ours first, then SageMaker's for the same.
const OWN: [(&str, Property); 20] = [
    ("run", Property::Run),
    ("experiment", Property::Experiment),
    ("status", Property::Status),
    ("created", Property::Created),
    ("ended", Property::Ended),
    ("modified", Property::Modified),
    ("error", Property::Error),
    ("note", Property::Note),
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
const N_OURS: usize = 8;

/// Where the names of a user stand.
#[derive(Debug, Clone, Copy)]
enum Group {
    Parameters,
    Metrics,
    Tags,
    Environment,
    Artifacts,
}

/// Those in which a name without prefix is looked up, in this order.
const GROUPS: [Group; 4] = [Group::Parameters, Group::Metrics, Group::Tags, Group::Environment];

impl Group {
    /// Of `parameters.fraction`, in any case: the group and `fraction`.
    fn split(asked: &str) -> Option<(Self, &str)> {
        let (prefix, name) = asked.split_once('.')?;
        let group = match prefix.to_ascii_lowercase().as_str() {
            "parameters" | "hyperparameters" => Self::Parameters,
            "metrics" => Self::Metrics,
            "tags" => Self::Tags,
            "environment" => Self::Environment,
            "artifacts" | "outputartifacts" => Self::Artifacts,
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
    pub(super) tags: Vec<&'a str>,
    pub(super) environment: Vec<&'a str>,
    artifacts: Vec<&'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn of(runs: impl Iterator<Item = &'a RunRecord> + Clone) -> Self {
        Self {
            parameters: keys(runs.clone().map(|run| &run.parameters)),
            metrics: keys(runs.clone().map(|run| &run.metrics)),
            tags: keys(runs.clone().map(|run| &run.tags)),
            environment: keys(runs.clone().map(|run| &run.environment)),
            artifacts: {
                let names = runs.flat_map(|run| &run.artifacts).map(|artifact| artifact.name.as_str());
                names.collect::<BTreeSet<_>>().into_iter().collect()
            },
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
                Group::Tags => Property::Tag(name.to_owned()),
                Group::Environment => Property::Environment(name.to_owned()),
                Group::Artifacts => Property::Artifact(name.to_owned()),
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
        let among = |names: &[&str], property: fn(String) -> Property| {
            pick(names, asked, exact).map(|name| property(name.to_owned()))
        };
        match group {
            Group::Parameters => among(&self.parameters, Property::Parameter),
            Group::Tags => among(&self.tags, Property::Tag),
            Group::Environment => among(&self.environment, Property::Environment),
            Group::Artifacts => among(&self.artifacts, Property::Artifact),
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
        let groups =
            [("tags", &self.tags), ("environment", &self.environment), ("artifacts", &self.artifacts)];
        for (group, names) in groups {
            all.extend(names.iter().map(|name| format!("{group}.{name}")));
        }
        all
    }

    fn unknown(&self, kind: &'static str, asked: &str, known: &[impl AsRef<str>]) -> Error {
        // Tags and the like are listed with their prefix, the others without.
        let bare = match Group::split(asked) {
            Some((Group::Parameters | Group::Metrics, name)) => name,
            _ => asked,
        };
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
