//! The smallest objects.

mod pod_certificate;

use kinds::KindDef;
use machinery::Object;
use serde_json::{Value, json};

/// The smallest object of the kind that is valid, before defaults.
pub fn minimal(kind: &KindDef) -> Object {
    let mut object = Object::from_value(fields(kind)).expect("an object");
    if object.name().is_empty() {
        object.set(&["metadata", "name"], "web");
    }
    if kind.namespaced() {
        object.set(&["metadata", "namespace"], "default");
    }
    object
}

fn fields(kind: &KindDef) -> Value {
    let selector = json!({"matchLabels": {"app": "web"}});
    let once =
        json!({"metadata": {}, "spec": {"restartPolicy": "Never", "containers": [{"name": "web", "image": "a"}]}});
    let matching = json!({"resourceRules": [
        {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]});
    match (kind.group, kind.kind) {
        ("", "Event") => json!({"involvedObject": {"namespace": "default"}}),
        ("events.k8s.io", "Event") => json!({
            "regarding": {"namespace": "default"}, "eventTime": "2026-01-01T00:00:00.000000Z", "action": "a",
            "reason": "r", "type": "Normal", "reportingController": "c.d/e", "reportingInstance": "i"}),
        (_, "PersistentVolume") => json!({"spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}}),
        (_, "PersistentVolumeClaim") => {
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
        }
        (_, "Pod") => template(),
        (_, "PodTemplate") => json!({"template": template()}),
        (_, "ReplicationController") => json!({"spec": {"selector": {"app": "web"}, "template": template()}}),
        (_, "Service") => json!({"spec": {"ports": [{"port": 80}]}}),
        (_, "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet") => {
            json!({"spec": {"selector": selector, "template": template()}})
        }
        (_, "ControllerRevision") => json!({"revision": 1, "data": {}}),
        (_, "HorizontalPodAutoscaler") => {
            json!({"spec": {"maxReplicas": 1, "scaleTargetRef": {"kind": "Deployment", "name": "web"}}})
        }
        (_, "Job") => json!({"metadata": {"uid": "1"}, "spec": {"template": once}}),
        (_, "CronJob") => json!({"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": once}}}}),
        (_, "CertificateSigningRequest") => json!({"spec": {
            "request": include_str!("../data/request.base64").trim_end(), "signerName": "example.com/a", "usages": ["client auth"]}}),
        (_, "ClusterTrustBundle") => json!({"spec": {"trustBundle": include_str!("../data/authority.pem")}}),
        (_, "PodCertificateRequest") => json!({"spec": pod_certificate::spec()}),
        (_, "LeaseCandidate") => json!({"spec": {
            "leaseName": "a", "binaryVersion": "1.35.0", "emulationVersion": "1.35.0",
            "strategy": "OldestEmulationVersion"}}),
        (_, "StorageVersionMigration") => json!({"spec": {"resource": {"resource": "secrets"}}}),
        (_, "EndpointSlice") => json!({"addressType": "IPv4", "endpoints": []}),
        (_, "FlowSchema") => json!({"spec": {"priorityLevelConfiguration": {"name": "a"}}}),
        (_, "PriorityLevelConfiguration") => {
            json!({"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}})
        }
        (_, "Ingress") => {
            json!({"spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}})
        }
        (_, "IngressClass") => json!({"spec": {"controller": "example.com/a"}}),
        (_, "IPAddress") => json!({
            "metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": {"resource": "services", "name": "web"}}}),
        (_, "ServiceCIDR") => json!({"spec": {"cidrs": ["10.0.0.0/16"]}}),
        (_, "RuntimeClass") => json!({"handler": "runc"}),
        (_, "ClusterRoleBinding" | "RoleBinding") => json!({
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "a"}}),
        (_, "PriorityClass") => json!({"value": 1}),
        (_, "StorageClass") => json!({"provisioner": "example.com/a"}),
        (_, "VolumeAttributesClass") => json!({"driverName": "example.com", "parameters": {"a": "b"}}),
        (_, "VolumeAttachment") => json!({"spec": {
            "attacher": "example.com", "nodeName": "a", "source": {"persistentVolumeName": "b"}}}),
        (_, "CSIStorageCapacity") => json!({"storageClassName": "a"}),
        (_, "ValidatingAdmissionPolicy") => {
            json!({"spec": {"matchConstraints": matching, "validations": [{"expression": "true"}]}})
        }
        (_, "MutatingAdmissionPolicy") => json!({"spec": {
            "matchConstraints": matching, "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{}]"}}]}}),
        (_, "MutatingAdmissionPolicyBinding") => json!({"spec": {"policyName": "a"}}),
        (_, "ValidatingAdmissionPolicyBinding") => json!({"spec": {"policyName": "a", "validationActions": ["Deny"]}}),
        (_, "CustomResourceDefinition") => json!({
            "metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}}}]}}),
        (_, "APIService") => json!({
            "metadata": {"name": "v1.example.com"},
            "spec": {"group": "example.com", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
                "insecureSkipTLSVerify": true, "service": {"name": "a", "namespace": "b"}}}),
        (_, "ResourceSlice") => json!({"spec": {
            "driver": "example.com", "pool": {"name": "a", "resourceSliceCount": 1}, "nodeName": "n"}}),
        _ => json!({}),
    }
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}})
}
