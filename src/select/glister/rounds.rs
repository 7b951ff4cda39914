//! The greedy in rounds: `RGreedy`, and with as many rounds as picks the naive greedy.

use tch::Tensor;

use super::Picks;
use super::problem::Problem;
use super::top::Top;
use super::units::Units;
use crate::error::Result;
use crate::interrupt;

/// `k` units in `rounds` rounds, 1 ≤ rounds ≤ k ≤ units.
pub(super) fn pick(problem: &Problem<'_>, units: &Units, k: i64, rounds: i64) -> Result<Picks> {
    let top = Top::new(units.len(), problem.r.device());
    pick_with(problem, units, k, rounds, top)
}

pub(super) fn pick_with(
    problem: &Problem<'_>,
    units: &Units,
    k: i64,
    rounds: i64,
    mut top: Top,
) -> Result<Picks> {
    let mut taken = problem.taken_none();
    let (mut picked, mut gains) = (Vec::new(), Vec::new());
    let mut n_picked = 0;
    for round in 0..rounds {
        interrupt::check()?;
        let share = (k - n_picked + rounds - round - 1) / (rounds - round);
        let of_units = units.mean(problem.gains(&problem.gradient(&taken)?)?);
        let (best, best_gains) = top.take(&of_units, share);
        let (rows, shares) = units.rows(&best);
        problem.take(&mut taken, &rows, shares.as_ref());
        picked.push(best);
        gains.push(best_gains);
        n_picked += share;
    }
    Ok(Picks { units: Tensor::cat(&picked, 0), gains: Tensor::cat(&gains, 0) })
}
