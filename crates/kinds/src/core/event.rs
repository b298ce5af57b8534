//! Event. The columns read both forms, this group's and events.k8s.io's.

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use serde_json::Value;

use crate::check::{At, one_of};
use crate::columns::{NAME, non_empty, number};
use crate::def::Description::Field;
use crate::def::{Column, KindDef, SelectableField, Strategy};
use crate::duration::human_since;
use crate::tree::str_of;

pub static EVENT: KindDef = KindDef {
    kind: "Event",
    resource: "events",
    singular: "event",
    short_names: &["ev"],
    schema: "io.k8s.api.core.v1.Event",
    selectable_fields: &[
        of_object("involvedObject.kind", |event| about(event, "kind")),
        of_object("involvedObject.namespace", |event| about(event, "namespace")),
        of_object("involvedObject.name", |event| about(event, "name")),
        of_object("involvedObject.uid", |event| about(event, "uid")),
        of_object("involvedObject.apiVersion", |event| about(event, "apiVersion")),
        of_object("involvedObject.resourceVersion", |event| about(event, "resourceVersion")),
        of_object("involvedObject.fieldPath", |event| about(event, "fieldPath")),
        of_object("reason", |event| event.str(&["reason"]).to_owned()),
        of_object("reportingComponent", |event| either(event, "reportingComponent", "reportingController").to_owned()),
        of_object("source", |event| source_component(event).to_owned()),
        of_object("type", |event| event.str(&["type"]).to_owned()),
    ],
    columns: &[
        Column::string("Last Seen", Field("lastTimestamp"), |event| human_since(last_seen(event)).into()),
        Column::string("Type", Field("type"), |event| event.str(&["type"]).into()),
        Column::string("Reason", Field("reason"), |event| event.str(&["reason"]).into()),
        Column::string("Object", Field("involvedObject"), object),
        Column::string("Subobject", Field("involvedObject.fieldPath"), |event| about(event, "fieldPath").into()).wide(),
        Column::string("Source", Field("source"), source).wide(),
        Column::string("Message", Field("message"), |event| either(event, "message", "note").trim().into()),
        Column::string("First Seen", Field("firstTimestamp"), |event| human_since(first_seen(event)).into()).wide(),
        Column::string("Count", Field("count"), count).wide(),
        NAME.wide(),
    ],
    strategy: Strategy { default: default_event, validate, create_on_update: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

/// These have no place in a client's write but are always shown.
fn default_event(event: &mut Object) {
    for field in ["reportingComponent", "reportingInstance"] {
        event.set_default(&[field], "");
    }
    event.set_default(&["source"], Value::Object(serde_json::Map::new()));
    for time in ["firstTimestamp", "lastTimestamp", "eventTime"] {
        event.0.entry(time).or_insert(Value::Null);
    }
}

const fn of_object(name: &'static str, value: fn(&Object) -> String) -> SelectableField {
    SelectableField { name, value }
}

fn about(event: &Object, field: &str) -> String {
    let object = event.get(&["involvedObject"]).or_else(|| event.get(&["regarding"]));
    object.map_or("", |object| str_of(object, field)).to_owned()
}

fn either<'a>(event: &'a Object, core: &str, events: &str) -> &'a str {
    non_empty(event.str(&[core]), event.str(&[events]))
}

fn object(event: &Object) -> Value {
    match (about(event, "kind").to_lowercase(), about(event, "name")) {
        (kind, name) if name.is_empty() => kind.into(),
        (kind, name) => format!("{kind}/{name}").into(),
    }
}

fn reported_source<'a>(event: &'a Object, field: &str) -> &'a str {
    non_empty(event.str(&["source", field]), event.str(&["deprecatedSource", field]))
}

fn source_component(event: &Object) -> &str {
    non_empty(reported_source(event, "component"), either(event, "reportingComponent", "reportingController"))
}

fn source(event: &Object) -> Value {
    let host = non_empty(reported_source(event, "host"), event.str(&["reportingInstance"]));
    match host {
        "" => source_component(event).into(),
        host => format!("{}, {host}", source_component(event)).into(),
    }
}

fn first_seen(event: &Object) -> &str {
    non_empty(either(event, "firstTimestamp", "deprecatedFirstTimestamp"), event.str(&["eventTime"]))
}

fn last_seen(event: &Object) -> &str {
    if event.map(&["series"]).is_some() {
        return event.str(&["series", "lastObservedTime"]);
    }
    non_empty(either(event, "lastTimestamp", "deprecatedLastTimestamp"), first_seen(event))
}

fn count(event: &Object) -> Value {
    if event.map(&["series"]).is_some() {
        return number(event, &["series", "count"]);
    }
    // Events that happened once do not say so in the newer form.
    let said = ["count", "deprecatedCount"].into_iter().filter_map(|field| event.int(&[field]));
    said.filter(|count| *count > 0).next().unwrap_or(1).into()
}

const ACTION_MAX: usize = 128;
const REASON_MAX: usize = 128;
const REPORTER_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

/// Events of the core group carry little that is checked, unless they have the time that newer writers set.
fn validate(event: &Object) -> ErrorList {
    let mut errors = validate_namespace(event, event.str(&["involvedObject", "namespace"]));
    if !event.str(&["eventTime"]).is_empty() {
        errors.extend(validate_fields(event, ["reportingComponent", "message"]));
    }
    errors
}

/// Events as events.k8s.io shows them.
pub fn validate_modern(event: &Object) -> ErrorList {
    let mut errors = validate_namespace(event, event.str(&["regarding", "namespace"]));
    let time = At::field(event, "eventTime");
    // One that is stored may have been written through the core group, which asks for less.
    if time.is_empty() && !event.resource_version().is_empty() {
        return errors;
    }
    if time.is_empty() {
        errors.push(time.required(""));
    }
    errors.extend(validate_fields(event, ["reportingController", "note"]));
    errors
}

/// Events about objects of cluster scope live in `default`, others beside their object.
fn validate_namespace(event: &Object, about: &str) -> ErrorList {
    let fits = match about {
        "" => matches!(event.namespace(), "" | "default"),
        namespace => namespace == event.namespace(),
    };
    let path = Path::new("involvedObject").child("namespace");
    let text = "does not match event.namespace";
    (!fits).then(|| Error::invalid(&path, about, text)).into_iter().collect()
}

fn validate_fields(event: &Object, [reporter, note]: [&str; 2]) -> ErrorList {
    let mut errors = ErrorList::new();
    for (field, max) in
        [(reporter, usize::MAX), ("reportingInstance", REPORTER_MAX), ("action", ACTION_MAX), ("reason", REASON_MAX)]
    {
        let at = At::field(event, field);
        if at.is_empty() {
            errors.push(at.required(""));
        } else if at.text().len() > max {
            errors.push(at.invalid(format!("can have at most {max} characters")));
        }
    }
    let note = At::field(event, note);
    if note.text().len() > NOTE_MAX {
        errors.push(note.invalid(format!("can have at most {NOTE_MAX} characters")));
    }
    errors.extend(one_of(&At::field(event, "type"), &["Normal", "Warning"]));
    errors
}
