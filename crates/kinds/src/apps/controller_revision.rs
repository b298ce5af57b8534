//! ControllerRevision.

use machinery::{GroupVersion, Object};
use serde_json::Value;

use crate::columns::{AGE, NAME, NONE, number};
use crate::def::{Column, KindDef};
use crate::tree::str_of;

pub static CONTROLLER_REVISION: KindDef = KindDef {
    group: "apps",
    kind: "ControllerRevision",
    resource: "controllerrevisions",
    singular: "controllerrevision",
    schema: "io.k8s.api.apps.v1.ControllerRevision",
    columns: &[
        NAME,
        Column::string("Controller", "Whose revision it is", controller),
        Column::integer("Revision", "Its number", |object| number(object, &["revision"])),
        AGE,
    ],
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
