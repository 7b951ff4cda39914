//! `runs/log-batch` within its limits.

use serde_json::{Value, json};

/// Of one request: 1,000 metrics, 100 parameters, 100 tags, 1,000 of all together.
const METRICS: usize = 1000;
const PARAMETERS: usize = 100;
const TAGS: usize = 100;
const ALL: usize = 1000;
/// A request may have 1 MB; this leaves room for what is around the entries.
const BYTES: usize = 900_000;

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    /// The metric's name as MLflow has it.
    pub(super) key: std::sync::Arc<str>,
    pub(super) step: i64,
    pub(super) value: f64,
    /// Milliseconds since 1970.
    pub(super) time_ms: i64,
}

impl Point {
    fn to_json(&self) -> Value {
        json!({ "key": &*self.key, "step": self.step, "timestamp": self.time_ms, "value": number(self.value) })
    }
}

/// A number as protobuf's JSON has it: what JSON cannot write is a text.
fn number(value: f64) -> Value {
    match value {
        value if value.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        value => value.into(),
    }
}

/// Entries of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch {
    pub(super) points: Vec<Point>,
    parameters: Vec<Value>,
    tags: Vec<Value>,
}

impl Batch {
    /// All entries in as few requests as the limits allow. No batch is empty.
    pub(super) fn pack(
        tags: &[(String, String)],
        parameters: &[(String, String)],
        points: Vec<Point>,
    ) -> Vec<Self> {
        let mut batches = Vec::new();
        let mut batch = Self::default();
        let mut n_bytes = 0;
        let entry = |(key, value): &(String, String)| json!({ "key": key, "value": value });
        let tags = tags.iter().map(|tag| (entry(tag), Kind::Tag));
        let parameters = parameters.iter().map(|parameter| (entry(parameter), Kind::Parameter));
        for (entry, kind) in tags.chain(parameters) {
            let size = entry.to_string().len() + 2;
            if batch.is_full_for(kind) || n_bytes + size > BYTES {
                batches.push(std::mem::take(&mut batch));
                n_bytes = 0;
            }
            n_bytes += size;
            match kind {
                Kind::Tag => batch.tags.push(entry),
                Kind::Parameter => batch.parameters.push(entry),
                Kind::Metric => {}
            }
        }
        for point in points {
            // Far more than a point's numbers and field names take; a name's characters may each become six.
            let size = 160 + 6 * point.key.len();
            if batch.is_full_for(Kind::Metric) || n_bytes + size > BYTES {
                batches.push(std::mem::take(&mut batch));
                n_bytes = 0;
            }
            n_bytes += size;
            batch.points.push(point);
        }
        if batch.n_entries() > 0 {
            batches.push(batch);
        }
        batches
    }

    /// The request's body; of the points, those that `wanted` holds.
    pub(super) fn body(&self, run_id: &str, wanted: &[&Point]) -> Value {
        json!({
            "run_id": run_id,
            "tags": self.tags,
            "params": self.parameters,
            "metrics": wanted.iter().map(|point| point.to_json()).collect::<Vec<_>>(),
        })
    }

    fn n_entries(&self) -> usize {
        self.points.len() + self.parameters.len() + self.tags.len()
    }

    fn is_full_for(&self, kind: Kind) -> bool {
        let is_full = match kind {
            Kind::Tag => self.tags.len() == TAGS,
            Kind::Parameter => self.parameters.len() == PARAMETERS,
            Kind::Metric => self.points.len() == METRICS,
        };
        is_full || self.n_entries() == ALL
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Tag,
    Parameter,
    Metric,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(n: usize, length: usize) -> Vec<(String, String)> {
        (0..n).map(|at| (format!("key {at}"), "\"".repeat(length))).collect()
    }

    fn points(n: usize, key: &str) -> Vec<Point> {
        let key: std::sync::Arc<str> = key.into();
        (0..n as i64).map(|step| Point { key: key.clone(), step, value: 0.1, time_ms: i64::MAX }).collect()
    }

    /// The limits as `mlflow.utils.validation` of MLflow 3.17 has them.
    #[test]
    fn every_request_is_within_mlflows_limits_and_nothing_is_left_out() {
        let long = "\u{1}".repeat(250);
        for (n_tags, n_parameters, n_points, length, key) in [
            (1, 1, 1, 1, "a"),
            (250, 101, 2500, 10, "loss"),
            (300, 300, 0, 6000, "a"),
            (0, 0, 3000, 0, &long),
            (0, 0, 0, 0, ""),
        ] {
            let tags = texts(n_tags, length);
            let batches = Batch::pack(&tags, &texts(n_parameters, length), points(n_points, key));
            let mut n = (0, 0, 0);
            for batch in &batches {
                let wanted: Vec<&Point> = batch.points.iter().collect();
                let body = batch.body(&"f".repeat(32), &wanted);
                let count = |field: &str| body[field].as_array().unwrap().len();
                let here = (count("tags"), count("params"), count("metrics"));
                assert!(here.0 <= 100 && here.1 <= 100 && here.2 <= 1000, "{here:?}");
                assert!((1..=1000).contains(&(here.0 + here.1 + here.2)), "{here:?}");
                assert!(body.to_string().len() <= 1_000_000);
                n = (n.0 + here.0, n.1 + here.1, n.2 + here.2);
            }
            assert_eq!(n, (n_tags, n_parameters, n_points));
        }
        assert_eq!(
            Batch::pack(&texts(20, 5), &texts(10, 5), points(600, "loss")).len(),
            1,
            "one request where one will do"
        );
    }

    #[test]
    fn what_json_has_no_number_for_is_written_as_protobuf_reads_it() {
        let written: Vec<Value> = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1].map(number).to_vec();
        assert_eq!(written, [json!("NaN"), json!("Infinity"), json!("-Infinity"), json!(0.1)]);
    }
}
