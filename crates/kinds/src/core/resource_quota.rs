//! ResourceQuota.

use std::collections::{BTreeSet, HashSet};

use machinery::Object;
use machinery::field::{Error, ErrorList};
use serde_json::Value;

use super::resource_names::{is_quota_resource, validate_amount, validate_resource_name};
use crate::check::{At, IMMUTABLE};
use crate::columns::{AGE, NAME, scalar};
use crate::def::Description::Text;
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
        Column::string(
            "Request",
            Text("Request represents a minimum amount of cpu/memory that a container may consume."),
            |quota| usage(quota, false),
        ),
        Column::string(
            "Limit",
            Text(
                "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
            ),
            |quota| usage(quota, true),
        ),
        AGE,
    ],
    strategy: Strategy {
        validate,
        validate_update,
        validate_status_update,
        generation: false,
        returns_deleted: true,
        ..Strategy::WITH_STATUS
    },
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

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];
/// Each repeats the scopes; a body has room for many thousand resources.
const MISAPPLIED_TOLD: usize = 100;
const OPPOSITES: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
const OF_PODS: [&str; 7] = ["pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
const MUST_EXIST: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
    ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
    ResourceQuotaScopeCrossNamespacePodAffinity";

fn validate(quota: &Object) -> ErrorList {
    let spec = At::field(quota, "spec");
    let mut errors = validate_amounts(&spec.child("hard"));
    errors.extend(validate_scopes(&spec));
    let selector = spec.child("scopeSelector");
    if selector.is_set() {
        errors.extend(validate_selector(&spec, &selector));
    }
    errors
}

fn validate_status_update(quota: &Object, _: &Object) -> ErrorList {
    let status = At::field(quota, "status");
    ["hard", "used"].iter().flat_map(|field| validate_amounts(&status.child(field))).collect()
}

fn validate_amounts(amounts: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for (resource, amount) in amounts.entries() {
        errors.extend(validate_resource_name(resource, &amount));
        if !resource.contains('/') && !is_quota_resource(resource) {
            errors.push(Error::invalid(&amount.path, resource, "must be a standard resource for quota"));
        }
        errors.extend(validate_amount(resource, &amount));
    }
    errors
}

fn validate_scopes(spec: &At) -> ErrorList {
    let scopes = spec.child("scopes");
    let names: Vec<&str> = scopes.items().iter().map(At::text).collect();
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for scope in &names {
        if !SCOPES.contains(scope) {
            errors.push(scopes.invalid("unsupported scope"));
        } else if seen.insert(*scope) {
            errors.extend(misapplied(spec, scope).map(|()| scopes.invalid("unsupported scope applied to resource")));
        }
    }
    errors.extend(conflicts(&names).map(|()| scopes.invalid("conflicting scopes")));
    errors
}

fn validate_selector(spec: &At, selector: &At) -> ErrorList {
    let terms = selector.child("matchExpressions");
    let mut errors = ErrorList::new();
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    for term in terms.items() {
        // Upstream tells no index.
        let [scope, operator, values] =
            ["scopeName", "operator", "values"].map(|field| term.child(field).at(terms.path.child(field)));
        errors.extend((!SCOPES.contains(&scope.text())).then(|| scope.invalid("unsupported scope")));
        if SCOPES.contains(&scope.text()) && seen.insert(scope.text()) {
            let whole = selector.clone().at(terms.path.clone());
            let misapplied = misapplied(spec, scope.text());
            errors.extend(misapplied.map(|()| whole.invalid("unsupported scope applied to resource")));
        }
        let valued = ["PriorityClass", "VolumeAttributesClass"].contains(&scope.text());
        if SCOPES.contains(&scope.text()) && !valued && operator.text() != "Exists" {
            errors.push(operator.invalid(MUST_EXIST));
        }
        let [none, some] = [
            "at least one value when `operator` is 'In' or 'NotIn'",
            "no value when `operator` is 'Exist' or 'DoesNotExist'",
        ]
        .map(|text| format!("must be {text} for scope selector"));
        match (operator.text(), values.is_empty()) {
            ("In" | "NotIn", true) => errors.push(values.required(&none)),
            ("Exists" | "DoesNotExist", false) => errors.push(values.invalid(some)),
            ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => {}
            _ => errors.push(operator.invalid("not a valid selector operator")),
        }
        names.push(scope.text());
    }
    let scopes = spec.child("scopes").at(terms.path.clone());
    errors.extend(conflicts(&names).map(|()| scopes.invalid("conflicting scopes")));
    errors
}

/// One for every limited resource that the scope says nothing about, up to [`MISAPPLIED_TOLD`].
fn misapplied<'a>(spec: &At<'a>, scope: &'a str) -> impl Iterator<Item = ()> + use<'a> {
    let applies = move |resource: &str| match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => ["persistentvolumeclaims", "requests.storage"].contains(&resource),
        _ if SCOPES.contains(&scope) => OF_PODS.contains(&resource),
        _ => true,
    };
    let resources = spec.child("hard").entries().into_iter().map(|(resource, _)| resource);
    resources
        .filter(move |resource| is_quota_resource(resource) && !applies(resource))
        .take(MISAPPLIED_TOLD)
        .map(|_| ())
}

fn conflicts(scopes: &[&str]) -> impl Iterator<Item = ()> {
    OPPOSITES.iter().filter(|pair| pair.iter().all(|scope| scopes.contains(scope))).map(|_| ())
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let [scopes, were] = [new, old].map(|quota| At::field(quota, "spec").child("scopes"));
    let set = |scopes: &At| scopes.items().iter().map(|scope| scope.text().to_owned()).collect::<BTreeSet<_>>();
    (set(&scopes) != set(&were)).then(|| scopes.invalid(IMMUTABLE)).into_iter().collect()
}
