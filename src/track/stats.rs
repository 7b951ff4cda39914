//! Statistics of a metric, kept up to date value by value so that a runs table never reads the series.

/// Statistics over the finite values of one metric of one run.
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
}

impl Default for MetricStats {
    fn default() -> Self {
        Self { count: 0, min: f64::NAN, max: f64::NAN, mean: 0.0, m2: 0.0, last: f64::NAN, nonfinite: 0 }
    }
}

impl MetricStats {
    /// Takes in the value of the next step, by Welford's recurrence (Technometrics 4(3), 1962).
    pub fn push(&mut self, value: f64) {
        if !value.is_finite() {
            self.nonfinite += 1;
            return;
        }
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.m2 += delta * (value - self.mean);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.last = value;
    }

    /// Sample standard deviation (n − 1); `None` for fewer than two values.
    pub fn stddev(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.m2 / (self.count - 1) as f64).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::MetricStats;

    #[test]
    fn agrees_with_the_two_pass_formulas_and_keeps_what_is_not_finite_apart() {
        // numpy: np.mean([4, 7, 13, 16]) = 10, np.std(…, ddof=1) = 5.477225575051661; the offset is the classic
        // case in which the one-pass sum of squares loses every digit.
        let mut stats = MetricStats::default();
        for value in [4.0, 7.0, f64::NAN, 13.0, f64::INFINITY, 16.0] {
            stats.push(1e9 + value);
        }
        assert_eq!((stats.count, stats.nonfinite), (4, 2));
        assert_eq!((stats.min, stats.max, stats.last), (1e9 + 4.0, 1e9 + 16.0, 1e9 + 16.0));
        assert!((stats.mean - 1e9 - 10.0).abs() < 1e-6);
        assert!((stats.stddev().unwrap() - 5.477225575051661).abs() < 1e-6);
    }

    #[test]
    fn one_value_has_no_deviation() {
        let mut stats = MetricStats::default();
        stats.push(0.5);
        assert_eq!(stats.stddev(), None);
    }
}
