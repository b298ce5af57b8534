//! Policies in a file, one a line. (upstream: pkg/auth/authorizer/abac)

use std::path::{Path, PathBuf};

use machinery::UserInfo;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Attributes, Authorizer, Decision};

const VERSION: &str = "abac.authorization.kubernetes.io/v1beta1";

#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("error reading policy file {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("error reading policy file {}, line {line}: {text}: {why}", path.display())]
    Line { path: PathBuf, line: usize, text: String, why: String },
}

/// Allows what one of its policies does.
pub struct Abac(Vec<Policy>);

/// `*` stands for all, nothing for none.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Policy {
    user: String,
    group: String,
    readonly: bool,
    #[serde(rename = "apiGroup")]
    api_group: String,
    resource: String,
    namespace: String,
    non_resource_path: String,
}

impl Abac {
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| PolicyError::File { path: path.to_owned(), source })?;
        let mut policies = Vec::new();
        for (at, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (path, text) = (path.to_owned(), line.to_owned());
            policies.push(Policy::read(line).map_err(|why| PolicyError::Line { path, line: at + 1, text, why })?);
        }
        Ok(Self(policies))
    }
}

impl Authorizer for Abac {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        match self.0.iter().any(|policy| policy.allows(attributes)) {
            true => Decision::Allow(String::new()),
            false => Decision::NoOpinion("No policy matched.".to_owned()),
        }
    }
}

impl Policy {
    fn read(line: &str) -> Result<Self, String> {
        let object: Map<String, Value> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let read = |value: Value| serde_json::from_value::<Self>(value).map_err(|error| error.to_string());
        let mut policy = match (text("apiVersion"), text("kind")) {
            ("", "") => read(Value::Object(object))?.unversioned(),
            (VERSION, "Policy") => read(object.get("spec").cloned().unwrap_or_else(|| Value::Object(Map::new())))?,
            (version, kind) => return Err(format!("no kind {kind:?} is registered for version {version:?}")),
        };
        if policy.user == "*" || policy.group == "*" {
            (policy.user, policy.group) = (String::new(), UserInfo::AUTHENTICATED.to_owned());
        }
        Ok(policy)
    }

    /// Lines of old without a version leave out what is not restricted.
    fn unversioned(mut self) -> Self {
        let all = || "*".to_owned();
        if self.user.is_empty() && self.group.is_empty() {
            self.group = all();
        }
        if self.namespace.is_empty() && self.resource.is_empty() {
            self.non_resource_path = all();
        }
        for field in [&mut self.namespace, &mut self.resource] {
            if field.is_empty() {
                *field = all();
            }
        }
        self.api_group = all();
        self
    }

    fn allows(&self, attributes: &Attributes) -> bool {
        let reads = matches!(attributes.verb.as_str(), "get" | "list" | "watch");
        let fits = |pattern: &str, value: &str| pattern == "*" || pattern == value;
        let addressed = if attributes.is_resource {
            fits(&self.namespace, &attributes.namespace)
                && fits(&self.resource, &attributes.resource)
                && fits(&self.api_group, &attributes.api_group)
        } else {
            let below = self.non_resource_path.strip_suffix('*');
            self.non_resource_path == attributes.path || below.is_some_and(|path| attributes.path.starts_with(path))
        };
        addressed && (reads || !self.readonly) && self.is_about(&attributes.user)
    }

    /// A user and a group that are both named must both fit.
    fn is_about(&self, user: &UserInfo) -> bool {
        let named = !self.user.is_empty() || !self.group.is_empty();
        named
            && (self.user.is_empty() || self.user == user.name)
            && (self.group.is_empty() || user.in_group(&self.group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Abac, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy");
        std::fs::write(&path, text).unwrap();
        let shown = path.display().to_string();
        Abac::read(&path).map_err(|error| error.to_string().replace(&shown, "FILE"))
    }

    fn policy(spec: &str) -> String {
        format!("{{\"apiVersion\":\"{VERSION}\",\"kind\":\"Policy\",\"spec\":{{{spec}}}}}\n")
    }

    #[test]
    fn policies_allow_what_they_name() {
        let text = [
            "# who may what\n\n".to_owned(),
            policy(r#""user":"root","namespace":"*","resource":"*","apiGroup":"*","nonResourcePath":"*""#),
            policy(r#""user":"jane","namespace":"dev","resource":"pods","readonly":true"#),
            policy(r#""group":"ops","namespace":"*","resource":"deployments","apiGroup":"apps""#),
            policy(r#""user":"jim","group":"ops","namespace":"*","resource":"nodes""#),
            policy(r#""group":"*","nonResourcePath":"/public/*""#),
            policy(r#""namespace":"*","resource":"secrets""#),
            "{\"user\":\"old\",\"resource\":\"pods\"}\n{\"user\":\"older\",\"readonly\":true}\n".to_owned(),
        ];
        let abac = read(&text.concat()).unwrap();
        for (who, asked, expected) in [
            ("root", "delete nodes", true),
            ("root", "get /anything", true),
            ("jane", "get dev/pods", true),
            ("jane", "delete dev/pods", false),
            ("jane", "get prod/pods", false),
            ("jane", "get dev/secrets", false),
            ("jo ops", "create dev/deployments.apps", true),
            ("jo ops", "create dev/deployments", false),
            ("jo", "create dev/deployments.apps", false),
            ("jim", "get nodes", false),
            ("jim ops", "update nodes", true),
            ("jane", "post /public/x", true),
            ("jane", "get /private", false),
            ("old", "delete prod/pods", true),
            ("old", "get /metrics", false),
            ("older", "get /metrics", true),
            ("older", "list prod/jobs.batch", true),
            ("older", "delete prod/jobs.batch", false),
        ] {
            let (user, groups) = who.split_once(' ').unwrap_or((who, ""));
            let groups: Vec<&str> = groups.split_whitespace().collect();
            let (verb, target) = asked.split_once(' ').unwrap();
            let (namespace, resource) = target.split_once('/').unwrap_or(("", target));
            let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
            let is_resource = !target.starts_with('/');
            let attributes = Attributes {
                user: UserInfo::new(user, &groups),
                verb: verb.to_owned(),
                is_resource,
                namespace: namespace.to_owned(),
                resource: resource.to_owned(),
                api_group: group.to_owned(),
                path: if is_resource { String::new() } else { target.to_owned() },
                ..Attributes::default()
            };
            let expected = match expected {
                true => Decision::Allow(String::new()),
                false => Decision::NoOpinion("No policy matched.".to_owned()),
            };
            assert_eq!(abac.authorize(&attributes), expected, "{who}: {asked}");
        }
    }

    #[test]
    fn lines_that_are_no_policies_are_told() {
        let other = r#"{"apiVersion":"v1","kind":"Pod"}"#;
        for (text, expected) in [
            (
                other,
                format!(
                    "error reading policy file FILE, line 1: {other}: no kind \"Pod\" is registered for version \"v1\""
                ),
            ),
            (
                "# none\n{\"user\":1}",
                "error reading policy file FILE, line 2: {\"user\":1}: invalid type: integer `1`, expected a string"
                    .to_owned(),
            ),
        ] {
            assert_eq!(read(text).err(), Some(expected));
        }
    }
}
