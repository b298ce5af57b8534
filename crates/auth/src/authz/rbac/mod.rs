//! The RBAC authorizer.

mod index;

use std::sync::Arc;

use machinery::{Object, UserInfo};
use parking_lot::{RwLock, RwLockReadGuard};

use super::rules::Rule;
use super::{Attributes, Authorizer, Decision};
use crate::view::{Resource, View};
use index::Index;

/// Decides by Roles, ClusterRoles and their bindings.
pub struct Rbac {
    view: Arc<dyn View>,
    index: RwLock<Index>,
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
        Self { view, index: RwLock::default() }
    }

    /// All rules that hold for the user: those of ClusterRoleBindings, and those of RoleBindings of the
    /// namespace if one is named.
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> HeldRules {
        let mut held = HeldRules::default();
        let index = self.current();
        for grant in index.grants(user, namespace) {
            match index.rules(grant, namespace) {
                Ok(rules) => held.rules.extend(rules.iter().cloned()),
                Err(error) => held.errors.push(error),
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

    /// The index, with all that has changed until now.
    fn current(&self) -> RwLockReadGuard<'_, Index> {
        let index = self.index.read();
        if index.is_current(&*self.view) {
            return index;
        }
        drop(index);
        let mut index = self.index.write();
        index.update(&*self.view);
        parking_lot::RwLockWriteGuard::downgrade(index)
    }
}

impl Authorizer for Rbac {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        let index = self.current();
        let mut errors = Vec::new();
        for grant in index.grants(&attributes.user, &attributes.namespace) {
            match index.rules(grant, &attributes.namespace) {
                Ok(rules) if rules.iter().any(|rule| rule.allows(attributes)) => {
                    return Decision::Allow(format!("RBAC: allowed by {}", grant.description));
                }
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
        }
        Decision::NoOpinion(aggregate(&errors).map_or_else(String::new, |errors| format!("RBAC: {errors}")))
    }
}

/// Errors joined as upstream joins them, each once; nothing for none.
pub fn aggregate(errors: &[String]) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::testing::of_resource;
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
            clusterroles admin rules=[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]},{"verbs":["*"],"nonResourceURLs":["*"]}]
            clusterroles scaler rules=[{"verbs":["update"],"apiGroups":["*"],"resources":["*/scale"]},{"verbs":["get"],"apiGroups":["apps"],"resources":["deployments/status"]}]
            clusterroles one-node rules=[{"verbs":["get","list"],"apiGroups":[""],"resources":["nodes"],"resourceNames":["n1"]}]
            clusterrolebindings root roleRef={"kind":"ClusterRole","name":"admin"} subjects=[{"kind":"User","name":"root"}]
            clusterrolebindings scalers roleRef={"kind":"ClusterRole","name":"scaler"} subjects=[{"kind":"ServiceAccount","name":"scaler","namespace":"ops"},{"kind":"ServiceAccount","name":"nowhere"}]
            clusterrolebindings one roleRef={"kind":"ClusterRole","name":"one-node"} subjects=[{"kind":"User","name":"ned"}]
            rolebindings/dev all roleRef={"kind":"ClusterRole","name":"admin"} subjects=[{"kind":"Group","name":"system:serviceaccounts:ops"},{"kind":"User","name":"dora"}]
            rolebindings/dev borrowed roleRef={"kind":"Role","name":"edit-maps"} subjects=[{"kind":"ServiceAccount","name":"guest","namespace":"prod"}]
            "#,
        );
        objects
    }

    /// `"list pods dev"`, `"get nodes =n1"`, `"update deployments.apps/scale dev"`, `"get /healthz"`
    fn ask(rbac: &Rbac, user: &str, groups: &[&str], question: &str) -> Decision {
        let words: Vec<&str> = question.split(' ').collect();
        let user = UserInfo::new(user, groups);
        let verb = words[0].to_owned();
        if words[1].starts_with('/') {
            return rbac.authorize(&Attributes { user, verb, path: words[1].to_owned(), ..Attributes::default() });
        }
        let (namespace, name) = words.get(2).map_or(("", ""), |place| place.split_once('=').unwrap_or((place, "")));
        let [namespace, name] = [namespace, name].map(str::to_owned);
        rbac.authorize(&Attributes { user, verb, namespace, name, ..of_resource(words[1]) })
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
            ("prober", &[], "post /healthz", false),
            ("readers", &[], "list pods", false),
            ("ann", &["prober"], "get /healthz", false),
            ("root", &[], "deletecollection anything.example.com any", true),
            ("root", &[], "get nodes", true),
            ("root", &[], "post /any/path", true),
            ("system:serviceaccount:ops:scaler", &[], "update deployments.apps/scale any", true),
            ("system:serviceaccount:ops:scaler", &[], "update widgets.example.com/scale any", true),
            ("system:serviceaccount:ops:scaler", &[], "update deployments.apps any", false),
            ("system:serviceaccount:ops:scaler", &[], "get deployments.apps/status any", true),
            ("system:serviceaccount:ops:scaler", &[], "get deployments.apps/scale any", false),
            ("system:serviceaccount::nowhere", &[], "update deployments.apps/scale any", false),
            ("system:serviceaccount:default:nowhere", &[], "update deployments.apps/scale any", false),
            ("ned", &[], "get nodes =n1", true),
            ("ned", &[], "list nodes =n1", true),
            ("ned", &[], "get nodes =n2", false),
            ("ned", &[], "list nodes", false),
            ("dora", &[], "create roles.rbac.authorization.k8s.io dev", true),
            ("dora", &[], "create roles.rbac.authorization.k8s.io prod", false),
            ("dora", &[], "get nodes", false),
            ("dora", &[], "get /metrics", false),
            ("anyone", &["system:serviceaccounts:ops"], "delete pods dev", true),
            ("system:serviceaccount:prod:guest", &[], "update configmaps dev", true),
            ("system:serviceaccount:dev:guest", &[], "update configmaps dev", false),
            ("system:serviceaccount:prod:guest", &[], "update configmaps prod", false),
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
