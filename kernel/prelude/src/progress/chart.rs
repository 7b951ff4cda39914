//! The live chart: validation accuracy by epoch of all runs of an experiment that this process has heard of.

use glisten::progress::RunProgress;
use polars::df;
use polars::prelude::DataFrame;

use crate::show::{MimeBundle, drawing};

const METRIC: &str = "validation:accuracy";
/// Of a longer curve every second point is kept, as often as needed: it is drawn in less detail anyway.
const MOST_POINTS: usize = 4000;

/// The curves of an experiment's runs.
#[derive(Default)]
pub(super) struct Curves(Vec<Curve>);

struct Curve {
    run: String,
    strategy: String,
    fraction: f64,
    points: Vec<(i64, f64)>,
}

impl Curves {
    /// Takes in what the library says. Whether there is a new point.
    pub(super) fn hear(&mut self, progress: &RunProgress) -> bool {
        let (Some(accuracy), Ok(epoch)) = (progress.validation_accuracy, i64::try_from(progress.epoch))
        else {
            return false;
        };
        let at = self.0.iter().position(|curve| curve.run == progress.run).unwrap_or_else(|| {
            let RunProgress { run, strategy, fraction, .. } = progress.clone();
            self.0.push(Curve { run, strategy, fraction, points: Vec::new() });
            self.0.len() - 1
        });
        let points = &mut self.0[at].points;
        if points.last().is_some_and(|(last, _)| *last >= epoch) {
            return false;
        }
        points.push((epoch, accuracy));
        if points.len() > MOST_POINTS {
            let mut keep = false;
            points.retain(|_| {
                keep = !keep;
                keep
            });
        }
        true
    }

    /// The chart, once there is a line to see.
    pub(super) fn draw(&self) -> Option<MimeBundle> {
        if !self.0.iter().any(|curve| curve.points.len() > 1) {
            return None;
        }
        let svg = glisten_reports::chart::metric_per_step_by_strategy(&self.points()?, &self.runs()?, METRIC);
        let runs = if self.0.len() == 1 { "1 run".to_owned() } else { format!("{} runs", self.0.len()) };
        let text = format!("(chart: validation accuracy of {runs})");
        Some(drawing(&text, svg.ok()?.as_str()))
    }

    fn points(&self) -> Option<DataFrame> {
        let all = || self.0.iter().flat_map(|curve| curve.points.iter().map(|point| (&*curve.run, point)));
        let runs: Vec<&str> = all().map(|(run, _)| run).collect();
        let steps: Vec<i64> = all().map(|(_, point)| point.0).collect();
        let values: Vec<f64> = all().map(|(_, point)| point.1).collect();
        let metrics = vec![METRIC; runs.len()];
        df!("run" => runs, "metric" => metrics, "step" => steps, "value" => values).ok()
    }

    /// What colours and labels go by.
    fn runs(&self) -> Option<DataFrame> {
        let runs: Vec<&str> = self.0.iter().map(|curve| &*curve.run).collect();
        let strategies: Vec<&str> = self.0.iter().map(|curve| &*curve.strategy).collect();
        let fractions: Vec<f64> = self.0.iter().map(|curve| curve.fraction).collect();
        df!("run" => runs, "strategy" => strategies, "fraction" => fractions).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_grow_by_epochs_and_become_a_chart_when_there_is_a_line() {
        let mut curves = Curves::default();
        let mut progress = RunProgress {
            run: "<mine>".to_owned(),
            strategy: "glister".to_owned(),
            fraction: 0.3,
            ..RunProgress::default()
        };
        assert!(!curves.hear(&progress), "no accuracy yet");
        (progress.epoch, progress.validation_accuracy) = (1, Some(0.5));
        assert!(curves.hear(&progress) && curves.draw().is_none());
        assert!(!curves.hear(&progress), "the same epoch again");
        progress.epoch = 2;
        assert!(curves.hear(&progress));
        let runs = curves.runs().unwrap();
        assert_eq!(runs.column("strategy").unwrap().get(0).unwrap().get_str(), Some("glister"));
        assert_eq!(runs.column("fraction").unwrap().f64().unwrap().get(0), Some(0.3));
        let bundle = curves.draw().unwrap();
        assert_eq!(bundle.as_json()["text/plain"], "(chart: validation accuracy of 1 run)");
        assert!(bundle.as_json()["text/html"].to_string().contains("data:image/svg+xml;base64,"));
        for epoch in 3..3 * MOST_POINTS {
            progress.epoch = epoch;
            curves.hear(&progress);
        }
        assert!(curves.0[0].points.len() <= MOST_POINTS);
        assert_eq!(curves.0[0].points[0].0, 1);
    }
}
