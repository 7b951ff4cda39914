//! Which values of metrics a server's run holds already, so that each is sent once, whatever happened before: MLflow's
//! databases refuse a value twice by themselves, its file stores do not.

use std::collections::HashMap;

use serde_json::Value;

use super::batch::Point;
use super::{Target, listed};
use crate::error::Result;

/// Values of one metric at a time: more than most have.
const PAGE: &str = "5000";

/// Values of a run by metric, step and time.
#[derive(Default)]
pub(super) struct Known(HashMap<String, HashMap<(i64, i64), Vec<f64>>>);

impl Known {
    /// Reads the values of the metrics `keys` that the run has.
    pub(super) fn read<'k>(
        target: &Target<'_>,
        run_id: &str,
        keys: impl IntoIterator<Item = &'k str>,
    ) -> Result<Self> {
        let mut known = Self::default();
        for key in keys {
            let of_key = known.0.entry(key.to_owned()).or_default();
            let ask = |token: &str| {
                let mut query = vec![("run_id", run_id), ("metric_key", key), ("max_results", PAGE)];
                if !token.is_empty() {
                    query.push(("page_token", token));
                }
                target.client.get("metrics/get-history", &query)
            };
            target.client.pages("reading which values are there", ask, |page| {
                for metric in listed(page, "metrics")? {
                    let point =
                        whole(&metric["step"]).zip(whole(&metric["timestamp"])).zip(number(&metric["value"]));
                    let Some((at, value)) = point else {
                        let found: String = metric.to_string().chars().take(60).collect();
                        return Err(format!("expected a value with step and timestamp, got {found}"));
                    };
                    of_key.entry(at).or_default().push(value);
                }
                Ok(())
            })?;
        }
        Ok(known)
    }

    pub(super) fn holds(&self, point: &Point) -> bool {
        let values = self.0.get(&*point.key).and_then(|of_key| of_key.get(&(point.step, point.time_ms)));
        values.is_some_and(|values| values.iter().any(|&value| is_same(value, point.value)))
    }
}

/// Whether the server's value is ours, as it comes back: NaN is NaN, a database has the largest number for an infinity, and
/// JSON's numbers are read to the last digit but one.
fn is_same(theirs: f64, ours: f64) -> bool {
    if ours.is_nan() || theirs.is_nan() {
        return ours.is_nan() && theirs.is_nan();
    }
    if ours.is_infinite() {
        return theirs.signum() == ours.signum() && theirs.abs() >= f64::MAX * (1.0 - 1e-15);
    }
    (theirs - ours).abs() <= 4.0 * f64::EPSILON * ours.abs()
}

/// A whole number, which MLflow's JSON has as a number or, behind some proxies, as protobuf's text; one that is 0 may be
/// left out.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Null => Some(0),
        Value::String(text) => text.parse().ok(),
        value => value.as_i64(),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(0.0),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_known_again_as_the_server_gives_them() {
        assert!(is_same(f64::NAN, f64::NAN) && !is_same(0.0, f64::NAN) && !is_same(f64::NAN, 0.0));
        assert!(
            is_same(1.7976931348623157e308, f64::INFINITY) && is_same(f64::NEG_INFINITY, f64::NEG_INFINITY)
        );
        assert!(!is_same(f64::INFINITY, f64::NEG_INFINITY) && !is_same(1e308, f64::INFINITY));
        assert!(is_same(0.1 + 0.2, 0.3) && !is_same(0.3001, 0.3) && is_same(0.0, -0.0));
        assert_eq!(
            (number(&"Infinity".into()), number(&"-Infinity".into())),
            (Some(f64::INFINITY), Some(f64::NEG_INFINITY))
        );
        assert!(number(&"NaN".into()).unwrap().is_nan());
        assert_eq!((whole(&"7".into()), whole(&7.into()), whole(&Value::Null)), (Some(7), Some(7), Some(0)));
        assert_eq!((whole(&1.5.into()), whole(&true.into()), number(&"x".into())), (None, None, None));
    }
}
