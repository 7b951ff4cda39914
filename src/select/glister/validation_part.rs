//! A pass of the stochastic greedy over some of the validation samples (see `validation_pass`).
//!
//! They lie in groups of as many as a line of the cache holds numbers, turned over: each vector instruction does one thing for
//! several of them.

use super::Loss;
use super::validation_pass::Candidate;
use super::vector::{IN_LINE, LANES, Line, best_of_machine, exponentials, multiply_add, sum_of_lanes};

/// Lines of features that are gone through twice in a row: 512 KB, about what the second-level cache holds.
const BLOCK_LINES: usize = 8192;

/// What stays as it is from pass to pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) n_classes: usize,
    /// With the 1.
    pub(super) n_features: usize,
    pub(super) loss: Loss,
}

/// What is asked of one pass.
#[derive(Default)]
pub(super) struct Job {
    /// By features `[F]` and logits `[C]` the rank-1 update, u_j += logits·(features·v_j); empty before the first pick.
    pub(super) move_features: Vec<f32>,
    pub(super) move_logits: Vec<f32>,
    /// How many are sampled, if their gains are to be summed themselves; else 0.
    pub(super) n_sampled: usize,
    /// The sampled in bundles (see [`bundle`]): of each, features `[F, bundle]` and residuals `[C, bundle]`.
    pub(super) features: Vec<f32>,
    pub(super) residuals: Vec<f32>,
}

/// Some of the validation samples.
pub(super) struct Part {
    /// v `[groups, F]`; where a last group is not full, the rest is 0, with its 1, and so counts for nothing.
    pub(super) features: Vec<Line>,
    /// u `[groups, C]`; with the squared error, u − y.
    pub(super) logits: Vec<Line>,
    /// Classes `[rows]`; none with the squared error.
    pub(super) labels: Vec<usize>,
    /// s of the groups that are worked on, `[groups of a block, C]`.
    pub(super) residuals: Vec<Line>,
    /// Of the pass that was last: Σ s ⊗ v `[C, F]`, or the gains of the sampled `[m]`.
    pub(super) sums: Vec<f32>,
}

impl Shape {
    /// Whether it is less work to sum the gains of `m` candidates themselves.
    pub(super) fn is_pairwise(&self, m: usize) -> bool {
        m * (self.n_classes + self.n_features) < self.n_classes * self.n_features
    }

    /// Multiply-adds for each validation sample.
    pub(super) fn cost(&self, m: usize) -> usize {
        let (c, f) = (self.n_classes, self.n_features);
        f + (m * (c + f)).min(c * f)
    }

    pub(super) fn groups_of_block(&self) -> usize {
        (BLOCK_LINES / self.n_features).max(1)
    }
}

impl Job {
    /// Has the gains of these summed.
    pub(super) fn bundle<'a>(
        &mut self,
        mut sampled: impl ExactSizeIterator<Item = Candidate<'a>>,
        shape: Shape,
    ) {
        self.n_sampled = sampled.len();
        self.features.clear();
        self.residuals.clear();
        while sampled.len() > 0 {
            let size = bundle(sampled.len());
            let (f, c) = (self.features.len(), self.residuals.len());
            self.features.resize(f + size * shape.n_features, 0.0);
            self.residuals.resize(c + size * shape.n_classes, 0.0);
            for (at, candidate) in sampled.by_ref().take(size).enumerate() {
                let places = self.features[f + at..].iter_mut().step_by(size);
                places.zip(candidate.features.iter().chain([&1.0])).for_each(|(place, &e)| *place = e);
                let places = self.residuals[c + at..].iter_mut().step_by(size);
                places.zip(candidate.residual).for_each(|(place, &r)| *place = r);
            }
        }
    }
}

/// How many of the sampled are worked on at once, with so many left: with 6, twelve registers of sums. Where fewer than that
/// are left, the rest of the bundle is 0.
fn bundle(n_left: usize) -> usize {
    match n_left {
        0..=2 => 2,
        3..=4 => 4,
        _ => 6,
    }
}

impl Part {
    /// Moves the logits, forms the residuals, and sums.
    pub(super) fn pass(&mut self, shape: &Shape, job: &Job) {
        pass(shape, job, self);
    }

    #[cfg(test)]
    pub(super) fn pass_portable(&mut self, shape: &Shape, job: &Job) {
        pass_with::<false>(shape, job, self);
    }
}

best_of_machine!(pass, pass_avx2, pass_with, (shape: &Shape, job: &Job, part: &mut Part));

#[inline(always)]
fn pass_with<const FUSED: bool>(shape: &Shape, job: &Job, part: &mut Part) {
    let (c, f) = (shape.n_classes, shape.n_features);
    part.sums.clear();
    part.sums.resize(if job.n_sampled > 0 { job.n_sampled } else { c * f }, 0.0);
    let n_groups = shape.groups_of_block();
    let blocks = part.features.chunks(n_groups * f).zip(part.logits.chunks_mut(n_groups * c));
    let mut labels = part.labels.chunks(IN_LINE);
    for (v, u) in blocks {
        let s = &mut part.residuals[..u.len()];
        for ((v, u), s) in v.chunks_exact(f).zip(u.chunks_exact_mut(c)).zip(s.chunks_exact_mut(c)) {
            if !job.move_features.is_empty() {
                move_group::<FUSED>(&job.move_features, &job.move_logits, v, u);
            }
            residuals_of_group::<FUSED>(shape.loss, u, labels.next().unwrap_or_default(), s);
        }
        if job.n_sampled == 0 {
            add_gradient::<FUSED>(s, c, v, f, &mut part.sums);
        } else {
            add_gains::<FUSED>(s, c, v, f, job, &mut part.sums);
        }
    }
}

/// u_j += logits·(features·v_j).
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "one lane of several arrays, in the form that becomes vector instructions"
)]
fn move_group<const FUSED: bool>(features: &[f32], logits: &[f32], v: &[Line], u: &mut [Line]) {
    // In four sums, none of which waits for another.
    let mut sums = [[0.0_f32; IN_LINE]; 4];
    let ((v4, v_rest), (e4, e_rest)) = (v.as_chunks::<4>(), features.as_chunks::<4>());
    for (v, e) in v4.iter().zip(e4) {
        for at in 0..4 {
            for lane in 0..IN_LINE {
                sums[at][lane] = multiply_add::<FUSED>(e[at], v[at].0[lane], sums[at][lane]);
            }
        }
    }
    for (v, e) in v_rest.iter().zip(e_rest) {
        for lane in 0..IN_LINE {
            sums[0][lane] = multiply_add::<FUSED>(*e, v.0[lane], sums[0][lane]);
        }
    }
    let [mut by, b, c, d] = sums;
    for lane in 0..IN_LINE {
        by[lane] = (by[lane] + b[lane]) + (c[lane] + d[lane]);
    }
    for (u, logit) in u.iter_mut().zip(logits) {
        for lane in 0..IN_LINE {
            u.0[lane] = multiply_add::<FUSED>(*logit, by[lane], u.0[lane]);
        }
    }
}

#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "one lane of several arrays, in the form that becomes vector instructions"
)]
fn residuals_of_group<const FUSED: bool>(loss: Loss, u: &[Line], labels: &[usize], s: &mut [Line]) {
    match loss {
        Loss::CrossEntropy { label_smoothing } => {
            s.copy_from_slice(u);
            let shares = exponentials::<FUSED>(s);
            let everywhere = (label_smoothing / u.len() as f64) as f32;
            for s in s.iter_mut() {
                for lane in 0..IN_LINE {
                    s.0[lane] = s.0[lane] * shares[lane] - everywhere;
                }
            }
            for (lane, &label) in labels.iter().enumerate() {
                s[label].0[lane] -= (1.0 - label_smoothing) as f32;
            }
        }
        Loss::SquaredError => {
            for (s, u) in s.iter_mut().zip(u) {
                s.0 = u.0.map(|u| 2.0 * u);
            }
        }
    }
}

/// Adds Σ_j s_j ⊗ v_j to `[C, F]`.
#[inline(always)]
fn add_gradient<const FUSED: bool>(s: &[Line], c: usize, v: &[Line], f: usize, sums: &mut [f32]) {
    for feature in (0..f).step_by(2) {
        for class in (0..c).step_by(5) {
            let at = (class, feature);
            match (c - class, f - feature) {
                (1, 1) => tile::<FUSED, 1, 1>(s, c, v, f, at, sums),
                (2, 1) => tile::<FUSED, 2, 1>(s, c, v, f, at, sums),
                (3, 1) => tile::<FUSED, 3, 1>(s, c, v, f, at, sums),
                (4, 1) => tile::<FUSED, 4, 1>(s, c, v, f, at, sums),
                (_, 1) => tile::<FUSED, 5, 1>(s, c, v, f, at, sums),
                (1, _) => tile::<FUSED, 1, 2>(s, c, v, f, at, sums),
                (2, _) => tile::<FUSED, 2, 2>(s, c, v, f, at, sums),
                (3, _) => tile::<FUSED, 3, 2>(s, c, v, f, at, sums),
                (4, _) => tile::<FUSED, 4, 2>(s, c, v, f, at, sums),
                _ => tile::<FUSED, 5, 2>(s, c, v, f, at, sums),
            }
        }
    }
}

/// Some classes by some features of it, whose sums stay in registers.
#[inline(always)]
fn tile<const FUSED: bool, const CLASSES: usize, const FEATURES: usize>(
    s: &[Line],
    c: usize,
    v: &[Line],
    f: usize,
    (class, feature): (usize, usize),
    sums: &mut [f32],
) {
    let mut lanes = [[[0.0_f32; LANES]; FEATURES]; CLASSES];
    for (s, v) in s.chunks_exact(c).zip(v.chunks_exact(f)) {
        let (s, v) = (s[class..].first_chunk::<CLASSES>(), v[feature..].first_chunk::<FEATURES>());
        let (Some(s), Some(v)) = (s, v) else { continue };
        for i in 0..CLASSES {
            for j in 0..FEATURES {
                let (s, v) = (s[i].0.as_chunks::<LANES>().0, v[j].0.as_chunks::<LANES>().0);
                let mut sums = lanes[i][j];
                for half in 0..IN_LINE / LANES {
                    for lane in 0..LANES {
                        sums[lane] = multiply_add::<FUSED>(s[half][lane], v[half][lane], sums[lane]);
                    }
                }
                lanes[i][j] = sums;
            }
        }
    }
    for (i, lanes) in lanes.iter().enumerate() {
        for (j, lanes) in lanes.iter().enumerate() {
            sums[(class + i) * f + feature + j] += sum_of_lanes(*lanes);
        }
    }
}

/// Adds Σ_j (r_i·s_j)(e_i·v_j) to the sum of each of the sampled candidates i.
#[inline(always)]
fn add_gains<const FUSED: bool>(s: &[Line], c: usize, v: &[Line], f: usize, job: &Job, sums: &mut [f32]) {
    let (mut features, mut residuals, mut sums) = (&job.features[..], &job.residuals[..], sums);
    while !sums.is_empty() {
        let size = bundle(sums.len());
        let (e, r, of_bundle);
        (e, features) = features.split_at(size * f);
        (r, residuals) = residuals.split_at(size * c);
        (of_bundle, sums) = sums.split_at_mut(size.min(sums.len()));
        match size {
            2 => gains_of::<FUSED, 2>(s, c, v, f, (e, r), of_bundle),
            4 => gains_of::<FUSED, 4>(s, c, v, f, (e, r), of_bundle),
            _ => gains_of::<FUSED, 6>(s, c, v, f, (e, r), of_bundle),
        }
    }
}

#[inline(always)]
fn gains_of<const FUSED: bool, const N: usize>(
    s: &[Line],
    c: usize,
    v: &[Line],
    f: usize,
    (e, r): (&[f32], &[f32]),
    sums: &mut [f32],
) {
    let (e, r) = (e.as_chunks::<N>().0, r.as_chunks::<N>().0);
    let mut lanes = [[0.0_f32; IN_LINE]; N];
    for (s, v) in s.chunks_exact(c).zip(v.chunks_exact(f)) {
        let (by_features, by_classes) = (products::<FUSED, N>(e, v), products::<FUSED, N>(r, s));
        for at in 0..N {
            for lane in 0..IN_LINE {
                lanes[at][lane] =
                    multiply_add::<FUSED>(by_features[at][lane], by_classes[at][lane], lanes[at][lane]);
            }
        }
    }
    for (sum, lanes) in sums.iter_mut().zip(lanes) {
        *sum += lanes.iter().sum::<f32>();
    }
}

/// Σ_t values[t]·lines[t] for each of a bundle: the sums stay in registers.
#[inline(always)]
fn products<const FUSED: bool, const N: usize>(values: &[[f32; N]], lines: &[Line]) -> [[f32; IN_LINE]; N] {
    let mut sums = [[0.0_f32; IN_LINE]; N];
    for (values, Line(line)) in values.iter().zip(lines) {
        for at in 0..N {
            let mut of_one = sums[at];
            for lane in 0..IN_LINE {
                of_one[lane] = multiply_add::<FUSED>(values[at], line[lane], of_one[lane]);
            }
            sums[at] = of_one;
        }
    }
    sums
}
