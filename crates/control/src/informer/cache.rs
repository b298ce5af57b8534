//! The objects of one kind and their indexes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::Watched;
use crate::ObjectKey;

/// The index by the uid of each owner, which every cache has.
pub const OWNER: &str = "owner";

/// The objects that changed last stay decoded, so many that their JSON is no longer than this; others are decoded
/// whenever they are asked for. A decoded pod takes several times what its JSON takes, which is shared with the
/// server's cache in the same process.
const DECODED_BYTES: usize = 8 << 20;

/// An object as it came.
struct Held<K> {
    /// None of objects that no server sent: they stay decoded.
    json: Option<Bytes>,
    decoded: Option<Arc<K>>,
    /// Counts insertions.
    turn: u64,
}

struct Index<K> {
    values: fn(&K) -> Vec<String>,
    keys: HashMap<String, BTreeSet<ObjectKey>>,
}

struct Contents<K> {
    objects: BTreeMap<ObjectKey, Held<K>>,
    /// By turn, which objects that have JSON are decoded.
    decoded: BTreeMap<u64, ObjectKey>,
    /// The length of their JSON.
    decoded_bytes: usize,
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
    fn length(&self) -> usize {
        self.json.as_ref().map_or(0, Bytes::len)
    }

    fn share(&self) -> Shared<K> {
        match (&self.decoded, &self.json) {
            (Some(object), _) => Shared::Decoded(object.clone()),
            (None, Some(json)) => Shared::Json(json.clone()),
            (None, None) => unreachable!("what has no JSON stays decoded"),
        }
    }
}

/// What is taken out of the cache under its lock, to be decoded away from it.
enum Shared<K> {
    Decoded(Arc<K>),
    Json(Bytes),
}

impl<K: Watched> Shared<K> {
    fn object(self) -> Arc<K> {
        match self {
            Self::Decoded(object) => object,
            Self::Json(json) => Arc::new(decode(&json).expect("JSON is kept once it was decoded")),
        }
    }
}

fn objects<K: Watched>(shared: Vec<Shared<K>>) -> Vec<Arc<K>> {
    shared.into_iter().map(Shared::object).collect()
}

impl<K: Watched> Cache<K> {
    pub fn new() -> Self {
        let owner = Index { values: owner_uids::<K>, keys: HashMap::new() };
        Self(RwLock::new(Contents {
            objects: BTreeMap::new(),
            decoded: BTreeMap::new(),
            decoded_bytes: 0,
            turn: 0,
            indexes: HashMap::from([(OWNER, owner)]),
        }))
    }

    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        let shared = self.0.read().objects.get(key).map(Held::share);
        shared.map(Shared::object)
    }

    pub fn keys(&self) -> Vec<ObjectKey> {
        self.0.read().objects.keys().cloned().collect()
    }

    pub fn list(&self) -> Vec<Arc<K>> {
        let shared = self.0.read().objects.values().map(Held::share).collect();
        objects(shared)
    }

    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let contents = self.0.read();
        let from = contents.objects.range(ObjectKey::new(namespace, "")..);
        let shared = from.take_while(|(key, _)| &*key.namespace == namespace).map(|(_, held)| held.share()).collect();
        drop(contents);
        objects(shared)
    }

    pub fn count_in_namespace(&self, namespace: &str) -> usize {
        let contents = self.0.read();
        let from = contents.objects.range(ObjectKey::new(namespace, "")..);
        from.take_while(|(key, _)| &*key.namespace == namespace).count()
    }

    pub fn by_index(&self, name: &'static str, value: &str) -> Vec<Arc<K>> {
        let contents = self.0.read();
        let keys = contents.indexes.get(name).and_then(|index| index.keys.get(value));
        let held = keys.into_iter().flatten().filter_map(|key| contents.objects.get(key));
        let shared = held.map(Held::share).collect();
        drop(contents);
        objects(shared)
    }

    pub fn len(&self) -> usize {
        self.0.read().objects.len()
    }

    pub fn add_index(&self, name: &'static str, values: fn(&K) -> Vec<String>) {
        let contents = &mut *self.0.write();
        let objects = &contents.objects;
        contents.indexes.entry(name).or_insert_with(|| {
            let mut index = Index { values, keys: HashMap::new() };
            objects.iter().for_each(|(key, held)| index.insert(key, &held.share().object()));
            index
        });
    }

    /// Answers with the object that was there under the same key.
    pub fn insert(&self, object: Arc<K>, json: Option<Bytes>) -> Option<Arc<K>> {
        let contents = &mut *self.0.write();
        let key = ObjectKey::of(object.meta());
        let old = contents.put(key.clone(), object.clone(), json).map(|held| held.share().object());
        for index in contents.indexes.values_mut() {
            if let Some(old) = &old {
                index.remove(&key, old);
            }
            index.insert(&key, &object);
        }
        old
    }

    pub fn remove(&self, key: &ObjectKey) -> Option<Arc<K>> {
        let contents = &mut *self.0.write();
        let held = contents.objects.remove(key)?;
        contents.forget(&held);
        let old = held.share().object();
        contents.indexes.values_mut().for_each(|index| index.remove(key, &old));
        Some(old)
    }
}

impl<K: Watched> Contents<K> {
    /// Takes an object in, and keeps the JSON alone of those that changed longest ago.
    fn put(&mut self, key: ObjectKey, object: Arc<K>, json: Option<Bytes>) -> Option<Held<K>> {
        self.turn += 1;
        let held = Held { json, decoded: Some(object), turn: self.turn };
        if held.json.is_some() {
            self.decoded.insert(self.turn, key.clone());
            self.decoded_bytes += held.length();
        }
        let old = self.objects.insert(key, held);
        if let Some(old) = &old {
            self.forget(old);
        }
        while self.decoded_bytes > DECODED_BYTES {
            let Some((_, key)) = self.decoded.pop_first() else { break };
            let Some(oldest) = self.objects.get_mut(&key) else { continue };
            oldest.decoded = None;
            self.decoded_bytes -= oldest.length();
        }
        old
    }

    /// A state is no longer that of an object.
    fn forget(&mut self, held: &Held<K>) {
        if self.decoded.remove(&held.turn).is_some() {
            self.decoded_bytes -= held.length();
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

    /// So long that the cache keeps four of them decoded.
    fn insert(cache: &Cache<ConfigMap>, index: usize, value: &str) -> Option<Arc<ConfigMap>> {
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "owner"});
        let metadata = json!({"name": index.to_string(), "namespace": "default", "ownerReferences": [owner]});
        let data = json!({"value": value, "filler": "x".repeat(DECODED_BYTES / 5)});
        let json = json!({"metadata": metadata, "data": data}).to_string();
        cache.insert(Arc::new(decode(json.as_bytes()).unwrap()), Some(Bytes::from(json)))
    }

    fn values(objects: &[Arc<ConfigMap>]) -> Vec<&str> {
        objects.iter().map(|object| object.data.as_ref().unwrap()["value"].as_str()).collect()
    }

    fn decoded(cache: &Cache<ConfigMap>) -> Vec<String> {
        let contents = cache.0.read();
        let decoded = contents.objects.iter().filter(|(_, held)| held.decoded.is_some());
        decoded.map(|(key, _)| key.name.to_string()).collect()
    }

    #[test]
    fn objects_are_the_same_whether_they_are_decoded_or_not() {
        let cache = Cache::<ConfigMap>::new();
        for index in 0..6 {
            assert!(insert(&cache, index, "first").is_none());
        }
        assert_eq!(decoded(&cache), ["2", "3", "4", "5"]);

        let old = insert(&cache, 1, "second").unwrap();
        assert_eq!(values(&[old]), ["first"]);
        assert_eq!(decoded(&cache), ["1", "3", "4", "5"]);
        for list in [cache.list(), cache.in_namespace("default"), cache.by_index(OWNER, "owner")] {
            assert_eq!(values(&list), ["first", "second", "first", "first", "first", "first"]);
        }

        for gone in ["0", "3"] {
            assert_eq!(values(&[cache.remove(&ObjectKey::new("default", gone)).unwrap()]), ["first"]);
        }
        assert_eq!(cache.by_index(OWNER, "owner").len(), 4);
        insert(&cache, 6, "first");
        assert_eq!(decoded(&cache), ["1", "4", "5", "6"]);
    }

    #[test]
    fn an_object_that_changes_often_does_not_displace_others() {
        let cache = Cache::<ConfigMap>::new();
        for index in [0, 1, 1, 1, 1, 1, 1, 2, 3] {
            insert(&cache, index, "any");
        }
        assert_eq!(decoded(&cache), ["0", "1", "2", "3"]);
        assert_eq!(cache.0.read().decoded.len(), 4);
    }

    #[test]
    fn what_no_server_sent_stays_decoded() {
        let cache = Cache::<ConfigMap>::new();
        let mut object = ConfigMap::default();
        object.metadata.name = Some("mine".to_owned());
        cache.insert(Arc::new(object), None);
        for index in 0..6 {
            insert(&cache, index, "any");
        }
        assert!(cache.get(&ObjectKey::new("", "mine")).is_some_and(|object| object.data.is_none()));
    }
}
