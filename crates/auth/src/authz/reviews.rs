//! Evaluation of `authorization.k8s.io` reviews: objects in, the same objects with a status out.

use machinery::validation::{validate_operator, validate_requirement};
use machinery::{ApiError, GroupVersionKind, Object, UserInfo, field};
use serde_json::{Map, Value, json};

use super::rbac::{Rbac, aggregate};
use super::rules::Rule;
use super::selectors;
use super::{Attributes, Authorizer, Decision};

const GROUP: &str = "authorization.k8s.io";

/// SubjectAccessReview: may the user in the spec do this?
pub async fn subject_access_review(authorizer: &dyn Authorizer, review: Object) -> Result<Object, ApiError> {
    let mut errors = attributes_error(&review);
    errors.extend(user_error(&review));
    errors.extend(selector_errors(&review));
    errors.extend(metadata_error(&review, &[], "must be empty"));
    refuse(&errors)?;
    let user = spec_user(&review, "user");
    Ok(decided(authorizer, review, user).await)
}

/// LocalSubjectAccessReview: the same within the namespace it is posted to.
pub async fn local_subject_access_review(
    authorizer: &dyn Authorizer,
    namespace: &str,
    mut review: Object,
) -> Result<Object, ApiError> {
    if !["", namespace].contains(&review.namespace()) {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(ApiError::bad_request(why));
    }
    review.set(&["metadata", "namespace"], namespace);
    let mut errors = attributes_error(&review);
    errors.extend(user_error(&review));
    errors.extend(selector_errors(&review));
    errors.extend(metadata_error(&review, &["namespace"], "must be empty except for namespace"));
    let has = |attributes: &str| review.get(&["spec", attributes]).is_some_and(Value::is_object);
    let asked = review.str(&["spec", "resourceAttributes", "namespace"]);
    if has("resourceAttributes") && asked != review.namespace() {
        let path = field::Path::new("spec").child("resourceAttributes").child("namespace");
        errors.push(field::Error::invalid(&path, asked, "must match metadata.namespace"));
    }
    if has("nonResourceAttributes") {
        let path = field::Path::new("spec").child("nonResourceAttributes");
        let value = review.get(&["spec", "nonResourceAttributes"]).cloned().unwrap_or_default();
        errors.push(field::Error::invalid(&path, value, "disallowed on this kind of request"));
    }
    refuse(&errors)?;
    let user = spec_user(&review, "user");
    Ok(decided(authorizer, review, user).await)
}

/// SelfSubjectAccessReview: may I do this?
pub async fn self_subject_access_review(
    authorizer: &dyn Authorizer,
    user: &UserInfo,
    review: Object,
) -> Result<Object, ApiError> {
    let mut errors = attributes_error(&review);
    errors.extend(selector_errors(&review));
    errors.extend(metadata_error(&review, &[], "must be empty"));
    refuse(&errors)?;
    Ok(decided(authorizer, review, user.clone()).await)
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
    // Upstream does not say again what was asked.
    review.set(&["spec"], json!({}));
    Ok(review)
}

fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), urls: all(), ..Rule::default() },
    ]
}

async fn decided(authorizer: &dyn Authorizer, mut review: Object, user: UserInfo) -> Object {
    let asked = asked(&review, user);
    let decision = authorizer.decide(&asked.attributes).await;
    let mut status = Map::new();
    let mut problems = asked.problems;
    status.insert("allowed".to_owned(), json!(decision.allowed()));
    match &decision {
        Decision::Failed { why, .. } => problems.insert(0, why.clone()),
        decision if !decision.reason().is_empty() => {
            status.insert("reason".to_owned(), json!(decision.reason()));
        }
        _ => {}
    }
    if matches!(decision, Decision::Deny(_) | Decision::Failed { denies: true, .. }) {
        status.insert("denied".to_owned(), json!(true));
    }
    if !problems.is_empty() {
        status.insert("evaluationError".to_owned(), json!(problems.join("; ")));
    }
    review.set(&["status"], Value::Object(status));
    review
}

/// upstream: pkg/apis/authorization/validation
fn attributes_error(review: &Object) -> field::ErrorList {
    let given = |field: &str| review.get(&["spec", field]).filter(|value| value.is_object());
    let path = field::Path::new("spec");
    match (given("resourceAttributes"), given("nonResourceAttributes")) {
        (Some(_), Some(value)) => {
            let why = "cannot be specified in combination with resourceAttributes";
            vec![field::Error::invalid(&path.child("nonResourceAttributes"), value.clone(), why)]
        }
        (None, None) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            vec![field::Error::invalid(&path.child("resourceAttributes"), Value::Null, why)]
        }
        _ => Vec::new(),
    }
}

/// Selectors are texts or requirements; operators that are not known are for servers to come.
fn selector_errors(review: &Object) -> field::ErrorList {
    let mut errors = field::ErrorList::new();
    for name in ["fieldSelector", "labelSelector"] {
        let selector = review.get(&["spec", "resourceAttributes", name]);
        let Some(selector) = selector.filter(|selector| selector.is_object()) else { continue };
        let path = field::Path::new("spec").child("resourceAttributes").child(name);
        let raw = selector["rawSelector"].as_str().unwrap_or_default();
        let requirements = selector["requirements"].as_array().map_or(&[][..], Vec::as_slice);
        if !raw.is_empty() && !requirements.is_empty() {
            let why = "may not specified at the same time as requirements";
            errors.push(field::Error::invalid(&path.child("rawSelector"), raw, why));
        }
        if raw.is_empty() && requirements.is_empty() {
            let why = format!("when {path} is specified, requirements or rawSelector is required");
            errors.push(field::Error::required(&path.child("requirements"), why));
        }
        for (index, requirement) in requirements.iter().enumerate() {
            let at = path.child("requirements").index(index);
            let unnamed = requirement["key"].as_str().unwrap_or_default().is_empty();
            if name == "fieldSelector" && unnamed {
                errors.push(field::Error::required(&at.child("key"), "must be specified"));
            }
            errors.extend(validate_operator(requirement, &at, true));
            if name == "labelSelector" {
                errors.extend(validate_requirement(requirement, &at));
            }
        }
    }
    errors
}

fn user_error(review: &Object) -> Option<field::Error> {
    let nobody = spec_text(review, "user").is_empty() && review.list(&["spec", "groups"]).is_empty();
    let path = field::Path::new("spec").child("user");
    nobody.then(|| field::Error::invalid(&path, "", "at least one of user or group must be specified"))
}

fn metadata_error(review: &Object, allowed: &[&str], why: &str) -> Option<field::Error> {
    let metadata = review.map(&["metadata"])?;
    let is_set = |(name, value): (&String, &Value)| {
        let empty = value.is_null() || value == "";
        !empty && name != "managedFields" && !allowed.contains(&name.as_str())
    };
    let path = field::Path::new("metadata");
    metadata.iter().any(is_set).then(|| field::Error::invalid(&path, Value::Object(metadata.clone()), why))
}

/// Upstream names neither kind nor object.
fn refuse(errors: &[field::Error]) -> Result<(), ApiError> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&GroupVersionKind::new(GROUP, "v1", ""), "", errors))
}

fn spec_text<'a>(review: &'a Object, field: &str) -> &'a str {
    review.str(&["spec", field])
}

/// The user that a spec tells of, whose name is in this field of it.
pub(crate) fn spec_user(of: &Object, name: &str) -> UserInfo {
    let texts = |list: &[Value]| list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let extra = of.map(&["spec", "extra"]).into_iter().flatten();
    UserInfo {
        name: spec_text(of, name).to_owned(),
        uid: spec_text(of, "uid").to_owned(),
        groups: texts(of.list(&["spec", "groups"])),
        extra: extra
            .map(|(key, values)| (key.clone(), values.as_array().map_or_else(Vec::new, |list| texts(list))))
            .collect(),
    }
}

/// What a review asks, and what of it is left out.
struct Asked {
    attributes: Attributes,
    problems: Vec<String>,
}

fn asked(review: &Object, user: UserInfo) -> Asked {
    if let Some(Value::Object(asked)) = review.get(&["spec", "nonResourceAttributes"]) {
        let text = |field: &str| asked.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let attributes = Attributes { user, verb: text("verb"), path: text("path"), ..Attributes::default() };
        return Asked { attributes, problems: Vec::new() };
    }
    let text = |field: &str| review.str(&["spec", "resourceAttributes", field]).to_owned();
    let selector = |field: &str| review.get(&["spec", "resourceAttributes", field]).unwrap_or(&Value::Null);
    let (fields, labels) = (selectors::fields(selector("fieldSelector")), selectors::labels(selector("labelSelector")));
    let problem = |field: &str, read: &selectors::Read| {
        let how = if read.selector.is_empty() { "ignored" } else { "partially ignored" };
        read.flawed.then(|| format!("spec.resourceAttributes.{field} {how} due to parse error"))
    };
    let problems = [problem("fieldSelector", &fields), problem("labelSelector", &labels)];
    let version = text("version");
    let attributes = Attributes {
        user,
        verb: text("verb"),
        namespace: text("namespace"),
        api_group: text("group"),
        api_version: if version.is_empty() { "*".to_owned() } else { version },
        resource: text("resource"),
        subresource: text("subresource"),
        name: text("name"),
        field_selector: fields.selector,
        label_selector: labels.selector,
        is_resource: true,
        ..Attributes::default()
    };
    Asked { attributes, problems: problems.into_iter().flatten().collect() }
}

/// The spec of a SubjectAccessReview that asks for this.
pub(crate) fn spec_of(attributes: &Attributes) -> Value {
    let mut spec = Map::new();
    let user = &attributes.user;
    let mut set = |field: &str, value: Value| {
        let empty = value.as_str().is_some_and(str::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        if !empty {
            spec.insert(field.to_owned(), value);
        }
    };
    set("user", json!(user.name));
    set("uid", json!(user.uid));
    set("groups", json!(user.groups));
    if !user.extra.is_empty() {
        set("extra", json!(user.extra));
    }
    let filled = |fields: &[(&str, &str)]| -> Map<String, Value> {
        let filled = fields.iter().filter(|(_, value)| !value.is_empty());
        filled.map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
    };
    if !attributes.is_resource {
        let asked = filled(&[("path", &attributes.path), ("verb", &attributes.verb)]);
        set("nonResourceAttributes", Value::Object(asked));
        return Value::Object(spec);
    }
    let mut asked = filled(&[
        ("namespace", &attributes.namespace),
        ("verb", &attributes.verb),
        ("group", &attributes.api_group),
        ("version", &attributes.api_version),
        ("resource", &attributes.resource),
        ("subresource", &attributes.subresource),
        ("name", &attributes.name),
    ]);
    let field_requirements = selectors::field_requirements(&attributes.field_selector);
    let label_requirements = selectors::label_requirements(&attributes.label_selector);
    for (name, requirements) in [("fieldSelector", field_requirements), ("labelSelector", label_requirements)] {
        if !requirements.is_empty() {
            asked.insert(name.to_owned(), json!({"requirements": requirements}));
        }
    }
    set("resourceAttributes", Value::Object(asked));
    Value::Object(spec)
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

    #[tokio::test]
    async fn access_is_reviewed() {
        let pods = json!({"verb": "list", "resource": "pods", "namespace": "dev"});
        let jane = review(json!({"user": "jane", "resourceAttributes": pods}));
        let answer = subject_access_review(&rbac(), jane).await.unwrap();
        assert!(answer.bool(&["status", "allowed"]));
        let jim = review(json!({"user": "jim", "resourceAttributes": pods}));
        let answer = subject_access_review(&rbac(), jim).await.unwrap();
        assert_eq!(
            answer.get(&["status"]),
            Some(&json!({"allowed": false,
                "reason": "RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found"}))
        );
        let path = review(json!({"nonResourceAttributes": {"verb": "get", "path": "/healthz"}}));
        let answer = self_subject_access_review(&rbac(), &UserInfo::new("jane", &[]), path).await.unwrap();
        assert!(answer.bool(&["status", "allowed"]));
    }

    #[tokio::test]
    async fn a_review_of_nothing_is_invalid() {
        let error = subject_access_review(&rbac(), review(json!({"user": "jane"}))).await.unwrap_err();
        assert_eq!(error.code(), 422);
        let pods = json!({"verb": "list", "resource": "pods"});
        let error = subject_access_review(&rbac(), review(json!({"resourceAttributes": pods}))).await.unwrap_err();
        assert!(error.message.contains("at least one of user or group must be specified"), "{error}");
    }

    #[tokio::test]
    async fn a_local_review_keeps_to_its_namespace() {
        let other = "the namespace of the provided object does not match the namespace sent on the request";
        let asked = r#"must match metadata.namespace"#;
        for (of_review, of_attributes, expected) in
            [("", "dev", ""), ("dev", "dev", ""), ("other", "dev", other), ("", "", asked), ("dev", "other", asked)]
        {
            let attributes = json!({"verb": "list", "resource": "pods", "namespace": of_attributes});
            let mut review = review(json!({"user": "jane", "resourceAttributes": attributes}));
            review.set(&["metadata", "namespace"], of_review);
            let told = local_subject_access_review(&rbac(), "dev", review).await.err().map(|error| error.message);
            assert!(told.unwrap_or_default().ends_with(expected), "{of_review:?} {of_attributes:?}");
        }
    }

    #[tokio::test]
    async fn selectors_of_reviews_are_texts_or_requirements() {
        let in_list = json!({"key": "a", "operator": "In", "values": ["x"]});
        for (name, selector, expected) in [
            ("fieldSelector", json!({"rawSelector": "a=b"}), ""),
            ("fieldSelector", json!({"requirements": [in_list]}), ""),
            ("fieldSelector", json!({"requirements": [{"key": "a", "operator": "Near"}]}), ""),
            (
                "fieldSelector",
                json!({}),
                "AT.requirements: Required value: when AT is specified, requirements or rawSelector is required",
            ),
            (
                "labelSelector",
                json!({"rawSelector": "a=b", "requirements": [in_list]}),
                "AT.rawSelector: Invalid value: \"a=b\": may not specified at the same time as requirements",
            ),
            (
                "fieldSelector",
                json!({"requirements": [{"operator": "Exists"}]}),
                "AT.requirements[0].key: Required value: must be specified",
            ),
            (
                "labelSelector",
                json!({"requirements": [{"key": "a", "operator": "In"}]}),
                "AT.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ),
            (
                "fieldSelector",
                json!({"requirements": [{"key": "a", "operator": "Exists", "values": ["x"]}]}),
                "AT.requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ),
        ] {
            let asked = review(json!({"user": "jane", "resourceAttributes": {"verb": "list", name: selector}}));
            let error = subject_access_review(&rbac(), asked).await.err().map(|error| error.message);
            let at = format!("spec.resourceAttributes.{name}");
            let prefix = ".authorization.k8s.io \"\" is invalid: ";
            let expected = (!expected.is_empty()).then(|| format!("{prefix}{}", expected.replace("AT", &at)));
            assert_eq!(error, expected, "{selector}");
        }
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
