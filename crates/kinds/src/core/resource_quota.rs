//! ResourceQuota.

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::qualified_name;
use serde_json::Value;

use crate::check::{At, immutable, non_negative_quantity, one_of, quantity};
use crate::columns::{AGE, NAME, scalar};
use crate::def::{Column, KindDef, Strategy, Subresource};

pub static RESOURCE_QUOTA: KindDef = KindDef {
    kind: "ResourceQuota",
    resource: "resourcequotas",
    singular: "resourcequota",
    short_names: &["quota"],
    schema: "io.k8s.api.core.v1.ResourceQuota",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("Request", "Use and limit of what is requested", |quota| usage(quota, false)),
        Column::string("Limit", "Use and limit of limits", |quota| usage(quota, true)),
        AGE,
    ],
    strategy: Strategy { validate, validate_update, generation: false, returns_deleted: true, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};

fn usage(quota: &Object, limits: bool) -> Value {
    let hard = quota.map(&["status", "hard"]).into_iter().flatten();
    let chosen = hard.filter(|(resource, _)| resource.starts_with("limits.") == limits);
    let texts: Vec<String> = chosen
        .map(|(resource, amount)| {
            let used = quota.get(&["status", "used", resource]).map_or_else(|| "0".to_owned(), scalar);
            format!("{resource}: {used}/{}", scalar(amount))
        })
        .collect();
    texts.join(", ").into()
}

/// Resources without a domain that a quota may count.
const STANDARD: [&str; 18] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
];
const SCOPES: &[&str] = &[
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];

fn validate(quota: &Object) -> ErrorList {
    let spec = At::field(quota, "spec");
    let mut errors = ErrorList::new();
    for (resource, amount) in spec.child("hard").entries() {
        errors.extend(validate_resource(resource, &amount));
        errors.extend(non_negative_quantity(&amount));
        let counts = STANDARD[10..].contains(&resource) || resource.starts_with("count/");
        if counts && quantity(&amount).is_some_and(|amount| amount.milli_value() % 1000 != 0) {
            errors.push(amount.invalid("must be an integer"));
        }
    }
    errors.extend(spec.child("scopes").items().iter().filter_map(|scope| one_of(scope, SCOPES)));
    errors
}

fn validate_resource(resource: &str, at: &At) -> ErrorList {
    let invalid = |text: String| Error::invalid(&at.path, resource, text);
    let mut errors: ErrorList = qualified_name(resource).into_iter().map(invalid).collect();
    let known = STANDARD.contains(&resource) || resource == "services.loadbalancers" || resource.contains("hugepages-");
    if !resource.contains('/') && !known {
        errors.push(invalid("must be a standard resource type or fully qualified".to_owned()));
        errors.push(invalid("must be a standard resource for quota".to_owned()));
    }
    errors
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let scopes = |quota| At::field(quota, "spec").child("scopes");
    immutable(&scopes(new), &scopes(old)).into_iter().collect()
}
