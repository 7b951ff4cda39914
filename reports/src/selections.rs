//! What the runs chose: whose selections a report shows, and images for its contact sheets.

use crate::error::{Error, Result};
use crate::summary::{Setting, millionths, setting_of, strategy_rank};
use crate::table::Run;
use crate::wording::{self, percent};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Of more strategies and fractions than this, what the others chose is left out.
pub const MOST_CELLS: usize = 12;

/// A strategy and fraction whose selections a report shows: see [`crate::cells`].
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// As in the table of runs, in lower case.
    pub strategy: String,
    /// The share of the data.
    pub fraction: f64,
    /// As "GLISTER 30 %".
    pub name: String,
    /// Its completed runs, in the order of the table.
    pub runs: Vec<String>,
    /// How many smaller fractions of the strategy there are. Of more than [`MOST_CELLS`], those with the fewest are shown: what
    /// is left out shows most in the smallest subsets.
    pub n_smaller: usize,
}

/// The strategies and fractions of the completed runs of `setting`, in the report's order. Full data leaves nothing out.
pub(crate) fn cells_of(runs: &[Run], setting: &Setting) -> Vec<Cell> {
    type Key<'a> = ((usize, &'a str), Reverse<u32>);
    let mut by_key: BTreeMap<Key<'_>, Vec<&Run>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.is_completed() && !run.is_full()) {
        if let (Some(strategy), Some(fraction)) = (run.strategy.as_deref(), run.fraction)
            && setting_of(run) == *setting
        {
            by_key.entry((strategy_rank(strategy), Reverse(millionths(fraction)))).or_default().push(run);
        }
    }
    let n_smaller = |key: &Key<'_>| by_key.keys().filter(|other| other.0 == key.0 && other.1 > key.1).count();
    by_key
        .iter()
        .map(|(key, runs)| {
            let fraction = runs.first().and_then(|run| run.fraction).unwrap_or(1.0);
            Cell {
                strategy: key.0.1.to_owned(),
                fraction,
                name: format!("{} {}", wording::strategy(key.0.1), percent(fraction)),
                runs: runs.iter().map(|run| run.name.clone()).collect(),
                n_smaller: n_smaller(key),
            }
        })
        .collect()
}

/// Images that a strategy chose most often with a fraction, and those that it chose least.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactSheet {
    /// Whose selections these are, as "GLISTER 30 %, 3 runs".
    pub about: String,
    /// Out of how many selections.
    pub n_selections: u64,
    /// The most chosen first.
    pub most: Vec<Sample>,
    /// How many images beside these were chosen as often as the last of `most`.
    pub n_like_most: u64,
    /// The least chosen first.
    pub least: Vec<Sample>,
    /// How many images beside these were chosen as often as the last of `least`.
    pub n_like_least: u64,
}

/// An image and how often it was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Its position in the training set.
    pub index: i64,
    /// The name of its class, as the runs were told.
    pub class: String,
    /// Its class in truth, where the runs were told another one.
    pub true_class: Option<String>,
    /// In how many selections it was.
    pub n_chosen: u64,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// `width` × `height` × 1 (grey) or 3 (red, green, blue) bytes, row by row.
    pub pixels: Vec<u8>,
}

impl Sample {
    /// The image as a PNG file.
    ///
    /// # Errors
    /// [`Error::Image`] where there are more or fewer pixels than width and height say.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let (width, height) = (self.width as usize, self.height as usize);
        let wrong = || Error::Image {
            index: self.index,
            expected: format!("{width} × {height} pixels of 1 or 3 bytes, at most 4096 a side"),
            found: format!("{} bytes", self.pixels.len()),
        };
        if width == 0 || height == 0 || width > 4096 || height > 4096 {
            return Err(wrong());
        }
        let colour = match self.pixels.len() {
            n if n == width * height => png::ColorType::Grayscale,
            n if n == 3 * width * height => png::ColorType::Rgb,
            _ => return Err(wrong()),
        };
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(colour);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.pixels));
        written.map_err(|_| wrong())?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_in_the_reports_order_and_the_smallest_fractions_are_known() {
        let run = |name: &str, strategy: &str, fraction| Run {
            name: name.to_owned(),
            strategy: Some(strategy.to_owned()),
            fraction: Some(fraction),
            status: if name == "f" { "failed" } else { "completed" }.to_owned(),
            epochs: Some(if name == "e" { 9 } else { 3 }),
            ..Run::default()
        };
        let runs = [
            run("a", "fresh-random", 0.3),
            run("b", "glister", 0.1),
            run("c", "glister", f64::from(0.3_f32)),
            run("d", "full", 1.0),
            run("e", "glister", 0.5),
            run("f", "glister", 0.7),
            run("g", "glister", 0.3),
        ];
        let cells = cells_of(&runs, &setting_of(&runs[0]));
        let found: Vec<_> =
            cells.iter().map(|cell| (cell.strategy.as_str(), cell.runs.join(""), cell.n_smaller)).collect();
        // Not the failed run, not that of another setting, not full data.
        let expected = [
            ("glister", "cg".to_owned(), 1),
            ("glister", "b".to_owned(), 0),
            ("fresh-random", "a".to_owned(), 0),
        ];
        assert_eq!(found, expected);
        assert_eq!(cells[1].name, "GLISTER 10 %");
    }

    #[test]
    fn an_image_is_as_large_as_it_says() {
        let sample = |width, height, n| Sample { width, height, pixels: vec![7; n], ..Sample::default() };
        for (sample, colour) in
            [(sample(3, 2, 6), png::ColorType::Grayscale), (sample(3, 2, 18), png::ColorType::Rgb)]
        {
            let file = sample.to_png().unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            assert_eq!((reader.info().color_type, pixels), (colour, sample.pixels));
        }
        for wrong in [sample(3, 2, 7), sample(0, 2, 0), sample(u32::MAX, u32::MAX, 3)] {
            assert!(matches!(wrong.to_png(), Err(Error::Image { .. })));
        }
    }
}
