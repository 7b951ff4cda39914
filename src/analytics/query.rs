//! What a data scientist asks of many runs: which of them, in which order, with which columns.

use std::collections::HashMap;

use polars::prelude::DataFrame;

use super::names::Names;
use super::property::Property;
use super::search::{IntoSearch, Matcher, Search};
use super::{compare, frame};
use crate::error::Result;
use crate::track::{Experiment, MetricPoint, RunRecord, Store};

/// One run in so many, or fewer, are read one by one rather than with all others.
const FEW: usize = 4;

/// Which way a table of runs is sorted. A run without a value stands last either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortOrder {
    /// Lowest, earliest or alphabetically first value first.
    Ascending,
    /// Highest or latest value first: the default, as SageMaker's is.
    #[default]
    Descending,
}

/// Runs of one experiment or of a whole store, searched, sorted and as dataframes: what SageMaker's class of this name does.
///
/// ```no_run
/// # fn main() -> glisten::Result<()> {
/// use glisten::prelude::*;
///
/// let best = ExperimentAnalytics::open("how-much-data")?
///     .search("fraction <= 0.3 and status = completed")?
///     .sort_by("metrics.validation:accuracy.max")
///     .runs()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ExperimentAnalytics {
    store: Store,
    experiment: Option<String>,
    metric_names: Option<Vec<String>>,
    parameter_names: Option<Vec<String>>,
    sort_by: Option<String>,
    sort_order: SortOrder,
    search: Option<Search>,
    environment: bool,
}

impl ExperimentAnalytics {
    /// The runs of `experiment`.
    pub fn of(experiment: &Experiment) -> Self {
        Self::new(experiment.store().clone(), Some(experiment.name().to_owned()))
    }

    /// The runs of all experiments in `store`.
    pub fn all(store: &Store) -> Self {
        Self::new(store.clone(), None)
    }

    /// The runs of an experiment in the default store ([`Store::default_path`]).
    ///
    /// # Errors
    /// As [`Experiment::open`].
    pub fn open(experiment: &str) -> Result<Self> {
        Experiment::open(experiment).map(|experiment| Self::of(&experiment))
    }

    /// The runs of all experiments in the default store.
    ///
    /// # Errors
    /// As [`Store::open_default`].
    pub fn open_all() -> Result<Self> {
        Store::open_default().map(|store| Self::all(&store))
    }

    fn new(store: Store, experiment: Option<String>) -> Self {
        Self {
            store,
            experiment,
            metric_names: None,
            parameter_names: None,
            sort_by: None,
            sort_order: SortOrder::default(),
            search: None,
            environment: false,
        }
    }

    /// Only these metrics become columns of [`runs`](Self::runs) and rows of [`metrics`](Self::metrics).
    #[must_use]
    pub fn metric_names<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.metric_names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Only these parameters become columns of [`runs`](Self::runs).
    #[must_use]
    pub fn parameter_names<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.parameter_names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// What the runs are sorted by: `metrics.validation:accuracy.max`, `parameters.fraction`, `created`, `run`, …, with or
    /// without the prefix, in any case, or as SageMaker calls it (`CreationTime`). Without this, by when a run was last
    /// modified: its end, or its last sign of life while it is at work.
    #[must_use]
    pub fn sort_by(mut self, property: impl Into<String>) -> Self {
        self.sort_by = Some(property.into());
        self
    }

    /// Which way they are sorted; [`SortOrder::Descending`] unless this says otherwise.
    #[must_use]
    pub fn sort_order(mut self, order: SortOrder) -> Self {
        self.sort_order = order;
        self
    }

    /// Only runs that satisfy this: a [`Search`], its short form as text (`"fraction <= 0.3 and seed = 1"`), or SageMaker's
    /// `SearchExpression` in JSON. A second one narrows the first.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a text that is no search, pointing at the place.
    pub fn search(mut self, search: impl IntoSearch) -> Result<Self> {
        let search = search.into_search()?;
        self.search = Some(match self.search {
            Some(first) => first.and(search),
            None => search,
        });
        Ok(self)
    }

    /// Whether [`runs`](Self::runs) has a column `environment.NAME` for each thing that runs record of their surroundings:
    /// the git commit, the command line, versions. Search and sorting know them either way.
    #[must_use]
    pub fn environment(mut self, is_shown: bool) -> Self {
        self.environment = is_shown;
        self
    }

    /// The runs that were searched for, in their order, as the store has them.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store) if the store cannot be read; [`Error::NotFound`](crate::Error::NotFound) for a
    /// name in `search` or `sort_by` that no run has, naming the nearest; [`Error::Argument`](crate::Error::Argument) for a
    /// value in `search` that does not go with its property.
    pub fn records(&self) -> Result<Vec<RunRecord>> {
        let all = self.store.run_records(self.experiment.as_deref())?;
        let order = self.order(&all, &Names::of(all.iter()))?;
        let mut all: Vec<Option<RunRecord>> = all.into_iter().map(Some).collect();
        Ok(order.into_iter().filter_map(|at| all[at].take()).collect())
    }

    /// One row a run. The columns stand in the order of SageMaker's `ExperimentAnalytics.dataframe()`: `run`; the parameters
    /// by name, numbers as numbers and booleans as booleans; for each metric, by name,
    /// `.min .max .avg .stddev .last .count` and our `.nonfinite`; `experiment`; then what SageMaker does not have:
    /// `status`, `created` and `ended` (UTC), `error`, `note` and `tags.NAME` where any run has them, and the
    /// [`environment`](Self::environment).
    ///
    /// # Errors
    /// As [`records`](Self::records); also for a name in `metric_names` or `parameter_names` that no run has.
    pub fn runs(&self) -> Result<DataFrame> {
        self.table(&self.store.run_records(self.experiment.as_deref())?)
    }

    /// [`runs`](Self::runs) from what the store holds.
    fn table(&self, all: &[RunRecord]) -> Result<DataFrame> {
        let names = Names::of(all.iter());
        let found: Vec<&RunRecord> = self.order(all, &names)?.into_iter().map(|at| &all[at]).collect();
        let mut columns = Names::of(found.iter().copied());
        if !self.environment {
            columns.environment.clear();
        }
        if let Some(wanted) = self.parameter_names.as_deref().filter(|_| !all.is_empty()) {
            columns.parameters = chosen(wanted, |name| names.parameter(name))?;
        }
        if let Some(wanted) = self.metric_names.as_deref().filter(|_| !all.is_empty()) {
            columns.metrics = chosen(wanted, |name| names.metric(name))?;
        }
        frame::analytics(&found, &columns)
    }

    /// Every value of every metric (of those in `metric_names`), run by run in their order, by metric and step:
    /// `experiment` (str), `run` (str), `metric` (str), `step` (i64), `value` (f64, NaN and infinities as they were), `time`
    /// (when it was logged, UTC).
    ///
    /// # Errors
    /// As [`runs`](Self::runs).
    pub fn metrics(&self) -> Result<DataFrame> {
        let all = self.store.run_records(self.experiment.as_deref())?;
        let names = Names::of(all.iter());
        let wanted = self.metric_names.as_deref().filter(|_| !all.is_empty());
        let wanted = wanted.map(|wanted| chosen(wanted, |name| names.metric(name))).transpose()?;
        let order = self.order(&all, &names)?;
        if order.len() * FEW <= all.len() {
            let mut points = Vec::new();
            for run in order.into_iter().map(|at| &all[at]) {
                let is_wanted = |name: &&String| {
                    wanted.as_ref().is_none_or(|wanted| wanted.binary_search(&name.as_str()).is_ok())
                };
                for metric in run.metrics.keys().filter(is_wanted) {
                    points.extend(self.store.series(run.id, metric)?);
                }
            }
            return frame::metrics(&points.iter().collect::<Vec<_>>());
        }
        let only = wanted.as_deref().and_then(|wanted| if let [one] = wanted { Some(*one) } else { None });
        let points = self.store.metric_points(self.experiment.as_deref(), only)?;
        let mut of_run: HashMap<(&str, &str), Vec<&MetricPoint>> = HashMap::new();
        for same_run in points.chunk_by(|a, b| a.run == b.run && a.experiment == b.experiment) {
            let is_wanted = |point: &&MetricPoint| {
                wanted.as_ref().is_none_or(|wanted| wanted.contains(&point.metric.as_str()))
            };
            let run = of_run.entry((&same_run[0].experiment, &same_run[0].run)).or_default();
            run.extend(same_run.iter().filter(is_wanted));
        }
        let of_run = |at: usize| of_run.get(&(all[at].experiment.as_str(), all[at].name.as_str()));
        frame::metrics(&order.into_iter().filter_map(of_run).flatten().copied().collect::<Vec<_>>())
    }

    /// What differs between `runs`, and only that: one row a parameter, a fact or a metric's statistic, one column a run,
    /// values as text, null where a run has none. `what` is the name as `sort_by` and `search` take it. A run is named by
    /// its name, or as `experiment/run` where experiments have runs of the same name. The search does not matter.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) for a run that is not there, naming the nearest;
    /// [`Error::Argument`](crate::Error::Argument) for fewer than two, or for a name that several runs have.
    pub fn compare<N: AsRef<str>>(&self, runs: &[N]) -> Result<DataFrame> {
        let all = self.store.run_records(self.experiment.as_deref())?;
        compare::frame(&all, runs)
    }

    /// The positions in `all` of the runs searched for, in order.
    fn order(&self, all: &[RunRecord], names: &Names<'_>) -> Result<Vec<usize>> {
        if all.is_empty() {
            return Ok(Vec::new()); // then no name is wrong
        }
        let matcher = self.search.as_ref().map(|search| Matcher::new(search, names, all)).transpose()?;
        let property = match &self.sort_by {
            Some(name) => names.find(name)?,
            None => Property::Modified,
        };
        let is_found = |run: &RunRecord| matcher.as_ref().is_none_or(|matcher| matcher.matches(run));
        let found = all.iter().enumerate().filter(|(_, run)| is_found(run));
        let mut keyed: Vec<_> = found.map(|(at, run)| (property.sort_key(run), at)).collect();
        let is_descending = self.sort_order == SortOrder::Descending;
        keyed.sort_by(|(a, a_at), (b, b_at)| match (a, b) {
            (Some(a), Some(b)) => {
                let order = if is_descending { b.order(a) } else { a.order(b) };
                // Of two that were made in one millisecond, the later is the later; else equals stay as they were made.
                let tie = if is_descending && property.is_time() { b_at.cmp(a_at) } else { a_at.cmp(b_at) };
                order.then(tie)
            }
            (None, None) => a_at.cmp(b_at),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        Ok(keyed.into_iter().map(|(_, at)| at).collect())
    }
}

/// Those of `wanted`, as they are spelt in the store, each once and sorted.
fn chosen<'a>(wanted: &[String], find: impl Fn(&str) -> Result<&'a str>) -> Result<Vec<&'a str>> {
    let mut chosen = wanted.iter().map(|name| find(name)).collect::<Result<Vec<_>>>()?;
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

impl Experiment {
    /// Its runs, to be searched, sorted and compared.
    pub fn analytics(&self) -> ExperimentAnalytics {
        ExperimentAnalytics::of(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::track::{MetricStats, Parameter, Status};

    /// 10 parameters and 6 metrics; every seventh run lacks one of each, so that names are not always where they are expected.
    fn run(id: i64) -> RunRecord {
        let lacks = |at: i64| id % 7 == 0 && at == 2;
        let parameters = (0..10).filter(|&at| !lacks(at)).map(|at| {
            let value = match at {
                0 => Parameter::Text(format!("strategy {}", id % 5)),
                1 => Parameter::Boolean(id % 2 == 0),
                2 => Parameter::Number(id as f64 / 10.0),
                _ => Parameter::Integer(id * at),
            };
            (format!("parameter {at}"), value)
        });
        let metrics = (0..6).filter(|&at| !lacks(at)).map(|at| {
            let mut stats = MetricStats::default();
            (0..3).for_each(|step| stats.push(((id * 7919 + at + step) % 10_007) as f64));
            (format!("metric {at}"), stats)
        });
        RunRecord {
            id,
            experiment: "many".to_owned(),
            name: format!("run {id}"),
            status: Status::Completed,
            error: None,
            note: None,
            created_ms: 1_764_000_000_000 + id,
            ended_ms: Some(1_764_000_100_000 + id),
            parameters: parameters.collect::<BTreeMap<_, _>>(),
            metrics: metrics.collect(),
            heartbeat_ms: None,
            tags: BTreeMap::new(),
            environment: BTreeMap::from([("os".to_owned(), Parameter::from("linux"))]),
            artifacts: Vec::new(),
        }
    }

    #[test]
    fn ten_thousand_runs_are_a_sorted_table() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("runs.db")).unwrap();
        let all: Vec<RunRecord> = (0..10_000).map(run).collect();
        let analytics = ExperimentAnalytics::all(&store).sort_by("metrics.metric 3.max");
        let searched = analytics.clone().search("'parameter 2' >= 0 and 'metric 0.count' = 3").unwrap();
        let table = analytics.table(&all).unwrap();
        let narrowed = searched.table(&all).unwrap();
        assert_eq!(table.shape(), (10_000, 1 + 10 + 6 * 7 + 5));
        assert_eq!(narrowed.height(), 10_000 - 10_000_usize.div_ceil(7));
        let best = table.column("metric 3.max").unwrap().f64().unwrap();
        assert!(best.iter().map(Option::unwrap).is_sorted_by(|a, b| a >= b));
        // Each row is one run's: its own name, parameters and metrics.
        for row in [0, 17, 5000, 9999] {
            let name = table.column("run").unwrap().str().unwrap().get(row).unwrap();
            let run = all.iter().find(|run| run.name == name).unwrap();
            assert_eq!(best.get(row), Some(run.metrics["metric 3"].max));
            let fraction = table.column("parameter 2").unwrap().f64().unwrap().get(row);
            assert_eq!(fraction, (run.id % 7 != 0).then_some(run.id as f64 / 10.0));
        }
        assert_eq!(table.column("parameter 2").unwrap().null_count(), 10_000_usize.div_ceil(7));
    }
}
