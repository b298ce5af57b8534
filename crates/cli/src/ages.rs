//! Durations and instants as people read and write them.

use std::time::Duration;

use jiff::Timestamp;

use crate::{Error, Result};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// `5s`, `3m20s`, `5h10m`, `3d4h`, `2y30d`: two units at most.
///
/// upstream: staging/src/k8s.io/apimachinery/pkg/util/duration
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, unit: char, small: u64, small_unit: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(seconds / MINUTE, 'm', seconds % MINUTE, 's'),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two(seconds / HOUR, 'h', seconds % HOUR / MINUTE, 'm'),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two(seconds / DAY, 'd', seconds % DAY / HOUR, 'h'),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two(seconds / YEAR, 'y', seconds % YEAR / DAY, 'd'),
        _ => format!("{}y", seconds / YEAR),
    }
}

/// How long ago a time was, as `metav1.Time` writes it; `<unknown>` for none.
pub fn age(time: &str, now: Timestamp) -> String {
    time.parse::<Timestamp>().map_or_else(|_| "<unknown>".to_owned(), |then| human(between(then, now)))
}

fn between(then: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(then).try_into().unwrap_or_default()
}

/// `Mon, 02 Jan 2006 15:04:05 +0000`; what is no time stays as it is.
pub fn long_date(time: &str) -> String {
    let parsed = time.parse::<Timestamp>();
    parsed.map_or_else(|_| time.to_owned(), |at| at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string())
}

/// A duration as Go writes it: `5m`, `1h30m`, `1.5s`, `300ms`, `0`.
pub fn parse(text: &str) -> Result<Duration> {
    let bad = || Error::plain(format!("time: invalid duration {text:?}"));
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        let after = &rest[digits..];
        let unit = &after[..after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len())];
        seconds += number * unit_seconds(unit).or((text == "0").then_some(0.0)).ok_or_else(bad)?;
        rest = &after[unit.len()..];
    }
    if text.is_empty() { Err(bad()) } else { Duration::try_from_secs_f64(seconds).map_err(|_| bad()) }
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "ns" => Some(1e-9),
        "us" | "µs" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        let cases = [
            (5, "5s"),
            (119, "119s"),
            (200, "3m20s"),
            (240, "4m"),
            (3600, "60m"),
            (3 * HOUR + 600, "3h10m"),
            (10 * HOUR + 60, "10h"),
            (3 * DAY + 4 * HOUR, "3d4h"),
            (30 * DAY, "30d"),
            (2 * YEAR + 30 * DAY, "2y30d"),
            (9 * YEAR, "9y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn times_are_told_by_their_age_or_in_full() {
        let now = "2026-01-02T00:05:00Z".parse().unwrap();
        assert_eq!(age("2026-01-02T00:00:00Z", now), "5m");
        assert_eq!(age("2026-01-02T00:06:00Z", now), "0s");
        assert_eq!(age("", now), "<unknown>");
        assert_eq!(long_date("2026-01-02T03:04:05Z"), "Fri, 02 Jan 2026 03:04:05 +0000");
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let cases = [("5m", 300.0), ("1h30m", 5400.0), ("1.5s", 1.5), ("300ms", 0.3), ("0", 0.0), ("0s", 0.0)];
        for (text, seconds) in cases {
            assert_eq!(parse(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
        for text in ["", "5", "m", "5x", "-1s", "1m5"] {
            assert_eq!(parse(text).unwrap_err().to_string(), format!("error: time: invalid duration {text:?}"));
        }
    }
}
