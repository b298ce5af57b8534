//! StorageClass.

use machinery::Object;
use serde_json::Value;

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
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

fn name(class: &Object) -> Value {
    let is_default = DEFAULT_ANNOTATIONS.iter().any(|key| class.annotation(key) == Some("true"));
    if is_default { format!("{} (default)", class.name()).into() } else { class.name().into() }
}
