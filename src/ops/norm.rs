//! Batch normalisation with what commonly follows it.

use tch::{Tensor, nn};

use super::ffi;

/// Batch normalisation over the channels of images (Ioffe and Szegedy, ICML 2015), with PyTorch's defaults: momentum 0.1 for
/// the running statistics, 1e-5 added to variances, scale 1 and shift 0 at the start.
#[derive(Debug)]
pub struct BatchNorm {
    weight: Tensor,       // f32 [C]
    bias: Tensor,         // f32 [C]
    running_mean: Tensor, // f32 [C], no gradient
    running_var: Tensor,  // f32 [C], no gradient
}

const MOMENTUM: f64 = 0.1;
const EPSILON: f64 = 1e-5;

impl BatchNorm {
    /// For so many channels; its tensors live under `path`.
    pub fn new(path: &nn::Path<'_>, channels: i64) -> Self {
        Self {
            weight: path.ones("weight", &[channels]),
            bias: path.zeros("bias", &[channels]),
            running_mean: path.zeros_no_train("running_mean", &[channels]),
            running_var: path.ones_no_train("running_var", &[channels]),
        }
    }

    /// `[N, C, H, W]` normalised: by the batch's own statistics where `train`, which then enter the running ones, else by
    /// the running ones.
    pub fn plain(&self, inputs: &Tensor, train: bool) -> Tensor {
        self.apply(inputs, None, train, false)
    }

    /// relu([`BatchNorm::plain`]), in one pass on a CPU.
    pub fn relu(&self, inputs: &Tensor, train: bool) -> Tensor {
        self.apply(inputs, None, train, true)
    }

    /// relu([`BatchNorm::plain`] + `beside`), where `beside` has the shape of `inputs`; in one pass on a CPU.
    pub fn add_relu(&self, inputs: &Tensor, beside: &Tensor, train: bool) -> Tensor {
        self.apply(inputs, Some(beside), train, true)
    }

    fn apply(&self, inputs: &Tensor, beside: Option<&Tensor>, train: bool, relu: bool) -> Tensor {
        let fused = super::is_fused();
        super::expect(ffi::tensor(|out| {
            // SAFETY: the tensors outlive the call.
            unsafe {
                ffi::glisten_batch_norm(
                    ffi::pointer(inputs),
                    ffi::optional(beside),
                    ffi::pointer(&self.weight),
                    ffi::pointer(&self.bias),
                    ffi::pointer(&self.running_mean),
                    ffi::pointer(&self.running_var),
                    train,
                    MOMENTUM,
                    EPSILON,
                    relu,
                    fused,
                    out,
                )
            }
        }))
    }
}
