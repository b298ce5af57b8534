//! Server-side apply to objects of every kind, made along the schema table.

#[allow(dead_code)]
#[path = "../protobuf/generate.rs"]
mod generate;

use std::collections::{BTreeMap, BTreeSet};

use generate::Numbers;
use jiff::Timestamp;
use machinery::apply::{Filter, Layout, Set, Versions, Writer};
use machinery::decode::{FieldPolicy, decode_json};
use machinery::{ApiError, GroupVersionKind, Object};
use proptest::prelude::*;
use schema::{Field, ListType, Message, Shape, Type};
use serde_json::{Map, Value, json};

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

/// An object of one kind, and what is done to it.
#[derive(Clone)]
struct Story {
    message: &'static Message,
    live: Option<Object>,
}

impl Story {
    fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new("test", "v1", self.message.name.rsplit('.').next().unwrap_or_default())
    }

    fn write<T>(&self, manager: &str, write: impl FnOnce(&Writer<'_>) -> T) -> T {
        write(&Writer {
            manager,
            gvk: &self.gvk(),
            api_version: "test/v1",
            subresource: "",
            now: Timestamp::UNIX_EPOCH,
            filter: &Filter::Without(Set::default()),
            layout: &Layout::Message(self.message),
            versions: &OneVersion,
        })
    }

    fn apply(&mut self, manager: &str, config: &Object, force: bool) -> Result<(), ApiError> {
        let new = self.write(manager, |writer| writer.apply(self.live.as_ref(), config, force))?;
        // As the server reads it before it is stored.
        let (read, _) = decode_json(&new.to_bytes(), self.message.name, FieldPolicy::Ignore)?;
        self.live = Some(read);
        Ok(())
    }

    fn force(&mut self, manager: &str, config: &Object) {
        self.apply(manager, config, true).unwrap_or_else(|error| panic!("{:?}: {error}", self.message));
    }

    /// The configurations that `seed` makes.
    fn config(&self, seed: u64) -> Object {
        let kind = self.gvk().kind;
        let mut object = generate::object(&mut Numbers(seed), self.message, "test/v1", &kind);
        fit_fields(&mut object, self.message);
        let mut object = Object(object);
        object.remove(&["metadata", "managedFields"]);
        object
    }

    fn live(&self) -> &Object {
        self.live.as_ref().expect("something was applied")
    }

    /// The fields of each manager, as messages show them.
    fn owned(&self) -> BTreeMap<String, BTreeSet<String>> {
        let fields = |entry: &Value| {
            let set = Set::from_fields(&entry["fieldsV1"]).expect("fields that were written");
            set.paths().iter().map(|path| path.iter().map(ToString::to_string).collect()).collect()
        };
        let managers = self.live().list(&["metadata", "managedFields"]).iter();
        managers.map(|entry| (entry["manager"].as_str().unwrap_or_default().to_owned(), fields(entry))).collect()
    }

    /// The object without managers and what is empty, lists of it in an order of their own.
    fn normal(&self) -> Value {
        let mut object = self.live().clone();
        object.remove(&["metadata", "managedFields"]);
        normal(object.into_value())
    }
}

fn normal(value: Value) -> Value {
    let empty = |value: &Value| matches!(value, Value::Null) || *value == json!({}) || *value == json!([]);
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(normal).collect();
            items.sort_by_key(Value::to_string);
            items.into()
        }
        Value::Object(map) => {
            let entries = map.into_iter().map(|(name, value)| (name, normal(value)));
            Value::Object(entries.filter(|(_, value)| !empty(value)).collect())
        }
        other => other,
    }
}

/// Makes lists such that their items can be told apart.
fn fit_fields(object: &mut Map<String, Value>, message: &'static Message) {
    for field in message.fields {
        let Some(value) = object.get_mut(field.json) else { continue };
        match (field.shape, value) {
            (Shape::List, Value::Array(items)) => fit_items(items, field),
            (Shape::Map, Value::Object(map)) => map.values_mut().for_each(|value| fit(value, field.of)),
            (_, value) => fit(value, field.of),
        }
    }
}

fn fit(value: &mut Value, of: Type) {
    if let (Value::Object(map), Type::Message(message)) = (value, of) {
        fit_fields(map, message);
    }
}

fn fit_items(items: &mut Vec<Value>, field: &Field) {
    items.iter_mut().for_each(|item| fit(item, field.of));
    let keys = field.map_keys;
    if field.list == ListType::Map {
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            // At least one of them is there; a port says which protocol it is for.
            let first = keys.iter().find(|key| **key != "protocol").unwrap_or(&keys[0]);
            let is_number = item.get(*first).is_some_and(Value::is_number);
            item.entry(*first).or_insert_with(|| if is_number { json!(1) } else { json!("a") });
        }
    }
    let mut seen = BTreeSet::new();
    items.retain(|item| match field.list {
        ListType::Map => {
            let part = |key: &&str| match (item.get(*key), *key) {
                (None, "protocol") => json!("TCP"),
                (value, _) => value.cloned().unwrap_or_default(),
            };
            seen.insert(keys.iter().map(part).collect::<Value>().to_string())
        }
        ListType::Set => seen.insert(item.to_string()),
        _ => true,
    });
}

/// Nothing of every kind.
fn stories() -> impl Iterator<Item = Story> {
    schema::messages().iter().copied().filter(has_managers).map(|message| Story { message, live: None })
}

fn has_managers(message: &&'static Message) -> bool {
    let metadata = message.field("metadata").filter(|_| message.is_object()).map(|field| field.of);
    matches!(metadata, Some(Type::Message(metadata)) if metadata.field("managedFields").is_some())
}

fn shown(fields: &BTreeMap<String, BTreeSet<String>>, manager: &str) -> BTreeSet<String> {
    fields.get(manager).cloned().unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    #[test]
    fn applying_twice_is_applying_once(one: u64, two: u64) {
        for mut story in stories() {
            let (first, second) = (story.config(one), story.config(two));
            story.force("one", &first);
            story.force("two", &second);
            let before = story.live.clone();
            story.apply("two", &second, false).unwrap();
            prop_assert_eq!(&story.live, &before, "{:?}", story.message);
            story.force("one", &first);
            story.force("two", &second);
            prop_assert_eq!(story.normal(), normal_of(&story, &before), "{:?}: what was won back", story.message);
        }
    }

    #[test]
    fn conflicts_are_about_what_force_takes(one: u64, two: u64) {
        for mut story in stories() {
            let (first, second) = (story.config(one), story.config(two));
            story.force("one", &first);
            let refused = story.clone().apply("two", &second, false).err();
            let before = story.owned();
            story.force("two", &second);
            let lost: BTreeSet<String> =
                shown(&before, "one").difference(&shown(&story.owned(), "one")).cloned().collect();
            let named = refused.and_then(|error| error.details).map(|details| details.causes).unwrap_or_default();
            let named: BTreeSet<String> = named.into_iter().map(|cause| cause.field).collect();
            prop_assert_eq!(named, lost, "{:?}", story.message);
        }
    }

    #[test]
    fn a_manager_that_says_nothing_more_leaves_what_others_said(one: u64, two: u64) {
        for mut story in stories() {
            let (first, second) = (story.config(one), story.config(two));
            let mut alone = story.clone();
            story.force("one", &first);
            story.force("two", &second);
            let mut nothing = Object::default();
            nothing.set(&["apiVersion"], "test/v1");
            nothing.set(&["kind"], story.gvk().kind);
            story.force("one", &nothing);
            alone.force("two", &second);
            prop_assert_eq!(shown(&story.owned(), "one"), BTreeSet::new());
            prop_assert_eq!(shown(&story.owned(), "two"), shown(&alone.owned(), "two"));
        }
    }

    #[test]
    fn an_update_takes_exactly_what_it_changes(one: u64, two: u64) {
        for mut story in stories() {
            let (first, second) = (story.config(one), story.config(two));
            story.force("one", &first);
            let before = story.owned();
            // Says what two would have applied.
            let mut applied = story.clone();
            applied.force("two", &second);
            let mut new = applied.live().clone();
            new.remove(&["metadata", "managedFields"]);
            story.write("three", |writer| writer.track(story.live.as_ref(), &mut new));
            story.live = Some(new);
            let (after, of_apply) = (story.owned(), applied.owned());
            prop_assert_eq!(shown(&after, "one"), shown(&of_apply, "one"), "{:?}", story.message);
            let taken = shown(&before, "one").difference(&shown(&after, "one")).cloned().collect::<BTreeSet<_>>();
            prop_assert!(taken.is_subset(&shown(&after, "three")), "{:?}", story.message);
        }
    }

    #[test]
    fn fields_are_read_as_they_are_written(seed: u64) {
        for mut story in stories() {
            story.force("one", &story.config(seed));
            for entry in story.live().list(&["metadata", "managedFields"]) {
                let fields = Set::from_fields(&entry["fieldsV1"]).unwrap();
                prop_assert_eq!(&fields.to_fields(), &entry["fieldsV1"], "{:?}", story.message);
            }
        }
    }
}

fn normal_of(story: &Story, live: &Option<Object>) -> Value {
    Story { live: live.clone(), ..story.clone() }.normal()
}
