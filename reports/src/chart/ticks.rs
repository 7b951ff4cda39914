//! Ticks of axes that are not plain numbers: decades and times.

use super::frame::Axis;
use crate::wording;
use chrono::DateTime;

const SECOND: f64 = 1000.0;
const MINUTE: f64 = 60.0 * SECOND;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;

const TIME_STEPS: [f64; 26] = [
    SECOND,
    2.0 * SECOND,
    5.0 * SECOND,
    10.0 * SECOND,
    15.0 * SECOND,
    30.0 * SECOND,
    MINUTE,
    2.0 * MINUTE,
    5.0 * MINUTE,
    10.0 * MINUTE,
    15.0 * MINUTE,
    30.0 * MINUTE,
    HOUR,
    2.0 * HOUR,
    3.0 * HOUR,
    6.0 * HOUR,
    12.0 * HOUR,
    DAY,
    2.0 * DAY,
    5.0 * DAY,
    10.0 * DAY,
    20.0 * DAY,
    50.0 * DAY,
    100.0 * DAY,
    200.0 * DAY,
    400.0 * DAY,
];

/// An axis of decimal logarithms with at most about `n` ticks, each a power of ten.
pub(super) fn decades(low: f64, high: f64, n: usize, title: String) -> Axis {
    let pad = (high - low) * 0.03;
    let (first, last) = ((low - pad).ceil() as i64, (high + pad).floor() as i64);
    let step = ((last - first).unsigned_abs() as usize / n.max(2) + 1) as i64;
    let label = |power: i64| match power {
        -4..=5 => wording::trimmed(10_f64.powi(power as i32), 4),
        _ => format!("1e{power}").replace('-', "−"),
    };
    let ticks = (first..=last).filter(|power| power.rem_euclid(step) == 0);
    let ticks = ticks.map(|power| (power as f64, label(power))).collect();
    Axis { low: low - pad, high: high + pad, ticks, title }
}

/// An axis of milliseconds since 1970 with at most about `n` ticks.
pub(super) fn times(low: f64, high: f64, n: usize, title: &str) -> Axis {
    let pad = ((high - low) * 0.03).max(SECOND);
    let (low, high) = (low - pad, high + pad);
    let n = n.max(2) as f64;
    let step = TIME_STEPS.into_iter().find(|step| (high - low) / step <= n);
    let step = step.unwrap_or_else(|| DAY * ((high - low) / n / DAY).ceil());
    let is_one_day = (low / DAY).floor() == (high / DAY).floor();
    let form = |at: f64| match step {
        step if step >= 100.0 * DAY => "%b %Y",
        step if step >= DAY || (at % DAY == 0.0 && !is_one_day) => "%-d %b",
        step if step >= MINUTE => "%H:%M",
        _ => "%H:%M:%S",
    };
    let first = (low / step).ceil();
    let n_ticks = ((high / step).floor() - first).clamp(0.0, 50.0) as usize;
    let ticks = (0..=n_ticks).map(|i| (first + i as f64) * step);
    let ticks = ticks.map(|at| (at, moment(at, form(at)))).collect();
    // Where no tick names the day, the title does.
    let day = if is_one_day { format!(", {}", moment(low, "%-d %b %Y")) } else { String::new() };
    Axis { low, high, ticks, title: format!("{title}{day}") }
}

/// Milliseconds since 1970 in a form of `strftime`'s, UTC.
pub(super) fn moment(milliseconds: f64, form: &str) -> String {
    match DateTime::from_timestamp_millis(milliseconds as i64) {
        Some(moment) => moment.format(form).to_string(),
        None => format!("{milliseconds:.0} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.1.as_str()).collect()
    }

    #[test]
    fn decades_are_powers_of_ten_and_few() {
        assert_eq!(labels(&decades(-4.0, -1.0, 6, String::new())), ["0.0001", "0.001", "0.01", "0.1"]);
        assert_eq!(labels(&decades(-0.3, 2.1, 6, String::new())), ["1", "10", "100"]);
        let wide = decades(-300.0, 300.0, 6, String::new());
        assert!((2..=7).contains(&wide.ticks.len()) && labels(&wide).contains(&"1"), "{:?}", wide.ticks);
    }

    #[test]
    fn times_are_labelled_as_the_clock_reads() {
        let start = 1_700_000_000_000.0; // 14 Nov 2023 22:13:20 UTC
        let axis = times(start, start + 20.0 * MINUTE, 6, "created");
        assert_eq!(labels(&axis), ["22:15", "22:20", "22:25", "22:30"]);
        assert_eq!(axis.title, "created, 14 Nov 2023");
        let axis = times(start, start + 4.0 * HOUR, 6, "created");
        assert_eq!(labels(&axis), ["23:00", "15 Nov", "01:00", "02:00"]);
        let axis = times(start, start + 2.0 * DAY, 6, "created");
        assert_eq!(labels(&axis), ["15 Nov", "12:00", "16 Nov", "12:00"]);
        for span in [0.0, 1.0, 1e5, 1e9, 1e12, 1e15] {
            let axis = times(start, start + span, 6, "");
            assert!((1..=8).contains(&axis.ticks.len()), "{span}: {:?}", axis.ticks);
        }
        times(-1e299, 1e299, 6, "");
    }
}
