//! A chart as pixels, for slides and papers that take no SVG.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::Svg;
use crate::error::{Error, Result};
use crate::write::write_bytes;

/// Pixels for each unit of the drawing: sharp on a screen that has two for one, and in print.
const SCALE: f32 = 2.0;

/// Typefaces that read well in a chart, the first that is installed.
const PREFERRED: [&str; 8] =
    ["Inter", "Segoe UI", "Roboto", "Noto Sans", "DejaVu Sans", "Liberation Sans", "Helvetica", "Arial"];

impl Svg {
    /// The chart as a PNG file, light on white, two pixels for each unit of its [`size`](Svg::size). Labels are set in one of
    /// the typefaces that the machine has: unlike the SVG's, its bytes are not the same everywhere.
    ///
    /// # Errors
    /// [`Error::Drawing`] where no typeface is installed.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let failed = |reason: String| Error::Drawing { chart: format!("{} as PNG", self.title()), reason };
        let fonts = fonts().ok_or_else(|| {
            failed(
                "no typeface is installed (as by `apt-get install fonts-dejavu-core`); SVG needs none"
                    .to_owned(),
            )
        })?;
        let options = Options { fontdb: Arc::clone(fonts), ..Options::default() };
        let tree = Tree::from_str(self.as_str(), &options).map_err(|error| failed(error.to_string()))?;
        let size = tree.size();
        let [width, height] = [size.width(), size.height()].map(|units| (units * SCALE).ceil() as u32);
        let mut pixels = Pixmap::new(width, height)
            .ok_or_else(|| failed(format!("{width} × {height} pixels are more than can be held")))?;
        pixels.fill(Color::WHITE);
        resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
        pixels.encode_png().map_err(|error| failed(error.to_string()))
    }

    /// Writes the chart to a file, whole or not at all: as PNG where the name ends in `.png`, else as SVG.
    ///
    /// # Errors
    /// [`Error::Write`] where the folder cannot be written to; for PNG, as [`Svg::to_png`].
    pub fn save(&self, path: &Path) -> Result<()> {
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")) {
            return write_bytes(path, &self.to_png()?);
        }
        write_bytes(path, self.as_str().as_bytes())
    }
}

/// The machine's typefaces, read once; nothing where there is none.
fn fonts() -> Option<&'static Arc<fontdb::Database>> {
    static FONTS: OnceLock<Option<Arc<fontdb::Database>>> = OnceLock::new();
    let load = || {
        let mut fonts = fontdb::Database::new();
        fonts.load_system_fonts();
        let names: Vec<String> =
            fonts.faces().flat_map(|face| face.families.iter().map(|(name, _)| name.clone())).collect();
        let preferred = PREFERRED.into_iter().find(|name| names.iter().any(|known| known == name));
        let name = preferred.map(str::to_owned).or_else(|| names.first().cloned())?;
        fonts.set_sans_serif_family(name);
        Some(Arc::new(fonts))
    };
    FONTS.get_or_init(load).as_ref()
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    #[test]
    fn a_chart_has_the_size_in_pixels_and_colours_that_it_has_as_svg() {
        if super::fonts().is_none() {
            println!("skipped: no typeface is installed");
            return;
        }
        let metrics = df!(
            "run" => ["a", "a"], "metric" => ["loss", "loss"], "step" => [1, 2], "value" => [0.5, 0.25],
        )
        .unwrap();
        let svg = crate::chart::metric_per_step(&metrics, "loss").unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(svg.to_png().unwrap())).read_info().unwrap();
        let (width, height) = svg.size();
        assert_eq!(reader.info().size(), ((2.0 * width).ceil() as u32, (2.0 * height).ceil() as u32));
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let is_ink = |pixel: &&[u8]| pixel[..3].iter().any(|&part| part < 128);
        let n_ink = pixels.chunks(4).filter(is_ink).count();
        // Line, axis and labels: more than a line alone would have, and far from all.
        assert!(n_ink > 1000 && n_ink < pixels.len() / 40, "{n_ink} of {}", pixels.len() / 4);
    }
}
