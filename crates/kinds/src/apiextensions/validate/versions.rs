//! `spec.versions`, and what all of them say alike.

use machinery::field::{Error, ErrorList};
use machinery::validation::dns1035_label;
use serde_json::Value;
use structural::{Schema, Type, resolve_path};

use super::forgiven::{Forgiven, has, is_set};
use super::schema;
use crate::check::At;
use crate::tree::list_of;

const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] = &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const SELECTABLE_MAX: usize = 8;
/// Bytes of a warning that a version is deprecated.
const WARNING_MAX: usize = 256;

/// Whether all versions say the same in a field, so that it stands at the top of the spec.
fn is_hoisted(spec: &At, name: &str) -> bool {
    let versions = spec.child("versions").items();
    let said = |version: &At| version.child(name).value.clone();
    versions.windows(2).all(|pair| said(&pair[0]) == said(&pair[1]))
}

fn has_status(version: &At) -> bool {
    version.child("subresources").child("status").is_set()
}

pub fn validate(spec: &At, forgiven: &Forgiven) -> ErrorList {
    let list = spec.child("versions");
    let versions = list.items();
    let (preserves, asks) = (preserves(spec), Asks::of(spec, forgiven));
    let mut errors = ErrorList::new();
    for version in &versions {
        let schema = version.child("schema").child("openAPIV3Schema");
        if schema.is_set() {
            continue;
        }
        if !forgiven.missing_schemas {
            errors.push(schema.required(""));
        } else if !preserves && version.child("served").is_true() {
            errors.push(schema.required("because otherwise all fields are pruned"));
        }
    }
    if preserves && any_schema(spec, &|schema| is_set(schema, "default")) {
        let text = "must be false in order to use defaults in the schema";
        errors.push(spec.child("preserveUnknownFields").invalid(text));
    }
    for version in &versions {
        let name = version.child("name");
        let messages = dns1035_label(name.text());
        if !messages.is_empty() {
            errors.push(Error::invalid(&name.path, name.text(), messages.join(",")));
        }
        errors.extend(validate_version(spec, version, &asks));
    }
    let names: std::collections::BTreeSet<&str> = versions.iter().map(|version| version.child("name").text()).collect();
    if names.len() != versions.len() {
        errors.push(list.invalid("must contain unique version names"));
    }
    if versions.iter().filter(|version| version.child("storage").is_true()).count() != 1 {
        errors.push(list.invalid("must have exactly one version marked as storage version"));
    }
    // Upstream's internal form says the first version once more.
    if let Some(first) = versions.first().map(|version| version.child("name")).filter(|name| !name.is_empty()) {
        let messages = dns1035_label(first.text());
        let at = spec.path.child("version");
        errors.extend((!messages.is_empty()).then(|| Error::invalid(&at, first.text(), messages.join(","))));
    }
    errors
}

pub fn preserves(spec: &At) -> bool {
    spec.child("preserveUnknownFields").is_true()
}

fn any_schema(spec: &At, is: &dyn Fn(&Value) -> bool) -> bool {
    let versions = spec.child("versions").items();
    versions.iter().any(|version| has(version.child("schema").child("openAPIV3Schema").value, is))
}

/// What is asked of the schemas of a definition.
struct Asks<'a> {
    forgiven: &'a Forgiven,
    structural: bool,
}

impl<'a> Asks<'a> {
    fn of(spec: &At, forgiven: &'a Forgiven) -> Self {
        let needs_structure = |schema: &Value| {
            let extends = ["x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"];
            let extends = extends.iter().any(|name| schema[name] == true);
            let said = ["default", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type"];
            let listed = ["x-kubernetes-list-map-keys", "x-kubernetes-validations"];
            extends
                || said.iter().any(|name| is_set(schema, name))
                || listed.iter().any(|name| !list_of(schema, name).is_empty())
        };
        let structural = !forgiven.structure || !preserves(spec) || any_schema(spec, &needs_structure);
        Self { forgiven, structural }
    }

    fn schema(&self, schema: &At, has_status: bool, version: &str) -> ErrorList {
        let forgives_costs = self.forgiven.costs.iter().any(|name| name == version);
        schema::validate(schema, has_status, self.forgiven, self.structural, forgives_costs)
    }

    fn selectable(&self, fields: &At, version: &At) -> ErrorList {
        let name = version.child("name").text();
        let many = self.forgiven.selectable_fields.iter().any(|known| known == name);
        selectable(fields, version, many)
    }
}

fn validate_version(spec: &At, version: &At, asks: &Asks) -> ErrorList {
    let mut errors = deprecation(version);
    let apart = |name: &str| !is_hoisted(spec, name);
    if apart("schema") {
        let schema = version.child("schema").child("openAPIV3Schema");
        errors.extend(asks.schema(&schema, has_status(version), version.child("name").text()));
    }
    if apart("subresources") {
        errors.extend(subresources(&version.child("subresources")));
    }
    if apart("additionalPrinterColumns") {
        errors.extend(version.child("additionalPrinterColumns").items().iter().flat_map(column));
    }
    if apart("selectableFields") {
        errors.extend(asks.selectable(&version.child("selectableFields"), version));
    }
    errors
}

/// What the versions say alike, at the top.
pub fn validate_hoisted(spec: &At, forgiven: &Forgiven) -> ErrorList {
    let versions = spec.child("versions").items();
    let Some(first) = versions.first() else { return ErrorList::new() };
    let asks = Asks::of(spec, forgiven);
    let at = |name: &str, top: &str| first.child(name).at(spec.path.child(top));
    let hoisted = |name: &str| is_hoisted(spec, name);
    let mut errors = ErrorList::new();
    if hoisted("schema") {
        let schema = at("schema", "validation").child("openAPIV3Schema");
        errors.extend(asks.schema(&schema, versions.iter().any(has_status), first.child("name").text()));
    }
    if hoisted("subresources") {
        errors.extend(subresources(&at("subresources", "subresources")));
    }
    if hoisted("additionalPrinterColumns") {
        errors.extend(at("additionalPrinterColumns", "additionalPrinterColumns").items().iter().flat_map(column));
    }
    if hoisted("selectableFields") {
        errors.extend(asks.selectable(&at("selectableFields", "selectableFields"), first));
    }
    errors
}

fn deprecation(version: &At) -> ErrorList {
    let warning = version.child("deprecationWarning");
    let text = warning.text();
    if !warning.is_set() {
        return ErrorList::new();
    }
    if !version.child("deprecated").is_true() {
        return vec![warning.invalid("can only be set for deprecated versions")];
    }
    let mut errors = ErrorList::new();
    if text.len() > WARNING_MAX {
        errors.push(warning.invalid("must be <= 256 characters long"));
    }
    if text.is_empty() {
        errors.push(warning.invalid("must not be an empty string"));
    }
    if let Some((index, _)) = text.char_indices().find(|(_, character)| character.is_control()) {
        errors.push(warning.invalid(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {index}"
        )));
    }
    errors
}

fn subresources(subresources: &At) -> ErrorList {
    let scale = subresources.child("scale");
    if !scale.is_set() {
        return ErrorList::new();
    }
    let mut errors = ErrorList::new();
    let mut check = |name: &str, roots: &[&str], wanted: &str, required: bool| {
        let path = scale.child(name);
        match path.text() {
            "" if required => errors.push(path.required("")),
            "" => {}
            text if !text.starts_with('.') => errors.push(path.invalid("must be a simple json path starting with .")),
            text if !roots.iter().any(|root| text.starts_with(root)) => {
                errors.push(path.invalid(format!("should be a json path under {wanted}")));
            }
            _ => {}
        }
    };
    check("specReplicasPath", &[".spec."], ".spec", true);
    check("statusReplicasPath", &[".status."], ".status", true);
    check("labelSelectorPath", &[".spec.", ".status."], "either .spec or .status", false);
    errors
}

fn column(column: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let [name, of, format] = ["name", "type", "format"].map(|field| column.child(field));
    let path = column.child("jsonPath").at(column.path.child("JSONPath"));
    errors.extend(name.is_empty().then(|| name.required("")));
    let wanted = format!("must be one of {}", COLUMN_TYPES.join(","));
    if of.is_empty() {
        errors.push(of.required(&wanted));
    } else if !COLUMN_TYPES.contains(&of.text()) {
        errors.push(of.invalid(wanted));
    }
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format.text()) {
        errors.push(format.invalid(format!("must be one of {}", COLUMN_FORMATS.join(","))));
    }
    if path.is_empty() {
        errors.push(path.required(""));
    } else if !path.text().starts_with('.') {
        errors.push(path.invalid("must be a simple json path starting with ."));
    }
    errors
}

pub fn has_too_many_selectable(version: &Value) -> bool {
    list_of(version, "selectableFields").len() > SELECTABLE_MAX
}

fn selectable(fields: &At, version: &At, may_be_many: bool) -> ErrorList {
    if fields.is_empty() {
        return ErrorList::new();
    }
    let source: &Value = version.child("schema").child("openAPIV3Schema").value;
    let schema = Schema::root(source);
    let (mut errors, mut seen) = (ErrorList::new(), Vec::new());
    for field in fields.items() {
        let path = field.child("jsonPath");
        if path.is_empty() {
            errors.push(path.required(""));
            continue;
        }
        let found = match resolve_path(path.text(), &schema, false) {
            Ok(found) => found,
            Err(why) => {
                errors.push(path.invalid(format!("is an invalid path: {why}")));
                continue;
            }
        };
        if found.names.first().is_some_and(|first| first == "metadata") {
            errors.push(path.invalid("must not point to fields in metadata"));
        }
        if !matches!(found.schema.of, Some(Type::String | Type::Boolean | Type::Integer)) {
            errors.push(path.invalid(
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats \
                 are allowed.",
            ));
        }
        if seen.contains(&found.text) {
            errors.push(path.duplicate());
        } else {
            seen.push(found.text);
        }
    }
    if seen.len() > SELECTABLE_MAX && !may_be_many {
        errors.push(Error::too_many(&fields.path, seen.len(), SELECTABLE_MAX));
    }
    errors
}
