//! CustomResourceDefinition, as an object. What it defines is served by the registry.

use machinery::Object;
use serde_json::{Value, json};

use super::validate::{validate, validate_status, validate_update, within};
use crate::def::{KindDef, Scope, Strategy, Subresource, keep_status};
use crate::tree::{child, child_or_new, default, default_text, str_of, text};

const SERVICE_PORT: i32 = 443;

pub static CUSTOM_RESOURCE_DEFINITION: KindDef = KindDef {
    group: "apiextensions.k8s.io",
    kind: "CustomResourceDefinition",
    resource: "customresourcedefinitions",
    singular: "customresourcedefinition",
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    schema: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    subresources: &[Subresource::Status],
    retired: Some(super::beta::V1BETA1),
    strategy: Strategy {
        any_finalizers: true,
        default: default_definition,
        prepare_create,
        prepare_update,
        prepare_delete,
        cleanup_finalizer: Some("customresourcecleanup.apiextensions.k8s.io"),
        validate_create: validate,
        validate_update,
        validate_status_update: |new, _| validate_status(new),
        warnings,
        unconditional_update: false,
        kept_by_status: &[&["metadata"]],
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn default_definition(definition: &mut Object) {
    let spec = child_or_new(&mut definition.0, "spec");
    let names = child_or_new(spec, "names");
    let kind = text(names, "kind").to_owned();
    default_text(names, "singular", &kind.to_lowercase());
    if !kind.is_empty() {
        default_text(names, "listKind", &format!("{kind}List"));
    }
    default(spec, "conversion", json!({"strategy": "None"}));
    let conversion = child_or_new(spec, "conversion");
    let client = child(conversion, "webhook").and_then(|webhook| child(webhook, "clientConfig"));
    let service = client.and_then(|client| child(client, "service"));
    service.into_iter().for_each(|service| default(service, "port", SERVICE_PORT));
}

/// A new definition knows which version it stores, and nothing is accepted yet.
fn prepare_create(definition: &mut Object) {
    let versions = definition.list(&["spec", "versions"]).iter();
    let stored: Vec<_> =
        versions.filter(|version| version["storage"] == true).map(|version| version["name"].clone()).collect();
    let names = json!({"kind": "", "plural": ""});
    definition.set(&["status"], json!({"storedVersions": stored, "acceptedNames": names}));
}

/// Writes of the spec keep the status, but that a version which stores objects from now on is noted in it.
fn prepare_update(new: &mut Object, old: &Object) {
    keep_status(new, old);
    let stored = new.list(&["spec", "versions"]).iter().find(|version| version["storage"] == true);
    let Some(name) = stored.map(|version| version["name"].clone()) else { return };
    let mut known = new.list(&["status", "storedVersions"]).to_vec();
    if !known.contains(&name) {
        known.push(name);
        new.set(&["status", "storedVersions"], known);
    }
}

/// Its objects go first.
fn prepare_delete(definition: &mut Object) {
    let terminating = json!({
        "type": "Terminating", "status": "True", "lastTransitionTime": clock::format_time(clock::now_seconds()),
        "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    });
    let mut conditions = definition.list(&["status", "conditions"]).to_vec();
    conditions.retain(|condition| condition["type"] != "Terminating");
    conditions.push(terminating);
    definition.set(&["status", "conditions"], conditions);
}

/// Formats that mean nothing, and sets whose items can hardly be told apart.
fn warnings(definition: &Object) -> Vec<String> {
    let mut warnings = Vec::new();
    for version in definition.list(&["spec", "versions"]) {
        unknown_formats(&version["schema"]["openAPIV3Schema"], &mut warnings);
    }
    warnings
}

fn unknown_formats(schema: &Value, warnings: &mut Vec<String>) {
    let format = str_of(schema, "format");
    if !format.is_empty() && !structural::is_known_format(format, str_of(schema, "type")) {
        warnings.push(format!("unrecognized format {format:?}"));
    }
    within(schema).for_each(|inner| unknown_formats(inner, warnings));
}
