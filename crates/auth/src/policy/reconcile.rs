//! Brings the stored roles and bindings up to the default ones.
//!
//! What is missing is added; what someone added stays; what says `autoupdate: "false"` is left alone.

use futures::future::try_join_all;
use kinds::KindDef;
use machinery::{ApiError, Object, Reason, UserInfo};
use registry::{Context, DeleteOptions, Registry, Target};
use serde_json::{Value, json};

use super::{AUTOUPDATE, RBAC_GROUP, bootstrap_policy, migrator_policy};
use crate::authz::rules::{Rule, covers};

/// Namespaces that hold default roles.
const NAMESPACES: [&str; 2] = ["kube-system", "kube-public"];

/// How often a write that lost a race is tried again.
const ATTEMPTS: usize = 3;

/// Applies the default policy; safe to repeat and to run on several servers at once.
pub async fn reconcile(registry: &Registry) -> Result<(), ApiError> {
    let context = Context { user: UserInfo::new("system:apiserver", &[UserInfo::MASTERS]), ..Context::default() };
    try_join_all(NAMESPACES.iter().map(|namespace| ensure_namespace(registry, &context, namespace))).await?;
    // Side by side, so that they share flushes of the disk.
    let mut policy = bootstrap_policy();
    if registry.kinds().served().any(|kind| kind.resource == "storageversionmigrations") {
        policy.extend(migrator_policy());
    }
    try_join_all(policy.iter().map(|wanted| apply(registry, &context, wanted))).await?;
    Ok(())
}

async fn ensure_namespace(registry: &Registry, context: &Context, name: &str) -> Result<(), ApiError> {
    let kind = registry.kinds().find("", "v1", "namespaces").expect("namespaces are served");
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let body = Object::from_value(body).expect("an object");
    match registry.create(context, kind, "", body).await {
        Err(error) if error.reason != Reason::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

async fn apply(registry: &Registry, context: &Context, wanted: &Object) -> Result<(), ApiError> {
    let kind = registry.kinds().by_gvk(&wanted.gvk()).expect("RBAC kinds are served");
    let mut attempt = 1;
    loop {
        match apply_once(registry, context, kind, wanted).await {
            Err(error) if retryable(&error) && attempt < ATTEMPTS => attempt += 1,
            done => return done,
        }
    }
}

fn retryable(error: &ApiError) -> bool {
    matches!(error.reason, Reason::Conflict | Reason::AlreadyExists | Reason::NotFound)
}

async fn apply_once(
    registry: &Registry,
    context: &Context,
    kind: &'static KindDef,
    wanted: &Object,
) -> Result<(), ApiError> {
    let (namespace, name) = (wanted.namespace(), wanted.name());
    let stored = match registry.get(kind, namespace, name, "").await {
        Ok(entry) => entry.object(),
        Err(error) if error.reason == Reason::NotFound => {
            return registry.create(context, kind, namespace, wanted.clone()).await.map(drop);
        }
        Err(error) => return Err(error),
    };
    match merge(&stored, wanted) {
        Merged::Same => Ok(()),
        Merged::Changed(object) => {
            registry.update(context, kind, namespace, name, Target::Main, object).await.map(drop)
        }
        Merged::Replace => {
            registry.delete(context, kind, namespace, name, &DeleteOptions::default()).await?;
            registry.create(context, kind, namespace, wanted.clone()).await.map(drop)
        }
    }
}

#[derive(Debug, PartialEq)]
enum Merged {
    Same,
    Changed(Object),
    /// A binding's role can not be changed: it is deleted and made anew.
    Replace,
}

fn merge(stored: &Object, wanted: &Object) -> Merged {
    if stored.annotation(AUTOUPDATE) == Some("false") {
        return Merged::Same;
    }
    if stored.get(&["roleRef"]) != wanted.get(&["roleRef"]) {
        return Merged::Replace;
    }
    let mut object = stored.clone();
    add_metadata(&mut object, wanted);
    match wanted.kind() {
        "ClusterRole" if wanted.get(&["aggregationRule"]).is_some() => add_selectors(&mut object, wanted),
        "ClusterRole" | "Role" => add_rules(&mut object, wanted),
        _ => add_subjects(&mut object, wanted),
    }
    if object == *stored { Merged::Same } else { Merged::Changed(object) }
}

fn add_metadata(object: &mut Object, wanted: &Object) {
    for field in ["labels", "annotations"] {
        for (key, value) in wanted.strings(&["metadata", field]) {
            object.set_default(&["metadata", field, &key], value);
        }
    }
}

fn add_selectors(object: &mut Object, wanted: &Object) {
    const PATH: [&str; 2] = ["aggregationRule", "clusterRoleSelectors"];
    let missing = missing(object.list(&PATH), wanted.list(&PATH));
    extend(object, &PATH, missing);
}

fn add_rules(object: &mut Object, wanted: &Object) {
    let held = Rule::list(object);
    let uncovered = wanted.list(&["rules"]).iter().filter(|rule| !covers(&held, &[Rule::from_value(rule)]).is_empty());
    let uncovered: Vec<Value> = uncovered.cloned().collect();
    extend(object, &["rules"], uncovered);
}

fn add_subjects(object: &mut Object, wanted: &Object) {
    let has = |subjects: &[Value], subject: &Value| subjects.iter().any(|of| same_subject(of, subject));
    let present = object.list(&["subjects"]);
    let missing = wanted.list(&["subjects"]).iter().filter(|subject| !has(present, subject));
    let missing: Vec<Value> = missing.cloned().collect();
    extend(object, &["subjects"], missing);
}

/// Users and groups have an implied API group.
fn same_subject(one: &Value, other: &Value) -> bool {
    let group = |subject: &Value| match subject["kind"].as_str() {
        Some("ServiceAccount") => "",
        _ => RBAC_GROUP,
    };
    let same = |field: &str| one[field].as_str().unwrap_or_default() == other[field].as_str().unwrap_or_default();
    same("kind") && same("name") && same("namespace") && group(one) == group(other)
}

fn missing(present: &[Value], wanted: &[Value]) -> Vec<Value> {
    wanted.iter().filter(|value| !present.contains(value)).cloned().collect()
}

fn extend(object: &mut Object, path: &[&str], additions: Vec<Value>) {
    if !additions.is_empty() {
        let all: Vec<Value> = object.list(path).iter().cloned().chain(additions).collect();
        object.set(path, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    fn role(rules: Value) -> Object {
        object(json!({"kind": "ClusterRole", "metadata": {"name": "a"}, "rules": rules}))
    }

    #[test]
    fn missing_rules_are_added_and_additions_stay() {
        let own = json!({"apiGroups": ["x"], "resources": ["y"], "verbs": ["get"]});
        let list = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]});
        let get = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
        let merged = merge(&role(json!([own, list])), &role(json!([list, get])));
        assert_eq!(merged, Merged::Changed(role(json!([own, list, get]))));
    }

    #[test]
    fn a_wider_rule_makes_the_default_superfluous() {
        let all = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
        let get = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
        assert_eq!(merge(&role(json!([all])), &role(json!([get]))), Merged::Same);
    }

    #[test]
    fn a_role_that_opts_out_is_left_alone() {
        let mut stored = role(json!([]));
        stored.set(&["metadata", "annotations", AUTOUPDATE], "false");
        let wanted = role(json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]));
        assert_eq!(merge(&stored, &wanted), Merged::Same);
    }

    #[test]
    fn a_binding_to_another_role_is_made_anew_and_lost_subjects_come_back() {
        let binding = |role: &str, subjects: Value| {
            object(json!({"kind": "ClusterRoleBinding", "metadata": {"name": "a"},
                "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": role}, "subjects": subjects}))
        };
        let group = json!({"apiGroup": RBAC_GROUP, "kind": "Group", "name": "g"});
        let user = json!({"apiGroup": RBAC_GROUP, "kind": "User", "name": "u"});
        assert_eq!(merge(&binding("x", json!([group])), &binding("y", json!([group]))), Merged::Replace);
        let merged = merge(&binding("x", json!([user])), &binding("x", json!([group])));
        assert_eq!(merged, Merged::Changed(binding("x", json!([user, group]))));
    }
}
