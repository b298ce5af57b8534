//! Where it is switched on, an object is given to an owner by who may delete it; and it may hold up the deletion of its
//! owner where its writer may set that one's finalizers.
//!
//! upstream: plugin/pkg/admission/gc

use auth::Decision;
use auth::authz::Attributes;
use machinery::{ApiError, GroupVersion, GroupVersionKind, Object};
use registry::Operation;
use serde_json::Value;

use crate::Admit;

const OWNERS: [&str; 2] = ["metadata", "ownerReferences"];

pub fn validate(admit: &Admit<'_>, object: Option<&Object>) -> Result<(), ApiError> {
    let request = admit.request;
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    let of_pod_status = (request.kind.group, request.kind.resource, request.subresource) == ("", "pods", "status");
    let Some(object) = object.filter(|_| writes && !of_pod_status) else { return Ok(()) };
    let old = request.old.map_or(&[][..], |old| old.list(&OWNERS));
    let new = object.list(&OWNERS);
    if old == new {
        return Ok(());
    }
    let forbidden = |why: String| admit.forbidden(Some(object), why);
    if request.operation == Operation::Update {
        let decision = admit.authorizer.authorize(&deletion(admit));
        let why = |said: String| forbidden(format!("cannot set an ownerRef on a resource you can't delete: {said}"));
        said(&decision).map_err(why)?;
    }
    for owner in new.iter().filter(|owner| blocks(owner) && !blocked_before(old, owner)) {
        finalization(admit, owner).map_err(forbidden)?;
    }
    Ok(())
}

fn blocks(owner: &Value) -> bool {
    owner["blockOwnerDeletion"] == true
}

fn blocked_before(old: &[Value], owner: &Value) -> bool {
    old.iter().any(|before| before["uid"] == owner["uid"] && blocks(before))
}

/// What authorizers say besides that it is allowed, as upstream prints it.
fn said(decision: &Decision) -> Result<(), String> {
    match decision {
        Decision::Failed { why, .. } => Err(format!(", {why}")),
        decision if decision.allowed() => Ok(()),
        decision => Err(format!("{}, <nil>", decision.reason())),
    }
}

fn deletion(admit: &Admit<'_>) -> Attributes {
    let (request, kind) = (admit.request, admit.request.kind);
    Attributes {
        user: request.context.user.clone(),
        verb: "delete".to_owned(),
        namespace: request.namespace.to_owned(),
        api_group: kind.group.to_owned(),
        api_version: kind.version.to_owned(),
        resource: kind.resource.to_owned(),
        subresource: request.subresource.to_owned(),
        name: request.name.to_owned(),
        is_resource: true,
        ..Attributes::default()
    }
}

/// Whether the user may hold up the deletion of an owner.
fn finalization(admit: &Admit<'_>, owner: &Value) -> Result<(), String> {
    let text = |field: &str| owner[field].as_str().unwrap_or_default();
    let GroupVersion { group, version } = GroupVersion::parse(text("apiVersion"));
    let of = GroupVersionKind::new(group, version, text("kind"));
    let Some(kind) = admit.kinds.by_gvk(&of) else {
        let (version, kind) = (text("apiVersion"), text("kind"));
        return Err(format!(
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {version} \
             Kind {kind}: no matches for kind {kind:?} in version {version:?}"
        ));
    };
    let attributes = Attributes {
        verb: "update".to_owned(),
        namespace: if kind.namespaced() { admit.request.namespace.to_owned() } else { String::new() },
        api_group: of.group,
        api_version: of.version,
        resource: kind.resource.to_owned(),
        subresource: "finalizers".to_owned(),
        name: text("name").to_owned(),
        ..deletion(admit)
    };
    said(&admit.authorizer.authorize(&attributes)).map_err(|said| {
        format!(
            "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: {said}"
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Case;

    const ACCESS: &str = r#"
        clusterroles deleter rules=[{"verbs":["delete"],"apiGroups":[""],"resources":["pods"]}]
        clusterroles finalizer rules=[{"verbs":["delete"],"apiGroups":[""],"resources":["pods"]},{"verbs":["update"],"apiGroups":["apps"],"resources":["replicasets/finalizers"]},{"verbs":["update"],"apiGroups":[""],"resources":["nodes/finalizers"]}]
        clusterrolebindings deleter roleRef={"kind":"ClusterRole","name":"deleter"} subjects=[{"kind":"User","name":"deleter"}]
        rolebindings/dev finalizer roleRef={"kind":"ClusterRole","name":"finalizer"} subjects=[{"kind":"User","name":"finalizer"}]
    "#;

    #[test]
    fn owners_are_given_by_who_may_delete_and_finalize() {
        let owner = |version: &str, kind: &str, blocks: Value| json!({"apiVersion": version, "kind": kind, "name": "o", "uid": kind, "blockOwnerDeletion": blocks});
        let set = |blocks: bool| owner("apps/v1", "ReplicaSet", json!(blocks));
        let pod = |owners: &[Value]| {
            Object::from_value(json!({"metadata": {"name": "a", "ownerReferences": owners}})).unwrap()
        };
        let undeletable = "cannot set an ownerRef on a resource you can't delete: , <nil>";
        let unfinalizable = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>";
        let unknown = "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion none.io/v1 Kind None: no matches for kind \"None\" in version \"none.io/v1\"";
        for (user, old, new, why) in [
            ("jane", None, vec![], ""),
            ("jane", None, vec![set(false)], ""),
            ("jane", None, vec![set(true)], unfinalizable),
            ("jane", Some(vec![set(true)]), vec![set(true)], ""),
            ("jane", Some(vec![]), vec![set(false)], undeletable),
            ("jane", Some(vec![set(false)]), vec![], undeletable),
            ("deleter", Some(vec![]), vec![set(false)], ""),
            ("deleter", Some(vec![]), vec![set(true)], unfinalizable),
            ("deleter", Some(vec![set(true)]), vec![set(true), owner("v1", "Node", Value::Null)], ""),
            ("finalizer", Some(vec![set(false)]), vec![set(true)], ""),
            ("finalizer", None, vec![owner("v1", "Node", json!(true))], unfinalizable),
            ("finalizer", None, vec![owner("none.io/v1", "None", json!(true))], unknown),
        ] {
            let case = match old {
                None => Case::create("pods", "dev"),
                Some(old) => Case::update("pods", "dev", pod(&old)),
            };
            let checked = case.cluster(ACCESS).user(user, &[]).validate(validate, Some(&pod(&new)));
            let found = checked.err().map(|error| error.message.replace("pods \"a\" is forbidden: ", ""));
            assert_eq!(found.unwrap_or_default(), why, "{user} {new:?}");
        }
        let status = Case::update("pods/status", "dev", pod(&[]));
        assert_eq!(status.validate(validate, Some(&pod(&[set(true)]))), Ok(()));
    }
}
