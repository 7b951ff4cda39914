//! What is learnt, and from inputs of which shape: by this trainer and models see whether they can.

use std::fmt;

/// What the labels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// One class for each input.
    Classification {
        /// The number of classes, C; a label is from 0 to C − 1.
        n_classes: usize,
    },
    /// One number for each input.
    Regression,
}

impl Task {
    /// How many values a model gives for an input: C logits, or one prediction.
    pub fn n_outputs(self) -> usize {
        match self {
            Self::Classification { n_classes } => n_classes,
            Self::Regression => 1,
        }
    }
}

impl fmt::Display for Task {
    /// "10 classes", "1 class", "regression".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classification { n_classes: 1 } => f.write_str("1 class"),
            Self::Classification { n_classes } => write!(f, "{n_classes} classes"),
            Self::Regression => f.write_str("regression"),
        }
    }
}

/// The shape of one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputShape {
    /// An image, of bytes.
    Image {
        /// 1 for grey, 3 for red, green and blue.
        channels: i64,
        /// Rows of pixels.
        height: i64,
        /// Pixels in a row.
        width: i64,
    },
    /// A row of a table, of floats.
    Table {
        /// Numbers in a row, F, after categories were made numbers.
        n_features: i64,
    },
}

impl InputShape {
    /// `[C, H, W]` of images; `None` for rows of a table.
    pub fn image(self) -> Option<[i64; 3]> {
        match self {
            Self::Image { channels, height, width } => Some([channels, height, width]),
            Self::Table { .. } => None,
        }
    }

    /// The sizes of the axes: `[C, H, W]` or `[F]`.
    pub fn dims(self) -> Vec<i64> {
        match self {
            Self::Image { channels, height, width } => vec![channels, height, width],
            Self::Table { n_features } => vec![n_features],
        }
    }

    /// How many numbers one input has.
    pub fn n_values(self) -> i64 {
        self.dims().iter().product()
    }
}

impl fmt::Display for InputShape {
    /// "1×28×28", "13 features".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { channels, height, width } => write!(f, "{channels}×{height}×{width}"),
            Self::Table { n_features: 1 } => f.write_str("1 feature"),
            Self::Table { n_features } => write!(f, "{n_features} features"),
        }
    }
}
