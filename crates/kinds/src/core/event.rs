//! Event. The columns read both forms, this group's and events.k8s.io's.

use jiff::Timestamp;
use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use machinery::validation::{dns1123_subdomain, qualified_name};
use serde_json::{Value, json};

use crate::check::{At, immutable, required, same};
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
        field("involvedObject.kind", |event| about(event, "kind")),
        field("involvedObject.namespace", |event| about(event, "namespace")),
        field("involvedObject.name", |event| about(event, "name")),
        field("involvedObject.uid", |event| about(event, "uid")),
        field("involvedObject.apiVersion", |event| about(event, "apiVersion")),
        field("involvedObject.resourceVersion", |event| about(event, "resourceVersion")),
        field("involvedObject.fieldPath", |event| about(event, "fieldPath")),
        field("reason", |event| event.str(&["reason"]).to_owned()),
        field("reportingComponent", reporter),
        field("source", |event| source_component(event).to_owned()),
        field("type", |event| event.str(&["type"]).to_owned()),
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
    happened: Some(happened),
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

/// What events.k8s.io calls the same fields.
pub const MODERN_FIELDS: &[SelectableField] = &[
    field("regarding.kind", |event| about(event, "kind")),
    field("regarding.namespace", |event| about(event, "namespace")),
    field("regarding.name", |event| about(event, "name")),
    field("regarding.uid", |event| about(event, "uid")),
    field("regarding.apiVersion", |event| about(event, "apiVersion")),
    field("regarding.resourceVersion", |event| about(event, "resourceVersion")),
    field("regarding.fieldPath", |event| about(event, "fieldPath")),
    field("reason", |event| event.str(&["reason"]).to_owned()),
    field("reportingController", reporter),
    field("type", |event| event.str(&["type"]).to_owned()),
];

const fn field(name: &'static str, value: fn(&Object) -> String) -> SelectableField {
    SelectableField { name, value }
}

fn reporter(event: &Object) -> String {
    either(event, "reportingComponent", "reportingController").to_owned()
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

fn happened(event: &Object) -> Option<Timestamp> {
    let paths: [&[&str]; 4] =
        [&["series", "lastObservedTime"], &["lastTimestamp"], &["eventTime"], &["metadata", "creationTimestamp"]];
    paths.into_iter().filter_map(|path| event.str(path).parse().ok()).max()
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
    let mut said = ["count", "deprecatedCount"].into_iter().filter_map(|field| event.int(&[field]));
    said.find(|count| *count > 0).unwrap_or(1).into()
}

const ACTION_MAX: usize = 128;
const REASON_MAX: usize = 128;
const REPORTER_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

/// The names that the fields of an event have in a group; errors call them by those of the core group.
struct Names {
    object: &'static str,
    reporter: &'static str,
    note: &'static str,
}

const CORE: Names = Names { object: "involvedObject", reporter: "reportingComponent", note: "message" };
const MODERN: Names = Names { object: "regarding", reporter: "reportingController", note: "note" };

fn validate(event: &Object) -> ErrorList {
    validate_as(event, &CORE)
}

/// Events as events.k8s.io shows them.
pub fn validate_modern(event: &Object) -> ErrorList {
    validate_as(event, &MODERN)
}

/// Little is checked, unless the event has the time that newer writers set.
///
/// upstream: pkg/apis/core/validation/events.go
fn validate_as(event: &Object, names: &Names) -> ErrorList {
    let namespace = event.namespace();
    let about = event.str(&[names.object, "namespace"]);
    let modern = !event.str(&["eventTime"]).is_empty();
    let fits = match (about, modern) {
        ("", false) => matches!(namespace, "" | "default"),
        ("", true) => matches!(namespace, "default" | "kube-system"),
        (_, false) => about == namespace,
        (_, true) => true,
    };
    let mut errors = ErrorList::new();
    if !fits {
        let path = Path::new("involvedObject").child("namespace");
        errors.push(Error::invalid(&path, about, "does not match event.namespace"));
    }
    if modern {
        errors.extend(validate_fields(event, names));
    }
    let faults = dns1123_subdomain(namespace).into_iter();
    errors.extend(faults.map(|fault| Error::invalid(&Path::new("namespace"), namespace, fault)));
    errors
}

fn validate_fields(event: &Object, names: &Names) -> ErrorList {
    let long = |at: &At, max: usize| {
        (at.text().len() > max).then(|| at.invalid_empty(&format!("can have at most {max} characters")))
    };
    let reporter = At::field(event, names.reporter);
    let mut errors: ErrorList = required(&reporter).into_iter().collect();
    errors.extend(reporter.check(qualified_name));
    for (field, max) in [("reportingInstance", REPORTER_MAX), ("action", ACTION_MAX), ("reason", REASON_MAX)] {
        let at = At::field(event, field);
        errors.extend(required(&at));
        errors.extend(long(&at, max));
    }
    errors.extend(long(&At::field(event, names.note).at(Path::new(CORE.note)), NOTE_MAX));
    errors
}

/// Fields of events.k8s.io that are there for older readers alone, and what errors call them.
const DEPRECATED: [(&str, &str); 4] = [
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("deprecatedSource", "source"),
];

fn deprecated<'a>(event: &'a Object, (field, called): (&str, &str)) -> At<'a> {
    At::field(event, field).at(Path::new(called))
}

/// Whoever makes events through events.k8s.io says all that it has.
pub fn validate_modern_create(event: &Object) -> ErrorList {
    let (time, of_type) = (At::field(event, "eventTime"), At::field(event, "type"));
    let mut errors = validate_series(event);
    errors.extend(required(&time));
    if !["Normal", "Warning"].contains(&of_type.text()) {
        errors.push(of_type.invalid_empty(&format!("has invalid value: {}", of_type.text())));
    }
    let set = DEPRECATED.map(|field| deprecated(event, field)).into_iter();
    errors.extend(
        set.filter(|at| !same(at.value, &json!({})))
            .filter(|at| at.int() != Some(0))
            .map(|at| at.invalid_empty("needs to be unset")),
    );
    errors
}

/// What happened is told once; only how often it happens since may change.
pub fn validate_modern_update(new: &Object, old: &Object) -> ErrorList {
    let changed = |at: fn(&Object) -> At<'_>| immutable(&at(new), &at(old));
    let mut errors = ErrorList::new();
    if !same(At::field(new, "series").value, At::field(old, "series").value) {
        errors.extend(validate_series(new));
    }
    errors.extend(changed(|event| At::field(event, MODERN.object).at(Path::new(CORE.object))));
    errors.extend(changed(|event| At::field(event, "reason")));
    errors.extend(changed(|event| At::field(event, MODERN.note).at(Path::new(CORE.note))));
    let pairs = [DEPRECATED[3], DEPRECATED[0], DEPRECATED[1], DEPRECATED[2]];
    errors.extend(pairs.into_iter().filter_map(|field| immutable(&deprecated(new, field), &deprecated(old, field))));
    for field in ["reason", "type", "eventTime", "action", "related", "reportingController", "reportingInstance"] {
        errors.extend(immutable(&At::field(new, field), &At::field(old, field)));
    }
    errors
}

fn validate_series(event: &Object) -> ErrorList {
    let series = At::field(event, "series");
    if !series.is_set() {
        return ErrorList::new();
    }
    let (count, time) = (series.child("count"), series.child("lastObservedTime"));
    let few = count.int().unwrap_or(0) < 2;
    let mut errors: ErrorList = few.then(|| count.invalid_empty("should be at least 2")).into_iter().collect();
    errors.extend(required(&time));
    errors
}
