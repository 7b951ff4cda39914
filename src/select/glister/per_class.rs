//! Each class by itself, for a share of the budget by its size.

use tch::{Device, Kind, Tensor};

use super::units::Units;
use super::{Glister, LastLayer, Picks, Run};
use crate::error::Result;

impl Glister {
    pub(super) fn choose_per_class(
        &self,
        candidates: &LastLayer,
        validation: &LastLayer,
        budget: i64,
        run: Run,
    ) -> Result<Picks> {
        let c = candidates.logits.size()[1];
        let count =
            |labels: &Tensor| Vec::<i64>::try_from(labels.bincount::<Tensor>(None, c).to_device(Device::Cpu));
        let sizes = count(&candidates.labels)?;
        let validation_sizes = count(&validation.labels)?;
        // A stable order by class: where each class's samples are.
        let order = candidates.labels.argsort_stable(true, 0, false);
        let validation_order = validation.labels.argsort_stable(true, 0, false);
        let (mut at, mut validation_at) = (0, 0);
        let (mut units, mut gains) = (Vec::new(), Vec::new());
        for (class, quota) in quotas(&sizes, budget).into_iter().enumerate() {
            let (n, m) = (sizes[class], validation_sizes[class]);
            if quota > 0 {
                let rows = order.narrow(0, at, n);
                let own = (m > 0).then(|| validation.select(&validation_order.narrow(0, validation_at, m)));
                let judges = own.as_ref().unwrap_or(validation);
                let run = Run { stream: class as u64, ..run };
                let picks = self.pick(&candidates.select(&rows), judges, &Units::samples(n), quota, run)?;
                units.push(rows.index_select(0, &picks.units));
                gains.push(picks.gains);
            }
            at += n;
            validation_at += m;
        }
        Ok(Picks { units: Tensor::cat(&units, 0).to_kind(Kind::Int64), gains: Tensor::cat(&gains, 0) })
    }
}

/// Shares of `budget` by size, summing to it exactly: rounded down, and one more for the largest remainders, of equal ones the
/// lower class. No share is above its size as long as `budget` is not above the sum of sizes.
fn quotas(sizes: &[i64], budget: i64) -> Vec<i64> {
    let total: i128 = sizes.iter().map(|&size| i128::from(size)).sum();
    let exact: Vec<i128> = sizes.iter().map(|&size| i128::from(size) * i128::from(budget)).collect();
    let mut quotas: Vec<i64> = exact.iter().map(|share| (share / total) as i64).collect();
    let missing = budget - quotas.iter().sum::<i64>();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(exact[class] % total));
    for &class in by_remainder.iter().take(missing as usize) {
        quotas[class] += 1;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::quotas;

    #[test]
    fn quotas_are_by_largest_remainder_and_meet_the_budget() {
        // Worked by hand: 7 of (5, 3, 2) is (3.5, 2.1, 1.4): the first has the largest remainder.
        assert_eq!(quotas(&[5, 3, 2], 7), [4, 2, 1]);
        // 3 of four alike is 0.75 each: the lower classes first.
        assert_eq!(quotas(&[1, 1, 1, 1], 3), [1, 1, 1, 0]);
        assert_eq!(quotas(&[0, 10, 0], 4), [0, 4, 0]);
        for budget in 1..=61 {
            let sizes = [1, 0, 7, 30, 23];
            let quotas = quotas(&sizes, budget);
            assert_eq!(quotas.iter().sum::<i64>(), budget);
            for (quota, size) in quotas.iter().zip(sizes) {
                let exact = budget as f64 * size as f64 / 61.0;
                assert!((*quota as f64 - exact).abs() < 1.0 && *quota <= size);
            }
        }
    }
}
