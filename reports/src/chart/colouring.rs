//! What rows are coloured by: shades of a number or a time, one colour for each category, and the legend of it.

use super::frame::{Key, LABEL_SIZE, Mark, label_width, legend, legend_height, pixel, text};
use super::palette::{AXIS, Ink, N_SHADES, QUIET, TEXT, of_run, of_share, of_strategy};
use super::svg::{Drawn, Root};
use super::variable::{Kind, STRATEGY, Variable};
use crate::wording::{self, count};
use plotters::element::Rectangle;
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};
use std::cmp::Reverse;

/// More categories than this share the colour of the rest.
const MOST_COLOURS: usize = 8;
/// More strategies than this share the colour of the rest.
const MOST_STRATEGIES: usize = 9;
const SHADE_WIDTH: f64 = 18.0;
const SHADE_HEIGHT: f64 = 10.0;

/// The colour of each row, and how a reader knows what it means.
pub(super) struct Colouring {
    pub(super) inks: Vec<Ink>,
    /// The place of each row along the variable, by which rows are drawn in order: the highest last, on top.
    pub(super) order: Vec<Option<f64>>,
    keys: Vec<Key>,
    ramp: Option<Ramp>,
    description: String,
}

/// A row of shades with the values at its two ends.
struct Ramp {
    name: String,
    low: String,
    high: String,
}

impl Colouring {
    /// One colour for all `n` rows.
    pub(super) fn plain(n: usize) -> Self {
        Self {
            inks: vec![of_run(0); n],
            order: vec![None; n],
            keys: Vec::new(),
            ramp: None,
            description: String::new(),
        }
    }

    /// Colours by `variable`; only rows of which `is_drawn` is true count for the legend.
    pub(super) fn by(mut variable: Variable, column: &str, is_drawn: &[bool], mark: Mark) -> Self {
        variable.keep_only(is_drawn);
        let mut colouring = match &variable.kind {
            Kind::Category(names) => by_category(&variable, names, column == STRATEGY, mark),
            _ => by_shade(&variable),
        };
        if variable.places.iter().zip(is_drawn).any(|(place, is_drawn)| *is_drawn && place.is_none()) {
            colouring.keys.push(Key { label: format!("no {}", variable.name), ink: AXIS, mark });
        }
        colouring.order = variable.places;
        colouring
    }

    /// What the colours say, in a sentence, or nothing.
    pub(super) fn description(&self) -> &str {
        &self.description
    }

    /// How tall the legend is in a drawing that leaves it `width`.
    pub(super) fn height(&self, width: f64) -> f64 {
        let ramp = if self.ramp.is_some() { 18.0 } else { 0.0 };
        ramp + legend_height(&self.keys, width)
    }

    pub(super) fn draw_legend(&self, root: &Root<'_>, left: f64, top: f64, width: f64) -> Drawn {
        let mut keys_top = top;
        if let Some(ramp) = &self.ramp {
            let y = top + 9.0;
            let left_of = (HPos::Left, VPos::Center);
            text(root, &ramp.name, (left, y), TEXT, LABEL_SIZE, left_of)?;
            let mut x = left + label_width(&ramp.name, LABEL_SIZE) + 14.0;
            text(root, &ramp.low, (x, y), QUIET, LABEL_SIZE, left_of)?;
            x += label_width(&ramp.low, LABEL_SIZE) + 8.0;
            for shade in 0..N_SHADES {
                let corner = (x + shade as f64 * SHADE_WIDTH, y - SHADE_HEIGHT / 2.0);
                let opposite = pixel(corner.0 + SHADE_WIDTH, corner.1 + SHADE_HEIGHT);
                let ink = of_share((shade as f64 + 0.5) / N_SHADES as f64);
                root.draw(&Rectangle::new([pixel(corner.0, corner.1), opposite], ink.carrier().filled()))?;
            }
            x += N_SHADES as f64 * SHADE_WIDTH + 8.0;
            text(root, &ramp.high, (x, y), QUIET, LABEL_SIZE, left_of)?;
            keys_top += 18.0;
        }
        legend(root, &self.keys, left, keys_top, width)
    }
}

fn by_shade(variable: &Variable) -> Colouring {
    let Some((low, high)) = variable.extent() else {
        return Colouring {
            inks: vec![AXIS; variable.places.len()],
            ..Colouring::plain(variable.places.len())
        };
    };
    let share = |place: f64| if high > low { (place - low) / (high - low) } else { 0.5 };
    let ink = |place: &Option<f64>| place.map_or(AXIS, |place| of_share(share(place)));
    let is_log = variable.kind == Kind::Logarithm;
    Colouring {
        inks: variable.places.iter().map(ink).collect(),
        order: Vec::new(),
        keys: Vec::new(),
        ramp: Some(Ramp {
            name: format!("{}{}", variable.name, if is_log { " (log scale)" } else { "" }),
            low: variable.show(low),
            high: variable.show(high),
        }),
        description: format!(" Coloured by {}, {}.", variable.name, variable.range()),
    }
}

fn by_category(variable: &Variable, names: &[String], is_strategy: bool, mark: Mark) -> Colouring {
    let mut n_rows = vec![0_usize; names.len()];
    for place in variable.places.iter().flatten() {
        if let Some(n) = n_rows.get_mut(*place as usize) {
            *n += 1;
        }
    }
    // The most frequent ones have a colour of their own, in the order of their names.
    let mut frequent: Vec<usize> = (0..names.len()).filter(|at| n_rows[*at] > 0).collect();
    let n_used = frequent.len();
    frequent.sort_by_key(|at| Reverse(n_rows[*at]));
    let most = if is_strategy { MOST_STRATEGIES } else { MOST_COLOURS };
    frequent.truncate(if n_used > most { most - 1 } else { most });
    frequent.sort_unstable();
    let own: Vec<Option<Ink>> = (0..names.len())
        .map(|at| {
            let rank = frequent.iter().position(|one| *one == at)?;
            Some(if is_strategy { of_strategy(&names[at], names) } else { of_run(rank) })
        })
        .collect();
    let shown = |at: usize| {
        if is_strategy { wording::strategy(&names[at]) } else { wording::shorten(&names[at], 28) }
    };
    let mut keys: Vec<Key> =
        frequent.iter().filter_map(|at| Some(Key { label: shown(*at), ink: own[*at]?, mark })).collect();
    let counted: Vec<String> =
        frequent.iter().map(|at| format!("{} ({})", shown(*at), n_rows[*at])).collect();
    let mut description = format!(" Coloured by {}: {}", variable.name, wording::list(&counted));
    let n_others = n_used - frequent.len();
    if n_others > 0 {
        keys.push(Key { label: count(n_others, "other", "others"), ink: QUIET, mark });
        description.push_str(&format!("; {} share a colour", count(n_others, "other", "others")));
    }
    description.push('.');
    let ink = |place: &Option<f64>| match place {
        Some(place) => own.get(*place as usize).copied().flatten().unwrap_or(QUIET),
        None => AXIS,
    };
    Colouring {
        inks: variable.places.iter().map(ink).collect(),
        order: Vec::new(),
        keys,
        ramp: None,
        description,
    }
}
