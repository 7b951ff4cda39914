//! Fewer points for drawing, without losing an extreme.

/// At most about `limit` of `points` (sorted by their first number): the first and last, and of each stretch between
/// them the lowest and highest in their order.
pub(super) fn thin(points: &[(f64, f64)], limit: usize) -> Vec<(f64, f64)> {
    let limit = limit.max(8);
    if points.len() <= limit {
        return points.to_vec();
    }
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let inner = &points[1..points.len() - 1];
    let stretch = inner.len().div_ceil((limit - 2) / 2);
    let mut kept = vec![*first];
    for part in inner.chunks(stretch.max(1)) {
        let position = |better: fn(f64, f64) -> bool| {
            (1..part.len()).fold(0, |best, i| if better(part[i].1, part[best].1) { i } else { best })
        };
        let (low, high) = (position(|a, b| a < b), position(|a, b| a > b));
        kept.push(part[low.min(high)]);
        if low != high {
            kept.push(part[low.max(high)]);
        }
    }
    kept.push(*last);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_and_ends_survive() {
        let mut points: Vec<(f64, f64)> =
            (0..50_000).map(|i| (f64::from(i), (f64::from(i) * 0.01).sin())).collect();
        points[31_234].1 = 9.0;
        points[17].1 = -9.0;
        let kept = thin(&points, 1000);
        assert!(kept.len() <= 1000, "{}", kept.len());
        assert!(kept.contains(&(31_234.0, 9.0)) && kept.contains(&(17.0, -9.0)));
        assert_eq!((kept.first(), kept.last()), (points.first(), points.last()));
        assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(thin(&points[..900], 1000), points[..900]);
        assert!(thin(&[], 0).is_empty());
    }
}
