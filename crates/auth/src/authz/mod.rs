//! Authorization: whether a user may do what they ask.

pub mod escalation;
pub mod node;
pub mod rbac;
pub mod references;
pub mod reviews;
pub mod rules;

use std::sync::Arc;

use machinery::{ApiError, GroupResource, UserInfo};

use crate::view::View;
pub use escalation::Escalation;
pub use node::NodeAuthorizer;
pub use rbac::Rbac;

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
}

impl Decision {
    pub fn allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    pub fn reason(&self) -> &str {
        match self {
            Self::Allow(reason) | Self::Deny(reason) | Self::NoOpinion(reason) => reason,
        }
    }
}

pub trait Authorizer: Send + Sync {
    fn authorize(&self, attributes: &Attributes) -> Decision;
}

/// Asks several authorizers in order; the first that has an opinion decides.
pub struct Union(pub Vec<Arc<dyn Authorizer>>);

impl Union {
    /// The authorizer of a cluster: `system:masters`, the Node authorizer, RBAC.
    pub fn standard(view: Arc<dyn View>, rbac: Arc<Rbac>) -> Self {
        Self(vec![Arc::new(Masters), Arc::new(NodeAuthorizer::new(view)), rbac])
    }
}

impl Authorizer for Union {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        let mut reasons = Vec::new();
        for authorizer in &self.0 {
            match authorizer.authorize(attributes) {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decision => return decision,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
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
