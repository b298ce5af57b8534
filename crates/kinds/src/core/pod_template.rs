//! PodTemplate.

use machinery::Object;
use serde_json::Value;

use super::pod::defaults::default_template;
use super::pod::validate::validate_template;
use super::pod::warnings::of_template_at;
use crate::check::At;
use crate::columns::{NAME, container_images, container_names, format_labels};
use crate::def::Description::Text;
use crate::def::{Column, KindDef, Strategy};

pub static POD_TEMPLATE: KindDef = KindDef {
    kind: "PodTemplate",
    resource: "podtemplates",
    singular: "podtemplate",
    schema: "io.k8s.api.core.v1.PodTemplate",
    columns: &[
        NAME,
        Column::string("Containers", Text("Names of each container in the template."), |object| {
            container_names(template(object)).into()
        }),
        Column::string("Images", Text("Images referenced by each container in the template."), |object| {
            container_images(template(object)).into()
        }),
        Column::string("Pod Labels", Text("The labels for the pod template."), |object| {
            format_labels(object.map(&["template", "metadata", "labels"])).into()
        }),
    ],
    strategy: Strategy {
        default: |object| default_template(&mut object.0, "template"),
        validate: |object| validate_template(&At::field(object, "template")),
        warnings: |object| of_template_at(&At::field(object, "template")),
        generation: true,
        returns_deleted: true,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

fn template(object: &Object) -> &Value {
    object.get(&["template"]).unwrap_or(&Value::Null)
}
