//! CustomResourceDefinition, as an object. What it defines is served by the registry.

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use machinery::validation::{dns1035_label, dns1123_subdomain};
use serde_json::json;

use crate::check::{At, duplicates, immutable, required_name, required_one_of};
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
    strategy: Strategy {
        default: default_definition,
        prepare_create,
        validate,
        validate_update,
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

fn validate(definition: &Object) -> ErrorList {
    let spec = At::field(definition, "spec");
    let (group, names) = (spec.child("group"), spec.child("names"));
    let mut errors = ErrorList::new();
    let expected = format!("{}.{}", names.child("plural").text(), group.text());
    if definition.name() != expected {
        let text = "must be spec.names.plural+\".\"+spec.group";
        errors.push(Error::invalid(&Path::new("metadata").child("name"), definition.name(), text));
    }
    errors.extend(required_name(&group, dns1123_subdomain));
    if !group.is_empty() && !group.text().contains('.') {
        errors.push(group.invalid("should be a domain with at least one dot"));
    }
    errors.extend(required_one_of(&spec.child("scope"), &["Cluster", "Namespaced"]));
    errors.extend(validate_versions(&spec.child("versions")));
    errors.extend(validate_names(&names));
    errors
}

fn validate_versions(versions: &At) -> ErrorList {
    let items = versions.items();
    let mut errors = ErrorList::new();
    for version in &items {
        errors.extend(required_name(&version.child("name"), dns1035_label));
        let schema = version.child("schema").child("openAPIV3Schema");
        if !schema.is_set() {
            errors.push(schema.required("schemas are required"));
        }
    }
    errors.extend(duplicates(&items, "name"));
    if items.iter().filter(|version| version.child("storage").is_true()).count() != 1 {
        errors.push(versions.invalid("must have exactly one version marked as storage version"));
    }
    errors
}

fn validate_names(names: &At) -> ErrorList {
    let mut errors = required_name(&names.child("plural"), dns1035_label);
    errors.extend(crate::check::optional_name(&names.child("singular"), dns1035_label));
    for field in ["kind", "listKind"] {
        let at = names.child(field);
        errors.extend(match at.text() {
            "" => vec![at.required("")],
            kind => at.messages(dns1035_label(&kind.to_lowercase())),
        });
    }
    if !names.child("kind").is_empty() && names.child("kind").text() == names.child("listKind").text() {
        errors.push(names.child("listKind").invalid("kind and listKind may not be the same"));
    }
    for list in ["shortNames", "categories"] {
        errors.extend(names.child(list).items().iter().flat_map(|name| name.check(dns1035_label)));
    }
    errors
}

/// What objects are stored under does not change once the names are taken.
fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let mut errors: ErrorList = immutable(&spec.child("group"), &was.child("group")).into_iter().collect();
    errors.extend(immutable(&spec.child("names").child("plural"), &was.child("names").child("plural")));
    if crate::tree::condition_is_true(old, "Established") {
        errors.extend(immutable(&spec.child("scope"), &was.child("scope")));
        errors.extend(immutable(&spec.child("names").child("kind"), &was.child("names").child("kind")));
    }
    errors
}
