//! Arithmetic on registers' worth of numbers, written as loops over arrays that the compiler turns into vector instructions.
//!
//! Every function here is inlined into one that [`best_of_machine`] compiles for the best instructions there are. Closures are
//! not, so what is in loops stays out of them.

/// Numbers in one AVX register.
pub(super) const LANES: usize = 8;
/// Numbers in a [`Line`].
pub(super) const IN_LINE: usize = 16;

/// One line of the cache: two AVX registers.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line(pub(super) [f32; IN_LINE]);

impl Line {
    pub(super) const ZERO: Self = Self([0.0; IN_LINE]);
}

/// Declares `$name`, which runs `$with::<fused>` as compiled for the best instructions that this machine has.
macro_rules! best_of_machine {
    ($name:ident, $avx2:ident, $with:ident, ($($argument:ident: $type:ty),*) $(-> $result:ty)?) => {
        fn $name($($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            if $crate::select::glister::vector::has_avx2() {
                // SAFETY: the machine has what the function was compiled for.
                return unsafe { $avx2($($argument),*) };
            }
            $with::<{ cfg!(target_arch = "aarch64") }>($($argument),*)
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn $avx2($($argument: $type),*) $(-> $result)? {
            $with::<true>($($argument),*)
        }
    };
}
pub(in crate::select) use best_of_machine;

/// Whether to compute with AVX2 and FMA: where the machine has them, and [`ops::CPU_PATH_VARIABLE`](crate::ops::CPU_PATH_VARIABLE)
/// does not ask for less.
#[cfg(target_arch = "x86_64")]
pub(in crate::select) fn has_avx2() -> bool {
    use std::sync::OnceLock;

    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let machine = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        machine && crate::ops::cpu_path().is_ok_and(|path| path >= crate::ops::CpuPath::Avx2)
    })
}

/// a·b + c, in one instruction where there is one.
#[inline(always)]
pub(super) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// The sum of a register's numbers, by halves.
#[inline(always)]
pub(super) fn sum_of_lanes(lanes: [f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[inline(always)]
pub(super) fn dot<const FUSED: bool>(a: &[f32], b: &[f32]) -> f32 {
    let ((a8, a_rest), (b8, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a8.iter().zip(b8) {
        for lane in 0..LANES {
            sums[lane] = multiply_add::<FUSED>(a[lane], b[lane], sums[lane]);
        }
    }
    let mut rest = 0.0;
    for (a, b) in a_rest.iter().zip(b_rest) {
        rest += a * b;
    }
    sum_of_lanes(sums) + rest
}

/// Softmax down the columns of `[C, columns]`, but for a division: leaves exponentials, and returns by what to multiply each column.
#[inline(always)]
pub(super) fn exponentials<const FUSED: bool>(classes: &mut [Line]) -> [f32; IN_LINE] {
    let mut largest = [f32::NEG_INFINITY; IN_LINE];
    for Line(class) in classes.iter() {
        for at in 0..IN_LINE {
            largest[at] = if class[at] > largest[at] { class[at] } else { largest[at] };
        }
    }
    let mut sums = [0.0_f32; IN_LINE];
    for Line(class) in classes {
        for at in 0..IN_LINE {
            class[at] = exp::<FUSED>(class[at] - largest[at]);
            sums[at] += class[at];
        }
    }
    sums.map(|sum| 1.0 / sum)
}

/// e^x for x ≤ 0 within 2 units in the last place; below −87, where nothing is left in single precision, e^−87. The polynomial
/// is that of Cephes' `expf`.
#[inline(always)]
pub(in crate::select) fn exp<const FUSED: bool>(x: f32) -> f32 {
    // Adding it rounds to a whole number, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let shifted = multiply_add::<FUSED>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let rest = multiply_add::<FUSED>(n, -0.693_359_4, x);
    let rest = multiply_add::<FUSED>(n, 2.121_944_4e-4, rest);
    let mut polynomial = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        polynomial = multiply_add::<FUSED>(polynomial, rest, coefficient);
    }
    let mantissa = multiply_add::<FUSED>(polynomial * rest, rest, rest) + 1.0;
    let exponent = (shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23;
    mantissa * f32::from_bits(exponent)
}

/// ln x for normal x > 0 within 2 units in the last place. The polynomial is that of Cephes' `logf`.
#[inline(always)]
pub(in crate::select) fn ln<const FUSED: bool>(x: f32) -> f32 {
    let bits = x.to_bits();
    let (mantissa, exponent) =
        (f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000), (bits >> 23) as i32 - 126);
    // From [0.5, 1) to [√0.5, √2), less 1.
    let is_low = mantissa < std::f32::consts::FRAC_1_SQRT_2;
    let m = if is_low { mantissa + mantissa - 1.0 } else { mantissa - 1.0 };
    let e = (exponent - i32::from(is_low)) as f32;
    let mut polynomial = 7.037_683_6e-2;
    for coefficient in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        polynomial = multiply_add::<FUSED>(polynomial, m, coefficient);
    }
    let square = m * m;
    let rest = multiply_add::<FUSED>(e, -2.121_944_4e-4, polynomial * m * square);
    let rest = multiply_add::<FUSED>(square, -0.5, rest);
    multiply_add::<FUSED>(e, 0.693_359_4, m + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_the_standard_library() {
        let mut x = 1.0_f32 / (1 << 24) as f32;
        while x < 3.0e5 {
            for (ours, fused) in [(ln::<true>(x), true), (ln::<false>(x), false)] {
                let expected = f64::from(x).ln();
                let unit = f64::from(f32::EPSILON) * expected.abs().max(1e-7);
                assert!((f64::from(ours) - expected).abs() <= 2.0 * unit, "{x} {ours} {expected} {fused}");
            }
            x *= 1.000_37;
        }
        assert_eq!(ln::<true>(1.0), 0.0);
    }
}
