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
