//! Stories of several writers, in upstream's documented cases.

mod conflicts;
mod lists;
mod ownership;
mod properties;
mod versions;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::managed::{Managed, Operation};
use super::path::show;
use super::{Filter, Layout, Set, Versions, Writer};
use crate::decode::parse_yaml;
use crate::error::ApiError;
use crate::names::GroupVersionKind;
use crate::object::Object;

/// One version, as which everything is written.
struct OneVersion;

impl Versions for OneVersion {
    fn layout(&self, _: &str) -> Option<Layout> {
        None
    }

    fn convert(&self, object: Map<String, Value>, _: &str, _: &str) -> Map<String, Value> {
        object
    }
}

/// An object, and who writes it.
struct Story {
    gvk: GroupVersionKind,
    schema: &'static str,
    live: Option<Object>,
    subresource: &'static str,
    filter: Filter,
    /// Seconds since the beginning.
    now: i64,
}

impl Story {
    fn of(schema: &'static str) -> Self {
        let mut parts = schema.rsplit('.');
        let (kind, version, group) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let group = if group == "core" { "" } else { group };
        Self {
            gvk: GroupVersionKind::new(group, version, kind),
            schema,
            live: None,
            subresource: "",
            filter: Filter::Without(Set::default()),
            now: 0,
        }
    }

    fn config_map() -> Self {
        Self::of("io.k8s.api.core.v1.ConfigMap")
    }

    fn pod() -> Self {
        Self::of("io.k8s.api.core.v1.Pod")
    }

    fn deployment() -> Self {
        Self::of("io.k8s.api.apps.v1.Deployment")
    }

    fn layout(&self) -> Layout {
        Layout::Message(schema::message(self.schema).unwrap())
    }

    fn write<R>(&self, manager: &str, write: impl FnOnce(&Writer<'_>) -> R) -> R {
        let api_version = self.gvk.group_version().to_string();
        write(&Writer {
            manager,
            gvk: &self.gvk,
            api_version: &api_version,
            subresource: self.subresource,
            now: Timestamp::from_second(self.now).unwrap(),
            filter: &self.filter,
            layout: &self.layout(),
            versions: &OneVersion,
        })
    }

    /// The object that the YAML describes, of this kind.
    fn object(&self, yaml: &str) -> Object {
        let mut object = Object::from_value(parse_yaml(yaml.as_bytes()).unwrap().0).unwrap();
        object.set(&["apiVersion"], self.gvk.group_version().to_string());
        object.set(&["kind"], self.gvk.kind.as_str());
        object
    }

    fn try_apply(&mut self, manager: &str, yaml: &str, force: bool) -> Result<(), ApiError> {
        self.now += 1;
        let config = self.object(yaml);
        let new = self.write(manager, |writer| writer.apply(self.live.as_ref(), &config, force))?;
        self.live = Some(without_nulls(new));
        Ok(())
    }

    fn apply(&mut self, manager: &str, yaml: &str) -> &mut Self {
        self.try_apply(manager, yaml, false).unwrap();
        self
    }

    fn force(&mut self, manager: &str, yaml: &str) -> &mut Self {
        self.try_apply(manager, yaml, true).unwrap();
        self
    }

    /// The error of an apply.
    fn refused(&mut self, manager: &str, yaml: &str) -> String {
        self.try_apply(manager, yaml, false).unwrap_err().message
    }

    /// Puts the object in the place of what was there, managers aside.
    fn update(&mut self, manager: &str, yaml: &str) -> &mut Self {
        self.now += 1;
        let mut new = self.object(yaml);
        self.write(manager, |writer| writer.track(self.live.as_ref(), &mut new));
        self.live = Some(new);
        self
    }

    fn managed(&self) -> Option<&Value> {
        self.live.as_ref().unwrap().get(&["metadata", "managedFields"])
    }

    /// Checks what the object says, type and managers aside.
    fn says(&mut self, yaml: &str) -> &mut Self {
        let mut live = self.live.clone().unwrap();
        live.remove(&["metadata", "managedFields"]);
        if live.map(&["metadata"]).is_some_and(Map::is_empty) {
            live.remove(&["metadata"]);
        }
        assert_eq!(live, self.object(yaml));
        self
    }

    /// Checks the managers and their fields: `apply one: .data.a .data.b`.
    fn owned(&mut self, wanted: &[&str]) -> &mut Self {
        let managed = Managed::decode(self.managed()).unwrap();
        let line = |entry: &super::managed::Entry| {
            let operation = if entry.identity.operation == Operation::Apply { "apply" } else { "update" };
            let paths: Vec<String> = entry.fields.paths().iter().map(|path| show(path)).collect();
            format!("{operation} {}: {}", entry.identity.manager, paths.join(" "))
        };
        let lines: Vec<String> = managed.0.iter().map(line).collect();
        assert_eq!(lines, wanted);
        self
    }
}

/// What decoding does to a merged object before it is stored.
fn without_nulls(object: Object) -> Object {
    fn clean(value: Value) -> Value {
        match value {
            Value::Object(map) => map
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, clean(value)))
                .collect::<Map<_, _>>()
                .into(),
            Value::Array(items) => items.into_iter().map(clean).collect(),
            other => other,
        }
    }
    Object::from_value(clean(object.into_value())).unwrap()
}

#[test]
fn managers_are_written_as_upstream_writes_them() {
    let mut story = Story::config_map();
    story.update("kubectl-create", "{metadata: {labels: {a: b}}, data: {key: value}}");
    assert_eq!(
        story.managed(),
        Some(&json!([{
            "apiVersion": "v1", "fieldsType": "FieldsV1", "manager": "kubectl-create", "operation": "Update",
            "time": "1970-01-01T00:00:01Z",
            "fieldsV1": {"f:data": {".": {}, "f:key": {}}, "f:metadata": {"f:labels": {".": {}, "f:a": {}}}},
        }]))
    );
}
