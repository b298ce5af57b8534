//! Three-way patches: from what was applied last, what shall be, and what is.
//!
//! Fields that were applied once and are no longer wanted go away; what others have set stays.
//! upstream: staging/src/k8s.io/apimachinery/pkg/util/strategicpatch, jsonmergepatch

use schema::{Field, Message};
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

const DIRECTIVE: &str = "$patch";

/// The JSON merge patch for kinds whose schema is not known.
pub fn merge(original: &Value, modified: &Value, current: &Value) -> Value {
    between(original, modified, current, Plan { strategic: false, message: None })
}

/// The strategic merge patch for a kind with this schema.
pub fn strategic(original: &Value, modified: &Value, current: &Value, message: &'static Message) -> Value {
    between(original, modified, current, Plan { strategic: true, message: Some(message) })
}

fn between(original: &Value, modified: &Value, current: &Value, plan: Plan) -> Value {
    let empty = Fields::new();
    let fields = |value: &'_ Value| value.as_object().cloned().unwrap_or_else(|| empty.clone());
    Value::Object(objects(&fields(original), &fields(modified), &fields(current), plan))
}

/// How the fields of one object are patched.
#[derive(Clone, Copy)]
struct Plan {
    strategic: bool,
    message: Option<&'static Message>,
}

impl Plan {
    fn field(self, name: &str) -> Option<&'static Field> {
        self.message.and_then(|message| message.field(name))
    }

    fn of(self, field: Option<&'static Field>) -> Plan {
        Plan { message: field.and_then(Field::message), ..self }
    }
}

fn objects(original: &Fields, modified: &Fields, current: &Fields, plan: Plan) -> Fields {
    let mut patch = Fields::new();
    for name in original.keys().filter(|name| !modified.contains_key(*name) && current.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, wanted) in modified {
        match current.get(name) {
            None if wanted.is_null() => {}
            None => {
                patch.insert(name.clone(), wanted.clone());
            }
            Some(live) => field(&mut patch, name, original.get(name), wanted, live, plan),
        }
    }
    patch
}

fn field(patch: &mut Fields, name: &str, original: Option<&Value>, wanted: &Value, live: &Value, plan: Plan) {
    let known = plan.field(name);
    let has = |strategy| plan.strategic && known.is_some_and(|field| field.has_strategy(strategy));
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) if !has("replace") => {
            let none = Fields::new();
            let original = original.and_then(Value::as_object).unwrap_or(&none);
            let mut inner = objects(original, wanted, live, plan.of(known));
            if has("retainKeys") {
                retain(&mut inner, wanted);
            }
            if !inner.is_empty() {
                patch.insert(name.to_owned(), inner.into());
            }
        }
        (Value::Array(wanted), Value::Array(live)) if has("merge") => {
            let original = original.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let known = known.expect("it has a strategy");
            let list = List { name, known, original, wanted, live, inner: plan.of(Some(known)) };
            list.patch(patch);
        }
        _ if wanted == live => {}
        _ => {
            patch.insert(name.to_owned(), wanted.clone());
        }
    }
}

/// Where something changes, says that nothing but the wanted fields may be left.
fn retain(patch: &mut Fields, wanted: &Fields) {
    if !patch.is_empty() {
        let kept = wanted.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.clone());
        patch.insert("$retainKeys".to_owned(), kept.collect());
    }
}

/// One list that merges.
struct List<'a> {
    name: &'a str,
    known: &'static Field,
    original: &'a [Value],
    wanted: &'a [Value],
    live: &'a [Value],
    inner: Plan,
}

impl List<'_> {
    fn patch(&self, into: &mut Fields) {
        let key = self.known.merge_key;
        if key.is_empty() {
            self.scalars(into);
        } else if self.has_unclear_keys(key) {
            self.replacement(into);
        } else {
            self.items(key, into);
        }
    }

    fn scalars(&self, into: &mut Fields) {
        let added: Vec<Value> = self.wanted.iter().filter(|item| !self.live.contains(item)).cloned().collect();
        let is_gone = |item: &&Value| !self.wanted.contains(item) && self.live.contains(item);
        let gone: Vec<Value> = self.original.iter().filter(is_gone).cloned().collect();
        if added.is_empty() && gone.is_empty() {
            return;
        }
        into.insert(format!("$setElementOrder/{}", self.name), self.wanted.to_vec().into());
        if !added.is_empty() {
            into.insert(self.name.to_owned(), added.into());
        }
        if !gone.is_empty() {
            into.insert(format!("$deleteFromPrimitiveList/{}", self.name), gone.into());
        }
    }

    /// Two items with one key, such as a port for TCP and UDP, can not be told apart in a patch.
    fn has_unclear_keys(&self, key: &str) -> bool {
        let unclear = |items: &[Value]| {
            let repeats =
                |(at, item): (usize, &Value)| items[..at].iter().any(|before| before.get(key) == item.get(key));
            items.iter().any(|item| item.get(key).is_none()) || items.iter().enumerate().any(repeats)
        };
        unclear(self.wanted) || unclear(self.live)
    }

    fn replacement(&self, into: &mut Fields) {
        let settled = |item: &Value| find_like(self.live, item).is_some();
        if self.wanted.len() == self.live.len() && self.wanted.iter().all(settled) {
            return;
        }
        let items = self.wanted.iter().cloned().chain([json!({DIRECTIVE: "replace"})]);
        into.insert(self.name.to_owned(), items.collect());
    }

    fn items(&self, key: &str, into: &mut Fields) {
        let mut items: Vec<Value> = self.wanted.iter().filter_map(|wanted| self.item(key, wanted)).collect();
        let gone = self.original.iter().filter_map(|item| item.get(key));
        let gone =
            gone.filter(|value| find(self.wanted, key, value).is_none() && find(self.live, key, value).is_some());
        items.extend(gone.map(|value| json!({DIRECTIVE: "delete", key: value})));
        if items.is_empty() && !self.is_reordered(key) {
            return;
        }
        let order: Vec<Value> = self.wanted.iter().map(|item| json!({key: item[key]})).collect();
        into.insert(format!("$setElementOrder/{}", self.name), order.into());
        if !items.is_empty() {
            into.insert(self.name.to_owned(), items.into());
        }
    }

    /// What is to change in one item.
    fn item(&self, key: &str, wanted: &Value) -> Option<Value> {
        let value = wanted.get(key)?;
        let (Some(Value::Object(live)), Value::Object(fields)) = (find(self.live, key, value), wanted) else {
            return Some(wanted.clone());
        };
        let none = Fields::new();
        let original = find(self.original, key, value).and_then(Value::as_object).unwrap_or(&none);
        let mut patch = objects(original, fields, live, self.inner);
        if self.known.has_strategy("retainKeys") {
            retain(&mut patch, fields);
        }
        if patch.is_empty() {
            return None;
        }
        patch.insert(key.to_owned(), value.clone());
        Some(patch.into())
    }

    fn is_reordered(&self, key: &str) -> bool {
        let live = self.live.iter().filter_map(|item| item.get(key));
        let live = live.filter(|value| find(self.wanted, key, value).is_some());
        !live.eq(self.wanted.iter().filter_map(|item| item.get(key)))
    }
}

fn find<'a>(items: &'a [Value], key: &str, value: &Value) -> Option<&'a Value> {
    items.iter().find(|item| item.get(key) == Some(value))
}

/// A live item that has all that is wanted of it; it may have defaults beside.
fn find_like<'a>(items: &'a [Value], wanted: &Value) -> Option<&'a Value> {
    items.iter().find(|live| match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            wanted.iter().all(|(name, value)| live.get(name) == Some(value))
        }
        (wanted, live) => wanted == *live,
    })
}

#[cfg(test)]
mod tests {
    use machinery::patch::{merge_patch, strategic_merge_patch};
    use proptest::prelude::*;

    use super::*;

    const POD: &str = "io.k8s.api.core.v1.Pod";
    const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
    const SERVICE: &str = "io.k8s.api.core.v1.Service";

    /// Checks the patch, and that it makes `current` what it shall be.
    fn check(message: &str, [original, modified, current]: [Value; 3], patch: Value, result: Value) {
        let found = strategic(&original, &modified, &current, schema::message(message).unwrap());
        assert_eq!(found, patch);
        assert_eq!(strategic_merge_patch(current, &patch, message).unwrap(), result);
    }

    #[test]
    fn fields_that_are_no_longer_wanted_go_and_others_stay() {
        let original = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "data": {"x": "1"}});
        let modified = json!({"metadata": {"labels": {"a": "9"}}, "data": {"x": "1", "y": "2"}});
        let current =
            json!({"metadata": {"labels": {"a": "1", "b": "2", "other": "3"}, "uid": "u"}, "data": {"x": "1"}});
        let patch = json!({"metadata": {"labels": {"a": "9", "b": null}}, "data": {"y": "2"}});
        assert_eq!(merge(&original, &modified, &current), patch);
        let result =
            json!({"metadata": {"labels": {"a": "9", "other": "3"}, "uid": "u"}, "data": {"x": "1", "y": "2"}});
        assert_eq!(merge_patch(current.clone(), &patch).unwrap(), result);
        check("io.k8s.api.core.v1.ConfigMap", [original, modified.clone(), current], patch, result.clone());
        assert_eq!(merge(&modified, &modified, &result), json!({}), "a second time there is nothing to do");
    }

    #[test]
    fn lists_of_custom_resources_are_replaced() {
        let current = json!({"spec": {"l": [1, 2], "d": 1}});
        assert_eq!(merge(&json!({}), &json!({"spec": {"l": [1]}}), &current), json!({"spec": {"l": [1]}}));
        assert_eq!(merge(&json!({}), &json!({"spec": null, "x": null}), &current), json!({"spec": null}));
    }

    #[test]
    fn containers_are_told_apart_by_name() {
        let pod = |containers: Value| json!({"spec": {"containers": containers}});
        check(
            POD,
            [
                pod(json!([{"name": "a", "image": "1", "tty": true}, {"name": "b", "image": "1"}])),
                pod(json!([{"name": "c", "image": "1"}, {"name": "a", "image": "2"}])),
                pod(json!([{"name": "a", "image": "1", "tty": true, "stdin": false}, {"name": "b", "image": "1"},
                    {"name": "injected", "image": "x"}])),
            ],
            json!({"spec": {
                "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
                "containers": [{"name": "c", "image": "1"}, {"name": "a", "image": "2", "tty": null},
                    {"name": "b", "$patch": "delete"}]}}),
            pod(json!([{"name": "c", "image": "1"}, {"name": "a", "image": "2", "stdin": false},
                {"name": "injected", "image": "x"}])),
        );
    }

    #[test]
    fn nothing_is_sent_where_only_defaults_differ() {
        let modified = json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}});
        let current = json!({"spec": {"dnsPolicy": "ClusterFirst", "containers":
            [{"name": "a", "tty": false, "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}});
        check(POD, [modified.clone(), modified, current.clone()], json!({}), current);
    }

    #[test]
    fn a_port_number_may_be_there_twice() {
        let service = |ports: Value| json!({"spec": {"ports": ports}});
        let modified = service(
            json!([{"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]),
        );
        let live = |more: Value| {
            let mut ports = json!([{"name": "t", "port": 53, "protocol": "TCP", "targetPort": 53}]);
            ports.as_array_mut().unwrap().extend(more.as_array().cloned().unwrap());
            service(ports)
        };
        let settled = live(json!([{"name": "u", "port": 53, "protocol": "UDP", "targetPort": 53}]));
        check(SERVICE, [modified.clone(), modified.clone(), settled.clone()], json!({}), settled);
        let mut patched = modified["spec"]["ports"].as_array().unwrap().clone();
        patched.push(json!({"$patch": "replace"}));
        check(SERVICE, [json!({}), modified.clone(), live(json!([]))], service(patched.into()), modified);
    }

    #[test]
    fn a_changed_strategy_drops_the_settings_of_the_other() {
        check(
            DEPLOYMENT,
            [
                json!({}),
                json!({"spec": {"strategy": {"type": "Recreate"}}}),
                json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
            ],
            json!({"spec": {"strategy": {"type": "Recreate", "$retainKeys": ["type"]}}}),
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
        );
        let pod = |volumes: Value| json!({"spec": {"volumes": volumes}});
        check(
            POD,
            [
                json!({}),
                pod(json!([{"name": "v", "secret": {"secretName": "s"}}])),
                pod(json!([{"name": "v", "emptyDir": {}}])),
            ],
            json!({"spec": {"$setElementOrder/volumes": [{"name": "v"}],
                "volumes": [{"name": "v", "secret": {"secretName": "s"}, "$retainKeys": ["name", "secret"]}]}}),
            pod(json!([{"name": "v", "secret": {"secretName": "s"}}])),
        );
    }

    #[test]
    fn lists_of_texts_shrink() {
        check(
            POD,
            [
                json!({"metadata": {"finalizers": ["a/a", "b/b"]}}),
                json!({"metadata": {"finalizers": ["b/b", "d/d"]}}),
                json!({"metadata": {"finalizers": ["a/a", "b/b", "c/c"]}}),
            ],
            json!({"metadata": {"finalizers": ["d/d"], "$deleteFromPrimitiveList/finalizers": ["a/a"],
                "$setElementOrder/finalizers": ["b/b", "d/d"]}}),
            json!({"metadata": {"finalizers": ["b/b", "d/d", "c/c"]}}),
        );
    }

    /// Containers as `name=image` words with distinct names.
    fn containers(text: &str) -> Value {
        let mut seen = std::collections::BTreeSet::new();
        let words = text.split_whitespace().filter(|word| seen.insert(word.chars().next()));
        let item = |word: &str| word.split_once('=').map(|(name, image)| json!({"name": name, "image": image}));
        json!({"spec": {"containers": words.filter_map(item).collect::<Vec<_>>()}})
    }

    proptest! {
        #[test]
        fn applying_gives_what_is_wanted_and_ends(
            original in "([a-d]=[0-3] ){0,4}", modified in "([a-d]=[0-3] ){0,4}", current in "([a-f]=[0-3] ){0,5}"
        ) {
            let (original, modified, current) = (containers(&original), containers(&modified), containers(&current));
            let message = schema::message(POD).unwrap();
            let patch = strategic(&original, &modified, &current, message);
            let result = strategic_merge_patch(current, &patch, POD).expect("a fitting patch");
            let items = |value: &Value| value["spec"]["containers"].as_array().cloned().unwrap_or_default();
            for item in items(&modified) {
                prop_assert!(items(&result).contains(&item), "{patch} gave {result}");
            }
            for item in items(&original) {
                let name = &item["name"];
                let wanted = find(&items(&modified), "name", name).is_some();
                prop_assert_eq!(find(&items(&result), "name", name).is_some(), wanted);
            }
            let again = strategic(&modified, &modified, &result, message);
            prop_assert_eq!(again, json!({}));
        }
    }
}
