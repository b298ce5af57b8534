//! The conditions Progressing, Available and ReplicaFailure. (upstream: deployment/util, progress.go)

use std::time::Duration;

use jiff::Timestamp;

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const FAILURE: &str = "ReplicaFailure";

const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub type_: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    pub updated: Timestamp,
    pub changed: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions(pub Vec<Condition>);

impl Conditions {
    pub fn get(&self, type_: &str) -> Option<&Condition> {
        self.0.iter().find(|condition| condition.type_ == type_)
    }

    pub fn progressing(&self) -> Option<&Condition> {
        self.get(PROGRESSING)
    }

    fn remove(&mut self, type_: &str) {
        self.0.retain(|condition| condition.type_ != type_);
    }

    pub fn remove_progressing(&mut self) {
        self.remove(PROGRESSING);
    }

    /// Sets a condition unless status and reason are as they were; an equal status keeps its time of change.
    fn set(&mut self, type_: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
        let old = self.get(type_);
        if old.is_some_and(|old| old.status == status && old.reason == reason) {
            return;
        }
        let changed = old.filter(|old| old.status == status).map_or(now, |old| old.changed);
        self.put(type_, status, reason, message, now, changed);
    }

    fn put(&mut self, type_: &str, status: &str, reason: &str, message: &str, now: Timestamp, changed: Timestamp) {
        self.remove(type_);
        self.0.push(Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            updated: now,
            changed,
        });
    }

    pub fn set_progressing(&mut self, status: &str, reason: &str, message: &str, now: Timestamp) {
        self.set(PROGRESSING, status, reason, message, now);
    }

    pub fn set_available(&mut self, available: bool, now: Timestamp) {
        if available {
            let message = "Deployment has minimum availability.";
            self.set(AVAILABLE, "True", "MinimumReplicasAvailable", message, now);
        } else {
            let message = "Deployment does not have minimum availability.";
            self.set(AVAILABLE, "False", "MinimumReplicasUnavailable", message, now);
        }
    }

    /// `failure` is the reason and message of a replica set's own condition.
    pub fn set_failure(&mut self, failure: Option<&(String, String)>, now: Timestamp) {
        match failure {
            Some((reason, message)) => self.set(FAILURE, "True", reason, message, now),
            None => self.remove(FAILURE),
        }
    }

    /// While paused, the deadline does not run.
    pub fn note_pause(&mut self, paused: bool, now: Timestamp) {
        let reason = self.progressing().map(|condition| condition.reason.as_str());
        match (paused, reason) {
            (_, Some(TIMED_OUT)) | (true, Some("DeploymentPaused")) => {}
            (true, _) => self.set_progressing("Unknown", "DeploymentPaused", "Deployment is paused", now),
            (false, Some("DeploymentPaused")) => {
                self.set_progressing("Unknown", "DeploymentResumed", "Deployment is resumed", now);
            }
            (false, _) => {}
        }
    }
}

/// What the judgement of a rollout's progress rests on.
pub struct Progress {
    /// `ReplicaSet "web-x"` or `Deployment "web"`.
    pub subject: String,
    pub complete: bool,
    /// All pods are of the current template.
    pub settled: bool,
    /// The new status shows progress over the old one.
    pub moved: bool,
    pub deadline: Duration,
    pub now: Timestamp,
}

pub fn judge(conditions: &mut Conditions, facts: &Progress) {
    let current = conditions.progressing().cloned();
    // Once complete, lost pods do not make it a rollout again.
    if facts.settled && current.as_ref().is_some_and(|current| current.reason == COMPLETE) {
        return;
    }
    let Progress { subject, now, .. } = facts;
    if facts.complete {
        conditions.set_progressing("True", COMPLETE, &format!("{subject} has successfully progressed."), *now);
    } else if facts.moved {
        // A sign of life starts the deadline anew, so the time of update moves even if nothing else does.
        let changed = current.filter(|current| current.status == "True").map_or(*now, |current| current.changed);
        let message = format!("{subject} is progressing.");
        conditions.put(PROGRESSING, "True", "ReplicaSetUpdated", &message, *now, changed);
    } else if timed_out(current.as_ref(), facts) {
        conditions.set_progressing("False", TIMED_OUT, &format!("{subject} has timed out progressing."), *now);
    }
}

fn timed_out(current: Option<&Condition>, facts: &Progress) -> bool {
    match current {
        None => false,
        Some(current) if current.reason == COMPLETE => false,
        Some(current) if current.reason == TIMED_OUT => true,
        Some(current) => control::pods::remaining(current.updated, facts.deadline, facts.now).is_zero(),
    }
}

/// The time until the deadline passes, with a second to spare; nothing if it does not run.
pub fn deadline_in(conditions: &Conditions, deadline: Duration, now: Timestamp) -> Option<Duration> {
    let current = conditions.progressing().filter(|current| current.reason != TIMED_OUT)?;
    Some(control::pods::remaining(current.updated, deadline, now) + Duration::from_secs(1))
}
