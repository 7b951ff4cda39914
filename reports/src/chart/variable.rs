//! A column of a table as places along an axis: numbers, times or categories.

use super::frame::Axis;
use super::ticks;
use crate::error::Result;
use crate::summary::strategy_rank;
use crate::table::{RUNS, missing, wrong};
use crate::wording;
use polars::prelude::{Column, DataFrame, DataType, TimeUnit};
use std::collections::BTreeMap;

/// Numbers beyond this are drawn no more than infinities are.
const LARGEST: f64 = 1e300;
/// Positive numbers that span more than this are shown by their logarithm.
const LINEAR_RATIO: f64 = 100.0;
const LONGEST_NAME: usize = 40;
/// The column whose categories have colours, names and an order of their own.
pub(super) const STRATEGY: &str = "strategy";

/// What a column holds, and how it lies along an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// The place is the number.
    Number { is_whole: bool },
    /// The place is the number, between 0 and 1, and is read in per cent.
    Share,
    /// The place is the decimal logarithm of the number.
    Logarithm,
    /// The place is in milliseconds since 1970, UTC.
    Time,
    /// Place n is that of the nth name.
    Category(Vec<String>),
}

/// A column, read.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    /// The column's name, short and harmless.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Where each row stands; none where it has no finite value.
    pub(super) places: Vec<Option<f64>>,
    /// Rows without a value.
    pub(super) n_missing: usize,
    /// Rows whose value is not finite.
    pub(super) n_not_finite: usize,
}

impl Variable {
    /// Reads the column called `name`.
    pub(super) fn read(table: &DataFrame, name: &str) -> Result<Self> {
        let Ok(column) = table.column(name) else { return Err(missing(table, RUNS, name)) };
        let dtype = column.dtype();
        let (kind, places) = if dtype.is_null() {
            (Kind::Number { is_whole: false }, vec![None; column.len()])
        } else if dtype.is_primitive_numeric() {
            numbers(name, as_numbers(column)?)
        } else if let DataType::Duration(unit) = dtype {
            let per_second = 1000.0 * per_millisecond(*unit);
            let seconds = as_numbers(&column.to_physical_repr())?.into_iter();
            numbers(name, seconds.map(|value| value.map(|value| value / per_second)).collect())
        } else if let DataType::Datetime(unit, _) = dtype {
            times(column, 1.0 / per_millisecond(*unit))?
        } else if dtype.is_date() {
            times(column, 86_400_000.0)?
        } else if dtype.is_string() || dtype.is_bool() || dtype.is_categorical() || dtype.is_enum() {
            categories(column)?
        } else {
            return Err(wrong(RUNS, name, "numbers, text, times or true and false", dtype));
        };
        let n_missing = column.null_count();
        let n_not_finite = places.iter().filter(|place| place.is_none()).count() - n_missing;
        Ok(Self { name: wording::shorten(name, LONGEST_NAME), kind, places, n_missing, n_not_finite })
    }

    /// Forgets the places of rows that are not drawn, so that axes and shades span what is.
    pub(super) fn keep_only(&mut self, is_drawn: &[bool]) {
        for (place, is_drawn) in self.places.iter_mut().zip(is_drawn) {
            *place = place.filter(|_| *is_drawn);
        }
    }

    /// The lowest and the highest place, if there is any.
    pub(super) fn extent(&self) -> Option<(f64, f64)> {
        self.places.iter().flatten().fold(None, |extent, &place| match extent {
            None => Some((place, place)),
            Some((low, high)) => Some((low.min(place), high.max(place))),
        })
    }

    /// The axis of this column with about `n` ticks, whose labels of categories have `limit` characters at most.
    pub(super) fn axis(&self, n: usize, limit: usize) -> Axis {
        let Some((low, high)) = self.extent() else {
            return Axis { low: 0.0, high: 1.0, ticks: Vec::new(), title: self.title() };
        };
        match &self.kind {
            Kind::Number { is_whole } => {
                let mut axis = Axis::round(low, high, n, self.title());
                if low == high {
                    axis.ticks = vec![(low, self.show(low))];
                } else if *is_whole {
                    axis.ticks.retain(|tick| tick.0.fract() == 0.0);
                    axis.ticks.iter_mut().for_each(|tick| tick.1 = self.show(tick.0));
                }
                axis
            }
            Kind::Share => Axis::percent(high, self.title()),
            Kind::Logarithm => ticks::decades(low, high, n, self.title()),
            Kind::Time => ticks::times(low, high, n, &self.title()),
            Kind::Category(names) => {
                let every = names.len().div_ceil(n.max(1)).max(1);
                let label = |(at, name): (usize, &String)| (at as f64, self.label(name, limit));
                let ticks = names.iter().enumerate().step_by(every).map(label).collect();
                Axis { low: -0.5, high: names.len() as f64 - 0.5, ticks, title: self.title() }
            }
        }
    }

    fn title(&self) -> String {
        match self.kind {
            Kind::Logarithm => format!("{} (log scale)", self.name),
            Kind::Time => format!("{} (UTC)", self.name),
            _ => self.name.clone(),
        }
    }

    /// A category's name in at most `limit` characters; strategies have their names of everywhere else.
    fn label(&self, name: &str, limit: usize) -> String {
        let name = if self.name == STRATEGY { wording::strategy(name) } else { name.to_owned() };
        wording::shorten(&name, limit)
    }

    /// What stands at `place`, in words.
    pub(super) fn show(&self, place: f64) -> String {
        match &self.kind {
            Kind::Number { .. } => number(place),
            Kind::Share => wording::percent(place),
            Kind::Logarithm => number(10_f64.powf(place)),
            Kind::Time => ticks::moment(place, "%-d %b %Y %H:%M"),
            Kind::Category(names) => names
                .get(place as usize)
                .map_or_else(String::new, |name| wording::shorten(name, LONGEST_NAME)),
        }
    }

    /// "from 0.1 to 0.9", "0.5 throughout", "a, b and c", "one of 120 values".
    pub(super) fn range(&self) -> String {
        const MOST_NAMES: usize = 6;
        match (&self.kind, self.extent()) {
            (_, None) => "no value".to_owned(),
            (Kind::Category(names), _) if names.len() > MOST_NAMES => {
                format!("one of {} values", names.len())
            }
            (Kind::Category(names), _) => {
                let names: Vec<String> = names.iter().map(|name| self.label(name, LONGEST_NAME)).collect();
                wording::list(&names)
            }
            (_, Some((low, high))) if low == high => format!("{} throughout", self.show(low)),
            (_, Some((low, high))) => format!("from {} to {}", self.show(low), self.show(high)),
        }
    }

    pub(super) fn is_category(&self) -> bool {
        matches!(self.kind, Kind::Category(_))
    }
}

/// A number with four significant digits; whole ones as they are.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value.fract() == 0.0 && magnitude < 1e7 {
        wording::fixed(value, 0)
    } else if !(1e-4..1e7).contains(&magnitude) {
        format!("{value:.2e}").replace('-', "−")
    } else {
        wording::trimmed(value, (3 - magnitude.log10().floor() as i64).clamp(0, 8) as usize)
    }
}

fn as_numbers(column: &Column) -> Result<Vec<Option<f64>>> {
    let numbers = column.cast(&DataType::Float64)?;
    Ok(numbers.f64()?.iter().collect())
}

fn per_millisecond(unit: TimeUnit) -> f64 {
    match unit {
        TimeUnit::Milliseconds => 1.0,
        TimeUnit::Microseconds => 1e3,
        TimeUnit::Nanoseconds => 1e6,
    }
}

fn numbers(name: &str, mut values: Vec<Option<f64>>) -> (Kind, Vec<Option<f64>>) {
    for value in &mut values {
        *value = value.filter(|value| value.abs() < LARGEST);
    }
    let all = |test: fn(f64) -> bool| values.iter().flatten().all(|value| test(*value));
    let low = values.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    if name == "fraction" && high > 0.0 && all(|value| (0.0..=1.0).contains(&value)) {
        (Kind::Share, values)
    } else if low > 0.0 && high / low > LINEAR_RATIO {
        let places = values.iter().map(|value| value.map(f64::log10)).collect();
        (Kind::Logarithm, places)
    } else {
        (Kind::Number { is_whole: all(|value| value.fract() == 0.0) }, values)
    }
}

/// Times in milliseconds; one unit of the column's own is `milliseconds`.
fn times(column: &Column, milliseconds: f64) -> Result<(Kind, Vec<Option<f64>>)> {
    let places = as_numbers(&column.to_physical_repr())?.into_iter();
    Ok((Kind::Time, places.map(|place| place.map(|place| place * milliseconds)).collect()))
}

/// Names in the order of the alphabet, but numbers by their value and strategies in the report's order.
fn categories(column: &Column) -> Result<(Kind, Vec<Option<f64>>)> {
    let text = column.cast(&DataType::String)?;
    let text: Vec<Option<&str>> = text.str()?.iter().collect();
    let mut names: Vec<&str> = text.iter().flatten().copied().collect();
    names.sort_unstable();
    names.dedup();
    let value = |name: &str| name.trim().parse::<f64>().ok().filter(|value| value.is_finite());
    if names.iter().all(|name| value(name).is_some()) {
        names.sort_by(|a, b| value(a).unwrap_or_default().total_cmp(&value(b).unwrap_or_default()));
    } else if column.name() == STRATEGY {
        names.sort_by(|a, b| strategy_rank(a).cmp(&strategy_rank(b)));
    }
    let place: BTreeMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let places = text.iter().map(|name| name.and_then(|name| place.get(name)).map(|at| *at as f64)).collect();
    Ok((Kind::Category(names.into_iter().map(str::to_owned).collect()), places))
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::{NamedFrom, Series, df};

    fn read(column: Series) -> Variable {
        let name = column.name().to_string();
        Variable::read(&DataFrame::new(column.len(), vec![column.into()]).unwrap(), &name).unwrap()
    }

    #[test]
    fn numbers_become_logarithms_only_where_they_span_more_than_two_decades() {
        let rates = read(Series::new("rate".into(), [1e-4, 1e-1]));
        assert_eq!((rates.kind, rates.places), (Kind::Logarithm, vec![Some(-4.0), Some(-1.0)]));
        for values in [[1e-3, 1e-1], [0.0, 1e6], [-1.0, 1e6]] {
            let kept = read(Series::new("rate".into(), values));
            assert!(matches!(kept.kind, Kind::Number { .. }), "{values:?}");
            assert_eq!(kept.places, values.map(Some));
        }
        assert_eq!(read(Series::new("fraction".into(), [0.001, 1.0])).kind, Kind::Share);
    }

    #[test]
    fn what_is_missing_and_what_is_not_finite_are_counted_apart() {
        let column =
            Series::new("x".into(), [Some(1.0), None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::MAX)]);
        let read = read(column);
        assert_eq!((read.n_missing, read.n_not_finite), (1, 3));
        assert_eq!(read.extent(), Some((1.0, 1.0)));
        assert_eq!(read.range(), "1 throughout");
    }

    #[test]
    fn names_that_are_numbers_are_ordered_by_value() {
        let sizes = read(Series::new("size".into(), ["128", "16", "64", "16"]));
        assert_eq!(sizes.kind, Kind::Category(vec!["16".to_owned(), "64".to_owned(), "128".to_owned()]));
        assert_eq!(sizes.places, [2.0, 0.0, 1.0, 0.0].map(Some));
        let flags = read(Series::new("flag".into(), [true, false]));
        assert_eq!(flags.range(), "false and true");
    }

    #[test]
    fn times_are_milliseconds_whatever_their_unit() {
        let moment = 1_700_000_000_000_i64;
        for (unit, factor) in
            [(TimeUnit::Milliseconds, 1), (TimeUnit::Microseconds, 1000), (TimeUnit::Nanoseconds, 1_000_000)]
        {
            let column = Series::new("created".into(), [moment * factor]);
            let read = read(column.cast(&DataType::Datetime(unit, None)).unwrap());
            assert_eq!((&read.kind, read.places.clone()), (&Kind::Time, vec![Some(moment as f64)]));
            // date -u -d @1700000000
            assert_eq!(read.show(moment as f64), "14 Nov 2023 22:13");
        }
        let day = read(Series::new("day".into(), [1_i32]).cast(&DataType::Date).unwrap());
        assert_eq!(day.places, [Some(86_400_000.0)]);
    }

    #[test]
    fn a_column_that_is_not_there_is_answered_with_the_nearest() {
        let table = df!("validation:accuracy.max" => [0.5], "seed" => [1], "run" => ["a"]).unwrap();
        let message = Variable::read(&table, "validation:acuracy.max").unwrap_err().to_string();
        assert!(message.contains("it has `validation:accuracy.max`, "), "{message}");
    }

    #[test]
    fn numbers_are_written_with_four_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (-12.0, "−12"),
            (0.123_456, "0.1235"),
            (1234.56, "1235"),
            (1e-5, "1.00e−5"),
            (1e9, "1.00e9"),
        ] {
            assert_eq!(number(value), expected);
        }
    }
}
