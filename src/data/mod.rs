//! Data sets: named ones fetched and read from a cache, one's own from files or tensors, and their split for training.
//!
//! A [`Dataset`] holds what was published (`train` and, mostly, `test`); [`Dataset::split`] sets a seeded share of the
//! training set apart for validation and gives [`Splits`], which is what training and selection take. Inputs are images,
//! `u8 [N, C, H, W]`, or rows of a table, `f32 [N, F]`; labels are classes, `i64 [N]`, or targets of a regression, `f32 [N]`.
//!
//! ```no_run
//! use glisten::data::{Dataset, Split};
//! let data = Dataset::fashion_mnist()?.split(Split { validation: 0.1, seed: 42 })?;
//! assert_eq!((data.train.len(), data.validation.len()), (54_000, 6_000));
//! # Ok::<(), glisten::error::Error>(())
//! ```

mod archive;
pub(crate) mod budget;
mod cache;
mod catalog;
pub mod cifar;
mod dataset;
mod examples;
pub mod fetch;
pub(crate) mod files;
mod folder;
pub mod idx;
mod imbalance;
mod named;
mod new_samples;
mod noise;
mod normalize;
pub mod npy;
mod spec;
mod split;
pub mod strips;
mod table;
mod task;

pub use self::cache::cache_dir;
pub use self::catalog::Kind;
pub use self::dataset::Dataset;
pub use self::examples::Examples;
pub use self::fetch::{FetchOptions, Fetched, fetch};
pub use self::folder::{Channels, ImageOptions};
pub use self::imbalance::{ClassImbalance, ThinnedClasses};
pub use self::new_samples::{ModelInputs, NewSamples};
pub use self::noise::{Draw, LabelNoise, NoisyLabels};
pub use self::normalize::Normalization;
pub use self::spec::DataSpec;
pub use self::split::{Split, Splits};
pub use self::table::{Missing, TableOptions, TableSchema, TargetKind, Unseen};
pub use self::task::{InputShape, Task};
