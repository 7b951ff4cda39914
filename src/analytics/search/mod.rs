//! Which runs are wanted: SageMaker's `SearchExpression` as JSON, the same from code, or a line that a person types.
//!
//! ```text
//! fraction <= 0.3 and validation:accuracy.max > 0.9
//! status = completed and (strategy in (glister, fresh-random) or not seed exists)
//! run contains 'seed 0' and created >= 2026-11-25
//! any Metrics (MetricName contains loss and Min < 0.1)
//! ```
//!
//! A name is a parameter's, a metric's with its statistic (`validation:accuracy.max`; without one, the last value), one of
//! `run experiment status created ended modified error note`, `tags.NAME`, `environment.NAME` or `artifacts.NAME`, each in any
//! case, with or without the prefixes `parameters.` and `metrics.`, or what SageMaker calls it (`TrialComponentName`,
//! `Status.PrimaryStatus`, `CreationTime`, `LastModifiedTime`, `Parents.ExperimentName`, …). Names and texts with blanks or one of `(){}<>=!,'"` stand in quotes.
//! `and` binds tighter than `or`; times are UTC unless they name a zone.
//!
//! The definitions followed are those of `botocore`'s service model of SageMaker (`Filter`, `NestedFilters`,
//! `SearchExpression`): `And` where no operator is named, `Equals` where a filter has a value only, `In` with its values
//! comma separated, a nested filter satisfied by one object of the list that satisfies all of its conditions, `Contains` for
//! texts only, the ordering operators for numbers and times only. Where it is silent or serves the service rather than its
//! user, this is what happens here:
//!
//! | | SageMaker | here |
//! |---|---|---|
//! | `NotEquals` on a run without the property | not said | it holds: `x != 1` is what `not x = 1` is |
//! | the ordering operators on such a run | not said | they do not hold |
//! | texts in `Equals`, `In`, `Contains` | not said | compared with their case; a status in any case, `InProgress` being our `running` |
//! | a whole number as the value for a decimal hyperparameter | cuts the decimals off: 0.3 <= 0 | compared as numbers |
//! | a number for a property that is text in every run | an error for ordering | the same; for `Equals` compared as text |
//! | `In` for numbers | texts only | numbers too |
//! | times | `YYYY-mm-dd'T'HH:MM:SS` | also a day, minutes, fractions of a second, a zone; as exact as they are written |
//! | `Metrics.NAME` | one value, the last | the same, and `Metrics.NAME.max` and the other statistics |
//! | one `Contains`, 20 elements a list, 50 in all, 1024 characters | limits of the service | none, but 64 parentheses deep |
//! | `Or` beside the name of an experiment (`ExperimentAnalytics` adds a filter) | finds runs of other experiments | the experiment bounds what is found |
//! | a name that no run has | finds nothing | an error that names the nearest; with a prefix and `Exists` or `NotExists` it is an answer |

mod json;
mod matching;
mod text;

pub(super) use matching::Matcher;

use std::fmt;

use crate::error::{Error, Result};
use crate::track::Parameter;

/// How a [`Search`] compares: SageMaker's operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`: the value equals the one given.
    Equals,
    /// `!=`: it does not, or there is none.
    NotEquals,
    /// `>`, for numbers and times.
    GreaterThan,
    /// `>=`, for numbers and times.
    GreaterThanOrEqualTo,
    /// `<`, for numbers and times.
    LessThan,
    /// `<=`, for numbers and times.
    LessThanOrEqualTo,
    /// `contains`: the text contains the one given.
    Contains,
    /// `in (…)`: the value is one of those given.
    In,
    /// `exists`: there is a value.
    Exists,
    /// `not exists`: there is none.
    NotExists,
}

impl Operator {
    const ALL: [Self; 10] = [
        Self::Equals,
        Self::NotEquals,
        Self::GreaterThan,
        Self::GreaterThanOrEqualTo,
        Self::LessThan,
        Self::LessThanOrEqualTo,
        Self::Contains,
        Self::In,
        Self::Exists,
        Self::NotExists,
    ];

    /// SageMaker's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equals => "Equals",
            Self::NotEquals => "NotEquals",
            Self::GreaterThan => "GreaterThan",
            Self::GreaterThanOrEqualTo => "GreaterThanOrEqualTo",
            Self::LessThan => "LessThan",
            Self::LessThanOrEqualTo => "LessThanOrEqualTo",
            Self::Contains => "Contains",
            Self::In => "In",
            Self::Exists => "Exists",
            Self::NotExists => "NotExists",
        }
    }

    /// As a person types it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equals => "=",
            Self::NotEquals => "!=",
            Self::GreaterThan => ">",
            Self::GreaterThanOrEqualTo => ">=",
            Self::LessThan => "<",
            Self::LessThanOrEqualTo => "<=",
            Self::Contains => "contains",
            Self::In => "in",
            Self::Exists => "exists",
            Self::NotExists => "not exists",
        }
    }
}

/// A condition on one property. `values`: none for `Exists` and `NotExists`, one or more for `In`, else one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    name: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    Filter(Filter),
    /// One object of `list` satisfies `condition`.
    Nested {
        list: String,
        condition: Box<Expression>,
    },
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
}

/// Which runs are wanted ([what can be asked](self)). From text by `parse`, from SageMaker's JSON by [`Search::from_json`],
/// from code:
///
/// ```
/// use glisten::analytics::{Operator, Search};
///
/// let cheap = Search::filter("fraction", Operator::LessThanOrEqualTo, 0.3);
/// let good = Search::filter("validation:accuracy.max", Operator::GreaterThan, 0.9);
/// let search = cheap.and(good);
/// assert_eq!(search, "fraction <= 0.3 and validation:accuracy.max > 0.9".parse().unwrap());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search(Expression);

impl Search {
    /// Runs whose property `name` compares so with `value`. The value of [`Operator::In`] is split at its commas, as
    /// SageMaker's is ([`Search::is_in`] takes a list); [`Operator::Exists`] and [`Operator::NotExists`] ignore it.
    pub fn filter(name: impl Into<String>, operator: Operator, value: impl Into<Parameter>) -> Self {
        let value = value.into().to_string();
        let values = match operator {
            Operator::Exists | Operator::NotExists => Vec::new(),
            Operator::In => value.split(',').map(|item| item.trim().to_owned()).collect(),
            _ => vec![value],
        };
        Self(Expression::Filter(Filter { name: name.into(), operator, values }))
    }

    /// Runs whose property `name` is one of `values`.
    pub fn is_in<V: Into<Parameter>>(name: impl Into<String>, values: impl IntoIterator<Item = V>) -> Self {
        let values = values.into_iter().map(|value| value.into().to_string()).collect();
        Self(Expression::Filter(Filter { name: name.into(), operator: Operator::In, values }))
    }

    /// Runs that have a value of `name`.
    pub fn exists(name: impl Into<String>) -> Self {
        Self::filter(name, Operator::Exists, "")
    }

    /// Runs that have no value of `name`.
    pub fn not_exists(name: impl Into<String>) -> Self {
        Self::filter(name, Operator::NotExists, "")
    }

    /// Runs with one object in `list` that satisfies `condition`, whose names are those of the object: `Metrics`
    /// (`MetricName Min Max Avg StdDev Last Count`), `Parameters` (`Name Value`), `Tags` (`Key Value`), `Parents`
    /// (`ExperimentName`).
    pub fn nested(list: impl Into<String>, condition: Self) -> Self {
        Self(Expression::Nested { list: list.into(), condition: Box::new(condition.0) })
    }

    /// Runs that satisfy both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(match self.0 {
            Expression::All(mut all) => {
                all.push(other.0);
                Expression::All(all)
            }
            first => Expression::All(vec![first, other.0]),
        })
    }

    /// Runs that satisfy one or both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(match self.0 {
            Expression::Any(mut any) => {
                any.push(other.0);
                Expression::Any(any)
            }
            first => Expression::Any(vec![first, other.0]),
        })
    }

    /// SageMaker's `SearchExpression`: `Filters`, `NestedFilters`, `SubExpressions`, `Operator`.
    ///
    /// # Errors
    /// [`Error::Argument`] for what is not one, saying where.
    pub fn from_json(json: &str) -> Result<Self> {
        json::parse(json).map(Self)
    }
}

impl std::ops::Not for Search {
    type Output = Self;

    fn not(self) -> Self {
        Self(negated(self.0))
    }
}

/// The short form, or SageMaker's JSON where it opens with a brace.
impl std::str::FromStr for Search {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.trim_start().starts_with('{') { Self::from_json(text) } else { text::parse(text).map(Self) }
    }
}

/// What [`ExperimentAnalytics::search`](super::ExperimentAnalytics::search) takes: a [`Search`], its text, or its JSON.
pub trait IntoSearch {
    /// The search.
    ///
    /// # Errors
    /// [`Error::Argument`] for a text that is none, pointing at the place.
    fn into_search(self) -> Result<Search>;
}

impl IntoSearch for Search {
    fn into_search(self) -> Result<Search> {
        Ok(self)
    }
}

impl IntoSearch for &Search {
    fn into_search(self) -> Result<Search> {
        Ok(self.clone())
    }
}

impl IntoSearch for &str {
    fn into_search(self) -> Result<Search> {
        self.parse()
    }
}

impl IntoSearch for &String {
    fn into_search(self) -> Result<Search> {
        self.parse()
    }
}

impl IntoSearch for String {
    fn into_search(self) -> Result<Search> {
        self.parse()
    }
}

impl IntoSearch for serde_json::Value {
    fn into_search(self) -> Result<Search> {
        Search::from_json(&self.to_string())
    }
}

/// The short form, which parses to the same search.
impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn negated(expression: Expression) -> Expression {
    match expression {
        Expression::Not(inner) => *inner,
        other => Expression::Not(Box::new(other)),
    }
}

/// One term as it is, several joined.
fn joined(mut terms: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    if terms.len() == 1 { terms.remove(0) } else { join(terms) }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_word(f, &self.name)?;
        write!(f, " {}", self.operator.symbol())?;
        match self.operator {
            Operator::Exists | Operator::NotExists => Ok(()),
            Operator::In => {
                f.write_str(" (")?;
                for (at, value) in self.values.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    text::write_word(f, value)?;
                }
                f.write_str(")")
            }
            _ => {
                f.write_str(" ")?;
                self.values.iter().try_for_each(|value| text::write_word(f, value))
            }
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `and` binds tighter than `or`; a group within its like keeps its parentheses, so that it stays a group.
        let list = |f: &mut fmt::Formatter<'_>, terms: &[Self], word: &str, bare: fn(&Self) -> bool| {
            for (at, term) in terms.iter().enumerate() {
                f.write_str(if at == 0 { "" } else { word })?;
                if bare(term) { term.fmt(f)? } else { write!(f, "({term})")? }
            }
            Ok(())
        };
        match self {
            Self::Filter(filter) => filter.fmt(f),
            Self::Nested { list, condition } => {
                f.write_str("any ")?;
                text::write_word(f, list)?;
                write!(f, " ({condition})")
            }
            Self::All(terms) => list(f, terms, " and ", |term| !matches!(term, Self::All(_) | Self::Any(_))),
            Self::Any(terms) => list(f, terms, " or ", |term| !matches!(term, Self::Any(_))),
            Self::Not(inner) => match &**inner {
                Self::All(_) | Self::Any(_) => write!(f, "not ({inner})"),
                _ => write!(f, "not {inner}"),
            },
        }
    }
}
