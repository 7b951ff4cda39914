//! What notebook cells link to: Glisten, polars and tch in one shared library, the store of variables, and how values show.
//!
//! `cargo xtask bundle` builds this crate as a `dylib`; a cell is a small library compiled against it. Cargo itself only
//! checks and tests it.

pub mod prelude;
mod progress;
pub mod rt;
pub mod show;

pub use {glisten, polars, tch};
