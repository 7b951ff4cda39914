//! The study's two charts as SVG that stands on its own, for the README: light or dark as the reader's system is, on paper of
//! its own, so that it can be read on any page. They are written by hand: this program knows no library that draws.

mod accuracy_time;
mod difference;

use std::fmt::Write as _;

pub(super) use self::accuracy_time::accuracy_time;
pub(super) use self::difference::difference;

/// What is drawn of a strategy: its name in the store, its shape, and its colour on light and on dark paper.
struct Look {
    strategy: &'static str,
    shape: Shape,
    light: &'static str,
    dark: &'static str,
}

/// A mark that can be told from the others without its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Disc,
    Ring,
    Square,
    HollowSquare,
    Up,
    Down,
    Diamond,
    Cross,
}

/// In the order of the legend.
static LOOKS: [Look; 8] = [
    Look { strategy: "auto", shape: Shape::Disc, light: "#0b62b8", dark: "#63b0ff" },
    Look { strategy: "fresh-random", shape: Shape::Square, light: "#c2410c", dark: "#ff9a5c" },
    Look { strategy: "fixed-random", shape: Shape::HollowSquare, light: "#a8317a", dark: "#ef8fc6" },
    Look { strategy: "glister", shape: Shape::Up, light: "#00785a", dark: "#43cfa4" },
    Look { strategy: "infobatch", shape: Shape::Diamond, light: "#8a6100", dark: "#e3bd4b" },
    Look { strategy: "hardest-half", shape: Shape::Down, light: "#5b4bb5", dark: "#b3a6ff" },
    Look { strategy: "grad-match", shape: Shape::Cross, light: "#7a4a2b", dark: "#d2a184" },
    Look { strategy: "full", shape: Shape::Ring, light: "#4a525c", dark: "#c9cfd6" },
];

fn look(strategy: &str) -> Option<&'static Look> {
    LOOKS.iter().find(|look| look.strategy == strategy)
}

/// An SVG being written. Coordinates are pixels, down and to the right.
struct Canvas {
    body: String,
    width: f64,
    height: f64,
}

impl Canvas {
    fn new(width: f64, height: f64) -> Self {
        Self { body: String::new(), width, height }
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = self.body.write_fmt(element);
        self.body.push('\n');
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.push(format_args!(r#"<polyline class="{class}" points="{}"/>"#, points.join(" ")));
    }

    /// `anchor`: `start`, `middle` or `end`.
    fn text(&mut self, class: &str, anchor: &str, (x, y): (f64, f64), text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.push(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    fn mark(&mut self, look: &Look, (x, y): (f64, f64)) {
        let class = look.strategy;
        let corners = |corners: &[(f64, f64)]| {
            let points: Vec<String> =
                corners.iter().map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy)).collect();
            format!(r#"<polygon class="fill {class}" points="{}"/>"#, points.join(" "))
        };
        let element = match look.shape {
            Shape::Disc => format!(r#"<circle class="fill {class}" cx="{x:.1}" cy="{y:.1}" r="5"/>"#),
            Shape::Ring => format!(r#"<circle class="hollow {class}" cx="{x:.1}" cy="{y:.1}" r="5"/>"#),
            Shape::Square => corners(&[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)]),
            Shape::HollowSquare => format!(
                r#"<rect class="hollow {class}" x="{:.1}" y="{:.1}" width="8" height="8"/>"#,
                x - 4.0,
                y - 4.0
            ),
            Shape::Up => corners(&[(0.0, -5.0), (5.0, 4.0), (-5.0, 4.0)]),
            Shape::Down => corners(&[(0.0, 5.0), (5.0, -4.0), (-5.0, -4.0)]),
            Shape::Diamond => corners(&[(0.0, -5.5), (5.5, 0.0), (0.0, 5.5), (-5.5, 0.0)]),
            Shape::Cross => {
                format!(r#"<path class="hollow {class}" d="M{:.1} {:.1}l8 8m0 -8l-8 8"/>"#, x - 4.0, y - 4.0)
            }
        };
        self.push(format_args!("{element}"));
    }

    /// The strategies of `shown` with their marks, in a row.
    fn legend(&mut self, (mut x, y): (f64, f64), shown: &[&Look]) {
        for look in shown {
            self.mark(look, (x, y - 4.0));
            self.text("", "start", (x + 10.0, y), look.strategy);
            x += 30.0 + 7.0 * look.strategy.len() as f64;
        }
    }

    /// The whole file; `title` is for those who do not see it.
    fn finish(self, title: &str) -> String {
        let Self { body, width, height } = self;
        let mut style = String::from(
            "text{font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:var(--text)}\
             .quiet{fill:var(--quiet);font-size:12px}.head{font-weight:600;font-size:14px}\
             .paper{fill:var(--paper);stroke:var(--grid)}.grid{stroke:var(--grid)}.axis{stroke:var(--axis)}\
             .zero{stroke:var(--text)}polyline{fill:none;stroke-width:1.5}\
             .band{stroke-width:1.5}.fill{stroke:var(--paper);stroke-width:.75;fill:currentColor}\
             .hollow{fill:none;stroke:currentColor;stroke-width:2}.band,polyline{stroke:currentColor}.faint{opacity:.4}",
        );
        let colours = |of: fn(&Look) -> &str| {
            let of = |look: &Look| format!(".{}{{color:{}}}", look.strategy, of(look));
            LOOKS.iter().map(of).collect::<String>()
        };
        let _ = write!(
            style,
            "svg{{--text:#1b1f24;--quiet:#5b636d;--grid:#e4e7eb;--axis:#8a929c;--paper:#ffffff}}{}\
             @media (prefers-color-scheme:dark){{svg{{--text:#e6e9ed;--quiet:#a3abb5;--grid:#2d333a;--axis:#6c7580;\
             --paper:#15181c}}{}}}",
            colours(|look| look.light),
            colours(|look| look.dark)
        );
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n\
             <style>{style}</style>\n\
             <rect class=\"paper\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n{body}</svg>\n",
            width - 1.0,
            height - 1.0
        )
    }
}

/// A range of numbers on a range of pixels.
#[derive(Debug, Clone, Copy)]
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round numbers on it, at most about `n`.
    fn ticks(&self, n: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / n as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(rough);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step + 1e-9).floor() as i64);
        (first..=last).map(|at| at as f64 * step).collect()
    }
}

/// A number without zeros at its end, with a true minus.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::{Canvas, LOOKS, Scale, number};

    #[test]
    fn ticks_are_round() {
        let scale = Scale { low: -3.2, high: 7.9, from: 0.0, to: 100.0 };
        assert_eq!(scale.ticks(6), [-2.0, 0.0, 2.0, 4.0, 6.0]);
        assert_eq!(scale.at(-3.2), 0.0);
        assert_eq!(scale.at(7.9), 100.0);
        let narrow = Scale { low: 98.1, high: 99.0, from: 0.0, to: 1.0 };
        let labels: Vec<String> = narrow.ticks(5).into_iter().map(number).collect();
        assert_eq!(labels, ["98.2", "98.4", "98.6", "98.8", "99"]);
        assert_eq!((number(-0.5), number(10.0)), ("−0.5".to_owned(), "10".to_owned()));
    }

    #[test]
    fn a_file_is_one_svg_and_names_are_no_markup() {
        let mut canvas = Canvas::new(100.0, 50.0);
        canvas.text("", "start", (1.0, 2.0), "a < b & c");
        for look in &LOOKS {
            canvas.mark(look, (10.0, 10.0));
        }
        let svg = canvas.finish("A chart");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("<title>A chart</title>"));
        assert!(svg.contains("prefers-color-scheme:dark"));
        assert_eq!(svg.matches("currentColor").count(), 3);
    }
}
