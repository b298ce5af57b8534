//! What holds for any sequence of applies over HTTP: a model of who owns what says what each of them comes to.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Api, Got, start};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MANAGERS: [&str; 3] = ["ann", "bob", "eve"];
const KEYS: [&str; 4] = ["k0", "k1", "k2", "k3"];

/// What a manager says of the data, by key.
type Config = BTreeMap<&'static str, u8>;

#[derive(Clone, Debug)]
struct Apply {
    manager: &'static str,
    config: Config,
    force: bool,
}

/// Values by key, and who owns each.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model(BTreeMap<&'static str, (u8, BTreeSet<&'static str>)>);

impl Model {
    /// The keys that others own with another value.
    fn conflicts(&self, apply: &Apply) -> Vec<&'static str> {
        let differs = |(key, value): (&&'static str, &u8)| {
            let (held, owners) = self.0.get(key)?;
            (held != value && owners.iter().any(|owner| *owner != apply.manager)).then_some(*key)
        };
        apply.config.iter().filter_map(differs).collect()
    }

    fn apply(&mut self, apply: &Apply) {
        for key in self.conflicts(apply) {
            self.0.remove(key);
        }
        for (key, value) in &apply.config {
            let (held, owners) = self.0.entry(key).or_default();
            *held = *value;
            owners.insert(apply.manager);
        }
        for (_, owners) in
            self.0.iter_mut().filter(|(key, _)| !apply.config.contains_key(*key)).map(|(key, of)| (key, &mut of.1))
        {
            owners.remove(apply.manager);
        }
        self.0.retain(|_, (_, owners)| !owners.is_empty());
    }

    fn data(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(key, (value, _))| ((*key).to_owned(), value.to_string())).collect()
    }

    fn owned(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut owned: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (key, (_, owners)) in &self.0 {
            for owner in owners {
                owned.entry((*owner).to_owned()).or_default().insert((*key).to_owned());
            }
        }
        owned
    }
}

fn an_apply() -> impl Strategy<Value = Apply> {
    let config = prop::collection::btree_map(prop::sample::select(&KEYS[..]), 0..2_u8, 0..4);
    (prop::sample::select(&MANAGERS[..]), config, prop::bool::weighted(0.3))
        .prop_map(|(manager, config, force)| Apply { manager, config, force })
}

/// One that is there, and that nobody owns anything of.
async fn made(api: &Api, name: &str) {
    api.post(MAPS, &json!({"metadata": {"name": name}})).await.expect(201);
}

async fn send(api: &Api, name: &str, apply: &Apply) -> Got {
    let data: BTreeMap<&str, String> = apply.config.iter().map(|(key, value)| (*key, value.to_string())).collect();
    let mut body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    if !data.is_empty() {
        body["data"] = json!(data);
    }
    let path = format!("{MAPS}/{name}?fieldManager={}&force={}", apply.manager, apply.force);
    api.send("PATCH", &path, &[("content-type", "application/apply-patch+yaml")], body.to_string()).await
}

fn data(object: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(object.get("data").cloned().unwrap_or(json!({}))).unwrap()
}

/// The keys of the data that each manager owns.
fn owned(object: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let keys = |entry: &Value| {
        let fields = entry["fieldsV1"]["f:data"].as_object().into_iter().flatten();
        let keys = fields.filter_map(|(name, _)| name.strip_prefix("f:"));
        keys.map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let owned = entries.map(|entry| (entry["manager"].as_str().unwrap_or_default().to_owned(), keys(entry)));
    owned.filter(|(_, keys)| !keys.is_empty()).collect()
}

/// Every apply comes to what the model says, and the same one once more changes nothing.
async fn follow(applies: &[Apply]) {
    let api = start().await.bootstrapped().await;
    made(&api, "m").await;
    let mut model = Model::default();
    for apply in applies {
        let conflicts = model.conflicts(apply);
        let got = send(&api, "m", apply).await;
        if !conflicts.is_empty() && !apply.force {
            let error = got.expect(409);
            let told: BTreeSet<&str> = error["details"]["causes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|cause| cause["field"].as_str().unwrap())
                .collect();
            let expected: Vec<String> = conflicts.iter().map(|key| format!(".data.{key}")).collect();
            assert_eq!(told, expected.iter().map(String::as_str).collect(), "{apply:?}");
            continue;
        }
        model.apply(apply);
        let object = got.expect(200);
        assert_eq!((data(&object), owned(&object)), (model.data(), model.owned()), "{apply:?}");
        let again = send(&api, "m", apply).await.expect(200);
        assert_eq!(again, object, "{apply:?} once more");
    }
}

/// What several managers say of keys that are theirs alone comes to the same in any order.
async fn in_both_orders(applies: &[Apply]) {
    let api = start().await.bootstrapped().await;
    let mut seen = Vec::new();
    for (name, order) in [("a", applies.to_vec()), ("b", applies.iter().rev().cloned().collect())] {
        made(&api, name).await;
        for apply in &order {
            send(&api, name, apply).await.expect(200);
        }
        let object = api.get(&format!("{MAPS}/{name}")).await.expect(200);
        seen.push((data(&object), owned(&object)));
    }
    assert_eq!(seen[0], seen[1]);
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn applies_come_to_what_ownership_says(applies in prop::collection::vec(an_apply(), 1..12)) {
        run(follow(&applies));
    }

    #[test]
    fn applies_of_different_fields_commute(values in prop::collection::vec(0..3_u8, MANAGERS.len())) {
        let of = |(index, value): (usize, &u8)| {
            let config = [(KEYS[index], *value), (KEYS[3], 1)].into();
            Apply { manager: MANAGERS[index], config, force: false }
        };
        let applies: Vec<Apply> = values.iter().enumerate().map(of).collect();
        run(in_both_orders(&applies));
    }
}
