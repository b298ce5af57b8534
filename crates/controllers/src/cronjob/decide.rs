//! Which job a cron job makes now, and which it forgets. (upstream: pkg/controller/cronjob)

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::schedule::Schedule;

/// Missed times after which something is wrong with the clock or the schedule.
const TOO_MANY_MISSED: usize = 100;
/// Missed times that are counted at all: a week of minutes. A cron job further behind catches up in steps.
const MISSED_MAX: usize = 7 * 24 * 60;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Concurrency {
    #[default]
    Allow,
    Forbid,
    Replace,
}

#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    pub name: String,
    pub uid: String,
    pub started: Timestamp,
    /// Whether it succeeded, once it has ended.
    pub ended: Option<bool>,
}

#[derive(Clone, Debug)]
pub struct View<'a> {
    pub schedule: &'a Schedule,
    pub zone: TimeZone,
    pub created: Timestamp,
    pub last_scheduled: Option<Timestamp>,
    pub suspended: bool,
    pub deleting: bool,
    /// A start that is late by more than this is missed.
    pub starting_deadline: Option<Duration>,
    pub concurrency: Concurrency,
    pub keep_succeeded: usize,
    pub keep_failed: usize,
    pub jobs: Vec<JobView>,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Jobs beyond the history limits, and running ones that are replaced.
    Delete {
        job: String,
        uid: String,
    },
    Start {
        at: Timestamp,
    },
    Tell {
        warning: bool,
        reason: &'static str,
        message: String,
    },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub requeue_after: Option<Duration>,
}

pub fn decide(view: &View) -> Plan {
    let mut plan = Plan { actions: forget(view), requeue_after: None };
    if view.deleting || view.suspended {
        return plan;
    }
    let next = view.schedule.next(view.now, &view.zone);
    plan.requeue_after = next.map(|next| until(next, view.now));
    let (due, missed) = most_recent(view);
    if missed > TOO_MANY_MISSED {
        let message = format!(
            "too many missed start times: {missed}. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        );
        plan.actions.push(Action::Tell { warning: true, reason: "TooManyMissedTimes", message });
    }
    let Some(due) = due else { return plan };
    if view.starting_deadline.is_some_and(|deadline| until(view.now, due) > deadline) {
        let message = format!("Missed scheduled time to start a job: {}", due.strftime("%a, %d %b %Y %H:%M:%S %z"));
        plan.actions.push(Action::Tell { warning: true, reason: "MissSchedule", message });
        return plan;
    }
    start(view, due, &mut plan.actions);
    plan
}

fn until(later: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(now)).unwrap_or_default()
}

/// The latest time that is due and has not been acted on, and how many are due.
fn most_recent(view: &View) -> (Option<Timestamp>, usize) {
    let mut from = view.last_scheduled.unwrap_or(view.created);
    if let Some(deadline) = view.starting_deadline {
        let deadline = SignedDuration::try_from(deadline).unwrap_or(SignedDuration::MAX);
        from = from.max(view.now.checked_sub(deadline).unwrap_or(Timestamp::MIN));
    }
    let (mut due, mut count) = (None, 0_usize);
    let mut next = view.schedule.next(from, &view.zone);
    while let Some(at) = next.filter(|at| *at <= view.now && count < MISSED_MAX) {
        due = Some(at);
        count += 1;
        next = view.schedule.next(at, &view.zone);
    }
    (due, count)
}

fn start(view: &View, due: Timestamp, actions: &mut Vec<Action>) {
    let running: Vec<&JobView> = view.jobs.iter().filter(|job| job.ended.is_none()).collect();
    match view.concurrency {
        Concurrency::Forbid if !running.is_empty() => {
            let message =
                "Not starting job because prior execution is running and concurrency policy is Forbid".to_owned();
            actions.push(Action::Tell { warning: false, reason: "JobAlreadyActive", message });
            return;
        }
        Concurrency::Replace => {
            actions.extend(running.iter().map(|job| Action::Delete { job: job.name.clone(), uid: job.uid.clone() }));
        }
        _ => {}
    }
    actions.push(Action::Start { at: due });
}

/// Ended jobs beyond the limits, oldest first.
fn forget(view: &View) -> Vec<Action> {
    let surplus = |succeeded: bool, keep: usize| {
        let mut ended: Vec<&JobView> = view.jobs.iter().filter(|job| job.ended == Some(succeeded)).collect();
        ended.sort_by(|a, b| a.started.cmp(&b.started).then_with(|| a.name.cmp(&b.name)));
        let count = ended.len().saturating_sub(keep);
        ended.into_iter().take(count).collect::<Vec<_>>()
    };
    let gone = surplus(true, view.keep_succeeded).into_iter().chain(surplus(false, view.keep_failed));
    gone.map(|job| Action::Delete { job: job.name.clone(), uid: job.uid.clone() }).collect()
}
