//! Objects and the errors they get: what is valid passes, what is not is told in upstream's words.

mod access;
mod admission;
mod certificates;
mod core;
mod definitions;
mod devices;
mod flow_control;
mod networking;
#[path = "../minimal/pod_certificate.rs"]
mod pod_certificate;
mod pod_certificates;
mod rest;
mod storage;
mod trust;
mod workloads;

use kinds::KindDef;
use machinery::Object;
use serde_json::{Value, json};

/// The preferred version of a kind.
fn kind(group: &str, resource: &str) -> &'static KindDef {
    let found = kinds::known().iter().find(|kind| (kind.group, kind.resource) == (group, resource));
    found.unwrap_or_else(|| panic!("{group}/{resource}"))
}

/// Defaults and prepares the object and checks it as a creation is checked.
pub fn errors(group: &str, resource: &str, object: Value) -> Vec<String> {
    let kind = kind(group, resource);
    let mut object = Object::from_value(object).expect("an object");
    (kind.strategy.default)(&mut object);
    (kind.strategy.prepare_create)(&mut object);
    let errors = [(kind.strategy.validate)(&object), (kind.strategy.validate_create)(&object)].concat();
    errors.iter().map(ToString::to_string).collect()
}

pub fn update_errors(group: &str, resource: &str, old: Value, new: Value) -> Vec<String> {
    let kind = kind(group, resource);
    let [new, old] = [new, old].map(|value| {
        let mut object = Object::from_value(value).expect("an object");
        (kind.strategy.default)(&mut object);
        object
    });
    (kind.strategy.validate_update)(&new, &old).iter().map(ToString::to_string).collect()
}

/// Prepares a write of the subresource and checks it.
pub fn subresource_errors(group: &str, resource: &str, subresource: &str, old: &Value, new: &Value) -> Vec<String> {
    let kind = kind(group, resource);
    let [mut new, old] = [new, old].map(|value| Object::from_value(value.clone()).expect("an object"));
    let errors = match subresource {
        "status" => {
            (kind.strategy.prepare_status_update)(&mut new, &old);
            (kind.strategy.validate_status_update)(&new, &old)
        }
        other => {
            (kind.strategy.prepare_subresource_update)(&mut new, &old, other);
            (kind.strategy.validate_subresource_update)(&new, &old, other)
        }
    };
    errors.iter().map(ToString::to_string).collect()
}

/// Every row: a resource, an object of it, and the errors it gets.
pub fn check(group: &str, rows: Vec<(&str, Value, Vec<&str>)>) {
    for (resource, object, expected) in rows {
        assert_eq!(errors(group, resource, object.clone()), expected, "{resource} {object}");
    }
}

pub fn check_updates(group: &str, rows: Vec<(&str, Value, Value, Vec<&str>)>) {
    for (resource, old, new, expected) in rows {
        assert_eq!(update_errors(group, resource, old, new.clone()), expected, "{resource} {new}");
    }
}

pub fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}})
}

pub fn with(mut value: Value, path: &str, field: Value) -> Value {
    *value.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = field;
    value
}

pub fn workload() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template()}})
}

#[test]
fn names_follow_the_kind() {
    let valid = |group, resource, name: &str| {
        let kind = kind(group, resource);
        (kind.strategy.validate_name)(name).is_empty()
    };
    assert!(valid("", "pods", "a.b") && !valid("", "pods", "A"));
    assert!(valid("", "namespaces", "a") && !valid("", "namespaces", "a.b"));
    assert!(valid("", "services", "a1") && !valid("", "services", "1a"));
    assert!(valid("apps", "statefulsets", "a") && !valid("apps", "statefulsets", "a.b"));
    assert!(
        valid("rbac.authorization.k8s.io", "clusterroles", "system:node")
            && !valid("rbac.authorization.k8s.io", "roles", "a/b")
    );
    assert!(
        valid("networking.k8s.io", "ipaddresses", "10.0.0.1")
            && !valid("networking.k8s.io", "ipaddresses", "010.0.0.1")
    );
}

#[test]
fn what_components_write_is_valid() {
    check(
        "",
        vec![
            (
                "nodes",
                json!({"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}}, "spec": {"podCIDR": "10.42.0.0/24",
                    "podCIDRs": ["10.42.0.0/24"], "taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]},
                    "status": {"capacity": {"cpu": "2"}, "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}),
                vec![],
            ),
            ("serviceaccounts", json!({"metadata": {"name": "default"}}), vec![]),
            (
                "services",
                json!({"metadata": {"name": "kubernetes"}, "spec": {"clusterIP": "10.43.0.1", "clusterIPs": ["10.43.0.1"],
                    "ports": [{"name": "https", "port": 443, "targetPort": 6443}]}}),
                vec![],
            ),
        ],
    );
    check(
        "apiregistration.k8s.io",
        vec![(
            "apiservices",
            json!({"metadata": {"name": "v1."}, "spec": {"version": "v1", "group": "", "groupPriorityMinimum": 18000, "versionPriority": 1}}),
            vec![],
        )],
    );
    check(
        "events.k8s.io",
        vec![(
            "events",
            json!({"metadata": {"name": "e", "namespace": "default"}, "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "scheduler",
            "reportingInstance": "scheduler-1", "action": "Binding", "reason": "Scheduled", "type": "Normal",
            "regarding": {"kind": "Pod", "namespace": "default", "name": "web"}}),
            vec![],
        )],
    );
    check(
        "rbac.authorization.k8s.io",
        vec![(
            "clusterroles",
            json!({"metadata": {"name": "system:discovery"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*"]}]}),
            vec![],
        )],
    );
}
