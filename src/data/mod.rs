//! Data sets: named ones fetched and read from a cache, one's own from files or tensors, and their split for training.
//!
//! A [`Dataset`] holds what was published (`train` and, mostly, `test`); [`Dataset::split`] sets a seeded share of the
//! training set apart for validation and gives [`Splits`], which is what training and selection take. Images are
//! `u8 [N, C, H, W]`, labels `i64 [N]`, always.
//!
//! ```no_run
//! use glisten::data::{Dataset, Split};
//! let data = Dataset::fashion_mnist()?.split(Split { validation: 0.1, seed: 42 })?;
//! assert_eq!((data.train.len(), data.validation.len()), (54_000, 6_000));
//! # Ok::<(), glisten::error::Error>(())
//! ```

mod cache;
mod catalog;
pub mod cifar;
mod dataset;
mod examples;
pub mod fetch;
mod files;
pub mod idx;
mod named;
mod normalize;
mod split;
pub mod strips;

pub use self::cache::cache_dir;
pub use self::catalog::Kind;
pub use self::dataset::Dataset;
pub use self::examples::Examples;
pub use self::fetch::{FetchOptions, Fetched, fetch};
pub use self::normalize::Normalization;
pub use self::split::{Split, Splits};
