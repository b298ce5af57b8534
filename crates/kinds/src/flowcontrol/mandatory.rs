//! What every server has, whatever someone says of it: the level and the schema that exempt administrators, and those that
//! take what nothing else takes.
//!
//! upstream: apiserver/pkg/apis/flowcontrol/bootstrap, pkg/apis/flowcontrol/validation

use machinery::Object;
use machinery::field::Error;
use serde_json::{Value, json};

use crate::check::{At, same};

pub const EXEMPT: &str = "exempt";
pub const CATCH_ALL: &str = "catch-all";

/// The spec of a PriorityLevelConfiguration of this name, if it has to be.
pub fn level(name: &str) -> Option<Value> {
    match name {
        EXEMPT => Some(json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}})),
        CATCH_ALL => Some(json!({"type": "Limited", "limited": {
            "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"},
        }})),
        _ => None,
    }
}

/// The spec of a FlowSchema of this name, if it has to be.
pub fn schema(name: &str) -> Option<Value> {
    let all = |groups: &[&str]| {
        let subjects: Vec<Value> =
            groups.iter().map(|name| json!({"kind": "Group", "group": {"name": name}})).collect();
        json!([{
            "subjects": subjects,
            "resourceRules": [{
                "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true,
            }],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }])
    };
    match name {
        EXEMPT => Some(json!({
            "priorityLevelConfiguration": {"name": EXEMPT}, "matchingPrecedence": 1,
            "rules": all(&["system:masters"]),
        })),
        CATCH_ALL => Some(json!({
            "priorityLevelConfiguration": {"name": CATCH_ALL}, "matchingPrecedence": 10_000,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": all(&["system:unauthenticated", "system:authenticated"]),
        })),
        _ => None,
    }
}

pub fn validate_schema(object: &Object) -> Option<Error> {
    let spec = At::field(object, "spec");
    let fixed = schema(object.name())?;
    let text = format!("spec of '{}' must equal the fixed value", object.name());
    (!same(spec.value, &fixed)).then(|| spec.invalid(text))
}

/// How many requests are exempt may change.
pub fn validate_level(object: &Object) -> Option<Error> {
    let spec = At::field(object, "spec");
    let mut fixed = level(object.name())?;
    let mut text = format!("spec of '{}' must equal the fixed value", object.name());
    if object.name() == EXEMPT {
        fixed["exempt"] = spec.child("exempt").value.clone();
        text = format!("spec of '{EXEMPT}' except the 'spec.exempt' field must equal the fixed value");
    }
    (!same(spec.value, &fixed)).then(|| spec.invalid(text))
}
