//! What a pick of the stochastic greedy with weights asks of the validation samples, in one pass over them.
//!
//! The pass moves the logits by the pick before, a rank-1 update, forms the residuals s, and sums what the sampled candidates'
//! gains need, in whichever of two ways is less work: G_W (M·C·D), or the products of each candidate with each validation
//! sample (M·m·(C + D)), since r_iᵀ G_W e_i = mean_j (r_i·s_j)(e_i·v_j). Biases are the weights of one more feature, which is 1.
//!
//! The validation samples are cut into parts whose sums are added up in order, whatever the threads.

use tch::Kind;

use super::Loss;
use super::problem::Problem;
use super::team::{Team, with_team};
use super::validation_part::{Job, Part, Shape};
use super::vector::{IN_LINE, Line, best_of_machine, dot, multiply_add};
use crate::error::Result;

/// Into how many parts the validation samples are cut at most.
const MOST_PARTS: usize = 16;
/// Multiply-adds of a pass below which handing parts over to another thread does not pay.
const WORTH_A_THREAD: usize = 200_000;

/// A candidate as the passes see it: its features, with the 1, and its residual.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) features: &'a [f32],
    pub(super) residual: &'a [f32],
}

/// The validation samples, and the team that passes over them.
pub(super) struct Passes<'t> {
    team: &'t Team<'t, Job, Part>,
    shape: Shape,
    eta: f32,
    n_rows: usize,
    /// The mean of `Part::sums` in the pass that was last.
    mean: Vec<f32>,
    /// rᵀ G of a candidate, `[F]`.
    by_feature: Vec<f32>,
}

/// Runs `lead` with the validation samples of the problem, all of whose tensors are on the CPU. `n_sampled` candidates are
/// asked about in a pass.
///
/// # Errors
/// If tensors are not what the problem says.
pub(super) fn with_passes<R>(
    problem: &Problem<'_>,
    n_sampled: usize,
    lead: impl FnOnce(Passes<'_>) -> R,
) -> Result<R> {
    let (n_rows, d) = problem.validation.features.size2()?;
    let (n_rows, n_features) = (n_rows as usize, d as usize + 1);
    let shape = Shape { n_classes: problem.r.size2()?.1 as usize, n_features, loss: problem.loss };
    let parts = parts(problem, &shape)?;
    let cost = n_rows * (shape.cost(n_sampled) + 10 * shape.n_classes);
    let n_threads = if cost < WORTH_A_THREAD { 1 } else { problem.n_threads };
    let work = |job: &Job, part: &mut Part| part.pass(&shape, job);
    Ok(with_team(n_threads, Job::default(), parts, work, |team| {
        lead(Passes {
            team,
            shape,
            eta: problem.eta as f32,
            n_rows,
            mean: Vec::new(),
            by_feature: vec![0.0; n_features],
        })
    }))
}

fn parts(problem: &Problem<'_>, shape: &Shape) -> Result<Vec<Part>> {
    let validation = problem.validation;
    let (c, f) = (shape.n_classes, shape.n_features);
    let logits = match shape.loss {
        Loss::CrossEntropy { .. } => validation.logits.shallow_clone(),
        Loss::SquaredError => &validation.logits - validation.labels.reshape(validation.logits.size()),
    };
    let labels = match shape.loss {
        Loss::CrossEntropy { .. } => Vec::<i64>::try_from(&validation.labels)?,
        Loss::SquaredError => Vec::new(),
    };
    let features = Vec::<f32>::try_from(validation.features.reshape([-1]))?;
    let logits = Vec::<f32>::try_from(logits.to_kind(Kind::Float).reshape([-1]))?;
    let n_rows = logits.len() / c;
    let rows_of_part = n_rows.div_ceil(IN_LINE).div_ceil(MOST_PARTS) * IN_LINE;
    let part = |from: usize| {
        let n_rows = rows_of_part.min(n_rows - from);
        let n_groups = n_rows.div_ceil(IN_LINE);
        let mut part = Part {
            features: vec![Line::ZERO; n_groups * f],
            logits: vec![Line::ZERO; n_groups * c],
            labels: labels.iter().skip(from).take(n_rows).map(|&label| label as usize).collect(),
            residuals: vec![Line::ZERO; shape.groups_of_block() * c],
            sums: Vec::new(),
        };
        for row in 0..n_rows {
            let (group, lane) = (row / IN_LINE, row % IN_LINE);
            let v = features[(from + row) * (f - 1)..][..f - 1].iter().chain([&1.0]);
            part.features[group * f..].iter_mut().zip(v).for_each(|(line, &v)| line.0[lane] = v);
            let u = &logits[(from + row) * c..][..c];
            part.logits[group * c..].iter_mut().zip(u).for_each(|(line, &u)| line.0[lane] = u);
        }
        part
    };
    Ok((0..n_rows).step_by(rows_of_part).map(part).collect())
}

impl Passes<'_> {
    /// The gains of the sampled candidates, after the picks that [`Self::take`] was told of.
    pub(super) fn gains<'a>(
        &mut self,
        sampled: impl ExactSizeIterator<Item = Candidate<'a>> + Clone,
        gains: &mut Vec<f32>,
    ) {
        let is_pairwise = self.shape.is_pairwise(sampled.len());
        self.team.run(|job| {
            job.n_sampled = 0;
            if is_pairwise {
                job.bundle(sampled.clone(), self.shape);
            }
        });
        self.mean.clear();
        for part in self.team.parts() {
            self.mean.resize(part.sums.len(), 0.0);
            self.mean.iter_mut().zip(&part.sums).for_each(|(mean, sum)| *mean += sum);
        }
        self.mean.iter_mut().for_each(|mean| *mean /= self.n_rows as f32);
        gains.clear();
        if is_pairwise {
            gains.extend(&self.mean);
        } else {
            for candidate in sampled {
                gains.push(gain(&self.mean, candidate.residual, candidate.features, &mut self.by_feature));
            }
        }
        self.team.set(|job| {
            job.move_features.clear();
            job.move_logits.clear();
        });
    }

    /// Takes the step with a candidate: the next pass goes from there.
    pub(super) fn take(&self, picked: Candidate<'_>) {
        self.team.set(|job| {
            job.move_features.extend(picked.features.iter().chain([&1.0]));
            job.move_logits.extend(picked.residual.iter().map(|r| -self.eta * r));
        });
    }
}

best_of_machine!(gain, gain_avx2, gain_with, (g: &[f32], r: &[f32], e: &[f32], by_feature: &mut [f32]) -> f32);

/// rᵀ G (e, 1) with G `[C, F]`, by way of rᵀ G `[F]`.
#[inline(always)]
fn gain_with<const FUSED: bool>(g: &[f32], r: &[f32], e: &[f32], by_feature: &mut [f32]) -> f32 {
    by_feature.fill(0.0);
    for (row, r) in g.chunks_exact(by_feature.len()).zip(r) {
        for (sum, g) in by_feature.iter_mut().zip(row) {
            *sum = multiply_add::<FUSED>(*r, *g, *sum);
        }
    }
    dot::<FUSED>(&by_feature[..e.len()], e) + by_feature[e.len()]
}

#[cfg(test)]
mod tests {
    use tch::{Device, Tensor};

    use super::super::{Glister, LastLayer};
    use super::*;

    /// M, D, C and how many are sampled: sums of both kinds, tiles and bundles of all sizes, one part and many.
    const SIZES: [(i64, i64, i64, usize); 7] = [
        (1, 1, 1, 1),
        (33, 3, 2, 7),
        (700, 30, 20, 5),
        (700, 30, 20, 13),
        (700, 30, 20, 3),
        (650, 31, 14, 40),
        (500, 9, 13, 25),
    ];

    fn layer(n: i64, d: i64, c: i64, loss: Loss) -> LastLayer {
        let floats = |columns| Tensor::randn([n, columns], (Kind::Float, Device::Cpu));
        let labels = match loss {
            Loss::CrossEntropy { .. } => Tensor::randint(c, [n], (Kind::Int64, Device::Cpu)),
            Loss::SquaredError => floats(c),
        };
        LastLayer { features: floats(d), logits: floats(c), labels }
    }

    /// Gains after 0, 1 and 2 steps, against libtorch in double precision.
    fn check(problem: &Problem<'_>, n_sampled: usize) -> Vec<f32> {
        let double = |tensor: &Tensor| tensor.to_kind(Kind::Double);
        let (e, r) = (double(problem.features), double(&problem.r));
        let (v, mut u) = (double(&problem.validation.features), double(&problem.validation.logits));
        let (d, c) = (e.size()[1] as usize, r.size()[1] as usize);
        let features = Vec::<f32>::try_from(problem.features.view([-1])).unwrap();
        let residuals = Vec::<f32>::try_from(problem.r.view([-1])).unwrap();
        let candidate =
            |at: usize| Candidate { features: &features[at * d..][..d], residual: &residuals[at * c..][..c] };
        let (mut gains, mut all) = (Vec::new(), Vec::new());
        with_passes(problem, n_sampled, |mut passes| {
            for step in 0..3 {
                passes.gains((0..n_sampled).map(candidate), &mut gains);
                let s = match problem.loss {
                    Loss::CrossEntropy { label_smoothing } => {
                        let ones = problem.validation.labels.one_hot(c as i64).to_kind(Kind::Double);
                        let targets = ones * (1.0 - label_smoothing) + label_smoothing / c as f64;
                        u.softmax(-1, Kind::Double) - targets
                    }
                    Loss::SquaredError => (&u - double(&problem.validation.labels)) * 2.0,
                };
                let by_pair = (e.matmul(&v.tr()) + 1.0) * r.matmul(&s.tr()); // [m, M]
                let expected = by_pair.mean_dim(1, false, Kind::Double);
                let worst = (Tensor::from_slice(&gains) - &expected).abs().max().double_value(&[]);
                let scale = expected.abs().max().double_value(&[]);
                assert!(worst < 2e-6 * (1.0 + scale), "{:?}, step {step}: off by {worst}", v.size());
                all.extend_from_slice(&gains);
                passes.take(candidate(step % n_sampled));
                let (r, e) = (r.get((step % n_sampled) as i64), e.get((step % n_sampled) as i64));
                u -= (v.mv(&e) + 1.0).outer(&r) * problem.eta;
            }
        })
        .unwrap();
        all
    }

    #[test]
    fn gains_are_those_of_libtorch_and_the_same_with_any_number_of_threads() {
        let losses = [Loss::default(), Loss::CrossEntropy { label_smoothing: 0.1 }, Loss::SquaredError];
        for (m, d, c, n_sampled) in SIZES {
            for loss in losses {
                tch::manual_seed(m + d);
                let (candidates, validation) = (layer(n_sampled as i64, d, c, loss), layer(m, d, c, loss));
                let glister = Glister { eta: 0.1, loss, ..Default::default() };
                let gains = [1, 3].map(|n_threads| {
                    check(&Problem::new(&candidates, &validation, &glister, n_threads).unwrap(), n_sampled)
                });
                assert_eq!(gains[0], gains[1]);
            }
        }
    }

    #[test]
    fn the_portable_path_gives_what_the_fast_one_gives() {
        for (m, d, c, n_sampled) in SIZES {
            let loss = Loss::default();
            let (candidates, validation) = (layer(n_sampled as i64, d, c, loss), layer(m, d, c, loss));
            let problem = Problem::new(&candidates, &validation, &Glister::default(), 1).unwrap();
            let shape = Shape { n_classes: c as usize, n_features: d as usize + 1, loss };
            let features = vec![0.01; d as usize];
            let residual = vec![0.5; c as usize];
            let candidate = Candidate { features: &features, residual: &residual };
            for n_summed in [0, n_sampled] {
                let mut job = Job::default();
                job.bundle((0..n_summed).map(|_| candidate), shape);
                job.move_features = vec![0.1; d as usize + 1];
                job.move_logits = vec![-0.2; c as usize];
                let both = [true, false].map(|is_fast| {
                    let mut part = parts(&problem, &shape).unwrap().swap_remove(0);
                    if is_fast {
                        part.pass(&shape, &job)
                    } else {
                        part.pass_portable(&shape, &job)
                    }
                    part.sums
                });
                for (fast, portable) in both[0].iter().zip(&both[1]) {
                    assert!((fast - portable).abs() < 1e-4 * (1.0 + portable.abs()), "{fast}, {portable}");
                }
            }
        }
    }
}
