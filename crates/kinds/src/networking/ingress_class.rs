//! IngressClass.

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::dns1123_label;
use serde_json::Value;

use crate::check::{At, domain_prefixed_path, immutable, required_one_of, typed_reference};
use crate::columns::{AGE, NAME, NONE};
use crate::def::Description::Text;
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
        Column::string("Controller", Text("Controller that is responsible for handling this class"), |class| {
            class.str(&["spec", "controller"]).into()
        }),
        Column::string("Parameters", Text("A reference to a resource with additional parameters"), parameters),
        AGE,
    ],
    strategy: Strategy {
        default: |class| {
            let parameters = child(class.map_mut(&["spec"]), "parameters");
            parameters.into_iter().for_each(|parameters| default_text(parameters, "scope", "Cluster"));
        },
        validate,
        validate_update: |new, old| {
            let controller = |class| At::field(class, "spec").child("controller");
            immutable(&controller(new), &controller(old)).into_iter().collect()
        },
        generation: true,
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

const CONTROLLER_MAX: usize = 250;

fn validate(class: &Object) -> ErrorList {
    let controller = At::field(class, "spec").child("controller");
    let parameters = At::field(class, "spec").child("parameters");
    let mut errors = ErrorList::new();
    if controller.text().len() > CONTROLLER_MAX {
        errors.push(Error::too_long(&controller.path, CONTROLLER_MAX));
    }
    errors.extend(domain_prefixed_path(&controller));
    if parameters.is_set() {
        errors.extend(validate_parameters(&parameters));
    }
    errors
}

fn validate_parameters(parameters: &At) -> ErrorList {
    let (scope, namespace) = (parameters.child("scope"), parameters.child("namespace"));
    let mut errors = typed_reference(parameters);
    match (scope.text(), namespace.is_set()) {
        ("Namespace", true) => errors.extend(namespace.check(dns1123_label)),
        ("Namespace", false) => errors.push(namespace.required("`parameters.scope` is set to 'Namespace'")),
        ("Cluster", true) => errors.push(namespace.forbidden("`parameters.scope` is set to 'Cluster'")),
        _ => errors.extend(required_one_of(&scope, &["Cluster", "Namespace"])),
    }
    errors
}
