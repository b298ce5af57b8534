//! What holds whatever is written.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::path::Element;
use super::super::set::Set;
use super::{Object, Story};

/// Labels, a set of finalizers and containers with environment variables, named by few letters.
fn config() -> impl Strategy<Value = Value> {
    let labels = btree_map("[a-d]", "[x-z]", 0..4);
    let finalizers = proptest::collection::btree_set("[a-d]", 0..3);
    let env = btree_map("[A-C]", "[x-z]", 0..3);
    let containers = btree_map("[a-d]", (proptest::option::of("[x-z]"), env), 0..4);
    (labels, finalizers, containers).prop_map(|(labels, finalizers, containers)| {
        let container =
            |(name, (image, env)): (&String, &(Option<String>, std::collections::BTreeMap<String, String>))| {
                let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
                let mut container = json!({"name": name});
                if let Some(image) = image {
                    container["image"] = json!(image);
                }
                if !env.is_empty() {
                    container["env"] = json!(env);
                }
                container
            };
        let containers: Vec<Value> = containers.iter().map(container).collect();
        json!({"metadata": {"labels": labels, "finalizers": finalizers}, "spec": {"containers": containers}})
    })
}

/// The same with names that the other never uses.
fn disjoint(config: &Value) -> Value {
    let text = config.to_string();
    let renamed = text.replace("\"name\":\"", "\"name\":\"2").replace("\"labels\":{\"", "\"labels\":{\"2");
    let mut value: Value = serde_json::from_str(&renamed).unwrap();
    let labels = config["metadata"]["labels"].as_object().unwrap();
    value["metadata"]["labels"] = labels.iter().map(|(name, value)| (format!("2{name}"), value.clone())).collect();
    let finalizers = config["metadata"]["finalizers"].as_array().unwrap().iter();
    value["metadata"]["finalizers"] = finalizers.map(|name| json!(format!("2{}", name.as_str().unwrap()))).collect();
    value
}

fn story(writes: &[(&str, &Value)]) -> Story {
    let mut story = Story::pod();
    for (manager, config) in writes {
        story.force(manager, &config.to_string());
    }
    story
}

/// The object with lists in an order of their own, and without managers and times.
fn normal(story: &Story) -> Value {
    fn sort(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(Value::to_string);
            }
            Value::Object(map) => map.values_mut().for_each(sort),
            _ => {}
        }
    }
    let mut object: Object = story.live.clone().unwrap();
    object.remove(&["metadata", "managedFields"]);
    let mut value = object.into_value();
    sort(&mut value);
    value
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        "[a-c]{1,2}".prop_map(|name| Element::field(&name)),
        ("[a-b]", 0..3_i64).prop_map(|(name, value)| Element::key(vec![(name.as_str().into(), json!(value))])),
        "[a-c]".prop_map(|value| Element::Value(json!(value))),
        (0..3_i64).prop_map(Element::Index),
    ]
}

fn set() -> impl Strategy<Value = Set> {
    vec(vec(element(), 1..4), 0..12).prop_map(|paths| {
        let mut set = Set::default();
        paths.iter().for_each(|path| set.insert(path));
        set
    })
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(first in config(), second in config()) {
        let mut story = story(&[("one", &first), ("two", &second)]);
        let before = story.live.clone();
        story.force("two", &second.to_string());
        prop_assert_eq!(story.live, before);
    }

    #[test]
    fn what_is_applied_is_there_and_owned(first in config(), second in config()) {
        let mut story = story(&[("one", &first), ("two", &second)]);
        prop_assert_eq!(story.try_apply("two", &second.to_string(), false), Ok(()), "by force it became its own");
    }

    #[test]
    fn disjoint_configurations_commute(first in config()) {
        let second = disjoint(&first);
        let (one, two) = (story(&[("one", &first), ("two", &second)]), story(&[("two", &second), ("one", &first)]));
        prop_assert_eq!(normal(&one), normal(&two));
        let mut alone = one;
        alone.apply("one", "{}");
        prop_assert_eq!(normal(&alone)["spec"]["containers"].as_array().map_or(0, Vec::len),
            second["spec"]["containers"].as_array().map_or(0, Vec::len));
    }

    #[test]
    fn fields_are_read_as_they_are_written(set in set()) {
        prop_assert_eq!(Set::from_fields(&set.to_fields()), Ok(set));
    }

    #[test]
    fn sets_follow_the_laws_of_sets(a in set(), b in set()) {
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.intersection(&b), a.difference(&a.difference(&b)));
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.recursive_difference(&a).is_empty());
        prop_assert!(a.paths().iter().all(|path| a.has(path) && a.union(&b).has(path)));
    }
}
