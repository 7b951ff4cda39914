//! A user's own notes: Markdown in, harmless HTML out.
//!
//! What Markdown can say is let through by name. Markup in it is shown as the text that it is, an image as its description;
//! links lead to other pages and to mail only.

use crate::chart::escape;
use crate::wording::harmless;
use pulldown_cmark::{Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html};

/// Longer notes are cut; a report is one file for a mail.
const LONGEST: usize = 200_000;

/// `markdown` as HTML. Its highest headings become `<h3>`, and none goes more than one level deeper than the one before it.
pub(crate) fn to_html(markdown: &str) -> String {
    let text: String =
        markdown.chars().filter(|c| harmless(*c) || matches!(c, '\n' | '\t')).take(LONGEST).collect();
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut levels = Levels::of(&text, options);
    let mut state = State::default();
    let events =
        Parser::new_ext(&text, options).filter_map(|event| sanitised(event, &mut levels, &mut state));
    let mut out = String::new();
    html::push_html(&mut out, events);
    // A wide table scrolls by itself; a phone's page does not.
    out.replace(
        "<table>",
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table in the notes\"><table>",
    )
    .replace("</table>", "</table></div>")
}

/// What is open around an event.
#[derive(Default)]
struct State {
    /// For each open link, whether it was let through.
    links: Vec<bool>,
    heading: Option<HeadingLevel>,
}

fn sanitised<'a>(event: Event<'a>, levels: &mut Levels, state: &mut State) -> Option<Event<'a>> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        Event::Start(Tag::HtmlBlock) => Some(Event::Start(Tag::Paragraph)),
        Event::End(TagEnd::HtmlBlock) => Some(Event::End(TagEnd::Paragraph)),
        // Its description, which follows, stays.
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
        Event::Start(Tag::Link { link_type, dest_url, .. }) => {
            let scheme = if link_type == LinkType::Email { "mailto:" } else { "" };
            let target = allowed(&format!("{scheme}{dest_url}"));
            state.links.push(target.is_some());
            let target = target?;
            Some(Event::InlineHtml(
                format!("<a href=\"{}\" rel=\"noopener noreferrer nofollow\">", escape(&target)).into(),
            ))
        }
        Event::End(TagEnd::Link) => {
            state.links.pop().filter(|is_open| *is_open).map(|_| Event::InlineHtml("</a>".into()))
        }
        Event::Start(Tag::Heading { level, .. }) => {
            let level = levels.next(level);
            state.heading = Some(level);
            Some(Event::Start(Tag::Heading { level, id: None, classes: Vec::new(), attrs: Vec::new() }))
        }
        Event::End(TagEnd::Heading(level)) => {
            Some(Event::End(TagEnd::Heading(state.heading.take().unwrap_or(level))))
        }
        // A language after the fence would become a class.
        Event::Start(Tag::CodeBlock(_)) => {
            Some(Event::Start(Tag::CodeBlock(pulldown_cmark::CodeBlockKind::Indented)))
        }
        other => Some(other),
    }
}

/// The address, if it is one that a report may lead to.
fn allowed(address: &str) -> Option<String> {
    let address: String = address.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
    let scheme = address.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase())?;
    matches!(scheme.as_str(), "http" | "https" | "mailto").then_some(address)
}

/// Headings in order.
struct Levels {
    /// The highest level of the notes.
    highest: usize,
    /// The level written last; the notes stand below an `<h2>`.
    last: usize,
}

impl Levels {
    fn of(text: &str, options: Options) -> Self {
        let levels = Parser::new_ext(text, options).filter_map(|event| match event {
            Event::Start(Tag::Heading { level, .. }) => Some(level as usize),
            _ => None,
        });
        Self { highest: levels.min().unwrap_or(1), last: 2 }
    }

    fn next(&mut self, level: HeadingLevel) -> HeadingLevel {
        let wanted = 3 + (level as usize).saturating_sub(self.highest);
        self.last = wanted.min(self.last + 1).min(6);
        HeadingLevel::try_from(self.last).unwrap_or(HeadingLevel::H6)
    }
}

#[cfg(test)]
mod tests {
    use super::to_html;

    #[test]
    fn markdown_becomes_html_below_the_headings_of_the_report() {
        let html = to_html(
            "# Why\n\n*Because* of **this**.\n\n### Deep\n\n- a\n- b\n\n| x | y |\n|---|---|\n| 1 | 2 |\n",
        );
        assert!(html.contains("<h3>Why</h3>") && html.contains("<h4>Deep</h4>"), "{html}");
        assert!(html.contains("<em>Because</em> of <strong>this</strong>") && html.contains("<li>a</li>"));
        assert!(html.contains("<td>1</td>") && html.contains("</table></div>"));
        assert_eq!(
            to_html("## b\n# a\n## c"),
            "<h3>b</h3>\n<h3>a</h3>\n<h4>c</h4>\n",
            "no level is jumped over"
        );
        assert_eq!(
            to_html("a [link](https://example.org/?a=1&b=\"2\") here"),
            "<p>a <a href=\"https://example.org/?a=1&amp;b=&quot;2&quot;\" rel=\"noopener noreferrer nofollow\">link</a> here</p>\n"
        );
        assert!(to_html("<me@example.org>").contains("href=\"mailto:me@example.org\""));
    }

    #[test]
    fn what_could_do_harm_is_text() {
        for hostile in [
            "<script>alert(1)</script>",
            "text <img src=x onerror=alert(1)> text",
            "![a picture](https://example.org/track.png)",
            "![<b>x</b>](data:image/png;base64,AAAA \"title\")",
            "[click](javascript:alert(1))",
            "[click](JaVa\tScript:alert(1))",
            "[click]( javascript:alert(1) )",
            "[click](data:text/html;base64,PHNjcmlwdD4=)",
            "[click](vbscript:x) [a](//example.org) [b](file:///etc/passwd)",
            "<javascript:alert(1)>",
            "[x]: javascript:alert(1)\n\n[x]",
            "# a {#id .class onclick=alert(1)}",
            "```\" onload=\"alert(1)\nx\n```",
            "<!-- --><svg onload=alert(1)>",
            "</main></body><style>*{display:none}</style>",
            "\u{202E}gnp.exe",
        ] {
            let html = to_html(hostile);
            for tag in ["<script", "<img", "<svg", "<style", "</main", "<iframe", "<!--"] {
                assert!(!html.contains(tag), "{hostile}: {html}");
            }
            for piece in html.split('<').filter_map(|rest| rest.split('>').next()) {
                let piece = piece.to_lowercase();
                assert!(!piece.contains("javascript") && !piece.contains(" on"), "{hostile}: {html}");
                assert!(!piece.contains("data:") && !piece.contains("src="), "{hostile}: {html}");
                assert!(!piece.starts_with("a ") || piece.contains("rel=\"noopener"), "{hostile}: {html}");
            }
            assert!(!html.contains('\u{202E}'));
        }
        assert!(to_html("![a picture](https://example.org/track.png)").contains("a picture"));
    }
}
