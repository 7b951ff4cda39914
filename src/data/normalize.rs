//! From stored bytes to what a network takes in.

use tch::{Kind, Tensor};

use super::Examples;

/// Mean and standard deviation of a training set, by which all inputs are normalised: of each channel of images, of each
/// column of a table.
#[derive(Debug)]
pub struct Normalization {
    mean: Tensor,    // f32 [1, C, 1, 1], in units of a byte, or f32 [1, F]
    inverse: Tensor, // the same shape, 1 / standard deviation
}

impl Clone for Normalization {
    fn clone(&self) -> Self {
        Self { mean: self.mean.shallow_clone(), inverse: self.inverse.shallow_clone() }
    }
}

impl Normalization {
    /// Measures `examples`. A channel or column that is the same everywhere is only centred; a column of nothing but 0 and
    /// 1, as categories give them, stays as it is.
    pub fn of(examples: &Examples) -> Self {
        let inputs = &examples.inputs;
        let n_columns = inputs.size()[1];
        let is_image = inputs.kind() == Kind::Uint8;
        let moments = (0..n_columns).map(|at| {
            let column = inputs.select(1, at);
            if is_image { byte_moments(&column) } else { column_moments(&column) }
        });
        let (means, inverses): (Vec<f64>, Vec<f64>) =
            moments.map(|(mean, std)| (mean, if std > 0.0 { 1.0 / std } else { 1.0 })).unzip();
        let shape: &[i64] = if is_image { &[1, n_columns, 1, 1] } else { &[1, n_columns] };
        let row = |values: Vec<f64>| {
            Tensor::from_slice(&values).to_kind(Kind::Float).view(shape).to_device(inputs.device())
        };
        Self { mean: row(means), inverse: row(inverses) }
    }

    /// The means: `f32 [1, C, 1, 1]`, in units of a byte, or `f32 [1, F]`.
    pub fn mean(&self) -> &Tensor {
        &self.mean
    }

    /// One over the standard deviations, of the same shape as [`Normalization::mean`].
    pub fn inverse(&self) -> &Tensor {
        &self.inverse
    }

    /// From what [`Normalization::mean`] and [`Normalization::inverse`] gave.
    pub(crate) fn from_tensors(mean: Tensor, inverse: Tensor) -> Self {
        Self { mean, inverse }
    }

    /// `u8 [N, C, H, W]` or `f32 [N, F]` to `f32` of the same shape, of mean 0 and deviation 1 over the training set.
    pub fn apply(&self, inputs: &Tensor) -> Tensor {
        // Subtracting makes the one new tensor where the inputs are floats already: they are not written to.
        let mut inputs = match inputs.kind() {
            Kind::Float => inputs - &self.mean,
            _ => {
                let mut floats = inputs.to_kind(Kind::Float);
                floats -= &self.mean;
                floats
            }
        };
        inputs *= &self.inverse;
        inputs
    }
}

/// Mean and standard deviation of bytes, counted byte value by byte value: exact in f64, and without a float copy of all
/// images.
fn byte_moments(values: &Tensor) -> (f64, f64) {
    let counts = values.flatten(0, -1).bincount::<&Tensor>(None, 256).to_kind(Kind::Double); // [256]
    let levels = Tensor::arange(256, (Kind::Double, counts.device()));
    let n = counts.sum(Kind::Double).double_value(&[]).max(1.0);
    let mean = (&counts * &levels).sum(Kind::Double).double_value(&[]) / n;
    let variance = (&counts * (levels - mean).square()).sum(Kind::Double).double_value(&[]) / n;
    (mean, variance.sqrt())
}

/// Mean and standard deviation of one column, `f32 [N]`, the deviation over N (as scikit-learn's `StandardScaler`).
fn column_moments(values: &Tensor) -> (f64, f64) {
    let indicator = values.eq(0.0).logical_or(&values.eq(1.0)).all().int64_value(&[]) != 0;
    if indicator {
        return (0.0, 1.0);
    }
    let values = values.to_kind(Kind::Double);
    let mean = values.mean(Kind::Double).double_value(&[]);
    let variance = (values - mean).square().mean(Kind::Double).double_value(&[]);
    (mean, variance.sqrt())
}
