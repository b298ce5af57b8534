//! ControllerRevision.

use machinery::field::ErrorList;
use machinery::{GroupVersion, Object};
use serde_json::Value;

use crate::check::{At, immutable, non_negative};
use crate::columns::{AGE, NAME, NONE, number};
use crate::def::Description::{Field, Text};
use crate::def::{Column, KindDef, Strategy};
use crate::tree::str_of;

pub static CONTROLLER_REVISION: KindDef = KindDef {
    group: "apps",
    kind: "ControllerRevision",
    resource: "controllerrevisions",
    singular: "controllerrevision",
    schema: "io.k8s.api.apps.v1.ControllerRevision",
    columns: &[
        NAME,
        Column::string("Controller", Text("Controller of the object"), controller),
        Column::string("Revision", Field("revision"), |object| number(object, &["revision"])),
        AGE,
    ],
    strategy: Strategy { validate, validate_update, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

fn controller(object: &Object) -> Value {
    let owners = object.list(&["metadata", "ownerReferences"]);
    let Some(owner) = owners.iter().find(|owner| owner["controller"] == true) else { return NONE.into() };
    let kind = str_of(owner, "kind").to_lowercase();
    let group = GroupVersion::parse(str_of(owner, "apiVersion")).group;
    match group.as_str() {
        "" => format!("{kind}/{}", str_of(owner, "name")).into(),
        group => format!("{kind}.{group}/{}", str_of(owner, "name")).into(),
    }
}

fn validate(object: &Object) -> ErrorList {
    let data = At::field(object, "data");
    let mut errors: ErrorList = (!data.is_set()).then(|| data.required("data is mandatory")).into_iter().collect();
    errors.extend(non_negative(&At::field(object, "revision")));
    errors
}

/// A revision is what once was: it does not change.
fn validate_update(new: &Object, old: &Object) -> ErrorList {
    immutable(&At::field(new, "data"), &At::field(old, "data")).into_iter().collect()
}
