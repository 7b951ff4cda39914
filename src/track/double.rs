//! A number as the unevaluated sum of two floats: 106 bits of precision, of which a metric's mean and variance need more
//! than the 53 of one (values like timestamps have a large mean and a small variance).
//!
//! The error-free transformations are those of T. J. Dekker, "A floating-point technique for extending the available
//! precision", Numerische Mathematik 18 (1971), and D. E. Knuth, The Art of Computer Programming, volume 2, section 4.2.2.

use std::ops::{Add, Mul, Sub};

/// `high + low`, where `high` is the float nearest to that.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Double {
    pub(super) high: f64,
    pub(super) low: f64,
}

impl Double {
    /// The sum of two floats, exactly.
    fn sum_of(a: f64, b: f64) -> Self {
        let high = a + b;
        let of_b = high - a;
        Self { high, low: (a - (high - of_b)) + (b - of_b) }
    }

    /// As [`Double::sum_of`] where `a` is not the smaller.
    fn sum_of_ordered(a: f64, b: f64) -> Self {
        let high = a + b;
        Self { high, low: b - (high - a) }
    }

    /// Divided by a float that is not zero.
    pub(super) fn divided_by(self, divisor: f64) -> Self {
        let quotient = self.high / divisor;
        let rest = self - Self::from(quotient) * Self::from(divisor);
        Self::sum_of_ordered(quotient, rest.high / divisor)
    }

    pub(super) fn is_finite(self) -> bool {
        self.high.is_finite() && self.low.is_finite()
    }
}

impl From<f64> for Double {
    fn from(value: f64) -> Self {
        Self { high: value, low: 0.0 }
    }
}

impl Add for Double {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let (high, low) = (Self::sum_of(self.high, other.high), Self::sum_of(self.low, other.low));
        let sum = Self::sum_of_ordered(high.high, high.low + low.high);
        Self::sum_of_ordered(sum.high, sum.low + low.low)
    }
}

impl Sub for Double {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + Self { high: -other.high, low: -other.low }
    }
}

impl Mul for Double {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let high = self.high * other.high;
        let rest = self.high.mul_add(other.high, -high);
        Self::sum_of_ordered(high, rest + (self.high * other.low + self.low * other.high))
    }
}

#[cfg(test)]
mod tests {
    use super::Double;

    #[test]
    fn what_one_float_loses_is_kept() {
        let (large, small) = (Double::from(1e16), Double::from(1.0 / 3.0));
        let back = (large + small) - large;
        assert!((back.high - 1.0 / 3.0).abs() < 1e-16, "{back:?}");
        // (10⁸ + 1)² = 10¹⁶ + 2·10⁸ + 1, whose last 1 is beyond 53 bits.
        let square = Double::from(1e8 + 1.0) * Double::from(1e8 + 1.0);
        assert_eq!((square - Double::from(1e16) - Double::from(2e8)).high, 1.0);
        let third = Double::from(1.0).divided_by(3.0);
        let error = third * Double::from(3.0) - Double::from(1.0);
        assert!(error.high.abs() < 1e-31, "{error:?}");
    }
}
