use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::decide::*;
use super::schedule::Schedule;

fn at(text: &str) -> Timestamp {
    format!("2026-07-09T{text}:00Z").parse().expect("a time")
}

/// `"a b+ c!"`: jobs that run, succeeded, failed.
fn jobs(line: &str) -> Vec<JobView> {
    let job = |(order, word): (usize, &str)| JobView {
        name: word[..1].to_owned(),
        uid: word[..1].to_owned(),
        started: Timestamp::from_second(i64::try_from(order).expect("few jobs")).expect("a small number"),
        ended: match &word[1..] {
            "+" => Some(true),
            "!" => Some(false),
            _ => None,
        },
    };
    line.split_whitespace().enumerate().map(job).collect()
}

fn hourly() -> Schedule {
    Schedule::parse("0 * * * *").expect("a schedule")
}

fn view<'a>(schedule: &'a Schedule, last: &str, now: &str, line: &str) -> View<'a> {
    View {
        schedule,
        zone: TimeZone::UTC,
        created: at("08:30"),
        last_scheduled: (!last.is_empty()).then(|| at(last)),
        suspended: false,
        deleting: false,
        starting_deadline: None,
        concurrency: Concurrency::Allow,
        keep_succeeded: 1,
        keep_failed: 1,
        jobs: jobs(line),
        now: at(now),
    }
}

fn say(view: &View) -> String {
    let words = decide(view).actions.into_iter().map(|action| match action {
        Action::Delete { job, .. } => format!("delete {job}"),
        Action::Start { at } => format!("start {}", at.strftime("%H:%M")),
        Action::Tell { reason, .. } => reason.to_owned(),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[test]
fn a_job_starts_when_its_time_has_come_and_only_once() {
    let schedule = hourly();
    let plan = decide(&view(&schedule, "", "08:59", ""));
    assert_eq!((plan.actions.len(), plan.requeue_after), (0, Some(Duration::from_secs(60))));
    assert_eq!(say(&view(&schedule, "", "09:00", "")), "start 09:00");
    assert_eq!(say(&view(&schedule, "09:00", "09:00", "a")), "");
    assert_eq!(say(&view(&schedule, "09:00", "12:05", "a")), "start 12:00", "missed times melt into one");
}

#[test]
fn a_running_job_is_joined_kept_or_replaced() {
    let schedule = hourly();
    let with = |concurrency| say(&View { concurrency, ..view(&schedule, "09:00", "10:00", "a") });
    assert_eq!(with(Concurrency::Allow), "start 10:00");
    assert_eq!(with(Concurrency::Forbid), "JobAlreadyActive");
    assert_eq!(with(Concurrency::Replace), "delete a, start 10:00");
}

#[test]
fn a_late_start_is_missed() {
    let schedule = hourly();
    let late = |deadline, now| {
        let starting_deadline = Some(Duration::from_secs(deadline));
        say(&View { starting_deadline, ..view(&schedule, "09:00", now, "") })
    };
    assert_eq!(late(600, "10:05"), "start 10:00");
    assert_eq!(late(200, "10:05"), "");
}

#[test]
fn history_is_cut_and_suspension_starts_nothing() {
    let schedule = hourly();
    let suspended = View { suspended: true, ..view(&schedule, "", "10:00", "a+ b+ c! d! e") };
    assert_eq!(say(&suspended), "delete a, delete c");
}

#[test]
fn a_cron_job_far_behind_says_so() {
    let schedule = Schedule::parse("* * * * *").expect("a schedule");
    assert_eq!(say(&view(&schedule, "01:00", "10:00", "")), "TooManyMissedTimes, start 10:00");
}
