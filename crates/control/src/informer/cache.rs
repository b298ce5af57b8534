//! The objects of one kind and their indexes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::Watched;
use crate::ObjectKey;

/// The index by the uid of each owner, which every cache has.
pub const OWNER: &str = "owner";

/// So many objects, those that changed last, stay decoded; others are decoded whenever they are asked for. A decoded
/// pod takes several times what its JSON takes, which is shared with the server's cache in the same process.
const DECODED_MAX: usize = 4096;

/// An object as it came.
#[derive(Clone)]
struct Held<K> {
    /// None of objects that no server sent: they stay decoded.
    json: Option<Bytes>,
    decoded: Option<Arc<K>>,
    /// Counts insertions, to tell this state of the object from later ones.
    turn: u64,
}

struct Index<K> {
    values: fn(&K) -> Vec<String>,
    keys: HashMap<String, BTreeSet<ObjectKey>>,
}

struct Contents<K> {
    objects: BTreeMap<ObjectKey, Held<K>>,
    /// Which states are decoded, oldest first.
    decoded: VecDeque<(u64, ObjectKey)>,
    turn: u64,
    indexes: HashMap<&'static str, Index<K>>,
}

/// A map that many read and one reflector writes.
pub struct Cache<K>(RwLock<Contents<K>>);

/// An object of the kind, without what nobody in this process looks at.
pub fn decode<K: Watched>(json: &[u8]) -> Result<K, serde_json::Error> {
    let mut object: K = serde_json::from_slice(json)?;
    object.meta_mut().managed_fields = None;
    Ok(object)
}

impl<K: Watched> Held<K> {
    fn object(self) -> Arc<K> {
        self.decoded.unwrap_or_else(|| {
            let json = self.json.expect("what has no JSON stays decoded");
            Arc::new(decode(&json).expect("JSON is kept once it was decoded"))
        })
    }
}

/// Decodes what has to be, away from the lock.
fn objects<K: Watched>(held: Vec<Held<K>>) -> Vec<Arc<K>> {
    held.into_iter().map(Held::object).collect()
}

impl<K: Watched> Cache<K> {
    pub fn new() -> Self {
        let owner = Index { values: owner_uids::<K>, keys: HashMap::new() };
        Self(RwLock::new(Contents {
            objects: BTreeMap::new(),
            decoded: VecDeque::new(),
            turn: 0,
            indexes: HashMap::from([(OWNER, owner)]),
        }))
    }

    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        let held = self.0.read().objects.get(key).cloned();
        held.map(Held::object)
    }

    pub fn keys(&self) -> Vec<ObjectKey> {
        self.0.read().objects.keys().cloned().collect()
    }

    pub fn list(&self) -> Vec<Arc<K>> {
        let held = self.0.read().objects.values().cloned().collect();
        objects(held)
    }

    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let contents = self.0.read();
        let from = contents.objects.range(ObjectKey::new(namespace, "")..);
        let held = from.take_while(|(key, _)| &*key.namespace == namespace).map(|(_, held)| held.clone()).collect();
        drop(contents);
        objects(held)
    }

    pub fn by_index(&self, name: &'static str, value: &str) -> Vec<Arc<K>> {
        let contents = self.0.read();
        let keys = contents.indexes.get(name).and_then(|index| index.keys.get(value));
        let held = keys.into_iter().flatten().filter_map(|key| contents.objects.get(key).cloned()).collect();
        drop(contents);
        objects(held)
    }

    pub fn len(&self) -> usize {
        self.0.read().objects.len()
    }

    pub fn add_index(&self, name: &'static str, values: fn(&K) -> Vec<String>) {
        let contents = &mut *self.0.write();
        let objects = &contents.objects;
        contents.indexes.entry(name).or_insert_with(|| {
            let mut index = Index { values, keys: HashMap::new() };
            objects.iter().for_each(|(key, held)| index.insert(key, &held.clone().object()));
            index
        });
    }

    /// Answers with the object that was there under the same key.
    pub fn insert(&self, object: Arc<K>, json: Option<Bytes>) -> Option<Arc<K>> {
        let contents = &mut *self.0.write();
        let key = ObjectKey::of(object.meta());
        contents.turn += 1;
        let held = Held { json, decoded: Some(object.clone()), turn: contents.turn };
        let old = contents.objects.insert(key.clone(), held).map(Held::object);
        for index in contents.indexes.values_mut() {
            if let Some(old) = &old {
                index.remove(&key, old);
            }
            index.insert(&key, &object);
        }
        contents.decoded.push_back((contents.turn, key));
        contents.let_go();
        old
    }

    pub fn remove(&self, key: &ObjectKey) -> Option<Arc<K>> {
        let contents = &mut *self.0.write();
        let old = contents.objects.remove(key)?.object();
        contents.indexes.values_mut().for_each(|index| index.remove(key, &old));
        Some(old)
    }
}

impl<K> Contents<K> {
    /// Keeps the JSON alone of what changed longest ago.
    fn let_go(&mut self) {
        while self.decoded.len() > DECODED_MAX {
            let Some((turn, key)) = self.decoded.pop_front() else { return };
            if let Some(held) = self.objects.get_mut(&key)
                && held.turn == turn
                && held.json.is_some()
            {
                held.decoded = None;
            }
        }
    }
}

impl<K> Index<K> {
    fn insert(&mut self, key: &ObjectKey, object: &K) {
        for value in (self.values)(object) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &ObjectKey, object: &K) {
        for value in (self.values)(object) {
            let Some(keys) = self.keys.get_mut(&value) else { continue };
            keys.remove(key);
            if keys.is_empty() {
                self.keys.remove(&value);
            }
        }
    }
}

fn owner_uids<K: Watched>(object: &K) -> Vec<String> {
    object.meta().owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn insert(cache: &Cache<ConfigMap>, index: usize, value: &str) -> Option<Arc<ConfigMap>> {
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "owner"});
        let metadata = json!({"name": format!("{index:06}"), "namespace": "default", "ownerReferences": [owner]});
        let json = json!({"metadata": metadata, "data": {"value": value}}).to_string();
        cache.insert(Arc::new(decode(json.as_bytes()).unwrap()), Some(Bytes::from(json)))
    }

    fn values(objects: &[Arc<ConfigMap>]) -> Vec<&str> {
        objects.iter().map(|object| object.data.as_ref().unwrap()["value"].as_str()).collect()
    }

    #[test]
    fn objects_are_the_same_whether_they_are_decoded_or_not() {
        let cache = Cache::<ConfigMap>::new();
        let count = DECODED_MAX + 2;
        for index in 0..count {
            assert!(insert(&cache, index, "first").is_none());
        }
        let decoded =
            |cache: &Cache<ConfigMap>| cache.0.read().objects.values().filter(|held| held.decoded.is_some()).count();
        assert_eq!(decoded(&cache), DECODED_MAX);

        // The second is no longer decoded: it is known as it was, and is among the newest now.
        let old = insert(&cache, 1, "second").unwrap();
        assert_eq!(values(&[old]), ["first"]);
        assert_eq!(decoded(&cache), DECODED_MAX);
        let all = [cache.list(), cache.in_namespace("default"), cache.by_index(OWNER, "owner")];
        for list in all {
            assert_eq!(list.len(), count);
            assert_eq!(values(&list[..3]), ["first", "second", "first"]);
        }

        let gone = cache.remove(&ObjectKey::new("default", "000000")).unwrap();
        assert_eq!(values(&[gone]), ["first"]);
        assert_eq!(cache.by_index(OWNER, "owner").len(), count - 1);
    }

    #[test]
    fn what_no_server_sent_stays_decoded() {
        let cache = Cache::<ConfigMap>::new();
        for index in 0..=DECODED_MAX {
            let mut object = ConfigMap::default();
            object.metadata.name = Some(index.to_string());
            cache.insert(Arc::new(object), None);
        }
        assert_eq!(cache.list().len(), DECODED_MAX + 1);
    }
}
