//! Dataframes and series as HTML tables.

use std::fmt::Write as _;

use polars::prelude::{AnyValue, Column, DataFrame, DataType, IntoColumn, Series};

use super::{MimeBundle, Show, escape};

/// More rows than this are cut in the middle.
const MAX_ROWS: usize = 20;
/// More columns than this are cut in the middle.
const MAX_COLUMNS: usize = 30;
/// A value up to this length stays on one line.
const MAX_UNBROKEN: usize = 40;
/// A value longer than this is cut.
const MAX_CHARS: usize = 120;

impl Show for DataFrame {
    fn mime_bundle(&self) -> MimeBundle {
        MimeBundle::text(self.to_string()).html(table(self.columns(), self.height()))
    }
}

impl Show for Series {
    fn mime_bundle(&self) -> MimeBundle {
        let column = self.clone().into_column();
        MimeBundle::text(self.to_string()).html(table(&[column], self.len()))
    }
}

impl Show for Column {
    fn mime_bundle(&self) -> MimeBundle {
        MimeBundle::text(self.as_materialized_series().to_string())
            .html(table(std::slice::from_ref(self), self.len()))
    }
}

/// The table: names, types, then rows; numbers stand to the right, and the shape is stated below.
pub(super) fn table(columns: &[Column], height: usize) -> String {
    let shown_columns = shown(columns.len(), MAX_COLUMNS);
    let shown_rows = shown(height, MAX_ROWS);
    let mut html =
        String::from(r#"<div style="overflow-x:auto"><table border="1" class="dataframe"><thead><tr>"#);
    for column in &shown_columns {
        let _ = match column.map(|at| &columns[at]) {
            Some(column) => write!(
                html,
                r#"<th style="text-align:{}">{}<br><span style="font-weight:normal;opacity:.65">{}</span></th>"#,
                alignment(column.dtype()),
                escape(column.name()),
                escape(&column.dtype().to_string()),
            ),
            None => write!(html, "<th>…</th>"),
        };
    }
    html.push_str("</tr></thead><tbody>");
    for row in &shown_rows {
        html.push_str("<tr>");
        for column in &shown_columns {
            let _ = match (row, column.map(|at| &columns[at])) {
                (Some(row), Some(column)) => {
                    let text = value(column, *row);
                    let wrap = if text.chars().count() > MAX_UNBROKEN { "" } else { ";white-space:nowrap" };
                    let (align, text) = (alignment(column.dtype()), escape(&text));
                    write!(html, r#"<td style="text-align:{align}{wrap}">{text}</td>"#)
                }
                _ => write!(html, "<td>…</td>"),
            };
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table>");
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let _ =
        write!(html, "<small>{} × {}</small></div>", plural(height, "row"), plural(columns.len(), "column"));
    html
}

/// Which of `n` are shown: all, or the first and the last with a gap (`None`) between.
fn shown(n: usize, max: usize) -> Vec<Option<usize>> {
    if n <= max {
        return (0..n).map(Some).collect();
    }
    let (head, tail) = (max.div_ceil(2), max / 2);
    (0..head).map(Some).chain([None]).chain((n - tail..n).map(Some)).collect()
}

fn alignment(dtype: &DataType) -> &'static str {
    if dtype.is_primitive_numeric() { "right" } else { "left" }
}

fn value(column: &Column, row: usize) -> String {
    let text = match column.get(row) {
        Ok(AnyValue::Null) | Err(_) => "null".to_owned(),
        Ok(AnyValue::String(text)) => text.to_owned(),
        Ok(AnyValue::StringOwned(text)) => text.to_string(),
        Ok(AnyValue::Float64(x)) => float(x),
        Ok(AnyValue::Float32(x)) => float(f64::from(x)),
        Ok(other) => other.to_string(),
    };
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Six significant digits, and no more zeros than say something.
fn float(x: f64) -> String {
    let magnitude = x.abs();
    if !x.is_finite() || magnitude == 0.0 {
        return format!("{x:?}");
    }
    if !(1e-4..1e9).contains(&magnitude) {
        return format!("{x:.5e}");
    }
    let digits = (5 - magnitude.log10().floor() as i32).clamp(1, 9) as usize;
    let text = format!("{x:.digits$}");
    let trimmed = text.trim_end_matches('0');
    if trimmed.ends_with('.') { format!("{trimmed}0") } else { trimmed.to_owned() }
}

#[cfg(test)]
mod tests {
    use polars::df;

    use super::*;

    #[test]
    fn numbers_stand_right_under_their_type_and_text_is_escaped() {
        let frame =
            df!("<b>" => ["<script>", "a & b"], "x" => [1.5, f64::NAN], "n" => [Some(1), None]).unwrap();
        let html = frame.mime_bundle().as_json()["text/html"].as_str().unwrap().to_owned();
        for part in [
            "&lt;b&gt;<br>",
            "&lt;script&gt;",
            "a &amp; b",
            r#"<td style="text-align:right;white-space:nowrap">1.5</td>"#,
            ">f64</span>",
            ">NaN<",
            ">null<",
            "2 rows × 3 columns",
        ] {
            assert!(html.contains(part), "{part} is missing from {html}");
        }
        assert!(!html.contains("<script"));
    }

    #[test]
    fn a_long_table_is_cut_in_the_middle_with_its_shape_stated() {
        let frame = df!("n" => (0..1000).collect::<Vec<i32>>()).unwrap();
        let html = frame.mime_bundle().as_json()["text/html"].as_str().unwrap().to_owned();
        assert_eq!(html.matches("<tr>").count(), 1 + MAX_ROWS + 1);
        assert!(html.contains(">9<") && !html.contains(">10<") && html.contains(">990<"));
        assert!(html.contains("1000 rows × 1 column<"));
    }

    #[test]
    fn floats_are_short() {
        for (x, text) in
            [(0.1 + 0.2, "0.3"), (1234.5678, "1234.57"), (1e-7, "1.00000e-7"), (3.0, "3.0"), (-0.0, "-0.0")]
        {
            assert_eq!(float(x), text);
        }
    }
}
