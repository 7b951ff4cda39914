//! In which floating-point format a training step computes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The format of a training step's forward and backward pass. Weights, their updates, batch statistics and the loss are fp32
/// in either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Precision {
    /// 32 bits throughout.
    #[default]
    #[serde(rename = "fp32")]
    Fp32,
    /// Activations, and copies of the weights, in bfloat16, as PyTorch's `autocast` has it. Pays on CUDA, and on a CPU
    /// that multiplies matrices of bf16 (AMX); on others the gain is small: activations take half of the memory.
    #[serde(rename = "bf16")]
    Bf16,
}

/// The names of the precisions.
pub const PRECISIONS: [&str; 2] = ["fp32", "bf16"];

impl Precision {
    /// Its name, one of [`PRECISIONS`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "fp32" => Ok(Self::Fp32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(Error::argument("precision", PRECISIONS.join(" or "), format!("'{name}'"))),
        }
    }
}
