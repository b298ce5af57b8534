//! The RBAC authorizer: an index of who is granted which rules where, made anew when a role or binding changes.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use machinery::{Object, UserInfo};
use parking_lot::Mutex;
use serde_json::Value;

use super::rules::Rule;
use super::{Attributes, Authorizer, Decision};
use crate::view::{Resource, View};

const SOURCES: [Resource; 4] =
    [Resource::ROLES, Resource::CLUSTER_ROLES, Resource::ROLE_BINDINGS, Resource::CLUSTER_ROLE_BINDINGS];

/// Decides by Roles, ClusterRoles and their bindings.
pub struct Rbac {
    view: Arc<dyn View>,
    index: ArcSwap<Index>,
    rebuild: Mutex<()>,
}

/// Rules granted to one subject by one binding.
#[derive(Clone)]
struct Grant {
    rules: Result<Arc<Vec<Rule>>, String>,
    /// `ClusterRoleBinding "x" of ClusterRole "y" to Group "z"`
    description: Arc<str>,
}

/// Whom a binding names; a service account is a user.
enum Subject {
    User(String),
    Group(String),
}

#[derive(Default)]
struct Grants {
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
}

impl Grants {
    fn add(&mut self, subject: Subject, grant: Grant) {
        let grants = match subject {
            Subject::User(name) => self.users.entry(name),
            Subject::Group(name) => self.groups.entry(name),
        };
        grants.or_default().push(grant);
    }

    fn of<'a>(&'a self, user: &'a UserInfo) -> impl Iterator<Item = &'a Grant> {
        let of_groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        self.users.get(&user.name).into_iter().chain(of_groups).flatten()
    }
}

#[derive(Default)]
struct Index {
    /// Of [`SOURCES`]; nothing before the first build.
    versions: Option<[u64; 4]>,
    cluster: Grants,
    namespaces: HashMap<String, Grants>,
}

/// What a user may do, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct HeldRules {
    pub rules: Vec<Rule>,
    /// Bindings whose role does not exist.
    pub errors: Vec<String>,
}

impl Rbac {
    pub fn new(view: Arc<dyn View>) -> Self {
        Self { view, index: ArcSwap::default(), rebuild: Mutex::new(()) }
    }

    /// All rules that hold for the user: those of ClusterRoleBindings, and those of RoleBindings of the
    /// namespace if one is named.
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> HeldRules {
        let mut held = HeldRules::default();
        for grant in self.current().grants(user, namespace) {
            match &grant.rules {
                Ok(rules) => held.rules.extend(rules.iter().cloned()),
                Err(error) => held.errors.push(error.clone()),
            }
        }
        held
    }

    /// The rules of the role that a binding names; the error is upstream's text for a role that is not there.
    pub fn role_rules(&self, role_ref: &RoleRef<'_>, namespace: &str) -> Result<Vec<Rule>, String> {
        let (resource, namespace) = match role_ref.kind {
            "Role" => (Resource::ROLES, namespace),
            _ => (Resource::CLUSTER_ROLES, ""),
        };
        let role = self.view.get(resource, namespace, role_ref.name);
        role.map(|role| Rule::list(&role)).ok_or_else(|| role_ref.not_found())
    }

    fn current(&self) -> Arc<Index> {
        let index = self.index.load_full();
        if index.versions == Some(self.versions()) {
            return index;
        }
        let _only_one_builds = self.rebuild.lock();
        let versions = self.versions();
        let index = self.index.load_full();
        if index.versions == Some(versions) {
            return index;
        }
        let index = Arc::new(Index::build(&*self.view, versions));
        self.index.store(Arc::clone(&index));
        index
    }

    fn versions(&self) -> [u64; 4] {
        SOURCES.map(|resource| self.view.version(resource))
    }
}

impl Authorizer for Rbac {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        let index = self.current();
        let mut errors = Vec::new();
        for grant in index.grants(&attributes.user, &attributes.namespace) {
            match &grant.rules {
                Ok(rules) if rules.iter().any(|rule| rule.allows(attributes)) => {
                    return Decision::Allow(format!("RBAC: allowed by {}", grant.description));
                }
                Ok(_) => {}
                Err(error) => errors.push(error.clone()),
            }
        }
        Decision::NoOpinion(aggregate(&errors).map_or_else(String::new, |errors| format!("RBAC: {errors}")))
    }
}

/// Errors joined as upstream joins them, each once; nothing for none.
pub(crate) fn aggregate(errors: &[String]) -> Option<String> {
    let mut unique: Vec<&str> = Vec::new();
    for error in errors {
        if !unique.contains(&error.as_str()) {
            unique.push(error);
        }
    }
    match unique.as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        several => Some(format!("[{}]", several.join(", "))),
    }
}

/// A binding's `roleRef`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleRef<'a> {
    pub kind: &'a str,
    pub name: &'a str,
}

impl<'a> RoleRef<'a> {
    pub fn of(binding: &'a Object) -> Self {
        Self { kind: binding.str(&["roleRef", "kind"]), name: binding.str(&["roleRef", "name"]) }
    }

    /// `roles` or `clusterroles`.
    pub fn resource(&self) -> &'static str {
        if self.kind == "Role" { "roles" } else { "clusterroles" }
    }

    fn not_found(&self) -> String {
        let singular = if self.kind == "Role" { "role" } else { "clusterrole" };
        format!("{singular}.rbac.authorization.k8s.io {:?} not found", self.name)
    }
}

impl Index {
    fn build(view: &dyn View, versions: [u64; 4]) -> Self {
        let roles = Roles::read(view);
        let mut index = Self { versions: Some(versions), ..Self::default() };
        for binding in view.list(Resource::CLUSTER_ROLE_BINDINGS, "") {
            let name = format!("{:?}", binding.name());
            add(&mut index.cluster, &binding, "ClusterRoleBinding", &name, &roles);
        }
        for binding in view.list(Resource::ROLE_BINDINGS, "") {
            let name = format!("{:?}", format!("{}/{}", binding.name(), binding.namespace()));
            let grants = index.namespaces.entry(binding.namespace().to_owned()).or_default();
            add(grants, &binding, "RoleBinding", &name, &roles);
        }
        index
    }

    fn grants<'a>(&'a self, user: &'a UserInfo, namespace: &str) -> impl Iterator<Item = &'a Grant> {
        let local = self.namespaces.get(namespace).filter(|_| !namespace.is_empty());
        [Some(&self.cluster), local].into_iter().flatten().flat_map(|grants| grants.of(user))
    }
}

/// The rules of all roles, shared by the bindings that name them.
struct Roles {
    cluster: HashMap<String, Arc<Vec<Rule>>>,
    local: HashMap<(String, String), Arc<Vec<Rule>>>,
}

impl Roles {
    fn read(view: &dyn View) -> Self {
        let rules = |role: &Object| Arc::new(Rule::list(role));
        let cluster = view.list(Resource::CLUSTER_ROLES, "");
        let local = view.list(Resource::ROLES, "");
        Self {
            cluster: cluster.iter().map(|role| (role.name().to_owned(), rules(role))).collect(),
            local: local
                .iter()
                .map(|role| ((role.namespace().to_owned(), role.name().to_owned()), rules(role)))
                .collect(),
        }
    }

    fn find(&self, role_ref: &RoleRef<'_>, namespace: &str) -> Result<Arc<Vec<Rule>>, String> {
        let found = match role_ref.kind {
            "Role" => self.local.get(&(namespace.to_owned(), role_ref.name.to_owned())),
            _ => self.cluster.get(role_ref.name),
        };
        found.cloned().ok_or_else(|| role_ref.not_found())
    }
}

fn add(grants: &mut Grants, binding: &Object, kind: &str, quoted_name: &str, roles: &Roles) {
    let role_ref = RoleRef::of(binding);
    let rules = roles.find(&role_ref, binding.namespace());
    for value in binding.list(&["subjects"]) {
        let Some((subject, described)) = subject(value, binding.namespace()) else { continue };
        let description = format!("{kind} {quoted_name} of {} {:?} to {described}", role_ref.kind, role_ref.name);
        let grant = Grant { rules: rules.clone(), description: description.into() };
        grants.add(subject, grant);
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
            let namespace = if own.is_empty() { namespace } else { own };
            let user = Subject::User(format!("system:serviceaccount:{namespace}:{name}"));
            Some((user, format!("ServiceAccount {:?}", format!("{name}/{namespace}"))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::testing::Objects;

    fn cluster() -> Objects {
        let objects = Objects::default();
        objects.apply(
            r#"
            clusterroles pods-reader rules=[{"verbs":["get","list"],"apiGroups":[""],"resources":["pods"]}]
            clusterroles health rules=[{"verbs":["get"],"nonResourceURLs":["/healthz"]}]
            roles/dev edit-maps rules=[{"verbs":["update"],"apiGroups":[""],"resources":["configmaps"]}]
            clusterrolebindings readers roleRef={"kind":"ClusterRole","name":"pods-reader"} subjects=[{"kind":"Group","name":"readers"}]
            clusterrolebindings probers roleRef={"kind":"ClusterRole","name":"health"} subjects=[{"kind":"User","name":"prober"}]
            rolebindings/dev read roleRef={"kind":"ClusterRole","name":"pods-reader"} subjects=[{"kind":"User","name":"jane"}]
            rolebindings/dev edit roleRef={"kind":"Role","name":"edit-maps"} subjects=[{"kind":"ServiceAccount","name":"bot"}]
            rolebindings/dev lost roleRef={"kind":"Role","name":"gone"} subjects=[{"kind":"User","name":"jim"}]
            "#,
        );
        objects
    }

    fn ask(rbac: &Rbac, user: &str, groups: &[&str], question: &str) -> Decision {
        let words: Vec<&str> = question.split(' ').collect();
        let user = UserInfo::new(user, groups);
        let verb = words[0].to_owned();
        if words[1].starts_with('/') {
            return rbac.authorize(&Attributes { user, verb, path: words[1].to_owned(), ..Attributes::default() });
        }
        let namespace = words.get(2).copied().unwrap_or_default().to_owned();
        let resource = words[1].to_owned();
        rbac.authorize(&Attributes { user, verb, resource, namespace, is_resource: true, ..Attributes::default() })
    }

    #[test]
    fn bindings_decide() {
        let rbac = Rbac::new(Arc::new(cluster()));
        let robot = "system:serviceaccount:dev:bot";
        for (user, groups, question, expected) in [
            ("ann", &["readers"][..], "list pods", true),
            ("ann", &["readers"], "list pods any", true),
            ("ann", &["readers"], "delete pods any", false),
            ("jane", &[], "list pods dev", true),
            ("jane", &[], "list pods prod", false),
            ("jane", &[], "list pods", false),
            (robot, &[], "update configmaps dev", true),
            ("system:serviceaccount:prod:bot", &[], "update configmaps dev", false),
            ("bot", &[], "update configmaps dev", false),
            ("prober", &[], "get /healthz", true),
            ("prober", &[], "get /metrics", false),
        ] {
            assert_eq!(ask(&rbac, user, groups, question).allowed(), expected, "{user} {question}");
        }
    }

    #[test]
    fn reasons_name_the_binding_or_the_role_that_is_missing() {
        let rbac = Rbac::new(Arc::new(cluster()));
        assert_eq!(
            ask(&rbac, "ann", &["readers"], "list pods").reason(),
            r#"RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "pods-reader" to Group "readers""#
        );
        assert_eq!(
            ask(&rbac, "jane", &[], "list pods dev").reason(),
            r#"RBAC: allowed by RoleBinding "read/dev" of ClusterRole "pods-reader" to User "jane""#
        );
        assert_eq!(
            ask(&rbac, "jim", &[], "list pods dev").reason(),
            r#"RBAC: role.rbac.authorization.k8s.io "gone" not found"#
        );
    }

    #[test]
    fn a_change_is_seen_at_once() {
        let objects = Arc::new(cluster());
        let rbac = Rbac::new(objects.clone());
        assert!(!ask(&rbac, "eve", &[], "list pods").allowed());
        objects.apply(
            r#"clusterrolebindings eve roleRef={"kind":"ClusterRole","name":"pods-reader"} subjects=[{"kind":"User","name":"eve"}]"#,
        );
        assert!(ask(&rbac, "eve", &[], "list pods").allowed());
    }
}
