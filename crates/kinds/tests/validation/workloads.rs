//! Workloads, Jobs, budgets and autoscalers.

use serde_json::{Value, json};

use super::{check, check_updates, update_errors, with, workload};

#[test]
fn workloads() {
    let mismatch =
        r#"spec.template.metadata.labels: Invalid value: {"app":"other"}: `selector` does not match template `labels`"#;
    let labels = "/spec/template/metadata/labels";
    let mut rows = Vec::new();
    for resource in ["deployments", "replicasets", "daemonsets", "statefulsets"] {
        rows.push((resource, workload(), vec![]));
        rows.push((resource, with(workload(), labels, json!({"app": "other"})), vec![mismatch]));
    }
    rows.push(("deployments", with(workload(), "/spec/selector", Value::Null), vec![
        "spec.selector: Required value",
        r#"spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`"#,
    ]));
    check("apps", rows);
    let spec = |field: &str, value: Value| {
        let mut object = workload();
        object["spec"][field] = value;
        object
    };
    check(
        "apps",
        vec![
            (
                "deployments",
                spec("replicas", json!(-1)),
                vec!["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (
                "deployments",
                spec("strategy", json!({"type": "Recreate", "rollingUpdate": {}})),
                vec!["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
            ),
            (
                "deployments",
                spec("strategy", json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}})),
                vec![
                    r#"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0"#,
                ],
            ),
            (
                "deployments",
                spec("progressDeadlineSeconds", json!(0)),
                vec!["spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"],
            ),
            (
                "daemonsets",
                spec("updateStrategy", json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}})),
                vec![
                    "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
                ],
            ),
            (
                "statefulsets",
                spec("podManagementPolicy", json!("Any")),
                vec![r#"spec.podManagementPolicy: Invalid value: "Any": must be 'OrderedReady' or 'Parallel'"#],
            ),
        ],
    );
    let selector = json!({"matchLabels": {"app": "web", "tier": "a"}});
    check_updates(
        "apps",
        vec![
            (
                "deployments",
                workload(),
                spec("selector", selector),
                vec![r#"spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"a"}}: field is immutable"#],
            ),
            ("statefulsets", workload(), spec("replicas", json!(3)), vec![]),
            (
                "statefulsets",
                workload(),
                spec("serviceName", json!("other")),
                vec![
                    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
                ],
            ),
        ],
    );
}

fn job() -> Value {
    let mut job = with(
        workload(),
        "/spec/template/spec",
        json!({"containers": [{"name": "a", "image": "a:1"}], "restartPolicy": "Never"}),
    );
    job["spec"]["parallelism"] = json!(1);
    job
}

#[test]
fn jobs_and_budgets() {
    let cron = |schedule: &str| json!({"spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": job()["spec"]["template"]}}}});
    check(
        "batch",
        vec![
            ("jobs", job(), vec![]),
            (
                "jobs",
                with(job(), "/spec/template/spec/restartPolicy", Value::Null),
                vec![r#"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#],
            ),
            ("cronjobs", cron("*/5 * * * *"), vec![]),
            ("cronjobs", cron("@hourly"), vec![]),
            (
                "cronjobs",
                cron("* *"),
                vec![r#"spec.schedule: Invalid value: "* *": expected exactly 5 fields, found 2: [* *]"#],
            ),
            ("cronjobs", cron(""), vec!["spec.schedule: Required value"]),
        ],
    );
    let changed = with(job(), "/spec/template/spec/containers/0/image", json!("b:1"));
    let refused = update_errors("batch", "jobs", job(), changed);
    assert!(refused[0].starts_with("spec.template: Invalid value: "), "{refused:?}");
    assert!(refused[0].ends_with(": field is immutable"), "{refused:?}");
    check(
        "policy",
        vec![(
            "poddisruptionbudgets",
            json!({"spec": {"minAvailable": "120%"}}),
            vec![r#"spec.minAvailable: Invalid value: "120%": must not be greater than 100%"#],
        )],
    );
}

#[test]
fn autoscalers() {
    check(
        "autoscaling",
        vec![(
            "horizontalpodautoscalers",
            json!({"spec": {"minReplicas": 3, "maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment"}}}),
            vec![
                "spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`",
                "spec.scaleTargetRef.name: Required value",
            ],
        )],
    );
}

#[test]
fn a_status_that_makes_no_sense_is_refused() {
    let (bad, missing) = (json!({"status": "Bad", "type": "X"}), json!({"type": "X", "status": "True"}));
    let conditions = |condition: &Value| json!({"conditions": [condition]});
    let unsupported =
        |order: &str| format!(r#"status.conditions[0].status: Unsupported value: "Bad": supported values: {order}"#);
    let (sorted, told) = (unsupported(r#""False", "True", "Unknown""#), unsupported(r#""True", "False", "Unknown""#));
    let time = "status.conditions[0].lastTransitionTime: Required value";
    let reason = "status.conditions[0].reason: Required value";
    let negative = "must be greater than or equal to 0";
    let [current, desired] =
        ["current", "desired"].map(|of| format!("status.{of}Replicas: Invalid value: -1: {negative}"));
    let failed = json!({"startTime": "2026-01-01T00:00:00Z", "conditions": [{"type": "Failed", "status": "True"}]});
    let rows = [
        ("policy", "poddisruptionbudgets", conditions(&bad), vec![sorted.as_str(), time, reason]),
        ("policy", "poddisruptionbudgets", conditions(&missing), vec![time, reason]),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies", conditions(&missing), vec![time, reason]),
        ("apiregistration.k8s.io", "apiservices", conditions(&bad), vec![told.as_str()]),
        ("apiregistration.k8s.io", "apiservices", conditions(&missing), vec![]),
        (
            "autoscaling",
            "horizontalpodautoscalers",
            json!({"currentReplicas": -1, "desiredReplicas": -1}),
            vec![current.as_str(), desired.as_str()],
        ),
        (
            "apps",
            "deployments",
            json!({"replicas": -1, "readyReplicas": 0}),
            vec![
                "status.replicas: Invalid value: -1: must be greater than or equal to 0",
                "status.updatedReplicas: Invalid value: 0: cannot be greater than status.replicas",
                "status.readyReplicas: Invalid value: 0: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 0: cannot be greater than status.replicas",
            ],
        ),
        (
            "batch",
            "jobs",
            json!({"ready": 2, "active": 1}),
            vec!["status.ready: Invalid value: 2: cannot set more ready pods than active"],
        ),
        (
            "batch",
            "jobs",
            json!({"uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["a"]}}),
            vec![r#"status.uncountedTerminatedPods.failed[0]: Duplicate value: "a""#],
        ),
        (
            "batch",
            "jobs",
            json!({"completedIndexes": "1"}),
            vec![
                r#"status.completedIndexes: Invalid value: "1": cannot set non-empty completedIndexes when non-indexed completion mode"#,
            ],
        ),
        (
            "batch",
            "jobs",
            failed,
            vec![
                "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
            ],
        ),
    ];
    for (group, resource, status, expected) in rows {
        let told = super::subresource_errors(group, resource, "status", &json!({}), &json!({"status": status}));
        assert_eq!(told, expected, "{resource} {status}");
    }
}
