//! A chain of authorizers as an AuthorizationConfiguration names them, taken over whenever its file changes.

pub mod conditions;
pub mod config;
mod webhook;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use filewatch::FileWatch;

use self::config::{ConfigError, Member};
use self::webhook::Webhook;
use super::{Always, Attributes, Authorizer, Decision, Masters, NodeAuthorizer, Rbac, Union};
use crate::view::View;

/// `system:masters` first, then the members in their order.
pub struct Chain {
    file: Option<PathBuf>,
    view: Arc<dyn View>,
    rbac: Arc<Rbac>,
    union: ArcSwap<Union>,
}

impl Chain {
    pub fn new(members: Vec<Member>, view: Arc<dyn View>, rbac: Arc<Rbac>) -> Result<Arc<Self>, ConfigError> {
        let union = ArcSwap::from_pointee(union(members, &view, &rbac)?);
        Ok(Arc::new(Self { file: None, view, rbac, union }))
    }

    /// The chain of a file, which is followed by [`Chain::follow`].
    pub fn read(path: &Path, view: Arc<dyn View>, rbac: Arc<Rbac>) -> Result<Arc<Self>, ConfigError> {
        let union = ArcSwap::from_pointee(union(load(path)?, &view, &rbac)?);
        Ok(Arc::new(Self { file: Some(path.to_owned()), view, rbac, union }))
    }

    /// Takes over what the file says whenever it changes. Ends only if there is none that can be watched.
    pub async fn follow(self: Arc<Self>) {
        let Some(path) = &self.file else { return };
        let watched = async {
            let mut watch = FileWatch::new(path)?;
            loop {
                // Also at first: it may have changed since it was read.
                match load(path).and_then(|members| union(members, &self.view, &self.rbac)) {
                    Ok(union) => self.union.store(Arc::new(union)),
                    Err(error) => tracing::error!(%error, "the authorization configuration stays as it was"),
                }
                watch.changed().await?;
            }
        };
        let ended: std::io::Result<()> = watched.await;
        if let Err(error) = ended {
            tracing::error!(%error, "the authorization configuration can not be watched");
        }
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

fn load(path: &Path) -> Result<Vec<Member>, ConfigError> {
    let text = std::fs::read_to_string(path);
    config::parse(&text.map_err(|source| ConfigError::File { path: path.to_owned(), source })?)
}

fn union(members: Vec<Member>, view: &Arc<dyn View>, rbac: &Arc<Rbac>) -> Result<Union, ConfigError> {
    let mut chain: Vec<Arc<dyn Authorizer>> = vec![Arc::new(Masters)];
    for member in members {
        chain.push(match member {
            Member::AlwaysAllow => Arc::new(Always::Allow),
            Member::AlwaysDeny => Arc::new(Always::Deny),
            Member::Node => Arc::new(NodeAuthorizer::new(view.clone())),
            Member::Rbac => rbac.clone(),
            Member::Webhook(options) => Arc::new(Webhook::new(options)?),
        });
    }
    Ok(Union(chain))
}
