//! Data sets as their first images, a row for each class; tables as their first rows.

use base64::Engine as _;
use glisten::data::{Dataset, Examples, InputShape, Splits, TableSchema};
use tch::{Device, Tensor};

use super::{MimeBundle, Show, escape, table};

/// So many images of a class are shown.
const IMAGES: usize = 12;
/// So many classes are shown.
const MAX_CLASSES: usize = 20;
/// Of larger images only every second, third, … pixel is shown.
const MAX_SIDE: i64 = 64;

type Failed = Box<dyn std::error::Error>;

impl Show for Dataset {
    fn mime_bundle(&self) -> MimeBundle {
        bundle(&self.to_string(), &self.train, &self.classes, self.table.as_deref())
    }
}

impl Show for Splits {
    fn mime_bundle(&self) -> MimeBundle {
        bundle(&self.to_string(), &self.train, &self.classes, self.table.as_deref())
    }
}

fn bundle(text: &str, examples: &Examples, classes: &[String], schema: Option<&TableSchema>) -> MimeBundle {
    let bundle = MimeBundle::text(text);
    let content = match examples.input_shape() {
        InputShape::Image { .. } => rows(examples, classes).map(|rows| ("glisten-images", rows)),
        InputShape::Table { .. } => {
            table::head(examples, classes, schema).map(|head| ("glisten-table", head))
        }
    };
    match content {
        Ok((class, content)) => {
            bundle.html(format!(r#"<div class="{class}">{}{content}</div>"#, escape(text)))
        }
        // Without its pictures a data set is still what its text says.
        Err(_) => bundle,
    }
}

/// A row for each class: its name, how many examples it has, and the first of them.
fn rows(examples: &Examples, classes: &[String]) -> Result<String, Failed> {
    let counts = examples.class_counts(classes.len())?;
    let labels = Vec::<i64>::try_from(examples.labels.f_to_device(Device::Cpu)?)?;
    let n_shown = classes.len().min(MAX_CLASSES);
    let mut firsts: Vec<Vec<i64>> = vec![Vec::new(); n_shown];
    for (index, label) in labels.iter().enumerate() {
        if let Some(of_class) = usize::try_from(*label).ok().and_then(|label| firsts.get_mut(label))
            && of_class.len() < IMAGES
        {
            of_class.push(index as i64);
        }
    }
    let mut html = String::from(
        r#"<div style="display:grid;grid-template-columns:max-content max-content 1fr;gap:3px 12px;align-items:center;margin:.4em 0">"#,
    );
    for ((class, count), indices) in classes.iter().zip(&counts).zip(&firsts) {
        let picture = if indices.is_empty() { String::new() } else { picture(examples, indices, class)? };
        html.push_str(&format!(
            r#"<span>{}</span><span style="text-align:right;opacity:.65">{count}</span><span>{picture}</span>"#,
            escape(class)
        ));
    }
    html.push_str("</div>");
    if classes.len() > n_shown {
        html.push_str(&format!(r#"<small>and {} more classes</small>"#, classes.len() - n_shown));
    }
    Ok(html)
}

/// The images at `indices` side by side, as one PNG in the page.
fn picture(examples: &Examples, indices: &[i64], class: &str) -> Result<String, Failed> {
    let images = &examples.inputs;
    let chosen = Tensor::f_from_slice(indices)?.f_to_device(images.device())?;
    let images = images.f_index_select(0, &chosen)?.f_to_device(Device::Cpu)?;
    let [channels, height, width] = examples.image_shape().ok_or("not images")?;
    let step = height.max(width).div_euclid(MAX_SIDE + 1) + 1;
    let n_channels = if channels == 3 { 3 } else { 1 };
    // N, C, H, W → H, N, W, C: rows of pixels that run through all images.
    let pixels = images
        .f_narrow(1, 0, n_channels)?
        .f_slice(2, None::<i64>, None::<i64>, step)?
        .f_slice(3, None::<i64>, None::<i64>, step)?
        .f_permute([2, 0, 3, 1])?
        .f_contiguous()?;
    let size = pixels.size();
    let (rows, columns) = (size[0], size[1] * size[2]);
    let bytes = Vec::<u8>::try_from(pixels.f_view([-1])?)?;
    let colour = if n_channels == 3 { png::ColorType::Rgb } else { png::ColorType::Grayscale };
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, u32::try_from(columns)?, u32::try_from(rows)?);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&bytes)?;
    let data = base64::engine::general_purpose::STANDARD.encode(&file);
    Ok(format!(
        r#"<img alt="{} of class {}" src="data:image/png;base64,{data}" style="display:block;height:{}px;max-width:none;image-rendering:{}">"#,
        indices.len(),
        escape(class),
        rows.max(32),
        if rows < 32 { "pixelated" } else { "auto" },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_a_row_of_its_images() {
        for channels in [1, 3] {
            let images = Tensor::arange(40 * channels * 64, (tch::Kind::Int64, Device::Cpu))
                .remainder(251)
                .to_kind(tch::Kind::Uint8)
                .view([40, channels, 8, 8]);
            let labels = Tensor::arange(40, (tch::Kind::Int64, Device::Cpu)).remainder(2);
            let data = Dataset::from_tensors("two", images, labels)
                .unwrap()
                .with_classes(["<a>", "b", "c"])
                .unwrap();
            let bundle = data.mime_bundle();
            let html = bundle.as_json()["text/html"].as_str().unwrap();
            assert_eq!(html.matches("<img").count(), 2, "{html}");
            assert!(html.contains("&lt;a&gt;") && !html.contains("<a>") && html.contains(">20<"));
            let data = html.split("base64,").nth(1).unwrap().split('"').next().unwrap();
            let file = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            assert_eq!((info.width, info.height), (12 * 8, 8));
            // The second image of the first class is the third of all.
            let third = (2 * channels * 64 % 251) as u8;
            assert_eq!(pixels[8 * channels as usize], third);
        }
    }
}
