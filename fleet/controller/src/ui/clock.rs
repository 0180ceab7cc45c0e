//! Times of day for the page, by the controller's clock and in UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Writes the time of day to the second, `14:03:22`.
pub(crate) fn second(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string()
}

/// Writes date and time of an RFC 3339 text to the minute, `2026-05-04 14:03 UTC`; other text stays out.
pub(crate) fn minute(text: &str) -> String {
    text.parse::<Timestamp>()
        .map(|at| {
            at.to_zoned(TimeZone::UTC)
                .strftime("%Y-%m-%d %H:%M UTC")
                .to_string()
        })
        .unwrap_or_default()
}

/// Writes date and time to the second in RFC 3339, for machines and titles.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// Whole seconds from `then` to `now`; zero when `then` is in the future.
pub(crate) fn seconds_between(then: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.as_second().saturating_sub(then.as_second())).unwrap_or(0)
}
