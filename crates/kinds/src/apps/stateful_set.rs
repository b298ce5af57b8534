//! StatefulSet.

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::dns1123_label;

use super::Counts;
use super::deployment::{SCALE, at_most_all, ready, validate_counts, validate_runs_on};
use crate::check::{At, int_or_percent, is_zero, non_negative, one_of, optional_name, same, workload_selector};
use crate::columns::{AGE, CONTAINERS, IMAGES, NAME};
use crate::core::persistent_volume_claim::default_claim_map;
use crate::core::pod::defaults::default_template;
use crate::core::pod::validate::validate_template_metadata;
use crate::core::pod::warnings::of_template;
use crate::def::Description::Text;
use crate::def::{Column, KindDef, Strategy, Subresource};
use crate::tree::{child_or_new, default, default_status_number, default_text, each, text};

pub static STATEFUL_SET: KindDef = KindDef {
    group: "apps",
    kind: "StatefulSet",
    resource: "statefulsets",
    singular: "statefulset",
    short_names: &["sts"],
    categories: &["all"],
    schema: "io.k8s.api.apps.v1.StatefulSet",
    subresources: &[Subresource::Scale(SCALE), Subresource::Status],
    columns: &[
        NAME,
        Column::string("Ready", Text("Number of the pod with ready state"), ready),
        AGE,
        CONTAINERS,
        IMAGES,
    ],
    strategy: Strategy {
        default: default_stateful_set,
        validate,
        validate_create: |object| optional_name(&At::field(object, "spec").child("serviceName"), dns1123_label),
        validate_update,
        validate_status_update: |new, old| STATUS.validate(new, old),
        validate_name: dns1123_label,
        warnings: of_template,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn default_stateful_set(object: &mut Object) {
    let spec = child_or_new(&mut object.0, "spec");
    default_template(spec, "template");
    default_text(spec, "podManagementPolicy", "OrderedReady");
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    let retention = child_or_new(spec, "persistentVolumeClaimRetentionPolicy");
    default_text(retention, "whenDeleted", "Retain");
    default_text(retention, "whenScaled", "Retain");
    let strategy = child_or_new(spec, "updateStrategy");
    default_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        default(child_or_new(strategy, "rollingUpdate"), "partition", 0);
    }
    each(spec, "volumeClaimTemplates", |claim| {
        default_text(claim, "apiVersion", "v1");
        default_text(claim, "kind", "PersistentVolumeClaim");
        default_claim_map(claim);
    });
    default_status_number(object, &["availableReplicas", "replicas"]);
}

/// Fields of the spec that an update may change.
const CHANGEABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];
const STATUS: Counts = Counts {
    fields: &[
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ],
    bounds: &[
        ("readyReplicas", "replicas", "status.replicas"),
        ("currentReplicas", "replicas", "status.replicas"),
        ("updatedReplicas", "replicas", "status.replicas"),
        ("availableReplicas", "replicas", "status.replicas"),
        ("availableReplicas", "readyReplicas", "status.readyReplicas"),
    ],
};
const RETENTION: &[&str] = &["Delete", "Retain"];

/// The template's pods are checked when they are made: their volumes come from the claims.
fn validate(object: &Object) -> ErrorList {
    let spec = At::field(object, "spec");
    let mut errors = validate_policy(&spec.child("podManagementPolicy"));
    errors.extend(validate_strategy(&spec.child("updateStrategy")));
    for field in spec.child("persistentVolumeClaimRetentionPolicy").set_children(&["whenDeleted", "whenScaled"]) {
        errors.extend(one_of(&field, RETENTION));
    }
    errors.extend(validate_counts(&spec, &["replicas", "minReadySeconds"]));
    errors.extend(non_negative(&spec.child("ordinals").child("start")));
    let template = spec.child("template");
    errors.extend(workload_selector(&spec.child("selector"), &template, "statefulset"));
    errors.extend(validate_template_metadata(&template));
    errors.extend(validate_runs_on(&template, "StatefulSet"));
    errors.extend(validate_counts(&spec, &["revisionHistoryLimit"]));
    errors
}

fn validate_policy(policy: &At) -> ErrorList {
    match policy.text() {
        "OrderedReady" | "Parallel" => ErrorList::new(),
        "" => vec![policy.required("")],
        _ => vec![policy.invalid("must be 'OrderedReady' or 'Parallel'")],
    }
}

fn validate_strategy(strategy: &At) -> ErrorList {
    let rolling = strategy.child("rollingUpdate");
    match strategy.child("type").text() {
        "" => vec![strategy.required("")],
        "OnDelete" if rolling.is_set() => {
            vec![rolling.invalid("only allowed for updateStrategy 'RollingUpdate'")]
        }
        "OnDelete" => ErrorList::new(),
        "RollingUpdate" => validate_rolling(&rolling),
        _ => vec![strategy.invalid("must be 'RollingUpdate' or 'OnDelete'")],
    }
}

fn validate_rolling(rolling: &At) -> ErrorList {
    let unavailable = rolling.child("maxUnavailable");
    let mut errors: ErrorList = non_negative(&rolling.child("partition")).into_iter().collect();
    errors.extend(int_or_percent(&unavailable));
    errors.extend((unavailable.is_set() && is_zero(&unavailable)).then(|| unavailable.invalid("cannot be 0")));
    errors.extend(at_most_all(&unavailable));
    errors
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let fixed = |object: &Object| {
        let mut spec = object.map(&["spec"]).cloned().unwrap_or_default();
        spec.retain(|field, _| !CHANGEABLE.contains(&field.as_str()));
        serde_json::Value::Object(spec)
    };
    if same(&fixed(new), &fixed(old)) {
        return ErrorList::new();
    }
    let (last, others) = CHANGEABLE.split_last().expect("there are some");
    let others: Vec<String> = others.iter().map(|field| format!("'{field}'")).collect();
    let text =
        format!("updates to statefulset spec for fields other than {} and '{last}' are forbidden", others.join(", "));
    vec![At::field(new, "spec").forbidden(text)]
}
