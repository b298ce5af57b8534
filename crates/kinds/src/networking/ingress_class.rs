//! IngressClass.

use machinery::Object;
use serde_json::Value;

use crate::columns::{AGE, NAME, NONE};
use crate::def::{Column, KindDef, Scope, Strategy};
use crate::tree::{child, default_text};

pub static INGRESS_CLASS: KindDef = KindDef {
    group: "networking.k8s.io",
    kind: "IngressClass",
    resource: "ingressclasses",
    singular: "ingressclass",
    scope: Scope::Cluster,
    schema: "io.k8s.api.networking.v1.IngressClass",
    columns: &[
        NAME,
        Column::string("Controller", "Who serves it", |class| class.str(&["spec", "controller"]).into()),
        Column::string("Parameters", "Object with further settings", parameters),
        AGE,
    ],
    strategy: Strategy {
        default: |class| {
            let parameters = child(class.map_mut(&["spec"]), "parameters");
            parameters.into_iter().for_each(|parameters| default_text(parameters, "scope", "Cluster"));
        },
        generation: true,
        unconditional_update: false,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

fn parameters(class: &Object) -> Value {
    let field = |field| class.str(&["spec", "parameters", field]);
    match (field("kind"), field("apiGroup")) {
        ("", _) => NONE.into(),
        (kind, "") => format!("{kind}/{}", field("name")).into(),
        (kind, group) => format!("{kind}.{group}/{}", field("name")).into(),
    }
}
