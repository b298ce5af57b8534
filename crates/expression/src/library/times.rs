//! Parts of timestamps and durations.

use jiff::civil::DateTime;

use crate::declarations::Declaration;
use crate::error::Error;
use crate::meter::Meter;
use crate::time;
use crate::value::Value;

pub const LIBRARY: &[Declaration] = &[
    ("timestamp_to_year timestamp:getFullYear() -> int", year),
    ("timestamp_to_year_with_tz timestamp:getFullYear(string) -> int", year),
    ("timestamp_to_month timestamp:getMonth() -> int", month),
    ("timestamp_to_month_with_tz timestamp:getMonth(string) -> int", month),
    ("timestamp_to_day_of_year timestamp:getDayOfYear() -> int", day_of_year),
    ("timestamp_to_day_of_year_with_tz timestamp:getDayOfYear(string) -> int", day_of_year),
    ("timestamp_to_day_of_month timestamp:getDayOfMonth() -> int", day_of_month),
    ("timestamp_to_day_of_month_with_tz timestamp:getDayOfMonth(string) -> int", day_of_month),
    ("timestamp_to_day_of_month_1_based timestamp:getDate() -> int", date),
    ("timestamp_to_day_of_month_1_based_with_tz timestamp:getDate(string) -> int", date),
    ("timestamp_to_day_of_week timestamp:getDayOfWeek() -> int", day_of_week),
    ("timestamp_to_day_of_week_with_tz timestamp:getDayOfWeek(string) -> int", day_of_week),
    ("timestamp_to_hours timestamp:getHours() -> int", hours),
    ("timestamp_to_hours_with_tz timestamp:getHours(string) -> int", hours),
    ("duration_to_hours duration:getHours() -> int", hours),
    ("timestamp_to_minutes timestamp:getMinutes() -> int", minutes),
    ("timestamp_to_minutes_with_tz timestamp:getMinutes(string) -> int", minutes),
    ("duration_to_minutes duration:getMinutes() -> int", minutes),
    ("timestamp_to_seconds timestamp:getSeconds() -> int", seconds),
    ("timestamp_to_seconds_tz timestamp:getSeconds(string) -> int", seconds),
    ("duration_to_seconds duration:getSeconds() -> int", seconds),
    ("timestamp_to_milliseconds timestamp:getMilliseconds() -> int", milliseconds),
    ("timestamp_to_milliseconds_with_tz timestamp:getMilliseconds(string) -> int", milliseconds),
    ("duration_to_milliseconds duration:getMilliseconds() -> int", milliseconds),
];

type Outcome<'a> = Result<Value<'a>, Error>;

/// A part of a timestamp in UTC or in a zone.
fn part<'a>(values: &[Value<'a>], of: impl Fn(&DateTime) -> i64) -> Outcome<'a> {
    let (at, zone) = match values {
        [Value::Timestamp(at)] => (*at, ""),
        [Value::Timestamp(at), Value::String(zone)] => (*at, &**zone),
        _ => return Err(Error::NoOverload),
    };
    Ok(Value::Int(of(&time::in_zone(at, zone)?)))
}

/// A part of a timestamp, or how many whole units a duration has.
fn part_or_units<'a>(values: &[Value<'a>], nanos: i64, of: impl Fn(&DateTime) -> i64) -> Outcome<'a> {
    match values {
        [Value::Duration(span)] => Ok(Value::Int(span / nanos)),
        values => part(values, of),
    }
}

fn year<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |at| i64::from(at.year()))
}

fn month<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |at| i64::from(at.month()) - 1)
}

fn day_of_year<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |at| i64::from(at.day_of_year()) - 1)
}

fn day_of_month<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |at| i64::from(at.day()) - 1)
}

fn date<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |at| i64::from(at.day()))
}

fn day_of_week<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |at| i64::from(at.weekday().to_sunday_zero_offset()))
}

fn hours<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part_or_units(values, 3_600_000_000_000, |at| i64::from(at.hour()))
}

fn minutes<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part_or_units(values, 60_000_000_000, |at| i64::from(at.minute()))
}

fn seconds<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part_or_units(values, 1_000_000_000, |at| i64::from(at.second()))
}

fn milliseconds<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part_or_units(values, 1_000_000, |at| i64::from(at.subsec_nanosecond()) / 1_000_000)
}
