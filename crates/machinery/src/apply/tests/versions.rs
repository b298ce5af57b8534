//! Managers of one object in several versions.

use serde_json::{Map, Value};

use super::super::managed::Managed;
use super::{Layout, Story, Timestamp, Versions, Writer};
use crate::object::Object;

/// `v2` calls `data.old` of `v1` `data.new`; no other version is served.
struct Renamed;

impl Versions for Renamed {
    fn layout(&self, api_version: &str) -> Option<Layout> {
        ["v1", "v2"].contains(&api_version).then(|| Story::config_map().layout())
    }

    fn convert(&self, mut object: Map<String, Value>, from: &str, to: &str) -> Map<String, Value> {
        let (before, after) = if from == "v1" { ("old", "new") } else { ("new", "old") };
        if from != to
            && let Some(data) = object.get_mut("data").and_then(Value::as_object_mut)
            && let Some(value) = data.remove(before)
        {
            data.insert(after.to_owned(), value);
        }
        object
    }
}

/// Applies in a version; the object goes from version to version as it is written.
fn apply(live: Option<(&Object, &str)>, manager: &str, version: &str, yaml: &str) -> Result<Object, String> {
    let story = Story::config_map();
    let mut gvk = story.gvk.clone();
    gvk.version = version.to_owned();
    let mut config = story.object(yaml);
    config.set(&["apiVersion"], version);
    let live = live.map(|(live, from)| Object(Renamed.convert(live.0.clone(), from, version)));
    let writer = Writer {
        manager,
        gvk: &gvk,
        api_version: version,
        subresource: "",
        now: Timestamp::UNIX_EPOCH,
        filter: &story.filter,
        layout: &story.layout(),
        versions: &Renamed,
    };
    writer.apply(live.as_ref(), &config, false).map_err(|error| error.message)
}

#[test]
fn a_field_of_another_version_conflicts_by_its_name_there() {
    let made = apply(None, "one", "v1", "{data: {old: '1'}}").unwrap();
    let error = apply(Some((&made, "v1")), "two", "v2", "{data: {new: '2'}}").unwrap_err();
    assert_eq!(error, "Apply failed with 1 conflict: conflict with \"one\": .data.old");
    assert!(apply(Some((&made, "v1")), "two", "v2", "{data: {new: '1'}}").is_ok());
}

#[test]
fn what_was_applied_in_another_version_goes() {
    let made = apply(None, "one", "v1", "{data: {old: '1', a: '1'}}").unwrap();
    let applied = apply(Some((&made, "v1")), "one", "v2", "{data: {a: '1'}}").unwrap();
    assert_eq!(applied.get(&["data"]), Some(&serde_json::json!({"a": "1"})));
    let managed = Managed::decode(applied.get(&["metadata", "managedFields"])).unwrap();
    assert_eq!((managed.0.len(), managed.0[0].identity.api_version.as_str()), (1, "v2"));
}

#[test]
fn managers_of_a_version_that_is_not_served_go() {
    let mut made = apply(None, "one", "v1", "{data: {a: '1'}}").unwrap();
    let mut managers = made.get(&["metadata", "managedFields"]).unwrap().clone();
    managers[0]["apiVersion"] = "v0".into();
    made.set(&["metadata", "managedFields"], managers);
    let applied = apply(Some((&made, "v1")), "two", "v1", "{data: {a: '2'}}").unwrap();
    let managed = Managed::decode(applied.get(&["metadata", "managedFields"])).unwrap();
    assert_eq!((managed.0.len(), managed.0[0].identity.manager.as_str()), (1, "two"));
}
