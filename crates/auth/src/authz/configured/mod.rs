//! A chain of authorizers as an AuthorizationConfiguration names them, taken over whenever its file changes.

pub mod conditions;
pub mod config;
mod webhook;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use async_trait::async_trait;

use self::config::{ConfigError, Member, Named};
use self::webhook::Webhook;
use super::abac::Abac;
use super::{Always, Attributes, Authorizer, Decision, Masters, NodeAuthorizer, Rbac, Union};
use crate::metrics::METRICS;
use crate::view::View;

/// `system:masters` first, then the members in their order.
pub struct Chain {
    file: Option<PathBuf>,
    /// Of the mode `ABAC`.
    policy: Option<PathBuf>,
    /// What must stay in the file, webhooks aside.
    required: OnceLock<BTreeSet<&'static str>>,
    /// What the file said when it was taken over.
    text: ArcSwap<String>,
    view: Arc<dyn View>,
    rbac: Arc<Rbac>,
    union: ArcSwap<Union>,
}

impl Chain {
    pub fn new(members: Vec<Named>, view: Arc<dyn View>, rbac: Arc<Rbac>) -> Result<Arc<Self>, ConfigError> {
        let union = ArcSwap::from_pointee(union(members, &view, &rbac)?);
        let (policy, required) = (None, OnceLock::new());
        Ok(Arc::new(Self { file: None, policy, required, text: ArcSwap::default(), view, rbac, union }))
    }

    /// The chain of a file, which is followed by [`Chain::follow`]. `policy` is the file of the mode `ABAC`.
    pub fn read(
        path: &Path,
        policy: Option<PathBuf>,
        view: Arc<dyn View>,
        rbac: Arc<Rbac>,
    ) -> Result<Arc<Self>, ConfigError> {
        let union = ArcSwap::from_pointee(Union(Vec::new()));
        let (file, required) = (Some(path.to_owned()), OnceLock::new());
        let chain = Self { file, policy, required, text: ArcSwap::default(), view, rbac, union };
        chain.reload(path)?;
        Ok(Arc::new(chain))
    }

    /// Takes over what the file says whenever it changes. Runs until it is dropped, which is safe; ends at once where
    /// there is no file.
    pub async fn follow(self: Arc<Self>) {
        let Some(path) = &self.file else { return };
        let reload = || {
            let reloaded = self.reload(path);
            METRICS.authorization.reloaded(&reloaded);
            if let Err(error) = reloaded {
                tracing::error!(%error, "the authorization configuration stays as it was");
            }
        };
        files::follow(&[path], reload).await;
    }

    /// Answers whether something was taken over.
    fn reload(&self, path: &Path) -> Result<bool, ConfigError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        if **self.text.load() == *text {
            return Ok(false);
        }
        let members = config::parse(&text, self.policy.as_deref())?;
        let types: BTreeSet<&str> =
            members.iter().map(|named| named.member.of()).filter(|of| *of != "Webhook").collect();
        self.check_types(&types)?;
        self.union.store(Arc::new(union(members, &self.view, &self.rbac)?));
        self.required.get_or_init(|| types);
        METRICS.authorization.in_use(&text);
        self.text.store(Arc::new(text));
        Ok(true)
    }
}

impl Chain {
    /// What the first file named must stay, and what takes preparing can not come later.
    /// (upstream: pkg/kubeapiserver/authorizer)
    fn check_types(&self, types: &BTreeSet<&'static str>) -> Result<(), ConfigError> {
        let Some(required) = self.required.get() else { return Ok(()) };
        let missing: Vec<&str> = required.difference(types).copied().collect();
        if !missing.is_empty() {
            return Err(ConfigError::Invalid(format!("missing required types: [{}]", missing.join(" "))));
        }
        let late = types.difference(required).find(|of| ["ABAC", "Node", "RBAC"].contains(of));
        late.map_or(Ok(()), |of| {
            let why = format!("authorizer type {of} is not allowed if it was not enabled at initial server startup");
            Err(ConfigError::Invalid(why))
        })
    }
}

#[async_trait]
impl Authorizer for Chain {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        self.union.load_full().authorize(attributes)
    }

    async fn decide(&self, attributes: &Attributes) -> Decision {
        self.union.load_full().decide(attributes).await
    }
}

fn union(members: Vec<Named>, view: &Arc<dyn View>, rbac: &Arc<Rbac>) -> Result<Union, ConfigError> {
    let mut chain: Vec<Arc<dyn Authorizer>> = vec![Arc::new(Masters)];
    for Named { name, member } in members {
        let of = member.of();
        let authorizer: Arc<dyn Authorizer> = match member {
            Member::AlwaysAllow => Arc::new(Always::Allow),
            Member::AlwaysDeny => Arc::new(Always::Deny),
            Member::Node => Arc::new(NodeAuthorizer::new(view.clone())),
            Member::Rbac => rbac.clone(),
            Member::Abac(path) => Arc::new(Abac::read(&path)?),
            Member::Webhook(options) => Arc::new(Webhook::new(&name, options)?),
        };
        chain.push(Arc::new(Counted { of, name, authorizer }));
    }
    Ok(Union(chain))
}

/// An authorizer whose decisions are counted.
struct Counted {
    of: &'static str,
    name: String,
    authorizer: Arc<dyn Authorizer>,
}

impl Counted {
    fn count(&self, decision: Decision) -> Decision {
        match decision {
            Decision::Allow(_) => METRICS.decided(self.of, &self.name, "allowed"),
            Decision::Deny(_) | Decision::Failed { denies: true, .. } => METRICS.decided(self.of, &self.name, "denied"),
            Decision::NoOpinion(_) | Decision::Failed { .. } => {}
        }
        decision
    }
}

#[async_trait]
impl Authorizer for Counted {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        self.count(self.authorizer.authorize(attributes))
    }

    async fn decide(&self, attributes: &Attributes) -> Decision {
        self.count(self.authorizer.decide(attributes).await)
    }
}
