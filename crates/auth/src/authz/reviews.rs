//! Evaluation of `authorization.k8s.io` reviews: objects in, the same objects with a status out.

use machinery::{ApiError, GroupVersionKind, Object, UserInfo, field};
use serde_json::{Map, Value, json};

use super::rbac::{Rbac, aggregate};
use super::rules::Rule;
use super::{Attributes, Authorizer, Decision};

const GROUP: &str = "authorization.k8s.io";

/// SubjectAccessReview: may the user in the spec do this?
pub fn subject_access_review(authorizer: &dyn Authorizer, review: Object) -> Result<Object, ApiError> {
    check_spec(&review)?;
    if spec_text(&review, "user").is_empty() && review.list(&["spec", "groups"]).is_empty() {
        let path = field::Path::new("spec").child("user");
        return Err(invalid(&review, field::Error::required(&path, "at least one of user or group must be specified")));
    }
    let user = spec_user(&review);
    Ok(decided(authorizer, review, user))
}

/// LocalSubjectAccessReview: the same within the namespace it is posted to.
pub fn local_subject_access_review(
    authorizer: &dyn Authorizer,
    namespace: &str,
    review: Object,
) -> Result<Object, ApiError> {
    let asked = review.str(&["spec", "resourceAttributes", "namespace"]);
    if asked != namespace {
        let why = format!(
            "spec.resourceAttributes.namespace must match namespace: Invalid value: {asked:?}: must match {namespace:?}"
        );
        return Err(ApiError::bad_request(why));
    }
    subject_access_review(authorizer, review)
}

/// SelfSubjectAccessReview: may I do this?
pub fn self_subject_access_review(
    authorizer: &dyn Authorizer,
    user: &UserInfo,
    review: Object,
) -> Result<Object, ApiError> {
    check_spec(&review)?;
    Ok(decided(authorizer, review, user.clone()))
}

/// SelfSubjectRulesReview: what may I do in a namespace?
pub fn self_subject_rules_review(rbac: &Rbac, user: &UserInfo, mut review: Object) -> Result<Object, ApiError> {
    let namespace = spec_text(&review, "namespace").to_owned();
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let mut held = rbac.rules_for(user, &namespace);
    if user.in_group(UserInfo::MASTERS) {
        held.rules.splice(0..0, everything());
    }
    let (urls, resources): (Vec<Rule>, Vec<Rule>) = held.rules.into_iter().partition(|rule| !rule.urls.is_empty());
    let values = |rules: Vec<Rule>| rules.iter().map(Rule::to_value).collect::<Vec<Value>>();
    // The Node authorizer can not list what it would allow.
    let mut errors = held.errors;
    if user.node_name().is_some() {
        errors.push("node authorizer does not support user rule resolution".to_owned());
    }
    let error = aggregate(&errors);
    let mut status = json!({
        "resourceRules": values(resources), "nonResourceRules": values(urls), "incomplete": error.is_some(),
    });
    if let Some(error) = error {
        status["evaluationError"] = json!(error);
    }
    review.set(&["status"], status);
    Ok(review)
}

fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), urls: all(), ..Rule::default() },
    ]
}

fn decided(authorizer: &dyn Authorizer, mut review: Object, user: UserInfo) -> Object {
    let decision = authorizer.authorize(&attributes(&review, user));
    let mut status = Map::new();
    status.insert("allowed".to_owned(), json!(decision.allowed()));
    if matches!(decision, Decision::Deny(_)) {
        status.insert("denied".to_owned(), json!(true));
    }
    if !decision.reason().is_empty() {
        status.insert("reason".to_owned(), json!(decision.reason()));
    }
    review.set(&["status"], Value::Object(status));
    review
}

fn check_spec(review: &Object) -> Result<(), ApiError> {
    let has = |field: &str| review.get(&["spec", field]).is_some_and(Value::is_object);
    let path = field::Path::new("spec");
    match (has("resourceAttributes"), has("nonResourceAttributes")) {
        (true, true) => {
            let why = "cannot be specified in combination with resourceAttributes";
            Err(invalid(review, field::Error::invalid(&path.child("nonResourceAttributes"), Value::Null, why)))
        }
        (false, false) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            Err(invalid(review, field::Error::invalid(&path.child("resourceAttributes"), Value::Null, why)))
        }
        _ => Ok(()),
    }
}

fn invalid(review: &Object, error: field::Error) -> ApiError {
    ApiError::invalid(&GroupVersionKind::new(GROUP, "v1", review.kind()), review.name(), &[error])
}

fn spec_text<'a>(review: &'a Object, field: &str) -> &'a str {
    review.str(&["spec", field])
}

fn spec_user(review: &Object) -> UserInfo {
    let texts = |list: &[Value]| list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let extra = review.map(&["spec", "extra"]).into_iter().flatten();
    UserInfo {
        name: spec_text(review, "user").to_owned(),
        uid: spec_text(review, "uid").to_owned(),
        groups: texts(review.list(&["spec", "groups"])),
        extra: extra
            .map(|(key, values)| (key.clone(), values.as_array().map_or_else(Vec::new, |list| texts(list))))
            .collect(),
    }
}

fn attributes(review: &Object, user: UserInfo) -> Attributes {
    if let Some(Value::Object(asked)) = review.get(&["spec", "nonResourceAttributes"]) {
        let text = |field: &str| asked.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        return Attributes { user, verb: text("verb"), path: text("path"), ..Attributes::default() };
    }
    let text = |field: &str| review.str(&["spec", "resourceAttributes", field]).to_owned();
    let requirements = review.list(&["spec", "resourceAttributes", "fieldSelector", "requirements"]);
    let raw = text_of(review, &["spec", "resourceAttributes", "fieldSelector", "rawSelector"]);
    Attributes {
        user,
        verb: text("verb"),
        namespace: text("namespace"),
        api_group: text("group"),
        api_version: text("version"),
        resource: text("resource"),
        subresource: text("subresource"),
        name: text("name"),
        field_selector: if raw.is_empty() { selector_text(requirements) } else { raw },
        is_resource: true,
        ..Attributes::default()
    }
}

fn text_of(review: &Object, path: &[&str]) -> String {
    review.str(path).to_owned()
}

/// Requirements that one value be present, as a selector's text.
fn selector_text(requirements: &[Value]) -> String {
    let equals = requirements.iter().filter(|requirement| requirement["operator"] == "In");
    let parts = equals.filter_map(|requirement| match requirement["values"].as_array()?.as_slice() {
        [one] => Some(format!("{}={}", requirement["key"].as_str()?, one.as_str()?)),
        _ => None,
    });
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::view::testing::Objects;

    fn rbac() -> Rbac {
        let objects = Objects::default();
        objects.apply(
            r#"
            clusterroles reader rules=[{"verbs":["list"],"apiGroups":[""],"resources":["pods"]},{"verbs":["get"],"nonResourceURLs":["/healthz"]}]
            clusterrolebindings reader roleRef={"kind":"ClusterRole","name":"reader"} subjects=[{"kind":"User","name":"jane"}]
            clusterrolebindings lost roleRef={"kind":"ClusterRole","name":"gone"} subjects=[{"kind":"User","name":"jim"}]
            "#,
        );
        Rbac::new(Arc::new(objects))
    }

    fn review(spec: Value) -> Object {
        Object::from_value(json!({"kind": "SubjectAccessReview", "spec": spec})).unwrap()
    }

    #[test]
    fn access_is_reviewed() {
        let pods = json!({"verb": "list", "resource": "pods", "namespace": "dev"});
        let jane = review(json!({"user": "jane", "resourceAttributes": pods}));
        let answer = subject_access_review(&rbac(), jane).unwrap();
        assert!(answer.bool(&["status", "allowed"]));
        let jim = review(json!({"user": "jim", "resourceAttributes": pods}));
        let answer = subject_access_review(&rbac(), jim).unwrap();
        assert_eq!(
            answer.get(&["status"]),
            Some(&json!({"allowed": false,
                "reason": "RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found"}))
        );
        let path = review(json!({"nonResourceAttributes": {"verb": "get", "path": "/healthz"}}));
        let answer = self_subject_access_review(&rbac(), &UserInfo::new("jane", &[]), path).unwrap();
        assert!(answer.bool(&["status", "allowed"]));
    }

    #[test]
    fn a_review_of_nothing_is_invalid() {
        let error = subject_access_review(&rbac(), review(json!({"user": "jane"}))).unwrap_err();
        assert_eq!(error.code(), 422);
        let pods = json!({"verb": "list", "resource": "pods"});
        let error = subject_access_review(&rbac(), review(json!({"resourceAttributes": pods}))).unwrap_err();
        assert!(error.message.contains("at least one of user or group must be specified"), "{error}");
    }

    #[test]
    fn rules_are_reviewed() {
        let asked = review(json!({"namespace": "dev"}));
        let answer = self_subject_rules_review(&rbac(), &UserInfo::new("jane", &[]), asked).unwrap();
        assert_eq!(
            answer.get(&["status"]),
            Some(&json!({
                "resourceRules": [{"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}],
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}],
                "incomplete": false,
            }))
        );
    }
}
