//! A finished chart: one `<svg>` element that stands on its own in a page, a notebook cell or a file.

use super::canvas::Canvas;
use super::palette::COLOURS;
use crate::error::{Error, Result};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use serde::Serialize;
use std::convert::Infallible;
use std::fmt::{self, Write};

/// A chart as inline SVG: no script, no reference to anything outside of itself, light and dark by the reader's
/// preference (in Jupyter, by the theme), with a title and a description for those who do not see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Svg {
    text: String,
    title: String,
    description: String,
    size: (f64, f64),
    figures: Figures,
}

/// The numbers of a chart as a table of texts, for those who do not see it and those who want to know exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// What stands in each column.
    pub columns: Vec<String>,
    /// The rows; the first cell says what the row is about.
    pub rows: Vec<Vec<String>>,
}

impl Figures {
    /// A table with these columns and no rows yet.
    pub(super) fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|name| (*name).to_owned()).collect(), rows: Vec::new() }
    }
}

impl Svg {
    /// The `<svg>` element.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The title, without markup.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What the chart shows, in words made from the data, without markup.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Width and height, in units that are pixels where it is not scaled.
    pub fn size(&self) -> (f64, f64) {
        self.size
    }

    /// What the chart shows, as a table; without rows where nothing is drawn.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    pub(super) fn with_figures(self, figures: Figures) -> Self {
        Self { figures, ..self }
    }
}

impl fmt::Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a chart draws on.
pub(super) type Root<'a> = DrawingArea<Canvas<'a>, Shift>;
pub(super) type Drawn<T = ()> = std::result::Result<T, DrawingAreaErrorKind<Infallible>>;

/// What every chart says about itself.
pub(super) struct About {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Runs `draw` on an empty canvas and wraps what it drew.
pub(super) fn finish(about: About, draw: impl FnOnce(&Root<'_>) -> Drawn) -> Result<Svg> {
    let About { title, description, width, height } = about;
    let mut body = String::new();
    let drawn = draw(&Canvas::new(&mut body, width, height).into_drawing_area());
    drawn.map_err(|error| Error::Drawing { chart: title.clone(), reason: error.to_string() })?;

    // The same chart has the same id in every run, and another chart another.
    let id = format!("gl{:016x}", fingerprint(&[&title, &description, &body]));
    let mut text = String::with_capacity(body.len() + 2000);
    let _ = write!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"gl-chart\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\" \
         viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         style=\"max-width:100%;height:auto\" font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif\">\n\
         <title id=\"{id}-t\">{}</title>\n<desc id=\"{id}-d\">{}</desc>\n",
        super::escape(&title),
        super::escape(&description),
    );
    text.push_str(&dark_style(&body));
    text.push_str(&body);
    text.push_str("</svg>");
    Ok(Svg { text, title, description, size: (width, height), figures: Figures::default() })
}

/// The dark colours of the classes in use. Light ones are plain attributes, which any viewer understands.
fn dark_style(body: &str) -> String {
    let mut by_preference = String::new();
    let mut by_choice = String::new();
    for (index, (_, dark)) in COLOURS.iter().enumerate() {
        for (class, property) in [(format!("s{index}"), "stroke"), (format!("f{index}"), "fill")] {
            if body.contains(&format!("class=\"{class}\"")) {
                // A theme that is chosen, in Jupyter or for a report, counts more than what the system prefers.
                let _ = write!(
                    by_preference,
                    ".gl-chart:not([data-jp-theme-light=true] *,[data-theme=light] *) .{class}{{{property}:{dark}}}"
                );
                let _ = write!(
                    by_choice,
                    ":is([data-jp-theme-light=false],[data-theme=dark]) .gl-chart .{class}{{{property}:{dark}}}"
                );
            }
        }
    }
    format!(
        "<style>@media screen and (prefers-color-scheme:dark){{{by_preference}}}@media screen{{{by_choice}}}</style>\n"
    )
}

/// FNV-1a.
fn fingerprint(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
