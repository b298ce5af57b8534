//! Who is granted which role where, kept as roles and bindings change.

use std::collections::HashMap;
use std::sync::Arc;

use machinery::{Object, UserInfo};
use serde_json::Value;

use super::{RoleRef, Rule};
use crate::view::{Changed, Resource, View};

const SOURCES: [Resource; 4] =
    [Resource::CLUSTER_ROLES, Resource::ROLES, Resource::CLUSTER_ROLE_BINDINGS, Resource::ROLE_BINDINGS];

#[derive(Default)]
pub struct Index {
    /// How far each of [`SOURCES`] was read; nothing before the first time.
    read: Option<[Position; 4]>,
    /// By namespace, which is empty for ClusterRoles, and name.
    roles: HashMap<String, HashMap<String, Vec<Rule>>>,
    /// By namespace, which is empty for ClusterRoleBindings.
    grants: HashMap<String, Grants>,
    /// Whom bindings name, by namespace and name.
    bindings: HashMap<(String, String), Vec<Subject>>,
}

#[derive(Clone, Copy)]
struct Position {
    version: u64,
    cursor: u64,
}

/// Grants by subject, those of each in the order of their bindings' names.
#[derive(Default)]
struct Grants {
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
}

/// A role granted to one subject by one binding.
pub struct Grant {
    binding: Arc<str>,
    role_kind: Arc<str>,
    role_name: Arc<str>,
    /// `ClusterRoleBinding "x" of ClusterRole "y" to Group "z"`
    pub description: String,
}

/// Whom a binding names; a service account is a user.
#[derive(Clone, PartialEq)]
enum Subject {
    User(String),
    Group(String),
}

impl Index {
    /// Whether nothing has changed since it was last updated.
    pub fn is_current(&self, view: &dyn View) -> bool {
        let current = |(resource, position): (Resource, &Position)| view.version(resource) == position.version;
        self.read.as_ref().is_some_and(|read| SOURCES.into_iter().zip(read).all(current))
    }

    /// Takes in what has changed; reads everything where the view no longer knows what that is.
    pub fn update(&mut self, view: &dyn View) {
        let followed = self.read.take().and_then(|read| self.follow(view, read));
        let read = followed.unwrap_or_else(|| {
            *self = Self::default();
            SOURCES.map(|resource| self.load(view, resource))
        });
        self.read = Some(read);
    }

    fn follow(&mut self, view: &dyn View, mut read: [Position; 4]) -> Option<[Position; 4]> {
        for (resource, position) in SOURCES.into_iter().zip(&mut read) {
            // Before the changes: those that come meanwhile are looked for again.
            position.version = view.version(resource);
            let (changes, cursor) = view.changes(resource, position.cursor)?;
            changes.into_iter().for_each(|change| self.apply(resource, &change));
            position.cursor = cursor;
        }
        Some(read)
    }

    fn load(&mut self, view: &dyn View, resource: Resource) -> Position {
        let version = view.version(resource);
        let (objects, cursor) = view.snapshot(resource);
        for object in objects {
            self.apply(resource, &Changed { object, deleted: false });
        }
        Position { version, cursor }
    }

    fn apply(&mut self, resource: Resource, Changed { object, deleted }: &Changed) {
        if [Resource::CLUSTER_ROLES, Resource::ROLES].contains(&resource) {
            let roles = self.roles.entry(object.namespace().to_owned()).or_default();
            match deleted {
                true => drop(roles.remove(object.name())),
                false => drop(roles.insert(object.name().to_owned(), Rule::list(object))),
            }
            return;
        }
        let grants = self.grants.entry(object.namespace().to_owned()).or_default();
        let key = (object.namespace().to_owned(), object.name().to_owned());
        for subject in self.bindings.remove(&key).unwrap_or_default() {
            grants.remove(&subject, object.name());
        }
        if !deleted {
            self.bindings.insert(key, grants.add_binding(object));
        }
    }

    /// What is granted to a user in the whole cluster, and in the namespace if one is named.
    pub fn grants<'a>(&'a self, user: &'a UserInfo, namespace: &str) -> impl Iterator<Item = &'a Grant> {
        let local = self.grants.get(namespace).filter(|_| !namespace.is_empty());
        [self.grants.get(""), local].into_iter().flatten().flat_map(|grants| grants.of(user))
    }

    /// What a grant that holds in `namespace` allows; the error is upstream's text for a role that is not there.
    pub fn rules(&self, grant: &Grant, namespace: &str) -> Result<&[Rule], String> {
        let role_ref = RoleRef { kind: &grant.role_kind, name: &grant.role_name };
        let namespace = if role_ref.kind == "Role" { namespace } else { "" };
        let found = self.roles.get(namespace).and_then(|roles| roles.get(role_ref.name));
        found.map(Vec::as_slice).ok_or_else(|| role_ref.not_found())
    }
}

impl Grants {
    fn of<'a>(&'a self, user: &'a UserInfo) -> impl Iterator<Item = &'a Grant> {
        let of_groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        self.users.get(&user.name).into_iter().chain(of_groups).flatten()
    }

    /// Grants what a binding says, and answers to whom.
    fn add_binding(&mut self, binding: &Object) -> Vec<Subject> {
        let role_ref = RoleRef::of(binding);
        let [name, role_kind, role_name] = [binding.name(), role_ref.kind, role_ref.name].map(Arc::from);
        let (kind, shown) = match binding.namespace() {
            "" => ("ClusterRoleBinding", binding.name().to_owned()),
            namespace => ("RoleBinding", format!("{}/{namespace}", binding.name())),
        };
        let mut subjects = Vec::new();
        for value in binding.list(&["subjects"]) {
            let Some((subject, described)) = subject(value, binding.namespace()) else { continue };
            let description = format!("{kind} {shown:?} of {role_kind} {role_name:?} to {described}");
            let (binding, role_kind, role_name) = (Arc::clone(&name), Arc::clone(&role_kind), Arc::clone(&role_name));
            self.add(&subject, Grant { binding, role_kind, role_name, description });
            subjects.push(subject);
        }
        subjects
    }

    fn add(&mut self, subject: &Subject, grant: Grant) {
        let grants = match subject {
            Subject::User(name) => self.users.entry(name.clone()),
            Subject::Group(name) => self.groups.entry(name.clone()),
        };
        let grants = grants.or_default();
        let place = grants.partition_point(|other| other.binding <= grant.binding);
        grants.insert(place, grant);
    }

    fn remove(&mut self, subject: &Subject, binding: &str) {
        let (of_kind, name) = match subject {
            Subject::User(name) => (&mut self.users, name),
            Subject::Group(name) => (&mut self.groups, name),
        };
        let Some(grants) = of_kind.get_mut(name) else { return };
        let from = grants.partition_point(|grant| &*grant.binding < binding);
        let until = grants.partition_point(|grant| &*grant.binding <= binding);
        grants.drain(from..until);
        if grants.is_empty() {
            of_kind.remove(name);
        }
    }
}

/// A subject and how messages name it.
fn subject(value: &Value, namespace: &str) -> Option<(Subject, String)> {
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    let name = text("name");
    match text("kind") {
        "User" => Some((Subject::User(name.to_owned()), format!("User {name:?}"))),
        "Group" => Some((Subject::Group(name.to_owned()), format!("Group {name:?}"))),
        "ServiceAccount" => {
            let own = text("namespace");
            let namespace = Some(if own.is_empty() { namespace } else { own }).filter(|of| !of.is_empty())?;
            let user = Subject::User(format!("system:serviceaccount:{namespace}:{name}"));
            Some((user, format!("ServiceAccount {:?}", format!("{name}/{namespace}"))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::view::testing::Objects;

    /// A role or binding of few names, and whether it is there.
    fn write(objects: &Objects, (resource, name, role, there): (usize, u8, u8, bool)) {
        let resource = SOURCES[resource];
        let namespace = if [Resource::ROLES, Resource::ROLE_BINDINGS].contains(&resource) { "dev" } else { "" };
        let name = format!("n{name}");
        if !there {
            return objects.remove(resource.name, namespace, &name);
        }
        let mut object = Object::default();
        object.set(&["metadata", "name"], name);
        if !namespace.is_empty() {
            object.set(&["metadata", "namespace"], namespace);
        }
        let kind = if role % 2 == 0 { "ClusterRole" } else { "Role" };
        object.set(&["roleRef"], json!({"kind": kind, "name": format!("n{role}")}));
        object.set(
            &["subjects"],
            json!([{"kind": "User", "name": "jane"}, {"kind": "Group", "name": format!("g{role}")}]),
        );
        object.set(&["rules"], json!([{"verbs": [format!("v{role}")], "apiGroups": [""], "resources": ["pods"]}]));
        objects.put(resource.name, object);
    }

    /// All that is granted in `dev`, as one would read it.
    fn shown(index: &Index) -> Vec<String> {
        let jane = UserInfo::new("jane", &["g0", "g1", "g2"]);
        let grants = index.grants(&jane, "dev").map(|grant| {
            let verbs = index.rules(grant, "dev").map(|rules| format!("{rules:?}"));
            format!("{} {verbs:?}", grant.description)
        });
        grants.collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_follows_changes_is_what_is_made_anew(
            writes in proptest::collection::vec((0_usize..4, 0_u8..3, 0_u8..3, any::<bool>()), 1..40),
            forgotten in any::<proptest::sample::Index>(),
        ) {
            let objects = Objects::default();
            let mut followed = Index::default();
            let forgotten = forgotten.index(writes.len());
            for (at, one) in writes.into_iter().enumerate() {
                write(&objects, one);
                if at == forgotten {
                    objects.forget_changes();
                }
                prop_assert!(!followed.is_current(&objects));
                followed.update(&objects);
                prop_assert!(followed.is_current(&objects));
                let mut anew = Index::default();
                anew.update(&objects);
                prop_assert_eq!(shown(&followed), shown(&anew));
            }
        }
    }
}
