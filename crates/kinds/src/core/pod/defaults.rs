//! Defaults of pods and pod templates.
//!
//! upstream: pkg/apis/core/v1/defaults.go

use machinery::Object;
use serde_json::{Value, json};

use super::CONTAINER_LISTS;
use crate::core::persistent_volume_claim::default_claim_spec;
use crate::tree::{Map, child, child_or_new, default, default_text, each, is_absent, text};

/// Mode of files from ConfigMaps, Secrets and the like: 0644.
const FILE_MODE: i32 = 0o644;
const TOKEN_SECONDS: i64 = 3600;

pub fn default_pod(pod: &mut Object) {
    let spec = child_or_new(&mut pod.0, "spec");
    default_pod_spec(spec);
    default(spec, "enableServiceLinks", true);
    for list in ["initContainers", "containers"] {
        each(spec, list, requests_from_limits);
    }
    if spec.get("hostNetwork") == Some(&Value::Bool(true)) {
        for list in ["initContainers", "containers"] {
            each(spec, list, host_ports_from_container_ports);
        }
    }
}

/// Defaults of the pod template at `field` of `parent`.
pub fn default_template(parent: &mut Map, field: &str) {
    let template = child_or_new(parent, field);
    child_or_new(template, "metadata");
    default_pod_spec(child_or_new(template, "spec"));
}

/// What pods and templates share. `resources: {}` and the like are what upstream's encoding shows.
fn default_pod_spec(spec: &mut Map) {
    default_text(spec, "dnsPolicy", "ClusterFirst");
    default_text(spec, "restartPolicy", "Always");
    default_text(spec, "schedulerName", "default-scheduler");
    default(spec, "securityContext", Map::new());
    default(spec, "terminationGracePeriodSeconds", 30);
    service_account_names(spec);
    for list in CONTAINER_LISTS {
        each(spec, list, default_container);
    }
    each(spec, "volumes", default_volume);
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are shown.
fn service_account_names(spec: &mut Map) {
    let name = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if name.is_empty() {
        return;
    }
    spec.insert("serviceAccountName".to_owned(), name.clone().into());
    spec.insert("serviceAccount".to_owned(), name.into());
}

fn default_container(container: &mut Map) {
    let policy = pull_policy(text(container, "image"));
    default_text(container, "imagePullPolicy", policy);
    default_text(container, "terminationMessagePath", "/dev/termination-log");
    default_text(container, "terminationMessagePolicy", "File");
    default(container, "resources", Map::new());
    each(container, "ports", |port| default_text(port, "protocol", "TCP"));
    each(container, "env", default_env);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        child(container, probe).into_iter().for_each(default_probe);
    }
    for hook in ["postStart", "preStop"] {
        let handler = child(container, "lifecycle").and_then(|lifecycle| child(lifecycle, hook));
        handler.into_iter().for_each(default_http_get);
    }
}

/// `Always` for images that are tagged `latest`, or neither tagged nor pinned by digest.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, ""), |(name, digest)| (name, digest));
    let tag = name.rsplit('/').next().and_then(|last| last.split_once(':')).map_or("", |(_, tag)| tag);
    match (tag, digest) {
        ("latest", _) | ("", "") => "Always",
        _ => "IfNotPresent",
    }
}

fn default_env(variable: &mut Map) {
    let reference = child(variable, "valueFrom").and_then(|source| child(source, "fieldRef"));
    reference.into_iter().for_each(|reference| default_text(reference, "apiVersion", "v1"));
}

fn default_probe(probe: &mut Map) {
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if is_absent(probe, field) || probe[field] == 0 {
            probe.insert(field.to_owned(), value.into());
        }
    }
    default_http_get(probe);
    child(probe, "grpc").into_iter().for_each(|grpc| default(grpc, "service", ""));
}

fn default_http_get(handler: &mut Map) {
    if let Some(get) = child(handler, "httpGet") {
        default_text(get, "path", "/");
        default_text(get, "scheme", "HTTP");
    }
}

fn requests_from_limits(container: &mut Map) {
    let resources = child_or_new(container, "resources");
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let requests = child_or_new(resources, "requests");
    for (resource, quantity) in limits {
        default(requests, &resource, quantity);
    }
}

fn host_ports_from_container_ports(container: &mut Map) {
    each(container, "ports", |port| {
        let number = port.get("containerPort").cloned().unwrap_or_default();
        if is_absent(port, "hostPort") || port["hostPort"] == 0 {
            port.insert("hostPort".to_owned(), number);
        }
    });
}

pub fn default_volume(volume: &mut Map) {
    let has_source = volume.iter().any(|(field, value)| field != "name" && !value.is_null());
    if !has_source {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "projected", "downwardAPI"] {
        child(volume, source).into_iter().for_each(|source| default(source, "defaultMode", FILE_MODE));
    }
    child(volume, "downwardAPI").into_iter().for_each(default_field_refs);
    if let Some(projected) = child(volume, "projected") {
        each(projected, "sources", default_projection);
    }
    default_source(volume);
    default_claim_template(volume);
}

/// Sources that volumes of pods and of the cluster have alike.
pub fn default_source(volume: &mut Map) {
    child(volume, "hostPath").into_iter().for_each(|path| default(path, "type", ""));
    child(volume, "iscsi").into_iter().for_each(|iscsi| default_text(iscsi, "iscsiInterface", "default"));
    for (source, fields) in [
        ("rbd", &[("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")][..]),
        ("scaleIO", &[("storageMode", "ThinProvisioned"), ("fsType", "xfs")]),
    ] {
        let Some(source) = child(volume, source) else { continue };
        fields.iter().for_each(|(field, value)| default_text(source, field, value));
    }
    if let Some(disk) = child(volume, "azureDisk") {
        for (field, value) in [("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4")] {
            default(disk, field, value);
        }
        default(disk, "readOnly", false);
    }
}

fn default_projection(source: &mut Map) {
    child(source, "serviceAccountToken")
        .into_iter()
        .for_each(|token| default(token, "expirationSeconds", TOKEN_SECONDS));
    child(source, "downwardAPI").into_iter().for_each(default_field_refs);
}

fn default_field_refs(downward: &mut Map) {
    each(downward, "items", |item| {
        child(item, "fieldRef").into_iter().for_each(|reference| default_text(reference, "apiVersion", "v1"));
    });
}

fn default_claim_template(volume: &mut Map) {
    let template = child(volume, "ephemeral").and_then(|source| child(source, "volumeClaimTemplate"));
    template.into_iter().for_each(|template| default_claim_spec(child_or_new(template, "spec")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaulted(spec: Value) -> Value {
        let mut pod = Object::from_value(json!({"spec": spec})).unwrap();
        default_pod(&mut pod);
        pod.into_value()["spec"].take()
    }

    #[test]
    fn images_decide_when_they_are_pulled() {
        let cases = [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.29", "IfNotPresent"),
            ("registry:5000/team/nginx", "Always"),
            ("registry:5000/team/nginx:1", "IfNotPresent"),
            ("nginx@sha256:0123", "IfNotPresent"),
        ];
        for (image, policy) in cases {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }

    #[test]
    fn a_minimal_pod_gets_what_upstream_gives_it() {
        let spec =
            defaulted(json!({"containers": [{"name": "web", "image": "nginx:1", "ports": [{"containerPort": 80}]}]}));
        let expected = json!({
            "containers": [{
                "name": "web", "image": "nginx:1", "imagePullPolicy": "IfNotPresent", "resources": {},
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            }],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30,
        });
        assert_eq!(spec, expected);
    }

    #[test]
    fn requests_default_to_limits_one_resource_at_a_time() {
        let spec = defaulted(json!({"containers": [
            {"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}}]}));
        assert_eq!(spec["containers"][0]["resources"]["requests"], json!({"cpu": "500m", "memory": "1Gi"}));
    }

    #[test]
    fn probes_and_volumes_are_completed() {
        let spec = defaulted(json!({
            "hostNetwork": true,
            "containers": [{
                "name": "a", "image": "a", "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 5},
                "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            }],
            "volumes": [{"name": "scratch"}, {"name": "config", "configMap": {"name": "web"}}, {"name": "host", "hostPath": {"path": "/"}},
                {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
        }));
        let container = &spec["containers"][0];
        assert_eq!(
            container["livenessProbe"],
            json!({"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
            "failureThreshold": 3, "periodSeconds": 5, "successThreshold": 1, "timeoutSeconds": 1})
        );
        assert_eq!(container["ports"][0]["hostPort"], 80);
        assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
        assert_eq!(
            spec["volumes"],
            json!([
            {"name": "scratch", "emptyDir": {}}, {"name": "config", "configMap": {"name": "web", "defaultMode": 420}},
            {"name": "host", "hostPath": {"path": "/", "type": ""}},
            {"name": "token", "projected": {"defaultMode": 420,
                "sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}]}}])
        );
    }
}
