//! Means over seeds with 95 % intervals: Student's t for one mean, Welch's for a difference of two.

use serde::Serialize;

/// A mean and how far it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Half the width of the 95 % interval, in the unit of the mean; none where there are too few values for one.
    pub half_width: Option<f64>,
    /// How many values (seeds) the mean is over; for a difference, the smaller of the two numbers.
    pub n: usize,
}

impl Estimate {
    /// The mean of finite `values` with its 95 % interval by Student's t with n − 1 degrees of freedom. Values that
    /// are not finite are left out; none is left where no value is.
    pub fn of(values: &[f64]) -> Option<Self> {
        let sample = Sample::of(values)?;
        let half_width = sample
            .squared_error
            .and_then(|error| t_quantile(0.975, sample.n as f64 - 1.0).map(|t| t * error.sqrt()));
        Some(Self { mean: sample.mean, half_width, n: sample.n })
    }

    /// mean(`left`) − mean(`right`) with its 95 % interval by Welch's method (unequal variances, degrees of freedom
    /// by Welch and Satterthwaite). No interval where either side has fewer than two values.
    pub fn difference(left: &[f64], right: &[f64]) -> Option<Self> {
        let (left, right) = (Sample::of(left)?, Sample::of(right)?);
        let half_width = left.squared_error.zip(right.squared_error).and_then(|(l, r)| {
            let variance = l + r;
            if variance <= 0.0 {
                return Some(0.0);
            }
            let freedom =
                variance * variance / (l * l / (left.n as f64 - 1.0) + r * r / (right.n as f64 - 1.0));
            t_quantile(0.975, freedom).map(|t| t * variance.sqrt())
        });
        Some(Self { mean: left.mean - right.mean, half_width, n: left.n.min(right.n) })
    }

    /// The lower end of the interval.
    pub fn low(&self) -> Option<f64> {
        self.half_width.map(|half| self.mean - half)
    }

    /// The upper end of the interval.
    pub fn high(&self) -> Option<f64> {
        self.half_width.map(|half| self.mean + half)
    }

    /// The same estimate in another unit, `factor` of which make one of the present unit.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self {
            mean: self.mean * factor,
            half_width: self.half_width.map(|half| half * factor.abs()),
            n: self.n,
        }
    }
}

struct Sample {
    mean: f64,
    /// Variance of the mean, s² / n; none for a single value.
    squared_error: Option<f64>,
    n: usize,
}

impl Sample {
    fn of(values: &[f64]) -> Option<Self> {
        let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        let n = finite.len();
        if n == 0 {
            return None;
        }
        let mean = finite.iter().sum::<f64>() / n as f64;
        let squares: f64 = finite.iter().map(|value| (value - mean) * (value - mean)).sum();
        let squared_error = (n > 1).then(|| squares / (n as f64 - 1.0) / n as f64);
        (mean.is_finite() && squared_error.is_none_or(f64::is_finite)).then_some(Self {
            mean,
            squared_error,
            n,
        })
    }
}

/// The quantile of Student's t: the x with P(T ≤ x) = `probability`, for 0 < probability < 1 and any positive
/// number of degrees of freedom, whole or not. None outside of that.
///
/// By bisection of the distribution function, which is a regularised incomplete beta function.
pub fn t_quantile(probability: f64, degrees_of_freedom: f64) -> Option<f64> {
    if !(probability > 0.0 && probability < 1.0 && degrees_of_freedom > 0.0 && degrees_of_freedom.is_finite())
    {
        return None;
    }
    if probability < 0.5 {
        return t_quantile(1.0 - probability, degrees_of_freedom).map(|x| -x);
    }
    let upper_tail = 1.0 - probability;
    let tail = |x: f64| {
        let ratio = degrees_of_freedom / (degrees_of_freedom + x * x);
        0.5 * incomplete_beta(0.5 * degrees_of_freedom, 0.5, ratio)
    };
    let (mut low, mut high) = (0.0, 1.0);
    while tail(high) > upper_tail {
        low = high;
        high *= 2.0;
        if high > 1e150 {
            return None;
        }
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if tail(middle) > upper_tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(0.5 * (low + high))
}

/// The regularised incomplete beta function I_x(a, b), by the continued fraction of Numerical Recipes, § 6.4.
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    }
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let away_from_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..=300 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// ln Γ(x) for x > 0, by Lanczos' approximation (g = 7, nine terms).
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        // Reflection keeps the approximation in the half where it holds.
        return (std::f64::consts::PI / (std::f64::consts::PI * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let base = x + 7.5;
    let series =
        TERMS[1..].iter().enumerate().fold(TERMS[0], |sum, (i, term)| sum + term / (x + i as f64 + 1.0));
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * base.ln() - base + series.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    // R: qt(0.975, c(1, 2, 3, 4, 9, 30, 2.5)), qt(0.995, 5)
    #[test]
    fn quantiles_agree_with_published_tables() {
        let known = [
            (0.975, 1.0, 12.706_204_736),
            (0.975, 2.0, 4.302_652_730),
            (0.975, 3.0, 3.182_446_305),
            (0.975, 4.0, 2.776_445_105),
            (0.975, 9.0, 2.262_157_163),
            (0.975, 30.0, 2.042_272_456),
            (0.995, 5.0, 4.032_142_984),
            (0.95, 10.0, 1.812_461_123),
            (0.975, 1e7, 1.959_964_2),
        ];
        for (probability, freedom, expected) in known {
            let found = t_quantile(probability, freedom).unwrap();
            assert!(
                (found - expected).abs() < 1e-6 * expected,
                "t({probability}, {freedom}) = {found}, not {expected}"
            );
            assert!((t_quantile(1.0 - probability, freedom).unwrap() + found).abs() < 1e-6 * expected);
        }
        // One degree of freedom is Cauchy's distribution: t = tan(π (p − ½)). Two have a closed form as well.
        let cauchy = (std::f64::consts::PI * 0.4).tan();
        assert!((t_quantile(0.9, 1.0).unwrap() - cauchy).abs() < 1e-9);
        for (probability, freedom) in [(0.0, 1.0), (1.0, 1.0), (f64::NAN, 1.0), (0.9, 0.0), (0.9, f64::NAN)] {
            assert_eq!(t_quantile(probability, freedom), None);
        }
    }

    #[test]
    fn an_interval_needs_two_finite_values() {
        assert_eq!(Estimate::of(&[]), None);
        assert_eq!(Estimate::of(&[f64::NAN, f64::INFINITY]), None);
        assert_eq!(Estimate::of(&[0.5, f64::NAN]), Some(Estimate { mean: 0.5, half_width: None, n: 1 }));
        // s = 0.01, n = 3: 4.302652730 × 0.01 / √3 = 0.02484138
        let three = Estimate::of(&[0.90, 0.91, 0.92]).unwrap();
        assert!((three.mean - 0.91).abs() < 1e-12 && (three.half_width.unwrap() - 0.024_841_38).abs() < 1e-7);
        assert_eq!(Estimate::of(&[f64::MAX, f64::MAX]), None, "an overflow is no estimate");
    }

    #[test]
    fn a_difference_is_welchs() {
        // Equal n and equal variances: Welch's degrees of freedom are 2 (n − 1) = 4; s² = 1e-4 on both sides, so
        // the half width is 2.776445105 × √(2e-4 / 3) = 0.02266958.
        let difference = Estimate::difference(&[0.90, 0.91, 0.92], &[0.87, 0.88, 0.89]).unwrap();
        assert!((difference.mean - 0.03).abs() < 1e-12);
        assert!((difference.half_width.unwrap() - 0.022_669_58).abs() < 1e-7, "{difference:?}");
        // One side without variance: the degrees of freedom are the other side's, n − 1 = 2.
        let one_sided = Estimate::difference(&[0.90, 0.91, 0.92], &[0.88, 0.88]).unwrap();
        assert!((one_sided.half_width.unwrap() - 0.024_841_38).abs() < 1e-7, "{one_sided:?}");
        assert_eq!(Estimate::difference(&[0.9, 0.9], &[0.8, 0.8]).unwrap().half_width, Some(0.0));
        assert_eq!(Estimate::difference(&[0.9], &[0.8, 0.9]).unwrap().half_width, None);
    }
}
