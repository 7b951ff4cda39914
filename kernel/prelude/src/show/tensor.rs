//! Tensors: shape, dtype, device, a summary, and the values where they are few.

use std::fmt::Write as _;

use tch::{Kind, TchError, Tensor};

use super::{MimeBundle, Show};

/// A tensor with more elements than this shows its summary only.
const MAX_ELEMENTS: usize = 100;

impl Show for Tensor {
    fn mime_bundle(&self) -> MimeBundle {
        if !self.defined() {
            return MimeBundle::text("Tensor (undefined)");
        }
        let kind = self.f_kind().map_or_else(|_| "unknown kind".to_owned(), |kind| format!("{kind:?}"));
        let device = glisten::device::name(self.device());
        let mut text = format!("Tensor {:?} {kind} {device}", self.size());
        if let Ok(summary) = summary(self) {
            text.push_str(&summary);
        }
        if (1..=MAX_ELEMENTS).contains(&self.numel()) {
            let _ = write!(text, "\n{self}");
        }
        MimeBundle::text(text.trim_end())
    }
}

/// Minimum, maximum and mean; empty for kinds and sizes that have none.
fn summary(tensor: &Tensor) -> Result<String, TchError> {
    let number = !matches!(
        tensor.f_kind()?,
        Kind::Bool | Kind::ComplexFloat | Kind::ComplexDouble | Kind::ComplexHalf
    );
    if tensor.numel() < 2 || !number {
        return Ok(String::new());
    }
    let values = tensor.f_detach()?.f_to_kind(Kind::Double)?;
    let mean = values.f_mean(Kind::Double)?.f_double_value(&[])?;
    let (min, max) = (values.f_min()?.f_double_value(&[])?, values.f_max()?.f_double_value(&[])?);
    Ok(format!(", min {min:.4}, max {max:.4}, mean {mean:.4}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(tensor: &Tensor) -> String {
        tensor.mime_bundle().as_json()["text/plain"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_large_tensor_is_summed_up_and_a_small_one_written_out() {
        let text = plain(&Tensor::arange(200, (Kind::Float, tch::Device::Cpu)).view([20, 10]));
        assert_eq!(text, "Tensor [20, 10] Float cpu, min 0.0000, max 199.0000, mean 99.5000");
        let text = plain(&Tensor::from_slice(&[1_i64, 2]));
        assert!(text.starts_with("Tensor [2] Int64 cpu, min 1.0000, max 2.0000, mean 1.5000\n"), "{text}");
        assert!(plain(&Tensor::new()).starts_with("Tensor"));
    }
}
