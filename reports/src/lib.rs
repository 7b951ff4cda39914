//! Run tables in, SVG charts and one HTML file out.
//!
//! The report answers one question: what share of the training data is needed, and what does less of it cost in
//! accuracy? This crate knows nothing of where the tables come from: any [`polars`] dataframe with the columns
//! below will do. Columns may be missing or hold nulls, numbers may have any type; the report then says what cannot
//! be said.
//!
//! - `runs`, one row a run: `run`, `experiment`, `status`, `strategy`, `fraction`, `seed`, `dataset`, `model`,
//!   `epochs`, and for the metrics `test:accuracy`, `validation:accuracy`, `validation:loss`, `epoch:seconds`,
//!   `selection:seconds`, `run:seconds` the columns `.min`, `.max`, `.avg`, `.last` and `.count` that the figures use.
//! - `metrics`, one row a value: `run`, `metric`, `step`, `value`.
//!
//! Data flows one way: `table` reads, [`summary`] computes (with `statistics`), [`chart`] draws, `page` fills the
//! template, [`write()`] puts the file in its place. The same input gives the same bytes.

#![warn(clippy::unwrap_used, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod chart;
mod error;
mod page;
pub mod statistics;
pub mod summary;
mod table;
mod wording;
mod write;

pub use chart::Svg;
pub use error::{Error, Result};
pub use page::{Options, render};
pub use write::write;
