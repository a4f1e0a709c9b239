//! Times and spans as people write and read them. The only place that reads the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use markstein_proto::TimeMs;

/// This machine's clock.
#[must_use]
pub fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A moment in UTC (RFC 3339), to the second; its number where no calendar reaches it.
#[must_use]
pub fn rfc3339(time: TimeMs) -> String {
    let seconds = i64::try_from(time.0 / 1000).ok().and_then(|s| Timestamp::from_second(s).ok());
    seconds.map_or_else(|| format!("{} ms after 1970", time.0), |t| t.to_string())
}

/// Reads the end of a document's validity: a day (to its last moment, UTC) or a moment in RFC 3339.
///
/// # Errors
/// A sentence that says what to write.
pub fn parse_valid_until(text: &str) -> Result<TimeMs, String> {
    let end_of_day = |day: Date| {
        let last_moment = TimeZone::UTC.to_timestamp(day.at(23, 59, 59, 999_000_000)).ok()?;
        Some(last_moment.as_millisecond())
    };
    let millis = match text.parse::<Date>() {
        Ok(day) if text.len() == 10 => end_of_day(day),
        _ => text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
    };
    let millis = millis.and_then(|m| u64::try_from(m).ok()).filter(|m| *m > 0);
    millis
        .map(TimeMs)
        .ok_or_else(|| "write a day such as 2031-12-31 or a moment such as 2031-12-31T12:00:00Z".into())
}

/// Reads a span: a number and one of s, m, h, d, w.
///
/// # Errors
/// A sentence that says what to write.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        Some(b'd') => 86_400,
        Some(b'w') => 604_800,
        _ => 0,
    };
    let digits = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
    let number = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse::<u64>().ok() } else { None };
    let seconds = number.filter(|_| unit > 0).and_then(|n| n.checked_mul(unit));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "write a number and a unit: 90s, 15m, 24h, 7d or 2w".into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        assert_eq!(rfc3339(TimeMs(1_795_000_000_999)), "2026-11-18T11:06:40Z");
        assert_eq!(rfc3339(TimeMs(u64::MAX)), "18446744073709551615 ms after 1970");
        assert_eq!(parse_valid_until("1970-01-01").unwrap(), TimeMs(86_399_999));
        assert_eq!(parse_valid_until("1970-01-02T00:00:00+01:00").unwrap(), TimeMs(82_800_000));
        for text in ["", "tomorrow", "2031-13-01", "1969-01-01", "2031-12-31T12:00:00", "2031"] {
            assert!(parse_valid_until(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn spans() {
        for (text, seconds) in
            [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600)]
        {
            assert_eq!(parse_span(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for text in ["", "s", "7", "-1d", "+1d", "1 d", "1.5h", "99999999999999999999w", "1ü"] {
            assert!(parse_span(text).is_err(), "{text:?}");
        }
    }
}
