//! Text for a terminal: nothing in a name or a log line may steer it, and everything fits its width.

use console::measure_text_width;

/// Whether a terminal would act on `c` instead of showing it: control characters, and the marks that turn the reading
/// direction or hide what follows.
pub(super) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// `text` with everything escaped that a terminal would act on, as Rust writes it: `\u{1b}`, `\n`.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // The joiner of emoji between two of them is harmless and wanted.
        if steers(c) && c != '\u{200D}' {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// As [`printable`], for a text of several lines, which may hold tabulators.
pub(super) fn printable_lines(text: &str) -> String {
    let line = |line: &str| line.split('\t').map(printable).collect::<Vec<_>>().join("\t");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// `text` in at most `width` columns: its middle gives way to an ellipsis, since names tend to differ at their ends.
pub(super) fn fit(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.to_owned();
    }
    if width == 0 {
        return String::new();
    }
    let mut buffer = [0; 4];
    let mut take = |chars: &mut dyn Iterator<Item = char>, room: usize| {
        let (mut taken, mut used) = (Vec::new(), 0);
        for c in chars {
            used += measure_text_width(c.encode_utf8(&mut buffer));
            if used > room {
                break;
            }
            taken.push(c);
        }
        taken
    };
    let back = (width - 1) / 3;
    let front = take(&mut text.chars(), width - 1 - back);
    let mut tail = take(&mut text.chars().rev(), back);
    tail.reverse();
    front.into_iter().chain(['…']).chain(tail).collect()
}

/// `text` with blanks to `width` columns, before it if `right`.
pub(super) fn pad(text: &str, width: usize, right: bool) -> String {
    let blanks = " ".repeat(width.saturating_sub(measure_text_width(text)));
    if right { blanks + text } else { text.to_owned() + &blanks }
}

/// "0:07", "12:31", "2:05:09".
pub(super) fn clock(secs: f64) -> String {
    let secs = secs.max(0.0).round() as u64;
    let (hours, minutes, secs) = (secs / 3600, secs / 60 % 60, secs % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{secs:02}") } else { format!("{minutes}:{secs:02}") }
}

/// "1 run", "3 runs".
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// A number with about five significant digits.
pub(super) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() || (value.fract() == 0.0 && magnitude < 1e15) {
        format!("{value}")
    } else if !(1e-4..1e9).contains(&magnitude) {
        format!("{value:.3e}")
    } else {
        let digits = (4 - magnitude.log10().floor() as i64).clamp(0, 8) as usize;
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        for hostile in
            ["\u{1b}[2J", "\u{9b}31m", "\u{7}", "a\rb", "\u{202E}gnp", "\u{7f}", "\u{0}", "\u{2066}x", "a\nb"]
        {
            let shown = printable(hostile);
            assert!(!shown.chars().any(steers), "{shown:?}");
        }
        assert_eq!(printable("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(printable("schön 训练 🚀 é"), "schön 训练 🚀 é");
        assert_eq!(printable_lines("one\ntwo\u{1b}c"), "one\ntwo\\u{1b}c");
    }

    #[test]
    fn a_text_is_cut_in_its_middle_to_the_width_of_the_terminal() {
        assert_eq!(fit("short", 10), "short");
        assert_eq!(fit("glister-30-of-fashion-mnist-seed-7", 16), "glister-30…eed-7");
        for width in 0..30 {
            for text in ["训练训练训练训练训练训练", "🚀🚀🚀🚀🚀🚀", "abcdefghijklmnopqrstuvwxyzabcdef"]
            {
                assert!(measure_text_width(&fit(text, width)) <= width, "{text} in {width}");
            }
        }
        assert_eq!(pad("训练", 6, false), "训练  ");
        assert_eq!(pad("7", 3, true), "  7");
    }

    #[test]
    fn numbers_and_times_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (3.0, "3"),
            (0.912_345_6, "0.91235"),
            (1234.567, "1234.6"),
            (1e-7, "1.000e-7"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), expected);
        }
        assert_eq!(
            (clock(7.4), clock(751.0), clock(7509.0)),
            ("0:07".into(), "12:31".into(), "2:05:09".into())
        );
    }
}
