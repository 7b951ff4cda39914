//! Estimates over seeds: a mean with Student's 95 % interval, and the two-sided p of the t test against zero. Of paired
//! differences that is the paired t test.

use serde::{Deserialize, Serialize};

/// A mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Estimate {
    pub(super) mean: f64,
    /// Half of the 95 % interval; unknown for one value.
    pub(super) half_width: Option<f64>,
    /// Of the hypothesis that the mean is zero; unknown for one value, and where all values are the same.
    pub(super) p: Option<f64>,
    pub(super) n: usize,
}

impl Estimate {
    /// Of at least one value.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        if n == 1 {
            return Some(Self { mean, half_width: None, p: None, n });
        }
        let freedom = (n - 1) as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / freedom;
        let error = (variance / n as f64).sqrt();
        let p = (error > 0.0).then(|| two_sided_p(mean / error, freedom));
        Some(Self { mean, half_width: Some(error * quantile(freedom)), p, n })
    }

    /// The ends of the interval.
    pub(super) fn interval(&self) -> Option<(f64, f64)> {
        self.half_width.map(|half| (self.mean - half, self.mean + half))
    }

    /// Whether the whole interval lies above `bound`; unknown without an interval.
    pub(super) fn above(&self, bound: f64) -> Option<bool> {
        self.interval().map(|(low, _)| low > bound)
    }

    /// Whether the interval leaves zero out.
    pub(super) fn excludes_zero(&self) -> bool {
        self.interval().is_some_and(|(low, high)| low > 0.0 || high < 0.0)
    }
}

/// The probability that Student's t with `freedom` degrees of freedom is at least as far from zero as `t`.
fn two_sided_p(t: f64, freedom: f64) -> f64 {
    incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5)
}

/// The 0.975 quantile of Student's t.
fn quantile(freedom: f64) -> f64 {
    // One degree of freedom has the largest one, 12.7.
    let (mut low, mut high) = (0.0, 16.0);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if two_sided_p(middle, freedom) > 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// The regularised incomplete beta function by its continued fraction, evaluated by Lentz's method
/// (Abramowitz and Stegun, 26.5.8).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast on this side only.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    let away_from_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..500 {
        let m = f64::from(step);
        for term in [
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        ] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            fraction *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    front * fraction
}

/// The logarithm of the gamma function for x > 0, by Stirling's series beyond 15 and its recurrence below.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < 15.0 {
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - product.ln()
}

/// The middle value, of an even number the mean of both.
pub(super) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[sorted.len() / 2 - 1] + upper) / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::{Estimate, median, quantile, two_sided_p};

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-10 * expected.abs(), "{found}, expected {expected}");
    }

    #[test]
    fn quantiles_are_scipys() {
        // scipy.stats.t.ppf(0.975, nu), SciPy 1.17.1
        for (freedom, expected) in [
            (1.0, 12.706204736174694),
            (2.0, 4.302652729749462),
            (4.0, 2.7764451051977934),
            (9.0, 2.262157162798205),
            (29.0, 2.045229642132703),
        ] {
            close(quantile(freedom), expected);
        }
    }

    #[test]
    fn p_values_are_scipys() {
        // 2 * scipy.stats.t.sf(t, nu), SciPy 1.17.1
        for (t, freedom, expected) in [
            (0.5, 1.0, 0.7048327646991335),
            (2.5, 4.0, 0.06676654481198814),
            (12.0, 4.0, 0.000276428548502973),
            (0.01, 9.0, 0.9922394455363253),
            (3.3, 29.0, 0.0025669142292085896),
        ] {
            close(two_sided_p(t, freedom), expected);
            close(two_sided_p(-t, freedom), expected);
        }
    }

    #[test]
    fn paired_differences_are_tested_as_scipy_does() {
        // r = scipy.stats.ttest_rel(a, b); r.pvalue, r.confidence_interval(0.95): SciPy 1.17.1
        let a = [90.22, 89.71, 90.50, 90.11, 89.95];
        let b = [89.97, 89.80, 90.02, 89.75, 89.61];
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let estimate = Estimate::of(&differences).unwrap();
        let (low, high) = estimate.interval().unwrap();
        assert!((estimate.mean - 0.268).abs() < 1e-12);
        assert!((low + 0.000526885035824709).abs() < 1e-12 && (high - 0.536526885035826).abs() < 1e-12);
        assert!((estimate.p.unwrap() - 0.050279618058290745).abs() < 1e-10);
        assert!(!estimate.excludes_zero() && estimate.above(0.0) == Some(false));
        assert_eq!(estimate.above(-0.1), Some(true));
    }

    #[test]
    fn little_is_said_of_little() {
        assert_eq!(Estimate::of(&[]), None);
        let one = Estimate::of(&[2.0]).unwrap();
        assert_eq!((one.mean, one.half_width, one.p, one.above(0.0)), (2.0, None, None, None));
        let same = Estimate::of(&[1.5, 1.5, 1.5]).unwrap();
        assert_eq!((same.half_width, same.p), (Some(0.0), None));
        assert!(same.excludes_zero());
    }

    #[test]
    fn the_median_lies_in_the_middle() {
        let of = |values: &[f64]| median(values.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
