//! The selection's arithmetic on the CPU where libtorch's is slow: softmax of short rows, and products of many rows of features
//! with a few columns.
//!
//! Each row's result is computed by the same operations wherever the row stands and on whatever thread, so that equal samples
//! have equal gains, and the number of threads changes nothing.

use tch::{Device, Kind, Tensor};

use super::vector::{IN_LINE, LANES, Line, best_of_machine, exponentials, multiply_add, sum_of_lanes};
use crate::error::{Error, Result};

/// Rows of a product that are worked on at once: with 6, twelve registers of sums.
const ROWS: usize = 6;
/// Multiply-adds below which another thread is not worth starting.
const WORTH_A_THREAD: usize = 4_000_000;
/// What an exponential costs, in multiply-adds, with the turning of its row.
const EXPONENTIAL: usize = 40;
/// Multiply-adds of one of libtorch's products above which its threads pay.
const WORTH_ITS_THREADS: i64 = 100_000_000;

/// Keeps libtorch to one thread while it lives. Its threads meet at the end of each operation, and a selection is thousands of
/// operations of some microseconds: on a machine with other work to do, each meeting waits for the scheduler, and a pick takes
/// 36 ms in place of 3.
pub(super) struct OneThread {
    before: i32,
}

impl OneThread {
    /// Unless the products by the validation samples, of M·C·D multiply-adds, are large enough for more.
    pub(super) fn for_products(multiply_adds: i64) -> Option<Self> {
        let before = tch::get_num_threads();
        if before < 2 || multiply_adds > WORTH_ITS_THREADS {
            return None;
        }
        tch::set_num_threads(1);
        Some(Self { before })
    }
}

impl Drop for OneThread {
    fn drop(&mut self) {
        tch::set_num_threads(self.before);
    }
}

/// How many threads libtorch may use, and so the selection.
pub(in crate::select) fn n_threads() -> usize {
    tch::get_num_threads().max(1) as usize
}

/// The numbers of a contiguous `f32` tensor on the CPU.
pub(in crate::select) fn floats(tensor: &Tensor) -> Result<&[f32]> {
    check(tensor)?;
    // SAFETY: the tensor owns as many floats in a row, and lives as long as the slice. Nobody writes to it meanwhile: the
    // selection's tensors are its own or borrowed from its caller, and those of a training step are between two of its operations.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel()) })
}

/// The numbers of a tensor that was just made, to be written.
fn floats_mut(tensor: &mut Tensor) -> Result<&mut [f32]> {
    check(tensor)?;
    // SAFETY: as above, and the tensor is borrowed mutably.
    Ok(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel()) })
}

fn check(tensor: &Tensor) -> Result<()> {
    if tensor.device() == Device::Cpu
        && tensor.kind() == Kind::Float
        && tensor.is_contiguous()
        && tensor.numel() > 0
    {
        return Ok(());
    }
    let got = format!("{:?} {:?} on {:?}", tensor.kind(), tensor.size(), tensor.device());
    Err(Error::argument("tensor", "contiguous f32 values on the CPU, one or more", got))
}

/// Softmax of each row, `f32 [N, C]`.
///
/// # Errors
/// If `logits` is not a matrix of `f32` on the CPU.
pub(super) fn softmax(logits: &Tensor, n_threads: usize) -> Result<Tensor> {
    let (_, c) = logits.size2()?;
    let logits = logits.contiguous();
    let mut probabilities = Tensor::empty(logits.size(), (Kind::Float, Device::Cpu));
    let (from, to) = (floats(&logits)?, floats_mut(&mut probabilities)?);
    let c = c as usize;
    in_threads(n_threads, to, c * IN_LINE, EXPONENTIAL, |at, to| {
        softmax_rows(&from[at..at + to.len()], to, c)
    });
    Ok(probabilities)
}

/// Takes `amount` off one number in each row of `values`, `f32 [N, C]`: off that in the column which `columns`, `i64 [N]`, names.
///
/// # Errors
/// If they are not on the CPU.
pub(super) fn subtract_at(values: &mut Tensor, columns: &Tensor, amount: f32) -> Result<()> {
    let c = values.size2()?.1 as usize;
    let columns = Vec::<i64>::try_from(columns)?;
    for (row, column) in floats_mut(values)?.chunks_exact_mut(c).zip(columns) {
        row[column as usize] -= amount;
    }
    Ok(())
}

/// r_i·(G_b + G_W e_i) of every row: features e `[N, D]`, residuals r `[N, C]`, G_b `[C]`, G_W `[C, D]` to `[N]`, all `f32` on
/// the CPU.
///
/// # Errors
/// If they are not.
pub(super) fn gains(
    features: &Tensor,
    r: &Tensor,
    g_b: &Tensor,
    g_w: &Tensor,
    n_threads: usize,
) -> Result<Tensor> {
    let (features, r, g_b, g_w) = (features.contiguous(), r.contiguous(), g_b.contiguous(), g_w.contiguous());
    let (n, d) = features.size2()?;
    let c = r.size2()?.1 as usize;
    let d = d as usize;
    let mut gains = Tensor::empty([n], (Kind::Float, Device::Cpu));
    let (e, r, g_b) = (floats(&features)?, floats(&r)?, floats(&g_b)?);
    let columns = pack(floats(&g_w)?, d);
    in_threads(n_threads, floats_mut(&mut gains)?, ROWS, c * d, |at, gains| {
        let (e, r) = (&e[at * d..][..gains.len() * d], &r[at * c..][..gains.len() * c]);
        gains_of_rows(e, r, g_b, &columns, d, gains);
    });
    Ok(gains)
}

/// A gradient as [`GradientOnCpu::gains`] needs it.
#[derive(Debug)]
pub(in crate::select) struct GradientOnCpu {
    biases: Vec<f32>,
    columns: Vec<Line>,
    d: usize,
}

impl GradientOnCpu {
    /// Of biases `[C]` and weights `[C, D]`, row by row.
    pub(in crate::select) fn new(biases: Vec<f32>, weights: &[f32]) -> Self {
        let d = weights.len() / biases.len().max(1);
        Self { columns: if d == 0 { Vec::new() } else { pack(weights, d) }, biases, d }
    }

    /// [`gains`] of `n` samples with features e `[N, D]` and residuals r `[N, C]`, on this thread.
    ///
    /// # Errors
    /// If these are not as many numbers.
    pub(in crate::select) fn gains(&self, n: usize, e: &[f32], r: &[f32]) -> Result<Vec<f32>> {
        let (c, d) = (self.biases.len(), self.d);
        if e.len() != n * d || r.len() != n * c {
            let expected = format!("[{n}, {d}] and [{n}, {c}]");
            let got = format!("{} and {} numbers", e.len(), r.len());
            return Err(Error::argument("features and logits", expected, got));
        }
        let mut gains = vec![0.0; n];
        if d > 0 {
            gains_of_rows(e, r, &self.biases, &self.columns, d, &mut gains);
        }
        Ok(gains)
    }
}

/// Cuts `to` into parts of whole `unit`s, at most `n_threads`, each for a thread, and has `work` fill each: with the place where the part begins. `cost`
/// is that of one number in multiply-adds.
fn in_threads(
    n_threads: usize,
    to: &mut [f32],
    unit: usize,
    cost: usize,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let n_threads = n_threads.min(to.len() * cost / WORTH_A_THREAD);
    if n_threads < 2 {
        return work(0, to);
    }
    let part = to.len().div_ceil(unit * n_threads) * unit;
    std::thread::scope(|scope| {
        let mut parts = to.chunks_mut(part).enumerate();
        let first = parts.next();
        for (number, to) in parts {
            let work = &work;
            scope.spawn(move || work(number * part, to));
        }
        if let Some((_, to)) = first {
            work(0, to);
        }
    });
}

/// Rows of `d` numbers as columns: lines `[panels, d]`, the last panel filled up with 0.
fn pack(rows: &[f32], d: usize) -> Vec<Line> {
    let n_rows = rows.len() / d;
    let mut packed = vec![Line::ZERO; n_rows.div_ceil(IN_LINE) * d];
    for (number, row) in rows.chunks_exact(d).enumerate() {
        let panel = &mut packed[number / IN_LINE * d..][..d];
        panel.iter_mut().zip(row).for_each(|(line, &value)| line.0[number % IN_LINE] = value);
    }
    packed
}

best_of_machine!(softmax_rows, softmax_rows_avx2, softmax_rows_with, (from: &[f32], to: &mut [f32], c: usize));
best_of_machine!(
    gains_of_rows,
    gains_of_rows_avx2,
    gains_of_rows_with,
    (e: &[f32], r: &[f32], g_b: &[f32], columns: &[Line], d: usize, to: &mut [f32])
);

/// Products of each row with each of `k` columns.
#[inline(always)]
fn products_with<const FUSED: bool>(rows: &[f32], d: usize, columns: &[Line], k: usize, to: &mut [f32]) {
    let n_blocks = rows.len() / d / ROWS;
    let (rows, rest) = rows.split_at(n_blocks * ROWS * d);
    let (to, rest_to) = to.split_at_mut(n_blocks * ROWS * k);
    for (rows, to) in rows.chunks_exact(ROWS * d).zip(to.chunks_exact_mut(ROWS * k)) {
        block_products::<FUSED, ROWS>(rows, d, columns, k, to);
    }
    for (row, to) in rest.chunks_exact(d).zip(rest_to.chunks_exact_mut(k)) {
        block_products::<FUSED, 1>(row, d, columns, k, to);
    }
}

#[inline(always)]
fn block_products<const FUSED: bool, const N: usize>(
    rows: &[f32],
    d: usize,
    columns: &[Line],
    k: usize,
    to: &mut [f32],
) {
    let rows: [&[f32]; N] = std::array::from_fn(|row| &rows[row * d..][..d]);
    for (number, panel) in columns.chunks_exact(d).enumerate() {
        let sums = sums_of_rows::<FUSED, N>(rows, panel);
        let (from, n_columns) = (number * IN_LINE, IN_LINE.min(k - number * IN_LINE));
        for (row, sums) in sums.iter().enumerate() {
            to[row * k + from..][..n_columns].copy_from_slice(&sums[..n_columns]);
        }
    }
}

/// r_i·(G_b + G_W e_i) of each row, with the rows of G_W packed as columns.
#[inline(always)]
fn gains_of_rows_with<const FUSED: bool>(
    e: &[f32],
    r: &[f32],
    g_b: &[f32],
    columns: &[Line],
    d: usize,
    to: &mut [f32],
) {
    const AT_ONCE: usize = 8 * ROWS;
    let c = g_b.len();
    let mut per_class = vec![0.0; AT_ONCE * c];
    let blocks = e.chunks(AT_ONCE * d).zip(r.chunks(AT_ONCE * c)).zip(to.chunks_mut(AT_ONCE));
    for ((e, r), to) in blocks {
        let per_class = &mut per_class[..to.len() * c];
        products_with::<FUSED>(e, d, columns, c, per_class);
        for ((per_class, r), to) in per_class.chunks_exact(c).zip(r.chunks_exact(c)).zip(to) {
            let (p8, p_rest) = per_class.as_chunks::<LANES>();
            let ((r8, r_rest), (g8, g_rest)) = (r.as_chunks::<LANES>(), g_b.as_chunks::<LANES>());
            let mut sums = [0.0_f32; LANES];
            for ((p, r), g) in p8.iter().zip(r8).zip(g8) {
                for lane in 0..LANES {
                    sums[lane] = multiply_add::<FUSED>(p[lane] + g[lane], r[lane], sums[lane]);
                }
            }
            let rest: f32 = p_rest.iter().zip(r_rest).zip(g_rest).map(|((p, r), g)| (p + g) * r).sum();
            *to = sum_of_lanes(sums) + rest;
        }
    }
}

/// For each row, Σ_t row[t]·lines[t]: the sums stay in registers.
#[inline(always)]
fn sums_of_rows<const FUSED: bool, const N: usize>(rows: [&[f32]; N], lines: &[Line]) -> [[f32; IN_LINE]; N] {
    let rows = rows.map(|row| &row[..lines.len()]);
    let mut sums = [[0.0_f32; IN_LINE]; N];
    for (at, Line(line)) in lines.iter().enumerate() {
        for row in 0..N {
            let value = rows[row][at];
            for lane in 0..IN_LINE {
                sums[row][lane] = multiply_add::<FUSED>(value, line[lane], sums[row][lane]);
            }
        }
    }
    sums
}

#[inline(always)]
fn softmax_rows_with<const FUSED: bool>(from: &[f32], to: &mut [f32], c: usize) {
    // Turned over, so that vectors go across rows; what a short last block leaves holds old values, whose results go nowhere.
    let mut turned = vec![Line::ZERO; c];
    for (from, to) in from.chunks(IN_LINE * c).zip(to.chunks_mut(IN_LINE * c)) {
        for (row, values) in from.chunks_exact(c).enumerate() {
            turned.iter_mut().zip(values).for_each(|(class, &value)| class.0[row] = value);
        }
        let shares = exponentials::<FUSED>(&mut turned);
        for (row, values) in to.chunks_exact_mut(c).enumerate() {
            turned.iter().zip(values).for_each(|(class, value)| *value = class.0[row] * shares[row]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
        (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
    }

    /// Against libtorch in double precision.
    #[test]
    fn softmax_is_that_of_libtorch() {
        for (n, c) in [(1, 1), (31, 2), (32, 10), (33, 10), (5000, 7), (700, 100), (70_000, 10)] {
            tch::manual_seed(n);
            let logits = Tensor::randn([n, c], FLOAT) * 20.0;
            let expected = logits.softmax(-1, Kind::Double);
            assert!(largest_difference(&softmax(&logits, 2).unwrap(), &expected) < 3e-7, "{n} × {c}");
            let mut portable = vec![0.0; (n * c) as usize];
            softmax_rows_with::<false>(floats(&logits).unwrap(), &mut portable, c as usize);
            let portable = Tensor::from_slice(&portable).view([n, c]);
            assert!(largest_difference(&portable, &expected) < 3e-7, "{n} × {c}, portable");
        }
    }

    /// Against libtorch in double precision; equal rows are equal to the last bit wherever they stand.
    #[test]
    fn gains_and_products_are_those_of_libtorch() {
        for (n, d, c) in [(1, 1, 1), (5, 3, 2), (47, 84, 10), (601, 20, 16), (50, 512, 100), (9000, 84, 33)] {
            tch::manual_seed(n);
            let (e, r) = (Tensor::randn([n, d], FLOAT), Tensor::randn([n, c], FLOAT));
            let (g_b, g_w) = (Tensor::randn([c], FLOAT), Tensor::randn([c, d], FLOAT));
            let double = |tensor: &Tensor| tensor.to_kind(Kind::Double);
            let products = double(&e).matmul(&double(&g_w).tr());
            let expected = ((&products + double(&g_b)) * double(&r)).sum_dim_intlist(1, false, Kind::Double);
            let scale = 1e-6 * (d * c) as f64;
            assert!(largest_difference(&gains(&e, &r, &g_b, &g_w, 2).unwrap(), &expected) < scale);
            let (size, columns) = (d as usize, pack(floats(&g_w).unwrap(), d as usize));
            let mut portable = vec![0.0; n as usize];
            let numbers = |tensor| floats(tensor).unwrap();
            gains_of_rows_with::<false>(
                numbers(&e),
                numbers(&r),
                numbers(&g_b),
                &columns,
                size,
                &mut portable,
            );
            assert!(largest_difference(&Tensor::from_slice(&portable), &expected) < scale, "portable");
            let repeated = Tensor::zeros([3 * n + 1], (Kind::Int64, Device::Cpu));
            let same =
                gains(&e.index_select(0, &repeated), &r.index_select(0, &repeated), &g_b, &g_w, 2).unwrap();
            let bits: Vec<u32> =
                Vec::<f32>::try_from(same).unwrap().iter().map(|gain| gain.to_bits()).collect();
            assert!(bits.iter().all(|&bits_of| bits_of == bits[0]));
        }
    }
}
