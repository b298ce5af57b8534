//! CustomResourceDefinition, as an object. What it defines is served by the registry.

use machinery::Object;
use serde_json::json;

use crate::columns::{CREATED_AT, NAME};
use crate::def::{KindDef, Scope, Strategy, Subresource};
use crate::tree::{child, child_or_new, default, default_text, text};

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
    columns: &[NAME, CREATED_AT],
    strategy: Strategy {
        default: default_definition,
        prepare_create,
        unconditional_update: false,
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
    let conversion = child_or_new(spec, "conversion");
    default_text(conversion, "strategy", "None");
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
    definition.set(&["status"], json!({"storedVersions": stored, "conditions": [], "acceptedNames": names}));
}
