//! Who makes a request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `authentication.k8s.io` UserInfo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserInfo {
    #[serde(rename = "username", default)]
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    pub const ANONYMOUS: &'static str = "system:anonymous";
    pub const MASTERS: &'static str = "system:masters";
    pub const AUTHENTICATED: &'static str = "system:authenticated";
    pub const UNAUTHENTICATED: &'static str = "system:unauthenticated";

    /// An authenticated user with these groups and `system:authenticated`.
    pub fn new(name: impl Into<String>, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        groups.push(Self::AUTHENTICATED.to_owned());
        Self { name: name.into(), groups, ..Self::default() }
    }

    /// The user with `system:authenticated`, which all have whom somebody knows.
    pub fn authenticated(mut self) -> Self {
        if !self.in_group(Self::AUTHENTICATED) {
            self.groups.push(Self::AUTHENTICATED.to_owned());
        }
        self
    }

    pub fn anonymous() -> Self {
        Self { name: Self::ANONYMOUS.to_owned(), groups: vec![Self::UNAUTHENTICATED.to_owned()], ..Self::default() }
    }

    /// The node this user is, when it is one: `system:node:NAME` in the group `system:nodes`.
    pub fn node_name(&self) -> Option<&str> {
        let name = self.name.strip_prefix("system:node:")?;
        self.in_group("system:nodes").then_some(name)
    }

    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|of| of == group)
    }
}
