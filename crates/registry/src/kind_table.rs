//! Which kinds are served, looked up by path and by what an object says it is.

use std::collections::HashMap;
use std::ptr;

use kinds::KindDef;
use machinery::{GroupVersionKind, Object};

use crate::convert::{from_storage, to_storage};

type Triple = (&'static str, &'static str, &'static str);

/// The served kinds; built once at start-up.
pub struct KindTable {
    all: Vec<&'static KindDef>,
    by_resource: HashMap<Triple, &'static KindDef>,
    by_kind: HashMap<Triple, &'static KindDef>,
}

impl KindTable {
    pub fn new(kinds: &[&'static KindDef]) -> Self {
        let by_resource = kinds.iter().map(|kind| ((kind.group, kind.version, kind.resource), *kind)).collect();
        let by_kind = kinds.iter().map(|kind| ((kind.group, kind.version, kind.kind), *kind)).collect();
        Self { all: kinds.to_vec(), by_resource, by_kind }
    }

    /// The kind that a path names.
    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<&'static KindDef> {
        self.by_resource.get(&(group, version, resource)).copied()
    }

    pub fn by_gvk(&self, gvk: &GroupVersionKind) -> Option<&'static KindDef> {
        self.by_kind.get(&(gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str())).copied()
    }

    /// All kinds in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &'static KindDef> {
        self.all.iter().copied()
    }

    /// The other versions under which objects of `kind` are served.
    pub fn equivalents(&self, kind: &'static KindDef) -> impl Iterator<Item = &'static KindDef> {
        let storage = self.storage(kind);
        self.iter().filter(move |other| !ptr::eq(*other, kind) && ptr::eq(self.storage(other), storage))
    }

    /// An object of `from` as `to`, which is another version of the same.
    pub fn convert(&self, from: &'static KindDef, to: &'static KindDef, object: Object) -> Object {
        if ptr::eq(from, to) {
            return object;
        }
        from_storage(to, to_storage(from, self.storage(from), object))
    }

    /// The kind in whose version objects of `kind` are stored; often `kind` itself.
    pub fn storage(&self, kind: &'static KindDef) -> &'static KindDef {
        let Some(conversion) = &kind.conversion else { return kind };
        let (group, version) = conversion.storage;
        self.find(group, version, kind.resource).expect("the stored version of a kind is served")
    }
}
