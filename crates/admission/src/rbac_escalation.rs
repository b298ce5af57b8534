//! Nobody grants by a role or binding what they may not do themselves.

use auth::view::Resource;
use machinery::{ApiError, Object};
use registry::Operation;

use crate::Admit;

pub fn validate(admit: &Admit<'_>, object: Option<&Object>) -> Result<(), ApiError> {
    let writes = matches!(admit.request.operation, Operation::Create | Operation::Update);
    let Some(object) = object.filter(|_| writes && admit.request.subresource.is_empty()) else { return Ok(()) };
    let role = admit.is(Resource::ROLES, "") || admit.is(Resource::CLUSTER_ROLES, "");
    let binding = admit.is(Resource::ROLE_BINDINGS, "") || admit.is(Resource::CLUSTER_ROLE_BINDINGS, "");
    let (user, old) = (&admit.request.context.user, admit.request.old);
    match (role, binding) {
        (false, false) => Ok(()),
        // Labels are no harmless change: roles are gathered by them.
        _ if old.is_some_and(|old| for_collector(old) == for_collector(object)) => Ok(()),
        (true, _) => admit.escalation.check_role(user, object, old),
        _ => admit.escalation.check_binding(user, object),
    }
}

/// All but what the garbage collector changes to get rid of an object.
fn for_collector(object: &Object) -> Object {
    let mut rest = object.clone();
    for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
        rest.remove(&["metadata", field]);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    const ROLE: &str = r#"{"kind":"Role","metadata":{"name":"r","namespace":"dev"},
        "rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]}"#;

    #[test]
    fn a_role_grants_what_its_writer_holds() {
        let resource = "roles.rbac.authorization.k8s.io";
        let create = Case::create(resource, "dev");
        assert_eq!(create.validate(validate, Some(&object(ROLE))).unwrap_err().code(), 403);
        let mut collected = object(ROLE);
        collected.set(&["metadata", "finalizers"], serde_json::json!(["x"]));
        let update = |new: &Object| Case::update(resource, "dev", object(ROLE)).validate(validate, Some(new));
        assert_eq!(update(&object(ROLE)), Ok(()));
        assert_eq!(update(&collected), Ok(()));
        let mut gathered = object(ROLE);
        gathered.set(&["metadata", "labels", "rbac.authorization.k8s.io/aggregate-to-view"], "true");
        assert_eq!(update(&gathered).unwrap_err().code(), 403);
        let master = Case::create(resource, "dev").user("root", &["system:masters"]);
        assert_eq!(master.validate(validate, Some(&object(ROLE))), Ok(()));
    }
}
