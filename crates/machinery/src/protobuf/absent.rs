//! Which zero values mean that a field is not there.
//!
//! Go's protobuf writes every field that is no pointer, zero or not, and its JSON leaves those out again.
//! The wire does not say which fields are pointers, so the ones whose zero means something are listed.

use schema::{Field, Message, Type};
use serde_json::Value;

/// Pointers to booleans of which `false` is not the default.
const BOOLS: &[&str] = &[
    "allocateLoadBalancerNodePorts",
    "allowPrivilegeEscalation",
    "allowVolumeExpansion",
    "attachRequired",
    "automountServiceAccountToken",
    "blockOwnerDeletion",
    "controller",
    "enableServiceLinks",
    "hostProcess",
    "hostUsers",
    "immutable",
    "manualSelector",
    "optional",
    "orphanDependents",
    "podInfoOnMount",
    "privileged",
    "readOnlyRootFilesystem",
    "ready",
    "requiresRepublish",
    "runAsNonRoot",
    "seLinuxMount",
    "serving",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "started",
    "storageCapacity",
    "suspend",
    "terminating",
];

/// Pointers to numbers of which zero is not the default.
const NUMBERS: &[&str] = &[
    "activeDeadlineSeconds",
    "averageUtilization",
    "backoffLimit",
    "backoffLimitPerIndex",
    "completions",
    "defaultMode",
    "deletionGracePeriodSeconds",
    "expirationSeconds",
    "failedJobsHistoryLimit",
    "fsGroup",
    "gracePeriodSeconds",
    "leaseTransitions",
    "maxFailedIndexes",
    "minDomains",
    "minReplicas",
    "mode",
    "parallelism",
    "partition",
    "priority",
    "progressDeadlineSeconds",
    "replicas",
    "revisionHistoryLimit",
    "runAsGroup",
    "runAsUser",
    "stabilizationWindowSeconds",
    "startingDeadlineSeconds",
    "successfulJobsHistoryLimit",
    "terminationGracePeriodSeconds",
    "tolerationSeconds",
    "ttlSecondsAfterFinished",
];

/// An empty class asks for a volume without one, which no class at all does not.
const EMPTY_CLASS: (&str, &str) = ("io.k8s.api.core.v1.PersistentVolumeClaimSpec", "storageClassName");

/// Whether Go's JSON would not show this value.
pub fn is_absent(message: &Message, field: &Field, value: &Value) -> bool {
    match value {
        Value::Null => true,
        _ if field.required => false,
        Value::Bool(false) => !BOOLS.contains(&field.json),
        Value::Number(number) => number.as_f64() == Some(0.0) && is_plain(field) && !NUMBERS.contains(&field.json),
        Value::String(text) => text.is_empty() && (message.name, field.json) != EMPTY_CLASS,
        Value::Object(map) => {
            map.is_empty() && matches!(field.json, "status" | "resources" | "strategy" | "updateStrategy")
        }
        _ => false,
    }
}

/// Numbers that are not one of two forms of a value.
fn is_plain(field: &Field) -> bool {
    matches!(field.of, Type::Int32 | Type::Int64 | Type::Double)
}
