//! Authorization: whether a user may do what they ask.

pub mod abac;
pub mod configured;
pub mod escalation;
pub mod node;
pub mod rbac;
pub mod references;
pub mod reviews;
pub mod rules;
mod selectors;

use std::sync::Arc;

use async_trait::async_trait;
use machinery::{ApiError, GroupResource, UserInfo};

use crate::view::View;
pub use configured::Chain;
pub use escalation::Escalation;
pub use node::NodeAuthorizer;
pub use rbac::{Rbac, aggregate};

/// Paths that everybody may read.
const OPEN_PATHS: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// Whether everybody may read at `path`: what tells of health, and the version.
pub fn is_open(path: &str) -> bool {
    OPEN_PATHS.iter().any(|open| path.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// One request, as authorizers see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes {
    pub user: UserInfo,
    /// `get`, `list`, `deletecollection`, ...; in lower case the HTTP method where no resource is addressed.
    pub verb: String,
    pub namespace: String,
    pub api_group: String,
    pub api_version: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// The path, where no resource is addressed.
    pub path: String,
    /// As sent with list, watch and deletecollection.
    pub field_selector: String,
    pub label_selector: String,
    pub is_resource: bool,
}

impl Attributes {
    /// `pods/log`, or the resource alone.
    pub fn full_resource(&self) -> String {
        match self.subresource.as_str() {
            "" => self.resource.clone(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }
}

/// What an authorizer says, each with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow(String),
    /// No other authorizer is asked.
    Deny(String),
    NoOpinion(String),
    /// It could not be decided. If it `denies`, no other authorizer is asked; if not and no other allows it, the
    /// request fails as well.
    Failed {
        why: String,
        denies: bool,
    },
}

impl Decision {
    pub fn allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    pub fn reason(&self) -> &str {
        match self {
            Self::Allow(reason) | Self::Deny(reason) | Self::NoOpinion(reason) => reason,
            Self::Failed { why, .. } => why,
        }
    }
}

#[async_trait]
pub trait Authorizer: Send + Sync {
    /// Decides at once. An authorizer that asks another server makes the thread wait, which must be one of several of
    /// its runtime: who can wait otherwise calls [`Authorizer::decide`].
    fn authorize(&self, attributes: &Attributes) -> Decision;

    async fn decide(&self, attributes: &Attributes) -> Decision {
        self.authorize(attributes)
    }
}

/// Asks several authorizers in order; the first that has an opinion decides.
pub struct Union(pub Vec<Arc<dyn Authorizer>>);

impl Union {
    /// The authorizer of a cluster: `system:masters`, the Node authorizer, RBAC.
    pub fn standard(view: Arc<dyn View>, rbac: Arc<Rbac>) -> Self {
        Self(vec![Arc::new(Masters), Arc::new(NodeAuthorizer::new(view)), rbac])
    }
}

#[async_trait]
impl Authorizer for Union {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        let mut so_far = Undecided::default();
        for authorizer in &self.0 {
            if let Some(decision) = so_far.add(authorizer.authorize(attributes)) {
                return decision;
            }
        }
        so_far.end()
    }

    async fn decide(&self, attributes: &Attributes) -> Decision {
        let mut so_far = Undecided::default();
        for authorizer in &self.0 {
            if let Some(decision) = so_far.add(authorizer.decide(attributes).await) {
                return decision;
            }
        }
        so_far.end()
    }
}

/// What authorizers said that did not decide.
#[derive(Default)]
struct Undecided {
    reasons: Vec<String>,
    failures: Vec<String>,
}

impl Undecided {
    /// The decision, if this is one.
    fn add(&mut self, decision: Decision) -> Option<Decision> {
        match decision {
            Decision::NoOpinion(reason) if reason.is_empty() => {}
            Decision::NoOpinion(reason) => self.reasons.push(reason),
            Decision::Failed { why, denies: false } => self.failures.push(why),
            decision => return Some(decision),
        }
        None
    }

    fn end(self) -> Decision {
        match rbac::aggregate(&self.failures) {
            Some(why) => Decision::Failed { why, denies: false },
            None => Decision::NoOpinion(self.reasons.join("\n")),
        }
    }
}

/// Says the same to everybody.
pub enum Always {
    Allow,
    Deny,
}

impl Authorizer for Always {
    fn authorize(&self, _: &Attributes) -> Decision {
        match self {
            Self::Allow => Decision::Allow(String::new()),
            Self::Deny => Decision::NoOpinion("Everything is forbidden.".to_owned()),
        }
    }
}

/// Allows everything to the group `system:masters`.
pub struct Masters;

impl Authorizer for Masters {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        if attributes.user.in_group(UserInfo::MASTERS) {
            Decision::Allow(String::new())
        } else {
            Decision::NoOpinion(String::new())
        }
    }
}

/// The error a client gets whose request was not allowed.
pub fn forbidden(attributes: &Attributes, reason: &str) -> ApiError {
    let mut why = describe(attributes);
    if !reason.is_empty() {
        why = format!("{why}: {reason}");
    }
    let resource = GroupResource::new(&attributes.api_group, &attributes.resource);
    ApiError::forbidden(&resource, &attributes.name, why)
}

fn describe(attributes: &Attributes) -> String {
    let user = &attributes.user.name;
    let verb = &attributes.verb;
    if !attributes.is_resource {
        return format!("User {user:?} cannot {verb} path {:?}", attributes.path);
    }
    let resource = attributes.full_resource();
    let group = &attributes.api_group;
    match attributes.namespace.as_str() {
        "" => format!("User {user:?} cannot {verb} resource {resource:?} in API group {group:?} at the cluster scope"),
        namespace => format!(
            "User {user:?} cannot {verb} resource {resource:?} in API group {group:?} in the namespace {namespace:?}"
        ),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Attributes;

    /// What is asked of `deployments.apps/scale`.
    pub fn of_resource(text: &str) -> Attributes {
        let (resource, subresource) = text.split_once('/').unwrap_or((text, ""));
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        let [api_group, resource, subresource] = [group, resource, subresource].map(str::to_owned);
        Attributes { api_group, resource, subresource, is_resource: true, ..Attributes::default() }
    }
}
