//! What is to be seen of an experiment at one moment, read from the store.

use glisten::select::Select;
use glisten::track::{MetricPoint, Parameter, RunRecord, Status, Store};

use crate::cli::follow::is_at_work;

/// What a curve is drawn of, the first that a run has.
const CURVES: [&str; 3] = ["validation:accuracy", "test:accuracy", "train:accuracy"];
/// The time of an epoch is the mean over the last so many.
const RECENT: usize = 10;
/// Metrics whose last value is shown, beside the one that is drawn.
const SHOWN: [&str; 3] = ["validation:loss", "train:loss", "train:accuracy"];

/// An experiment as it stands.
pub(super) struct State {
    pub(super) experiment: String,
    /// Runs by status, those that there are.
    pub(super) counts: Vec<(Status, usize)>,
    /// The oldest first.
    pub(super) at_work: Vec<Work>,
    /// The latest first.
    pub(super) ended: Vec<Ended>,
}

/// A run at work.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) name: String,
    pub(super) started_ms: i64,
    /// Epochs done and in all, as far as they are known.
    pub(super) epoch: Option<i64>,
    pub(super) epochs: Option<i64>,
    /// The metric that is drawn, and its values by step.
    pub(super) curve: Option<(String, Vec<f64>)>,
    /// Name and last value of others.
    pub(super) metrics: Vec<(String, f64)>,
    /// From the end of one epoch to that of the next.
    pub(super) epoch_secs: Option<f64>,
    pub(super) samples_per_sec: Option<f64>,
    /// When its last epoch ended.
    pub(super) last_ms: Option<i64>,
}

/// A run that has ended.
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) status: Status,
    pub(super) error: Option<String>,
    pub(super) secs: Option<f64>,
    pub(super) ended_ms: i64,
    /// Name and value of what it reached.
    pub(super) reached: Option<(String, f64)>,
}

impl State {
    pub(super) fn read(store: &Store, experiment: &str) -> glisten::Result<Self> {
        let records = store.run_records(Some(experiment))?;
        let statuses = [Status::Created, Status::Running, Status::Completed, Status::Failed, Status::Stopped]
            .into_iter();
        let counts = statuses
            .map(|status| (status, records.iter().filter(|run| run.status == status).count()))
            .filter(|(_, n)| *n > 0)
            .collect();
        let running = records.iter().filter(|run| is_at_work(run));
        let at_work = running.map(|run| Work::read(store, run)).collect::<glisten::Result<_>>()?;
        let mut ended: Vec<Ended> = records.iter().filter(|run| !is_at_work(run)).map(Ended::of).collect();
        ended.sort_by_key(|run| std::cmp::Reverse(run.ended_ms));
        Ok(Self { experiment: experiment.to_owned(), counts, at_work, ended })
    }
}

impl Work {
    fn read(store: &Store, run: &RunRecord) -> glisten::Result<Self> {
        let drawn = curve_of(run);
        let points = match &drawn {
            Some(metric) => store.series(run.id, metric)?,
            None => Vec::new(),
        };
        let epochs = n_epochs(run);
        // The end of an epoch is where its seconds are logged; a run of the user's own may log something else.
        let beats = match run.metrics.contains_key("epoch:seconds") {
            true => store.series(run.id, "epoch:seconds")?,
            false => points.clone(),
        };
        let last =
            |name: &str| run.metrics.get(name).map(|stats| stats.last).filter(|value| value.is_finite());
        let epoch_secs = beat_secs(&beats).or_else(|| last("epoch:seconds"));
        let samples_per_sec =
            integer(run, "budget").zip(last("epoch:seconds")).map(|(n, secs)| n as f64 / secs);
        let is_other = |name: &&str| drawn.as_deref() != Some(*name);
        let metrics =
            SHOWN.into_iter().filter(is_other).filter_map(|name| Some((name.to_owned(), last(name)?)));
        Ok(Self {
            name: run.name.clone(),
            started_ms: run.created_ms,
            epoch: beats.last().map(|point| point.step),
            epochs,
            metrics: metrics.collect(),
            curve: drawn.map(|metric| (metric, points.iter().map(|point| point.value).collect())),
            epoch_secs: epoch_secs.filter(|secs| secs.is_finite() && *secs >= 0.0),
            samples_per_sec: samples_per_sec.filter(|speed| speed.is_finite()),
            last_ms: beats.last().and_then(|point| point.time_ms),
        })
    }

    /// Seconds to its end, if its epochs go on to take what the last ones took.
    pub(super) fn secs_left(&self, now_ms: i64) -> Option<f64> {
        let n_left = (self.epochs? - self.epoch?).max(0) as f64;
        let since_last = self.last_ms.map_or(0.0, |last| now_ms.saturating_sub(last) as f64 / 1e3);
        Some((n_left * self.epoch_secs? - since_last).max(0.0))
    }
}

impl Ended {
    fn of(run: &RunRecord) -> Self {
        let reached =
            ["test:accuracy", "validation:accuracy"].into_iter().map(str::to_owned).chain(curve_of(run));
        let mut reached = reached.filter_map(|name| {
            let value = run.metrics.get(&name)?.last;
            value.is_finite().then_some((name, value))
        });
        Self {
            name: run.name.clone(),
            status: run.status,
            error: run.error.clone(),
            secs: run.ended_ms.map(|ended| ended.saturating_sub(run.created_ms) as f64 / 1e3),
            ended_ms: run.ended_ms.unwrap_or(run.created_ms),
            reached: reached.next(),
        }
    }
}

/// The metric that a run is judged by: an accuracy if it has one, else the first that is no time.
fn curve_of(run: &RunRecord) -> Option<String> {
    let known = CURVES.into_iter().find(|name| run.metrics.contains_key(*name)).map(str::to_owned);
    known.or_else(|| run.metrics.keys().find(|name| !name.ends_with(":seconds")).cloned())
}

/// Mean time between the last points, by the clock.
fn beat_secs(points: &[MetricPoint]) -> Option<f64> {
    let recent = &points[points.len().saturating_sub(RECENT)..];
    let (first, last) = (recent.first()?, recent.last()?);
    let n = last.step.saturating_sub(first.step);
    (n > 0).then_some(last.time_ms?.saturating_sub(first.time_ms?) as f64 / 1e3 / n as f64)
}

/// Epochs in all: with a warm start a training has fewer than were asked for.
fn n_epochs(run: &RunRecord) -> Option<i64> {
    let epochs = integer(run, "epochs")?;
    let plan = || {
        let Parameter::Text(strategy) = run.parameters.get("strategy")? else { return None };
        let select = Select::named(strategy, number(run, "fraction")?).ok()?.kappa(number(run, "kappa")?);
        i64::try_from(select.plan(usize::try_from(epochs).ok()?).n_epochs()).ok()
    };
    Some(plan().unwrap_or(epochs))
}

fn integer(run: &RunRecord, name: &str) -> Option<i64> {
    match run.parameters.get(name)? {
        Parameter::Integer(value) => Some(*value),
        _ => None,
    }
}

fn number(run: &RunRecord, name: &str) -> Option<f64> {
    match run.parameters.get(name)? {
        Parameter::Number(value) => Some(*value),
        Parameter::Integer(value) => Some(*value as f64),
        _ => None,
    }
}
