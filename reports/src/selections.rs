//! What the runs chose: the classes of their subsets over the epochs, and images for a contact sheet.

use crate::error::{Error, Result};
use crate::summary::{SettingSummary, strategy_rank};
use crate::table::{Run, number_column, required, text_column};
use crate::wording::{self, count, percent};
use polars::prelude::DataFrame;
use std::collections::{BTreeMap, HashMap};

const TABLE: &str = "classes";

/// The name of the table of classes in errors, and its columns.
const COLUMNS: [&str; 4] = ["run", "epoch", "class", "count"];

/// Images that were chosen most often and those that were chosen least.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactSheet {
    /// Whose selections these are, as "GLISTER 30 %, 3 runs".
    pub about: String,
    /// Out of how many selections.
    pub n_selections: u64,
    /// The most chosen first.
    pub most: Vec<Sample>,
    /// The least chosen first.
    pub least: Vec<Sample>,
}

/// An image and how often it was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Its position in the training set.
    pub index: i64,
    /// The name of its class.
    pub class: String,
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

/// The classes of one strategy's subsets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Balance {
    /// Whose, as "GLISTER 30 %, 3 runs".
    pub(crate) about: String,
    /// In the order in which the table first names them.
    pub(crate) classes: Vec<ClassLine>,
}

/// One class over the epochs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClassLine {
    pub(crate) name: String,
    /// (epoch, share of the subset ÷ share of all of the data), by epoch.
    pub(crate) points: Vec<(f64, f64)>,
    /// The same ratio over all selections.
    pub(crate) mean: f64,
}

/// What was counted of a class at an epoch: chosen, over the runs.
type Counts<'a> = BTreeMap<(u64, &'a str), f64>;

/// Reads the table of classes, and of the strategies in it takes the one that stands first in the report, with its smallest
/// fraction: what is left out shows most there. None where no completed run of the setting is in the table.
///
/// `count` is how many samples of `class` the selection of `run` for `epoch` holds, `available` how many there are to choose
/// from; without that column, as many of each class.
pub(crate) fn balance(
    table: &DataFrame,
    runs: &[Run],
    setting: Option<&SettingSummary>,
) -> Result<Option<Balance>> {
    if table.height() == 0 {
        return Ok(None);
    }
    for name in COLUMNS {
        required(table, TABLE, name)?;
    }
    let (names, classes) = (text_column(table, TABLE, "run")?, text_column(table, TABLE, "class")?);
    let (epochs, counts) = (number_column(table, TABLE, "epoch")?, number_column(table, TABLE, "count")?);
    let available = number_column(table, TABLE, "available")?;
    let by_name: HashMap<&str, &Run> = runs
        .iter()
        .filter(|run| setting.is_none_or(|one| crate::summary::setting_of(run) == one.setting))
        .map(|run| (run.name.as_str(), run))
        .collect();
    let cell_of = |row: usize| {
        let run = by_name.get(names.get(row)?.as_deref()?)?;
        Some((run.strategy.as_deref()?, run.fraction?))
    };
    let cells = (0..table.height()).filter_map(cell_of);
    let Some((strategy, fraction)) =
        cells.min_by(|a, b| strategy_rank(a.0).cmp(&strategy_rank(b.0)).then(a.1.total_cmp(&b.1)))
    else {
        return Ok(None);
    };

    let mut order: Vec<&str> = Vec::new();
    let mut of_all: HashMap<&str, f64> = HashMap::new();
    let mut chosen: Counts<'_> = BTreeMap::new();
    let mut at_epoch: BTreeMap<u64, f64> = BTreeMap::new();
    let mut run_names: Vec<&str> = Vec::new();
    for row in (0..table.height()).filter(|row| cell_of(*row) == Some((strategy, fraction))) {
        let (Some(run), Some(class)) = (names[row].as_deref(), classes[row].as_deref()) else { continue };
        let finite = |column: &[Option<f64>]| {
            column.get(row).copied().flatten().filter(|value| value.is_finite() && *value >= 0.0)
        };
        let (Some(epoch), Some(n)) = (finite(&epochs), finite(&counts)) else { continue };
        if !of_all.contains_key(class) {
            order.push(class);
        }
        of_all.insert(class, finite(&available).filter(|n| *n > 0.0).unwrap_or(1.0));
        *chosen.entry((epoch as u64, class)).or_default() += n;
        *at_epoch.entry(epoch as u64).or_default() += n;
        if !run_names.contains(&run) {
            run_names.push(run);
        }
    }
    let n_all: f64 = of_all.values().sum();
    let n_chosen: f64 = at_epoch.values().sum();
    if n_all <= 0.0 || n_chosen <= 0.0 {
        return Ok(None);
    }
    let lines = order.into_iter().map(|class| {
        let share = of_all.get(class).copied().unwrap_or(1.0) / n_all;
        let ratio = |n: f64, of: f64| n / of / share;
        let of_class = |epoch: u64| chosen.get(&(epoch, class)).copied().unwrap_or(0.0);
        let points = at_epoch.iter().filter(|epoch| *epoch.1 > 0.0);
        ClassLine {
            name: class.to_owned(),
            points: points.map(|(epoch, n)| (*epoch as f64, ratio(of_class(*epoch), *n))).collect(),
            mean: ratio(at_epoch.keys().map(|epoch| of_class(*epoch)).sum(), n_chosen),
        }
    });
    let about = format!(
        "{} {}, {}",
        wording::strategy(strategy),
        percent(fraction),
        count(run_names.len(), "run", "runs")
    );
    Ok(Some(Balance { about, classes: lines.collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::*;

    #[test]
    fn a_class_is_set_beside_its_share_of_all_of_the_data() {
        let run = |name: &str, strategy: &str, fraction| Run {
            name: name.to_owned(),
            strategy: Some(strategy.to_owned()),
            fraction: Some(fraction),
            status: "completed".to_owned(),
            ..Run::default()
        };
        let runs = [run("a", "glister", 0.3), run("b", "glister", 0.3), run("c", "fresh-random", 0.1)];
        let table = df!(
            "run" => ["a", "a", "b", "b", "c", "a", "a", "unknown"],
            "epoch" => [1_i64, 1, 1, 1, 1, 4, 4, 1],
            "class" => ["cat", "dog", "cat", "dog", "cat", "cat", "dog", "cow"],
            "count" => [30_i64, 10, 50, 30, 7, 10, 30, 9],
            "available" => [100_i64, 300, 100, 300, 100, 100, 300, 9],
        )
        .unwrap();
        let balance = balance(&table, &runs, None).unwrap().unwrap();
        assert_eq!(balance.about, "GLISTER 30 %, 2 runs");
        // Epoch 1: 80 of 120 are cats, beside 100 of 400: 0.6667 ÷ 0.25; epoch 4: 10 of 40 ÷ 0.25.
        let cat = &balance.classes[0];
        assert_eq!(cat.name, "cat");
        assert!((cat.points[0].1 - 8.0 / 3.0).abs() < 1e-12 && (cat.points[1].1 - 1.0).abs() < 1e-12);
        assert!((cat.mean - 90.0 / 160.0 / 0.25).abs() < 1e-12);
        assert_eq!(balance.classes.len(), 2, "a run that the table of runs does not know is left out");
        assert_eq!(super::balance(&table.head(Some(0)), &runs, None).unwrap(), None);
        let error = super::balance(&table.drop("count").unwrap(), &runs, None).unwrap_err();
        assert!(error.to_string().contains("no column `count`"), "{error}");
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
