//! PriorityClass.

use crate::columns::{AGE, NAME, number};
use crate::def::{Column, KindDef, Scope, Strategy};
use crate::tree::default;

pub static PRIORITY_CLASS: KindDef = KindDef {
    group: "scheduling.k8s.io",
    kind: "PriorityClass",
    resource: "priorityclasses",
    singular: "priorityclass",
    short_names: &["pc"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.scheduling.v1.PriorityClass",
    columns: &[
        NAME,
        Column::integer("Value", "Priority of its pods", |class| number(class, &["value"])),
        Column::string("Global-Default", "Whether pods that name none get it", |class| {
            class.bool(&["globalDefault"]).into()
        })
        .of_type("boolean"),
        AGE,
        Column::string("PreemptionPolicy", "Whether its pods may push out others", |class| {
            class.str(&["preemptionPolicy"]).into()
        }),
    ],
    strategy: Strategy {
        default: |class| {
            default(&mut class.0, "preemptionPolicy", "PreemptLowerPriority");
            default(&mut class.0, "value", 0);
        },
        generation: true,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};
