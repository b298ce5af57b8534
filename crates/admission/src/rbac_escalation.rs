//! Nobody grants by a role or binding what they may not do themselves.

use auth::view::Resource;
use machinery::{ApiError, Object};
use registry::Operation;

use crate::Admit;

pub fn validate(admit: &Admit<'_>, object: Option<&Object>) -> Result<(), ApiError> {
    let writes = matches!(admit.request.operation, Operation::Create | Operation::Update);
    let Some(object) = object.filter(|_| writes && admit.request.subresource.is_empty()) else { return Ok(()) };
    let user = &admit.request.context.user;
    if [Resource::ROLES, Resource::CLUSTER_ROLES].iter().any(|of| admit.is(*of, "")) {
        if unchanged(admit, object, &["rules", "aggregationRule"]) {
            return Ok(());
        }
        return admit.escalation.check_role(user, object);
    }
    if [Resource::ROLE_BINDINGS, Resource::CLUSTER_ROLE_BINDINGS].iter().any(|of| admit.is(*of, "")) {
        if unchanged(admit, object, &["roleRef", "subjects"]) {
            return Ok(());
        }
        return admit.escalation.check_binding(user, object);
    }
    Ok(())
}

/// Whoever changes metadata alone grants nothing.
fn unchanged(admit: &Admit<'_>, object: &Object, fields: &[&str]) -> bool {
    admit.request.old.is_some_and(|old| fields.iter().all(|field| old.get(&[field]) == object.get(&[field])))
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
        let update = Case::update(resource, "dev", object(ROLE));
        assert_eq!(update.validate(validate, Some(&object(ROLE))), Ok(()));
        let master = Case::create(resource, "dev").user("root", &["system:masters"]);
        assert_eq!(master.validate(validate, Some(&object(ROLE))), Ok(()));
    }
}
