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
//!   A failed run with a value in `tags.diverged` counts as the worst.
//! - `metrics`, one row a value: `run`, `metric`, `step`, `value`.
//!
//! - `classes`, if it is known what was chosen, one row a run, epoch and class: `run`, `epoch`, `class`, `count`, `available`.
//!
//! Any other column of `runs` is a parameter, or says where a run was made: `command`, `git_commit`, `git_dirty`, `os`,
//! `libtorch_version` and the like, also with `environment.` before it.
//!
//! Data flows one way: `table`, `balance` and `selections` read, [`summary`] computes (with `statistics`), [`chart`] draws, [`context`]
//! says in texts what a page holds, `page` fills the templates, [`write()`] puts the file in its place. The same input gives the
//! same bytes.

#![warn(clippy::unwrap_used, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod balance;
pub mod chart;
pub mod context;
mod error;
mod notes;
mod options;
mod page;
mod selections;
pub mod statistics;
pub mod summary;
mod table;
mod wording;
mod write;

pub use chart::Svg;
pub use error::{Error, Result};
pub use options::{Options, Section, Theme};
pub use page::{Tables, cells, charts, page, render, render_tables, summary_of};
pub use selections::{Cell, ContactSheet, MOST_CELLS, Sample};
pub use write::{WholeFile, write};
