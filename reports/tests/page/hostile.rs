//! Random hostile text in every field: whatever it is, the page has the tags of a report and no others.

use crate::made_up::{self, Noise};
use glisten_reports::summary::Published;
use glisten_reports::{ContactSheet, Options, Sample, Tables, render_tables};
use polars::prelude::*;

const FRAGMENTS: [&str; 34] = [
    "<script>alert(1)</script>",
    "</script>",
    "</style>",
    "</title>",
    "</svg>",
    "<!--",
    "-->",
    "]]>",
    "<![CDATA[",
    "\"",
    "'",
    "`",
    " onload=alert(1) ",
    "\" onmouseover=\"alert(1)",
    "javascript:alert(1)",
    "<img src=x onerror=alert(1)>",
    "&lt;",
    "&#x3c;script&#x3e;",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{%",
    "\u{202E}",
    "\u{2066}",
    "\u{200F}",
    "\u{0}",
    "\u{1b}[31m",
    "\n",
    "\r",
    "\u{FFFE}",
    "𝒳",
    "日本語",
    "![x](https://example.invalid/x.png)",
    "[x](javascript:alert(1))",
    "<a href='//x.invalid'>",
];

fn text(noise: &mut Noise) -> String {
    let n = noise.bits() >> 61;
    let mut text = String::new();
    for _ in 0..=n {
        let bits = noise.bits() >> 33;
        match bits % 4 {
            0 => text.extend(char::from_u32((noise.bits() >> 43) as u32)),
            1 if bits % 64 == 1 => text.push_str(&"m".repeat(10_000)),
            _ => text.push_str(FRAGMENTS[(bits / 4) as usize % FRAGMENTS.len()]),
        }
    }
    text
}

/// The tags of a page, attributes and all; what stands in `<style>` and `<script>` is passed over.
fn tags(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let mut quote = None;
        let end = rest.char_indices().find(|(_, c)| match (quote, c) {
            (None, '>') => true,
            (None, '"' | '\'') => {
                quote = Some(*c);
                false
            }
            (Some(open), c) if open == *c => {
                quote = None;
                false
            }
            _ => false,
        });
        let end = end.expect("a tag is closed").0;
        let tag = rest[..end].to_owned();
        rest = &rest[end + 1..];
        for raw in ["style", "script"] {
            if tag == raw {
                rest = &rest[rest.find(&format!("</{raw}>")).expect("it is closed")..];
            }
        }
        found.push(tag);
    }
    found
}

const KNOWN: [&str; 49] = [
    "!doctype",
    "html",
    "head",
    "meta",
    "link",
    "title",
    "style",
    "script",
    "body",
    "header",
    "main",
    "footer",
    "section",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "p",
    "span",
    "bdi",
    "ul",
    "ol",
    "li",
    "div",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "dl",
    "dt",
    "dd",
    "pre",
    "code",
    "figure",
    "figcaption",
    "details",
    "summary",
    "svg",
    "desc",
    "line",
    "rect",
    "text",
    "polyline",
    "polygon",
    "circle",
];
/// What Markdown adds.
const NOTES: [&str; 8] = ["em", "strong", "a", "blockquote", "hr", "br", "del", "img"];

fn assert_harmless(html: &str, seed: u64) {
    let tags = tags(html);
    for tag in &tags {
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        assert!(KNOWN.contains(&name) || NOTES.contains(&name), "seed {seed}: <{tag}>");
        // Attributes: what is left when their values are taken out.
        let names: String = tag.split('"').step_by(2).collect();
        assert!(!names.contains(" on") && !names.contains(['\'', '`']), "seed {seed}: <{tag}>");
        assert!(!tag.contains("href=\"javascript") && !tag.contains("href=\"//"), "seed {seed}: <{tag}>");
        if name == "img" {
            assert!(tag.starts_with("img src=\"data:image/png;base64,"), "seed {seed}: <{tag}>");
        }
    }
    let count = |name: &str| tags.iter().filter(|tag| *tag == name).count();
    assert_eq!(
        (count("script"), count("/script"), count("/main"), count("/html")),
        (1, 1, 1, 1),
        "seed {seed}"
    );
    assert_eq!(count("/style"), count("/svg") + 1, "seed {seed}");
    assert_eq!(count("/table"), count("/thead"), "seed {seed}");
    let turning = ['\u{202E}', '\u{2066}', '\u{200F}', '\u{0}', '\u{1b}', '\u{FFFE}'];
    assert!(!html.contains(turning), "seed {seed}");
    assert!(html.len() < 400_000, "seed {seed}: {} bytes", html.len());
}

#[test]
fn whatever_stands_in_a_field_is_text() {
    let noise = &mut Noise(2026);
    for seed in 0..60 {
        let mut made_up = made_up::runs(7, 3);
        let names: Vec<String> = (0..7).map(|i| format!("{}{i}", text(noise))).collect();
        let old: Vec<Option<String>> = made_up
            .runs
            .column("run")
            .unwrap()
            .str()
            .unwrap()
            .iter()
            .map(|name| name.map(str::to_owned))
            .collect();
        let renamed = |table: &DataFrame| -> Column {
            let new = |name: Option<&str>| {
                old.iter().position(|one| one.as_deref() == name).map(|at| names[at].clone())
            };
            let values = table.column("run").unwrap().str().unwrap().iter().map(new).collect::<Vec<_>>();
            Column::new("run".into(), values)
        };
        for table in [&mut made_up.metrics, &mut made_up.classes] {
            let column = renamed(table);
            table.with_column(column).unwrap();
        }
        let column = renamed(&made_up.runs);
        made_up.runs.with_column(column).unwrap();
        for field in
            ["experiment", "status", "dataset", "model", "command", "git_commit", "os", "environment.python"]
        {
            // A status that is not `completed` leaves nothing to draw: in some reports only.
            if field != "status" || seed % 4 == 0 {
                let values: Vec<String> =
                    (0..7).map(|i| if i % 2 == 0 { text(noise) } else { "b".to_owned() }).collect();
                made_up.runs.with_column(Column::new(field.into(), values)).unwrap();
            }
        }
        if seed % 2 == 0 {
            let values: Vec<String> =
                (0..7).map(|i| if i == 0 { "full".to_owned() } else { text(noise) }).collect();
            made_up.runs.with_column(Column::new("strategy".into(), values)).unwrap();
        }
        let parameter = format!("p{}", text(noise));
        let values: Vec<String> = (0..7).map(|_| text(noise)).collect();
        made_up.runs.with_column(Column::new(parameter.into(), values)).unwrap();
        let classes: Vec<String> =
            (0..made_up.classes.height()).map(|i| format!("{}{}", text(noise), i % 10)).collect();
        made_up.classes.with_column(Column::new("class".into(), classes)).unwrap();
        let sample =
            Sample { class: text(noise), width: 2, height: 2, pixels: vec![9; 4], ..Sample::default() };
        let images = ContactSheet {
            about: text(noise),
            n_selections: 3,
            most: vec![Sample { true_class: Some(text(noise)), ..sample.clone() }],
            least: vec![sample],
            ..ContactSheet::default()
        };
        let options = Options {
            title: Some(text(noise)),
            author: Some(text(noise)),
            written_at: Some(text(noise)),
            how_made: vec![text(noise), text(noise)],
            notes: Some(text(noise)),
            baseline: Some(names[0].clone()),
            runs: (seed % 3 == 0).then(|| "*".to_owned()).into_iter().collect(),
            published: vec![Published {
                source: text(noise),
                fraction: 0.3,
                speedup: 3.0,
                accuracy_lost: 1.0,
            }],
            ..Options::default()
        };
        let tables = Tables {
            runs: &made_up.runs,
            metrics: &made_up.metrics,
            classes: Some(&made_up.classes),
            images: &[images],
            not_shown: &[text(noise)],
        };
        assert_harmless(&render_tables(tables, &options).unwrap(), seed);
    }
}
