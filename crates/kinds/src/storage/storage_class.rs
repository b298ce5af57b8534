//! StorageClass.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{qualified_name, validate_label_name};
use serde_json::Value;

use crate::check::{At, immutable, one_of, required, required_one_of, same};
use crate::columns::{AGE, NAME};
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Scope, Strategy};
use crate::tree::{default, default_text};

/// Annotations that make a class the default one, the present and the old.
const DEFAULT_ANNOTATIONS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

const PARAMETERS_MAX: usize = 512;
const PARAMETERS_SIZE_MAX: usize = 256 << 10;

pub static STORAGE_CLASS: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "StorageClass",
    resource: "storageclasses",
    singular: "storageclass",
    short_names: &["sc"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.storage.v1.StorageClass",
    columns: &[
        Column { cell: name, ..NAME },
        Column::string("Provisioner", Field("provisioner"), |class| class.str(&["provisioner"]).into()),
        Column::string("ReclaimPolicy", Field("reclaimPolicy"), |class| class.str(&["reclaimPolicy"]).into()),
        Column::string("VolumeBindingMode", Field("volumeBindingMode"), |class| {
            class.str(&["volumeBindingMode"]).into()
        }),
        Column::string("AllowVolumeExpansion", Field("allowVolumeExpansion"), |class| {
            class.bool(&["allowVolumeExpansion"]).into()
        }),
        AGE,
    ],
    strategy: Strategy {
        default: |class| {
            default_text(&mut class.0, "reclaimPolicy", "Delete");
            default(&mut class.0, "volumeBindingMode", "Immediate");
        },
        validate,
        validate_update,
        returns_deleted: true,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

fn name(class: &Object) -> Value {
    let is_default = DEFAULT_ANNOTATIONS.iter().any(|key| class.annotation(key) == Some("true"));
    if is_default { format!("{} (default)", class.name()).into() } else { class.name().into() }
}

fn validate(class: &Object) -> ErrorList {
    let mut errors = validate_driver(&At::field(class, "provisioner"));
    errors.extend(validate_parameters(&At::field(class, "parameters")));
    errors.extend(one_of(&At::field(class, "reclaimPolicy"), &["Delete", "Retain"]));
    errors.extend(required_one_of(&At::field(class, "volumeBindingMode"), &["Immediate", "WaitForFirstConsumer"]));
    errors.extend(validate_topologies(&At::field(class, "allowedTopologies")));
    errors
}

/// A qualified name in any case.
pub fn validate_driver(driver: &At) -> ErrorList {
    if driver.is_empty() {
        return vec![driver.required("")];
    }
    let name = driver.text().to_lowercase();
    qualified_name(&name).into_iter().map(|fault| Error::invalid(&driver.path, name.as_str(), fault)).collect()
}

pub fn validate_parameters(parameters: &At) -> ErrorList {
    let entries = parameters.entries();
    if entries.len() > PARAMETERS_MAX {
        return vec![Error::too_long(&parameters.path, PARAMETERS_MAX)];
    }
    let nameless = entries.iter().filter(|(name, _)| name.is_empty());
    let mut errors: ErrorList =
        nameless.map(|_| Error::invalid(&parameters.path, "", "field can not be empty.")).collect();
    let size: usize = entries.iter().map(|(name, value)| name.len() + value.text().len()).sum();
    errors.extend((size > PARAMETERS_SIZE_MAX).then(|| Error::too_long(&parameters.path, PARAMETERS_SIZE_MAX)));
    errors
}

fn validate_topologies(terms: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for term in terms.items() {
        let expressions = term.child("matchLabelExpressions");
        let mut values_of = BTreeMap::new();
        for expression in expressions.items() {
            let (key, values) = (expression.child("key"), expression.child("values"));
            let mut known = BTreeSet::new();
            errors.extend(required(&values));
            let items = values.items();
            errors.extend(items.iter().filter(|value| !known.insert(value.text())).map(At::duplicate));
            errors.extend(validate_label_name(key.text(), &key.path));
            errors.extend(values_of.insert(key.text(), known).map(|_| key.duplicate()));
        }
        if !seen.insert(values_of) {
            errors.push(Error::duplicate(&expressions.path, ""));
        }
    }
    errors
}

/// Volumes were made by what the class said: it does not change.
fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let mut errors = unchanged(new, old, &["parameters", "provisioner", "reclaimPolicy"]);
    let mode = |class| At::field(class, "volumeBindingMode");
    errors.extend(immutable(&mode(new), &mode(old)));
    errors
}

pub fn unchanged(new: &Object, old: &Object, fields: &[&str]) -> ErrorList {
    let pairs = fields.iter().map(|field| (*field, At::field(new, field), At::field(old, field)));
    let changed = pairs.filter(|(_, now, was)| !same(now.value, was.value));
    changed.map(|(field, now, _)| now.forbidden(format!("updates to {field} are forbidden."))).collect()
}
