//! Moments as the store keeps them: milliseconds since 1970, in UTC. A store from elsewhere may hold any number.

use chrono::{DateTime, Utc};

/// What [`utc`] takes for a moment, for an error's text.
pub(crate) const KNOWN_TIMES: &str = "a time between the years 0 and 9999 in milliseconds since 1970";

/// 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z.
const EARLIEST_MS: i64 = -62_167_219_200_000;
const LATEST_MS: i64 = 253_402_300_799_999;

/// The moment `ms` milliseconds after 1970 began; `None` outside the years 0 to 9999, which RFC 3339 cannot write and
/// beyond which calendars (chrono's, Polars') panic.
pub fn utc(ms: i64) -> Option<DateTime<Utc>> {
    (EARLIEST_MS..=LATEST_MS).contains(&ms).then(|| DateTime::from_timestamp_millis(ms)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_that_a_calendar_has() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00+00:00"),
            (EARLIEST_MS, "0000-01-01T00:00:00+00:00"),
            (LATEST_MS, "9999-12-31T23:59:59.999+00:00"),
        ] {
            assert_eq!(utc(ms).unwrap().to_rfc3339(), text);
        }
        for ms in [i64::MIN, i64::MIN + 1, EARLIEST_MS - 1, LATEST_MS + 1, i64::MAX / 1000, i64::MAX] {
            assert_eq!(utc(ms), None, "{ms}");
        }
    }
}
