//! What tests of several crates look at: what a store holds, whenever and by whomever it was written.

use std::collections::BTreeMap;

use serde_json::Value;
use store::{Store, prefix_range};

/// Fields that tell one run from another.
const PASSING: [&str; 7] = [
    "uid",
    "resourceVersion",
    "managedFields",
    "creationTimestamp",
    "lastTransitionTime",
    "lastPhaseTransitionTime",
    "since",
];

/// Texts by keys.
pub type Shown = BTreeMap<String, String>;

/// Objects without what is other in each run. Values that are no objects show nothing but that they are there.
pub async fn shown(store: &dyn Store) -> Shown {
    let items = store.range(prefix_range("/"), 0, None).await.expect("the store can be read").items;
    let shown = items.iter().map(|item| {
        let mut object = serde_json::from_slice(&item.value).unwrap_or_default();
        strip(&mut object);
        (item.key.to_string(), object.to_string())
    });
    shown.collect()
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !PASSING.contains(&name.as_str()));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// # Panics
/// With what differs, if anything does.
pub fn check_same(shown: &Shown, expected: &Shown, told: &str) {
    let keys = shown.keys().chain(expected.keys());
    let differing = keys.filter(|key| shown.get(*key) != expected.get(*key));
    let differing: BTreeMap<_, _> = differing.map(|key| (key, (shown.get(key), expected.get(key)))).collect();
    assert!(differing.is_empty(), "{told}: {differing:#?}");
}
