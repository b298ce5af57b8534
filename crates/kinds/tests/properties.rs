//! What holds for the hooks of every kind: tried with objects made along the schema table, and with the smallest valid
//! object of each kind.

use kinds::KindDef;
use machinery::Object;
use schema::{Message, Shape, Type};
use serde_json::{Map, Value, json};

/// How deep generated objects go.
const DEPTH_MAX: usize = 12;

/// Which fields a generated object has.
#[derive(Clone, Copy, PartialEq)]
enum Fill {
    /// All of them.
    Everything,
    /// Those that hold objects: every one is there and lacks everything else, so that defaulting has most to do.
    Shells,
}

/// An object of the message, in which no message lies within itself.
fn generated(message: &'static Message, fill: Fill, above: &mut Vec<&'static str>) -> Value {
    if above.len() > DEPTH_MAX || above.contains(&message.name) {
        return json!({});
    }
    above.push(message.name);
    let mut object = Map::new();
    for field in message.fields {
        let Some(value) = one(field.of, fill, above) else { continue };
        let value = match field.shape {
            Shape::One => value,
            Shape::List => json!([value]),
            Shape::Map => json!({"a": value}),
        };
        object.insert(field.json.to_owned(), value);
    }
    above.pop();
    object.into()
}

fn one(of: Type, fill: Fill, above: &mut Vec<&'static str>) -> Option<Value> {
    let value = match of {
        Type::Message(message) => return Some(generated(message, fill, above)),
        _ if fill == Fill::Shells => return None,
        Type::String => json!("a"),
        Type::Bytes => json!("YQ=="),
        Type::Bool => json!(true),
        Type::Int32 | Type::Int64 | Type::Double | Type::IntOrString => json!(1),
        Type::Strings => json!(["a"]),
        Type::Quantity => json!("1"),
        Type::Time => json!("2026-01-01T00:00:00Z"),
        Type::MicroTime => json!("2026-01-01T00:00:00.000000Z"),
        Type::FieldsV1 | Type::RawExtension | Type::Any => json!({}),
        Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings => return None,
    };
    Some(value)
}

fn samples(kind: &KindDef) -> Vec<Object> {
    let message = schema::message(kind.schema).unwrap_or_else(|| panic!("{kind:?}"));
    let of = |fill| Object::from_value(generated(message, fill, &mut Vec::new())).unwrap();
    vec![Object::default(), of(Fill::Everything), of(Fill::Shells)]
}

#[test]
fn defaulting_twice_changes_nothing() {
    for kind in kinds::all() {
        for mut once in samples(kind) {
            (kind.strategy.default)(&mut once);
            let mut twice = once.clone();
            (kind.strategy.default)(&mut twice);
            assert_eq!(twice, once, "{kind:?}");
        }
    }
}

#[test]
fn hooks_cope_with_any_object() {
    for kind in kinds::all() {
        let (strategy, samples) = (&kind.strategy, samples(kind));
        for new in &samples {
            let mut created = new.clone();
            (strategy.prepare_create)(&mut created);
            for object in [new, &created] {
                let _ = [(strategy.validate)(object), (strategy.validate_create)(object)];
                let _ = (strategy.warnings)(object);
            }
            for old in &samples {
                let mut updated = new.clone();
                (strategy.prepare_update)(&mut updated, old);
                let _ = [(strategy.validate_update)(&updated, old), (strategy.validate_status_update)(&updated, old)];
                (strategy.prepare_status_update)(&mut updated, old);
            }
        }
    }
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}})
}

/// The smallest object of the kind that is valid.
fn minimal(kind: &KindDef) -> Value {
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
            "request": include_str!("data/request.base64").trim_end(), "signerName": "example.com/a", "usages": ["client auth"]}}),
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

/// Every stored kind with its smallest object, defaulted.
fn minimal_objects() -> impl Iterator<Item = (&'static KindDef, Object)> {
    let stored = kinds::all().iter().filter(|kind| !kind.virtual_kind && kind.conversion.is_none());
    stored.map(|kind| {
        let mut object = Object::from_value(minimal(kind)).unwrap();
        if object.name().is_empty() {
            object.set(&["metadata", "name"], "web");
        }
        if kind.namespaced() {
            object.set(&["metadata", "namespace"], "default");
        }
        (kind.strategy.default)(&mut object);
        (*kind, object)
    })
}

#[test]
fn the_smallest_objects_are_valid() {
    for (kind, mut object) in minimal_objects() {
        let strategy = &kind.strategy;
        (strategy.prepare_create)(&mut object);
        assert_eq!((strategy.validate_name)(object.name()), Vec::<String>::new(), "{kind:?}");
        let errors = [(strategy.validate)(&object), (strategy.validate_create)(&object)].concat();
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new(), "{kind:?}");
    }
}

#[test]
fn an_update_that_changes_nothing_is_valid() {
    for (kind, mut object) in minimal_objects() {
        let strategy = &kind.strategy;
        (strategy.prepare_create)(&mut object);
        // A Job takes the labels that its creation gave to its template.
        (strategy.default)(&mut object);
        let mut updated = object.clone();
        (strategy.default)(&mut updated);
        (strategy.prepare_update)(&mut updated, &object);
        assert_eq!(updated, object, "{kind:?}");
        let errors = [(strategy.validate)(&updated), (strategy.validate_update)(&updated, &object)].concat();
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new(), "{kind:?}");
    }
}
