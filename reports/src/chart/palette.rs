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
pub(super) const COLOURS: [(&str, &str); 23] = [
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
    ("#3d2fa3", "#7f74dd"), // shades of a number, lowest first: cool to warm, also told apart by lightness
    ("#5f2ba0", "#9b78d8"),
    ("#7c2c97", "#b67bcb"),
    ("#963385", "#cd80b7"),
    ("#ac406e", "#e0899e"),
    ("#bc5056", "#ee9a84"),
    ("#c5633c", "#f6b26c"),
    ("#c97a1a", "#f7d05e"),
];

pub(super) const TEXT: Ink = Ink::solid(0);
pub(super) const QUIET: Ink = Ink::solid(1);
pub(super) const GRID: Ink = Ink::solid(2);
pub(super) const AXIS: Ink = Ink::solid(3);
pub(super) const PAPER: Ink = Ink::solid(4);
pub(super) const FULL_DATA: Ink = Ink::solid(5);

const SHADES: u8 = 15;
/// How many shades a number is shown in.
pub(super) const N_SHADES: usize = COLOURS.len() - SHADES as usize;

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

    /// Whether it is one of the shades of a number.
    pub(super) fn is_shade(self) -> bool {
        self.colour >= SHADES
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

/// The colour of the nth thing that is neither a strategy nor a run.
pub(super) fn of_part(index: usize) -> Ink {
    Ink::solid(OTHERS + (index % N_OTHERS) as u8)
}

/// The shade of a number that lies at `share`, from 0 to 1, of the way from the lowest to the highest.
pub(super) fn of_share(share: f64) -> Ink {
    Ink::solid(SHADES + ((share * N_SHADES as f64) as usize).min(N_SHADES - 1) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance as WCAG 2.1 defines it.
    fn luminance(hex: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(left: &str, right: &str) -> f64 {
        let (a, b) = (luminance(left), luminance(right));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn whatever_is_drawn_stands_out_from_the_paper() {
        let paper = COLOURS[usize::from(PAPER.colour)];
        assert!((contrast("#ffffff", "#000000") - 21.0).abs() < 1e-9, "as WCAG says");
        for (light, dark) in &COLOURS[usize::from(FULL_DATA.colour)..] {
            // WCAG 1.4.11: graphical objects, 3 to 1.
            assert!(contrast(light, paper.0) >= 3.0, "{light}: {}", contrast(light, paper.0));
            assert!(contrast(dark, paper.1) >= 3.0, "{dark}: {}", contrast(dark, paper.1));
        }
    }

    #[test]
    fn shades_are_ordered_by_lightness_in_both_themes() {
        let shades = &COLOURS[usize::from(SHADES)..];
        assert!(shades.is_sorted_by(|a, b| luminance(a.0) < luminance(b.0)), "light");
        assert!(shades.is_sorted_by(|a, b| luminance(a.1) < luminance(b.1)), "dark");
        assert_eq!(of_share(0.0).colour, SHADES);
        assert_eq!(usize::from(of_share(1.0).colour), COLOURS.len() - 1);
        assert_eq!(of_share(f64::NAN).colour, SHADES);
        assert!(of_share(0.5).is_shade() && !of_run(3).is_shade());
    }
}
