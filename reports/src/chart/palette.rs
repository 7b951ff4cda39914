//! Colours: one for each strategy everywhere, told apart by colour-blind readers, readable on light and dark. Marks have shapes
//! by them (see `frame`), so that colour is never the only difference.
//!
//! Plotters draws with an [`Ink`], a number dressed up as a colour. The canvas writes the light colour as a plain
//! attribute, which every SVG viewer understands, and a class by which the style sheet gives the dark one.

use crate::wording::{FRESH_RANDOM, STRATEGIES};
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
    ("#a8317a", "#c45aa9"), // fixed random
    ("#5f7345", "#a6ffbc"), // auto
    ("#7d3810", "#ffd751"), // weighted draw
    ("#3e2b9e", "#4e82e7"), // InfoBatch
    ("#6a0622", "#ca93b7"), // hardest half
    ("#522054", "#698c59"), // GRAD-MATCH
    ("#6b7280", "#a9b1bb"), // spare
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

/// Those of GLISTER to the last of the known strategies, and one more.
const OTHERS: u8 = 9;
const N_OTHERS: usize = 6;
const LAST: u8 = OTHERS + N_OTHERS as u8 - 1;

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

/// The colours of strategies: those of the known ones are fixed. The rest take, in the order of their names, what `all` leave
/// free, but never that of full data or fresh random; where there are more of them, dashes tell apart those of one colour.
pub(super) fn of_strategy(strategy: &str, all: &[String]) -> Ink {
    let known = |name: &str| {
        let index = STRATEGIES.iter().position(|one| *one == name)?;
        Some(FULL_DATA.colour + index as u8)
    };
    if let Some(colour) = known(strategy) {
        return Ink::solid(colour);
    }
    let is_reserved = |colour: &u8| Some(*colour) == known(FRESH_RANDOM);
    let is_taken = |colour: &u8| all.iter().any(|name| known(name) == Some(*colour));
    // The spare one first, then as known strategies are last to first: GLISTER's is the last to be given away.
    let free: Vec<u8> = (FULL_DATA.colour + 1..=LAST)
        .rev()
        .filter(|colour| !is_reserved(colour) && !is_taken(colour))
        .collect();
    let rank = all.iter().filter(|name| known(name).is_none() && name.as_str() < strategy).count();
    let n_free = free.len().max(1);
    Ink::solid(free.get(rank % n_free).copied().unwrap_or(LAST)).dashed(rank / n_free)
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
        0.2126 * linear(hex, 1) + 0.7152 * linear(hex, 3) + 0.0722 * linear(hex, 5)
    }

    fn linear(hex: &str, at: usize) -> f64 {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
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
        // Labels are written in the colours of strategies. WCAG 1.4.3: text, 4.5 to 1.
        for (light, dark) in &COLOURS[usize::from(FULL_DATA.colour)..=usize::from(LAST)] {
            assert!(contrast(light, paper.0) >= 4.5, "{light}: {}", contrast(light, paper.0));
            assert!(contrast(dark, paper.1) >= 4.5, "{dark}: {}", contrast(dark, paper.1));
        }
    }

    /// Hue, chroma and lightness as people see them: Ottosson, "A perceptual color space for image processing", 2020, times 100.
    fn oklab(rgb: [f64; 3]) -> [f64; 3] {
        let rgb = rgb.map(|channel| channel.clamp(0.0, 1.0));
        let cones = [
            [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
            [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
            [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
        ];
        let lab = [
            [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
            [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
            [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
        ];
        times(lab, times(cones, rgb).map(f64::cbrt)).map(|part| 100.0 * part)
    }

    fn times(matrix: [[f64; 3]; 3], vector: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum())
    }

    /// What a reader sees who has all cones, no long-, no medium-, no short-wave ones: Machado, Oliveira and Fernandes, "A
    /// Physiologically-based Model for Simulation of Color Vision Deficiency", 2009, severity 1, of linear RGB.
    const EYES: [(&str, [[f64; 3]; 3]); 4] = [
        ("all cones", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (
            "protanopia",
            [
                [0.152286, 1.052583, -0.204868],
                [0.114503, 0.786281, 0.099216],
                [-0.003882, -0.048116, 1.051998],
            ],
        ),
        (
            "deuteranopia",
            [
                [0.367322, 0.860646, -0.227968],
                [0.280085, 0.672501, 0.047413],
                [-0.011820, 0.042940, 0.968881],
            ],
        ),
        (
            "tritanopia",
            [
                [1.255528, -0.076749, -0.178779],
                [-0.078411, 0.930809, 0.147602],
                [0.004733, 0.691367, 0.303900],
            ],
        ),
    ];

    fn strategies(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn strategies_are_told_apart_by_every_reader() {
        let all = strategies(&STRATEGIES);
        let inks: Vec<Ink> = all.iter().map(|name| of_strategy(name, &all)).collect();
        let seen = |hex: &str, eyes| {
            let linear = [1, 3, 5].map(|at| linear(hex, at));
            oklab(times(eyes, linear))
        };
        // White is white, and 1 of lightness is 100.
        assert!((seen("#ffffff", EYES[0].1)[0] - 100.0).abs() < 0.01);
        for (i, a) in inks.iter().enumerate() {
            for (j, b) in inks[..i].iter().enumerate() {
                let (of_a, of_b) = (COLOURS[usize::from(a.colour)], COLOURS[usize::from(b.colour)]);
                for (who, eyes) in EYES {
                    for (a, b) in [(of_a.0, of_b.0), (of_a.1, of_b.1)] {
                        let parts = seen(a, eyes).into_iter().zip(seen(b, eyes));
                        let distance = parts.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                        // A just noticeable difference is about 2.
                        assert!(distance >= 5.0, "{who}: {} {a}, {} {b}: {distance:.1}", all[i], all[j]);
                    }
                }
            }
        }
    }

    #[test]
    fn no_two_of_nine_strategies_share_a_colour() {
        let distinct = |names: &[String]| {
            let mut inks: Vec<Ink> = names.iter().map(|name| of_strategy(name, names)).collect();
            inks.sort_by_key(|ink| (ink.colour, ink.dash));
            inks.dedup();
            inks.len()
        };
        let ours = strategies(&STRATEGIES);
        assert_eq!(distinct(&ours), 9);
        assert_eq!(
            ours.iter().map(|name| of_strategy(name, &[]).colour).collect::<Vec<_>>(),
            (5..14).collect::<Vec<_>>(),
            "whatever else there is"
        );
        let foreign = strategies(&["a", "b", "c", "d", "e"]);
        assert_eq!(distinct(&[&ours[..4], &foreign[..]].concat()), 9);
        let seven = strategies(&["full", "fresh-random", "a", "b", "c", "d", "e", "f", "g"]);
        assert_eq!(distinct(&seven), 9);
        assert!(seven[2..].iter().all(|name| ![5, 7].contains(&of_strategy(name, &seven).colour)));
        let many = [&ours[..], &foreign[..]].concat();
        assert_eq!(distinct(&many), 14, "by dashes, beyond nine");
        assert!(of_strategy("not in the list", &[]).colour > 8);
    }

    #[test]
    fn tables_and_charts_have_the_same_colours() {
        let css = include_str!("../templates/report.css");
        let variables =
            ["full", "glister", "fresh", "fixed", "auto", "weighted", "infobatch", "hardest", "grad-match"];
        for (i, name) in variables.iter().enumerate() {
            let (light, dark) = COLOURS[usize::from(FULL_DATA.colour) + i];
            assert_eq!(css.matches(&format!("--{name}: {light};")).count(), 1, "{name} {light}");
            assert_eq!(css.matches(&format!("--{name}: {dark};")).count(), 2, "{name} {dark}");
            assert_eq!(css.matches(&format!("background: var(--{name});")).count(), 1, "{name}");
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
