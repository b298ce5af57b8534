//! What the status of a Job may say.

use std::collections::HashSet;

use machinery::Object;
use machinery::field::ErrorList;

use crate::apps::validate_counts;
use crate::check::At;
use crate::tree::condition_is_true;

const COUNTS: [&str; 5] = ["active", "succeeded", "failed", "ready", "terminating"];
/// Conditions that cannot both hold, in upstream's words.
const EXCLUSIVE: [(&str, &str, &str); 4] = [
    ("Complete", "Failed", "cannot set Complete=True and Failed=true conditions"),
    ("Complete", "FailureTarget", "cannot set Complete=True and FailureTarget=true conditions"),
    ("SuccessCriteriaMet", "Failed", "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
    ("SuccessCriteriaMet", "FailureTarget", "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
];
/// Conditions, and which must hold before them.
const HERALDS: [(&str, &str, &str); 2] = [
    ("Failed", "FailureTarget", "cannot set Failed=True condition without the FailureTarget=true condition"),
    (
        "Complete",
        "SuccessCriteriaMet",
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
    ),
];
/// Conditions that stay once they hold.
const LASTING: [&str; 4] = ["Failed", "Complete", "FailureTarget", "SuccessCriteriaMet"];

pub fn validate_status_update(new: &Object, old: &Object) -> ErrorList {
    let status = At::field(new, "status");
    let mut errors = validate_counts(&status, &COUNTS);
    errors.extend(validate_uncounted(&status.child("uncountedTerminatedPods")));
    let conditions = status.child("conditions");
    let now = |of_type: &str| condition_is_true(new, of_type);
    let both = EXCLUSIVE.iter().filter(|(one, other, _)| now(one) && now(other));
    errors.extend(both.map(|(.., text)| conditions.invalid(*text).without_value()));
    let completion = status.child("completionTime");
    match (now("Complete"), completion.is_set()) {
        (false, true) => {
            errors.push(completion.invalid("cannot set completionTime when there is no Complete=True condition"));
        }
        (true, false) => errors.push(completion.required("completionTime is required for Complete jobs")),
        _ => {}
    }
    let begins = |of_type: &str| now(of_type) && !condition_is_true(old, of_type);
    for (ending, before, text) in HERALDS {
        errors.extend((begins(ending) && !now(before)).then(|| conditions.invalid(text).without_value()));
    }
    let finished = now("Complete") || now("Failed");
    let active = status.child("active");
    if finished && active.int().is_some_and(|active| active > 0) {
        errors.push(active.invalid("active>0 is invalid for finished job"));
    }
    if finished && !status.child("startTime").is_set() {
        errors.push(status.child("startTime").required("startTime is required for finished job"));
    }
    let indexes = status.child("completedIndexes");
    let changed = indexes.text() != old.str(&["status", "completedIndexes"]);
    if changed && !indexes.is_empty() && new.str(&["spec", "completionMode"]) != "Indexed" {
        errors.push(indexes.invalid("cannot set non-empty completedIndexes when non-indexed completion mode"));
    }
    let pods = |job: &Object| [job.int(&["status", "ready"]), job.int(&["status", "active"])];
    let [ready, running] = pods(new);
    if pods(new) != pods(old) && ready > Some(running.unwrap_or(0)) {
        errors.push(status.child("ready").invalid("cannot set more ready pods than active"));
    }
    let ended = LASTING.iter().filter(|of_type| condition_is_true(old, of_type) && !now(of_type));
    errors.extend(ended.map(|of_type| {
        let terminal = if *of_type == "SuccessCriteriaMet" { "" } else { "terminal " };
        conditions.invalid(format!("cannot disable the {terminal}{of_type}=True condition")).without_value()
    }));
    for (field, what) in [("failed", "failed"), ("succeeded", "succeeded")] {
        let count = status.child(field);
        if count.int().unwrap_or(0) < old.int(&["status", field]).unwrap_or(0) {
            errors.push(count.invalid(format!("cannot decrease the {what} counter")));
        }
    }
    errors
}

/// Each pod is waited for once.
fn validate_uncounted(pods: &At) -> ErrorList {
    let mut seen = HashSet::new();
    let mut errors = ErrorList::new();
    for pod in [pods.child("succeeded").items(), pods.child("failed").items()].concat() {
        if pod.is_empty() {
            errors.push(pod.invalid("must not be empty"));
        } else if !seen.insert(pod.text()) {
            errors.push(pod.duplicate());
        }
    }
    errors
}
