//! Whether a run satisfies a search: names are looked up and values read once, before any run is looked at.

use std::cmp::Ordering;

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::super::names::Names;
use super::super::property::{Kind, Property, Statistic, Value};
use super::{Expression, Filter, Operator, Search};
use crate::error::{Error, Result};
use crate::track::RunRecord;

/// A search made ready for a set of runs.
#[derive(Debug)]
pub(in super::super) struct Matcher(Condition);

impl Matcher {
    /// # Errors
    /// [`Error::NotFound`] for a name that none of `runs` has; [`Error::Argument`] for a value or an operator that does not
    /// go with what the property is.
    pub(in super::super) fn new(search: &Search, names: &Names<'_>, runs: &[RunRecord]) -> Result<Self> {
        condition(&search.0, &|filter| on_run(filter, names, runs), true).map(Self)
    }

    pub(in super::super) fn matches(&self, run: &RunRecord) -> bool {
        self.0.holds(run, None)
    }
}

#[derive(Debug)]
enum Condition {
    Test(Subject, Test),
    Nested(List, Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

/// What a test looks at: something of the run, or of one object in a list of it.
#[derive(Debug)]
enum Subject {
    Run(Property),
    Object(Member),
}

#[derive(Debug, Clone, Copy)]
enum List {
    Metrics,
    Parameters,
    Tags,
    Parents,
}

/// A member of the objects of a list.
#[derive(Debug, Clone, Copy)]
enum Member {
    Name,
    Value,
    Statistic(Statistic),
}

/// One object: its name and what it holds.
#[derive(Clone, Copy)]
enum Object<'a> {
    Metric(&'a str, &'a crate::track::MetricStats),
    Value(&'a str, Value<'a>),
    Name(&'a str),
}

impl<'a> Object<'a> {
    fn member(self, member: Member) -> Option<Value<'a>> {
        match (self, member) {
            (Self::Metric(name, _) | Self::Value(name, _) | Self::Name(name), Member::Name) => {
                Some(Value::Text(name))
            }
            (Self::Metric(_, stats), Member::Statistic(statistic)) => statistic.of(stats),
            (Self::Value(_, value), Member::Value) => Some(value),
            _ => None,
        }
    }
}

impl List {
    fn named(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "metrics" => Ok(Self::Metrics),
            "parameters" => Ok(Self::Parameters),
            "tags" => Ok(Self::Tags),
            "parents" => Ok(Self::Parents),
            _ => Err(Error::argument(
                "search",
                "a list: Metrics, Parameters, Tags or Parents",
                format!("'{name}'"),
            )),
        }
    }

    /// The member that `name` means, with the list's own name before it or not, and what it is.
    fn member(self, name: &str) -> Result<(Member, Option<Kind>)> {
        let (of_name, prefix, others) = match self {
            Self::Metrics => ("MetricName", "metrics.", "Min, Max, Avg, StdDev, Last, Count"),
            Self::Parameters => ("Name", "parameters.", "Value"),
            Self::Tags => ("Key", "tags.", "Value"),
            Self::Parents => ("ExperimentName", "parents.", ""),
        };
        let lower = name.to_lowercase();
        let bare = lower.strip_prefix(prefix).unwrap_or(&lower);
        match (self, bare) {
            (_, bare) if bare.eq_ignore_ascii_case(of_name) => Ok((Member::Name, Some(Kind::Text))),
            (Self::Metrics, bare) if Statistic::named(bare).is_some() => {
                let statistic = Statistic::named(bare).unwrap_or(Statistic::Last);
                Ok((Member::Statistic(statistic), Some(Kind::Number)))
            }
            (Self::Parameters, "value") => Ok((Member::Value, Some(Kind::Mixed))),
            (Self::Tags, "value") => Ok((Member::Value, Some(Kind::Text))),
            _ => {
                let comma = if others.is_empty() { "" } else { ", " };
                let expected = format!("one of {of_name}{comma}{others}");
                Err(Error::argument("search", expected, format!("'{name}'")))
            }
        }
    }

    fn any<'a>(self, run: &'a RunRecord, mut holds: impl FnMut(Object<'a>) -> bool) -> bool {
        match self {
            Self::Metrics => run.metrics.iter().any(|(name, stats)| holds(Object::Metric(name, stats))),
            Self::Parameters => {
                run.parameters.iter().any(|(name, value)| holds(Object::Value(name, value.into())))
            }
            Self::Tags => run.tags.iter().any(|(name, value)| holds(Object::Value(name, Value::Text(value)))),
            Self::Parents => holds(Object::Name(&run.experiment)),
        }
    }
}

impl Condition {
    fn holds(&self, run: &RunRecord, object: Option<Object<'_>>) -> bool {
        match self {
            Self::Test(Subject::Run(property), test) => test.holds(property.of(run)),
            Self::Test(Subject::Object(member), test) => {
                test.holds(object.and_then(|object| object.member(*member)))
            }
            Self::Nested(list, condition) => list.any(run, |object| condition.holds(run, Some(object))),
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(run, object)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(run, object)),
            Self::Not(condition) => !condition.holds(run, object),
        }
    }
}

/// `may_nest`: the objects of a list have no lists of their own.
fn condition(
    expression: &Expression,
    test: &dyn Fn(&Filter) -> Result<Condition>,
    may_nest: bool,
) -> Result<Condition> {
    let each = |terms: &[Expression]| -> Result<Vec<_>> {
        terms.iter().map(|term| condition(term, test, may_nest)).collect()
    };
    Ok(match expression {
        Expression::Filter(filter) => test(filter)?,
        Expression::All(terms) => Condition::All(each(terms)?),
        Expression::Any(terms) => Condition::Any(each(terms)?),
        Expression::Not(inner) => Condition::Not(Box::new(condition(inner, test, may_nest)?)),
        Expression::Nested { list, .. } if !may_nest => {
            let expected = "no list within a list";
            return Err(Error::argument("search", expected, format!("'{list}' within another one")));
        }
        Expression::Nested { list, condition: inner } => {
            let list = List::named(list)?;
            let on_object = |filter: &Filter| {
                let (member, kind) = list.member(&filter.name)?;
                Ok(Condition::Test(Subject::Object(member), Test::new(filter, kind, false)?))
            };
            Condition::Nested(list, Box::new(condition(inner, &on_object, false)?))
        }
    })
}

fn on_run(filter: &Filter, names: &Names<'_>, runs: &[RunRecord]) -> Result<Condition> {
    let property = match filter.operator {
        Operator::Exists | Operator::NotExists => names.find_or_absent(&filter.name)?,
        _ => names.find(&filter.name)?,
    };
    let test = Test::new(filter, property.kind(runs), property == Property::Status)?;
    Ok(Condition::Test(Subject::Run(property), test))
}

#[derive(Debug)]
struct Test {
    operator: Operator,
    targets: Vec<Target>,
}

/// A value to compare with, as everything that its text can be.
#[derive(Debug)]
struct Target {
    text: String,
    integer: Option<i64>,
    number: Option<f64>,
    boolean: Option<bool>,
    time: Option<Time>,
}

/// A moment as exact as it was written: `at` in units of `unit_ms` since 1970.
#[derive(Debug, Clone, Copy)]
struct Time {
    at: i64,
    unit_ms: i64,
}

impl Test {
    fn new(filter: &Filter, kind: Option<Kind>, is_status: bool) -> Result<Self> {
        use Operator::{Contains, Exists, NotExists};
        let Filter { name, operator, values } = filter;
        let operator = *operator;
        let refused =
            |expected: &str, got: String| Err(Error::argument(format!("search: {name}"), expected, got));
        let is_order = !matches!(operator, Operator::Equals | Operator::NotEquals | Operator::In);
        match (operator, kind) {
            (Exists | NotExists, _) => return Ok(Self { operator, targets: Vec::new() }),
            (Contains, Some(Kind::Number | Kind::Boolean | Kind::Time)) => {
                return refused("text for 'contains'", "what is not text; compare it by =, <, >".to_owned());
            }
            (Contains, _) => {}
            (_, Some(Kind::Text | Kind::Boolean)) if is_order => {
                let symbol = operator.symbol();
                return refused(&format!("a number or a time for {symbol}"), "what is neither".to_owned());
            }
            _ => {}
        }
        let is_status = is_status && operator != Contains;
        let target = |value: &String| if is_status { status(value) } else { Ok(Target::new(value)) };
        let targets: Vec<Target> = values.iter().map(target).collect::<Result<_>>()?;
        for target in &targets {
            let expected = match kind {
                _ if operator == Contains => continue,
                Some(Kind::Number) if target.number.is_none() => "a number, as it is in every run",
                Some(Kind::Boolean) if target.boolean.is_none() => "true or false, as it is in every run",
                Some(Kind::Time) if target.time.is_none() => "a time as 2026-11-25 or 2026-11-25T09:30:00",
                _ => continue,
            };
            return refused(expected, format!("'{}'", target.text));
        }
        Ok(Self { operator, targets })
    }

    fn holds(&self, value: Option<Value<'_>>) -> bool {
        let order = || value.and_then(|value| self.targets.first()?.order(value));
        let is_one = || value.is_some_and(|value| self.targets.iter().any(|target| target.equals(value)));
        match self.operator {
            Operator::Exists => value.is_some(),
            Operator::NotExists => value.is_none(),
            Operator::Equals | Operator::In => is_one(),
            Operator::NotEquals => !is_one(),
            Operator::GreaterThan => order() == Some(Ordering::Greater),
            Operator::GreaterThanOrEqualTo => matches!(order(), Some(Ordering::Greater | Ordering::Equal)),
            Operator::LessThan => order() == Some(Ordering::Less),
            Operator::LessThanOrEqualTo => matches!(order(), Some(Ordering::Less | Ordering::Equal)),
            Operator::Contains => match value {
                Some(Value::Text(text)) => self.targets.iter().any(|target| text.contains(&target.text)),
                _ => false,
            },
        }
    }
}

impl Target {
    fn new(text: &str) -> Self {
        let trimmed = text.trim();
        Self {
            text: text.to_owned(),
            integer: trimmed.parse().ok(),
            number: trimmed.parse().ok(),
            boolean: [true, false].into_iter().find(|value| trimmed.eq_ignore_ascii_case(&value.to_string())),
            time: Time::parse(trimmed),
        }
    }

    /// How `value` stands to this; text stands to nothing.
    fn order(&self, value: Value<'_>) -> Option<Ordering> {
        match value {
            Value::Integer(value) => match self.integer {
                Some(integer) => Some(value.cmp(&integer)),
                None => (value as f64).partial_cmp(&self.number?),
            },
            Value::Number(value) => value.partial_cmp(&self.number?),
            Value::Time(ms) => self.time.map(|time| ms.div_euclid(time.unit_ms).cmp(&time.at)),
            Value::Boolean(_) | Value::Text(_) => None,
        }
    }

    fn equals(&self, value: Value<'_>) -> bool {
        match value {
            Value::Text(text) => text == self.text,
            Value::Boolean(value) => self.boolean == Some(value),
            other => self.order(other) == Some(Ordering::Equal),
        }
    }
}

impl Time {
    /// A day, or a day and a time of day with minutes, seconds or fractions of them, with a zone or in UTC.
    fn parse(text: &str) -> Option<Self> {
        const DAY_MS: i64 = 86_400_000;
        if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            let ms = day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis();
            return Some(Self { at: ms.div_euclid(DAY_MS), unit_ms: DAY_MS });
        }
        let text = text.replacen(' ', "T", 1);
        let unit_ms = match (text.contains('.'), text.matches(':').count()) {
            (true, _) => 1,
            (false, 1) => 60_000,
            (false, _) => 1000,
        };
        let zoned = DateTime::parse_from_rfc3339(&text).map(|time| time.timestamp_millis());
        let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"].into_iter().find_map(|format| {
            Some(
                NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), format)
                    .ok()?
                    .and_utc()
                    .timestamp_millis(),
            )
        });
        let ms = zoned.ok().or(naive)?;
        Some(Self { at: ms.div_euclid(unit_ms), unit_ms })
    }
}

/// The state that SageMaker calls `InProgress` is `running` here; an unknown one is an error.
fn status(value: &str) -> Result<Target> {
    const STATUSES: [&str; 5] = ["created", "running", "completed", "failed", "stopped"];
    let lower = value.to_lowercase();
    let ours = if lower == "inprogress" { "running" } else { lower.as_str() };
    if STATUSES.contains(&ours) {
        return Ok(Target::new(ours));
    }
    Err(Error::argument("search: status", format!("one of {}", STATUSES.join(", ")), format!("'{value}'")))
}
