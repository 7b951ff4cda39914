//! The C interface of `native/operators.cpp`, which the set-up compiles into the shim beside torch-sys's (`.libtorch/lib/libtch.so`).
//!
//! A function returns null, or the message of a C++ exception as a C string to be given to `glisten_free`. New tensors come
//! back through `out`, which is written only on success. A tensor is the pointer that [`Tensor::as_ptr`] gives.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use tch::{TchError, Tensor};

/// A tensor of the shim's: an `at::Tensor*`.
pub(super) type Ptr = *const c_void;
/// A message, or null.
pub(super) type Message = *mut c_char;

unsafe extern "C" {
    pub(super) fn glisten_conv2d(
        inputs: Ptr,
        weight: Ptr,
        stride: i64,
        padding: i64,
        fused: bool,
        out: *mut *mut c_void,
    ) -> Message;
    pub(super) fn glisten_batch_norm(
        x: Ptr,
        beside: Ptr, // may be null
        weight: Ptr,
        bias: Ptr,
        running_mean: Ptr,
        running_var: Ptr,
        train: bool,
        momentum: f64,
        epsilon: f64,
        relu: bool,
        fused: bool,
        out: *mut *mut c_void,
    ) -> Message;
    pub(super) fn glisten_conv_pool(
        x: Ptr,
        weight: Ptr,
        bias: Ptr,
        padding: i64,
        fused: bool,
        out: *mut *mut c_void,
    ) -> Message;
    pub(super) fn glisten_channels_last(images: Ptr, out: *mut *mut c_void) -> Message;
    pub(super) fn glisten_gather_images(
        images: Ptr,
        indices: Ptr,
        shifts: Ptr, // may be null
        mean: Ptr,
        inverse: Ptr,
        out: *mut *mut c_void,
    ) -> Message;
    pub(super) fn glisten_sgd_step(
        parameters: *const Ptr,
        momenta: *const Ptr,
        n: i64,
        rate: f64,
        momentum: f64,
        nesterov: bool,
        decay: f64,
    ) -> Message;
    pub(super) fn glisten_clear_gradients(parameters: *const Ptr, n: i64) -> Message;
    pub(super) fn glisten_autocast(on: bool, cuda: bool, before: *mut bool) -> Message;
    /// A string that lives as long as the program, or null.
    pub(super) fn glisten_cpu_path(at: i64) -> *const c_char;
    pub(super) fn glisten_best_cpu_path() -> i64;
    pub(super) fn glisten_cpu_path_in_use(at: *mut i64) -> Message;
    fn glisten_free(message: Message);
}

/// The pointer of `tensor`, or null.
pub(super) fn optional(tensor: Option<&Tensor>) -> Ptr {
    tensor.map_or(ptr::null(), pointer)
}

/// The pointer of `tensor`, good as long as the tensor is there.
pub(super) fn pointer(tensor: &Tensor) -> Ptr {
    tensor.as_ptr().cast()
}

/// What a message says, as an error.
pub(super) fn check(message: Message) -> Result<(), TchError> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: the shim's messages are C strings of its own, freed once, here.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        glisten_free(message);
        text
    };
    Err(TchError::Torch(text))
}

/// The tensor that `call` writes.
pub(super) fn tensor(call: impl FnOnce(*mut *mut c_void) -> Message) -> Result<Tensor, TchError> {
    let mut out = ptr::null_mut();
    check(call(&raw mut out))?;
    // SAFETY: on success `out` is a new `at::Tensor*`, of which this is the only owner.
    Ok(unsafe { Tensor::from_ptr(out.cast()) })
}
