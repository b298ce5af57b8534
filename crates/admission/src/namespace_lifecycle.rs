//! Nothing is created in a namespace that is not there or on its way out, and some namespaces stay.

use auth::View;
use auth::view::Resource;
use machinery::error::Details;
use machinery::{ApiError, Cause, GroupResource, Object};
use registry::Operation;

use crate::Admit;

const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Reviews that may be posted to a namespace whether it is there or not.
const REVIEWS: (&str, &str) = ("authorization.k8s.io", "localsubjectaccessreviews");

pub fn mutate(admit: &Admit<'_>, object: &mut Object) -> Result<(), ApiError> {
    let request = admit.request;
    if request.operation != Operation::Create || request.namespace.is_empty() || !request.kind.namespaced() {
        return Ok(());
    }
    if (request.kind.group, request.kind.resource) == REVIEWS {
        return Ok(());
    }
    match phase(admit.view, request.namespace).as_deref() {
        None => Err(ApiError::not_found(&GroupResource::new("", "namespaces"), request.namespace)),
        Some("Terminating") => Err(terminating(admit, object)),
        Some(_) => Ok(()),
    }
}

/// Of a namespace that is there.
pub fn phase(view: &dyn View, namespace: &str) -> Option<String> {
    view.field(Resource::NAMESPACES, "", namespace, "status.phase")
}

fn terminating(admit: &Admit<'_>, object: &Object) -> ApiError {
    let name = admit.request.namespace;
    let why = format!("unable to create new content in namespace {name} because it is being terminated");
    let mut error = admit.forbidden(Some(object), why);
    let cause = Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {name} is being terminated"),
        field: "metadata.namespace".to_owned(),
    };
    error.details.get_or_insert_with(|| Box::new(Details::default())).causes.push(cause);
    error
}

pub fn validate(admit: &Admit<'_>, _: Option<&Object>) -> Result<(), ApiError> {
    let request = admit.request;
    let protected = PROTECTED.contains(&request.name);
    if request.operation == Operation::Delete && admit.is(Resource::NAMESPACES, "") && protected {
        return Err(admit.forbidden(None, "this namespace may not be deleted"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    #[test]
    fn content_needs_a_living_namespace() {
        let cluster = r#"
            namespaces dev
            namespaces leaving status.phase="Terminating"
        "#;
        let config = |namespace: &str| {
            let case = Case::create("configmaps", namespace).cluster(cluster);
            case.mutate(mutate, object(r#"{"metadata":{"name":"a"}}"#)).map(drop)
        };
        assert_eq!(config("dev"), Ok(()));
        assert_eq!(config("gone").unwrap_err().message, "namespaces \"gone\" not found");
        let error = config("leaving").unwrap_err();
        assert_eq!(
            error.message,
            "configmaps \"a\" is forbidden: unable to create new content in namespace leaving because it is being \
             terminated"
        );
        assert_eq!(error.details.unwrap().causes[0].reason, "NamespaceTerminating");
    }

    #[test]
    fn some_namespaces_stay() {
        let delete = |name: &'static str| Case::delete("namespaces", "", name).validate(validate, None);
        assert_eq!(delete("dev"), Ok(()));
        let expected = "namespaces \"default\" is forbidden: this namespace may not be deleted";
        assert_eq!(delete("default").unwrap_err().message, expected);
    }
}
