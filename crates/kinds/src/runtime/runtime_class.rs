//! RuntimeClass.

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::dns1123_label;

use crate::check::{At, immutable, required_name};
use crate::columns::{AGE, NAME};
use crate::def::{Column, KindDef, Scope, Strategy};

pub static RUNTIME_CLASS: KindDef = KindDef {
    group: "node.k8s.io",
    kind: "RuntimeClass",
    resource: "runtimeclasses",
    singular: "runtimeclass",
    scope: Scope::Cluster,
    schema: "io.k8s.api.node.v1.RuntimeClass",
    columns: &[
        NAME,
        Column::string("Handler", "What the runtime calls it", |class| class.str(&["handler"]).into()),
        AGE,
    ],
    strategy: Strategy { validate, validate_update, unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

fn validate(class: &Object) -> ErrorList {
    required_name(&At::field(class, "handler"), dns1123_label)
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    immutable(&At::field(new, "handler"), &At::field(old, "handler")).into_iter().collect()
}
