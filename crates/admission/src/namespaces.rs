//! Where they are switched on: content makes its namespace, or is refused without one whatever is done with it.

use machinery::{ApiError, Object};
use registry::{AdmissionRequest, Context, Operation, Registry};
use serde_json::json;

use crate::Admit;

/// The plugin `NamespaceExists`.
pub fn exists(admit: &Admit<'_>, _: Option<&Object>) -> Result<(), ApiError> {
    let outside = admit.request.namespace.is_empty() || admit.request.kind.resource == "namespaces";
    if outside || admit.request.operation == Operation::Connect { Ok(()) } else { admit.namespace().map(drop) }
}

/// The plugin `NamespaceAutoProvision`: makes the namespace of what is created, if there is none.
pub async fn provision(registry: &Registry, request: &AdmissionRequest<'_>) -> Result<(), ApiError> {
    let kind = registry.kinds().find("", "v1", "namespaces").expect("namespaces are served");
    if registry.get(kind, "", request.namespace, "").await.is_ok() {
        return Ok(());
    }
    let context = Context { dry_run: request.context.dry_run, ..Context::of_server() };
    let namespace = Object::from_value(json!({"metadata": {"name": request.namespace}})).expect("it is an object");
    match Box::pin(registry.create(&context, kind, "", namespace)).await {
        Err(error) if error.reason != machinery::Reason::AlreadyExists => {
            Err(ApiError::forbidden(&request.kind.group_resource(), request.name, error.message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    #[test]
    fn content_is_in_a_namespace_that_exists() {
        let checked = |case: Case| case.cluster("namespaces dev").validate(exists, None).map_err(|error| error.message);
        assert_eq!(checked(Case::delete("pods", "dev", "a")), Ok(()));
        assert_eq!(checked(Case::delete("nodes", "", "a")), Ok(()));
        assert_eq!(checked(Case::delete("pods", "gone", "a")), Err("namespaces \"gone\" not found".to_owned()));
    }
}
