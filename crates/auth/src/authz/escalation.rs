//! Nobody grants what they do not hold: the check of writes to roles and bindings.

use std::sync::Arc;

use machinery::{ApiError, GroupResource, Object, UserInfo};

use super::rbac::{Rbac, RoleRef, aggregate};
use super::rules::{Rule, compact, covers, quoted};
use super::{Attributes, Authorizer};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Checks writes of Roles, ClusterRoles and their bindings.
#[derive(Clone)]
pub struct Escalation {
    rbac: Arc<Rbac>,
    authorizer: Arc<dyn Authorizer>,
}

impl Escalation {
    pub fn new(rbac: Arc<Rbac>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { rbac, authorizer }
    }

    /// Whether `user` may write this Role or ClusterRole as it is; `old` is what it was, if it was there.
    pub fn check_role(&self, user: &UserInfo, role: &Object, old: Option<&Object>) -> Result<(), ApiError> {
        let resource = if role.kind() == "Role" { "roles" } else { "clusterroles" };
        let name = role.name();
        // As for every new object, the name that authorizers see is empty.
        let asked = if old.is_some() { name } else { "" };
        if user.in_group(UserInfo::MASTERS) || self.may(user, "escalate", role.namespace(), resource, asked) {
            return Ok(());
        }
        self.confirm(user, role.namespace(), &Rule::list(role)).map_err(|why| forbidden(resource, name, why))?;
        let aggregates = |of: &Object| of.get(&["aggregationRule"]).is_some_and(|rule| !rule.is_null());
        if (aggregates(role) || old.is_some_and(aggregates)) && !self.has_everything(user) {
            let why = "must have cluster-admin privileges to use the aggregationRule";
            return Err(forbidden(resource, name, why));
        }
        Ok(())
    }

    /// Whether `user` may write this RoleBinding or ClusterRoleBinding as it is.
    pub fn check_binding(&self, user: &UserInfo, binding: &Object) -> Result<(), ApiError> {
        let role_ref = RoleRef::of(binding);
        let namespace = binding.namespace();
        if user.in_group(UserInfo::MASTERS) || self.may(user, "bind", namespace, role_ref.resource(), role_ref.name) {
            return Ok(());
        }
        let Ok(rules) = self.rbac.role_rules(&role_ref, namespace) else {
            return Err(ApiError::not_found(&GroupResource::new(GROUP, role_ref.resource()), role_ref.name));
        };
        let resource = if binding.kind() == "RoleBinding" { "rolebindings" } else { "clusterrolebindings" };
        self.confirm(user, namespace, &rules).map_err(|why| forbidden(resource, binding.name(), why))
    }

    fn may(&self, user: &UserInfo, verb: &str, namespace: &str, resource: &str, name: &str) -> bool {
        let attributes = Attributes {
            user: user.clone(),
            verb: verb.to_owned(),
            namespace: namespace.to_owned(),
            api_group: GROUP.to_owned(),
            api_version: "v1".to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            is_resource: true,
            ..Attributes::default()
        };
        self.authorizer.authorize(&attributes).allowed()
    }

    fn has_everything(&self, user: &UserInfo) -> bool {
        let all = || vec!["*".to_owned()];
        let everything = [
            Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
            Rule { verbs: all(), urls: all(), ..Rule::default() },
        ];
        self.confirm(user, "", &everything).is_ok()
    }

    /// The error says what the user lacks.
    fn confirm(&self, user: &UserInfo, namespace: &str, rules: &[Rule]) -> Result<(), String> {
        let held = self.rbac.rules_for(user, namespace);
        let missing = covers(&held.rules, rules);
        if missing.is_empty() {
            return Ok(());
        }
        let mut missing: Vec<String> = compact(missing).iter().map(Rule::to_string).collect();
        missing.sort();
        missing.dedup();
        let mut why = format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            quoted(&user.groups),
            missing.join("\n")
        );
        if let Some(errors) = aggregate(&held.errors) {
            why = format!("{why}; resolution errors: {errors}");
        }
        Err(why)
    }
}

fn forbidden(resource: &str, name: &str, why: impl AsRef<str>) -> ApiError {
    ApiError::forbidden(&GroupResource::new(GROUP, resource), name, why)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::view::testing::Objects;

    fn escalation() -> Escalation {
        let objects = Objects::default();
        objects.apply(
            r#"
            clusterroles reader rules=[{"verbs":["get","list"],"apiGroups":[""],"resources":["pods"]}]
            clusterroles all rules=[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]},{"verbs":["*"],"nonResourceURLs":["*"]}]
            clusterroles binder rules=[{"verbs":["bind"],"apiGroups":["rbac.authorization.k8s.io"],"resources":["clusterroles"],"resourceNames":["all"]}]
            clusterroles escalator rules=[{"verbs":["escalate"],"apiGroups":["rbac.authorization.k8s.io"],"resources":["roles"]}]
            clusterroles escalator-of-r rules=[{"verbs":["escalate"],"apiGroups":["rbac.authorization.k8s.io"],"resources":["roles"],"resourceNames":["r"]}]
            roles/dev own rules=[{"verbs":["*"],"apiGroups":["apps"],"resources":["*"]}]
            clusterrolebindings reader roleRef={"kind":"ClusterRole","name":"reader"} subjects=[{"kind":"User","name":"reader"}]
            clusterrolebindings admin roleRef={"kind":"ClusterRole","name":"all"} subjects=[{"kind":"User","name":"admin"}]
            clusterrolebindings binder roleRef={"kind":"ClusterRole","name":"binder"} subjects=[{"kind":"User","name":"binder"}]
            clusterrolebindings escalator-of-r roleRef={"kind":"ClusterRole","name":"escalator-of-r"} subjects=[{"kind":"User","name":"narrow"}]
            rolebindings/dev owner roleRef={"kind":"Role","name":"own"} subjects=[{"kind":"User","name":"owner"},{"kind":"User","name":"broken"}]
            rolebindings/dev broken roleRef={"kind":"Role","name":"gone"} subjects=[{"kind":"User","name":"broken"}]
            clusterrolebindings escalator roleRef={"kind":"ClusterRole","name":"escalator"} subjects=[{"kind":"User","name":"escalator"}]
            "#,
        );
        let rbac = Arc::new(Rbac::new(Arc::new(objects)));
        Escalation::new(rbac.clone(), rbac)
    }

    fn role(kind: &str, rules: Value) -> Object {
        let namespace = if kind == "Role" { "dev" } else { "" };
        let role = json!({"kind": kind, "metadata": {"name": "r", "namespace": namespace}, "rules": rules});
        Object::from_value(role).unwrap()
    }

    /// The second line of what is said, or the first where there is one.
    fn said(result: Result<(), ApiError>) -> String {
        let told = result.map_or_else(|error| error.message, |()| "yes".to_owned());
        told.rsplit_once(": ").map_or(told.clone(), |(_, last)| last.to_owned())
    }

    #[test]
    fn only_held_rules_are_granted() {
        let escalation = escalation();
        let rule = |group: &str, resource: &str, verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
        let pods = |verbs: &[&str]| json!([rule("", "pods", verbs)]);
        for (user, kind, rules, expected) in [
            ("reader", "Role", pods(&["get"]), true),
            ("reader", "ClusterRole", pods(&["get", "list"]), true),
            ("reader", "Role", pods(&["*"]), false),
            ("reader", "Role", json!([rule("", "pods/log", &["get"])]), false),
            ("reader", "Role", json!([rule("*", "pods", &["get"])]), false),
            ("reader", "Role", json!([]), true),
            ("admin", "ClusterRole", pods(&["delete"]), true),
            ("admin", "ClusterRole", json!([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]), true),
            ("owner", "Role", json!([rule("apps", "deployments/scale", &["get"])]), true),
            ("owner", "ClusterRole", json!([rule("apps", "deployments", &["get"])]), false),
            ("escalator", "Role", pods(&["delete"]), true),
            ("escalator", "ClusterRole", pods(&["delete"]), false),
            ("nobody", "Role", pods(&["get"]), false),
        ] {
            let checked = escalation.check_role(&UserInfo::new(user, &[]), &role(kind, rules.clone()), None);
            assert_eq!(checked.is_ok(), expected, "{user} {kind} {rules}: {checked:?}");
        }
        let checked = escalation.check_role(
            &UserInfo::new("reader", &[]),
            &role("Role", pods(&["delete", "get", "patch"])),
            None,
        );
        assert_eq!(
            checked.unwrap_err().message,
            "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"reader\" (groups=[\"system:authenticated\"]) \
             is attempting to grant RBAC permissions not currently held:\n\
             {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\" \"patch\"]}"
        );
        let checked = escalation.check_role(&UserInfo::new("broken", &[]), &role("Role", pods(&["get"])), None);
        assert_eq!(said(checked), "role.rbac.authorization.k8s.io \"gone\" not found");
        let masters = UserInfo::new("root", &[UserInfo::MASTERS]);
        assert_eq!(escalation.check_role(&masters, &role("ClusterRole", pods(&["*"])), None), Ok(()));
    }

    #[test]
    fn a_name_counts_once_the_role_is_there() {
        let (escalation, narrow) = (escalation(), UserInfo::new("narrow", &[]));
        let role = role("Role", json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}]));
        assert_eq!(escalation.check_role(&narrow, &role, Some(&role)), Ok(()));
        assert_eq!(escalation.check_role(&narrow, &role, None).unwrap_err().code(), 403);
    }

    #[test]
    fn bindings_need_the_rules_or_the_verb_bind() {
        let escalation = escalation();
        for (user, kind, (role_kind, role), expected) in [
            ("reader", "ClusterRoleBinding", ("ClusterRole", "reader"), 200),
            ("reader", "RoleBinding", ("ClusterRole", "reader"), 200),
            ("reader", "RoleBinding", ("Role", "own"), 403),
            ("owner", "RoleBinding", ("Role", "own"), 200),
            ("binder", "ClusterRoleBinding", ("ClusterRole", "all"), 200),
            ("binder", "RoleBinding", ("ClusterRole", "all"), 200),
            ("binder", "RoleBinding", ("ClusterRole", "reader"), 403),
            ("escalator", "ClusterRoleBinding", ("ClusterRole", "reader"), 403),
            ("reader", "ClusterRoleBinding", ("ClusterRole", "all"), 403),
            ("reader", "ClusterRoleBinding", ("ClusterRole", "gone"), 404),
            ("reader", "RoleBinding", ("Role", "gone"), 404),
        ] {
            let namespace = if kind == "RoleBinding" { "dev" } else { "" };
            let binding = json!({"kind": kind, "metadata": {"name": "b", "namespace": namespace},
                "roleRef": {"kind": role_kind, "name": role}});
            let checked = escalation.check_binding(&UserInfo::new(user, &[]), &Object::from_value(binding).unwrap());
            assert_eq!(checked.map_or_else(|error| error.code(), |()| 200), expected, "{user} {kind} {role}");
        }
    }

    #[test]
    fn an_aggregated_role_takes_an_administrator() {
        let plain = role("ClusterRole", json!([]));
        let mut aggregated = plain.clone();
        aggregated.set(&["aggregationRule", "clusterRoleSelectors"], json!([]));
        let refused = "must have cluster-admin privileges to use the aggregationRule";
        let escalation = escalation();
        for (user, role, old, expected) in [
            ("admin", &aggregated, None, "yes"),
            ("reader", &aggregated, None, refused),
            ("reader", &aggregated, Some(&aggregated), refused),
            ("reader", &plain, Some(&aggregated), refused),
            ("reader", &plain, Some(&plain), "yes"),
        ] {
            assert_eq!(said(escalation.check_role(&UserInfo::new(user, &[]), role, old)), expected, "{user}");
        }
    }
}
