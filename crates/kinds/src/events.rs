//! events.k8s.io/v1: another view of the core group's events, which are what is stored.

use machinery::Object;

use crate::core::{EVENT as CORE_EVENT, event};
use crate::def::{Conversion, KindDef, Strategy};

pub const KINDS: &[&KindDef] = &[&EVENT];

pub static EVENT: KindDef = KindDef {
    group: "events.k8s.io",
    schema: "io.k8s.api.events.v1.Event",
    selectable_fields: event::MODERN_FIELDS,
    conversion: Some(Conversion { storage: ("", "v1"), to_storage: to_core, from_storage: from_core }),
    strategy: Strategy {
        validate: event::validate_modern,
        validate_create: event::validate_modern_create,
        validate_update: event::validate_modern_update,
        create_on_update: true,
        ..Strategy::PLAIN
    },
    ..CORE_EVENT
};

/// Fields whose names differ: here, and in the core group.
const RENAMED: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

fn to_core(object: &mut Object) {
    object.set(&["apiVersion"], "v1");
    for (here, core) in RENAMED {
        if let Some(value) = object.remove(&[here]) {
            object.set(&[core], value);
        }
    }
}

fn from_core(object: &mut Object) {
    object.set(&["apiVersion"], "events.k8s.io/v1");
    for (here, core) in RENAMED {
        if let Some(value) = object.remove(&[core]) {
            object.set(&[here], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_groups_show_the_same_event() {
        let event = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "a"}, "reason": "Started",
            "regarding": {"kind": "Pod", "name": "web"}, "note": "Started container", "deprecatedCount": 2,
        });
        let mut object = Object::from_value(event.clone()).unwrap();
        to_core(&mut object);
        assert_eq!(object.str(&["involvedObject", "name"]), "web");
        assert_eq!((object.str(&["message"]), object.int(&["count"])), ("Started container", Some(2)));
        from_core(&mut object);
        assert_eq!(object.into_value(), event);
    }
}
