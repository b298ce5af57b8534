//! Defaulting of every kind, from nearly nothing to objects with nested parts.

use kinds::KindDef;
use machinery::Object;
use serde_json::{Value, json};

fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "serviceAccountName": "web",
            "containers": [{
                "name": "web", "image": "nginx", "ports": [{"containerPort": 80}],
                "readinessProbe": {"httpGet": {"port": 80}},
                "resources": {"limits": {"cpu": "1"}},
            }],
            "volumes": [{"name": "config", "configMap": {"name": "web"}}, {"name": "scratch"}],
        },
    })
}

/// Objects that make defaulting do something, by kind.
fn sample(kind: &KindDef) -> Value {
    match kind.kind {
        "Pod" => template(),
        "PodTemplate" => json!({"template": template()}),
        "Deployment" | "ReplicaSet" | "DaemonSet" | "Job" | "ReplicationController" => {
            json!({"spec": {"template": template()}})
        }
        "StatefulSet" => {
            json!({"spec": {"template": template(), "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}})
        }
        "CronJob" => json!({"spec": {"jobTemplate": {"spec": {"template": template()}}}}),
        "Service" => json!({"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP", "ports": [{"port": 80}]}}),
        "Secret" => json!({"stringData": {"password": "s"}}),
        "HorizontalPodAutoscaler" => json!({"spec": {"maxReplicas": 3, "behavior": {"scaleUp": {}}}}),
        "RoleBinding" | "ClusterRoleBinding" => {
            json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]})
        }
        "EndpointSlice" => json!({"ports": [{"port": 80}], "endpoints": [{"addresses": ["10.0.0.1"]}]}),
        "LimitRange" => json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}}),
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
            json!({"webhooks": [{"name": "a", "clientConfig": {"service": {"name": "s"}}, "rules": [{}]}]})
        }
        "CustomResourceDefinition" => json!({"spec": {"names": {"kind": "Widget", "plural": "widgets"}}}),
        "PersistentVolume" => json!({"spec": {"hostPath": {"path": "/data"}}}),
        _ => json!({}),
    }
}

fn defaulted(kind: &KindDef, mut value: Value) -> Object {
    value["metadata"]["name"] = "web".into();
    let mut object = Object::from_value(value).unwrap();
    (kind.strategy.default)(&mut object);
    object
}

#[test]
fn defaulting_twice_changes_nothing() {
    for kind in kinds::known() {
        for value in [json!({}), json!({"spec": {}, "status": {}}), sample(kind)] {
            let once = defaulted(kind, value);
            assert_eq!(defaulted(kind, once.clone().into_value()), once, "{kind:?}");
        }
    }
}

#[test]
fn every_column_prints_something_for_every_object() {
    for kind in kinds::known() {
        for object in [Object::default(), defaulted(kind, sample(kind))] {
            for column in kind.columns {
                let cell = (column.cell)(&object);
                assert!(!cell.is_null() && !cell.is_object(), "{kind:?} {}: {cell}", column.name);
            }
        }
    }
}

#[test]
fn workloads_get_upstream_defaults() {
    let spec = |group, resource| {
        let kind = kinds::find(group, "v1", resource).unwrap();
        defaulted(kind, sample(kind)).into_value()["spec"].take()
    };
    let deployment = spec("apps", "deployments");
    assert_eq!(
        deployment["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
    );
    assert_eq!((&deployment["replicas"], &deployment["progressDeadlineSeconds"]), (&json!(1), &json!(600)));
    assert_eq!(deployment["template"]["spec"]["containers"][0]["resources"], json!({"limits": {"cpu": "1"}}));
    assert_eq!(deployment["template"]["spec"]["serviceAccount"], "web");
    let set = spec("apps", "statefulsets");
    assert_eq!(set["volumeClaimTemplates"][0]["spec"]["volumeMode"], "Filesystem");
    assert_eq!(set["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}));
    let job = spec("batch", "jobs");
    assert_eq!((&job["backoffLimit"], &job["completionMode"]), (&json!(6), &json!("NonIndexed")));
    let service = spec("", "services");
    assert_eq!(service["ports"], json!([{"port": 80, "protocol": "TCP", "targetPort": 80}]));
    assert_eq!(service["sessionAffinityConfig"], json!({"clientIP": {"timeoutSeconds": 10800}}));
    assert_eq!(service["externalTrafficPolicy"], "Cluster");
}
