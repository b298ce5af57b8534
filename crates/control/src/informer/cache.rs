//! The objects of one kind and their indexes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kube::Resource;
use parking_lot::RwLock;

use crate::ObjectKey;

/// The index by the uid of each owner, which every cache has.
pub const OWNER: &str = "owner";

struct Index<K> {
    values: fn(&K) -> Vec<String>,
    keys: HashMap<String, BTreeSet<ObjectKey>>,
}

struct Contents<K> {
    objects: BTreeMap<ObjectKey, Arc<K>>,
    indexes: HashMap<&'static str, Index<K>>,
}

/// A map that many read and one reflector writes.
pub struct Cache<K>(RwLock<Contents<K>>);

impl<K: Resource> Cache<K> {
    pub fn new() -> Self {
        let owner = Index { values: owner_uids::<K>, keys: HashMap::new() };
        Self(RwLock::new(Contents { objects: BTreeMap::new(), indexes: HashMap::from([(OWNER, owner)]) }))
    }

    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.0.read().objects.get(key).cloned()
    }

    pub fn list(&self) -> Vec<Arc<K>> {
        self.0.read().objects.values().cloned().collect()
    }

    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let contents = self.0.read();
        let from = contents.objects.range(ObjectKey::new(namespace, "")..);
        from.take_while(|(key, _)| &*key.namespace == namespace).map(|(_, object)| object.clone()).collect()
    }

    pub fn by_index(&self, name: &'static str, value: &str) -> Vec<Arc<K>> {
        let contents = self.0.read();
        let keys = contents.indexes.get(name).and_then(|index| index.keys.get(value));
        keys.into_iter().flatten().filter_map(|key| contents.objects.get(key).cloned()).collect()
    }

    pub fn len(&self) -> usize {
        self.0.read().objects.len()
    }

    pub fn add_index(&self, name: &'static str, values: fn(&K) -> Vec<String>) {
        let contents = &mut *self.0.write();
        let objects = &contents.objects;
        contents.indexes.entry(name).or_insert_with(|| {
            let mut index = Index { values, keys: HashMap::new() };
            objects.iter().for_each(|(key, object)| index.insert(key, object));
            index
        });
    }

    /// Answers with the object that was there under the same key.
    pub fn insert(&self, object: Arc<K>) -> Option<Arc<K>> {
        let contents = &mut *self.0.write();
        let key = ObjectKey::of(object.meta());
        let old = contents.objects.insert(key.clone(), object.clone());
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
        let old = contents.objects.remove(key)?;
        contents.indexes.values_mut().for_each(|index| index.remove(key, &old));
        Some(old)
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

fn owner_uids<K: Resource>(object: &K) -> Vec<String> {
    object.meta().owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect()
}
