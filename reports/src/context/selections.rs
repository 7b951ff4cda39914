//! What was chosen: the classes over the epochs, and the most and least chosen images.

use super::{Chart, LONGEST_HOVER};
use crate::error::Result;
use crate::selections::{ContactSheet, MOST_CELLS, Sample};
use crate::wording::{count, keep_together, shorten};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// Bytes that all contact sheets together may add to a page, so that a report of few runs stays small enough for any mail.
const MOST_BYTES: usize = 38_000;
/// Bytes of a picture beside its image.
const MARKUP: usize = 240;

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Selections {
    /// The classes over the epochs.
    pub chart: Option<Chart>,
    /// The most and least chosen images, one sheet a strategy and fraction.
    pub sheets: Vec<Sheet>,
    /// What is not shown, and why.
    pub missing: Vec<String>,
}

/// The images that a strategy chose most and least with a fraction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sheet {
    /// Whose selections the images are from, and how many these are.
    pub about: String,
    /// The most chosen images.
    pub most: Vec<Picture>,
    /// How many more were chosen as often as the last of these, in a sentence, if any.
    pub like_most: Option<String>,
    /// The least chosen images.
    pub least: Vec<Picture>,
    /// How many more were chosen as seldom as the last of these, in a sentence, if any.
    pub like_least: Option<String>,
}

/// An image of a contact sheet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Picture {
    /// The image as a `data:` address: letters, digits, `+`, `/` and `=` after the comma, which `|safe` puts in as they are.
    pub src: String,
    /// What it is, in words.
    pub alt: String,
    /// Its class.
    pub class: String,
    /// Its class in truth, where the runs were told another one.
    pub true_class: Option<String>,
    /// "9 of 12".
    pub chosen: String,
    /// In pixels of the page.
    pub width: u32,
    /// In pixels of the page.
    pub height: u32,
}

impl Selections {
    pub(super) fn new(chart: Option<Chart>, sheets: &[ContactSheet], not_shown: &[String]) -> Result<Self> {
        let mut missing: Vec<String> =
            not_shown.iter().map(|sentence| keep_together(&shorten(sentence, LONGEST_HOVER * 2))).collect();
        if chart.is_none() && not_shown.is_empty() {
            missing.push(
                "Which classes were chosen is not shown: no selections of these runs, or no classes of their samples, were \
                 given to the report."
                    .to_owned(),
            );
        }
        let sheets: Vec<&ContactSheet> =
            sheets.iter().filter(|sheet| !sheet.most.is_empty() || !sheet.least.is_empty()).collect();
        if sheets.is_empty() && not_shown.is_empty() {
            missing.push(
                "The most and least chosen images are not shown: the data set is not of images, not at hand where the report \
                 was written, or no selections were kept."
                    .to_owned(),
            );
        }
        if sheets.len() > MOST_CELLS {
            let n = count(sheets.len() - MOST_CELLS, "contact sheet is", "contact sheets are");
            missing.push(format!("{n} left out."));
        }
        let shown = &sheets[..sheets.len().min(MOST_CELLS)];
        let room = MOST_BYTES / (2 * shown.len().max(1));
        let sheets = shown.iter().map(|sheet| Sheet::new(sheet, room)).collect::<Result<_>>()?;
        Ok(Self { chart, sheets, missing })
    }
}

impl Sheet {
    /// With as many images as `room` bytes hold, twice.
    fn new(sheet: &ContactSheet, room: usize) -> Result<Self> {
        let (most, n_like_most) = pictures(&sheet.most, sheet.n_selections, sheet.n_like_most, room)?;
        let (least, n_like_least) = pictures(&sheet.least, sheet.n_selections, sheet.n_like_least, room)?;
        let more = |n: u64, how: &str| {
            let n_images =
                if n == 1 { "1 more image was".to_owned() } else { format!("{n} more images were") };
            (n > 0).then(|| format!("{n_images} chosen as {how} as the last of these."))
        };
        let n_selections = count(sheet.n_selections as usize, "selection", "selections");
        Ok(Self {
            about: keep_together(&format!("{}, {n_selections}", shorten(&sheet.about, 120))),
            most,
            like_most: more(n_like_most, "often"),
            least,
            like_least: more(n_like_least, "seldom"),
        })
    }
}

/// As many as there is room for, at least one, and how many more are as the last of them: `n_like_last` says it of the last of
/// `samples`.
fn pictures(
    samples: &[Sample],
    n_selections: u64,
    n_like_last: u64,
    room: usize,
) -> Result<(Vec<Picture>, u64)> {
    let mut n_bytes = 0;
    let mut pictures = Vec::new();
    for sample in samples {
        let src = format!("data:image/png;base64,{}", STANDARD.encode(sample.to_png()?));
        n_bytes += src.len() + MARKUP;
        if n_bytes > room && !pictures.is_empty() {
            break;
        }
        pictures.push(picture(sample, src, n_selections));
    }
    let n_chosen = |sample: &Sample| sample.n_chosen;
    let (shown, left) = samples.split_at(pictures.len());
    let last = shown.last().map(n_chosen);
    let mut n_like = left.iter().filter(|sample| Some(n_chosen(sample)) == last).count() as u64;
    if samples.last().map(n_chosen) == last {
        n_like += n_like_last;
    }
    Ok((pictures, n_like))
}

fn picture(sample: &Sample, src: String, n_selections: u64) -> Picture {
    let class = shorten(&sample.class, 24);
    let true_class = sample.true_class.as_deref().map(|class| shorten(class, 24));
    // Small images are shown twice or three times as large, pixel by pixel.
    let scale = (72 / sample.width.max(sample.height).max(1)).clamp(1, 4);
    let chosen = format!("{} of {n_selections}", sample.n_chosen);
    let truth = true_class.as_ref().map(|class| format!(" (in truth {class})")).unwrap_or_default();
    Picture {
        src,
        alt: format!("{class}{truth}, image {} of the training set, in {chosen} selections", sample.index),
        class,
        true_class,
        chosen,
        width: sample.width * scale,
        height: sample.height * scale,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(n_chosen: u64) -> Sample {
        Sample {
            index: 7,
            class: "a".to_owned(),
            n_chosen,
            width: 2,
            height: 2,
            pixels: vec![9; 4],
            ..Sample::default()
        }
    }

    #[test]
    fn how_many_more_are_like_the_last_is_counted_for_what_is_shown() {
        let samples = [5, 5, 4, 4, 4].map(sample);
        let of = |room: usize| {
            let (shown, n_like) = pictures(&samples, 5, 100, room).unwrap();
            (shown.len(), n_like)
        };
        let one = MARKUP + 22 + STANDARD.encode(samples[0].to_png().unwrap()).len();
        // All are shown: the hundred beside them were chosen four times too.
        assert_eq!(of(5 * one), (5, 100));
        assert_eq!(of(3 * one), (3, 102));
        // Only the second was chosen five times as well.
        assert_eq!(of(one), (1, 1));
        assert_eq!(of(2 * one + 1), (2, 0));
        assert_eq!(of(0), (1, 1), "one at least");
        assert_eq!(pictures(&[], 5, 0, 10).unwrap(), (Vec::new(), 0));
    }

    #[test]
    fn many_sheets_share_the_room_and_a_wrong_label_is_told() {
        let noisy = Sample { true_class: Some("b".to_owned()), ..sample(3) };
        let sheet = ContactSheet {
            about: "GLISTER 30 %, 1 run".to_owned(),
            n_selections: 3,
            most: vec![noisy; 12],
            n_like_most: 0,
            least: vec![sample(0); 200],
            n_like_least: 1,
        };
        let page = Selections::new(None, &vec![sheet; MOST_CELLS + 2], &[]).unwrap();
        assert_eq!(page.sheets.len(), MOST_CELLS);
        let n_bytes: usize = page
            .sheets
            .iter()
            .flat_map(|sheet| sheet.most.iter().chain(&sheet.least))
            .map(|picture| picture.src.len() + MARKUP)
            .sum();
        assert!(n_bytes <= MOST_BYTES && n_bytes > MOST_BYTES / 2, "{n_bytes}");
        let first = &page.sheets[0];
        assert_eq!(first.most[0].alt, "a (in truth b), image 7 of the training set, in 3 of 3 selections");
        assert_eq!(first.about, "GLISTER 30\u{A0}%, 1 run, 3 selections");
        let n_left = 200 - first.least.len() + 1;
        let expected = format!("{n_left} more images were chosen as seldom as the last of these.");
        assert_eq!(first.like_least.as_deref(), Some(expected.as_str()));
        assert!(page.missing.iter().any(|sentence| sentence == "2 contact sheets are left out."));
        let told = Selections::new(None, &[], &["Because.".to_owned()]).unwrap();
        assert_eq!(told.missing, ["Because."]);
    }
}
