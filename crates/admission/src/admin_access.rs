//! Devices may be looked into beside whoever uses them only from namespaces that an administrator has marked.
//!
//! upstream: pkg/registry/resource

use auth::view::Resource;
use machinery::{ApiError, Object, field};
use registry::Operation;
use serde_json::Value;

use crate::Admit;

const LABEL: &str = "resource.kubernetes.io/admin-access";
const TEMPLATES: Resource = Resource { group: "resource.k8s.io", version: "v1", name: "resourceclaimtemplates" };

pub fn validate(admit: &Admit<'_>, object: Option<&Object>) -> Result<(), ApiError> {
    let Some((object, path)) = object.and_then(|object| Some((object, asked(admit, object)?))) else { return Ok(()) };
    let namespace = admit.view.get(Resource::NAMESPACES, "", admit.request.namespace);
    if namespace.is_some_and(|namespace| namespace.labels().get(LABEL).is_some_and(|value| value == "true")) {
        return Ok(());
    }
    let text = format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
    let error = field::Error::forbidden(&path, text);
    Err(ApiError::invalid(&admit.request.kind.gvk(), object.name(), &[error]))
}

/// Where access is asked for that was not granted before. Specifications do not change.
fn asked(admit: &Admit<'_>, object: &Object) -> Option<field::Path> {
    const RESULTS: [&str; 4] = ["status", "allocation", "devices", "results"];
    let requests: &[&str] = match () {
        () if admit.creates(Resource::RESOURCE_CLAIMS) => &["spec", "devices", "requests"],
        () if admit.creates(TEMPLATES) => &["spec", "spec", "devices", "requests"],
        () => {
            let updates = admit.request.operation == Operation::Update && admit.is(Resource::RESOURCE_CLAIMS, "status");
            let granted = admit.request.old.is_some_and(|old| first(old.list(&RESULTS)).is_some());
            let at = first(object.list(&RESULTS)).filter(|_| updates && !granted)?;
            return Some(field::Path::new("status.allocation.devices.results").index(at).child("adminAccess"));
        }
    };
    let at = first(object.list(requests))?;
    Some(field::Path::new("spec.devices.requests").index(at).child("adminAccess"))
}

fn first(items: &[Value]) -> Option<usize> {
    let asks = |of: &Value| of["adminAccess"] == true || of.pointer("/exactly/adminAccess") == Some(&Value::Bool(true));
    items.iter().position(asks)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Case;

    const CLUSTER: &str = r#"
        namespaces dev metadata.labels={"resource.kubernetes.io/admin-access":"yes"}
        namespaces ops metadata.labels={"resource.kubernetes.io/admin-access":"true"}
    "#;

    #[test]
    fn access_takes_the_label_on_the_namespace() {
        let plain = || json!({"exactly": {"deviceClassName": "gpu"}});
        let admin = || json!({"exactly": {"deviceClassName": "gpu", "adminAccess": true}});
        let claim = |requests: Value| json!({"devices": {"requests": requests}});
        let object = |spec: Value, results: Value| {
            let status = json!({"allocation": {"devices": {"results": results}}});
            Object::from_value(json!({"metadata": {"name": "a"}, "spec": spec, "status": status})).expect("an object")
        };
        let status = |old: Value| {
            let old = object(json!({}), old);
            move |namespace: &str| Case::update("resourceclaims.resource.k8s.io/status", namespace, old.clone())
        };
        let [claims, templates] = ["resourceclaims.resource.k8s.io", "resourceclaimtemplates.resource.k8s.io"]
            .map(|resource| move |namespace: &str| Case::create(resource, namespace));
        let granted = json!([{"request": "a"}, {"request": "b", "adminAccess": true}]);
        type Make<'a> = &'a dyn Fn(&str) -> Case;
        let cases: [(Make, Object, &str); 7] = [
            (&claims, object(claim(json!([plain()])), json!([])), ""),
            (&claims, object(claim(json!([plain(), admin()])), json!([])), "spec.devices.requests[1]"),
            (
                &claims,
                object(claim(json!([{"deviceClassName": "gpu", "adminAccess": true}])), json!([])),
                "spec.devices.requests[0]",
            ),
            (&templates, object(json!({ "spec": claim(json!([admin()])) }), json!([])), "spec.devices.requests[0]"),
            (&status(json!([])), object(json!({}), granted.clone()), "status.allocation.devices.results[1]"),
            (&status(granted.clone()), object(json!({}), granted.clone()), ""),
            (&status(json!([])), object(json!({}), json!([])), ""),
        ];
        for (case, object, expected) in cases {
            let said = |namespace: &str| {
                let result = case(namespace).cluster(CLUSTER).validate(validate, Some(&object));
                result.map_or_else(|error| error.message, |()| String::new())
            };
            assert_eq!(said("ops"), "");
            let text = ".adminAccess: Forbidden: admin access to devices requires the \
                        `resource.kubernetes.io/admin-access: true` label on the containing namespace";
            let told = said("dev");
            let told = told.split_once("is invalid: ").map_or("", |(_, told)| told);
            assert_eq!(told, if expected.is_empty() { String::new() } else { format!("{expected}{text}") });
        }
    }
}
