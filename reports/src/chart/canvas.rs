//! A Plotters backend that writes themed SVG: classes beside colours, tenths of a unit, dashes, escaped text.
//!
//! Plotters' own SVG backend knows neither classes nor fractions of a pixel. This one is told sizes in tenths.

use super::palette::{COLOURS, DASHES, Ink};
use crate::chart::escape;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontStyle,
};
use std::convert::Infallible;
use std::fmt::Write;

/// How many of the backend's pixels make a unit of the drawing.
pub(super) const PIXELS_PER_UNIT: f64 = 10.0;

pub(super) struct Canvas<'a> {
    out: &'a mut String,
    size: (u32, u32),
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl<'a> Canvas<'a> {
    /// Draws into `out`; the size is in units of the drawing.
    pub(super) fn new(out: &'a mut String, width: f64, height: f64) -> Self {
        let pixels = |units: f64| (units * PIXELS_PER_UNIT).round() as u32;
        Self { out, size: (pixels(width), pixels(height)) }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(text);
    }

    fn stroke(&mut self, color: BackendColor, width: u32) {
        let ink = Ink::from_carrier(color.rgb);
        let (index, light) = (ink.colour, COLOURS[usize::from(ink.colour)].0);
        self.write(format_args!(
            " class=\"s{index}\" fill=\"none\" stroke=\"{light}\" stroke-width=\"{}\"",
            Units(width as i32)
        ));
        if ink.dash > 0 {
            self.write(format_args!(" stroke-dasharray=\"{}\"", DASHES[usize::from(ink.dash)]));
        }
        self.opacity(color);
    }

    fn fill(&mut self, color: BackendColor) {
        let ink = Ink::from_carrier(color.rgb);
        self.write(format_args!(
            " class=\"f{}\" fill=\"{}\"",
            ink.colour,
            COLOURS[usize::from(ink.colour)].0
        ));
        self.opacity(color);
    }

    fn opacity(&mut self, color: BackendColor) {
        if color.alpha < 1.0 {
            self.write(format_args!(" opacity=\"{:.2}\"", color.alpha));
        }
    }

    fn points(&mut self, points: impl IntoIterator<Item = BackendCoord>) {
        self.out.push_str(" points=\"");
        let mut last = None;
        for point in points {
            if last != Some(point) {
                let space = if last.is_some() { " " } else { "" };
                self.write(format_args!("{space}{},{}", Units(point.0), Units(point.1)));
                last = Some(point);
            }
        }
        self.out.push('"');
    }
}

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect(point, (point.0 + 1, point.1 + 1), &color, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        if style.color().alpha > 0.0 {
            let (x1, y1, x2, y2) = (Units(from.0), Units(from.1), Units(to.0), Units(to.1));
            self.write(format_args!("<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\""));
            self.stroke(style.color(), style.stroke_width());
            self.out.push_str("/>\n");
        }
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            let (x, y) = (Units(upper_left.0), Units(upper_left.1));
            let (width, height) =
                (Units(bottom_right.0 - upper_left.0), Units(bottom_right.1 - upper_left.1));
            self.write(format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\""));
            if fill {
                self.fill(style.color())
            } else {
                self.stroke(style.color(), style.stroke_width())
            }
            self.out.push_str("/>\n");
        }
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            self.out.push_str("<polyline");
            self.stroke(style.color(), style.stroke_width());
            self.points(path);
            self.out.push_str("/>\n");
        }
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        center: BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            let (x, y, r) = (Units(center.0), Units(center.1), Units(radius as i32));
            self.write(format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\""));
            if fill {
                self.fill(style.color())
            } else {
                self.stroke(style.color(), style.stroke_width())
            }
            self.out.push_str("/>\n");
        }
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        vert: I,
        style: &S,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            self.out.push_str("<polygon");
            self.fill(style.color());
            self.points(vert);
            self.out.push_str("/>\n");
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, pos: BackendCoord) -> Drawn {
        let anchor = match style.anchor().h_pos {
            HPos::Left => "start",
            HPos::Center => "middle",
            HPos::Right => "end",
        };
        let shift = match style.anchor().v_pos {
            VPos::Top => ".8em",
            VPos::Center => ".35em",
            VPos::Bottom => "-.25em",
        };
        let size = Units(style.size().round() as i32);
        self.write(format_args!("<text x=\"{}\" y=\"{}\" dy=\"{shift}\"", Units(pos.0), Units(pos.1)));
        self.write(format_args!(" font-size=\"{size}\" text-anchor=\"{anchor}\""));
        if matches!(style.style(), FontStyle::Bold) {
            self.out.push_str(" font-weight=\"600\"");
        }
        self.fill(style.color());
        self.out.push('>');
        self.out.push_str(&escape(text));
        self.out.push_str("</text>\n");
        Ok(())
    }
}

/// Tenths, written as units without a needless ".0".
struct Units(i32);

impl std::fmt::Display for Units {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, value) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        match value % 10 {
            0 => write!(f, "{sign}{}", value / 10),
            tenth => write!(f, "{sign}{}.{tenth}", value / 10),
        }
    }
}
