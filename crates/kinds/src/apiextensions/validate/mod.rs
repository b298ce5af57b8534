//! What makes a CustomResourceDefinition valid (upstream: apiextensions-apiserver
//! pkg/apis/apiextensions/validation).
//!
//! Where all versions say the same, upstream speaks of it at the top of the spec: `spec.validation`,
//! `spec.subresources`. So do these errors.

mod approval;
mod conversion;
mod cost;
mod forgiven;
mod rules;
mod schema;
mod versions;

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use machinery::validation::{dns1035_label, dns1123_subdomain};
use serde_json::Value;

use crate::check::{At, immutable, required_one_of};
use crate::tree::condition_is_true;

use forgiven::Forgiven;

pub(super) use approval::validate_approval;
pub(super) use schema::within;

pub fn validate(definition: &Object) -> ErrorList {
    let mut errors = validate_name(definition);
    errors.extend(validate_spec(definition, &Forgiven::new()));
    errors.extend(validate_stored_versions(definition));
    errors.extend(validate_approval(definition, None));
    errors.extend(validate_preserves(definition, None));
    errors
}

/// What objects are stored under does not change once the names are taken.
pub fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let established = condition_is_true(old, "Established");
    let mut errors = validate_spec(new, &Forgiven::update(new, old));
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    if established {
        errors.extend(immutable(&spec.child("scope"), &was.child("scope")));
        errors.extend(immutable(&spec.child("names").child("kind"), &was.child("names").child("kind")));
    }
    errors.extend(immutable(&spec.child("group"), &was.child("group")));
    errors.extend(immutable(&spec.child("names").child("plural"), &was.child("names").child("plural")));
    errors.extend(validate_stored_versions(new));
    errors.extend(validate_approval(new, Some(old)));
    errors.extend(validate_preserves(new, Some(old)));
    errors
}

pub fn validate_status(definition: &Object) -> ErrorList {
    validate_names(&At::field(definition, "status").child("acceptedNames"))
}

fn validate_name(definition: &Object) -> ErrorList {
    let spec = At::field(definition, "spec");
    let expected = format!("{}.{}", spec.child("names").child("plural").text(), spec.child("group").text());
    let text = "must be spec.names.plural+\".\"+spec.group";
    let wrong = || Error::invalid(&Path::new("metadata").child("name"), definition.name(), text);
    // That there is no name at all is told where every object's metadata are checked.
    (!definition.name().is_empty() && definition.name() != expected).then(wrong).into_iter().collect()
}

fn validate_spec(definition: &Object, forgiven: &Forgiven) -> ErrorList {
    let spec = At::field(definition, "spec");
    let mut errors = validate_group(&spec.child("group"));
    errors.extend(required_one_of(&spec.child("scope"), &["Cluster", "Namespaced"]));
    errors.extend(versions::validate(&spec, forgiven));
    for name in ["plural", "singular", "kind", "listKind"] {
        let at = spec.child("names").child(name);
        errors.extend(at.is_empty().then(|| at.required("")));
    }
    errors.extend(validate_names(&spec.child("names")));
    errors.extend(versions::validate_hoisted(&spec, forgiven));
    let conversion = spec.child("conversion");
    let strategy = conversion.child("strategy");
    if conversion.is_set() && strategy.text() != "None" && versions::preserves(&spec) {
        errors.push(strategy.invalid("must be None if spec.preserveUnknownFields is true"));
    }
    errors.extend(conversion::validate(&conversion, forgiven));
    errors
}

fn validate_group(group: &At) -> ErrorList {
    let messages = dns1123_subdomain(group.text());
    match group.text() {
        "" => vec![group.required("")],
        _ if !messages.is_empty() => vec![group.invalid(messages.join(","))],
        text if !text.contains('.') => vec![group.invalid("should be a domain with at least one dot")],
        _ => ErrorList::new(),
    }
}

fn validate_names(names: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut check = |at: &At, text: &str, prefix: &str| {
        let messages = dns1035_label(text);
        if !messages.is_empty() {
            errors.push(at.invalid(format!("{prefix}{}", messages.join(","))));
        }
    };
    for at in ["plural", "singular"].map(|name| names.child(name)).iter().filter(|at| !at.is_empty()) {
        check(at, at.text(), "");
    }
    for at in ["kind", "listKind"].map(|name| names.child(name)).iter().filter(|at| !at.is_empty()) {
        check(at, &at.text().to_lowercase(), "may have mixed case, but should otherwise match: ");
    }
    names.child("shortNames").items().iter().for_each(|at| check(at, at.text(), ""));
    names.child("categories").items().iter().for_each(|at| check(at, at.text(), ""));
    let (kind, list) = (names.child("kind"), names.child("listKind"));
    if !kind.is_empty() && kind.text() == list.text() {
        errors.push(list.invalid("kind and listKind may not be the same"));
    }
    errors
}

/// Every version that objects may be stored in stays, until none is left.
fn validate_stored_versions(definition: &Object) -> ErrorList {
    let stored = At::field(definition, "status").child("storedVersions");
    if stored.is_empty() {
        return vec![stored.invalid("must have at least one stored version")];
    }
    let versions = definition.list(&["spec", "versions"]);
    let name = |version: &Value| version["name"].as_str().unwrap_or_default().to_owned();
    let items = stored.items();
    let is_stored = |name: &str| items.iter().any(|item| item.text() == name);
    let mut errors = ErrorList::new();
    for version in versions.iter().filter(|version| version["storage"] == true).map(name) {
        errors
            .extend((!is_stored(&version)).then(|| stored.invalid(format!("must have the storage version {version}"))));
    }
    for item in items.iter().filter(|item| versions.iter().all(|version| name(version) != item.text())) {
        let version = item.text();
        errors.push(item.invalid(format!(
            "missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions \
             until a storage migration ensures no data remains persisted in {version} and removes {version} from \
             status.storedVersions"
        )));
    }
    errors
}

fn validate_preserves(new: &Object, old: Option<&Object>) -> ErrorList {
    let preserves = |definition: &Object| definition.bool(&["spec", "preserveUnknownFields"]);
    if !preserves(new) || old.is_some_and(preserves) {
        return ErrorList::new();
    }
    let text =
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    vec![Error::invalid(&Path::new("spec").child("preserveUnknownFields"), true, text)]
}
