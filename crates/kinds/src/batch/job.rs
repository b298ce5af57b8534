//! Job.

use std::time::Duration;

use jiff::Timestamp;
use machinery::Object;
use serde_json::json;

use super::job_status::validate_status_update;
use super::job_validate;
use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, SELECTOR};
use crate::core::pod::defaults::default_template;
use crate::core::pod::warnings::of_template;
use crate::def::Description::{Field, Text};
use crate::def::{Column, KindDef, Propagation, SelectableField, Strategy, Subresource, drop_status};
use crate::duration::human;
use crate::tree::{Map, child, child_or_new, condition_is_true, default, default_text, each, is_absent};

pub const JOB_NAME_LABEL: &str = "batch.kubernetes.io/job-name";
pub const CONTROLLER_UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
pub const OLD_JOB_NAME_LABEL: &str = "job-name";
pub const OLD_CONTROLLER_UID_LABEL: &str = "controller-uid";

pub static JOB: KindDef = KindDef {
    group: "batch",
    kind: "Job",
    resource: "jobs",
    singular: "job",
    categories: &["all"],
    schema: "io.k8s.api.batch.v1.Job",
    subresources: &[Subresource::Status],
    unknown_field: Some(|field| format!("field label {field:?} not supported for Job")),
    selectable_fields: &[SelectableField {
        name: "status.successful",
        value: |job| job.int(&["status", "succeeded"]).unwrap_or(0).to_string(),
    }],
    columns: &[
        NAME,
        Column::string("Status", Text("Status of the job."), |job| status(job).into()),
        Column::string("Completions", Field("status.succeeded"), |job| completions(job).into()),
        Column::string("Duration", Text("Time required to complete the job."), |job| duration(job).into()),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    strategy: Strategy {
        default: default_job,
        prepare_create,
        validate: job_validate::validate,
        validate_create: job_validate::validate_create,
        validate_update: job_validate::validate_update,
        validate_status_update,
        warnings,
        default_propagation: Propagation::Orphan,
        propagation_warning: "child pods are preserved by default when jobs are deleted; set \
                              propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress \
                              this warning",
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

/// upstream: SetDefaults_Job
fn default_job(job: &mut Object) {
    let spec = child_or_new(&mut job.0, "spec");
    default_template(spec, "template");
    if is_absent(spec, "completions") && is_absent(spec, "parallelism") {
        default(spec, "completions", 1);
    }
    default(spec, "parallelism", 1);
    let backoff_limit = if is_absent(spec, "backoffLimitPerIndex") { 6 } else { i32::MAX };
    default(spec, "backoffLimit", backoff_limit);
    default_text(spec, "completionMode", "NonIndexed");
    default(spec, "suspend", false);
    default(spec, "manualSelector", false);
    let replacement = if is_absent(spec, "podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
    default(spec, "podReplacementPolicy", replacement);
    child(spec, "podFailurePolicy").into_iter().for_each(default_failure_policy);
    let labels = job.map(&["spec", "template", "metadata", "labels"]).cloned();
    if let (Some(labels), true) = (labels, job.map(&["metadata", "labels"]).is_none_or(Map::is_empty)) {
        job.set(&["metadata", "labels"], labels);
    }
}

fn default_failure_policy(policy: &mut Map) {
    each(policy, "rules", |rule| {
        each(rule, "onPodConditions", |pattern| default_text(pattern, "status", "True"));
    });
}

/// Jobs select their pods by their own uid, unless the client takes care of the selector.
fn prepare_create(job: &mut Object) {
    drop_status(job);
    if job.bool(&["spec", "manualSelector"]) {
        return;
    }
    let (name, uid) = (job.name().to_owned(), job.uid().to_owned());
    let labels = [
        (OLD_JOB_NAME_LABEL, &name),
        (JOB_NAME_LABEL, &name),
        (OLD_CONTROLLER_UID_LABEL, &uid),
        (CONTROLLER_UID_LABEL, &uid),
    ];
    for (label, value) in labels {
        job.set_default(&["spec", "template", "metadata", "labels", label], value.as_str());
    }
    job.set_default(&["spec", "selector"], json!({"matchLabels": {}}));
    job.set_default(&["spec", "selector", "matchLabels", CONTROLLER_UID_LABEL], uid);
}

/// upstream: pkg/registry/batch/job (warningsForJob)
fn warnings(job: &Object) -> Vec<String> {
    const COMPLETIONS_MAX: i64 = 100_000;
    const PARALLELISM_MAX: i64 = 10_000;
    let number = |field: &str| job.int(&["spec", field]).unwrap_or(0);
    let mut warnings = of_template(job);
    let many = number("completions") > COMPLETIONS_MAX && number("parallelism") > PARALLELISM_MAX;
    if job.str(&["spec", "completionMode"]) == "Indexed" && many {
        warnings.push(
            "spec.completions: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher \
             than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
                .to_owned(),
        );
    }
    warnings
}

fn status(job: &Object) -> &'static str {
    let is = |of_type| condition_is_true(job, of_type);
    match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if job.is_deleting() => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(job: &Object) -> String {
    let succeeded = job.int(&["status", "succeeded"]).unwrap_or(0);
    let parallelism = job.int(&["spec", "parallelism"]).unwrap_or(0);
    match job.int(&["spec", "completions"]) {
        Some(completions) => format!("{succeeded}/{completions}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    }
}

fn duration(job: &Object) -> String {
    let time = |field| job.str(&["status", field]).parse::<Timestamp>().ok();
    let Some(start) = time("startTime") else { return String::new() };
    let end = time("completionTime").unwrap_or_else(clock::now);
    human(Duration::try_from(end.duration_since(start)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn job(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn a_job_runs_one_pod_once_unless_told_otherwise() {
        let spec = |spec: Value| {
            let mut job = job(json!({"spec": spec}));
            default_job(&mut job);
            (job.int(&["spec", "completions"]), job.int(&["spec", "parallelism"]))
        };
        assert_eq!(spec(json!({})), (Some(1), Some(1)));
        assert_eq!(spec(json!({"parallelism": 3})), (None, Some(3)));
        assert_eq!(spec(json!({"completions": 3})), (Some(3), Some(1)));
    }

    #[test]
    fn a_job_selects_by_its_own_uid() {
        let mut new = job(json!({"metadata": {"name": "pi", "uid": "u1"}, "spec": {"template": {}}}));
        prepare_create(&mut new);
        assert_eq!(
            new.get(&["spec", "selector"]),
            Some(&json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}}))
        );
        assert_eq!(
            new.get(&["spec", "template", "metadata", "labels"]),
            Some(&json!({"batch.kubernetes.io/controller-uid": "u1", "batch.kubernetes.io/job-name": "pi",
                "controller-uid": "u1", "job-name": "pi"}))
        );
    }

    #[test]
    fn status_completions_and_duration_are_printed() {
        let done = job(json!({"spec": {"completions": 2}, "status": {"succeeded": 2,
            "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:05:03Z",
            "conditions": [{"type": "Complete", "status": "True"}]}}));
        assert_eq!((status(&done), completions(&done), duration(&done)), ("Complete", "2/2".into(), "5m3s".into()));
        let fresh = job(json!({"spec": {"parallelism": 3}}));
        assert_eq!(
            (status(&fresh), completions(&fresh), duration(&fresh)),
            ("Running", "0/1 of 3".into(), String::new())
        );
    }
}
