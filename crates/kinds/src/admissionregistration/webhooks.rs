//! MutatingWebhookConfiguration and ValidatingWebhookConfiguration.

use std::collections::HashSet;

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1035_label, dns1123_subdomain, validate_label_selector};

use super::client::{validate_service, validate_url};
use super::rules::{validate_conditions, validate_rule};
use crate::check::{At, duplicates};
use crate::columns::{AGE, NAME};
use crate::def::Description::Text;
use crate::def::{Column, KindDef, Scope, Strategy};
use crate::tree::{Map, child, child_or_new, default, each};

const TIMEOUT_SECONDS: i32 = 10;
/// Where a webhook's Service is called when it does not say.
const SERVICE_PORT: i32 = 443;

pub static MUTATING_WEBHOOK_CONFIGURATION: KindDef = KindDef {
    kind: "MutatingWebhookConfiguration",
    resource: "mutatingwebhookconfigurations",
    singular: "mutatingwebhookconfiguration",
    schema: "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    strategy: Strategy { default: default_mutating, ..VALIDATING_WEBHOOK_CONFIGURATION.strategy },
    ..VALIDATING_WEBHOOK_CONFIGURATION
};

pub static VALIDATING_WEBHOOK_CONFIGURATION: KindDef = KindDef {
    group: "admissionregistration.k8s.io",
    kind: "ValidatingWebhookConfiguration",
    resource: "validatingwebhookconfigurations",
    singular: "validatingwebhookconfiguration",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    columns: &[
        NAME,
        Column::integer(
            "Webhooks",
            Text("Webhooks indicates the number of webhooks registered in this configuration"),
            |object| object.list(&["webhooks"]).len().into(),
        ),
        AGE,
    ],
    strategy: Strategy {
        any_finalizers: true,
        default: |object| each(&mut object.0, "webhooks", default_webhook),
        validate,
        generation: true,
        unconditional_update: false,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

fn default_mutating(object: &mut Object) {
    each(&mut object.0, "webhooks", |webhook| {
        default_webhook(webhook);
        default(webhook, "reinvocationPolicy", "Never");
    });
}

fn default_webhook(webhook: &mut Map) {
    default(webhook, "failurePolicy", "Fail");
    default(webhook, "matchPolicy", "Equivalent");
    default(webhook, "namespaceSelector", Map::new());
    default(webhook, "objectSelector", Map::new());
    default(webhook, "timeoutSeconds", TIMEOUT_SECONDS);
    each(webhook, "rules", |rule| default(rule, "scope", "*"));
    let service = child(child_or_new(webhook, "clientConfig"), "service");
    service.into_iter().for_each(|service| default(service, "port", SERVICE_PORT));
}

const TIMEOUT_MAX: i64 = 30;
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

fn validate(object: &Object) -> ErrorList {
    let webhooks = At::field(object, "webhooks").items();
    let mut errors: ErrorList = webhooks.iter().flat_map(validate_webhook).collect();
    errors.extend(duplicates(&webhooks, "name"));
    errors
}

fn validate_webhook(webhook: &At) -> ErrorList {
    let mut errors = validate_name(&webhook.child("name"));
    errors.extend(webhook.child("rules").items().iter().flat_map(validate_rule));
    errors.extend(given_one_of(&webhook.child("failurePolicy"), &["Fail", "Ignore"]));
    errors.extend(given_one_of(&webhook.child("matchPolicy"), &["Equivalent", "Exact"]));
    let effects = webhook.child("sideEffects");
    if effects.is_set() {
        errors.extend(given_one_of(&effects, &["None", "NoneOnDryRun"]));
    } else {
        errors.push(effects.required("must specify one of None, NoneOnDryRun"));
    }
    let timeout = webhook.child("timeoutSeconds");
    if timeout.int().is_some_and(|seconds| !(1..=TIMEOUT_MAX).contains(&seconds)) {
        errors.push(timeout.invalid("the timeout value must be between 1 and 30 seconds"));
    }
    for selector in webhook.set_children(&["namespaceSelector", "objectSelector"]) {
        errors.extend(validate_label_selector(selector.value, &selector.path));
    }
    errors.extend(given_one_of(&webhook.child("reinvocationPolicy"), &["IfNeeded", "Never"]));
    errors.extend(validate_client(&webhook.child("clientConfig")));
    errors.extend(validate_conditions(&webhook.child("matchConditions"), false));
    errors.extend(validate_versions(&webhook.child("admissionReviewVersions")));
    errors
}

/// A text that is given is one of these, and not empty.
fn given_one_of(at: &At, supported: &[&str]) -> Option<Error> {
    (at.is_set() && !supported.contains(&at.text())).then(|| at.not_supported(supported))
}

fn validate_versions(versions: &At) -> ErrorList {
    let items = versions.items();
    if items.is_empty() {
        return vec![versions.required("must specify one of v1, v1beta1")];
    }
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for version in &items {
        match seen.insert(version.text()) {
            true => errors.extend(version.check(dns1035_label)),
            false => errors.push(version.invalid("duplicate version")),
        }
    }
    if !REVIEW_VERSIONS.iter().any(|version| seen.contains(version)) {
        errors.push(versions.invalid("must include at least one of v1, v1beta1"));
    }
    errors
}

fn validate_name(name: &At) -> ErrorList {
    if name.is_empty() {
        return vec![name.required("")];
    }
    let faults = dns1123_subdomain(name.text());
    if !faults.is_empty() {
        return vec![name.invalid(faults.join(","))];
    }
    let short = name.text().split('.').count() < 3;
    let text = "should be a domain with at least three segments separated by dots";
    short.then(|| name.invalid(text)).into_iter().collect()
}

fn validate_client(client: &At) -> ErrorList {
    let (url, service) = (client.child("url"), client.child("service"));
    match (url.is_set(), service.is_set()) {
        (true, false) => validate_url(&url),
        (false, true) => validate_service(&service),
        _ => vec![client.required("exactly one of url or service is required")],
    }
}
