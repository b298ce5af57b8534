//! IngressClass.

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::dns1123_subdomain;
use serde_json::Value;

use crate::check::{At, immutable, one_of, required};
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
        validate,
        validate_update: |new, old| {
            let controller = |class| At::field(class, "spec").child("controller");
            immutable(&controller(new), &controller(old)).into_iter().collect()
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

const CONTROLLER_MAX: usize = 250;

fn validate(class: &Object) -> ErrorList {
    let controller = At::field(class, "spec").child("controller");
    let parameters = At::field(class, "spec").child("parameters");
    let mut errors: ErrorList = required(&controller).into_iter().collect();
    if controller.text().len() > CONTROLLER_MAX {
        errors.push(machinery::field::Error::too_long(&controller.path, CONTROLLER_MAX));
    }
    let domain = controller.text().split_once('/').filter(|(_, path)| !path.is_empty());
    let valid = domain.is_some_and(|(domain, _)| dns1123_subdomain(domain).is_empty());
    if !controller.is_empty() && !valid {
        errors.push(controller.invalid("must be a domain-prefixed path (such as \"acme.io/foo\")"));
    }
    if parameters.is_set() {
        errors.extend(["kind", "name"].iter().filter_map(|field| required(&parameters.child(field))));
        errors.extend(one_of(&parameters.child("scope"), &["Cluster", "Namespace"]));
    }
    errors
}
