//! Glisten answers one question: *how much of the data do you need to train on, and what does it cost in accuracy?*
//!
//! Data flows `data → model → select → track → train → analytics → exchange → report`; a module uses what stands to its left and
//! never what stands to its right. `error`, `device`, `interrupt`, `ops`, `progress`, `program`,
//! `browser`, `regular_file` and `whole_file` are leaves that all may use.

pub mod analytics;
mod browser;
pub mod data;
pub mod device;
pub mod error;
pub mod exchange;
pub mod interrupt;
pub mod model;
pub mod ops;
pub mod prelude;
#[doc(hidden)]
pub mod program;
pub mod progress;
mod regular_file;
pub mod report;
pub mod select;
pub mod track;
pub mod train;
mod whole_file;

pub use error::{Error, Result};
