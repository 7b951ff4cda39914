//! Statistics of a metric, kept up to date value by value so that a runs table never reads the series.

use super::double::Double;

/// Statistics over the finite values of one metric of one run.
///
/// Mean and variance are kept in twice the precision of a float, so that they come out right for values such as timestamps,
/// whose variance is small beside their mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricStats {
    /// How many finite values there are.
    pub count: u64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
    /// Sum of squared differences from the mean (Welford's M2).
    pub m2: f64,
    /// The value at the highest step, if that value is finite; else the last finite one before it.
    pub last: f64,
    /// How many values were NaN or infinite.
    pub nonfinite: u64,
    /// What `mean` and `m2` lack to their exact values.
    pub(super) mean_low: f64,
    pub(super) m2_low: f64,
}

impl Default for MetricStats {
    fn default() -> Self {
        Self {
            count: 0,
            min: f64::NAN,
            max: f64::NAN,
            mean: 0.0,
            m2: 0.0,
            last: f64::NAN,
            nonfinite: 0,
            mean_low: 0.0,
            m2_low: 0.0,
        }
    }
}

impl MetricStats {
    /// Takes in the value of the next step, by Welford's recurrence (Technometrics 4(3), 1962).
    pub fn push(&mut self, value: f64) {
        self.push_out_of_order(value);
        if value.is_finite() {
            self.last = value;
        }
    }

    /// As [`MetricStats::push`], for a step that is not the last one: `last` stays.
    pub(super) fn push_out_of_order(&mut self, value: f64) {
        if !value.is_finite() {
            self.nonfinite += 1;
            return;
        }
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let n = self.count as f64;
        let mean = Double { high: self.mean, low: self.mean_low };
        let delta = Double::from(value) - mean;
        let next = mean + delta.divided_by(n);
        let m2 = Double { high: self.m2, low: self.m2_low } + delta * (Double::from(value) - next);
        (self.mean, self.mean_low) = if next.is_finite() {
            (next.high, next.low)
        } else {
            // Values so large that their difference is beyond a float: the mean is not.
            (self.mean + (value / n - self.mean / n), 0.0)
        };
        (self.m2, self.m2_low) = if m2.is_finite() { (m2.high, m2.low) } else { (f64::INFINITY, 0.0) };
    }

    /// Sample standard deviation (n − 1); `None` for fewer than two values, infinite where the squares are beyond what a
    /// number can hold.
    pub fn stddev(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.m2.max(0.0) / (self.count - 1) as f64).sqrt())
    }

    /// The sum of the finite values.
    pub fn sum(&self) -> f64 {
        self.mean * self.count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::MetricStats;

    fn stats_of(values: impl IntoIterator<Item = f64>) -> MetricStats {
        let mut stats = MetricStats::default();
        values.into_iter().for_each(|value| stats.push(value));
        stats
    }

    #[test]
    fn agrees_with_the_two_pass_formulas_and_keeps_what_is_not_finite_apart() {
        // numpy: np.mean([4, 7, 13, 16]) = 10, np.std(…, ddof=1) = 5.477225575051661; the offset is the classic
        // case in which the one-pass sum of squares loses every digit.
        let stats = stats_of([4.0, 7.0, f64::NAN, 13.0, f64::INFINITY, 16.0].map(|value| 1e9 + value));
        assert_eq!((stats.count, stats.nonfinite), (4, 2));
        assert_eq!((stats.min, stats.max, stats.last), (1e9 + 4.0, 1e9 + 16.0, 1e9 + 16.0));
        assert!((stats.mean - 1e9 - 10.0).abs() < 1e-6);
        assert!((stats.stddev().unwrap() - 5.477225575051661).abs() < 1e-14);
    }

    #[test]
    fn timestamps_a_microsecond_apart_have_the_deviation_they_have() {
        // Seconds since 1970 in steps of 2⁻²⁰ s (exact in a float): the deviation of 0..n is √(n (n + 1) / 12) steps.
        const N: usize = 1000;
        let step = 0.5_f64.powi(20);
        let stats = stats_of((0..N).map(|at| 1_763_000_000.0 + at as f64 * step));
        let expected = step * ((N * (N + 1)) as f64 / 12.0).sqrt();
        assert!((stats.stddev().unwrap() / expected - 1.0).abs() < 1e-15, "{:?} {expected}", stats.stddev());
        let middle = 1_763_000_000.0 + (N - 1) as f64 / 2.0 * step;
        assert_eq!(stats.mean, middle);
    }

    #[test]
    fn values_at_the_edge_of_what_a_float_holds_have_a_mean() {
        let stats = stats_of([1.5e308, -1.5e308, 1.5e308]);
        assert!((stats.mean / 0.5e308 - 1.0).abs() < 1e-12, "{}", stats.mean);
        assert_eq!(stats.stddev(), Some(f64::INFINITY));
    }

    #[test]
    fn one_value_has_no_deviation() {
        assert_eq!(stats_of([0.5]).stddev(), None);
    }
}
