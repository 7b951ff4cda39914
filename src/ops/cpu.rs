//! Which of the processor's instruction sets the operators compute with. The best one that is there, unless the environment
//! variable `GLISTEN_CPU` names another: so each path can be tested and measured on one machine.

use std::ffi::CStr;
use std::fmt;

use super::ffi;
use crate::error::{Error, Result};

/// The environment variable that names the path: `generic`, `avx2`, `avx512` or `avx512-bf16`. It is read once. One that the
/// processor lacks is an error of everything that computes.
pub const CPU_PATH_VARIABLE: &str = "GLISTEN_CPU";

/// Instructions that the operators compute with on the CPU, from the least to the most; each takes in those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CpuPath {
    /// What every processor of this architecture has.
    Generic,
    /// AVX2 and FMA: vectors of 8 floats.
    Avx2,
    /// AVX-512 (F, BW, VL, DQ): vectors of 16 floats.
    Avx512,
    /// AVX-512 with products of bf16: in bf16, products of matrices are libtorch's own, and convolutions too where there is AMX.
    Avx512Bf16,
}

impl CpuPath {
    const ALL: [Self; 4] = [Self::Generic, Self::Avx2, Self::Avx512, Self::Avx512Bf16];

    /// Its name, as [`CPU_PATH_VARIABLE`] takes it.
    pub fn name(self) -> &'static str {
        // SAFETY: a constant string, or null beyond the last.
        let name = unsafe { ffi::glisten_cpu_path(self as i64) };
        if name.is_null() {
            return "unknown";
        }
        // SAFETY: not null, and constant.
        unsafe { CStr::from_ptr(name) }.to_str().unwrap_or("unknown")
    }

    /// Whether the processor itself multiplies bf16 on this path.
    pub fn multiplies_bf16(self) -> bool {
        self == Self::Avx512Bf16
    }
}

impl fmt::Display for CpuPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The paths that this processor can take, from the least to the most, and those that it lacks.
pub fn cpu_paths() -> (Vec<CpuPath>, Vec<CpuPath>) {
    // SAFETY: asks the processor.
    let best = unsafe { ffi::glisten_best_cpu_path() };
    CpuPath::ALL.into_iter().partition(|path| *path as i64 <= best)
}

/// The path that the operators take.
///
/// # Errors
/// [`Error::Argument`] if [`CPU_PATH_VARIABLE`] names none that this processor has.
pub fn cpu_path() -> Result<CpuPath> {
    let mut at = 0;
    // SAFETY: `at` is written to during the call only.
    if ffi::check(unsafe { ffi::glisten_cpu_path_in_use(&raw mut at) }).is_err() {
        let known: Vec<_> = cpu_paths().0.into_iter().map(CpuPath::name).collect();
        let named = std::env::var_os(CPU_PATH_VARIABLE).unwrap_or_default();
        return Err(Error::argument(
            CPU_PATH_VARIABLE,
            format!("a path that this processor has ({})", known.join(", ")),
            format!("'{}'", named.to_string_lossy()),
        ));
    }
    Ok(CpuPath::ALL.into_iter().find(|path| *path as i64 == at).unwrap_or(CpuPath::Generic))
}
