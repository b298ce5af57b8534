//! Cron schedules: the next time lies ahead.
#![no_main]

use jiff::Timestamp;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../crates/controllers/src/cronjob/schedule.rs"]
mod schedule;

fuzz_target!(|input: (&str, u32)| {
    let (text, seconds) = input;
    let Ok(schedule) = schedule::Schedule::parse(text) else { return };
    let after = Timestamp::from_second(i64::from(seconds)).expect("it is in range");
    if let Some(next) = schedule.next(after, &TimeZone::UTC) {
        assert!(next > after, "{text}: {next} after {after}");
    }
});
