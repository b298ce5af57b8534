//! Who owns whom, from the metadata of all objects. (upstream: pkg/controller/garbagecollector/graph_builder.go)

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

pub const FOREGROUND: &str = "foregroundDeletion";
pub const ORPHAN: &str = "orphan";

pub type Uid = Arc<str>;

/// Where to find an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub group: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub uid: Uid,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub id: Identity,
    pub owners: Vec<OwnerReference>,
    pub dependents: BTreeSet<Uid>,
    pub deleting: bool,
    /// Deleted in the foreground: it goes when its dependents are gone.
    pub foreground: bool,
    /// Deleted with its dependents to be orphaned.
    pub orphaning: bool,
    /// Known only from references to it; nobody has seen it yet.
    pub unseen: bool,
}

/// What a change asks to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// Perhaps the object must go, or can go at last.
    Collect(Uid),
    /// The object's dependents must be let go.
    Orphan(Uid),
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Collect(uid) => write!(f, "collect {uid}"),
            Self::Orphan(uid) => write!(f, "orphan the dependents of {uid}"),
        }
    }
}

#[derive(Default)]
pub struct Graph(HashMap<Uid, Node>);

impl Graph {
    pub fn node(&self, uid: &str) -> Option<&Node> {
        self.0.get(uid)
    }

    /// An object was added or changed.
    pub fn observe(&mut self, id: Identity, meta: &ObjectMeta) -> Vec<Work> {
        let uid = id.uid.clone();
        let owners = meta.owner_references.clone().unwrap_or_default();
        let mut work = Vec::new();
        let (old_owners, was) = match self.0.get(&uid) {
            Some(node) if !node.unseen => (node.owners.clone(), Some((node.foreground, node.orphaning))),
            _ => (Vec::new(), None),
        };
        self.link(&id, &old_owners, &owners, &mut work);
        let deleting = meta.deletion_timestamp.is_some();
        let has = |finalizer| deleting && control::meta::has_finalizer(meta, finalizer);
        let node = self.0.entry(uid.clone()).or_insert_with(|| blank(id.clone(), false));
        (node.id, node.owners, node.deleting, node.unseen) = (id, owners, deleting, false);
        (node.foreground, node.orphaning) = (has(FOREGROUND), has(ORPHAN));
        let (was_foreground, was_orphaning) = was.unwrap_or_default();
        if node.orphaning && !was_orphaning {
            work.push(Work::Orphan(uid.clone()));
        }
        if node.foreground && !was_foreground {
            work.extend(node.dependents.iter().cloned().map(Work::Collect));
            work.push(Work::Collect(uid));
        }
        work
    }

    /// Brings the owners' lists of dependents up to date.
    fn link(&mut self, id: &Identity, old: &[OwnerReference], new: &[OwnerReference], work: &mut Vec<Work>) {
        for owner in new {
            let owner_uid: Uid = owner.uid.as_str().into();
            let node = self.0.entry(owner_uid.clone()).or_insert_with(|| {
                // An owner that nobody ever saw may not exist: ask.
                work.push(Work::Collect(owner_uid));
                blank(unseen_owner(owner, &id.namespace), true)
            });
            node.dependents.insert(id.uid.clone());
        }
        let blocks = |owners: &[OwnerReference], uid: &str| {
            owners.iter().any(|owner| owner.uid == uid && owner.block_owner_deletion == Some(true))
        };
        for owner in old {
            let kept = new.iter().any(|kept| kept.uid == owner.uid);
            let Some(node) = self.0.get_mut(owner.uid.as_str()) else { continue };
            if !kept {
                node.dependents.remove(&id.uid);
            }
            if node.foreground && blocks(old, &owner.uid) && !blocks(new, &owner.uid) {
                work.push(Work::Collect(node.id.uid.clone()));
            }
        }
    }

    /// An object is gone, or never existed.
    pub fn gone(&mut self, uid: &str) -> Vec<Work> {
        let Some(node) = self.0.remove(uid) else { return Vec::new() };
        let mut work: Vec<Work> = node.dependents.into_iter().map(Work::Collect).collect();
        for owner in &node.owners {
            let Some(owner) = self.0.get_mut(owner.uid.as_str()) else { continue };
            owner.dependents.remove(uid);
            if owner.foreground {
                work.push(Work::Collect(owner.id.uid.clone()));
            }
            if owner.unseen && owner.dependents.is_empty() {
                let empty = owner.id.uid.clone();
                self.0.remove(&empty);
            }
        }
        work
    }

    /// The dependents of `uid`.
    pub fn dependents(&self, uid: &str) -> Vec<&Node> {
        let Some(node) = self.0.get(uid) else { return Vec::new() };
        node.dependents.iter().filter_map(|dependent| self.0.get(dependent)).collect()
    }
}

fn blank(id: Identity, unseen: bool) -> Node {
    Node {
        id,
        owners: Vec::new(),
        dependents: BTreeSet::new(),
        deleting: false,
        foreground: false,
        orphaning: false,
        unseen,
    }
}

fn unseen_owner(owner: &OwnerReference, namespace: &str) -> Identity {
    Identity {
        group: control::meta::group_of(&owner.api_version).to_owned(),
        kind: owner.kind.clone(),
        namespace: namespace.to_owned(),
        name: owner.name.clone(),
        uid: owner.uid.as_str().into(),
    }
}
