//! The greedy in rounds: `RGreedy`, and with as many rounds as picks the naive greedy.

use tch::{Device, Kind, Tensor};

use super::biases::with_bias_gradient;
use super::problem::{Problem, Taken};
use super::top::Top;
use super::units::Units;
use super::{Loss, Picks};
use crate::error::Result;
use crate::interrupt;

/// `k` units in `rounds` rounds, 1 ≤ rounds ≤ k ≤ units.
pub(super) fn pick(problem: &Problem<'_>, units: &Units, k: i64, rounds: i64) -> Result<Picks> {
    let top = Top::new(units.len(), problem.r.device());
    match problem.loss {
        Loss::CrossEntropy { label_smoothing }
            if problem.r.device() == Device::Cpu && !problem.linear_layer =>
        {
            with_bias_gradient(problem, label_smoothing, true, |mut gradient| {
                pick_by(problem, units, k, rounds, top, |taken| {
                    let sum_r = Vec::<f64>::try_from(taken.biases.to_kind(Kind::Double))?;
                    Ok(gradient.gains_after(&sum_r))
                })
            })?
        }
        _ => pick_with(problem, units, k, rounds, top),
    }
}

/// The way for any device.
pub(super) fn pick_with(
    problem: &Problem<'_>,
    units: &Units,
    k: i64,
    rounds: i64,
    top: Top,
) -> Result<Picks> {
    pick_by(problem, units, k, rounds, top, |taken| problem.gains(&problem.gradient(taken)?))
}

/// Picks, given what all candidates gain after the step with those taken.
fn pick_by(
    problem: &Problem<'_>,
    units: &Units,
    k: i64,
    rounds: i64,
    mut top: Top,
    mut gains_after: impl FnMut(&Taken) -> Result<Tensor>,
) -> Result<Picks> {
    let mut taken = problem.taken_none();
    let (mut picked, mut gains) = (Vec::new(), Vec::new());
    let mut n_picked = 0;
    for round in 0..rounds {
        interrupt::check()?;
        let share = (k - n_picked + rounds - round - 1) / (rounds - round);
        let of_units = units.mean(gains_after(&taken)?);
        let (best, best_gains) = top.take(&of_units, share);
        let (rows, shares) = units.rows(&best);
        problem.take(&mut taken, &rows, shares.as_ref());
        picked.push(best);
        gains.push(best_gains);
        n_picked += share;
    }
    Ok(Picks { units: Tensor::cat(&picked, 0), gains: Tensor::cat(&gains, 0) })
}
