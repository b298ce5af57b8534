//! Audit policies: which requests are recorded, and how much of them.
//! (upstream: apiserver/pkg/audit/policy)

use machinery::UserInfo;
use serde::Deserialize;

use crate::info::RequestInfo;

/// How much of a request is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    #[default]
    None,
    Metadata,
    Request,
    RequestResponse,
}

/// When a request is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Stage {
    RequestReceived,
    /// Of requests that go on for long.
    ResponseStarted,
    ResponseComplete,
    Panic,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// `audit.k8s.io/v1` Policy.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    api_version: String,
    kind: String,
    #[serde(default)]
    #[allow(dead_code, reason = "a policy may have a name; nothing looks at it")]
    metadata: serde_json::Value,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<GroupResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GroupResources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// What a policy says of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub level: Level,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
}

impl Policy {
    pub fn parse(text: &str) -> Result<Self, String> {
        let policy: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        if (policy.api_version.as_str(), policy.kind.as_str()) != ("audit.k8s.io/v1", "Policy") {
            let (kind, version) = (&policy.kind, &policy.api_version);
            return Err(format!("no kind {kind:?} is registered for version {version:?}"));
        }
        if policy.rules.is_empty() {
            return Err("loaded illegal policy with 0 rules".to_owned());
        }
        let both = |rule: &Rule| {
            let of_resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
            of_resources && !rule.non_resource_urls.is_empty()
        };
        match policy.rules.iter().position(both) {
            Some(at) => Err(format!(
                "rules[{at}].nonResourceURLs: Invalid value: rules cannot apply to both regular resources and \
                 non-resource URLs"
            )),
            None => Ok(policy),
        }
    }

    /// By the first rule that matches; what none does is not recorded.
    pub fn judge(&self, user: &UserInfo, info: &RequestInfo) -> Verdict {
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(user, info)) else { return Verdict::default() };
        Verdict {
            level: rule.level,
            omit_stages: self.omit_stages.iter().chain(&rule.omit_stages).copied().collect(),
            omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
        }
    }
}

fn any_or_listed(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|listed| listed == name)
}

impl Rule {
    fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        let grouped = self.user_groups.is_empty() || self.user_groups.iter().any(|group| user.in_group(group));
        if !any_or_listed(&self.users, &user.name) || !grouped || !any_or_listed(&self.verbs, &info.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return self.matches_resource(info);
        }
        self.non_resource_urls.is_empty()
            || (!info.is_resource && self.non_resource_urls.iter().any(|of| covers(of, &info.path)))
    }

    fn matches_resource(&self, info: &RequestInfo) -> bool {
        let listed = self.resources.is_empty() || self.resources.iter().any(|resources| resources.contain(info));
        info.is_resource && any_or_listed(&self.namespaces, &info.namespace) && listed
    }
}

fn covers(rule: &str, path: &str) -> bool {
    rule == path || rule.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

impl GroupResources {
    fn contain(&self, info: &RequestInfo) -> bool {
        let named = self.resource_names.is_empty() || self.resource_names.contains(&info.name);
        let listed = || self.resources.iter().any(|resource| names(resource, info));
        self.group == info.group && (self.resources.is_empty() || (named && listed()))
    }
}

/// `pods`, `pods/log`, `pods/*`, `*/log` or `*`.
fn names(named: &str, info: &RequestInfo) -> bool {
    let (resource, subresource) = named.split_once('/').unwrap_or((named, ""));
    match (resource, subresource) {
        ("*", "") => true,
        ("*", subresource) => !info.subresource.is_empty() && subresource == info.subresource,
        (resource, "*") => resource == info.resource,
        (resource, subresource) => resource == info.resource && subresource == info.subresource,
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::query::Query;

    const HEAD: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";

    fn policy(rules: &str) -> Policy {
        Policy::parse(&format!("{HEAD}rules:\n{rules}")).unwrap()
    }

    fn level(policy: &Policy, user: &str, method: Method, path: &str) -> Level {
        let info = RequestInfo::new(&method, path, &Query::default());
        policy.judge(&UserInfo::new(user, &["dev"]), &info).level
    }

    #[test]
    fn the_first_rule_that_matches_says_how_much() {
        let policy = policy(
            "- {level: None, users: [system:kube-scheduler]}\n\
             - {level: RequestResponse, resources: [{group: '', resources: [secrets, pods/log]}], namespaces: [a]}\n\
             - {level: Request, verbs: [delete], userGroups: [dev]}\n\
             - {level: None, nonResourceURLs: ['/healthz*', /version]}\n\
             - {level: Metadata, resources: [{group: apps}, {group: batch, resources: ['jobs/*']}]}\n",
        );
        let table = [
            ("system:kube-scheduler", Method::GET, "/api/v1/namespaces/a/secrets/x", Level::None),
            ("jane", Method::GET, "/api/v1/namespaces/a/secrets/x", Level::RequestResponse),
            ("jane", Method::GET, "/api/v1/namespaces/b/secrets/x", Level::None),
            ("jane", Method::GET, "/api/v1/namespaces/a/pods/x/log", Level::RequestResponse),
            ("jane", Method::GET, "/api/v1/namespaces/a/pods/x", Level::None),
            ("jane", Method::DELETE, "/api/v1/namespaces/b/pods/x", Level::Request),
            ("jane", Method::GET, "/apis/apps/v1/deployments", Level::Metadata),
            ("jane", Method::GET, "/apis/batch/v1/namespaces/b/jobs/x/status", Level::Metadata),
            ("jane", Method::GET, "/healthz/ping", Level::None),
        ];
        for (user, method, path, expected) in table {
            assert_eq!(level(&policy, user, method.clone(), path), expected, "{user} {method} {path}");
        }
    }

    #[test]
    fn a_rule_adds_to_the_stages_that_are_left_out() {
        let text = format!(
            "{HEAD}omitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n\
             - {{level: Metadata, omitStages: [Panic], omitManagedFields: false}}\n"
        );
        let info = RequestInfo::new(&Method::GET, "/api", &Query::default());
        let verdict = Policy::parse(&text).unwrap().judge(&UserInfo::default(), &info);
        assert_eq!(verdict.omit_stages, [Stage::RequestReceived, Stage::Panic]);
        assert!(!verdict.omit_managed_fields);
    }

    #[test]
    fn a_policy_that_says_nothing_is_refused() {
        assert_eq!(Policy::parse(&format!("{HEAD}rules: []\n")).unwrap_err(), "loaded illegal policy with 0 rules");
        assert!(Policy::parse("apiVersion: v1\nkind: Pod\n").is_err());
        assert!(Policy::parse(&format!("{HEAD}rules: [{{level: Everything}}]\n")).is_err());
        let both = format!("{HEAD}rules: [{{level: None, namespaces: [a], nonResourceURLs: [/x]}}]\n");
        assert!(Policy::parse(&both).unwrap_err().contains("non-resource URLs"));
    }
}
