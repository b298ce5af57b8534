//! Durations and timestamps: Go's syntax, and the bounds that protobuf sets.

use jiff::civil::{Date, DateTime, Time, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::error::Error;

const SECOND: i64 = 1_000_000_000;
/// `0001-01-01T00:00:00Z`, in seconds.
const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;
const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

const UNITS: &[(&str, i64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

/// Nanoseconds of Go's `1h30m`, `-1.5s` and the like.
pub fn parse_duration(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Some(0);
    }
    if unsigned.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let (nanos, behind) = duration_part(rest)?;
        total = total.checked_add(nanos)?;
        rest = behind;
    }
    i64::try_from(if text.starts_with('-') { -total } else { total }).ok()
}

/// One number with its unit, and what follows it.
fn duration_part(text: &str) -> Option<(i128, &str)> {
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(number);
    let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit);
    let scale = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') || whole.len() > 19 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Nineteen digits behind the point are below what a nanosecond of an hour could need.
    let digits = &fraction[..fraction.len().min(18)];
    let part: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let part = part * i128::from(scale) / 10_i128.pow(digits.len() as u32);
    Some((whole * i128::from(scale) + part, rest))
}

/// Seconds with all digits that matter.
pub fn duration_text(nanos: i64) -> String {
    format!("{}s", nanos as f64 / SECOND as f64)
}

/// Nanoseconds since 1970, from the year 1 to the year 9999.
pub type Instant = i128;

/// RFC 3339, as Go reads it.
pub fn parse_timestamp(text: &str) -> Option<Instant> {
    let fixed = text.is_ascii() && text.len() >= 20 && text.as_bytes()[10] == b'T' && !text[17..].starts_with("60");
    if !fixed {
        return None;
    }
    let (local, offset) = match text.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let (local, offset) = text.split_at(text.len() - 6);
            (local, offset_seconds(offset).filter(|_| offset.starts_with(['+', '-']))?)
        }
    };
    let digits_end = local.len().min("2006-01-02T15:04:05.999999999".len());
    let fraction = local.get(19..).unwrap_or_default();
    let fraction_is_well = fraction.is_empty()
        || fraction
            .strip_prefix('.')
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    if local.len() < 19 || !fraction_is_well {
        return None;
    }
    let local: DateTime = local[..digits_end].parse().ok()?;
    in_bounds(nanoseconds(local) - i128::from(offset) * i128::from(SECOND)).ok()
}

/// Midnight of a day such as `2024-02-29`.
pub fn parse_date(text: &str) -> Option<Instant> {
    if text.len() != 10 {
        return None;
    }
    let date: Date = text.parse().ok()?;
    Some(nanoseconds(date.to_datetime(Time::midnight())))
}

/// Of a time in UTC.
fn nanoseconds(local: DateTime) -> Instant {
    local.duration_since(EPOCH).as_nanos()
}

/// The time in UTC.
fn utc(instant: Instant) -> Option<DateTime> {
    let seconds = i64::try_from(instant.div_euclid(SECOND.into())).ok()?;
    let nanos = i32::try_from(instant.rem_euclid(SECOND.into())).ok()?;
    EPOCH.checked_add(SignedDuration::new(seconds, nanos)).ok()
}

pub fn timestamp_text(instant: Instant) -> String {
    utc(instant).map_or_else(String::new, |local| format!("{local}Z"))
}

pub fn seconds(instant: Instant) -> i64 {
    instant.div_euclid(SECOND.into()) as i64
}

pub fn of_seconds(seconds: i64) -> Result<Instant, Error> {
    in_bounds(i128::from(seconds) * i128::from(SECOND))
}

/// Some nanoseconds later.
pub fn add(instant: Instant, nanos: i128) -> Result<Instant, Error> {
    in_bounds(instant.saturating_add(nanos))
}

fn in_bounds(instant: Instant) -> Result<Instant, Error> {
    let seconds = instant.div_euclid(SECOND.into());
    let inside = (i128::from(FIRST_SECOND)..=i128::from(LAST_SECOND)).contains(&seconds);
    if inside { Ok(instant) } else { Err(overflow()) }
}

fn overflow() -> Error {
    Error::failed("timestamp overflow")
}

/// The time in a zone: a name, or an offset such as `-02:00`; UTC if empty.
pub fn in_zone(instant: Instant, zone: &str) -> Result<DateTime, Error> {
    let offset = match zone {
        "" | "UTC" => 0,
        zone if zone.contains(':') => offset_seconds(zone)
            .ok_or_else(|| Error::failed(format!("strconv.Atoi: parsing \"{zone}\": invalid syntax")))?,
        zone => {
            let zone = TimeZone::get(zone).map_err(|_| Error::failed(format!("unknown time zone {zone}")))?;
            let nearest = instant.clamp(Timestamp::MIN.as_nanosecond(), Timestamp::MAX.as_nanosecond());
            let nearest = Timestamp::from_nanosecond(nearest).map_err(|_| overflow())?;
            i64::from(zone.to_offset(nearest).seconds())
        }
    };
    utc(instant + i128::from(offset) * i128::from(SECOND)).ok_or_else(overflow)
}

/// Of `+01:00`, `-02:30` or `03:00`.
fn offset_seconds(text: &str) -> Option<i64> {
    let (hours, minutes) = text.strip_prefix(['-', '+']).unwrap_or(text).split_once(':')?;
    let number = |digits: &str| {
        let well_formed = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i64>().ok().filter(|_| well_formed)
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = (hours * 60 + minutes) * 60;
    (hours < 24 && minutes < 60).then_some(if text.starts_with('-') { -seconds } else { seconds })
}
