//! Colours: one for each strategy everywhere, told apart by colour-blind readers, readable on light and dark.
//!
//! Plotters draws with an [`Ink`], a number dressed up as a colour. The canvas writes the light colour as a plain
//! attribute, which every SVG viewer understands, and a class by which the style sheet gives the dark one.

use crate::wording::{FIXED_RANDOM, FRESH_RANDOM, FULL, GLISTER};
use plotters::style::RGBColor;

/// Something to draw with: a colour of the theme and a pattern of dashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ink {
    pub(super) colour: u8,
    pub(super) dash: u8,
}

/// (light, dark); text colours have a contrast of at least 4.5 to the background, drawn over `PAPER`.
pub(super) const COLOURS: [(&str, &str); 15] = [
    ("#1b1f24", "#e6e9ed"), // text
    ("#5b636d", "#a3abb5"), // quiet text
    ("#e4e7eb", "#2d333a"), // grid
    ("#8a929c", "#6c7580"), // axis
    ("#ffffff", "#15181c"), // paper
    ("#4a525c", "#c9cfd6"), // full data
    ("#0b62b8", "#63b0ff"), // GLISTER
    ("#c2410c", "#ff9a5c"), // fresh random
    ("#a8317a", "#ef8fc6"), // fixed random
    ("#00785a", "#43cfa4"), // others, in turn
    ("#8a6100", "#e3bd4b"),
    ("#2a7490", "#7fd3f7"),
    ("#5b4bb5", "#b3a6ff"),
    ("#7a4a2b", "#d2a184"),
    ("#6b7280", "#a9b1bb"),
];

pub(super) const TEXT: Ink = Ink::solid(0);
pub(super) const QUIET: Ink = Ink::solid(1);
pub(super) const GRID: Ink = Ink::solid(2);
pub(super) const AXIS: Ink = Ink::solid(3);
pub(super) const PAPER: Ink = Ink::solid(4);
pub(super) const FULL_DATA: Ink = Ink::solid(5);

const OTHERS: u8 = 9;
const N_OTHERS: usize = 6;

/// Dash patterns by number, in units of the drawing; number 0 is solid.
pub(super) const DASHES: [&str; 5] = ["", "6 3", "2 3", "9 3 2 3", "1 2"];

impl Ink {
    const fn solid(colour: u8) -> Self {
        Self { colour, dash: 0 }
    }

    pub(super) fn dashed(self, dash: usize) -> Self {
        Self { dash: (dash % DASHES.len()) as u8, ..self }
    }

    /// The colour that Plotters carries to the canvas.
    pub(super) fn carrier(self) -> RGBColor {
        RGBColor(self.colour, self.dash, 0)
    }

    pub(super) fn from_carrier(rgb: (u8, u8, u8)) -> Self {
        let colour = if usize::from(rgb.0) < COLOURS.len() { rgb.0 } else { 0 };
        Self { colour, dash: rgb.1 % DASHES.len() as u8 }
    }
}

/// The colours of strategies: four are fixed, the rest take theirs in the order of their names.
pub(super) fn of_strategy(strategy: &str, all: &[String]) -> Ink {
    let known = |name: &str| [FULL, GLISTER, FRESH_RANDOM, FIXED_RANDOM].iter().position(|one| *one == name);
    if let Some(index) = known(strategy) {
        return Ink::solid(FULL_DATA.colour + index as u8);
    }
    let rank = all.iter().filter(|name| known(name).is_none() && name.as_str() < strategy).count();
    Ink::solid(OTHERS + (rank % N_OTHERS) as u8)
}

/// The colours of runs whose strategy is not known, by their order; dashes tell apart those of one colour.
pub(super) fn of_run(index: usize) -> Ink {
    const FIRST: u8 = 6;
    const N: usize = 8;
    Ink::solid(FIRST + (index % N) as u8).dashed(index / N)
}
