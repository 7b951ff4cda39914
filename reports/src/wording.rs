//! Numbers and names as people read them: one place, so that tables, charts and sentences agree.

use crate::statistics::Estimate;

/// The strategy that trains on everything.
pub(crate) const FULL: &str = "full";
/// What trains best, as Glisten has found: the first that a report speaks of.
pub(crate) const AUTO: &str = "auto";
/// The strategy whose figures are in print.
pub(crate) const GLISTER: &str = "glister";
/// The baseline that every strategy that chooses is compared with.
pub(crate) const FRESH_RANDOM: &str = "fresh-random";
/// A random subset drawn once.
pub(crate) const FIXED_RANDOM: &str = "fixed-random";

/// The strategies with a name, a colour and a mark of their own, in a report's order: full data, GLISTER and the random
/// ones, then the others that choose.
pub(crate) const STRATEGIES: [&str; 9] = [
    FULL,
    GLISTER,
    FRESH_RANDOM,
    FIXED_RANDOM,
    AUTO,
    "weighted-draw",
    "infobatch",
    "hardest-half",
    "grad-match",
];

/// Whether a strategy chooses what is trained on: whatever neither trains on everything nor draws at random.
pub(crate) fn chooses(strategy: &str) -> bool {
    !matches!(strategy, FULL | FRESH_RANDOM | FIXED_RANDOM)
}

/// A strategy's name in a label or at the start of a sentence.
pub(crate) fn strategy(name: &str) -> String {
    match name {
        FULL => "Full data".to_owned(),
        GLISTER => "GLISTER".to_owned(),
        FRESH_RANDOM => "Fresh random".to_owned(),
        FIXED_RANDOM => "Fixed random".to_owned(),
        "weighted-draw" => "Weighted draw".to_owned(),
        "infobatch" => "InfoBatch".to_owned(),
        "hardest-half" => "Hardest half".to_owned(),
        "grad-match" => "GRAD-MATCH".to_owned(),
        other => shorten(other, 24),
    }
}

/// A strategy's name within a sentence.
pub(crate) fn strategy_within(name: &str) -> String {
    match name {
        FULL | FRESH_RANDOM | FIXED_RANDOM | "weighted-draw" | "hardest-half" => {
            strategy(name).to_lowercase()
        }
        _ => strategy(name),
    }
}

/// Whether a character neither controls anything nor turns the reading direction.
pub(crate) fn harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{61C}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}')
}

/// `name` without control characters and marks that turn the reading direction, at most `limit` characters long:
/// the middle gives way to an ellipsis, since run names tend to differ at their ends.
pub(crate) fn shorten(name: &str, limit: usize) -> String {
    let harmless = |c: &char| harmless(*c);
    // Enough for any limit in use, and a name of a gigabyte costs no more than this.
    let clean: Vec<char> = name.chars().filter(harmless).take(limit + 1).collect();
    if clean.len() <= limit {
        return clean.into_iter().collect();
    }
    let back = (limit - 1) / 3;
    let front = limit - 1 - back;
    let mut tail: Vec<char> = name.chars().rev().filter(harmless).take(back).collect();
    tail.reverse();
    clean[..front].iter().chain(&['…']).chain(&tail).collect()
}

/// 0.3 → "30 %"; as many digits as the fraction needs, up to a thousandth of a per cent.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", trimmed(share * 100.0, 3))
}

/// `value` with at most `digits` decimals and no trailing zeros.
pub(crate) fn trimmed(value: f64, digits: usize) -> String {
    let text = fixed(value, digits);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `value` with `digits` decimals and a true minus sign.
pub(crate) fn fixed(value: f64, digits: usize) -> String {
    if value != 0.0 && (value.abs() >= 1e7 || value.is_infinite()) {
        return format!("{value:.2e}").replace('-', "−");
    }
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| matches!(c, '0' | '.')) => zero.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// An accuracy between 0 and 1: "0.902 ± 0.003".
pub(crate) fn accuracy(estimate: &Estimate) -> String {
    with_interval(estimate, 3)
}

/// Points (hundredths) of accuracy: "1.24 ± 0.31".
pub(crate) fn points(estimate: &Estimate) -> String {
    with_interval(estimate, 2)
}

/// A ratio of times: "3.1 ×".
pub(crate) fn times(ratio: f64) -> String {
    format!("{} ×", fixed(ratio, times_digits(ratio)))
}

/// A ratio of times with its interval: "3.1 × ± 0.2".
pub(crate) fn times_with_interval(estimate: &Estimate) -> String {
    match estimate.half_width {
        Some(half) => format!("{} ± {}", times(estimate.mean), fixed(half, times_digits(estimate.mean))),
        None => times(estimate.mean),
    }
}

fn times_digits(ratio: f64) -> usize {
    if ratio.abs() < 9.95 {
        2
    } else if ratio.abs() < 99.5 {
        1
    } else {
        0
    }
}

/// A duration: "0.42 s", "31.5 s", "4 min 07 s", "2 h 05 min".
pub(crate) fn seconds(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{} s", fixed(value, 2));
    }
    if value < 120.0 {
        return format!("{} s", fixed(value, 1));
    }
    if value >= 1e9 {
        return format!("{} s", fixed(value, 0));
    }
    let whole = value.round() as i64;
    if whole < 7200 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

fn with_interval(estimate: &Estimate, digits: usize) -> String {
    match estimate.half_width {
        Some(half) => {
            // A small interval is not zero: one digit more shows it.
            let unit = 0.1_f64.powi(digits as i32);
            let digits = if half > 0.0 && half < 0.95 * unit { digits + 1 } else { digits };
            format!("{} ± {}", fixed(estimate.mean, digits), fixed(half, digits))
        }
        None => fixed(estimate.mean, digits),
    }
}

/// "1 run", "3 runs".
pub(crate) fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// `text` with each number bound to its unit or interval, so that no line ends between them.
pub(crate) fn keep_together(text: &str) -> String {
    text.replace(" %", "\u{A0}%")
        .replace(" × ", "\u{A0}×\u{A0}")
        .replace(" ×", "\u{A0}×")
        .replace(" ± ", "\u{A0}±\u{A0}")
}

/// "a", "a and b", "a, b and c".
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [front @ .., last] => format!("{} and {last}", front.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(percent(0.3), "30 %");
        assert_eq!(percent(0.125), "12.5 %");
        assert_eq!(fixed(-0.0004, 2), "0.00");
        assert_eq!(fixed(-1.5, 1), "−1.5");
        assert_eq!(times(3.25), "3.25 ×");
        assert_eq!(times(31.4), "31.4 ×");
        assert_eq!(seconds(247.2), "4 min 07 s");
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }

    #[test]
    fn strategies_have_names_to_read() {
        let names = ["auto", "glister", "infobatch", "grad-match", "weighted-draw", "hardest-half", "mine"];
        assert_eq!(
            names.map(strategy),
            ["auto", "GLISTER", "InfoBatch", "GRAD-MATCH", "Weighted draw", "Hardest half", "mine"]
        );
        assert_eq!(
            names.map(strategy_within),
            ["auto", "GLISTER", "InfoBatch", "GRAD-MATCH", "weighted draw", "hardest half", "mine"]
        );
        assert!(names.into_iter().all(chooses));
        assert!(!["full", "fresh-random", "fixed-random"].into_iter().any(chooses));
    }

    #[test]
    fn hostile_names_become_harmless_and_short() {
        assert_eq!(shorten("a\u{202E}b\u{0}c\u{200F}", 10), "abc");
        let long = shorten(&"x".repeat(10_000), 24);
        assert_eq!(long.chars().count(), 24);
        assert_eq!(shorten("glister-30-of-fashion-mnist-seed-7", 16), "glister-30…eed-7");
    }
}
