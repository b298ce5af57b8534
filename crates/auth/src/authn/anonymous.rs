//! Requests of nobody in particular.

use arc_swap::ArcSwap;
use async_trait::async_trait;
use machinery::UserInfo;

use super::{Authenticator, Credentials, Refused};
use crate::authz::is_open;

/// Where a request needs no credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// For health and version alone.
    #[default]
    Health,
    /// Everywhere; authorization decides what comes of it.
    Everywhere,
    /// At exactly these paths.
    At(Vec<String>),
    Nowhere,
}

impl Anonymous {
    fn admits(&self, path: &str) -> bool {
        match self {
            Self::Health => is_open(path),
            Self::Everywhere => true,
            Self::At(paths) => paths.iter().any(|of| of == path),
            Self::Nowhere => false,
        }
    }
}

/// Lets requests without credentials in where the rule does. It belongs behind all other authenticators.
#[derive(Default)]
pub struct AnonymousRequests(ArcSwap<Anonymous>);

impl AnonymousRequests {
    pub fn new(rule: Anonymous) -> Self {
        Self(ArcSwap::from_pointee(rule))
    }

    pub(super) fn set(&self, rule: Anonymous) {
        self.0.store(rule.into());
    }
}

#[async_trait]
impl Authenticator for AnonymousRequests {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        let known = credentials.bearer_token.is_none() && self.0.load().admits(credentials.path);
        Ok(known.then(UserInfo::anonymous))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_open_as_the_rule_says() {
        let at = Anonymous::At(vec!["/livez".to_owned()]);
        for (rule, path, expected) in [
            (&Anonymous::Health, "/readyz/ping", true),
            (&Anonymous::Health, "/version", true),
            (&Anonymous::Health, "/api", false),
            (&Anonymous::Everywhere, "/api", true),
            (&at, "/livez", true),
            (&at, "/livez/ping", false),
            (&at, "/readyz", false),
            (&Anonymous::Nowhere, "/livez", false),
        ] {
            assert_eq!(rule.admits(path), expected, "{rule:?} {path}");
        }
    }
}
