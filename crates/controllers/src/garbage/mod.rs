//! Removes objects whose owners are gone. (upstream: pkg/controller/garbagecollector)
//!
//! [`monitors`] follow the metadata of every kind that can be deleted and keep the [`graph`]. What it finds
//! suspicious is checked against the server itself before anything is done.

mod decide;
mod graph;
mod monitors;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use control::error::{ApiErrorExt, ignore_not_found};
use control::{Controller, Error, Requeue, Shell, Watches, meta};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::{Value, json};
use tracing::info;

use decide::{Action, Dependent, OwnerState, Policy, View, decide};
use graph::{FOREGROUND, Identity, Node, ORPHAN, Uid, Work};
use monitors::Monitors;

pub struct GarbageCollector {
    client: Client,
    monitors: Arc<Monitors>,
}

impl GarbageCollector {
    pub fn new(shell: &Shell) -> Self {
        Self { client: shell.client(), monitors: Arc::new(Monitors::new(shell.client(), shell.shutdown.clone())) }
    }

    /// The requests for one object; nothing if its kind is not served.
    fn api(&self, id: &Identity) -> Result<Api<DynamicObject>, Error> {
        let served = self.monitors.served(&id.group, &id.kind);
        let served = served.ok_or_else(|| unmapped(id))?;
        Ok(if served.namespaced {
            Api::namespaced_with(self.client.clone(), &id.namespace, &served.resource)
        } else {
            Api::all_with(self.client.clone(), &served.resource)
        })
    }

    /// The object's metadata on the server, if it still is the same object. That its kind is not served where it was
    /// says nothing of the object.
    async fn live(&self, id: &Identity) -> Result<Option<ObjectMeta>, Error> {
        match self.api(id)?.get_metadata(&id.name).await {
            Ok(found) => Ok(Some(found.metadata).filter(|found| meta::uid(found) == &*id.uid)),
            Err(error) if is_about(&error, &id.name) => Ok(None),
            Err(error) if error.is_not_found() => Err(unmapped(id)),
            Err(error) => Err(error.into()),
        }
    }

    async fn owner_state(&self, item: &Identity, owner: &OwnerReference) -> Result<OwnerState, Error> {
        let group = meta::group_of(&owner.api_version);
        let namespaced = self.monitors.served(group, &owner.kind).is_none_or(|served| served.namespaced);
        if item.namespace.is_empty() && namespaced {
            // Not a reference that can be followed, so nothing may be concluded from it.
            return Ok(OwnerState::Solid);
        }
        let id = Identity {
            group: group.to_owned(),
            kind: owner.kind.clone(),
            namespace: item.namespace.clone(),
            name: owner.name.clone(),
            uid: owner.uid.as_str().into(),
        };
        if self.monitors.is_absent(&id) {
            return Ok(OwnerState::Dangling);
        }
        Ok(match self.live(&id).await? {
            None => OwnerState::Dangling,
            Some(found) if meta::is_terminating(&found) && meta::has_finalizer(&found, FOREGROUND) => {
                OwnerState::Waiting
            }
            Some(_) => OwnerState::Solid,
        })
    }

    async fn view(&self, node: &Node, live: &ObjectMeta) -> Result<View, Error> {
        let mut owners = Vec::new();
        // An object on its way out need not ask after its owners.
        if !node.deleting {
            for owner in live.owner_references.iter().flatten() {
                owners.push((owner.uid.as_str().into(), self.owner_state(&node.id, owner).await?));
            }
        }
        Ok(View {
            deleting: node.deleting,
            foreground: node.foreground,
            orphan_finalizer: meta::has_finalizer(live, ORPHAN),
            foreground_finalizer: meta::has_finalizer(live, FOREGROUND),
            owners,
            dependents: self.dependents(&node.id.uid),
        })
    }

    fn dependents(&self, uid: &Uid) -> Vec<Dependent> {
        let graph = self.monitors.graph();
        let blocks = |node: &Node| {
            node.owners.iter().any(|owner| *owner.uid == **uid && owner.block_owner_deletion == Some(true))
        };
        let dependents = graph.dependents(uid).into_iter();
        dependents
            .map(|node| Dependent { uid: node.id.uid.clone(), blocks: blocks(node), foreground: node.foreground })
            .collect()
    }

    async fn collect(&self, uid: &Uid) -> Result<(), Error> {
        let Some(node) = self.monitors.graph().node(uid).cloned() else { return Ok(()) };
        if node.deleting && !node.foreground {
            return Ok(());
        }
        let Some(live) = self.live(&node.id).await? else {
            self.monitors.gone(uid);
            return Ok(());
        };
        if node.unseen {
            // It may go before its kind is listed, and then nobody tells.
            return Err(Error::Retry(format!("{} {} has not been seen yet", node.id.kind, node.id.name)));
        }
        match decide(&self.view(&node, &live).await?) {
            Action::Nothing => Ok(()),
            Action::Release => self.remove_finalizer(&node.id, &live, FOREGROUND).await,
            Action::Collect(uids) => {
                self.monitors.queue(uids.into_iter().map(Work::Collect));
                Ok(())
            }
            Action::Unlink(owners) => self.unlink(&node.id, &live, &owners).await,
            Action::Delete { policy, unblock } => {
                if unblock {
                    self.unblock(&node.id, &live).await?;
                }
                self.delete(&node.id, policy).await
            }
        }
    }

    async fn delete(&self, id: &Identity, policy: Policy) -> Result<(), Error> {
        info!(kind = id.kind, namespace = id.namespace, name = id.name, ?policy, "deleting what nobody owns");
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(id.uid.to_string()), resource_version: None }),
            propagation_policy: Some(match policy {
                Policy::Background => PropagationPolicy::Background,
                Policy::Foreground => PropagationPolicy::Foreground,
                Policy::Orphan => PropagationPolicy::Orphan,
            }),
            ..DeleteParams::default()
        };
        match ignore_not_found(self.api(id)?.delete(&id.name, &params).await) {
            // Another object took the name.
            Err(error) if error.is_conflict() => Ok(()),
            other => other.map(|_| ()).map_err(Error::from),
        }
    }

    /// Merges `metadata` into the object unless it changed since `live` was read.
    async fn patch(&self, id: &Identity, live: &ObjectMeta, mut metadata: Value) -> Result<(), Error> {
        metadata["uid"] = json!(&*id.uid);
        metadata["resourceVersion"] = json!(live.resource_version);
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        ignore_not_found(self.api(id)?.patch_metadata(&id.name, &PatchParams::default(), &patch).await)?;
        Ok(())
    }

    async fn unlink(&self, id: &Identity, live: &ObjectMeta, lost: &[Uid]) -> Result<(), Error> {
        let mut owners = live.owner_references.clone().unwrap_or_default();
        owners.retain(|owner| !lost.iter().any(|lost| **lost == *owner.uid));
        self.patch(id, live, json!({ "ownerReferences": owners })).await
    }

    async fn unblock(&self, id: &Identity, live: &ObjectMeta) -> Result<(), Error> {
        let mut owners = live.owner_references.clone().unwrap_or_default();
        owners.iter_mut().for_each(|owner| owner.block_owner_deletion = Some(false));
        self.patch(id, live, json!({ "ownerReferences": owners })).await
    }

    async fn remove_finalizer(&self, id: &Identity, live: &ObjectMeta, finalizer: &str) -> Result<(), Error> {
        let mut finalizers = live.finalizers.clone().unwrap_or_default();
        finalizers.retain(|held| held != finalizer);
        self.patch(id, live, json!({ "finalizers": finalizers })).await
    }

    /// Lets the dependents of `uid` go, and then the object itself.
    async fn orphan(&self, uid: &Uid) -> Result<(), Error> {
        let (node, dependents) = {
            let graph = self.monitors.graph();
            let Some(node) = graph.node(uid).cloned() else { return Ok(()) };
            let dependents: Vec<Identity> = graph.dependents(uid).into_iter().map(|node| node.id.clone()).collect();
            (node, dependents)
        };
        for dependent in dependents {
            if let Some(live) = self.live(&dependent).await? {
                self.unlink(&dependent, &live, std::slice::from_ref(uid)).await?;
            }
        }
        match self.live(&node.id).await? {
            Some(live) if meta::has_finalizer(&live, ORPHAN) => self.remove_finalizer(&node.id, &live, ORPHAN).await,
            _ => Ok(()),
        }
    }
}

fn unmapped(id: &Identity) -> Error {
    Error::Retry(format!("unable to get REST mapping for {}/{}", id.group, id.kind))
}

/// Whether an error says that there is no object of this name, not that there is no such path.
fn is_about(error: &kube::Error, name: &str) -> bool {
    let details = error.status().filter(|_| error.is_not_found()).and_then(|status| status.details.as_ref());
    details.is_some_and(|details| details.name == name)
}

#[async_trait]
impl Controller for GarbageCollector {
    type Key = Work;

    fn name(&self) -> &'static str {
        "garbage_collector"
    }

    fn watches(&self, watches: &mut Watches<Work>) {
        self.monitors.start(watches.queue());
    }

    async fn reconcile(&self, work: &Work) -> Result<Requeue, Error> {
        self.monitors.synced().await;
        match work {
            Work::Collect(uid) => self.collect(uid).await?,
            Work::Orphan(uid) => self.orphan(uid).await?,
        }
        Ok(Requeue::No)
    }
}
