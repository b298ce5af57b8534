//! Which requests a webhook or a policy is about: rules, and selectors of labels.
//!
//! upstream: apiserver/pkg/admission/plugin/webhook/predicates, plugin/policy/matching

use std::collections::BTreeMap;

use auth::View;
use auth::view::Resource;
use kinds::{KindDef, Scope};
use machinery::selector::LabelSelector;
use machinery::{ApiError, GroupResource, Object};
use registry::Operation;
use serde_json::Value;

use crate::subject::{self, Subject};

const EVERYTHING: &str = "*";

/// Rules and selectors together. What can not be read matches nothing: validation has refused it.
#[derive(Debug)]
pub struct Matching {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// Whether without rules everything is meant.
    open: bool,
    equivalent: bool,
    namespaces: LabelSelector,
    objects: LabelSelector,
}

#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// Resource and subresource.
    resources: Vec<(String, String)>,
    scope: Option<Scope>,
    /// None: all.
    names: Vec<String>,
}

impl Matching {
    /// From a webhook.
    pub fn of_webhook(webhook: &Value) -> Self {
        Self::read(webhook, "rules", false)
    }

    /// From `matchConstraints` of a policy.
    pub fn of_policy(constraints: &Value) -> Self {
        Self::read(constraints, "resourceRules", false)
    }

    /// From `matchResources` of a binding, which restricts only by what it names.
    pub fn of_binding(resources: &Value) -> Self {
        Self::read(resources, "resourceRules", true)
    }

    fn read(from: &Value, rules: &str, open: bool) -> Self {
        let selector = |field: &str| match from.get(field).filter(|selector| !selector.is_null()) {
            Some(selector) => LabelSelector::from_object(selector).unwrap_or_else(|_| LabelSelector::nothing()),
            None => LabelSelector::everything(),
        };
        let list = |field: &str| from[field].as_array().into_iter().flatten().map(Rule::new).collect();
        Self {
            rules: list(rules),
            excluded: list("excludeResourceRules"),
            open,
            equivalent: from["matchPolicy"] != "Exact",
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
        }
    }

    /// The version as which the request is meant; nothing if it is not meant at all.
    pub fn find(&self, subject: &Subject<'_>, view: &dyn View) -> Result<Option<&'static KindDef>, ApiError> {
        let Some(kind) = self.by_rules(subject) else { return Ok(None) };
        if !self.selects_object(subject) || !self.selects_namespace(subject, view)? {
            return Ok(None);
        }
        Ok(Some(kind))
    }

    fn by_rules(&self, subject: &Subject<'_>) -> Option<&'static KindDef> {
        if self.first(&self.excluded, subject).is_some() {
            return None;
        }
        if self.open && self.rules.is_empty() {
            return Some(subject.request.kind);
        }
        self.first(&self.rules, subject)
    }

    /// By the first rule that matches the request as it is, or else as one for another version.
    fn first(&self, rules: &[Rule], subject: &Subject<'_>) -> Option<&'static KindDef> {
        let asked = subject.request.kind;
        if rules.iter().any(|rule| rule.matches(subject, asked)) {
            return Some(asked);
        }
        if !self.equivalent || rules.is_empty() {
            return None;
        }
        rules.iter().find_map(|rule| subject.kinds.equivalents(asked).find(|kind| rule.matches(subject, kind)))
    }

    fn selects_object(&self, subject: &Subject<'_>) -> bool {
        let selects = |object: Option<&Object>| object.is_some_and(|object| self.objects.matches_map(&object.labels()));
        self.objects.is_everything() || selects(subject.object) || selects(subject.request.old)
    }

    fn selects_namespace(&self, subject: &Subject<'_>, view: &dyn View) -> Result<bool, ApiError> {
        let name = subject.namespace();
        if self.namespaces.is_everything() || (name.is_empty() && !subject.is_namespace()) {
            return Ok(true);
        }
        Ok(self.namespaces.matches_map(&namespace_labels(subject, view, name)?))
    }
}

/// Labels of the request's namespace; where that itself is written, those that it is to have.
fn namespace_labels(subject: &Subject<'_>, view: &dyn View, name: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let writes = matches!(subject.request.operation, Operation::Create | Operation::Update);
    if let Some(object) = subject.object.filter(|_| subject.is_namespace() && writes) {
        return Ok(object.labels());
    }
    let labels = view.labels(Resource::NAMESPACES, "", name);
    labels.ok_or_else(|| ApiError::not_found(&GroupResource::new("", "namespaces"), name))
}

impl Rule {
    fn new(rule: &Value) -> Self {
        let list = |field: &str| -> Vec<String> {
            rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let split = |text: String| match text.split_once('/') {
            Some((resource, below)) => (resource.to_owned(), below.to_owned()),
            None => (text, String::new()),
        };
        Self {
            operations: list("operations"),
            groups: list("apiGroups"),
            versions: list("apiVersions"),
            resources: list("resources").into_iter().map(split).collect(),
            scope: match rule["scope"].as_str() {
                Some("Cluster") => Some(Scope::Cluster),
                Some("Namespaced") => Some(Scope::Namespaced),
                _ => None,
            },
            names: list("resourceNames"),
        }
    }

    fn matches(&self, subject: &Subject<'_>, kind: &KindDef) -> bool {
        let request = subject.request;
        let resource =
            |(resource, below): &(String, String)| is(resource, kind.resource) && is(below, request.subresource);
        self.scope.is_none_or(|scope| scope == scope_of(subject))
            && any(&self.operations, subject::operation(request.operation))
            && any(&self.groups, kind.group)
            && any(&self.versions, kind.version)
            && self.resources.iter().any(resource)
            && (self.names.is_empty() || self.names.iter().any(|name| name == subject.name()))
    }
}

/// A Namespace is of cluster scope, though it lies in itself.
fn scope_of(subject: &Subject<'_>) -> Scope {
    match subject.request.namespace {
        "" => Scope::Cluster,
        _ => Scope::Namespaced,
    }
}

fn any(patterns: &[String], value: &str) -> bool {
    patterns.iter().any(|pattern| is(pattern, value))
}

fn is(pattern: &str, value: &str) -> bool {
    pattern == EVERYTHING || pattern == value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Case, object};

    /// A rule by `OPERATIONS GROUPS/VERSIONS/RESOURCES SCOPE`, each part split at commas.
    fn rule(text: &str) -> Value {
        let parts: Vec<&str> = text.split(' ').collect();
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let path: Vec<&str> = parts[1].splitn(3, '/').collect();
        json!({
            "operations": list(parts[0]), "apiGroups": list(path[0]), "apiVersions": list(path[1]),
            "resources": list(path[2]), "scope": parts.get(2).unwrap_or(&"*"),
        })
    }

    fn found(case: &Case, webhook: &Value, object: Option<&Object>) -> Result<Option<String>, ApiError> {
        let found = case.seen(object, |subject, view| Matching::of_webhook(webhook).find(subject, view))?;
        Ok(found.map(|kind| format!("{}/{}", kind.group_version(), kind.resource)))
    }

    #[test]
    fn rules_name_operations_and_resources() {
        let deployment = || Case::create("deployments.apps", "dev");
        let node = || Case::create("nodes", "");
        let namespace = || Case::create("namespaces", "");
        let status = || Case::update("pods/status", "dev", object(r#"{"metadata":{"name":"a"}}"#));
        for (case, text, matches) in [
            (deployment(), "CREATE apps/v1/deployments", true),
            (deployment(), "* */*/*", true),
            (deployment(), "CREATE,UPDATE ,apps/v1beta1,v1/pods,deployments", true),
            (deployment(), "UPDATE apps/v1/deployments", false),
            (deployment(), "CREATE /v1/deployments", false),
            (deployment(), "CREATE apps/v2/deployments", false),
            (deployment(), "CREATE apps/v1/deployments/scale", false),
            (deployment(), "CREATE apps/v1/deployments/*", true),
            (deployment(), "CREATE apps/v1/deployments Cluster", false),
            (deployment(), "CREATE apps/v1/deployments Namespaced", true),
            (node(), "* */*/* Cluster", true),
            (node(), "* */*/* Namespaced", false),
            (namespace(), "* */*/* Cluster", true),
            (namespace(), "* */*/* Namespaced", false),
            (status(), "UPDATE /v1/pods", false),
            (status(), "UPDATE /v1/*", false),
            (status(), "UPDATE /v1/pods/status", true),
            (status(), "UPDATE /v1/pods/*", true),
            (status(), "UPDATE /v1/*/status", true),
            (status(), "UPDATE /v1/*/*", true),
        ] {
            let found = found(&case, &json!({"rules": [rule(text)]}), Some(&Object::default())).unwrap();
            assert_eq!(found.is_some(), matches, "{text}: {found:?}");
        }
        assert_eq!(found(&deployment(), &json!({"rules": []}), None), Ok(None));
    }

    #[test]
    fn other_versions_of_the_same_are_meant_unless_the_policy_is_exact() {
        for (policy, text, expected) in [
            (
                "Equivalent",
                "CREATE autoscaling/v2/horizontalpodautoscalers",
                Some("autoscaling/v2/horizontalpodautoscalers"),
            ),
            ("Exact", "CREATE autoscaling/v2/horizontalpodautoscalers", None),
            (
                "Equivalent",
                "CREATE autoscaling/*/horizontalpodautoscalers",
                Some("autoscaling/v1/horizontalpodautoscalers"),
            ),
            ("Equivalent", "CREATE autoscaling/v3/horizontalpodautoscalers", None),
        ] {
            let case = Case::create("horizontalpodautoscalers.autoscaling", "dev");
            let webhook = json!({"rules": [rule(text)], "matchPolicy": policy});
            assert_eq!(found(&case, &webhook, None).unwrap().as_deref(), expected, "{policy} {text}");
        }
        let events = Case::create("events.events.k8s.io", "dev");
        let webhook = json!({"rules": [rule("CREATE /v1/events")]});
        assert_eq!(found(&events, &webhook, None).unwrap().as_deref(), Some("v1/events"));
    }

    #[test]
    fn selectors_look_at_labels_of_the_namespace_and_of_both_objects() {
        let cluster = r#"
            namespaces dev metadata.labels={"team":"a"}
            namespaces prod
        "#;
        let of_team = json!({"matchLabels": {"team": "a"}});
        let (with, without) =
            (object(r#"{"metadata":{"name":"x","labels":{"team":"a"}}}"#), object(r#"{"metadata":{"name":"x"}}"#));
        let update = |old: &Object| Case::update("pods", "prod", old.clone()).cluster(cluster);
        for (case, selector, object, matches) in [
            (Case::create("pods", "dev").cluster(cluster), "namespaceSelector", &without, true),
            (Case::create("pods", "prod").cluster(cluster), "namespaceSelector", &with, false),
            (Case::create("nodes", "").cluster(cluster), "namespaceSelector", &without, true),
            (Case::create("namespaces", "").cluster(cluster), "namespaceSelector", &with, true),
            (Case::create("namespaces", "").cluster(cluster), "namespaceSelector", &without, false),
            (Case::create("pods", "prod").cluster(cluster), "objectSelector", &with, true),
            (Case::create("pods", "prod").cluster(cluster), "objectSelector", &without, false),
            (update(&with), "objectSelector", &without, true),
            (update(&without), "objectSelector", &without, false),
        ] {
            let webhook = json!({"rules": [rule("* */*/*")], selector: of_team});
            let found = found(&case, &webhook, Some(object)).unwrap();
            assert_eq!(found.is_some(), matches, "{selector} {object:?}");
        }
        let lost = Case::create("pods", "gone");
        let selecting = |rules: &str| json!({"rules": [rule(rules)], "namespaceSelector": of_team});
        assert_eq!(found(&lost, &selecting("* apps/*/*"), None), Ok(None), "what is not meant needs no namespace");
        let error = found(&lost, &selecting("* */*/*"), None).unwrap_err();
        assert_eq!(error.message, "namespaces \"gone\" not found");
    }
}
