//! Which kinds are served, looked up by path and by what an object says it is.

use std::collections::{HashMap, HashSet};
use std::ptr;

use arc_swap::ArcSwap;
use kinds::KindDef;
use kinds::custom::Family;
use machinery::{GroupVersionKind, Object};

use crate::convert::{from_storage, to_storage};

type Triple = (&'static str, &'static str, &'static str);

fn triple(kind: &KindDef) -> Triple {
    (kind.group, kind.version, kind.resource)
}

/// The kinds that there are, most of them served. Those that are built in never change and are found without looking
/// further; custom ones come and go in one piece.
pub struct KindTable {
    built_in: Kinds,
    unserved: HashSet<Triple>,
    custom: ArcSwap<CustomKinds>,
}

#[derive(Default)]
struct Kinds {
    all: Vec<&'static KindDef>,
    by_resource: HashMap<Triple, &'static KindDef>,
    by_kind: HashMap<Triple, &'static KindDef>,
    /// Whatever the version.
    resources: HashSet<(&'static str, &'static str)>,
}

#[derive(Default)]
struct CustomKinds {
    kinds: Kinds,
    /// Definitions that go: nothing new is made of their kinds.
    terminating: HashSet<&'static str>,
    /// Grows with every change.
    generation: u64,
}

impl Kinds {
    fn new(kinds: Vec<&'static KindDef>) -> Self {
        Self {
            by_resource: kinds.iter().map(|kind| (triple(kind), *kind)).collect(),
            by_kind: kinds.iter().map(|kind| ((kind.group, kind.version, kind.kind), *kind)).collect(),
            resources: kinds.iter().map(|kind| (kind.group, kind.resource)).collect(),
            all: kinds,
        }
    }
}

impl KindTable {
    /// Those that are not served are there for the server alone.
    pub fn new(served: &[&'static KindDef], unserved: &[&'static KindDef]) -> Self {
        Self {
            built_in: Kinds::new([served, unserved].concat()),
            unserved: unserved.iter().map(|kind| triple(kind)).collect(),
            custom: ArcSwap::default(),
        }
    }

    /// The kinds that have paths, in the order they were given.
    pub fn served(&self) -> impl Iterator<Item = &'static KindDef> {
        self.iter().filter(|kind| self.is_served(kind))
    }

    /// Whether the API has paths for the kind.
    pub fn is_served(&self, kind: &KindDef) -> bool {
        !self.unserved.contains(&triple(kind))
    }

    /// The kind of a resource, served or not.
    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<&'static KindDef> {
        let triple = (group, version, resource);
        let built_in = self.built_in.by_resource.get(&triple).copied();
        built_in.or_else(|| self.custom.load().kinds.by_resource.get(&triple).copied())
    }

    pub fn by_gvk(&self, gvk: &GroupVersionKind) -> Option<&'static KindDef> {
        let triple = (gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str());
        let built_in = self.built_in.by_kind.get(&triple).copied();
        built_in.or_else(|| self.custom.load().kinds.by_kind.get(&triple).copied())
    }

    /// All kinds, those that are built in first, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &'static KindDef> {
        let custom = self.custom.load().kinds.all.clone();
        self.built_in.all.iter().copied().chain(custom)
    }

    /// The other versions under which objects of `kind` are served.
    pub fn equivalents(&self, kind: &'static KindDef) -> impl Iterator<Item = &'static KindDef> {
        let storage = self.storage(kind);
        let related = kind.custom.map_or(&self.built_in.all, |custom| &custom.family().served);
        let is_same = move |other: &&'static KindDef| !ptr::eq(*other, kind) && ptr::eq(self.storage(other), storage);
        related.iter().copied().filter(|other| self.is_served(other)).filter(is_same)
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
        if let Some(custom) = kind.custom {
            return custom.family().storage;
        }
        let Some(conversion) = &kind.conversion else { return kind };
        let (group, version) = conversion.storage;
        self.find(group, version, kind.resource).expect("the stored version of a kind is there")
    }

    /// Changes whenever the kinds do.
    pub fn generation(&self) -> u64 {
        self.custom.load().generation
    }

    /// Whether objects of such a name are built in, so that no definition can serve them.
    pub(crate) fn is_built_in(&self, group: &str, resource: &str) -> bool {
        self.built_in.resources.contains(&(group, resource))
    }

    /// Whether nothing new is to be made of a kind, as its definition goes.
    pub(crate) fn is_terminating(&self, kind: &KindDef) -> bool {
        kind.custom.is_some_and(|custom| self.custom.load().terminating.contains(custom.family().definition))
    }

    /// Serves these families, and no other custom kinds; the flag marks those that go.
    pub(crate) fn serve(&self, families: impl Iterator<Item = (&'static Family, bool)>) {
        let (mut kinds, mut terminating) = (Vec::new(), HashSet::new());
        for (family, going) in families {
            kinds.extend(&family.served);
            terminating.extend(going.then_some(family.definition));
        }
        let generation = self.generation() + 1;
        self.custom.store(CustomKinds { kinds: Kinds::new(kinds), terminating, generation }.into());
    }
}
