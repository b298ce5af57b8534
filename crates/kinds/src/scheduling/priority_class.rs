//! PriorityClass.

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};

use crate::check::{At, immutable, one_of};
use crate::columns::{AGE, NAME, number};
use crate::def::Description::Field;
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
        Column::integer("Value", Field("value"), |class| number(class, &["value"])),
        Column::string("Global-Default", Field("globalDefault"), |class| class.bool(&["globalDefault"]).into())
            .of_type("boolean"),
        AGE,
        Column::string("PreemptionPolicy", Field("preemptionPolicy"), |class| class.str(&["preemptionPolicy"]).into()),
    ],
    strategy: Strategy {
        default: |class| {
            default(&mut class.0, "preemptionPolicy", "PreemptLowerPriority");
            default(&mut class.0, "value", 0);
        },
        validate,
        validate_update,
        generation: true,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

const USER_MAX: i64 = 1_000_000_000;
const RESERVED_PREFIX: &str = "system-";
/// The classes that every cluster has, with their values.
const SYSTEM: [(&str, i64); 2] = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

fn validate(class: &Object) -> ErrorList {
    let value = At::field(class, "value");
    let number = value.int().unwrap_or(0);
    let mut errors = ErrorList::new();
    if class.name().starts_with(RESERVED_PREFIX) {
        if let Some(fault) = system_fault(class, number) {
            let text = "prefix are reserved for system use only. error:";
            let text = format!("priority class names with '{RESERVED_PREFIX}' {text} {fault}");
            errors.push(Error::forbidden(&Path::new("metadata").child("name"), text));
        }
    } else if number > USER_MAX {
        errors.push(value.forbidden(format!("maximum allowed value of a user defined priority is {USER_MAX}")));
    }
    errors.extend(one_of(&At::field(class, "preemptionPolicy"), &["Never", "PreemptLowerPriority"]));
    errors
}

/// Why the class is not one of the system's.
fn system_fault(class: &Object, value: i64) -> Option<String> {
    let name = class.name();
    match SYSTEM.iter().find(|(known, _)| *known == name) {
        None => Some(format!("{name} is not a known system priority class")),
        Some((_, known)) if *known != value => Some(format!("value of {name} PriorityClass must be {known}")),
        Some(_) if class.bool(&["globalDefault"]) => {
            Some(format!("globalDefault of {name} PriorityClass must be false"))
        }
        Some(_) => None,
    }
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let value = At::field(new, "value");
    let mut errors = ErrorList::new();
    if value.int() != old.int(&["value"]) {
        errors.push(value.forbidden("may not be changed in an update."));
    }
    let policy = |class| At::field(class, "preemptionPolicy");
    errors.extend(immutable(&policy(new), &policy(old)));
    errors
}
