//! RuntimeClass.

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::{dns1123_label, validate_labels};

use crate::check::{At, immutable};
use crate::columns::{AGE, NAME};
use crate::core::pod::validate::{validate_overhead, validate_tolerations};
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Scope, Strategy};

pub static RUNTIME_CLASS: KindDef = KindDef {
    group: "node.k8s.io",
    kind: "RuntimeClass",
    resource: "runtimeclasses",
    singular: "runtimeclass",
    scope: Scope::Cluster,
    schema: "io.k8s.api.node.v1.RuntimeClass",
    columns: &[NAME, Column::string("Handler", Field("handler"), |class| class.str(&["handler"]).into()), AGE],
    strategy: Strategy {
        any_finalizers: true,
        validate,
        validate_update,
        unconditional_update: false,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

fn validate(class: &Object) -> ErrorList {
    let [handler, overhead, scheduling] = ["handler", "overhead", "scheduling"].map(|field| At::field(class, field));
    let mut errors = handler.check(dns1123_label);
    errors.extend(validate_overhead(&overhead.child("podFixed").at(overhead.path.child("limits"))));
    let selector = scheduling.child("nodeSelector");
    errors.extend(validate_labels(&selector.strings(), &selector.path));
    errors.extend(validate_tolerations(&scheduling.child("tolerations")));
    errors
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    immutable(&At::field(new, "handler"), &At::field(old, "handler")).into_iter().collect()
}
