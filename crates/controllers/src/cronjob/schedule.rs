//! Cron schedules as robfig/cron v3's standard parser reads them.
//!
//! Five fields, names of months and days, ranges, steps and lists; `?` as `*`; `@hourly` and its kin,
//! `@every 1h30m`; a leading `TZ=` or `CRON_TZ=`. When both days of the month and of the week are given,
//! either suffices. A time that daylight saving skips does not come that day.

use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use machinery::strconv::parse_duration;

/// Years searched for the next time before a schedule counts as one that never comes.
const SEARCH_YEARS: i16 = 5;

#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    kind: Kind,
    /// The zone named in the schedule itself.
    zone: Option<TimeZone>,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Every(Duration),
    Times(Box<Times>),
}

/// Allowed values as bits.
#[derive(Clone, Debug, PartialEq)]
struct Times {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    pub fn parse(text: &str) -> Result<Self, String> {
        let (zone, rest) = split_zone(text.trim())?;
        let kind = match rest.strip_prefix('@') {
            Some(name) => descriptor(name)?,
            None => Kind::Times(Box::new(fields(rest)?)),
        };
        Ok(Self { kind, zone })
    }

    /// Whether the text itself names a time zone.
    pub fn names_zone(&self) -> bool {
        self.zone.is_some()
    }

    /// The first time after `after`; nothing if there is none within five years.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.kind {
            Kind::Every(period) => Timestamp::from_second(after.as_second()).ok()?.checked_add(*period).ok(),
            Kind::Times(times) => times.next(after, self.zone.as_ref().unwrap_or(zone)),
        }
    }
}

fn split_zone(text: &str) -> Result<(Option<TimeZone>, &str), String> {
    let named = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ="));
    let Some(named) = named else { return Ok((None, text)) };
    let (name, rest) = named.split_once(' ').ok_or_else(|| format!("no schedule after the time zone: {text}"))?;
    let zone = TimeZone::get(name).map_err(|_| format!("provided bad location {name}"))?;
    Ok((Some(zone), rest.trim()))
}

fn descriptor(name: &str) -> Result<Kind, String> {
    let fields = |text| fields(text).map(|times| Kind::Times(Box::new(times)));
    match name {
        "yearly" | "annually" => fields("0 0 1 1 *"),
        "monthly" => fields("0 0 1 * *"),
        "weekly" => fields("0 0 * * 0"),
        "daily" | "midnight" => fields("0 0 * * *"),
        "hourly" => fields("0 * * * *"),
        _ => match name.strip_prefix("every ") {
            Some(text) => period(text).map(Kind::Every),
            None => Err(format!("unrecognized descriptor: @{name}")),
        },
    }
}

/// Cut to whole seconds, and at least one.
fn period(text: &str) -> Result<Duration, String> {
    let period = parse_duration(text).map_err(|why| format!("failed to parse duration @every {text}: {why}"))?;
    Ok(Duration::from_secs(period.as_secs().max(1)))
}

fn fields(text: &str) -> Result<Times, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays] = fields[..] else {
        return Err(format!("expected exactly 5 fields, found {}: {fields:?}", fields.len()));
    };
    let weekday_bits = field(weekdays, 0, 6, &WEEKDAYS, 0)?;
    Ok(Times {
        minutes: field(minutes, 0, 59, &[], 0)?.0,
        hours: field(hours, 0, 23, &[], 0)?.0,
        days: field(days, 1, 31, &[], 0)?.0,
        months: field(months, 1, 12, &MONTHS, 1)?.0,
        weekdays: weekday_bits.0,
        any_day: field(days, 1, 31, &[], 0)?.1,
        any_weekday: weekday_bits.1,
    })
}

/// The bits of a comma separated field, and whether a `*` is among its parts.
fn field(text: &str, min: u32, max: u32, names: &[&str], first_name: u32) -> Result<(u64, bool), String> {
    let mut all = (0, false);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (bits, star) = range(part, min, max, names, first_name)?;
        all = (all.0 | bits, all.1 || star);
    }
    if all.0 == 0 { Err(format!("empty field: {text:?}")) } else { Ok(all) }
}

fn range(part: &str, min: u32, max: u32, names: &[&str], first_name: u32) -> Result<(u64, bool), String> {
    let (span, step) = match part.split_once('/') {
        Some((span, step)) => {
            (span, Some(step.parse::<u32>().map_err(|_| format!("failed to parse int from {step}"))?))
        }
        None => (part, None),
    };
    let value = |text: &str| {
        let lower = text.to_ascii_lowercase();
        let named = names.iter().position(|name| *name == lower).and_then(|at| u32::try_from(at).ok());
        let named = named.map(|at| at + first_name);
        named.or_else(|| text.parse().ok()).ok_or_else(|| format!("failed to parse int from {text}"))
    };
    let star = span == "*" || span == "?";
    let (first, last) = match span.split_once('-') {
        _ if star => (min, max),
        Some((first, last)) => (value(first)?, value(last)?),
        // `5/15` means from 5 on.
        None if step.is_some() => (value(span)?, max),
        None => (value(span)?, value(span)?),
    };
    if first < min {
        return Err(format!("beginning of range ({first}) below minimum ({min}): {part}"));
    }
    if last > max {
        return Err(format!("end of range ({last}) above maximum ({max}): {part}"));
    }
    if first > last {
        return Err(format!("beginning of range ({first}) beyond end of range ({last}): {part}"));
    }
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(format!("step of range should be a positive number: {part}"));
    }
    let stride = usize::try_from(step).unwrap_or(usize::MAX);
    let bits = (first..=last).step_by(stride).fold(0, |bits, value| bits | 1 << value);
    // A star with a step is a list like any other.
    Ok((bits, star && step == 1))
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits >> value & 1 == 1)
}

impl Times {
    fn day_matches(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.any_day || self.any_weekday { day && weekday } else { day || weekday }
    }

    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = after.to_zoned(zone.clone()).datetime();
        let last_year = local.year().saturating_add(SEARCH_YEARS);
        let mut date = local.date();
        while date.year() <= last_year {
            if !has(self.months, date.month()) {
                date = date.first_of_month().checked_add(1.month()).ok()?;
                continue;
            }
            if self.day_matches(date) {
                let found = self.times_of(date).find_map(|time| instant(time, zone).filter(|at| *at > after));
                if found.is_some() {
                    return found;
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn times_of(&self, date: Date) -> impl Iterator<Item = DateTime> {
        let hours = (0..24_i8).filter(|hour| has(self.hours, *hour));
        hours.flat_map(move |hour| {
            let minutes = (0..60_i8).filter(|minute| has(self.minutes, *minute));
            minutes.map(move |minute| date.at(hour, minute, 0, 0))
        })
    }
}

/// The instant of a local time; none if the clocks skip it. Of two the first counts.
fn instant(time: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_zoned(time);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { .. } => None,
        _ => ambiguous.earlier().ok().map(|zoned| zoned.timestamp()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schedule: &str, after: &str, expected: &str) {
        let schedule = Schedule::parse(schedule).expect("a schedule");
        let next = schedule.next(after.parse().expect("a time"), &TimeZone::UTC);
        assert_eq!(next.map(|at| at.to_string()).unwrap_or_default(), expected);
    }

    #[test]
    fn the_next_time_is_found() {
        check("*/15 * * * *", "2026-07-09T14:45:00Z", "2026-07-09T15:00:00Z");
        check("5/20 * * * *", "2026-07-09T14:30:00Z", "2026-07-09T14:45:00Z");
        check("20-35/15 * * * *", "2026-07-09T14:36:00Z", "2026-07-09T15:20:00Z");
        check("0 12 * jan-mar MON", "2026-07-09T14:45:00Z", "2027-01-04T12:00:00Z");
        check("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z");
        check("0 0 30 2 *", "2026-01-01T00:00:00Z", "");
        check("@hourly", "2026-07-09T14:45:10Z", "2026-07-09T15:00:00Z");
        check("@every 1h30m", "2026-07-09T14:45:10Z", "2026-07-09T16:15:10Z");
        check("0 0 ? * ?", "2026-07-09T14:45:10Z", "2026-07-10T00:00:00Z");
    }

    #[test]
    fn either_day_suffices_when_both_are_given() {
        // 2026-07-13 is a Monday.
        check("0 0 15 * 1", "2026-07-09T00:00:00Z", "2026-07-13T00:00:00Z");
        check("0 0 15 * 1", "2026-07-13T00:00:00Z", "2026-07-15T00:00:00Z");
        check("0 0 15 * *", "2026-07-09T00:00:00Z", "2026-07-15T00:00:00Z");
    }

    #[test]
    fn a_skipped_time_does_not_come_that_day() {
        let zone = "TZ=America/New_York 30 2 * * *";
        check(zone, "2026-03-08T05:00:00Z", "2026-03-09T06:30:00Z");
        check("TZ=America/New_York 30 1 * * *", "2026-11-01T04:00:00Z", "2026-11-01T05:30:00Z");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "* * * *", "60 * * * *", "* * 0 * *", "5-3 * * * *", "*/0 * * * *", "@often", "TZ=Mars * * * * *"]
        {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
        assert_eq!(Schedule::parse("* * * * 7").unwrap_err(), "end of range (7) above maximum (6): 7");
    }
}
