//! Which FlowSchema a request belongs to. (upstream: apiserver/pkg/util/flowcontrol/rule.go)

use machinery::{Object, UserInfo};
use serde_json::Value;

use crate::info::RequestInfo;

/// What a FlowSchema matches; compiled from its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher(Vec<Rule>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Anyone,
    User(String),
    Group(String),
    /// Any service account of the namespace: `system:serviceaccount:NAMESPACE:`.
    AccountsOf(String),
}

/// A list of strings, or anything.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    Any,
    These(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ResourceRule {
    verbs: Names,
    groups: Names,
    resources: Names,
    namespaces: Names,
    cluster_scope: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PathRule {
    verbs: Names,
    paths: Vec<String>,
}

impl Names {
    fn of(value: &Value) -> Self {
        let names: Vec<String> = strings(value).map(str::to_owned).collect();
        if names.len() == 1 && names[0] == "*" { Self::Any } else { Self::These(names) }
    }

    fn contain(&self, name: &str) -> bool {
        self.matches(|known| known == name)
    }

    fn matches(&self, is_it: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Any => true,
            Self::These(names) => names.iter().any(|name| is_it(name)),
        }
    }
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

impl Matcher {
    pub fn compile(schema: &Object) -> Self {
        Self(schema.list(&["spec", "rules"]).iter().map(Rule::compile).collect())
    }

    pub fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        self.0.iter().any(|rule| rule.matches(user, info))
    }
}

impl Rule {
    fn compile(rule: &Value) -> Self {
        Self {
            subjects: items(&rule["subjects"]).filter_map(Subject::compile).collect(),
            resources: items(&rule["resourceRules"]).map(ResourceRule::compile).collect(),
            paths: items(&rule["nonResourceRules"]).map(PathRule::compile).collect(),
        }
    }

    fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        self.subjects.iter().any(|subject| subject.is(user))
            && match info.is_resource {
                true => self.resources.iter().any(|rule| rule.matches(info)),
                false => self.paths.iter().any(|rule| rule.matches(info)),
            }
    }
}

impl Subject {
    fn compile(subject: &Value) -> Option<Self> {
        let name = |of: &str| subject[of]["name"].as_str();
        Some(match subject["kind"].as_str()? {
            "User" => name("user").map(|name| if name == "*" { Self::Anyone } else { Self::User(name.to_owned()) })?,
            "Group" => {
                name("group").map(|name| if name == "*" { Self::Anyone } else { Self::Group(name.to_owned()) })?
            }
            "ServiceAccount" => {
                let namespace = subject["serviceAccount"]["namespace"].as_str()?;
                match name("serviceAccount")? {
                    "*" => Self::AccountsOf(format!("system:serviceaccount:{namespace}:")),
                    name => Self::User(format!("system:serviceaccount:{namespace}:{name}")),
                }
            }
            _ => return None,
        })
    }

    fn is(&self, user: &UserInfo) -> bool {
        match self {
            Self::Anyone => true,
            Self::User(name) => user.name == *name,
            Self::Group(name) => user.in_group(name),
            Self::AccountsOf(prefix) => user.name.starts_with(prefix),
        }
    }
}

impl ResourceRule {
    fn compile(rule: &Value) -> Self {
        Self {
            verbs: Names::of(&rule["verbs"]),
            groups: Names::of(&rule["apiGroups"]),
            resources: Names::of(&rule["resources"]),
            namespaces: Names::of(&rule["namespaces"]),
            cluster_scope: rule["clusterScope"].as_bool().unwrap_or(false),
        }
    }

    fn matches(&self, info: &RequestInfo) -> bool {
        let scope = match info.namespace.as_str() {
            "" => self.cluster_scope,
            namespace => self.namespaces.contain(namespace),
        };
        scope && self.verbs.contain(&info.verb) && self.groups.contain(&info.group) && self.names_resource(info)
    }

    fn names_resource(&self, info: &RequestInfo) -> bool {
        self.resources.matches(|known| match info.subresource.as_str() {
            "" => known == info.resource,
            subresource => known.split_once('/') == Some((&info.resource, subresource)),
        })
    }
}

impl PathRule {
    fn compile(rule: &Value) -> Self {
        Self { verbs: Names::of(&rule["verbs"]), paths: strings(&rule["nonResourceURLs"]).map(str::to_owned).collect() }
    }

    fn matches(&self, info: &RequestInfo) -> bool {
        self.verbs.contain(&info.verb) && self.paths.iter().any(|path| covers(path, &info.path))
    }
}

/// `/healthz`, `/healthz/*` and what lies below.
fn covers(rule: &str, path: &str) -> bool {
    let prefix = rule.trim_end_matches('*').trim_end_matches('/');
    rule == "*" || rule == path || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use super::*;
    use crate::query::Query;

    fn matcher(subject: Value, resources: Value, paths: Value) -> Matcher {
        let rule = json!({"subjects": [subject], "resourceRules": [resources], "nonResourceRules": [paths]});
        Matcher::compile(&Object::from_value(json!({"spec": {"rules": [rule]}})).unwrap())
    }

    fn matches(matcher: &Matcher, user: &UserInfo, method: Method, path: &str) -> bool {
        matcher.matches(user, &RequestInfo::new(&method, path, &Query::default()))
    }

    fn everything() -> (Value, Value) {
        let resources = json!({
            "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true,
        });
        (resources, json!({"verbs": ["*"], "nonResourceURLs": ["*"]}))
    }

    #[test]
    fn subjects_are_users_groups_and_accounts() {
        let (resources, paths) = everything();
        let jane = UserInfo::new("jane", &["dev"]);
        let account = UserInfo::new("system:serviceaccount:kube-system:sa", &[]);
        let table = [
            (json!({"kind": "User", "user": {"name": "jane"}}), true, false),
            (json!({"kind": "User", "user": {"name": "*"}}), true, true),
            (json!({"kind": "Group", "group": {"name": "dev"}}), true, false),
            (
                json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}}),
                false,
                true,
            ),
            (json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube", "name": "*"}}), false, false),
            (
                json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "sa"}}),
                false,
                true,
            ),
        ];
        for (subject, is_jane, is_account) in table {
            let matcher = matcher(subject.clone(), resources.clone(), paths.clone());
            let got = [&jane, &account].map(|user| matches(&matcher, user, Method::GET, "/api/v1/pods"));
            assert_eq!(got, [is_jane, is_account], "{subject}");
        }
    }

    #[test]
    fn rules_name_verbs_resources_and_scopes() {
        let anyone = json!({"kind": "Group", "group": {"name": "*"}});
        let rule = json!({
            "verbs": ["get", "update"], "apiGroups": ["", "apps"], "resources": ["pods", "pods/status", "nodes"],
            "namespaces": ["a"], "clusterScope": true,
        });
        let matcher = matcher(anyone, rule, json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/debug/*"]}));
        let table = [
            (Method::GET, "/api/v1/namespaces/a/pods/x", true),
            (Method::PUT, "/api/v1/namespaces/a/pods/x/status", true),
            (Method::GET, "/api/v1/namespaces/a/pods/x/log", false),
            (Method::GET, "/api/v1/namespaces/b/pods/x", false),
            (Method::DELETE, "/api/v1/namespaces/a/pods/x", false),
            (Method::GET, "/api/v1/nodes/n", true),
            (Method::GET, "/apis/batch/v1/namespaces/a/pods/x", false),
            (Method::GET, "/healthz", true),
            (Method::GET, "/healthz/ping", true),
            (Method::GET, "/debug/pprof", true),
            (Method::GET, "/healthzz", false),
            (Method::POST, "/healthz", false),
        ];
        for (method, path, expected) in table {
            assert_eq!(matches(&matcher, &UserInfo::default(), method.clone(), path), expected, "{method} {path}");
        }
    }
}
