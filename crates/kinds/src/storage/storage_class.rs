//! StorageClass.

use machinery::Object;
use machinery::field::ErrorList;
use serde_json::Value;

use crate::check::{At, immutable, one_of, required, required_one_of, same};
use crate::columns::{AGE, NAME};
use crate::def::{Column, KindDef, Scope, Strategy};
use crate::tree::{default, default_text};

/// Annotations that make a class the default one, the present and the old.
const DEFAULT_ANNOTATIONS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

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
        Column::string("Provisioner", "Who makes the volumes", |class| class.str(&["provisioner"]).into()),
        Column::string("ReclaimPolicy", "What happens to volumes when their claims go", |class| {
            class.str(&["reclaimPolicy"]).into()
        }),
        Column::string("VolumeBindingMode", "When volumes are bound", |class| class.str(&["volumeBindingMode"]).into()),
        Column::string("AllowVolumeExpansion", "Whether volumes may grow", |class| {
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
    let mut errors: ErrorList = required(&At::field(class, "provisioner")).into_iter().collect();
    for (name, parameter) in At::field(class, "parameters").entries() {
        errors.extend(name.is_empty().then(|| parameter.invalid("field can not be empty.")));
    }
    errors.extend(one_of(&At::field(class, "reclaimPolicy"), &["Delete", "Retain"]));
    errors.extend(required_one_of(&At::field(class, "volumeBindingMode"), &["Immediate", "WaitForFirstConsumer"]));
    errors
}

/// Volumes were made by what the class said: it does not change.
fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        let (now, was) = (At::field(new, field), At::field(old, field));
        if !same(now.value, was.value) {
            errors.push(now.forbidden(format!("updates to {field} are forbidden.")));
        }
    }
    let mode = |class| At::field(class, "volumeBindingMode");
    errors.extend(immutable(&mode(new), &mode(old)));
    errors
}
