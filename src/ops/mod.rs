//! Tensor operations that libtorch lacks, or has only as several passes over memory.
//!
//! On a CPU each has an arithmetic of its own (`native/`), compiled once for each instruction set. The best one that the processor
//! has is taken, or the one that the environment variable `GLISTEN_CPU` ([`CPU_PATH_VARIABLE`]) names: `generic`, `avx2`, `avx512` or
//! `avx512-bf16`. It also holds for what subset selection computes (`generic` there is without AVX2), and not for libtorch's own
//! operators, for which `ATEN_CPU_CAPABILITY` and `ONEDNN_MAX_CPU_ISA` are. A name that is unknown, or that the processor lacks, is an
//! error of whatever would compute: of trainings, loaders and loaded models before they begin, of `glisten train`, `sweep` and `predict` before a
//! file is opened, and of `glisten doctor`, which shows the path in use.
//!
//! Errors of rounding are those of libtorch's own operators in fp32, measured against double precision, but for what an algorithm
//! explains: Winograd's convolutions amplify them, about five times for one sum of products, while sums in short runs make them smaller again
//! (`tests/operators.rs` has the arithmetic, and holds every path to it).

mod cpu;
mod ffi;
mod norm;

pub use cpu::{CPU_PATH_VARIABLE, CpuPath, cpu_path, cpu_paths};
pub use norm::BatchNorm;

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, TchError, Tensor};

/// Learning rate, momentum and decay of one step of stochastic gradient descent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdRates {
    /// The learning rate.
    pub learning_rate: f64,
    /// Momentum, in [0, 1).
    pub momentum: f64,
    /// Whether the momentum is Nesterov's.
    pub nesterov: bool,
    /// Weight decay (the L2 penalty's factor).
    pub weight_decay: f64,
}

/// One step of stochastic gradient descent, as PyTorch's `SGD` without dampening: g ← g + decay·w; m ← momentum·m + g;
/// w ← w − rate·(g + momentum·m with Nesterov's momentum, else m). Parameters without a gradient stay as they are.
///
/// # Errors
/// If libtorch refuses, for instance shapes that differ.
pub fn sgd_step(parameters: &[Tensor], momenta: &[Tensor], rates: SgdRates) -> Result<(), TchError> {
    if parameters.len() != momenta.len() {
        return Err(TchError::Torch(format!(
            "{} parameters with {} momenta",
            parameters.len(),
            momenta.len()
        )));
    }
    let SgdRates { learning_rate, momentum, nesterov, weight_decay } = rates;
    let (parameters, momenta) = (pointers(parameters), pointers(momenta));
    // SAFETY: both hold as many pointers of tensors that outlive the call.
    ffi::check(unsafe {
        ffi::glisten_sgd_step(
            parameters.as_ptr(),
            momenta.as_ptr(),
            parameters.len() as i64,
            learning_rate,
            momentum,
            nesterov,
            weight_decay,
        )
    })
}

/// Forgets the gradients of `parameters`: the next backward pass makes new ones instead of adding to them.
///
/// # Errors
/// If libtorch refuses.
pub fn clear_gradients(parameters: &[Tensor]) -> Result<(), TchError> {
    let pointers = pointers(parameters);
    // SAFETY: so many pointers of tensors that outlive the call.
    ffi::check(unsafe { ffi::glisten_clear_gradients(pointers.as_ptr(), pointers.len() as i64) })
}

fn pointers(tensors: &[Tensor]) -> Vec<ffi::Ptr> {
    tensors.iter().map(ffi::pointer).collect()
}

/// While it lives, this thread computes in bf16 what gains by it: on CUDA, and on a CPU that multiplies bf16, as PyTorch's
/// `autocast` does; on another CPU the operators of this module keep their results in bf16, and everything else is fp32.
#[derive(Debug)]
pub struct Autocast {
    /// What was before, where it was changed; and whether on CUDA.
    restore: Option<(bool, bool)>,
    // libtorch keeps it for each thread.
    _not_send: PhantomData<*const ()>,
}

impl Autocast {
    /// Switches it on for `device`, or, with `on` false, leaves everything as it is.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn new(on: bool, device: Device) -> Result<Self, TchError> {
        let mut restore = None;
        if on {
            let cuda = matches!(device, Device::Cuda(_));
            let mut before = false;
            // SAFETY: `before` is written to during the call only.
            ffi::check(unsafe { ffi::glisten_autocast(true, cuda, &raw mut before) })?;
            restore = Some((before, cuda));
        }
        Ok(Self { restore, _not_send: PhantomData })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        if let Some((before, cuda)) = self.restore {
            let mut ignored = false;
            // SAFETY: as above. What could be switched on can be switched off.
            let _ = ffi::check(unsafe { ffi::glisten_autocast(before, cuda, &raw mut ignored) });
        }
    }
}

/// The images at `indices`, cropped, flipped and normalised: `u8 [N, C, H, W]` and `i64 [B]` to `f32 [B, C, H, W]`. An image
/// is normalised as (byte − mean)·inverse, with `mean` and `inverse` of shape `f32 [1, C, 1, 1]`; what a shift brings in from
/// outside is byte 0.
/// `shifts`, `i64 [B, 3]` on the CPU, holds how far each crop lies below and right of the image, and 1 where it is flipped,
/// left to right.
///
/// # Errors
/// If libtorch refuses, for instance an index out of range.
pub fn gather_images(
    images: &Tensor,
    indices: &Tensor,
    shifts: Option<&Tensor>,
    mean: &Tensor,
    inverse: &Tensor,
) -> Result<Tensor, TchError> {
    let on_cpu = images.device() == Device::Cpu && indices.device() == Device::Cpu;
    if is_fused() && on_cpu && images.kind() == Kind::Uint8 && images.is_contiguous() {
        let [images, indices, mean, inverse] = [images, indices, mean, inverse].map(ffi::pointer);
        let shifts = ffi::optional(shifts);
        // SAFETY: the tensors outlive the call.
        return ffi::tensor(|out| unsafe {
            ffi::glisten_gather_images(images, indices, shifts, mean, inverse, out)
        });
    }
    gather_by_parts(images, indices, shifts, mean, inverse)
}

/// [`gather_images`] on any device, by libtorch's operators.
fn gather_by_parts(
    images: &Tensor,
    indices: &Tensor,
    shifts: Option<&Tensor>,
    mean: &Tensor,
    inverse: &Tensor,
) -> Result<Tensor, TchError> {
    let mut batch = images.f_index_select(0, indices)?;
    if let Some(shifts) = shifts {
        batch = shifted(&batch, &shifts.f_to_device(images.device())?)?;
    }
    let mut batch = batch.f_to_kind(Kind::Float)?;
    let _ = batch.f_sub_(mean)?.f_mul_(inverse)?;
    Ok(batch)
}

/// `batch` as [`gather_images`] crops and flips it, of any dtype and on any device: one gather by computed places.
fn shifted(batch: &Tensor, shifts: &Tensor) -> Result<Tensor, TchError> {
    let (n, _, height, width) = batch.size4()?;
    let options = (Kind::Int64, batch.device());
    let column = |at: i64| shifts.f_select(1, at)?.f_view([n, 1]);
    let rows = Tensor::f_arange(height, options)?.f_add(&column(0)?)?; // [B, H]
    let across = Tensor::f_arange(width, options)?; // [W]
    let mirrored = (&across * -1).f_add_scalar(width - 1)?;
    let columns = across.f_add(&(mirrored - &across).f_mul(&column(2)?)?)?.f_add(&column(1)?)?; // [B, W]
    let inside = |places: &Tensor, size: i64| places.f_ge(0)?.f_logical_and(&places.f_lt(size)?);
    let seen = inside(&rows, height)?
        .f_view([n, 1, height, 1])?
        .f_logical_and(&inside(&columns, width)?.f_view([n, 1, 1, width])?)?; // [B, 1, H, W]
    let rows = rows.f_clamp(0, height - 1)?.f_view([n, 1, height, 1])?.f_expand_as(batch)?;
    let columns = columns.f_clamp(0, width - 1)?.f_view([n, 1, 1, width])?.f_expand_as(batch)?;
    batch.f_gather(2, &rows, false)?.f_gather(3, &columns, false)?.f_mul(&seen.f_to_kind(batch.kind())?)
}

static CHANNELS_FIRST: AtomicBool = AtomicBool::new(false);

/// Leaves images as they are, channels first, in the whole process from now on: for comparisons.
pub fn keep_channels_first() {
    CHANNELS_FIRST.store(true, Ordering::Relaxed);
}

/// `images` laid out with channels last, which convolutions on the CPU and on CUDA's tensor cores want.
///
/// # Panics
/// Unless `images` has four axes.
pub fn channels_last(images: &Tensor) -> Tensor {
    if CHANNELS_FIRST.load(Ordering::Relaxed) {
        return images.shallow_clone();
    }
    // SAFETY: the tensor outlives the call.
    expect(ffi::tensor(|out| unsafe { ffi::glisten_channels_last(ffi::pointer(images), out) }))
}

/// A convolution without bias: `[N, C, H, W]` by `[K, C, h, w]` to `[N, K, …]`, the same padding on all sides. On a CPU 3 × 3
/// kernels in fp32 go by Winograd's algorithm (Lavin and Gray, CVPR 2016) where the shapes allow it.
///
/// # Panics
/// As tch's own: if the shapes do not go together.
pub fn conv2d(inputs: &Tensor, weight: &Tensor, stride: i64, padding: i64) -> Tensor {
    let (inputs, weight) = (ffi::pointer(inputs), ffi::pointer(weight));
    let fused = is_fused();
    // SAFETY: the tensors outlive the call.
    expect(ffi::tensor(|out| unsafe { ffi::glisten_conv2d(inputs, weight, stride, padding, fused, out) }))
}

/// max_pool(relu(conv(inputs) + bias), 2): a convolution without stride of images `f32 [N, C, H, W]` by a square kernel
/// `[K, C, side, side]`, then ReLU and 2 × 2 maximum pooling, to `f32 [N, K, (H + 2·padding − side + 1) / 2, …]`. In one pass
/// on a CPU; meant for few channels.
///
/// # Panics
/// As tch's own: if the shapes do not go together.
pub fn conv_relu_pool(inputs: &Tensor, weight: &Tensor, bias: &Tensor, padding: i64) -> Tensor {
    let [inputs, weight, bias] = [inputs, weight, bias].map(ffi::pointer);
    let fused = is_fused();
    // SAFETY: the tensors outlive the call.
    expect(ffi::tensor(|out| unsafe { ffi::glisten_conv_pool(inputs, weight, bias, padding, fused, out) }))
}

/// As tch's infallible operators: libtorch's refusal, which only a wrong shape can cause, is a panic.
fn expect(result: Result<Tensor, TchError>) -> Tensor {
    result.unwrap_or_else(|error| panic!("{error}"))
}

thread_local! {
    static FUSED: Cell<bool> = const { Cell::new(true) };
}

fn is_fused() -> bool {
    FUSED.get()
}

/// `f` with this module's operators made of libtorch's own in this thread, as they are on other devices. For comparisons.
pub fn by_parts<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            FUSED.set(self.0);
        }
    }
    let _restore = Restore(FUSED.replace(false));
    f()
}
