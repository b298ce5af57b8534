//! A job's status, as counts and back.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus, UncountedTerminatedPods};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::decide::{Counted, End, Plan, Reason, can_close};
use super::indexes;

fn condition<'a>(job: &'a Job, type_: &str) -> Option<&'a JobCondition> {
    let mut all = job.status.as_ref()?.conditions.iter().flatten();
    all.find(|condition| condition.type_ == type_ && condition.status == "True")
}

fn reason(condition: &JobCondition) -> Reason {
    Reason {
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
    }
}

/// When the job completed or failed.
pub fn finished_at(job: &Job) -> Option<Timestamp> {
    let end = condition(job, "Complete").or_else(|| condition(job, "Failed"))?;
    end.last_transition_time.as_ref().map(|time| time.0)
}

pub fn end(job: &Job) -> End {
    if condition(job, "Complete").or_else(|| condition(job, "Failed")).is_some() {
        return End::Closed;
    }
    let failing = condition(job, "FailureTarget").map(|condition| Err(reason(condition)));
    let succeeding = condition(job, "SuccessCriteriaMet").map(|condition| Ok(reason(condition)));
    failing.or(succeeding).map_or(End::Open, End::Decided)
}

pub fn counted(job: &Job) -> Counted {
    let status = job.status.clone().unwrap_or_default();
    let uncounted = status.uncounted_terminated_pods.unwrap_or_default();
    Counted {
        succeeded: status.succeeded.unwrap_or_default(),
        failed: status.failed.unwrap_or_default(),
        uncounted_succeeded: uncounted.succeeded.into_iter().flatten().collect(),
        uncounted_failed: uncounted.failed.into_iter().flatten().collect(),
        completed: indexes::parse(status.completed_indexes.as_deref().unwrap_or_default()),
    }
}

/// The job with the status that `plan` leads to.
pub fn apply(job: &Job, plan: &Plan, now: Timestamp) -> Job {
    let mut job = job.clone();
    if end(&job) == End::Closed {
        return job;
    }
    let time = Time(clock::to_seconds(now));
    let old = job.status.take().unwrap_or_default();
    let some = |count: i32| Some(count).filter(|count| *count != 0);
    let list = |uids: &std::collections::BTreeSet<String>| (!uids.is_empty()).then(|| uids.iter().cloned().collect());
    let indexed = job.spec.as_ref().and_then(|spec| spec.completion_mode.as_deref()) == Some("Indexed");
    let mut status = JobStatus {
        active: some(plan.active),
        ready: Some(plan.ready),
        terminating: Some(plan.terminating),
        succeeded: some(plan.counted.succeeded),
        failed: some(plan.counted.failed),
        start_time: plan.started.map(|at| Time(clock::to_seconds(at))),
        completed_indexes: indexed.then(|| indexes::print(&plan.counted.completed)).filter(|text| !text.is_empty()),
        uncounted_terminated_pods: Some(UncountedTerminatedPods {
            succeeded: list(&plan.counted.uncounted_succeeded),
            failed: list(&plan.counted.uncounted_failed),
        }),
        ..old
    };
    let suspended = job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or_default();
    if matches!(plan.end, End::Open) {
        note_suspension(&mut status, suspended, &time);
    }
    if let End::Decided(result) = &plan.end {
        conclude(&mut status, result, can_close(plan), &time);
    }
    job.status = Some(status);
    job
}

fn note_suspension(status: &mut JobStatus, suspended: bool, now: &Time) {
    let known = status.conditions.iter().flatten().any(|condition| condition.type_ == "Suspended");
    if suspended {
        set(status, "Suspended", "True", "JobSuspended", "Job suspended", now);
    } else if known {
        set(status, "Suspended", "False", "JobResumed", "Job resumed", now);
    }
}

fn conclude(status: &mut JobStatus, result: &Result<Reason, Reason>, close: bool, now: &Time) {
    let (target, end, Reason { reason, message }) = match result {
        Ok(reason) => ("SuccessCriteriaMet", "Complete", reason),
        Err(reason) => ("FailureTarget", "Failed", reason),
    };
    set(status, target, "True", reason, message, now);
    if close {
        set(status, end, "True", reason, message, now);
        if result.is_ok() {
            status.completion_time = Some(now.clone());
        }
    }
}

fn set(status: &mut JobStatus, type_: &str, value: &str, reason: &str, message: &str, now: &Time) {
    let conditions = status.conditions.get_or_insert_default();
    let wanted = JobCondition {
        type_: type_.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(now.clone()),
        last_transition_time: Some(now.clone()),
    };
    match conditions.iter_mut().find(|condition| condition.type_ == type_) {
        Some(present) if present.status == value => {}
        Some(present) => *present = wanted,
        None => conditions.push(wanted),
    }
}

/// Conditions that became true.
pub fn news(old: &Job, new: &Job) -> Vec<(String, Reason)> {
    let all = new.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let fresh = all.filter(|now| now.status == "True" && condition(old, &now.type_).is_none());
    fresh.map(|now| (now.type_.clone(), reason(now))).collect()
}
