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

    /// Whether `user` may write this Role or ClusterRole as it is.
    pub fn check_role(&self, user: &UserInfo, role: &Object) -> Result<(), ApiError> {
        let resource = if role.kind() == "Role" { "roles" } else { "clusterroles" };
        let name = role.name();
        if user.in_group(UserInfo::MASTERS) || self.may(user, "escalate", role.namespace(), resource, name) {
            return Ok(());
        }
        let rules = Rule::list(role);
        if role.get(&["aggregationRule"]).is_some_and(|rule| !rule.is_null()) && !self.has_everything(user) {
            let why = "must have cluster-admin privileges to use the aggregationRule";
            return Err(forbidden(resource, name, why));
        }
        self.confirm(user, role.namespace(), &rules).map_err(|why| forbidden(resource, name, why))
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
    use serde_json::json;

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
            clusterrolebindings reader roleRef={"kind":"ClusterRole","name":"reader"} subjects=[{"kind":"User","name":"reader"}]
            clusterrolebindings admin roleRef={"kind":"ClusterRole","name":"all"} subjects=[{"kind":"User","name":"admin"}]
            clusterrolebindings binder roleRef={"kind":"ClusterRole","name":"binder"} subjects=[{"kind":"User","name":"binder"}]
            clusterrolebindings escalator roleRef={"kind":"ClusterRole","name":"escalator"} subjects=[{"kind":"User","name":"escalator"}]
            "#,
        );
        let rbac = Arc::new(Rbac::new(Arc::new(objects)));
        Escalation::new(rbac.clone(), rbac)
    }

    fn role(verbs: &[&str]) -> Object {
        let rule = json!({"apiGroups": [""], "resources": ["pods"], "verbs": verbs});
        let role = json!({"kind": "Role", "metadata": {"name": "r", "namespace": "dev"}, "rules": [rule]});
        Object::from_value(role).unwrap()
    }

    #[test]
    fn only_held_rules_are_granted() {
        let escalation = escalation();
        let check = |user: &str, verbs: &[&str]| escalation.check_role(&UserInfo::new(user, &[]), &role(verbs));
        assert_eq!(check("reader", &["get"]), Ok(()));
        assert_eq!(check("admin", &["delete"]), Ok(()));
        assert_eq!(check("escalator", &["delete"]), Ok(()));
        assert_eq!(
            check("reader", &["delete", "get", "patch"]).unwrap_err().message,
            "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"reader\" (groups=[\"system:authenticated\"]) \
             is attempting to grant RBAC permissions not currently held:\n\
             {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\" \"patch\"]}"
        );
    }

    #[test]
    fn bindings_need_the_rules_or_the_verb_bind() {
        let escalation = escalation();
        let bind = |user: &str, role: &str| {
            let binding = json!({"kind": "ClusterRoleBinding", "metadata": {"name": "b"},
                "roleRef": {"kind": "ClusterRole", "name": role}});
            escalation.check_binding(&UserInfo::new(user, &[]), &Object::from_value(binding).unwrap())
        };
        assert_eq!(bind("reader", "reader"), Ok(()));
        assert_eq!(bind("binder", "all"), Ok(()));
        assert_eq!(bind("reader", "all").unwrap_err().code(), 403);
        assert_eq!(bind("reader", "gone").unwrap_err().code(), 404);
    }

    #[test]
    fn an_aggregated_role_takes_an_administrator() {
        let mut role = role(&["get"]);
        role.set(&["kind"], "ClusterRole");
        role.set(&["aggregationRule", "clusterRoleSelectors"], json!([]));
        let escalation = escalation();
        assert_eq!(escalation.check_role(&UserInfo::new("admin", &[]), &role), Ok(()));
        let error = escalation.check_role(&UserInfo::new("reader", &[]), &role).unwrap_err();
        assert!(error.message.ends_with("must have cluster-admin privileges to use the aggregationRule"));
    }
}
